//! Causes that the gateway's log names.

use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence, Inputs};
use super::Judgement;
use super::explanation::{Basis, Class, Explanation, Noun, not_enough, was};
use super::names::{NameFacts, unknown_name};
use super::no_sni::{Refused, is_proof, without_sni};
use crate::logs::report::{Counted, LogsReport};

/// Causes by the kind of failure that `logs` reports.
const KINDS: [(&str, Cause); 7] = [
    ("no_certificate", Cause::NoCertificate),
    ("upstream_unreachable", Cause::UpstreamUnreachable),
    ("plain_http_client", Cause::PlainHttpClient),
    ("tls_mismatch", Cause::TlsMismatch),
    ("client_certificate_required", Cause::ClientCertificateRequired),
    ("certificate_rejected", Cause::CertificateRejected),
    ("incomplete_hellos", Cause::IncompleteHellos),
];

/// What explains the failures in the log.
pub(super) fn explanations(inputs: &Inputs, logs: &LogsReport) -> Vec<Explanation> {
    let (without, named) = without_and_with_name(logs);
    let mut all = Vec::new();
    if without > 0 {
        let judgement = without_sni(inputs, &Refused::in_the_log(logs, without));
        let which = if is_proof(logs) { "without SNI" } else { "without a name" };
        let short = format!("{which} {} refused", was(without));
        let entries = entries(judgement, without, &short, Basis::Common);
        all.push(Explanation { class: Some(Class::WithoutSni), ..entries });
    }
    if named > 0 {
        let judgement = unknown_name(inputs, named, false, &NameFacts::default());
        let short = format!("with a name {} refused", was(named));
        let entries = entries(judgement, named, &short, Basis::Common);
        all.push(Explanation { class: Some(Class::WithName), ..entries });
    }
    if logs.sni_not_logged > 0 {
        let sentence = format!(
            "{} {} refused, and this log format does not record the name: it is unknown whether the clients sent one.",
            Noun::LogEntry.counted(logs.sni_not_logged),
            was(logs.sni_not_logged)
        );
        let short = format!("without a record of the name {} refused", was(logs.sni_not_logged));
        all.push(Explanation { noun: Noun::LogEntry, ..not_enough(logs.sni_not_logged, sentence, short) });
    }
    let mut unexplained = 0;
    for kind in &logs.failure_kinds {
        match KINDS.iter().find(|(name, _)| *name == kind.name) {
            Some(&(_, cause)) => all.push(of_kind(logs, cause, kind.count)),
            None => unexplained += kind.count,
        }
    }
    if logs.failure_kinds.is_empty() {
        unexplained = logs.other_failures.iter().map(|failure| failure.count).sum();
    }
    all.extend(logs.request_failures.iter().filter_map(|failure| of_requests(logs, failure)));
    if logs.client_left > 0 {
        all.push(client_left(logs));
    }
    if unexplained > 0 {
        let most = logs.other_failures.iter().max_by_key(|failure| failure.count);
        let most = most.map_or_else(String::new, |most| format!(", most often: {}", printable(&most.name)));
        let sentence = format!(
            "{unexplained} of {} log entries: a failure without a reason that names a cause{most}.",
            logs.entries
        );
        let short = "of a failure without a reason that names a cause".to_owned();
        all.push(Explanation { noun: Noun::LogEntry, ..not_enough(unexplained, sentence, short) });
    }
    all
}

/// Whether the wire shows all names that the log has as refused.
fn has_names_of_the_wire(inputs: &Inputs, logs: &LogsReport) -> bool {
    let on_the_wire = |name: &str| {
        let mut names = inputs.wire.iter().flat_map(|wire| &wire.refused_names);
        names.any(|(refused, _)| refused.eq_ignore_ascii_case(name))
    };
    logs.by_name.iter().all(|name| on_the_wire(&name.name))
}

/// Entries without a filter chain: those without SNI, or with a null that may mean that, and those with a name.
fn without_and_with_name(logs: &LogsReport) -> (u64, u64) {
    match &logs.joined {
        Some(joined) => (joined.really_without_sni + logs.sni_invalid, joined.had_a_name + logs.sni_present),
        None => (logs.sni_null + logs.sni_invalid, logs.sni_present),
    }
}

fn entries(judgement: Judgement, count: u64, short: &str, basis: Basis) -> Explanation {
    Explanation { judgement, count, noun: Noun::LogEntry, short: short.to_owned(), basis, class: None }
}

