//! Where it may be told to watch: interfaces by pattern, other network namespaces, a priority among filters.

use sni_probe_capture::attach::Mode;
use system_tests::probe::{HTTP_PORT, Probe, binary};
use system_tests::resetting::send_hello;
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, Namespace, wait_until};

use crate::site::{
    PORT, Site, TIMEOUT, add_foreign_filter, assert_bare, assert_counted, names, ours, tc, wait_for_log,
};

/// An interface that a pattern finds, with its peer in the same namespace.
fn add_pod(namespace: &Namespace, name: &str) {
    namespace.ip(&format!("link add {name} type veth peer name peer-{name}")).unwrap();
    namespace.ip(&format!("link set {name} up")).unwrap();
    namespace.ip(&format!("link set peer-{name} up")).unwrap();
}

/// Waits until `/readyz` says this.
#[track_caller]
fn wait_for_page(probe: &Probe<'_>, expected: &(u16, &str)) {
    let mut last = None;
    let found = wait_until("/readyz", TIMEOUT, || {
        let (status, text) = probe.get("/readyz")?;
        let is_it = (status, &*text) == *expected;
        last = Some((status, text));
        Ok(is_it.then_some(()))
    });
    found.unwrap_or_else(|error| panic!("{error}: {last:?}, expected {expected:?}"));
}

