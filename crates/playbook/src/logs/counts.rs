//! Counting entries, in bounded memory.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use sni_probe_core::software;
use sni_probe_core::tally::Tally;
use sni_probe_model::REST;
use sni_probe_terminal::units::counted;

use super::client::ClientAddress;
use super::entry::{Kind, LogEntry, NO_REASON, Name};
use super::failure::{FailureKind, Kinds};
use super::join::Waiting;
use super::programs;
use super::report::{Counted, Fingerprint, LogsReport};
use super::tally::Words;

/// Hours that are counted apart: a year of them, and more.
const MAX_HOURS: usize = 10_000;

/// Longest entry that is kept as evidence, in bytes.
const MAX_SAMPLE_BYTES: usize = 4096;

/// Clients of programs that write two lines for one refusal, as Caddy does: the second is found among so many.
const MAX_RECENT: usize = 256;

/// Time between two lines of one refusal.
const MAX_DISTANCE: SignedDuration = SignedDuration::from_secs(5);

/// Longest time that is shown because it is not understood, in bytes.
const MAX_TIME_BYTES: usize = 64;

/// What stands for what a format does not have.
const UNKNOWN: &str = "unknown";

const SECONDS_PER_HOUR: i64 = 3600;

/// A line of a program that writes two lines for one refusal.
#[derive(Debug)]
struct RecentLine {
    client: String,
    /// It is the line of the certificate, not of the handshake.
    is_of_certificate: bool,
    time: Option<Timestamp>,
}

impl RecentLine {
    /// Two different lines of one client, within seconds where the times are known.
    fn is_of_one_connection(&self, other: &Self) -> bool {
        let distance = self.time.zip(other.time).map(|(one, other)| one.duration_since(other).abs());
        self.client == other.client
            && self.is_of_certificate != other.is_of_certificate
            && distance.is_none_or(|distance| distance <= MAX_DISTANCE)
    }
}

