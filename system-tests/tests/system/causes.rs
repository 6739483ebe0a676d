//! Real gateways in the state of each cause: `diagnose` names the cause, and after the fix nothing is wrong.
//!
//! What is printed from the cause on is in `causes/CAUSE.txt`; `SNI_PROBE_BLESS=1 cargo xtask system-test causes` writes the files anew.
//! The causes about routes are in `diagnose.rs`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::clients::{self, Target};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::netns::listens;
use system_tests::probe::{HTTP_PORT, Probe, binary};
use system_tests::process::{Service, run};
use system_tests::raw::{End, RawClient};
use system_tests::{GATEWAY_V4, Lab, SERVER_NAME, haproxy, nginx, wait_until};

use crate::site::TIMEOUT;

mod log;

const HANDSHAKES: &str = "sni_probe_handshakes_total";
/// Enough for a fact.
const ENOUGH: usize = 3;
/// The `ClientHello` with padding (RFC 7685), and the limit that Envoy gets.
const LARGE_BYTES: usize = 1_400;
const LIMIT_BYTES: u64 = 1_024;

fn gateway() -> SocketAddr {
    SocketAddr::new(GATEWAY_V4, 443)
}

fn named<'a>() -> Target<'a> {
    Target::https(GATEWAY_V4, Some(SERVER_NAME))
}

/// What `diagnose` prints, and its exit code.
fn diagnose(lab: &Lab, more: &[&str]) -> (String, i32) {
    let mut command = lab.gateway.command(binary().unwrap());
    command.arg("diagnose").args(more);
    let finished = run(&mut command, TIMEOUT).unwrap();
    assert!(finished.stderr.is_empty(), "{finished:?}");
    (finished.stdout, finished.code)
}

/// The same with a daemon that has seen this many handshakes.
fn seen(lab: &Lab, probe: &Probe<'_>, handshakes: usize, more: &[&str]) -> (String, i32) {
    let enough = handshakes as u64;
    probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= enough).unwrap();
    let url = format!("http://127.0.0.1:{HTTP_PORT}");
    diagnose(lab, &[&["--url", &url], more].concat())
}

/// Whether the cause, its sentence and the fix are those of the file.
#[track_caller]
fn expect(cause: &str, (text, code): &(String, i32)) {
    let start = text.find("\nCause: ").unwrap_or_else(|| panic!("no cause: {text}"));
    let said = &text[start + 1..];
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/system/causes/{cause}.txt"));
    if std::env::var_os("SNI_PROBE_BLESS").is_some() {
        fs::write(&file, said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(&file).unwrap_or_default(), "{text}");
    assert!(said.contains(&format!("docs/causes.md#{cause}")), "{text}");
    assert_eq!(*code, 1, "{text}");
}

/// After the fix.
#[track_caller]
fn expect_healed((text, code): &(String, i32)) {
    assert!(text.contains("\nCause: nothing wrong ("), "{text}");
    assert_eq!(*code, 0, "{text}");
}

/// So many connections that are to be served, or not.
#[track_caller]
fn curl(lab: &Lab, target: Target<'_>, options: &[&str], is_served: bool) {
    for _ in 0..ENOUGH {
        let finished = clients::curl(lab, target, options).unwrap();
        assert_eq!(finished.success(), is_served, "{finished:?}");
    }
}

#[track_caller]
fn openssl(lab: &Lab, target: Target<'_>, options: &[&str], is_served: bool) {
    for _ in 0..ENOUGH {
        let finished = clients::openssl(lab, target, options).unwrap();
        assert_eq!(finished.success(), is_served, "{finished:?}");
    }
}

/// Sends these bytes. The connection stays open: a client that leaves now rejects the certificate.
#[track_caller]
fn send<'lab>(lab: &'lab Lab, bytes: &[u8], is_served: bool) -> RawClient<'lab> {
    let mut client = RawClient::connect(&lab.client, gateway()).unwrap();
    client.send(bytes).unwrap();
    let answer = client.read_first(TIMEOUT).unwrap();
    assert_eq!(answer.bytes.first() == Some(&0x16), is_served, "{answer:?}");
    client
}

