//! Whether the daemon sees what it is to watch: `/readyz`, the page and `watch` show it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sni_probe_capture::links::{LinkKind, LinkState};
use sni_probe_capture::preceding::PrecedingProgram;
use sni_probe_model::api::Interface;

/// Whether the daemon sees what it is to watch.
#[derive(Debug, Default)]
pub struct Readiness {
    state: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    interfaces: BTreeMap<String, Status>,
    /// The patterns by which interfaces are found, if any.
    pattern: Option<String>,
    /// Interfaces that match a pattern were not looked for yet.
    is_pending: bool,
}

/// The state of an interface that is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is watched.
    Attached {
        /// What packets meet before.
        before: Vec<PrecedingProgram>,
        /// Whether it carries packets.
        state: LinkState,
        /// Which packets pass its hooks.
        kind: LinkKind,
    },
    /// Nothing is seen there, for this reason.
    Detached(String),
}

impl Status {
    fn is_ready(&self) -> bool {
        match self {
            Self::Attached { before, state, kind } => {
                *state == LinkState::Up
                    && *kind != LinkKind::IpvlanL3s
                    && !before.iter().any(|neighbour| neighbour.ends_chain)
            }
            Self::Detached(_) => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached { before, state, kind } => {
                f.write_str("attached")?;
                if *state != LinkState::Up {
                    write!(f, "; the interface is {state}")?;
                }
                if let Some(blind_spot) = kind.blind_spot() {
                    write!(f, "; {blind_spot}")?;
                }
                for neighbour in before {
                    let what = if neighbour.ends_chain {
                        "packets that it takes are not seen; see --attach, --priority and --netns"
                    } else {
                        "it may hide packets"
                    };
                    write!(f, "; behind {neighbour}: {what}")?;
                }
                Ok(())
            }
            Self::Detached(reason) => write!(f, "not attached: {reason}"),
        }
    }
}

impl Readiness {
    /// Notes the state of `interface`.
    pub fn set(&self, interface: &str, status: Status) {
        self.lock().interfaces.insert(interface.to_owned(), status);
    }

    /// Forgets an interface.
    pub fn remove(&self, interface: &str) {
        self.lock().interfaces.remove(interface);
    }

    /// Notes by which patterns interfaces are found.
    pub fn set_pattern(&self, pattern: Option<String>) {
        self.lock().pattern = pattern;
    }

    /// Notes whether interfaces that match a pattern are still to be looked for.
    pub fn set_pending(&self, is_pending: bool) {
        self.lock().is_pending = is_pending;
    }

    /// Ready if there are interfaces and all are seen; and the interfaces, by name.
    pub fn interfaces(&self) -> (bool, Vec<Interface>) {
        let state = self.lock();
        let interface = |(name, status): (&String, &Status)| Interface {
            name: name.clone(),
            ready: status.is_ready(),
            status: status.to_string(),
        };
        (state.is_ready(), state.interfaces.iter().map(interface).collect())
    }

    /// Whether it is ready; and a line for each interface.
    pub fn report(&self) -> (bool, String) {
        let state = self.lock();
        let ready = state.is_ready();
        let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
        // Writing to a `String` cannot fail.
        if state.interfaces.is_empty() {
            let _ = match &state.pattern {
                Some(pattern) => writeln!(text, "no interface matches {pattern} yet"),
                None => writeln!(text, "no interface yet"),
            };
        }
        for (interface, status) in &state.interfaces {
            let _ = writeln!(text, "{interface}: {status}");
        }
        (ready, text)
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        // A panic elsewhere leaves a state that is whole: entries are replaced, never half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn is_ready(&self) -> bool {
        !self.is_pending && !self.interfaces.is_empty() && self.interfaces.values().all(Status::is_ready)
    }
}
