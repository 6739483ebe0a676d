//! Interfaces: which are watched, which way round, and what happens as they come and go.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use aya::programs::SchedClassifier;
use serde_json::Value;
use sni_probe_capture::attach::Mode;
use system_tests::probe::{HTTP_PORT, Probe, binary};
use system_tests::process::run_ok;
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::{CLIENT_V4, GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6, Lab, wait_until};

use crate::site::{
    HOOKS, MODES, PORT, Site, TIMEOUT, assert_bare, assert_counted, names, ours, tc, wait_for_log,
};

/// A veth pair of which both ends are in the gateway's namespace: a second interface.
const SECOND_INTERFACE: &str = "up0";

fn add_second_interface(lab: &Lab) {
    lab.gateway.ip(&format!("link add {SECOND_INTERFACE} type veth peer name up1")).unwrap();
    lab.gateway.ip("link set up1 up").unwrap();
    lab.gateway.ip(&format!("link set {SECOND_INTERFACE} up")).unwrap();
}

/// A veth pair between the gateway's namespace and that of the clients, with an address of the gateway on it, which is
/// reached through it.
fn connect_again(lab: &Lab, interface: &str, network: u8) -> IpAddr {
    let peer = format!("peer{network}");
    lab.gateway
        .ip(&format!("link add {interface} type veth peer name {peer} netns {}", lab.client.name()))
        .unwrap();
    lab.gateway.ip(&format!("addr add 10.88.{network}.1/24 dev {interface}")).unwrap();
    lab.client.ip(&format!("addr add 10.88.{network}.2/24 dev {peer}")).unwrap();
    lab.gateway.ip(&format!("link set {interface} up")).unwrap();
    lab.client.ip(&format!("link set {peer} up")).unwrap();
    IpAddr::from([10, 88, network, 1])
}

/// Waits until the page says so.
fn wait_for_readiness(probe: &Probe<'_>, page: &str) {
    let mut last = String::new();
    let found = wait_until(page, Duration::from_secs(20), || {
        last = probe.get("/readyz")?.1;
        Ok((last == page).then_some(()))
    });
    found.unwrap_or_else(|error| panic!("{error:#}: {last}"));
}

/// How many programs the daemon says it has on `interface`.
fn attached(probe: &Probe<'_>, interface: &str) -> u64 {
    probe.metrics().unwrap().count("sni_probe_attached", &[("interface", interface)])
}

fn changes(probe: &Probe<'_>, interface: &str, change: &str) -> u64 {
    let labels = [("interface", interface), ("change", change)];
    probe.metrics().unwrap().count("sni_probe_interface_changes_total", &labels)
}

/// Waits until `/readyz` says 503, and gives its text.
fn wait_unready(probe: &Probe<'_>) -> String {
    let page = wait_until("/readyz to say 503", TIMEOUT, || {
        let (status, text) = probe.get("/readyz")?;
        Ok((status == 503).then_some(text))
    });
    page.unwrap()
}

#[test]
fn by_default_those_of_the_default_routes() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    add_second_interface(&site.lab);
    gateway.ip(&format!("-4 route add default via {CLIENT_V4} dev {GATEWAY_INTERFACE}")).unwrap();
    gateway.ip(&format!("-6 route add default dev {SECOND_INTERFACE}")).unwrap();
    let mut probe = Probe::start_with(&site.lab, &[]).unwrap();
    probe.wait_ready().unwrap();
    let (_, page) = probe.get("/readyz").unwrap();
    assert_eq!(page, format!("ready\n{GATEWAY_INTERFACE}: attached\n{SECOND_INTERFACE}: attached\n"));
    // A veth with a default route is a pod's own eth0: it isn't turned round, though its peer is elsewhere.
    assert_eq!(names(gateway), ours(Mode::Tcx));
    site.hello();
    site.hello_to(GATEWAY_V6);
    assert_counted(&probe, 2);
    assert_eq!(probe.stop().unwrap(), 0);
    for interface in [GATEWAY_INTERFACE, SECOND_INTERFACE] {
        assert_bare(gateway, interface);
    }
}

