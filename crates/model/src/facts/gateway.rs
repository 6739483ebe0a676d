//! What is counted of one gateway.

use std::net::IpAddr;

use sni_probe_core::observation::{Handshake, Hello, HelloBody, Outcome, Sni};
use sni_probe_core::tally::Tally;
use sni_probe_core::vocabulary::{AlertDescription, Fate, IncompleteReason, Label as _};

use super::profile::{AlpnKey, Counts, NameKey, Profile, StatedReason};
use super::sender::Sender;
use super::shape::Shape;

/// Profiles of a gateway that are distinguished.
pub(super) const MAX_PROFILES: usize = 1_024;

/// Names of a gateway that are distinguished.
pub(super) const MAX_NAMES: usize = 256;

/// ALPN lists of a gateway that are distinguished: fewer than 256, for they are numbered with 8 bits.
pub(super) const MAX_ALPN_LISTS: usize = 64;

/// Bytes of an ALPN list, with a length byte for each protocol, that is distinguished. Browsers send 12.
pub(super) const MAX_ALPN_BYTES: usize = 64;

/// Addresses for which a gateway has the intervals between handshakes.
pub(super) const MAX_SENDERS: usize = 256;

/// Forms of refusals of a gateway that are distinguished.
pub(super) const MAX_SHAPES: usize = 32;

/// Names with upper-case letters that are kept of a gateway.
pub(super) const MAX_NAMES_AS_SENT: usize = 8;

/// How many entries may still be made, of all gateways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(pub(super) usize);

impl Room {
    fn take<T>(&mut self, value: T) -> Option<T> {
        self.0 = self.0.checked_sub(1)?;
        Some(value)
    }
}

/// What is counted of one gateway.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub(super) profiles: Tally<Profile, Counts>,
    /// By the name in lower case, without a trailing dot.
    pub(super) names: Tally<String, Name, ()>,
    pub(super) alpn: Tally<Vec<u8>, u8, ()>,
    /// Senders of hellos without SNI.
    pub(super) senders: Tally<IpAddr, Sender, ()>,
    /// How hellos without SNI were refused.
    pub(super) shapes_without_sni: Tally<Shape, u32>,
    /// Refused names as the client sent them, of those with upper-case letters.
    pub(super) names_as_sent: Vec<String>,
    /// By [`IncompleteReason`].
    pub(super) incomplete: [u32; IncompleteReason::ALL.len()],
    pub(super) incomplete_refused: u32,
    pub(super) plain_http_answers: u32,
    pub(super) client_certificates_refused: u32,
}

/// A name of a gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub(super) number: u16,
    /// Handshakes with a ServerHello.
    pub(super) answered: u32,
    /// How the last refused handshake was refused.
    pub(super) shape: Option<Shape>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            profiles: Tally::new(MAX_PROFILES),
            names: Tally::new(MAX_NAMES),
            alpn: Tally::new(MAX_ALPN_LISTS),
            senders: Tally::new(MAX_SENDERS),
            shapes_without_sni: Tally::new(MAX_SHAPES),
            names_as_sent: Vec::new(),
            incomplete: [0; IncompleteReason::ALL.len()],
            incomplete_refused: 0,
            plain_http_answers: 0,
            client_certificates_refused: 0,
        }
    }
}

impl Gateway {
    /// Counts a handshake.
    pub(super) fn add(&mut self, handshake: &Handshake, room: &mut Room) {
        let hello = &handshake.hello;
        let outcome = handshake.outcome;
        let is_certificate_refused = matches!(outcome, Outcome::ClientCertificateRefused { .. });
        self.client_certificates_refused =
            self.client_certificates_refused.saturating_add(u32::from(is_certificate_refused));
        if handshake.answer.is_plain_http {
            // The gateway did not read the hello, so that nothing in it is the reason.
            self.plain_http_answers = self.plain_http_answers.saturating_add(1);
            return;
        }
        let Some(body) = &hello.body else {
            if let Some(reason) = hello.incomplete.filter(|&reason| is_of_the_wire(reason)) {
                let count = &mut self.incomplete[reason as usize];
                *count = count.saturating_add(1);
                let refused = u32::from(outcome.is_refused());
                self.incomplete_refused = self.incomplete_refused.saturating_add(refused);
            }
            return;
        };
        let shape = Shape::of(handshake);
        if hello.sni.class().is_without_sni() || hello.is_proxy_local {
            // A health check through a proxy comes from the proxy.
            let client =
                if hello.is_proxy_local { handshake.flow.client.ip() } else { handshake.client().ip() };
            if let Ok(sender) = self.senders.entry(&client, || room.take(Sender::default())) {
                sender.add(handshake);
            }
        }
        if hello.sni.class().is_without_sni()
            && let Some(shape) = shape
        {
            let (Ok(count) | Err(count)) = self.shapes_without_sni.entry(&shape, || room.take(0));
            *count = count.saturating_add(1);
        }
        let name = self.name(hello, outcome.class().is_answered(), shape, room);
        if outcome.is_refused()
            && let Some(as_sent) = &body.name_as_sent
            && self.names_as_sent.len() < MAX_NAMES_AS_SENT
            && !self.names_as_sent.contains(as_sent)
        {
            self.names_as_sent.push(as_sent.clone());
        }
        let profile = Profile::of(hello, body, name, self.alpn(body, room));
        let counts = self.profiles.entry(&profile, || room.take(Counts::default()));
        count(counts.unwrap_or_else(|rest| rest), hello.length, outcome);
    }

