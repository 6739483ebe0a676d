//! `collect` as a user meets it: what is in the bundle, what is missing, and that no secret is in it.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;
use sni_probe_testkit::captures::{Capture, Connection, Format};
use sni_probe_testkit::hello::ClientHelloBuilder;
use tempfile::TempDir;

const SECRET: &str = "hunter2x";

/// A directory with files, in which the program runs.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn collect(&self, arguments: &[&str]) -> Output {
        self.run("collect", arguments)
    }

    /// The JSON document of `diagnose`.
    fn diagnose(&self, arguments: &[&str]) -> Value {
        let output = self.run("diagnose", &[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", stderr(&output)))
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sni-probe"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SNI_PROBE_") {
                command.env_remove(name);
            }
        }
        command.arg(verb).args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.output().expect("sni-probe starts")
    }

    /// The files of a bundle by their names.
    fn unpack(&self, name: &str) -> BTreeMap<String, String> {
        let file = File::open(self.0.path().join(name)).unwrap();
        let mut archive = tar::Archive::new(zstd::Decoder::new(file).unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let name = name.strip_prefix("sni-probe-bundle/").unwrap().to_owned();
            (name, String::from_utf8_lossy(&bytes).into_owned())
        });
        entries.collect()
    }

    /// Names of the files in the directory.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

