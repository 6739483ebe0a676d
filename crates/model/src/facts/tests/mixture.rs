//! Random mixtures of handshakes at one gateway, refused by one planted cause.
//!
//! The clients are like those that connect to real gateways: a client keeps its software, its path and its names, so that
//! properties come together. Browsers offer post-quantum groups, so their hellos are long and mostly in two segments.

use std::net::Ipv4Addr;
use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Place, Timestamp};
use sni_probe_core::observation::{AnswerDetails, Features, Handshake, Hello, HelloBody, Outcome, Sni};
use sni_probe_core::vocabulary::{AlertDescription, AlertSender, Feature, TlsVersion};

use crate::facts::FactName;

/// A generator with a seed (`SplitMix64`).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).unwrap()
    }

    pub(super) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// Whether something happens that does so in `percent` of all cases.
    pub(super) fn is(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    pub(super) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(u32::try_from(all.len()).unwrap()) as usize]
    }
}

/// A kind of client software.
#[derive(Clone, Copy, Debug)]
struct Software {
    /// Length of a hello without its name.
    length: u32,
    /// By how much a session ticket, GREASE and padding vary the length.
    varies: u32,
    versions: &'static [u16],
    /// Without `supported_versions`.
    highest: TlsVersion,
    alpn: &'static [&'static str],
    is_post_quantum: bool,
    /// How many of a hundred clients are of it.
    share: u32,
}

const BROWSER: &[&str] = &["h2", "http/1.1"];
const BOTH: &[u16] = &[0x0304, 0x0303];

const fn software(length: u32, varies: u32, alpn: &'static [&'static str], share: u32) -> Software {
    let is_post_quantum = length > 1_300;
    Software { length, varies, versions: BOTH, highest: TlsVersion::Tls13, alpn, is_post_quantum, share }
}

/// Of TLS 1.2 and older: with a ticket, or padded (RFC 7685), they are as long as hellos of TLS 1.3.
const fn old(length: u32, highest: TlsVersion, alpn: &'static [&'static str], share: u32) -> Software {
    Software { length, varies: 330, versions: &[], highest, alpn, is_post_quantum: false, share }
}

const SOFTWARE: [Software; 13] = [
    software(1_730, 320, BROWSER, 14),
    software(1_850, 120, BROWSER, 6),
    software(1_470, 150, &[], 10),
    software(1_440, 30, BROWSER, 8),
    software(490, 220, BROWSER, 16),
    software(380, 200, &[], 12),
    software(300, 150, &["http/1.1"], 8),
    software(280, 30, &["mqtt", "x-amzn-mqtt-ca"], 3),
    Software { versions: &[0x0304], ..software(260, 20, BROWSER, 4) },
    old(200, TlsVersion::Tls12, &[], 10),
    old(210, TlsVersion::Tls12, &["http/1.1"], 4),
    old(130, TlsVersion::Tls11, &[], 2),
    old(110, TlsVersion::Tls10, &[], 3),
];

/// A client: what it does at each connection.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what a client may do is independent of the rest")]
struct Client {
    address: Ipv4Addr,
    software: Software,
    /// Bytes that a segment of its path has room for.
    segment: u32,
    /// How often segments are seen as one, as receive offload makes them.
    merged: u32,
    names: Vec<Option<String>>,
    has_dot: bool,
    has_upper_case: bool,
    has_two_records: bool,
    /// It writes the record header by itself.
    has_own_header: bool,
    has_proxy_header: bool,
    /// Bytes that it sends besides: many ALPN names, a large ticket.
    extra: u32,
}

/// Why the gateway refuses, besides what it refuses anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Nothing,
    /// No matter what is sent: it is overloaded, in this percentage of cases.
    Chance(u32),
    Split,
    Size(u32),
    Records,
    Proxy {
        is_wanted: bool,
    },
    AlpnLacks,
    AlpnWanted,
    Names,
    Dot,
    UpperCase,
    TooOld(TlsVersion),
    Intolerant,
    TooNew,
    Everything,
}

impl Cause {
    pub(super) fn fact(self) -> Option<FactName> {
        Some(match self {
            Self::Nothing | Self::Chance(_) => return None,
            Self::Split => FactName::SplitHello,
            Self::Size(_) => FactName::HelloSize,
            Self::Records => FactName::TwoRecords,
            Self::Proxy { .. } => FactName::ProxyHeader,
            Self::AlpnLacks | Self::AlpnWanted => FactName::Alpn,
            Self::Names => FactName::OneName,
            Self::Dot => FactName::TrailingDot,
            Self::UpperCase => FactName::UpperCase,
            Self::TooOld(_) | Self::Intolerant | Self::TooNew => FactName::Versions,
            Self::Everything => FactName::RefusesEverything,
        })
    }

