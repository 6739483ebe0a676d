//! The interfaces that are watched: found at the start, followed as they come and go.

mod changes;
mod orientation;
mod watched;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use sni_probe_capture::attach::tcx_links;
use sni_probe_capture::links::{Link, Links, Netlink, Orientation};
use sni_probe_capture::preceding::{self, PrecedingProgram};
use sni_probe_telemetry::metrics::{AttachMode, ChainEffect, Hook, InterfaceChange, Metrics};

use self::watched::{Cause, Stop, Trouble, Watched, Watching};
use super::interface_names::InterfaceNames;
use super::other_hosts;
use super::selection::Patterns;
use super::source::{PacketSource, Watch, is_gone, is_out_of_files};
use crate::config::{InterfaceSelector, ProbeConfig};
use crate::readiness::{Readiness, Status};

/// The interfaces that are to be watched.
///
/// Its methods borrow the source of events only while nothing is waited for: events are read meanwhile.
pub(super) struct Interfaces {
    netlink: Netlink,
    orientation: Option<Orientation>,
    /// The gateway's.
    ports: Vec<u16>,
    /// `--mirror-port`.
    are_mirror_ports: bool,
    /// In another network namespace than this process was started in.
    is_elsewhere: bool,
    /// No interface was named: those of the default routes are watched, wherever these lead.
    follows_default_routes: bool,
    patterns: Patterns,
    watched: Vec<Watched>,
    /// There are too many open files.
    out_of_files: Trouble,
    names: Rc<RefCell<InterfaceNames>>,
    stop: Rc<Stop>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// Of which interfaces it is asked who is before our programs: some system calls each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    New,
    All,
}

impl Interfaces {
    /// Finds the interfaces that the config name, or else those of the default routes.
    ///
    /// # Errors
    /// If one that is named does not exist, or there is no default route.
    pub(super) async fn find(
        netlink: Netlink,
        config: &ProbeConfig,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
    ) -> anyhow::Result<Self> {
        let mut links = netlink.links().await.context("cannot ask the kernel for interfaces")?;
        let mut names: Vec<String> = Vec::new();
        let mut patterns = Vec::new();
        for selector in &config.interfaces {
            match selector {
                InterfaceSelector::Name(name) if names.contains(name) => {}
                InterfaceSelector::Name(name) => names.push(name.clone()),
                InterfaceSelector::Matching(pattern) => patterns.push(pattern.clone()),
            }
        }
        let follows_default_routes = config.interfaces.is_empty();
        let cause = if follows_default_routes { Cause::DefaultRoute } else { Cause::Named };
        if follows_default_routes {
            netlink.add_default_routes(&mut links).await;
            names = links.with_default_route().map(|link| link.name.clone()).collect();
            if names.is_empty() {
                bail!(
                    "there is no default route to take an interface from; name one with --interface: {}",
                    links.names()
                );
            }
        }
        for name in &names {
            if links.by_name(name).is_none() {
                bail!("interface {name} does not exist; there are: {}", links.names());
            }
        }
        Ok(Self {
            netlink,
            orientation: config.orientation,
            ports: config.ports.clone(),
            are_mirror_ports: config.mirror_port,
            is_elsewhere: config.netns.is_some(),
            patterns: Patterns::new(patterns),
            follows_default_routes,
            watched: names.into_iter().map(|name| Watched::new(name, cause)).collect(),
            out_of_files: Trouble::default(),
            names: Rc::default(),
            stop: Rc::default(),
            metrics,
            readiness,
        })
    }

    /// The names of the interfaces by their numbers: kept up to date.
    pub(super) const fn names(&self) -> &Rc<RefCell<InterfaceNames>> {
        &self.names
    }

    /// The sign that nothing more is to be attached.
    pub(super) const fn stop(&self) -> &Rc<Stop> {
        &self.stop
    }

    /// Watches those that the config name. Others are found later ([`Interfaces::reconcile`]).
    ///
    /// # Errors
    /// If one of them fails: then none is watched.
    pub(super) async fn watch_named(&mut self, source: &RefCell<PacketSource>) -> anyhow::Result<()> {
        let mut links = self.netlink.links().await.context("cannot ask the kernel for interfaces")?;
        self.netlink.add_default_routes(&mut links).await;
        for place in 0..self.watched.len() {
            let name = self.watched[place].name.clone();
            self.metrics.add_interface(&name);
            let result = match links.by_name(&name) {
                Some(link) => self.watch(place, link, &links, source).await,
                None => Err(anyhow::anyhow!("interface {name} has gone away")),
            };
            if let Err(error) = result {
                self.unwatch_all(source).await;
                return Err(error);
            }
        }
        // Not before: a failure is reported in one line.
        self.watched.iter().for_each(Watched::announce);
        self.readiness.set_pattern((!self.patterns.is_empty()).then(|| self.patterns.text()));
        self.readiness.set_pending(!self.patterns.is_empty());
        if !self.patterns.is_empty() && !self.patterns.match_any(&links) {
            tracing::warn!("no interface matches {} yet; there are: {}", self.patterns.text(), links.names());
        }
        self.look_before(Which::New).await;
        Ok(())
    }

