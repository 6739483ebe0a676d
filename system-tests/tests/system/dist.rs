//! What `cargo xtask dist` makes: that it is whole, starts with nothing around it, and sees what the usual build sees.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sni_probe_testkit::captures::{Capture, Connection, Format};
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::clients::{self, Target};
use system_tests::dist::{Artifacts, DistTools, IMAGE, Tarball};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::{HTTP_PORT, Probe};
use system_tests::process::{Finished, run, run_ok};
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, Lab, Namespace, SERVER_NAME};
use tempfile::TempDir;

use crate::expected::answered;
use crate::site::{PORT, Site, TIMEOUT, assert_bare};

/// What the image may weigh.
const MAX_IMAGE_BYTES: u64 = 40 << 20;
const TOOL_TIMEOUT: Duration = Duration::from_mins(1);
const DOCKERFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/Dockerfile");
const LOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");

/// Enters a root filesystem as a container's runtime does: read-only, with /proc and /sys, in a mount namespace that goes
/// with the process. `$0` is the root, the rest are the words after `sni-probe`.
const AS_A_CONTAINER: &str = r#"
set -e
mount --bind "$0" "$0"
mount -t proc -o nosuid,nodev,noexec proc "$0/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$0/sys"
mount -o remount,bind,ro "$0"
cd "$0"
exec chroot "$0" /sni-probe "$@"
"#;

fn artifacts() -> Artifacts {
    Artifacts::from_environment().unwrap()
}

fn sh_ok(program: &str, words: &[&str], directory: &Path) -> String {
    run_ok(Command::new(program).args(words).current_dir(directory), TOOL_TIMEOUT).unwrap()
}

/// A copy of the root filesystem, in which tests may put files.
struct Root {
    directory: TempDir,
}

impl Root {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let from = artifacts().root_filesystem().join(".");
        run_ok(Command::new("cp").arg("-a").arg(from).arg(directory.path()), TOOL_TIMEOUT).unwrap();
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs it in a chroot with nothing mounted, in this network namespace.
    fn run(&self, namespace: &Namespace, words: &[&str]) -> Finished {
        let mut command = namespace.command("chroot");
        command.arg(self.path()).arg("/sni-probe").args(words);
        run(&mut command, TOOL_TIMEOUT).unwrap()
    }
}

/// Regular files below a directory with their modes and contents, by path.
fn files(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_owned();
                files.insert(name, (metadata.mode() & 0o7777, fs::read(&path).unwrap()));
            }
        }
    }
    files
}

