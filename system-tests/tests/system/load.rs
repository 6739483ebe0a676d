//! Bounds under abuse: the daemon stays up, its memory stays bounded, and what it did not count it
//! counts as not counted. No assertion is about speed.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use sni_probe_datapath::event::RING_BYTES;
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::frames::{Flag, Segment, Wire, stay_on_one_cpu};
use system_tests::metrics::Metrics;
use system_tests::probe::Probe;
use system_tests::raw::RawClient;
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, Lab, SERVER_NAME, wait_until};

/// For conditions that hold within a second on an idle machine; this one may be anything but.
const DEADLINE: Duration = Duration::from_mins(1);
/// Longer than any of these tests: no handshake times out meanwhile.
const NEVER: &str = "10m";

/// Frames that are sent before the daemon must have counted them: as many records of 1 KiB and their
/// headers as three quarters of the ring hold. None are lost then, however slow the machine.
const BURST: u32 = RING_BYTES / 4 * 3 / (1024 + 72 + 8);

const MIB: u64 = 1 << 20;
/// What the daemon needs without any flow: its code (a debug build's is three times as large), the
/// runtime, some 300 series and the text of a scrape, events that wait for their reader (4 MiB, and
/// as much in the making); and the ring, which it maps twice.
const BASE_BYTES: u64 = 28 * MIB + 2 * RING_BYTES as u64;
/// What a flow needs: the tracker says 40 MiB for the 131,072 that it follows at most, each with a
/// hello; and a quarter for the allocator. With [`BASE_BYTES`] that is less than 96 MiB.
const FLOW_BYTES: u64 = 320 * 5 / 4;
/// What a flow needs whose hello is not whole: its bytes so far are kept as they came, in three
/// allocations.
const COLLECTING_BYTES: u64 = 1024;
/// `MAX_HELD_BYTES` of the core: the bytes of peers that all flows hold together.
const HELD_BYTES: u64 = 64 * MIB;

/// sni-probe on the lab's gateway, which has no gateway. One at a time: each test fills both cores.
struct Load<'lab> {
    lab: &'lab Lab,
    clients: Wire,
    gateway: Wire,
    probe: Probe<'lab>,
    pid: u32,
    _turn: MutexGuard<'static, ()>,
}

