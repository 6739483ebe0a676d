//! Loads the TC programs into the kernel and gives access to their maps.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfError, EbpfLoader};
use rustix::io::Errno;
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::Event;
use sni_probe_datapath::flow_table::{Entry, WAYS};
use sni_probe_datapath::ports;
use sni_probe_datapath::tunnel::Tunnels;

use super::errno::errno;
use super::preflight;

/// Name of the program that looks at packets to the gateway; also of its legacy filter.
pub const CLIENT_TO_GATEWAY: &str = "client_to_gateway";
/// Name of the program that looks at packets from the gateway; also of its legacy filter.
pub const GATEWAY_TO_CLIENT: &str = "gateway_to_client";

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sni-probe-ebpf"));

/// Why the programs could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel allows less locked memory than the maps need (kernels before 5.11).
    #[error(
        "the limit of locked memory is too small for the eBPF maps; raise it with `ulimit -l unlimited` \
         (systemd: LimitMEMLOCK=infinity) or grant CAP_SYS_RESOURCE"
    )]
    LockedMemory,
    /// The kernel refuses for want of a capability or by policy.
    #[error(
        "the kernel refuses to load eBPF programs ({0}); grant CAP_BPF and CAP_NET_ADMIN, before Linux 6.1 \
         also CAP_PERFMON, before Linux 5.11 also CAP_SYS_RESOURCE, and look for a seccomp or lockdown policy that forbids bpf(2)"
    )]
    Refused(io::Error),
    /// A seccomp filter refuses bpf(2) to a process that has the capability for it.
    #[error(
        "the seccomp profile of this container forbids bpf(2) although CAP_BPF is granted ({0}); use a profile that allows \
         bpf with CAP_BPF (containers-common 0.50.1 does not, 0.62.2 and 0.67.1 do), or use packet sockets \
         (--capture af-packet with CAP_NET_RAW), which every profile allows"
    )]
    Seccomp(io::Error),
    /// The process is in a user namespace, in which no capability helps.
    #[error(
        "the kernel loads no eBPF programs for a user namespace (rootless container, hostUsers: false); run it outside of \
         user namespaces, or use packet sockets (--capture af-packet)"
    )]
    UserNamespace,
    /// There are too many open files.
    #[error(
        "too many open files: {0}; raise the limit (`ulimit -n`, systemd: LimitNOFILE=), or end what holds files open"
    )]
    TooManyFiles(&'static str),
    /// The verifier rejects a program: a defect of this program, or of this kernel.
    #[error(
        "the kernel's verifier rejects {program}: {reason}; {remedy}, and please report this with the kernel's version"
    )]
    Verifier {
        /// The program.
        program: &'static str,
        /// The last line of the verifier's output that is a complaint.
        reason: String,
        /// What helps nevertheless.
        remedy: Remedy,
    },
    /// The random seed of the flow table cannot be had.
    #[error("no random numbers from the kernel: {0}")]
    Random(io::Error),
    /// Anything else, in aya's words.
    #[error("eBPF programs cannot be loaded: {0}")]
    Other(String),
}

/// What helps where the verifier rejects a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Remedy {
    /// The process lacks `CAP_PERFMON`. With it the verifier does not look at what a processor may do by speculation,
    /// and allows more.
    #[error(
        "grant CAP_PERFMON, with which the verifier allows more, or use packet sockets (--capture af-packet)"
    )]
    Perfmon,
    /// The verifier allows this process all that it allows to any.
    #[error("use packet sockets (--capture af-packet)")]
    PacketSockets,
}

impl Remedy {
    fn of_this_process() -> Self {
        if preflight::has_perfmon() { Self::PacketSockets } else { Self::Perfmon }
    }
}

/// The loaded programs. Dropping them unloads them, once they are detached.
pub struct Programs {
    ebpf: Ebpf,
    seed: u64,
}

impl Programs {
    /// Loads both programs, for gateways on `ports`, that look into `tunnels`. With `follow_up` they follow handshakes beyond
    /// the ServerHello.
    pub fn load(ports: &[u16], tunnels: Tunnels, follow_up: bool) -> Result<Self, LoadError> {
        Self::from_object(OBJECT, ports, tunnels, follow_up)
    }