/// A daemon that waits only a second for the end of a handshake.
fn impatient(lab: &Lab) -> Probe<'_> {
    Probe::start(lab, &["--handshake-timeout", "1s"]).unwrap()
}

fn hello() -> ClientHelloBuilder {
    ClientHelloBuilder::new().server_name(SERVER_NAME)
}

fn envoy<'lab>(lab: &'lab Lab, options: &EnvoyOptions) -> Envoy<'lab> {
    Envoy::start(lab, options).unwrap()
}

/// A change of the listener filter with this name, at every port.
fn change_filter(bootstrap: &mut Value, name: &str, change: impl Fn(&mut Value)) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        for filter in listener["listener_filters"].as_array_mut().unwrap() {
            if filter["name"].as_str().unwrap().ends_with(name) {
                change(&mut filter["typed_config"]);
            }
        }
    }
}

/// A change of the only filter chain, at every port.
fn change_chain(bootstrap: &mut Value, change: impl Fn(&mut Value)) {
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().unwrap() {
        change(&mut listener["filter_chains"][0]);
    }
}

/// Starts a program that listens on port 443 of the gateway.
fn listen(lab: &Lab, program: &str, arguments: &[&str]) -> Service {
    let mut command = lab.gateway.command(program);
    let mut service = Service::start(program, command.args(arguments), lab.directory()).unwrap();
    service.wait_for(program, TIMEOUT, || listens(&lab.gateway, 443)).unwrap();
    service
}

#[test]
fn not_about_names() {
    let lab = Lab::new().unwrap();
    let needs_header = EnvoyOptions { proxy_protocol: true, ..EnvoyOptions::default() };
    {
        let _envoy = envoy(&lab, &needs_header);
        let probe = Probe::start(&lab, &[]).unwrap();
        curl(&lab, named(), &[], false);
        curl(&lab, Target::https(GATEWAY_V4, None), &[], false);
        expect("not_about_names", &seen(&lab, &probe, 2 * ENOUGH, &[]));
    }
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

#[test]
fn proxy_protocol_mismatch() {
    let lab = Lab::new().unwrap();
    let options = EnvoyOptions { proxy_protocol: true, ..EnvoyOptions::default() };
    let said = {
        let _envoy = envoy(&lab, &options);
        let probe = Probe::start(&lab, &[]).unwrap();
        curl(&lab, named(), &["--haproxy-protocol"], true);
        curl(&lab, named(), &[], false);
        let said = seen(&lab, &probe, 2 * ENOUGH, &["--json"]);
        expect("proxy_protocol_mismatch", &seen(&lab, &probe, 2 * ENOUGH, &[]));
        serde_json::from_str::<Value>(&said.0).unwrap()
    };
    // The lines of the fix, as they are.
    let yaml = said["fix"]["documents"][0]["yaml"].as_str().unwrap();
    let fixed: Value = serde_saphyr::from_str(yaml).unwrap();
    let fixed = &fixed["listener_filters"][0]["typed_config"];
    let change = |bootstrap: &mut Value| {
        change_filter(bootstrap, "proxy_protocol", |filter| *filter = fixed.clone());
    };
    let _envoy = Envoy::start_changed(&lab, &options, change).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &["--haproxy-protocol"], true);
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, 2 * ENOUGH, &[]));
}

#[test]
fn hello_too_large() {
    let lab = Lab::new().unwrap();
    let traffic = |serves_large: bool| -> Vec<RawClient<'_>> {
        let large = hello().padded_to(LARGE_BYTES).build();
        (0..ENOUGH)
            .flat_map(|_| [send(&lab, &hello().build(), true), send(&lab, &large, serves_large)])
            .collect()
    };
    {
        let limit = |filter: &mut Value| filter["max_client_hello_size"] = json!(LIMIT_BYTES);
        let change = |bootstrap: &mut Value| change_filter(bootstrap, "tls_inspector", limit);
        let _envoy = Envoy::start_changed(&lab, &EnvoyOptions::default(), change).unwrap();
        let probe = impatient(&lab);
        let _open = traffic(false);
        expect("hello_too_large", &seen(&lab, &probe, 2 * ENOUGH, &[]));
    }
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    let probe = impatient(&lab);
    let _open = traffic(true);
    expect_healed(&seen(&lab, &probe, 2 * ENOUGH, &[]));
}

