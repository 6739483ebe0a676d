//! Who connects without SNI: clients, fingerprints and refused names in metrics, events and the API, of real clients
//! at a real Envoy.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::metrics::Metrics;
use system_tests::probe::Probe;
use system_tests::{CLIENT_INTERFACE, GATEWAY_V4, Lab, SERVER_NAME, UNKNOWN_NAME};

use crate::site::{Site, TIMEOUT};

const CLIENTS: &str = "sni_probe_client_handshakes_total";
const FINGERPRINTS: &str = "sni_probe_fingerprint_handshakes_total";
const NAMES: &str = "sni_probe_server_name_handshakes_total";
const HANDSHAKES: &str = "sni_probe_handshakes_total";

/// Addresses of clients besides the lab's own.
const OTHERS: [&str; 3] = ["10.77.0.11", "10.77.0.12", "10.77.0.13"];

/// A lab with more clients.
fn lab() -> Lab {
    let lab = Lab::new().unwrap();
    for address in OTHERS {
        lab.client.ip(&format!("address add {address}/24 dev {CLIENT_INTERFACE}")).unwrap();
    }
    lab
}

/// A gateway that serves one name and no other client.
fn envoy(lab: &Lab) -> Envoy<'_> {
    Envoy::start(lab, &EnvoyOptions::default()).unwrap()
}

/// One handshake of curl from an address.
fn curl(lab: &Lab, from: &str, name: Option<&str>) {
    clients::curl(lab, Target::https(GATEWAY_V4, name), &["--interface", from]).unwrap();
}

/// 3 handshakes without SNI of the first, 2 of the second, 1 of the third; 2 with an unknown name, 1 that is served.
fn traffic(lab: &Lab) {
    for (count, from) in [(3, OTHERS[0]), (2, OTHERS[1]), (1, OTHERS[2])] {
        for _ in 0..count {
            curl(lab, from, None);
        }
    }
    curl(lab, OTHERS[0], Some(UNKNOWN_NAME));
    curl(lab, OTHERS[0], Some(UNKNOWN_NAME));
    curl(lab, OTHERS[0], Some(SERVER_NAME));
}

/// Waits until all handshakes of [`traffic`] are counted.
fn seen(probe: &Probe<'_>) -> Metrics {
    probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= 9).unwrap()
}

