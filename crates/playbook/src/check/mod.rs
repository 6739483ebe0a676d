//! `check`: connects to a gateway with and without SNI, and says what it does.
//!
//! [`target`] says where to connect to and [`hellos`] what to send. [`attempt`] shakes hands over a [`stream`] with a deadline, looks
//! at the [`certificate`] and makes an [`http`] request; for hellos that rustls cannot send it takes the [`first_answer`].
//! [`verdict`] draws the conclusion, and [`text`] shows it to people.

mod attempt;
mod certificate;
mod config;
mod failure;
mod first_answer;
mod hellos;
mod http;
pub mod report;
mod stream;
mod target;
mod text;
mod verdict;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::ProgressBar;
use jiff::Timestamp;
use rustls::SignatureScheme;
use rustls::crypto::ring;
use sni_probe_terminal::printable;

use self::attempt::Plan;
pub use self::config::{Config, Connect, DEFAULT_TIMEOUT, OfferedTls};
use self::hellos::Hello;
use self::http::Request;
use self::report::{Attempt, AttemptOutcome, CheckReport, CheckVerdict, Offered};
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
        CheckVerdict::NonSniRefused | CheckVerdict::NameRefused | CheckVerdict::RejectedByHttp => {
            ExitCode::FAILURE
        }
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
    let request = config.http.as_deref().map(|path| Request::new(path, &target.authority())).transpose()?;
    let hellos = hellos::all(&target, config.tls)?;
    let (address, attempts) = match target.addresses(config.timeout) {
        Ok(addresses) => {
            let plan =
                Plan { tls: config.tls, timeout: config.timeout, expected: target.expected(), request };
            attempts(&plan, &hellos, &addresses)?
        }
        Err(error) => (None, hellos.first().map(|hello| unresolved(hello, &error)).into_iter().collect()),
    };
    let offered = offered();
    let (verdict, sentence) = verdict::conclude(&attempts, &target.expected(), &offered, Timestamp::now());
    Ok(CheckReport { target: config.target.clone(), address, attempts, offered, verdict, sentence })
}

/// What rustls says in every hello.
fn offered() -> Offered {
    let provider = ring::default_provider();
    Offered {
        signature_algorithms: certificate::schemes()
            .iter()
            .filter_map(SignatureScheme::as_str)
            .map(iana)
            .collect(),
        groups: provider.kx_groups.iter().filter_map(|group| group.name().as_str()).map(iana).collect(),
    }
}

/// IANA's spelling: in lower case, `rsa_pss_rsae_sha256`.
fn iana(name: &str) -> String {
    let name = name.to_lowercase();
    let name = name
        .replace("nistp256", "secp256r1")
        .replace("nistp384", "secp384r1")
        .replace("nistp521", "secp521r1");
    name.replace("rsa_pss_sha", "rsa_pss_rsae_sha").replace("_legacy", "")
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
        let attempt = plan.attempt(first, *address)?;
        if attempt.connected {
            let mut attempts = vec![attempt];
            for hello in others {
                attempts.push(plan.attempt(hello, *address)?);
            }
            return Ok((Some(address.to_string()), attempts));
        }
        failed = Some((address.to_string(), attempt));
    }
    Ok(failed.map_or((None, Vec::new()), |(address, attempt)| (Some(address), vec![attempt])))
}

/// The attempt that could not be made, because the name has no address.
fn unresolved(hello: &Hello, error: &str) -> Attempt {
    Attempt { outcome: AttemptOutcome::Unreachable, error: Some(error.to_owned()), ..Attempt::begun(hello) }
}

#[cfg(test)]
mod check_tests;

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::thread;

    use super::report::AttemptKind;
    use super::*;

    #[test]
    fn the_first_address_that_takes_a_connection_has_all_of_them() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for _ in 0..4 {
                listener.accept().unwrap().0.read_exact(&mut [0; 5]).unwrap();
            }
        });
        let target = Target::of(&Config::of("a.example")).unwrap();
        let plan =
            Plan { tls: None, timeout: Duration::from_secs(30), expected: target.expected(), request: None };
        let hellos = hellos::all(&target, None).unwrap();
        let (address, made) = attempts(&plan, &hellos, &[closed, open, closed]).unwrap();
        server.join().unwrap();
        assert_eq!(address, Some(open.to_string()));
        let kinds: Vec<_> = made.iter().map(|attempt| (attempt.kind, attempt.outcome)).collect();
        let all =
            [AttemptKind::Named, AttemptKind::WithoutSni, AttemptKind::UnknownName, AttemptKind::PostQuantum];
        assert_eq!(kinds, all.map(|kind| (kind, AttemptOutcome::Reset)));
        assert_eq!(made[1].server_name, None);

        let (address, made) = attempts(&plan, &hellos, &[closed, closed]).unwrap();
        assert_eq!((address, made.len()), (Some(closed.to_string()), 1));
        assert_eq!(attempts(&plan, &hellos, &[]).unwrap().1.len(), 0);
    }

    #[test]
    fn the_offer_has_the_names_of_the_registries() {
        let offered = offered();
        for name in ["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256", "rsa_pkcs1_sha256", "ed25519"] {
            assert!(offered.signature_algorithms.iter().any(|known| known == name), "{offered:?}");
        }
        assert_eq!(offered.groups, ["x25519", "secp256r1", "secp384r1"]);
    }
}
