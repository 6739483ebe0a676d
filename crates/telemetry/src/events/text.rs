//! An event as a line for people.
//!
//! ```text
//! 14:03:22.481  192.0.2.7:51234       -> 198.51.100.9:443       (no SNI)                  TLS 1.3  reset_by_gateway     45us  t13i…
//! ```
//!
//! Names come from the wire: nothing of them but printable ASCII reaches the terminal.

use std::io::Write as _;

use sni_probe_core::observation::{Handshake, Hello, Outcome, Sni};
use sni_probe_core::software;
use sni_probe_core::vocabulary::{AlertSender, Feature, IncompleteReason};
use sni_probe_model::Fate;
use sni_probe_terminal::units::latency;
use sni_probe_terminal::{Colour, Painted, printable};

use super::{Provenance, WallClock};

/// Names of a certificate in a line.
const MAX_CERTIFICATE_NAMES: usize = 3;

/// Appends the event as one line.
pub(super) fn write(
    batch: &mut Vec<u8>,
    source: Provenance<'_>,
    handshake: &Handshake,
    clock: WallClock,
    colour: bool,
) {
    let Handshake { flow, hello, outcome, .. } = handshake;
    let body = hello.body.as_ref();
    let client = handshake.client();
    let sni = Painted {
        text: server_name(hello),
        width: 24,
        colour: colour.then(|| sni_colour(&hello.sni)).flatten(),
    };
    let result =
        Painted { text: result(*outcome), width: 16, colour: colour.then(|| outcome_colour(*outcome)) };
    // Writing to a `Vec` cannot fail.
    if let Provenance::Capture { frame, .. } = source {
        let _ = write!(batch, "{frame:>8}  ");
    }
    let _ = write!(
        batch,
        "{}  {:<21} -> {:<21}  {sni}  {:<7}  {result}  {:>7}",
        clock.utc(handshake.time).strftime("%H:%M:%S.%3f"),
        client.to_string(),
        flow.gateway.to_string(),
        body.and_then(|body| body.version.name()).unwrap_or("?"),
        latency(handshake.latency),
    );
    if let Some(ja4) = body.and_then(|body| body.ja4.as_deref()) {
        let _ = write!(batch, "  {}", printable(ja4));
    }
    if let Some(software) = software::likely_sender(hello) {
        let _ = write!(batch, "  likely {software}");
    }
    // The client's own name is then encrypted, unless the extension is GREASE.
    if hello.features.contains(Feature::Ech) && matches!(hello.sni, Sni::Present(_)) {
        let _ = write!(batch, "  ECH: outer name or GREASE");
    }
    if handshake.proxied.is_some() {
        let _ = write!(batch, "  via {}", flow.client);
    }
    // A PROXY header shows in the addresses.
    if let Some(prelude) = hello.prelude.filter(|prelude| prelude.is_answered()) {
        let _ = write!(batch, "  after {prelude}");
    }
    if let Provenance::Capture { certificate_names: [first, rest @ ..], .. } = source {
        let _ = write!(batch, "  certificate for {}", printable(first));
        for name in rest.iter().take(MAX_CERTIFICATE_NAMES - 1) {
            let _ = write!(batch, ", {}", printable(name));
        }
        if let more @ 1.. = rest.len().saturating_sub(MAX_CERTIFICATE_NAMES - 1) {
            let _ = write!(batch, " and {more} more");
        }
    }
    batch.push(b'\n');
}

fn server_name(hello: &Hello) -> String {
    match (&hello.sni, hello.incomplete) {
        (Sni::Present(name), _) => printable(name),
        (Sni::Absent, _) => "(no SNI)".to_owned(),
        (Sni::Empty, _) => "(empty SNI)".to_owned(),
        (Sni::Invalid(name), _) => format!("(invalid SNI) {}", printable(name)),
        (Sni::Unknown, Some(reason)) => incomplete(reason),
        (Sni::Unknown, None) => "(unknown SNI)".to_owned(),
    }
}

fn incomplete(reason: IncompleteReason) -> String {
    format!("(incomplete: {reason})")
}

/// What became of a hello, in words.
pub fn result(outcome: Outcome) -> String {
    let class = outcome.class();
    match (outcome, outcome.last_alert()) {
        (Outcome::Alert { .. }, Some((description, AlertSender::Client))) => {
            format!("{class} {description} by client")
        }
        (_, Some((description, _))) => format!("{class} {description}"),
        (_, None) => class.to_string(),
    }
}

/// The colour of a server name, if it has one.
pub fn sni_colour(sni: &Sni) -> Option<Colour> {
    (!matches!(sni, Sni::Present(_))).then_some(Colour::Yellow)
}

/// The colour of what became of a handshake.
pub fn outcome_colour(outcome: Outcome) -> Colour {
    match outcome.fate() {
        // The gateway served a client that rejects its certificate, and that client has no connection.
        Fate::Served if outcome.class().is_failure() => Colour::Yellow,
        Fate::Served => Colour::Green,
        Fate::Refused => Colour::Red,
        Fate::Failed | Fate::Unknown => Colour::Yellow,
    }
}
