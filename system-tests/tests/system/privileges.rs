//! What the daemon may do after it has attached: as little as can be, in each of its threads.

use std::fs;
use std::path::Path;

use system_tests::GATEWAY_INTERFACE;
use system_tests::probe::Probe;

use crate::site::{Site, assert_counted, wait_for_log};

/// Bits of capabilities in `/proc/PID/status` (capabilities(7)).
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;

/// The sets of each thread: inherited, permitted, effective, bounding, ambient; and whether it may gain others.
fn sets(probe: &mut Probe<'_>) -> Vec<([u64; 5], bool)> {
    let tasks = Path::new("/proc").join(probe.service().pid().to_string()).join("task");
    let threads: Vec<_> = fs::read_dir(tasks).unwrap().map(|entry| entry.unwrap().path()).collect();
    // One reads events, one writes their lines.
    assert!(threads.len() >= 2, "{threads:?}");
    let read = |thread: &Path| {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().to_owned()
        };
        let set = |name: &str| u64::from_str_radix(&field(name), 16).unwrap();
        (["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(set), field("NoNewPrivs") == "1")
    };
    threads.iter().map(|thread| read(thread)).collect()
}

/// Starts it with these options and gives the capabilities that are left in all of its threads together.
#[track_caller]
fn left(site: &Site, options: &[&str], said: &str) -> u64 {
    let mut probe = site.probe(options);
    wait_for_log(&mut probe, &format!("privileges dropped capabilities=\"{said}\" no_new_privs=true"));
    let sets = sets(&mut probe);
    // Nor can it have others again.
    assert!(sets.iter().all(|(_, no_new_privs)| *no_new_privs), "{sets:x?}");
    let all = sets.iter().flat_map(|(sets, _)| sets).fold(0, |all, set| all | set);
    // It works on with that, and ends well.
    site.hello();
    assert_counted(&probe, 1);
    let metrics = probe.metrics().unwrap();
    assert!(metrics.count("sni_probe_slots_capacity", &[]) > 0);
    assert_eq!(probe.stop().unwrap(), 0);
    all
}

#[test]
fn with_named_interfaces_none_is_left() {
    let site = Site::new();
    assert_eq!(left(&site, &["--attach", "tcx"], "none"), 0);
    assert_eq!(left(&site, &["--capture", "af-packet"], "none"), 0);
}

#[test]
fn filters_that_somebody_may_remove_keep_one() {
    let site = Site::new();
    assert_eq!(left(&site, &["--attach", "clsact"], "CAP_NET_ADMIN"), NET_ADMIN);
}

#[test]
fn patterns_keep_what_attaching_takes() {
    let site = Site::new();
    let options = ["-i", "gw*", "--orientation", "nic"];
    assert_eq!(left(&site, &[&options[..], &["--attach", "tcx"]].concat(), "CAP_NET_ADMIN"), NET_ADMIN);
    assert_eq!(left(&site, &[&options[..], &["--capture", "af-packet"]].concat(), "CAP_NET_RAW"), NET_RAW);
}

#[test]
fn all_are_kept_if_asked() {
    let site = Site::new();
    let mut probe = site.probe(&["--keep-privileges"]);
    let sets = sets(&mut probe);
    assert!(sets.iter().any(|([_, _, effective, ..], _)| *effective != 0), "{sets:x?}");
    assert!(!probe.service().stderr().contains("privileges dropped"));
}

#[test]
fn the_kernels_statistics_of_the_programs() {
    let site = Site::new();
    let mut probe = site.probe(&["--kernel-stats", "--capture", "tc"]);
    site.hello();
    let runs = |program| [("program", program)];
    let metrics = probe
        .wait_for_metrics(crate::site::TIMEOUT, |metrics| {
            ["client_to_gateway", "gateway_to_client"]
                .into_iter()
                .all(|program| metrics.count("sni_probe_program_runs_total", &runs(program)) >= 2)
        })
        .unwrap();
    let seconds = metrics.get("sni_probe_program_run_seconds_total", &runs("client_to_gateway"));
    assert!(seconds > 0.0, "{seconds}");
    assert_eq!(probe.stop().unwrap(), 0);

    let probe = site.probe(&["--capture", "tc", "-i", GATEWAY_INTERFACE, "--orientation", "nic"]);
    assert!(!probe.get("/metrics").unwrap().1.contains("sni_probe_program_runs_total{"));
}
