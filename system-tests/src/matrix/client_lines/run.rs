//! Runs each client without and with its line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab_interface::GATEWAYS_VARIABLE;

use super::super::lab_files::write_files;
use super::super::places::{Places, Release};
use super::list::{self, Subject, Version};
use super::recorder::Recorder;
use super::report::{Sent, Trial};
use super::table::{self, Line};
use crate::netns::Lab;
use crate::process::run;
use crate::{GATEWAY_V4, SERVER_NAME};

/// Time limit for a client, in seconds: Go and Java compile first. `timeout` ends the client with its children then.
const CLIENT_SECONDS: &str = "60";
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);
const FIRST_PORT: u16 = 5_000;

/// What scripts begin with: a directory of their own, a way to run a daemon for a while, and a request that waits for it.
const PRELUDE: &str = r#"
d=$(mktemp -d)
chmod 755 $d
trap 'rm -rf $d' EXIT
serve() { "$@" >$d/log 2>&1 & pid=$!; }
stop() { kill $pid; wait $pid; } 2>/dev/null
get() {
    n=0
    while curl -s -o /dev/null -m 3 --noproxy '*' "$@"; [ $? = 7 ] && [ $((n += 1)) -lt 80 ]; do sleep 0.1; done
}
"#;

/// Runs the clients of the list with the filter in the name of their line or software.
///
/// `progress` is called for each client.
///
/// # Errors
/// When a release is not installed, or a script cannot be run.
pub fn run_all(filter: Option<&str>, progress: impl Fn(&str)) -> Result<Vec<Trial>> {
    let lab = Lab::new()?;
    let places = Places::find()?;
    write_files(lab.directory())?;
    let mut ports = FIRST_PORT..;
    let mut trials = Vec::new();
    for subject in list::all() {
        let line = table::line(subject.id).with_context(|| format!("no line {}", subject.id))?;
        if filter.is_some_and(|filter| !subject.id.contains(filter) && !line.software.contains(filter)) {
            continue;
        }
        for release in subject.releases {
            let version = version(&lab, &places, *release, subject)?;
            progress(&format!("{}, {version}", line.software));
            let mut sent = |is_with_line: bool| -> Result<Sent> {
                let port = ports.next().context("a port")?;
                send(&lab, &places, *release, subject, line, is_with_line, port)
            };
            let (without, with) = (sent(false)?, sent(true)?);
            trials.push(Trial {
                id: subject.id,
                program: subject.program,
                release: *release,
                version,
                without,
                with,
            });
        }
    }
    Ok(trials)
}

fn version(lab: &Lab, places: &Places, release: Release, subject: &Subject) -> Result<String> {
    // Debian's own version follows the last hyphen, and an epoch may come before.
    let script = match subject.version {
        Version::Package(package) => format!(
            "dpkg-query -W -f '${{Version}}' {package} | sed 's/^[0-9]*://; s/-[^-]*$//; s/+\\(dfsg\\|ds\\|git\\|really\\|debian\\).*//'"
        ),
        Version::Script(script) => script.to_owned(),
    };
    let place = places.get(release)?;
    let tools = tools();
    let envoy = crate::envoy::binary()?.display().to_string();
    let variables = [("TOOLS", &*tools), ("ENVOY", &*envoy)];
    let mut command = place.command_in(&lab.client, lab, &script, &variables, Some(CLIENT_SECONDS));
    Ok(run(&mut command, COMMAND_TIMEOUT)?.stdout.trim().to_owned())
}

/// Where kubectl and helm are.
fn tools() -> String {
    let gateways = std::env::var_os(GATEWAYS_VARIABLE).map(PathBuf::from).unwrap_or_default();
    gateways.parent().map(|tools| tools.join("bin")).unwrap_or_default().display().to_string()
}

fn send(
    lab: &Lab,
    places: &Places,
    release: Release,
    subject: &Subject,
    line: Line,
    is_with_line: bool,
    port: u16,
) -> Result<Sent> {
    let recorder = Recorder::start(&lab.gateway, port, subject.opening)?;
    let address = GATEWAY_V4.to_string();
    let text = if is_with_line { line.with(SERVER_NAME, port, &address) } else { subject.without.to_owned() };
    let script = format!("{PRELUDE}{}", subject.script.replace("{LINE}", &text));
    let (port, at) = (port.to_string(), format!("{address}:{port}"));
    let (tools, envoy) = (tools(), crate::envoy::binary()?.display().to_string());
    let variables = [
        ("HOST", &*address),
        ("PORT", &*port),
        ("AT", &*at),
        ("NAME", SERVER_NAME),
        ("TOOLS", &*tools),
        ("ENVOY", &*envoy),
    ];
    let place = places.get(release)?;
    let mut command = place.command_in(&lab.client, lab, &script, &variables, Some(CLIENT_SECONDS));
    let finished = run(&mut command, COMMAND_TIMEOUT).with_context(|| subject.id)?;
    let output = finished.stdout + &finished.stderr;
    Ok(Sent { names: recorder.stop(), output })
}
