//! The books of the model: what becomes of each hello.

use sni_probe_core::observation::Outcome;
use sni_probe_core::vocabulary::{AlertDescription, AlertSender};

/// What the books say of a connection.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an entry of its own")]
pub(crate) struct Book {
    /// The gateway's TCP has received the hello, all of it.
    pub(crate) is_received: bool,
    /// What became of it.
    pub(crate) outcome: Option<Outcome>,
    /// What an observer may say as well, that cannot know what the gateway's TCP does with a packet.
    pub(crate) or: Vec<Outcome>,
    /// In the middle of the hello came a RST of the client, or data of the other connection. An observer cannot know that
    /// the gateway's TCP ignores it.
    pub(crate) is_disturbed: bool,
    pub(crate) is_warned: bool,
    pub(crate) has_client_fin: bool,
    /// When data of the client came to the gateway's door for the first time.
    pub(crate) first_data: Option<u64>,
}

impl Book {
    /// The first outcome counts.
    pub(crate) fn decide(&mut self, outcome: Outcome) {
        if self.is_received && self.outcome.is_none() {
            self.outcome = Some(self.warned(outcome));
        }
    }

    /// A RST of the client is at the door. The gateway's TCP may ignore it, for a reason that no observer sees.
    pub(crate) fn note_client_reset(&mut self) {
        let is_early = self.first_data.is_some() && !self.is_received;
        self.is_disturbed |= is_early;
        if is_early || self.is_received && self.outcome.is_none() {
            self.or.push(self.warned(self.by_client()));
        }
    }

    /// What a RST of the client makes of the hello: it may have hung up before.
    pub(crate) fn by_client(&self) -> Outcome {
        if self.has_client_fin { Outcome::ClosedByClient } else { Outcome::ResetByClient }
    }

    /// What the next connection's hello makes of it.
    pub(crate) fn reused(&self) -> Outcome {
        self.warned(if self.has_client_fin { Outcome::ClosedByClient } else { Outcome::Evicted })
    }

    /// What silence makes of it.
    pub(crate) fn silent(&self) -> Outcome {
        self.warned(if self.has_client_fin { Outcome::ClosedByClient } else { Outcome::Timeout })
    }

    /// A warning after which no answer comes is what became of the hello.
    pub(crate) fn warned(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::ServerHello | Outcome::GatewayClosedFirst => outcome,
            _ if self.is_warned => alert(),
            _ => outcome,
        }
    }
}

/// The alert with which the model's gateways refuse and warn.
pub(crate) fn alert() -> Outcome {
    Outcome::Alert { description: AlertDescription::UnrecognizedName, sender: AlertSender::Gateway }
}
