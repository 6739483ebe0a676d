//! A hello that waits for its outcome, in one allocation instead of about ten: there may be 100,000
//! of them at once.

use crate::digits::push_hex_bytes;
use crate::observation::{Features, Hello, HelloBody, Sni};
use crate::reader::{Reader, u16_values};
use crate::vocabulary::{Feature, IncompleteReason, Prelude, SniClass, TlsVersion};

/// A [`Hello`] that costs some 200 bytes instead of 600. Holds the same.
#[derive(Debug)]
pub(super) struct PackedHello {
    /// The name as the client sent it after its 16-bit length, which has [`LOCAL`] as well; then, of a hello with a body, versions, random, JA3
    /// in binary, JA4 and ALPN names behind their 8-bit lengths.
    fields: Box<[u8]>,
    length: u32,
    segments: u16,
    records: u16,
    features: Features,
    legacy_version: u16,
    sni: SniClass,
    /// `None`: there is no body.
    version: Option<TlsVersion>,
    prelude: Option<Prelude>,
    incomplete: Option<IncompleteReason>,
}

/// The bit beside the name's length that stands for [`Hello::is_proxy_local`]: a field of its own would cost 8 bytes.
const LOCAL: u16 = 1 << 15;

impl PackedHello {
    pub(super) fn pack(hello: &Hello) -> Self {
        let as_sent = hello.body.as_ref().and_then(|body| body.name_as_sent.as_deref());
        let name = as_sent.or_else(|| hello.sni.name()).unwrap_or_default().as_bytes();
        let body_len = hello.body.as_ref().map_or(0, packed_len);
        // Exactly: to shrink an allocation would leave a hole behind it.
        let mut fields = Vec::with_capacity(size_of::<u16>() + name.len() + body_len);
        // No name is longer than the stream that it came from, of 16 KiB.
        let name_len = u16::try_from(name.len()).unwrap_or(!LOCAL);
        let local = if hello.is_proxy_local { LOCAL } else { 0 };
        fields.extend_from_slice(&(name_len | local).to_be_bytes());
        fields.extend_from_slice(name);
        if let Some(body) = &hello.body {
            let versions: Vec<u8> =
                body.offered_versions.iter().flat_map(|version| version.to_be_bytes()).collect();
            push(&mut fields, &versions);
            push(&mut fields, &body.random);
            // One that was not made has no bytes.
            let ja3 = body.ja3.as_deref().and_then(|ja3| u128::from_str_radix(ja3, 16).ok());
            push(&mut fields, ja3.map(u128::to_be_bytes).as_ref().map_or(&[], |bytes| bytes));
            push(&mut fields, body.ja4.as_deref().unwrap_or_default().as_bytes());
            for name in &body.alpn {
                push(&mut fields, name);
            }
        }
        Self {
            fields: fields.into_boxed_slice(),
            length: hello.length,
            segments: u16::try_from(hello.segments).unwrap_or(u16::MAX),
            records: u16::try_from(hello.records).unwrap_or(u16::MAX),
            features: hello.features,
            legacy_version: hello.body.as_ref().map_or(0, |body| body.legacy_version),
            sni: hello.sni.class(),
            version: hello.body.as_ref().map(|body| body.version),
            prelude: hello.prelude,
            incomplete: hello.incomplete,
        }
    }

    pub(super) fn unpack(self) -> Hello {
        let mut fields = Reader::new(&self.fields);
        let head = fields.u16().unwrap_or_default();
        let name = text(fields.take(usize::from(head & !LOCAL)).unwrap_or_default());
        let mut name_as_sent = None;
        let sni = match self.sni {
            SniClass::Present if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Sni::Present(name_as_sent.insert(name).to_ascii_lowercase())
            }
            SniClass::Present => Sni::Present(name),
            SniClass::Invalid => Sni::Invalid(name),
            SniClass::Absent => Sni::Absent,
            SniClass::Empty => Sni::Empty,
            SniClass::Unknown => Sni::Unknown,
        };
        let body = self.version.map(|version| HelloBody {
            sslv2: self.features.contains(Feature::Sslv2),
            legacy_version: self.legacy_version,
            version,
            offered_versions: u16_values(next(&mut fields)).collect(),
            random: next(&mut fields).to_vec(),
            ja3: fingerprint(next(&mut fields), hex),
            ja4: fingerprint(next(&mut fields), text),
            alpn: std::iter::from_fn(|| fields.vec8()).map(<[u8]>::to_vec).collect(),
            name_as_sent,
        });
        Hello {
            sni,
            body,
            incomplete: self.incomplete,
            length: self.length,
            segments: u32::from(self.segments),
            records: u32::from(self.records),
            prelude: self.prelude,
            is_proxy_local: head & LOCAL != 0,
            features: self.features,
        }
    }

    /// Adds a property that its answer shows.
    pub(super) fn insert(&mut self, feature: Feature) {
        self.features.insert(feature);
    }

    /// Whether the hello has a property.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.features.contains(feature)
    }

    /// What the client said before the hello.
    pub(super) fn prelude(&self) -> Option<Prelude> {
        self.prelude
    }

    /// Whether the hello never became whole.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete.is_some()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.fields.len()
    }
}

fn packed_len(body: &HelloBody) -> usize {
    let fingerprints = [
        1 + body.ja3.as_ref().map_or(0, |_| size_of::<u128>()),
        1 + body.ja4.as_ref().map_or(0, String::len),
    ];
    let names: usize = body.alpn.iter().map(|name| 1 + name.len()).sum();
    let versions = 2 * body.offered_versions.len();
    (1 + versions) + (1 + body.random.len()) + fingerprints.iter().sum::<usize>() + names
}

/// Every field but the name came from one with an 8-bit length, or is shorter by its nature.
fn push(fields: &mut Vec<u8>, field: &[u8]) {
    let length = u8::try_from(field.len()).unwrap_or(u8::MAX);
    fields.push(length);
    fields.extend_from_slice(&field[..usize::from(length)]);
}

fn next<'a>(fields: &mut Reader<'a>) -> &'a [u8] {
    fields.vec8().unwrap_or_default()
}

fn fingerprint(field: &[u8], unpack: fn(&[u8]) -> String) -> Option<String> {
    (!field.is_empty()).then(|| unpack(field))
}

/// What was packed from hexadecimal digits.
fn hex(field: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * field.len());
    push_hex_bytes(&mut digits, field);
    digits
}

/// What was packed from a `String`.
fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}
