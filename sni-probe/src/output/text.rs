//! An event as a line for people.
//!
//! ```text
//! 14:03:22.481  192.0.2.7:51234       -> 198.51.100.9:443       (no SNI)                  TLS 1.3  reset_by_gateway     45us  t13i…
//! ```
//!
//! Names come from the wire: nothing of them but printable ASCII reaches the terminal.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::time::Duration;

use sni_probe_core::observation::{Handshake, Hello, Outcome, Sni};
use sni_probe_core::software;
use sni_probe_core::vocabulary::{AlertSender, IncompleteReason, TlsVersion};
use sni_probe_model::Fate;

use super::{Source, WallClock};

/// Characters of a name that are shown; names are at most 255 long, invalid ones any length.
const MAX_NAME: usize = 64;

pub(crate) const GREEN: &str = "\x1b[32m";
pub(crate) const YELLOW: &str = "\x1b[33m";
pub(crate) const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// Appends the event as one line.
pub(super) fn write(
    batch: &mut Vec<u8>,
    source: Source<'_>,
    handshake: &Handshake,
    clock: WallClock,
    colour: bool,
) {
    let Handshake { flow, hello, outcome, .. } = handshake;
    let body = hello.body.as_ref();
    let client = handshake.client();
    let sni = Painted { text: server_name(hello), width: 24, colour: colour.then(|| sni_colour(&hello.sni)) };
    let result =
        Painted { text: result(*outcome), width: 16, colour: colour.then(|| fate_colour(outcome.fate())) };
    // Writing to a `Vec` cannot fail.
    if let Source::Capture { frame, .. } = source {
        let _ = write!(batch, "{frame:>8}  ");
    }
    let _ = write!(
        batch,
        "{}  {:<21} -> {:<21}  {sni}  {:<7}  {result}  {:>7}",
        clock.utc(handshake.time).strftime("%H:%M:%S.%3f"),
        client.to_string(),
        flow.gateway.to_string(),
        version(body.map_or(TlsVersion::Unknown, |body| body.version)),
        latency(handshake.latency),
    );
    if let Some(ja4) = body.and_then(|body| body.ja4.as_deref()) {
        let _ = write!(batch, "  {}", printable(ja4));
    }
    if let Some(software) = software::likely_sender(hello) {
        let _ = write!(batch, "  likely {software}");
    }
    if handshake.proxied.is_some() {
        let _ = write!(batch, "  via {}", flow.client);
    }
    // A PROXY header shows in the addresses.
    if let Some(prelude) = hello.prelude.filter(|prelude| prelude.is_answered()) {
        let _ = write!(batch, "  after {prelude}");
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
pub(crate) fn result(outcome: Outcome) -> String {
    match outcome {
        Outcome::Alert { description, sender: AlertSender::Gateway } => format!("alert {description}"),
        Outcome::Alert { description, sender: AlertSender::Client } => {
            format!("alert {description} by client")
        }
        other => other.class().to_string(),
    }
}

fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls13 => "TLS 1.3",
        TlsVersion::Tls12 => "TLS 1.2",
        TlsVersion::Tls11 => "TLS 1.1",
        TlsVersion::Tls10 => "TLS 1.0",
        TlsVersion::Ssl3 => "SSL 3",
        TlsVersion::Ssl2 => "SSL 2",
        TlsVersion::Unknown => "?",
    }
}

fn latency(latency: Duration) -> String {
    if latency < Duration::from_millis(1) {
        format!("{}us", latency.as_micros())
    } else if latency < Duration::from_secs(1) {
        format!("{:.1}ms", latency.as_secs_f64() * 1e3)
    } else {
        format!("{:.1}s", latency.as_secs_f64())
    }
}

pub(crate) fn sni_colour(sni: &Sni) -> &'static str {
    if matches!(sni, Sni::Present(_)) { "" } else { YELLOW }
}

pub(crate) fn fate_colour(fate: Fate) -> &'static str {
    match fate {
        Fate::Served => GREEN,
        Fate::Refused => RED,
        Fate::Failed | Fate::Unknown => YELLOW,
    }
}

/// `text` fit for a terminal: printable ASCII as it is, all else as `\xNN`, and not too long.
pub(crate) fn printable(text: &str) -> String {
    printable_within(MAX_NAME, text)
}

/// The same of at most `length` characters, and what the last escape and `...` take.
pub(crate) fn printable_within(length: usize, text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(length));
    for byte in text.bytes() {
        if shown.len() >= length {
            shown.push_str("...");
            break;
        }
        match byte {
            b' '..=b'~' => shown.push(char::from(byte)),
            _ => {
                // Writing to a `String` cannot fail.
                let _ = write!(shown, "\\x{byte:02x}");
            }
        }
    }
    shown
}

/// Whether a character has no shape of its own, or changes how others are shown: control characters, and those of
/// Unicode's category Cf (direction marks, zero-width characters, tags).
pub(crate) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Padded text, in a colour: the escape sequences do not count for the width.
pub(crate) struct Painted {
    pub(crate) text: String,
    /// In characters; padded with spaces on the right.
    pub(crate) width: usize,
    /// An escape sequence; none or an empty one leaves the text as it is.
    pub(crate) colour: Option<&'static str>,
}

impl Display for Painted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, width, colour } = self;
        match colour {
            Some(colour) if !colour.is_empty() => write!(f, "{colour}{text:<width$}{RESET}"),
            _ => write!(f, "{text:<width$}"),
        }
    }
}
