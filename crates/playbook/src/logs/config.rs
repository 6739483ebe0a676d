//! What an analysis of access logs is to read.

use std::path::PathBuf;

/// What an analysis of access logs is to read.
#[derive(Clone, Debug)]
pub struct Config {
    /// Access logs; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Files of events of the daemon, to join with the entries.
    pub events: Vec<PathBuf>,
    /// Prints JSON instead of text.
    pub json: bool,
}

impl Config {
    /// The analysis of `files` without events.
    pub fn of(files: Vec<PathBuf>) -> Self {
        Self { files, events: Vec::new(), json: false }
    }
}