    /// The number of the hello's name, under which a ServerHello or a refusal is noted.
    fn name(&mut self, hello: &Hello, is_answered: bool, shape: Option<Shape>, room: &mut Room) -> NameKey {
        let name = match &hello.sni {
            Sni::Present(name) => name.strip_suffix('.').unwrap_or(name),
            Sni::Absent | Sni::Unknown => return NameKey::Absent,
            Sni::Empty => return NameKey::Empty,
            Sni::Invalid(_) => return NameKey::Invalid,
        };
        let Ok(name) = self.name_record(name, room) else { return NameKey::Rest };
        name.answered = name.answered.saturating_add(u32::from(is_answered));
        name.shape = shape.or(name.shape);
        NameKey::Known(name.number)
    }

    fn name_record(&mut self, name: &str, room: &mut Room) -> Result<&mut Name, &mut ()> {
        let number = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        self.names.entry(name, || room.take(Name { number, answered: 0, shape: None }))
    }

    /// The number of the hello's ALPN list.
    fn alpn(&mut self, body: &HelloBody, room: &mut Room) -> AlpnKey {
        if body.alpn.is_empty() {
            return AlpnKey::None;
        }
        let mut bytes = [0; MAX_ALPN_BYTES];
        let Some(list) = joined(&body.alpn, &mut bytes) else { return AlpnKey::Rest };
        self.alpn_number(list, room)
    }

    fn alpn_number(&mut self, list: &[u8], room: &mut Room) -> AlpnKey {
        let number = u8::try_from(self.alpn.len()).ok();
        let known = self.alpn.entry(list, || number.and_then(|number| room.take(number)));
        known.map_or(AlpnKey::Rest, |&mut number| AlpnKey::Known(number))
    }

    /// Handshakes with a complete hello that were refused, and those that were served.
    pub(super) fn refused_and_served(&self) -> (u64, u64) {
        let all = self.profiles.iter().map(|(_, counts)| counts).chain([self.profiles.rest()]);
        all.fold((0, 0), |(refused, served), counts| {
            (refused + u64::from(counts.refused.handshakes), served + u64::from(counts.served.handshakes))
        })
    }

    /// Adds what was counted later.
    pub(super) fn add_later(&mut self, later: &Self, room: &mut Room) {
        let mut names = vec![NameKey::Rest; MAX_NAMES];
        for (text, name) in later.names.iter() {
            let Ok(record) = self.name_record(text, room) else { continue };
            record.answered = record.answered.saturating_add(name.answered);
            record.shape = name.shape.or(record.shape);
            names[usize::from(name.number)] = NameKey::Known(record.number);
        }
        let mut lists = [AlpnKey::Rest; MAX_ALPN_LISTS];
        for (list, &number) in later.alpn.iter() {
            lists[usize::from(number)] = self.alpn_number(list, room);
        }
        for (profile, counts) in later.profiles.iter() {
            let mut profile = *profile;
            if let NameKey::Known(number) = profile.name {
                profile.name = names[usize::from(number)];
            }
            if let AlpnKey::Known(number) = profile.alpn {
                profile.alpn = lists[usize::from(number)];
            }
            let sum = self.profiles.entry(&profile, || room.take(Counts::default()));
            sum.unwrap_or_else(|rest| rest).add(counts);
        }
        self.profiles.rest_mut().add(later.profiles.rest());
        for (client, sender) in later.senders.iter() {
            if let Ok(sum) = self.senders.entry(client, || room.take(Sender::default())) {
                sum.add_later(sender);
            }
        }
        for (shape, &count) in later.shapes_without_sni.iter() {
            let (Ok(sum) | Err(sum)) = self.shapes_without_sni.entry(shape, || room.take(0));
            *sum = sum.saturating_add(count);
        }
        *self.shapes_without_sni.rest_mut() += later.shapes_without_sni.rest();
        let new = later.names_as_sent.iter().filter(|name| !self.names_as_sent.contains(name));
        let new: Vec<String> = new.take(MAX_NAMES_AS_SENT - self.names_as_sent.len()).cloned().collect();
        self.names_as_sent.extend(new);
        for (sum, count) in self.incomplete.iter_mut().zip(later.incomplete) {
            *sum = sum.saturating_add(count);
        }
        for (sum, count) in [
            (&mut self.incomplete_refused, later.incomplete_refused),
            (&mut self.plain_http_answers, later.plain_http_answers),
            (&mut self.client_certificates_refused, later.client_certificates_refused),
        ] {
            *sum = sum.saturating_add(count);
        }
    }
}

