//! Lines of handshakes: which, how many, where to.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use sni_probe_telemetry::events::{EventsConfig, EventsFile, EventsFilter, StdoutFormat};

use super::values::parse_bytes;

/// Events.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Events")]
#[expect(clippy::doc_markdown, reason = "the text of --help")]
pub(crate) struct EventOptions {
    /// Whether to write a line for each handshake to stdout
    #[arg(long, env = "SNI_PROBE_EVENTS", value_enum, default_value_t)]
    pub(crate) events: Events,

    /// File to which to append a JSON line for each handshake, whatever --events says
    ///
    /// One that has grown to --events-file-bytes becomes FILE.1, that one FILE.2, and so on up to FILE.4.
    #[arg(long, env = "SNI_PROBE_EVENTS_FILE", value_name = "FILE")]
    pub(crate) events_file: Option<PathBuf>,

    /// Size of each file of --events-file (64KiB to 1TiB)
    #[arg(
        long,
        env = "SNI_PROBE_EVENTS_FILE_BYTES",
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = parse_file_bytes
    )]
    pub(crate) events_file_bytes: u64,

    /// Which handshakes are events: all, failed, missing (no SNI: absent, empty or invalid), values of sni and of outcome
    ///
    /// Of words for the sni (missing, present, absent, empty, invalid, unknown) and for the outcome (failed, alert,
    /// reset_by_gateway, ...) one of each kind must fit, where some are given. Several are separated by commas. "failed"
    /// is every outcome but server_hello, established, evicted and unfinished.
    #[arg(
        long,
        env = "SNI_PROBE_EVENTS_FILTER",
        value_name = "WORDS",
        default_value = "failed",
        value_parser = EventsFilter::parse
    )]
    pub(crate) events_filter: EventsFilter,

    /// Events a second at most, on average over ten seconds; 0 for no limit
    ///
    /// What is over it is counted in sni_probe_event_lines_dropped_total.
    #[arg(long, env = "SNI_PROBE_EVENTS_RATE", value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) events_rate: u32,

    /// Add the ClientHello's random, in hexadecimal digits, to each JSON line
    ///
    /// The random identifies a handshake, also in a key log (SSLKEYLOGFILE) of the client or the gateway.
    #[arg(long, env = "SNI_PROBE_CLIENT_RANDOM", value_parser = BoolishValueParser::new())]
    pub(crate) client_random: bool,
}

impl EventOptions {
    /// The settings of the writer.
    pub(crate) fn config(&self) -> EventsConfig {
        EventsConfig {
            stdout: match self.events {
                Events::Off => None,
                Events::Text => Some(StdoutFormat::Text),
                Events::Json => Some(StdoutFormat::Json),
            },
            file: self.events_file.clone().map(|path| EventsFile { path, max_bytes: self.events_file_bytes }),
            filter: self.events_filter.clone(),
            rate: self.events_rate,
            client_random: self.client_random,
        }
    }
}

/// `--events`: the lines on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Events {
    /// None
    #[default]
    Off,
    /// For people
    Text,
    /// For programs: one JSON object a line
    Json,
}

fn parse_file_bytes(text: &str) -> Result<u64, String> {
    parse_bytes(text, 64 << 10..=1 << 40, "64KiB to 1TiB")
}
