//! Where events come from: the programs in the kernel, or packet sockets and the same datapath in user space.

use sni_probe_core::vocabulary::Follow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use aya::sys::{Stats, enable_stats};
use caps::{CapSet, Capability};
use sni_probe_capture::attach::{self, AttachError, Attachment, Mode, Options};
use sni_probe_capture::links::{Link, Netlink, Orientation};
use sni_probe_capture::packet_socket::{self, PacketSocketError};
use sni_probe_capture::preflight;
use sni_probe_capture::programs::{Counters, EventRing, FlowTable, LoadError, Programs, Runs};
use sni_probe_datapath::event::{Event, RING_BYTES};
use sni_probe_datapath::flow_table;
use sni_probe_telemetry::metrics::{AttachMode, Metrics};
use tokio::io::unix::AsyncFd;

use super::monotonic::now;
use super::packets::Packets;
use super::reading::{Loss, readable};
use super::sample::Sample;
use crate::config::{Capture, ProbeConfig};

/// Where events come from.
pub(super) enum PacketSource {
    Tc(Box<Tc>),
    Packets(Box<Packets>),
}

/// How one interface is watched.
#[derive(Debug)]
pub(super) enum Watch {
    Tc(Attachment),
    /// Its socket is with the [`PacketSource`].
    Packets,
}

impl PacketSource {
    /// Opens what `config` names.
    ///
    /// # Errors
    /// If it cannot be used here.
    pub(super) fn open(config: &ProbeConfig) -> anyhow::Result<Self> {
        match config.capture {
            Capture::Tc => Tc::open(config).map(Self::tc),
            Capture::AfPacket => Packets::open(config).map(Self::packets),
            Capture::Auto => match Tc::open(config) {
                Ok(tc) => Ok(Self::tc(tc)),
                Err(error) if is_about_this_machine(&error) => Self::fall_back(config, &error),
                Err(error) => Err(error),
            },
        }
    }

    fn fall_back(config: &ProbeConfig, reason: &anyhow::Error) -> anyhow::Result<Self> {
        if preflight::packet_sockets().is_err() {
            bail!("{reason:#}; packet sockets cannot take over here, because they need CAP_NET_RAW alone");
        }
        let packets = Packets::open(config)?;
        tracing::warn!(
            "no eBPF here: {reason:#}; watching by packet sockets instead, which copy all data on the gateway's ports \
             to user space (with --capture af-packet this is no surprise)"
        );
        if config.kernel_stats {
            tracing::warn!(
                "--kernel-stats has no effect: there are no programs of which the kernel could keep statistics"
            );
        }
        Ok(Self::packets(packets))
    }

    fn tc(tc: Tc) -> Self {
        Self::Tc(Box::new(tc))
    }

    fn packets(packets: Packets) -> Self {
        Self::Packets(Box::new(packets))
    }

    /// Watches an interface from now on. Borrows the source only while nothing is waited for.
    ///
    /// # Errors
    /// If the kernel refuses; then nothing is left of the attempt.
    pub(super) async fn watch(
        source: &RefCell<Self>,
        link: &Link,
        orientation: Orientation,
    ) -> anyhow::Result<Watch> {
        let (programs, options) = match &mut *source.borrow_mut() {
            Self::Tc(tc) => (Rc::clone(&tc.programs), tc.options),
            Self::Packets(packets) => {
                packets.watch(link, orientation)?;
                return Ok(Watch::Packets);
            }
        };
        Ok(Watch::Tc(attach::attach(&programs, link, options, orientation).await?))
    }

