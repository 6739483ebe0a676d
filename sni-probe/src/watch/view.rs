//! Draws the screen.
//!
//! ```text
//! sni-probe watch  node-1  ready  eth0  ports 443 8443  http://localhost:9917
//! 12 clients without SNI were reset in the last hour; the gateway accepts none     the state in a sentence
//! not seen: events_lost_total ring_full 3                                          only if there is something
//! SNI  OUTCOME  RATE/S  TOTAL  LAST HOUR                                           kinds of handshakes
//! 3 clients without SNI, sorted by refused
//!   CLIENT  REFUSED  ...                                                           the table of clients
//! q quit  ...                                                                      keys
//! ```
//!
//! What comes from the wire is made printable ASCII before it gets here ([`words`]).

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};
use sni_probe_model::api::{self as model, Summary};
use sni_probe_terminal::printable;

use super::keys::Pane;
use super::look::{FAINT, HEADING, Look, SELECTED};
use super::state::{ScreenState, Shown};
use super::words;
use super::{details, help, keys, kinds, table};

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut ScreenState, look: Look, now: Instant) {
    let area = frame.area();
    let notices = notices(state, look, now);
    let sentence = sentence(state, look);
    let is_low = area.height < 8;
    let most = if is_low { 1 } else { 2 };
    let height = |line: &Line<'_>| line.width().div_ceil(usize::from(area.width.max(1))).clamp(1, most);
    // The more important a part is, the earlier it gets its lines.
    let mut left = area.height;
    let mut take = |wanted: usize| {
        let taken = u16::try_from(wanted).unwrap_or(u16::MAX).min(left);
        left -= taken;
        taken
    };
    let heights = [
        take(height(&sentence)),
        take(1),
        take(notices.iter().map(height).sum()),
        take(usize::from(!is_low)),
    ];
    let [sentence_height, top_height, notices_height, footer_height] = heights;
    let [top_area, sentence_area, notices_area, body_area, footer_area] = Layout::vertical([
        Constraint::Length(top_height),
        Constraint::Length(sentence_height),
        Constraint::Length(notices_height),
        Constraint::Length(left),
        Constraint::Length(footer_height),
    ])
    .areas(area);
    let wrap = Wrap { trim: true };
    frame.render_widget(top(state, look, area.width), top_area);
    frame.render_widget(Paragraph::new(sentence).wrap(wrap), sentence_area);
    frame.render_widget(Paragraph::new(notices).wrap(wrap), notices_area);
    frame.render_widget(footer(state), footer_area);
    match state.pane {
        Pane::Table | Pane::Filter => body(frame, state, look, body_area),
        Pane::Details => details::draw(frame, state, look, body_area),
        Pane::Help => help::draw(frame, body_area),
    }
}

/// Which daemon this is, and whether it sees everything. Its age and its version only where the width has room for them.
fn top(state: &ScreenState, look: Look, width: u16) -> Line<'static> {
    let mut spans = vec![Span::styled("sni-probe watch", HEADING)];
    let mut add = |text: String, style: Style| {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(text, style));
    };
    if state.is_paused {
        add("PAUSED".to_owned(), SELECTED);
    }
    if let Some(Shown { snapshot, .. }) = state.shown() {
        let summary = &snapshot.summary;
        add(printable(&summary.node), HEADING);
        let (word, style) = if summary.ready { ("ready", look.good()) } else { ("NOT READY", look.bad()) };
        add(word.to_owned(), style);
        add(interfaces(summary), Style::new());
        let ports: Vec<_> = summary.ports.iter().map(u16::to_string).collect();
        add(format!("ports {}", ports.join(" ")), Style::new());
        add(printable(&state.place), FAINT);
        let age = format!("up {}", words::age(summary.started, summary.time));
        let version = format!("version {}", printable(&summary.version));
        for text in [age, version] {
            let used: usize = spans.iter().map(Span::width).sum();
            if used + 2 + text.len() <= usize::from(width) {
                spans.extend([Span::raw("  "), Span::styled(text, FAINT)]);
            }
        }
    }
    Line::from(spans)
}

