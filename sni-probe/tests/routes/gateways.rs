//! Gateways of Istio and of the Gateway API.

use serde_json::{Value, json};

use super::Bench;

/// What is said of one file: codes and paths of findings, whether clients are served, the exit code.
fn judge(yaml: &str) -> (Vec<(String, String)>, Value, i32) {
    let bench = Bench::new(&[("gateways.yaml", yaml)]);
    let (report, code) = bench.report(&["--file", "gateways.yaml"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.map(|finding| (text(&finding["code"]), text(&finding["path"]))).collect();
    (findings, report["serves_non_sni"].clone(), code)
}

fn found(code: &str, path: &str) -> (Vec<(String, String)>, Value, i32) {
    (vec![(code.to_owned(), path.to_owned())], json!(false), 1)
}

fn fine() -> (Vec<(String, String)>, Value, i32) {
    (Vec::new(), json!(true), 0)
}

/// As in Istio's documentation of ingress, with a server for each line of `servers`.
fn istio(servers: &[&str]) -> String {
    let servers = servers.join("\n  - ");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: mygateway, namespace: istio-system}}\n\
         spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  - {servers}\n"
    )
}

const NAMED: &str = "{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: [httpbin.example.com]}";
const ALL: &str =
    "{port: {number: 443, name: all, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: ['*']}";
const PLAIN: &str =
    "{port: {number: 80, name: http, protocol: HTTP}, tls: {httpsRedirect: true}, hosts: [a.example.com]}";

#[test]
fn a_server_of_istio_with_every_host_serves() {
    for servers in [&[ALL][..], &[NAMED, ALL], &[ALL, PLAIN]] {
        assert_eq!(judge(&istio(servers)), fine(), "{servers:?}");
    }
    for hosts in ["['ns/*']", "['./*', a.example.com]", "['*/*']"] {
        assert_eq!(judge(&istio(&[&ALL.replace("['*']", hosts)])), fine(), "{hosts}");
    }
    // Two gateways of the same pods and port are one.
    let other = istio(&[ALL]).replace("mygateway", "other").replace("istio-system", "x");
    assert_eq!(judge(&format!("{}---\n{other}", istio(&[NAMED]))), fine());
    assert_eq!(judge(&istio(&[&ALL.replace("credentialName: c", "credentialNames: [a, b]")])), fine());
    let two =
        "tlsCertificates: [{serverCertificate: /a.crt, privateKey: /a.key}, {serverCertificate: /b.crt}]";
    assert_eq!(judge(&istio(&[&ALL.replace("credentialName: c", two)])), fine());
}

#[test]
fn a_server_of_istio_without_every_host_does_not() {
    assert_eq!(judge(&istio(&[PLAIN, NAMED])), found("no_wildcard_route", "spec.servers[1].hosts"));
    let subdomains = ALL.replace("['*']", "['*.example.com', 'ns/*.example.com']");
    assert_eq!(judge(&istio(&[&subdomains])), found("no_wildcard_route", "spec.servers[0].hosts"));
    // One that is at another port, or other pods.
    let other_port = ALL.replace("443", "8443");
    assert_eq!(judge(&istio(&[NAMED, &other_port])), found("no_wildcard_route", "spec.servers[0].hosts"));
    let other_pods =
        istio(&[ALL]).replace("istio: ingressgateway", "istio: other").replace("mygateway", "other");
    assert_eq!(
        judge(&format!("{}---\n{other_pods}", istio(&[NAMED]))),
        found("no_wildcard_route", "spec.servers[0].hosts")
    );
}

#[test]
fn a_server_of_istio_that_sends_no_certificate_does_not() {
    // The backend decides, whatever certificate is named.
    for server in [ALL.replace("SIMPLE", "PASSTHROUGH"), ALL.replace("mode: SIMPLE, ", "")] {
        let (findings, serves, code) = judge(&istio(&[&server]));
        assert_eq!(findings, [("tls_not_terminated".to_owned(), "spec.servers[0].tls.mode".to_owned())]);
        assert_eq!((serves, code), (Value::Null, 1));
    }
    for server in ["{mode: PASSTHROUGH}", "{mode: AUTO_PASSTHROUGH}", "{mode: ISTIO_MUTUAL}"] {
        let server = ALL.replace("{mode: SIMPLE, credentialName: c}", server);
        assert_eq!(judge(&istio(&[&server])), (Vec::new(), Value::Null, 2));
    }
    let server = ALL.replace("SIMPLE, credentialName: c", "MUTUAL");
    assert_eq!(judge(&istio(&[&server])), found("no_credential", "spec.servers[0].tls.credentialName"));
}

#[test]
fn gateways_without_tls_tell_nothing() {
    let (findings, serves, code) = judge(&istio(&[PLAIN]));
    assert_eq!((findings.len(), serves, code), (0, Value::Null, 2));
}

