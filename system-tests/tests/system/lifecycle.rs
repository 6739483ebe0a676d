//! From its start to its end, whatever ends it: what it saw is told, what it attached goes, and nothing
//! else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use aya::programs::TcAttachType;
use nix::sys::signal::Signal;
use sni_probe_capture::attach::Mode;
use system_tests::probe::{HTTP_PORT, Probe, binary};
use system_tests::process::Service;
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6, wait_until};

use crate::site::{
    MODES, PORT, Site, TIMEOUT, add_foreign_filter, assert_bare, assert_counted, has_clsact, names, ours, tc,
    wait_for_log,
};

/// From the signal to the end of the process.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
const KILLED: i32 = 128 + Signal::SIGKILL as i32;

#[test]
fn a_signal_drains_the_ring_and_detaches() {
    const HELLOS: usize = 60;
    let site = Site::new();
    for (signal, attach) in [(Signal::SIGTERM, "tcx"), (Signal::SIGINT, "clsact")] {
        let mut probe = site.probe(&["--attach", attach]);
        for _ in 0..HELLOS {
            site.hello();
        }
        probe.service().signal(signal).unwrap();
        assert_eq!(probe.service().wait(STOP_DEADLINE).unwrap(), 0);
        let events = probe.events().unwrap();
        let clients: BTreeSet<&str> = events.iter().map(|event| event.client.as_str()).collect();
        assert_eq!((events.len(), clients.len()), (HELLOS, HELLOS), "after {signal}");
        assert!(events.iter().all(|event| event.sni == "absent" && event.outcome == "reset_by_gateway"));
        assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
    }
}

#[test]
fn killed_and_started_again_there_is_one_copy() {
    let site = Site::new();
    for (mode, attach) in MODES {
        let mut probe = site.probe(&["--attach", attach]);
        site.hello();
        assert_counted(&probe, 1);
        probe.service().signal(Signal::SIGKILL).unwrap();
        assert_eq!(probe.service().wait(STOP_DEADLINE).unwrap(), KILLED);
        // Links of TCX go with their process, filters do not.
        let left = if mode == Mode::Tcx { [vec![], vec![]] } else { ours(mode) };
        wait_until("the killed one's links to go", TIMEOUT, || {
            Ok((names(&site.lab.gateway) == left).then_some(()))
        })
        .unwrap();

        let mut probe = site.probe(&["--attach", attach]);
        assert_eq!(names(&site.lab.gateway), ours(mode));
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_eq!(names(&site.lab.gateway), [vec![], vec![]]);
        // Nobody knows any more who made the qdisc.
        assert_eq!(has_clsact(&site.lab.gateway, GATEWAY_INTERFACE), mode == Mode::Clsact);
    }
}

#[test]
fn filters_of_a_killed_one_do_not_stay_behind_links() {
    let site = Site::new();
    let mut probe = site.probe(&["--attach", "clsact"]);
    probe.service().signal(Signal::SIGKILL).unwrap();
    assert_eq!(probe.service().wait(STOP_DEADLINE).unwrap(), KILLED);
    assert_eq!(names(&site.lab.gateway), ours(Mode::Clsact));
    let _probe = site.probe(&["--attach", "tcx"]);
    assert_eq!(names(&site.lab.gateway), ours(Mode::Tcx));
}

#[test]
fn two_daemons_do_not_take_each_others_filters() {
    let site = Site::new();
    let start = |attach: &str| {
        let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--attach", attach];
        let command = site.lab.gateway.command(binary().unwrap());
        Probe::start_by(&site.lab, command, HTTP_PORT + 1, &options).unwrap()
    };
    let probe = site.probe(&["--attach", "clsact"]);
    let mut second = start("clsact");
    assert_eq!(second.service().wait(STOP_DEADLINE).unwrap(), 2);
    let said = second.service().stderr();
    assert!(said.contains("another sni-probe watches gw0") && said.lines().count() == 1, "{said}");
    // One that attaches by links leaves them alone as well.
    let mut third = start("tcx");
    third.wait_ready().unwrap();
    site.hello();
    assert_counted(&third, 1);
    assert_counted(&probe, 1);
    assert_eq!(third.stop().unwrap(), 0);
    assert_eq!(names(&site.lab.gateway), ours(Mode::Clsact));
}

fn foreign() -> [Vec<(Mode, String)>; 2] {
    [vec![(Mode::Clsact, "bpf".to_owned())], vec![]]
}

#[test]
fn a_qdisc_of_somebody_else_stays_with_its_filters() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    for has_filter in [false, true] {
        if has_filter {
            add_foreign_filter(gateway, TcAttachType::Ingress, "add", "prio 10 protocol all");
        } else {
            tc(gateway, &format!("qdisc add dev {GATEWAY_INTERFACE} clsact"));
        }
        let mut probe = site.probe(&["--attach", "clsact"]);
        site.hello();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_eq!(names(gateway), if has_filter { foreign() } else { [vec![], vec![]] });
        assert!(has_clsact(gateway, GATEWAY_INTERFACE));
    }
}

