//! An interface that is to be watched, and why.

use std::cell::Cell;

use sni_probe_capture::links::{Link, LinkState, Orientation};
use sni_probe_capture::preceding::PrecedingProgram;
use tokio::sync::Notify;

use super::super::other_hosts::{self, Reason};
use super::super::source::{PacketSource, Watch};
use crate::readiness::Status;

/// The sign that the daemon is about to stop.
#[derive(Debug, Default)]
pub(in crate::run) struct Stop {
    is_set: Cell<bool>,
    notify: Notify,
}

impl Stop {
    pub(in crate::run) fn set(&self) {
        self.is_set.set(true);
        self.notify.notify_one();
    }

    pub(in crate::run) const fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// Ready when it is set. For one that waits.
    pub(in crate::run) async fn wait(&self) {
        self.notify.notified().await;
    }
}

/// What several interfaces suffer from for the same reason: it is logged once, until a look at all of them is without it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    in_last_look: bool,
    in_this_look: bool,
}

impl Trouble {
    /// All interfaces are looked at anew.
    pub(super) fn begin_look(&mut self) {
        self.in_last_look = std::mem::take(&mut self.in_this_look);
    }

    /// Notes that one suffers from it. Whether that is to be logged.
    pub(super) fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.in_this_look, true) && !self.in_last_look
    }
}

/// Why an interface is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// `--interface` names it.
    Named,
    /// A default route leads through it.
    DefaultRoute,
    /// A pattern matches its name. Or another interface has taken the name by which it was watched.
    Found,
    /// A default route led through it. It is watched until it is down, for connections that are under way.
    FormerDefaultRoute,
}

impl Cause {
    /// Whether the interface is missed when it is not there.
    pub(super) const fn is_required(self) -> bool {
        matches!(self, Self::Named | Self::DefaultRoute)
    }
}

/// An interface that is to be watched, and is if it is there.
pub(super) struct Watched {
    /// What it is called in metrics and events: the name that it had first, as long as no other interface takes that.
    pub(super) name: String,
    pub(super) cause: Cause,
    pub(super) watch: Option<Watching>,
    /// Why it could not be watched, the last time.
    pub(super) complaint: Option<String>,
}

pub(super) struct Watching {
    pub(super) link: Link,
    pub(super) watch: Watch,
    pub(super) orientation: Orientation,
    /// The other orientation is right once a gateway is found in this namespace.
    pub(super) is_orientation_doubtful: bool,
    /// Why frames for other MAC addresses count there, if they do.
    pub(super) other_hosts: Option<Reason>,
    /// What packets meet before our programs.
    pub(super) before: Vec<PrecedingProgram>,
    /// That was not asked yet.
    pub(super) is_new: bool,
}

impl Watching {
    pub(super) fn status(&self) -> Status {
        Status::Attached { before: self.before.clone(), state: self.link.state, kind: self.link.kind }
    }
}

impl Watching {
    /// Has frames for other MAC addresses counted from now on, or not any more.
    pub(super) fn count_other_hosts(&mut self, reason: Option<Reason>, source: &mut PacketSource) {
        self.other_hosts = reason;
        let name = &*self.link.name;
        if !other_hosts::count(&self.link, reason, source) {
            return;
        }
        if let Some(reason) = reason {
            tracing::info!(interface = name, reason = reason.text(), "frames for other MAC addresses count");
        } else {
            tracing::info!(interface = name, "frames for other MAC addresses do not count any more");
        }
    }
}

impl Watched {
    pub(super) fn new(name: String, cause: Cause) -> Self {
        Self { name, cause, watch: None, complaint: None }
    }

    pub(super) fn index(&self) -> Option<u32> {
        self.watch.as_ref().map(|watching| watching.link.index)
    }

    /// Tells that it is watched.
    pub(super) fn announce(&self) {
        let Some(Watching { link, watch, orientation, other_hosts, .. }) = &self.watch else { return };
        tracing::info!(interface = self.name, mode = watch.mode().name(), %orientation, "attached");
        if let Some(reason) = other_hosts.filter(|reason| *reason != Reason::PodsEnd) {
            tracing::info!(
                interface = self.name,
                reason = reason.text(),
                "frames for other MAC addresses count"
            );
        }
        // A pod's veth is attached to before it is up: that is no cause for concern.
        if link.state != LinkState::Up && self.cause.is_required() {
            tracing::warn!(interface = self.name, "the interface is {}", link.state);
        }
        if let Some(blind_spot) = link.kind.blind_spot() {
            tracing::warn!(interface = self.name, "{blind_spot}");
        }
    }
}
