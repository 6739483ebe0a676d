//! Names of fields whose values are secrets.

/// Parts of such names, in lower case, without separators.
const SECRET: [&str; 28] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "privatekey",
    "sslkey",
    "tlskey",
    "cakey",
    "apikey",
    "accesskey",
    "encryptionkey",
    "signingkey",
    "sharedkey",
    "clientkey",
    "keydata",
    "credential",
    "authorization",
    "cookie",
    "serviceaccount",
    "jsonkey",
    "keypem",
    "keyjson",
    "enckey",
    "bearer",
    "dockerconfigjson",
    "dockercfg",
];
/// Whole names.
const SECRET_ALONE: [&str; 6] = ["key", "auth", "psk", "jwt", "pin", "sig"];
/// Ends of such names: `DB_PASS`, `axHashSalt`, `X-Goog-Signature`.
const SECRET_ENDS: [&str; 4] = ["pass", "salt", "keystore", "signature"];
/// Words with such an end that are something else.
const OTHER_WORDS: [&str; 2] = ["bypass", "compass"];
/// Bytes of letters after one dash; what is longer is a word.
const MAX_SHORT_FLAGS: usize = 6;
/// The secret fields of a key in JSON (RFC 7518, 6.3.2 and 6.4), beside its type.
const SECRET_OF_JWK: [&str; 8] = ["k", "d", "p", "q", "dp", "dq", "qi", "oth"];
/// Ends of names whose values say where a secret is, and not what.
const HARMLESS_ENDS: [&str; 6] = ["path", "file", "name", "ref", "refs", "namespace"];

/// Whether what stands under this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = normal(name);
    let is_harmless = HARMLESS_ENDS.iter().any(|end| name.ends_with(end));
    let has_secret_end = SECRET_ENDS.iter().any(|end| name.ends_with(end))
        && !OTHER_WORDS.iter().any(|word| name.ends_with(word));
    !is_harmless
        && (has_secret_end
            || SECRET_ALONE.contains(&name.as_str())
            || SECRET.iter().any(|part| name.contains(part)))
}

/// Whether what stands under this name is a secret where `kty` stands too, the type of a key.
pub(super) fn is_secret_of_jwk(name: &str) -> bool {
    SECRET_OF_JWK.contains(&name)
}

/// Whether what follows this flag, as a word of its own, is a user and a password: of curl. It may be the last of several
/// letters, `-sSu`.
pub(super) fn is_login_flag(word: &str) -> bool {
    let is_short = word.len() <= MAX_SHORT_FLAGS
        && word
            .strip_prefix('-')
            .and_then(|letters| letters.strip_suffix(['u', 'U']))
            .is_some_and(|letters| letters.bytes().all(|byte| byte.is_ascii_alphabetic()));
    is_short || matches!(word, "--user" | "--proxy-user")
}

/// Whether this word is such a flag and what follows it, `-uuser:password`.
pub(super) fn has_login(word: &str) -> bool {
    word.starts_with("-u") && word.contains(':')
}

/// Whether what stands under this name says where a secret is.
pub(super) fn is_reference(name: &str) -> bool {
    let name = normal(name);
    name.ends_with("ref") || name.ends_with("refs")
}

fn normal(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "password",
            "DB_PASSWORD",
            "sslKey",
            "private_key",
            "client-key-data",
            "accessToken",
            "key",
            "serviceAccount",
            "axHashSalt",
            "salt",
            "DB_PASS",
            "keystorePass",
            ".dockerconfigjson",
            "encKey",
            "bearer",
            "keystore",
            "saKeyJson",
            "X-Goog-Signature",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "sslKeyPath",
            "credentialName",
            "secretName",
            "secretKeyRef",
            "hostnames",
            "keyboard",
            "state",
            "bypass",
            "signatureAlgorithm",
            "keystorePath",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
