//! `routes` as a user meets it: on the examples of Google's page, each way to have it wrong, bad files, and an API server.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

#[path = "routes/cluster.rs"]
mod cluster;
#[path = "routes/files.rs"]
mod files;
#[path = "routes/gateways.rs"]
mod gateways;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory with files, in which the program runs.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for (name, text) in files {
            bench.put(name, text.as_bytes());
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sni-probe"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SNI_PROBE_") {
                command.env_remove(name);
            }
        }
        command.arg("routes").args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("sni-probe starts")
    }

    /// The report of a run with `--json`, and the exit code.
    fn report(&self, arguments: &[&str]) -> (Value, i32) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr, "", "{arguments:?}");
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
    }

    /// The one line on stderr of a run that ended with 2.
    fn refusal(&self, arguments: &[&str]) -> String {
        refusal(&self.run(arguments))
    }
}

fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.starts_with("sni-probe: ") && stderr.matches('\n').count() == 1, "{stderr}");
    assert!(stderr.len() < 1000, "{stderr}");
    stderr.trim_end().trim_start_matches("sni-probe: ").to_owned()
}

/// The route of an environment group on Google's page, as `kubectl get -o json` prints it.
fn group() -> Value {
    json!({
        "apiVersion": "apigee.cloud.google.com/v1alpha1",
        "kind": "ApigeeRoute",
        "metadata": {"name": "myorg-hyb-dev-grp-000-33620d0", "namespace": "apigee", "generation": 1},
        "spec": {
            "additionalGateways": ["non-sni"],
            "enableNonSniClient": false,
            "hostnames": ["api-test.mydomain.com"],
            "ports": [{"number": 443, "protocol": "HTTPS", "tls": {
                "credentialName": "apigee-org-dev-grp", "minProtocolVersion": "TLS_AUTO", "mode": "SIMPLE"}}],
            "selector": {"app": "apigee-ingressgateway", "ingress_name": "ext-ingress"},
        },
        "status": {"state": "running"},
    })
}

/// The wildcard route of the page.
fn wildcard() -> Value {
    json!({
        "apiVersion": "apigee.cloud.google.com/v1alpha1",
        "kind": "ApigeeRoute",
        "metadata": {"name": "non-sni", "namespace": "apigee"},
        "spec": {
            "enableNonSniClient": true,
            "hostnames": ["*"],
            "ports": [{"number": 443, "protocol": "HTTPS", "tls": {
                "credentialName": "org-dev-cert", "minProtocolVersion": "TLS_AUTO", "mode": "SIMPLE"}}],
            "selector": {"app": "apigee-ingressgateway"},
        },
        "status": {"state": "running"},
    })
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
        .to_string()
}

/// The lines of overrides.yaml on the page.
const OVERRIDES: &str = r#"
virtualhosts:
- name: dev-grp
  selector:
    app: apigee-ingressgateway
    ingress_name: ext-ingress
  sslCertPath: ./certs/keystore_dev-grp.pem
  sslKeyPath: ./certs/keystore_dev-grp.key
  additionalGateways: ["non-sni"]
"#;

const BOTH: [&str; 4] = ["--file", "routes.json", "--overrides", "overrides.yaml"];

#[test]
fn the_page_serves_clients_without_sni() {
    let bench = Bench::new(&[("routes.json", &list(&[group(), wildcard()])), ("overrides.yaml", OVERRIDES)]);
    let (report, code) = bench.report(&BOTH);
    assert_eq!((code, &report["serves_non_sni"], &report["findings"]), (0, &json!(true), &json!([])));
    assert_eq!(report["sources"], json!(["routes.json", "overrides.yaml"]));
    assert_eq!(report["routes"][0]["hostnames"], json!(["api-test.mydomain.com"]));
    assert_eq!(report["routes"][0]["additional_gateways"], json!(["non-sni"]));
    assert_eq!(report["routes"][1]["wildcard"], json!(true));
    assert_eq!(report["routes"][1]["enable_non_sni_client"], json!(true));
    assert_eq!(report["virtual_hosts"][0]["certificate"], json!("./certs/keystore_dev-grp.pem"));

    let output = bench.run(&BOTH);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["apigee/non-sni", "api-test.mydomain.com", "dev-grp", "org-dev-cert", "are served"] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains('\x1b'));
}

