//! Other programs on the same hooks: they and sni-probe see every packet, whoever comes first, and what
//! is theirs stays.

use std::net::IpAddr;
use std::time::Duration;

use aya::Ebpf;
use aya::programs::links::LinkOrder;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{SchedClassifier, TcAttachType, Xdp, XdpMode};
use aya::sys::{Stats, enable_stats};
use sni_probe_capture::attach::Mode;
use system_tests::classifier::{constant_classifier, constant_program};
use system_tests::probe::Probe;
use system_tests::process::run_ok;
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6, Namespace, wait_until};

use crate::site::{
    HOOKS, MODES, Site, TIMEOUT, add_foreign_filter, assert_counted, names, ours, programs, tc, wait_for_log,
};

/// `linux/bpf.h`.
const XDP_PASS: i32 = 2;

/// What a neighbour says to each packet.
#[derive(Debug, Clone, Copy)]
enum OtherVerdict {
    /// `TC_ACT_UNSPEC`, `TCX_NEXT`: whoever comes next decides.
    Next = -1,
    /// `TC_ACT_OK`, `TCX_PASS`: the packet goes on, and nobody after this one sees it.
    Pass = 0,
}

/// Somebody else's program on one hook of the gateway's interface.
struct OtherProgram {
    _program: Ebpf,
    _link: Option<SchedClassifierLink>,
}

impl OtherProgram {
    /// At the head of the TCX programs that are there.
    fn tcx(namespace: &Namespace, name: &str, hook: TcAttachType, verdict: OtherVerdict) -> Self {
        Self::attach(namespace, name, hook, verdict, TcAttachOptions::TcxOrder(LinkOrder::first()))
    }

    /// A legacy filter. The interface has a clsact qdisc.
    fn filter(
        namespace: &Namespace,
        name: &str,
        hook: TcAttachType,
        verdict: OtherVerdict,
        priority: u16,
    ) -> Self {
        let options = NlOptions { priority, handle: TcHandle::new(0, 1), classid: None };
        Self::attach(namespace, name, hook, verdict, TcAttachOptions::Netlink(options))
    }

    fn attach(
        namespace: &Namespace,
        name: &str,
        hook: TcAttachType,
        verdict: OtherVerdict,
        options: TcAttachOptions,
    ) -> Self {
        let is_filter = matches!(options, TcAttachOptions::Netlink(_));
        let mut ebpf = Ebpf::load(&constant_classifier(name, verdict as i32)).unwrap();
        let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
        let attach = || program.attach_with_options(GATEWAY_INTERFACE, hook, options);
        let id = namespace.run_in_thread(attach).unwrap().unwrap();
        let link = program.take_link(id).unwrap();
        if !is_filter {
            return Self { _program: ebpf, _link: Some(link) };
        }
        // Dropped, it would be looked for in the namespace of this thread. It goes with the interface.
        std::mem::forget(link);
        Self { _program: ebpf, _link: None }
    }
}

/// How many packets each program has seen, at a moment when none is under way.
fn packets(namespace: &Namespace) -> [Vec<u64>; 2] {
    let read = || {
        HOOKS.map(|hook| {
            let programs = programs(namespace, GATEWAY_INTERFACE, hook);
            programs.iter().map(|program| program.runs).collect::<Vec<_>>()
        })
    };
    let mut last = read();
    wait_until("silence on the interface", TIMEOUT, || {
        let before = std::mem::replace(&mut last, read());
        Ok((before == last).then(|| last.clone()))
    })
    .unwrap()
}

const HELLOS: [IpAddr; 4] = [GATEWAY_V4, GATEWAY_V6, GATEWAY_V4, GATEWAY_V6];
/// Packets of one handshake in each direction, at least: SYN, ACK, hello; SYN and ACK, RST.
const LEAST_PACKETS: [u64; 2] = [3, 2];

/// Sends hellos, and gives the number of packets that each program saw meanwhile.
fn packets_of_hellos(site: &Site) -> [Vec<u64>; 2] {
    let before = packets(&site.lab.gateway);
    for address in HELLOS {
        site.hello_to(address);
    }
    let after = packets(&site.lab.gateway);
    [0, 1].map(|hook| after[hook].iter().zip(&before[hook]).map(|(after, before)| after - before).collect())
}

/// Each program saw the same number of packets, and no fewer than there were.
#[track_caller]
fn assert_all_see_all(seen: &[Vec<u64>; 2], programs: usize) {
    for (seen, least) in seen.iter().zip(LEAST_PACKETS) {
        assert_eq!(seen.len(), programs, "{seen:?}");
        assert!(seen.iter().all(|&count| count == seen[0]), "{seen:?}");
        assert!(seen[0] >= least * HELLOS.len() as u64, "{seen:?}");
    }
}

