//! Colours and weights.

use ratatui::style::{Color, Modifier, Style};
use sni_probe_model::Fate;

use super::words::Bars;

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

    /// The style of what became of a client.
    pub(super) fn fate(self, fate: Fate) -> Style {
        match fate {
            Fate::Served => self.good(),
            Fate::Refused => self.bad(),
            Fate::Failed | Fate::Unknown => self.doubtful(),
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