    /// Whether interfaces may be watched later, because they are not there yet or have the wrong orientation.
    pub(super) fn may_change(&self) -> bool {
        let mut watching = self.watched.iter().filter_map(|watched| watched.watch.as_ref());
        self.follows_default_routes
            || !self.patterns.is_empty()
            || watching.any(|watching| watching.is_orientation_doubtful)
    }

    /// Whether one is watched by legacy filters, which anybody may remove.
    pub(super) fn has_filters(&self) -> bool {
        let mut watching = self.watched.iter().filter_map(|watched| watched.watch.as_ref());
        watching.any(|watching| watching.watch.mode() == AttachMode::Clsact)
    }

    /// Compares what is watched with what is there: watches interfaces that have come, or are back, and notes
    /// those that went away.
    ///
    /// # Errors
    /// If one is back that cannot be watched again, because the privileges for that were dropped.
    pub(super) async fn reconcile(&mut self, source: &RefCell<PacketSource>) -> anyhow::Result<()> {
        self.compare(source, None).await
    }

    /// The same, and what packets meet before our programs by now.
    ///
    /// # Errors
    /// As [`Interfaces::reconcile`].
    pub(super) async fn look_around(&mut self, source: &RefCell<PacketSource>) -> anyhow::Result<()> {
        self.correct_orientations(source).await;
        let has_tcx = self.watched.iter().filter_map(|watched| watched.watch.as_ref());
        let has_tcx = has_tcx.into_iter().any(|watching| watching.watch.mode() == AttachMode::Tcx);
        let tcx_links = if has_tcx { tcx_links() } else { None };
        self.compare(source, tcx_links.as_ref()).await?;
        self.look_before(Which::All).await;
        Ok(())
    }

    async fn compare(
        &mut self,
        source: &RefCell<PacketSource>,
        tcx_links: Option<&HashMap<u32, u32>>,
    ) -> anyhow::Result<()> {
        let mut links = match self.netlink.links().await {
            Ok(links) => links,
            Err(error) => {
                tracing::warn!(%error, "cannot ask the kernel for interfaces");
                return Ok(());
            }
        };
        for place in 0..self.watched.len() {
            self.notice_changes(place, &links, source, tcx_links).await;
        }
        self.rename(&links);
        if self.may_change() || (0..self.watched.len()).any(|place| self.is_to_be_watched(place, &links)) {
            self.netlink.add_default_routes(&mut links).await;
        }
        if self.follows_default_routes {
            self.follow_default_routes(&links, source).await;
        }
        self.find_new(&links);
        self.forget_departed(&links);
        self.out_of_files.begin_look();
        for place in 0..self.watched.len() {
            if self.stop.is_set() {
                return Ok(());
            }
            if self.is_to_be_watched(place, &links) {
                if !source.borrow().can_watch_more() {
                    bail!(
                        "{} is to be watched again, which takes privileges that were dropped: start sni-probe again, or \
                         run it with --keep-privileges",
                        self.watched[place].name
                    );
                }
                self.watch_again(place, &links, source).await;
                // The kernel takes 10 ms and more for each: events and requests have their turn.
                tokio::task::yield_now().await;
            }
        }
        self.readiness.set_pending(false);
        self.look_before(Which::New).await;
        Ok(())
    }

    /// Whether an interface is there and not watched, under whatever name.
    fn is_to_be_watched(&self, place: usize, links: &Links) -> bool {
        let watched = &self.watched[place];
        let is_watched = |link: &Link| self.watched.iter().any(|watched| watched.index() == Some(link.index));
        watched.watch.is_none() && links.by_name(&watched.name).is_some_and(|link| !is_watched(link))
    }

    async fn watch_again(&mut self, place: usize, links: &Links, source: &RefCell<PacketSource>) {
        let Some(link) = links.by_name(&self.watched[place].name) else { return };
        match self.watch(place, link, links, source).await {
            Ok(()) => {
                self.watched[place].complaint = None;
                self.watched[place].announce();
            }
            Err(error) => {
                let watched = &mut self.watched[place];
                let complaint = format!("{error:#}");
                self.readiness.set(&watched.name, Status::Detached(complaint.clone()));
                // Of one interface for all: each that comes would say the same.
                let is_said = is_out_of_files(&error) && !self.out_of_files.is_news();
                if watched.complaint.as_ref() != Some(&complaint) {
                    if is_gone(&error) {
                        // The kernel notifies of it next.
                        tracing::debug!(interface = watched.name, "{complaint}");
                    } else if !is_said {
                        tracing::warn!(interface = watched.name, "{complaint}");
                    }
                    watched.complaint = Some(complaint);
                }
            }
        }
    }

