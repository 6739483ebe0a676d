//! Takes secrets out, and addresses if that is asked for.
//!
//! In YAML and JSON a secret is known by the name of its field ([`names`]); in any text by its form ([`forms`]), by its place
//! in a command line ([`commands`]), or by the name before it ([`text`]). Configurations also lose words that look like keys
//! ([`opaque`]). Rather too much is taken out than too little.

mod addresses;
mod certificates;
mod commands;
mod forms;
mod kept;
mod names;
mod opaque;
mod programs;
mod text;
mod tokens;
mod tree;

use anyhow::anyhow;
use serde_json::Value;

use self::addresses::Pseudonyms;

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// Redacts the texts of one bundle: the same address has the same pseudonym in all of them.
#[derive(Debug)]
pub(super) struct Redactor {
    pseudonyms: Option<Pseudonyms>,
    /// Secrets that were taken out so far.
    count: u64,
}

impl Redactor {
    /// With pseudonyms for addresses, or without.
    pub(super) fn new(addresses: bool) -> Self {
        Self { pseudonyms: addresses.then(Pseudonyms::default), count: 0 }
    }

    /// Whether addresses are replaced.
    pub(super) fn is_for_addresses(&self) -> bool {
        self.pseudonyms.is_some()
    }

    /// Secrets that were taken out so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Any text.
    pub(super) fn text(&mut self, text: &str) -> String {
        let text = text::redact(text, &mut self.count);
        self.addresses(text)
    }

    /// A path, a URL, or a message of this program or of the system: words after the name of a secret stay.
    pub(super) fn message(&mut self, text: &str) -> String {
        let text = text::message(text, &mut self.count);
        self.addresses(text)
    }

    fn addresses(&mut self, text: String) -> String {
        match &mut self.pseudonyms {
            Some(pseudonyms) => pseudonyms.replace(&text),
            None => text,
        }
    }

    /// A command line.
    pub(super) fn words(&mut self, words: impl Iterator<Item = String>) -> Vec<String> {
        let words = words.map(Value::String).collect();
        let Value::Array(words) = tree::redact(self, Value::Array(words)) else { return Vec::new() };
        words.iter().map(|word| word.as_str().unwrap_or(REDACTED).to_owned()).collect()
    }

    /// A JSON document of a daemon.
    ///
    /// # Errors
    /// If it is none: then no field has a name, and the secrets cannot be found.
    pub(super) fn json(&mut self, source: &str, text: &str) -> anyhow::Result<String> {
        let value = serde_json::from_str(text).map_err(|_| anyhow!("{source}: not JSON"))?;
        Ok(format!("{:#}\n", tree::redact(self, value)))
    }

    /// A configuration in YAML, of one or several documents, or in JSON. Comments do not survive: secrets may be in them.
    ///
    /// # Errors
    /// If it is neither: then no field has a name, and the secrets cannot be found. The error says where in `source`.
    pub(super) fn configuration(&mut self, source: &str, text: &str) -> anyhow::Result<String> {
        if let Ok(value) = serde_json::from_str(text) {
            return Ok(format!("{:#}\n", tree::redact_configuration(self, value)));
        }
        let documents = tree::parse_yaml(self, text).map_err(|error| not_structured(source, &error))?;
        let mut redacted = String::new();
        for document in documents {
            if !redacted.is_empty() {
                redacted.push_str("---\n");
            }
            redacted.push_str(&tree::write_yaml(&tree::redact_configuration(self, document)));
        }
        Ok(redacted)
    }

    /// A JSON object a line; a line that is none is a text.
    pub(super) fn json_lines(&mut self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        for line in text.lines() {
            match serde_json::from_str::<Value>(line) {
                Ok(value) => redacted.push_str(&tree::redact(self, value).to_string()),
                Err(_) => redacted.push_str(&self.text(line)),
            }
            redacted.push('\n');
        }
        redacted
    }
}

/// Says where. The parser's own message may cite what is there, and that may be a secret.
fn not_structured(source: &str, error: &serde_saphyr::Error) -> anyhow::Error {
    let reason = match error.without_snippet() {
        serde_saphyr::Error::BinaryNotUtf8 { .. } | serde_saphyr::Error::InvalidBinaryBase64 { .. } => {
            "a value with the tag !!binary is no text"
        }
        _ => "neither YAML nor JSON",
    };
    match error.location() {
        Some(place) if place.line() > 0 => anyhow!("{source}:{}:{}: {reason}", place.line(), place.column()),
        _ => anyhow!("{source}: {reason}"),
    }
}

#[cfg(test)]
mod tests;
