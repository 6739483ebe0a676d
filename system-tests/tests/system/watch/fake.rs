//! A daemon that is made up: it serves the API's answers of the unit tests, and counts on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use system_tests::wait_until;

use crate::site::TIMEOUT;

const SUMMARY: &str = include_str!("../../../../crates/model/samples/summary.json");
const CLIENTS: &str = include_str!("../../../../crates/model/samples/clients.json");
const HANDSHAKES: &str = include_str!("../../../../crates/model/samples/handshakes.json");

/// The answers, by the last part of their paths.
pub(super) const ANSWERS: [(&str, &str); 3] =
    [("summary", SUMMARY), ("clients", CLIENTS), ("handshakes", HANDSHAKES)];

/// It answers until it is dropped. Each summary is a second later than the one before, and tells of three more resets.
pub(super) struct Daemon {
    address: SocketAddr,
    state: Arc<FakeState>,
    server: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct FakeState {
    /// How many summaries were asked for.
    summaries: AtomicU64,
    is_hanging: AtomicBool,
    is_ended: AtomicBool,
}

impl Daemon {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(FakeState::default());
        let server = thread::spawn({
            let state = Arc::clone(&state);
            move || {
                let mut unanswered = Vec::new();
                for stream in listener.incoming().map_while(Result::ok) {
                    if state.is_ended.load(Ordering::Relaxed) {
                        break;
                    }
                    if state.is_hanging.load(Ordering::Relaxed) {
                        unanswered.push(stream);
                    } else {
                        state.answer(&stream);
                    }
                }
            }
        });
        Self { address, state, server: Some(server) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it takes connections and says nothing.
    pub(super) fn hang(&self) {
        self.state.is_hanging.store(true, Ordering::Relaxed);
    }

    /// How many summaries were asked for.
    pub(super) fn asked(&self) -> u64 {
        self.state.summaries.load(Ordering::Relaxed)
    }

    pub(super) fn wait_until_asked(&self, count: u64) {
        wait_until("more requests", TIMEOUT, || Ok((self.asked() >= count).then_some(()))).unwrap();
    }
}

impl FakeState {
    /// Answers one request. A client that leaves meanwhile is no matter.
    fn answer(&self, mut stream: &TcpStream) {
        let mut head = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(request) = head.next() else { return };
        head.take_while(|line| !line.is_empty()).for_each(drop);
        let body = match request.split(' ').nth(1) {
            Some("/api/v1/summary") => self.summary(),
            Some("/api/v1/clients") => CLIENTS.to_owned(),
            Some("/api/v1/handshakes") => HANDSHAKES.to_owned(),
            _ => String::new(),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        let _ = stream.write_all((head + &body).as_bytes());
    }

    fn summary(&self) -> String {
        let n = self.summaries.fetch_add(1, Ordering::Relaxed);
        let mut summary: Value = serde_json::from_str(SUMMARY).unwrap();
        summary["time"] = json!(format!("2026-03-05T{:02}:{:02}:{:02}Z", 14 + n / 3600, n / 60 % 60, n % 60));
        for count in summary["handshakes"].as_array_mut().unwrap() {
            if count["outcome"] == "reset_by_gateway" {
                count["handshakes"] = json!(count["handshakes"].as_u64().unwrap() + 3 * n);
            }
        }
        summary.to_string()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.state.is_ended.store(true, Ordering::Relaxed);
        // It waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
