//! Network namespaces with names of our own, and the veth pair between them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::certificate::{Algorithm, Certificate};
use crate::cgroups;
use crate::process::run_ok;
use crate::{CLIENT_INTERFACE, CLIENT_V4, CLIENT_V6, GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6};

/// All names of namespaces, control groups and temporary directories begin so; the pid of their owner follows.
const PREFIX: &str = "snip-";
/// Where iproute2 keeps its named namespaces.
pub(crate) const NETNS_DIRECTORY: &str = "/run/netns";
/// The gateway's end of the link to the machine's own namespace.
const HOST_LINK: &str = "host0";
/// How long one ip or ethtool command may take.
const TOOL_TIMEOUT: Duration = Duration::from_secs(10);

static NEXT: AtomicU32 = AtomicU32::new(0);

fn unique_name(role: &str) -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}-{role}", std::process::id())
}

/// A network namespace, deleted when it is dropped, after a panic as well.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes `snip-<pid>-<n>-<role>` with its loopback up.
    ///
    /// # Errors
    /// When this process may not (it takes root) or iproute2 is missing.
    pub fn new(role: &str) -> Result<Self> {
        let name = unique_name(role);
        run_ok(Command::new("ip").args(["netns", "add", &name]), TOOL_TIMEOUT)
            .context("making a network namespace (needs root and iproute2)")?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command inside the namespace. `ip netns exec` replaces itself by the program, so the
    /// child's pid is the program's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// `ip -n <namespace> <words>`, and what it prints.
    ///
    /// # Errors
    /// When ip fails.
    pub fn ip(&self, words: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(words.split_whitespace());
        run_ok(&mut command, TOOL_TIMEOUT)
    }

    /// Runs a closure on a thread of its own that has entered the namespace. A socket made there
    /// stays in the namespace, whoever uses it later.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    /// With the closure's panic.
    pub fn run_in_thread<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = Path::new(NETNS_DIRECTORY).join(&self.name);
        let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        let worker = move || -> Result<T> {
            setns(file, CloneFlags::CLONE_NEWNET).context("entering the namespace")?;
            Ok(work())
        };
        thread::scope(|scope| match scope.spawn(worker).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// [`http_get`] from inside the namespace.
    ///
    /// # Errors
    /// As [`http_get`].
    pub fn http_get(&self, address: SocketAddr, path: &str) -> Result<(u16, String)> {
        self.run_in_thread(|| http_get(address, path))?
    }
}

/// `GET http://<address><path>`: status and body.
///
/// # Errors
/// When no server answers. A status of 4xx or 5xx is an answer.
pub fn http_get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let url = format!("http://{address}{path}");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TOOL_TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut response = agent.get(&url).call().with_context(|| format!("GET {url}"))?;
    let body = response.body_mut().read_to_string().with_context(|| format!("GET {url}"))?;
    Ok((response.status().as_u16(), body))
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Ends what still runs in the namespace (its name says that we started it) and deletes it.
fn remove(name: &str) {
    // Not `run`, which gives up after Ctrl-C; in a process group of their own, so that a second
    // Ctrl-C does not stop them either.
    let ip = |words: &[&str]| Command::new("ip").args(words).process_group(0).output();
    let pids = ip(&["netns", "pids", name]).map(|output| output.stdout).unwrap_or_default();
    for pid in String::from_utf8_lossy(&pids).split_whitespace() {
        if let Ok(pid) = pid.parse() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
    // The kernel would remove it as well, but some time after the namespace.
    ip(&["-n", name, "link", "delete", HOST_LINK]).ok();
    ip(&["netns", "delete", name]).ok();
}

/// Removes namespaces and control groups, with what still runs in them, and directories of runs that
/// died before they could clean up. Those of runs that live are left alone.
pub fn sweep() {
    for name in orphans(Path::new(NETNS_DIRECTORY)) {
        remove(&name);
    }
    for name in cgroups::hierarchies().iter().flat_map(|hierarchy| orphans(hierarchy)) {
        cgroups::remove(&name);
    }
    let temporary = std::env::temp_dir();
    for name in orphans(&temporary) {
        fs::remove_dir_all(temporary.join(name)).ok();
    }
}

fn orphans(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| owner(name).is_some_and(|pid| !Path::new("/proc").join(pid).exists())).collect()
}

/// The pid in `snip-<pid>-…`.
fn owner(name: &str) -> Option<&str> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then_some(pid)
}

/// A gateway's namespace, a client's, the veth pair between them and a directory for their files.
///
/// Make the gateway and the probe after the lab, so that they are dropped before it.
#[derive(Debug)]
pub struct Lab {
    /// Where the gateway and sni-probe run.
    pub gateway: Namespace,
    /// Where the clients run.
    pub client: Namespace,
    directory: TempDir,
}