/// `HAProxy` in mode tcp does not read a `ClientHello` over two records.
#[test]
fn split_hello() {
    let lab = Lab::new().unwrap();
    let traffic = |serves_split: bool| -> Vec<RawClient<'_>> {
        (0..ENOUGH)
            .flat_map(|_| {
                [send(&lab, &hello().build(), true), send(&lab, &hello().in_records(2), serves_split)]
            })
            .collect()
    };
    {
        let certificate = lab.certificate(SERVER_NAME).unwrap();
        let configuration = lab.path("haproxy-tcp.cfg");
        let text = format!(
            "defaults\n  timeout client 15s\n  timeout connect 5s\n  timeout server 15s\n\
             frontend gateway\n  mode tcp\n  bind :443\n  tcp-request inspect-delay 5s\n  \
             tcp-request content accept if {{ req.ssl_hello_type 1 }}\n  use_backend named if {{ req.ssl_sni -i {SERVER_NAME} }}\n\
             backend named\n  mode tcp\n  server tls 127.0.0.1:9443\n\
             frontend tls\n  mode http\n  bind 127.0.0.1:9443 ssl crt {}\n  http-request return status 200\n",
            certificate.combined.display()
        );
        fs::write(&configuration, text).unwrap();
        let _haproxy = listen(&lab, "haproxy", &["-db", "-f", configuration.to_str().unwrap()]);
        let probe = impatient(&lab);
        let _open = traffic(false);
        expect("split_hello", &seen(&lab, &probe, 2 * ENOUGH, &[]));
    }
    // The fix: end TLS there.
    let _haproxy = haproxy::start(&lab).unwrap();
    let probe = impatient(&lab);
    let _open = traffic(true);
    expect_healed(&seen(&lab, &probe, 2 * ENOUGH, &[]));
}