/// A default route that moves is followed. The interface that it left is watched until it is down.
#[test]
fn the_default_route_moves() {
    for capture in ["tc", "af-packet"] {
        let site = Site::new();
        let gateway = &site.lab.gateway;
        gateway.ip(&format!("route add default via {CLIENT_V4} dev {GATEWAY_INTERFACE}")).unwrap();
        let mut probe = Probe::start_with(&site.lab, &["--capture", capture]).unwrap();
        probe.wait_ready().unwrap();
        site.hello();
        assert_counted(&probe, 1);

        let address = connect_again(&site.lab, SECOND_INTERFACE, 1);
        gateway.ip(&format!("route replace default via 10.88.1.2 dev {SECOND_INTERFACE}")).unwrap();
        let both = format!("ready\n{GATEWAY_INTERFACE}: attached\n{SECOND_INTERFACE}: attached\n");
        wait_for_readiness(&probe, &both);
        site.hello_to(address);
        site.hello();
        assert_counted(&probe, 3);

        gateway.ip(&format!("link set {GATEWAY_INTERFACE} down")).unwrap();
        wait_for_readiness(&probe, &format!("ready\n{SECOND_INTERFACE}: attached\n"));
        site.hello_to(address);
        assert_counted(&probe, 4);

        // And back.
        gateway.ip(&format!("link set {GATEWAY_INTERFACE} up")).unwrap();
        gateway.ip(&format!("route replace default via {CLIENT_V4} dev {GATEWAY_INTERFACE}")).unwrap();
        wait_for_readiness(&probe, &both);
        site.hello();
        assert_counted(&probe, 5);
        assert_eq!(probe.metrics().unwrap().count("sni_probe_default_route_changes_total", &[]), 2);
        assert_eq!(probe.stop().unwrap(), 0);
        for interface in [GATEWAY_INTERFACE, SECOND_INTERFACE] {
            assert_bare(gateway, interface);
        }
    }
}

#[test]
fn another_interface_takes_the_name() {
    for (_, attach) in MODES {
        for (name, is_pattern) in [(GATEWAY_INTERFACE, false), ("g*", true)] {
            let site = Site::new();
            let gateway = &site.lab.gateway;
            let options = ["-i", name, "--orientation", "nic", "--attach", attach, "--keep-privileges"];
            let mut probe = Probe::start_with(&site.lab, &options).unwrap();
            probe.wait_ready().unwrap();
            gateway.ip(&format!("link set {GATEWAY_INTERFACE} down")).unwrap();
            gateway.ip(&format!("link set {GATEWAY_INTERFACE} name old0")).unwrap();
            gateway.ip("link set old0 up").unwrap();
            let address = connect_again(&site.lab, GATEWAY_INTERFACE, 1);
            wait_for_readiness(&probe, &format!("ready\n{GATEWAY_INTERFACE}: attached\nold0: attached\n"));
            site.hello();
            assert_counted(&probe, 1);
            site.hello_to(address);
            assert_counted(&probe, 2);
            assert_eq!([GATEWAY_INTERFACE, "old0"].map(|interface| attached(&probe, interface)), [2, 2]);

            // They change names: each is watched as before. What has no name of its own is called by the one that it had
            // when the daemon looked.
            for (from, to) in [(GATEWAY_INTERFACE, "tmp0"), ("old0", GATEWAY_INTERFACE), ("tmp0", "old0")] {
                gateway.ip(&format!("link set {from} down")).unwrap();
                gateway.ip(&format!("link set {from} name {to}")).unwrap();
            }
            for interface in [GATEWAY_INTERFACE, "old0"] {
                gateway.ip(&format!("link set {interface} up")).unwrap();
            }
            let pages = ["old0", "tmp0"]
                .map(|other| format!("ready\n{GATEWAY_INTERFACE}: attached\n{other}: attached\n"));
            wait_until("both to be attached", Duration::from_secs(20), || {
                Ok(pages.contains(&probe.get("/readyz")?.1).then_some(()))
            })
            .unwrap();
            site.hello();
            site.hello_to(address);
            assert_counted(&probe, 4);

            // The one that no pattern and no name is about goes.
            gateway.ip("link delete old0").unwrap();
            wait_for_readiness(&probe, &format!("ready\n{GATEWAY_INTERFACE}: attached\n"));
            assert_eq!(probe.stop().unwrap(), 0, "{is_pattern}");
            assert_bare(gateway, GATEWAY_INTERFACE);
        }
    }
}

