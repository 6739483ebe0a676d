//! Names of fields with secrets as values.

/// Parts of such names, in lower case, without separators.
const SECRET: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passkey",
    "passw",
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
    "sharedaccess",
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
    "hmac",
    "mnemonic",
    "seedphrase",
    "recoverycode",
    "ldapbind",
    "connectionstring",
    "connstr",
    "sessionid",
    "csrf",
    "xsrf",
    "keytab",
    "macaroon",
    "unseal",
    "authcode",
    "authdata",
    "backupcode",
    "otpseed",
    // Other languages.
    "kennwort",
    "geheim",
    "lozinka",
    "geslo",
    "slaptažodis",
    "slaptazodis",
    "lykilorð",
    "matkhau",
    "mậtkhẩu",
    "katasandi",
    "şifre",
    "sifre",
    "schlüssel",
    "schluessel",
    "klucz",
    "chiave",
    "nyckel",
    "κωδικός",
    "секрет",
    "токен",
    "ключ",
    "口令",
    "密钥",
    "密鑰",
    "暗証番号",
    "암호",
    "كلمةالمرور",
    "סיסמה",
    "contrasena",
    "contraseña",
    "secreto",
    "senha",
    "segredo",
    "motdepasse",
    "wachtwoord",
    "lösenord",
    "losenord",
    "adgangskode",
    "salasana",
    "hasło",
    "haslo",
    "heslo",
    "jelszó",
    "parola",
    "пароль",
    "密码",
    "密碼",
    "パスワード",
    "비밀번호",
];
/// Whole names.
const SECRET_ALONE: &[&str] = &[
    "key",
    "auth",
    "psk",
    "jwt",
    "pin",
    "sig",
    "sign",
    "sid",
    "sas",
    "session",
    "seed",
    "community",
    "saml",
    "otp",
    "totp",
    "creds",
    "cred",
    "pass",
    "pw",
    "psw",
    "mdp",
];
/// Ends of such names: `DB_PASS`, `bindpw`, `axHashSalt`, `X-Goog-Signature`.
const SECRET_ENDS: &[&str] =
    &["pass", "pw", "psw", "salt", "keystore", "signature", "psk", "jwt", "creds", "community", "pincode"];
/// Words of names, between separators or capitals: `pfx`, `tls_p12`, `dataDek`. As parts of other words they say nothing.
const SECRET_WORDS: &[&str] = &[
    "kek", "dek", "tkn", "tok", "pfx", "p12", "pkcs12", "jks", "jceks", "pepper", "pswd", "pword", "scrt",
    "clave", "llave", "chave", "clef", "nip",
];
/// Ends of names of fields: a single value is a secret, a list or an object holds something else.
const SECRET_SCALAR_ENDS: &[&str] =
    &["auth", "dsn", "license", "licence", "webhook", "webhookurl", "assertion"];
/// Words with a secret's end that are something else: also directives of nginx.
const OTHER_WORDS: &[&str] =
    &["bypass", "compass", "proxypass", "fastcgipass", "grpcpass", "uwsgipass", "scgipass"];
/// What precedes `key` in names of keys that are no secrets.
const HARMLESS_KEYS: &[&str] = &[
    "public",
    "pub",
    "topology",
    "label",
    "partition",
    "sort",
    "primary",
    "foreign",
    "routing",
    "node",
    "annotation",
    "group",
    "tag",
    "field",
    "index",
    "cache",
    "hash",
    "object",
    "metric",
    "mon",
    "tur",
    "don",
    "hot",
];
/// Ends of names of fields with values that say where a secret is, and not what it is.
const HARMLESS_ENDS: &[&str] = &["path", "file", "filename", "name", "names", "ref", "refs", "namespace"];
/// The secret fields of a key in JSON (RFC 7518, 6.3.2 and 6.4), beside its type.
const SECRET_OF_JWK: &[&str] = &["k", "d", "p", "q", "dp", "dq", "qi", "oth"];

/// Returns whether the value under this name is a secret.
pub(super) fn is_secret(written: &str) -> bool {
    let name = normal(written);
    let name = name.as_str();
    if ends_with(name, HARMLESS_ENDS) {
        return false;
    }
    SECRET_ALONE.contains(&name)
        || SECRET.iter().any(|part| name.contains(part))
        || ends_with(name, SECRET_ENDS) && !ends_with(name, OTHER_WORDS)
        || is_key(name)
        || has_secret_word(written)
}

