//! Settings of event lines.

use std::path::PathBuf;

use super::EventsFilter;

/// Which handshakes have a line, and where the lines go.
#[derive(Clone, Debug)]
pub(crate) struct EventsConfig {
    /// The form of lines on standard output; `None` for no lines there.
    pub(crate) stdout: Option<StdoutFormat>,
    /// The file that gets JSON lines.
    pub(crate) file: Option<EventsFile>,
    /// Which handshakes are events.
    pub(crate) filter: EventsFilter,
    /// Lines a second at most; 0 for no limit.
    pub(crate) rate: u32,
    /// Whether JSON lines have the ClientHello's random.
    pub(crate) client_random: bool,
}

/// The form of lines on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StdoutFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// A file of events, with four older ones beside it.
#[derive(Clone, Debug)]
pub(crate) struct EventsFile {
    /// Its path.
    pub(crate) path: PathBuf,
    /// Bytes of each file.
    pub(crate) max_bytes: u64,
}

impl EventsConfig {
    /// No lines.
    pub(crate) fn off() -> Self {
        Self { stdout: None, file: None, filter: EventsFilter::default(), rate: 0, client_random: false }
    }

    /// Whether lines go anywhere.
    pub(crate) fn are_on(&self) -> bool {
        self.stdout.is_some() || self.file.is_some()
    }
}