#[test]
fn the_tarball_is_whole() {
    let artifacts = artifacts();
    let listed = sh_ok("sha256sum", &["--check", "--strict", "SHA256SUMS"], artifacts.directory());
    for path in [artifacts.tarball(), artifacts.image(), artifacts.bill_of_materials()] {
        let line = format!("{}: OK", path.file_name().unwrap().to_str().unwrap());
        assert!(listed.lines().any(|said| said == line), "{line} is not in\n{listed}");
    }

    let directory = tempfile::tempdir().unwrap();
    let unpacked = Tarball::from_environment().unwrap().unpack(directory.path()).unwrap();
    let binary = unpacked.binary();
    let version = run_ok(Command::new(&binary).arg("--version"), TOOL_TIMEOUT).unwrap();
    assert_eq!(version, concat!("sni-probe ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(fs::read(&binary).unwrap(), fs::read(artifacts.root_filesystem().join("sni-probe")).unwrap());
    let has = |path: &str| unpacked.directory.join(path).is_file();
    for path in [
        "LICENSE",
        "README.md",
        "THIRD-PARTY.txt",
        "completions/bash/sni-probe",
        "completions/fish/sni-probe.fish",
        "completions/zsh/_sni-probe",
        "deploy/kubernetes/daemonset.yaml",
        "docs/metrics.md",
        "man/man1/sni-probe.1",
        "man/man1/sni-probe-run.1",
    ] {
        assert!(has(path), "the tarball has no {path}");
    }
    // One time, one owner, sorted: nothing of the machine that made it.
    let words = ["--list", "--verbose", "--numeric-owner", "--full-time", "--utc", "-zf"];
    let mut list = Command::new("tar");
    let list = run_ok(list.args(words).arg(artifacts.tarball()), TOOL_TIMEOUT).unwrap();
    let columns: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    let of = |range: std::ops::Range<usize>| -> BTreeSet<Vec<&str>> {
        columns.iter().map(|line| line[range.clone()].to_vec()).collect()
    };
    assert_eq!(of(1..2), BTreeSet::from([vec!["0/0"]]));
    assert_eq!(of(3..5).len(), 1, "{list}");
    let names: Vec<&str> = columns.iter().map(|line| line[5].trim_end_matches('/')).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn the_binary_takes_nothing_from_outside() {
    let root = artifacts().root_filesystem();
    let words = ["--wide", "--program-headers", "--dynamic", "sni-probe"];
    let said = sh_ok("readelf", &words, &root);
    assert!(said.contains("LOAD"), "{said}");
    assert!(!said.contains("INTERP") && !said.contains("NEEDED"), "{said}");
    // No section of symbols, and none of debug information.
    let sections = sh_ok("readelf", &["--wide", "--sections", "sni-probe"], &root);
    assert!(!sections.contains(".symtab") && !sections.contains(".debug_"), "{sections}");

    let files = files(&root);
    let bytes: usize = files.values().map(|(_, contents)| contents.len()).sum();
    assert!((bytes as u64) < MAX_IMAGE_BYTES, "the root filesystem has {bytes} bytes");
    // No shell, and nothing else that starts.
    let programs: Vec<&PathBuf> =
        files.iter().filter(|(_, (mode, _))| mode & 0o111 != 0).map(|(name, _)| name).collect();
    assert_eq!(programs, [Path::new("sni-probe")]);
    // Where it was built is nobody's business.
    let (_, binary) = &files[Path::new("sni-probe")];
    let home = env!("CARGO_MANIFEST_DIR").trim_end_matches("/system-tests");
    assert!(!contains(binary, home.as_bytes()), "{home} is in the binary");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn starts_with_nothing_around_it() {
    let root = Root::new();
    // Neither a device nor a process is to be seen there.
    for place in ["dev", "proc", "sys"] {
        assert_eq!(fs::read_dir(root.path().join(place)).unwrap().count(), 0);
    }
    let lab = Lab::new().unwrap();
    let version = root.run(&lab.gateway, &["--version"]);
    assert_eq!((version.code, version.stderr.as_str()), (0, ""));

    let mut connection = Connection::v4();
    connection.open().client(&ClientHelloBuilder::new().build()).gateway_reset();
    let capture = Capture::of([&connection]).to_bytes(Format::PCAP).unwrap();
    fs::write(root.path().join("tmp/capture.pcap"), capture).unwrap();
    let replay = root.run(&lab.gateway, &["replay", "--format", "json", "/tmp/capture.pcap"]);
    assert_eq!((replay.code, replay.stderr.as_str()), (0, ""), "{}", replay.stdout);
    let event: Value = serde_json::from_str(replay.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&event["sni"], &event["outcome"]), (&"absent".into(), &"reset_by_gateway".into()));

    // Without /sys it could not say what it loses; without capabilities it may not load.
    assert_refused(&root.run(&lab.gateway, &["run"]), "/sys");
    let mut command = lab.gateway.command("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all,+sys_chroot", "chroot"]);
    command.arg(root.path()).args(["/sni-probe", "run", "-i", GATEWAY_INTERFACE]);
    assert_refused(&run(&mut command, TOOL_TIMEOUT).unwrap(), "CAP_BPF");
}

#[track_caller]
fn assert_refused(finished: &Finished, says: &str) {
    assert_eq!(finished.code, 2, "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains(says), "{}", finished.stderr);
}

fn in_a_container<'lab>(lab: &'lab Lab, root: &Root) -> Probe<'lab> {
    let mut command = lab.gateway.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", AS_A_CONTAINER]).arg(root.path());
    let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--events", "json"];
    let mut probe = Probe::start_by(lab, command, HTTP_PORT, &options).unwrap();
    probe.wait_ready().unwrap();
    probe
}

#[test]
fn sees_curl_at_envoy_from_the_images_root() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let root = Root::new();
    let mut probe = in_a_container(&lab, &root);
    let curl = |name| clients::curl(&lab, Target::https(GATEWAY_V4, name), &[]).unwrap();
    assert!(curl(Some(SERVER_NAME)).success());
    assert!(!curl(None).success());
    let events = probe.wait_for_events(1, TIMEOUT).unwrap();
    let metrics =
        probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count("sni_probe_handshakes_total", &[]) == 2);
    let metrics = metrics.unwrap();
    let reset = [("sni", "absent"), ("outcome", "reset_by_gateway")];
    assert_eq!(metrics.count("sni_probe_handshakes_total", &reset), 1);
    assert_eq!(answered(&metrics, &[("sni", "present")]), 1);
    // By default only those that failed are told.
    assert_eq!((events.len(), events[0].sni.as_str()), (1, "absent"));
    assert_eq!(probe.stop().unwrap(), 0);
    drop(envoy);
    assert_bare(&lab.gateway, GATEWAY_INTERFACE);
    // Its mounts went with it.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(root.path().to_str().unwrap()), "{mounts}");
}