    /// Loads the programs of another object: of another version, to compare the two.
    pub fn from_object(
        object: &[u8],
        ports: &[u16],
        tunnels: Tunnels,
        follow_up: bool,
    ) -> Result<Self, LoadError> {
        let seed = super::seed::random().map_err(LoadError::Random)?;
        preflight::detect_features();
        let mut ebpf = EbpfLoader::new()
            .override_global("HASH_SEED", &seed, true)
            .override_global("TUNNELS", &tunnels.bits(), true)
            // An object of an earlier version has none.
            .override_global("FOLLOW_UP", &u32::from(follow_up), false)
            .load(object)
            .map_err(LoadError::from_object)?;
        set_ports(&mut ebpf, ports)?;
        for name in [CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT] {
            classifier(&mut ebpf, name)
                .and_then(SchedClassifier::load)
                .map_err(|error| LoadError::from_program(name, &error))?;
        }
        Ok(Self { ebpf, seed })
    }

    /// One of the programs.
    pub fn program(&mut self, name: &'static str) -> Result<&mut SchedClassifier, ProgramError> {
        classifier(&mut self.ebpf, name)
    }

    /// The kernel's numbers of both.
    pub fn ids(&mut self) -> Result<Vec<u32>, ProgramError> {
        let names = [CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT];
        names.into_iter().map(|name| Ok(self.program(name)?.info()?.id())).collect()
    }

    /// The seed of the flow table: another [`Datapath`](sni_probe_datapath::userspace::Datapath) with it fills its buckets in
    /// the same way.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Says whether frames for other hosts count on an interface: see
    /// [`Packet::is_for_other_host`](sni_probe_datapath::wire::Packet::is_for_other_host).
    ///
    /// # Errors
    /// What the kernel says: there may be too many such interfaces.
    pub fn count_other_hosts(&mut self, ifindex: u32, do_count: bool) -> io::Result<()> {
        let map = self.ebpf.map_mut("OTHER_HOSTS").ok_or_else(|| io::Error::other("no map OTHER_HOSTS"))?;
        let mut interfaces = HashMap::<_, u32, u8>::try_from(map).map_err(io::Error::other)?;
        if do_count {
            return interfaces.insert(ifindex, 1, 0).map_err(io::Error::other);
        }
        match interfaces.remove(&ifindex) {
            Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(io::Error::other),
        }
    }

    /// Takes the reader of events; there is one.
    pub fn take_events(&mut self) -> Result<EventRing, LoadError> {
        let map = self.ebpf.take_map("EVENTS").ok_or_else(|| LoadError::Other("no map EVENTS".to_owned()))?;
        let ring = RingBuf::try_from(map).map_err(|error| LoadError::from_error(&error))?;
        Ok(EventRing { ring, gathered: 0, is_emptied: true })
    }

    /// Takes the reader of counters; there is one.
    pub fn take_counters(&mut self) -> Result<Counters, LoadError> {
        let map =
            self.ebpf.take_map("COUNTERS").ok_or_else(|| LoadError::Other("no map COUNTERS".to_owned()))?;
        let array = PerCpuArray::try_from(map).map_err(|error| LoadError::from_error(&error))?;
        Ok(Counters { array, seen: [0; Counter::ALL.len()] })
    }

    /// Takes the access to the flow table; there is one.
    pub fn take_flow_table(&mut self) -> Result<FlowTable, LoadError> {
        let mut take = |name: &'static str| {
            self.ebpf.take_map(name).ok_or_else(|| LoadError::Other(format!("no map {name}")))
        };
        let other = |error: MapError| LoadError::from_error(&error);
        let buckets = Array::try_from(take("FLOWS")?).map_err(other)?;
        let epoch = Array::try_from(take("EPOCH")?).map_err(other)?;
        Ok(FlowTable { buckets, epoch })
    }

    /// What the kernel counts of both programs; nothing, unless somebody has it keep statistics.
    pub fn runs(&mut self) -> Result<[Runs; 2], ProgramError> {
        let mut runs = |program| -> Result<Runs, ProgramError> {
            let info = self.program(program)?.info()?;
            Ok(Runs { program, count: info.run_count(), time: info.run_time() })
        };
        Ok([runs(CLIENT_TO_GATEWAY)?, runs(GATEWAY_TO_CLIENT)?])
    }

    /// The messages of the programs, for `aya_log`.
    #[cfg(feature = "kernel-log")]
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

