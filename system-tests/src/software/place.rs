//! Where clients are: on this machine, in directories of their own, and in whole Debian releases.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::netns::{Lab, Namespace};
use crate::process::{Finished, run};

/// How long a client may take; it is ended with its children then. Some are daemons, which their script ends.
const CLIENT_SECONDS: &str = "15";
/// How long a version may take: that of Go's is that of a program which is built first.
const VERSION_SECONDS: &str = "240";
/// More than both: `timeout` ends a script with its children, and this would end `timeout`.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Enters a root; `/` is the machine's. The lab's files are on `/mnt` in it, and its names in `/etc/hosts`. The mounts are
/// those of the namespace that `ip netns exec` has made, and go with it.
const ENTER: &str = r#"
root=$1 script=$2
shift 2
if [ "$root" = / ]; then
    export FILES
    set -- env "$@"
else
    mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" || exit 125
    set -- env -i HOME=/tmp LANG=C.UTF-8 FILES=/mnt "$@"
fi
mount --bind "$FILES" "$root/mnt" || exit 125
[ ! -e "$FILES/hosts" ] || mount --bind "$FILES/hosts" "$root/etc/hosts" || exit 125
exec chroot "$root" "$@" sh -c "$script"
"#;
/// Where the programs of a Debian release are.
const DEBIAN_PATH: &str = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What might lead a client to elsewhere.
const PROXIES: [&str; 6] =
    ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// A place with programs.
#[derive(Debug, Clone)]
pub struct Place {
    /// `None`: the machine's own root.
    root: Option<PathBuf>,
    /// Looked into before `PATH`.
    first: Option<PathBuf>,
    name: String,
}

impl Place {
    /// This machine, with the programs of `first` before those of `PATH`.
    ///
    /// # Errors
    /// When `/etc/os-release` cannot be read.
    pub fn machine(first: Option<&Path>) -> Result<Self> {
        Ok(Self { root: None, first: first.map(Path::to_owned), name: system_name(Path::new("/"))? })
    }

    /// The system below `root`; `first` is a path in it.
    ///
    /// # Errors
    /// When its `/etc/os-release` cannot be read.
    pub fn below(root: &Path, first: Option<&Path>) -> Result<Self> {
        let (root, first) = (root.to_owned(), first.map(Path::to_owned));
        Ok(Self { name: system_name(&root)?, root: Some(root), first })
    }

    /// The system's name and version: `Debian 12`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the script prints first, if it ends well: the version of a program. `None`: the program is not there.
    ///
    /// # Errors
    /// When the script hangs.
    pub fn version(&self, lab: &Lab, script: &str) -> Result<Option<String>> {
        let finished = run(&mut self.command(lab, script, ("127.0.0.1", 9), VERSION_SECONDS)?, TIMEOUT)?;
        let first = finished.stdout.lines().next().unwrap_or("").trim().to_owned();
        Ok(Some(first).filter(|version| finished.success() && !version.is_empty()))
    }

    /// Runs the script in the lab's client namespace, with the gateway (an IPv4 address or a name, and a port) in `$HOST`,
    /// `$PORT` and `$AT` (both).
    ///
    /// # Errors
    /// When it cannot be run. What it ends with is in the result.
    pub fn run(&self, lab: &Lab, script: &str, gateway: (&str, u16)) -> Result<Finished> {
        run(&mut self.command(lab, script, gateway, CLIENT_SECONDS)?, TIMEOUT)
    }

    fn command(&self, lab: &Lab, script: &str, (host, port): (&str, u16), seconds: &str) -> Result<Command> {
        write_sources(lab)?;
        let port = port.to_string();
        let variables = [("AT", &*format!("{host}:{port}")), ("HOST", host), ("PORT", &*port)];
        Ok(self.command_in(&lab.client, lab, script, &variables, Some(seconds)))
    }

    /// Returns a command that runs the script of `sh` in a namespace of the lab. The lab's directory is `$FILES`, and on
    /// `/mnt` as well. After `seconds` the script is ended with its children; without them, the process that the script
    /// replaces itself by is the command's.
    pub fn command_in(
        &self,
        namespace: &Namespace,
        lab: &Lab,
        script: &str,
        variables: &[(&str, &str)],
        seconds: Option<&str>,
    ) -> Command {
        let mut command = namespace.command("sh");
        command.args(["-c", ENTER, "sh"]).arg(self.root.as_deref().unwrap_or(Path::new("/"))).arg(script);
        let mut path = OsString::from("PATH=");
        path.push(self.path(match self.root {
            Some(_) => DEBIAN_PATH.into(),
            None => std::env::var_os("PATH").unwrap_or_else(|| DEBIAN_PATH.into()),
        }));
        command.arg(path).args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        if let Some(seconds) = seconds {
            command.args(["timeout", "-k", "1", seconds]);
        }
        for proxy in PROXIES {
            command.env_remove(proxy);
        }
        command.env("FILES", lab.directory());
        command
    }

    fn path(&self, rest: OsString) -> OsString {
        let Some(first) = &self.first else { return rest };
        let mut path = first.clone().into_os_string();
        path.push(":");
        path.push(rest);
        path
    }
}

/// Puts the clients that come as source into the lab's directory.
fn write_sources(lab: &Lab) -> Result<()> {
    let sources = [
        ("Fetch.java", include_str!("Fetch.java")),
        ("fetch.go", include_str!("fetch.go")),
        ("mbedtls.c", include_str!("mbedtls.c")),
        ("starttls.py", include_str!("starttls.py")),
        ("wolfssl.c", include_str!("wolfssl.c")),
    ];
    for (name, source) in sources {
        let path = lab.path(name);
        if !path.exists() {
            fs::write(&path, source).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

/// `Debian 12`, of `NAME="Debian GNU/Linux"` and `VERSION_ID="12"`. Unstable has no `VERSION_ID`, and a `PRETTY_NAME` that
/// ends with `sid`.
fn system_name(root: &Path) -> Result<String> {
    let path = root.join("etc/os-release");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let value = |key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.map(|value| value.trim_matches('"'))
    };
    let Some(name) = value("NAME") else { bail!("{} has no NAME", path.display()) };
    let name = name.strip_suffix(" GNU/Linux").unwrap_or(name);
    let is_unstable = value("PRETTY_NAME").is_some_and(|name| name.ends_with("/sid"));
    let version = value("VERSION_ID").or(is_unstable.then_some("unstable"));
    Ok(format!("{name} {}", version.unwrap_or("")).trim().to_owned())
}