/// A way to have it wrong: what is changed, and what is to be found.
struct Fault {
    code: &'static str,
    object: &'static str,
    path: &'static str,
    value: &'static str,
    expected: &'static str,
    serves: bool,
    /// Changes the routes (group, wildcard).
    change: fn(&mut Vec<Value>),
    /// Replaces a text in overrides.yaml.
    replace: (&'static str, &'static str),
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            code: "",
            object: "apigee/non-sni",
            path: "",
            value: "(none)",
            expected: "",
            serves: false,
            change: |_| {},
            replace: ("", ""),
        }
    }
}

const GROUP_OBJECT: &str = "apigee/myorg-hyb-dev-grp-000-33620d0";

#[expect(clippy::too_many_lines, reason = "a table")]
fn faults() -> Vec<Fault> {
    vec![
        Fault {
            code: "non_sni_client_not_enabled",
            path: "spec.enableNonSniClient",
            value: "false",
            expected: "true",
            change: |routes| routes[1]["spec"]["enableNonSniClient"] = json!(false),
            ..Fault::default()
        },
        Fault {
            code: "non_sni_client_not_enabled",
            path: "spec.enableNonSniClient",
            expected: "true",
            change: |routes| routes[1]["spec"]["enableNonSniClient"] = Value::Null,
            ..Fault::default()
        },
        Fault {
            code: "not_in_additional_gateways",
            object: "overrides.yaml",
            path: "virtualhosts[0].additionalGateways",
            value: "[]",
            expected: r#"["non-sni"]"#,
            replace: (r#"  additionalGateways: ["non-sni"]"#, ""),
            ..Fault::default()
        },
        Fault {
            code: "not_in_additional_gateways",
            object: "overrides.yaml",
            path: "virtualhosts[1].additionalGateways",
            value: "[]",
            expected: r#"["non-sni"]"#,
            replace: (
                "additionalGateways: [\"non-sni\"]\n",
                "additionalGateways: [\"non-sni\"]\n- name: test-grp\n",
            ),
            ..Fault::default()
        },
        Fault {
            code: "not_in_additional_gateways",
            object: GROUP_OBJECT,
            path: "spec.additionalGateways",
            value: "[]",
            expected: r#"["non-sni"]"#,
            change: |routes| routes[0]["spec"]["additionalGateways"] = json!([]),
            ..Fault::default()
        },
        Fault {
            code: "unknown_additional_gateway",
            object: GROUP_OBJECT,
            path: "spec.additionalGateways",
            value: r#"["nonsni"]"#,
            expected: "the name of a route",
            serves: true,
            change: |routes| routes[0]["spec"]["additionalGateways"] = json!(["non-sni", "nonsni"]),
            ..Fault::default()
        },
        Fault {
            code: "selector_mismatch",
            path: "spec.selector",
            value: r#"["app=istio-ingressgateway"]"#,
            expected: r#"["app=apigee-ingressgateway"]"#,
            change: |routes| {
                // Else that of the group differs as well.
                routes[0]["spec"]["selector"] = json!({});
                routes[1]["spec"]["selector"] = json!({"app": "istio-ingressgateway"});
            },
            replace: ("    app: apigee-ingressgateway\n", ""),
            ..Fault::default()
        },
        Fault {
            code: "no_credential",
            path: "spec.ports[0].tls.credentialName",
            expected: "the name of a TLS secret",
            change: |routes| routes[1]["spec"]["ports"][0]["tls"]["credentialName"] = json!(""),
            ..Fault::default()
        },
        Fault {
            code: "no_credential",
            path: "spec.ports[0].tls.credentialName",
            expected: "the name of a TLS secret",
            change: |routes| routes[1]["spec"]["ports"] = json!([]),
            ..Fault::default()
        },
        Fault {
            code: "tls_not_terminated",
            path: "spec.ports[0].tls.mode",
            value: "PASSTHROUGH",
            expected: "SIMPLE",
            change: |routes| routes[1]["spec"]["ports"][0]["tls"]["mode"] = json!("PASSTHROUGH"),
            ..Fault::default()
        },
        Fault {
            code: "not_running",
            path: "status.state",
            value: r#"["error"]"#,
            expected: "running",
            change: |routes| routes[1]["status"]["state"] = json!("error"),
            ..Fault::default()
        },
        Fault {
            code: "wildcard_among_others",
            path: "spec.hostnames",
            value: r#"["*", "a.mydomain.com"]"#,
            expected: r#"["*"]"#,
            serves: true,
            change: |routes| routes[1]["spec"]["hostnames"] = json!(["*", "a.mydomain.com"]),
            ..Fault::default()
        },
    ]
}

#[test]
fn each_way_to_have_it_wrong_is_found() {
    for fault in faults() {
        let mut routes = vec![group(), wildcard()];
        (fault.change)(&mut routes);
        let overrides = match fault.replace {
            ("", _) => OVERRIDES.to_owned(),
            (from, to) => OVERRIDES.replace(from, to),
        };
        let bench = Bench::new(&[("routes.json", &list(&routes)), ("overrides.yaml", &overrides)]);
        let (report, code) = bench.report(&BOTH);
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{}: {findings:#?}", fault.code);
        let finding = &findings[0];
        assert!(finding["sentence"].as_str().unwrap().ends_with('.'));
        let fields =
            ["code", "object", "path", "value", "expected"].map(|field| finding[field].as_str().unwrap());
        assert_eq!(fields, [fault.code, fault.object, fault.path, fault.value, fault.expected]);
        assert_eq!((report["serves_non_sni"].as_bool(), code), (Some(fault.serves), 1), "{}", fault.code);

        let text = String::from_utf8(bench.run(&BOTH).stdout).unwrap();
        for part in ["1. ", fault.object, fault.path, fault.value, fault.expected, "1 finding."] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }
}

#[test]
fn without_a_wildcard_route_it_says_so() {
    let mut group = group();
    group["spec"]["additionalGateways"] = Value::Null;
    let bench = Bench::new(&[("routes.json", &list(&[group]))]);
    let (report, code) = bench.report(&["--file", "routes.json"]);
    let finding = &report["findings"][0];
    assert_eq!(report["findings"].as_array().unwrap().len(), 1);
    assert_eq!(finding["code"], "no_wildcard_route");
    assert_eq!(finding["path"], "spec.hostnames");
    assert_eq!(finding["value"], r#"["api-test.mydomain.com"]"#);
    assert_eq!(finding["expected"], r#"["*"]"#);
    assert_eq!((report["serves_non_sni"].as_bool(), code), (Some(false), 1));
}

#[test]
fn yaml_and_standard_input_and_several_files() {
    let bench = Bench::new(&[("overrides.yaml", OVERRIDES), ("group.json", &group().to_string())]);
    let yaml = r"
# as kubectl get -o yaml prints it
apiVersion: v1
items:
- apiVersion: apigee.cloud.google.com/v1alpha1
  kind: ApigeeRoute
  metadata: {name: non-sni, namespace: apigee}
  spec:
    enableNonSniClient: true
    hostnames:
    - '*'
    ports: [{number: 443, tls: {credentialName: c, mode: SIMPLE}}]
    selector: {app: apigee-ingressgateway}
kind: List
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec: {selector: {matchLabels: {a: b}}, ports: text}
status: text
";
    let mut child = bench
        .command(&["-f", "-", "-f", "group.json", "--overrides", "overrides.yaml", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["findings"]), (Some(0), &json!([])));
    assert_eq!(report["sources"], json!(["standard input", "group.json", "overrides.yaml"]));
    assert_eq!(report["skipped"], json!({"Deployment": 1}));
}

#[test]
fn nothing_from_a_file_reaches_the_terminal_as_a_command() {
    let mut evil = wildcard();
    evil["metadata"]["name"] = json!("\u{1b}]0;x\u{7}\n\u{202e}");
    evil["spec"]["hostnames"] = json!(["*", "\u{1b}[2J"]);
    evil["status"]["state"] = json!("\r\u{9b}31m");
    let bench = Bench::new(&[("routes.json", &list(&[evil]))]);
    let output = bench.run(&["--file", "routes.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
}
