//! From the ServerHello to the end of the handshake: conversations as real clients and gateways have them, and their
//! outcomes, through the datapath and the tracker.
//!
//! A conversation is written as in `docs/handshake.md`: `C:` and `G:` begin a segment of the client or the gateway; records
//! in it are separated by commas. `apN` is a record of type 23 with `N` bytes, `hsN` an encrypted one of type 22, `alN` of type 21,
//! `aN` a plaintext alert with this description. `F` is a FIN and `R` a RST. A segment with `~` is seen before the one that it follows:
//! they cross.

use sni_probe_core::observation::{Handshake, Observation, Outcome};
use sni_probe_core::vocabulary::{AlertDescription, Follow, TlsVersion};
use sni_probe_core::{Tracker, TrackerConfig};
use sni_probe_datapath::userspace::{Datapath, Frame, Layer};
use sni_probe_testkit::answers;
use sni_probe_testkit::captures::{Connection, TimedPacket};
use sni_probe_testkit::hello::ClientHelloBuilder;
use sni_probe_testkit::wire::{handshake, record};

const EARLY_DATA: u16 = 42;
const CERTIFICATE: u8 = 11;
const KEY_EXCHANGE: u8 = 16;

/// The bytes of one word of the notation.
fn records(word: &str) -> Vec<u8> {
    let number = |prefix: &str| word.strip_prefix(prefix).and_then(|rest| rest.parse::<usize>().ok());
    if let Some(len) = number("ap") {
        record(23, &vec![0xaa; len])
    } else if let Some(len) = number("hs") {
        record(22, &vec![0xbb; len])
    } else if let Some(len) = number("al") {
        record(21, &vec![0xcc; len])
    } else if let Some(description) = number("a") {
        answers::fatal_alert(u8::try_from(description).expect("a code"))
    } else {
        match word {
            "CH" => ClientHelloBuilder::new().build(),
            "CHearly" => ClientHelloBuilder::new().extension(EARLY_DATA, &[]).build(),
            "SH" => answers::server_hello(),
            "SH12" => answers::old_server_hello(0x0303, 0xc02f),
            "CCS" => record(20, &[1]),
            "Cert" => record(22, &handshake(CERTIFICATE, &[0; 440])),
            "Cert0" => record(22, &handshake(CERTIFICATE, &[0; 3])),
            "CKE" => record(22, &handshake(KEY_EXCHANGE, &[0; 33])),
            "CKE66" => record(22, &handshake(KEY_EXCHANGE, &[0; 66])),
            "CertCKE" => {
                record(22, &[handshake(CERTIFICATE, &[0; 3]), handshake(KEY_EXCHANGE, &[0; 33])].concat())
            }
            _ => panic!("no such word: {word}"),
        }
    }
}

fn connection(conversation: &str) -> Connection {
    let mut connection = Connection::v4();
    connection.open();
    for segment in conversation.split_whitespace() {
        let segment = segment.trim_start_matches('~');
        let (sender, words) = segment.split_once(':').expect("C: or G:");
        let is_client = sender == "C";
        match words {
            "F" if is_client => connection.client_fin(),
            "R" if is_client => connection.client_reset(),
            "F" => connection.gateway_fin(),
            "R" => connection.gateway_reset(),
            _ => {
                let bytes: Vec<u8> = words.split(',').flat_map(records).collect();
                if is_client { connection.client(&bytes) } else { connection.gateway(&bytes) }
            }
        };
    }
    connection
}

/// The packets of a conversation in the order in which they are seen.
fn packets(conversation: &str) -> Vec<TimedPacket> {
    let mut packets = connection(conversation).packets().to_vec();
    let is_crossing = conversation.split_whitespace().map(|segment| segment.starts_with('~'));
    let before = packets.len() - conversation.split_whitespace().count();
    for (index, _) in is_crossing.enumerate().filter(|(_, is_crossing)| *is_crossing) {
        packets.swap(before + index - 1, before + index);
    }
    packets
}

