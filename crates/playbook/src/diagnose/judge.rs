//! What is wrong, out of what is known.
//!
//! The wire is proof, and outweighs the log; the log outweighs what is configured. What is refused most is the cause.

mod configured;
mod failed;
mod names;
mod nothing_refused;

use sni_probe_terminal::printable;
use sni_probe_terminal::units::counted;

use self::configured::{by_configuration, configured_wrong};
use self::failed::{CERTIFICATE_REFUSED, REJECTED, certificate, failed};
use self::names::unknown_name;
pub(super) use self::names::{is_routed, refused_names, unknown_names};
use self::nothing_refused::{lost, nothing_refused};
use super::model::{Cause, Confidence, Inputs};
use super::wire::{WireFacts, is_load_balancer};
use crate::check::report::{AttemptKind, CheckReport, CheckVerdict};
use crate::logs::report::LogsReport;

/// Failures without the gateway's doing are noise below one of so many handshakes: clients that change their minds.
const NOISE: u64 = 20;
/// A cause, how sure it is, and why.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    pub(super) cause: Cause,
    pub(super) confidence: Confidence,
    pub(super) sentence: String,
}

/// Finds the cause.
pub(super) fn judge(inputs: &Inputs) -> Judgement {
    let wire = inputs.wire.as_ref().filter(|wire| wire.handshakes() > 0);
    if let Some(wire) = wire
        && let Some(mut judgement) = by_wire(inputs, wire)
    {
        judgement.sentence += &lost(wire);
        return judgement;
    }
    match &inputs.logs {
        Some(logs) if logs.entries > 0 => by_logs(inputs, logs, wire),
        _ => match wire {
            Some(wire) => nothing_refused(inputs, wire),
            None => by_configuration(inputs),
        },
    }
}

/// Returns the judgement where handshakes were refused or failed on the wire; `None` where nothing did but noise, or where it is
/// unknown whether the refused ones had SNI.
fn by_wire(inputs: &Inputs, wire: &WireFacts) -> Option<Judgement> {
    let is_served = serves_without_sni(inputs);
    let without = wire.refused_without_sni(is_served);
    let named = wire.refused_with_name();
    let mismatches = wire.mismatches(is_served);
    let unknown = wire.refused_with_unknown_sni();
    let (rejected, certificates) = (wire.certificates_rejected(), wire.client_certificates_refused());

    let no_sni = (without > 0).then(|| without_sni(inputs, &Refused::on_the_wire(wire, without)));
    // Where clients without SNI are served by now, whatever else is wrong is the cause.
    let is_over = no_sni.as_ref().is_some_and(|judgement| judgement.cause == Cause::NothingWrong)
        && named + mismatches + unknown + rejected + certificates > 0;
    let no_sni = no_sni.filter(|_| !is_over);
    let (mut judgement, cause) = match no_sni {
        Some(judgement) if without >= named.max(mismatches) => (judgement, Some(0)),
        _ if named.max(mismatches) == 0 && unknown > 0 => return None,
        _ if named.max(mismatches) == 0 => {
            let judgement = if is_over { certificate(wire, 0) } else { failed(inputs, wire) }?;
            let cause = match judgement.cause {
                Cause::CertificateRejected => Some(4),
                Cause::ClientCertificateRequired => Some(5),
                _ => None,
            };
            (judgement, cause)
        }
        _ if named >= mismatches => (unknown_name(inputs, named, true), Some(1)),
        _ => (mismatch(mismatches), Some(2)),
    };
    let verb = |count: u64| if count == 1 { "was" } else { "were" };
    judgement.sentence += &besides(
        cause,
        &[
            (without, format!("without SNI {} refused", verb(without))),
            (named, format!("with a name {} refused", verb(named))),
            (mismatches, "had no TLS version or cipher suite in common with the gateway".to_owned()),
            (unknown, format!("with an incomplete ClientHello {} refused", verb(unknown))),
            (rejected, REJECTED.to_owned()),
            (certificates, CERTIFICATE_REFUSED.to_owned()),
        ],
    );
    Some(judgement)
}

/// What else ended handshakes, if it is more than a few beside the cause.
fn besides(cause: Option<usize>, counts: &[(u64, String)]) -> String {
    let floor = cause.map_or(0, |cause| counts[cause].0).div_ceil(NOISE).max(1);
    let others =
        counts.iter().enumerate().filter(|(place, (count, _))| Some(*place) != cause && *count >= floor);
    let others: Vec<String> =
        others.map(|(_, (count, what))| format!("{} {what}", counted(*count, "handshake"))).collect();
    if others.is_empty() { String::new() } else { format!(" Besides, {}.", others.join(", and ")) }
}

