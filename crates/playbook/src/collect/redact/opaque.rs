//! Words of a configuration that look as keys and passwords do, under names that say nothing.
//!
//! Names of Kubernetes objects, hosts, paths and versions are words in lower case, or have a form of their own. A word with
//! capitals and digits, or a long one of random letters, is most likely a secret or an identifier that support can do without.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::REDACTED;
use super::certificates::is_certificate;
use super::names::is_harmless;

/// Names of fields with single values that stay, whatever they look like: what support asks for. In lower case, without separators.
const KEPT: &[&str] = &[
    "apiversion",
    "kind",
    "name",
    "namespace",
    "uid",
    "generation",
    "hostname",
    "host",
    "fqdn",
    "image",
    "version",
    "revision",
    "org",
    "instanceid",
    "projectid",
    "region",
    "clustername",
    "clusterregion",
    "env",
    "servername",
    "sni",
    "ociversion",
];
/// Names of lists of such values.
const KEPT_LISTS: &[&str] =
    &["hostnames", "hosts", "dnsnames", "domains", "names", "credentialnames", "additionalgateways"];
/// Names of maps from the names of variables or labels to their values.
const VARIABLES: &[&str] = &[
    "env",
    "envs",
    "envvar",
    "envvars",
    "extraenv",
    "environment",
    "environmentvariables",
    "variables",
    "vars",
    "labels",
    "annotations",
];
/// Characters of a word with capitals and digits.
const MIN_MIXED: usize = 8;
/// Characters of a word in lower case with digits, or of hexadecimal digits.
const MIN_LOWER: usize = 20;
/// Parts of a word that is known for what it is.
static KNOWN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?x)
        ^\d{4}-\d\d-\d\d([T_ ]?[\d:.+Z-]*)?$            # a date
        | ^(TLS|SSL|HTTP|RFC|CVE|ISO|UTF|IPV|ECDHE|DHE|AES|X509|SHA|SANS?)[A-Z_v]*[\d_.-]
        | AES_?(128|256) | CHACHA20 | SHA(1|256|384|512)\b | P(256|384|521)\b | X25519
        ",
    )
    .ok()
});
/// A run of characters that keys in base64 have.
static BASE64: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_=-]{24,}").ok());
/// A run of characters without those that separate the parts of names.
static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9_+=~!%^*-]{8,}").ok());
/// Whether a single value under this name, or a list of single values, stays. A value of any other shape does not.
pub(super) fn is_kept(name: &str, value: &Value) -> bool {
    let normal = normal(name);
    match value {
        Value::Object(_) => false,
        Value::Array(_) => KEPT_LISTS.contains(&normal.as_str()),
        _ => KEPT.contains(&normal.as_str()) || KEPT_LISTS.contains(&normal.as_str()) || is_harmless(name),
    }
}

/// Whether a map under this name has names of variables or labels, not of fields.
pub(super) fn has_variables(name: &str) -> bool {
    VARIABLES.contains(&normal(name).as_str())
}

fn normal(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|character| character.to_ascii_lowercase()).collect()
}

/// The text without such words; `count` grows by their number.
pub(super) fn redact(text: &str, count: &mut u64) -> String {
    let (Some(base64), Some(word)) = (&*BASE64, &*WORD) else { return text.to_owned() };
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    let mut between = |text: &str| {
        let text = replace(base64, text, is_base64, count);
        replace(word, &text, is_opaque, count)
    };
    for found in base64.find_iter(text).filter(|found| is_certificate(found.as_str())) {
        redacted.push_str(&between(&text[copied..found.start()]));
        redacted.push_str(found.as_str());
        copied = found.end();
    }
    redacted.push_str(&between(&text[copied..]));
    redacted
}

fn replace(pattern: &Regex, text: &str, is_one: fn(&str, &str) -> bool, count: &mut u64) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    for found in pattern.find_iter(text) {
        if is_one(found.as_str(), &text[..found.start()]) {
            redacted.push_str(&text[copied..found.start()]);
            redacted.push_str(REDACTED);
            copied = found.end();
            *count += 1;
        }
    }
    redacted.push_str(&text[copied..]);
    redacted
}