/// Answers all questions with one address, and gives the names that were asked for.
fn name_server(namespace: &Namespace, address: Ipv4Addr) -> (thread::JoinHandle<()>, UdpSocket) {
    let socket = namespace.run_in_thread(|| UdpSocket::bind("127.0.0.1:53")).unwrap().unwrap();
    let answering = socket.try_clone().unwrap();
    socket.set_read_timeout(Some(TOOL_TIMEOUT)).unwrap();
    let thread = thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = answering.recv_from(&mut question) {
            if length < 12 {
                return;
            }
            let mut answer = question[..length].to_vec();
            // RFC 1035, 4.1.1: a response without error; the additional records (EDNS) are not repeated.
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            answer.truncate(end);
            answer[10..12].copy_from_slice(&[0, 0]);
            let is_a = question[end - 4..end] == [0, 1, 0, 1];
            answer[6..8].copy_from_slice(&[0, u8::from(is_a)]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address.octets());
            }
            answering.send_to(&answer, from).unwrap();
        }
    });
    (thread, socket)
}

/// glibc takes services for names from shared objects, which are not there: files and DNS are built in.
#[test]
fn finds_names_by_file_and_by_dns() {
    let site = Site::new();
    let root = Root::new();
    let IpAddr::V4(gateway) = GATEWAY_V4 else { panic!("not IPv4") };
    let (thread, socket) = name_server(&site.lab.gateway, gateway);
    // As a container's runtime mounts them.
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 in-a-file.test\n").unwrap();
    fs::write(root.path().join("etc/resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    for (name, address) in [("in-a-file.test", Ipv4Addr::LOCALHOST), ("by-dns.test", gateway)] {
        let finished = root.run(&site.lab.gateway, &["check", "--json", &format!("{name}:{PORT}")]);
        let report: Value = serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}: {finished:?}"));
        let address = SocketAddr::new(address.into(), PORT);
        assert_eq!(report["address"], address.to_string(), "{name}");
    }
    // Ends the thread.
    let own = socket.local_addr().unwrap();
    socket.send_to(&[0], own).unwrap();
    thread.join().unwrap();
}