/// Events are read and requests answered while the kernel attaches many, and it is not ready before all are watched.
#[test]
fn many_come_at_once() {
    const MANY: usize = 40;
    let site = Site::new();
    let gateway = &site.lab.gateway;
    let options = ["-i", GATEWAY_INTERFACE, "-i", "many*", "--orientation", "nic"];
    let mut probe = Probe::start_with(&site.lab, &options).unwrap();
    probe.wait_ready().unwrap();
    for number in 0..MANY {
        gateway.ip(&format!("link add many{number} type veth peer name y{number}")).unwrap();
        gateway.ip(&format!("link set y{number} up")).unwrap();
        gateway.ip(&format!("link set many{number} up")).unwrap();
    }
    let mut hellos = 0;
    wait_until("all to be watched", Duration::from_mins(1), || {
        site.hello();
        hellos += 1;
        let (status, _) = probe.get("/readyz")?;
        let attached = probe.metrics()?.count("sni_probe_attached", &[]);
        assert!(status != 200 || attached == 2 + 2 * MANY as u64 || hellos < 5, "ready with {attached}");
        Ok((attached == 2 + 2 * MANY as u64).then_some(()))
    })
    .unwrap();
    probe.wait_ready().unwrap();
    assert_counted(&probe, hellos);
    // One that is gone is not missed.
    gateway.ip("link delete many7").unwrap();
    wait_until("it to be forgotten", TIMEOUT, || {
        Ok((!probe.get("/readyz")?.1.contains("many7:")).then_some(()))
    })
    .unwrap();
    probe.wait_ready().unwrap();
    let log = probe.service().stderr();
    let is_expected = |line: &str| !line.contains("WARN") || line.contains("no interface matches many* yet");
    assert!(log.lines().all(is_expected), "{log}");
    assert_eq!(probe.stop().unwrap(), 0);
    assert_bare(gateway, GATEWAY_INTERFACE);
}

/// Each would say so, and again at each look. Attaching takes several descriptors: it fails at each of them in turn.
#[test]
fn too_many_open_files_are_logged_once() {
    const MANY: usize = 40;
    for limit in 48..52 {
        let site = Site::new();
        let gateway = &site.lab.gateway;
        for number in 0..MANY {
            gateway.ip(&format!("link add many{number} type veth peer name y{number}")).unwrap();
            gateway.ip(&format!("link set y{number} up")).unwrap();
            gateway.ip(&format!("link set many{number} up")).unwrap();
        }
        let mut command = gateway.command("prlimit");
        command.arg(format!("--nofile={limit}")).arg(binary().unwrap());
        let options = ["-i", GATEWAY_INTERFACE, "-i", "many*", "--orientation", "nic"];
        let mut probe = Probe::start_by(&site.lab, command, HTTP_PORT, &options).unwrap();
        wait_for_log(&mut probe, "too many open files; raise the limit");
        // Each that goes makes room for another one, for which there are too many then.
        for number in 0..MANY - 3 {
            gateway.ip(&format!("link delete many{number}")).unwrap();
        }
        probe.wait_ready().unwrap();
        let log = probe.service().stderr();
        assert_eq!(log.matches("too many open files").count(), 1, "{limit}: {log}");
        for wrong in ["verifier", "another interface has taken its name"] {
            assert!(!log.contains(wrong), "{limit}: {log}");
        }
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(gateway, GATEWAY_INTERFACE);
    }
}

/// Packets that a bridge forwards do not pass its own device.
#[test]
fn a_bridge_is_said_to_be_one() {
    let site = Site::new();
    site.lab.gateway.ip("link add br0 type bridge").unwrap();
    site.lab.gateway.ip("link set br0 up").unwrap();
    let mut probe = Probe::start_with(&site.lab, &["-i", "br0"]).unwrap();
    wait_for_log(
        &mut probe,
        "it is a bridge: packets that the bridge forwards between its ports are not seen here",
    );
    assert_eq!(probe.stop().unwrap(), 0);
}

#[test]
fn the_nodes_end_of_a_pods_veth_is_turned_round() {
    let site = Site::new();
    // A node has a default route.
    add_second_interface(&site.lab);
    site.lab.gateway.ip(&format!("addr add 10.99.0.1/24 dev {SECOND_INTERFACE}")).unwrap();
    site.lab.gateway.ip("route add default via 10.99.0.2").unwrap();
    // The gateway is at the other end of the veth, its clients come through this one.
    let pod = &site.lab.client;
    let _gateway = ResettingGateway::start(pod, PORT).unwrap();
    let mut probe = Probe::start_with(&site.lab, &["-i", GATEWAY_INTERFACE]).unwrap();
    probe.wait_ready().unwrap();
    let [ingress, egress] = ours(Mode::Tcx);
    assert_eq!(names(&site.lab.gateway), [egress, ingress]);
    // What the pod sends to port 443 itself is none of the gateway's business.
    site.hello();
    send_hello(&site.lab.gateway, (CLIENT_V4, PORT).into()).unwrap();
    assert_counted(&probe, 1);
}

