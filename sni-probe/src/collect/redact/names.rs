//! Names of fields whose values are secrets.

/// Parts of such names, in lower case, without separators.
const SECRET: [&str; 23] = [
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
];
/// Whole names.
const SECRET_ALONE: [&str; 6] = ["key", "auth", "pass", "psk", "jwt", "pin"];
/// Ends of names whose values say where a secret is, and not what.
const HARMLESS_ENDS: [&str; 6] = ["path", "file", "name", "ref", "refs", "namespace"];

/// Whether what stands under this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = normal(name);
    let is_harmless = HARMLESS_ENDS.iter().any(|end| name.ends_with(end));
    !is_harmless && (SECRET_ALONE.contains(&name.as_str()) || SECRET.iter().any(|part| name.contains(part)))
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
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["sslKeyPath", "credentialName", "secretName", "secretKeyRef", "hostnames", "keyboard", "state"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }
}
