//! What the daemon remembers for the page and `watch`.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp as Utc;
use serde_json::Value;
use sni_probe_core::clients::{ClientKey, ClientLabel, ClientRecord, Clients, Outcomes, Recent};
use sni_probe_core::flow::Timestamp;
use sni_probe_core::last_hour::{LastHour, MINUTES, rest_of_minute};
use sni_probe_core::observation::{Handshake, Observation};
use sni_probe_core::vocabulary::{Label, OutcomeClass, SniClass, TlsVersion};
use sni_probe_kubernetes::Names;
use sni_probe_model::Word;
use sni_probe_model::api::{
    self as model, Count, Facts, Flows, Handshakes, History, LastHandshake, NameCount, Series, Summary,
    VersionCount,
};
use sni_probe_model::facts::RecentFacts;
use sni_probe_telemetry::events::{EventsFilter, Pods, Provenance, WallClock, json};
use sni_probe_telemetry::metrics::{ClientSource, Metrics};

use super::Api;
use super::verdict::{Context, HourCounts, verdict};
use crate::readiness::Readiness;

/// Handshakes that are kept to be told. They are as large as a hello may make them: some 20 KiB each at most.
const MAX_HANDSHAKES: usize = 200;

/// Everything that the API tells.
#[derive(Debug)]
pub struct Board {
    node: String,
    started: Utc,
    ports: Vec<u16>,
    filter: EventsFilter,
    clients: Arc<Mutex<Clients>>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    /// With `--kube`.
    names: Option<Names>,
    memory: Mutex<Memory>,
}

/// What is written by the daemon's loop and read by the server.
#[derive(Debug)]
struct Memory {
    clock: WallClock,
    now: Timestamp,
    totals: Counts<u64>,
    /// Handshakes by the highest version offered.
    versions: [u64; TlsVersion::ALL.len()],
    /// Events that were lost up to `now`.
    lost_events: u64,
    hour: LastHour<Minute>,
    facts: RecentFacts,
    /// The last handshakes that the filter lets through, oldest first, each with its interface.
    handshakes: VecDeque<KeptHandshake>,
}

/// A handshake and where it was seen.
#[derive(Debug)]
struct KeptHandshake {
    interface: Arc<str>,
    pods: Pods,
    handshake: Box<Handshake>,
}

/// Of one minute.
#[derive(Debug, Default)]
struct Minute {
    counts: Counts<u32>,
    verdict: HourCounts,
    /// The known client that was refused last.
    refused_known: Option<IpAddr>,
}

/// Handshakes by source, sni and outcome.
#[derive(Clone, Debug, Default)]
struct Counts<T>([[[Tally<T>; OutcomeClass::ALL.len()]; SniClass::ALL.len()]; ClientSource::ALL.len()]);

/// Handshakes of one kind, and how many of them the gateway refused.
#[derive(Clone, Copy, Debug, Default)]
struct Tally<T> {
    handshakes: T,
    refused: T,
}

impl<T: Copy + Into<u64>> Counts<T> {
    fn at(&mut self, source: ClientSource, sni: SniClass, outcome: OutcomeClass) -> &mut Tally<T> {
        &mut self.0[source as usize][sni as usize][outcome as usize]
    }

    /// Those that occurred.
    fn iter(&self) -> impl Iterator<Item = (ClientSource, SniClass, OutcomeClass, Tally<u64>)> {
        let all = ClientSource::ALL.iter().flat_map(|&source| {
            SniClass::ALL
                .iter()
                .flat_map(move |&sni| OutcomeClass::ALL.iter().map(move |&out| (source, sni, out)))
        });
        let counted = all.map(|(source, sni, outcome)| {
            let Tally { handshakes, refused } = self.0[source as usize][sni as usize][outcome as usize];
            (source, sni, outcome, Tally { handshakes: handshakes.into(), refused: refused.into() })
        });
        counted.filter(|(.., tally)| tally.handshakes > 0)
    }
}

