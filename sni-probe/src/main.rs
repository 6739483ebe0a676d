//! sni-probe: sees the TLS clients that connect to a gateway without SNI, and what becomes of them.
#![forbid(unsafe_code)]

mod api;
mod check;
mod cli;
mod collect;
mod diagnose;
mod evidence;
mod http;
mod kubernetes;
mod logging;
mod logs;
mod metrics;
mod output;
mod readiness;
mod replay;
mod routes;
mod run;
mod watch;

use std::process::ExitCode;

use anyhow::Context as _;

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
            cli::report(&format!("{error:#}"));
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
            runtime()?.block_on(run::run(options))?;
            Ok(ExitCode::SUCCESS)
        }
        cli::Command::Replay(options) => replay::run(&options),
        cli::Command::Watch(options) => watch::run(&options),
        cli::Command::Check(options) => check::run(&options),
        cli::Command::Logs(options) => logs::run(&options),
        cli::Command::Routes(options) => routes::run(&options),
        cli::Command::Diagnose(options) => diagnose::run(&options),
        cli::Command::Collect(options) => collect::run(&options),
        cli::Command::Man(options) => cli::man(&options),
        cli::Command::Completions(options) => cli::completions(&options),
    }
}

/// One thread does: handshakes are few beside packets, and packets stay in the kernel.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime; see the limits on open files and processes")
}
