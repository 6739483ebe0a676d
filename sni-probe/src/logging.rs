//! The log: on stderr, as text or JSON, filtered by `--log-level`.

use std::io;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Flags of the log, the same for every verb.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
#[expect(clippy::doc_markdown, reason = "the text of --help")]
pub(crate) struct LogOptions {
    /// Form of the log on stderr
    #[arg(
        id = "log_format",
        long = "log-format",
        value_name = "FORMAT",
        env = "SNI_PROBE_LOG_FORMAT",
        global = true,
        value_enum,
        default_value_t
    )]
    pub(crate) format: LogFormat,

    /// What to log: off, error, warn, info, debug, trace, or directives such as warn,sni_probe=debug
    #[arg(
        id = "log_level",
        long = "log-level",
        env = "SNI_PROBE_LOG_LEVEL",
        value_name = "FILTER",
        global = true,
        default_value = "info"
    )]
    pub(crate) filter: Filter,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object a line
    Json,
}

/// Installs the process's log subscriber.
///
/// # Errors
/// If one is installed already.
pub(crate) fn init(options: &LogOptions) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(options.filter.build())
        .with_writer(io::stderr)
        .with_ansi(sni_probe_terminal::wants_colour(&io::stderr()))
        // What cannot be written to stderr would be reported on stderr, by a macro that panics.
        .log_internal_errors(false);
    let result = match options.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    result.map_err(|error| anyhow::anyhow!("cannot set up the log: {error}"))
}

/// Directives of a log filter that were checked, such as `info` or `warn,sni_probe=debug`.
#[derive(Clone, Debug)]
pub(crate) struct Filter(String);

/// What libraries say of errors that the daemon tells itself: `kube` logs each failed request as an error, with all
/// of an answer that it does not understand. A directive that names them brings them back.
const SILENT: &str = "kube_client=off,kube_runtime=off";

impl Filter {
    fn build(&self) -> EnvFilter {
        EnvFilter::new(format!("{SILENT},{}", self.0))
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(directives: &str) -> Result<Self, Self::Err> {
        // `EnvFilter` takes a word that is no level for a target: "verbose" would log nothing.
        let levels_are_known = directives.split(',').all(|directive| {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
            LevelFilter::from_str(level).is_ok() && !level.is_empty()
        });
        if levels_are_known && EnvFilter::try_new(directives).is_ok() {
            Ok(Self(directives.to_owned()))
        } else {
            Err(FilterError)
        }
    }
}

/// A log filter that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected off, error, warn, info, debug or trace, or directives such as warn,sni_probe=debug")]
pub(crate) struct FilterError;

#[cfg(test)]
mod tests {
    use super::{Filter, FilterError};

    #[test]
    fn libraries_that_are_silent_may_be_named() {
        let directives = |text: &str| text.parse::<Filter>().unwrap().build().to_string();
        assert!(directives("debug").contains("kube_client=off"));
        let named = directives("info,kube_client=debug");
        assert!(named.contains("kube_client=debug") && !named.contains("kube_client=off"), "{named}");
    }

    #[test]
    fn a_filter_is_a_level_or_directives() {
        for good in ["info", "DEBUG", "off", "warn,sni_probe=debug", "sni_probe_capture=trace"] {
            assert!(good.parse::<Filter>().is_ok(), "{good}");
        }
        for bad in ["", "verbose", "sni_probe", "sni_probe=loud", "a=b=c", "info,"] {
            assert_eq!(bad.parse::<Filter>().unwrap_err(), FilterError, "{bad}");
        }
    }
}