fn set_ports(ebpf: &mut Ebpf, ports: &[u16]) -> Result<(), LoadError> {
    let other = |error: MapError| LoadError::from_error(&error);
    let map =
        ebpf.map_mut("GATEWAY_PORTS").ok_or_else(|| LoadError::Other("no map GATEWAY_PORTS".to_owned()))?;
    let mut array = Array::<_, u64>::try_from(map).map_err(other)?;
    // All others are zero.
    let words = (0..).zip(ports::bitmap(ports.iter().copied())).filter(|(_, word)| *word != 0);
    for (index, word) in words {
        array.set(index, word, 0).map_err(other)?;
    }
    Ok(())
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

impl LoadError {
    fn from_object(error: EbpfError) -> Self {
        match error {
            // These do not give the system's error as their source.
            EbpfError::MapError(MapError::CreateError { io_error, .. } | MapError::IoError(io_error)) => {
                Self::from_map(io_error, preflight::has_seccomp_filter())
            }
            EbpfError::ProgramError(error) => Self::from_program("the programs", &error),
            other => Self::from_error(&other),
        }
    }

    /// An error of which only its errno and its words are known.
    fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        match errno(error) {
            Some(errno @ (Errno::MFILE | Errno::NFILE)) => Self::from_io(errno.into()),
            _ => Self::Other(one_line(error)),
        }
    }

    fn from_program(program: &'static str, error: &ProgramError) -> Self {
        match error {
            // The verifier says why. A plain refusal has no log, or one of a program that the verifier accepts.
            ProgramError::LoadError { io_error, verifier_log } => {
                Self::from_log(program, io_error, &verifier_log.to_string())
            }
            // It does not give the system's error as its source.
            ProgramError::IOError(error) => Self::from_io(clone(error)),
            other => Self::from_error(other),
        }
    }

    fn from_log(program: &'static str, error: &io::Error, log: &str) -> Self {
        let reason = log.lines().rev().find(|line| is_complaint(line));
        match reason.filter(|_| !is_about_resources(error)) {
            Some(reason) => {
                let remedy = Remedy::of_this_process();
                Self::Verifier { program, reason: reason.trim().to_owned(), remedy }
            }
            None => Self::from_io(clone(error)),
        }
    }

    /// An error of creating a map, which is the first thing asked of bpf(2). The preflight check has found `CAP_BPF`, so
    /// the kernel itself has no reason to say EPERM. A security module, such as `SELinux`, says EACCES.
    fn from_map(error: io::Error, has_seccomp_filter: bool) -> Self {
        match Self::from_io(error) {
            Self::Refused(error)
                if has_seccomp_filter && error.raw_os_error() == Some(Errno::PERM.raw_os_error()) =>
            {
                Self::Seccomp(error)
            }
            other => other,
        }
    }

    fn from_io(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            // Before 5.11 maps are charged to RLIMIT_MEMLOCK, and the kernel says EPERM as for a missing capability.
            Some(Errno::PERM) if preflight::locked_memory_is_limited() => Self::LockedMemory,
            Some(Errno::PERM) if preflight::is_in_user_namespace() => Self::UserNamespace,
            Some(Errno::PERM | Errno::ACCESS) => Self::Refused(error),
            Some(Errno::MFILE) => Self::TooManyFiles("this process has reached its limit"),
            Some(Errno::NFILE) => Self::TooManyFiles("the system has reached its limit"),
            _ => Self::Other(one_line(&error)),
        }
    }
}

/// Whether the kernel lacks room for a program, whatever the verifier says of it.
fn is_about_resources(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR))
}

/// Whether a line of the verifier's output is neither a statistic nor an instruction.
fn is_complaint(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty()
        && !line.starts_with("processed ")
        && !line.starts_with("verification time")
        && !line.starts_with("stack depth")
}

fn clone(error: &io::Error) -> io::Error {
    error
        .raw_os_error()
        .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error)
}

/// An error and its causes, in one line.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the kernel counts of a program while it keeps statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs {
    /// The program.
    pub program: &'static str,
    /// How often it ran.
    pub count: u64,
    /// How long, in all.
    pub time: Duration,
}

/// The flow table, to look at a part of it and to let its entries age.
pub struct FlowTable {
    buckets: Array<MapData, [u64; WAYS]>,
    epoch: Array<MapData, u32>,
}

impl FlowTable {
    /// The entries of a bucket, a number less than [`BUCKETS`](sni_probe_datapath::flow_table::BUCKETS).
    pub fn bucket(&self, index: u32) -> io::Result<[Entry; WAYS]> {
        self.buckets.get(&index, 0).map(|entries| entries.map(Entry)).map_err(io::Error::other)
    }

    /// Says which epoch it is: see [`epoch_length`](sni_probe_datapath::flow_table::epoch_length).
    pub fn set_epoch(&mut self, epoch: u8) -> io::Result<()> {
        self.epoch.set(0, u32::from(epoch), 0).map_err(io::Error::other)
    }
}

/// Reads events. The kernel wakes the reader only when much has gathered: poll it as well.
pub struct EventRing {
    ring: RingBuf<MapData>,
    gathered: usize,
    /// By the last drain.
    is_emptied: bool,
}

