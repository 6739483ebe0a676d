//! What the screen shows, and how snapshots, keys and time change it. No terminal, no clock of its own.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use sni_probe_model::api::Client;
use sni_probe_terminal::units::duration;

use super::Snapshot;
use super::keys::{Action, Pane};
use super::rates::{Rates, Speeds};
use super::words;

/// Characters of a filter.
const MAX_FILTER: usize = 64;
/// An answer may take so long beyond the interval before the screen says that there is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// The state of the screen.
#[derive(Debug)]
pub(super) struct ScreenState {
    /// Where the snapshots come from, for people.
    pub(super) place: String,
    /// The part of the screen that has the keyboard.
    pub(super) pane: Pane,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    /// Only clients that have this in them are shown; empty: all.
    pub(super) filter: String,
    pub(super) is_paused: bool,
    /// First line of the table that is on the screen. The view keeps the selected one on it.
    pub(super) first_row: usize,
    /// First line of details that is on the screen.
    pub(super) first_line: usize,
    /// Lines for clients on the screen, as the view last found.
    pub(super) page: usize,
    shown: Option<Shown>,
    /// What came during a pause.
    held: Option<Shown>,
    rates: Rates,
    /// The selected client, wherever it is in the table.
    selected: Option<String>,
    /// Its place, for when it has left the table.
    row: usize,
    interval: Duration,
    last_answer: Instant,
    /// Why there was no answer the last time.
    failure: Option<String>,
}

/// A snapshot on the screen.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) snapshot: Snapshot,
    pub(super) speeds: Speeds,
}

/// By what clients are sorted: the most first, but clients by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Refused,
    Handshakes,
    Rate,
    LastSeen,
    Client,
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Refused => Self::Handshakes,
            Self::Handshakes => Self::Rate,
            Self::Rate => Self::LastSeen,
            Self::LastSeen => Self::Client,
            Self::Client => Self::Refused,
        }
    }

    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Handshakes => "handshakes",
            Self::Rate => "rate",
            Self::LastSeen => "last seen",
            Self::Client => "client",
        }
    }

    fn compare(self, speeds: &Speeds, a: &Client, b: &Client) -> Ordering {
        let rate = |client: &Client| speeds.of_client(&client.client).unwrap_or(-1.0);
        let order = match self {
            Self::Refused => b.refused.cmp(&a.refused).then(b.handshakes.cmp(&a.handshakes)),
            Self::Handshakes => b.handshakes.cmp(&a.handshakes),
            Self::Rate => rate(b).total_cmp(&rate(a)),
            Self::LastSeen => b.last_seen.cmp(&a.last_seen),
            Self::Client => Ordering::Equal,
        };
        // Lines that are equal keep their places from one look to the next.
        order.then_with(|| place(&a.client).cmp(&place(&b.client)))
    }
}

impl ScreenState {
    pub(super) fn new(place: String, interval: Duration, now: Instant) -> Self {
        Self {
            place,
            pane: Pane::Table,
            sort: Sort::Refused,
            is_reversed: false,
            filter: String::new(),
            is_paused: false,
            first_row: 0,
            first_line: 0,
            page: 1,
            shown: None,
            held: None,
            rates: Rates::default(),
            selected: None,
            row: 0,
            interval,
            last_answer: now,
            failure: None,
        }
    }

    /// Takes what the source gave.
    pub(super) fn receive(&mut self, result: anyhow::Result<Box<Snapshot>>, now: Instant) {
        match result {
            Ok(snapshot) => {
                self.failure = None;
                self.last_answer = now;
                // Of pauses too: rates are right when it goes on.
                let speeds = self.rates.observe(&snapshot);
                let shown = Some(Shown { snapshot: *snapshot, speeds });
                if self.is_paused && self.shown.is_some() {
                    self.held = shown;
                } else {
                    self.shown = shown;
                    self.follow_selected();
                }
            }
            Err(error) => self.failure = Some(format!("{error:#}")),
        }
    }

    /// What is to be shown, once there was an answer.
    pub(super) fn shown(&self) -> Option<&Shown> {
        self.shown.as_ref()
    }

    /// That there is no answer, for how long, and why.
    pub(super) fn silence(&self, now: Instant) -> Option<String> {
        let silent = now.saturating_duration_since(self.last_answer);
        let why = match &self.failure {
            Some(failure) => words::sentence(failure),
            None if silent > self.interval + PATIENCE => "still waiting for one".to_owned(),
            None => return None,
        };
        Some(format!("no answer for {}: {why}", duration(silent)))
    }

