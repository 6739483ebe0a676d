//! Answers that know the interfaces and nothing else.

use std::sync::Arc;

use jiff::Timestamp;

use super::Api;
use super::model::{Clients, Flows, Handshakes, History, State, Summary};
use crate::http::Readiness;

/// What is known without a collector.
#[derive(Debug)]
pub(crate) struct StandIn {
    started: Timestamp,
    readiness: Arc<Readiness>,
    ports: Vec<u16>,
}

impl StandIn {
    pub(crate) fn new(readiness: Arc<Readiness>, ports: Vec<u16>) -> Self {
        Self { started: Timestamp::now(), readiness, ports }
    }
}

impl Api for StandIn {
    fn summary(&self) -> Summary {
        let (ready, interfaces) = self.readiness.interfaces();
        let (state, sentence) = if ready {
            (State::Idle, "No TLS client connected in the last hour.")
        } else {
            (State::NotReady, "Not every interface is watched.")
        };
        Summary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: String::new(),
            time: Timestamp::now(),
            started: self.started,
            state,
            sentence: sentence.to_owned(),
            ready,
            interfaces,
            ports: self.ports.clone(),
            clients_without_sni: 0,
            clients_refused: 0,
            handshakes: Vec::new(),
            last_hour: History { step_seconds: 60, end: Timestamp::now(), series: Vec::new() },
            not_seen: Vec::new(),
            flows: Flows { open: 0, capacity: 0 },
        }
    }

    fn clients(&self) -> Clients {
        Clients {
            time: Timestamp::now(),
            label: "ip".to_owned(),
            capacity: 100,
            clients: Vec::new(),
            other: Vec::new(),
            expected: Vec::new(),
        }
    }

    fn handshakes(&self) -> Handshakes {
        Handshakes { time: Timestamp::now(), capacity: 0, handshakes: Vec::new() }
    }
}