/// The counts so far.
#[derive(Debug)]
pub(super) struct Counts {
    report: LogsReport,
    clients: Words,
    names: Words,
    invalid_names: Words,
    failures: Words,
    kinds: Kinds,
    request_failures: Words,
    programs: Words,
    /// By `JA4 JA3`, with `-` for none.
    fingerprints: Words,
    /// The last lines of programs that write two lines for one refusal.
    recent: VecDeque<RecentLine>,
    /// Of the current file, refused entries without a name field and without a null.
    unnamed: u64,
    /// The current file has entries with a name and without a null.
    has_names_without_nulls: bool,
    /// Entries without a name field that are read as null, because others of the file have one.
    omitted: u64,
    /// Entries of Apache: refused after the handshake.
    after_handshake: u64,
    /// A time that is not understood.
    odd_time: Option<String>,
    /// Entries of other programs with a time without a zone.
    local_times: u64,
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
            invalid_names: Words::default(),
            failures: Words::default(),
            kinds: Kinds::default(),
            request_failures: Words::default(),
            programs: Words::default(),
            fingerprints: Words::default(),
            recent: VecDeque::new(),
            unnamed: 0,
            has_names_without_nulls: false,
            omitted: 0,
            after_handshake: 0,
            odd_time: None,
            local_times: 0,
            hours: Tally::new(MAX_HOURS),
            without_hour: 0,
            waiting: is_joined.then(Waiting::default),
        }
    }

    /// Counts an entry. `text` is the entry as it was read.
    pub(super) fn add(&mut self, entry: &LogEntry<'_>, text: &[u8]) {
        let time = entry.timestamp();
        if self.is_repeated(entry, time, text) {
            return;
        }
        self.has_names_without_nulls |= entry.is_without_nulls && entry.name != Name::NotLogged;
        let report = &mut self.report;
        report.entries += 1;
        match (time, &entry.time) {
            (Some(time), _) => {
                report.first = Some(report.first.map_or(time, |first| first.min(time)));
                report.last = Some(report.last.map_or(time, |last| last.max(time)));
            }
            (None, Some(odd)) => {
                report.time_not_understood += 1;
                self.odd_time
                    .get_or_insert_with(|| odd[..odd.floor_char_boundary(MAX_TIME_BYTES)].to_owned());
            }
            (None, None) => report.without_time += 1,
        }
        if let Some(program) = entry.program {
            self.programs.add(program.name);
            self.local_times += u64::from(program.is_local_time);
            self.after_handshake += u64::from(program.name == programs::APACHE);
        }
        match entry.kind() {
            Kind::Served => {
                self.report.served += 1;
                if let Some(failure) = entry.request_failure() {
                    self.request_failures.add(failure);
                }
            }
            Kind::NoFilterChain => self.add_refused(entry, time, text),
            Kind::OtherFailure => {
                self.failures.add(&entry.failure());
                self.kinds.add(entry.failure_kind());
            }
            Kind::NoReason => {
                self.failures.add(NO_REASON);
                self.kinds.add(FailureKind::NoReason);
            }
            Kind::Unremarkable => self.report.client_left += u64::from(entry.is_client_left()),
        }
    }

    /// Whether it is the second line of one refusal. Caddy writes one of the certificate and one of the handshake.
    fn is_repeated(&mut self, entry: &LogEntry<'_>, time: Option<Timestamp>, text: &[u8]) -> bool {
        let (Some(program), Some(client)) = (entry.program, &entry.client) else { return false };
        if program.kind != Kind::NoFilterChain || program.name != programs::CADDY {
            return false;
        }
        let line = RecentLine {
            client: client[..client.floor_char_boundary(MAX_TIME_BYTES)].to_owned(),
            is_of_certificate: programs::is_of_certificate(text),
            time,
        };
        if let Some(at) = self.recent.iter().position(|recent| recent.is_of_one_connection(&line)) {
            self.recent.remove(at);
            return true;
        }
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(line);
        false
    }

    /// Ends a file. A format may leave out what is null (Envoy's `omit_empty_values`): an entry without a name field is one with a null name, if
    /// others of its file have the field.
    pub(super) fn end_file(&mut self) {
        if self.has_names_without_nulls {
            self.report.sni_not_logged -= self.unnamed;
            self.report.sni_null += self.unnamed;
            self.omitted += self.unnamed;
        }
        (self.unnamed, self.has_names_without_nulls) = (0, false);
    }

    fn add_refused(&mut self, entry: &LogEntry<'_>, time: Option<Timestamp>, text: &[u8]) {
        let address = entry.client.as_deref().and_then(ClientAddress::parse);
        let report = &mut self.report;
        report.no_filter_chain += 1;
        match &entry.name {
            Name::Present(name) => {
                report.sni_present += 1;
                self.names.add(name);
            }
            Name::Invalid(name) => {
                report.sni_invalid += 1;
                self.invalid_names.add(name);
            }
            Name::Null => {
                report.sni_null += 1;
                // The fourth character of a JA4: `d` with an SNI extension, `i` without.
                match entry.ja4.as_deref().and_then(|ja4| ja4.as_bytes().get(3)) {
                    Some(b'i') => report.null_likely_without_sni += 1,
                    Some(b'd') => report.null_likely_with_sni += 1,
                    _ => {}
                }
            }
            Name::NotLogged => {
                report.sni_not_logged += 1;
                self.unnamed += u64::from(entry.is_without_nulls);
            }
        }
        match (address, &entry.client) {
            (Some(address), _) => self.clients.add(&address.ip.to_string()),
            (None, Some(client)) => self.clients.add(client),
            (None, None) => self.clients.add(UNKNOWN),
        }
        match time.map(|time| time.as_second().div_euclid(SECONDS_PER_HOUR)) {
            Some(hour) => *self.hours.of(&hour) += 1,
            None => self.without_hour += 1,
        }
        if entry.ja4.is_some() || entry.ja3.is_some() {
            let or_none =
                |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or("-").replace(' ', "");
            self.fingerprints.add(&format!("{} {}", or_none(&entry.ja4), or_none(&entry.ja3)));
        }
        if let Some(waiting) = &mut self.waiting
            && matches!(entry.name, Name::Null | Name::NotLogged)
        {
            let is_local = entry.program.is_some_and(|program| program.is_local_time);
            waiting.add(address.and_then(ClientAddress::socket), time.filter(|_| !is_local));
        }
        // One with a null says more of the case that this is about.
        if report.sample.is_none() || (report.sni_null == 1 && entry.name == Name::Null) {
            report.sample =
                Some(String::from_utf8_lossy(&text[..text.len().min(MAX_SAMPLE_BYTES)]).into_owned());
        }
    }

    /// All of it as a report, and what is to be joined.
    pub(super) fn finish(mut self) -> (LogsReport, Option<Waiting>) {
        self.end_file();
        let (hours, other_hours) = self.hours.into_parts();
        let hours: BTreeMap<i64, u64> = hours.collect();
        let hours = hours.iter().map(|(&hour, &count)| Counted { name: hour_name(hour), count });
        let other = other_hours + self.without_hour;
        let other = (other > 0).then(|| Counted { name: REST.to_owned(), count: other });
        let mut report = LogsReport {
            other_failures: self.failures.counted(),
            failure_kinds: self.kinds.counted(),
            request_failures: self.request_failures.counted(),
            by_invalid_name: self.invalid_names.counted(),
            by_fingerprint: self.fingerprints.counted().iter().map(fingerprint).collect(),
            by_program: self.programs.counted(),
            by_client: self.clients.counted(),
            by_hour: hours.chain(other).collect(),
            by_name: self.names.counted(),
            ..self.report
        };
        report.notes = notes(
            &report,
            self.kinds.count(FailureKind::NoReason),
            self.odd_time.as_deref(),
            self.local_times,
        );
        if self.omitted > 0 {
            report.notes.push(format!(
                "{} without a name field beside others that have one: read as a null, which some formats leave out (omit_empty_values)",
                counted(self.omitted, "entry")
            ));
        }
        if self.after_handshake > 0 {
            report.notes.push(format!(
                "{} of Apache, which refuses a client without SNI with status 403, after the handshake",
                counted(self.after_handshake, "entry")
            ));
        }
        (report, self.waiting)
    }
}

