//! What refused and served handshakes are counted by.

use std::hash::{Hash, Hasher};

use sni_probe_core::observation::{Hello, HelloBody};
use sni_probe_core::vocabulary::{Feature, Label as _, TlsVersion};

/// The properties of a ClientHello that may separate refused handshakes from served ones. Handshakes with the same profile
/// are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each property is independent of the others")]
pub(super) struct Profile {
    pub(super) name: NameKey,
    pub(super) has_trailing_dot: bool,
    /// The client sent the name with upper-case letters.
    pub(super) has_upper_case: bool,
    pub(super) is_post_quantum: bool,
    pub(super) has_proxy_header: bool,
    /// TCP segments, at most [`MANY`].
    pub(super) segments: u8,
    /// TLS records, at most [`MANY`].
    pub(super) records: u8,
    pub(super) size: SizeClass,
    pub(super) versions: Versions,
    pub(super) alpn: AlpnKey,
}

/// So many segments, or records, and more are counted together.
pub(super) const MANY: u8 = 4;

impl Profile {
    pub(super) fn of(hello: &Hello, body: &HelloBody, name: NameKey, alpn: AlpnKey) -> Self {
        let at_most_many = |count: u32| u8::try_from(count).unwrap_or(MANY).min(MANY);
        let features = hello.features;
        Self {
            name,
            has_trailing_dot: hello.sni.name().is_some_and(|name| name.ends_with('.')),
            has_upper_case: body.name_as_sent.is_some(),
            is_post_quantum: features.contains(Feature::PostQuantum),
            has_proxy_header: features.contains(Feature::ProxyV1) || features.contains(Feature::ProxyV2),
            segments: at_most_many(hello.segments),
            records: at_most_many(hello.records),
            size: SizeClass::of(hello.length),
            versions: Versions::of(body),
            alpn,
        }
    }
}

impl Hash for Profile {
    /// One write instead of ten: this is the cost of a handshake.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let name = match self.name {
            NameKey::Known(number) => u64::from(number),
            NameKey::Rest => 1 << 16,
            NameKey::Absent => 2 << 16,
            NameKey::Empty => 3 << 16,
            NameKey::Invalid => 4 << 16,
        };
        let alpn = match self.alpn {
            AlpnKey::Known(number) => u64::from(number),
            AlpnKey::None => 1 << 8,
            AlpnKey::Rest => 2 << 8,
        };
        let flags = [self.has_trailing_dot, self.has_upper_case, self.is_post_quantum, self.has_proxy_header];
        let flags = flags.into_iter().fold(0, |flags, flag| flags << 1 | u64::from(flag));
        let numbers = [
            (alpn, 10),
            (flags, 4),
            (self.segments.into(), 3),
            (self.records.into(), 3),
            (self.size.0.into(), 4),
            (self.versions.0.into(), 8),
        ];
        state.write_u64(numbers.into_iter().fold(name, |packed, (number, bits)| packed << bits | number));
    }
}

/// What a ClientHello says of the server's name, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKey {
    /// The gateway's name with this number: in lower case, without a trailing dot.
    Known(u16),
    /// A name for which there was no room.
    Rest,
    Absent,
    Empty,
    Invalid,
}

/// The list of ALPN protocols of a ClientHello, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlpnKey {
    /// No protocol.
    None,
    /// The gateway's list with this number.
    Known(u8),
    /// A list for which there was no room.
    Rest,
}

/// A class of lengths of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SizeClass(u8);

impl SizeClass {
    /// The shortest length of each class but the first, in bytes. About 1,400 bytes fill a segment; 16,384 fill a record.
    const FROM: [u32; 9] = [256, 512, 1_024, 1_400, 2_048, 4_096, 8_192, 16_384, 32_768];

    /// The class of a length in bytes.
    pub(super) fn of(length: u32) -> Self {
        let class = Self::FROM.partition_point(|&from| from <= length);
        Self(u8::try_from(class).unwrap_or_default())
    }

    /// All classes, the shortest lengths first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0_u8..).take(Self::FROM.len() + 1).map(Self)
    }
}

impl std::fmt::Display for SizeClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class = usize::from(self.0);
        let from = class.checked_sub(1).map_or(0, |before| Self::FROM[before]);
        match Self::FROM.get(class) {
            Some(next) => write!(f, "{from}-{}", next - 1),
            None => write!(f, "{from}-"),
        }
    }
}