/// The names on each hook: ours with somebody's before and after.
fn between(mode: Mode, before: &str, after: &str) -> [Vec<(Mode, String)>; 2] {
    ours(mode).map(|mut names| {
        names.insert(0, (mode, before.to_owned()));
        names.push((mode, after.to_owned()));
        names
    })
}

#[test]
fn programs_before_and_after_see_every_packet() {
    let _statistics = enable_stats(Stats::RunTime).unwrap();
    for (mode, attach) in MODES {
        let site = Site::new();
        let gateway = &site.lab.gateway;
        let neighbour = |name, hook, verdict, priority| {
            if mode == Mode::Tcx {
                OtherProgram::tcx(gateway, name, hook, verdict)
            } else {
                OtherProgram::filter(gateway, name, hook, verdict, priority)
            }
        };
        if mode == Mode::Clsact {
            tc(gateway, &format!("qdisc add dev {GATEWAY_INTERFACE} clsact"));
        }
        // The later one ends the chain, as Cilium does: nobody after us loses a packet by us, nor we by it.
        let _after = HOOKS.map(|hook| neighbour("after", hook, OtherVerdict::Pass, 100));
        let mut probe = site.probe(&["--attach", attach]);
        let _before = HOOKS.map(|hook| neighbour("before", hook, OtherVerdict::Next, 10));
        assert_eq!(names(gateway), between(mode, "before", "after"));
        assert_all_see_all(&packets_of_hellos(&site), 3);
        assert_counted(&probe, HELLOS.len() as u64);
        assert_eq!(probe.stop().unwrap(), 0);
        let left = ["before", "after"].map(|name| (mode, name.to_owned())).to_vec();
        assert_eq!(names(gateway), [left.clone(), left]);
        assert_all_see_all(&packets_of_hellos(&site), 2);
    }
}

#[test]
fn at_the_head_of_filters_that_end_the_chain() {
    let _statistics = enable_stats(Stats::RunTime).unwrap();
    let site = Site::new();
    let gateway = &site.lab.gateway;
    tc(gateway, &format!("qdisc add dev {GATEWAY_INTERFACE} clsact"));
    let _filters = HOOKS.map(|hook| OtherProgram::filter(gateway, "cilium", hook, OtherVerdict::Pass, 1));
    let probe = site.probe(&[]);
    let expected = ours(Mode::Tcx).map(|mut names| {
        names.push((Mode::Clsact, "cilium".to_owned()));
        names
    });
    assert_eq!(names(gateway), expected);
    assert_all_see_all(&packets_of_hellos(&site), 2);
    assert_counted(&probe, HELLOS.len() as u64);
}

#[test]
fn somebody_has_our_place_among_the_filters() {
    // Same kind and protocol but another handle, our very handle, another protocol.
    for place in ["prio 50 protocol all", "prio 50 protocol all handle 0x535", "prio 50 protocol ip"] {
        let site = Site::new();
        let gateway = &site.lab.gateway;
        tc(gateway, &format!("qdisc add dev {GATEWAY_INTERFACE} clsact"));
        for hook in HOOKS {
            add_foreign_filter(gateway, hook, "add", place);
        }
        let mut probe = site.probe(&["--attach", "clsact"]);
        let mut all = names(gateway);
        for names in &mut all {
            names.sort_by(|(_, left), (_, right)| left.cmp(right));
        }
        let theirs = (Mode::Clsact, "bpf".to_owned());
        let both = ours(Mode::Clsact).map(|mut names| {
            names.insert(0, theirs.clone());
            names
        });
        assert_eq!(all, both, "{place}");
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_eq!(names(gateway), [vec![theirs.clone()], vec![theirs]]);
    }
}

#[test]
fn what_replaced_our_filter_stays_and_ours_comes_back() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    let mut probe = site.probe(&["--attach", "clsact"]);
    add_foreign_filter(gateway, HOOKS[0], "replace", "prio 50 protocol all handle 0x535");
    let theirs = (Mode::Clsact, "bpf".to_owned());
    let both = ours(Mode::Clsact).map(|names| [vec![theirs.clone()], names].concat());
    // Behind theirs; and the other one has its place again.
    let [ingress, _] = both;
    let [_, egress] = ours(Mode::Clsact);
    wait_until("our filter to be back", TIMEOUT, || {
        Ok((names(gateway) == [ingress.clone(), egress.clone()]).then_some(()))
    })
    .unwrap();
    site.hello();
    assert_counted(&probe, 1);
    assert_eq!(probe.stop().unwrap(), 0);
    assert_eq!(names(gateway), [vec![theirs], vec![]]);
}

/// How many programs the daemon says are before its own.
fn before(probe: &Probe<'_>, verdict: &str) -> u64 {
    let labels = [("interface", GATEWAY_INTERFACE), ("hook", "ingress"), ("verdict", verdict)];
    probe.metrics().unwrap().count("sni_probe_programs_before", &labels)
}

