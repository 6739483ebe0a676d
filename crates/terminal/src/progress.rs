//! A bar on stderr for a file that takes longer than a moment to read.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a file may take without a bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows how much of a file is read. Hidden where stderr is no terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    length: Option<u64>,
}

impl Progress {
    /// For a file of `length` bytes, if that is known.
    pub fn new(name: &str, length: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        let template = match length {
            Some(_) => "{prefix}  {bar:30}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left",
            None => "{prefix}  {spinner}  {bytes}  {bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        Self { bar, start: Instant::now(), length }
    }

    /// Tells the position in the file. Called often: draws at most ten times a second.
    pub fn set(&self, position: u64) {
        if self.bar.is_hidden() {
            if self.start.elapsed() < PATIENCE || !std::io::stderr().is_terminal() {
                return;
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        // A file that grows while it is read has no end.
        self.bar.set_position(self.length.map_or(position, |length| position.min(length)));
    }

    /// Runs `print`, which writes to the terminal, with the bar out of its way.
    pub fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