/// A veth in a namespace without a default route is the gateway's own uplink where the gateway is in that namespace.
#[test]
fn the_uplink_of_a_gateway_without_a_default_route() {
    let site = Site::new();
    for (_, attach) in MODES {
        let mut probe = Probe::start_with(&site.lab, &["-i", GATEWAY_INTERFACE, "--attach", attach]).unwrap();
        probe.wait_ready().unwrap();
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
    }
}

#[test]
fn a_gateway_that_starts_after_the_daemon() {
    for (_, attach) in MODES {
        let lab = Lab::new().unwrap();
        let options = ["-i", GATEWAY_INTERFACE, "--attach", attach];
        let mut probe = Probe::start_with(&lab, &options).unwrap();
        probe.wait_ready().unwrap();
        wait_for_log(&mut probe, "orientation=veth");
        let _gateway = ResettingGateway::start(&lab.gateway, PORT).unwrap();
        wait_for_log(&mut probe, "the orientation is nic, not veth");
        wait_for_log(&mut probe, "orientation=nic");
        send_hello(&lab.client, (GATEWAY_V4, PORT).into()).unwrap();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(&lab.gateway, GATEWAY_INTERFACE);
    }
}

#[test]
fn goes_down_and_comes_up() {
    for (mode, attach) in MODES {
        let site = Site::new();
        let set = |state| site.lab.gateway.ip(&format!("link set {GATEWAY_INTERFACE} {state}")).unwrap();
        set("down");
        let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--attach", attach];
        let mut probe = Probe::start_with(&site.lab, &options).unwrap();
        wait_for_log(&mut probe, "the interface is down: nothing is seen there until it is up");
        assert!(wait_unready(&probe).contains("attached; the interface is down"));
        set("up");
        wait_for_log(&mut probe, "the interface is up again");
        probe.wait_ready().unwrap();
        site.hello();
        assert_counted(&probe, 1);
        set("down");
        let times = |probe: &mut Probe<'_>, text| probe.service().stderr().matches(text).count();
        wait_until("the second warning", TIMEOUT, || Ok((times(&mut probe, "is down") == 2).then_some(())))
            .unwrap();
        assert_eq!(attached(&probe, GATEWAY_INTERFACE), 2);
        set("up");
        wait_until("the second message", TIMEOUT, || Ok((times(&mut probe, "up again") == 2).then_some(())))
            .unwrap();
        site.hello();
        assert_counted(&probe, 2);
        let metrics = probe.metrics().unwrap();
        let changes = |change| metrics.count("sni_probe_interface_changes_total", &[("change", change)]);
        assert_eq!(["down", "up", "lost"].map(changes), [1, 2, 0]);
        // The kernel's count of all packets, the handshake of before the last change among them.
        for direction in ["received", "sent"] {
            let labels = [("interface", GATEWAY_INTERFACE), ("direction", direction)];
            let packets = metrics.count("sni_probe_interface_packets_total", &labels);
            assert!(packets >= 4, "{packets} {direction}");
        }
        assert_eq!(names(&site.lab.gateway), ours(mode));
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
    }
}

#[test]
fn deleted_and_made_again() {
    for (mode, attach) in MODES {
        let site = Site::new();
        let mut probe = site.probe(&["--attach", attach, "--keep-privileges"]);
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(attached(&probe, GATEWAY_INTERFACE), 2);

        site.lab.gateway.ip(&format!("link delete {GATEWAY_INTERFACE}")).unwrap();
        let page = wait_unready(&probe);
        assert_eq!(page, format!("not ready\n{GATEWAY_INTERFACE}: not attached: the interface is gone\n"));
        assert_eq!(attached(&probe, GATEWAY_INTERFACE), 0);
        assert_eq!(changes(&probe, GATEWAY_INTERFACE, "lost"), 1);
        wait_for_log(&mut probe, "the interface is gone; it is watched again as soon as it can be");

        site.lab.connect().unwrap();
        probe.wait_ready().unwrap();
        assert_eq!(attached(&probe, GATEWAY_INTERFACE), 2);
        assert_eq!(changes(&probe, GATEWAY_INTERFACE, "attached"), 2);
        assert_eq!(names(&site.lab.gateway), ours(mode));
        site.hello();
        assert_counted(&probe, 2);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
    }
}