impl Board {
    /// An empty one, of a daemon on `node` that watches `ports`.
    pub fn new(
        node: String,
        ports: Vec<u16>,
        filter: EventsFilter,
        clients: Arc<Mutex<Clients>>,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        names: Option<Names>,
    ) -> Self {
        let memory = Memory {
            clock: WallClock::UTC,
            now: Timestamp::default(),
            totals: Counts::default(),
            versions: Default::default(),
            lost_events: 0,
            hour: LastHour::default(),
            facts: RecentFacts::default(),
            handshakes: VecDeque::new(),
        };
        let memory = Mutex::new(memory);
        Self { node, started: Utc::now(), ports, filter, clients, metrics, readiness, names, memory }
    }

    /// Takes a handshake whose outcome became known.
    pub fn handshake(&self, source: ClientSource, interface: &str, pods: Pods, handshake: Box<Handshake>) {
        let mut memory = self.memory();
        let (sni, outcome) = (handshake.hello.sni.class(), handshake.outcome.class());
        let is_refused = handshake.outcome.is_refused();
        let is_known = source == ClientSource::Expected;
        let total = memory.totals.at(source, sni, outcome);
        total.handshakes += 1;
        total.refused += u64::from(is_refused);
        let version = handshake.hello.body.as_ref().map_or(TlsVersion::Unknown, |body| body.version);
        memory.versions[version as usize] += 1;
        let now = memory.now;
        memory.facts.at(now).add(&handshake);
        let minute = memory.hour.at(now);
        let tally = minute.counts.at(source, sni, outcome);
        tally.handshakes += 1;
        tally.refused += u32::from(is_refused);
        minute.verdict.note(&handshake, is_known);
        if is_refused && is_known && sni.is_without_sni() {
            minute.refused_known = Some(handshake.client().ip());
        }
        if !self.filter.passes(&handshake) {
            return;
        }
        // Names of interfaces repeat: the last one usually fits.
        let interface = match memory.handshakes.back() {
            Some(last) if *last.interface == *interface => Arc::clone(&last.interface),
            _ => interface.into(),
        };
        if memory.handshakes.len() == MAX_HANDSHAKES {
            memory.handshakes.pop_front();
        }
        memory.handshakes.push_back(KeptHandshake { interface, pods, handshake });
    }

    /// Takes a connection that is not TLS.
    pub fn non_tls(&self, connection: &Observation) {
        let mut memory = self.memory();
        let now = memory.now;
        memory.facts.at(now).observe(connection);
    }

    /// Notes what time it is, and how many events were lost up to then.
    pub fn set_time(&self, now: Timestamp, clock: WallClock) {
        let lost_events = self.metrics.lost_events();
        let mut memory = self.memory();
        memory.now = now;
        memory.clock = memory.clock.followed_by(clock);
        let lost = lost_events - memory.lost_events;
        if lost > 0 {
            memory.lost_events = lost_events;
            memory.hour.at(now).verdict.lost_events += lost;
        }
    }

