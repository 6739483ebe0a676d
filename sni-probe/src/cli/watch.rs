//! The command line of `watch`.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};

use super::{DaemonOptions, ProbeOptions};

/// Watch clients without SNI live in the terminal, on this machine or through a daemon
///
/// Shows the rates of handshakes by SNI and outcome, and the top clients without SNI: what software they likely
/// are, what became of their last handshake, and their trend. Keys sort, filter and pause; ? shows them all.
///
/// Captures on this machine as `run` does, with the flags of `run`; or with --url asks a daemon, which needs no
/// rights. Where standard output is no terminal it prints plain text.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EPILOGUE)]
pub(crate) struct WatchOptions {
    #[command(flatten)]
    pub(crate) daemon: DaemonOptions,

    /// Time from one look to the next (250ms to 1h)
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// Print plain text so many times, then end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Print plain text once, then end
    #[arg(long, conflicts_with = "count")]
    pub(crate) once: bool,

    /// What to print, instead of the live view [default: text if standard output is no terminal]
    #[arg(short, long, value_enum)]
    pub(crate) format: Option<WatchFormat>,

    #[command(flatten)]
    pub(crate) probe: ProbeOptions,
}

const EPILOGUE: &str = "\
Examples:
  sni-probe watch
      What happens on this machine; takes the rights that `run` takes.
  sni-probe watch --url http://localhost:9917
      What the daemon on this host sees; takes no rights.
  kubectl -n sni-probe port-forward POD 9917 & sni-probe watch --url http://localhost:9917
      The same from outside of the cluster, by the daemon's pod.
  sni-probe watch --url https://localhost:9917 --ca daemon.pem --user sre --password-file pw
      A daemon with --tls-cert and --auth-file. It answers other hosts too, by a name of its --web-host.
  sni-probe watch --url http://localhost:9917 --once
      A report for a script or a ticket; fails if the daemon does not answer.
  sni-probe watch --url http://localhost:9917 --format json --interval 10s | jq .clients.clients[0]
      The answers of the daemon's API, one JSON object a line.

Exit codes:
  0  stopped by q, Ctrl-C or SIGTERM, or all was printed
  2  could not run; one line on stderr says why and what to do";

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchFormat {
    /// For people: a few lines at each look
    Text,
    /// For programs: one JSON object a line at each look
    Json,
}

impl WatchOptions {
    /// How often plain text is to be printed, if that is limited.
    pub(crate) fn limit(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count }
    }
}

/// The flags of how to ask a daemon.
const DAEMON_FLAGS: [&str; 3] = ["user", "password_file", "ca"];

/// Refuses flags that would have no effect. Only those on the command line: in the daemon's own container its
/// environment variables are set, and `watch --url http://localhost:9917` is to run there.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_written = |id: &str| {
        // `value_source` panics for an id that is not there; groups have none.
        matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let of_capture = ProbeOptions::augment_args(clap::Command::new("probe"));
    let is_asked = matches.contains_id("url");
    let refused = if is_asked {
        of_capture.get_arguments().find(|argument| is_written(argument.get_id().as_str()))
    } else {
        None
    };
    if let Some(flag) = refused.and_then(clap::Arg::get_long) {
        return Err(conflict(format!(
            "--{flag} is for capturing on this machine, and --url (or SNI_PROBE_URL) asks a daemon, which has \
             flags of its own; leave one of them out"
        )));
    }
    if !is_asked && let Some(id) = DAEMON_FLAGS.into_iter().find(|id| is_written(id)) {
        let flag = id.replace('_', "-");
        return Err(conflict(format!("--{flag} is for asking a daemon; say which one with --url")));
    }
    Ok(())
}

fn conflict(message: String) -> clap::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, message)
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    const RANGE: RangeInclusive<Duration> = Duration::from_millis(250)..=Duration::from_hours(1);
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected a duration with its unit, such as 1s or 1m"))?;
    if RANGE.contains(&duration) { Ok(duration) } else { Err("expected 250ms to 1h".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Command, one_line, try_parse};
    use super::*;

    fn parse(arguments: &[&str]) -> Result<WatchOptions, String> {
        let arguments = ["sni-probe", "watch"].iter().chain(arguments).map(OsString::from);
        let cli = try_parse(arguments).map_err(|error| one_line(&error))?;
        let Command::Watch(options) = cli.command else { panic!("another verb") };
        Ok(options)
    }

    #[test]
    fn a_daemon_or_a_capture_of_its_own() {
        let options = parse(&["--url", "http://node:9917", "--interval", "5s", "--once"]).unwrap();
        assert_eq!(options.interval, Duration::from_secs(5));
        assert_eq!(options.limit(), Some(1));
        let options = parse(&["-i", "eth0", "--count", "3"]).unwrap();
        assert_eq!((options.interval, options.limit()), (Duration::from_secs(1), Some(3)));
        assert_eq!(options.probe.interfaces.len(), 1);
    }

    #[test]
    fn flags_without_effect_are_refused_in_one_line() {
        for (arguments, flag) in [
            (&["--url", "http://n", "-i", "eth0"][..], "--interface is for capturing on this machine"),
            (&["--url", "http://n", "--attach", "tcx"], "--attach is for capturing"),
            (&["--url", "http://n", "--top-clients", "7"], "--top-clients is for capturing"),
            (&["--ca", "ca.pem"], "--ca is for asking a daemon"),
            (&["--user", "a", "--password-file", "b"], "--user is for asking a daemon"),
            (&["--url", "http://n", "--user", "a"], "--password-file <FILE>"),
            (&["--once", "--count", "2"], "'--once' cannot be used with '--count <N>'"),
            (&["--interval", "1ms"], "expected 250ms to 1h"),
            (&["--interval", "5"], "such as 1s or 1m"),
        ] {
            let message = parse(arguments).unwrap_err();
            assert!(!message.contains('\n'), "{message}");
            assert!(message.contains(flag), "{flag} is not in: {message}");
        }
    }
}
