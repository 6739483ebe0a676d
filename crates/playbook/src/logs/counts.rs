//! Counting entries, in bounded memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use sni_probe_core::tally::Tally;
use sni_probe_model::REST;

use super::entry::{Kind, LogEntry, Name};
use super::join::Waiting;
use super::report::{Counted, LogsReport};
use super::tally::Words;

/// Hours that are told apart: a year of them, and more.
const MAX_HOURS: usize = 10_000;

/// Longest entry that is kept as evidence, in bytes.
const MAX_SAMPLE_BYTES: usize = 4096;

/// What stands for what a format does not have.
const UNKNOWN: &str = "unknown";

const SECONDS_PER_HOUR: i64 = 3600;

/// The counts so far.
#[derive(Debug)]
pub(super) struct Counts {
    report: LogsReport,
    clients: Words,
    names: Words,
    failures: Words,
    /// By hours since 1970.
    hours: Tally<i64, u64>,
    /// Entries without a time.
    without_hour: u64,
    /// Entries that are to be joined with events.
    waiting: Option<Waiting>,
}

impl Counts {
    /// Keeps entries for [`finish`](Self::finish), if they are to be joined.
    pub(super) fn new(is_joined: bool) -> Self {
        Self {
            report: LogsReport::default(),
            clients: Words::default(),
            names: Words::default(),
            failures: Words::default(),
            hours: Tally::new(MAX_HOURS),
            without_hour: 0,
            waiting: is_joined.then(Waiting::default),
        }
    }

    /// Counts an entry. `text` is the entry as it was read.
    pub(super) fn add(&mut self, entry: &LogEntry<'_>, text: &[u8]) {
        let time = entry.timestamp();
        let report = &mut self.report;
        report.entries += 1;
        if let Some(time) = time {
            report.first = Some(report.first.map_or(time, |first| first.min(time)));
            report.last = Some(report.last.map_or(time, |last| last.max(time)));
        }
        match entry.kind() {
            Kind::Served => report.served += 1,
            Kind::NoFilterChain => self.add_refused(entry, time, text),
            Kind::OtherFailure => self.failures.add(entry.failure().unwrap_or(UNKNOWN)),
            Kind::Unremarkable => {}
        }
    }

    fn add_refused(&mut self, entry: &LogEntry<'_>, time: Option<Timestamp>, text: &[u8]) {
        let address: Option<SocketAddr> = entry.client.as_deref().and_then(|client| client.parse().ok());
        let address = address.map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()));
        let report = &mut self.report;
        report.no_filter_chain += 1;
        match &entry.name {
            Name::Present(name) => {
                report.sni_present += 1;
                self.names.add(name);
            }
            Name::Null => report.sni_null += 1,
            Name::NotLogged => report.sni_not_logged += 1,
        }
        match (address, &entry.client) {
            (Some(address), _) => self.clients.add(&address.ip().to_string()),
            (None, Some(client)) => self.clients.add(client),
            (None, None) => self.clients.add(UNKNOWN),
        }
        match time.map(|time| time.as_second().div_euclid(SECONDS_PER_HOUR)) {
            Some(hour) => *self.hours.of(&hour) += 1,
            None => self.without_hour += 1,
        }
        if let Some(waiting) = &mut self.waiting
            && entry.name == Name::Null
        {
            waiting.add(address, time);
        }
        // One with a null says more of the case that this is about.
        if report.sample.is_none() || (report.sni_null == 1 && entry.name == Name::Null) {
            report.sample =
                Some(String::from_utf8_lossy(&text[..text.len().min(MAX_SAMPLE_BYTES)]).into_owned());
        }
    }

    /// All of it as a report, and what is to be joined.
    pub(super) fn finish(self) -> (LogsReport, Option<Waiting>) {
        let (hours, other_hours) = self.hours.into_parts();
        let hours: BTreeMap<i64, u64> = hours.collect();
        let hours = hours.iter().map(|(&hour, &count)| Counted { name: hour_name(hour), count });
        let other = other_hours + self.without_hour;
        let other = (other > 0).then(|| Counted { name: REST.to_owned(), count: other });
        let report = LogsReport {
            other_failures: self.failures.counted(),
            by_client: self.clients.counted(),
            by_hour: hours.chain(other).collect(),
            by_name: self.names.counted(),
            ..self.report
        };
        (report, self.waiting)
    }
}

