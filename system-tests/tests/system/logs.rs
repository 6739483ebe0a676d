//! `sni-probe logs` on the log of a real Envoy, joined with the events of the daemon beside it: what it counts is what was
//! sent.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::probe::{self, Probe};
use system_tests::process::run;
use system_tests::raw::{End, RawClient};
use system_tests::{CLIENT_V4, GATEWAY_V4, Lab, SERVER_NAME, UNKNOWN_NAME, wait_until};

const TIMEOUT: Duration = Duration::from_secs(20);
const GATEWAY: SocketAddr = SocketAddr::new(GATEWAY_V4, 443);

/// Connections of each kind.
const WITHOUT_SNI: u64 = 3;
const UNKNOWN: u64 = 2;
const SERVED: u64 = 4;
const PLAIN_HTTP: u64 = 1;
const REFUSED: u64 = WITHOUT_SNI + UNKNOWN + PLAIN_HTTP;

#[test]
fn counts_are_what_was_sent() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let events = lab.path("events.jsonl");
    let options = ["--events-file", events.to_str().unwrap(), "--events-filter", "all"];
    let _probe = Probe::start(&lab, &options).unwrap();
    for (count, name) in [(WITHOUT_SNI, None), (UNKNOWN, Some(UNKNOWN_NAME)), (SERVED, Some(SERVER_NAME))] {
        for _ in 0..count {
            let finished = clients::curl(&lab, Target::https(GATEWAY_V4, name), &[]).unwrap();
            assert_eq!(finished.success(), name == Some(SERVER_NAME), "{finished:?}");
        }
    }
    for _ in 0..PLAIN_HTTP {
        let mut client = RawClient::connect(&lab.client, GATEWAY).unwrap();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(client.read_first(TIMEOUT).unwrap().end, End::Reset);
    }
    let entries = wait_for_entries(&envoy);
    wait_until("the events", TIMEOUT, || {
        let lines = fs::read_to_string(&events).unwrap_or_default().matches('\n').count() as u64;
        Ok((lines == WITHOUT_SNI + UNKNOWN + SERVED).then_some(()))
    })
    .unwrap();

    let report = logs(&[envoy.access_log_path(), Path::new("--events"), &events]);
    assert_eq!(report["entries"], entries);
    assert_eq!(report["other_lines"], 0);
    assert_eq!(report["served"], SERVED);
    assert_eq!(report["no_filter_chain"], REFUSED);
    assert_eq!(report["other_failures"], serde_json::json!([]));
    assert_eq!(report["by_client"], serde_json::json!([{ "name": CLIENT_V4.to_string(), "count": REFUSED }]));
    let joined = &report["joined"];
    assert_eq!(joined["events"], WITHOUT_SNI + UNKNOWN + SERVED);
    assert_eq!(joined["really_without_sni"], WITHOUT_SNI);
    assert_eq!(joined["not_seen"], PLAIN_HTTP, "what is no TLS has no event");
    // Whether Envoy logs a name that no chain has depends on its version: the wire has it always.
    let logged = report["sni_present"].as_u64().unwrap();
    assert_eq!(joined["had_a_name"].as_u64().unwrap() + logged, UNKNOWN);
    let names = if logged > 0 { &report["by_name"] } else { &joined["names"] };
    assert_eq!(names, &serde_json::json!([{ "name": UNKNOWN_NAME, "count": UNKNOWN }]));
}

/// Waits for the entries of all refused connections and all requests, and of the listener for the latter's
/// connections; gives their number.
fn wait_for_entries(envoy: &Envoy<'_>) -> u64 {
    wait_until("the access log", TIMEOUT, || {
        let entries = envoy.access_log()?;
        let count =
            |holds: &dyn Fn(&Value) -> bool| entries.iter().filter(|entry| holds(entry)).count() as u64;
        let refused = count(&|entry| entry["status_details"] == "filter_chain_not_found");
        let served = count(&|entry| entry["status"] == 200);
        let all = entries.len() as u64;
        Ok((refused == REFUSED && served == SERVED && all == REFUSED + 2 * SERVED).then_some(all))
    })
    .unwrap()
}

/// Runs `sni-probe logs --json`, which finds refusals.
fn logs(arguments: &[&Path]) -> Value {
    let mut command = Command::new(probe::binary().unwrap());
    let finished = run(command.args(["logs", "--json"]).args(arguments), TIMEOUT).unwrap();
    assert_eq!(finished.code, 1, "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}
