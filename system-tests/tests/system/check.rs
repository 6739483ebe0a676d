//! `sni-probe check` against real gateways, and against ports that are none.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::netns::listens;
use system_tests::probe::binary;
use system_tests::process::{Finished, run};
use system_tests::{GATEWAY_V4, GATEWAY_V6, Lab, SERVER_NAME, Service, haproxy, nginx};

const TIMEOUT: Duration = Duration::from_mins(1);
/// A port of the gateway's namespace that no gateway of the lab has.
const OTHER_PORT: u16 = 9443;
/// Expired in 2001, for a.example, *.b.example and 10.1.2.3.
const EXPIRED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/playbook/src/check/testdata/expired");

/// `sni-probe check` in the client's namespace.
fn check(lab: &Lab, arguments: &[&str]) -> Finished {
    run(lab.client.command(binary().unwrap()).arg("check").args(arguments), TIMEOUT).unwrap()
}

/// The same with `--json`: exit code and report.
#[track_caller]
fn report(lab: &Lab, arguments: &[&str]) -> (i32, Value) {
    let finished = check(lab, &[&["--json"], arguments].concat());
    assert_eq!(finished.stderr, "", "{arguments:?}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    (finished.code, report)
}

/// `--json` for a name at an address and port.
#[track_caller]
fn named(lab: &Lab, name: &str, address: SocketAddr, options: &[&str]) -> (i32, Value) {
    let (target, connect) = (format!("{name}:{}", address.port()), address.ip().to_string());
    let (code, report) = report(lab, &[&[target.as_str(), "--connect", &connect], options].concat());
    assert_eq!((&report["target"], &report["address"]), (&target.into(), &address.to_string().into()));
    (code, report)
}

/// The outcomes of the handshakes by rustls, alerts by their names. The post-quantum hello after them, which is sent where TLS 1.3 is
/// offered, fares as the first one.
fn outcomes(report: &Value) -> Vec<String> {
    let (large, attempts): (Vec<&Value>, _) =
        report["attempts"].as_array().unwrap().iter().partition(|attempt| attempt["kind"] == "post_quantum");
    for large in large {
        let expected = match attempts[0]["outcome"].as_str().unwrap() {
            "handshake" => "server_hello",
            outcome => outcome,
        };
        // A certificate of the client is asked for after the ServerHello.
        if attempts[0]["certificate"].is_null() || attempts[0]["outcome"] == "handshake" {
            assert_eq!(large["outcome"], expected, "{report:#}");
        }
    }
    let text = |attempt: &Value| {
        let outcome = attempt["outcome"].as_str().unwrap();
        attempt["alert"].as_str().map_or_else(|| outcome.to_owned(), |alert| format!("{outcome} {alert}"))
    };
    attempts.into_iter().map(text).collect()
}

#[track_caller]
fn assert_sentence(report: &Value, part: &str) {
    let sentence = report["sentence"].as_str().unwrap();
    assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
}

/// With which `--tls` which version comes to be.
type Versions = [(&'static [&'static str], &'static str)];

const BOTH: &Versions = &[(&[], "1.3"), (&["--tls", "1.2"], "1.2"), (&["--tls", "1.3"], "1.3")];

/// The lab's gateways on port 443, over both versions of IP: the name is served, all else is refused.
fn refuses(lab: &Lab, versions: &Versions, how: &str, sentence: &str) {
    for ip in [GATEWAY_V4, GATEWAY_V6] {
        for (options, version) in versions {
            let (code, report) = named(lab, SERVER_NAME, SocketAddr::new(ip, 443), options);
            assert_eq!((code, &report["verdict"]), (1, &"non_sni_refused".into()), "{report:#}");
            assert_eq!(outcomes(&report), ["handshake", how, how], "{report:#}");
            let served = &report["attempts"][0];
            assert_eq!(served["tls_version"], *version);
            let cipher = served["cipher"].as_str().unwrap();
            let family = if *version == "1.3" { "TLS_AES_" } else { "TLS_ECDHE_ECDSA_WITH_" };
            assert!(cipher.starts_with(family), "{cipher}");
            let certificate = &served["certificate"];
            assert_eq!(certificate["names"], Value::from(vec![SERVER_NAME]));
            assert_eq!(certificate["matches_host"], true);
            assert_eq!(report["attempts"][1]["server_name"], Value::Null);
            assert!(report["attempts"][2]["server_name"].as_str().unwrap().ends_with(".invalid"));
            assert_sentence(&report, sentence);
        }
    }
}

#[test]
fn envoy_without_a_wildcard_chain() {
    let lab = Lab::new().unwrap();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let before = envoy.stats().unwrap();
    refuses(&lab, BOTH, "reset", "non-SNI clients are refused (connection reset after the hello)");
    // Envoy's own account of what was sent in six checks; the four that offer TLS 1.3 send a post-quantum hello as well, and
    // leave that handshake.
    let stats = envoy.wait_for_stats(Duration::from_secs(10), |stats| stats.since(&before).tls_found == 22);
    let stats = stats.unwrap().since(&before);
    assert_eq!((stats.sni_found, stats.sni_not_found), (16, 6), "{stats:?}");
    assert_eq!((stats.handshake, stats.no_filter_chain_match), (6, 12), "{stats:?}");
    assert!(stats.connection_error <= 4, "{stats:?}");
}

#[test]
fn envoy_with_a_wildcard_chain() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions { wildcard_chain: true, ..Default::default() }).unwrap();
    let gateway = SocketAddr::new(GATEWAY_V4, 8443);
    // The wildcard's certificate is for the name as well.
    let (code, report) = named(&lab, SERVER_NAME, gateway, &[]);
    assert_eq!((code, &report["verdict"]), (0, &"non_sni_other_certificate".into()), "{report:#}");
    assert_eq!(outcomes(&report), ["handshake"; 3]);
    assert_sentence(&report, "another certificate (CN *.mydomain.com), which matches api-test.mydomain.com");
    // A name of the wildcard.
    let (code, report) = named(&lab, "other.mydomain.com", gateway, &[]);
    assert_eq!((code, &report["verdict"]), (0, &"non_sni_same_certificate".into()), "{report:#}");
    assert_sentence(&report, "CN *.mydomain.com, which matches other.mydomain.com");
    // A name of nobody.
    let (code, report) = named(&lab, "shop.example", gateway, &[]);
    assert_eq!((code, &report["verdict"]), (0, &"non_sni_same_certificate".into()), "{report:#}");
    assert_sentence(&report, "CN *.mydomain.com, which does not match shop.example");
}

