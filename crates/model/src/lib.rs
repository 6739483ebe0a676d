//! What sni-probe says about a handshake, once for all of its outputs.
//!
//! ```text
//! core: Observation ─▶ fate, class of SNI ─┬─▶ metrics, page, API, events, replay, watch
//! text: scrape, API, event file ─▶ Word ───┴─▶ diagnose, logs, watch
//! ```
//!
//! - *Refused*, *served* and neither: [`Fate`], decided by [`Outcome::fate`].
//! - *Without SNI*: [`SniClass::is_without_sni`]. An incomplete ClientHello is neither with nor without SNI.
//! - [`Word`]: a word from outside as the value it means.
//! - [`facts`]: what separates refused handshakes from served ones.
//! - [`api`]: the answers of `/api/v1/`.
//!
//! ```
//! use sni_probe_model::{AlertSender, Fate, OutcomeClass, SniClass, Word};
//!
//! let outcome: Word<OutcomeClass> = "alert".into();
//! assert_eq!(outcome.fate(Some(AlertSender::Gateway)), Fate::Refused);
//! assert_eq!(outcome.fate(Some(AlertSender::Client)), Fate::Failed);
//! let sni: Word<SniClass> = "unknown".into();
//! assert!(!sni.is_without_sni() && !sni.is_with_sni());
//! ```
#![forbid(unsafe_code)]

pub mod api;
pub mod facts;
mod rest;
mod word;

pub use sni_probe_core::observation::Outcome;
pub use sni_probe_core::vocabulary::{
    AlertDescription, AlertSender, Fate, Label, OutcomeClass, SniClass, TlsVersion,
};

pub use self::rest::{KNOWN_CLIENTS, OTHER_CLIENTS, OTHER_FINGERPRINTS, OTHER_GATEWAYS, REST};
pub use self::word::Word;
