//! What keeps the daemon from running: one line that says what and what to do, exit code 2, and nothing
//! is left on the interface. And what looks as if it did, and must not.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use system_tests::probe::{HTTP_PORT, Probe, binary};
use system_tests::process::{run, run_ok};
use system_tests::{GATEWAY_INTERFACE, Lab};

use crate::site::{Site, TIMEOUT, assert_bare, assert_counted, wait_for_log};

/// Runs `command`, which ends in the daemon and its options, and gives the one line that it says.
#[track_caller]
fn refusal(lab: &Lab, command: &mut Command) -> String {
    let finished = run(command, TIMEOUT).unwrap();
    let line = finished.stderr;
    assert_eq!((finished.code, finished.stdout.as_str()), (2, ""), "{command:?}: {line}");
    assert!(line.starts_with("sni-probe: ") && line.ends_with('\n'), "{command:?}: {line}");
    assert_eq!(line.matches('\n').count(), 1, "{command:?}: {line}");
    for word in ["panicked", "backtrace", "Usage:", "Error"] {
        assert!(!line.contains(word), "{command:?}: {line}");
    }
    assert_bare(&lab.gateway, GATEWAY_INTERFACE);
    line
}

/// As [`refusal`], of `sni-probe run` with these options.
#[track_caller]
fn refused(lab: &Lab, options: &[&str]) -> String {
    refusal(lab, lab.gateway.command(binary().unwrap()).arg("run").args(options))
}

/// As [`refusal`], of `sni-probe run -i gw0` by way of another program.
#[track_caller]
fn refused_by(lab: &Lab, words: &[&str]) -> String {
    refusal(lab, through(lab, words).args(["run", "-i", GATEWAY_INTERFACE]))
}

/// The daemon, started by another program: `setpriv … sni-probe`.
fn through(lab: &Lab, words: &[&str]) -> Command {
    let mut command = lab.gateway.command(words[0]);
    command.args(&words[1..]).arg(world_readable_binary(lab));
    command
}

