//! Colours of a terminal, as escape sequences (ECMA-48, section 8.3.117).

use std::fmt::{self, Display};
use std::io::IsTerminal;

const RESET: &str = "\x1b[0m";

/// A colour or weight of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Good.
    Green,
    /// Doubtful.
    Yellow,
    /// Bad.
    Red,
    /// Important.
    Bold,
}

impl Colour {
    const fn sequence(self) -> &'static str {
        match self {
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[31m",
            Self::Bold => "\x1b[1m",
        }
    }
}

/// Padded text, in a colour: the escape sequences do not count for the width.
///
/// ```
/// use sni_probe_terminal::{Colour, Painted};
///
/// let painted = Painted { text: "ok".to_owned(), width: 4, colour: Some(Colour::Green) };
/// assert_eq!(painted.to_string(), "\x1b[32mok  \x1b[0m");
/// assert_eq!(Painted { colour: None, ..painted }.to_string(), "ok  ");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painted {
    /// The text. A colour must not be in it.
    pub text: String,
    /// In characters; padded with spaces on the right.
    pub width: usize,
    /// `None` leaves the text as it is.
    pub colour: Option<Colour>,
}

impl Painted {
    /// Text without padding.
    pub fn new(text: impl Into<String>, colour: Option<Colour>) -> Self {
        Self { text: text.into(), width: 0, colour }
    }
}

impl Display for Painted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, width, colour } = self;
        match colour {
            Some(colour) => write!(f, "{}{text:<width$}{RESET}", colour.sequence()),
            None => write!(f, "{text:<width$}"),
        }
    }
}

/// Whether colours are welcome: on a terminal that knows them, unless `NO_COLOR` (<https://no-color.org>)
/// is set.
pub fn wants_colour(stream: &impl IsTerminal) -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    stream.is_terminal() && !unwanted && !dumb
}
