//! What the daemon tells of itself by HTTP under `/api/v1/`, and what `watch` and the page show.

pub(crate) mod model;
pub(crate) mod stand_in;

use std::fmt;

use self::model::{Clients, Handshakes, Summary};

/// Who knows the answers of `/api/v1/`.
pub(crate) trait Api: fmt::Debug + Send + Sync {
    /// `GET /api/v1/summary`.
    fn summary(&self) -> Summary;
    /// `GET /api/v1/clients`.
    fn clients(&self) -> Clients;
    /// `GET /api/v1/handshakes`: all that are kept.
    fn handshakes(&self) -> Handshakes;
}