#[test]
fn the_image_is_the_root_filesystem() {
    let artifacts = artifacts();
    let source = format!("oci-archive:{}", artifacts.image().display());
    let directory = tempfile::tempdir().unwrap();
    let inspected = sh_ok("skopeo", &["inspect", &source], directory.path());
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Architecture"], artifacts.architecture().name());
    let layers = inspected["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);

    // skopeo compares each digest while it copies, and takes the name for granted only if it is there.
    sh_ok("skopeo", &["copy", "--quiet", &source, "dir:copy"], directory.path());
    let layer = layers[0].as_str().unwrap().strip_prefix("sha256:").unwrap();
    fs::create_dir(directory.path().join("root")).unwrap();
    sh_ok("tar", &["-xzpf", &format!("copy/{layer}"), "-C", "root"], directory.path());
    assert_eq!(files(&directory.path().join("root")), files(&artifacts.root_filesystem()));
    let compressed = fs::metadata(artifacts.image()).unwrap().len();
    assert!(compressed < MAX_IMAGE_BYTES, "{compressed}");

    let config_of = |source: &str| -> Value {
        let config = sh_ok("skopeo", &["inspect", "--config", source], directory.path());
        serde_json::from_str(&config).unwrap()
    };
    let config = config_of(&source);
    assert_agrees_with_the_dockerfile(&config["config"]);
    // What `manifest.json` names is the same image.
    let docker_archive = format!("docker-archive:{}:{IMAGE}", artifacts.image().display());
    assert_eq!(config_of(&docker_archive), config);
    let tags = sh_ok("tar", &["-xOf", artifacts.image().to_str().unwrap(), "index.json"], directory.path());
    assert!(tags.contains(&format!("docker.io/library/{IMAGE}")), "{tags}");
}

#[track_caller]
fn assert_agrees_with_the_dockerfile(config: &Value) {
    let dockerfile = fs::read_to_string(DOCKERFILE).unwrap();
    let lines: Vec<&str> = dockerfile.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    assert_eq!(lines[last], "FROM scratch");
    let instruction = |name: &str| -> &str {
        let found = lines[last..].iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {name} in the Dockerfile"))
    };
    let words = |name: &str| -> Value { serde_json::from_str(instruction(name)).unwrap() };
    assert_eq!(config["User"], instruction("USER"));
    assert_eq!(config["Entrypoint"], words("ENTRYPOINT"));
    assert_eq!(config["Cmd"], words("CMD"));
    assert!(!config["ExposedPorts"][format!("{}/tcp", instruction("EXPOSE"))].is_null());
    for (name, value) in config["Labels"].as_object().unwrap() {
        // The revision is an argument there.
        let value = if name.ends_with(".revision") { "$REVISION" } else { value.as_str().unwrap() };
        assert!(dockerfile.contains(&format!("{name}=\"{value}\"")), "{name}={value}");
    }
}

#[test]
fn the_dockerfile_is_clean() {
    let tools = DistTools::from_environment().unwrap();
    run_ok(Command::new(tools.hadolint).args(["--failure-threshold", "style", DOCKERFILE]), TOOL_TIMEOUT)
        .unwrap();
}

#[test]
fn the_bill_of_materials_names_all_crates_of_the_binary() {
    let artifacts = artifacts();
    let tools = DistTools::from_environment().unwrap();
    let path = artifacts.bill_of_materials();
    run_ok(Command::new(tools.pyspdxtools).arg("--infile").arg(&path), TOOL_TIMEOUT).unwrap();

    let document: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let packages = document["packages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed: BTreeMap<String, &Value> = packages
        .iter()
        .map(|package| (format!("{}-{}", text(&package["name"]), text(&package["versionInfo"])), package))
        .collect();
    assert_eq!(listed.len(), packages.len());

    // Names that the compiler has left in the binary: files in which it may panic.
    let binary = fs::read(artifacts.root_filesystem().join("sni-probe")).unwrap();
    let left = crates_in(&binary);
    assert!(left.len() > 50, "{left:?}");
    let missing: Vec<&String> = left.iter().filter(|name| !listed.contains_key(*name)).collect();
    assert!(missing.is_empty(), "in the binary, and not in its bill: {missing:?}");
    // Of the BPF object, of C, and what none of the files above tells of.
    let has = |name: &str| packages.iter().any(|package| package["name"] == name);
    for name in
        ["sni-probe", "sni-probe-core", "sni-probe-ebpf", "aya-ebpf", "glibc", "rust-std", "ring", "zstd"]
    {
        assert!(has(name), "no {name}");
    }
    // What only runs while it is built, or is for tests.
    for name in ["proptest", "syn", "serde_derive", "system-tests", "cc"] {
        assert!(!has(name), "{name} is not in the binary");
    }

    let lock = fs::read_to_string(LOCK).unwrap();
    for package in packages {
        let purl = text(&package["externalRefs"][0]["referenceLocator"]);
        if purl.starts_with("pkg:cargo/") {
            let (name, version) = (text(&package["name"]), text(&package["versionInfo"]));
            let named = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            let locked = lock.split("\n\n").find(|locked| locked.contains(&named));
            let checksum = format!("checksum = \"{}\"", text(&package["checksums"][0]["checksumValue"]));
            assert!(
                locked.is_some_and(|locked| locked.contains(&checksum)),
                "not in Cargo.lock: {named}{checksum}"
            );
            assert_ne!(package["licenseDeclared"], "NOASSERTION", "{name}");
        }
    }
}

/// `name-version` of each file of a crate that the binary names: `/cargo/registry/src/<index>/<name-version>/…`.
fn crates_in(binary: &[u8]) -> BTreeSet<String> {
    const SOURCES: &[u8] = b"/cargo/registry/src/";
    let mut crates = BTreeSet::new();
    for (at, _) in binary.windows(SOURCES.len()).enumerate().filter(|(_, window)| *window == SOURCES) {
        let rest = &binary[at + SOURCES.len()..];
        let mut parts = rest.split(|byte| *byte == b'/');
        let name = parts.nth(1).unwrap_or_default();
        // Debug information of the BPF object ends names otherwise.
        if let Ok(name) = std::str::from_utf8(name)
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
            && name.contains('-')
        {
            crates.insert(name.to_owned());
        }
    }
    crates
}