    /// Any of those with a fact.
    pub(super) fn any(random: &mut Random) -> Self {
        match random.below(14) {
            0 => Self::Split,
            1 => Self::Size(random.one_of(&[600, 1_024, 1_200, 1_500, 2_048, 4_096, 8_000, 16_380])),
            2 => Self::Records,
            3 => Self::Proxy { is_wanted: true },
            4 => Self::Proxy { is_wanted: false },
            5 => Self::AlpnLacks,
            6 => Self::AlpnWanted,
            7 => Self::Names,
            8 => Self::Dot,
            9 => Self::UpperCase,
            10 => Self::TooOld(random.one_of(&[TlsVersion::Tls12, TlsVersion::Tls11])),
            11 => Self::Intolerant,
            12 => Self::TooNew,
            _ => Self::Everything,
        }
    }

    fn refuses(self, hello: &Hello, random: &mut Random) -> bool {
        let body = hello.body.as_ref().unwrap();
        let offers = |protocol: &str| body.alpn.iter().any(|name| name == protocol.as_bytes());
        let has_proxy =
            hello.features.contains(Feature::ProxyV1) || hello.features.contains(Feature::ProxyV2);
        match self {
            Self::Nothing => false,
            Self::Chance(percent) => random.is(percent),
            Self::Split => hello.segments > 1,
            Self::Size(bytes) => hello.length >= bytes,
            Self::Records => hello.records > 1,
            Self::Proxy { is_wanted } => has_proxy != is_wanted,
            Self::AlpnLacks => !body.alpn.is_empty() && !offers("h2") && !offers("http/1.1"),
            Self::AlpnWanted => body.alpn.is_empty(),
            Self::Names => hello.sni.name().is_some_and(|name| name.starts_with("unknown")),
            Self::Dot => hello.sni.name().is_some_and(|name| name.ends_with('.')),
            Self::UpperCase => body.name_as_sent.is_some(),
            // The order is from the newest to the oldest.
            Self::TooOld(limit) => body.version >= limit,
            Self::Intolerant => body.version == TlsVersion::Tls13,
            Self::TooNew => body.offered_versions == [0x0304],
            Self::Everything => true,
        }
    }
}

/// Handshakes at one gateway.
pub(super) struct Mixture {
    pub(super) cause: Cause,
    pub(super) handshakes: Vec<Handshake>,
    /// Handshakes that the planted cause refused, and that nothing else would have refused.
    pub(super) refused_by_cause: usize,
    /// Refused handshakes with a name that no route serves.
    pub(super) unknown_names: usize,
}

impl Mixture {
    pub(super) fn new(cause: Cause, random: &mut Random) -> Self {
        let clients = clients(cause, random);
        let serves_without_sni = random.is(30);
        // Scanners and wrong DNS entries bring names that no route serves.
        let unknown = if cause == Cause::Names { 15 } else { random.one_of(&[0, 0, 1, 5]) };
        // How this gateway refuses what it does not serve.
        let refusal = refusal(random);
        let mut mixture = Self { cause, handshakes: Vec::new(), refused_by_cause: 0, unknown_names: 0 };
        let mut time = Timestamp(1_000_000_000);
        for number in 0..random.between(60, 400) {
            time = time.plus(Duration::from_millis(u64::from(random.between(1, 4_000))));
            let client = &clients[random.below(u32::try_from(clients.len()).unwrap()) as usize];
            let hello = client.hello(unknown, random);
            let has_unknown_name = hello.sni.name().is_some_and(|name| name.starts_with("unknown"));
            let is_refused_anyway = (!serves_without_sni && hello.sni.class().is_without_sni())
                || (has_unknown_name && cause != Cause::Names);
            let is_refused_by_cause = cause.refuses(&hello, random);
            let outcome = match random.below(400) {
                0..=7 => Outcome::Timeout,
                8..=11 => Outcome::ResetByClient,
                12 | 13 => Outcome::ClosedByClient,
                // The gateway is restarted, or has too much to do.
                14 | 15 => Outcome::ResetByGateway,
                _ if is_refused_anyway => refusal,
                _ if is_refused_by_cause => {
                    mixture.refused_by_cause += 1;
                    cause_refusal(cause, refusal)
                }
                _ => random.one_of(&[Outcome::ServerHello, Outcome::Established, Outcome::Established]),
            };
            mixture.unknown_names += usize::from(has_unknown_name && outcome.is_refused());
            mixture.handshakes.push(Handshake {
                flow: FlowKey {
                    client: (client.address, u16::try_from(40_000 + number).unwrap()).into(),
                    gateway: "198.51.100.1:443".parse().unwrap(),
                },
                place: Place(1),
                proxied: None,
                time,
                hello,
                outcome,
                latency: Duration::from_micros(200),
                answer: AnswerDetails::default(),
            });
        }
        mixture
    }
}

