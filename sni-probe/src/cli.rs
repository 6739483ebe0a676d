//! The command line. Every flag of `run` has an environment variable `SNI_PROBE_*`.

mod check;
mod clients;
mod collect;
mod daemon;
mod diagnose;
mod events;
mod evidence;
mod follow;
mod kube;
mod logs;
mod man;
mod probe;
mod replay;
mod routes;
mod run;
mod values;
mod watch;
mod web;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub(crate) use self::check::CheckOptions;
pub(crate) use self::clients::ClientOptions;
pub(crate) use self::collect::CollectOptions;
pub(crate) use self::daemon::DaemonOptions;
pub(crate) use self::diagnose::DiagnoseOptions;
pub(crate) use self::events::EventOptions;
pub(crate) use self::evidence::EvidenceOptions;
pub(crate) use self::follow::FollowOptions;
pub(crate) use self::kube::KubeOptions;
pub(crate) use self::logs::LogsOptions;
pub(crate) use self::man::{CompletionsOptions, ManOptions, completions, man};
pub(crate) use self::probe::ProbeOptions;
pub(crate) use self::replay::ReplayOptions;
pub(crate) use self::routes::RoutesOptions;
pub(crate) use self::run::RunOptions;
pub(crate) use self::watch::{WatchFormat, WatchOptions};
pub(crate) use self::web::WebOptions;
use crate::logging::LogOptions;

/// Sees TLS clients that connect without SNI, and what becomes of them.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) logging: LogOptions,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  the answer is bad: a reset was found, a check failed (never of `run`)
  2  could not run; one line on stderr says why and what to do";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunOptions),
    Replay(ReplayOptions),
    Watch(WatchOptions),
    Check(CheckOptions),
    Logs(LogsOptions),
    Routes(RoutesOptions),
    Diagnose(DiagnoseOptions),
    Collect(CollectOptions),
    Man(ManOptions),
    Completions(CompletionsOptions),
}

/// Parses the command line and the environment. If there is nothing to run (`--help`, a usage
/// error), the user has been told, and the exit code is the answer.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    try_parse(arguments).map_err(|error| {
        let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // Fails if the reader has left (`sni-probe --help | head -1`): no harm done.
                let _ = error.print();
            }
            _ => sni_probe_terminal::report(&one_line(&error)),
        }
        code
    })
}

fn try_parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command =
        Cli::command().mut_args(ignore_if_empty).mut_subcommands(|verb| verb.mut_args(ignore_if_empty));
    let matches = command.try_get_matches_from_mut(arguments)?;
    if let Some(("watch", matches)) = matches.subcommand() {
        watch::check(matches).map_err(|error| error.format(&mut command))?;
    }
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// An empty environment variable is one that is not set: that is how templates of manifests leave
/// a value out.
fn ignore_if_empty(argument: clap::Arg) -> clap::Arg {
    let empty = argument.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if empty { argument.env(None::<&'static str>) } else { argument }
}

/// A usage error of clap as one line, without the usage.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|paragraph| !paragraph.is_empty() && !paragraph.starts_with("Usage:"))
        .map(|paragraph| paragraph.replace("For more information, try", "for more information, try"))
        .collect::<Vec<_>>()
        .join("; ")
        .trim_end_matches('.')
        .to_owned()
}

fn parse_handshake_timeout(text: &str) -> Result<Duration, String> {
    values::parse_duration(text, Duration::from_secs(1)..=Duration::from_mins(10), "1s to 10m")
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
