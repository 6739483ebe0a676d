//! What a capture comes to: how many handshakes by SNI and outcome, which clients sent no SNI, and which were refused with a name.

use std::fmt::{self, Display, Write as _};
use std::net::IpAddr;

use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::{Handshake, Outcome, Sni};
use sni_probe_core::software;
use sni_probe_core::tally::Tally;
use sni_probe_core::vocabulary::{Label, OutcomeClass, SniClass};
use sni_probe_telemetry::events::WallClock;
use sni_probe_telemetry::events::text::{outcome_colour, result, sni_colour};
use sni_probe_terminal::{Cell, Colour, Column, Painted, Table, printable};

/// Clients that are distinguished in each of the two lists, by address, name and fingerprint. Stops
/// a capture of a scan with forged addresses from filling the memory; further ones are counted together.
pub(super) const MAX_CLIENTS: usize = 16_384;

/// Characters of the number of a client's hellos.
const WIDTH: usize = 8;
/// Clients that are shown, those with the most hellos first.
const SHOWN_CLIENTS: usize = 100;

/// Counts of handshakes.
#[derive(Debug)]
pub(super) struct Summary {
    counts: [[u64; OutcomeClass::ALL.len()]; SniClass::ALL.len()],
    /// How many of them the gateway refused.
    refused: [[u64; OutcomeClass::ALL.len()]; SniClass::ALL.len()],
    /// Clients without SNI, and the hellos of those for which there was no room.
    clients: Clients,
    /// The same of refused handshakes with a name.
    refused_with_name: Clients,
}

type Clients = Tally<SummaryKey, ClientRow, u64>;

/// The hellos of a client with one name and one fingerprint.
#[derive(Clone, Debug)]
struct ClientRow {
    /// The software that likely sent them.
    likely: Option<&'static str>,
    /// The place of the first one in the captures.
    first: String,
    /// Each outcome once, in the order in which they occurred first, with the number of hellos.
    outcomes: Vec<(Outcome, u64)>,
}

impl ClientRow {
    fn count(&mut self, outcome: Outcome) {
        match self.outcomes.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count += 1,
            None => self.outcomes.push((outcome, 1)),
        }
    }

    fn hellos(&self) -> u64 {
        self.outcomes.iter().map(|(_, count)| count).sum()
    }
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            counts: Default::default(),
            refused: Default::default(),
            clients: Tally::new(MAX_CLIENTS),
            refused_with_name: Tally::new(MAX_CLIENTS),
        }
    }
}

/// Distinguishes the lines of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SummaryKey {
    address: IpAddr,
    sni: Sni,
    ja4: Option<String>,
}

impl Summary {
    /// Counts a handshake. `place` says where it is in the captures.
    pub(super) fn add(&mut self, handshake: &Handshake, place: impl FnOnce() -> String) {
        let sni = handshake.hello.sni.class();
        let outcome = handshake.outcome.class() as usize;
        self.counts[sni as usize][outcome] += 1;
        self.refused[sni as usize][outcome] += u64::from(handshake.outcome.is_refused());
        let clients = if sni.is_without_sni() {
            &mut self.clients
        } else if sni == SniClass::Present && handshake.outcome.is_refused() {
            &mut self.refused_with_name
        } else {
            return;
        };
        let key = SummaryKey {
            address: handshake.client().ip(),
            sni: handshake.hello.sni.clone(),
            ja4: handshake.hello.body.as_ref().and_then(|body| body.ja4.clone()),
        };
        let likely = software::likely_sender(&handshake.hello);
        match clients.entry(&key, || Some(ClientRow { likely, first: place(), outcomes: Vec::new() })) {
            Ok(row) => row.count(handshake.outcome),
            Err(others) => *others += 1,
        }
    }

