//! TLS alerts in messages: each library has its own words for them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use sni_probe_core::vocabulary::{AlertDescription, Label as _};

/// An alert that a message names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AlertSeen {
    /// IANA's name, or `unassigned`.
    pub(super) name: Option<&'static str>,
    /// The number, of one without a name.
    pub(super) number: Option<u8>,
}

impl AlertSeen {
    pub(super) const fn named(name: &'static str) -> Self {
        Self { name: Some(name), number: None }
    }

    fn numbered(number: u8) -> Self {
        match AlertDescription::from_code(number) {
            AlertDescription::Unassigned => {
                Self { name: Some(AlertDescription::Unassigned.as_str()), number: Some(number) }
            }
            known => Self::named(known.as_str()),
        }
    }
}

/// Names of alerts that are not IANA's: those of Go, OpenSSL, `GnuTLS`, rustls and NSS, squeezed.
const OTHER_NAMES: [(&str, &str); 24] = [
    ("decryptionfailedorbadrecordmac", "decryption_failed"),
    ("badrecordmac", "bad_record_mac"),
    ("revokedcertificate", "certificate_revoked"),
    ("expiredcertificate", "certificate_expired"),
    ("unknowncertificateauthority", "unknown_ca"),
    ("unknowncertificate", "certificate_unknown"),
    ("unknownissuer", "unknown_ca"),
    ("errordecodingmessage", "decode_error"),
    ("errordecryptingmessage", "decrypt_error"),
    ("exportrestriction", "export_restriction"),
    ("protocolversionnotsupported", "protocol_version"),
    ("insufficientsecuritylevel", "insufficient_security"),
    ("usercancelled", "user_canceled"),
    ("unrecognisedname", "unrecognized_name"),
    ("unknownpskidentity", "unknown_psk_identity"),
    ("encryptedclienthellorequired", "ech_required"),
    ("encryptedclienthelloisrequired", "ech_required"),
    ("encryptionclienthellorequired", "ech_required"),
    ("noapplicationprotocol", "no_application_protocol"),
    ("certificaterequired", "certificate_required"),
    ("closenotify", "close_notify"),
    ("parametererror", "illegal_parameter"),
    ("illegalparameter", "illegal_parameter"),
    ("noncertificate", "no_certificate"),
];

/// Words after which an alert's name is that of a received one.
const NAME_AFTER: [&str; 11] = [
    // OpenSSL and BoringSSL; 3.2 and later say "ssl/tls" where others say "sslv3".
    r"\b(?:sslv3|ssl/tls|tlsv13|tlsv1) (?:alert )?",
    // Go.
    r"remote error: tls: ",
    // Java, rustls.
    r"received fatal alert: ",
    r"alertreceived\(",
    // .NET.
    r"sent a tls alert: '",
    // Erlang.
    r"received (?:server|client) alert: (?:fatal|warning) - ",
    r#"\{tls alert,\s?\{?"?"#,
    // Java, before the text of the alert.
    r"\bssl[a-z]*exception: \(",
    // curl -v: "TLSv1.3 (IN), TLS alert, unrecognized name (624)"; "(OUT)" is an alert of the client.
    r"\(in\), tls (?:header, alert|alert), ",
    // OpenSSL's state callback.
    r"ssl3 alert read:fatal:",
    // GnuTLS and others.
    r"\breceived (?:a )?(?:tls )?alert (?:message )?\[?\d*\]?:? ?",
];
/// Words after which an alert's number is that of a received one.
const NUMBER_AFTER: [&str; 7] = [
    r"\balert number ",
    r"received alert \[",
    r"remote error: tls: alert\(",
    r"received fatal alert: ",
    r"\btls alert ",
    // Windows, event 36887.
    r"fatal alert code is ",
    r"alertdescription: ",
];

/// Returns the alerts that the text says were received; the text is in lower case, with spaces for underscores.
pub(super) fn alerts(plain: &str) -> BTreeSet<AlertSeen> {
    static NAMES: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(&format!(r"(?:{})([a-z][a-z ]{{0,60}})", NAME_AFTER.join("|"))).ok());
    // Firefox and Chromium: the name is before the word.
    static NSS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\bssl error ([a-z ]{1,60}?) alert\b").ok());
    static NUMBERS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(&format!(r"(?:{})(\d{{1,3}})\b", NUMBER_AFTER.join("|"))).ok());
    let is_received = plain.contains("received fatal alert");
    let mut alerts = BTreeSet::new();
    for captures in [&NAMES, &NSS]
        .into_iter()
        .filter_map(|regex| regex.as_ref())
        .flat_map(|regex| regex.captures_iter(plain))
    {
        let Some(name) = captures.get(1).and_then(|words| by_words(words.as_str())) else { continue };
        // Java and Erlang name an alert that they send in the same way as one that they received.
        let has = |words| captures.get(0).is_some_and(|all| all.as_str().contains(words));
        let is_sent_by_java = has("exception: (") && !is_received && name.contains("certificate");
        let is_sent_by_erlang = has("{tls alert") && plain.contains("generated client alert");
        if !is_sent_by_java && !is_sent_by_erlang {
            alerts.insert(AlertSeen::named(name));
        }
    }
    let number = |captures: Captures<'_>| captures.get(1)?.as_str().parse().ok();
    let numbers = NUMBERS.iter().flat_map(|regex| regex.captures_iter(plain)).filter_map(number);
    alerts.extend(numbers.map(AlertSeen::numbered));
    alerts
}

