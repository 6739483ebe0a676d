//! The table of behaviours: how often each occurs, and the outcome that an observer must report.
//!
//! One line has more than one right outcome: `crossing`. The client sends its hello as soon as the connection is
//! open, the gateway closes as soon as it accepts, and neither knows which packet the watched interface sees first.
//! If it is the FIN, the gateway closed first. If it is the hello, the gateway closed without an answer: with a RST if
//! its kernel has taken the hello in, else with a FIN.
//!
//! One more rule is in [`super::balance`]: `timeout` is right where, by the client's clock, the outcome took longer
//! than the handshake timeout. That happens on a machine that is too busy.

use super::behaviour::{Behaviour, Gateway, Opening, Port, Right, Then};

/// What `crossing` may become.
const CROSSING: Right = Right::OneOf(&["gateway_closed_first", "closed_by_gateway", "reset_by_gateway"]);

/// The line of the connection that follows `forgotten_by_both` from the same port: its hello evicts the first.
pub(super) const SERVED: usize = 0;

/// All behaviours. The number of a line is in the random of its hellos.
pub(super) const BEHAVIOURS: &[Behaviour] = &[
    // The gateway decides.
    line("served", 3_000, Opening::Hello, Then::Wait, Gateway::ServerHello, Right::Outcome("server_hello")),
    line(
        "served_and_used",
        300,
        Opening::Hello,
        Then::Use,
        Gateway::ServerHello,
        Right::Outcome("server_hello"),
    ),
    line(
        "served_in_segments",
        800,
        Opening::Segments,
        Then::Wait,
        Gateway::ServerHello,
        Right::Outcome("server_hello"),
    ),
    line(
        "served_late",
        150,
        Opening::Hello,
        Then::Wait,
        Gateway::ServerHelloLate,
        Right::Outcome("server_hello"),
    ),
    line(
        "served_and_closed",
        500,
        Opening::Hello,
        Then::Wait,
        Gateway::ServerHelloClose,
        Right::Outcome("server_hello"),
    ),
    line(
        "served_after_retry",
        400,
        Opening::Hello,
        Then::Wait,
        Gateway::Retry,
        Right::Outcome("server_hello"),
    ),
    line(
        "served_after_warning",
        100,
        Opening::Hello,
        Then::Wait,
        Gateway::Warning,
        Right::Outcome("server_hello"),
    ),
    line("alerted", 500, Opening::Hello, Then::Wait, Gateway::Alert, Right::Outcome("alert")),
    line("reset", 700, Opening::Hello, Then::Wait, Gateway::Reset, Right::Outcome("reset_by_gateway")),
    line(
        "reset_in_segments",
        200,
        Opening::Segments,
        Then::Wait,
        Gateway::Reset,
        Right::Outcome("reset_by_gateway"),
    ),
    line(
        "reset_unread",
        300,
        Opening::Hello,
        Then::Wait,
        Gateway::ResetUnread,
        Right::Outcome("reset_by_gateway"),
    ),
    line(
        "reset_late",
        150,
        Opening::Hello,
        Then::Wait,
        Gateway::ResetLate,
        Right::Outcome("reset_by_gateway"),
    ),
    line(
        "reset_after_retry",
        150,
        Opening::Hello,
        Then::Wait,
        Gateway::RetryReset,
        Right::Outcome("reset_by_gateway"),
    ),
    // (Where a segment is lost, the RST is not what the client expects. It asks back once, and that may be lost as well.)
    line(
        "reset_after_babble",
        50,
        Opening::Hello,
        Then::Wait,
        Gateway::Babble,
        Right::Outcome("reset_by_gateway"),
    )
    .on(Port::Lossless),
    line("closed", 500, Opening::Hello, Then::Wait, Gateway::Close, Right::Outcome("closed_by_gateway")),
    line("silent", 60, Opening::Hello, Then::Wait, Gateway::Silence, Right::Outcome("timeout")),
    // The hello is in the SYN. (Until it has the SYN-ACK, Linux closes a connection without a RST.)
    line(
        "fast_open_served",
        300,
        Opening::FastOpen,
        Then::Wait,
        Gateway::ServerHello,
        Right::Outcome("server_hello"),
    ),
    line(
        "fast_open_reset",
        150,
        Opening::FastOpen,
        Then::Wait,
        Gateway::Reset,
        Right::Outcome("reset_by_gateway"),
    ),
    line(
        "fast_open_closed",
        100,
        Opening::FastOpen,
        Then::Wait,
        Gateway::Close,
        Right::Outcome("closed_by_gateway"),
    ),
    line(
        "fast_open_given_up",
        50,
        Opening::FastOpen,
        Then::Reset,
        Gateway::Silence,
        Right::Outcome("reset_by_client"),
    )
    .on(Port::Lossless),
    // The client closes its side.
    line(
        "half_closed_served",
        300,
        Opening::Hello,
        Then::HalfClose,
        Gateway::ServerHello,
        Right::Outcome("server_hello"),
    ),
    line(
        "half_closed_reset",
        150,
        Opening::Hello,
        Then::HalfClose,
        Gateway::ResetAfterEnd,
        Right::Outcome("reset_by_gateway"),
    ),
    line(
        "half_closed_closed",
        150,
        Opening::Hello,
        Then::HalfClose,
        Gateway::CloseAfterEnd,
        Right::Outcome("closed_by_client"),
    ),
    line(
        "half_closed_silent",
        30,
        Opening::Hello,
        Then::HalfClose,
        Gateway::SilenceAfterEnd,
        Right::Outcome("closed_by_client"),
    ),
    line(
        "half_closed_given_up",
        100,
        Opening::Hello,
        Then::HalfCloseReset,
        Gateway::SilenceAfterEnd,
        Right::Outcome("closed_by_client"),
    ),
    line(
        "gone_served",
        150,
        Opening::Hello,
        Then::Close,
        Gateway::ServerHelloUntilReset,
        Right::Outcome("server_hello"),
    ),
    line("given_up", 300, Opening::Hello, Then::Reset, Gateway::Silence, Right::Outcome("reset_by_client")),
    line(
        "given_up_at_once",
        150,
        Opening::Hello,
        Then::ResetAtOnce,
        Gateway::Silence,
        Right::Outcome("reset_by_client"),
    )
    .on(Port::Lossless),
    // The client forgets the connection.
    line(
        "forgotten",
        150,
        Opening::Hello,
        Then::Forget,
        Gateway::SilenceUntilReset,
        Right::Outcome("reset_by_client"),
    ),
    line(
        "forgotten_by_both",
        100,
        Opening::Hello,
        Then::ForgetBoth,
        Gateway::Forget,
        Right::Outcome("evicted"),
    )
    .on(Port::Lossless),
    // The gateway hangs up first.
    line(
        "hung_up_first",
        300,
        Opening::AfterHangUp,
        Then::Wait,
        Gateway::HungUp,
        Right::Outcome("gateway_closed_first"),
    )
    .on(Port::Closing),
    line(
        "half_closed_first",
        150,
        Opening::AfterHangUp,
        Then::Wait,
        Gateway::HungUp,
        Right::Outcome("gateway_closed_first"),
    )
    .on(Port::HalfClosing),
    line(
        "reset_first",
        150,
        Opening::AfterHangUp,
        Then::Wait,
        Gateway::HungUp,
        Right::Outcome("gateway_closed_first"),
    )
    .on(Port::Resetting),
    line("crossing", 100, Opening::Hello, Then::Wait, Gateway::HungUp, CROSSING).on(Port::Closing),
    // The hello never becomes complete.
    line(
        "part_closed",
        150,
        Opening::Part,
        Then::HalfClose,
        Gateway::CloseAfterEnd,
        Right::Outcome("closed_by_client"),
    )
    .incomplete("closed"),
    line(
        "part_given_up",
        150,
        Opening::Part,
        Then::Reset,
        Gateway::Silence,
        Right::Outcome("reset_by_client"),
    )
    .incomplete("reset"),
    line("part_reset", 150, Opening::Part, Then::Wait, Gateway::Reset, Right::Outcome("reset_by_gateway"))
        .incomplete("reset"),
    line("part_hung_up", 100, Opening::Part, Then::Wait, Gateway::Close, Right::Outcome("closed_by_gateway"))
        .incomplete("closed"),
    line("part_silent", 30, Opening::Part, Then::Wait, Gateway::Silence, Right::Outcome("timeout"))
        .incomplete("timeout"),
    line(
        "part_hung_up_first",
        50,
        Opening::PartAfterHangUp,
        Then::HalfClose,
        Gateway::HungUp,
        Right::Outcome("gateway_closed_first"),
    )
    .on(Port::HalfClosing)
    .incomplete("closed"),
    // There is no hello.
    line("idle", 400, Opening::Silence, Then::Wait, Gateway::Silence, Right::NoEvent),
    line("idle_hung_up", 100, Opening::Silence, Then::Wait, Gateway::HungUp, Right::NoEvent)
        .on(Port::Closing),
    line("http", 200, Opening::Http, Then::Wait, Gateway::Close, Right::NoEvent),
    line("one_byte", 100, Opening::OneByte, Then::HalfClose, Gateway::CloseAfterEnd, Right::NoEvent),
];

