//! What becomes of interfaces: they come, go, get other names, go up and down; default routes move.

use std::cell::RefCell;
use std::collections::HashMap;

use sni_probe_capture::links::{Link, LinkState, Links};
use sni_probe_telemetry::metrics::InterfaceChange;

use super::super::other_hosts;
use super::super::selection::MAX_FOUND;
use super::super::source::PacketSource;
use super::watched::{Cause, Watched, Watching};
use super::{Interfaces, set_attached, set_before};
use crate::readiness::Status;

impl Interfaces {
    /// Gives an interface its present name where another interface has taken the one by which it was watched. What has the
    /// name now is watched in its place.
    pub(super) fn rename(&mut self, links: &Links) {
        let mut taken = Vec::new();
        for watched in &mut self.watched {
            let Some(watching) = &watched.watch else { continue };
            let is_others = |link: &Link| link.index != watching.link.index;
            if links.by_name(&watched.name).is_some_and(is_others) {
                let old = std::mem::replace(&mut watched.name, watching.link.name.clone());
                tracing::warn!(interface = watched.name, "another interface is called {old} now");
                taken.push((old, watched.cause));
                watched.cause = Cause::Found;
            }
        }
        if taken.is_empty() {
            return;
        }
        // One that was missed under that name is here.
        let names: Vec<String> = self
            .watched
            .iter()
            .filter(|watched| watched.watch.is_some())
            .map(|watched| watched.name.clone())
            .collect();
        self.watched.retain(|watched| watched.watch.is_some() || !names.contains(&watched.name));
        // All at once: two interfaces may have changed names with each other.
        for (old, _) in &taken {
            self.metrics.remove_interface(old);
            self.readiness.remove(old);
        }
        for watched in &self.watched {
            let Some(watching) = &watched.watch else { continue };
            if self.names.borrow_mut().set(watching.link.index, &watched.name) {
                self.metrics.add_interface(&watched.name);
                set_attached(&self.metrics, &watched.name, &watching.watch, true);
                set_before(&self.metrics, &watched.name, &watching.before);
                self.readiness.set(&watched.name, watching.status());
            }
        }
        for (old, cause) in taken {
            // A pattern finds what it matches by itself. The name may be one that is watched by now.
            if cause.is_required() && !self.watched.iter().any(|watched| watched.name == old) {
                self.metrics.add_interface(&old);
                self.watched.push(Watched::new(old, cause));
            }
        }
    }

    /// Watches the interfaces of the default routes, and those no longer that were and are down.
    pub(super) async fn follow_default_routes(&mut self, links: &Links, source: &RefCell<PacketSource>) {
        for link in links.with_default_route() {
            let known = self.watched.iter_mut().find(|watched| match watched.index() {
                Some(index) => index == link.index,
                None => watched.name == link.name,
            });
            match known {
                Some(watched) if watched.cause == Cause::FormerDefaultRoute => {
                    watched.cause = Cause::DefaultRoute;
                    self.metrics.default_route_moved();
                    tracing::warn!(interface = watched.name, "the default route leads through it again");
                }
                Some(_) => {}
                None => {
                    self.metrics.default_route_moved();
                    self.metrics.add_interface(&link.name);
                    tracing::warn!(interface = link.name, "a default route leads through it now");
                    self.watched.push(Watched::new(link.name.clone(), Cause::DefaultRoute));
                }
            }
        }
        if links.default_routes.is_empty() {
            return;
        }
        for place in 0..self.watched.len() {
            let watched = &mut self.watched[place];
            let is_on_route = match watched.index() {
                Some(index) => links.default_routes.contains(&index),
                None => links.with_default_route().any(|link| link.name == watched.name),
            };
            if watched.cause == Cause::DefaultRoute && !is_on_route {
                watched.cause = Cause::FormerDefaultRoute;
                tracing::info!(
                    interface = watched.name,
                    "no default route leads through it any more: it is watched until it is down"
                );
            }
            let is_down = watched.watch.as_ref().is_none_or(|watching| watching.link.state != LinkState::Up);
            if watched.cause == Cause::FormerDefaultRoute && is_down {
                self.unwatch(place, source).await;
            }
        }
    }