#[test]
fn incomplete_hellos() {
    let lab = Lab::new().unwrap();
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    {
        let probe = Probe::start(&lab, &["--handshake-timeout", "1s"]).unwrap();
        curl(&lab, named(), &[], true);
        let hello = hello().build();
        let open: Vec<RawClient<'_>> = (0..ENOUGH)
            .map(|_| {
                let mut client = RawClient::connect(&lab.client, gateway()).unwrap();
                client.send(&hello[..hello.len() / 2]).unwrap();
                client
            })
            .collect();
        let said = seen(&lab, &probe, 2 * ENOUGH, &[]);
        drop(open);
        expect("incomplete_hellos", &said);
    }
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

#[test]
fn alpn_mismatch() {
    let lab = Lab::new().unwrap();
    let _nginx = nginx::start(&lab).unwrap();
    {
        let probe = Probe::start(&lab, &[]).unwrap();
        openssl(&lab, named(), &["-alpn", "http/1.1"], true);
        openssl(&lab, named(), &["-alpn", "mqtt"], false);
        expect("alpn_mismatch", &seen(&lab, &probe, 2 * ENOUGH, &[]));
    }
    let probe = Probe::start(&lab, &[]).unwrap();
    // What the fix tells the client's owner.
    openssl(&lab, named(), &["-alpn", "mqtt,http/1.1"], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

/// Envoy that chooses by name without reading `ClientHello`s closes at once.
#[test]
fn gateway_closed_first() {
    let lab = Lab::new().unwrap();
    let late = || {
        let mut client = RawClient::connect(&lab.client, gateway()).unwrap();
        assert_eq!(client.read_to_end(TIMEOUT).unwrap().end, End::Closed);
        // The connection may be gone already.
        let _ = client.send(&hello().build());
    };
    {
        let _envoy = envoy(&lab, &EnvoyOptions { tls_inspector: false, ..EnvoyOptions::default() });
        let probe = Probe::start(&lab, &[]).unwrap();
        (0..ENOUGH).for_each(|_| late());
        expect("gateway_closed_first", &seen(&lab, &probe, ENOUGH, &[]));
    }
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

#[test]
fn plain_http_port() {
    let lab = Lab::new().unwrap();
    {
        let _http = listen(&lab, "python3", &["-m", "http.server", "443"]);
        let probe = Probe::start(&lab, &[]).unwrap();
        curl(&lab, named(), &[], false);
        expect("plain_http_port", &seen(&lab, &probe, ENOUGH, &[]));
    }
    let _nginx = nginx::start(&lab).unwrap();
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

#[test]
fn plain_http_client() {
    let lab = Lab::new().unwrap();
    let _nginx = nginx::start(&lab).unwrap();
    {
        let probe = Probe::start(&lab, &[]).unwrap();
        for _ in 0..ENOUGH {
            let mut command = lab.client.command("curl");
            command.args([
                "--silent",
                "--noproxy",
                "*",
                "--max-time",
                "20",
                &format!("http://{}/", gateway()),
            ]);
            run(&mut command, TIMEOUT).unwrap();
        }
        let is_http = |probe: &Probe<'_>| {
            let all = probe.wait_for_metrics(TIMEOUT, |metrics| {
                metrics.count("sni_probe_non_tls_connections_total", &[("protocol", "http")]) >= ENOUGH as u64
            });
            all.unwrap();
        };
        is_http(&probe);
        expect("plain_http_client", &seen(&lab, &probe, 0, &[]));
    }
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

#[test]
fn certificate_rejected() {
    let lab = Lab::new().unwrap();
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    let certificate = lab.certificate(SERVER_NAME).unwrap().certificate;
    let certificate = certificate.to_str().unwrap();
    {
        let probe = Probe::start(&lab, &[]).unwrap();
        openssl(&lab, named(), &["-verify_return_error"], false);
        expect("certificate_rejected", &seen(&lab, &probe, ENOUGH, &[]));
    }
    let probe = Probe::start(&lab, &[]).unwrap();
    openssl(&lab, named(), &["-verify_return_error", "-CAfile", certificate], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

#[test]
fn client_certificate_required() {
    let lab = Lab::new().unwrap();
    let certificate = lab.certificate(SERVER_NAME).unwrap();
    let change = |bootstrap: &mut Value| {
        change_chain(bootstrap, |chain| {
            let context = &mut chain["transport_socket"]["typed_config"];
            context["require_client_certificate"] = json!(true);
            context["common_tls_context"]["validation_context"] =
                json!({ "trusted_ca": { "filename": certificate.certificate } });
        });
    };
    let _envoy = Envoy::start_changed(&lab, &EnvoyOptions::default(), change).unwrap();
    {
        let probe = Probe::start(&lab, &[]).unwrap();
        curl(&lab, named(), &["--tls-max", "1.2"], false);
        expect("client_certificate_required", &seen(&lab, &probe, ENOUGH, &[]));
    }
    let probe = Probe::start(&lab, &[]).unwrap();
    let [cert, key] = [&certificate.certificate, &certificate.key].map(|path| path.to_str().unwrap());
    curl(&lab, named(), &["--tls-max", "1.2", "--cert", cert, "--key", key], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

/// `HAProxy`'s health checks send no SNI, and come at a steady interval.
#[test]
fn load_balancer() {
    let lab = Lab::new().unwrap();
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    let checks = |options: &str| {
        let configuration = lab.path("haproxy-checks.cfg");
        let text = format!(
            "defaults\n  timeout client 15s\n  timeout connect 5s\n  timeout server 15s\n\
             frontend unused\n  bind 127.0.0.1:9999\n  default_backend checked\n\
             backend checked\n  server gateway {} ssl verify none check inter 700ms {options}\n",
            gateway()
        );
        fs::write(&configuration, text).unwrap();
        let mut command = lab.client.command("haproxy");
        command.arg("-db").arg("-f").arg(&configuration);
        Service::start("haproxy-checks", &mut command, lab.directory()).unwrap()
    };
    {
        let probe = Probe::start(&lab, &[]).unwrap();
        let _checks = checks("");
        probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= 9).unwrap();
        // The number of checks is a matter of time, and a busy machine makes an interval longer.
        let (text, code) = wait_until("a steady interval", TIMEOUT, || {
            let said = seen(&lab, &probe, 9, &[]);
            Ok(said.0.contains("looks like a health check, at a steady interval of 0.").then_some(said))
        })
        .unwrap();
        assert!(text.contains("\nCause: a load balancer or health check connects without SNI"), "{text}");
        assert!(text.contains("docs/causes.md#load_balancer") && text.contains("check-sni"), "{text}");
        assert_eq!(code, 1);
    }
    let probe = Probe::start(&lab, &[]).unwrap();
    let mut checks = checks(&format!("check-sni {SERVER_NAME}"));
    probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(HANDSHAKES, &[]) >= 2).unwrap();
    checks.stop().unwrap();
    let (text, _) = seen(&lab, &probe, 2, &[]);
    assert!(text.contains("1. Do clients connect without SNI? no"), "{text}");
    assert!(text.contains("refused by the gateway: 0"), "{text}");
}

/// nginx that serves the handshake, and answers requests of clients without SNI by 421, as Apache does.
#[test]
fn rejected_by_http() {
    let lab = Lab::new().unwrap();
    let check = |lab: &Lab| {
        let address = GATEWAY_V4.to_string();
        diagnose(lab, &["--check", &address, "--sni", SERVER_NAME, "--http", "/"])
    };
    let start = |reject: &str| {
        let certificate = lab.certificate(SERVER_NAME).unwrap();
        let directory = lab.directory().display();
        let text = format!(
            "daemon off;\nuser root;\npid {directory}/nginx.pid;\nerror_log {directory}/nginx-error.log;\nevents {{}}\n\
             http {{\n  access_log off;\n  client_body_temp_path {directory};\n  server {{\n    listen 443 ssl;\n    \
             ssl_certificate {};\n    ssl_certificate_key {};\n    {reject}\n    return 200 \"hello\\n\";\n  }}\n}}\n",
            certificate.certificate.display(),
            certificate.key.display()
        );
        let configuration = lab.path("nginx-421.conf");
        fs::write(&configuration, text).unwrap();
        let errors = lab.path("nginx-error.log");
        listen(&lab, "nginx", &["-c", configuration.to_str().unwrap(), "-e", errors.to_str().unwrap()])
    };
    {
        let _nginx = start("if ($ssl_server_name = \"\") { return 421; }");
        expect("rejected_by_http", &check(&lab));
    }
    let _nginx = start("");
    expect_healed(&check(&lab));
}

/// Envoy does not know a name with a dot at its end.
#[test]
fn a_trailing_dot() {
    let lab = Lab::new().unwrap();
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    let with_dot = format!("{SERVER_NAME}.");
    {
        let probe = Probe::start(&lab, &[]).unwrap();
        openssl(&lab, named(), &[], true);
        openssl(&lab, Target::https(GATEWAY_V4, Some(&with_dot)), &[], false);
        let said = seen(&lab, &probe, 2 * ENOUGH, &[]);
        expect("unknown_name", &said);
        assert!(said.0.contains("with a trailing dot"), "{}", said.0);
    }
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}

/// A `ClientHello` that is acknowledged and never answered, beside small ones that are served: the way is to blame, not the name.
#[test]
fn not_the_gateway() {
    let lab = Lab::new().unwrap();
    let silent = lab.gateway.run_in_thread(|| std::net::TcpListener::bind("0.0.0.0:443").unwrap()).unwrap();
    {
        let probe = Probe::start(&lab, &["--handshake-timeout", "1s"]).unwrap();
        for _ in 0..ENOUGH {
            let mut client = RawClient::connect(&lab.client, gateway()).unwrap();
            client.send(&hello().build()).unwrap();
            assert_eq!(client.read_first(Duration::from_secs(2)).unwrap().end, End::StillOpen);
        }
        expect("not_the_gateway", &seen(&lab, &probe, ENOUGH, &[]));
    }
    drop(silent);
    let _envoy = envoy(&lab, &EnvoyOptions::default());
    let probe = Probe::start(&lab, &[]).unwrap();
    curl(&lab, named(), &[], true);
    expect_healed(&seen(&lab, &probe, ENOUGH, &[]));
}