impl Lab {
    /// Makes the two namespaces and connects them. Offloads are as the kernel sets them (on), so
    /// large writes cross the veth as one packet; see [`Lab::set_offloads`].
    ///
    /// # Errors
    /// When this process is not root, or iproute2 is missing.
    pub fn new() -> Result<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let gateway = Namespace::new("gw")?;
        let client = Namespace::new("cl")?;
        let directory = tempfile::Builder::new()
            .prefix(&format!("{}-", unique_name("lab")))
            .tempdir()
            .context("making the lab's directory")?;
        let lab = Self { gateway, client, directory };
        lab.connect()?;
        Ok(lab)
    }

    /// Makes the veth pair with its addresses. [`Lab::new`] has done it; this is for a test that has
    /// deleted the pair since.
    ///
    /// # Errors
    /// When ip fails, for instance because the pair is there.
    pub fn connect(&self) -> Result<()> {
        let peer = self.client.name();
        self.gateway.ip(&format!(
            "link add {GATEWAY_INTERFACE} type veth peer name {CLIENT_INTERFACE} netns {peer}"
        ))?;
        let ends = [
            (&self.gateway, GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6),
            (&self.client, CLIENT_INTERFACE, CLIENT_V4, CLIENT_V6),
        ];
        for (namespace, interface, v4, v6) in ends {
            namespace.ip(&format!("address add {v4}/24 dev {interface}"))?;
            // No duplicate address detection: the address is usable at once.
            namespace.ip(&format!("address add {v6}/64 dev {interface} nodad"))?;
            namespace.ip(&format!("link set {interface} up"))?;
        }
        Ok(())
    }

    /// The directory for configurations and logs; it goes with the lab.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the lab's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// A self-signed ECDSA certificate for `name`, made at the first call.
    ///
    /// # Errors
    /// When openssl fails.
    pub fn certificate(&self, name: &str) -> Result<Certificate> {
        Certificate::create(self.directory(), name, Algorithm::Ecdsa)
    }

    /// Turns segmentation and receive offloads of both ends on or off. With them off, a packet on
    /// the veth is never larger than the MTU.
    ///
    /// # Errors
    /// When ethtool fails.
    pub fn set_offloads(&self, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        for (namespace, interface) in [(&self.gateway, GATEWAY_INTERFACE), (&self.client, CLIENT_INTERFACE)] {
            let mut command = namespace.command("ethtool");
            command.args(["-K", interface]);
            // GRO is off on a veth unless asked for; with it on, the receiver merges what TSO off split.
            command.args(["tso", state, "gso", state, "gro", "off"]);
            run_ok(&mut command, TOOL_TIMEOUT)?;
        }
        Ok(())
    }

    /// Sets the MTU of both ends, in bytes.
    ///
    /// # Errors
    /// When ip fails.
    pub fn set_mtu(&self, bytes: u32) -> Result<()> {
        self.gateway.ip(&format!("link set {GATEWAY_INTERFACE} mtu {bytes}"))?;
        self.client.ip(&format!("link set {CLIENT_INTERFACE} mtu {bytes}"))?;
        Ok(())
    }

    /// Connects the gateway's namespace with the machine's own, so that a browser or Prometheus of
    /// the machine reaches `/metrics`. Gives the gateway's address on that link.
    ///
    /// # Errors
    /// When ip fails, or all of 10.77.1.0 to 10.77.250.0 are taken.
    pub fn link_host(&self) -> Result<Ipv4Addr> {
        // Two labs of one process must not find the same subnet free.
        static LOCK: Mutex<()> = Mutex::new(());
        let _guard = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = run_ok(Command::new("ip").args(["-4", "-oneline", "address"]), TOOL_TIMEOUT)?;
        let subnet = (1..=250).find(|subnet| !taken.contains(&format!(" 10.77.{subnet}.")));
        let Some(subnet) = subnet else { bail!("no free subnet in 10.77.0.0/16") };
        let gateway = self.gateway.name();
        // Interface names have at most 15 characters.
        let host = format!("snip{}s{subnet}", std::process::id());
        for words in [
            format!("link add {host} type veth peer name {HOST_LINK} netns {gateway}"),
            format!("address add 10.77.{subnet}.2/24 dev {host}"),
            format!("link set {host} up"),
        ] {
            run_ok(Command::new("ip").args(words.split_whitespace()), TOOL_TIMEOUT)?;
        }
        let address = Ipv4Addr::new(10, 77, subnet, 1);
        self.gateway.ip(&format!("address add {address}/24 dev {HOST_LINK}"))?;
        self.gateway.ip(&format!("link set {HOST_LINK} up"))?;
        Ok(address)
    }
}

/// Whether somebody listens on this port of the namespace's loopback.
pub fn listens(namespace: &Namespace, port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
    namespace.run_in_thread(connect).unwrap_or(false)
}

/// The same without a connection, for a server that serves the first one only.
pub fn listens_by_table(namespace: &Namespace, port: u16) -> bool {
    // Hexadecimal address and port, "0A" for a socket that listens (Linux, proc_net_tcp).
    let is_it = |line: &str| line.contains(&format!(":{port:04X} ")) && line.contains(" 0A ");
    let read = || ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")));
    let tables = namespace.run_in_thread(read);
    tables.is_ok_and(|tables| tables.into_iter().flatten().any(|table| table.lines().any(is_it)))
}

/// The part of an address that `curl` and `openssl` want: IPv6 in brackets.
pub fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
