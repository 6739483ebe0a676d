//! Which way round interfaces are.

use std::cell::RefCell;

use sni_probe_capture::links::{Link, Links, Orientation};
use sni_probe_capture::sockets;

use super::super::source::PacketSource;
use super::Interfaces;

impl Interfaces {
    /// Which way round an interface is, and whether that is doubtful: a veth in a namespace without a default route leads
    /// to a pod, or is the uplink of the gateway in this namespace, which may not run yet.
    pub(super) async fn orient(&self, link: &Link, links: &Links) -> (Orientation, bool) {
        if let Some(orientation) = self.orientation {
            return (orientation, false);
        }
        // A pod's veth leads out of it, be there a default route or not; a node always has one.
        if self.is_elsewhere && links.default_routes.is_empty() {
            return (Orientation::Nic, false);
        }
        let orientation = links.orientation(link);
        let may_be_uplink = links.default_routes.is_empty() && link.master.is_none();
        if orientation == Orientation::Nic || !may_be_uplink {
            return (orientation, false);
        }
        let addresses = self.netlink.addresses(link).await;
        if addresses.is_empty() {
            (orientation, false)
        } else if sockets::have_gateway(&self.ports, &addresses) {
            (Orientation::Nic, false)
        } else {
            (orientation, true)
        }
    }

    /// Ends watching interfaces with the wrong orientation: they are watched again with the right one.
    pub(super) async fn correct_orientations(&mut self, source: &RefCell<PacketSource>) {
        for place in 0..self.watched.len() {
            let watched = &self.watched[place];
            let Some(watching) = watched.watch.as_ref().filter(|watching| watching.is_orientation_doubtful)
            else {
                continue;
            };
            let addresses = self.netlink.addresses(&watching.link).await;
            if sockets::have_gateway(&self.ports, &addresses) {
                tracing::warn!(
                    interface = watched.name,
                    "a gateway listens in this network namespace: the orientation is nic, not veth"
                );
                self.unwatch(place, source).await;
            }
        }
    }
}
