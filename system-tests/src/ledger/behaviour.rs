//! What client and gateway may do with a connection.

use crate::as_of_0_1_0;

/// The ports of the ledger's gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// Packets are dropped on both sides of the watched interface.
    Lossy,
    /// No packet is dropped.
    Lossless,
    /// The gateway closes each connection when it accepts it. Packets are dropped.
    Closing,
    /// The gateway sends its FIN when it accepts a connection, and reads on. Packets are dropped.
    HalfClosing,
    /// The gateway resets each connection when it accepts it. Its RSTs are dropped after the watched
    /// interface: no kernel would send a hello after a RST. No other packet is dropped.
    Resetting,
}

impl Port {
    pub(super) const ALL: [Self; 5] =
        [Self::Lossy, Self::Lossless, Self::Closing, Self::HalfClosing, Self::Resetting];
    pub(super) const WITH_DROPS: [Self; 3] = [Self::Lossy, Self::Closing, Self::HalfClosing];

    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Lossy => 443,
            Self::Lossless => 8443,
            Self::Closing => 9001,
            Self::HalfClosing => 9002,
            Self::Resetting => 9003,
        }
    }
}

/// What the client sends first, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// A hello with one write.
    Hello,
    /// A hello in several segments.
    Segments,
    /// A hello in the SYN (RFC 7413).
    FastOpen,
    /// A hello after the gateway's FIN or RST.
    AfterHangUp,
    /// The beginning of a hello that never becomes complete.
    Part,
    /// The same after the gateway's FIN.
    PartAfterHangUp,
    /// An HTTP request.
    Http,
    /// One byte that may begin many protocols.
    OneByte,
    /// Nothing.
    Silence,
}

impl Opening {
    /// Whether the client begins a ClientHello.
    pub(super) const fn has_hello(self) -> bool {
        !matches!(self, Self::Http | Self::OneByte | Self::Silence)
    }

    /// Whether the client ends the ClientHello that it begins.
    pub(super) const fn is_complete(self) -> bool {
        matches!(self, Self::Hello | Self::Segments | Self::FastOpen | Self::AfterHangUp)
    }
}

/// What the client does after its [`Opening`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Waits for what the gateway does.
    Wait,
    /// Waits for the gateway's answer, and sends data.
    Use,
    /// Sends a FIN, and waits for what the gateway does.
    HalfClose,
    /// Closes its socket: a FIN, and a RST in answer to data.
    Close,
    /// Sends a RST after the gateway has received the hello.
    Reset,
    /// Sends a RST at once.
    ResetAtOnce,
    /// Sends a FIN, and a RST after the gateway has received the FIN.
    HalfCloseReset,
    /// Forgets the connection after the gateway has received the hello, without a packet, and connects
    /// again from the same port: SYN, challenge ACK, RST, SYN.
    Forget,
    /// The same, after the gateway has forgotten the connection as well: SYN, SYN-ACK.
    ForgetBoth,
}

/// What the gateway does after it has received the hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gateway {
    /// Answers with a ServerHello.
    ServerHello,
    /// Answers with a HelloRetryRequest, and the second hello with a ServerHello.
    Retry,
    /// Answers with a HelloRetryRequest, and the second hello with a RST.
    RetryReset,
    /// Answers with a ServerHello after a while.
    ServerHelloLate,
    /// Answers with a ServerHello and closes at once.
    ServerHelloClose,
    /// Answers with a ServerHello, then waits for the client's RST.
    ServerHelloUntilReset,
    /// Answers with a warning alert, then with a ServerHello.
    Warning,
    /// Answers with a fatal alert and closes at once.
    Alert,
    /// Sends a RST.
    Reset,
    /// Closes with bytes unread, which sends a RST.
    ResetUnread,
    /// Sends a RST after a while.
    ResetLate,
    /// Sends a RST after many segments that decide nothing.
    Babble,
    /// Closes.
    Close,
    /// Does nothing until the client is done.
    Silence,
    /// Does nothing until the client's RST.
    SilenceUntilReset,
    /// Waits for the client's FIN, then does nothing until the client is done.
    SilenceAfterEnd,
    /// Waits for the client's FIN, then sends a RST.
    ResetAfterEnd,
    /// Waits for the client's FIN, then closes.
    CloseAfterEnd,
    /// Forgets the connection without a packet.
    Forget,
    /// Has hung up before the hello, as the [`Port`] says.
    HungUp,
}

/// What an observer must report of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Right {
    /// Nothing: the connection has no ClientHello.
    NoEvent,
    /// One event with this outcome.
    Outcome(&'static str),
    /// One event with one of these outcomes.
    OneOf(&'static [&'static str]),
}

/// A line of the table of behaviours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behaviour {
    pub(super) name: &'static str,
    /// Its share of all connections, relative to the other shares.
    pub(super) share: u32,
    pub(super) port: Port,
    pub(super) opening: Opening,
    pub(super) then: Then,
    pub(super) gateway: Gateway,
    pub(super) right: Right,
    /// Why the hello is incomplete.
    pub(super) incomplete: Option<&'static str>,
}

impl Behaviour {
    /// The same on another port.
    pub(super) const fn on(self, port: Port) -> Self {
        Self { port, ..self }
    }

    /// The same with a hello that is incomplete for this reason.
    pub(super) const fn incomplete(self, reason: &'static str) -> Self {
        Self { incomplete: Some(reason), ..self }
    }

    /// Whether the connection ends by a RST of the client, and nothing else. (Linux sends none before it has the SYN-ACK.)
    pub(super) const fn ends_by_reset(&self) -> bool {
        matches!(self.then, Then::Reset | Then::ResetAtOnce | Then::HalfCloseReset)
            && !matches!(self.opening, Opening::FastOpen)
    }

    /// Whether `outcome` is right.
    pub(super) fn accepts(&self, outcome: &str) -> bool {
        // The gateways of the table end with the ServerHello.
        let outcome = as_of_0_1_0(outcome);
        match self.right {
            Right::NoEvent => false,
            Right::Outcome(right) => outcome == right,
            Right::OneOf(right) => right.contains(&outcome),
        }
    }
}