fn manifest(files: &BTreeMap<String, String>) -> Value {
    serde_json::from_str(&files["MANIFEST.json"]).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const OVERRIDES: &str = "\
# password: hunter2x
org: myorg
virtualhosts:
- name: dev-grp
  sslKeyPath: ./certs/dev.key
  additionalGateways: [\"non-sni\"]
cassandra:
  auth:
    default: {password: \"hunter2x\"}
serviceAccount:
  private_key: \"-----BEGIN PRIVATE KEY-----\\nhunter2x\\n-----END PRIVATE KEY-----\\n\"
proxy: http://me:hunter2x@192.0.2.9:3128/
";
const ROUTES: &str = "\
apiVersion: v1
kind: List
items:
- kind: ApigeeRoute
  metadata:
    name: non-sni
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: '{\"kind\":\"Secret\",\"data\":{\"a\":\"hunter2x\"}}'
  spec: {hostnames: [\"*\"], enableNonSniClient: true}
- kind: Secret
  data: {tls.key: hunter2x}
";
const EVENTS: &str = "\
{\"client\":\"192.0.2.7:51234\",\"gateway\":\"[fd00::1]:443\",\"server_name\":null,\"token\":\"hunter2x\"}
{\"client\":\"192.0.2.7:51235\"} Authorization: Bearer hunter2x
";

fn filled() -> Bench {
    let bench = Bench::new();
    bench.put("overrides.yaml", OVERRIDES);
    bench.put("routes.yaml", ROUTES);
    bench.put("events.jsonl", EVENTS);
    bench.put("evidence/20261125T214501.123456Z-192.0.2.7-51234-reset_by_gateway.pcapng", "packets");
    bench.put("evidence/notes.txt", SECRET);
    bench
}

const ALL: [&str; 10] = [
    "-o",
    "bundle.tar.zst",
    "--overrides",
    "overrides.yaml",
    "--routes",
    "routes.yaml",
    "--events-file",
    "events.jsonl",
    "--evidence",
    "evidence",
];

#[test]
fn a_bundle_has_everything_but_secrets() {
    let bench = filled();
    let output = bench.collect(&ALL);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = bench.unpack("bundle.tar.zst");
    for (name, text) in &files {
        assert!(!text.contains(SECRET), "{name}:\n{text}");
    }
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let evidence = "evidence/20261125T214501.123456Z-192.0.2.7-51234-reset_by_gateway.pcapng";
    assert_eq!(
        names,
        [
            "MANIFEST.json",
            "config/overrides.yaml",
            "config/routes.yaml",
            "events.jsonl",
            evidence,
            "system/os-release.txt",
            "system/uname.txt",
            "system/version.txt",
        ]
    );
    assert!(files["config/overrides.yaml"].contains("sslKeyPath: ./certs/dev.key"));
    assert!(files["config/routes.yaml"].contains("enableNonSniClient: true"));
    let manifest = manifest(&files);
    assert_eq!(manifest["missing"], serde_json::json!([]));
    for entry in manifest["files"].as_array().unwrap() {
        let text = &files[entry["name"].as_str().unwrap()];
        assert_eq!(entry["size"], text.len());
        let sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut sum = sum.unwrap();
        sum.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let digest = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
        assert!(digest.starts_with(entry["sha256"].as_str().unwrap()), "{entry}");
    }
    let mode = fs::metadata(bench.0.path().join("bundle.tar.zst")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!bench.names().iter().any(|name| name.ends_with(".partial")));
}

#[test]
fn addresses_are_pseudonyms_everywhere() {
    let bench = filled();
    let output = bench.collect(&[&ALL[..], &["--redact-addresses"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = bench.unpack("bundle.tar.zst");
    for (name, text) in &files {
        assert!(!text.contains("192.0.2.") && !text.contains("fd00::1"), "{name}:\n{text}");
        assert!(!name.starts_with("evidence"), "{name}");
    }
    // The same client in both.
    let clients: Vec<&str> =
        files["events.jsonl"].lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(clients[0].split_once(':').unwrap().0, clients[1].split_once(':').unwrap().0);
    assert_eq!(manifest(&files)["missing"][0]["name"], "evidence");
}

#[test]
fn what_is_missing_is_listed_and_hinders_nothing() {
    let bench = filled();
    bench.put("broken.yaml", "a:\n\t- password: hunter2x\n b");
    let closed = ["--url", "http://127.0.0.1:1", "--overrides", "broken.yaml", "--routes", "routes.yaml"];
    let output = bench.collect(&[&["-o", "bundle.tar.zst", "--evidence", "nowhere"], &closed[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = bench.unpack("bundle.tar.zst");
    assert!(files.contains_key("config/routes.yaml") && !files.contains_key("config/overrides.yaml"));
    assert!(files.values().all(|text| !text.contains(SECRET)));
    let manifest = manifest(&files);
    let missing = manifest["missing"].as_array().unwrap();
    let reason = |name: &str| {
        let missing = missing.iter().find(|missing| missing["name"] == name);
        missing.unwrap_or_else(|| panic!("{name} is not in {manifest:#}"))["reason"].as_str().unwrap()
    };
    assert!(reason("daemon/metrics.txt").contains("is the daemon running"));
    let broken = reason("config/overrides.yaml");
    assert!(broken.starts_with("broken.yaml:2:") && broken.contains(": neither YAML nor JSON"), "{broken}");
    assert!(reason("evidence").contains("nowhere"));
    assert_eq!(stderr(&output).matches("not collected").count(), missing.len());
    assert!(!stderr(&output).contains(SECRET));
}

#[test]
fn nothing_collected_and_nowhere_to_write_are_errors() {
    let bench = Bench::new();
    let output = bench.collect(&["-o", "b.tar.zst", "--overrides", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nothing could be collected"), "{}", stderr(&output));
    assert!(bench.names().is_empty(), "{:?}", bench.names());
    let output = bench.collect(&["-o", "no/such/directory/b.tar.zst", "--overrides", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot write no/such/directory/b.tar.zst"), "{}", stderr(&output));
    // No flags, and a server that is no daemon.
    let address = serve(&[]);
    for (more, reason) in [
        (&[][..], "name --url, --kube"),
        (&["--url", &format!("http://{address}")][..], "not found; is this an sni-probe"),
    ] {
        let output = bench.collect(&[&["-o", "b.tar.zst"], more].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
        assert!(bench.names().is_empty(), "{:?}", bench.names());
    }
}

#[test]
fn nothing_but_an_older_bundle_is_replaced() {
    let bench = filled();
    bench.put("keep.yaml", "a: 1");
    let device = bench.0.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&device).status().unwrap().success());
    std::os::unix::fs::symlink("keep.yaml", bench.0.path().join("link")).unwrap();
    let before = bench.names();
    for (output, reason) in [
        ("overrides.yaml", "a file to read"),
        ("./evidence/../overrides.yaml", "a file to read"),
        ("keep.yaml", "no older bundle"),
        ("link", "no regular file"),
        ("fifo", "no regular file"),
        ("evidence", "no regular file"),
        ("-", "written to a file"),
    ] {
        let collected = bench.collect(&["-o", output, "--overrides", "overrides.yaml"]);
        assert_eq!(collected.status.code(), Some(2), "{output}");
        let stderr = stderr(&collected);
        assert!(stderr.contains(reason) && stderr.trim_end().lines().count() == 1, "{stderr}");
    }
    assert_eq!(bench.names(), before);
    assert_eq!(fs::read_to_string(bench.0.path().join("overrides.yaml")).unwrap(), OVERRIDES);
    assert!(fs::symlink_metadata(bench.0.path().join("link")).unwrap().is_symlink());
    for _ in 0..2 {
        assert_eq!(bench.collect(&ALL).status.code(), Some(0));
    }
}

/// A server that answers requests by their paths, one connection for each, until the test process ends.
fn serve(answers: &'static [(&'static str, u16, &'static str)]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().and_then(Result::ok).unwrap_or_default();
            // The head of the request ends with an empty line.
            let _ = lines.find(|line| line.as_ref().is_ok_and(String::is_empty));
            let path = request.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(known, ..)| *known == path);
            let (_, status, body) = found.copied().unwrap_or(("", 404, "no such page"));
            let head =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

#[test]
fn a_daemon_is_asked_for_what_it_says() {
    let address = serve(&[
        ("/metrics", 200, "sni_probe_x_total 1\n# token=hunter2x\n"),
        ("/readyz", 503, "eth0: not attached\n"),
        ("/api/v1/summary", 200, "{\"version\": \"1\", \"secret\": \"hunter2x\"}"),
    ]);
    let bench = Bench::new();
    let output = bench.collect(&["-o", "b.tar.zst", "--url", &format!("http://{address}")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = bench.unpack("b.tar.zst");
    assert!(files.values().all(|text| !text.contains(SECRET)));
    assert_eq!(files["daemon/readyz.txt"], "eth0: not attached\n");
    assert!(files["daemon/metrics.txt"].starts_with("sni_probe_x_total 1\n"));
    let summary: Value = serde_json::from_str(&files["daemon/summary.json"]).unwrap();
    assert_eq!(summary["version"], "1");
    let missing = manifest(&files)["missing"].to_string();
    assert!(missing.contains("daemon/clients.json") && missing.contains("--web off"), "{missing}");
}

#[test]
fn a_cluster_is_asked_for_its_routes() {
    let address = serve(&[(
        "/apis/apigee.cloud.google.com/v1alpha1/namespaces/apigee/apigeeroutes",
        200,
        "{\"items\": [{\"metadata\": {\"name\": \"dev-grp\", \"annotations\": {\"token\": \"hunter2x\"}}, \
         \"spec\": {\"hostnames\": [\"api.example.com\"]}, \"status\": {\"state\": \"running\"}}]}",
    )]);
    let bench = Bench::new();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: a, user: {{}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n"
    );
    bench.put("kubeconfig", &kubeconfig);
    let output = bench.collect(&["-o", "b.tar.zst", "--kube", "--kubeconfig", "kubeconfig"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = bench.unpack("b.tar.zst");
    assert!(files.values().all(|text| !text.contains(SECRET)));
    assert!(files["config/apigeeroutes.json"].contains("api.example.com"));
    assert_eq!(files["config/environment-groups.txt"], "dev-grp running api.example.com\n");
    // Another namespace has none.
    let other = ["-o", "c.tar.zst", "--kube", "--kubeconfig", "kubeconfig", "--namespace", "other"];
    let output = bench.collect(&other);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("apigeeroutes"), "{}", stderr(&output));
}

/// What a daemon answers that refuses clients without SNI.
const DAEMON: &[(&str, u16, &str)] = &[
    ("/metrics", 200, METRICS),
    ("/readyz", 200, "ready\n"),
    ("/api/v1/summary", 200, include_str!("../../crates/model/samples/summary.json")),
    ("/api/v1/clients", 200, include_str!("../../crates/model/samples/clients.json")),
    ("/api/v1/handshakes", 200, include_str!("../../crates/model/samples/handshakes.json")),
    ("/api/v1/facts", 200, include_str!("../../crates/model/samples/facts.json")),
];
const METRICS: &str = "\
# HELP sni_probe_handshakes_total TLS handshakes.
# TYPE sni_probe_handshakes_total counter
sni_probe_handshakes_total{outcome=\"reset_by_gateway\",sni=\"absent\",source=\"other\"} 4
sni_probe_handshakes_total{outcome=\"server_hello\",sni=\"present\",source=\"other\"} 9
sni_probe_client_handshakes_total{client=\"192.0.2.9\",outcome=\"reset_by_gateway\",sni=\"absent\"} 4
";
/// The wildcard route lacks the flag; names and values look as those of secrets do.
const ROUTE_WITHOUT_FLAG: &str = "\
apiVersion: apigee.cloud.google.com/v1alpha1
kind: ApigeeRoute
metadata: {name: token-route, annotations: {password: hunter2x}}
spec:
  hostnames: [\"*\"]
  ports: [{number: 443, protocol: HTTPS, tls: {credentialName: Secret-Cert2026A, mode: SIMPLE}}]
  selector: {app: apigee-ingressgateway}
status: {state: running}
";
const VIRTUAL_HOSTS: &str = "\
virtualhosts:
- name: token-route
  sslKeyPath: ./certs/Key2026A.pem
  additionalGateways: [\"secret-gateway\"]
sslKey: hunter2x
";

#[test]
fn the_diagnosis_of_a_bundle_is_that_of_its_inputs() {
    let bench = Bench::new();
    bench.put("routes.yaml", ROUTE_WITHOUT_FLAG);
    bench.put("overrides.yaml", VIRTUAL_HOSTS);
    let hello = ClientHelloBuilder::new().build();
    let mut refused = Connection::v4();
    refused.open().client(&hello).gateway_reset();
    fs::create_dir(bench.0.path().join("evidence")).unwrap();
    let capture = Capture::of(&[refused]).to_bytes(Format::PCAPNG).unwrap();
    fs::write(bench.0.path().join("evidence/a.pcapng"), capture).unwrap();
    let live = format!("http://{}", serve(DAEMON));
    bench.put("metrics.txt", METRICS);
    let sources = ["--routes", "routes.yaml", "--overrides", "overrides.yaml", "--evidence", "evidence"];
    let output = bench.collect(&[&["-o", "b.tar.zst", "--url", &live], &sources[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let unpacked =
        Command::new("tar").args(["--zstd", "-xf", "b.tar.zst"]).current_dir(bench.0.path()).status();
    assert!(unpacked.unwrap().success());
    let files = bench.unpack("b.tar.zst");
    assert!(files.values().all(|text| !text.contains(SECRET)));
    let answers: Vec<(&str, u16, &str)> = DAEMON
        .iter()
        .map(|(path, status, _)| {
            let name = match path.strip_prefix("/api/v1/") {
                Some(name) => format!("daemon/{name}.json"),
                None => format!("daemon{path}.txt"),
            };
            (*path, *status, &*files[&name].clone().leak())
        })
        .collect();
    let bundled = format!("http://{}", serve(answers.leak()));
    let at = |path: &str| format!("sni-probe-bundle/{path}");
    for (name, inputs, of_bundle) in [
        ("API", ["--url".to_owned(), live], ["--url".to_owned(), bundled]),
        (
            "scrape",
            ["--metrics", "metrics.txt"].map(str::to_owned),
            ["--metrics".to_owned(), at("daemon/metrics.txt")],
        ),
        (
            "capture",
            ["--capture", "evidence/a.pcapng"].map(str::to_owned),
            ["--capture".to_owned(), at("evidence/a.pcapng")],
        ),
    ] {
        let of = |wire: &[String; 2], routes: &str, overrides: &str| {
            bench.diagnose(&[&wire[0], &wire[1], "--routes", routes, "--overrides", overrides])
        };
        let live = of(&inputs, "routes.yaml", "overrides.yaml");
        let bundle = of(&of_bundle, &at("config/routes.yaml"), &at("config/overrides.yaml"));
        for part in ["cause", "confidence", "sentence", "fix"] {
            let path = |text: &Value| text.to_string().replace("sni-probe-bundle/config/", "");
            assert_eq!(path(&live[part]), path(&bundle[part]), "{name}: {part}");
        }
        assert_ne!(live["cause"], "not_enough_evidence", "{name}: {live:#}");
    }
}

/// Overrides and objects with values that look as those of secrets do.
const LOOKING_LIKE_SECRETS: &str =
    include_str!("../../crates/playbook/src/collect/redact/testdata/routes.yaml");
/// Two virtual hosts with a certificate each at the wildcard route.
const TWO_CERTIFICATES: &str = "\
virtualhosts:
- {name: a, sslSecret: cert-a, selector: {app: apigee-ingressgateway}, additionalGateways: [non-sni]}
- {name: b, sslSecret: cert-b, selector: {app: apigee-ingressgateway}, additionalGateways: [non-sni]}
";
const WILDCARD_ROUTE: &str = "\
apiVersion: apigee.cloud.google.com/v1alpha1
kind: ApigeeRoute
metadata: {name: non-sni, namespace: apigee}
spec:
  hostnames: [\"*\"]
  ports: [{number: 443, protocol: HTTPS, tls: {credentialName: org-cert, mode: SIMPLE}}]
  selector: {app: apigee-ingressgateway}
  enableNonSniClient: true
status: {state: running}
";

/// A route of a TLS listener that its Gateway does not take.
const REFUSED_ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway, namespace: a}
spec:
  gatewayClassName: istio
  listeners:
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: route, namespace: a}
spec: {parentRefs: [{name: gateway}]}
status:
  parents:
  - parentRef: {name: gateway}
    controllerName: istio.io/gateway-controller
    conditions:
    - {type: Accepted, status: 'False', reason: NotAllowedByListeners, message: Listener Store2026XTls of Sets2026XGateway does not take it}
";

#[test]
fn the_routes_of_a_bundle_are_those_of_its_inputs() {
    let (overrides, objects) = LOOKING_LIKE_SECRETS.split_once("---\n").unwrap();
    for (name, overrides, objects, expected) in [
        ("certificates", TWO_CERTIFICATES, WILDCARD_ROUTE, "several_certificates"),
        ("names", overrides, objects, "Secret other/missing does not exist."),
        ("names", overrides, objects, "Store2024XCertmap"),
        ("names", overrides, objects, "networking.gke.io/pre-shared-certs=Cert2024XA"),
        ("names", overrides, objects, "Cert2024XFile"),
        ("names", overrides, objects, "token=abc"),
        ("flag", TWO_CERTIFICATES, ROUTE_WITHOUT_FLAG, "Secret-Cert2026A"),
        ("refused", TWO_CERTIFICATES, REFUSED_ROUTE, "Listener Store2026XTls of Sets2026XGateway"),
    ] {
        let bench = Bench::new();
        bench.put("overrides.yaml", overrides);
        bench.put("routes.yaml", objects);
        let sources = ["--overrides", "overrides.yaml", "--routes", "routes.yaml"];
        let output = bench.collect(&[&["-o", "b.tar.zst"], &sources[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        for (file, text) in bench.unpack("b.tar.zst") {
            bench.put(&format!("bundle/{file}"), &text);
        }
        let routes = |directory: &str| {
            let (file, overrides) = (format!("{directory}routes.yaml"), format!("{directory}overrides.yaml"));
            let output = bench.run("routes", &["--json", "--file", &file, "--overrides", &overrides]);
            let report = String::from_utf8(output.stdout.clone()).unwrap();
            assert!(!report.is_empty(), "{name}: {}", stderr(&output));
            (output.status.code(), report.replace("bundle/config/", ""))
        };
        let (live, bundle) = (routes(""), routes("bundle/config/"));
        assert!(live.1.contains(expected), "{name}: no {expected} in {}", live.1);
        assert_eq!(live, bundle, "{name}");
    }
}

#[test]
fn a_connection_error_keeps_its_reason() {
    let bench = filled();
    // The name of the host is also that of a secret.
    let url = "http://auth.localhost:1";
    let output = bench.collect(&[&ALL[..], &["--url", url]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let manifest = manifest(&bench.unpack("bundle.tar.zst"));
    let reason = manifest["missing"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(url) && !reason.contains("[redacted]") && reason.len() > url.len() + 10,
        "{reason}"
    );
}
