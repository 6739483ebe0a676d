//! Secrets in any text: by their form ([`forms`]), in command lines ([`commands`]), and after a name that says so.

use super::names::{is_secret, is_secret_of_jwk, is_secret_scalar};
use super::{REDACTED, commands, forms};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Parts of the labels of PEM blocks that are secret: keys, also static ones of a VPN.
const SECRET_LABELS: [&str; 3] = ["PRIVATE", "SECRET", "Static key"];
/// What is before the quote of a literal in SQL and in other languages; usually nothing.
const LITERALS: [&str; 13] = ["", "N", "n", "U&", "u&", "E", "e", "B", "b", "X", "x", "R", "r"];
/// Words that follow the name of a secret in a sentence.
const SENTENCE: [&str; 16] = [
    "is", "was", "for", "of", "and", "or", "to", "in", "not", "with", "from", "has", "must", "that",
    "required", "the",
];

/// The text without secrets; `count` grows by their number.
pub(super) fn redact(text: &str, count: &mut u64) -> String {
    let text = message(text, count);
    let mut redacted = String::with_capacity(text.len());
    // The indentation of a name with a block of lines under it.
    let mut block = None;
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let indentation = line.len() - line.trim_start().len();
        if block.is_some_and(|of_name| indentation > of_name && !line.trim().is_empty()) {
            redacted.push_str(&line[..indentation]);
            redacted.push_str(REDACTED);
            *count += u64::from(!line.contains(REDACTED));
            redacted.push_str(end);
            continue;
        }
        block = begins_block(line).then_some(indentation);
        let line = commands::redact(line, count);
        let line = named(&line, count);
        redacted.push_str(&bare(&line, count));
        redacted.push_str(end);
    }
    redacted
}

/// A sentence of this program or of the system without secrets: only those that are known by their form. What is said after
/// a path or a host with the name of a secret stays.
pub(super) fn message(text: &str, count: &mut u64) -> String {
    forms::redact(&private_keys(text, count), count)
}

/// PEM blocks with a private key, also with escaped ends of lines; one without an end goes to the end of the text.
fn private_keys(text: &str, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        let after = &rest[begin + BEGIN.len()..];
        let label = after.find(DASHES).map_or(after, |end| &after[..end]);
        if !SECRET_LABELS.iter().any(|part| label.contains(part)) {
            let end = begin + BEGIN.len();
            redacted.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        redacted.push_str(&rest[..begin]);
        redacted.push_str(REDACTED);
        *count += 1;
        rest = after.find(END).map_or("", |end| {
            let after = &after[end + END.len()..];
            after.find(DASHES).map_or("", |end| &after[end + DASHES.len()..])
        });
    }
    redacted.push_str(rest);
    redacted
}

/// Whether the value under a secret's name is in the lines after this one, as YAML has it.
fn begins_block(line: &str) -> bool {
    let line = line.trim_end().trim_end_matches(['-', '+']);
    line.strip_suffix(['|', '>'])
        .and_then(|line| line.trim_end().strip_suffix(':'))
        .is_some_and(|name| is_secret(name_before(name)))
}

/// `name: value`, `name=value`, `"name": "value"` where the name is that of a secret.
fn named(line: &str, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    // A key in JSON.
    let is_jwk = line.contains("kty");
    while let Some(at) = rest.find([':', '=']) {
        let is_colon = rest.as_bytes()[at] == b':';
        let name = name_before(&rest[..at]);
        let is_named = is_secret(name) || is_secret_scalar(name) || is_jwk && is_secret_of_jwk(name);
        // A file of properties: the value goes to the end of the line.
        let is_whole = redacted.is_empty() && rest[..at].trim().trim_matches(['"', '\'', '#', ' ']) == name;
        let (before, after) = rest.split_at(at + 1);
        redacted.push_str(before);
        rest = after;
        if !is_named {
            continue;
        }
        let begin = rest.find(|character| !matches!(character, ' ' | '\t' | '=' | '>')).unwrap_or(rest.len());
        let (space, value) = rest.split_at(begin);
        let length = value_length(value, is_colon || is_whole);
        if value.is_empty() || length == 0 || value.starts_with(REDACTED) && length <= REDACTED.len() {
            continue;
        }
        redacted.push_str(space);
        redacted.push_str(REDACTED);
        *count += 1;
        rest = &value[length..];
    }
    redacted.push_str(rest);
    redacted
}