fn api(probe: &Probe<'_>, path: &str) -> Value {
    let (status, body) = probe.get(path).unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn who_connects_without_sni_and_which_names_are_refused() {
    let lab = lab();
    let _envoy = envoy(&lab);
    let probe = Probe::start(&lab, &["--top-clients", "2"]).unwrap();
    traffic(&lab);
    let metrics = seen(&probe);
    let resets = [("sni", "absent"), ("outcome", "reset_by_gateway")];
    let of = |client: &str| metrics.count(CLIENTS, &[&[("client", client)], &resets[..]].concat());
    assert_eq!((of(OTHERS[0]), of(OTHERS[1]), of(OTHERS[2]), of("other")), (3, 2, 0, 1));
    // All clients together are all handshakes without SNI, and so are all fingerprints.
    assert_eq!(metrics.count(CLIENTS, &[]), metrics.count(HANDSHAKES, &resets));
    assert_eq!(metrics.count(FINGERPRINTS, &[]), 6);
    let curl = metrics.select(FINGERPRINTS, &resets).find(|sample| sample.value > 5.5).unwrap();
    assert!(curl.labels["ja4"].starts_with("t13i"), "{curl:?}");
    // Those of the top have one series each that tells more, and the others none.
    let info: Vec<_> = metrics.select("sni_probe_client_info", &[]).collect();
    assert_eq!(info.len(), 2, "{info:?}");
    for sample in info {
        assert_eq!(sample.labels["gateway_address"], format!("{GATEWAY_V4}:443"));
        assert_eq!(sample.labels["ja4"], curl.labels["ja4"]);
    }
    let unknown = [("server_name", UNKNOWN_NAME), ("outcome", "reset_by_gateway")];
    assert_eq!((metrics.count(NAMES, &unknown), metrics.count(NAMES, &[])), (2, 2));
    assert_eq!(metrics.count("sni_probe_clients_without_sni", &[]), 3);
    assert_eq!(metrics.count("sni_probe_clients_refused", &[]), 3);

    let summary = api(&probe, "/api/v1/summary");
    assert_eq!(summary["state"], "refusing", "{summary}");
    let sentence = "3 clients without SNI were reset in the last hour; the gateway accepts none.";
    assert_eq!(summary["sentence"], sentence);
    let told = api(&probe, "/api/v1/clients");
    let clients: Vec<_> = told["clients"].as_array().unwrap().iter().collect();
    assert_eq!(clients.len(), 2, "{told}");
    assert_eq!((&clients[0]["client"], &clients[0]["refused"]), (&json!(OTHERS[0]), &json!(3)));
    assert_eq!(clients[0]["ja4"], *curl.labels["ja4"]);
    assert_eq!(told["other"][0]["handshakes"], 1);
    let last = api(&probe, "/api/v1/handshakes");
    assert_eq!(last["handshakes"].as_array().unwrap().len(), 9, "the filter of the tests is all");
}

#[test]
fn expected_sources_and_labels() {
    let lab = lab();
    let _envoy = envoy(&lab);
    let expected = format!("{}/32", OTHERS[0]);
    let options = ["--expected-non-sni", &expected, "--client-label", "subnet", "--client-subnet-v4", "31"];
    let probe = Probe::start(&lab, &options).unwrap();
    traffic(&lab);
    let metrics = seen(&probe);
    let absent = |source| metrics.count(HANDSHAKES, &[("source", source), ("sni", "absent")]);
    assert_eq!((absent("expected"), absent("other")), (3, 3));
    let hellos = [("source", "expected"), ("sni", "present")];
    assert_eq!(
        metrics.count("sni_probe_client_hellos_total", &hellos),
        3,
        "the source is the client's, whatever it says"
    );
    let of = |client| metrics.count(CLIENTS, &[("client", client)]);
    assert_eq!((of("expected"), of("10.77.0.12/31"), of("other")), (3, 3, 0));
    assert_eq!(metrics.count("sni_probe_clients_without_sni", &[]), 2);
    let last = probe.get("/api/v1/handshakes").unwrap().1;
    assert!(!last.contains(OTHERS[2]) && last.contains("10.77.0.12/31"), "{last}");
}

#[test]
fn hashed_clients_are_found_with_the_key() {
    let lab = lab();
    let _envoy = envoy(&lab);
    let key = lab.path("key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let options = ["--client-label", "hash", "--client-hash-key-file", key.to_str().unwrap()];
    let probe = Probe::start(&lab, &options).unwrap();
    traffic(&lab);
    let metrics = seen(&probe);
    let mut openssl = lab.client.command("bash");
    let hash =
        "printf %s 10.77.0.11 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -r | cut -c -16";
    openssl.args(["-c", hash]);
    let hash = system_tests::process::run_ok(&mut openssl, TIMEOUT).unwrap();
    assert_eq!(metrics.count(CLIENTS, &[("client", hash.trim())]), 3, "{hash}");
    assert!(!probe.get("/metrics").unwrap().1.contains("10.77.0.11"));
}

#[test]
fn what_went_wrong_is_in_the_file_of_events_and_on_stdout_if_asked_for() {
    let lab = lab();
    let _envoy = envoy(&lab);
    let file = lab.path("events.json");
    let path = file.to_str().unwrap();
    let options = ["--events", "off", "--events-filter", "failed,missing", "--events-file", path];
    let mut probe = Probe::start(&lab, &options).unwrap();
    traffic(&lab);
    seen(&probe);
    assert_eq!(probe.stop().unwrap(), 0);
    assert_eq!(probe.service().stdout(), "");
    let lines = fs::read_to_string(&file).unwrap();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 6, "{lines}");
    assert!(events.iter().all(|event| event["sni"] == "absent" && event["outcome"] == "reset_by_gateway"));
}

#[test]
fn more_events_than_the_rate_are_counted() {
    let site = Site::new();
    let mut probe = site.probe(&["--events-rate", "1"]);
    for _ in 0..15 {
        site.hello();
    }
    let dropped =
        |metrics: &Metrics| metrics.count("sni_probe_event_lines_dropped_total", &[("reason", "rate_limit")]);
    let all = |metrics: &Metrics| metrics.count(HANDSHAKES, &[]) == 15;
    let metrics = probe.wait_for_metrics(TIMEOUT, all).unwrap();
    assert_eq!(probe.stop().unwrap(), 0);
    // Ten at once, and one for each second that passed since.
    let written = probe.service().stdout().lines().count() as u64;
    assert!(written >= 10 && dropped(&metrics) >= 1, "{written} written, {} dropped", dropped(&metrics));
    assert_eq!(written + dropped(&metrics), 15);
}

/// The pod that has the gateway's address, as an API server lists it.
fn gateway_pod() -> Value {
    json!({
        "metadata": {
            "name": "apigee-ingressgateway-5d8f-x2x", "namespace": "apigee", "uid": "1", "resourceVersion": "7",
            "labels": {"pod-template-hash": "5d8f"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "apigee-ingressgateway-5d8f", "uid": "2",
                "controller": true,
            }],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "envoy"}]},
        "status": {
            "phase": "Running", "podIP": GATEWAY_V4.to_string(), "podIPs": [{"ip": GATEWAY_V4.to_string()}],
        },
    })
}

