//! Packet sockets as a source of events: one for each interface, and the datapath in user space.

use sni_probe_core::vocabulary::Follow;
use std::task::{Context, Poll};

use anyhow::Context as _;
use sni_probe_capture::links::{Link, Orientation};
use sni_probe_capture::packet_socket::{self, Direction, Filter, PacketSocket};
use sni_probe_capture::{preflight, seed};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::Event;
use sni_probe_datapath::userspace::{Datapath, Frame};
use sni_probe_telemetry::metrics::Metrics;
use tokio::io::unix::AsyncFd;

use super::monotonic::now;
use super::reading::{Loss, readable};
use super::sample::Sample;
use super::wall_clock::{Reading, WallClock};
use crate::config::ProbeConfig;

/// Packet sockets, and the datapath that their frames go through.
pub(super) struct Packets {
    filter: Filter,
    datapath: Datapath,
    /// The interfaces receive both directions of connections.
    are_mirror_ports: bool,
    clock: WallClock,
    sockets: Vec<Opened>,
    /// What the datapath had counted when it was last asked.
    seen: [u64; Counter::ALL.len()],
    /// What sockets that were closed since then had dropped.
    dropped: u64,
    sample: Sample,
}

struct Opened {
    socket: AsyncFd<PacketSocket>,
    orientation: Orientation,
    /// When its last frame came, in nanoseconds.
    latest: u64,
    /// The interface was taken from it.
    is_failed: bool,
}

impl Opened {
    fn index(&self) -> u32 {
        self.socket.get_ref().index()
    }
}

impl Packets {
    /// Opens what `config` names; no interface is watched yet.
    ///
    /// # Errors
    /// If it cannot be used here.
    pub(super) fn open(config: &ProbeConfig) -> anyhow::Result<Self> {
        preflight::packet_sockets()?;
        let tunnels = config.tunnels;
        let seed = seed::random().context("no random numbers from the kernel")?;
        Ok(Self {
            filter: Filter::new(&config.ports, tunnels)?,
            datapath: Datapath::new(config.ports.iter().copied(), seed)
                .with_tunnels(tunnels)
                .with_handshake_timeout(config.handshake_timeout)
                .with_follow_up(config.follow == Follow::Handshake),
            are_mirror_ports: config.mirror_port,
            clock: WallClock::new(Reading::now()),
            sockets: Vec::new(),
            seen: [0; Counter::ALL.len()],
            dropped: 0,
            sample: Sample::default(),
        })
    }

    /// Watches an interface from now on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn watch(&mut self, link: &Link, orientation: Orientation) -> anyhow::Result<()> {
        let socket = readable(PacketSocket::open(link, &self.filter)?)?;
        self.sockets.push(Opened { socket, orientation, latest: 0, is_failed: false });
        Ok(())
    }

    /// Whether an interface is watched, and its socket has not failed.
    pub(super) fn is_well(&self, index: u32) -> bool {
        self.sockets.iter().any(|opened| opened.index() == index && !opened.is_failed)
    }

    /// Says whether frames for other MAC addresses count on an interface.
    pub(super) fn count_other_hosts(&mut self, index: u32, do_count: bool) {
        self.datapath.count_other_hosts(index, do_count);
    }

    /// Ready when a block of frames is.
    ///
    /// # Errors
    /// If the runtime cannot wait for the kernel.
    pub(super) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut is_ready = false;
        for opened in &mut self.sockets {
            if let Poll::Ready(ready) = opened.socket.poll_read_ready_mut(context) {
                ready?.clear_ready();
                is_ready = true;
            }
        }
        if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Tells metrics about the rings and the flow table.
    pub(super) fn report(&mut self, metrics: &Metrics) {
        metrics.set_ring_bytes(self.sockets.len() * packet_socket::RING_BYTES);
        let Self { datapath, sample, .. } = self;
        sample.renew(datapath.epoch(now().0), |bucket| datapath.bucket(bucket));
        sample.report(metrics);
    }

    /// Ends watching an interface.
    pub(super) fn close(&mut self, index: u32) {
        for opened in self.sockets.extract_if(.., |opened| opened.index() == index) {
            self.dropped += opened.socket.get_ref().take_drops().unwrap_or_default();
        }
    }

    /// See [`PacketSource::drain`](super::source::PacketSource::drain).
    pub(super) fn drain(&mut self, max: usize, mut handle: impl FnMut(Option<Event<'_>>)) -> usize {
        let Self { sockets, datapath, clock, are_mirror_ports, .. } = self;
        let mut events = 0;
        let mut frames = 0;
        // In turns, so that no interface's frames wait for those of a busy one.
        loop {
            let mut is_idle = true;
            clock.read(Reading::now());
            for Opened { socket, orientation, latest, .. } in &mut *sockets {
                let drained = socket.get_mut().drain_block(|direction, frame| {
                    let frame = Frame { time_ns: clock.convert(frame.time_ns, latest), ..*frame };
                    let mut handle = |event: Event<'_>| {
                        events += 1;
                        handle(Some(event));
                    };
                    let both = *are_mirror_ports && direction == Direction::Received;
                    let is_from_client = is_from_client(*orientation, direction);
                    if is_from_client || both {
                        datapath.client_to_gateway(&frame, &mut handle);
                    }
                    if !is_from_client || both {
                        datapath.gateway_to_client(&frame, &mut handle);
                    }
                });
                frames += drained.unwrap_or_default();
                is_idle &= drained.is_none();
            }
            if is_idle {
                clock.drained();
                // However many there were: the caller is told that there are no more.
                return events.min(max.saturating_sub(1));
            }
            if frames >= max {
                return max;
            }
        }
    }

    /// Hands what was lost since the last call to `handle`.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn poll_losses(&mut self, mut handle: impl FnMut(Loss, u64)) -> std::io::Result<()> {
        for (counter, seen) in Counter::ALL.into_iter().zip(&mut self.seen) {
            let total = self.datapath.counter(counter);
            if total > *seen {
                handle(Loss::Datapath(counter), total - *seen);
                *seen = total;
            }
        }
        let mut dropped = std::mem::take(&mut self.dropped);
        for opened in &mut self.sockets {
            let socket = opened.socket.get_ref();
            dropped += socket.take_drops()?;
            // "The network is down" comes as well when the interface is only set down: the socket then lives on.
            if let Some(error) = socket.take_error()? {
                opened.is_failed |=
                    rustix::io::Errno::from_io_error(&error) != Some(rustix::io::Errno::NETDOWN);
            }
        }
        if dropped > 0 {
            handle(Loss::PacketRingFull, dropped);
        }
        Ok(())
    }
}

/// Which of the two programs would see the frame.
fn is_from_client(orientation: Orientation, direction: Direction) -> bool {
    match orientation {
        Orientation::Nic => direction == Direction::Received,
        Orientation::Veth => direction == Direction::Sent,
    }
}