/// Whether clients without SNI can be served, as far as anything tells.
pub(super) fn serves_without_sni(inputs: &Inputs) -> bool {
    inputs.wire.as_ref().is_some_and(|wire| wire.served_without_sni() > 0)
        || inputs.routes.as_ref().is_some_and(|routes| routes.serves_non_sni == Some(true))
        || inputs.check.as_ref().is_some_and(is_served_now)
}

/// Whether the active check was served without SNI.
fn is_served_now(check: &CheckReport) -> bool {
    matches!(check.verdict, CheckVerdict::NonSniSameCertificate | CheckVerdict::NonSniOtherCertificate)
}

/// What clients without SNI meet that verify the certificate; empty if they find the name, or it is not known.
fn caveat(inputs: &Inputs) -> String {
    let Some(check) = &inputs.check else { return String::new() };
    let has_name = check.attempts.iter().any(|attempt| attempt.kind == AttemptKind::Named);
    let without = check.attempts.iter().find(|attempt| attempt.kind == AttemptKind::WithoutSni);
    let other = without.and_then(|without| without.certificate.as_ref()).filter(|it| !it.matches_host);
    match other {
        Some(other) if has_name => format!(
            " But those without SNI that verify the certificate get CN {}, which does not match {}.",
            printable(&other.subject),
            printable(&check.target)
        ),
        _ => String::new(),
    }
}

/// Clients without SNI that were refused.
struct Refused {
    count: u64,
    of: &'static str,
    /// The client that was refused most, in words; empty if it is unknown.
    most_of: String,
    is_load_balancer: bool,
    /// On the wire it was seen that there was no SNI.
    is_proven: bool,
}

impl Refused {
    fn on_the_wire(wire: &WireFacts, count: u64) -> Self {
        let first = wire.clients.iter().find(|client| client.refusals.refused > 0);
        let most_of = first.map_or_else(String::new, |client| {
            let likely = client.likely.as_ref().map(|likely| format!(", likely {}", printable(likely)));
            format!(" (most of {}{})", printable(&client.label), likely.unwrap_or_default())
        });
        let is_load_balancer = wire.is_mostly_load_balancers();
        Self { count, of: "handshakes", most_of, is_load_balancer, is_proven: true }
    }

    fn in_the_log(logs: &LogsReport, count: u64) -> Self {
        let most_of = logs.by_client.first();
        let all: u64 = logs.by_client.iter().map(|client| client.count).sum();
        let of_load_balancers = logs.by_client.iter().filter(|client| is_load_balancer(&client.name));
        let of_load_balancers: u64 = of_load_balancers.map(|client| client.count).sum();
        Self {
            count,
            of: "connections in the log",
            most_of: most_of
                .map_or_else(String::new, |client| format!(" (most of {})", printable(&client.name))),
            is_load_balancer: of_load_balancers > 0 && of_load_balancers * 2 >= all,
            is_proven: logs.joined.is_some(),
        }
    }
}

/// Clients without SNI are refused: what does the configuration say?
fn without_sni(inputs: &Inputs, refused: &Refused) -> Judgement {
    let Refused { count, of, most_of, is_load_balancer, is_proven } = refused;
    let what = format!("{count} {of} without SNI were refused{most_of}");
    let routes = inputs.routes.as_ref();
    let is_configured = routes.is_some_and(|routes| routes.serves_non_sni == Some(true));
    let is_served_now = inputs.check.as_ref().is_some_and(is_served_now);
    if is_served_now && routes.is_none_or(|routes| routes.serves_non_sni != Some(false)) {
        return Judgement {
            cause: Cause::NothingWrong,
            confidence: Confidence::Likely,
            sentence: format!(
                "Nothing is wrong any more: {what}, but the gateway serves such clients now.{}",
                caveat(inputs)
            ),
        };
    }
    if is_configured {
        return Judgement {
            cause: Cause::NotEnoughEvidence,
            confidence: Confidence::Unknown,
            sentence: format!(
                "{what}, yet the configuration serves such clients; it cannot be told whether that was before the \
                 configuration was applied."
            ),
        };
    }
    let refuses_now = inputs.check.as_ref().is_some_and(|check| check.verdict == CheckVerdict::NonSniRefused);
    let (cause, why) = match routes.and_then(configured_wrong) {
        Some((cause, why)) => (cause, why),
        None if *is_proven || refuses_now => (Cause::NoWildcardRoute, "no route takes them".to_owned()),
        None if *is_load_balancer => (Cause::NoWildcardRoute, "no filter chain takes them".to_owned()),
        None => {
            return Judgement {
                cause: Cause::NotEnoughEvidence,
                confidence: Confidence::Unknown,
                sentence: format!(
                    "{count} {of} have a null sni_host{most_of}, which is no proof that they had no SNI; it cannot be told \
                     whether a route takes such clients: --routes, --kube or --check would tell."
                ),
            };
        }
    };
    let confidence = if *is_proven && routes.is_some() { Confidence::Certain } else { Confidence::Likely };
    if *is_load_balancer {
        return Judgement {
            cause: Cause::LoadBalancer,
            confidence,
            sentence: format!(
                "A load balancer of Google Cloud speaks to the gateway without SNI, as all of them do: {what}, and \
                 {why}."
            ),
        };
    }
    Judgement { cause, confidence, sentence: format!("Clients send no SNI: {what}, and {why}.") }
}

