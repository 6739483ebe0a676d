//! What the daemon tells of itself by HTTP under `/api/v1/`, and what `watch` and the page show.
//!
//! ```text
//! handshakes ─▶ board (counts, the last hour, the last handshakes) ─▶ model::api (what is sent) ─▶ http, watch
//!                    └▶ verdict (the state in a sentence)
//! ```

mod board;
mod verdict;

use std::fmt;

use sni_probe_model::api::{Clients, Handshakes, Summary};

pub(crate) use self::board::Board;

/// Who knows the answers of `/api/v1/`.
pub(crate) trait Api: fmt::Debug + Send + Sync {
    /// `GET /api/v1/summary`.
    fn summary(&self) -> Summary;
    /// `GET /api/v1/clients`.
    fn clients(&self) -> Clients;
    /// `GET /api/v1/handshakes`: all that are kept.
    fn handshakes(&self) -> Handshakes;
}