/// The interfaces by name, or how many they are.
fn interfaces(summary: &Summary) -> String {
    const MAX_NAMED: usize = 3;
    if summary.interfaces.len() > MAX_NAMED {
        return format!("{} interfaces", summary.interfaces.len());
    }
    let names: Vec<_> = summary.interfaces.iter().map(|interface| printable(&interface.name)).collect();
    names.join(" ")
}

fn sentence(state: &ScreenState, look: Look) -> Line<'static> {
    let Some(Shown { snapshot, .. }) = state.shown() else {
        return Line::from(format!("asking {} ...", printable(&state.place)));
    };
    let style = match snapshot.summary.state {
        model::GatewayState::Idle => Style::new(),
        model::GatewayState::Fine | model::GatewayState::Accepting => look.good(),
        model::GatewayState::NotReady | model::GatewayState::Mixed | model::GatewayState::Unclear => {
            look.doubtful()
        }
        model::GatewayState::Refusing | model::GatewayState::Failing => look.bad(),
    };
    Line::styled(words::sentence(&snapshot.summary.sentence), style.add_modifier(Modifier::BOLD))
}

/// What may make the rest untrue: no answer, interfaces that are not watched, losses.
fn notices(state: &ScreenState, look: Look, now: Instant) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(silence) = state.silence(now) {
        lines.push(Line::styled(silence, look.bad().add_modifier(Modifier::BOLD)));
    }
    if let Some(Shown { snapshot, .. }) = state.shown() {
        lines.extend(unwatched(&snapshot.summary).map(|text| Line::styled(text, look.bad())));
        lines.extend(losses(&snapshot.summary).map(|text| Line::styled(text, look.doubtful())));
    }
    lines
}

/// The interfaces that are not watched, in a line.
pub(super) fn unwatched(summary: &Summary) -> Option<String> {
    let unready = summary.interfaces.iter().filter(|interface| !interface.ready);
    let said: Vec<String> = unready
        .map(|interface| format!("{}: {}", printable(&interface.name), words::sentence(&interface.status)))
        .collect();
    match said.is_empty() {
        false => Some(said.join(", ")),
        true if summary.ready => None,
        true => Some("no interface is watched".to_owned()),
    }
}

/// What was not seen, in a line.
pub(super) fn losses(summary: &Summary) -> Option<String> {
    let said: Vec<String> = summary
        .not_seen
        .iter()
        .filter(|loss| loss.count > 0)
        .map(|loss| {
            let separator = if loss.reason.is_empty() { "" } else { " " };
            format!("{}{separator}{} {}", printable(&loss.metric), printable(&loss.reason), loss.count)
        })
        .collect();
    (!said.is_empty()).then(|| format!("not seen: {}", said.join(", ")))
}

fn footer(state: &ScreenState) -> Line<'static> {
    if state.pane == Pane::Filter {
        let keys = format!("    {}", keys::footer(state.pane));
        return Line::from(vec![
            Span::styled(format!("filter: {}_", state.filter), HEADING),
            Span::styled(keys, FAINT),
        ]);
    }
    Line::styled(keys::footer(state.pane), FAINT)
}

/// Kinds of handshakes, and below them the clients.
fn body(frame: &mut Frame<'_>, state: &mut ScreenState, look: Look, area: Rect) {
    let Some(shown) = state.shown() else { return };
    let rows = kinds::rows(shown);
    // An empty line between the two, where there is room.
    let gap = usize::from(area.height > 10);
    let room = usize::from(area.height) - gap;
    // Clients get two thirds, or what they need if that is less; a title and a heading are above them.
    let clients_height = (state.rows().len() + 2).min(room - room / 3);
    let height = (rows.len() + 1).min(room - clients_height);
    // With less there would be a heading and nothing below it.
    let (height, gap) = if height < 2 { (0, 0) } else { (height, gap) };
    let [height, gap] = [height, gap].map(|lines| u16::try_from(lines).unwrap_or(u16::MAX));
    let [kinds_area, _, clients_area] =
        Layout::vertical([Constraint::Length(height), Constraint::Length(gap), Constraint::Min(0)])
            .areas(area);
    kinds::draw(frame, &rows, look, kinds_area);
    table::draw(frame, state, look, clients_area);
}

#[cfg(test)]
mod tests;