fn of_kind(logs: &LogsReport, cause: Cause, count: u64) -> Explanation {
    let why = match cause {
        Cause::NoCertificate => "The gateway has no certificate for these connections",
        Cause::UpstreamUnreachable => "The gateway cannot reach its backend",
        Cause::PlainHttpClient => "Clients send plain HTTP to the TLS port",
        Cause::TlsMismatch => "Client and gateway have no TLS version or cipher suite in common",
        Cause::ClientCertificateRequired => "The gateway got no client certificate, or did not accept it",
        Cause::CertificateRejected => "Clients reject the gateway's certificate",
        _ => "ClientHellos never became complete, or could not be parsed",
    };
    let example = match logs.other_failures.as_slice() {
        [only] => format!(" ({})", printable(&only.name)),
        _ => String::new(),
    };
    let say = if count == 1 { "says so" } else { "say so" };
    let sentence = format!("{why}: {count} of {} log entries {say}{example}.", logs.entries);
    let short = match cause {
        Cause::NoCertificate => "of connections without a certificate of the gateway",
        Cause::UpstreamUnreachable => "of a backend that cannot be reached",
        Cause::PlainHttpClient => "of plain HTTP on the TLS port",
        Cause::TlsMismatch => "of no TLS version or cipher suite in common",
        Cause::ClientCertificateRequired => "of a missing or refused client certificate",
        Cause::CertificateRejected => "of clients that reject the certificate",
        _ => "of ClientHellos that could not be read",
    };
    let judgement = Judgement { cause, confidence: Confidence::Likely, sentence };
    entries(judgement, count, short, Basis::Separated)
}

/// Requests that failed on connections that were served.
fn of_requests(logs: &LogsReport, failure: &Counted) -> Option<Explanation> {
    let (cause, what) = match failure.name.as_str() {
        "upstream_unreachable" => {
            (Cause::UpstreamUnreachable, "failed because the gateway could not reach its backend")
        }
        "rejected_by_http" => (Cause::RejectedByHttp, "were rejected by HTTP 421 after the handshake"),
        _ => return None,
    };
    let requests = Noun::Request.counted(failure.count);
    let sentence =
        format!("The handshakes were served, and {requests} of {} log entries {what}.", logs.entries);
    let judgement = Judgement { cause, confidence: Confidence::Likely, sentence };
    let (noun, short) = (Noun::Request, what.to_owned());
    Some(Explanation { judgement, count: failure.count, noun, short, basis: Basis::Separated, class: None })
}

fn client_left(logs: &LogsReport) -> Explanation {
    let sentence = format!(
        "In {} of {}, the client closed the connection before it sent a request. Look at the client, and at the network in between.",
        logs.client_left,
        Noun::LogEntry.counted(logs.entries)
    );
    let judgement = Judgement { cause: Cause::NotTheGateway, confidence: Confidence::Possible, sentence };
    entries(judgement, logs.client_left, "of connections that the client ended", Basis::Separated)
}

/// The explanations of both inputs, each cause once.
///
/// The wire is proof of what was refused, the log names the gateway's own reason. So a reason in the log replaces what the wire alone
/// explains by what the refused handshakes have in common: where the wire saw no handshake served, and the log has no more entries
/// without a filter chain. Where others were served, nothing shows that the reason is that of the refused ones.
pub(super) fn combined(
    inputs: &Inputs,
    mut on_the_wire: Vec<Explanation>,
    logs: &LogsReport,
) -> Vec<Explanation> {
    let mut in_the_log = explanations(inputs, logs);
    let wire = inputs.wire.as_ref();
    let serves_none = wire.is_some_and(|wire| wire.served() == 0);
    let refusals: u64 = on_the_wire.iter().filter(|it| it.basis != Basis::Separated).map(|it| it.count).sum();
    let is_reason = |it: &Explanation| {
        matches!(it.judgement.cause, Cause::NoCertificate | Cause::UpstreamUnreachable)
            && it.noun == Noun::LogEntry
    };
    let reasons = in_the_log.iter().enumerate().filter(|(_, it)| is_reason(it));
    let reason = reasons.max_by_key(|(_, it)| it.count).map(|(place, it)| (place, it.count));
    if let Some((place, count)) = reason
        && refusals > 0
        && serves_none
        && count >= logs.no_filter_chain
    {
        let mut reason = in_the_log.remove(place);
        let handshakes = Noun::Handshake.counted(refusals);
        reason
            .judgement
            .add(&format!("On the wire, {handshakes} {} refused, and none served.", was(refusals)));
        if count * 2 >= refusals {
            reason.judgement.confidence = Confidence::Certain;
        }
        reason.count = refusals.max(count);
        on_the_wire.retain(|it| it.basis == Basis::Separated);
        on_the_wire.push(reason);
    }
    let refused = |is_named: bool| {
        wire.is_some_and(|wire| {
            let count = if is_named { wire.refused_with_name() } else { wire.refused_without_sni(false) };
            count > 0
        })
    };
    for it in in_the_log {
        // Entries without a filter chain are the refusals that the wire shows.
        let is_the_same = match it.class {
            Some(Class::WithName) => refused(true) && has_names_of_the_wire(inputs, logs),
            Some(Class::WithoutSni) => refused(false),
            None => false,
        };
        let is_known = it.class.is_none()
            && on_the_wire.iter().any(|known| {
                known.is_cause() && known.judgement.cause == it.judgement.cause && known.noun != Noun::Request
            });
        if !is_known && !is_the_same {
            on_the_wire.push(it);
        }
    }
    on_the_wire
}