/// Returns whether a single value under this name is a secret. A list or an object under it need not be one.
pub(super) fn is_secret_scalar(name: &str) -> bool {
    ends_with(&normal(name), SECRET_SCALAR_ENDS)
}

/// Returns whether the value under this name is a secret where `kty` stands too, the type of a key.
pub(super) fn is_secret_of_jwk(name: &str) -> bool {
    SECRET_OF_JWK.contains(&name)
}

/// Returns whether the value under this name says where a secret is.
pub(super) fn is_reference(name: &str) -> bool {
    ends_with(&normal(name), &["ref", "refs"])
}

/// Returns whether the value under this name is the name or the place of something.
pub(super) fn is_harmless(name: &str) -> bool {
    ends_with(&normal(name), HARMLESS_ENDS)
}

/// Returns whether the value under this name is to say where a secret is: `authfile`, `passwordRef`.
pub(super) fn is_login_place(name: &str) -> bool {
    let name = normal(name);
    HARMLESS_ENDS
        .iter()
        .filter_map(|end| name.strip_suffix(end))
        .any(|of| is_secret(of) || is_secret_scalar(of))
}

/// Whether one of the words of a name is that of a secret.
fn has_secret_word(name: &str) -> bool {
    let mut word = String::new();
    let mut was_small = false;
    let mut has_one = false;
    // A separator at the end closes the last word.
    for character in name.chars().chain([' ']) {
        if !character.is_alphanumeric() || was_small && character.is_uppercase() {
            has_one |= SECRET_WORDS.contains(&word.as_str());
            word.clear();
        }
        was_small = character.is_lowercase() || character.is_numeric();
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
    }
    has_one
}

/// `masterKey`, `tls.key`, `AccountKey`.
fn is_key(name: &str) -> bool {
    let before = name.strip_suffix("keys").or_else(|| name.strip_suffix("key"));
    before.is_some_and(|before| !before.is_empty() && !ends_with(before, HARMLESS_KEYS))
}

fn ends_with(name: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| name.ends_with(end))
}

/// In lower case, without separators, and without a number at the end: `Pass Word 2` is `password`.
fn normal(name: &str) -> String {
    let letters = name.chars().flat_map(char::to_lowercase);
    let name: String = letters.filter(|character| character.is_alphanumeric()).collect();
    name.trim_end_matches(|character: char| character.is_ascii_digit()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{is_login_place, is_secret, is_secret_scalar};

    #[test]
    fn secrets_are_known_by_their_names() {
        for name in [
            "password",
            "DB_PASSWORD",
            "Pass Word",
            "password2",
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
            "kms_data_key",
            "AccountKey",
            "tls.key",
            "bindpw",
            "userpw",
            "hmac",
            "Ocp-Apim-Subscription-Key",
            "rocommunity",
            "Contraseña",
            "Datenbank-Passwort",
            "sid",
            "keytab",
            "krb5Keytab",
            "pfx",
            "p12",
            "client.p12",
            "serverJks",
            "pepper",
            "KEK",
            "data_dek",
            "tkn",
            "pswd",
            "geheim",
            "mot_de_passe",
            "şifre",
            "ŞİFRE",
            // With combining marks.
            "s\u{327}ifre",
            "Contrasen\u{303}a",
            "口令",
            "密码",
            "пароль",
            "llave",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "sslKeyPath",
            "credentialName",
            "credentialNames",
            "secretName",
            "secretKeyRef",
            "hostnames",
            "keyboard",
            "state",
            "bypass",
            "proxy_pass",
            "signatureAlgorithm",
            "keystorePath",
            "publicKey",
            "topologyKey",
            "monkey",
            "seconds",
            "index",
            "snippet",
            "codek",
            "stopword",
            "enclave",
            "p12Path",
            "peppermint",
        ] {
            assert!(!is_secret(name), "{name}");
        }
        assert!(is_secret_scalar("basicAuth") && is_secret_scalar("DSN") && !is_secret_scalar("author"));
        assert!(is_secret_scalar("client_assertion") && is_secret_scalar("samlAssertion"));
        assert!(is_login_place("authfile") && is_login_place("passwordFile") && !is_login_place("logfile"));
    }
}