    /// Says whether frames for other MAC addresses count on an interface.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn count_other_hosts(&mut self, index: u32, do_count: bool) -> std::io::Result<()> {
        match self {
            Self::Tc(tc) => tc.programs.borrow_mut().count_other_hosts(index, do_count),
            Self::Packets(packets) => {
                packets.count_other_hosts(index, do_count);
                Ok(())
            }
        }
    }

    /// Why an interface is not watched any more, if it is not: another program may have removed the filters. `tcx_links` as
    /// for [`Attachment::is_in_place`].
    pub(super) async fn complaint(
        source: &RefCell<Self>,
        watch: &Watch,
        link: &Link,
        netlink: &Netlink,
        tcx_links: Option<&HashMap<u32, u32>>,
    ) -> Option<&'static str> {
        match watch {
            Watch::Tc(attachment) => {
                let is_in_place = attachment.is_in_place(netlink, tcx_links).await;
                (!is_in_place).then_some("another program has detached ours")
            }
            Watch::Packets => match &*source.borrow() {
                Self::Packets(packets) if packets.is_well(link.index) => None,
                _ => Some("its packet socket has failed"),
            },
        }
    }

    /// Forgets an interface that is gone, or whose programs are.
    pub(super) fn forget(&mut self, index: u32) {
        // Another one may get its index. An error is without effect until then.
        let _ = self.count_other_hosts(index, false);
        if let Self::Packets(packets) = self {
            packets.close(index);
        }
    }

    /// Ends watching an interface.
    ///
    /// # Errors
    /// What the kernel says; the interface may be gone.
    pub(super) async fn unwatch(source: &RefCell<Self>, watch: Watch, index: u32) -> anyhow::Result<()> {
        source.borrow_mut().forget(index);
        match watch {
            Watch::Tc(attachment) => Ok(attachment.detach().await?),
            Watch::Packets => Ok(()),
        }
    }

    /// Ready when much has gathered. It may wake for nothing, and what is little is to be polled for.
    ///
    /// # Errors
    /// If the runtime cannot wait for the kernel.
    pub(super) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<anyhow::Result<()>> {
        const WAITING: &str = "cannot wait for events";
        match self {
            // Edge-triggered: cleared before the ring is drained, so that what comes meanwhile wakes again.
            Self::Tc(tc) => ready!(tc.ring.poll_read_ready_mut(context)).context(WAITING)?.clear_ready(),
            Self::Packets(packets) => ready!(packets.poll_readable(context)).context(WAITING)?,
        }
        Poll::Ready(Ok(()))
    }

    /// The capabilities without which it cannot go on: with `more`, it is to watch other interfaces, too; with
    /// `filters`, it is to repair them.
    pub(super) fn needed(&self, more: bool, filters: bool) -> Vec<Capability> {
        match self {
            Self::Packets(_) if more => vec![Capability::CAP_NET_RAW],
            Self::Packets(_) => Vec::new(),
            Self::Tc(_) => {
                let attaching = (more || filters).then_some(Capability::CAP_NET_ADMIN);
                let reading = preflight::reading_maps_takes_bpf().then_some(Capability::CAP_BPF);
                attaching.into_iter().chain(reading).collect()
            }
        }
    }

    /// Whether this process still has what watching an interface takes.
    pub(super) fn can_watch_more(&self) -> bool {
        let needed = self.needed(true, true);
        needed
            .into_iter()
            .all(|capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false))
    }

    /// Tells metrics about the ring, the flow table and, with `--kernel-stats`, the programs.
    pub(super) fn report(&mut self, metrics: &Metrics) {
        match self {
            Self::Tc(tc) => tc.report(metrics),
            Self::Packets(packets) => packets.report(metrics),
        }
    }

    /// Notes what had gathered in the ring before it was emptied.
    pub(super) fn report_ring(&self, metrics: &Metrics) {
        if let Self::Tc(tc) = self {
            metrics.set_ring_used(tc.ring.get_ref().gathered().min(RING_BYTES as usize));
        }
    }

    /// How long the kernel may hold back what has passed by now.
    pub(super) const fn held_back(&self) -> Duration {
        match self {
            Self::Tc(_) => Duration::ZERO,
            // Its timer may be late by a tick or two.
            Self::Packets(_) => packet_socket::HELD_BACK.saturating_mul(2),
        }
    }

    /// Hands events to `handle`, oldest first, until there are `max` or a few more, and returns how many there were:
    /// fewer mean that there are no more. A record that is no event comes as `None`.
    pub(super) fn drain(&mut self, max: usize, handle: impl FnMut(Option<Event<'_>>)) -> usize {
        match self {
            Self::Tc(tc) => tc.ring.get_mut().drain(max, handle),
            Self::Packets(packets) => packets.drain(max, handle),
        }
    }

    /// Hands what was lost since the last call to `handle`.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn poll_losses(&mut self, mut handle: impl FnMut(Loss, u64)) -> std::io::Result<()> {
        match self {
            Self::Tc(tc) => tc.counters.poll(|counter, n| handle(Loss::Datapath(counter), n)),
            Self::Packets(packets) => packets.poll_losses(handle),
        }
    }

    /// Messages of the programs (aya-log) go to the log.
    #[cfg(feature = "kernel-log")]
    pub(super) fn forward_kernel_log(&self) -> anyhow::Result<()> {
        let Self::Tc(tc) = self else { return Ok(()) };
        let logger = aya_log::EbpfLogger::init(tc.programs.borrow_mut().ebpf())
            .context("cannot read the programs' log")?;
        let mut logger = readable(logger)?;
        tokio::spawn(async move {
            while let Ok(mut ready) = logger.readable_mut().await {
                ready.get_inner_mut().flush();
                ready.clear_ready();
            }
        });
        Ok(())
    }
}

impl Watch {
    /// For metrics and messages.
    pub(super) const fn mode(&self) -> AttachMode {
        match self {
            Self::Tc(attachment) => match attachment.mode {
                Mode::Tcx => AttachMode::Tcx,
                Mode::Clsact => AttachMode::Clsact,
            },
            Self::Packets => AttachMode::AfPacket,
        }
    }

    /// Notes that the interface has another name now: legacy filters are removed by it.
    pub(super) fn renamed(&mut self, name: &str) {
        if let Self::Tc(attachment) = self {
            name.clone_into(&mut attachment.link.name);
        }
    }
}

