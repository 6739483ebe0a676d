//! The interfaces that are watched: found at the start, followed as they come and go.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use sni_probe::capture::links::{Link, Links, Netlink, Orientation};
use sni_probe::capture::neighbours::{self, Neighbour};

use super::other_hosts::{self, Reason};
use super::selection::{MAX_FOUND, Patterns};
use super::source::{Source, Watch};
use crate::cli::{self, ProbeOptions, Wanted};
use crate::http::{Readiness, Status};
use crate::metrics::{AttachMode, Hook, InterfaceChange, Metrics, Verdict};

/// Interfaces that have gone and are still known by name: their last hellos may wait for their outcomes.
const DEPARTED: usize = 64;

/// The interfaces that are to be watched.
pub(super) struct Interfaces {
    netlink: Netlink,
    orientation: Option<Orientation>,
    /// `--mirror-port`.
    are_mirror_ports: bool,
    /// In another network namespace than this process was started in.
    is_elsewhere: bool,
    patterns: Patterns,
    watched: Vec<Watched>,
    /// Index and name, the last one last.
    departed: VecDeque<(u32, String)>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// An interface that is to be watched, and is if it is there.
struct Watched {
    name: String,
    /// It was named, so it is missed when it is not there; else a pattern has found it.
    is_named: bool,
    watch: Option<Watching>,
    /// Why it could not be watched, the last time.
    complaint: Option<String>,
}

struct Watching {
    link: Link,
    watch: Watch,
    orientation: Orientation,
    /// Why frames for other MAC addresses count there, if they do.
    other_hosts: Option<Reason>,
    /// Who is before our programs.
    before: Vec<Neighbour>,
    /// That was not asked yet.
    is_new: bool,
}

impl Watching {
    /// Has frames for other MAC addresses counted from now on, or not any more.
    fn count_other_hosts(&mut self, reason: Option<Reason>, source: &mut Source) {
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

/// Of which interfaces it is asked who is before our programs: some system calls each.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    New,
    All,
}

impl Watched {
    fn new(name: String, is_named: bool) -> Self {
        Self { name, is_named, watch: None, complaint: None }
    }

    /// Whether it is there and not watched.
    fn is_to_be_watched(&self, links: &Links) -> bool {
        self.watch.is_none() && links.by_name(&self.name).is_some()
    }

    /// Tells that it is watched.
    fn announce(&self) {
        let Some(Watching { link, watch, orientation, other_hosts, .. }) = &self.watch else { return };
        tracing::info!(interface = self.name, mode = watch.mode().name(), %orientation, "attached");
        if let Some(reason) = other_hosts.filter(|reason| *reason != Reason::PodsEnd) {
            tracing::info!(
                interface = self.name,
                reason = reason.text(),
                "frames for other MAC addresses count"
            );
        }
        if !link.is_up {
            tracing::warn!(
                interface = self.name,
                "the interface is down: nothing is seen there until it is up"
            );
        }
    }
}

impl Interfaces {
    /// Finds the interfaces that the options name, or else those of the default routes.
    ///
    /// # Errors
    /// If one that is named does not exist, or there is no default route.
    pub(super) async fn find(
        netlink: Netlink,
        options: &ProbeOptions,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
    ) -> anyhow::Result<Self> {
        let mut links = netlink.links().await.context("cannot ask the kernel for interfaces")?;
        let mut names: Vec<String> = Vec::new();
        let mut patterns = Vec::new();
        for wanted in &options.interfaces {
            match wanted {
                Wanted::Name(name) if names.contains(name) => {}
                Wanted::Name(name) => names.push(name.clone()),
                Wanted::Matching(pattern) => patterns.push(pattern.clone()),
            }
        }
        if options.interfaces.is_empty() {
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
            orientation: orientation(options.orientation),
            are_mirror_ports: options.mirror_port,
            is_elsewhere: options.netns.is_some(),
            patterns: Patterns::new(patterns),
            watched: names.into_iter().map(|name| Watched::new(name, true)).collect(),
            departed: VecDeque::new(),
            metrics,
            readiness,
        })
    }