#[test]
fn nginx_that_rejects_handshakes() {
    let lab = Lab::new().unwrap();
    let _nginx = nginx::start(&lab).unwrap();
    // The default server decides on versions, and Debian's nginx has no TLS 1.3 there unless told.
    let versions: &Versions = &[(&[], "1.2"), (&["--tls", "1.2"], "1.2")];
    refuses(&lab, versions, "alert unrecognized_name", "are refused (alert unrecognized_name (112))");
    let (code, report) = named(&lab, SERVER_NAME, SocketAddr::new(GATEWAY_V4, 443), &["--tls", "1.3"]);
    assert_eq!((code, &report["verdict"]), (1, &"name_refused".into()), "{report:#}");
    assert_sentence(&report, "about TLS versions or cipher suites");
}

#[test]
fn haproxy_with_strict_sni() {
    let lab = Lab::new().unwrap();
    let _haproxy = haproxy::start(&lab).unwrap();
    refuses(&lab, BOTH, "alert unrecognized_name", "are refused (alert unrecognized_name (112))");
    // Names that it does not know are refused as clients without are.
    let (code, report) = named(&lab, "shop.example", SocketAddr::new(GATEWAY_V4, 443), &[]);
    assert_eq!((code, &report["verdict"]), (1, &"name_refused".into()), "{report:#}");
}

#[test]
fn by_address() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    for target in ["10.77.0.1", "[fd77::1]:8443", "fd77::1"] {
        let (code, without_name) = report(&lab, &[target]);
        assert_eq!((code, &without_name["verdict"]), (1, &"non_sni_refused".into()), "{without_name:#}");
        assert_eq!(outcomes(&without_name), ["reset"; 2]);
        assert_sentence(&without_name, "give one by --sni");

        let (code, with_name) = report(&lab, &[target, "--sni", SERVER_NAME]);
        assert_eq!(code, 1);
        assert_eq!(outcomes(&with_name), ["handshake", "reset", "reset"]);
    }
    let told = check(&lab, &["10.77.0.1"]).stdout;
    for part in [
        "(no SNI)",
        "the target is an address; --sni gives one",
        "openssl s_client -connect 10.77.0.1:443 -noservername",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "{told}");
}

/// `openssl s_server` with the expired certificate on [`OTHER_PORT`].
fn s_server(lab: &Lab, options: &[&str]) -> Service {
    let mut command = lab.gateway.command("openssl");
    command.args(["s_server", "-quiet", "-accept", &OTHER_PORT.to_string()]);
    command.args(["-cert", &format!("{EXPIRED}.crt"), "-key", &format!("{EXPIRED}.key")]).args(options);
    let mut service = Service::start("s_server", &mut command, lab.directory()).unwrap();
    service.wait_for("s_server to listen", TIMEOUT, || listens(&lab.gateway, OTHER_PORT)).unwrap();
    service
}

