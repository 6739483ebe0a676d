//! `check`: connects to a gateway with and without SNI, and tells what it does.
//!
//! [`target`] says where to connect to, [`attempt`] shakes hands over a [`stream`] with a deadline and looks at the
//! [`certificate`], [`verdict`] draws the conclusion, and [`text`] tells it to people.

mod attempt;
mod certificate;
pub(crate) mod report;
mod stream;
mod target;
mod text;
mod verdict;

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use rustls::pki_types::DnsName;

use self::attempt::{Hello, Plan};
use self::report::{Attempt, AttemptKind, AttemptOutcome, CheckReport, Verdict};
use self::target::Target;
use crate::cli::CheckOptions;
use crate::logging;

/// Could not tell: see the exit codes in `check --help`.
const COULD_NOT_TELL: u8 = 2;

/// Checks, and prints what was found.
///
/// # Errors
/// As [`examine`]. What the gateway does is never an error.
pub(crate) fn run(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let report = examine(options)?;
    let stdout = io::stdout();
    let text = if options.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        text::render(&report, logging::colour(&stdout))
    };
    // Fails if the reader has left (`sni-probe check … | head -1`): the exit code has the answer as well.
    let _ = stdout.lock().write_all(text.as_bytes());
    Ok(match report.verdict {
        Verdict::NonSniSameCertificate | Verdict::NonSniOtherCertificate => ExitCode::SUCCESS,
        Verdict::NonSniRefused | Verdict::NameRefused => ExitCode::FAILURE,
        Verdict::Unknown => ExitCode::from(COULD_NOT_TELL),
    })
}

/// Connects as often as there are hellos to try, one after the other, and tells what came of it. Takes
/// `options.timeout` for each at most, and as much for the resolver and for each address that does not answer.
///
/// # Errors
/// When the target or the name is none. That nobody answers is in the report.
pub(crate) fn examine(options: &CheckOptions) -> anyhow::Result<CheckReport> {
    let target = Target::of(options)?;
    let (address, attempts) = match target.addresses(options.timeout) {
        Ok(addresses) => {
            let plan = Plan { tls: options.tls, timeout: options.timeout, expected: target.expected() };
            attempts(&plan, &hellos(&target)?, &addresses)?
        }
        Err(error) => {
            (None, hellos(&target)?.into_iter().take(1).map(|hello| unresolved(hello, &error)).collect())
        }
    };
    let (verdict, sentence) = verdict::conclude(&attempts, &target.expected(), Timestamp::now());
    Ok(CheckReport { target: options.target.clone(), address, attempts, verdict, sentence })
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
    addresses: &[std::net::SocketAddr],
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