/// Whether TC cannot be used because of this machine or this process, rather than because of the options: packet
/// sockets may work then.
fn is_about_this_machine(error: &anyhow::Error) -> bool {
    let is_load = error.downcast_ref::<LoadError>().is_some_and(|error| match error {
        LoadError::LockedMemory
        | LoadError::Refused(_)
        | LoadError::Seccomp(_)
        | LoadError::UserNamespace
        | LoadError::Verifier { .. } => true,
        LoadError::TooManyFiles(_) | LoadError::Random(_) | LoadError::Other(_) => false,
    });
    is_load || error.is::<preflight::PreflightError>()
}

/// Whether an interface was deleted or renamed while it was to be watched.
pub(super) fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(AttachError::Gone(_)))
}

/// Whether there are too many open files to watch an interface.
pub(super) fn is_out_of_files(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(AttachError::TooManyFiles(_)))
        || matches!(error.downcast_ref(), Some(PacketSocketError::TooManyFiles(_)))
}

/// The programs at the hooks of traffic control.
pub(super) struct Tc {
    /// Shared with what attaches them, which waits for the kernel meanwhile.
    programs: Rc<RefCell<Programs>>,
    ring: AsyncFd<EventRing>,
    counters: Counters,
    flow_table: FlowTable,
    /// Nanoseconds.
    epoch_length: u64,
    sample: Sample,
    options: Options,
    /// The kernel keeps statistics as long as this is open.
    statistics: Option<OwnedFd>,
}

impl Tc {
    fn open(config: &ProbeConfig) -> anyhow::Result<Self> {
        preflight::tc()?;
        let mut programs = Programs::load(&config.ports, config.tunnels, config.follow == Follow::Handshake)?;
        let ring = readable(programs.take_events()?)?;
        let mut counters = programs.take_counters()?;
        // What cannot be read now cannot be later, and then nobody would know what was lost.
        counters
            .poll(|_, _| {})
            .context("cannot read what the programs count (the number of processors is read below /sys: is it mounted?)")?;
        let flow_table = programs.take_flow_table()?;
        let epoch_length = flow_table::epoch_length(nanoseconds(config.handshake_timeout));
        let statistics = config.kernel_stats.then(|| enable_stats(Stats::RunTime)).transpose().map_err(|_| {
            anyhow!("--kernel-stats: the kernel does not allow it; it takes CAP_SYS_ADMIN (or root) and Linux 5.8")
        })?;
        let options =
            Options { mode: config.attach, priority: config.priority, is_mirror_port: config.mirror_port };
        let sample = Sample::default();
        let programs = Rc::new(RefCell::new(programs));
        let mut tc = Self { programs, ring, counters, flow_table, epoch_length, sample, options, statistics };
        tc.renew_epoch().context("cannot write the age of flow table entries")?;
        Ok(tc)
    }

    fn report(&mut self, metrics: &Metrics) {
        metrics.set_ring_bytes(RING_BYTES as usize);
        // Without it entries do not age, and the last ones of a full bucket are evicted a little too early.
        let epoch = self.renew_epoch().unwrap_or_default();
        let Self { flow_table, sample, .. } = self;
        sample.renew(epoch, |bucket| flow_table.bucket(bucket).ok());
        sample.report(metrics);
        if self.statistics.is_some()
            && let Ok(runs) = self.programs.borrow_mut().runs()
        {
            for Runs { program, count, time } in runs {
                metrics.set_program_runs(program, count, time);
            }
        }
    }
}

impl Tc {
    /// Tells the programs which epoch it is.
    fn renew_epoch(&mut self) -> std::io::Result<u8> {
        #[expect(clippy::cast_possible_truncation, reason = "epochs are few, and begin again")]
        let epoch = (now().0 / self.epoch_length) as u8;
        self.flow_table.set_epoch(epoch)?;
        Ok(epoch)
    }
}

/// A time span for the flow table.
fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use sni_probe_capture::programs::{CLIENT_TO_GATEWAY, Remedy};

    use super::*;

    #[test]
    fn packet_sockets_take_over_where_the_machine_refuses() {
        let rejected = |remedy| LoadError::Verifier {
            program: CLIENT_TO_GATEWAY,
            reason: "R0 !read_ok".to_owned(),
            remedy,
        };
        let refused = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let about_this_machine = [
            LoadError::LockedMemory,
            LoadError::Refused(refused()),
            LoadError::Seccomp(refused()),
            rejected(Remedy::Perfmon),
            rejected(Remedy::PacketSockets),
        ];
        for error in about_this_machine {
            let error = anyhow::Error::from(error);
            assert!(is_about_this_machine(&error), "{error}");
            assert!(is_about_this_machine(&error.context("the programs")), "with a context");
        }
        assert!(is_about_this_machine(&preflight::PreflightError::OldKernel("4.19".to_owned()).into()));
        for error in [LoadError::Random(refused()), LoadError::Other("no map EVENTS".to_owned())] {
            assert!(!is_about_this_machine(&error.into()));
        }
        assert!(!is_about_this_machine(&anyhow!("--kernel-stats: the kernel does not allow it")));
    }
}
