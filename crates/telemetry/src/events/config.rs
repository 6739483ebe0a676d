//! Settings of event lines.

use std::path::PathBuf;

use super::EventsFilter;

/// Which handshakes have a line, and where the lines go.
#[derive(Clone, Debug)]
pub struct EventsConfig {
    /// The form of lines on standard output; `None` for no lines there.
    pub stdout: Option<StdoutFormat>,
    /// The file that gets JSON lines.
    pub file: Option<EventsFile>,
    /// Which handshakes are events.
    pub filter: EventsFilter,
    /// Lines a second at most; 0 for no limit.
    pub rate: u32,
    /// Whether JSON lines have the ClientHello's random.
    pub client_random: bool,
}

/// The form of lines on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdoutFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// A file of events, with four older ones beside it.
#[derive(Clone, Debug)]
pub struct EventsFile {
    /// Its path.
    pub path: PathBuf,
    /// Bytes of each file.
    pub max_bytes: u64,
}

impl EventsConfig {
    /// No lines.
    pub fn off() -> Self {
        Self { stdout: None, file: None, filter: EventsFilter::default(), rate: 0, client_random: false }
    }

    /// Whether lines go anywhere.
    pub fn are_on(&self) -> bool {
        self.stdout.is_some() || self.file.is_some()
    }
}
