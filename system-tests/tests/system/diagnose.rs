//! `diagnose` at a real Envoy with real clients: each cause is named, and after its fix nothing is wrong.
//!
//! Envoy has no ApigeeRoutes; the files say what Apigee would have made of them: a wildcard chain where the wildcard
//! route is there, enabled and listed, and none otherwise.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::{HTTP_PORT, Probe, binary};
use system_tests::process::run;
use system_tests::{CLIENT_INTERFACE, GATEWAY_V4, Lab, SERVER_NAME, UNKNOWN_NAME};

use crate::site::TIMEOUT;

const HANDSHAKES: &str = "sni_probe_handshakes_total";
/// In Google's range of load balancers.
const LOAD_BALANCER: &str = "35.191.0.9";

/// The state of the configuration.
#[derive(Clone, Copy)]
struct Files {
    /// The wildcard route, and its `enableNonSniClient`.
    wildcard: Option<bool>,
    /// Whether it is in `additionalGateways`.
    listed: bool,
}

const WITHOUT: Files = Files { wildcard: None, listed: false };
const FIXED: Files = Files { wildcard: Some(true), listed: true };

impl Files {
    /// Writes both files into the lab's directory.
    fn write(self, lab: &Lab) -> [PathBuf; 2] {
        let listed = if self.listed { "[\"non-sni\"]" } else { "[]" };
        let mut routes = format!(
            "apiVersion: v1\nkind: List\nitems:\n{}",
            route("dev-grp", SERVER_NAME, &format!("additionalGateways: {listed}"))
        );
        if let Some(enabled) = self.wildcard {
            routes.push_str(&route("non-sni", "*", &format!("enableNonSniClient: {enabled}")));
        }
        let overrides = format!(
            "virtualhosts:\n- name: dev-grp\n  selector:\n    app: apigee-ingressgateway\n  sslCertPath: ./certs/dev.pem\n  \
             sslKeyPath: ./certs/dev.key\n  additionalGateways: {listed}\n"
        );
        let paths = [lab.path("routes.yaml"), lab.path("overrides.yaml")];
        fs::write(&paths[0], routes).unwrap();
        fs::write(&paths[1], overrides).unwrap();
        paths
    }
}

fn route(name: &str, host: &str, more: &str) -> String {
    format!(
        "\
- apiVersion: apigee.cloud.google.com/v1alpha1
  kind: ApigeeRoute
  metadata: {{name: {name}, namespace: apigee}}
  spec:
    hostnames: [\"{host}\"]
    ports:
    - number: 443
      protocol: HTTPS
      tls: {{credentialName: dev-grp-cert, mode: SIMPLE, minProtocolVersion: TLS_AUTO}}
    selector: {{app: apigee-ingressgateway}}
    {more}
  status: {{state: running}}
"
    )
}

/// What `diagnose` says with the daemon, the files and an active check; and its exit code.
fn diagnose(lab: &Lab, files: Files, more: &[&str]) -> (Value, i32) {
    let [routes, overrides] = files.write(lab);
    let mut command = lab.gateway.command(binary().unwrap());
    command.args(["diagnose", "--json", "--url", &format!("http://127.0.0.1:{HTTP_PORT}")]);
    command.arg("--routes").arg(routes).arg("--overrides").arg(overrides).args(more);
    let finished = run(&mut command, TIMEOUT).unwrap();
    let diagnosis = serde_json::from_str(&finished.stdout);
    (diagnosis.unwrap_or_else(|error| panic!("{error}: {finished:?}")), finished.code)
}

/// Runs `traffic` of so many handshakes at an Envoy in this state, and diagnoses.
fn case(files: Files, wildcard_chain: bool, handshakes: u64, traffic: impl Fn(&Lab)) -> (Value, i32) {
    let lab = Lab::new().unwrap();
    lab.client.ip(&format!("address add {LOAD_BALANCER}/32 dev {CLIENT_INTERFACE}")).unwrap();
    lab.gateway.ip(&format!("route add {LOAD_BALANCER}/32 via {}", system_tests::CLIENT_V4)).unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions { wildcard_chain, ..EnvoyOptions::default() }).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    traffic(&lab);
    probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= handshakes).unwrap();
    diagnose(&lab, files, &[])
}

fn curl(lab: &Lab, name: Option<&str>) {
    clients::curl(lab, Target::https(GATEWAY_V4, name), &[]).unwrap();
}

/// Two clients without SNI, one with the name.
fn clients_without_sni(lab: &Lab) {
    curl(lab, None);
    clients::openssl(lab, Target::https(GATEWAY_V4, None), &[]).unwrap();
    curl(lab, Some(SERVER_NAME));
}