    /// The summary for people.
    pub(super) fn show(&self, colour: bool) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _ = self.write(&mut text, colour);
        text
    }

    fn write(&self, text: &mut String, colour: bool) -> fmt::Result {
        self.write_counts(text, colour)?;
        write_clients(text, "Clients without SNI, by number of hellos:", &self.clients, colour)?;
        let title = "Clients with a name that were refused, by number of refused hellos:";
        write_clients(text, title, &self.refused_with_name, colour)
    }

    fn write_counts(&self, text: &mut String, colour: bool) -> fmt::Result {
        let total: u64 = self.counts.iter().flatten().sum();
        if total == 0 {
            return writeln!(text, "No TLS handshakes.");
        }
        let of_outcome = |outcome: OutcomeClass| -> u64 {
            self.counts.iter().map(|counts| counts[outcome as usize]).sum()
        };
        let outcomes: Vec<_> = OutcomeClass::ALL.iter().filter(|&&outcome| of_outcome(outcome) > 0).collect();
        let numbers = outcomes.iter().map(|outcome| Column::right(outcome.as_str()).at_least(10));
        let columns = [Column::left("SNI").at_least(8), Column::right("hellos").at_least(10)];
        let mut table = Table::new(columns.into_iter().chain(numbers).collect::<Vec<_>>());
        for &sni in SniClass::ALL {
            let counts = &self.counts[sni as usize];
            let hellos: u64 = counts.iter().sum();
            if hellos == 0 {
                continue;
            }
            let of_outcomes = outcomes.iter().map(|&&outcome| {
                let count = counts[outcome as usize];
                let is_red = colour && self.refused[sni as usize][outcome as usize] > 0;
                Cell::painted(count.to_string(), is_red.then_some(Colour::Red))
            });
            table.row([sni.into(), hellos.into()].into_iter().chain(of_outcomes));
        }
        let of_outcomes = outcomes.iter().map(|&&outcome| of_outcome(outcome).into());
        table.row(["all".into(), total.into()].into_iter().chain(of_outcomes));
        write!(text, "{table}")
    }
}

fn write_clients(text: &mut String, title: &str, list: &Clients, colour: bool) -> fmt::Result {
    let mut clients: Vec<_> = list.iter().collect();
    if clients.is_empty() {
        return Ok(());
    }
    clients.sort_by(|(one_key, one), (other_key, other)| {
        let by_number = other.hellos().cmp(&one.hellos());
        let order = |key: &SummaryKey| (key.address, key.ja4.clone(), said(&key.sni));
        by_number.then_with(|| order(one_key).cmp(&order(other_key)))
    });
    writeln!(text, "\n{title}")?;
    let more = clients.split_off(clients.len().min(SHOWN_CLIENTS));
    let mut table = Table::new([
        Column::right("hellos").at_least(WIDTH),
        Column::left("client"),
        Column::left("SNI"),
        Column::left("JA4").at_least(36),
        Column::left("likely"),
        Column::left("first"),
        Column::left("what became of them"),
    ]);
    for (key, row) in &clients {
        table.row([
            row.hellos().into(),
            key.address.into(),
            Cell::painted(said(&key.sni), colour.then(|| sni_colour(&key.sni)).flatten()),
            key.ja4.as_deref().map_or_else(|| "-".to_owned(), printable).into(),
            row.likely.unwrap_or("-").into(),
            row.first.as_str().into(),
            outcome_list(&row.outcomes, colour).into(),
        ]);
    }
    write!(text, "{table}")?;
    if !more.is_empty() {
        let hellos: u64 = more.iter().map(|(_, row)| row.hellos()).sum();
        writeln!(text, "{hellos:>WIDTH$}  of {} more (all of them: --format json)", more.len())?;
    }
    if *list.rest() > 0 {
        writeln!(
            text,
            "{:>WIDTH$}  of further clients, after the first {MAX_CLIENTS} (all of them: --format json)",
            list.rest()
        )?;
    }
    Ok(())
}

/// What a hello says of the server's name.
fn said(sni: &Sni) -> String {
    match sni {
        Sni::Present(name) => printable(name),
        Sni::Invalid(name) => format!("invalid: {}", printable(name)),
        other => other.class().to_string(),
    }
}