#[test]
fn renamed_it_is_the_same() {
    const NEW_NAME: &str = "gw9";
    for (_, attach) in MODES {
        let site = Site::new();
        let gateway = &site.lab.gateway;
        let mut probe = site.probe(&["--attach", attach]);
        gateway.ip(&format!("link set {GATEWAY_INTERFACE} down")).unwrap();
        gateway.ip(&format!("link set {GATEWAY_INTERFACE} name {NEW_NAME}")).unwrap();
        gateway.ip(&format!("link set {NEW_NAME} up")).unwrap();
        wait_for_log(&mut probe, "the interface is now called gw9");
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(attached(&probe, GATEWAY_INTERFACE), 2);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(gateway, NEW_NAME);
    }
}

#[test]
fn one_of_two_is_deleted() {
    for (_, attach) in MODES {
        let site = Site::new();
        add_second_interface(&site.lab);
        let options =
            ["-i", GATEWAY_INTERFACE, "-i", SECOND_INTERFACE, "--attach", attach, "--keep-privileges"];
        let mut probe = site.probe(&options);
        site.lab.gateway.ip(&format!("link delete {SECOND_INTERFACE}")).unwrap();
        let page = wait_unready(&probe);
        assert!(page.contains(&format!("{GATEWAY_INTERFACE}: attached\n")), "{page}");
        assert!(page.contains(&format!("{SECOND_INTERFACE}: not attached: ")), "{page}");
        let on = [GATEWAY_INTERFACE, SECOND_INTERFACE].map(|interface| attached(&probe, interface));
        assert_eq!(on, [2, 0]);
        site.hello();
        assert_counted(&probe, 1);
        add_second_interface(&site.lab);
        probe.wait_ready().unwrap();
        assert_eq!(attached(&probe, SECOND_INTERFACE), 2);
        assert_eq!(probe.stop().unwrap(), 0);
        for interface in [GATEWAY_INTERFACE, SECOND_INTERFACE] {
            assert_bare(&site.lab.gateway, interface);
        }
    }
}

/// Cilium, for one, deletes all legacy filters of an interface to which it attaches by TCX.
#[test]
fn filters_that_somebody_removes_are_attached_again() {
    let site = Site::new();
    let mut probe = site.probe(&["--attach", "clsact"]);
    for (removals, command) in [
        (1, format!("qdisc del dev {GATEWAY_INTERFACE} clsact")),
        (2, format!("filter del dev {GATEWAY_INTERFACE} ingress")),
    ] {
        tc(&site.lab.gateway, &command);
        wait_until("the filters to be back", TIMEOUT, || {
            let seen = ["lost", "attached"].map(|change| changes(&probe, GATEWAY_INTERFACE, change));
            Ok((seen == [removals, removals + 1]).then_some(()))
        })
        .unwrap();
        assert_eq!(names(&site.lab.gateway), ours(Mode::Clsact));
        site.hello();
        assert_counted(&probe, removals);
    }
    assert_eq!(probe.get("/readyz").unwrap().0, 200);
    assert_eq!(probe.stop().unwrap(), 0);
}

/// `bpftool link detach`: the link stays with its process, and its program sees nothing any more.
#[test]
fn a_link_that_is_detached_by_force_is_attached_again() {
    let site = Site::new();
    let mut probe = site.probe(&["--attach", "tcx", "--keep-privileges"]);
    site.hello();
    assert_counted(&probe, 1);
    let links = run_ok(Command::new("bpftool").args(["--json", "link", "show"]), TIMEOUT).unwrap();
    let links: Vec<Value> = serde_json::from_str(&links).unwrap();
    let query = || SchedClassifier::query_tcx(GATEWAY_INTERFACE, HOOKS[0]);
    let (_, programs) = site.lab.gateway.run_in_thread(query).unwrap().unwrap();
    let link = links.iter().find(|link| link["prog_id"] == programs[0].id());
    let id = link.expect("our link")["id"].to_string();
    run_ok(Command::new("bpftool").args(["link", "detach", "id", &id]), TIMEOUT).unwrap();
    wait_until("the programs to be back", Duration::from_secs(20), || {
        let seen = ["lost", "attached"].map(|change| changes(&probe, GATEWAY_INTERFACE, change));
        Ok((seen == [1, 2]).then_some(()))
    })
    .unwrap();
    assert_eq!(names(&site.lab.gateway), ours(Mode::Tcx));
    site.hello();
    assert_counted(&probe, 2);
    assert_eq!(probe.stop().unwrap(), 0);
}
