//! A virtual machine: how it is started, and what it says at its end.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use lab_interface::PROBE_VARIABLE;
use lab_interface::dist::Architecture;
use lab_interface::virtual_machine::{ANSWER, GUEST_VARIABLE, Guest, LINKS, Side, mac_address};
use serde_json::Value;

use super::image;
use super::kernel::Kernel;
use crate::setup;
use crate::tools::find;

/// What a machine may take, without hardware that helps, on a host that is busy.
const DEADLINE: Duration = Duration::from_mins(6);

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) architecture: Architecture,
    pub(super) kernel: Kernel,
    pub(super) guest: Guest,
}

impl Machine {
    /// Its name for people: `Linux 6.12 (arm64, daemon)`.
    pub(super) fn title(self) -> String {
        format!("Linux {} ({}, {})", self.kernel.series(), self.architecture.name(), self.guest.name())
    }

    /// Runs it to its end, or to the deadline. Its console goes to `log`.
    pub(super) fn boot(self, image: &Path, initramfs: &Path, log: &Path) -> Result<()> {
        let program = find(setup::emulator(self.architecture));
        let mut command = Command::new(program.context("qemu is not installed; run: cargo xtask setup")?);
        command.args(self.hardware());
        command.args(["-smp", "2", "-m", "1536"]);
        command.args(["-nographic", "-no-reboot", "-nic", "none", "-nodefaults", "-serial", "stdio"]);
        if self.guest == Guest::Visibility {
            command.args((0..LINKS).flat_map(network_cards));
        }
        command.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
        command.arg("-append").arg(self.command_line());
        let console = File::create(log)?;
        command.stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        let mut machine = command.spawn().context("starting qemu")?;
        let deadline = Instant::now() + DEADLINE;
        while machine.try_wait()?.is_none() {
            if Instant::now() > deadline {
                machine.kill()?;
                machine.wait()?;
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Emulated: KVM is seldom to be had where tests run, and half of it where machines are virtual themselves.
    const fn hardware(self) -> &'static [&'static str] {
        match self.architecture {
            Architecture::Amd64 => &["-accel", "tcg,thread=multi", "-cpu", "max"],
            // The architecture's own algorithm of pointer authentication is slow to emulate.
            Architecture::Arm64 => {
                &["-machine", "virt", "-accel", "tcg,thread=multi", "-cpu", "max,pauth-impdef=on"]
            }
        }
    }

    /// The kernel's command line, which the guest reads too.
    fn command_line(self) -> String {
        let console = match self.architecture {
            Architecture::Amd64 => "ttyS0",
            Architecture::Arm64 => "ttyAMA0",
        };
        format!(
            "console={console} panic=-1 loglevel=4 PATH=/bin {PROBE_VARIABLE}={} {GUEST_VARIABLE}={} \
             sni_probe.modes={} sni_probe.capabilities={}",
            image::SNI_PROBE,
            self.guest.name(),
            self.kernel.modes().join(","),
            self.kernel.capabilities(),
        )
    }
}

/// Two network cards on a hub of their own. Veth pairs would not do for NICs: `--orientation auto` takes those for pods'.
fn network_cards(link: u8) -> impl Iterator<Item = String> {
    [Side::Node, Side::Client].into_iter().flat_map(move |side| {
        let id = format!("link{link}-{side:?}");
        let card = format!("virtio-net-pci,netdev={id},mac={},romfile=", mac_address(link, side));
        ["-netdev".to_owned(), format!("hubport,id={id},hubid={link}"), "-device".to_owned(), card]
    })
}

/// Returns the guest's answer on its console, or why there is none.
pub(super) fn answer(log: &Path) -> Result<Result<Value, String>> {
    let console = fs::read(log)?;
    let console = String::from_utf8_lossy(&console);
    let answer = console.lines().find_map(|line| line.trim().strip_prefix(ANSWER));
    let Some(answer) = answer else {
        let last: Vec<&str> = console.lines().rev().take(30).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Ok(Err(format!("no answer from the machine; its console ({}):\n{last}", log.display())));
    };
    let answer: Value = serde_json::from_str(answer).context("the guest's answer")?;
    if let Some(error) = answer["error"].as_str() {
        return Ok(Err(format!("{error}\n(console: {})", log.display())));
    }
    Ok(Ok(answer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_console_says() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let answered = |text: &str| {
            fs::write(&log, text).unwrap();
            answer(&log).unwrap()
        };
        assert!(answered("Kernel panic\n").unwrap_err().contains("Kernel panic"));
        let error = "noise\nSNI-PROBE-VM-TEST {\"error\":\"no such file\"}\r\n";
        assert!(answered(error).unwrap_err().starts_with("no such file"));
        assert_eq!(answered("SNI-PROBE-VM-TEST {\"runs\":[]}\n").unwrap(), json!({ "runs": [] }));
    }
}
