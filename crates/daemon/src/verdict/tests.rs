use sni_probe_core::observation::Outcome;

use super::*;

const NONE: Fates =
    Fates { all: 0, served: 0, refused: 0, reset: 0, closed: 0, alerted: 0, certificate_refused: 0 };

fn served(all: u64) -> Fates {
    Fates { all, served: all, ..NONE }
}

fn reset(all: u64) -> Fates {
    Fates { all, refused: all, reset: all, ..NONE }
}

fn unanswered(all: u64) -> Fates {
    Fates { all, ..NONE }
}

fn said(hour: HourCounts, refused_clients: u64) -> (GatewayState, String) {
    verdict(&hour, Context { refused_clients, ..Context::default() })
}

fn expect(hour: HourCounts, state: GatewayState, sentence: &str) {
    assert_eq!(said(hour, 1), (state, sentence.to_owned()));
}

fn nothing() -> HourCounts {
    HourCounts::default()
}

#[test]
fn each_state_has_its_sentence() {
    expect(nothing(), GatewayState::Idle, "No TLS client connected in the last hour.");
    let fine = HourCounts { named: served(1_234), ..nothing() };
    expect(fine, GatewayState::Fine, "All 1,234 handshakes of the last hour had SNI.");
    let one = HourCounts { named: served(1), ..nothing() };
    expect(one, GatewayState::Fine, "The only handshake of the last hour had SNI.");
    let named = Fates { all: 1_234, served: 1_229, refused: 5, reset: 5, ..NONE };
    expect(
        HourCounts { named, ..nothing() },
        GatewayState::Fine,
        "All 1,234 handshakes of the last hour had SNI; the gateway refused 5 of them for other reasons.",
    );
    expect(
        HourCounts { without_sni: served(1), ..fine },
        GatewayState::Accepting,
        "1 handshake of the last hour had no SNI; the gateway refused none.",
    );
    let refusing = HourCounts { without_sni: reset(40), ..fine };
    assert_eq!(
        said(refusing, 12),
        (
            GatewayState::Refusing,
            "12 clients without SNI were reset in the last hour; the gateway accepts none.".to_owned()
        )
    );
    let without_sni = Fates { all: 50, served: 10, refused: 40, reset: 39, alerted: 1, ..NONE };
    expect(
        HourCounts { without_sni, ..fine },
        GatewayState::Mixed,
        "1 client without SNI was refused in the last hour, in 40 of 50 handshakes; the gateway accepted 10.",
    );
    let context = Context { unseen: Some("eth1: not attached: it is gone"), ..Context::default() };
    assert_eq!(
        verdict(&refusing, context),
        (GatewayState::NotReady, "Not everything is seen: eth1: not attached: it is gone.".to_owned())
    );
}

#[test]
fn accepting_takes_something_that_was_accepted() {
    let without_sni = unanswered(50);
    expect(
        HourCounts { without_sni, named: served(3), ..nothing() },
        GatewayState::Failing,
        "50 handshakes of the last hour had no SNI; the gateway answered none.",
    );
    let without_sni = Fates { all: 50, served: 3, ..NONE };
    expect(
        HourCounts { without_sni, ..nothing() },
        GatewayState::Accepting,
        "50 handshakes of the last hour had no SNI; the gateway accepted 3 and refused none.",
    );
}

#[test]
fn names_that_are_all_refused_or_unanswered_are_not_fine() {
    let of = |named| HourCounts { named, ..nothing() };
    expect(
        of(reset(50)),
        GatewayState::Failing,
        "The gateway refused all 50 handshakes with SNI in the last hour.",
    );
    expect(
        of(reset(1)),
        GatewayState::Failing,
        "The gateway refused the only handshake with SNI in the last hour.",
    );
    expect(
        of(unanswered(50)),
        GatewayState::Failing,
        "The gateway answered none of the 50 handshakes with SNI in the last hour.",
    );
    expect(
        of(Fates { all: 50, ..reset(20) }),
        GatewayState::Failing,
        "The gateway refused 20 of the 50 handshakes with SNI and answered no other in the last hour.",
    );
    let refusing = HourCounts { without_sni: reset(2), named: reset(3), ..nothing() };
    expect(
        refusing,
        GatewayState::Refusing,
        "1 client without SNI was reset in the last hour; the gateway accepts none. The gateway refused all 3 handshakes \
         with SNI.",
    );
}

#[test]
fn known_clients_are_no_news_unless_they_are_refused() {
    let of = |known| HourCounts { known, ..nothing() };
    expect(
        of(served(50)),
        GatewayState::Fine,
        "Only known clients connected in the last hour, in 50 handshakes.",
    );
    expect(
        of(unanswered(2)),
        GatewayState::Failing,
        "Only known clients connected in the last hour, in 2 handshakes. The gateway answered none of them.",
    );
    let context = Context { refused_known: Some("10.79.0.3"), ..Context::default() };
    let (state, sentence) = verdict(&of(reset(50)), context);
    assert_eq!(state, GatewayState::Failing);
    assert_eq!(
        sentence,
        "Only known clients connected in the last hour, in 50 handshakes. The gateway refused 50 handshakes of known \
         clients without SNI, the last from 10.79.0.3."
    );
    let (state, sentence) = verdict(&HourCounts { named: served(9), ..of(reset(1)) }, context);
    assert_eq!(state, GatewayState::Fine);
    assert_eq!(
        sentence,
        "9 handshakes of the last hour had SNI. The gateway refused 1 handshake of known clients without SNI, the last from \
         10.79.0.3."
    );
}

