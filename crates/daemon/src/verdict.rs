//! The state in a word and in a sentence.

use sni_probe_core::observation::Handshake;
use sni_probe_model::api::GatewayState;
use sni_probe_model::{Fate, OutcomeClass, SniClass};
use sni_probe_terminal::units::{plural, thousands};

/// Handshakes of some time, by what matters for the verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HourCounts {
    /// With a host name.
    pub(super) named: Fates,
    /// Without SNI, of all but known clients.
    pub(super) without_sni: Fates,
    /// Without SNI, of known clients (`--expected-non-sni`).
    pub(super) known: Fates,
    /// With an incomplete ClientHello: neither with nor without SNI.
    pub(super) incomplete: Fates,
    /// Those of all in which the client rejected the gateway's certificate.
    pub(super) rejected: u64,
    /// Events that did not reach the daemon.
    pub(super) lost_events: u64,
}

/// How many handshakes ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) all: u64,
    pub(super) served: u64,
    pub(super) refused: u64,
    /// Refused by RST, by FIN, and by alert.
    pub(super) reset: u64,
    pub(super) closed: u64,
    pub(super) alerted: u64,
    /// Not served, because the gateway refused the client's certificate, or got none.
    pub(super) certificate_refused: u64,
}

/// What else the verdict needs to know.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Context<'a> {
    /// Clients without SNI that were refused, known clients apart: an estimate.
    pub(super) refused_clients: u64,
    /// The known client that was refused last.
    pub(super) refused_known: Option<&'a str>,
    /// Why the interfaces that are not watched are not.
    pub(super) unseen: Option<&'a str>,
}

impl HourCounts {
    /// Adds a handshake.
    pub(super) fn note(&mut self, handshake: &Handshake, is_known: bool) {
        self.rejected += u64::from(handshake.outcome.class() == OutcomeClass::RejectedByClient);
        let sni = handshake.hello.sni.class();
        let fates = match sni {
            _ if sni.is_without_sni() && is_known => &mut self.known,
            _ if sni.is_without_sni() => &mut self.without_sni,
            SniClass::Present => &mut self.named,
            _ => &mut self.incomplete,
        };
        fates.note(handshake);
    }

    /// Adds what `other` has.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { named, without_sni, known, incomplete, rejected, lost_events } = other;
        self.rejected += rejected;
        self.named.add(named);
        self.without_sni.add(without_sni);
        self.known.add(known);
        self.incomplete.add(incomplete);
        self.lost_events += lost_events;
    }

    fn all(&self) -> u64 {
        self.sum(|fates| fates.all)
    }

    /// The sum over all handshakes.
    fn sum(&self, of: fn(&Fates) -> u64) -> u64 {
        [&self.named, &self.without_sni, &self.known, &self.incomplete].into_iter().map(of).sum()
    }

    /// The state, as if no event had been lost.
    fn state(&self) -> GatewayState {
        let Self { named, without_sni, known, incomplete, .. } = self;
        let fails = |fates: &Fates| fates.all > 0 && fates.served == 0;
        if self.all() == 0 {
            GatewayState::Idle
        } else if without_sni.refused > 0 {
            if without_sni.served > 0 { GatewayState::Mixed } else { GatewayState::Refusing }
        } else if fails(without_sni) || fails(named) {
            GatewayState::Failing
        } else if without_sni.all > 0 {
            GatewayState::Accepting
        } else if named.all > 0 {
            GatewayState::Fine
        } else if known.all > 0 {
            if fails(known) { GatewayState::Failing } else { GatewayState::Fine }
        } else if fails(incomplete) {
            GatewayState::Failing
        } else {
            GatewayState::Unclear
        }
    }
}

