//! One connection with a handshake or a hello, and what became of it.

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{DnsName, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion};
use sni_probe_core::vocabulary::Label as _;

use super::certificate::{self, Looking};
use super::config::OfferedTls;
use super::failure::Failure;
use super::first_answer;
use super::hellos::{Hello, Sender};
use super::http::{self, Request};
use super::report::{Attempt, AttemptKind, AttemptOutcome, CheckClient};
use super::stream::Stream;
use super::target::Host;

/// How to shake hands.
#[derive(Debug)]
pub(super) struct Plan {
    /// The versions to offer; `None`: all.
    pub(super) tls: Option<OfferedTls>,
    /// From the begin of the connection.
    pub(super) timeout: Duration,
    /// For whom the certificate should be.
    pub(super) expected: Host,
    /// What to ask for after the handshake.
    pub(super) request: Option<Request>,
}

impl Plan {
    /// Connects, and shakes hands or sends a hello.
    ///
    /// # Errors
    /// When rustls cannot be set up: nothing of the gateway's doing.
    pub(super) fn attempt(&self, hello: &Hello, address: SocketAddr) -> anyhow::Result<Attempt> {
        match &hello.sender {
            Sender::Rustls(name) => self.with_rustls(name.as_ref(), hello, address),
            Sender::Own(segments) => Ok(self.hello_only(segments, hello, address)),
        }
    }

    fn hello_only(&self, segments: &[Vec<u8>], hello: &Hello, address: SocketAddr) -> Attempt {
        let start = Instant::now();
        let mut attempt = Attempt { client: CheckClient::HelloOnly, ..Attempt::begun(hello) };
        let result = match Stream::connect(address, self.timeout) {
            Ok(mut stream) => {
                attempt.connected = true;
                let answer = first_answer::of(segments, &mut stream, self.timeout);
                attempt.latency_us = micros(start);
                stream.close();
                answer
            }
            Err(error) => {
                attempt.latency_us = micros(start);
                Err(Failure::of_connect(&error, address, self.timeout))
            }
        };
        match result {
            Ok(version) => {
                attempt.outcome = AttemptOutcome::ServerHello;
                attempt.tls_version = version;
            }
            Err(failure) => attempt.failed(failure),
        }
        attempt
    }

    fn with_rustls(
        &self,
        name: Option<&DnsName<'static>>,
        hello: &Hello,
        address: SocketAddr,
    ) -> anyhow::Result<Attempt> {
        let looking = Arc::new(Looking::default());
        // A name that no gateway serves would not be the name of the request.
        let request = self.request.as_ref().filter(|_| hello.kind != AttemptKind::UnknownName);
        let mut tls = self.client(name, Arc::clone(&looking))?;
        let start = Instant::now();
        let mut attempt = Attempt::begun(hello);
        let result = match Stream::connect(address, self.timeout) {
            Ok(mut stream) => {
                attempt.connected = true;
                handshake(&mut tls, &mut stream, self.timeout).map(|()| stream)
            }
            Err(error) => Err(Failure::of_connect(&error, address, self.timeout)),
        };
        attempt.latency_us = micros(start);
        attempt.tls_version = tls.protocol_version().map(version);
        // rustls has the versions in the names of its suites, IANA has not.
        attempt.cipher = tls
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str().map(|name| name.replacen("TLS13_", "TLS_", 1)));
        attempt.certificate = looking.seen().and_then(|der| certificate::read(&der, &self.expected));
        match result {
            Ok(mut stream) => {
                match request.map(|request| request.send(&mut tls, &mut stream)) {
                    Some(Ok(status)) => attempt.answered(status),
                    Some(Err(error)) => attempt.error = Some(error),
                    None => {}
                }
                farewell(tls, stream);
            }
            Err(failure) => attempt.failed(failure),
        }
        Ok(attempt)
    }

    fn client(
        &self,
        name: Option<&DnsName<'static>>,
        looking: Arc<Looking>,
    ) -> anyhow::Result<ClientConnection> {
        let versions = match self.tls {
            None => &[&TLS13, &TLS12][..],
            Some(OfferedTls::Tls12) => &[&TLS12],
            Some(OfferedTls::Tls13) => &[&TLS13],
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(looking)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.enable_sni = name.is_some();
        if self.request.is_some() {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        // Without SNI the name goes nowhere.
        let server_name = match name {
            Some(name) => ServerName::DnsName(name.clone()),
            None => ServerName::try_from("invalid")?,
        };
        Ok(ClientConnection::new(Arc::new(config), server_name)?)
    }
}

impl Attempt {
    /// An attempt of which nothing is known yet.
    pub(super) fn begun(hello: &Hello) -> Self {
        Self {
            kind: hello.kind,
            client: CheckClient::Rustls,
            server_name: hello.name.clone(),
            connected: false,
            outcome: AttemptOutcome::Handshake,
            http_status: None,
            alert: None,
            tls_version: None,
            cipher: None,
            certificate: None,
            latency_us: 0,
            error: None,
        }
    }

    fn failed(&mut self, failure: Failure) {
        self.outcome = failure.outcome;
        self.alert = failure.alert.map(|alert| alert.as_str().to_owned());
        self.error = Some(failure.error);
    }

    fn answered(&mut self, status: u16) {
        self.http_status = Some(status);
        if http::is_rejection(status) {
            self.outcome = AttemptOutcome::RejectedByHttp;
            self.error = Some(format!("HTTP {status} after the handshake"));
        }
    }
}

fn micros(start: Instant) -> u64 {
    start.elapsed().as_micros().try_into().unwrap_or(u64::MAX)
}

/// Goes on until both sides have finished.
fn handshake(tls: &mut ClientConnection, stream: &mut Stream, timeout: Duration) -> Result<(), Failure> {
    while tls.is_handshaking() {
        let written = write_all(tls, stream);
        let read = match tls.read_tls(stream) {
            // What the gateway said before it stopped reading comes first; after it, what stopped the writing.
            Ok(0) => written.and(Ok(0)),
            read => read,
        };
        match read {
            Ok(0) => return Err(Failure::closed(stream.first())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::of_stream(&error, stream.first(), timeout)),
        }
        if !may_be_tls(stream.first()) {
            return Err(Failure::not_tls(stream.first()));
        }
        if let Err(error) = tls.process_new_packets() {
            // Tells the gateway why; it may be gone.
            let _ = write_all(tls, stream);
            return Err(Failure::of_tls(&error));
        }
    }
    // The last flight: a gateway that does not take it says so to nobody here.
    let _ = write_all(tls, stream);
    Ok(())
}

fn write_all(tls: &mut ClientConnection, stream: &mut Stream) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(stream)?;
    }
    stream.flush()
}

/// Ends a session as its gateway expects it.
fn farewell(mut tls: ClientConnection, mut stream: Stream) {
    tls.send_close_notify();
    let _ = write_all(&mut tls, &mut stream);
    stream.close();
}

/// Whether the answer may begin like this: an alert or a handshake, of a version 3.x (RFC 8446, 5.1).
fn may_be_tls(first: &[u8]) -> bool {
    match first {
        [] => true,
        [kind] => matches!(kind, 21 | 22),
        [kind, major, ..] => matches!((kind, major), (21 | 22, 3)),
    }
}

fn version(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "1.3".to_owned(),
        // Not offered.
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