#[test]
fn incomplete_hellos_are_neither_with_nor_without_sni() {
    let of = |incomplete| HourCounts { incomplete, ..nothing() };
    expect(
        of(reset(200)),
        GatewayState::Failing,
        "The gateway refused all 200 handshakes of the last hour. Whether they had SNI is unknown.",
    );
    expect(
        of(served(200)),
        GatewayState::Unclear,
        "200 handshakes of the last hour had incomplete ClientHellos: whether they had SNI is unknown.",
    );
    let some = HourCounts { named: served(5), ..of(reset(1)) };
    expect(
        some,
        GatewayState::Fine,
        "5 handshakes of the last hour had SNI. 1 handshake had an incomplete ClientHello; the gateway refused 1.",
    );
}

#[test]
fn lost_events_are_reported_and_make_a_good_state_unclear() {
    let lost = |lost_events, hour| HourCounts { lost_events, ..hour };
    let fine = HourCounts { named: served(5), ..nothing() };
    expect(
        lost(3_000, fine),
        GatewayState::Unclear,
        "All 5 handshakes of the last hour had SNI. 3,000 events were lost in the last hour: some handshakes were not seen.",
    );
    let refusing = HourCounts { without_sni: reset(2), ..nothing() };
    let (state, sentence) = said(lost(1, refusing), 1);
    assert_eq!(state, GatewayState::Refusing);
    assert!(sentence.ends_with(" 1 event was lost in the last hour: some handshakes were not seen."));
}

/// No sentence has more than 20 words, whatever the numbers.
#[test]
fn sentences_are_short() {
    let fates = [
        NONE,
        served(1),
        served(1_000),
        reset(1),
        reset(1_000),
        unanswered(7),
        Fates { all: 9, ..reset(2) },
        Fates { all: 2_000, certificate_refused: 1_000, ..NONE },
    ];
    let mut count = 0;
    for named in fates {
        for without_sni in fates {
            for known in fates {
                for incomplete in fates {
                    let (rejected, lost_events) = (count % 2, count % 3);
                    let hour = HourCounts { named, without_sni, known, incomplete, rejected, lost_events };
                    let (_, text) =
                        verdict(&hour, Context { refused_known: Some("10.0.0.1"), ..Context::default() });
                    count += 1;
                    for sentence in text.split(". ") {
                        assert!(sentence.split(' ').count() <= 20, "{sentence}");
                        assert!(!sentence.contains(" 1 handshakes"), "{sentence}");
                    }
                }
            }
        }
    }
}

#[test]
fn verbs() {
    assert_eq!(Fates { closed: 2, refused: 2, ..NONE }.verb(), "disconnected");
    assert_eq!(Fates { alerted: 2, refused: 2, ..NONE }.verb(), "turned away with an alert");
    assert_eq!(Fates { alerted: 2, closed: 1, refused: 3, ..NONE }.verb(), "refused");
}

#[test]
fn commas() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
}

#[test]
fn certificates_are_said_apart_and_are_no_refusal() {
    let refused = |all| Fates { all, certificate_refused: all, ..NONE };
    expect(
        HourCounts { named: served(5), without_sni: served(2), rejected: 2, ..nothing() },
        GatewayState::Accepting,
        "2 handshakes of the last hour had no SNI; the gateway refused none. In 2 handshakes the client rejected the \
         certificate.",
    );
    expect(
        HourCounts { named: served(5), without_sni: refused(2), ..nothing() },
        GatewayState::Failing,
        "2 handshakes of the last hour had no SNI; the gateway served none. In 2 handshakes the gateway did not get a \
         client certificate that it accepts.",
    );
    expect(
        HourCounts { named: refused(1), ..nothing() },
        GatewayState::Failing,
        "The gateway did not serve the only handshake with SNI in the last hour. In 1 handshake the gateway did not get \
         a client certificate that it accepts.",
    );
}

#[test]
fn each_answered_outcome_counts_by_its_fate() {
    let mut hour = HourCounts::default();
    for outcome in [
        Outcome::ServerHello,
        Outcome::Established,
        Outcome::RejectedByClient { alert: None },
        Outcome::ClientCertificateRefused { alert: None },
        Outcome::RefusedAfterServerHello { alert: None },
    ] {
        hour.note(&Handshake { outcome, ..Handshake::example() }, false);
    }
    let expected = Fates { all: 5, served: 3, refused: 1, certificate_refused: 1, ..NONE };
    assert_eq!((hour.without_sni, hour.rejected), (expected, 1));
    assert_eq!(hour.without_sni.verb(), "refused");
}