/// The handshakes of a connection, and how many events there were.
fn handshakes(packets: &[TimedPacket], follow: Follow) -> (Vec<Handshake>, usize) {
    let mut datapath = Datapath::new([443], 1).with_follow_up(follow == Follow::Handshake);
    let mut tracker = Tracker::new(TrackerConfig { follow, ..TrackerConfig::default() });
    let mut events = 0;
    for packet in packets {
        let frame = Frame { layer: Layer::Ip, ..Frame::new(&packet.bytes, packet.time_ns) };
        let mut handle = |event: sni_probe_datapath::event::Event<'_>| {
            events += 1;
            tracker.handle_event(&event);
        };
        datapath.client_to_gateway(&frame, &mut handle);
        datapath.gateway_to_client(&frame, &mut handle);
    }
    tracker.finish();
    let observations = std::iter::from_fn(|| tracker.poll_observation());
    let handshakes = observations.filter_map(|observation| match observation {
        Observation::Handshake(handshake) => Some(*handshake),
        _ => None,
    });
    (handshakes.collect(), events)
}

fn outcome(conversation: &str) -> Outcome {
    let (handshakes, _) = handshakes(&packets(conversation), Follow::Handshake);
    assert_eq!(handshakes.len(), 1, "{conversation}");
    handshakes[0].outcome
}

#[track_caller]
fn assert_outcomes(outcome_of_all: Outcome, conversations: &[&str]) {
    for conversation in conversations {
        assert_eq!(outcome(conversation), outcome_of_all, "{conversation}");
        // The older meaning: the same connection, followed up to its answer.
        let (old, _) = handshakes(&packets(conversation), Follow::Hello);
        assert_eq!(old[0].outcome, Outcome::ServerHello, "{conversation}");
        assert!(outcome_of_all.class().is_answered());
    }
}

#[test]
fn established() {
    assert_outcomes(
        Outcome::Established,
        &[
            // OpenSSL and curl, TLS 1.3: the tickets come before or after the request.
            "C:CH G:SH,CCS,ap23,ap450,ap96,ap53 C:CCS,ap53 G:ap250 G:ap250 C:ap107 G:ap900",
            "C:CH G:SH,CCS,ap23,ap450,ap96,ap53 C:CCS,ap53 C:ap107 G:ap250 G:ap250 G:ap900",
            // Node.js: the request is in the segment of the Finished. The response ends the connection.
            "C:CH G:SH,CCS,ap608 C:CCS,ap53,ap88 G:ap477,ap158 C:ap19 C:F G:F",
            // The gateway speaks first, and the client says nothing.
            "C:CH G:SH,CCS,ap608 C:CCS,ap53 G:ap250 G:ap90 G:ap60",
            "C:CH G:SH,CCS,ap608 C:CCS,ap53 G:ap250 G:F",
            // Java: padding, a segment for each record.
            "C:CH G:SH G:CCS G:ap65 G:ap486 G:ap113 G:ap85 C:CCS C:ap69 C:ap189 G:ap758",
            // A client certificate, and its Finished beyond the bytes that are copied.
            "C:CH G:SH,CCS,ap661 C:CCS,ap813,ap97,ap53,ap88 G:ap2077,ap158 C:ap19 C:F",
            "C:CH G:SH,CCS,ap661 C:CCS,ap445,ap96,ap53 C:ap44 G:ap666 G:ap90",
            "C:CH G:SH,CCS,ap661 C:CCS C:ap453 C:ap111 C:ap69 G:ap700 C:ap44",
            // The same, and what the gateway answers is in one segment with its ticket.
            "C:CH G:SH,CCS,ap661 C:CCS C:ap469,ap97,ap53,ap64 G:ap714,ap714,ap98 G:ap19 C:F",
            // A half-close after the request.
            "C:CH G:SH,CCS,ap608 C:CCS,ap53,ap88 C:F G:ap477,ap158 G:F",
            // TLS 1.2, with and without a resumed session, with a longer key.
            "C:CH G:SH12,Cert C:CKE,CCS,hs40 G:hs186,CCS,hs40 C:ap51 G:ap500",
            "C:CH G:SH12,Cert C:CKE66,CCS,hs40 G:hs186,CCS,hs40 C:ap51 G:ap500",
            "C:CH G:SH12,CCS,hs40 C:CCS,hs40,ap51 G:ap500 C:ap51",
            "C:CH G:SH12,Cert C:Cert0 C:CKE C:CCS C:hs40 G:hs218,CCS,hs40 C:ap180",
            // Early data.
            "C:CHearly,CCS,ap44 G:SH,CCS,ap31,ap53 C:ap21,ap53 G:ap290 G:ap105",
        ],
    );
}

