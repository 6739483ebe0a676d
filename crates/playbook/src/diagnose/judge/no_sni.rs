//! Clients without SNI were refused: what keeps them out.

use sni_probe_model::AlertDescription;
use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::{WireFacts, counts_without_sni, is_load_balancer};
use super::explanation::{Noun, was};
use super::findings::configured_wrong;
use super::{Judgement, caveat, completes_without_sni, serves_a_name};
use crate::check::report::CheckVerdict;
use crate::logs::report::LogsReport;

/// Clients without SNI that were refused.
pub(super) struct Refused {
    count: u64,
    noun: Noun,
    /// The client with most refusals, in words; empty if it is unknown.
    client: String,
    /// What sends them, if it is a load balancer or a health check, as a sentence.
    load_balancer: Option<String>,
    /// The wire shows that there was no SNI.
    is_proven: bool,
    /// The same gateway served clients with a name, or says by its alert that the name is missing.
    is_separated: bool,
    /// Other clients without SNI were served, and not by other gateways.
    is_mixed: bool,
}

const GOOGLE: &str =
    "A load balancer of Google Cloud connects to the gateway without SNI, as all of them do.";

impl Refused {
    /// `health_checks`: refused handshakes of clients that look like health checks, and what is known of them.
    pub(super) fn on_the_wire(
        inputs: &Inputs,
        wire: &WireFacts,
        count: u64,
        health_checks: Option<&(u64, String)>,
    ) -> Self {
        let first = wire.clients.iter().find(|client| client.refusals.refused > 0);
        let client = first.map_or_else(String::new, |client| {
            let likely = client.likely.as_ref().map(|likely| format!(", likely {}", printable(likely)));
            let most = if client.refusals.refused < count { "most from " } else { "client " };
            format!(" ({most}{}{})", printable(&client.label), likely.unwrap_or_default())
        });
        let steady = health_checks.filter(|(refused, _)| refused * 2 >= count);
        let load_balancer = if wire.is_mostly_load_balancers() {
            Some(GOOGLE.to_owned())
        } else {
            steady.map(|(_, sentence)| sentence.clone())
        };
        let says_so = wire.alerts_of(AlertDescription::UnrecognizedName)
            + wire.alerts_of(AlertDescription::MissingExtension);
        Self {
            count,
            noun: Noun::Handshake,
            client,
            load_balancer,
            is_proven: true,
            is_separated: wire.is_mostly_load_balancers()
                || says_so > 0
                || wire.with_sni() > wire.refused_with_name()
                || serves_a_name(inputs),
            is_mixed: wire.served_without_sni() > 0 && !keeps_out_somewhere(wire),
        }
    }

    pub(super) fn in_the_log(logs: &LogsReport, count: u64) -> Self {
        let first = logs.by_client.first();
        let all: u64 = logs.by_client.iter().map(|client| client.count).sum();
        let of_load_balancers = logs.by_client.iter().filter(|client| is_load_balancer(&client.name));
        let of_load_balancers: u64 = of_load_balancers.map(|client| client.count).sum();
        let is_load_balancer = of_load_balancers > 0 && of_load_balancers * 2 >= all;
        Self {
            count,
            noun: Noun::LogEntry,
            client: first.map_or_else(String::new, |client| {
                let most = if client.count < all { "most from " } else { "client " };
                format!(" ({most}{})", printable(&client.name))
            }),
            load_balancer: is_load_balancer.then(|| GOOGLE.to_owned()),
            is_proven: is_proof(logs),
            is_separated: true,
            is_mixed: false,
        }
    }

    fn what(&self) -> String {
        let Self { count, noun, client, .. } = self;
        let of = noun.counted(*count);
        // A log may lack a name that was sent.
        let without = if self.is_proven { "SNI" } else { "a name" };
        format!("{of} without {without} {} refused{client}", was(*count))
    }
}

/// Whether an entry without a name shows that there was no SNI: in the logs of other programs than Envoy, or joined with events.
pub(super) fn is_proof(logs: &LogsReport) -> bool {
    let by_program: u64 = logs.by_program.iter().map(|program| program.count).sum();
    logs.joined.is_some() || by_program > 0 && by_program >= logs.entries
}

/// Whether a gateway refused clients without SNI and served none of them.
pub(super) fn keeps_out_somewhere(wire: &WireFacts) -> bool {
    let counts = wire.refusals.gateways.iter().filter_map(counts_without_sni);
    counts.into_iter().any(|counts| counts.refused > 0 && counts.refused == counts.handshakes)
}

/// The judgement on clients without SNI that were refused: what the configuration and the check say of them.
pub(super) fn without_sni(inputs: &Inputs, refused: &Refused) -> Judgement {
    let what = refused.what();
    let not_enough =
        |sentence| Judgement { cause: Cause::NotEnoughEvidence, confidence: Confidence::Unknown, sentence };
    let routes = inputs.routes.as_ref();
    let is_configured = routes.is_some_and(|routes| routes.serves_non_sni == Some(true));
    let is_served_now = inputs.check.as_ref().is_some_and(completes_without_sni);
    if is_served_now && routes.is_none_or(|routes| routes.serves_non_sni != Some(false)) {
        return not_enough(format!(
            "{what}, but the gateway serves such clients now. The configuration changed, or the check reached another listener; \
             --url with --for shows what happens from now on.{}",
            caveat(inputs)
        ));
    }
    if is_configured {
        return not_enough(format!(
            "{what}, but the configuration that was read serves such clients. It may be newer than these connections, or of another \
             gateway."
        ));
    }
    if refused.is_mixed {
        return not_enough(format!(
            "{what}, but the gateway served other clients without SNI. Something else separates them, or the configuration changed."
        ));
    }
    let refuses_now = inputs.check.as_ref().is_some_and(|check| check.verdict == CheckVerdict::NonSniRefused);
    let configured = routes.and_then(configured_wrong);
    let is_confirmed = configured.is_some();
    let (cause, why) = match configured {
        Some((cause, why)) => (cause, why),
        None if refused.is_proven || refuses_now => {
            (Cause::NoWildcardRoute, "the gateway served none of them".to_owned())
        }
        None if refused.load_balancer.is_some() => {
            (Cause::NoWildcardRoute, "the gateway has no filter chain for them".to_owned())
        }
        None => {
            return not_enough(format!(
                "{what}. A missing name in a log is no proof that there was no SNI, and it is unknown whether a route takes such clients; --routes, \
                 --kube or --check shows this."
            ));
        }
    };
    let confidence = match (refused.is_proven, is_confirmed) {
        (true, true) => Confidence::Certain,
        _ if refused.is_separated || is_confirmed => Confidence::Likely,
        _ => Confidence::Possible,
    };
    if let Some(load_balancer) = &refused.load_balancer {
        return Judgement {
            cause: Cause::LoadBalancer,
            confidence,
            sentence: format!("{load_balancer} {what}, and {why}."),
        };
    }
    Judgement { cause, confidence, sentence: format!("Clients send no SNI: {what}, and {why}.") }
}
