//! Answers of `/api/v1/` as a busy gateway's node would give them: for tests of the page and of `watch`, and for
//! pictures in the documentation. They are the same each time.

use serde_json::{Value, json};

/// When they were made, in their own time.
pub const TIME: &str = "2026-03-05T14:03:22Z";

/// Minutes of the history.
const MINUTES: u64 = 60;
/// The minute in which the clients without SNI came.
const ONSET: u64 = 21;

const JAVA: Fingerprint = Fingerprint {
    likely: Some("Java 8 (JSSE)"),
    ja4: "t12i2811h0_d6b9d6c2b7a1_3b7d8a5e9c10",
    ja3: "0c4f1a8a2c6d7e5b90d1e2f3a4b5c6d7",
    tls_version: "1.2",
    offered_versions: &[],
    alpn: &[],
};
const OPENSSL: Fingerprint = Fingerprint {
    likely: Some("OpenSSL 1.1 to 3.0"),
    ja4: "t13i3112h2_e8f1e7e78f70_b26ce05bbdd6",
    ja3: "375c6162a492dfbf2795909110ce8424",
    tls_version: "1.3",
    offered_versions: &["0x0304", "0x0303"],
    alpn: &["h2", "http/1.1"],
};
const UNKNOWN: Fingerprint = Fingerprint {
    likely: None,
    ja4: "t13i1310h1_f57a46bbacb6_ab7e3b40a677",
    ja3: "d3b97c9a8e1f24650a7b8c9d0e1f2a3b",
    tls_version: "1.3",
    offered_versions: &["0x8a8a", "0x0304", "0x0303"],
    alpn: &["http/1.1"],
};

struct Fingerprint {
    likely: Option<&'static str>,
    ja4: &'static str,
    ja3: &'static str,
    tls_version: &'static str,
    offered_versions: &'static [&'static str],
    alpn: &'static [&'static str],
}

/// Up and down by some, as traffic is; the same for the same minute.
fn around(mean: u64, minute: u64, salt: u64) -> u64 {
    let noise =
        (minute + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ salt.wrapping_mul(0xbf58_476d_1ce4_e5b9)) >> 48;
    let wave = [0, 2, 3, 3, 2, 0, 0, 1][usize::try_from(minute / 4 % 8).unwrap_or(0)];
    mean * (16 + wave + noise % 6) / 20
}

fn history(mean: u64, salt: u64) -> Vec<u64> {
    (0..MINUTES).map(|minute| around(mean, minute, salt)).collect()
}

fn since_onset(mean: u64, salt: u64) -> Vec<u64> {
    (0..MINUTES).map(|minute| if minute < ONSET { 0 } else { around(mean, minute, salt) }).collect()
}

fn rarely(each: u64, salt: u64) -> Vec<u64> {
    (0..MINUTES).map(|minute| u64::from((minute * 7 + salt).is_multiple_of(each))).collect()
}

fn series(sni: &str, outcome: &str, handshakes: &[u64]) -> Value {
    let refused: Vec<u64> = handshakes.iter().map(|count| count * refused(outcome)).collect();
    json!({ "sni": sni, "outcome": outcome, "handshakes": handshakes, "refused": refused })
}

/// Whether the gateway refused: its clients send no alerts.
fn refused(outcome: &str) -> u64 {
    u64::from(matches!(outcome, "alert" | "reset_by_gateway" | "closed_by_gateway"))
}

fn count(sni: &str, outcome: &str, handshakes: u64) -> Value {
    let refused = handshakes * refused(outcome);
    json!({ "sni": sni, "outcome": outcome, "handshakes": handshakes, "refused": refused })
}

/// `GET /api/v1/summary`.
pub fn summary() -> Value {
    json!({
        "version": "0.1.0",
        "node": "gke-apigee-runtime-7c1d",
        "time": TIME,
        "started": "2026-03-03T06:12:40Z",
        "state": "refusing",
        "sentence": "3 clients without SNI were reset in the last hour; the gateway accepts none",
        "ready": true,
        "interfaces": [
            { "name": "eth0", "ready": true, "status": "attached" },
            { "name": "eth1", "ready": true,
              "status": "attached; behind cil_from_netdev on ingress (tcx): it may hide packets" },
        ],
        "ports": [443, 8443],
        "clients_without_sni": 5,
        "clients_refused": 3,
        "handshakes": [
            { "source": "other", "sni": "present", "outcome": "server_hello", "handshakes": 182_339, "refused": 0 },
            { "source": "other", "sni": "absent", "outcome": "reset_by_gateway", "handshakes": 1_204, "refused": 1_204 },
        ],
        "last_hour": {
            "step_seconds": 60,
            "end": "2026-03-05T14:04:00Z",
            "series": [
                series("present", "server_hello", &history(52, 1)),
                series("present", "reset_by_gateway", &history(3, 2)),
                series("present", "reset_by_client", &rarely(5, 1)),
                series("absent", "reset_by_gateway", &since_onset(19, 3)),
                series("absent", "alert", &rarely(4, 2)),
                series("unknown", "timeout", &rarely(9, 4)),
            ],
        },
        "alerts": [
            { "sni": "absent", "description": "unrecognized_name", "sender": "gateway", "alerts": 15 },
        ],
        "tls_versions": [
            { "tls_version": "1.3", "handshakes": 183_001 },
            { "tls_version": "1.2", "handshakes": 542 },
        ],
        "not_seen": [
            { "metric": "packets_skipped_total", "reason": "fragment", "count": 17 },
        ],
        "flows": { "open": 41, "capacity": 131_072 },
    })
}