fn refusal(random: &mut Random) -> Outcome {
    let alert = |description| Outcome::Alert { description, sender: AlertSender::Gateway };
    random.one_of(&[
        Outcome::ResetByGateway,
        Outcome::ClosedByGateway,
        alert(AlertDescription::UnrecognizedName),
        alert(AlertDescription::HandshakeFailure),
    ])
}

/// Some gateways say why.
fn cause_refusal(cause: Cause, refusal: Outcome) -> Outcome {
    let alert = |description| Outcome::Alert { description, sender: AlertSender::Gateway };
    match (cause, refusal) {
        (Cause::TooOld(_), Outcome::ClosedByGateway) => alert(AlertDescription::ProtocolVersion),
        (Cause::AlpnLacks, Outcome::ClosedByGateway) => alert(AlertDescription::NoApplicationProtocol),
        _ => refusal,
    }
}

fn clients(cause: Cause, random: &mut Random) -> Vec<Client> {
    let served: Vec<String> =
        (0..random.between(1, 6)).map(|number| format!("api{number}.example")).collect();
    // On some gateways a load balancer brings part of the connections.
    let with_proxy = match cause {
        Cause::Proxy { .. } => random.between(20, 80),
        _ => random.one_of(&[0, 0, 0, 100, 40]),
    };
    let large = if matches!(cause, Cause::Size(2_048..)) { 12 } else { 2 };
    let dots = if cause == Cause::Dot { 15 } else { 4 };
    let upper = if cause == Cause::UpperCase { 15 } else { 4 };
    let two_records = if cause == Cause::Records { 12 } else { 7 };
    let shares: u32 = SOFTWARE.iter().map(|software| software.share).sum();
    let mut clients = Vec::new();
    for number in 0..random.between(15, 60) {
        let mut at = random.below(shares);
        let software = SOFTWARE.iter().find(|software| {
            let is_here = at < software.share;
            at = at.saturating_sub(software.share);
            is_here
        });
        let mut software = *software.unwrap();
        match cause {
            Cause::TooNew if random.is(15) => software.versions = &[0x0304],
            Cause::AlpnLacks if random.is(15) => {
                software.alpn = random.one_of(&[&["mqtt"][..], &["imap"], &["h3"]]);
            }
            _ => {}
        }
        let names = if random.is(15) {
            vec![None]
        } else {
            (0..random.between(1, 3))
                .map(|_| Some(served[random.below(u32::try_from(served.len()).unwrap()) as usize].clone()))
                .collect()
        };
        clients.push(Client {
            address: Ipv4Addr::from_bits(0x0a00_0001 + number),
            software,
            segment: random.one_of(&[1_460, 1_460, 1_448, 1_400, 1_240, 1_360]),
            merged: random.one_of(&[0, 10, 30, 60]),
            names,
            has_dot: random.is(dots),
            has_upper_case: random.is(upper),
            has_two_records: random.is(two_records),
            has_own_header: random.is(8),
            has_proxy_header: random.is(with_proxy),
            extra: if random.is(large) { random.one_of(&[1_500, 3_000, 7_000, 9_000, 17_000]) } else { 0 },
        });
    }
    clients
}

impl Client {
    fn hello(&self, unknown: u32, random: &mut Random) -> Hello {
        let software = &self.software;
        let mut name = self.names[random.below(u32::try_from(self.names.len()).unwrap()) as usize].clone();
        if name.is_some() && random.is(unknown) {
            name = Some(format!("unknown{}.example", random.below(12)));
        }
        let mut name_as_sent = None;
        if let Some(name) = &mut name {
            if self.has_dot && random.is(70) {
                name.push('.');
            }
            if self.has_upper_case && random.is(70) {
                name_as_sent = Some(name.to_ascii_uppercase());
            }
        }
        let name_len = name.as_ref().map_or(0, |name| u32::try_from(name.len()).unwrap() + 9);
        let length = software.length + name_len + self.extra + random.below(software.varies + 1);
        let records = if self.has_two_records || length > 16_380 { 2 } else { 1 };
        let bytes = length + 5 * records;
        let segments = bytes.div_ceil(self.segment) + u32::from(self.has_own_header);
        let segments = if segments > 1 && random.is(self.merged) { 1 } else { segments };
        let mut features = Features::default();
        for (is, feature) in [
            (software.is_post_quantum, Feature::PostQuantum),
            (segments > 1, Feature::MultiSegment),
            (records > 1, Feature::MultiRecord),
            (self.has_proxy_header, Feature::ProxyV2),
        ] {
            if is {
                features.insert(feature);
            }
        }
        let sni = name.map_or(Sni::Absent, Sni::Present);
        let body = HelloBody {
            sslv2: false,
            legacy_version: 0x0303,
            offered_versions: software.versions.to_vec(),
            version: software.highest,
            alpn: software.alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            name_as_sent,
            ja3: None,
            ja4: None,
            random: Vec::new(),
        };
        Hello { sni, body: Some(body), length, segments, records, features, ..Hello::default() }
    }
}