const fn line(
    name: &'static str,
    share: u32,
    opening: Opening,
    then: Then,
    gateway: Gateway,
    right: Right,
) -> Behaviour {
    Behaviour { name, share, port: Port::Lossy, opening, then, gateway, right, incomplete: None }
}

/// The behaviour at `choice` of all shares, from 0 to [`all_shares`].
pub(super) fn choose(choice: u32) -> usize {
    let mut rest = choice;
    let position = BEHAVIOURS.iter().position(|behaviour| {
        let is_chosen = rest < behaviour.share;
        rest = rest.saturating_sub(behaviour.share);
        is_chosen
    });
    position.unwrap_or(SERVED)
}

/// The sum of all shares.
pub(super) fn all_shares() -> u32 {
    BEHAVIOURS.iter().map(|behaviour| behaviour.share).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let names: BTreeSet<_> = BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
        assert_eq!(names.len(), BEHAVIOURS.len());
        // Numbers of lines are bytes.
        assert!(BEHAVIOURS.len() < 256);
        assert_eq!(BEHAVIOURS[SERVED].name, "served");
        for behaviour in BEHAVIOURS {
            let has_event = !matches!(behaviour.right, Right::NoEvent);
            assert_eq!(behaviour.opening.has_hello(), has_event, "{}", behaviour.name);
            let is_complete = behaviour.opening.is_complete();
            assert_eq!(has_event && !is_complete, behaviour.incomplete.is_some(), "{}", behaviour.name);
        }
    }

    #[test]
    fn one_behaviour_has_several_right_outcomes() {
        let several = BEHAVIOURS.iter().filter(|behaviour| matches!(behaviour.right, Right::OneOf(_)));
        assert_eq!(several.map(|behaviour| behaviour.name).collect::<Vec<_>>(), ["crossing"]);
    }

    #[test]
    fn every_behaviour_is_chosen_by_its_share() {
        let mut chosen = vec![0; BEHAVIOURS.len()];
        (0..all_shares()).for_each(|choice| chosen[choose(choice)] += 1);
        let shares: Vec<u32> = BEHAVIOURS.iter().map(|behaviour| behaviour.share).collect();
        assert_eq!(chosen, shares);
    }
}
