//! `diagnose`: what is wrong, and what to change.
//!
//! ```text
//! daemon, metrics, capture ─▶ wire ─┐
//! logs, routes, check, message ─────┴▶ inputs ─▶ tree (questions, evidence)
//!                                            ├─▶ judge (cause) ─▶ fix
//!                                            └─▶ show
//! ```
//!
//! [`diagnose`] is pure: the same inputs, the same diagnosis.

mod clients;
mod config;
mod fix;
mod gateway_kind;
mod inputs;
mod judge;
mod message;
mod model;
mod show;
mod tree;
mod wire;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

pub use self::config::Config;
use self::model::{Cause, Confidence, Diagnosis, Inputs};
use crate::COULD_NOT_RUN;

/// A cause was found.
const CAUSE_FOUND: u8 = 1;

/// Gathers, diagnoses, prints.
///
/// # Errors
/// If there is no input, one cannot be read, or nothing can be printed.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let diagnosis = diagnose(&inputs::gather(config)?);
    let text = if config.json {
        let mut json = serde_json::to_string(&diagnosis).context("cannot encode the diagnosis")?;
        json.push('\n');
        json
    } else if config.markdown {
        show::markdown(&diagnosis)
    } else {
        show::text(&diagnosis, sni_probe_terminal::wants_colour(&io::stdout()))
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever has left knows enough; the exit code is for others.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("cannot write to standard output");
        }
        _ => {}
    }
    Ok(match diagnosis.cause {
        Cause::NothingWrong => ExitCode::SUCCESS,
        Cause::NotEnoughEvidence => ExitCode::from(COULD_NOT_RUN),
        _ => ExitCode::from(CAUSE_FOUND),
    })
}

/// Walks the tree.
fn diagnose(inputs: &Inputs) -> Diagnosis {
    let judgement = judge::judge(inputs);
    let missing = if judgement.confidence == Confidence::Certain {
        Vec::new()
    } else {
        missing(judgement.cause, inputs)
    };
    Diagnosis {
        message: inputs.message.clone(),
        steps: tree::steps(inputs),
        cause: judgement.cause,
        sentence: judgement.sentence,
        confidence: judgement.confidence,
        page: judgement.cause.page(),
        gateways: gateway_kind::candidates(inputs),
        missing,
        fix: fix::fix(judgement.cause, inputs),
    }
}

/// The inputs that would make sure, and what they would tell.
fn missing(cause: Cause, inputs: &Inputs) -> Vec<String> {
    let mut missing = Vec::new();
    if inputs.wire.as_ref().is_none_or(|wire| wire.handshakes() == 0) {
        missing.push("--url or --capture: whether clients come without SNI, and what becomes of them");
    }
    let is_about_routes = matches!(
        cause,
        Cause::NoWildcardRoute
            | Cause::NonSniClientNotEnabled
            | Cause::NotInAdditionalGateways
            | Cause::LoadBalancer
            | Cause::UnknownName
            | Cause::NotAboutNames
            | Cause::NoCertificate
            | Cause::NotProgrammed
            | Cause::NotEnoughEvidence
            | Cause::NothingWrong
    );
    if inputs.routes.is_none() && is_about_routes {
        missing.push(
            "--routes or --kube, and --overrides: whether a wildcard route is there, enabled and listed",
        );
    }
    let is_open = matches!(cause, Cause::NotAboutNames | Cause::UnknownName | Cause::NotEnoughEvidence);
    if inputs.logs.is_none() && is_open {
        missing.push("--logs FILE: the gateway's own reason");
    }
    if inputs.check.is_none() {
        missing.push("--check HOST: whether the gateway serves clients without SNI now");
    }
    if cause == Cause::NotEnoughEvidence && inputs.wire.is_some() && inputs.routes.is_some() {
        missing.push("--url with --for 1m: what becomes of clients from now on");
    }
    missing.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
