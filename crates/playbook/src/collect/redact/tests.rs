//! Secrets of many forms: none of them is in what comes out.

use super::Redactor;

/// A word that is in no text but as a secret.
const SECRET: &str = "hunter2x";

fn structured(text: &str) -> String {
    Redactor::new(false).configuration("a.yaml", text).unwrap()
}

fn text(text: &str) -> String {
    Redactor::new(false).text(text)
}

#[test]
fn fields_with_the_names_of_secrets() {
    for yaml in [
        "password: hunter2x",
        "a:\n  dbPassword: 'hunter2x'",
        "serviceAccount: {type: service_account, private_key: hunter2x}",
        "x-api-key: hunter2x",
        "tls:\n  key: |\n    hunter2x\n    hunter2x",
        "token:\n- hunter2x\n- hunter2x",
        "env:\n- name: DB_PASSWORD\n  value: hunter2x",
        "args: [--password, hunter2x, --token=hunter2x]",
        "kind: Secret\ndata:\n  harmless: hunter2x",
        "kind: Secret\nstringData: {a: hunter2x}",
        "kind: SecretList\nitems:\n- data:\n    a: hunter2x",
        "kind: List\nitems:\n- kind: Secret\n  data:\n    a: hunter2x",
        "annotations:\n  last-applied: '{\"kind\":\"Secret\",\"data\":{\"a\":\"hunter2x\"}}'",
        "config: |\n  cassandra:\n    auth:\n      jmx: {password: hunter2x}\n",
        "config: |\n  db.password=hunter2x\n  other=1\n",
        "url: https://user:hunter2x@example.com/",
        "header: 'Authorization: Bearer hunter2x'",
        "# password: hunter2x\na: 1",
        "a: 1\n---\npassword: hunter2x\n",
        "\"pass\\u0077ord\": hunter2x",
        "password: 12345678",
        "axHashSalt: hunter2x",
        "env: [{name: FOO_PASS, value: hunter2x}]",
        "kind: ConfigMap\ndata: {.dockerconfigjson: hunter2x}",
        "keystore: hunter2x\nsaKeyJson: hunter2x",
        "jwk: {kty: oct, k: hunter2x}",
        "jwk: '{\"kty\":\"RSA\",\"n\":\"a\",\"d\":\"hunter2x\"}'",
        "command: [curl, -u, 'user:hunter2x']",
        "command: [mysql, -p, hunter2x]",
        // hunter2x
        "harmless: !!binary aHVudGVyMng=",
        "list:\n- !<tag:yaml.org,2002:binary> |\n  aHVudGVyMng=",
        "kind: ConfigMap\ndata:\n  key.pem: |\n    -----BEGIN EC PRIVATE KEY-----\n    hunter2x\n    -----END EC PRIVATE KEY-----\n",
    ] {
        let redacted = structured(yaml);
        assert!(
            !["12345678", SECRET, "aHVudGVyMng"].iter().any(|secret| redacted.contains(secret)),
            "{yaml}\n=>\n{redacted}"
        );
    }
}

#[test]
fn secrets_in_any_text() {
    for line in [
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2x\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\\nhunter2x\\n-----END ENCRYPTED PRIVATE KEY-----\\n",
        "-----BEGIN PRIVATE KEY-----\nhunter2x and no end",
        "authorization: bearer hunter2x",
        "Authorization: Basic hunter2x==",
        "sent Bearer hunter2x to",
        "password=hunter2x&user=a",
        "password = \"hunter2x and a \\\" more hunter2x\"",
        "{\\\"token\\\": \\\"hunter2x\\\"}",
        "run --password hunter2x --verbose",
        "export API_KEY='hunter2x'",
        "token:hunter2x",
        "secret=>hunter2x",
        "https://hunter2x:hunter2x@example.com:443/",
        "got eyJhbGciOi.hunter2x.hunter2x",
        "AIzaSyAAAAAAAAAAAAAAhunter2x",
        "ya29.AAAAAAAAAAAAAAAAhunter2x",
        "ghp_AAAAAAAAAAAAAAAAhunter2x",
        "https://a.blob.core.windows.net/b?sv=1&sig=hunter2x%3D&se=2",
        "https://storage.googleapis.com/a?X-Goog-Expires=9&X-Goog-Signature=hunter2x",
        "post to https://hooks.slack.com/services/T000/B000/hunter2x",
        "admin:$2y$05$hunter2x.hunter2x/hunter2x",
        "curl -u user:hunter2x https://example.com/",
        "curl -sSu user:hunter2x https://example.com/",
        "curl -uuser:hunter2x https://example.com/",
        "curl --user=\"user:a hunter2x\" https://example.com/",
        "key {\"kty\": \"oct\", \"k\": \"hunter2x\"}",
        "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0thunter2x",
    ] {
        let redacted = text(line);
        assert!(!redacted.contains(SECRET), "{line}\n=>\n{redacted}");
        assert!(redacted.contains("[redacted]"), "{redacted}");
    }
}

/// A file in which many secrets are planted, and their words.
const PLANTED: &str = include_str!("testdata/planted.yaml");
/// Other secrets of the same kinds, each with one of two words in it.
const SIBLINGS: &str = include_str!("testdata/siblings.yaml");

#[test]
fn no_planted_secret_is_left() {
    let mut planted: Vec<&str> = PLANTED
        .split(|character: char| {
            !(character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '/' | '='))
        })
        // SEKRET, also in base64.
        .filter(|word| {
            ["SEKRET", "U0VLUk", "NFS1JF", "TRUtSR", "hunter2-"].iter().any(|part| word.contains(part))
        })
        .collect();
    planted.extend(["ghp_012", "AKIAIO", "wJalrX", "K7MDENG", "AIzaSy", "npm_012"]);
    assert!(planted.len() >= 98, "{}", planted.len());
    let redacted = structured(PLANTED);
    let left: Vec<_> = planted.iter().filter(|word| redacted.contains(**word)).collect();
    assert!(left.is_empty(), "{left:?} in\n{redacted}");
}

