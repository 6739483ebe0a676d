//! `check`: connects to a gateway with and without SNI, and tells what it does.
//!
//! [`target`] says where to connect to, [`attempt`] shakes hands over a [`stream`] with a deadline and looks at the
//! [`certificate`], [`verdict`] draws the conclusion, and [`text`] tells it to people.

mod attempt;
mod certificate;
mod config;
pub mod report;
mod stream;
mod target;
mod text;
mod verdict;

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use jiff::Timestamp;
use rustls::pki_types::DnsName;
use sni_probe_terminal::printable;

use self::attempt::{Hello, Plan};
pub use self::config::{Config, Connect, DEFAULT_TIMEOUT, OfferedTls};
use self::report::{Attempt, AttemptKind, AttemptOutcome, CheckReport, CheckVerdict};
use self::target::Target;

/// Between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);
/// Could not tell: see the exit codes in `check --help`.
const COULD_NOT_TELL: u8 = 2;

/// Checks, and prints what was found.
///
/// # Errors
/// As [`examine`]. What the gateway does is never an error.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    // Seconds, where nobody answers. Drawn on stderr, and only where that is a terminal.
    let progress = ProgressBar::new_spinner().with_message(format!("checking {}", printable(&config.target)));
    progress.enable_steady_tick(TICK);
    let report = examine(config);
    progress.finish_and_clear();
    let report = report?;
    let stdout = io::stdout();
    let text = if config.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        text::render(&report, sni_probe_terminal::wants_colour(&stdout))
    };
    // Fails if the reader has left (`sni-probe check … | head -1`): the exit code has the answer as well.
    let _ = stdout.lock().write_all(text.as_bytes());
    Ok(match report.verdict {
        CheckVerdict::NonSniSameCertificate | CheckVerdict::NonSniOtherCertificate => ExitCode::SUCCESS,
        CheckVerdict::NonSniRefused | CheckVerdict::NameRefused => ExitCode::FAILURE,
        CheckVerdict::Unknown => ExitCode::from(COULD_NOT_TELL),
    })
}

/// Connects as often as there are hellos to try, one after the other, and tells what came of it. Takes
/// `config.timeout` for each at most, and as much for the resolver and for each address that does not answer.
///
/// # Errors
/// When the target or the name is none. That nobody answers is in the report.
pub fn examine(config: &Config) -> anyhow::Result<CheckReport> {
    let target = Target::of(config)?;
    let (address, attempts) = match target.addresses(config.timeout) {
        Ok(addresses) => {
            let plan = Plan { tls: config.tls, timeout: config.timeout, expected: target.expected() };
            attempts(&plan, &hellos(&target)?, &addresses)?
        }
        Err(error) => {
            (None, hellos(&target)?.into_iter().take(1).map(|hello| unresolved(hello, &error)).collect())
        }
    };
    let (verdict, sentence) = verdict::conclude(&attempts, &target.expected(), Timestamp::now());
    Ok(CheckReport { target: config.target.clone(), address, attempts, verdict, sentence })
}

/// What is sent, in this order.
fn hellos(target: &Target) -> anyhow::Result<Vec<Hello>> {
    let named = target.name.clone().map(|name| Hello { kind: AttemptKind::Named, name: Some(name) });
    let without = Hello { kind: AttemptKind::WithoutSni, name: None };
    // RFC 6761, section 6.4: nobody has a name below it. Another one each time, so that no gateway knows it from before.
    let unknown = format!("sni-probe-{:016x}.invalid", RandomState::new().hash_one(0));
    let unknown = DnsName::try_from(unknown).context("cannot make up a name")?;
    let unknown = Hello { kind: AttemptKind::UnknownName, name: Some(unknown) };
    Ok(named.into_iter().chain([without, unknown]).collect())
}

/// All hellos to the first address that takes a connection. If none does, the last attempt is all there is.
fn attempts(
    plan: &Plan,
    hellos: &[Hello],
    addresses: &[SocketAddr],
) -> anyhow::Result<(Option<String>, Vec<Attempt>)> {
    let Some((first, others)) = hellos.split_first() else { return Ok((None, Vec::new())) };
    let mut failed = None;
    for address in addresses {
        let attempt = plan.attempt(first.clone(), *address)?;
        if attempt.connected {
            let mut attempts = vec![attempt];
            for hello in others {
                attempts.push(plan.attempt(hello.clone(), *address)?);
            }
            return Ok((Some(address.to_string()), attempts));
        }
        failed = Some((address.to_string(), attempt));
    }
    Ok(failed.map_or((None, Vec::new()), |(address, attempt)| (Some(address), vec![attempt])))
}

/// The attempt that could not be made, for the name has no address.
fn unresolved(hello: Hello, error: &str) -> Attempt {
    Attempt {
        kind: hello.kind,
        server_name: hello.name.map(|name| name.as_ref().to_owned()),
        connected: false,
        outcome: AttemptOutcome::Unreachable,
        alert: None,
        tls_version: None,
        cipher: None,
        certificate: None,
        latency_us: 0,
        error: Some(error.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn the_first_address_that_takes_a_connection_has_all_of_them() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for _ in 0..3 {
                listener.accept().unwrap().0.read_exact(&mut [0; 5]).unwrap();
            }
        });
        let target = Target::of(&Config::of("a.example")).unwrap();
        let plan = Plan { tls: None, timeout: Duration::from_secs(30), expected: target.expected() };
        let hellos = hellos(&target).unwrap();
        let (address, made) = attempts(&plan, &hellos, &[closed, open, closed]).unwrap();
        server.join().unwrap();
        assert_eq!(address, Some(open.to_string()));
        let kinds: Vec<_> = made.iter().map(|attempt| (attempt.kind, attempt.outcome)).collect();
        let all = [AttemptKind::Named, AttemptKind::WithoutSni, AttemptKind::UnknownName];
        assert_eq!(kinds, all.map(|kind| (kind, AttemptOutcome::Reset)));
        assert_eq!(made[1].server_name, None);

        let (address, made) = attempts(&plan, &hellos, &[closed, closed]).unwrap();
        assert_eq!((address, made.len()), (Some(closed.to_string()), 1));
        assert_eq!(attempts(&plan, &hellos, &[]).unwrap().1.len(), 0);
    }

    #[test]
    fn names_that_nobody_serves_are_new_each_time() {
        let target = Target::of(&Config::of("10.1.2.3")).unwrap();
        let names = [0, 1].map(|_| hellos(&target).unwrap().pop().unwrap().name.unwrap());
        assert_ne!(names[0], names[1]);
        assert!(names[0].as_ref().ends_with(".invalid"));
    }
}
