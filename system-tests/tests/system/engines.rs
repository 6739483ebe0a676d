//! The image archive in real container engines: podman runs the daemon with the settings of the DaemonSet, the others
//! load the archive.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use system_tests::clients::{self, Target};
use system_tests::deploy::DeployTools;
use system_tests::dist::{Artifacts, IMAGE};
use system_tests::engines::{Engines, Podman, Release, Sandbox};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::manifests::{self, MANIFESTS};
use system_tests::probe::Probe;
use system_tests::process::{Service, run, run_ok};
use system_tests::{CLIENT_V4, GATEWAY_INTERFACE, GATEWAY_V4, Lab, SERVER_NAME, cgroups};

use crate::expected::answered;
use crate::site::{TIMEOUT, assert_bare};

/// The registry and the directory of an image that names neither.
const FULL_NAME: &str = "docker.io/library/";
const TOOL_TIMEOUT: Duration = Duration::from_mins(1);
/// Bits of capabilities in `/proc/PID/status` (capabilities(7)).
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

fn archive() -> String {
    Artifacts::from_environment().unwrap().image().display().to_string()
}

/// The pod of the manifests, as `kubectl` makes it of them with these components.
fn pod(components: &[&str]) -> Value {
    let scratch = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    manifests::copy_directory(&root.join(MANIFESTS), &scratch.path().join("kubernetes")).unwrap();
    let overlay = scratch.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    let components: Vec<String> = components.iter().map(|name| format!("../kubernetes/{name}")).collect();
    let file = json!({ "resources": ["../kubernetes"], "components": components });
    fs::write(overlay.join("kustomization.yaml"), file.to_string()).unwrap();
    let mut command = Command::new(DeployTools::from_environment().unwrap().kubectl);
    let text = run_ok(command.arg("kustomize").arg(&overlay), TOOL_TIMEOUT).unwrap();
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let daemon_set = objects.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
    daemon_set["spec"]["template"]["spec"].clone()
}

/// A lab whose gateway has a default route, which says what interface to observe.
fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    lab.gateway.ip(&format!("route add default via {CLIENT_V4}")).unwrap();
    lab
}

/// The gateway's interface is a veth, which the daemon takes for the host's end of a pod's without this setting. The one setting
/// that the DaemonSet has not.
const AS_A_NIC: [&str; 2] = ["--env", "SNI_PROBE_ORIENTATION=nic"];

/// Ends an engine, or the container that it runs, and gives the exit code.
fn end(service: &mut Service) -> i32 {
    service.signal(Signal::SIGTERM).unwrap();
    service.wait(TIMEOUT).unwrap()
}

#[test]
fn podman_runs_the_daemon_set_with_each_seccomp_profile() {
    let lab = lab();
    let engines = Engines::from_environment().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let sandbox = Sandbox::new(&lab).unwrap();
    let podman = Podman::new(&sandbox).unwrap();
    podman.run_ok(&["load", "--quiet", "--input", &archive()]).unwrap();

    let cases = [
        (pod(&[]), BPF | NET_ADMIN | PERFMON, Some(Release::Bookworm)),
        (pod(&["af-packet"]), NET_RAW, None),
    ];
    for (pod, capabilities, refused_by) in cases {
        for release in Release::ALL {
            let profile = engines.seccomp_profile(release);
            let mut command = podman.run_pod(&pod, &profile, &AS_A_NIC).unwrap();
            if refused_by == Some(release) {
                let finished = run(&mut command, TOOL_TIMEOUT).unwrap();
                assert_eq!(finished.code, 2, "{finished:?}");
                assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
                for part in ["seccomp profile", "bpf(2)", "--capture af-packet"] {
                    assert!(finished.stderr.contains(part), "{}", finished.stderr);
                }
            } else {
                let mut probe = Probe::start_by_complete(&lab, command).unwrap();
                probe.wait_ready().unwrap();
                assert_settings(&podman, &lab, &pod, capabilities);
                assert_counts(&lab, &probe);
                assert_eq!(end(probe.service()), 0, "{}", release.name());
            }
            assert_bare(&lab.gateway, GATEWAY_INTERFACE);
            let sockets = lab.gateway.run_in_thread(|| fs::read_to_string("/proc/thread-self/net/packet"));
            assert_eq!(sockets.unwrap().unwrap().lines().count(), 1, "packet sockets are left");
            assert_eq!(podman.run_ok(&["ps", "--all", "--quiet"]).unwrap(), "");
        }
    }
    drop(envoy);
    let group = sandbox.control_group();
    assert_ne!(cgroups::directories(group), [] as [&Path; 0]);
    drop(sandbox);
    assert_eq!(cgroups::directories(group), [] as [&Path; 0]);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(lab.directory().to_str().unwrap()), "{mounts}");
}

