//! Secrets by their form, in any text.

use super::REDACTED;
use super::names::{has_login, is_login_flag, is_secret, is_secret_of_jwk};

/// How tokens begin that are known by that: JSON in base64 (JWTs, service accounts), those of Google, GitHub, GitLab,
/// Slack, AWS, Stripe, Vault; and PEM in base64.
const TOKENS: [&str; 20] = [
    "eyJ",
    "ewog",
    "ewoJ",
    "ya29.",
    "1//",
    "AIza",
    "GOCSPX-",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "sk_live_",
    "hvs.",
    "LS0tLS1CRUdJTi",
    "sk-",
];
/// A certificate in base64 is none.
const CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJU";
/// Shorter ones are words that begin so by chance.
const MIN_TOKEN: usize = 16;
/// What precedes a secret without a gap: addresses of webhooks, which let in whoever knows them, and hashes of passwords
/// (crypt(5)).
const MARKS: [&str; 15] = [
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "hooks.slack.com/triggers/",
    "discord.com/api/webhooks/",
    "webhook.office.com/",
    "$2a$",
    "$2b$",
    "$2x$",
    "$2y$",
    "$1$",
    "$5$",
    "$6$",
    "$y$",
    "$apr1$",
    "$argon2",
];
/// What precedes credentials in a header.
const SCHEMES: [&str; 4] = ["bearer", "basic", "digest", "apikey"];
const MIN_CREDENTIALS: usize = 6;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The text without secrets; `count` grows by those.
pub(super) fn redact(text: &str, count: &mut u64) -> String {
    let text = private_keys(text, count);
    let mut redacted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let line = user_info(line, count);
        let line = logins(&marked(&line, count), count);
        let line = words(&line, count);
        redacted.push_str(&named(&line, count));
        redacted.push_str(end);
    }
    redacted
}

/// PEM blocks with a private key, also with escaped ends of lines; one without an end goes to the end of the text.
fn private_keys(text: &str, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        let after = &rest[begin + BEGIN.len()..];
        let label = after.find(DASHES).map_or(after, |end| &after[..end]);
        if !label.contains("PRIVATE") {
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

/// User and password in a URL.
fn user_info(line: &str, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        redacted.push_str(before);
        let is_end = |character: char| {
            character.is_whitespace() || matches!(character, '/' | '?' | '#' | '"' | '\'' | '<' | '>')
        };
        let authority = after.find(is_end).map_or(after, |end| &after[..end]);
        if let Some(user) = authority.rfind('@') {
            redacted.push_str(REDACTED);
            *count += 1;
            rest = &after[user..];
        } else {
            rest = after;
        }
    }
    redacted.push_str(rest);
    redacted
}

/// What follows one of [`MARKS`], to the end of the word.
fn marked(line: &str, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(end) = MARKS.iter().filter_map(|mark| rest.find(mark).map(|at| at + mark.len())).min() {
        let (before, after) = rest.split_at(end);
        redacted.push_str(before);
        let is_end =
            |character: char| character.is_whitespace() || matches!(character, '"' | '\'' | '<' | '>' | ')');
        let (word, after) = after.split_at(after.find(is_end).unwrap_or(after.len()));
        if word.len() >= MIN_CREDENTIALS && word != REDACTED {
            redacted.push_str(REDACTED);
            *count += 1;
        } else {
            redacted.push_str(word);
        }
        rest = after;
    }
    redacted.push_str(rest);
    redacted
}

/// User and password after the flag for them, `-u user:password` or `-uuser:password`. Without a colon it is a user.
fn logins(line: &str, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut is_login = false;
    let mut rest = line;
    while !rest.is_empty() {
        let gap = rest.find(|character: char| !is_between(character)).unwrap_or(rest.len());
        let (between, after) = rest.split_at(gap);
        redacted.push_str(between);
        // In quotes there may be a gap in it.
        let quote =
            between.chars().next_back().filter(|character| is_login && matches!(character, '"' | '\''));
        let is_end = |character: char| quote.map_or(is_between(character), |quote| character == quote);
        let (word, after) = after.split_at(after.find(is_end).unwrap_or(after.len()));
        if is_login && word.contains(':') && word != REDACTED || has_login(word) {
            redacted.push_str(REDACTED);
            *count += 1;
        } else {
            redacted.push_str(word);
        }
        is_login = is_login_flag(word);
        rest = after;
    }
    redacted
}

fn is_between(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\'' | ',' | '=' | '[' | ']')
}

/// Tokens that are known by their beginning, credentials after their scheme, and values after a flag.
fn words(line: &str, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(line.len());
    let mut rest = line;
    // What the word before says of the next one: at least so long it is a secret.
    let mut wanted = None;
    while !rest.is_empty() {
        let gap = rest.find(is_token).unwrap_or(rest.len());
        let (between, after) = rest.split_at(gap);
        redacted.push_str(between);
        // It is another sentence, or another field.
        if !between.chars().all(|character| matches!(character, ' ' | '\t' | ':')) {
            wanted = None;
        }
        let length = after.find(|character| !is_token(character)).unwrap_or(after.len());
        let (word, after) = after.split_at(length);
        let is_known = word.len() >= MIN_TOKEN
            && TOKENS.iter().any(|token| word.starts_with(token))
            && !word.starts_with(CERTIFICATE);
        if is_known || wanted.is_some_and(|length| word.len() >= length) {
            redacted.push_str(REDACTED);
            *count += 1;
            wanted = None;
        } else {
            redacted.push_str(word);
            wanted = if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)) {
                Some(MIN_CREDENTIALS)
            } else if word.starts_with("--") && !word.contains('=') && is_secret(word) {
                Some(1)
            } else {
                None
            };
        }
        rest = after;
    }
    redacted
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '+' | '/' | '=' | '~')
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
        let is_named = is_secret(name) || is_jwk && is_secret_of_jwk(name);
        let (before, after) = rest.split_at(at + 1);
        redacted.push_str(before);
        rest = after;
        if !is_named {
            continue;
        }
        let begin = rest.find(|character| !matches!(character, ' ' | '\t' | '=' | '>')).unwrap_or(rest.len());
        let (space, value) = rest.split_at(begin);
        let length = value_length(value, is_colon);
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

/// The name at the end of the text, without its quotes.
fn name_before(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t', '"', '\'', '\\', ']', ':']);
    let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
    let begin = text.char_indices().rev().find(|(_, character)| !is_name(*character));
    begin.map_or(text, |(at, character)| &text[at + character.len_utf8()..])
}

/// Bytes of the value: to its closing quote; without quotes to the end of the line after a colon, else to the end of the word.
fn value_length(value: &str, is_colon: bool) -> usize {
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
    if is_colon {
        return value.len();
    }
    let is_end =
        |character: char| character.is_whitespace() || matches!(character, '&' | '"' | '\'' | ';' | '}');
    value.find(is_end).unwrap_or(value.len())
}