/// `reset_by_gateway 9, alert unrecognized_name 1`.
fn outcome_list(outcomes: &[(Outcome, u64)], colour: bool) -> String {
    let counts = outcomes.iter().map(|&(outcome, count)| {
        let text = format!("{} {count}", result(outcome));
        Painted::new(text, colour.then(|| outcome_colour(outcome))).to_string()
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// The span of time that the captures cover.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    ends: Option<(Timestamp, Timestamp)>,
}

impl Span {
    /// Takes in the time of a frame.
    pub(super) fn add(&mut self, time: Timestamp) {
        let (first, last) = self.ends.unwrap_or((time, time));
        self.ends = Some((first.min(time), last.max(time)));
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, last)) = self.ends else { return Ok(()) };
        let [first_time, last_time] = [first, last].map(|time| WallClock::UTC.utc(time));
        write!(
            f,
            ", {} to {} UTC ({:.1} s)",
            first_time.strftime("%Y-%m-%d %H:%M:%S"),
            last_time.strftime("%Y-%m-%d %H:%M:%S"),
            last.since(first).as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_core::FlowKey;
    use sni_probe_core::observation::{AnswerDetails, Hello, HelloBody};
    use sni_probe_core::vocabulary::TlsVersion;

    use super::*;

    fn handshake(client: u32, sni: Sni) -> Handshake {
        Handshake {
            flow: FlowKey {
                client: (std::net::Ipv4Addr::from_bits(client), 50_000).into(),
                gateway: "192.0.2.1:443".parse().unwrap(),
            },
            place: sni_probe_core::flow::Place(1),
            proxied: None,
            time: Timestamp(0),
            hello: Hello { sni, ..Hello::default() },
            outcome: Outcome::ResetByGateway,
            latency: std::time::Duration::ZERO,
            answer: AnswerDetails::default(),
        }
    }

    #[test]
    fn clients_with_the_most_hellos_first() {
        let mut summary = Summary::default();
        for client in [1, 2, 2, 3] {
            summary.add(&handshake(client, Sni::Absent), || format!("a.pcap:{client}"));
        }
        let mut served = handshake(4, Sni::Present("a.example".to_owned()));
        served.outcome = Outcome::ServerHello;
        summary.add(&served, || unreachable!("neither without SNI nor refused"));
        let text = summary.show(false);
        let of = |client: &str| text.find(client).unwrap_or_else(|| panic!("{client} is not in\n{text}"));
        assert!(of("0.0.0.2") < of("0.0.0.1") && of("0.0.0.1") < of("0.0.0.3"));
        assert!(!text.contains("0.0.0.4") && !text.contains("with a name"));
        assert!(text.contains("reset_by_gateway 2"));
    }

    #[test]
    fn clients_are_named_by_their_fingerprint_where_it_is_known() {
        let with = |client, sni, ja4: &str| {
            let mut handshake = handshake(client, sni);
            handshake.hello.body = Some(HelloBody {
                sslv2: false,
                legacy_version: 0x0303,
                offered_versions: Vec::new(),
                version: TlsVersion::Tls13,
                alpn: Vec::new(),
                name_as_sent: None,
                ja3: None,
                ja4: Some(ja4.to_owned()),
                random: Vec::new(),
            });
            handshake
        };
        let known = "t13i3111h2_e8f1e7e78f70_b26ce05bbdd6";
        let mut summary = Summary::default();
        summary.add(&with(1, Sni::Absent, known), String::new);
        summary.add(&with(2, Sni::Absent, "t13i0000h2_aaaaaaaaaaaa_bbbbbbbbbbbb"), String::new);
        // The same hello with a name.
        let named = "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6";
        for _ in 0..2 {
            summary.add(&with(3, Sni::Present("a.example".to_owned()), named), String::new);
        }
        let text = summary.show(false);
        let (without, refused) = text.split_once("Clients with a name that were refused").unwrap();
        assert!(!without.contains("0.0.0.3") && !refused.contains("0.0.0.1"), "{text}");
        assert!(refused.contains("       2  0.0.0.3  a.example  t13d3112h2"), "{text}");
        assert!(refused.contains("reset_by_gateway 2"), "{text}");
        let likely = |client: &str| -> String {
            let line = text.lines().find(|line| line.contains(client)).unwrap();
            line.split("  ").filter(|column| !column.is_empty()).nth(4).unwrap().trim().to_owned()
        };
        assert_eq!(software::likely(Some(known), None), Some(likely("0.0.0.1").as_str()), "{text}");
        assert_eq!(likely("0.0.0.2"), "-", "{text}");
        assert_eq!(likely("0.0.0.3"), likely("0.0.0.1"), "{text}");
    }

    #[test]
    fn refused_names_have_a_limit_of_their_own() {
        let mut summary = Summary::default();
        let names = u32::try_from(MAX_CLIENTS).unwrap() + 3;
        for name in 0..names {
            summary.add(&handshake(1, Sni::Present(format!("{name}.example"))), String::new);
        }
        summary.add(&handshake(2, Sni::Absent), String::new);
        assert_eq!((summary.refused_with_name.len(), *summary.refused_with_name.rest()), (MAX_CLIENTS, 3));
        let text = summary.show(false);
        assert!(text.contains("3  of further clients, after the first 16384"), "{text}");
        assert!(text.contains("0.0.0.2"), "{text}");
    }

    /// Every hello is counted, be there room for its client or not.
    #[test]
    fn more_clients_than_are_distinguished() {
        let mut summary = Summary::default();
        let clients = u32::try_from(MAX_CLIENTS).unwrap() + 10;
        for client in 0..clients {
            summary.add(&handshake(client, Sni::Absent), String::new);
        }
        // Known ones go on being told apart.
        summary.add(&handshake(0, Sni::Absent), String::new);
        assert_eq!(summary.clients.len(), MAX_CLIENTS);
        assert_eq!(*summary.clients.rest(), 10);
        let counted: u64 = summary.clients.iter().map(|(_, row)| row.hellos()).sum();
        assert_eq!(counted + summary.clients.rest(), u64::from(clients) + 1);
        let text = summary.show(false);
        assert!(text.contains("10  of further clients, after the first 16384"), "{text}");
    }
}