/// A copy of the daemon where every user can reach it.
fn world_readable_binary(lab: &Lab) -> PathBuf {
    let copy = lab.path("sni-probe");
    if !copy.exists() {
        fs::copy(binary().unwrap(), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(lab.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

#[track_caller]
fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

#[test]
fn an_interface_that_does_not_exist() {
    let lab = Lab::new().unwrap();
    let line = refused(&lab, &["-i", GATEWAY_INTERFACE, "-i", "nope0"]);
    assert_says(&line, &["interface nope0 does not exist", "lo, gw0"]);
    let line =
        refusal(&lab, lab.gateway.command(binary().unwrap()).arg("run").env("SNI_PROBE_INTERFACE", "nope0"));
    assert_says(&line, &["interface nope0 does not exist", "lo, gw0"]);
}

#[test]
fn no_default_route() {
    let lab = Lab::new().unwrap();
    let line = refused(&lab, &[]);
    assert_says(&line, &["no default route", "--interface", "lo, gw0"]);
}

#[test]
fn an_interface_without_ethernet_header() {
    let lab = Lab::new().unwrap();
    lab.gateway.ip("tuntap add mode tun name tun0").unwrap();
    let says = ["tun0 has no Ethernet header", "--interface"];
    assert_says(&refused(&lab, &["-i", "tun0"]), &says);
    // What was attached before goes again.
    for attach in ["tcx", "clsact"] {
        let line = refused(&lab, &["-i", GATEWAY_INTERFACE, "-i", "tun0", "--attach", attach]);
        assert_says(&line, &says);
    }
}

#[test]
fn a_port_in_use() {
    let lab = Lab::new().unwrap();
    let bind = || TcpListener::bind(("0.0.0.0", HTTP_PORT));
    let _other = lab.gateway.run_in_thread(bind).unwrap().unwrap();
    let line = refused(&lab, &["-i", GATEWAY_INTERFACE]);
    assert_says(&line, &["0.0.0.0:9917", "in use", "--listen"]);
}

#[test]
fn flags_and_variables_with_a_bad_value() {
    let lab = Lab::new().unwrap();
    // The flag, its variable, a bad value, and what the line says beside the value.
    let cases = [
        ("--interface", "", "", "--interface <NAME>"),
        ("--port", "SNI_PROBE_PORT", "0", "1..=65535"),
        ("--port", "SNI_PROBE_PORT", "65536", "1..=65535"),
        ("--port", "SNI_PROBE_PORT", "443,https", "--port <PORT>"),
        ("--attach", "SNI_PROBE_ATTACH", "xdp", "auto, tcx, clsact"),
        ("--orientation", "SNI_PROBE_ORIENTATION", "up", "auto, nic, veth"),
        ("--listen", "SNI_PROBE_LISTEN", "127.0.0.1", "0.0.0.0:9917"),
        ("--listen", "SNI_PROBE_LISTEN", ":9917", "0.0.0.0:9917"),
        ("--events", "SNI_PROBE_EVENTS", "yes", "off, text, json"),
        ("--handshake-timeout", "SNI_PROBE_HANDSHAKE_TIMEOUT", "30", "30s"),
        ("--handshake-timeout", "SNI_PROBE_HANDSHAKE_TIMEOUT", "0s", "1s to 10m"),
        ("--log-format", "SNI_PROBE_LOG_FORMAT", "xml", "text, json"),
        ("--log-level", "SNI_PROBE_LOG_LEVEL", "loud", "debug"),
    ];
    for (flag, variable, value, says) in cases {
        let shown = value.rsplit(',').next().unwrap();
        let line = refused(&lab, &["-i", GATEWAY_INTERFACE, flag, value]);
        assert_says(&line, &[flag, shown, says]);
        if !variable.is_empty() {
            let mut command = lab.gateway.command(binary().unwrap());
            command.args(["run", "-i", GATEWAY_INTERFACE]).env(variable, value);
            assert_says(&refusal(&lab, &mut command), &[shown, says]);
        }
    }
}

#[test]
fn flags_that_are_unknown() {
    let lab = Lab::new().unwrap();
    let line = refused(&lab, &["-i", GATEWAY_INTERFACE, "--atach", "tcx"]);
    assert_says(&line, &["--atach", "--attach", "--help"]);
    let line = refused(&lab, &["-i", GATEWAY_INTERFACE, "gw1"]);
    assert_says(&line, &["gw1", "--help"]);
    let line = refusal(&lab, lab.gateway.command(binary().unwrap()).arg("start"));
    assert_says(&line, &["start", "--help"]);
}

/// A user without any capability.
const NOBODY: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];

#[test]
fn not_root() {
    let lab = Lab::new().unwrap();
    for (capture, says) in [
        ("auto", &["missing capabilities: CAP_BPF, CAP_NET_ADMIN;", "sudo", "setcap", "CAP_NET_RAW"][..]),
        ("tc", &["missing capabilities: CAP_BPF, CAP_NET_ADMIN;", "sudo", "setcap"]),
        ("af-packet", &["missing capability: CAP_NET_RAW;", "sudo", "setcap"]),
    ] {
        let variable = format!("SNI_PROBE_CAPTURE={capture}");
        let mut words = vec!["env", &variable];
        words.extend(NOBODY);
        assert_says(&refused_by(&lab, &words), says);
    }
}

#[test]
fn root_with_a_capability_dropped() {
    let lab = Lab::new().unwrap();
    // CAP_SYS_ADMIN includes what CAP_BPF allows.
    for (dropped, missing) in [
        ("-bpf,-sys_admin", "missing capabilities: CAP_BPF;"),
        ("-net_admin", "missing capabilities: CAP_NET_ADMIN;"),
        ("-all", "missing capabilities: CAP_BPF, CAP_NET_ADMIN;"),
    ] {
        let sets = [format!("--inh-caps={dropped}"), format!("--bounding-set={dropped}")];
        let words = ["env", "SNI_PROBE_CAPTURE=tc", "setpriv", &sets[0], &sets[1]];
        assert_says(&refused_by(&lab, &words), &[missing]);
    }
}

/// The daemon, started by another program, runs and counts.
fn assert_runs(words: &[&str]) {
    let site = Site::new();
    let command = through(&site.lab, words);
    let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic"];
    let mut probe = Probe::start_by(&site.lab, command, HTTP_PORT, &options).unwrap();
    probe.wait_ready().unwrap();
    site.hello();
    assert_counted(&probe, 1);
    assert_eq!(probe.stop().unwrap(), 0);
    assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
}

/// As a user that has these capabilities and no others.
fn user_with(capabilities: &str) -> Vec<String> {
    let sets = ["inh-caps", "ambient-caps", "bounding-set"];
    let sets = sets.map(|set| format!("--{set}=-all,{capabilities}"));
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    user.into_iter().map(str::to_owned).chain(sets).collect()
}

#[test]
fn two_capabilities_and_no_locked_memory_are_enough() {
    // Since Linux 5.11 maps are charged to the memory cgroup.
    let mut words = ["env", "SNI_PROBE_CAPTURE=tc", "prlimit", "--memlock=0:0"].map(str::to_owned).to_vec();
    words.extend(user_with("+bpf,+net_admin"));
    assert_runs(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Without `CAP_PERFMON` the filters have no name; they are known all the same, and stay where they are.
#[test]
fn two_capabilities_are_enough_for_filters() {
    let site = Site::new();
    let words = user_with("+bpf,+net_admin");
    let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--attach", "clsact", "--capture", "tc"];
    for _ in 0..2 {
        let command = through(&site.lab, &words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut probe = Probe::start_by(&site.lab, command, HTTP_PORT, &options).unwrap();
        probe.wait_ready().unwrap();
        site.hello();
        assert_counted(&probe, 1);
        let lost = [("interface", GATEWAY_INTERFACE), ("change", "lost")];
        assert_eq!(probe.metrics().unwrap().count("sni_probe_interface_changes_total", &lost), 0);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
    }
}

#[test]
fn packet_sockets_take_one_capability() {
    for capture in ["af-packet", "auto"] {
        let mut words = vec!["env".to_owned(), format!("SNI_PROBE_CAPTURE={capture}")];
        words.extend(user_with("+net_raw"));
        assert_runs(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn a_fall_back_is_said() {
    let site = Site::new();
    let words = user_with("+net_raw");
    let command = through(&site.lab, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let options = ["-i", GATEWAY_INTERFACE, "--capture", "auto"];
    let mut probe = Probe::start_by(&site.lab, command, HTTP_PORT, &options).unwrap();
    probe.wait_ready().unwrap();
    wait_for_log(&mut probe, "no eBPF here: missing capabilities: CAP_BPF, CAP_NET_ADMIN");
    wait_for_log(&mut probe, "watching by packet sockets instead");
    let labels = [("interface", GATEWAY_INTERFACE), ("mode", "af_packet")];
    assert_eq!(probe.metrics().unwrap().count("sni_probe_attached", &labels), 2);
    assert_eq!(probe.stop().unwrap(), 0);
}

/// The variable that makes the daemon's programs such as the verifier rejects.
fn damaged_programs(lab: &Lab) -> String {
    let source = lab.path("damaged_programs.c");
    fs::write(&source, include_str!("damaged_programs.c")).unwrap();
    let library = lab.path("damaged_programs.so");
    run_ok(Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]), TIMEOUT).unwrap();
    format!("LD_PRELOAD={}", library.display())
}

#[test]
fn a_verifier_that_rejects_the_programs_is_a_reason_to_fall_back() {
    let site = Site::new();
    let damaged = damaged_programs(&site.lab);
    let command = through(&site.lab, &["env", &damaged]);
    let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--capture", "auto"];
    let mut probe = Probe::start_by(&site.lab, command, HTTP_PORT, &options).unwrap();
    probe.wait_ready().unwrap();
    wait_for_log(&mut probe, "no eBPF here: the kernel's verifier rejects client_to_gateway: R5 !read_ok");
    wait_for_log(&mut probe, "watching by packet sockets instead");
    site.hello();
    assert_counted(&probe, 1);
    assert_eq!(probe.stop().unwrap(), 0);
}

#[test]
fn a_verifier_that_rejects_the_programs_says_what_helps() {
    let lab = Lab::new().unwrap();
    let damaged = damaged_programs(&lab);
    let rejects = "the kernel's verifier rejects client_to_gateway: R5 !read_ok;";
    let all = ["env", &damaged, "SNI_PROBE_CAPTURE=tc"];
    assert_says(&refused_by(&lab, &all), &[rejects, "use packet sockets (--capture af-packet)"]);
    // Without CAP_PERFMON the verifier allows less, and packet sockets take CAP_NET_RAW.
    for (capture, says) in [("tc", "or use packet sockets"), ("auto", "need CAP_NET_RAW alone")] {
        let mut words = user_with("+bpf,+net_admin");
        words.extend(["env".to_owned(), damaged.clone(), format!("SNI_PROBE_CAPTURE={capture}")]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_says(&refused_by(&lab, &words), &[rejects, "grant CAP_PERFMON", says]);
    }
}

#[test]
fn the_kernels_btf_is_not_needed() {
    const HIDE: &str = r#"mount -t tmpfs none /sys/kernel/btf && exec "$0" "$@""#;
    assert_runs(&["unshare", "--mount", "sh", "-c", HIDE]);
}