#[test]
fn its_own_qdisc_goes_unless_somebody_uses_it() {
    let site = Site::new();
    let gateway = &site.lab.gateway;
    let mut probe = site.probe(&["--attach", "clsact"]);
    assert_eq!(names(gateway), ours(Mode::Clsact));
    assert_eq!(probe.stop().unwrap(), 0);
    assert_bare(gateway, GATEWAY_INTERFACE);

    let mut probe = site.probe(&["--attach", "clsact"]);
    add_foreign_filter(gateway, TcAttachType::Ingress, "add", "prio 10 protocol all");
    assert_eq!(probe.stop().unwrap(), 0);
    assert_eq!(names(gateway), foreign());
    assert!(has_clsact(gateway, GATEWAY_INTERFACE));
}

#[test]
fn goes_on_when_the_reader_of_its_events_has_gone() {
    let site = Site::new();
    let mut command = site.lab.gateway.command("bash");
    // The shell becomes the daemon; the reader takes one line and leaves.
    command.args(["-c", r#"exec "$0" "$@" > >(head -n 1)"#]).arg(binary().unwrap());
    let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--events", "json"];
    let mut probe = Probe::start_by(&site.lab, command, HTTP_PORT, &options).unwrap();
    probe.wait_ready().unwrap();
    let mut sent = 0;
    wait_until("events to be off", TIMEOUT, || {
        site.hello();
        sent += 1;
        Ok(probe.service().stderr().contains("events are off").then_some(()))
    })
    .unwrap();
    site.hello();
    assert_counted(&probe, sent + 1);
    assert_eq!(probe.events().unwrap().len(), 1);
    // The lines of the write that failed, and all later ones. What was written before may be in the pipe still.
    let closed = [("reason", "closed")];
    probe
        .wait_for_metrics(TIMEOUT, |metrics| {
            metrics.count("sni_probe_event_lines_dropped_total", &closed) >= 2
        })
        .unwrap();
    assert_eq!(probe.stop().unwrap(), 0);
}

#[test]
fn two_daemons_share_an_interface() {
    const OTHER_PORT: u16 = 9443;
    let site = Site::new();
    let _other_gateway = ResettingGateway::start(&site.lab.gateway, OTHER_PORT).unwrap();
    let start = |http_port: u16, port: u16| {
        let port = port.to_string();
        let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--attach", "tcx", "-p", &port];
        let command = site.lab.gateway.command(binary().unwrap());
        let mut probe = Probe::start_by(&site.lab, command, http_port, &options).unwrap();
        probe.wait_ready().unwrap();
        probe
    };
    let mut first = start(HTTP_PORT, PORT);
    let mut second = start(HTTP_PORT + 1, OTHER_PORT);
    site.hello();
    for _ in 0..2 {
        send_hello(&site.lab.client, (GATEWAY_V4, OTHER_PORT).into()).unwrap();
    }
    assert_counted(&first, 1);
    assert_counted(&second, 2);
    assert_eq!(first.stop().unwrap(), 0);
    assert_eq!(names(&site.lab.gateway), ours(Mode::Tcx));
    send_hello(&site.lab.client, (GATEWAY_V4, OTHER_PORT).into()).unwrap();
    assert_counted(&second, 3);
    assert_eq!(second.stop().unwrap(), 0);
    assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
}

#[test]
fn events_for_people_are_a_line_each() {
    let site = Site::new();
    let mut probe = site.probe(&["--events", "text"]);
    site.hello();
    site.hello_to(GATEWAY_V6);
    assert_counted(&probe, 2);
    assert_eq!(probe.stop().unwrap(), 0);
    let text = probe.service().stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, address) in lines.iter().zip(["10.77.0.1:443", "[fd77::1]:443"]) {
        assert!(line.contains(address) && line.contains("reset"), "{line}");
        assert!(!line.contains('\u{1b}'), "no colour without a terminal: {line}");
    }
}

#[test]
fn a_port_that_the_kernel_picks_is_told() {
    let site = Site::new();
    let mut command = site.lab.gateway.command(binary().unwrap());
    command.args(["run", "-i", GATEWAY_INTERFACE, "--listen", "127.0.0.1:0"]);
    let mut service = Service::start("sni-probe", &mut command, site.lab.directory()).unwrap();
    let address = wait_until("the address of its metrics", TIMEOUT, || {
        let log = service.stderr();
        let after = log.split_once("metrics=http://").and_then(|(_, rest)| rest.split_once("/metrics"));
        Ok(after.map(|(address, _)| address.parse::<SocketAddr>()).transpose()?)
    })
    .unwrap();
    assert_eq!(site.lab.gateway.http_get(address, "/readyz").unwrap().0, 200);
    assert_eq!(service.stop().unwrap(), 0);
}

#[test]
fn the_pages_of_its_http_server() {
    let site = Site::new();
    let mut probe = site.probe(&[]);
    assert_eq!(probe.get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(probe.get("/readyz").unwrap(), (200, format!("ready\n{GATEWAY_INTERFACE}: attached\n")));
    assert_eq!(probe.get("/nothing").unwrap().0, 404);
    let (status, index) = probe.get("/").unwrap();
    assert!(status == 200 && index.contains("/metrics"), "{status} {index}");
    let metrics = probe.metrics().unwrap();
    for hook in ["ingress", "egress"] {
        let labels = [("interface", GATEWAY_INTERFACE), ("hook", hook), ("mode", "tcx")];
        assert_eq!(metrics.count("sni_probe_attached", &labels), 1);
    }
    assert_eq!(metrics.count("sni_probe_build_info", &[]), 1);
    wait_for_log(&mut probe, "watching");
}
