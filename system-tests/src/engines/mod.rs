//! Container engines that leave nothing of theirs on the machine.

mod podman;

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
pub use lab_interface::engines::{Engines, Release};

pub use self::podman::Podman;
use crate::cgroups;
use crate::netns::{Lab, NETNS_DIRECTORY};
use crate::process::Service;

const DEADLINE: Duration = Duration::from_secs(10);

/// Keeps the namespaces open. Engines write to /run whatever their options say. crun refuses a hierarchy of version 2 beside those of version 1.
const HOLD: &str = "
mount -t tmpfs tmpfs /run
if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi
echo ready
exec sleep infinity
";

/// A mount namespace for engines, in the network namespace of the lab's gateway. What they mount goes with it, and so
/// do their processes and control groups.
#[derive(Debug)]
pub struct Sandbox<'lab> {
    holder: Service,
    lab: &'lab Lab,
}

impl<'lab> Sandbox<'lab> {
    /// Makes it.
    ///
    /// # Errors
    /// When this process is not root.
    pub fn new(lab: &'lab Lab) -> Result<Self> {
        // Not `ip netns exec`, which mounts a /sys without control groups.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={NETNS_DIRECTORY}/{}", lab.gateway.name()));
        command.args(["unshare", "--mount", "--propagation", "private", "sh", "-e", "-c", HOLD]);
        let mut holder = Service::start("sandbox", &mut command, lab.directory())?;
        let output = holder.stdout_path().to_owned();
        let is_ready = || std::fs::read_to_string(&output).is_ok_and(|text| text == "ready\n");
        holder.wait_for("the sandbox", DEADLINE, is_ready)?;
        Ok(Self { holder, lab })
    }

    /// The lab in which it is.
    pub const fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// A command in the sandbox, which keeps its pid.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.pid().to_string(), "--mount", "--net", "--"]).arg(program);
        command
    }

    /// The name of the control group in which containers are to be.
    pub fn control_group(&self) -> &'lab str {
        self.lab.gateway.name()
    }
}

impl Drop for Sandbox<'_> {
    fn drop(&mut self) {
        // Processes outside of the group are in the lab's namespace, and end with it at the latest.
        cgroups::remove(self.control_group());
    }
}
