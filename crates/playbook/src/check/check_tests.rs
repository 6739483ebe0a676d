//! Whole checks against a server on the loopback interface: rustls, with an answer by HTTP that depends on SNI.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::report::{AttemptKind, CheckClient};
use super::*;

const CERTIFICATE: &[u8] = include_bytes!("testdata/expired.crt");
const KEY: &[u8] = include_bytes!("testdata/expired.key");

/// What a server does with a connection of which the hello has this name.
type Answer = fn(Option<&str>) -> &'static str;

/// A server that answers each request as `answer` says, until the test process ends. Returns its port.
fn serve(answer: Answer) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp);
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match tls.read(&mut buffer) {
                    Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let name = tls.conn.server_name().map(str::to_owned);
            if !request.is_empty() {
                let _ = tls.write_all(answer(name.as_deref()).as_bytes());
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    port
}

fn examined(port: u16, sni: Option<&str>, http: Option<&str>) -> CheckReport {
    examine(&Config {
        sni: sni.map(str::to_owned),
        http: http.map(str::to_owned),
        timeout: Duration::from_secs(30),
        ..Config::of(format!("127.0.0.1:{port}"))
    })
    .unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const MISDIRECTED: &str = "HTTP/1.1 421 Misdirected Request\r\ncontent-length: 0\r\n\r\n";

#[test]
fn clients_without_sni_that_are_rejected_by_http() {
    for (answer, sni, verdict, parts) in [
        (
            (|name| if name.is_some() { OK } else { MISDIRECTED }) as Answer,
            Some("a.example"),
            CheckVerdict::RejectedByHttp,
            &["then rejected by HTTP 421", "the name a.example get HTTP 200"][..],
        ),
        (|_| MISDIRECTED, None, CheckVerdict::RejectedByHttp, &["HTTP 421", "give one by --sni"]),
        // Not for want of SNI.
        (
            |_| MISDIRECTED,
            Some("a.example"),
            CheckVerdict::NonSniSameCertificate,
            &["HTTP 421 without SNI; HTTP 421 with the name"],
        ),
        (
            |_| OK,
            Some("a.example"),
            CheckVerdict::NonSniSameCertificate,
            &["HTTP 200 without SNI; HTTP 200 with"],
        ),
        (
            |_| "",
            Some("a.example"),
            CheckVerdict::NonSniSameCertificate,
            &["no HTTP answer (the connection was closed after the request) without SNI; no HTTP answer"],
        ),
    ] {
        let report = examined(serve(answer), sni, Some("/healthz"));
        assert_eq!(report.verdict, verdict, "{report:#?}");
        for part in parts {
            assert!(report.sentence.contains(part), "{part} is not in: {}", report.sentence);
        }
        let without = report.attempts.iter().find(|one| one.kind == AttemptKind::WithoutSni).unwrap();
        let is_rejected = without.outcome == AttemptOutcome::RejectedByHttp;
        assert_eq!(is_rejected, without.http_status == Some(421), "{without:?}");
    }
}

#[test]
fn hellos_that_rustls_cannot_send() {
    let port = serve(|_| OK);
    for (sni, client, outcome) in [
        ("A.Example", CheckClient::Rustls, AttemptOutcome::Handshake),
        ("a.example.", CheckClient::HelloOnly, AttemptOutcome::ServerHello),
    ] {
        let report = examined(port, Some(sni), None);
        assert_eq!(report.verdict, CheckVerdict::NonSniSameCertificate, "{report:#?}");
        let [_, _, _, exact, large] = &report.attempts[..] else { panic!("five attempts: {report:#?}") };
        assert_eq!(
            (exact.kind, exact.client, exact.outcome),
            (AttemptKind::ExactName, client, outcome),
            "{exact:?}"
        );
        assert_eq!(exact.server_name.as_deref(), Some(sni));
        assert_eq!(
            (large.client, large.outcome),
            (CheckClient::HelloOnly, AttemptOutcome::ServerHello),
            "{large:?}"
        );
        assert_eq!(large.tls_version.as_deref(), Some("1.3"));
        let is_told = report.sentence.contains("the handshake was not completed");
        assert_eq!(is_told, client == CheckClient::HelloOnly, "{}", report.sentence);
        assert!(text::render(&report, false).contains("the handshake was not completed"));
    }
    // rustls as a server refuses an address as a name.
    let report = examined(port, Some("10.1.2.3"), None);
    let exact = report.attempts.iter().find(|one| one.kind == AttemptKind::ExactName).unwrap();
    assert_eq!(exact.client, CheckClient::HelloOnly);
    assert!(report.sentence.contains("exactly as given, 10.1.2.3, is "), "{}", report.sentence);
}

#[test]
fn a_gateway_that_reads_the_first_segment_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let mut buffer = [0; 4096];
            let count = tcp.read(&mut buffer).unwrap_or(0);
            // A complete record gets an alert, another one nothing but an end.
            if count >= 5 && usize::from(u16::from_be_bytes([buffer[3], buffer[4]])) + 5 == count {
                let _ = tcp.write_all(b"\x15\x03\x03\x00\x02\x02\x28");
            }
        }
    });
    let report = examined(port, Some("a.example"), None);
    assert_eq!(report.verdict, CheckVerdict::NameRefused);
    for part in ["rustls was refused without SNI", "some gateways (Node.js", "ed25519", "x25519"] {
        assert!(report.sentence.contains(part), "{part} is not in: {}", report.sentence);
    }
    assert!(!report.sentence.contains("all clients"), "{}", report.sentence);
    let large = report.attempts.last().unwrap();
    assert!(matches!(large.outcome, AttemptOutcome::Closed | AttemptOutcome::Reset), "{large:?}");
}