    /// Watches all of them.
    ///
    /// # Errors
    /// If one that is named fails: then none is watched.
    pub(super) async fn watch_all(&mut self, source: &mut Source) -> anyhow::Result<()> {
        let mut links = self.netlink.links().await.context("cannot ask the kernel for interfaces")?;
        self.netlink.add_default_routes(&mut links).await;
        for index in 0..self.watched.len() {
            let name = self.watched[index].name.clone();
            self.metrics.add_interface(&name);
            let result = match links.by_name(&name) {
                Some(link) => self.watch(index, link, &links, source).await,
                None => Err(anyhow::anyhow!("interface {name} has gone away")),
            };
            if let Err(error) = result {
                self.unwatch_all(source).await;
                return Err(error);
            }
        }
        // Not before: a failure is told in one line.
        self.watched.iter().for_each(Watched::announce);
        self.readiness.set_pattern((!self.patterns.is_empty()).then(|| self.patterns.text()));
        self.find_new(&links, source).await;
        if self.watched.is_empty() {
            tracing::warn!("no interface matches {} yet; there are: {}", self.patterns.text(), links.names());
        }
        self.look_before(Whom::New).await;
        Ok(())
    }

    /// Whether interfaces that are not there yet may be watched later.
    pub(super) const fn may_change(&self) -> bool {
        !self.patterns.is_empty()
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
    /// If one is back that cannot be watched again, for want of the privileges that were dropped.
    pub(super) async fn reconcile(&mut self, source: &mut Source) -> anyhow::Result<()> {
        let mut links = match self.netlink.links().await {
            Ok(links) => links,
            Err(error) => {
                tracing::warn!(%error, "cannot ask the kernel for interfaces");
                return Ok(());
            }
        };
        for index in 0..self.watched.len() {
            self.notice_changes(index, &links, source).await;
        }
        self.forget_departed(&links);
        if !self.patterns.is_empty() || self.watched.iter().any(|watched| watched.is_to_be_watched(&links)) {
            self.netlink.add_default_routes(&mut links).await;
        }
        for index in 0..self.watched.len() {
            if self.watched[index].is_to_be_watched(&links) {
                if !source.can_watch_more() {
                    bail!(
                        "{} is to be watched again, which takes privileges that were dropped: start sni-probe again, or \
                         run it with --keep-privileges",
                        self.watched[index].name
                    );
                }
                self.watch_again(index, &links, source).await;
            }
        }
        self.find_new(&links, source).await;
        self.look_before(Whom::New).await;
        Ok(())
    }

    /// The same, and who is before our programs by now.
    ///
    /// # Errors
    /// As [`Interfaces::reconcile`].
    pub(super) async fn look_around(&mut self, source: &mut Source) -> anyhow::Result<()> {
        self.reconcile(source).await?;
        self.look_before(Whom::All).await;
        Ok(())
    }

    /// Tells what has become of an interface and of the programs on it.
    async fn notice_changes(&mut self, index: usize, links: &Links, source: &mut Source) {
        let watched = &mut self.watched[index];
        let Some(watching) = &mut watched.watch else { return };
        let Some(link) = links.all.iter().find(|link| link.index == watching.link.index) else {
            self.lost(index, "the interface is gone", source);
            return;
        };
        self.metrics.interface_carried(&watched.name, link.packets.since(watching.link.packets));
        watching.link.packets = link.packets;
        if link.is_up != watching.link.is_up {
            watching.link.is_up = link.is_up;
            let (change, state) = if link.is_up {
                (InterfaceChange::Up, "up again")
            } else {
                (InterfaceChange::Down, "down: nothing is seen there until it is up")
            };
            self.metrics.interface_changed(&watched.name, change);
            tracing::warn!(interface = watched.name, "the interface is {state}");
        }
        if link.name != watching.link.name {
            tracing::warn!(interface = watched.name, "the interface is now called {}", link.name);
            watching.link.name.clone_from(&link.name);
            watching.watch.renamed(&link.name);
        }
        let known = watching.other_hosts;
        let reason = other_hosts::reason(
            &self.netlink,
            links,
            link,
            watching.orientation,
            self.are_mirror_ports,
            known,
        )
        .await;
        if reason != known {
            watching.count_other_hosts(reason, source);
        }
        if let Some(complaint) = source.complaint(&watching.watch, &watching.link, &self.netlink).await {
            self.lost(index, complaint, source);
        }
    }

    /// An interface is not watched any more.
    fn lost(&mut self, index: usize, reason: &str, source: &mut Source) {
        let watched = &mut self.watched[index];
        let Some(Watching { link, watch, .. }) = watched.watch.take() else { return };
        source.forget(link.index);
        if self.departed.len() == DEPARTED {
            self.departed.pop_front();
        }
        self.departed.push_back((link.index, watched.name.clone()));
        set_attached(&self.metrics, &watched.name, &watch, false);
        self.metrics.set_programs_before(&watched.name, &[]);
        self.metrics.interface_changed(&watched.name, InterfaceChange::Lost);
        if watched.is_named {
            tracing::warn!(interface = watched.name, "{reason}; it is watched again as soon as it can be");
        } else {
            tracing::info!(interface = watched.name, "{reason}");
        }
        self.readiness.set(&watched.name, Status::Detached(reason.to_owned()));
    }

    /// What a pattern has found and is gone leaves nothing behind: pods come and go for months.
    fn forget_departed(&mut self, links: &Links) {
        let Self { watched, metrics, readiness, .. } = self;
        watched.retain(|watched| {
            let is_gone =
                !watched.is_named && watched.watch.is_none() && links.by_name(&watched.name).is_none();
            if is_gone {
                metrics.remove_interface(&watched.name);
                readiness.remove(&watched.name);
            }
            !is_gone
        });
    }

    /// Watches what matches a pattern and is not watched yet.
    async fn find_new(&mut self, links: &Links, source: &mut Source) {
        if self.patterns.is_empty() {
            return;
        }
        // By index, for one that is watched may have got another name; by name where it is not watched at the moment.
        let is_watched = |link: &&Link| {
            self.watched.iter().any(|watched| match &watched.watch {
                Some(watching) => watching.link.index == link.index,
                None => watched.name == link.name,
            })
        };
        let watched: BTreeSet<u32> = links.all.iter().filter(is_watched).map(|link| link.index).collect();
        let found = self.patterns.find(links, &watched);
        for (name, layer) in found.unsuitable {
            tracing::info!(interface = name, "passed over: it has no Ethernet header (link type {layer})");
        }
        if found.refused > 0 {
            self.metrics.interfaces_refused(found.refused);
            tracing::warn!("{} more interfaces match; no more than {MAX_FOUND} are watched", found.refused);
        }
        for name in found.new {
            // A name that another one had before it was renamed.
            if self.watched.iter().any(|watched| watched.name == name) {
                continue;
            }
            self.metrics.add_interface(&name);
            self.watched.push(Watched::new(name, false));
            self.watch_again(self.watched.len() - 1, links, source).await;
        }
    }

    async fn watch_again(&mut self, index: usize, links: &Links, source: &mut Source) {
        let Some(link) = links.by_name(&self.watched[index].name) else { return };
        match self.watch(index, link, links, source).await {
            Ok(()) => {
                self.watched[index].complaint = None;
                self.watched[index].announce();
            }
            Err(error) => {
                let watched = &mut self.watched[index];
                let complaint = format!("{error:#}");
                self.readiness.set(&watched.name, Status::Detached(complaint.clone()));
                if watched.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!(interface = watched.name, "{complaint}");
                    watched.complaint = Some(complaint);
                }
            }
        }
    }

