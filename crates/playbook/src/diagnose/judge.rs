//! What is wrong, out of what is known.
//!
//! The wire is proof, and outweighs the log; the log outweighs what is configured. What is refused most is the cause.

mod nothing_refused;

use sni_probe_model::REST;
use sni_probe_terminal::printable;
use sni_probe_terminal::units::counted;

use self::nothing_refused::{lost, nothing_refused};
use super::model::{Cause, Confidence, Inputs};
use super::wire::{WireFacts, is_load_balancer};
use crate::check::report::{Attempt, AttemptKind, AttemptOutcome, CheckReport, CheckVerdict};
use crate::logs::report::LogsReport;
use crate::routes::report::{Finding, FindingCode, RoutesReport};

/// Failures without the gateway's doing are noise below one of so many handshakes: clients that change their minds.
const NOISE: u64 = 20;
/// Words in the gateway's log of a handshake for which there is no common version or cipher suite.
const MISMATCH_WORDS: [&str; 6] = [
    "UNSUPPORTED_PROTOCOL",
    "NO_SHARED_CIPHER",
    "WRONG_VERSION",
    "PROTOCOL_VERSION",
    "HANDSHAKE_FAILURE",
    "VERSION_TOO_LOW",
];

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
    if let Some(wire) = wire {
        let is_served = serves_without_sni(inputs);
        let without = wire.refused_without_sni(is_served);
        let named = wire.refused_with_name();
        let unknown = wire.refused_with_unknown_sni();
        let mismatches = wire.mismatches(is_served);
        if without.max(named).max(mismatches) > 0 {
            let mut judgement = if without >= named.max(mismatches) {
                without_sni(inputs, &Refused::on_the_wire(wire, without))
            } else if named >= mismatches {
                unknown_name(inputs, named, true)
            } else {
                mismatch(mismatches)
            };
            judgement.sentence += &besides([
                (without, "handshakes without SNI were refused"),
                (named, "handshakes with a name were refused"),
                (mismatches, "handshakes had no TLS version or cipher suite in common with the gateway"),
                (unknown, "handshakes with an incomplete ClientHello were refused"),
            ]);
            judgement.sentence += &lost(wire);
            return judgement;
        }
        if unknown == 0
            && let Some(mut judgement) = certificate(wire).or_else(|| elsewhere(inputs, wire))
        {
            judgement.sentence += &lost(wire);
            return judgement;
        }
    }
    match &inputs.logs {
        Some(logs) if logs.entries > 0 => by_logs(inputs, logs, wire),
        _ => match wire {
            Some(wire) => nothing_refused(inputs, wire),
            None => by_configuration(inputs),
        },
    }
}

/// What was refused as well, for other causes, if it is more than a few beside the most frequent one.
fn besides(counts: [(u64, &str); 4]) -> String {
    // Of equals the first, as the cause is. Incomplete hellos are no cause.
    let most = (0..counts.len() - 1).rev().max_by_key(|&place| counts[place].0).unwrap_or_default();
    let floor = counts[most].0.div_ceil(NOISE).max(1);
    let others = (0..counts.len()).filter(|&place| place != most && counts[place].0 >= floor);
    let others: Vec<String> =
        others.map(|place| format!("{} {}", counts[place].0, counts[place].1)).collect();
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
    /// Whom, in words; empty if that is not known.
    whom: String,
    is_load_balancer: bool,
    /// On the wire it was seen that there was no SNI.
    is_proven: bool,
}

impl Refused {
    fn on_the_wire(wire: &WireFacts, count: u64) -> Self {
        let first = wire.clients.iter().find(|client| client.refusals.refused > 0);
        let whom = first.map_or_else(String::new, |client| {
            let likely = client.likely.as_ref().map(|likely| format!(", likely {}", printable(likely)));
            format!(" (most of {}{})", printable(&client.label), likely.unwrap_or_default())
        });
        let is_load_balancer = wire.is_mostly_load_balancers();
        Self { count, of: "handshakes", whom, is_load_balancer, is_proven: true }
    }

    fn in_the_log(logs: &LogsReport, count: u64) -> Self {
        let whom = logs.by_client.first();
        let all: u64 = logs.by_client.iter().map(|client| client.count).sum();
        let of_load_balancers = logs.by_client.iter().filter(|client| is_load_balancer(&client.name));
        let of_load_balancers: u64 = of_load_balancers.map(|client| client.count).sum();
        Self {
            count,
            of: "connections in the log",
            whom: whom.map_or_else(String::new, |client| format!(" (most of {})", printable(&client.name))),
            is_load_balancer: of_load_balancers > 0 && of_load_balancers * 2 >= all,
            is_proven: logs.joined.is_some(),
        }
    }
}

