//! The state in a word and in a sentence.

use sni_probe_core::observation::{Handshake, Outcome};
use sni_probe_core::vocabulary::{AlertSender, SniClass};
use sni_probe_terminal::units::{plural, thousands};

use super::model::State;

/// What the verdict is made of: handshakes of some time, those of expected sources apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// All.
    pub(super) handshakes: u64,
    /// Those with a host name that the gateway refused.
    pub(super) names_refused: u64,
    /// Those without (absent, empty, invalid).
    pub(super) without_sni: u64,
    /// Those of them that the gateway let in: it answered with a ServerHello, or the client then refused its certificate.
    pub(super) accepted: u64,
    /// Those of them that the gateway refused by RST, FIN or alert.
    pub(super) reset: u64,
    pub(super) closed: u64,
    pub(super) alerted: u64,
}

impl Evidence {
    /// Adds a handshake.
    pub(super) fn note(&mut self, handshake: &Handshake) {
        let outcome = handshake.outcome;
        self.handshakes += 1;
        match handshake.hello.sni.class() {
            SniClass::Present => self.names_refused += u64::from(outcome.is_refusal()),
            SniClass::Absent | SniClass::Empty | SniClass::Invalid => {
                self.without_sni += 1;
                match outcome {
                    Outcome::ServerHello | Outcome::Alert { sender: AlertSender::Client, .. } => {
                        self.accepted += 1;
                    }
                    Outcome::Alert { sender: AlertSender::Gateway, .. } => self.alerted += 1,
                    Outcome::ResetByGateway => self.reset += 1,
                    Outcome::ClosedByGateway => self.closed += 1,
                    _ => {}
                }
            }
            SniClass::Unknown => {}
        }
    }

    /// Adds what `other` has.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { handshakes, names_refused, without_sni, accepted, reset, closed, alerted } = other;
        self.handshakes += handshakes;
        self.names_refused += names_refused;
        self.without_sni += without_sni;
        self.accepted += accepted;
        self.reset += reset;
        self.closed += closed;
        self.alerted += alerted;
    }

    fn refused(&self) -> u64 {
        self.reset + self.closed + self.alerted
    }

    fn state(&self) -> State {
        match (self.handshakes, self.without_sni, self.refused(), self.accepted) {
            (0, ..) => State::Idle,
            (_, 0, ..) => State::Fine,
            (_, _, 0, _) => State::Accepting,
            (_, _, _, 0) => State::Refusing,
            _ => State::Mixed,
        }
    }

    /// What the gateway did to those whom it refused.
    fn verb(&self) -> &'static str {
        let refused = self.refused();
        if self.reset == refused {
            "reset"
        } else if self.closed == refused {
            "disconnected"
        } else if self.alerted == refused {
            "turned away with an alert"
        } else {
            "refused"
        }
    }
}

/// The state of the last hour, in a word and in a sentence. `refused_clients` is how many were refused for want of SNI;
/// `unseen` says of the interfaces that are not watched what keeps them from it.
pub(super) fn verdict(hour: &Evidence, refused_clients: u64, unseen: Option<&str>) -> (State, String) {
    if let Some(unseen) = unseen {
        return (State::NotReady, format!("Not everything is seen: {unseen}."));
    }
    // An estimate may say 0 of one client.
    let clients = refused_clients.max(1);
    let were = if clients == 1 { "client without SNI was" } else { "clients without SNI were" };
    let verb = hour.verb();
    let state = hour.state();
    let sentence = match state {
        State::NotReady | State::Idle => "No TLS client connected in the last hour.".to_owned(),
        State::Fine if hour.names_refused > 0 => format!(
            "All {} of the last hour had SNI; the gateway refused {} of them for other reasons.",
            counted(hour.handshakes, "handshake"),
            thousands(hour.names_refused)
        ),
        State::Fine => format!("All {} of the last hour had SNI.", counted(hour.handshakes, "handshake")),
        State::Accepting => format!(
            "{} of the last hour had no SNI; the gateway refused none.",
            counted(hour.without_sni, "handshake")
        ),
        State::Refusing => {
            format!("{} {were} {verb} in the last hour; the gateway accepts none.", thousands(clients))
        }
        State::Mixed => format!(
            "{} {were} {verb} in the last hour, in {} of {}; the gateway accepted {}.",
            thousands(clients),
            thousands(hour.refused()),
            counted(hour.without_sni, "handshake"),
            thousands(hour.accepted)
        ),
    };
    (state, sentence)
}

fn counted(count: u64, noun: &str) -> String {
    format!("{} {}", thousands(count), plural(count, noun))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(hour: Evidence, clients: u64) -> (State, String) {
        verdict(&hour, clients, None)
    }

    #[test]
    fn each_state_has_its_sentence() {
        let none = Evidence::default();
        assert_eq!(sentence(none, 0), (State::Idle, "No TLS client connected in the last hour.".to_owned()));
        let fine = Evidence { handshakes: 1_234, ..none };
        assert_eq!(
            sentence(fine, 0),
            (State::Fine, "All 1,234 handshakes of the last hour had SNI.".to_owned())
        );
        let names = Evidence { names_refused: 5, ..fine };
        assert_eq!(
            sentence(names, 0).1,
            "All 1,234 handshakes of the last hour had SNI; the gateway refused 5 of them for other reasons."
        );
        let accepting = Evidence { without_sni: 1, accepted: 1, ..fine };
        assert_eq!(
            sentence(accepting, 0),
            (
                State::Accepting,
                "1 handshake of the last hour had no SNI; the gateway refused none.".to_owned()
            )
        );
        let refusing = Evidence { without_sni: 40, reset: 40, ..fine };
        assert_eq!(
            sentence(refusing, 12),
            (
                State::Refusing,
                "12 clients without SNI were reset in the last hour; the gateway accepts none.".to_owned()
            )
        );
        let mixed = Evidence { without_sni: 50, reset: 39, alerted: 1, accepted: 10, ..fine };
        assert_eq!(
            sentence(mixed, 1),
            (
                State::Mixed,
                "1 client without SNI was refused in the last hour, in 40 of 50 handshakes; the gateway accepted 10."
                    .to_owned()
            )
        );
        let unseen = verdict(&refusing, 12, Some("eth1: not attached: it is gone"));
        assert_eq!(
            unseen,
            (State::NotReady, "Not everything is seen: eth1: not attached: it is gone.".to_owned())
        );
    }

    #[test]
    fn verbs() {
        let none = Evidence { handshakes: 9, without_sni: 9, ..Evidence::default() };
        assert_eq!(Evidence { closed: 2, ..none }.verb(), "disconnected");
        assert_eq!(Evidence { alerted: 2, ..none }.verb(), "turned away with an alert");
        assert_eq!(Evidence { alerted: 2, closed: 1, ..none }.verb(), "refused");
        // Who gave up, or got no answer, was neither refused nor accepted.
        assert_eq!(none.state(), State::Accepting);
    }
}
