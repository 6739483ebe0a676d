//! The first process of a virtual machine that runs another kernel: a gateway that resets, clients without SNI, and
//! sni-probe. `cargo xtask vm-test` puts it into an initial ram disk.
//!
//! The kernel's command line names the test (`sni_probe.guest=daemon` or `visibility`) and says what is expected
//! (`sni_probe.modes=tcx,clsact sni_probe.capabilities=bpf,net_admin`). The console takes the answer: one line of JSON.

mod topologies;
mod visibility;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use serde_json::{Value, json};
use sni_probe_capture::programs::{CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT, Programs};
use sni_probe_datapath::tunnel::Tunnels;
use system_tests::probe::{HTTP_PORT, PROBE_VARIABLE, Probe};
use system_tests::process::run_ok;
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::virtual_machine::{ANSWER, GUEST_VARIABLE, Guest};
use system_tests::{GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6, Lab};

const PORT: u16 = 443;
/// For all that takes a moment on a machine that is emulated.
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> Result<()> {
    if std::process::id() != 1 {
        bail!("this is the first process of a virtual machine; `cargo xtask vm-test` makes one");
    }
    // A panic of the first process is one of the kernel: the cause shall stand before it.
    let answer = std::panic::catch_unwind(run).unwrap_or_else(|_| bail!("a panic; see above"));
    let answer = answer.unwrap_or_else(|error| json!({ "error": format!("{error:?}") }));
    println!("\n{ANSWER}{answer}");
    // With `-no-reboot` this ends the machine.
    reboot(RebootMode::RB_AUTOBOOT)?;
    Ok(())
}

fn run() -> Result<Value> {
    mount_file_systems()?;
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let parameter = |name: &str| {
        let mut words = command_line.split_whitespace().filter_map(|word| word.split_once('='));
        let found = words.find_map(|(found, value)| (found == name).then(|| value.to_owned()));
        found.with_context(|| format!("no {name} on the kernel's command line"))
    };
    let guest = parameter(GUEST_VARIABLE)?;
    let guest = Guest::from_name(&guest).with_context(|| format!("no test is called {guest}"))?;
    load_modules(guest)?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    match guest {
        Guest::Daemon => {
            test_daemon(&release, &parameter("sni_probe.modes")?, &parameter("sni_probe.capabilities")?)
        }
        Guest::Visibility => Ok(json!({ "release": release, "rows": visibility::rows()? })),
    }
}

/// The daemon attaches in each of the modes. The first is the one that it chooses.
fn test_daemon(release: &str, modes: &str, capabilities: &str) -> Result<Value> {
    let site = Site::new()?;
    let mut runs = Vec::new();
    for (index, mode) in modes.split(',').enumerate() {
        let options = if index == 0 { "--capture tc".to_owned() } else { format!("--attach {mode}") };
        runs.push(site.assert_works(&options, capabilities, mode).context(options)?);
    }
    let (missing, _) = capabilities.split_once(',').unwrap_or((capabilities, ""));
    site.assert_refuses(capabilities, missing).context("with a capability missing")?;
    let options = "--capture af-packet";
    runs.push(site.assert_works(options, "net_raw", "af_packet").context(options)?);
    Ok(json!({ "release": release, "programs": programs()?, "runs": runs }))
}

/// Mounts the kernel's file systems, and makes the names of busybox's programs.
fn mount_file_systems() -> Result<()> {
    for (kind, at) in
        [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run"), ("tmpfs", "/tmp")]
    {
        fs::create_dir_all(at)?;
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("mounting {at}"))?;
    }
    let busybox = Path::new("/bin/busybox");
    for name in ["sh", "insmod"] {
        symlink(busybox, Path::new("/bin").join(name))?;
    }
    Ok(())
}

/// Loads the modules in the order of their names: each depends on earlier ones only.
fn load_modules(guest: Guest) -> Result<()> {
    let mut modules = fs::read_dir("/modules")?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    modules.sort();
    for module in modules {
        let loaded = run_ok(Command::new("/bin/insmod").arg(module), PATIENCE);
        match guest {
            Guest::Daemon => drop(loaded?),
            // The table says which devices are missing.
            Guest::Visibility => drop(loaded.inspect_err(|error| println!("{error:?}"))),
        }
    }
    Ok(())
}

/// Instructions of the programs, as this kernel's verifier took them from one who may do everything.
fn programs() -> Result<Value> {
    let mut programs = Programs::load(&[PORT], Tunnels::NONE, true)?;
    let counts = [CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT].map(|name| -> Result<Value> {
        let info = programs.program(name)?.info()?;
        Ok(json!({
            "program": name,
            "instructions": info.size_translated().map(|bytes| bytes / 8),
            "verified": info.verified_instruction_count(),
        }))
    });
    counts.into_iter().collect()
}

