//! Draws the help: the keys, and what the columns are.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

use super::keys::KEYS;
use super::look::HEADING;

const WORDS: [(&str, &str); 7] = [
    ("REFUSED", "reset, closed or answered with an alert by the gateway"),
    ("RATE/S", "handshakes a second, over the last 10 s; - is not known yet"),
    ("LAST OUTCOME", "what became of the client's last handshake"),
    ("AGO", "when that was"),
    ("LIKELY", "software that sends such hellos; else the JA4 fingerprint"),
    ("others", "clients without SNI that are not among the top"),
    ("expected", "clients of --expected-non-sni"),
];

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect) {
    let line = |(title, text): (&str, &'static str)| {
        Line::from(vec![Span::styled(format!("{title:<14}"), HEADING), Span::raw(text)])
    };
    let lines: Vec<Line<'_>> =
        KEYS.into_iter().map(line).chain([Line::default()]).chain(WORDS.into_iter().map(line)).collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}