impl EventRing {
    /// Hands at most `max` events to `handle`, oldest first, and returns how many there were: fewer than
    /// `max` mean that the ring is empty. A record that is no event comes as `None`.
    pub fn drain(&mut self, max: usize, mut handle: impl FnMut(Option<Event<'_>>)) -> usize {
        /// Bytes that the kernel puts before each record.
        const RECORD_HEADER: usize = 8;
        let mut count = 0;
        let mut bytes = 0;
        while count < max {
            let Some(record) = self.ring.next() else { break };
            bytes += record.len().next_multiple_of(8) + RECORD_HEADER;
            handle(Event::from_record(&record));
            count += 1;
        }
        self.gathered = if self.is_emptied { bytes } else { self.gathered + bytes };
        self.is_emptied = count < max;
        count
    }

    /// Bytes that the drains since the ring was last empty have read: what had gathered by then, and what has come since.
    pub const fn gathered(&self) -> usize {
        self.gathered
    }
}

impl AsRawFd for EventRing {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// Reads what the programs passed over or lost.
pub struct Counters {
    array: PerCpuArray<MapData, u64>,
    seen: [u64; Counter::ALL.len()],
}

impl Counters {
    /// Hands each counter that has grown since the last call, with its growth, to `handle`.
    pub fn poll(&mut self, mut handle: impl FnMut(Counter, u64)) -> io::Result<()> {
        for (counter, seen) in Counter::ALL.into_iter().zip(&mut self.seen) {
            let values = self.array.get(&counter.index(), 0).map_err(io::Error::other)?;
            let total = values.iter().sum();
            if total > *seen {
                handle(counter, total - *seen);
                *seen = total;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_embedded() {
        assert!(OBJECT.starts_with(b"\x7fELF"), "{} bytes", OBJECT.len());
        for name in [CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT] {
            assert!(memchr::memmem::find(OBJECT, name.as_bytes()).is_some(), "{name}");
        }
    }

    fn message(errno: Errno, log: &str) -> String {
        LoadError::from_log(CLIENT_TO_GATEWAY, &errno.into(), log).to_string()
    }

    /// What the verifier writes of a program that it accepts.
    const ACCEPTED: &str = "0: R1=ctx() R10=fp0\n; fn client_to_gateway\n0: (b7) r0 = -1\n1: (95) exit\n\
        processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n";

    #[test]
    fn a_limit_of_open_files_is_not_the_verifiers_word() {
        for log in ["", ACCEPTED] {
            let text = message(Errno::MFILE, log);
            assert!(
                text.starts_with("too many open files: this process") && text.contains("ulimit -n"),
                "{text}"
            );
            let text = message(Errno::NFILE, log);
            assert!(text.starts_with("too many open files: the system"), "{text}");
            let text = message(Errno::NOMEM, log);
            assert!(text.contains("Cannot allocate memory"), "{text}");
            for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR] {
                let text = message(errno, log);
                assert!(!text.contains("verifier") && !text.contains("report"), "{text}");
            }
        }
    }

    #[test]
    fn open_files_run_out_anywhere() {
        let maps = EbpfError::MapError(MapError::CreateError {
            name: "FLOWS".to_owned(),
            io_error: Errno::MFILE.into(),
        });
        let other = EbpfError::MapError(MapError::IoError(Errno::MFILE.into()));
        for error in [maps, other] {
            let text = LoadError::from_object(error).to_string();
            assert!(text.starts_with("too many open files"), "{text}");
        }
    }

    #[test]
    fn a_seccomp_filter_is_named_where_there_is_one() {
        let message = |errno: Errno, has_filter| LoadError::from_map(errno.into(), has_filter).to_string();
        let text = message(Errno::PERM, true);
        assert!(text.starts_with("the seccomp profile of this container forbids bpf(2)"), "{text}");
        assert!(message(Errno::PERM, false).starts_with("the kernel refuses to load eBPF programs"));
        assert!(message(Errno::ACCESS, true).starts_with("the kernel refuses to load eBPF programs"));
        assert!(message(Errno::MFILE, true).starts_with("too many open files"));
    }

    #[test]
    fn the_verifiers_complaint_is_its_last_line() {
        let log = "1: (71) r0 = *(u8 *)(r1 +0)\ninvalid access to packet, off=0 size=1\nprocessed 2 insns (limit 1000000)\n";
        let text = message(Errno::ACCESS, log);
        assert!(
            text.contains("rejects client_to_gateway: invalid access to packet, off=0 size=1;"),
            "{text}"
        );
    }

    #[test]
    fn a_plain_refusal_is_not_a_rejection() {
        for log in ["", "processed 0 insns (limit 1000000)\n"] {
            let text = message(Errno::ACCESS, log);
            assert!(text.starts_with("the kernel refuses to load eBPF programs"), "{text}");
        }
    }
}