fn gateway_api(listeners: &[&str]) -> String {
    let listeners = listeners.join("\n  - ");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge}}\n\
         spec:\n  gatewayClassName: istio\n  listeners:\n  - {listeners}\n"
    )
}

const LISTENER: &str =
    "{name: https, protocol: HTTPS, port: 443, tls: {certificateRefs: [{kind: Secret, name: c}]}}";

#[test]
fn a_listener_without_hostname_serves() {
    let named = LISTENER.replace("port: 443", "port: 443, hostname: a.example.com");
    let plain = "{name: http, protocol: HTTP, port: 80, hostname: a.example.com}";
    for listeners in [&[LISTENER][..], &[&named, LISTENER, plain]] {
        assert_eq!(judge(&gateway_api(listeners)), fine(), "{listeners:?}");
    }
    let option = |option: &str| {
        LISTENER.replace("certificateRefs: [{kind: Secret, name: c}]", &format!("options: {{{option}}}"))
    };
    assert_eq!(judge(&gateway_api(&[&option("networking.gke.io/pre-shared-certs: c")])), fine());
    // It may name a certificate.
    assert_eq!(judge(&gateway_api(&[&option("a.b/certs: c")])), (Vec::new(), Value::Null, 2));
    let of_gke = gateway_api(&["{name: https, protocol: HTTPS, port: 443}"])
        .replace("name: edge", "name: edge, annotations: {networking.gke.io/certmap: store}");
    assert_eq!(judge(&of_gke), fine());
}

#[test]
fn a_listener_that_does_not_serve_is_found() {
    let named = LISTENER.replace("port: 443", "port: 443, hostname: '*.example.com'");
    assert_eq!(judge(&gateway_api(&[&named])), found("no_wildcard_route", "spec.listeners[0].hostname"));
    let passed_on = LISTENER.replace("tls: {", "tls: {mode: Passthrough, ").replace("HTTPS", "TLS");
    assert_eq!(judge(&gateway_api(&[&passed_on])), (Vec::new(), Value::Null, 2));
    let contradictory = LISTENER.replace("tls: {", "tls: {mode: Passthrough, ");
    assert_eq!(
        judge(&gateway_api(&[&contradictory])),
        found("tls_not_terminated", "spec.listeners[0].tls.mode")
    );
    let without = LISTENER.replace("[{kind: Secret, name: c}]", "[]");
    assert_eq!(
        judge(&gateway_api(&[&without])),
        found("no_credential", "spec.listeners[0].tls.certificateRefs")
    );
}

/// Notes are shown, and do not change the exit code.
#[test]
fn a_note_is_no_finding() {
    let mutual = istio(&[&ALL.replace("SIMPLE", "MUTUAL")]);
    assert_eq!(judge(&mutual), fine());
    let bench = Bench::new(&[("gateways.yaml", &mutual)]);
    let text = String::from_utf8(bench.run(&["--file", "gateways.yaml"]).stdout).unwrap();
    assert!(
        text.contains("Note: istio-system/mygateway: Clients of mygateway/all need a certificate."),
        "{text}"
    );
    let (report, _) = bench.report(&["--file", "gateways.yaml"]);
    assert_eq!(report["notes"][0]["code"], "client_certificate");
}

/// The open cases of other projects, where they are at hand.
#[test]
fn files_of_other_projects_are_judged() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/cases/reports");
    if !directory.is_dir() {
        println!("skipped: there is no {}", directory.display());
        return;
    }
    for (name, serves, code) in [
        ("38-apigee-v13-route.yaml", json!(false), 1),
        ("39-devrel-wildcard.yaml", json!(true), 0),
        ("40-route-with-names-and-flag.yaml", Value::Null, 1),
        ("42-istio-servercertificate-wildcard.yaml", json!(true), 0),
        ("44-istio-passthrough.yaml", json!(false), 1),
        ("45-gwapi-wildcard-hostname.yaml", json!(false), 1),
        ("46-traefik-two-listeners.yaml", Value::Null, 1),
        ("48-listenerset.yaml", json!(true), 0),
        ("48b-listenerset-second.yaml", json!(true), 0),
        ("50-helm-template-output.yaml", json!(true), 0),
        ("55-istio-hosts-forms.yaml", json!(true), 0),
        ("56-gwapi-unresolved-ref.yaml", json!(false), 1),
        ("59-gke-gateway.yaml", json!(true), 0),
        ("83-apigee-both-ports.yaml", json!(true), 0),
    ] {
        let text = std::fs::read_to_string(directory.join(name)).unwrap();
        let (_, of_file, exit) = judge(&text);
        assert_eq!((of_file, exit), (serves, code), "{name}");
    }
}
