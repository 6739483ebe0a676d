//! One line on stderr.

use std::io::{self, Write as _};

use crate::printable::is_invisible;

/// Writes one line to stderr that says why nothing runs, or what was left out.
pub fn report(message: &str) {
    // A message may quote a file, or a server's answer.
    let message: Vec<&str> = message
        .split(|c: char| c.is_whitespace() || is_invisible(c))
        .filter(|word| !word.is_empty())
        .collect();
    // If stderr is closed as well, there is nowhere to write to.
    let _ = writeln!(io::stderr(), "sni-probe: {}", message.join(" "));
}