/// `GET /api/v1/clients`.
pub fn clients() -> Value {
    json!({
        "time": TIME,
        "label": "ip",
        "capacity": 100,
        "clients": [
            client("10.20.3.17", Some("billing/invoice-worker-6d9f7c8b5-x2lqp"), &JAVA, &since_onset(14, 5), "reset_by_gateway"),
            client("203.0.113.84", None, &OPENSSL, &since_onset(4, 6), "reset_by_gateway"),
            client("2001:db8:7:12::9a", None, &UNKNOWN, &rarely(4, 2), "alert"),
        ],
        "other": [count("absent", "reset_by_gateway", 12)],
        "expected": [count("absent", "reset_by_gateway", 5_760)],
        "refused_names": [{ "server_name": "old-api.example.com", "refused": 171 }],
        "other_names_refused": 0,
    })
}

fn client(
    address: &str,
    name: Option<&str>,
    fingerprint: &Fingerprint,
    per_minute: &[u64],
    outcome: &str,
) -> Value {
    let handshakes: u64 = per_minute.iter().sum();
    let alert = (outcome == "alert").then_some("unrecognized_name");
    let seconds = 21 - handshakes % 17;
    let recent = (0..4).map(|nth| {
        json!({
            "time": format!("2026-03-05T14:{:02}:{seconds:02}.481627Z", 3 - nth),
            "sni": "absent",
            "outcome": outcome,
            "alert": alert,
            "alert_sender": alert.map(|_| "gateway"),
            "latency_us": 120 + 31 * nth,
            "gateway": "198.51.100.9:443",
        })
    });
    json!({
        "client": address,
        "name": name,
        "handshakes": handshakes,
        "refused": handshakes,
        "outcomes": [count("absent", outcome, handshakes)],
        "first_seen": "2026-03-05T13:25:07Z",
        "last_seen": format!("2026-03-05T14:03:{seconds:02}Z"),
        "last_refused": format!("2026-03-05T14:03:{seconds:02}Z"),
        "gateway": "198.51.100.9:443",
        "likely": fingerprint.likely,
        "ja4": fingerprint.ja4,
        "ja3": fingerprint.ja3,
        "tls_version": fingerprint.tls_version,
        "offered_versions": fingerprint.offered_versions,
        "alpn": fingerprint.alpn,
        "per_minute": per_minute,
        "last_handshakes": recent.collect::<Vec<_>>(),
    })
}

/// `GET /api/v1/facts`.
pub fn facts() -> Value {
    serde_json::from_str(include_str!("../../model/samples/facts.json")).unwrap_or_default()
}

/// `GET /api/v1/handshakes`.
pub fn handshakes() -> Value {
    let kinds = [
        ("10.20.3.17:51234", None, &JAVA, "reset_by_gateway", None, 131),
        ("10.20.3.17:51230", None, &JAVA, "reset_by_gateway", None, 118),
        ("198.51.100.77:40112", Some("old-api.example.com"), &OPENSSL, "reset_by_gateway", None, 96),
        ("203.0.113.84:60022", None, &OPENSSL, "reset_by_gateway", None, 402),
        ("[2001:db8:7:12::9a]:39022", None, &UNKNOWN, "alert", Some("unrecognized_name"), 1_804),
    ];
    let handshakes = (0..20).zip(kinds.iter().cycle()).map(|(nth, kind)| {
        let (client, name, fingerprint, outcome, alert, latency) = kind;
        let second = 3 * 60 + 21 - nth * 7;
        json!({
            "time": format!("2026-03-05T14:{:02}:{:02}.481627Z", second / 60, second % 60),
            "interface": "eth0",
            "client": client,
            "gateway": "198.51.100.9:443",
            "proxied_client": null,
            "sni": if name.is_some() { "present" } else { "absent" },
            "server_name": name,
            "tls_version": fingerprint.tls_version,
            "alpn": fingerprint.alpn,
            "ja4": fingerprint.ja4,
            "ja3": fingerprint.ja3,
            "outcome": outcome,
            "alert": alert,
            "alert_sender": alert.map(|_| "gateway"),
            "latency_us": latency + nth,
        })
    });
    json!({ "time": TIME, "capacity": 1000, "handshakes": handshakes.collect::<Vec<_>>() })
}