/// Instructions of each classifier that is loaded, in the order of loading, as the verifier took them from the daemon.
/// `null` before Linux 5.16.
fn verified_instructions() -> Result<Value> {
    /// `BPF_PROG_TYPE_SCHED_CLS` of linux/bpf.h.
    const SCHED_CLS: u32 = 3;
    let mut counts = Vec::new();
    for program in loaded_programs() {
        let program = program?;
        if program.program_type() as u32 == SCHED_CLS {
            counts.push(json!(program.verified_instruction_count()));
        }
    }
    Ok(counts.into())
}

struct Site {
    _gateway: ResettingGateway,
    lab: Lab,
}

impl Site {
    fn new() -> Result<Self> {
        let lab = Lab::new()?;
        Ok(Self { _gateway: ResettingGateway::start(&lab.gateway, PORT)?, lab })
    }

    /// Starts the daemon as a user that has these capabilities and no others.
    fn start(&self, options: &str, capabilities: &str) -> Result<Probe<'_>> {
        let granted = capabilities.replace(',', ",+");
        let mut command = self.lab.gateway.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        for set in ["inh-caps", "ambient-caps", "bounding-set"] {
            command.arg(format!("--{set}=-all,+{granted}"));
        }
        command.arg(std::env::var_os(PROBE_VARIABLE).context("the daemon's path")?);
        let always = ["-i", GATEWAY_INTERFACE, "--orientation", "nic"];
        let options: Vec<&str> = always.into_iter().chain(options.split(' ')).collect();
        Probe::start_by(&self.lab, command, HTTP_PORT, &options)
    }

    /// It attaches in this mode, counts hellos without SNI and their resets, and leaves nothing behind.
    fn assert_works(&self, options: &str, capabilities: &str, mode: &str) -> Result<Value> {
        let mut probe = self.start(options, capabilities)?;
        let result = self.watch_it(&mut probe, mode);
        let (verified, hellos) = result.with_context(|| format!("it says:\n{}", probe.service().stderr()))?;
        Ok(json!({
            "options": options,
            "capabilities": capabilities,
            "mode": mode,
            "verified": verified,
            "hellos": hellos,
            "detached": true,
        }))
    }

    /// Gives the verified instructions of the programs that it loaded, and the number of hellos that it counted.
    fn watch_it(&self, probe: &mut Probe<'_>, mode: &str) -> Result<(Value, u64)> {
        probe.wait_ready()?;
        let verified = verified_instructions()?;
        let labels = [("interface", GATEWAY_INTERFACE), ("mode", mode)];
        let attached = probe.metrics()?.count("sni_probe_attached", &labels);
        ensure!(attached == 2, "{attached} programs attached by way of {mode}, not 2");
        for address in [GATEWAY_V4, GATEWAY_V6] {
            send_hello(&self.lab.client, (address, PORT).into())?;
        }
        let reset = [("sni", "absent"), ("outcome", "reset_by_gateway")];
        let metrics = probe
            .wait_for_metrics(PATIENCE, |metrics| metrics.count("sni_probe_handshakes_total", &reset) >= 2)?;
        let hellos = metrics.count("sni_probe_client_hellos_total", &[]);
        ensure!(hellos == 2, "{hellos} hellos counted, not 2");
        let lost = [("interface", GATEWAY_INTERFACE), ("change", "lost")];
        let lost = metrics.count("sni_probe_interface_changes_total", &lost);
        ensure!(lost == 0, "the interface was lost {lost} times");
        let exit = probe.stop()?;
        ensure!(exit == 0, "exit code {exit}");
        self.assert_bare()?;
        Ok((verified, hellos))
    }

    /// It says in one line what it lacks.
    fn assert_refuses(&self, capabilities: &str, missing: &str) -> Result<()> {
        let others: Vec<&str> = capabilities.split(',').filter(|capability| *capability != missing).collect();
        let mut probe = self.start("--capture tc", &others.join(","))?;
        let exit = probe.service().wait(PATIENCE)?;
        let said = probe.service().stderr();
        let name = format!("CAP_{}", missing.to_uppercase());
        ensure!(exit == 2 && said.contains(&name) && said.lines().count() == 1, "exit code {exit}: {said}");
        self.assert_bare()
    }

    /// No program, filter or qdisc is on the gateway's interface.
    fn assert_bare(&self) -> Result<()> {
        for hook in [TcAttachType::Ingress, TcAttachType::Egress] {
            let query = || SchedClassifier::query_tcx(GATEWAY_INTERFACE, hook);
            // Kernels without TCX do not know the question.
            if let Ok((_, programs)) = self.lab.gateway.run_in_thread(query)? {
                ensure!(programs.is_empty(), "programs are left on {hook:?}");
            }
        }
        let mut command = self.lab.gateway.command("tc");
        let qdiscs = run_ok(command.args(["qdisc", "show", "dev", GATEWAY_INTERFACE]), PATIENCE)?;
        ensure!(!qdiscs.contains("clsact"), "a qdisc is left: {qdiscs}");
        Ok(())
    }
}