/// `name value`, as in netrc, redis.conf and ldap.conf, where the name is that of a secret. A sentence that has such a word stays.
fn bare(line: &str, count: &mut u64) -> String {
    let is_netrc = line.contains("login ") || line.contains("machine ");
    let is_alone = line.split_whitespace().count() == 2;
    let first = line.split_whitespace().find(|word| !PROMPTS.contains(word)).unwrap_or_default();
    let is_command = COMMANDS.contains(&first.rsplit('/').next().unwrap_or_default());
    let mut redacted = String::with_capacity(line.len());
    // The word is after the name of a secret, and whether it surely is its value.
    let mut after_name = None;
    let mut previous = "";
    let mut rest = line;
    while !rest.is_empty() {
        let gap = rest.find(|character| !matches!(character, ' ' | '\t')).unwrap_or(rest.len());
        let (space, after) = rest.split_at(gap);
        redacted.push_str(space);
        let is_quoted = after_name.is_some() && quote_at(after).is_some();
        let end = after.find([' ', '\t']).unwrap_or(after.len());
        let (word, after) = after.split_at(if is_quoted { value_length(after, false) } else { end });
        rest = after;
        let bare = if is_quoted { word } else { word.trim_end_matches(['.', ',', ';', '!', ')', '"', '\'']) };
        if let Some(is_sure) = after_name.take() {
            let is_kind = bare.len() <= 2 && bare.bytes().all(|byte| byte.is_ascii_digit())
                || ENCRYPTIONS.iter().any(|known| known.eq_ignore_ascii_case(bare));
            if is_command && is_kind && !rest.trim().is_empty() {
                redacted.push_str(word);
                after_name = Some(true);
                continue;
            }
            let is_telling = is_netrc
                || is_alone
                || is_sure
                || is_quoted
                || !bare.bytes().all(|byte| byte.is_ascii_lowercase());
            if is_telling && !SENTENCE.contains(&bare) && is_value(bare) {
                redacted.push_str(REDACTED);
                redacted.push_str(&word[bare.len()..]);
                *count += 1;
                previous = "";
                continue;
            }
        }
        redacted.push_str(word);
        let is_part = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'_' | b'-' | b'.' | b'#')
                || byte == b'/' && is_command
        };
        let is_set = SETTERS.iter().any(|setter| setter.eq_ignore_ascii_case(previous));
        let name = word.trim_start_matches(['(', '[', '{']);
        let is_name = name.bytes().all(is_part)
            && !name.starts_with('-')
            && (is_bare_name(name) || (is_command || is_set) && is_secret(name));
        after_name = is_name.then_some(is_command || is_set);
        previous = word;
    }
    redacted
}

/// What may be before the first word of a command.
const PROMPTS: [&str; 7] = ["-", "$", "#", ">", "RUN", "sudo", "no"];
/// Commands with names of secrets and their values among their words: of routers, of servers' configurations, of tools.
const COMMANDS: &[&str] = &[
    // Routers and switches.
    "enable",
    "username",
    "user",
    "snmp-server",
    "tacacs-server",
    "radius-server",
    "neighbor",
    "ppp",
    "crypto",
    "ntp",
    "ip",
    "key-string",
    "tacacs",
    "radius",
    // Servers.
    "proxy_set_header",
    "fastcgi_param",
    "uwsgi_param",
    "add_header",
    "RequestHeader",
    "Header",
    "SetEnv",
    // Tools.
    "aws",
    "git",
    "npm",
    "yarn",
    "pnpm",
    "consul",
    "etcdctl",
    "redis-cli",
    "valkey-cli",
    "gcloud",
    "heroku",
    // Files of images, shells.
    "ENV",
    "ARG",
    "LABEL",
    "setenv",
    "setx",
];
/// What routers have between the name of a secret and the secret, beside numbers: `password 7 …`, `key 1 md5 …`.
const ENCRYPTIONS: [&str; 10] =
    ["md5", "sha", "sha1", "sha256", "sha512", "ascii-text", "hex", "encrypted", "clear", "hexadecimal"];
/// Words before the name of something that gets a value.
const SETTERS: [&str; 8] = ["set", "add", "put", "env", "arg", "config", "setenv", "setx"];

/// Names of secrets that are also words of sentences: `key 1` says nothing.
fn is_bare_name(word: &str) -> bool {
    let word = word.trim_start_matches('#');
    word.len() > "key".len() && is_secret(word) || matches!(word, "pwd" | "pw" | "psk")
}

/// Not a sign, a flag, a list, or something taken out.
fn is_value(word: &str) -> bool {
    word.starts_with(|character: char| {
        character.is_alphanumeric() || matches!(character, '"' | '\'' | '$' | '>')
    }) && !word.contains(REDACTED)
        && !word.ends_with([':', '='])
}

/// The name at the end of the text, without its quotes.
fn name_before(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t', '"', '\'', '\\', ']', ':']);
    let is_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    let begin = text.char_indices().rev().find(|(_, character)| !is_name(*character));
    begin.map_or(text, |(at, character)| &text[at + character.len_utf8()..])
}

/// Where the opening quote of the value is: at its begin, or after the letters of a literal, as in `N'…'` of SQL.
fn quote_at(value: &str) -> Option<usize> {
    let quote = value.find(['"', '\''])?;
    LITERALS.contains(&&value[..quote]).then_some(quote)
}

/// Bytes of the value: to its closing quote; without quotes to the end of the line, or to the next field or word.
fn value_length(value: &str, is_to_end: bool) -> usize {
    if let Some(letters) = quote_at(value).filter(|letters| *letters > 0) {
        return letters + value_length(&value[letters..], is_to_end);
    }
    for quote in ["\\\"", "\\'", "\"", "'"] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let mut from = 0;
            while let Some(end) = quoted[from..].find(quote).map(|end| from + end) {
                let is_escaped = quote.len() == 1 && quoted[..end].ends_with('\\');
                from = end + quote.len();
                if !is_escaped {
                    return quote.len() + from;
                }
            }
            return value.len();
        }
    }
    // A connection string: `Password={a;b};`, `Password=two words;`.
    if value.starts_with('{')
        && let Some(end) = value.find('}')
    {
        return end + 1;
    }
    if let Some(end) = value.find(';')
        && !value[..end].contains(['=', '"', '\'', '&'])
    {
        return end;
    }
    if is_to_end {
        return value.len();
    }
    let is_end =
        |character: char| character.is_whitespace() || matches!(character, '&' | '"' | '\'' | ';' | '}');
    value.find(is_end).unwrap_or(value.len())
}