/// The hour's begin, in RFC 3339.
fn hour_name(hour: i64) -> String {
    // An hour that was made from a time has one.
    Timestamp::from_second(hour * SECONDS_PER_HOUR)
        .map_or_else(|_| UNKNOWN.to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::tally::MAX_WORDS;

    fn refused(client: &str, time: &str, name: Name<'static>) -> LogEntry<'static> {
        LogEntry {
            time: Some(time.to_owned().into()),
            client: Some(client.to_owned().into()),
            name,
            details: Some("filter_chain_not_found".into()),
            ..LogEntry::default()
        }
    }

    fn counted(name: &str, count: u64) -> Counted {
        Counted { name: name.to_owned(), count }
    }

    #[test]
    fn by_client_hour_and_name() {
        let mut counts = Counts::new(false);
        counts.add(&refused("10.0.0.1:1", "2025-05-19T04:59:59.999Z", Name::Null), b"one");
        counts.add(&refused("[::ffff:10.0.0.1]:2", "2025-05-19T04:00:00Z", Name::Null), b"two");
        counts.add(
            &refused("[2001:db8::1]:2", "2025-05-19T05:00:00Z", Name::Present("a.example".into())),
            b"3",
        );
        counts.add(&refused("pipe", "yesterday", Name::NotLogged), b"4");
        let (report, waiting) = counts.finish();
        assert!(waiting.is_none());
        assert_eq!((report.entries, report.no_filter_chain), (4, 4));
        assert_eq!((report.sni_null, report.sni_present, report.sni_not_logged), (2, 1, 1));
        assert_eq!(report.by_client, [counted("10.0.0.1", 2), counted("2001:db8::1", 1), counted("pipe", 1)]);
        let hours =
            [counted("2025-05-19T04:00:00Z", 2), counted("2025-05-19T05:00:00Z", 1), counted(REST, 1)];
        assert_eq!(report.by_hour, hours);
        assert_eq!(report.by_name, [counted("a.example", 1)]);
        assert_eq!(report.first, Some("2025-05-19T04:00:00Z".parse().unwrap()));
        assert_eq!(report.last, Some("2025-05-19T05:00:00Z".parse().unwrap()));
        assert_eq!(report.sample.as_deref(), Some("one"));
    }

    #[test]
    fn the_sample_is_one_with_a_null() {
        let mut counts = Counts::new(false);
        for (name, text) in
            [(Name::Present("a".into()), "first"), (Name::Null, "null"), (Name::Null, "later")]
        {
            counts.add(&refused("10.0.0.1:1", "2025-05-19T04:59:59Z", name), text.as_bytes());
        }
        assert_eq!(counts.finish().0.sample.as_deref(), Some("null"));
    }

    /// Every entry is counted, be there room for its client or not.
    #[test]
    fn more_clients_and_hours_than_are_told_apart() {
        let mut counts = Counts::new(false);
        let clients = MAX_WORDS + 10;
        for client in 0..clients {
            let time = Timestamp::from_second(3600 * i64::try_from(client).unwrap()).unwrap().to_string();
            counts.add(&refused(&format!("[2001:db8::{client:x}]:1"), &time, Name::Null), b"");
        }
        let (report, _) = counts.finish();
        assert_eq!(report.by_client.len(), MAX_WORDS + 1);
        assert_eq!(report.by_client.last(), Some(&counted(REST, 10)));
        assert_eq!(report.by_hour.len(), MAX_HOURS + 1);
        assert_eq!(report.by_hour.iter().map(|hour| hour.count).sum::<u64>(), clients as u64);
    }
}