#[test]
fn an_expired_certificate() {
    let lab = Lab::new().unwrap();
    let _server = s_server(&lab, &[]);
    let gateway = SocketAddr::new(GATEWAY_V4, OTHER_PORT);
    let (code, report) = named(&lab, "x.b.example", gateway, &[]);
    assert_eq!((code, &report["verdict"]), (0, &"non_sni_same_certificate".into()), "{report:#}");
    assert_sentence(&report, "CN gateway, which matches x.b.example and has expired on 2001-01-01");
    let certificate = &report["attempts"][1]["certificate"];
    assert_eq!(certificate["not_after"], "2001-01-01T00:00:00Z");
    assert_eq!(certificate["issuer"], "O=Lab, CN=gateway");
    // By openssl's own account.
    let digest =
        ["x509", "-noout", "-fingerprint", "-sha256", "-in", &format!("{EXPIRED}.crt")].map(str::to_owned);
    let digest = run(std::process::Command::new("openssl").args(digest), TIMEOUT).unwrap().stdout;
    let digest = digest.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    assert_eq!(certificate["sha256"], digest);
}

#[test]
fn a_gateway_that_wants_a_certificate_of_the_client() {
    let lab = Lab::new().unwrap();
    let _server = s_server(&lab, &["-Verify", "1", "-verify_return_error"]);
    for tls in ["1.2", "1.3"] {
        let (code, report) =
            named(&lab, "a.example", SocketAddr::new(GATEWAY_V4, OTHER_PORT), &["--tls", tls]);
        assert_eq!((code, &report["verdict"]), (0, &"non_sni_same_certificate".into()), "{tls}: {report:#}");
    }
}

#[test]
fn a_version_that_the_gateway_does_not_take() {
    let lab = Lab::new().unwrap();
    let _server = s_server(&lab, &["-tls1_2"]);
    let (code, report) = named(&lab, "a.example", SocketAddr::new(GATEWAY_V4, OTHER_PORT), &["--tls", "1.3"]);
    assert_eq!((code, &report["verdict"]), (1, &"name_refused".into()), "{report:#}");
    assert_eq!(outcomes(&report), ["alert protocol_version"; 3]);
    assert_sentence(&report, "about TLS versions or cipher suites");
}

/// What cannot be told: the outcome of the first attempt, and why.
#[track_caller]
fn cannot_tell(lab: &Lab, ip: IpAddr, options: &[&str], outcome: &str, sentence: &str) {
    let (code, report) = named(lab, SERVER_NAME, SocketAddr::new(ip, OTHER_PORT), options);
    assert_eq!((code, &report["verdict"]), (2, &"unknown".into()), "{report:#}");
    assert_eq!(outcomes(&report)[0], outcome, "{report:#}");
    assert_sentence(&report, sentence);
}

#[test]
fn a_closed_port() {
    let lab = Lab::new().unwrap();
    cannot_tell(&lab, GATEWAY_V4, &[], "refused", "nobody listens on 10.77.0.1:9443");
    cannot_tell(&lab, GATEWAY_V6, &[], "refused", "nobody listens on [fd77::1]:9443");
}

#[test]
fn an_address_without_a_route_and_a_name_without_an_address() {
    let lab = Lab::new().unwrap();
    let elsewhere: IpAddr = "203.0.113.1".parse().unwrap();
    cannot_tell(&lab, elsewhere, &[], "unreachable", "Network is unreachable");
    let (code, report) = report(&lab, &["nobody.invalid", "--timeout", "20s"]);
    assert_eq!((code, &report["address"]), (2, &Value::Null), "{report:#}");
    assert_sentence(&report, "nobody.invalid cannot be resolved");
}

#[test]
fn an_address_that_does_not_answer() {
    let lab = Lab::new().unwrap();
    // Nobody has it: the kernel waits for an answer to ARP longer than this.
    let nobody: IpAddr = "10.77.0.77".parse().unwrap();
    cannot_tell(
        &lab,
        nobody,
        &["--timeout", "300ms"],
        "timeout",
        "no connection to 10.77.0.77:9443 within 300ms",
    );
}

#[test]
fn a_silent_port() {
    let lab = Lab::new().unwrap();
    let bind = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, OTHER_PORT));
    // The kernel takes the connections; nobody reads.
    let _listener = lab.gateway.run_in_thread(bind).unwrap().unwrap();
    for ip in [GATEWAY_V4, GATEWAY_V6] {
        cannot_tell(
            &lab,
            ip,
            &["--timeout", "300ms"],
            "timeout",
            "not done within 300ms: silence after the hello",
        );
    }
}

#[test]
fn a_port_of_plain_http() {
    let lab = Lab::new().unwrap();
    let bind = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, OTHER_PORT));
    let listener = lab.gateway.run_in_thread(bind).unwrap().unwrap();
    let server = thread::spawn(move || {
        for _ in 0..4 {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    cannot_tell(&lab, GATEWAY_V4, &[], "not_tls", "the answer is plain HTTP: HTTP/1.1 400 Bad Request");
    server.join().unwrap();
}

#[test]
fn a_target_that_is_none() {
    let lab = Lab::new().unwrap();
    for target in ["http://a.example", "a.example:0", "[::1", ""] {
        let finished = check(&lab, &[target]);
        assert_eq!((finished.code, finished.stdout.as_str()), (2, ""), "{finished:?}");
        assert!(finished.stderr.starts_with("sni-probe: ") && finished.stderr.matches('\n').count() == 1);
    }
}