#[test]
fn a_pattern_follows_what_comes_and_goes() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    for capture in ["tc", "af-packet"] {
        let options = ["-i", "pod*", "--orientation", "nic", "--capture", capture];
        let mut probe = Probe::start_with(&site.lab, &options).unwrap();
        wait_for_log(&mut probe, "no interface matches pod* yet; there are: lo");
        wait_for_page(&probe, &(503, "not ready\nno interface matches pod* yet\n"));
        add_pod(gateway, "pod1");
        wait_for_page(&probe, &(200, "ready\npod1: attached\n"));
        add_pod(gateway, "pod2");
        wait_for_page(&probe, &(200, "ready\npod1: attached\npod2: attached\n"));

        // One that goes leaves nothing behind.
        gateway.ip("link delete pod1").unwrap();
        wait_for_page(&probe, &(200, "ready\npod2: attached\n"));
        let metrics = probe.get("/metrics").unwrap().1;
        assert!(!metrics.contains("pod1") && metrics.contains(r#"interface="pod2""#), "{metrics}");
        // It is the same under a new name, which matches as well.
        gateway.ip("link set pod2 down").unwrap();
        gateway.ip("link set pod2 name pod3").unwrap();
        gateway.ip("link set pod3 up").unwrap();
        wait_for_log(&mut probe, "the interface is now called pod3");
        let attached = [("mode", if capture == "tc" { "tcx" } else { "af_packet" })];
        assert_eq!(probe.metrics().unwrap().count("sni_probe_attached", &attached), 2);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(gateway, "pod3");
        gateway.ip("link delete pod3").unwrap();
    }
}

#[test]
fn what_a_pattern_finds_is_seen() {
    let site = Site::new();
    let mut probe = site.probe(&["-i", "gw?", "--orientation", "nic"]);
    assert_eq!(names(&site.lab.gateway), ours(Mode::Tcx));
    site.hello();
    assert_counted(&probe, 1);
    // Deleted and made anew, it is found again.
    site.lab.gateway.ip(&format!("link delete {GATEWAY_INTERFACE}")).unwrap();
    wait_for_page(&probe, &(503, "not ready\nno interface matches gw? yet\n"));
    site.lab.connect().unwrap();
    probe.wait_ready().unwrap();
    site.hello();
    assert_counted(&probe, 2);
    let events = probe.wait_for_events(2, TIMEOUT).unwrap();
    assert!(events.iter().all(|event| event.json["interface"] == GATEWAY_INTERFACE), "{events:?}");
    assert_eq!(probe.stop().unwrap(), 0);
    assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
}

#[test]
fn what_has_no_ethernet_header_is_passed_over() {
    let site = Site::new();
    site.lab.gateway.ip("tuntap add dev gwtun mode tun").unwrap();
    let mut probe = site.probe(&["-i", "gw*", "--orientation", "nic"]);
    wait_for_log(&mut probe, "skipped: it has no Ethernet header");
    wait_for_page(&probe, &(200, &format!("ready\n{GATEWAY_INTERFACE}: attached\n")));
    assert_eq!(probe.stop().unwrap(), 0);
}

/// The daemon's end, started outside of the gateway's namespace.
fn netns_options(site: &Site) -> String {
    format!("/run/netns/{}", site.lab.gateway.name())
}

#[test]
fn another_network_namespace() {
    let site = Site::new();
    let path = netns_options(&site);
    for (mode, capture) in [("tcx", "tc"), ("clsact", "tc"), ("tcx", "af-packet")] {
        // Its metrics are served where it was started: in the client's.
        let options = ["--netns", &path, "-i", GATEWAY_INTERFACE, "--attach", mode, "--capture", capture];
        let mut probe = Probe::start_in(&site.lab.client, &site.lab, &options).unwrap();
        probe.wait_ready().unwrap();
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
    }
}

#[test]
fn two_daemons_from_different_namespaces_meet() {
    let site = Site::new();
    let probe = site.probe(&["--attach", "clsact"]);
    let path = netns_options(&site);
    let options = ["--netns", &path, "-i", GATEWAY_INTERFACE, "--attach", "clsact"];
    let mut second = Probe::start_in(&site.lab.client, &site.lab, &options).unwrap();
    assert_eq!(second.service().wait(TIMEOUT).unwrap(), 2);
    assert!(second.service().stderr().contains("another sni-probe watches gw0"));
    site.hello();
    assert_counted(&probe, 1);
}

#[test]
fn what_is_no_network_namespace_is_refused() {
    let site = Site::new();
    for (path, says) in [("/nowhere", "No such file"), ("/proc/self/status", "not a network namespace")] {
        let options = ["--netns", path, "-i", GATEWAY_INTERFACE];
        let mut probe = Probe::start_with(&site.lab, &options).unwrap();
        assert_eq!(probe.service().wait(TIMEOUT).unwrap(), 2);
        let said = probe.service().stderr();
        assert!(said.contains(says) && said.contains(path) && said.lines().count() == 1, "{said}");
    }
    let mut command = site.lab.client.command("setpriv");
    command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]).arg(binary().unwrap());
    let path = netns_options(&site);
    let options = ["--netns", &path, "-i", GATEWAY_INTERFACE];
    let mut probe = Probe::start_by(&site.lab, command, HTTP_PORT, &options).unwrap();
    assert_eq!(probe.service().wait(TIMEOUT).unwrap(), 2);
    let said = probe.service().stderr();
    assert!(said.contains("CAP_SYS_ADMIN") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_priority_of_ones_own() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    let mut probe = site.probe(&["--attach", "clsact", "--priority", "7"]);
    for hook in ["ingress", "egress"] {
        let filters = tc(gateway, &format!("filter show dev {GATEWAY_INTERFACE} {hook}"));
        assert!(filters.contains("\"pref\":7,"), "{filters}");
    }
    site.hello();
    assert_counted(&probe, 1);
    assert_eq!(probe.stop().unwrap(), 0);
    assert_bare(gateway, GATEWAY_INTERFACE);

    tc(gateway, &format!("qdisc add dev {GATEWAY_INTERFACE} clsact"));
    add_foreign_filter(gateway, crate::site::HOOKS[0], "add", "prio 7 protocol ip");
    let options = ["-i", GATEWAY_INTERFACE, "--attach", "clsact", "--priority", "7"];
    let mut probe = Probe::start_with(&site.lab, &options).unwrap();
    assert_eq!(probe.service().wait(TIMEOUT).unwrap(), 2);
    let said = probe.service().stderr();
    assert!(said.contains("priority 7 of gw0 is taken") && said.lines().count() == 1, "{said}");
    assert_eq!(names(gateway), [vec![(Mode::Clsact, "bpf".to_owned())], vec![]]);
}

/// By default, named interfaces are fixed: nothing is left to attach with.
#[test]
fn a_named_interface_that_is_made_anew_takes_a_new_start() {
    let site = Site::new();
    let mut probe = site.probe(&["--attach", "tcx"]);
    site.lab.gateway.ip(&format!("link delete {GATEWAY_INTERFACE}")).unwrap();
    wait_for_page(
        &probe,
        &(503, &format!("not ready\n{GATEWAY_INTERFACE}: not attached: the interface is gone\n")),
    );
    site.lab.connect().unwrap();
    assert_eq!(probe.service().wait(TIMEOUT).unwrap(), 2);
    let said = probe.service().stderr();
    assert!(said.contains("gw0 is to be watched again") && said.contains("--keep-privileges"), "{said}");
    let mut probe = site.probe(&["--attach", "tcx"]);
    send_hello(&site.lab.client, (GATEWAY_V4, PORT).into()).unwrap();
    assert_counted(&probe, 1);
    assert_eq!(probe.stop().unwrap(), 0);
}