/// A long run with capitals, small letters and digits that is no path.
fn is_base64(run: &str, before: &str) -> bool {
    let is_path = run.starts_with('/') || is_in_path(before);
    let (capitals, small, digits) = classes(run);
    !is_path && capitals && small && digits && !is_known(run)
}

/// Whether the text ends within a path of files. That of a URL may be a secret.
fn is_in_path(before: &str) -> bool {
    let begin = before.rsplit([' ', '\t', '\n', '"', '\'', '=', ':', ',']).next().unwrap_or_default();
    begin.starts_with(['/', '.', '~']) && !begin.starts_with("//")
}

fn is_opaque(word: &str, before: &str) -> bool {
    let is_digest = before.ends_with("sha256:") || before.ends_with("sha512:");
    if is_digest || is_known(word) || is_in_path(before) {
        return false;
    }
    // The parts of a name, such as that of a pod, are short.
    let parts = word.split(['-', '_']).filter(|part| !part.is_empty());
    let longest = parts.max_by_key(|part| part.len()).unwrap_or_default();
    let (capitals, small, digits) = classes(word);
    let is_mixed = capitals && digits && longest.len() >= MIN_MIXED / 2;
    let has_marks = digits && small && word.contains(['!', '%', '^', '*', '~', '+', '=']);
    let is_long = small && digits && longest.len() >= MIN_LOWER;
    word.len() >= MIN_MIXED && (is_mixed || has_marks || is_long) || is_uuid(word)
}

fn is_uuid(word: &str) -> bool {
    let lengths = word.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn is_known(word: &str) -> bool {
    KNOWN.as_ref().is_some_and(|known| known.is_match(word))
}

/// Whether it has capitals, small letters, digits.
fn classes(word: &str) -> (bool, bool, bool) {
    (
        word.bytes().any(|byte| byte.is_ascii_uppercase()),
        word.bytes().any(|byte| byte.is_ascii_lowercase()),
        word.bytes().any(|byte| byte.is_ascii_digit()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_taken_out(text: &str) -> bool {
        redact(text, &mut 0) != text
    }

    #[test]
    fn words_that_look_like_keys() {
        for text in [
            "SEKRET54",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1",
            "0123456789abcdef0123456789abcdef",
            "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "tr0ub4dor%3",
            "a: Zx9Kq2Lm w",
            // A private key without its first line.
            "MIIEpAIBAAKCAQEA7SEKRET01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "MIIKSEKRET03IBAzCCCgYGCSqGSIb3DQEHAaCC",
        ] {
            assert!(is_taken_out(text), "{text}");
        }
    }

    #[test]
    fn words_of_configurations_stay() {
        for text in [
            "2026-11-25T22:10:01.5Z",
            "2026-11-25",
            "TLS_AES_128_GCM_SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "TLSV1_2",
            "gcr.io/apigee-release/hybrid/apigee-udca:1.14.0",
            "apigee-ingressgateway-7d9f8b6c5d-x2x9z",
            "apigee.cloud.google.com/v1alpha1",
            "./certs/keystore_dev-grp.pem",
            "/opt/Apigee2/Customer/keystore-Dev2.pem",
            "ENVIRONMENT_GROUP",
            "enableNonSniClientForAllHosts",
            "us-central1",
            "500Mi",
            "10.1.2.3:8443",
            include_str!("testdata/certificate.pem.base64"),
            "sha256:5bd3a94b2c16197243b19889640cd7bb934e96b12efdf467668a6dc2186460bf",
        ] {
            assert!(!is_taken_out(text), "{text} => {}", redact(text, &mut 0));
        }
    }

    #[test]
    fn names_of_fields_with_values_that_stay() {
        let (scalar, list, map) = (json!("a"), json!(["a"]), json!({"a": "b"}));
        for (name, value, expected) in [
            ("hostnames", &list, true),
            ("hostnames", &map, false),
            ("credentialName", &scalar, true),
            ("apiVersion", &scalar, true),
            ("env", &scalar, true),
            ("env", &list, false),
            ("env", &map, false),
            ("value", &scalar, false),
            ("message", &scalar, false),
            ("tag", &scalar, false),
            ("license", &scalar, false),
        ] {
            assert_eq!(is_kept(name, value), expected, "{name}: {value}");
        }
        assert!(has_variables("env") && has_variables("envVars") && !has_variables("spec"));
    }
}
