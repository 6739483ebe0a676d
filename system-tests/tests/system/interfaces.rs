//! Interfaces: which are watched, which way round, and what happens as they come and go.

use sni_probe::capture::attach::Mode;
use system_tests::probe::Probe;
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::{CLIENT_V4, GATEWAY_INTERFACE, GATEWAY_V6, Lab, wait_until};

use crate::site::{MODES, PORT, Site, TIMEOUT, assert_bare, assert_counted, names, ours, tc, wait_for_log};

/// A veth pair of which both ends are in the gateway's namespace: a second interface.
const SECOND_INTERFACE: &str = "up0";

fn add_second_interface(lab: &Lab) {
    lab.gateway.ip(&format!("link add {SECOND_INTERFACE} type veth peer name up1")).unwrap();
    lab.gateway.ip("link set up1 up").unwrap();
    lab.gateway.ip(&format!("link set {SECOND_INTERFACE} up")).unwrap();
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

#[test]
fn the_nodes_end_of_a_pods_veth_is_turned_round() {
    let site = Site::new();
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

#[test]
fn goes_down_and_comes_up() {
    for (mode, attach) in MODES {
        let site = Site::new();
        let set = |state| site.lab.gateway.ip(&format!("link set {GATEWAY_INTERFACE} {state}")).unwrap();
        set("down");
        let mut probe = site.probe(&["--attach", attach]);
        wait_for_log(&mut probe, "the interface is down: nothing is seen there until it is up");
        set("up");
        wait_for_log(&mut probe, "the interface is up again");
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
