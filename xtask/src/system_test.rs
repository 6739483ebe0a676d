//! `cargo xtask system-test`: real gateways and clients in network namespaces, as root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bpf_object::OBJECT_VARIABLE;
use clap::Args;
use lab_interface::dist::DIST_VARIABLE;
use lab_interface::engines::{ENGINES_VARIABLE, Engines};
use lab_interface::{ENVOY_VARIABLE, GRAFANA_PYTHON_VARIABLE, PROBE_VARIABLE};
use serde_json::Value;

use crate::build::{Built, WORKSPACE_ON_HOST};
use crate::summary::Summary;
use crate::tools::{cargo, path_with, progress, root as workspace};
use crate::{build, dist, engines, root, setup};

/// Run the system tests: real gateways and clients in network namespaces (root)
///
/// Builds as the user; asks sudo for the tests themselves. All run with the TC programs, and those of gateways, load
/// and monitoring once more with packet sockets.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask system-test
  cargo xtask system-test envoy                       # tests whose name has `envoy` in it
  cargo xtask system-test envoy --capture af-packet   # by packet sockets only
  cargo xtask system-test envoy -- --nocapture --test-threads 1")]
pub(crate) struct Arguments {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Only with this way to see packets [default: both]
    #[arg(long, value_enum)]
    capture: Option<Capture>,
    /// Arguments of the test runner
    #[arg(last = true)]
    runner: Vec<String>,
}

/// The daemon's `--capture`, as the tests set it by its variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Capture {
    Tc,
    AfPacket,
}

impl Capture {
    const ALL: [Self; 2] = [Self::Tc, Self::AfPacket];

    /// The one that is asked for, or all.
    pub(crate) fn of(only: Option<Self>) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |capture| only.is_none_or(|only| only == *capture))
    }

    pub(crate) const fn value(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::AfPacket => "af-packet",
        }
    }

    /// What of the tests runs: of packet sockets what is not about programs, or has its own tests of them.
    fn selection(self) -> Vec<String> {
        const BY_PACKET_SOCKETS: [&str; 7] =
            ["envoy::", "expected::", "gateways::", "ledger::", "load::", "prometheus::", "tunnels::"];
        const ABOUT_PROGRAMS: [&str; 1] = ["envoy::attached_as_filters_of_a_clsact_qdisc"];
        match self {
            Self::Tc => Vec::new(),
            Self::AfPacket => {
                let skipped = ABOUT_PROGRAMS.into_iter().flat_map(|test| ["--skip", test]);
                BY_PACKET_SOCKETS.into_iter().chain(skipped).map(str::to_owned).collect()
            }
        }
    }
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::all()?;
    let built = build::sni_probe(&build::Options::default())?;
    let release = needs_release(arguments).then(Release::prepare).transpose()?;
    let mut summary = Summary::default();
    for capture in Capture::of(arguments.capture) {
        // A filter takes the place of the selection.
        let mut words = match (&arguments.filter, arguments.capture) {
            (None, _) => capture.selection(),
            (Some(filter), None) if capture == Capture::AfPacket => {
                let selection = capture.selection();
                if !selection.iter().any(|module| filter.contains(module.trim_end_matches("::"))) {
                    continue;
                }
                let skips = selection.into_iter().skip_while(|word| word != "--skip");
                std::iter::once(filter.clone()).chain(skips).collect()
            }
            (Some(filter), _) => vec![filter.clone()],
        };
        words.extend(arguments.runner.iter().cloned());
        summary += run(&built, release.as_ref(), capture, &[], &words)?;
    }
    println!("{summary}");
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the tests and runs all of them.
pub(crate) fn all(built: &Built) -> Result<Summary> {
    let release = Release::prepare()?;
    let mut summary = Summary::default();
    for capture in Capture::ALL {
        summary += run(built, Some(&release), capture, &[], &capture.selection())?;
    }
    Ok(summary)
}

/// What `cargo xtask dist` makes, and the container engines that load it.
pub(crate) struct Release {
    directory: PathBuf,
    engines: Option<Engines>,
}

impl Release {
    fn prepare() -> Result<Self> {
        let directory = dist::for_tests()?;
        let engines = engines::fetch()?;
        if engines.is_none() {
            progress("the system tests of container engines are skipped: apt knows no archive of Debian");
        }
        Ok(Self { directory, engines })
    }
}

/// Whether tests are among them that take what `cargo xtask dist` makes: a release build is minutes.
fn needs_release(arguments: &Arguments) -> bool {
    const OF_THE_RELEASE: [&str; 3] = ["dist", "alerting", "engines"];
    match &arguments.filter {
        Some(filter) => OF_THE_RELEASE.iter().any(|module| filter.contains(module)),
        // They have nothing to do with packet sockets.
        None => arguments.capture != Some(Capture::AfPacket),
    }
}

/// Builds the tests as the user and runs them as root, with these variables besides those of all tests.
pub(crate) fn run(
    built: &Built,
    release: Option<&Release>,
    capture: Capture,
    more_variables: &[(&str, &OsStr)],
    arguments: &[String],
) -> Result<Summary> {
    let test = build_tests(&built.object)?;
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let mut variables: Vec<(&str, &OsStr)> = vec![
        (PROBE_VARIABLE, built.sni_probe.as_os_str()),
        (OBJECT_VARIABLE, built.object.as_os_str()),
        (ENVOY_VARIABLE, envoy.as_os_str()),
        ("PATH", &path),
        ("RUST_BACKTRACE", OsStr::new("1")),
    ];
    let deploy_tools = setup::deploy_tools();
    variables.extend(deploy_tools.variables());
    let dist_tools = setup::dist_tools();
    variables.extend(dist_tools.variables());
    if let Some(release) = release {
        variables.push((DIST_VARIABLE, release.directory.as_os_str()));
    }
    let engines = release.and_then(|release| release.engines.as_ref());
    if let Some(engines) = engines {
        variables.push((ENGINES_VARIABLE, engines.directory().as_os_str()));
    }
    let grafana_python = setup::grafana_python();
    variables.push((GRAFANA_PYTHON_VARIABLE, grafana_python.as_os_str()));
    variables.extend(more_variables);
    // The programs are the default.
    if capture != Capture::Tc {
        variables.push(("SNI_PROBE_CAPTURE", OsStr::new(capture.value())));
    }
    let mut command = root::command(test, variables);
    command.current_dir(workspace().join("system-tests")).args(arguments);
    if engines.is_none() {
        command.args(["--skip", "engines::"]);
    }
    root::announce(&command);
    progress(&format!("system tests, --capture {}", capture.value()));
    Summary::of(&mut command)
}

/// Builds the one binary of the system tests and gives its path.
fn build_tests(object: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    command.args(WORKSPACE_ON_HOST).args(["--test", "system"]);
    command.env(OBJECT_VARIABLE, object);
    let is_test =
        |message: &Value| message["target"]["name"] == "system" && message["profile"]["test"] == true;
    build::executable(&mut command, is_test).context("building the system tests")
}
