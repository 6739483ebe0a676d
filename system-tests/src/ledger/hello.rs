//! The hellos of the ledger. The random of each says which handshake it begins, and what the gateway is to do.

use sni_probe_testkit::hello::{ClientHelloBuilder, RANDOM_AT};

use super::generator::Generator;

/// The random of a hello.
pub(super) type Random = [u8; 32];

/// Where the random ends. So many bytes of a hello say all that the gateway must know.
pub(super) const RANDOM_END: usize = RANDOM_AT + 32;
/// What a client sends after a hello that the gateway leaves unread: a `ChangeCipherSpec` of TLS 1.3's disguise.
pub(super) const AFTER_HELLO: &[u8] = &[20, 3, 3, 0, 1, 1];

/// How many of the first templates fit into a segment.
pub(super) const SMALL_TEMPLATES: usize = 3;
/// The name in hellos with SNI.
const NAME: &str = "ledger.example";

/// What the random of a hello says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of the handshake.
    pub(super) number: u64,
    /// The line in the table of behaviours.
    pub(super) behaviour: u8,
    /// How many bytes of the hello come.
    pub(super) bytes: u16,
}

impl Mark {
    /// The random of a hello with this mark, in a run with this seed.
    pub(super) fn random(self, seed: u64) -> Random {
        let mut random = [0; 32];
        random[..8].copy_from_slice(&self.number.to_be_bytes());
        random[8] = self.behaviour;
        random[9..11].copy_from_slice(&self.bytes.to_be_bytes());
        let mut generator = Generator::new(seed ^ self.number);
        random[11..].fill_with(|| generator.byte());
        random
    }

    /// The mark in a random.
    pub(super) fn of(random: &Random) -> Self {
        let (number, rest) = random.split_first_chunk().expect("a random has 32 bytes");
        Self {
            number: u64::from_be_bytes(*number),
            behaviour: rest[0],
            bytes: u16::from_be_bytes([rest[1], rest[2]]),
        }
    }
}

/// The random of a hello of which at least [`RANDOM_END`] bytes are there.
pub(super) fn random_of(hello: &[u8]) -> Option<Random> {
    let is_hello = hello.first() == Some(&22) && hello.get(5) == Some(&1);
    let random = hello.get(RANDOM_AT..RANDOM_END)?;
    is_hello.then(|| random.try_into().expect("32 bytes"))
}

/// A kind of hello.
#[derive(Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    /// What `sni` of its events must be.
    pub(super) sni: &'static str,
}

impl Template {
    /// With and without SNI, small and large.
    pub(super) fn all() -> Vec<Self> {
        let absent = ClientHelloBuilder::new();
        let present = absent.clone().server_name(NAME);
        let template = |builder: ClientHelloBuilder, sni| Self { bytes: builder.build(), sni };
        vec![
            template(absent.clone(), "absent"),
            template(present.clone(), "present"),
            template(absent.padded_to(517), "absent"),
            template(present.server_name_last().post_quantum(), "present"),
        ]
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The hello with this random.
    pub(super) fn with(&self, random: &Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[RANDOM_AT..RANDOM_END].copy_from_slice(random);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_says_what_was_put_into_it() {
        let mark = Mark { number: 0x0102_0304_0506_0708, behaviour: 9, bytes: 0x0a0b };
        let random = mark.random(1);
        assert_eq!(Mark::of(&random), mark);
        assert_ne!(random, mark.random(2));
        assert!(Template::all()[..SMALL_TEMPLATES].iter().all(|template| template.len() < 1_000));
        for template in Template::all() {
            let hello = template.with(&random);
            assert_eq!(hello.len(), template.len());
            assert_eq!(random_of(&hello), Some(random));
            assert_eq!(random_of(&hello[..RANDOM_END]), Some(random));
            assert_eq!(random_of(&hello[..RANDOM_END - 1]), None);
        }
        assert_eq!(random_of(&[b'G'; 100]), None);
    }
}