    /// Tells what has become of an interface and of the programs on it.
    pub(super) async fn notice_changes(
        &mut self,
        place: usize,
        links: &Links,
        source: &RefCell<PacketSource>,
        tcx_links: Option<&HashMap<u32, u32>>,
    ) {
        let watched = &mut self.watched[place];
        let Some(watching) = &mut watched.watch else { return };
        let Some(link) = links.all.iter().find(|link| link.index == watching.link.index) else {
            self.lost(place, "the interface is gone", source);
            return;
        };
        let carried = link.packets.since(watching.link.packets);
        self.metrics.interface_carried(&watched.name, carried.received, carried.sent);
        watching.link.packets = link.packets;
        watching.link.xdp.clone_from(&link.xdp);
        let (before, now) = (watching.link.state, link.state);
        if now != before {
            watching.link.state = now;
            let is_up = now == LinkState::Up;
            if is_up || before == LinkState::Up {
                let change = if is_up { InterfaceChange::Up } else { InterfaceChange::Down };
                self.metrics.interface_changed(&watched.name, change);
            }
            self.readiness.set(&watched.name, watching.status());
            let again = if is_up { " again" } else { "" };
            if watched.cause.is_required() {
                tracing::warn!(interface = watched.name, "the interface is {now}{again}");
            } else {
                tracing::info!(interface = watched.name, "the interface is {now}{again}");
            }
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
            watching.count_other_hosts(reason, &mut source.borrow_mut());
        }
        let Watching { watch, link, .. } = watching;
        if let Some(complaint) = PacketSource::complaint(source, watch, link, &self.netlink, tcx_links).await
        {
            self.lost(place, complaint, source);
        }
    }

    /// An interface is not watched any more.
    fn lost(&mut self, place: usize, reason: &str, source: &RefCell<PacketSource>) {
        let watched = &mut self.watched[place];
        let Some(Watching { link, watch, .. }) = watched.watch.take() else { return };
        source.borrow_mut().forget(link.index);
        self.names.borrow_mut().depart(link.index);
        set_attached(&self.metrics, &watched.name, &watch, false);
        self.metrics.set_programs_before(&watched.name, &[]);
        self.metrics.interface_changed(&watched.name, InterfaceChange::Lost);
        if watched.cause.is_required() {
            tracing::warn!(interface = watched.name, "{reason}; it is watched again as soon as it can be");
        } else {
            tracing::info!(interface = watched.name, "{reason}");
        }
        self.readiness.set(&watched.name, Status::Detached(reason.to_owned()));
    }

    /// What a pattern has found and is gone leaves nothing behind: pods come and go for months.
    pub(super) fn forget_departed(&mut self, links: &Links) {
        let Self { watched, metrics, readiness, .. } = self;
        watched.retain(|watched| {
            let is_gone = match watched.cause {
                Cause::Named | Cause::DefaultRoute => false,
                Cause::Found => watched.watch.is_none() && links.by_name(&watched.name).is_none(),
                Cause::FormerDefaultRoute => watched.watch.is_none(),
            };
            if is_gone {
                metrics.remove_interface(&watched.name);
                readiness.remove(&watched.name);
            }
            !is_gone
        });
    }

    /// Notes what matches a pattern and is not watched yet: it is to be watched.
    pub(super) fn find_new(&mut self, links: &Links) {
        if self.patterns.is_empty() {
            return;
        }
        // By index, for one that is watched may have got another name; by name where it is not watched at the moment.
        let by_name = |name: &str| links.by_name(name).map(|link| link.index);
        let known =
            self.watched.iter().filter_map(|watched| watched.index().or_else(|| by_name(&watched.name)));
        let found = self.patterns.find(links, &known.collect());
        for (name, layer) in found.unsuitable {
            tracing::info!(interface = name, "skipped: it has no Ethernet header (link type {layer})");
        }
        if found.refused > 0 {
            self.metrics.interfaces_refused(found.refused);
            tracing::warn!("{} more interfaces match; no more than {MAX_FOUND} are watched", found.refused);
        }
        for name in found.new {
            self.metrics.add_interface(&name);
            self.readiness.set(&name, Status::Detached("it is to be attached".to_owned()));
            self.watched.push(Watched::new(name, Cause::Found));
        }
    }
}