#[track_caller]
fn expect(said: &(Value, i32), cause: &str) {
    let (diagnosis, code) = said;
    assert_eq!(diagnosis["cause"], cause, "{diagnosis:#}");
    let expected = match cause {
        "nothing_wrong" => 0,
        "not_enough_evidence" => 2,
        _ => 1,
    };
    assert_eq!(*code, expected, "{diagnosis:#}");
}

/// The YAML of a file of the fix.
#[track_caller]
fn document<'a>(said: &'a (Value, i32), file: &str) -> &'a str {
    let documents = said.0["fix"]["documents"].as_array().unwrap();
    let document = documents.iter().find(|document| document["file"] == file);
    document.unwrap_or_else(|| panic!("{file} is not in {:#}", said.0))["yaml"].as_str().unwrap()
}

#[test]
fn no_wildcard_route() {
    let said = case(WITHOUT, false, 3, clients_without_sni);
    expect(&said, "no_wildcard_route");
    assert_eq!(said.0["confidence"], "certain");
    let route = document(&said, "non-sni.yaml");
    assert!(
        route.contains("enableNonSniClient: true") && route.contains("credentialName: dev-grp-cert"),
        "{route}"
    );
    assert!(document(&said, "overrides.yaml").contains("additionalGateways: [\"non-sni\"]"));
}

#[test]
fn a_wildcard_route_without_the_flag() {
    let said = case(Files { wildcard: Some(false), listed: true }, false, 3, clients_without_sni);
    expect(&said, "non_sni_client_not_enabled");
    assert_eq!(document(&said, "non-sni-patch.yaml"), "spec:\n  enableNonSniClient: true\n");
}

#[test]
fn a_wildcard_route_that_is_not_listed() {
    let said = case(Files { wildcard: Some(true), listed: false }, false, 3, clients_without_sni);
    expect(&said, "not_in_additional_gateways");
    assert!(document(&said, "overrides.yaml").contains("additionalGateways: [\"non-sni\"]"));
}

#[test]
fn a_name_that_no_route_serves() {
    let said = case(WITHOUT, false, 2, |lab| {
        curl(lab, Some(UNKNOWN_NAME));
        curl(lab, Some(UNKNOWN_NAME));
    });
    expect(&said, "unknown_name");
    assert!(said.0["sentence"].as_str().unwrap().contains(UNKNOWN_NAME), "{:#}", said.0);
}

#[test]
fn a_load_balancer() {
    let said = case(WITHOUT, false, 2, |lab| {
        for _ in 0..2 {
            clients::curl(lab, Target::https(GATEWAY_V4, None), &["--interface", LOAD_BALANCER]).unwrap();
        }
    });
    expect(&said, "load_balancer");
}

#[test]
fn a_version_that_the_gateway_does_not_speak() {
    let said = case(FIXED, true, 2, |lab| {
        for name in [Some(SERVER_NAME), None] {
            clients::openssl_tls10(lab, Target::https(GATEWAY_V4, name)).unwrap();
        }
    });
    expect(&said, "tls_mismatch");
}

/// The hello is never answered, as if something in between swallowed it.
#[test]
fn nothing_answers() {
    let lab = Lab::new().unwrap();
    // The kernel accepts; nobody reads or answers.
    let _listener = lab.gateway.run_in_thread(|| TcpListener::bind("0.0.0.0:443").unwrap()).unwrap();
    let probe = Probe::start(&lab, &["--handshake-timeout", "1s"]).unwrap();
    clients::curl(&lab, Target::https(GATEWAY_V4, None), &["--max-time", "3"]).unwrap();
    probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= 1).unwrap();
    expect(&diagnose(&lab, FIXED, &[]), "not_the_gateway");
}

/// What the fix says is applied to the gateway (the chain) and to the files: clients are served, nothing is wrong.
#[test]
fn after_the_fix_nothing_is_wrong() {
    let lab = Lab::new().unwrap();
    {
        let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
        let probe = Probe::start(&lab, &[]).unwrap();
        clients_without_sni(&lab);
        probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= 3).unwrap();
        let said = diagnose(&lab, WITHOUT, &["--check", &GATEWAY_V4.to_string()]);
        expect(&said, "no_wildcard_route");
    }
    let _envoy =
        Envoy::start(&lab, &EnvoyOptions { wildcard_chain: true, ..EnvoyOptions::default() }).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    assert!(clients::curl(&lab, Target::https(GATEWAY_V4, None), &[]).unwrap().success());
    curl(&lab, Some(SERVER_NAME));
    probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= 2).unwrap();
    let said = diagnose(&lab, FIXED, &["--check", &GATEWAY_V4.to_string()]);
    expect(&said, "nothing_wrong");
    assert_eq!(said.0["confidence"], "certain");
}