    /// The pod that has the client's address, if it is known. A label that hides the address hides the pod.
    fn name(&self, client: ClientKey) -> Option<String> {
        let ClientKey::Ip(address) = client else { return None };
        self.names.as_ref()?.client(address).map(|name| name.pod.to_string())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A panic elsewhere leaves counts that are whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn books(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Api for Board {
    fn summary(&self) -> Summary {
        let (ready, interfaces) = self.readiness.interfaces();
        let (clients_without_sni, clients_refused, label) = {
            let books = self.books();
            (books.distinct(), books.distinct_refused(), books.config().label.clone())
        };
        let (open, capacity) = self.metrics.flows();
        let (not_seen, alerts) = (self.metrics.not_seen(), self.metrics.alerts());
        let memory = self.memory();
        let unseen = (!ready).then(|| {
            let unready = interfaces.iter().filter(|interface| !interface.ready);
            let lines: Vec<_> =
                unready.map(|interface| format!("{}: {}", interface.name, interface.status)).collect();
            if lines.is_empty() { "no interface yet".to_owned() } else { lines.join("; ") }
        });
        let mut hour = HourCounts::default();
        memory.hour.iter(memory.now).for_each(|(_, minute)| hour.add(&minute.verdict));
        let refused_known = memory.hour.iter(memory.now).find_map(|(_, minute)| minute.refused_known);
        let refused_known = refused_known.and_then(|client| label.key(client)).map(|key| key.to_string());
        let context = Context {
            refused_clients: clients_refused,
            refused_known: refused_known.as_deref(),
            unseen: unseen.as_deref(),
        };
        let (state, sentence) = verdict(&hour, context);
        Summary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.node.clone(),
            time: Utc::now(),
            started: self.started,
            state,
            sentence,
            ready,
            interfaces,
            ports: self.ports.clone(),
            clients_without_sni,
            clients_refused,
            handshakes: memory.totals(),
            last_hour: memory.history(),
            alerts: Some(alerts),
            tls_versions: memory.tls_versions(),
            not_seen,
            flows: Flows { open, capacity },
        }
    }

    fn clients(&self) -> model::Clients {
        let books = self.books();
        let clock = self.memory().clock;
        let mut clients: Vec<model::Client> = books
            .top()
            .map(|(key, record)| model::Client {
                name: self.name(*key),
                ..client(*key, record, clock, books.now())
            })
            .collect();
        clients
            .sort_by(|a, b| (b.refused, b.handshakes, &a.client).cmp(&(a.refused, a.handshakes, &b.client)));
        let mut refused_names: Vec<NameCount> = books
            .names()
            .map(|(name, refusals)| NameCount {
                server_name: name.to_owned(),
                refused: refusals.total(),
                with_ech: refusals.with_ech(),
            })
            .collect();
        refused_names
            .sort_by(|a, b| b.refused.cmp(&a.refused).then_with(|| a.server_name.cmp(&b.server_name)));
        model::Clients {
            time: Utc::now(),
            label: books.config().label.kind().to_owned(),
            capacity: books.config().top as u64,
            clients,
            other: counts(books.other()),
            expected: counts(books.expected()),
            refused_names,
            other_names_refused: books.other_names().total(),
        }
    }

    fn handshakes(&self) -> Handshakes {
        let label = self.books().config().label.clone();
        let memory = self.memory();
        let handshakes = memory.handshakes.iter().rev();
        let event = |KeptHandshake { interface, pods, handshake }: &KeptHandshake| {
            let place = Provenance::Interface { name: interface, pods };
            let mut event = json::value(place, handshake, memory.clock);
            if label != ClientLabel::Ip {
                mask(&mut event, handshake, &label);
            }
            event
        };
        Handshakes {
            time: Utc::now(),
            capacity: MAX_HANDSHAKES as u64,
            handshakes: handshakes.map(event).collect(),
        }
    }

    fn facts(&self) -> Facts {
        let label = self.books().config().label.clone();
        let mut memory = self.memory();
        let now = memory.now;
        let report = memory.facts.report(now, &label);
        Facts { time: Utc::now(), since: memory.clock.utc(memory.facts.since().unwrap_or(now)), report }
    }
}

impl Memory {
    fn totals(&self) -> Vec<Count> {
        let counts = self.totals.iter().map(|(source, sni, outcome, tally)| Count {
            source: Some(source.as_str().to_owned()),
            sni: Word::Known(sni),
            outcome: Word::Known(outcome),
            handshakes: tally.handshakes,
            refused: Some(tally.refused),
        });
        counts.collect()
    }

    fn tls_versions(&self) -> Vec<VersionCount> {
        let counts = TlsVersion::ALL.iter().zip(self.versions).filter(|(_, handshakes)| *handshakes > 0);
        counts
            .map(|(&version, handshakes)| VersionCount { tls_version: Word::Known(version), handshakes })
            .collect()
    }

    fn history(&self) -> History {
        let mut all = Counts::<u64>::default();
        let mut steps = vec![Counts::<u64>::default(); MINUTES];
        for (ago, minute) in self.hour.iter(self.now) {
            let step = &mut steps[MINUTES - 1 - ago];
            for (_, sni, outcome, tally) in minute.counts.iter() {
                // All sources are one.
                for counts in [&mut all, &mut *step] {
                    let sum = counts.at(ClientSource::Other, sni, outcome);
                    sum.handshakes += tally.handshakes;
                    sum.refused += tally.refused;
                }
            }
        }
        let series = all.iter().map(|(source, sni, outcome, _)| {
            let steps = steps.iter_mut().map(|step| *step.at(source, sni, outcome));
            let (handshakes, refused) = steps.map(|tally| (tally.handshakes, tally.refused)).unzip();
            Series {
                sni: Word::Known(sni),
                outcome: Word::Known(outcome),
                handshakes,
                refused: Some(refused),
            }
        });
        let series = series.collect();
        let end = self.clock.utc(self.now.plus(rest_of_minute(self.now)));
        History { step_seconds: 60, end, series }
    }
}

fn client(key: ClientKey, record: &ClientRecord, clock: WallClock, now: Timestamp) -> model::Client {
    let mut per_minute = vec![0; MINUTES];
    for (ago, &count) in record.per_minute.iter(now) {
        per_minute[MINUTES - 1 - ago] = u64::from(count);
    }
    let offer = record.offer.as_ref();
    model::Client {
        client: key.to_string(),
        name: None,
        handshakes: record.outcomes.total(),
        refused: record.outcomes.total_refused(),
        outcomes: counts(&record.outcomes),
        first_seen: clock.utc(record.first_seen),
        last_seen: clock.utc(record.last_seen),
        last_refused: record.last_refused.map(|time| clock.utc(time)),
        gateway: record.recent.back().map_or_else(String::new, |last| last.gateway.to_string()),
        likely: record.likely().map(str::to_owned),
        ja4: offer.and_then(|offer| offer.ja4.clone()),
        ja3: offer.and_then(|offer| offer.ja3.clone()),
        tls_version: offer.map_or(TlsVersion::Unknown, |offer| offer.version).as_str().to_owned(),
        offered_versions: offer.map_or_else(Vec::new, |offer| {
            offer.offered_versions.iter().map(|&version| json::version(version)).collect()
        }),
        alpn: offer
            .map_or_else(Vec::new, |offer| offer.alpn.iter().map(|name| json::escaped(name)).collect()),
        per_minute,
        last_handshakes: record.recent.iter().rev().map(|recent| last_handshake(recent, clock)).collect(),
    }
}

fn last_handshake(recent: &Recent, clock: WallClock) -> LastHandshake {
    let alert = recent.outcome.last_alert();
    LastHandshake {
        time: clock.utc(recent.time),
        sni: Word::Known(recent.sni),
        outcome: Word::Known(recent.outcome.class()),
        alert_sender: alert.map(|(_, sender)| Word::Known(sender)),
        alert: alert.map(|(description, _)| description.as_str().to_owned()),
        negotiated_version: recent.negotiated.and_then(json::negotiated_version).map(str::to_owned),
        cipher_suite: recent.negotiated.map(json::cipher_suite),
        group: recent.negotiated.and_then(json::group),
        latency_us: u64::try_from(recent.latency.as_micros()).unwrap_or(u64::MAX),
        gateway: recent.gateway.to_string(),
    }
}

/// Those that occurred.
fn counts(outcomes: &Outcomes) -> Vec<Count> {
    let counts = outcomes.iter().filter(|(.., count)| *count > 0).map(|(sni, outcome, handshakes)| Count {
        source: None,
        sni: Word::Known(sni),
        outcome: Word::Known(outcome),
        handshakes,
        refused: Some(outcomes.refused(sni, outcome)),
    });
    counts.collect()
}

/// Puts the label of the client in the place of each of its addresses.
fn mask(event: &mut Value, handshake: &Handshake, label: &ClientLabel) {
    let text =
        |address| Value::from(label.key(address).map_or_else(|| "-".to_owned(), |key| key.to_string()));
    event["client"] = text(handshake.client().ip());
    event["client_pod"] = Value::Null;
    event["peer"] = text(handshake.flow.client.ip());
    if let Some(proxied) = handshake.proxied {
        event["proxied_client"] = text(proxied.client.ip());
    }
}

#[cfg(test)]
mod tests;