#[test]
fn no_secret_of_the_same_kinds_is_left() {
    let redacted = structured(SIBLINGS);
    let left: Vec<_> = redacted
        .lines()
        .filter(|line| ["zzhidden", "ZZ9HIDDEN"].iter().any(|word| line.contains(word)))
        .collect();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn a_message_keeps_its_reason() {
    for message in [
        "http://token:9917: Connection refused (os error 111); is the daemon running?",
        "http://auth.example:9917/metrics: io: Connection reset by peer",
        "cannot open /run/secrets/password: No such file or directory (os error 2)",
        "https://keycloak-token:443: invalid peer certificate: UnknownIssuer; see --ca",
        "cannot read api.key: Permission denied",
        "the daemon wants a user and a password: see --password-file",
    ] {
        assert_eq!(Redactor::new(false).message(message), message);
    }
    let message =
        Redactor::new(false).message("http://me:hunter2x@a.example: Connection refused?token=hunter2x");
    assert!(message.contains("Connection refused") && !message.contains(SECRET), "{message}");
}

#[test]
fn what_a_daemon_says_stays() {
    for (name, sample) in [
        ("summary", include_str!("../../../../model/samples/summary.json")),
        ("clients", include_str!("../../../../model/samples/clients.json")),
        ("handshakes", include_str!("../../../../model/samples/handshakes.json")),
        ("facts", include_str!("../../../../model/samples/facts.json")),
    ] {
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&Redactor::new(false).json(name, sample).unwrap()), read(sample), "{name}");
    }
}

#[test]
fn what_support_needs_stays() {
    let overrides = "\
virtualhosts:
- name: dev-grp
  selector:
    app: apigee-ingressgateway
  sslCertPath: ./certs/keystore_dev-grp.pem
  sslKeyPath: ./certs/keystore_dev-grp.key
  additionalGateways: [\"non-sni\"]
";
    let read = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(read(&structured(overrides)), read(overrides));
    let route =
        "{\"spec\": {\"ports\": [{\"tls\": {\"credentialName\": \"dev\"}}], \"enableNonSniClient\": true}}";
    assert_eq!(read(&structured(route)), read(route));
    let toleration = "tolerations:\n- key: dedicated\n  operator: Exists\n";
    assert_eq!(read(&structured(toleration)), read(toleration));
    let reference = "env:\n- name: DB_PASSWORD\n  valueFrom: {secretKeyRef: {name: db, key: pw}}\n";
    assert_eq!(read(&structured(reference)), read(reference));
    for line in [
        "sni_probe_handshakes_total{outcome=\"reset_by_gateway\",sni=\"absent\",source=\"other\"} 7",
        "https://example.com/?a=b",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "key_share 1",
        "id -u root; sudo -u nobody",
        "k: 1, d=2",
        "\u{1f511} = ü",
    ] {
        assert_eq!(text(line), line);
    }
}

#[test]
fn what_is_no_yaml_is_refused_without_showing_it() {
    let error = Redactor::new(false).configuration("a.yaml", "a:\n\t- password: hunter2x\n b").unwrap_err();
    let error = format!("{error:#}");
    assert!(error.starts_with("a.yaml:2:") && error.ends_with(": neither YAML nor JSON"), "{error}");
}

#[test]
fn bytes_in_yaml_are_not_called_bad_yaml() {
    let error = Redactor::new(false).configuration("a.yaml", "a: 1\nb: !!binary /wAB\n").unwrap_err();
    assert_eq!(error.to_string(), "a.yaml:2:13: a value with the tag !!binary is no text");
}

#[test]
fn events_stay_lines() {
    let lines = "{\"client\":\"192.0.2.7:1\",\"token\":\"hunter2x\"}\nno JSON token=hunter2x\n";
    let redacted = Redactor::new(true).json_lines(lines);
    assert_eq!(redacted, "{\"client\":\"ipv4-1:1\",\"token\":\"[redacted]\"}\nno JSON token=[redacted]\n");
}

#[test]
fn trees_deeper_than_any_are_taken_out() {
    let deep = format!("{}\"hunter2x\"{}", "[".repeat(100), "]".repeat(100));
    assert!(!structured(&deep).contains(SECRET));
}

#[test]
fn a_command_line() {
    let words = ["sni-probe", "--token", "hunter2x", "--password-file", "pw"].map(str::to_owned);
    let redacted = Redactor::new(false).words(words.into_iter());
    assert_eq!(redacted, ["sni-probe", "--token", "[redacted]", "--password-file", "pw"]);
}

proptest::proptest! {
    #[test]
    fn secrets_between_other_words(before in "[a-z:=,/ .]{0,20}", after in "[a-z:=,/ .]{0,20}") {
        for secret in [" --password=hunter2x ", " password: hunter2x ", " https://user:hunter2x@host.example/ ", " password=hunter2x "] {
            let line = format!("{before}{secret}{after}");
            proptest::prop_assert!(!text(&line).contains(SECRET), "{}", line);
        }
    }

    #[test]
    fn any_text(any in "\\PC{0,80}") {
        let mut redactor = Redactor::new(true);
        redactor.text(&any);
        redactor.message(&any);
        redactor.json_lines(&any);
        let _ = redactor.configuration("a.yaml", &any);
        redactor.words(any.split_whitespace().map(str::to_owned));
    }
}
