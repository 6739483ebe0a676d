use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::thread;

use sni_probe_testkit::answers::old_server_hello;
use sni_probe_testkit::hello::TLS_1_0;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn plan(timeout: Duration) -> Plan {
    let expected = Host::Address("127.0.0.1".parse().unwrap());
    Plan { tls: None, timeout, expected, request: None }
}

fn without_sni() -> Hello {
    Hello { kind: AttemptKind::WithoutSni, name: None, sender: Sender::Rustls(None) }
}

/// What comes of a gateway that does this with the connection, after it has read of the hello.
fn attempt(timeout: Duration, gateway: impl FnOnce(TcpStream) + Send + 'static) -> Attempt {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        gateway(stream);
    });
    let attempt = plan(timeout).attempt(&without_sni(), address).unwrap();
    server.join().unwrap();
    attempt
}

fn answer(bytes: &'static [u8]) -> Attempt {
    attempt(PATIENCE, move |mut stream| {
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(bytes).unwrap();
    })
}

#[test]
fn a_reset() {
    let attempt = attempt(PATIENCE, |mut stream| {
        // Closing with unread bytes is a reset, as Envoy's is.
        stream.read_exact(&mut [0; 5]).unwrap();
    });
    assert_eq!(attempt.outcome, AttemptOutcome::Reset);
    assert_eq!(attempt.error.as_deref(), Some("connection reset after the hello"));
    assert!(attempt.connected && attempt.certificate.is_none() && attempt.tls_version.is_none());
}

#[test]
fn a_close() {
    assert_eq!(answer(b"").outcome, AttemptOutcome::Closed);
    let half = answer(b"\x16\x03\x03\x00");
    assert_eq!(half.error.as_deref(), Some("connection closed in the middle of the handshake"));
}

#[test]
fn alerts() {
    let named = answer(b"\x15\x03\x03\x00\x02\x02\x70");
    assert_eq!((named.outcome, named.alert.as_deref()), (AttemptOutcome::Alert, Some("unrecognized_name")));
    assert_eq!(named.error.as_deref(), Some("alert unrecognized_name (112)"));
    assert_eq!(answer(b"\x15\x03\x03\x00\x02\x02\xfa").alert.as_deref(), Some("unassigned"));
}

#[test]
fn no_tls() {
    for (bytes, error) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"[..],
            "the answer is plain HTTP: HTTP/1.1 400 Bad Request",
        ),
        (b"<!DOCTYPE html>\n", "the answer is plain HTTP: <!DOCTYPE html>"),
        (b"SSH-2.0-x\r\n", "the answer is SSH: SSH-2.0-x"),
        (b"\x16\x1b[31m\n", "the answer is no TLS: \\x16\\x1b[31m"),
        (b"\0", "the answer is no TLS: \\x00"),
    ] {
        let attempt = answer(bytes);
        assert_eq!((attempt.outcome, attempt.error.as_deref()), (AttemptOutcome::NotTls, Some(error)));
    }
}

#[test]
fn a_version_that_was_not_offered() {
    let attempt = answer(old_server_hello(TLS_1_0, 0x002f).leak());
    assert_eq!(attempt.outcome, AttemptOutcome::Unsupported, "{attempt:?}");
}

#[test]
fn silence() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let attempt = attempt(Duration::from_millis(100), move |stream| {
        thread::spawn(move || receiver.recv().map(|()| drop(stream)));
    });
    drop(sender);
    assert_eq!(attempt.outcome, AttemptOutcome::Timeout);
    assert!(attempt.connected && attempt.latency_us >= 100_000, "{attempt:?}");
}

#[test]
fn nobody() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let attempt = plan(PATIENCE).attempt(&without_sni(), address).unwrap();
    assert_eq!((attempt.outcome, attempt.connected), (AttemptOutcome::Refused, false));
}

mod garbage {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn is_never_a_handshake(record in 20_u8..24, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut all = vec![record, 3, 3];
            all.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            all.extend(bytes);
            let attempt = answer(all.leak());
            prop_assert_ne!(attempt.outcome, AttemptOutcome::Handshake);
            prop_assert!(attempt.error.is_some());
        }
    }
}