/// A set of TLS versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions(u8);

impl Versions {
    /// The versions that a ClientHello offers. Without `supported_versions`, these are the highest one and, down to TLS 1.0, all
    /// older ones (RFC 5246, appendix E.1).
    fn of(body: &HelloBody) -> Self {
        let mut offered = Self::default();
        for &code in &body.offered_versions {
            offered.insert(TlsVersion::from_code(code));
        }
        if offered == Self::default() {
            offered.insert(body.version);
            let older = [TlsVersion::Tls12, TlsVersion::Tls11, TlsVersion::Tls10];
            older.into_iter().filter(|&older| older > body.version).for_each(|older| offered.insert(older));
        }
        offered
    }

    fn insert(&mut self, version: TlsVersion) {
        if version != TlsVersion::Unknown {
            self.0 |= 1 << version as u8;
        }
    }

    /// The versions, the newest first.
    pub(super) fn iter(self) -> impl DoubleEndedIterator<Item = TlsVersion> {
        TlsVersion::ALL.iter().copied().filter(move |&version| self.0 & (1 << version as u8) != 0)
    }

    pub(super) fn newest(self) -> Option<TlsVersion> {
        self.iter().next()
    }

    pub(super) fn oldest(self) -> Option<TlsVersion> {
        self.iter().next_back()
    }
}

/// Handshakes of one profile.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Refused, with or without a stated reason.
    pub(super) refused: Lengths,
    /// Those of them that an alert of the gateway gives a reason for, by [`StatedReason`].
    pub(super) stated: [u32; StatedReason::ALL.len()],
    pub(super) served: Lengths,
    /// Neither refused nor served.
    pub(super) failed: u32,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.refused.add(other.refused);
        self.served.add(other.served);
        self.failed = self.failed.saturating_add(other.failed);
        for (sum, count) in self.stated.iter_mut().zip(other.stated) {
            *sum = sum.saturating_add(count);
        }
    }
}

sni_probe_core::label! {
    /// A reason for a refusal that the gateway's alert gives.
    pub(super) enum StatedReason {
        /// `protocol_version`, `inappropriate_fallback`.
        Versions => "versions",
        /// `no_application_protocol`.
        Alpn => "alpn",
    }
}

/// How many handshakes, and the shortest and the longest ClientHello among them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths {
    pub(super) handshakes: u32,
    pub(super) shortest: u32,
    pub(super) longest: u32,
}

impl Lengths {
    pub(super) fn count(&mut self, length: u32) {
        self.add(Self { handshakes: 1, shortest: length, longest: length });
    }

    fn add(&mut self, other: Self) {
        if other.handshakes == 0 {
            return;
        }
        if self.handshakes == 0 {
            self.shortest = other.shortest;
        }
        self.handshakes = self.handshakes.saturating_add(other.handshakes);
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TlsVersion::{Tls10, Tls11, Tls12, Tls13};

    #[test]
    fn every_length_is_in_the_class_that_names_it() {
        let names: Vec<String> = SizeClass::all().map(|class| class.to_string()).collect();
        assert_eq!(names[0], "0-255");
        assert_eq!(names.last().unwrap(), "32768-");
        for length in [0, 255, 256, 1_399, 1_400, 16_383, 16_384, 70_000] {
            let class = SizeClass::of(length).to_string();
            let (from, to) = class.split_once('-').unwrap();
            assert!(from.parse::<u32>().unwrap() <= length, "{length} {class}");
            assert!(to.is_empty() || length <= to.parse().unwrap(), "{length} {class}");
        }
    }

    #[test]
    fn a_hello_without_supported_versions_offers_the_older_ones_too() {
        let body = |version, offered_versions| {
            let body = sni_probe_core::observation::Handshake::example().hello.body.unwrap();
            HelloBody { version, offered_versions, ..body }
        };
        let offered = |body: &HelloBody| Versions::of(body).iter().collect::<Vec<_>>();
        assert_eq!(offered(&body(Tls12, Vec::new())), [Tls12, Tls11, Tls10]);
        assert_eq!(offered(&body(Tls13, vec![0x1a1a, 0x0304])), [Tls13]);
        assert_eq!(offered(&body(TlsVersion::Ssl2, Vec::new())), [TlsVersion::Ssl2]);
        assert_eq!(offered(&body(Tls10, Vec::new())), [Tls10]);
    }
}
