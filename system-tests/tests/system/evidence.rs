//! `--evidence`: what tshark and others make of the packets of handshakes that failed; the bounds, and a disk that is full.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::{Event, Probe, binary};
use system_tests::process::{run, run_ok};
use system_tests::raw::{RawClient, Reply};
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6, Lab, SERVER_NAME, UNKNOWN_NAME};

use crate::site::{Site, TIMEOUT, assert_counted};

/// What the issue asks for, and every user of Wireshark knows.
const WITHOUT_SNI: &str = "tls.handshake.type==1 && !tls.handshake.extensions_server_name";

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The name of the evidence of an event.
fn file_name(event: &Event) -> String {
    let time: String = event.time.chars().filter(|character| !matches!(character, '-' | ':')).collect();
    let client: SocketAddr = event.client.parse().unwrap();
    let address = client.ip().to_string().replace(':', "_");
    format!("{time}-{address}-{}-{}.pcapng", client.port(), event.outcome)
}

fn is_failure(event: &Event) -> bool {
    !["server_hello", "established", "evicted", "unfinished"].contains(&event.outcome.as_str())
}

fn wait_for_files(probe: &Probe<'_>, count: usize) {
    let files = |metrics: &system_tests::metrics::Metrics| metrics.count("sni_probe_evidence_files", &[]);
    probe.wait_for_metrics(TIMEOUT, |metrics| files(metrics) == count as u64).unwrap();
}

fn lost(probe: &Probe<'_>, reason: &str) -> u64 {
    probe.metrics().unwrap().count("sni_probe_evidence_lost_total", &[("reason", reason)])
}

/// The fields of the packets that the filter lets pass, a line each.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.args(["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-T", "fields"]);
    // The ports of the lab; 443 it knows.
    command.args(["-d", "tcp.port==8443,tls", "-Y", filter, "-r"]).arg(file);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    run_ok(&mut command, TIMEOUT).unwrap().lines().map(str::to_owned).collect()
}

/// Real clients, and crafted ones, of which the gateway refuses most. Returns how many hellos there were.
fn clients(lab: &Lab) -> usize {
    for address in [GATEWAY_V4, GATEWAY_V6] {
        clients::curl(lab, Target::https(address, None), &[]).unwrap();
        clients::openssl(lab, Target::https(address, None), &[]).unwrap();
        clients::openssl(lab, Target::https(address, Some(UNKNOWN_NAME)), &[]).unwrap();
        clients::python(lab, Target::https(address, None)).unwrap();
        let served = clients::curl(lab, Target::https(address, Some(SERVER_NAME)), &[]).unwrap();
        assert!(served.success(), "{served:?}");
    }
    // Answered with an alert: the certificate's chain wants TLS 1.2.
    clients::openssl_tls10(lab, Target::https(GATEWAY_V4, Some(SERVER_NAME))).unwrap();
    let small = ClientHelloBuilder::new().build();
    let large = ClientHelloBuilder::new().post_quantum().build();
    let records = ClientHelloBuilder::new().server_name(UNKNOWN_NAME).in_records(2);
    // In pieces of which the first does not even look like TLS; in two segments; in two records.
    send(lab, GATEWAY_V4, [&small[..3], &small[3..9], &small[9..]]);
    send(lab, GATEWAY_V6, [&large[..1_400], &large[1_400..]]);
    send(lab, GATEWAY_V4, [&records[..]]);
    14
}

fn send<const N: usize>(lab: &Lab, gateway: std::net::IpAddr, segments: [&[u8]; N]) -> Reply {
    let mut client = RawClient::connect(&lab.client, SocketAddr::new(gateway, 8443)).unwrap();
    client.send_segments(segments).unwrap();
    client.read_first(TIMEOUT).unwrap()
}