#[test]
fn rejected_by_the_client() {
    let unknown_ca = Outcome::RejectedByClient { alert: Some(AlertDescription::UnknownCa) };
    let encrypted = Outcome::RejectedByClient { alert: None };
    assert_outcomes(
        unknown_ca,
        &["C:CH G:SH,CCS,ap608 C:a48 C:F", "C:CH G:SH,CCS,ap608 C:CCS,a48", "C:CH G:SH12,Cert C:a48 G:F C:R"],
    );
    assert_outcomes(
        encrypted,
        &[
            // Go, GnuTLS, Java.
            "C:CH G:SH,CCS,ap608 C:CCS,ap19 C:F",
            "C:CH G:SH,CCS,ap608 C:CCS C:ap19",
            "C:CH G:SH G:CCS G:ap65 G:ap486 G:ap113 G:ap85 C:CCS C:ap35 C:F",
            // Node.js, and Java's HttpClient: without a word. What the gateway says to that is not its own refusal.
            "C:CH G:SH,CCS,ap608 C:F G:ap19 C:R",
            "C:CH G:SH,CCS,ap608 C:CCS C:F G:ap19 G:F",
            "C:CH G:SH12,Cert C:F G:a50 G:F",
            // The certificate was in a segment that is not passed on: the FIN acknowledges it.
            "C:CH G:SH G:CCS G:ap65 G:ap486 C:F G:ap35",
            "C:CH G:SH G:CCS G:ap65 G:ap495 G:ap112 G:ap69 C:F G:ap35 C:R",
        ],
    );
}

#[test]
fn client_certificate_refused() {
    let missing = Outcome::ClientCertificateRefused { alert: Some(AlertDescription::HandshakeFailure) };
    assert_outcomes(
        missing,
        &[
            "C:CH G:SH12,Cert C:Cert0,CKE,CCS,hs40 G:a40 G:F",
            // Java: the alert comes before the Finished.
            "C:CH G:SH12,Cert C:Cert0 G:a40 G:F C:CKE G:R",
            "C:CH G:SH12,Cert C:CertCKE G:a40 G:F",
        ],
    );
    assert_outcomes(
        Outcome::ClientCertificateRefused { alert: None },
        &[
            "C:CH G:SH,CCS,ap662 C:CCS,ap25,ap53 G:ap19 G:F",
            "C:CH G:SH,CCS,ap662 C:CCS,ap25,ap53 C:ap107 G:ap19 G:F",
            "C:CH G:SH,CCS,ap662 C:CCS,ap445,ap96,ap53 C:ap44 G:ap19 G:R",
            "C:CH G:SH,CCS,ap662 C:CCS C:ap41 G:ap35 G:F C:ap69 G:R",
            "C:CH G:SH,CCS,ap662 C:CCS C:ap77 G:ap19 G:F",
            // The alert and the Finished cross.
            "C:CH G:SH,CCS,ap662 C:CCS,ap25 G:ap19 ~C:ap53 G:F",
            // Node.js as a gateway.
            "C:CH G:SH,CCS,ap662 C:CCS,ap445,ap95,ap53 G:F C:ap19",
        ],
    );
}

#[test]
fn refused_after_the_server_hello() {
    let refused = |alert| Outcome::RefusedAfterServerHello { alert };
    assert_outcomes(
        refused(None),
        &[
            "C:CH G:SH,CCS,ap19 G:F",
            "C:CH G:SH G:CCS G:ap19 G:F",
            "C:CH G:SH G:CCS G:ap35 G:F",
            "C:CH G:SH G:CCS G:ap65 G:ap35 G:F",
            "C:CH G:SH G:CCS G:ap65 G:ap35 C:F G:F",
            "C:CH G:SH C:CCS G:CCS G:ap65,ap35 G:F",
            "C:CH G:SH,CCS G:F",
            "C:CH G:SH G:R",
        ],
    );
    assert_outcomes(refused(Some(AlertDescription::HandshakeFailure)), &["C:CH G:SH12 G:a40 G:F"]);
}

