//! The few steps that need root.

use std::ffi::OsStr;
use std::process::Command;

use nix::unistd::Uid;

use crate::tools;

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// A command that runs as root with these variables: as it is when we are root, else through sudo.
/// sudo clears the environment and may forbid setting it, so `env` sets the variables.
pub(crate) fn command<'a>(
    program: impl AsRef<OsStr>,
    variables: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
) -> Command {
    if is_root() {
        let mut command = Command::new(program);
        command.envs(variables);
        return command;
    }
    let mut command = Command::new("sudo");
    command.arg("env");
    for (name, value) in variables {
        let mut assignment = std::ffi::OsString::from(name);
        assignment.push("=");
        assignment.push(value);
        command.arg(assignment);
    }
    command.arg(program);
    command
}

/// Shows the command line when it is sudo's: the user shall know what the password is for.
pub(crate) fn announce(command: &Command) {
    if !is_root() {
        tools::progress(&tools::show(command));
    }
}
