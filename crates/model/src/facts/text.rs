//! The facts as sentences.

use std::fmt::Write as _;

use sni_probe_core::vocabulary::TlsVersion;

use super::report::{Certainty, Detail, Fact, ShapeCount, VersionRule};
use crate::word::Word;

/// Gateways of the table that a sentence names.
const NAMED_GATEWAYS: usize = 4;

/// The fact for people.
pub(super) fn sentence(fact: &Fact) -> String {
    let refused = fact.refused;
    match &fact.detail {
        Detail::RefusesEverything { with_name, without_sni } => {
            let name = counted(*with_name, "handshake");
            let perhaps = if fact.certainty == Certainty::Fact { "It" } else { "Perhaps it" };
            format!(
                "{perhaps} refuses everything: {name} with a name, {without_sni} without SNI. It served none."
            )
        }
        Detail::Incomplete { reasons } => {
            let all = reasons.values().sum();
            let reasons: Vec<String> =
                reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            let refused =
                if refused == 0 { String::new() } else { format!(" It refused {refused} of them.") };
            format!(
                "{} never became complete ({}).{refused}",
                counted(all, "ClientHello"),
                reasons.join(", ")
            )
        }
        Detail::PlainHttpAnswer { handshakes } => {
            format!(
                "It answered {} in plain HTTP: the port does not speak TLS.",
                counted(*handshakes, "ClientHello")
            )
        }
        Detail::PlainHttpRequest { connections } => {
            format!("{} began with a plain HTTP request instead of TLS.", counted(*connections, "connection"))
        }
        Detail::HealthCheck { clients, more_clients, interval_seconds, proxy_local, handshakes } => {
            health_check(clients, *more_clients, *interval_seconds, *proxy_local, (refused, *handshakes))
        }
        Detail::RefusalShape { without_sni, unknown_names, gateways } => {
            let mut text = String::new();
            let kinds = [
                ("hellos without SNI", without_sni, ""),
                ("names that it never served", unknown_names, "name"),
            ];
            for (kind, shapes, noun) in kinds.into_iter().filter(|(_, shapes, _)| !shapes.is_empty()) {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "It refuses {kind} by {}. ", shape_list(shapes, noun));
            }
            let more = gateways.len().saturating_sub(NAMED_GATEWAYS) as u64;
            let named: Vec<String> = gateways
                .iter()
                .take(NAMED_GATEWAYS)
                .map(|known| format!("{} {} ({})", known.software, known.versions, known.configuration))
                .collect();
            let known = if named.is_empty() {
                "No measured gateway refuses like that.".to_owned()
            } else {
                let more = if more == 0 { String::new() } else { format!("; and {more} more") };
                format!("Measured gateways that refuse like that: {}{more}.", named.join("; "))
            };
            text + &known
        }
        Detail::Unknown => String::new(),
        _ => separating(fact),
    }
}

/// A property that separates.
fn separating(fact: &Fact) -> String {
    let Some(claim) = claim(&fact.detail) else { return String::new() };
    let claim = match fact.certainty {
        Certainty::Fact => format!("It refuses {claim}"),
        Certainty::Hint => format!("Perhaps it refuses {claim}"),
    };
    let served_too = match fact.served_too {
        0 => String::new(),
        count => format!(" (with this: {count})"),
    };
    let mut text =
        format!("{claim}. Refused with this: {}; served without: {}{served_too}.", fact.refused, fact.served);
    if fact.refused_otherwise > 0 {
        // Writing to a `String` cannot fail.
        let _ = write!(text, " {} refused otherwise.", counted(fact.refused_otherwise, "handshake"));
    }
    if !fact.alternatives.is_empty() {
        let alternatives: Vec<&str> = fact.alternatives.iter().map(Word::as_str).collect();
        let _ = write!(text, " The same handshakes may show: {}.", alternatives.join(", "));
    }
    text
}

fn claim(detail: &Detail) -> Option<String> {
    Some(match detail {
        Detail::SplitHello { segments_from } => {
            format!("ClientHellos in {segments_from} or more TCP segments")
        }
        Detail::HelloSize { refused_from_bytes, served_up_to_bytes } => format!(
            "ClientHellos of {refused_from_bytes} bytes and more (it served up to {served_up_to_bytes} bytes)"
        ),
        Detail::TwoRecords { records_from } => {
            format!("ClientHellos in {records_from} or more TLS records")
        }
        Detail::ProxyHeader { refused_with_header: true } => "connections with a PROXY header".to_owned(),
        Detail::ProxyHeader { refused_with_header: false } => "connections without a PROXY header".to_owned(),
        Detail::Alpn { refused_protocols, served_protocols } if refused_protocols.is_empty() => {
            format!("ClientHellos without ALPN (served ones offer {})", served_protocols.join(", "))
        }
        Detail::Alpn { refused_protocols, .. } => {
            format!("ClientHellos that offer only the ALPN protocols {}", refused_protocols.join(", "))
        }
        Detail::OneName { names, more_names } => {
            let names: Vec<String> =
                names.iter().map(|name| format!("\"{}\" ({})", name.name, name.refused)).collect();
            format!("certain names whenever they are sent, {}", list(&names, *more_names))
        }
        Detail::TrailingDot { names } => format!("names with a trailing dot, {}", quoted(names)),
        Detail::UpperCase { names } => format!("names with upper-case letters, {}", quoted(names)),
        Detail::Versions { rule, version } => {
            let version = version.known().and_then(TlsVersion::name)?;
            match rule.known()? {
                VersionRule::AtMost => format!("ClientHellos that offer nothing newer than {version}"),
                VersionRule::AtLeast => format!("ClientHellos that offer {version} or newer"),
                VersionRule::OnlyFrom => format!("ClientHellos that offer nothing older than {version}"),
            }
        }
        _ => return None,
    })
}

fn health_check(
    clients: &[String],
    more: u64,
    interval: Option<f64>,
    proxy_local: u64,
    (refused, handshakes): (u64, u64),
) -> String {
    let all = clients.len() as u64 + more;
    let names = if clients.is_empty() { String::new() } else { format!(" ({})", list(clients, more)) };
    let client = counted(all, "client");
    let looks = if all == 1 { "looks like a health check" } else { "look like health checks" };
    let interval =
        interval.map(|seconds| format!(", at a steady interval of {seconds} s")).unwrap_or_default();
    let local = match proxy_local {
        0 => String::new(),
        count => format!(" {} with the PROXY command LOCAL.", counted(count, "handshake")),
    };
    format!(
        "{client}{names} {looks}{interval}: {refused} of {} refused.{local}",
        counted(handshakes, "handshake")
    )
}

/// `noun` is what is counted, if it is not handshakes.
fn shape_list(shapes: &[ShapeCount], noun: &str) -> String {
    let number = |count| if noun.is_empty() { format!("{count}") } else { counted(count, noun) };
    let shapes: Vec<String> =
        shapes.iter().map(|shape| format!("{} ({})", shape.shape, number(shape.count))).collect();
    shapes.join(", ")
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn list(names: &[String], more: u64) -> String {
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    names.join(", ") + &more
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