/// The right to fill both cores.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'lab> Load<'lab> {
    fn start(lab: &'lab Lab, options: &[&str]) -> Self {
        let turn = turn();
        let mut probe = Probe::start(lab, options).unwrap();
        let pid = probe.service().pid();
        // So that a SYN comes before the data. The probe has been started: it may use all CPUs.
        stay_on_one_cpu().unwrap();
        let (clients, gateway) = (Wire::from_clients(lab).unwrap(), Wire::from_gateway(lab).unwrap());
        Self { lab, clients, gateway, probe, pid, _turn: turn }
    }

    /// Sends a segment of each client and waits until all have passed the gateway's interface.
    fn send(&self, segment: &Segment<'_>, clients: Range<u32>) {
        let expected = received(self.lab) + u64::from(clients.end - clients.start);
        self.clients.send(segment, clients).unwrap();
        wait_until("frames", DEADLINE, || Ok((received(self.lab) >= expected).then_some(()))).unwrap();
    }

    /// Sends a segment of each client, and never more at once than the ring has room for: `count`
    /// grows by one for each.
    fn send_counted(&self, segment: &Segment<'_>, clients: Range<u32>, count: impl Fn(&Metrics) -> u64) {
        let before = count(&self.metrics());
        self.send_in_bursts(segment, clients, BURST, |metrics, sent| count(metrics) >= before + sent);
    }

    /// Sends a segment of each client, `burst` at a time; the next when `is_seen` says of the metrics
    /// that so many were seen.
    fn send_in_bursts(
        &self,
        segment: &Segment<'_>,
        clients: Range<u32>,
        burst: u32,
        is_seen: impl Fn(&Metrics, u64) -> bool,
    ) {
        for start in clients.clone().step_by(burst as usize) {
            let end = clients.end.min(start + burst);
            self.clients.send(segment, start..end).unwrap();
            self.wait_for(|metrics| is_seen(metrics, u64::from(end - clients.start)));
        }
    }

    fn metrics(&self) -> Metrics {
        self.probe.metrics().unwrap()
    }

    fn wait_for(&self, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        self.probe.wait_for_metrics(DEADLINE, condition).unwrap()
    }

    /// One real connection: its hello has a name, and a RST is its answer.
    fn real_handshake(&self) {
        let before = self.metrics();
        let address = SocketAddr::new(GATEWAY_V4, 443);
        let listener = self.lab.gateway.run_in_thread(|| TcpListener::bind(address)).unwrap().unwrap();
        let mut client = RawClient::connect(&self.lab.client, address).unwrap();
        client.send(&ClientHelloBuilder::new().server_name(SERVER_NAME).build()).unwrap();
        client.wait_acknowledged().unwrap();
        // The kernel resets what nobody has accepted.
        drop(listener);
        let outcome = [("sni", "present"), ("outcome", "reset_by_gateway")];
        let handshakes = |metrics: &Metrics| metrics.count("sni_probe_handshakes_total", &outcome);
        let after = self.wait_for(|metrics| handshakes(metrics) > handshakes(&before));
        assert_eq!(handshakes(&after), handshakes(&before) + 1);
        let present = |metrics: &Metrics| metrics.count(HELLOS, &[("sni", "present")]);
        assert_eq!(present(&after), present(&before) + 1);
    }

    /// The same process is there, answers, still counts, and never took more memory than `bound`.
    fn assert_well(&mut self, bound: u64) {
        self.real_handshake();
        assert_eq!(self.probe.service().exit_code().unwrap(), None);
        assert_eq!(self.probe.service().pid(), self.pid);
        assert_eq!(self.probe.get("/healthz").unwrap().0, 200);
        // Pages of the program's file apart: how many there are depends on how it was built, and they can go.
        let peak = self.memory("VmHWM") - self.memory("RssFile");
        println!("peak of memory: {} KiB of {} KiB", peak / 1024, bound / 1024);
        assert!(peak <= bound, "{peak} bytes of memory, expected at most {bound}");
    }

    /// A line of the daemon's `/proc/<pid>/status`, in bytes.
    fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        let kibibytes: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        kibibytes * 1024
    }
}

const HELLOS: &str = "sni_probe_client_hellos_total";

fn hellos(metrics: &Metrics) -> u64 {
    metrics.count(HELLOS, &[])
}

fn flows(metrics: &Metrics) -> u64 {
    metrics.count("sni_probe_flows", &[])
}

fn lost(metrics: &Metrics) -> u64 {
    metrics.count("sni_probe_events_lost_total", &[])
}

fn evictions(metrics: &Metrics, reason: &str) -> u64 {
    metrics.count("sni_probe_flow_evictions_total", &[("reason", reason)])
}

fn incomplete(metrics: &Metrics, reason: &str) -> u64 {
    metrics.count("sni_probe_incomplete_client_hellos_total", &[("reason", reason)])
}

fn outcomes(metrics: &Metrics, outcome: &str) -> u64 {
    metrics.count("sni_probe_handshakes_total", &[("outcome", outcome)])
}

