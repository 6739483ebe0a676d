//! sni-probe: sees the TLS clients that connect to a gateway without SNI, and what becomes of them.
#![forbid(unsafe_code)]

mod cli;
mod logging;
mod watch;

use std::process::ExitCode;

use sni_probe_playbook::{check, collect, diagnose, logs, replay, routes};

/// Nothing was done, for the reason on stderr: see the exit codes in `--help`.
const COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            sni_probe_terminal::report(&format!("{error:#}"));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn dispatch(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    // A log would be written across the screen of `watch`.
    if !matches!(&cli.command, cli::Command::Watch(options) if watch::takes_over_stderr(options)) {
        logging::init(&cli.logging)?;
    }
    match cli.command {
        cli::Command::Run(options) => {
            sni_probe_daemon::run(options.config()?)?;
            Ok(ExitCode::SUCCESS)
        }
        cli::Command::Replay(options) => replay::run(&options.config()),
        cli::Command::Watch(options) => watch::run(&options),
        cli::Command::Check(options) => check::run(&options.config()),
        cli::Command::Logs(options) => logs::run(&options.config()),
        cli::Command::Routes(options) => routes::run(&options.config()),
        cli::Command::Diagnose(options) => diagnose::run(&options.config()),
        cli::Command::Collect(options) => collect::run(&options.config()),
        cli::Command::Man(options) => cli::man(&options),
        cli::Command::Completions(options) => cli::completions(&options),
    }
}