/// Clients without SNI are refused: what does the configuration say?
fn without_sni(inputs: &Inputs, refused: &Refused) -> Judgement {
    let Refused { count, of, whom, is_load_balancer, is_proven } = refused;
    let what = format!("{count} {of} without SNI were refused{whom}");
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
                    "{count} {of} have a null sni_host{whom}, which is no proof that they had no SNI; it cannot be told \
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

/// The first thing that keeps clients without SNI out, and which of the causes that is.
fn configured_wrong(routes: &RoutesReport) -> Option<(Cause, String)> {
    let find = |codes: &[FindingCode]| routes.findings.iter().find(|finding| codes.contains(&finding.code));
    let place = |finding: &Finding| format!("{} {}", printable(&finding.object), printable(&finding.path));
    let is = |finding: &Finding| {
        format!("is {} and should be {}", printable(&finding.value), printable(&finding.expected))
    };
    if let Some(finding) = find(&[FindingCode::NoWildcardRoute]) {
        // Another gateway, or another port, may have one.
        let why = if routes.routes.iter().any(|route| route.wildcard) {
            format!("no listener takes every host name: {} {}", place(finding), is(finding))
        } else {
            "no route has the host name *".to_owned()
        };
        return Some((Cause::NoWildcardRoute, why));
    }
    if let Some(finding) = find(&[FindingCode::NonSniClientNotEnabled]) {
        let why = format!("the wildcard route does not enable them: {} {}", place(finding), is(finding));
        return Some((Cause::NonSniClientNotEnabled, why));
    }
    if let Some(finding) =
        find(&[FindingCode::NotInAdditionalGateways, FindingCode::UnknownAdditionalGateway])
    {
        let what = if routes.routes.is_empty() {
            "no wildcard route is listed (whether there is one, --routes would tell)"
        } else {
            "the wildcard route is not listed"
        };
        let why = format!("{what}: {} {}", place(finding), is(finding));
        return Some((Cause::NotInAdditionalGateways, why));
    }
    // The wildcard route is there, and not in effect: as if it were not.
    routes.findings.first().map(|finding| {
        let why = format!("the wildcard route is not in effect: {} {}", place(finding), is(finding));
        (Cause::NoWildcardRoute, why)
    })
}

/// Clients with a name are refused. `is_proven` if it was seen on the wire.
fn unknown_name(inputs: &Inputs, count: u64, is_proven: bool) -> Judgement {
    let names: Vec<&str> = refused_names(inputs).collect();
    let first = names.first().map_or_else(String::new, |name| format!(" (most with {})", printable(name)));
    let what = format!("{count} connections with a name were refused{first}");
    let routes = inputs.routes.as_ref().filter(|routes| !routes.routes.is_empty());
    let all_served =
        routes.is_some_and(|routes| !names.is_empty() && names.iter().all(|name| is_routed(routes, name)));
    if all_served {
        return Judgement {
            cause: Cause::NotEnoughEvidence,
            confidence: Confidence::Unknown,
            sentence: format!("{what}, though a route takes the name; see whether that route is running."),
        };
    }
    let is_certain = is_proven && routes.is_some() && !names.is_empty();
    let confidence = if is_certain { Confidence::Certain } else { Confidence::Likely };
    let sentence = format!("Clients send a name that no route serves: {what}.");
    Judgement { cause: Cause::UnknownName, confidence, sentence }
}

/// Names that the gateway refused, most often first: of the wire, else of the log.
pub(super) fn refused_names(inputs: &Inputs) -> impl Iterator<Item = &str> {
    let wire = inputs.wire.iter().flat_map(|wire| &wire.refused_names).map(|(name, _)| name.as_str());
    let logs = inputs.logs.iter().filter(|_| inputs.wire.is_none()).flat_map(|logs| &logs.by_name);
    wire.chain(logs.map(|name| name.name.as_str()).filter(|name| *name != REST))
}

/// Whether a route takes this name. `*` takes all, if it is in effect.
pub(super) fn is_routed(routes: &RoutesReport, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let matches = |host: &String| {
        // Before the slash Istio has the namespace whose services may have the name.
        let host = host.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some("") => routes.serves_non_sni == Some(true),
            Some(domain) => {
                domain.starts_with('.') && name.strip_suffix(domain).is_some_and(|label| !label.is_empty())
            }
            None => host == name,
        }
    };
    routes.routes.iter().flat_map(|route| &route.hostnames).any(matches)
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

/// Returns the judgement where certificates ended most of the handshakes that failed.
fn certificate(wire: &WireFacts) -> Option<Judgement> {
    let (rejected, refused) = (wire.certificates_rejected(), wire.client_certificates_refused());
    if rejected.max(refused) == 0 || rejected.max(refused) < wire.failed_elsewhere() {
        return None;
    }
    let rejections = format!(
        "{} ended because the client rejected the gateway's certificate",
        counted(rejected, "handshake")
    );
    let refusals = format!(
        "{} ended because the gateway got no client certificate, or did not accept it",
        counted(refused, "handshake")
    );
    let (cause, most, other, other_count) = if rejected >= refused {
        (Cause::CertificateRejected, rejections, refusals, refused)
    } else {
        (Cause::ClientCertificateRequired, refusals, rejections, rejected)
    };
    let besides = if other_count > 0 { format!(" Besides, {other}.") } else { String::new() };
    let sentence = format!("{most}, of {}.{besides}", wire.handshakes());
    Some(Judgement { cause, confidence: Confidence::Likely, sentence })
}

/// The gateway refused nobody on the wire: does something else?
fn elsewhere(inputs: &Inputs, wire: &WireFacts) -> Option<Judgement> {
    let failed = wire.failed_elsewhere();
    let named = inputs
        .check
        .as_ref()
        .and_then(|check| check.attempts.iter().find(|attempt| attempt.kind == AttemptKind::Named));
    let is_reached = inputs.check.as_ref().is_some_and(|check| not_reached(check).is_none());
    let is_cut_off = is_reached && named.is_some_and(|named| is_cut_off(named.outcome));
    let why = if failed > 0 && failed * NOISE >= wire.handshakes() {
        format!("{failed} of {} handshakes ended by a timeout, or by the client", wire.handshakes())
    } else if is_cut_off {
        "a connection with the right name fails from here".to_owned()
    } else {
        return None;
    };
    Some(Judgement {
        cause: Cause::NotTheGateway,
        confidence: Confidence::Likely,
        sentence: format!(
            "The gateway does not reset: it refused none of the handshakes that were seen, but {why}; look at the \
             client, and at the network in between."
        ),
    })
}

/// Whether the connection did not even come to an answer in TLS.
fn is_cut_off(outcome: AttemptOutcome) -> bool {
    matches!(
        outcome,
        AttemptOutcome::Reset
            | AttemptOutcome::Closed
            | AttemptOutcome::Timeout
            | AttemptOutcome::Unreachable
    )
}

/// Nothing, or nothing bad, was seen on the wire.
fn by_logs(inputs: &Inputs, logs: &LogsReport, wire: Option<&WireFacts>) -> Judgement {
    let (without, named) = match &logs.joined {
        Some(joined) => (joined.really_without_sni, joined.had_a_name + logs.sni_present),
        None => (logs.sni_null, logs.sni_present),
    };
    let is_mismatch = |word: &str| {
        let word = word.to_uppercase();
        MISMATCH_WORDS.iter().any(|mismatch| word.contains(mismatch))
    };
    let mismatches: u64 = logs
        .other_failures
        .iter()
        .filter(|failure| is_mismatch(&failure.name))
        .map(|failure| failure.count)
        .sum();
    if without.max(named).max(mismatches) == 0 {
        return match wire {
            Some(wire) => nothing_refused(inputs, wire),
            None => Judgement {
                cause: Cause::NothingWrong,
                confidence: Confidence::Likely,
                sentence: format!(
                    "Nothing is wrong: of {} entries in the log none is of a client for which there was no filter chain.",
                    logs.entries
                ),
            },
        };
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

/// No client was seen: only what is configured, and what the gateway answers to us.
fn by_configuration(inputs: &Inputs) -> Judgement {
    let wrong = inputs.routes.as_ref().and_then(configured_wrong);
    let unreached = inputs.check.as_ref().and_then(not_reached);
    if let (Some(judgement), None) = (&unreached, &wrong) {
        return judgement.clone();
    }
    if let Some(check) = inputs.check.as_ref().filter(|_| unreached.is_none()) {
        let named = check.attempts.iter().find(|attempt| attempt.kind == AttemptKind::Named);
        let refused =
            named.filter(|_| matches!(check.verdict, CheckVerdict::NameRefused | CheckVerdict::Unknown));
        if let Some(judgement) = refused.and_then(|named| name_refused(check, named)) {
            return judgement;
        }
        if is_served_now(check) {
            let whom = match named {
                Some(_) => "clients with the name, and without SNI",
                None => "clients without SNI; no name was tried, for the target is an address",
            };
            return Judgement {
                cause: Cause::NothingWrong,
                confidence: Confidence::Likely,
                sentence: format!(
                    "Nothing is wrong: {} serves {whom}.{}",
                    printable(&check.target),
                    caveat(inputs)
                ),
            };
        }
    }
    let refuses = inputs.check.as_ref().is_some_and(|check| check.verdict == CheckVerdict::NonSniRefused);
    match wrong {
        // Somebody meant to let them in.
        Some((cause, why)) if refuses || cause != Cause::NoWildcardRoute => Judgement {
            cause,
            confidence: Confidence::Likely,
            sentence: format!("Clients without SNI are refused: {why}."),
        },
        _ => Judgement {
            cause: Cause::NotEnoughEvidence,
            confidence: Confidence::Unknown,
            sentence: if refuses || wrong.is_some() {
                "The gateway does not serve clients without SNI, but it cannot be told whether there are any."
                    .to_owned()
            } else {
                "It cannot be told: no client was seen.".to_owned()
            },
        },
    }
}

/// Nobody is there to be asked: more likely the target is wrong than the network.
fn not_reached(check: &CheckReport) -> Option<Judgement> {
    let target = printable(&check.target);
    let sentence = match &check.address {
        None => format!("It cannot be told: {target} cannot be resolved."),
        Some(address) if check.attempts.first()?.outcome == AttemptOutcome::Refused => {
            // The user's word, and the port in any case.
            let port = address.rsplit(':').next().unwrap_or_default();
            let place =
                if target.ends_with(&format!(":{port}")) { target } else { format!("{target}:{port}") };
            format!("It cannot be told: nobody listens at {place}.")
        }
        Some(_) => return None,
    };
    Some(Judgement { cause: Cause::NotEnoughEvidence, confidence: Confidence::Unknown, sentence })
}

fn name_refused(check: &CheckReport, named: &Attempt) -> Option<Judgement> {
    let target = printable(&check.target);
    let (cause, sentence) = match named.outcome {
        AttemptOutcome::Reset | AttemptOutcome::Closed => (
            Cause::UnknownName,
            format!("Clients send a name that no route serves: {target} is refused even with its name."),
        ),
        AttemptOutcome::Alert => match named.alert.as_deref() {
            Some(alert @ ("protocol_version" | "insufficient_security" | "handshake_failure")) => (
                Cause::TlsMismatch,
                format!(
                    "Client and gateway have no TLS version or cipher suite in common: {target} says {alert}."
                ),
            ),
            _ => (
                Cause::UnknownName,
                format!("Clients send a name that no route serves: {target} is refused even with its name."),
            ),
        },
        AttemptOutcome::Timeout | AttemptOutcome::Unreachable => (
            Cause::NotTheGateway,
            format!(
                "The gateway does not reset: from here {target} cannot be reached at all; look at the network in between."
            ),
        ),
        AttemptOutcome::Unsupported => (
            Cause::TlsMismatch,
            format!(
                "Client and gateway have no TLS version in common: {target} answers with one before 1.2."
            ),
        ),
        AttemptOutcome::Handshake | AttemptOutcome::NotTls | AttemptOutcome::Refused => return None,
    };
    Some(Judgement { cause, confidence: Confidence::Likely, sentence })
}

#[cfg(test)]
mod tests {
    use super::besides;

    #[test]
    fn other_causes_are_told_if_they_are_more_than_a_few() {
        let told =
            |counts: [u64; 3]| besides([(counts[0], "a"), (counts[1], "b"), (counts[2], "c"), (0, "d")]);
        assert_eq!(told([9, 0, 0]), "");
        assert_eq!(told([9, 12, 0]), " Besides, 9 a.");
        assert_eq!(told([9, 9, 1]), " Besides, 9 b, and 1 c.");
        assert_eq!(told([0, 100, 4]), "", "noise");
        assert_eq!(told([5, 100, 4]), " Besides, 5 a.");
        assert_eq!(besides([(1, "a"), (0, "b"), (0, "c"), (9, "d")]), " Besides, 9 d.");
    }
}
