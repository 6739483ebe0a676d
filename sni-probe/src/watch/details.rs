//! Draws one client: what it offers, and what became of its last handshakes.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use sni_probe_model::api::{Client, LastHandshake};
use sni_probe_terminal::printable;
use sni_probe_terminal::units::{latency, rate};

use super::look::{HEADING, Look};
use super::state::{ScreenState, Shown};
use super::words;

/// Bars of a trend: two minutes each.
const TREND_WIDTH: usize = 30;

/// Draws the selected client.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut ScreenState, look: Look, area: Rect) {
    let Some(shown) = state.shown() else { return };
    let Some((name, client)) = state.selected() else { return };
    let lines = match client {
        Some(client) => lines(client, shown, look),
        None => vec![Line::from(format!("{} is not among the top clients any more; Esc", printable(name)))],
    };
    // The last line stays on the screen.
    let last = lines.len().saturating_sub(usize::from(area.height));
    state.first_line = state.first_line.min(last);
    let offset = u16::try_from(state.first_line).unwrap_or(u16::MAX);
    frame.render_widget(Paragraph::new(lines).scroll((offset, 0)), area);
}

fn lines(client: &Client, shown: &Shown, look: Look) -> Vec<Line<'static>> {
    let now = shown.snapshot.clients.time;
    let or_none = |text: Option<&String>| text.map_or_else(|| "-".to_owned(), |text| printable(text));
    let ago = |time: Timestamp| format!("{} ago", words::age(time, now));
    let mut lines = Vec::new();
    let mut add = |title: &str, text: String| {
        lines.push(Line::from(vec![Span::styled(format!("{title:<14}"), HEADING), Span::raw(text)]));
    };
    add("Client", printable(&client.client));
    if let Some(name) = &client.name {
        add("Name", printable(name));
    }
    add("Gateway", printable(&client.gateway));
    add(
        "Handshakes",
        format!(
            "{}, refused {}, {} a second",
            client.handshakes,
            client.refused,
            rate(shown.speeds.of_client(&client.client))
        ),
    );
    let refused = client.last_refused.map_or_else(|| "never".to_owned(), ago);
    add(
        "Seen",
        format!("first {}, last {}; refused last {refused}", ago(client.first_seen), ago(client.last_seen)),
    );
    let trend = words::trend(&client.per_minute, TREND_WIDTH, look.bars);
    let most = client.per_minute.iter().max().copied().unwrap_or(0);
    add("Last hour", format!("|{trend}| at most {most} a minute"));
    add("Likely", or_none(client.likely.as_ref()));
    add("Versions", versions(client));
    let alpn: Vec<String> = client.alpn.iter().map(|name| printable(name)).collect();
    add("ALPN", if alpn.is_empty() { "-".to_owned() } else { alpn.join(", ") });
    add("Negotiated", or_none(client.last_handshakes.iter().find_map(LastHandshake::negotiated).as_ref()));
    add("JA4", or_none(client.ja4.as_ref()));
    add("JA3", or_none(client.ja3.as_ref()));
    lines.push(Line::default());
    lines.push(Line::styled(format!("{:<8} {:<24} {:>10}", "SNI", "OUTCOME", "HANDSHAKES"), HEADING));
    for count in &client.outcomes {
        let outcome =
            Span::styled(format!("{:<24} ", words::class(&count.outcome)), look.fate(words::fate(count)));
        let sni = Span::raw(format!("{:<8} ", printable(count.sni.as_str())));
        lines.push(Line::from(vec![sni, outcome, Span::raw(format!("{:>10}", count.handshakes))]));
    }
    lines.push(Line::default());
    let columns =
        format!("{:<12} {:<8} {:<24} {:>10} {}", "LAST (UTC)", "SNI", "OUTCOME", "AFTER", "GATEWAY");
    lines.push(Line::styled(columns, HEADING));
    for handshake in &client.last_handshakes {
        let time = handshake.time.strftime("%H:%M:%S.%3f");
        let outcome = format!("{:<24} ", words::outcome(handshake));
        let after = latency(Duration::from_micros(handshake.latency_us));
        lines.push(Line::from(vec![
            Span::raw(format!("{time} {:<8} ", printable(handshake.sni.as_str()))),
            Span::styled(outcome, look.fate(words::fate_of(handshake))),
            Span::raw(format!("{after:>10} {}", printable(&handshake.gateway))),
        ]));
    }
    lines
}

/// The offered versions by name; of a hello without `supported_versions` the highest one.
fn versions(client: &Client) -> String {
    if client.offered_versions.is_empty() {
        return format!("up to {}", printable(&client.tls_version));
    }
    let names: Vec<String> = client.offered_versions.iter().map(|code| words::version(code)).collect();
    names.join(", ")
}