impl Fates {
    fn note(&mut self, handshake: &Handshake) {
        let outcome = handshake.outcome;
        self.all += 1;
        self.served += u64::from(outcome.fate() == Fate::Served);
        self.certificate_refused += u64::from(outcome.class() == OutcomeClass::ClientCertificateRefused);
        if !outcome.is_refused() {
            return;
        }
        self.refused += 1;
        match outcome.class() {
            OutcomeClass::ResetByGateway => self.reset += 1,
            OutcomeClass::ClosedByGateway => self.closed += 1,
            OutcomeClass::Alert => self.alerted += 1,
            _ => {}
        }
    }

    fn add(&mut self, other: &Self) {
        let Self { all, served, refused, reset, closed, alerted, certificate_refused } = other;
        self.all += all;
        self.served += served;
        self.refused += refused;
        self.reset += reset;
        self.closed += closed;
        self.alerted += alerted;
        self.certificate_refused += certificate_refused;
    }

    /// What the gateway did not do, where it served none: a gateway that refuses a client's certificate has answered.
    fn answered_or_served(&self) -> &'static str {
        if self.certificate_refused > 0 { "served" } else { "answered" }
    }

    /// What the gateway did to the clients that it refused.
    fn verb(&self) -> &'static str {
        if self.reset == self.refused {
            "reset"
        } else if self.closed == self.refused {
            "disconnected"
        } else if self.alerted == self.refused {
            "turned away with an alert"
        } else {
            "refused"
        }
    }

    /// What the gateway did, where it served none: "The gateway refused all 50 handshakes with SNI".
    fn none_served(&self, which: &str) -> String {
        let Self { all, refused, certificate_refused, .. } = *self;
        let answered = self.answered_or_served();
        match (all, refused) {
            (1, 0) if certificate_refused > 0 => {
                format!("The gateway did not serve the only handshake {which}")
            }
            (1, 0) => format!("The gateway did not answer the only handshake {which}"),
            (1, _) => format!("The gateway refused the only handshake {which}"),
            (_, 0) => format!("The gateway {answered} none of the {} handshakes {which}", thousands(all)),
            _ if refused == all => format!("The gateway refused all {} handshakes {which}", thousands(all)),
            _ => format!(
                "The gateway refused {} of the {} handshakes {which} and {answered} no other",
                thousands(refused),
                thousands(all)
            ),
        }
    }
}

/// The state of the last hour, in a word and in a few short sentences.
pub(super) fn verdict(hour: &HourCounts, context: Context<'_>) -> (GatewayState, String) {
    if let Some(unseen) = context.unseen {
        return (GatewayState::NotReady, format!("Not everything is seen: {unseen}."));
    }
    let state = hour.state();
    let mut sentences = vec![main_sentence(hour, state, context.refused_clients)];
    let HourCounts { named, without_sni, known, incomplete, rejected, lost_events } = hour;
    // What the first sentence is about.
    let is_of_known = named.all == 0 && without_sni.all == 0 && known.all > 0;
    let is_of_incomplete = incomplete.all == hour.all();
    if named.all > 0 && named.served == 0 && state != GatewayState::Failing {
        sentences.push(format!("{}.", named.none_served("with SNI")));
    }
    if known.refused > 0 {
        let last =
            context.refused_known.map_or_else(String::new, |client| format!(", the last from {client}"));
        sentences.push(format!(
            "The gateway refused {} of known clients without SNI{last}.",
            counted(known.refused, "handshake")
        ));
    } else if is_of_known && known.served == 0 {
        sentences.push(format!("The gateway {} none of them.", known.answered_or_served()));
    }
    let certificate_refused = hour.sum(|fates| fates.certificate_refused);
    if certificate_refused > 0 {
        // A refusal for another reason than the name.
        let refused = counted(certificate_refused, "handshake");
        sentences.push(format!("In {refused} the gateway did not get a client certificate that it accepts."));
    }
    if *rejected > 0 {
        sentences
            .push(format!("In {} the client rejected the certificate.", counted(*rejected, "handshake")));
    }
    if incomplete.all > 0 && !is_of_incomplete {
        let refused = match incomplete.refused {
            0 => String::new(),
            refused => format!("; the gateway refused {}", thousands(refused)),
        };
        let had = counted(incomplete.all, "handshake");
        sentences.push(format!("{had} had an incomplete ClientHello{refused}."));
    }
    if *lost_events > 0 {
        let were = if *lost_events == 1 { "was" } else { "were" };
        let lost = counted(*lost_events, "event");
        sentences.push(format!("{lost} {were} lost in the last hour: some handshakes were not seen."));
    }
    // What was lost may have been the refusals.
    let is_doubtful = *lost_events > 0
        && matches!(state, GatewayState::Idle | GatewayState::Fine | GatewayState::Accepting);
    (if is_doubtful { GatewayState::Unclear } else { state }, sentences.join(" "))
}