fn tshark_agrees(capture: &str) {
    let lab = Lab::new().unwrap();
    let directory = lab.path("evidence");
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let options = ["--capture", capture, "--evidence", directory.to_str().unwrap()];
    let mut probe = Probe::start(&lab, &options).unwrap();
    let hellos = clients(&lab);
    let events = probe.wait_for_events(hellos, TIMEOUT).unwrap();
    let failed: BTreeMap<String, &Event> =
        events.iter().filter(|event| is_failure(event)).map(|event| (file_name(event), event)).collect();
    wait_for_files(&probe, failed.len());
    for reason in ["buffer_full", "flow_truncated", "write_failed", "queue_full"] {
        assert_eq!(lost(&probe, reason), 0, "{reason}");
    }
    assert_eq!(probe.stop().unwrap(), 0);

    assert_eq!(events.len(), hellos);
    assert_eq!(failed.len(), hellos - 2, "two were served");
    let files = files(&directory);
    let names: Vec<_> =
        files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, failed.keys().cloned().collect::<Vec<_>>());
    for (file, event) in files.iter().zip(failed.values()) {
        check_file(file, event);
    }
    check_merged(&lab, &files, &events);
}

/// One file, by capinfos, tshark and sni-probe itself.
fn check_file(file: &Path, event: &Event) {
    let information = run_ok(Command::new("capinfos").arg(file), TIMEOUT).unwrap();
    for part in
        ["Wireshark/... - pcapng", "Raw IP", "nanoseconds", "this is no raw capture", GATEWAY_INTERFACE]
    {
        assert!(information.contains(part), "{part} is not in:\n{information}");
    }
    let hellos = tshark(file, "tls.handshake.type==1", &["tls.handshake.extensions_server_name"]);
    assert_eq!(hellos, [event.server_name.clone().unwrap_or_default()], "{}", file.display());
    assert_eq!(tshark(file, WITHOUT_SNI, &["frame.number"]).len(), usize::from(event.sni == "absent"));
    let wrong = "_ws.malformed || ip.checksum.status==0 || tcp.checksum.status==0";
    assert_eq!(tshark(file, wrong, &["frame.number"]), [] as [String; 0], "{}", file.display());
    let comments = tshark(file, "frame.comment", &["frame.comment"]).join("\n");
    assert!(comments.contains(&event.outcome) && comments.contains(&event.client), "{comments}");
    // The roles are known, for the SYN is there.
    let first = tshark(file, "frame.number==1 && tcp.flags.syn==1", &["tcp.srcport"]);
    assert_eq!(first, [event.client.rsplit_once(':').unwrap().1]);

    let mut replay = Command::new(binary().unwrap());
    let replayed = run_ok(replay.args(["replay", "--format", "json"]).arg(file), TIMEOUT).unwrap();
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    for key in ["capture", "frame", "certificate_names"] {
        assert!(event.json[key].is_null());
    }
    let (mut live, mut again) = (event.json.clone(), replayed);
    for key in ["interface", "capture", "frame", "certificate_names"] {
        live.as_object_mut().unwrap().remove(key);
        again.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(again, live, "{}", file.display());
}

/// All of them in one, as a support engineer would: who sent no SNI.
fn check_merged(lab: &Lab, files: &[PathBuf], events: &[Event]) {
    let merged = lab.path("merged.pcapng");
    run_ok(Command::new("mergecap").arg("-w").arg(&merged).args(files), TIMEOUT).unwrap();
    let clients: BTreeSet<String> = tshark(&merged, WITHOUT_SNI, &["ip.src", "ipv6.src", "tcp.srcport"])
        .iter()
        .map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            let address =
                if fields[0].is_empty() { format!("[{}]", fields[1]) } else { fields[0].to_owned() };
            format!("{address}:{}", fields[2])
        })
        .collect();
    let absent = events.iter().filter(|event| event.sni == "absent" && is_failure(event));
    assert_eq!(clients, absent.map(|event| event.client.clone()).collect());
    assert_eq!(clients.len(), 8);
}

#[test]
fn tshark_finds_the_same_hellos_of_the_programs() {
    tshark_agrees("tc");
}

#[test]
fn tshark_finds_the_same_hellos_of_packet_sockets() {
    tshark_agrees("af-packet");
}

