//! Files, and JSON or YAML in them, within bounds.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_saphyr::{Options, alias_limits, budget, options};
use sni_probe_terminal::printable_within;

use super::template;

/// Bytes of a file, which is in memory while it is parsed. Ten thousand routes are about 20 MiB; a file of another
/// kind that was named by mistake is refused.
pub(super) const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Nested lists and maps in YAML, which would exhaust the stack. (`serde_json` has 128.)
const MAX_DEPTH: usize = 100;
/// Keys, values, lists and maps, which cost more than their bytes: some 60 bytes each.
const MAX_NODES: usize = 4_000_000;
/// What aliases (`*name`) in YAML may stand for, in all: a few bytes can stand for billions.
const MAX_ALIAS_EVENTS: usize = 100_000;
/// Documents of a YAML file.
const MAX_DOCUMENTS: usize = 20_000;
/// Characters of a parser's words, which may cite the file.
const MAX_REASON: usize = 300;

/// A file's text, and the name under which it is told of.
#[derive(Debug)]
pub(super) struct InputText {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads a file, or standard input (`-`).
///
/// # Errors
/// If it cannot be read, is larger than [`MAX_FILE_BYTES`], or is no text.
pub(super) fn read(path: &Path) -> anyhow::Result<InputText> {
    let name = super::display(path);
    let bytes = if path == Path::new("-") {
        read_bounded(io::stdin().lock())
    } else {
        File::open(path).and_then(read_bounded)
    };
    let bytes = bytes.with_context(|| format!("cannot read {name}"))?;
    InputText::new(name, bytes)
}

fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl InputText {
    /// # Errors
    /// If the bytes are too many, or no text.
    pub(super) fn new(name: String, bytes: Vec<u8>) -> anyhow::Result<Self> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            bail!(
                "{name}: more than {} MiB; expected the output of `kubectl get apigeeroutes -A -o json`, or overrides.yaml",
                MAX_FILE_BYTES >> 20
            );
        }
        // Byte order marks of UTF-16, which PowerShell writes.
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            bail!("{name}:1:1: UTF-16; write it as UTF-8 (in PowerShell: | Out-File -Encoding utf8)");
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let (line, column) = position(error.as_bytes().get(..good).unwrap_or_default());
                bail!("{name}:{line}:{column}: not text in UTF-8; expected JSON or YAML");
            }
        };
        let text = match text.strip_prefix("\u{feff}") {
            Some(text) => text.to_owned(),
            None => text,
        };
        if text.trim().is_empty() {
            bail!("{name}: empty; expected JSON or YAML");
        }
        Ok(Self { name, text })
    }

    /// All documents: JSON if it begins as JSON does and is JSON, else YAML. The elements of a list are documents too.
    ///
    /// # Errors
    /// If it is neither, or not of the form of `T`: file, line and column.
    pub(super) fn documents<T: DeserializeOwned>(&self) -> anyhow::Result<Vec<T>> {
        let text = self.text.trim_start();
        if template::begins(text) {
            let before = self.text.get(..self.text.len() - text.len()).unwrap_or_default();
            return Err(self.template_error(before, text));
        }
        let first = text.as_bytes().first();
        if let Some(b'{' | b'[') = first {
            // YAML has its budget. In JSON there is one of these between any two.
            let separators = self.text.bytes().filter(|byte| matches!(byte, b',' | b':')).count();
            if separators > MAX_NODES {
                bail!(
                    "{}: more than {MAX_NODES} keys and values; name one namespace (kubectl -n)",
                    self.name
                );
            }
        }
        match first {
            Some(b'{') => {
                let result = serde_json::Deserializer::from_str(&self.text).into_iter().collect();
                self.json_or_flow(result, Self::yaml)
            }
            Some(b'[') => self.json_or_flow(serde_json::from_str(&self.text), Self::yaml_lists),
            _ if begins_list(text) => self.yaml_lists(),
            _ => self.yaml(),
        }
    }

    /// What was read as JSON. If it is no JSON, it may be the flow style of YAML, which needs no quotes.
    fn json_or_flow<T>(
        &self,
        result: Result<Vec<T>, serde_json::Error>,
        yaml: impl Fn(&Self) -> anyhow::Result<Vec<T>>,
    ) -> anyhow::Result<Vec<T>> {
        let error = match result {
            Ok(documents) => return Ok(documents),
            Err(error) => error,
        };
        if !error.is_syntax() {
            return Err(self.json_error(&error));
        }
        let inside =
            self.text.trim_start_matches(|next: char| next.is_whitespace() || matches!(next, '{' | '['));
        let is_plain = inside.starts_with(|next: char| next.is_alphanumeric());
        yaml(self).map_err(|of_yaml| if is_plain { of_yaml } else { self.json_error(&error) })
    }

    fn json_error(&self, error: &serde_json::Error) -> anyhow::Error {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let reason = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text);
        let hint = if error.is_eof() { "; is the file whole?" } else { "" };
        anyhow::anyhow!(
            "{}:{line}:{column}: not JSON as expected: {}{hint}",
            self.name,
            printable_within(MAX_REASON, reason)
        )
    }

    fn yaml<T: DeserializeOwned>(&self) -> anyhow::Result<Vec<T>> {
        serde_saphyr::from_multiple_with_options(&self.text, yaml_options())
            .map_err(|error| self.yaml_error(&error))
    }

    /// Each document is a list, as `yq .items` prints it.
    fn yaml_lists<T: DeserializeOwned>(&self) -> anyhow::Result<Vec<T>> {
        let lists: Vec<Vec<T>> = self.yaml()?;
        Ok(lists.into_iter().flatten().collect())
    }

    fn template_error(&self, before: &str, template: &str) -> anyhow::Error {
        let (line, column) = position(before.as_bytes());
        anyhow::anyhow!("{}:{line}:{column}: {}", self.name, template::unrendered(template))
    }

    fn yaml_error(&self, error: &serde_saphyr::Error) -> anyhow::Error {
        if let Some((before, template)) = template::in_file(&self.text) {
            return self.template_error(before, template);
        }
        let place = match error.location() {
            Some(location) if location.line() > 0 => {
                format!("{}:{}:{}", self.name, location.line(), location.column())
            }
            _ => self.name.clone(),
        };
        let text = error.without_snippet().to_string();
        // The place is told already, and first; after it may come what a programmer is to do.
        let reason = [" at line ", ", set "]
            .iter()
            .fold(text.as_str(), |text, end| text.split(end).next().unwrap_or(text));
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = reason.replace("expected mapping start", "expected a map (key: value)");
        let reason = reason.replace("expected sequence start", "expected a list");
        let hint = self.hint(&reason);
        anyhow::anyhow!("{place}: not YAML as expected: {}{hint}", printable_within(MAX_REASON, &reason))
    }

    /// What often is the cause.
    fn hint(&self, reason: &str) -> &'static str {
        let begins_with = |word: &str| self.text.trim_start().starts_with(word);
        if reason.contains("tab") {
            "; indent with spaces: YAML takes no tabs"
        } else if begins_with("NAME") || begins_with("Name:") {
            "; this is a table or a description for people: add -o json to `kubectl get`"
        } else {
            ""
        }
    }
}

fn yaml_options() -> Options {
    options! {
        budget: budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 2,
            max_documents: MAX_DOCUMENTS,
        },
        alias_limits: alias_limits! { max_total_replayed_events: MAX_ALIAS_EVENTS },
        with_snippet: false,
    }
}

/// Whether the first document of YAML is a list in block style.
fn begins_list(text: &str) -> bool {
    let is_content = |line: &&str| !line.is_empty() && *line != "---" && !line.starts_with(['#', '%']);
    let first = text.lines().map(str::trim).find(is_content);
    first.is_some_and(|line| line == "-" || line.starts_with("- "))
}

/// Line and column of what comes next, from 1.
fn position(before: &[u8]) -> (usize, usize) {
    let mut lines = before.split(|byte| *byte == b'\n');
    let last = lines.next_back().unwrap_or_default();
    (lines.count() + 1, last.len() + 1)
}