    async fn watch(
        &mut self,
        index: usize,
        link: &Link,
        links: &Links,
        source: &mut Source,
    ) -> anyhow::Result<()> {
        let orientation = self.orientation.unwrap_or_else(|| {
            // A pod's veth leads out of it, be there a default route or not; a node always has one.
            let is_in_pod = self.is_elsewhere && links.default_routes.is_empty();
            if is_in_pod { Orientation::Nic } else { links.orientation(link) }
        });
        let other_hosts =
            other_hosts::reason(&self.netlink, links, link, orientation, self.are_mirror_ports, None).await;
        // Before the first frame.
        other_hosts::count(link, other_hosts, source);
        let watch = source.watch(link, orientation).await?;
        let watched = &mut self.watched[index];
        set_attached(&self.metrics, &watched.name, &watch, true);
        self.metrics.interface_changed(&watched.name, InterfaceChange::Attached);
        self.readiness.set(&watched.name, Status::Attached { before: Vec::new() });
        let link = link.clone();
        watched.watch =
            Some(Watching { link, watch, orientation, other_hosts, before: Vec::new(), is_new: true });
        Ok(())
    }

    /// Looks for programs before ours, and tells of changes.
    async fn look_before(&mut self, whom: Whom) {
        for watched in &mut self.watched {
            let Some(Watching { watch: Watch::Tc(attachment), before, is_new, .. }) = &mut watched.watch
            else {
                continue;
            };
            if whom == Whom::New && !*is_new {
                continue;
            }
            *is_new = false;
            let now = neighbours::before(&self.netlink, attachment, before).await;
            if now == *before {
                continue;
            }
            let name = &*watched.name;
            let counted = now.iter().map(|neighbour| {
                let hook = if neighbour.is_on_ingress() { Hook::Ingress } else { Hook::Egress };
                (hook, if neighbour.ends_chain { Verdict::EndsChain } else { Verdict::Unknown })
            });
            self.metrics.set_programs_before(name, &counted.collect::<Vec<_>>());
            for neighbour in now.iter().filter(|neighbour| !before.contains(neighbour)) {
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
            self.readiness.set(name, Status::Attached { before: now.clone() });
            *before = now;
        }
    }

    /// Ends watching all of them.
    pub(super) async fn unwatch_all(&mut self, source: &mut Source) {
        for watched in &mut self.watched {
            let Some(Watching { link, watch, .. }) = watched.watch.take() else { continue };
            set_attached(&self.metrics, &watched.name, &watch, false);
            if self.departed.len() == DEPARTED {
                self.departed.pop_front();
            }
            self.departed.push_back((link.index, watched.name.clone()));
            if let Err(error) = source.unwatch(watch, link.index).await {
                tracing::warn!(interface = watched.name, %error, "cannot detach");
            }
        }
    }

    /// The name of the interface with this index, as it was given; empty if it is none of these.
    pub(super) fn name(&self, ifindex: u32) -> &str {
        let is_it = |watched: &&Watched| {
            watched.watch.as_ref().is_some_and(|watching| watching.link.index == ifindex)
        };
        let departed = || self.departed.iter().rev().find(|(index, _)| *index == ifindex);
        match self.watched.iter().find(is_it) {
            Some(watched) => &watched.name,
            None => departed().map_or("", |(_, name)| name),
        }
    }
}

fn set_attached(metrics: &Metrics, interface: &str, watch: &Watch, is_attached: bool) {
    for hook in [Hook::Ingress, Hook::Egress] {
        metrics.set_attached(interface, hook, watch.mode(), is_attached);
    }
}

/// Which way round interfaces are, if that is the same for all.
fn orientation(orientation: cli::Orientation) -> Option<Orientation> {
    match orientation {
        cli::Orientation::Auto => None,
        cli::Orientation::Nic => Some(Orientation::Nic),
        cli::Orientation::Veth => Some(Orientation::Veth),
    }
}