/// The capabilities (capabilities(7)) that the thread has which writes evidence: effective, permitted, bounding.
fn capabilities(probe: &mut Probe<'_>) -> [u64; 3] {
    let tasks = Path::new("/proc").join(probe.service().pid().to_string()).join("task");
    let is_its =
        |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "evidence\n");
    let task = files(&tasks).into_iter().find(is_its).unwrap();
    let status = fs::read_to_string(task.join("status")).unwrap();
    ["CapEff:", "CapPrm:", "CapBnd:"].map(|name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(set.trim(), 16).unwrap()
    })
}

#[test]
fn the_last_ones_are_kept_over_restarts() {
    let site = Site::new();
    let directory = site.lab.path("evidence");
    let directory = directory.to_str().unwrap();
    let options = ["--evidence", directory, "--evidence-handshakes", "3"];
    let mut probe = site.probe(&options);
    assert_eq!(capabilities(&mut probe), [0; 3]);
    for _ in 0..5 {
        site.hello();
    }
    assert_counted(&probe, 5);
    let events = probe.wait_for_events(5, TIMEOUT).unwrap();
    assert_eq!(probe.stop().unwrap(), 0);
    let names = |events: &[Event]| events.iter().map(file_name).collect::<BTreeSet<_>>();
    let kept = || {
        let files = files(Path::new(directory));
        files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&events[2..]), kept());
    assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);

    let probe = site.probe(&options);
    wait_for_files(&probe, 3);
    site.hello();
    let later = probe.wait_for_events(1, TIMEOUT).unwrap();
    let expected: BTreeSet<String> = names(&events[3..]).union(&names(&later)).cloned().collect();
    system_tests::wait_until("the new file", TIMEOUT, || Ok((kept() == expected).then_some(()))).unwrap();
}

#[test]
fn a_directory_that_will_not_do_is_said_at_the_start() {
    let lab = Lab::new().unwrap();
    let file = lab.path("a-file");
    fs::write(&file, b"").unwrap();
    for path in [file.to_str().unwrap(), "/proc/evidence"] {
        let mut command = lab.gateway.command(binary().unwrap());
        command.args(["run", "-i", GATEWAY_INTERFACE, "--evidence", path]);
        let finished = run(&mut command, TIMEOUT).unwrap();
        let said = finished.stderr;
        assert_eq!(finished.code, 2, "{said}");
        assert!(said.starts_with(&format!("sni-probe: --evidence {path}: ")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// A file system of four pages.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        run_ok(mount.args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&path), TIMEOUT).unwrap();
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0), TIMEOUT).ok();
    }
}

#[test]
fn a_disk_that_fills_costs_evidence_and_nothing_else() {
    let site = Site::new();
    let disk = SmallDisk::mount(site.lab.path("evidence"));
    let mut probe = site.probe(&["--evidence", disk.0.to_str().unwrap()]);
    for _ in 0..10 {
        site.hello();
    }
    assert_counted(&probe, 10);
    let settled = |probe: &Probe<'_>| {
        let files = probe.metrics().unwrap().count("sni_probe_evidence_files", &[]);
        files + lost(probe, "write_failed") == 10
    };
    let all = system_tests::wait_until("all to be written or lost", Duration::from_secs(10), || {
        Ok(settled(&probe).then_some(()))
    });
    all.unwrap();
    let failed = lost(&probe, "write_failed");
    assert!((6..10).contains(&failed), "{failed}");
    // Nothing half written is left.
    assert_eq!(files(&disk.0).len() as u64, 10 - failed);
    let warnings = probe.service().stderr().matches("evidence cannot be written").count();
    assert_eq!(warnings, 1);
    // Somebody makes room.
    for file in files(&disk.0) {
        fs::remove_file(file).unwrap();
    }
    site.hello();
    system_tests::wait_until("a file", TIMEOUT, || Ok((files(&disk.0).len() == 1).then_some(()))).unwrap();
    assert_eq!(lost(&probe, "write_failed"), failed);
    assert_eq!(probe.stop().unwrap(), 0);
}