/// Waits until `/readyz` has this status and these words.
#[track_caller]
fn wait_for_page(probe: &Probe<'_>, status: u16, words: &str) {
    wait_until(&format!("{status} {words}"), LOOK_AROUND, || {
        let (now, text) = probe.get("/readyz")?;
        Ok((now == status && text.contains(words)).then_some(()))
    })
    .unwrap();
}

/// It looks around every 10 s.
const LOOK_AROUND: Duration = Duration::from_secs(40);

/// Cilium in legacy mode: at priority 1, and nobody after it sees a packet.
#[test]
fn a_filter_that_hides_packets_is_told() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    tc(gateway, &format!("qdisc add dev {GATEWAY_INTERFACE} clsact"));
    let _cilium = OtherProgram::filter(gateway, "cil_from_netdev", HOOKS[0], OtherVerdict::Pass, 1);
    let _other = OtherProgram::filter(gateway, "somebody", HOOKS[0], OtherVerdict::Next, 2);
    let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--attach", "clsact"];
    let mut probe = Probe::start_with(&site.lab, &options).unwrap();
    wait_for_log(
        &mut probe,
        "cil_from_netdev on ingress (filter, priority 1) is before sni-probe and ends the chain",
    );
    wait_for_log(
        &mut probe,
        "somebody on ingress (filter, priority 2) is before sni-probe; packets that it takes",
    );
    wait_for_page(
        &probe,
        503,
        "behind cil_from_netdev on ingress (filter, priority 1): packets that it takes are not seen",
    );
    assert_eq!([before(&probe, "ends_chain"), before(&probe, "unknown")], [1, 1]);
    // When it has gone, all is well again.
    tc(gateway, &format!("filter del dev {GATEWAY_INTERFACE} ingress prio 1"));
    wait_for_page(&probe, 200, "behind somebody on ingress");
    assert_eq!([before(&probe, "ends_chain"), before(&probe, "unknown")], [0, 1]);
    site.hello();
    assert_counted(&probe, 1);
    assert_eq!(probe.stop().unwrap(), 0);
}

#[test]
fn a_filter_that_matches_all_and_ends_is_told() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    tc(gateway, &format!("qdisc add dev {GATEWAY_INTERFACE} clsact"));
    let add = "prio 3 protocol all matchall action";
    let mut command = gateway.command("tc");
    command.args(["filter", "add", "dev", GATEWAY_INTERFACE, "ingress"]).args(add.split(' ')).arg("ok");
    if let Err(error) = run_ok(&mut command, TIMEOUT) {
        // Not every kernel has matchall and generic actions.
        println!("skipped: {error:#}");
        return;
    }
    let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--attach", "clsact"];
    let probe = Probe::start_with(&site.lab, &options).unwrap();
    wait_for_page(&probe, 503, "behind matchall on ingress (filter, priority 3)");
}

/// TCX has no notices, and lists programs only for those who may see all.
#[test]
fn a_link_that_comes_to_the_head_later_is_told() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    let mut probe = site.probe(&["--attach", "tcx", "--keep-privileges"]);
    assert_eq!(probe.get("/readyz").unwrap(), (200, format!("ready\n{GATEWAY_INTERFACE}: attached\n")));
    let neighbour = OtherProgram::tcx(gateway, "cil_from_netdev", HOOKS[0], OtherVerdict::Pass);
    wait_for_page(&probe, 503, "behind cil_from_netdev on ingress (tcx)");
    assert_eq!(before(&probe, "ends_chain"), 1);
    drop(neighbour);
    wait_for_page(&probe, 200, "attached\n");
    assert_eq!(before(&probe, "ends_chain"), 0);
    assert_eq!(probe.stop().unwrap(), 0);
}

/// An XDP program sees a packet before it becomes an skb. What it does is not known.
#[test]
fn an_xdp_program_in_front_is_reported() {
    for capture in ["tc", "af-packet"] {
        let site = Site::new();
        let gateway = &site.lab.gateway;
        let mut probe = site.probe(&["--capture", capture]);
        let mut ebpf = Ebpf::load(&constant_program("xdp", "pass", XDP_PASS)).unwrap();
        let program: &mut Xdp = ebpf.program_mut("pass").unwrap().try_into().unwrap();
        program.load().unwrap();
        let attach = || program.attach(GATEWAY_INTERFACE, XdpMode::Skb);
        let id = gateway.run_in_thread(attach).unwrap().unwrap();
        let link = program.take_link(id).unwrap();
        wait_for_page(&probe, 200, "behind XDP program ");
        assert!(probe.get("/readyz").unwrap().1.contains("on ingress (generic): it may hide packets"));
        assert_eq!(before(&probe, "unknown"), 1);
        site.hello();
        assert_counted(&probe, 1);
        gateway.run_in_thread(|| drop(link)).unwrap();
        wait_for_page(&probe, 200, "attached\n");
        assert_eq!(before(&probe, "unknown"), 0);
        assert_eq!(probe.stop().unwrap(), 0);
    }
}