/// Frames that the gateway's interface has received.
fn received(lab: &Lab) -> u64 {
    let table = lab.gateway.run_in_thread(|| fs::read_to_string("/proc/thread-self/net/dev"));
    let table = table.unwrap().unwrap();
    let mut lines = table.lines().filter_map(|line| line.trim().split_once(':'));
    let (_, fields) = lines.find(|(name, _)| *name == GATEWAY_INTERFACE).unwrap();
    // Bytes, packets, …
    fields.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Payloads that begin like nothing that is known, from a generator with a fixed seed.
fn random_payloads(count: usize) -> impl Iterator<Item = Vec<u8>> {
    // xorshift64 (Marsaglia, 2003).
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(move |_| {
        let length = 8 * (1 + next() % 16);
        let mut bytes: Vec<u8> = (0..length / 8).flat_map(|_| next().to_le_bytes()).collect();
        // Not the beginning of a record, of an SSLv2 record, of a text or of PROXY v2.
        while matches!(bytes[0], 0x16 | 0x80..|b'A'..=b'Z'| b'\r') {
            bytes[0] = next().to_le_bytes()[0];
        }
        bytes
    })
}

/// First segments of clients, and the series that counts them.
type Kind<'a> = (Vec<Segment<'a>>, &'a dyn Fn(&Metrics) -> u64);

#[test]
fn garbage_is_told_from_hellos() {
    const EACH: u32 = 2_000;
    let lab = Lab::new().unwrap();
    let mut load = Load::start(&lab, &["--handshake-timeout", NEVER, "--events", "off"]);
    let non_tls = |protocol: &'static str| {
        move |metrics: &Metrics| {
            metrics.count("sni_probe_non_tls_connections_total", &[("protocol", protocol)])
        }
    };
    let malformed = |metrics: &Metrics| incomplete(metrics, "malformed");
    let closed =
        |metrics: &Metrics| metrics.count("sni_probe_unclassified_flows_total", &[("reason", "closed")]);
    let random: Vec<_> = random_payloads(EACH as usize).collect();
    assert!(random.iter().map(|bytes| bytes[0]).collect::<BTreeSet<_>>().len() > 50);
    let random: Vec<_> = random.iter().map(|bytes| Segment::data(bytes)).collect();
    let all_alike = |segment| vec![segment; EACH as usize];
    let kinds: [Kind<'_>; 5] = [
        (all_alike(Segment::data(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")), &non_tls("http")),
        (all_alike(Segment::data(b"SSH-2.0-OpenSSH_9.2\r\n")), &non_tls("ssh")),
        (random, &non_tls("other")),
        // A hello of one byte.
        (all_alike(Segment::data(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 3])), &malformed),
        // What might have become POST or PUT.
        (all_alike(Segment { flag: Flag::Fin, ..Segment::data(b"P") }), &closed),
    ];
    let each = u64::from(EACH);
    for (clients, (segments, count)) in
        (0..).step_by(EACH as usize).map(|start| start..start + EACH).zip(&kinds)
    {
        load.send(&Segment::SYN, clients.clone());
        for (client, segment) in clients.clone().zip(segments) {
            load.clients.send(segment, client..client + 1).unwrap();
        }
        load.wait_for(|metrics| count(metrics) >= each);
        // What a gateway does with it. All slots are free again then, and none of the next is displaced.
        load.gateway.send(&Segment::only(Flag::Rst, 0), clients).unwrap();
        load.wait_for(|metrics| flows(metrics) == 0);
    }
    let metrics = load.metrics();
    assert_eq!(kinds.map(|(_, count)| count(&metrics)), [each; 5], "{:#?}", metrics.nonzero());
    let unknown = [("sni", "unknown"), ("outcome", "reset_by_gateway")];
    let resets = metrics.count("sni_probe_handshakes_total", &unknown);
    assert_eq!((hellos(&metrics), resets, lost(&metrics)), (each, each, 0));
    load.assert_well(BASE_BYTES + each * FLOW_BYTES);
}

#[test]
fn floods_of_bare_flags_leave_no_trace() {
    const SYNS: u32 = 300_000;
    const STRAYS: u32 = 50_000;
    let lab = Lab::new().unwrap();
    let mut load = Load::start(&lab, &["--handshake-timeout", NEVER, "--events", "off"]);
    load.real_handshake();
    let before = load.wait_for(|metrics| flows(metrics) == 0);
    load.send(&Segment::SYN, 0..SYNS);
    // Of connections that have been opened, and of ones that nobody has heard of.
    for clients in [0..STRAYS, SYNS..SYNS + STRAYS] {
        for flag in [Flag::None, Flag::Fin, Flag::Rst] {
            load.send(&Segment::only(flag, 500), clients.clone());
            load.gateway.send(&Segment::only(flag, 500), clients.clone()).unwrap();
        }
    }
    // Whatever the floods had left in the ring would come before this.
    load.real_handshake();
    // A flow that a RST has ended is remembered for a moment.
    let after = load.wait_for(|metrics| flows(metrics) == 0);
    assert_eq!(hellos(&after), 2);
    let quiet = |metrics: &Metrics| {
        let series = metrics.nonzero().into_iter().map(|(name, value)| (name.to_owned(), value));
        // There are more SYNs than slots; and packet sockets copy all of them, which a busy machine may be too slow for.
        let expected = [
            "client_hello",
            "handshake",
            "interface_packets",
            "open_slot_displaced",
            "packet_ring_full",
            "sni_probe_slots{",
            "ring_used",
        ];
        let is_expected = |name: &str| expected.iter().any(|part| name.contains(part));
        // Not those of the process, such as its processor time.
        series.filter(|(name, _)| name.starts_with("sni_probe") && !is_expected(name)).collect::<Vec<_>>()
    };
    assert_eq!(quiet(&before), quiet(&after));
    load.wait_for(|metrics| evictions(metrics, "open_slot_displaced") > 0);
    // No slot of theirs is in a hello's way.
    let hello = ClientHelloBuilder::new().build();
    load.send_counted(&Segment::data(&hello), SYNS - 2_000..SYNS, hellos);
    let metrics = load.metrics();
    assert_eq!((hellos(&metrics), flows(&metrics), lost(&metrics) - lost(&after)), (2_002, 2_000, 0));
    load.assert_well(BASE_BYTES);
}

#[test]
fn hellos_that_never_finish_time_out() {
    const CLIENTS: u32 = 20_000;
    let lab = Lab::new().unwrap();
    let mut load = Load::start(&lab, &["--handshake-timeout", "2s"]);
    let hello = ClientHelloBuilder::new().build();
    let half = Segment::data(&hello[..hello.len() / 2]);
    load.send(&Segment::SYN, 0..CLIENTS);
    // Some may have timed out before the last is sent.
    let begun = |metrics: &Metrics| flows(metrics).max(incomplete(metrics, "timeout"));
    load.send_counted(&half, 0..CLIENTS, begun);
    let clients = u64::from(CLIENTS);
    let metrics = load.wait_for(|metrics| incomplete(metrics, "timeout") >= clients);
    let unknown = |metrics: &Metrics| metrics.count(HELLOS, &[("sni", "unknown")]);
    let timeouts = [("sni", "unknown"), ("outcome", "timeout")];
    let timed_out = |metrics: &Metrics| metrics.count("sni_probe_handshakes_total", &timeouts);
    let counts = [hellos(&metrics), unknown(&metrics), incomplete(&metrics, "timeout"), timed_out(&metrics)];
    assert_eq!(counts, [clients; 4]);
    // Each has its line, or is counted among those for which there was no room.
    let lines = wait_until("lines", DEADLINE, || {
        let dropped = load.metrics().count("sni_probe_event_lines_dropped_total", &[]);
        let written = load.probe.events()?.len() as u64;
        Ok((written + dropped >= clients).then_some((written, dropped)))
    });
    let (written, dropped) = lines.unwrap();
    println!("{written} lines written, {dropped} dropped");
    assert_eq!(written + dropped, clients);

    // They are remembered for a while, for the rest might still come: a RST says that it will not.
    load.clients.send(&Segment::only(Flag::Rst, hello.len() / 2), 0..CLIENTS).unwrap();
    let metrics = load.wait_for(|metrics| flows(metrics) <= evictions(metrics, "slot_displaced"));
    assert_eq!([hellos(&metrics), timed_out(&metrics)], [clients; 2]);
    assert!(evictions(&metrics, "slot_displaced") < 100, "{:#?}", metrics.nonzero());
    load.assert_well(BASE_BYTES + clients * COLLECTING_BYTES);
}

#[test]
fn a_hundred_thousand_connections_at_once_and_more_than_there_is_room_for() {
    const AT_ONCE: u32 = 100_000;
    const ALL: u32 = 160_000;
    let lab = Lab::new().unwrap();
    let mut load = Load::start(&lab, &["--handshake-timeout", NEVER, "--events", "off"]);
    let hello = ClientHelloBuilder::new().build();
    println!("resident without flows: {} KiB", load.memory("VmRSS") / 1024);
    load.send_counted(&Segment::data(&hello), 0..AT_ONCE, hellos);
    let metrics = load.metrics();
    let at_once = u64::from(AT_ONCE);
    assert_eq!((hellos(&metrics), flows(&metrics), lost(&metrics)), (at_once, at_once, 0));
    assert_eq!(evictions(&metrics, "capacity"), 0);
    println!("resident with {AT_ONCE} flows: {} KiB", load.memory("VmRSS") / 1024);

    // The oldest give way to the newest.
    load.send_counted(&Segment::data(&hello), AT_ONCE..ALL, hellos);
    let (metrics, all) = (load.metrics(), u64::from(ALL));
    let capacity = metrics.count("sni_probe_flows_capacity", &[]);
    assert!((at_once..all).contains(&capacity), "{capacity}");
    assert_eq!((hellos(&metrics), flows(&metrics), lost(&metrics)), (all, capacity, 0));
    assert_eq!(evictions(&metrics, "capacity"), all - capacity);
    assert_eq!(outcomes(&metrics, "evicted"), all - capacity);
    println!("resident with {capacity} flows: {} KiB", load.memory("VmRSS") / 1024);

    // Their ends: each is seen, or its flow has lost its slot in the kernel and that is counted.
    let kept = ALL - u32::try_from(capacity).unwrap();
    // (No SYN was seen of any.)
    let displaced = |metrics: &Metrics| evictions(metrics, "mid_stream");
    let ended = |metrics: &Metrics| outcomes(metrics, "reset_by_client");
    let reset = Segment::only(Flag::Rst, hello.len());
    load.send_in_bursts(&reset, kept..ALL, BURST, |metrics, sent| {
        ended(metrics) + displaced(metrics) >= sent
    });
    // The gauge follows the counters within a second.
    let is_settled = |metrics: &Metrics| ended(metrics) + flows(metrics) == capacity;
    let metrics = load.wait_for(|metrics| flows(metrics) <= displaced(metrics) && is_settled(metrics));
    println!("{} slots displaced", displaced(&metrics));
    assert_eq!(lost(&metrics), 0);
    assert_eq!(ended(&metrics) + flows(&metrics), capacity);
    assert_eq!(
        (hellos(&metrics), metrics.count("sni_probe_handshakes_total", &[])),
        (all, all - flows(&metrics))
    );
    load.assert_well(BASE_BYTES + capacity * FLOW_BYTES);
}

#[test]
fn what_a_flood_overruns_is_counted_as_lost() {
    const AT_TOP_SPEED: u32 = 400_000;
    const UNREAD: u32 = 50_000;
    let lab = Lab::new().unwrap();
    let mut load = Load::start(&lab, &["--handshake-timeout", NEVER, "--events", "off"]);
    let hello = ClientHelloBuilder::new().build();
    load.send(&Segment::data(&hello), 0..AT_TOP_SPEED);
    let sent = u64::from(AT_TOP_SPEED);
    let metrics = load.wait_for(|metrics| hellos(metrics) + lost(metrics) >= sent);
    println!("at top speed: {} of {sent} hellos lost", lost(&metrics));
    assert_sum_rule(&metrics, sent);

    // On a fast machine that may have lost none: nobody reads now.
    load.probe.service().signal(Signal::SIGSTOP).unwrap();
    load.send(&Segment::data(&hello), AT_TOP_SPEED..AT_TOP_SPEED + UNREAD);
    load.probe.service().signal(Signal::SIGCONT).unwrap();
    let (before, sent) = (metrics, sent + u64::from(UNREAD));
    let metrics = load.wait_for(|metrics| hellos(metrics) + lost(metrics) >= sent);
    let (seen, lost_now) = (hellos(&metrics) - hellos(&before), lost(&metrics) - lost(&before));
    println!("unread: {lost_now} of {UNREAD} hellos lost");
    assert!(seen > u64::from(BURST) && lost_now > 0, "{seen} seen, {lost_now} lost");
    assert_sum_rule(&metrics, sent);
    load.real_handshake();
    // Nothing has come after.
    let metrics = load.metrics();
    assert_eq!(hellos(&metrics) + lost(&metrics), sent + 1);
    if metrics.count("sni_probe_events_lost_total", &[("reason", "ring_full")]) > 0 {
        let [most, size] = ["sni_probe_ring_used_bytes_max", "sni_probe_ring_bytes"];
        assert_eq!(metrics.count(most, &[]), metrics.count(size, &[]), "it was full");
    }
    let capacity = metrics.count("sni_probe_flows_capacity", &[]);
    load.assert_well(BASE_BYTES + capacity * FLOW_BYTES);
}

/// Each hello that was sent was seen or lost, and each that was seen is followed or was evicted.
fn assert_sum_rule(metrics: &Metrics, sent: u64) {
    let lost_by = |reason| metrics.count("sni_probe_events_lost_total", &[("reason", reason)]);
    let ring_full = lost_by("ring_full") + lost_by("packet_ring_full");
    assert_eq!(hellos(metrics) + ring_full, sent, "{:#?}", metrics.nonzero());
    assert_eq!(ring_full, lost(metrics));
    assert_eq!(hellos(metrics), flows(metrics) + evictions(metrics, "capacity"));
    assert_eq!(outcomes(metrics, "evicted"), evictions(metrics, "capacity"));
}

#[test]
fn large_halves_of_hellos_hold_bounded_memory() {
    const CLIENTS: u32 = 8_000;
    /// Records of 16 KiB take more room: three fill a block of a packet socket's ring, which has 32 of them.
    const LARGE_BURST: u32 = 48;
    const BYTES: usize = 16_000;
    let lab = Lab::new().unwrap();
    lab.set_mtu(20_000).unwrap();
    let mut load = Load::start(&lab, &["--handshake-timeout", NEVER, "--events", "off"]);
    let hello = ClientHelloBuilder::new().padded_to(BYTES).build();
    let half = Segment::data(&hello[..BYTES - 1]);
    let begun = |metrics: &Metrics| flows(metrics) + incomplete(metrics, "evicted");
    load.send_in_bursts(&half, 0..CLIENTS, LARGE_BURST, |metrics, sent| begun(metrics) >= sent);
    let (metrics, clients) = (load.metrics(), u64::from(CLIENTS));
    let (open, evicted) = (flows(&metrics), evictions(&metrics, "capacity"));
    println!("{open} of {CLIENTS} flows kept");
    assert_eq!((open + evicted, lost(&metrics)), (clients, 0));
    assert_eq!((incomplete(&metrics, "evicted"), outcomes(&metrics, "evicted")), (evicted, evicted));
    assert!(open * BYTES as u64 <= HELD_BYTES && evicted > 0, "{open} flows");
    // The oldest went. Of the others, the rest comes.
    let rest = Segment { offset: BYTES - 1, ..Segment::data(&hello[BYTES - 1..]) };
    load.clients.send(&rest, CLIENTS - u32::try_from(open).unwrap()..CLIENTS).unwrap();
    let absent = |metrics: &Metrics| metrics.count(HELLOS, &[("sni", "absent")]);
    let metrics = load.wait_for(|metrics| absent(metrics) >= open);
    assert_eq!((absent(&metrics), lost(&metrics)), (open, 0));
    load.assert_well(BASE_BYTES + HELD_BYTES + clients * FLOW_BYTES);
}