fn mismatch(count: u64) -> Judgement {
    Judgement {
        cause: Cause::TlsMismatch,
        // The gateway itself said so.
        confidence: Confidence::Certain,
        sentence: format!(
            "Client and gateway have no TLS version or cipher suite in common: the gateway said so in {count} alerts."
        ),
    }
}

/// Nothing, or nothing bad, was seen on the wire.
fn by_logs(inputs: &Inputs, logs: &LogsReport, wire: Option<&WireFacts>) -> Judgement {
    let (without, named) = match &logs.joined {
        Some(joined) => (joined.really_without_sni + logs.sni_invalid, joined.had_a_name + logs.sni_present),
        None => (logs.sni_null + logs.sni_invalid, logs.sni_present),
    };
    let of_kind = |name: &str| {
        let kinds = logs.failure_kinds.iter().filter(|kind| kind.name == name);
        kinds.map(|kind| kind.count).sum::<u64>()
    };
    let mismatches = of_kind("tls_mismatch");
    if without.max(named).max(mismatches) == 0 {
        return nothing_in_the_log(inputs, logs, wire);
    }
    if without >= named.max(mismatches) {
        without_sni(inputs, &Refused::in_the_log(logs, without))
    } else if named >= mismatches {
        unknown_name(inputs, named, logs.joined.is_some())
    } else {
        Judgement {
            cause: Cause::TlsMismatch,
            confidence: Confidence::Likely,
            sentence: format!(
                "Client and gateway have no TLS version or cipher suite in common: {mismatches} entries of the log say so."
            ),
        }
    }
}

/// The judgement where no entry is of a client without a filter chain, or without a version or cipher suite in common.
fn nothing_in_the_log(inputs: &Inputs, logs: &LogsReport, wire: Option<&WireFacts>) -> Judgement {
    let failures: u64 = logs.other_failures.iter().map(|failure| failure.count).sum();
    let first = logs.other_failures.iter().max_by_key(|failure| failure.count);
    if let Some(first) = first {
        return Judgement {
            cause: Cause::NotEnoughEvidence,
            confidence: Confidence::Unknown,
            sentence: format!(
                "The log has no client without a filter chain, but {failures} of {} entries are other failures, most often: {}.",
                logs.entries,
                printable(&first.name)
            ),
        };
    }
    wire.map_or_else(
        || Judgement {
            cause: Cause::NothingWrong,
            confidence: Confidence::Likely,
            sentence: format!(
                "Nothing is wrong: of {} entries in the log none is of a client for which there was no filter chain.",
                logs.entries
            ),
        },
        |wire| nothing_refused(inputs, wire),
    )
}

#[cfg(test)]
mod tests {
    use super::besides;

    #[test]
    fn other_causes_are_shown_if_they_are_more_than_a_few() {
        let text = |cause, counts: [u64; 3]| {
            let words = ["a", "b", "c"].map(str::to_owned);
            besides(cause, &counts.into_iter().zip(words).collect::<Vec<_>>())
        };
        assert_eq!(text(Some(0), [9, 0, 0]), "");
        assert_eq!(text(Some(1), [9, 12, 0]), " Besides, 9 handshakes a.");
        assert_eq!(text(Some(0), [9, 9, 1]), " Besides, 9 handshakes b, and 1 handshake c.");
        assert_eq!(text(Some(1), [0, 100, 4]), "", "noise");
        assert_eq!(text(Some(1), [5, 100, 4]), " Besides, 5 handshakes a.");
        assert_eq!(text(Some(0), [1, 0, 9]), " Besides, 9 handshakes c.");
        assert_eq!(text(None, [0, 1, 0]), " Besides, 1 handshake b.");
    }
}
