//! The lines of `sni-probe diagnose`, as its table lists them.

use anyhow::{Context as _, Result};

use super::super::refusals::sent_name::SentName;
use crate::SERVER_NAME;

/// A file of the directory with the lines.
macro_rules! lines {
    ($name:literal) => {
        include_str!(concat!("../../../../crates/playbook/src/diagnose/fix/gateways/", $name))
    };
}
pub(super) use lines;

const INDEX: &str = lines!("index.tsv");

/// A line of the table.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// Clients that it claims to have served.
    pub(super) heals: Vec<SentName>,
    /// Versions with which it claims to be tried.
    pub(super) tried: Vec<&'static str>,
}

/// Returns the line of a snippet.
pub(super) fn listed(snippet: &str) -> Result<Listed> {
    let cells = INDEX.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let mut lines = cells.filter(|cells| cells.len() == 7 && cells[0] == snippet);
    let cells = lines.next().with_context(|| format!("index.tsv has no {snippet}"))?;
    let heals = cells[3].split(',').map(|word| match word {
        "no_sni" => Some(SentName::None),
        "unknown_name" => Some(SentName::Unknown),
        _ => None,
    });
    let heals = heals.collect::<Option<_>>().with_context(|| format!("index.tsv: problems of {snippet}"))?;
    Ok(Listed { heals, tried: cells[4].split(", ").filter(|version| *version != "-").collect() })
}

/// Replaces the placeholders. The gateway listens on `port`, its backend on the next one.
pub(super) fn filled(text: &str, port: u16) -> String {
    let backend = format!("127.0.0.1:{}", port + 1);
    let port = port.to_string();
    [
        ("FALLBACK_PEM_FILE", "/mnt/gateway.pem"),
        ("CERTIFICATE_DIRECTORY", "/mnt/certificates"),
        ("CERTIFICATE_FILE", "/mnt/gateway.crt"),
        ("KEY_FILE", "/mnt/gateway.key"),
        ("FALLBACK_NAME", SERVER_NAME),
        ("HOST_NAME", SERVER_NAME),
        ("BACKEND_NAME", "served"),
        ("BACKEND_ADDRESS", &backend),
        ("FORMER_CALLBACK", "SNICallback"),
        ("DELEGATE", "keys"),
        ("PORT", &port),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (placeholder, value)| text.replace(placeholder, value))
}