/// Answers one request of an API server's client: a list with the pod, or a watch that says nothing.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    if request.contains("watch=") {
        write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n")?;
        // Until the client goes.
        return reader.read_line(&mut line).map(drop);
    }
    let items = if request.contains("spec.nodeName%3Dnode-1") { vec![gateway_pod()] } else { Vec::new() };
    let list =
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": items});
    let list = list.to_string();
    write!(stream, "{head}Content-Length: {}\r\n\r\n{list}", list.len())
}

#[test]
fn a_gateway_has_the_name_of_its_workload() {
    let site = Site::new();
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let server = site.lab.gateway.run_in_thread(listen).unwrap().unwrap();
    let port = server.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in server.incoming().flatten() {
            // A client that goes away is no concern of this server.
            thread::spawn(move || drop(answer(stream)));
        }
    });
    let kubeconfig = site.lab.path("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "users": [{"name": "lab", "user": {"token": "secret"}}],
    });
    fs::write(&kubeconfig, config.to_string()).unwrap();
    let options = ["--kube", "--kubeconfig", kubeconfig.to_str().unwrap(), "--node", "node-1"];
    let probe = site.probe(&options);
    let synced = |metrics: &Metrics| metrics.count("sni_probe_kubernetes_synced", &[]) == 1;
    let metrics = probe.wait_for_metrics(TIMEOUT, synced).unwrap();
    assert_eq!(metrics.count("sni_probe_kubernetes_pods", &[]), 1);
    site.hello();
    let named = [("gateway_namespace", "apigee"), ("gateway", "apigee-ingressgateway"), ("sni", "absent")];
    let is_named = |metrics: &Metrics| metrics.count(HANDSHAKES, &named) == 1;
    let metrics = probe.wait_for_metrics(TIMEOUT, is_named).unwrap();
    assert_eq!(metrics.count("sni_probe_client_hellos_total", &named), 1);
    let event = &probe.wait_for_events(1, TIMEOUT).unwrap()[0].json;
    assert_eq!(event["gateway_pod"], "apigee/apigee-ingressgateway-5d8f-x2x");
}
