//! What the daemon itself takes: processor time and memory.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::Lab;
use system_tests::frames::{Segment, Wire};
use system_tests::probe::Probe;

use super::Plan;
use crate::progress;

/// Handshakes whose answer does not come.
pub(super) const OPEN: u32 = 100_000;
/// Sent at a time, so that none is lost.
const BURST: u32 = 2_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// What was measured of the daemon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Daemon {
    pub(super) idle_cpu_percent: f64,
    pub(super) idle: Memory,
    pub(super) open: Memory,
    /// Of [`OPEN`].
    pub(super) open_handshakes: u64,
}

/// Resident memory, in MiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) total: f64,
    pub(super) anonymous: f64,
    /// Of files, and what the kernel maps: the ring counts here, twice, for it is mapped twice in a row.
    pub(super) file: f64,
    pub(super) shared: f64,
}

pub(super) fn measure(plan: &Plan) -> Result<Daemon> {
    progress("the daemon, idle");
    let lab = Lab::new()?;
    let mut probe =
        Probe::start(&lab, &["--capture", "tc", "--events", "off", "--handshake-timeout", "10m"])?;
    let pid = probe.service().pid();
    let before = cpu(pid)?;
    let begun = Instant::now();
    thread::sleep(plan.idle);
    let idle_cpu_percent =
        cpu(pid)?.saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let idle = Memory::of(pid)?;

    progress(&format!("the daemon, with {OPEN} open handshakes"));
    let wire = Wire::from_clients(&lab)?;
    let hello = ClientHelloBuilder::new().padded_to(517).build();
    for start in (0..OPEN).step_by(BURST as usize) {
        let clients = start..OPEN.min(start + BURST);
        wire.send(&Segment::SYN, clients.clone())?;
        wire.send(&Segment::data(&hello), clients.clone())?;
        probe.wait_for_metrics(PATIENCE, |metrics| {
            let seen = metrics.count("sni_probe_client_hellos_total", &[]);
            seen + metrics.count("sni_probe_events_lost_total", &[]) >= clients.end.into()
        })?;
    }
    let open_handshakes = probe.metrics()?.count("sni_probe_flows", &[]);
    let open = Memory::of(pid)?;
    probe.stop()?;
    Ok(Daemon { idle_cpu_percent, idle, open, open_handshakes })
}

/// Processor time of all threads of a process.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"))? {
        // On the processor, waiting for it, how often.
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split_whitespace().next().context("an empty schedstat")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let mebibytes = |field: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            let kibibytes =
                line.with_context(|| format!("no {field} in /proc"))?.trim().trim_end_matches(" kB");
            Ok(f64::from(kibibytes.parse::<u32>()?) / 1024.0)
        };
        Ok(Self {
            total: mebibytes("VmRSS")?,
            anonymous: mebibytes("RssAnon")?,
            file: mebibytes("RssFile")?,
            shared: mebibytes("RssShmem")?,
        })
    }
}
