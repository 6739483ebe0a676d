//! Colours and weights.

use ratatui::style::{Color, Modifier, Style};

use super::words::{self, Bars};

/// How things look on this terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Whether colours are welcome.
    pub(super) colour: bool,
    pub(super) bars: Bars,
}

impl Look {
    pub(super) fn good(self) -> Style {
        self.paint(Color::Green)
    }

    pub(super) fn doubtful(self) -> Style {
        self.paint(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.paint(Color::Red)
    }

    /// Of an outcome.
    pub(super) fn outcome(self, outcome: &str) -> Style {
        match outcome {
            "server_hello" => self.good(),
            outcome if words::is_refusal(outcome) => self.bad(),
            _ => self.doubtful(),
        }
    }

    fn paint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

/// Of a title, or of what is important.
pub(super) const HEADING: Style = Style::new().add_modifier(Modifier::BOLD);
/// Of the line that keys move.
pub(super) const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
/// Of what need not be read.
pub(super) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