fn main_sentence(hour: &HourCounts, state: GatewayState, refused_clients: u64) -> String {
    let HourCounts { named, without_sni, known, incomplete, .. } = hour;
    // An estimate may say 0 of one client.
    let clients = refused_clients.max(1);
    let were = if clients == 1 { "client without SNI was" } else { "clients without SNI were" };
    let verb = without_sni.verb();
    let had_none = || format!("{} of the last hour had no SNI", counted(without_sni.all, "handshake"));
    match state {
        GatewayState::NotReady | GatewayState::Idle => "No TLS client connected in the last hour.".to_owned(),
        GatewayState::Refusing => {
            format!("{} {were} {verb} in the last hour; the gateway accepts none.", thousands(clients))
        }
        GatewayState::Mixed => format!(
            "{} {were} {verb} in the last hour, in {} of {}; the gateway accepted {}.",
            thousands(clients),
            thousands(without_sni.refused),
            counted(without_sni.all, "handshake"),
            thousands(without_sni.served)
        ),
        GatewayState::Accepting if without_sni.served == without_sni.all => {
            format!("{}; the gateway refused none.", had_none())
        }
        GatewayState::Accepting => {
            format!(
                "{}; the gateway accepted {} and refused none.",
                had_none(),
                thousands(without_sni.served)
            )
        }
        GatewayState::Failing if without_sni.all > 0 && without_sni.served == 0 => {
            let failing = format!("{}; the gateway {} none.", had_none(), without_sni.answered_or_served());
            if named.all > 0 && named.served == 0 {
                format!("{failing} {}.", named.none_served("with SNI"))
            } else {
                failing
            }
        }
        GatewayState::Failing if named.all > 0 => {
            let failing = format!("{} in the last hour.", named.none_served("with SNI"));
            match without_sni.all {
                0 => failing,
                all => format!(
                    "{failing} {} had no SNI; the gateway accepted {}.",
                    counted(all, "handshake"),
                    thousands(without_sni.served)
                ),
            }
        }
        GatewayState::Fine if named.all > 0 => {
            let all = if named.all == hour.all() { "All " } else { "" };
            let had = match named.all {
                1 if !all.is_empty() => "The only handshake of the last hour had SNI".to_owned(),
                count => format!("{all}{} of the last hour had SNI", counted(count, "handshake")),
            };
            match named.refused {
                0 => format!("{had}."),
                refused => {
                    format!("{had}; the gateway refused {} of them for other reasons.", thousands(refused))
                }
            }
        }
        _ if known.all > 0 => {
            format!("Only known clients connected in the last hour, in {}.", counted(known.all, "handshake"))
        }
        GatewayState::Failing => {
            let incomplete = incomplete.none_served("of the last hour");
            format!("{incomplete}. Whether they had SNI is unknown.")
        }
        _ => format!(
            "{} of the last hour had incomplete ClientHellos: whether they had SNI is unknown.",
            counted(incomplete.all, "handshake")
        ),
    }
}

fn counted(count: u64, noun: &str) -> String {
    format!("{} {}", thousands(count), plural(count, noun))
}

#[cfg(test)]
mod tests;