fn fingerprint(counted: &Counted) -> Fingerprint {
    let some = |text: &str| (text != "-").then(|| text.to_owned());
    // What is counted together has no fingerprint.
    let (ja4, ja3) = counted.name.split_once(' ').map_or((None, None), |(ja4, ja3)| (some(ja4), some(ja3)));
    let likely = software::likely(ja4.as_deref(), ja3.as_deref()).map(str::to_owned);
    Fingerprint { ja4, ja3, count: counted.count, likely }
}

/// What a reader of the counts has to know.
fn notes(report: &LogsReport, no_reason: u64, odd_time: Option<&str>, local_times: u64) -> Vec<String> {
    let entries = |count| counted(count, "entry");
    let mut notes = Vec::new();
    if let Some(odd) = odd_time {
        notes.push(format!(
            "{} with a time that is not understood (such as {:?}): in no hour, and --events joins by address and port alone; use \
             %START_TIME% without a format",
            entries(report.time_not_understood),
            odd
        ));
    }
    if report.without_time > 0 {
        notes.push(format!(
            "{} without a time: in no hour, and --events joins by address and port alone",
            entries(report.without_time)
        ));
    }
    if local_times > 0 {
        notes.push(format!(
            "{} of other programs with a time without a zone: read as UTC, and --events joins by address and port alone",
            entries(local_times)
        ));
    }
    if no_reason > 0 {
        notes.push(format!(
            "{} without a name and a reason, and with the flags \"-\": Envoy writes this for a ClientHello over its limit (16 KiB), for a \
             missing PROXY header, for a client that left before its ClientHello, and in some formats for a client without SNI that \
             was served",
            entries(no_reason)
        ));
    }
    if report.sni_invalid > 0 {
        notes.push(format!(
            "{} with a name that is no host name (invalid:NAME): an address, or a name with a port, counts as without SNI",
            entries(report.sni_invalid)
        ));
    }
    notes
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

    /// Caddy's two lines of one connection count once, but not those of two.
    #[test]
    fn two_lines_of_one_refusal() {
        let certificate = r#"{"level":"debug","ts":TIME,"msg":"no certificate matching TLS ClientHello","remote":"192.0.2.1:5","server_name":""}"#;
        let handshake = r#"{"level":"debug","ts":TIME,"msg":"http: TLS handshake error from 192.0.2.1:5: no certificate available for ''"}"#;
        for (lines, expected) in [
            (&[(certificate, 0), (handshake, 1)][..], 1),
            (&[(handshake, 0), (certificate, 1)], 1),
            (&[(handshake, 0), (handshake, 1)], 2),
            (&[(certificate, 0), (handshake, 60)], 2),
            (&[(handshake, 0), (handshake, 86_400), (handshake, 172_800)], 3),
            (&[(certificate, 0), (handshake, 0), (certificate, 1), (handshake, 1)], 2),
        ] {
            let mut counts = Counts::new(false);
            for (line, seconds) in lines {
                let line = line.replace("TIME", &(1_738_288_766 + seconds).to_string());
                super::super::recognise::line(line.as_bytes(), None, &mut |entry, text| {
                    counts.add(entry, text);
                });
            }
            let report = counts.finish().0;
            assert_eq!((report.no_filter_chain, report.without_time), (expected, 0), "{lines:?}");
        }
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
