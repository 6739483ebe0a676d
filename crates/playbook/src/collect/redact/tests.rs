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
        "runtime: {env: [{name: SIGNER, value: HUNTER2X10}]}",
        "env: {OPENAI: sk9HUNTER2XAa, NAME: HUNTER2X10, HOST: HUNTER2X10}",
        "environment: {X: HUNTER2X10}",
        "environment: [HUNTER2X10, 'X=HUNTER2X10']",
        "extraEnv: [{name: SIGNER, value: HUNTER2X10}]",
        "labels: {x: HUNTER2X10, list: [HUNTER2X10]}",
        "message: login failed with HUNTER2X10\ntype: HUNTER2X10\ntag: HUNTER2X10\nschedule: HUNTER2X10\nhostAliases: HUNTER2X10",
        "hosts: [{name: a, anything: HUNTER2X10}]",
        "selector: {x: HUNTER2X10}",
        "metadata: {name: a, annotations: {networking.gke.io/certmap: HUNTER2X10}}",
        "sslSecret: hunter2x",
        "list: [{k: password, v: hunter2x}, {title: Password, text: hunter2x}, {variable: API_TOKEN, val: hunter2x}]",
        "pairs: [[password, hunter2x], [token, hunter2x]]",
        "authfile: 'alice:hunter2x'",
        "keytab: hunter2x\npfx: hunter2x\np12: hunter2x\njks: hunter2x\npepper: hunter2x\nkek: hunter2x",
        "geheim: hunter2x\nşifre: hunter2x\n口令: hunter2x",
        "pem: MIIEpAIBAAKCAQEA7HUNTER2Xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        // hunter2x
        "harmless: !!binary aHVudGVyMng=",
        "list:\n- !<tag:yaml.org,2002:binary> |\n  aHVudGVyMng=",
        "kind: ConfigMap\ndata:\n  key.pem: |\n    -----BEGIN EC PRIVATE KEY-----\n    hunter2x\n    -----END EC PRIVATE KEY-----\n",
    ] {
        let redacted = structured(yaml);
        assert!(
            !["12345678", SECRET, "HUNTER2X", "aHVudGVyMng"].iter().any(|secret| redacted.contains(secret)),
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
        "keytool -genkey -keypass hunter2x",
        "enable secret 5 hunter2x",
        "username a password 7 hunter2x",
        "ntp authentication-key 1 md5 hunter2x",
        "tacacs-server key hunter2x",
        "snmp-server community hunter2x RO",
        "CREATE LOGIN a WITH PASSWORD = N'hunter2x'",
        "lftp -u user,hunter2x host",
        "proxy_set_header Authorization \"Basic hunter2x\";",
        "proxy_set_header X-Api-Key hunter2x;",
        "RequestHeader set X-Token hunter2x",
        "<property><name>a.ConnectionPassword</name><value>hunter2x</value></property>",
        "<p><id>1</id><name>password</name>\n<value>hunter2x</value></p>",
        "<AdministratorPassword><Value>hunter2x</Value></AdministratorPassword>",
        "<AdministratorPassword><PlainText>true</PlainText><Value>hunter2x",
        "<dict><key>Password</key><string>hunter2x</string></dict>",
        "define('DB_PASSWORD', 'hunter2x');",
        "define('DB_PASSWORD','hunter2x');",
        "[[\"password\",\"hunter2x\"]",
        "CREATE USER u@h IDENTIFIED BY 'hunter2x'",
        "GRANT ALL ON *.* TO u IDENTIFIED BY hunter2x;",
        "ALTER USER u IDENTIFIED WITH caching_sha2_password BY \"hunter2x\"",
        "curl --cert c.pem:hunter2x https://a",
        "http -a u:hunter2x GET a",
        "aws configure set aws_secret_access_key hunter2x",
        "aws configure set aws_secret_access_key hunterx",
        "git config user.token hunterx",
        "ENV DB_PASSWORD hunterx",
        "%any %any : PSK \"hunter2x\"",
        ": RSA a.key \"hunter2x\"",
        "redis-cli AUTH hunterx",
        "redis-cli -h r auth user hunterx",
        "AUTH default hunterx",
        "user default on >hunterx ~* +@all",
        "[smtp.example]:587 user:hunterx",
        "u * hunterx *",
        "mysqli_connect('h', 'u', 'hunterx', 'db')",
        "variable \"db_password\" { default = \"hunterx\" }",
        "| **password** | hunterx |",
        "//u:hunterx@h/x",
        "u:a:hunterx@h:22",
        "https://a.example/?sign=hunterx",
        "(password \"hunterx\")",
        "redis-cli CONFIG SET requirepass hunterx",
        "ConvertTo-SecureString 'hunter2x' -AsPlainText -Force",
        "net user bob hunterx /add",
        "//h/s /m cifs user=u%hunter2x 0 0",
        "u:{PLAIN}hunter2x::",
        "createUser u SHA hunterx AES hunter2x",
        "com2sec local localhost hunterx",
        "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0thunter2x",
    ] {
        let redacted = text(line);
        assert!(!redacted.contains("hunter"), "{line}\n=>\n{redacted}");
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
    let kept = "\
apiVersion: apps/v1
kind: EC2NodeClass
metadata: {name: Node2024XClass}
env: Prod2024X
image: {url: gcr.io/apigee-release/hybrid/apigee-udca, tag: 1.14.0}
hosts: [Api2024X.example.com]
keystoreFile: Keystore2024X
";
    assert_eq!(read(&structured(kept)), read(kept));
    for line in [
        "sni_probe_clients{pod=\"api-key-7d9f8b6c5d-x2x9z\",namespace=\"sk-production-1\"} 1",
        "the digest sha256:5bd3a94b does not match",
        "snmp-server enable traps",
        "git clone https://example.com/a.git",
        "<key>Label</key><string>a</string>",
        "identified by its address",
        "connect(\"a\", \"b\")",
        "0 * * * * root command > file",
        "| token bucket size | 3",
        "[a]:443 b",
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

/// What `routes` and `diagnose` read, with values that look as secrets do.
const READ: &str = include_str!("testdata/routes.yaml");

#[test]
fn what_routes_reads_stays() {
    let documents = READ.split("---\n").collect::<Vec<_>>();
    assert!(documents.len() >= 8, "{}", documents.len());
    let read = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    for document in documents {
        assert_eq!(read(&structured(document)), read(document), "{document}");
        let json = read(document).to_string();
        assert_eq!(read(&structured(&json)), read(document), "{document}");
    }
    // In another object, or in another place of it, the same names are those of any field.
    for other in [
        "apiVersion: v1\nkind: ApigeeRoute\nspec: {selector: {token: hunter2x}}",
        "kind: ApigeeRoute\nspec: {selector: {token: hunter2x}}",
        "apiVersion: apigee.cloud.google.com/v1\nkind: ApigeeRoute\nspec: {other: {selector: {token: hunter2x}}}",
        "apiVersion: apigee.cloud.google.com/v1\nkind: ApigeeRoute\nspec: {selector: {a: {token: hunter2x}}}",
        "other: {virtualhosts: [{sslSecret: hunter2x}]}",
        "virtualhosts: [{name: a, sslKey: hunter2x, other: {token: hunter2x}}]",
        "virtualhosts: [{name: 'https://user:hunter2x@host/', additionalGateways: ['Bearer hunter2x']}]",
    ] {
        assert!(!structured(other).contains(SECRET), "{}", structured(other));
    }
}

#[test]
fn certificates_stay_and_keys_do_not() {
    let certificate = include_str!("testdata/certificate.pem");
    for text in [certificate, include_str!("testdata/certificate.pem.base64")] {
        let yaml = serde_saphyr::to_string(&serde_json::json!({"clientCa": text})).unwrap();
        let redacted: serde_json::Value = serde_saphyr::from_str(&structured(&yaml)).unwrap();
        assert_eq!(redacted["clientCa"], text);
    }
    let bundle = include_str!("testdata/certificate-and-key.pem.base64");
    assert!(!structured(&format!("clientCa: {bundle}")).contains(&bundle[..bundle.len() - 4]));
    assert!(!text(bundle).contains(&bundle[bundle.len() - 40..]));
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