#[test]
fn what_cannot_be_told() {
    assert_outcomes(
        Outcome::ServerHello,
        &[
            // A health check, or a client that checks the name after the handshake.
            "C:CH G:SH,CCS,ap608 C:CCS,ap53 G:ap250 G:ap250 C:ap19 C:F",
            "C:CH G:SH,CCS,ap608 C:CCS,ap53 G:ap250 C:F",
            "C:CH G:SH,CCS,ap608 C:CCS C:ap53 G:ap250 C:R",
            "C:CH G:SH,CCS,ap608 C:CCS C:ap53 G:ap250 G:ap250 G:ap250 G:ap250 C:R",
            "C:CH G:SH12,Cert C:CKE,CCS,hs40 G:hs186,CCS,hs40 C:F",
            "C:CH G:SH12,Cert C:CKE66,CCS,hs40 G:hs186,CCS,hs40 C:F",
            "C:CH G:SH12,Cert C:CKE,CCS,hs40 G:hs186,CCS,hs40 C:al26 C:F",
            // The gateway closes before it says anything after the Finished.
            "C:CH G:SH,CCS,ap608 C:CCS,ap53 G:F",
            "C:CH G:SH,CCS,ap608 C:CCS,ap53,ap88 G:R",
            "C:CH G:SH,CCS,ap608 C:CCS,ap53 C:ap19 G:ap19 G:F",
            // One side pads its records: any of them may be an alert.
            "C:CH G:SH,CCS,ap80,ap912,ap144,ap80 C:CCS,ap25,ap53 G:ap80 G:F",
            "C:CH G:SH,CCS,ap608 C:CCS,ap80 C:ap80 G:ap19 G:F",
            // The client never goes on, and the gateway loses patience.
            "C:CH G:SH,CCS,ap608 G:ap19 G:F",
            "C:CH G:SH,CCS,ap31,ap53 G:F",
            "C:CH G:SH,CCS,ap608",
            "C:CH G:SH,CCS,ap608 C:CCS,ap53",
            "C:CH G:SH12,CCS,hs40 G:F",
        ],
    );
}

#[test]
fn a_handshake_costs_few_events() {
    let usual = "C:CH G:SH,CCS,ap608 C:CCS,ap53 G:ap250 G:ap250 C:ap107";
    let (_, events) = handshakes(&packets(usual), Follow::Handshake);
    assert_eq!(events, 5);
    // Whatever comes after it.
    let rest = " G:ap900 C:ap100 G:ap16000 G:ap16000 C:ap19 C:F G:F";
    assert_eq!(handshakes(&packets(&[usual, rest].concat()), Follow::Handshake).1, 5);
    for (conversation, most) in [
        ("C:CH G:SH,CCS,ap608 C:CCS,ap53 G:ap250 G:ap90 G:ap60 G:ap60 G:ap60 G:ap60", 4),
        ("C:CH G:SH,CCS,ap608 C:CCS,ap53 C:ap1 C:ap1 C:ap1 C:ap1 C:ap1 C:ap1 C:ap1 C:ap1 C:ap1", 9),
        ("C:CH G:SH G:ap23 G:ap23 G:ap23 G:ap23 G:ap23 G:ap23 G:ap23 C:ap53 C:ap107 G:ap90 G:ap90", 9),
    ] {
        let (_, events) = handshakes(&packets(conversation), Follow::Handshake);
        assert_eq!(events, most, "{conversation}");
    }
}

#[test]
fn segments_of_any_size() {
    // Cut into small segments a reply may be undecided, but never another outcome.
    for size in [1, 2, 5, 6, 7, 11, 20, 58, 64, 100] {
        for (reply, expected) in [
            ("CCS,ap53,ap107", Outcome::Established),
            ("CCS,ap19", Outcome::RejectedByClient { alert: None }),
            ("a48", Outcome::RejectedByClient { alert: Some(AlertDescription::UnknownCa) }),
        ] {
            let mut connection = connection("C:CH G:SH,CCS,ap608");
            let bytes: Vec<u8> = reply.split(',').flat_map(records).collect();
            connection.client_in_segments(&bytes, size);
            if expected == Outcome::Established {
                connection.gateway(&records("ap250"));
            } else {
                connection.client_fin().gateway_fin();
            }
            let (handshakes, _) = handshakes(connection.packets(), Follow::Handshake);
            let outcome = handshakes[0].outcome;
            assert!(
                // What an alert in pieces says may be unseen.
                outcome.class() == expected.class() || outcome == Outcome::ServerHello && size < 32,
                "{reply} in segments of {size}: {outcome:?}"
            );
        }
    }
}

#[test]
fn the_answer_says_what_was_chosen() {
    let (handshakes, _) =
        handshakes(&packets("C:CH G:SH,CCS,ap608 C:CCS,ap53,ap88 G:ap250 C:ap19"), Follow::Handshake);
    let negotiated = handshakes[0].answer.negotiated.expect("a ServerHello");
    assert_eq!(negotiated.version, TlsVersion::Tls13);
    assert_eq!((negotiated.cipher_suite, negotiated.group), (0x1301, Some(0x001d)));
}