    async fn watch(
        &mut self,
        place: usize,
        link: &Link,
        links: &Links,
        source: &RefCell<PacketSource>,
    ) -> anyhow::Result<()> {
        let (orientation, is_orientation_doubtful) = self.orient(link, links).await;
        let other_hosts =
            other_hosts::reason(&self.netlink, links, link, orientation, self.are_mirror_ports, None).await;
        // Before the first frame.
        other_hosts::count(link, other_hosts, &mut source.borrow_mut());
        // Before the first event.
        self.names.borrow_mut().set(link.index, &self.watched[place].name);
        let watch = match PacketSource::watch(source, link, orientation).await {
            Ok(watch) => watch,
            Err(error) => {
                self.names.borrow_mut().depart(link.index);
                return Err(error);
            }
        };
        let watched = &mut self.watched[place];
        set_attached(&self.metrics, &watched.name, &watch, true);
        self.metrics.interface_changed(&watched.name, InterfaceChange::Attached);
        let link = link.clone();
        let before = Vec::new();
        let watching =
            Watching { link, watch, orientation, is_orientation_doubtful, other_hosts, before, is_new: true };
        self.readiness.set(&watched.name, watching.status());
        watched.watch = Some(watching);
        Ok(())
    }

    /// Looks for programs before ours, and reports changes.
    async fn look_before(&mut self, which: Which) {
        for watched in &mut self.watched {
            let Some(watching) = &mut watched.watch else { continue };
            if which == Which::New && !watching.is_new {
                continue;
            }
            watching.is_new = false;
            let attachment = match &watching.watch {
                Watch::Tc(attachment) => Some(attachment),
                Watch::Packets => None,
            };
            let now = preceding::programs(&self.netlink, &watching.link, attachment, &watching.before).await;
            if now == watching.before {
                continue;
            }
            let name = &*watched.name;
            set_before(&self.metrics, name, &now);
            for neighbour in now.iter().filter(|neighbour| !watching.before.contains(neighbour)) {
                if neighbour.ends_chain {
                    tracing::warn!(
                        interface = name,
                        "{neighbour} is before sni-probe and ends the chain: packets that it takes are not seen; try \
                         --attach tcx, a lower --priority, another interface, or --netns of the gateway's pod"
                    );
                } else {
                    tracing::info!(
                        interface = name,
                        "{neighbour} is before sni-probe; packets that it takes out of the chain are not seen"
                    );
                }
            }
            if now.is_empty() {
                tracing::info!(interface = name, "no program is before sni-probe any more");
            }
            watching.before = now;
            self.readiness.set(name, watching.status());
        }
    }

    /// Ends watching one of them.
    async fn unwatch(&mut self, place: usize, source: &RefCell<PacketSource>) {
        let watched = &mut self.watched[place];
        let Some(Watching { link, watch, .. }) = watched.watch.take() else { return };
        set_attached(&self.metrics, &watched.name, &watch, false);
        self.names.borrow_mut().depart(link.index);
        if let Err(error) = PacketSource::unwatch(source, watch, link.index).await {
            tracing::warn!(interface = watched.name, %error, "cannot detach");
        }
    }

    /// Ends watching all of them.
    pub(super) async fn unwatch_all(&mut self, source: &RefCell<PacketSource>) {
        for place in 0..self.watched.len() {
            self.unwatch(place, source).await;
            // The kernel takes 10 ms and more for each: events and requests have their turn.
            tokio::task::yield_now().await;
        }
    }
}

fn set_before(metrics: &Metrics, interface: &str, before: &[PrecedingProgram]) {
    let counted = before.iter().map(|neighbour| {
        let hook = if neighbour.is_on_ingress() { Hook::Ingress } else { Hook::Egress };
        (hook, if neighbour.ends_chain { ChainEffect::EndsChain } else { ChainEffect::Unknown })
    });
    metrics.set_programs_before(interface, &counted.collect::<Vec<_>>());
}

fn set_attached(metrics: &Metrics, interface: &str, watch: &Watch, is_attached: bool) {
    for hook in [Hook::Ingress, Hook::Egress] {
        metrics.set_attached(interface, hook, watch.mode(), is_attached);
    }
}