    /// The clients that the filter lets through, in order.
    pub(super) fn rows(&self) -> Vec<&Client> {
        let Some(Shown { snapshot, speeds }) = &self.shown else { return Vec::new() };
        let filter = self.filter.to_lowercase();
        let mut rows: Vec<&Client> =
            snapshot.clients.clients.iter().filter(|client| is_match(client, &filter)).collect();
        rows.sort_by(|a, b| {
            let order = self.sort.compare(speeds, a, b);
            if self.is_reversed { order.reverse() } else { order }
        });
        rows
    }

    /// The selected one's place among [`ScreenState::rows`].
    pub(super) fn row(&self) -> usize {
        self.row
    }

    /// The name of the selected client, and what is known of it: nothing when it has left the top.
    pub(super) fn selected(&self) -> Option<(&str, Option<&Client>)> {
        let name = self.selected.as_deref()?;
        let clients = self.shown.as_ref().map(|shown| &shown.snapshot.clients.clients);
        Some((name, clients.and_then(|clients| clients.iter().find(|client| client.client == name))))
    }

    /// Does what the user wants; `false` to end.
    pub(super) fn apply(&mut self, action: Action) -> bool {
        match action {
            Action::Quit => return false,
            Action::Move(lines) => self.advance(i64::from(lines)),
            Action::Page(pages) => {
                let page = i64::try_from(self.page.max(1)).unwrap_or(1);
                self.advance(i64::from(pages) * page);
            }
            Action::First => self.advance(i64::MIN),
            Action::Last => self.advance(i64::MAX),
            Action::NextSort => {
                self.sort = self.sort.next();
                self.follow_selected();
            }
            Action::Reverse => {
                self.is_reversed = !self.is_reversed;
                self.follow_selected();
            }
            Action::EditFilter => self.pane = Pane::Filter,
            Action::Type(character) => {
                if matches!(character, ' '..='~') && self.filter.len() < MAX_FILTER {
                    self.filter.push(character);
                    self.select(0);
                }
            }
            Action::Erase => {
                self.filter.pop();
                self.select(0);
            }
            Action::Enter => self.enter(),
            Action::Escape => self.escape(),
            Action::Pause => self.pause(),
            Action::Help => self.pane = if self.pane == Pane::Help { Pane::Table } else { Pane::Help },
        }
        true
    }

    fn enter(&mut self) {
        self.pane = match self.pane {
            Pane::Table if self.selected.is_some() => {
                self.first_line = 0;
                Pane::Details
            }
            _ => Pane::Table,
        };
    }

    fn escape(&mut self) {
        if matches!(self.pane, Pane::Table | Pane::Filter) {
            self.filter.clear();
            self.follow_selected();
        }
        self.pane = Pane::Table;
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if !self.is_paused
            && let Some(held) = self.held.take()
        {
            self.shown = Some(held);
            self.follow_selected();
        }
    }

    fn advance(&mut self, lines: i64) {
        let position = if self.pane == Pane::Details { self.first_line } else { self.row };
        let position = i64::try_from(position).unwrap_or(i64::MAX).saturating_add(lines).max(0);
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        match self.pane {
            // The view knows how many lines there are, and stops it at the last.
            Pane::Details => self.first_line = position,
            Pane::Table | Pane::Filter => self.select(position),
            Pane::Help => {}
        }
    }

    /// Selects a row, or the last if there are not so many.
    fn select(&mut self, row: usize) {
        let rows = self.rows();
        let row = row.min(rows.len().saturating_sub(1));
        let selected = rows.get(row).map(|client| client.client.clone());
        (self.row, self.selected) = (row, selected);
    }

    /// The selected client stays selected where it now is. One that left the table hands over to what is now in its
    /// place, unless its details are looked at.
    fn follow_selected(&mut self) {
        let rows = self.rows();
        let row = rows.iter().position(|client| Some(&client.client) == self.selected.as_ref());
        match row {
            Some(row) => self.row = row,
            None if self.pane == Pane::Details => {}
            None => self.select(self.row),
        }
    }
}

/// By what clients are sorted: addresses and subnets as numbers, others (hashes) before them as text.
fn place(client: &str) -> (Option<IpNet>, &str) {
    let network = client.parse().ok().or_else(|| client.parse::<IpAddr>().ok().map(IpNet::from));
    (network, client)
}

/// Whether one of its names has `filter` in it, which is in lower case.
fn is_match(client: &Client, filter: &str) -> bool {
    let texts = [Some(&client.client), client.name.as_ref(), client.likely.as_ref(), client.ja4.as_ref()];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(filter))
}

#[cfg(test)]
mod tests;