/// Returns the alert with this name of IANA's.
#[cfg(test)]
pub(super) fn by_name(name: &str) -> Option<&'static str> {
    known().iter().find(|(_, known)| *known == name).map(|(_, known)| *known)
}

/// Returns the alert with which the words begin; the longest name wins.
fn by_words(words: &str) -> Option<&'static str> {
    let squeezed: String = words.chars().filter(char::is_ascii_alphanumeric).collect();
    let begins = known().iter().filter(|(squeezed_name, _)| squeezed.starts_with(squeezed_name));
    begins.max_by_key(|(squeezed_name, _)| squeezed_name.len()).map(|(_, name)| *name)
}

/// All names, squeezed, with IANA's name.
fn known() -> &'static [(String, &'static str)] {
    static KNOWN: LazyLock<Vec<(String, &'static str)>> = LazyLock::new(|| {
        let all = (0..=u8::MAX).map(AlertDescription::from_code);
        let named = all.filter(|alert| *alert != AlertDescription::Unassigned).map(AlertDescription::as_str);
        let iana = named.map(|name| (name.replace('_', ""), name));
        let others = OTHER_NAMES.into_iter().map(|(squeezed, name)| (squeezed.to_owned(), name));
        iana.chain(others).collect()
    });
    &KNOWN
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;

    #[test]
    fn other_names_are_of_alerts_that_exist() {
        for (_, name) in OTHER_NAMES {
            assert!(by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn alerts_have_names_in_the_words_of_each_library() {
        for (text, name) in [
            ("error:0A000410:SSL routines::sslv3 alert handshake failure", "handshake_failure"),
            (
                "error:0A000410:SSL routines::ssl/tls alert handshake failure:SSL alert number 40",
                "handshake_failure",
            ),
            ("tlsv1 unrecognized name", "unrecognized_name"),
            ("tlsv1 alert user cancelled", "user_canceled"),
            ("tlsv1 alert unknown ca", "unknown_ca"),
            ("tlsv13 alert certificate required", "certificate_required"),
            ("sslv3 alert certificate unknown", "certificate_unknown"),
            ("[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error (_ssl.c:992)", "internal_error"),
            ("ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE", "handshake_failure"),
            (
                "TLS_error:|268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE",
                "handshake_failure",
            ),
            ("remote error: tls: unknown certificate authority", "unknown_ca"),
            ("remote error: tls: protocol version not supported", "protocol_version"),
            ("remote error: tls: alert(121)", "ech_required"),
            ("Received fatal alert: no_application_protocol", "no_application_protocol"),
            ("(handshake_failure) Received fatal alert: handshake_failure", "handshake_failure"),
            ("received fatal alert: UnrecognisedName", "unrecognized_name"),
            ("AlertReceived(AccessDenied)", "access_denied"),
            ("*** Received alert [112]: The server name sent was not recognized", "unrecognized_name"),
            ("The TLS protocol defined fatal alert code is 70.", "protocol_version"),
            ("the remote party sent a TLS alert: 'ProtocolVersion'", "protocol_version"),
            ("SERVER ALERT: Fatal - Handshake Failure", ""),
            ("hello received SERVER ALERT: Fatal - Handshake Failure", "handshake_failure"),
            ("{error,{tls_alert,\"handshake failure\"}}", "handshake_failure"),
            (
                "{tls_alert,{unknown_ca,\"TLS client: In state certify generated CLIENT ALERT: Fatal - Unknown CA\"}}",
                "",
            ),
            ("SSL_ERROR_UNRECOGNIZED_NAME_ALERT", "unrecognized_name"),
            ("SSL alert number 200", "unassigned"),
            ("SSL alert number 2000", ""),
            ("SSLHandshakeException: (certificate_unknown) PKIX path building failed", ""),
            ("SSLException: (internal_error) Received fatal alert: internal_error", "internal_error"),
            (
                "SSLHandshakeException: (bad_certificate) Received fatal alert: bad_certificate",
                "bad_certificate",
            ),
        ] {
            let names: Vec<&str> = alerts(&plain(text)).iter().filter_map(|alert| alert.name).collect();
            let expected: Vec<&str> = if name.is_empty() { Vec::new() } else { vec![name] };
            assert_eq!(names, expected, "{text}");
        }
    }
}