/// What the kernel says of the container's process is what the pod asks for.
#[track_caller]
fn assert_settings(podman: &Podman<'_>, lab: &Lab, pod: &Value, capabilities: u64) {
    let id = podman.run_ok(&["ps", "--quiet"]).unwrap();
    let pid = podman.run_ok(&["inspect", "--format", "{{.State.Pid}}", id.trim()]).unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();

    let status = read("status");
    let field = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    };
    assert_eq!(u64::from_str_radix(&field("CapBnd:"), 16).unwrap(), capabilities);
    assert_eq!(field("NoNewPrivs:"), "1");
    // SECCOMP_MODE_FILTER.
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("Uid:"), "0\t0\t0\t0");

    let mounts = read("mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).unwrap();
    assert!(root.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"), "{root}");
    let limit = pod["containers"][0]["resources"]["limits"]["memory"].as_str().unwrap();
    let mebibytes: u64 = limit.strip_suffix("Mi").unwrap().parse().unwrap();
    assert_eq!(cgroups::memory_limit(pid), Some(mebibytes << 20));

    let namespace = |process: &str| fs::metadata(format!("/proc/{process}/ns/net")).unwrap().ino();
    assert_eq!(namespace(&pid.to_string()), lab.gateway.run_in_thread(|| namespace("thread-self")).unwrap());
}

/// curl sends three hellos, two of them without SNI, which Envoy resets: as many are counted, and no others.
#[track_caller]
fn assert_counts(lab: &Lab, probe: &Probe<'_>) {
    for name in [None, Some(SERVER_NAME), None] {
        let finished = clients::curl(lab, Target::https(GATEWAY_V4, name), &[]).unwrap();
        assert_eq!(finished.success(), name.is_some(), "{name:?}: {}", finished.stderr);
    }
    let total = "sni_probe_handshakes_total";
    let metrics = probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(total, &[]) >= 3).unwrap();
    let reset = [("sni", "absent"), ("outcome", "reset_by_gateway")];
    assert_eq!(metrics.count(total, &reset), 2);
    assert_eq!(answered(&metrics, &[("sni", "present")]), 1);
    assert_eq!(metrics.count(total, &[]), 3);
    assert_eq!(metrics.count("sni_probe_client_hellos_total", &[]), 3);
}

#[test]
fn containerd_imports_the_archive() {
    let lab = Lab::new().unwrap();
    let sandbox = Sandbox::new(&lab).unwrap();
    let directory = Engines::from_environment().unwrap().containerd();
    let configuration = lab.path("config.toml");
    fs::write(&configuration, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n").unwrap();
    let socket = lab.path("containerd.sock");
    let mut command = sandbox.command(directory.join("containerd"));
    command.arg("--config").arg(configuration).arg("--address").arg(&socket);
    command.arg("--root").arg(lab.path("root")).arg("--state").arg(lab.path("state"));
    let mut containerd = Service::start("containerd", &mut command, lab.directory()).unwrap();
    containerd.wait_for("containerd", TIMEOUT, || socket.exists()).unwrap();

    let ctr = |words: &[&str]| {
        let mut command = sandbox.command(directory.join("ctr"));
        command.arg("--address").arg(&socket).args(words);
        run_ok(&mut command, TOOL_TIMEOUT).unwrap()
    };
    let said = ctr(&["images", "import", &archive()]);
    assert!(said.contains(&format!("unpacking {FULL_NAME}{IMAGE}")), "{said}");
    assert_eq!(ctr(&["images", "list", "--quiet"]), format!("{FULL_NAME}{IMAGE}\n"));
    // All blobs are there.
    let check = ctr(&["images", "check"]);
    assert!(check.contains("complete (2/2)"), "{check}");
}

/// Both stores of images that Docker has: its own, and containerd's.
#[test]
fn docker_loads_the_archive() {
    let lab = Lab::new().unwrap();
    let sandbox = Sandbox::new(&lab).unwrap();
    let [programs, daemons, runc] = Engines::from_environment().unwrap().docker();
    let path = env::var_os("PATH").unwrap();
    let directories = [runc, programs.clone(), daemons.clone()].into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(directories).unwrap();
    for is_of_containerd in [false, true] {
        let name = if is_of_containerd { "containerd-store" } else { "classic-store" };
        let directory = lab.path(name);
        fs::create_dir(&directory).unwrap();
        let features = json!({ "features": { "containerd-snapshotter": is_of_containerd } });
        fs::write(directory.join("daemon.json"), features.to_string()).unwrap();
        let host = format!("unix://{}", directory.join("socket").display());
        let mut command = sandbox.command(daemons.join("dockerd"));
        command.env("PATH", &path).args(["--host", &host]);
        for (option, file) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(directory.join(file));
        }
        command.args(["--group", "root", "--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        let mut dockerd = Service::start(name, &mut command, lab.directory()).unwrap();
        let docker = |words: &[&str]| {
            let mut command = sandbox.command(programs.join("docker"));
            command.args(["--host", &host]).args(words);
            run(&mut command, TOOL_TIMEOUT).unwrap()
        };
        dockerd.wait_for("dockerd", TIMEOUT, || docker(&["version"]).success()).unwrap();

        let loaded = docker(&["load", "--input", &archive()]);
        assert_eq!(loaded.stdout.trim(), format!("Loaded image: {IMAGE}"), "{name}: {loaded:?}");
        let format = "{{.Driver}} {{json .DriverStatus}}";
        let store = docker(&["info", "--format", format]).stdout;
        assert_eq!(store.contains("io.containerd.snapshotter"), is_of_containerd, "{store}");
        let image = docker(&["image", "inspect", "--format", "{{json .Config}}", IMAGE]);
        let image: Value =
            serde_json::from_str(&image.stdout).unwrap_or_else(|error| panic!("{error}: {image:?}"));
        assert_eq!(image["Entrypoint"], json!(["/sni-probe"]));
        assert_eq!(end(&mut dockerd), 0, "{name}");
    }
}
