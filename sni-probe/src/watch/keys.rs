//! Keys, and what they mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// A part of the screen that may have the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// The table of clients.
    Table,
    /// The line in which a filter is typed.
    Filter,
    /// One client.
    Details,
    /// The keys.
    Help,
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// End.
    Quit,
    /// Select the client that is so many lines further down, or scroll.
    Move(i32),
    /// Select the client a screen further down (1) or up (-1).
    Page(i32),
    /// Select the first.
    First,
    /// Select the last.
    Last,
    /// Sort by the next column.
    NextSort,
    /// Turn the order.
    Reverse,
    /// Begin to type a filter.
    EditFilter,
    /// One more character of the filter.
    Type(char),
    /// One fewer.
    Erase,
    /// Done with typing, or show details.
    Enter,
    /// Back to where the user came from; in the table, to all clients.
    Escape,
    /// Stop, or go on.
    Pause,
    /// Show the keys.
    Help,
}

/// What a key means while `pane` has the keyboard.
pub(super) fn action(key: KeyEvent, pane: Pane) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    // The terminal is in raw mode: no signal comes of it.
    if is_control && matches!(key.code, KeyCode::Char('c')) {
        return Some(Action::Quit);
    }
    let action = match key.code {
        KeyCode::Esc => Action::Escape,
        KeyCode::Enter => Action::Enter,
        KeyCode::Backspace if pane == Pane::Filter => Action::Erase,
        KeyCode::Char(character) if pane == Pane::Filter && !is_control => Action::Type(character),
        KeyCode::PageUp => Action::Page(-1),
        KeyCode::PageDown => Action::Page(1),
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Char('s') => Action::NextSort,
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('/') => Action::EditFilter,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('?') => Action::Help,
        _ => return None,
    };
    Some(action)
}

/// The keys, for the help.
pub(super) const KEYS: [(&str, &str); 9] = [
    ("arrows, j, k", "select a client; also Page Up, Page Down, Home, End"),
    ("Enter", "its versions, fingerprints and last handshakes"),
    ("s", "sort by refused, handshakes, rate, last seen or client"),
    ("r", "reverse the order"),
    ("/", "filter by client, name, software or JA4; Esc shows all"),
    ("p, space", "the screen stays as it is, until once more"),
    ("?", "these keys"),
    ("Esc", "back"),
    ("q, Ctrl-C", "quit"),
];

/// The keys of `pane`, for the last line of the screen.
pub(super) const fn footer(pane: Pane) -> &'static str {
    match pane {
        Pane::Table => "q quit  ? help  arrows move  Enter details  s sort  r reverse  / filter  p pause",
        Pane::Filter => "Enter apply  Esc all clients",
        Pane::Details => "Esc back  arrows scroll  p pause  q quit",
        Pane::Help => "Esc back  q quit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, pane: Pane) -> Option<Action> {
        action(KeyEvent::new(code, KeyModifiers::NONE), pane)
    }

    #[test]
    fn letters_are_text_while_a_filter_is_typed() {
        assert_eq!(press(KeyCode::Char('q'), Pane::Table), Some(Action::Quit));
        assert_eq!(press(KeyCode::Char('q'), Pane::Filter), Some(Action::Type('q')));
        assert_eq!(press(KeyCode::Char(' '), Pane::Filter), Some(Action::Type(' ')));
        assert_eq!(press(KeyCode::Backspace, Pane::Filter), Some(Action::Erase));
        assert_eq!(press(KeyCode::Backspace, Pane::Table), None);
        assert_eq!(press(KeyCode::Char('x'), Pane::Table), None);
    }

    #[test]
    fn control_c_quits_everywhere() {
        for pane in [Pane::Table, Pane::Filter, Pane::Details, Pane::Help] {
            let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(action(key, pane), Some(Action::Quit));
        }
        let other = KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL);
        assert_eq!(action(other, Pane::Table), None);
    }
}
