//! The interfaces that are watched: found at the start, followed as they go and come back.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use sni_probe::capture::attach::{self, Attachment, Mode, ModeChoice};
use sni_probe::capture::links::{Link, Links, Netlink, Orientation};
use sni_probe::capture::programs::Programs;

use crate::cli::{self, RunOptions};
use crate::http::{Readiness, Status};
use crate::metrics::{AttachMode, Hook, InterfaceChange, Metrics};

/// The interfaces that are to be watched.
pub(super) struct Interfaces {
    netlink: Netlink,
    choice: ModeChoice,
    orientation: Option<Orientation>,
    watched: Vec<Watched>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// An interface that is to be watched, and is if it is there.
struct Watched {
    name: String,
    /// Index of the interface when it was last attached to.
    index: u32,
    /// Its index before it was made anew: its last hellos may still wait for their outcomes.
    former_index: u32,
    attachment: Option<Attachment>,
    /// Why it could not be attached, the last time.
    complaint: Option<String>,
}

impl Watched {
    /// Whether it is there and the programs are not on it.
    fn is_to_be_attached(&self, links: &Links) -> bool {
        self.attachment.is_none() && links.by_name(&self.name).is_some()
    }

    /// Tells that it is attached.
    fn announce(&self) {
        let Some(Attachment { link, mode, orientation, .. }) = &self.attachment else { return };
        tracing::info!(interface = self.name, %mode, %orientation, "attached");
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
    /// If one does not exist, or there is no default route.
    pub(super) async fn find(
        netlink: Netlink,
        options: &RunOptions,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
    ) -> anyhow::Result<Self> {
        let mut links = netlink.links().await.context("cannot ask the kernel for interfaces")?;
        let mut names: Vec<String> = Vec::new();
        for name in &options.interfaces {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.is_empty() {
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
        let watched = names
            .into_iter()
            .map(|name| Watched { name, index: 0, former_index: 0, attachment: None, complaint: None })
            .collect();
        Ok(Self {
            netlink,
            choice: choice(options.attach),
            orientation: orientation(options.orientation),
            watched,
            metrics,
            readiness,
        })
    }

    /// Attaches to all of them.
    ///
    /// # Errors
    /// If one fails: then nothing is attached.
    pub(super) async fn attach_all(&mut self, programs: &mut Programs) -> anyhow::Result<()> {
        let mut links = self.netlink.links().await.context("cannot ask the kernel for interfaces")?;
        self.netlink.add_default_routes(&mut links).await;
        for index in 0..self.watched.len() {
            let name = self.watched[index].name.clone();
            self.metrics.add_interface(&name);
            let result = match links.by_name(&name) {
                Some(link) => self.attach(index, link, &links, programs).await,
                None => Err(anyhow::anyhow!("interface {name} has gone away")),
            };
            if let Err(error) = result {
                self.detach_all().await;
                return Err(error);
            }
        }
        // Not before: a failure is told in one line.
        self.watched.iter().for_each(Watched::announce);
        Ok(())
    }

    /// Compares what is attached with what is there: attaches to interfaces that are back, and notes
    /// those that went away.
    pub(super) async fn reconcile(&mut self, programs: &mut Programs) {
        let mut links = match self.netlink.links().await {
            Ok(links) => links,
            Err(error) => {
                tracing::warn!(%error, "cannot ask the kernel for interfaces");
                return;
            }
        };
        for index in 0..self.watched.len() {
            self.notice_changes(index, &links).await;
        }
        if self.watched.iter().any(|watched| watched.is_to_be_attached(&links)) {
            self.netlink.add_default_routes(&mut links).await;
        }
        for index in 0..self.watched.len() {
            if self.watched[index].is_to_be_attached(&links) {
                self.attach_again(index, &links, programs).await;
            }
        }
    }

    /// Tells what has become of an interface and of the programs on it.
    async fn notice_changes(&mut self, index: usize, links: &Links) {
        let watched = &mut self.watched[index];
        let Some(attachment) = &mut watched.attachment else { return };
        let Some(link) = links.all.iter().find(|link| link.index == attachment.link.index) else {
            self.lost(index, "the interface is gone");
            return;
        };
        if link.is_up != attachment.link.is_up {
            attachment.link.is_up = link.is_up;
            let (change, state) = if link.is_up {
                (InterfaceChange::Up, "up again")
            } else {
                (InterfaceChange::Down, "down: nothing is seen there until it is up")
            };
            self.metrics.interface_changed(&watched.name, change);
            tracing::warn!(interface = watched.name, "the interface is {state}");
        }
        if link.name != attachment.link.name {
            tracing::warn!(interface = watched.name, "the interface is now called {}", link.name);
            // Legacy filters are removed by the interface's name.
            attachment.link.name.clone_from(&link.name);
        }
        if !attachment.is_in_place(&self.netlink).await {
            self.lost(index, "somebody has removed the filters");
        }
    }

    /// The programs are not on the interface any more.
    fn lost(&mut self, index: usize, reason: &str) {
        let watched = &mut self.watched[index];
        let Some(attachment) = watched.attachment.take() else { return };
        tracing::warn!(interface = watched.name, "{reason}; it is watched again as soon as it can be");
        set_attached(&self.metrics, &watched.name, &attachment, false);
        self.metrics.interface_changed(&watched.name, InterfaceChange::Lost);
        self.readiness.set(&watched.name, Status::Detached(reason.to_owned()));
    }

    async fn attach_again(&mut self, index: usize, links: &Links, programs: &mut Programs) {
        let Some(link) = links.by_name(&self.watched[index].name) else { return };
        match self.attach(index, link, links, programs).await {
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

    async fn attach(
        &mut self,
        index: usize,
        link: &Link,
        links: &Links,
        programs: &mut Programs,
    ) -> anyhow::Result<()> {
        let orientation = self.orientation.unwrap_or_else(|| links.orientation(link));
        let attachment = attach::attach(programs, link, self.choice, orientation).await?;
        let watched = &mut self.watched[index];
        set_attached(&self.metrics, &watched.name, &attachment, true);
        self.metrics.interface_changed(&watched.name, InterfaceChange::Attached);
        self.readiness.set(&watched.name, Status::Attached);
        watched.former_index = std::mem::replace(&mut watched.index, link.index);
        watched.attachment = Some(attachment);
        Ok(())
    }

    /// Detaches from all.
    pub(super) async fn detach_all(&mut self) {
        for watched in &mut self.watched {
            let Some(attachment) = watched.attachment.take() else { continue };
            set_attached(&self.metrics, &watched.name, &attachment, false);
            if let Err(error) = attachment.detach().await {
                tracing::warn!(interface = watched.name, %error, "cannot detach");
            }
        }
    }

    /// The name of the interface with this index, as it was given; empty if it is none of these.
    pub(super) fn name(&self, ifindex: u32) -> &str {
        let mut watched = self.watched.iter();
        watched
            .find(|watched| [watched.index, watched.former_index].contains(&ifindex))
            .map_or("", |watched| &watched.name)
    }
}

fn set_attached(metrics: &Metrics, interface: &str, attachment: &Attachment, is_attached: bool) {
    let mode = match attachment.mode {
        Mode::Tcx => AttachMode::Tcx,
        Mode::Clsact => AttachMode::Clsact,
    };
    for hook in [Hook::Ingress, Hook::Egress] {
        metrics.set_attached(interface, hook, mode, is_attached);
    }
}

fn choice(attach: cli::Attach) -> ModeChoice {
    match attach {
        cli::Attach::Auto => ModeChoice::Auto,
        cli::Attach::Tcx => ModeChoice::Only(Mode::Tcx),
        cli::Attach::Clsact => ModeChoice::Only(Mode::Clsact),
    }
}

fn orientation(orientation: cli::Orientation) -> Option<Orientation> {
    match orientation {
        cli::Orientation::Auto => None,
        cli::Orientation::Nic => Some(Orientation::Nic),
        cli::Orientation::Veth => Some(Orientation::Veth),
    }
}