/// Counts a handshake of one profile.
fn count(counts: &mut Counts, length: u32, outcome: Outcome) {
    match outcome.fate() {
        Fate::Served => counts.served.count(length),
        Fate::Refused => {
            counts.refused.count(length);
            if let Some(reason) = stated_reason(outcome) {
                let count = &mut counts.stated[reason as usize];
                *count = count.saturating_add(1);
            }
        }
        Fate::Failed => counts.failed = counts.failed.saturating_add(1),
        Fate::Unknown => {}
    }
}

/// The reason that the gateway's alert gives. `handshake_failure` gives none: several gateways refuse names with it.
fn stated_reason(outcome: Outcome) -> Option<StatedReason> {
    match outcome.alert()?.0 {
        AlertDescription::ProtocolVersion | AlertDescription::InappropriateFallback => {
            Some(StatedReason::Versions)
        }
        AlertDescription::NoApplicationProtocol => Some(StatedReason::Alpn),
        _ => None,
    }
}

/// Whether a hello that is incomplete for this reason was so on the wire. For every other reason, the observer did not see all
/// of it.
fn is_of_the_wire(reason: IncompleteReason) -> bool {
    match reason {
        IncompleteReason::Reset
        | IncompleteReason::Closed
        | IncompleteReason::Timeout
        | IncompleteReason::Malformed => true,
        IncompleteReason::NotSeen
        | IncompleteReason::Truncated
        | IncompleteReason::TooLarge
        | IncompleteReason::TooManyGaps
        | IncompleteReason::Contradictory
        | IncompleteReason::Evicted
        | IncompleteReason::Unfinished => false,
    }
}

/// The protocols, each after its length; `None` if they do not fit.
fn joined<'a>(protocols: &[Vec<u8>], bytes: &'a mut [u8; MAX_ALPN_BYTES]) -> Option<&'a [u8]> {
    let mut end = 0;
    for protocol in protocols {
        let [length, rest @ ..] = bytes.get_mut(end..)? else { return None };
        *length = u8::try_from(protocol.len()).ok()?;
        rest.get_mut(..protocol.len())?.copy_from_slice(protocol);
        end += 1 + protocol.len();
    }
    bytes.get(..end)
}

/// The protocols of a list that [`joined`] made.
pub(super) fn protocols(mut list: &[u8]) -> Vec<&[u8]> {
    let mut protocols = Vec::new();
    while let [length, rest @ ..] = list {
        let Some((protocol, after)) = rest.split_at_checked(usize::from(*length)) else { break };
        protocols.push(protocol);
        list = after;
    }
    protocols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpn_lists_as_keys() {
        let list: Vec<Vec<u8>> = [&b"h2"[..], b"http/1.1", b""].map(<[u8]>::to_vec).to_vec();
        let mut bytes = [0; MAX_ALPN_BYTES];
        assert_eq!(protocols(joined(&list, &mut bytes).unwrap()), list);
        assert_eq!(joined(&[vec![b'x'; MAX_ALPN_BYTES]], &mut bytes), None);
        assert!(joined(&[vec![b'x'; MAX_ALPN_BYTES - 1]], &mut bytes).is_some());
        assert_eq!(joined(&[vec![b'x'; MAX_ALPN_BYTES - 1], Vec::new()], &mut bytes), None);
    }
}
