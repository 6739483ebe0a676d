//! `diagnose` as a user meets it: what it says of a capture and of a scrape, its forms and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sni_probe_testkit::answers::{fatal_alert, server_hello};
use sni_probe_testkit::captures::{Capture, Connection, Format, START_NS};
use sni_probe_testkit::hello::ClientHelloBuilder;
use tempfile::TempDir;

const NAME: &str = "api.example.com";
const PROTOCOL_VERSION: u8 = 70;
const SCRAPE: &str = "\
sni_probe_handshakes_total{outcome=\"reset_by_gateway\",sni=\"absent\",source=\"other\"} 4
sni_probe_client_handshakes_total{client=\"35.191.0.9\",outcome=\"reset_by_gateway\",sni=\"absent\"} 4
";

/// A directory with files, in which the program runs.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn diagnose(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sni-probe"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SNI_PROBE_") {
                command.env_remove(name);
            }
        }
        command.arg("diagnose").args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.output().expect("sni-probe starts")
    }

    /// The diagnosis of a capture of these connections, and its exit code.
    fn of(&self, connections: &[Connection]) -> (Value, Option<i32>) {
        self.put("capture.pcap", &Capture::of(connections).to_bytes(Format::PCAP).unwrap());
        let output = self.diagnose(&["--capture", "capture.pcap", "--json"]);
        (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
    }
}

/// Some connections in which this is the hello, and this becomes of it.
fn connections(
    name: Option<&str>,
    count: u16,
    answer: impl Fn(&mut Connection) -> &mut Connection,
) -> Vec<Connection> {
    let builder = ClientHelloBuilder::new();
    let hello = name.map_or_else(|| builder.clone(), |name| builder.clone().server_name(name)).build();
    let connection = |number: u16| {
        let begin = START_NS + u64::from(number) * 1_000_000;
        let mut connection = Connection::v4().client_port(40_000 + number).starting_at(begin);
        answer(connection.open().client(&hello));
        connection
    };
    (0..count).map(connection).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn causes_in_captures() {
    let bench = Bench::new();
    let (diagnosis, code) = bench.of(&connections(None, 3, Connection::gateway_reset));
    assert_eq!((diagnosis["cause"].as_str(), code), (Some("no_wildcard_route"), Some(1)), "{diagnosis:#}");
    assert_eq!(diagnosis["steps"][0]["answer"], "yes");
    // A gateway that served nothing does not show whether the name is the reason.
    let refused = connections(Some("old.example.com"), 3, Connection::gateway_reset);
    let (diagnosis, code) = bench.of(&refused);
    assert_eq!((diagnosis["cause"].as_str(), code), (Some("not_enough_evidence"), Some(2)), "{diagnosis:#}");
    let served = (0..3).map(|number| {
        let mut connection = Connection::v4().client_port(50_000 + number).starting_at(START_NS);
        connection.open().client(&ClientHelloBuilder::new().server_name(NAME).build());
        connection.gateway(&server_hello());
        connection
    });
    let (diagnosis, code) = bench.of(&refused.into_iter().chain(served).collect::<Vec<_>>());
    assert_eq!((diagnosis["cause"].as_str(), code), (Some("unknown_name"), Some(1)), "{diagnosis:#}");
    assert!(diagnosis["sentence"].as_str().unwrap().contains("old.example.com"));
    let mismatch = connections(Some(NAME), 3, |connection| {
        connection.gateway(&fatal_alert(PROTOCOL_VERSION)).gateway_fin()
    });
    let (diagnosis, code) = bench.of(&mismatch);
    assert_eq!((diagnosis["cause"].as_str(), code), (Some("tls_mismatch"), Some(1)), "{diagnosis:#}");
    let (diagnosis, code) = bench.of(&connections(None, 3, Connection::gateway_ack));
    assert_ne!(diagnosis["cause"], "no_wildcard_route", "{code:?} {diagnosis:#}");
    let (diagnosis, code) = bench.of(&connections(None, 3, |connection| connection.gateway(&server_hello())));
    assert_eq!((diagnosis["cause"].as_str(), code), (Some("nothing_wrong"), Some(0)), "{diagnosis:#}");
    assert!(diagnosis["fix"].is_null());
}

#[test]
fn a_scrape_tells_a_load_balancer() {
    let bench = Bench::new();
    bench.put("scrape.txt", SCRAPE.as_bytes());
    let output = bench.diagnose(&["--metrics", "scrape.txt"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("Cause: a load balancer or health check connects without SNI (likely)"), "{text}");
    assert!(
        text.contains("--expected-non-sni gcp-lb") && text.contains("enableNonSniClient: true"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
    let output = bench.diagnose(&["--metrics", "scrape.txt", "--markdown"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("## a load balancer") && text.contains("```yaml\n"), "{text}");
}

#[test]
fn a_capture_that_is_cut_tells_what_is_in_it() {
    let bench = Bench::new();
    let capture =
        Capture::of(&connections(None, 3, Connection::gateway_reset)).to_bytes(Format::PCAP).unwrap();
    bench.put("cut.pcap", &capture[..capture.len() - 5]);
    let output = bench.diagnose(&["--capture", "cut.pcap"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the capture was read to frame"), "{text}");
}

#[test]
fn what_of_a_capture_was_not_read_is_repeated() {
    let bench = Bench::new();
    let capture = Capture::of(&connections(None, 3, Connection::gateway_reset));
    let mut bytes = capture.to_bytes(Format::PCAP).unwrap();
    let macsec = [&[2; 12][..], &[0x88, 0xe5, 0x0c, 0], &[9; 60]].concat();
    let length = u32::try_from(macsec.len()).unwrap();
    bytes.extend([1_700_000_000, 0, length, length].map(u32::to_le_bytes).concat());
    bytes.extend(macsec);
    bench.put("some.pcap", &bytes);
    let text = String::from_utf8(bench.diagnose(&["--capture", "some.pcap"]).stdout).unwrap();
    assert!(text.contains("frames not read, MACsec with encryption (EtherType 0x88e5): 1\n"), "{text}");

    bench.put("short.pcap", &capture.snap_len(96).to_bytes(Format::PCAP).unwrap());
    let text = String::from_utf8(bench.diagnose(&["--capture", "short.pcap"]).stdout).unwrap();
    let cut = "hellos cut by the capture's snap length (capture with: tcpdump -s 0): 3\n";
    assert!(text.contains(cut), "{text}");

    bytes[20] = 189;
    bench.put("usb.pcap", &bytes);
    let output = bench.diagnose(&["--capture", "usb.pcap"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = stderr(&output);
    assert!(
        stderr.contains("usb.pcap: none of its 16 frames can be read (link type 189 (USB_LINUX): 16)"),
        "{stderr}"
    );
}

#[test]
fn what_cannot_run_is_told_in_one_line() {
    let bench = Bench::new();
    bench.put("text", b"# no capture");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = format!("http://127.0.0.1:{port}");
    for (arguments, said) in [
        (&[][..], "name at least one of --url, --metrics"),
        (&["--metrics", "nowhere"], "cannot open nowhere"),
        (&["--metrics", "text"], "no sni_probe_handshakes_total"),
        (&["--capture", "text"], "not a capture"),
        (&["--url", &closed], "is the daemon running"),
        (&["--capture", "a", "--metrics", "b"], "cannot be used with"),
        (&["--for", "10s"], "--url <URL>"),
        (&["--kube", "--kubeconfig", "nowhere", "--namespace", "a"], "nowhere"),
        (&["--metrics", "text", "--namespace", "a"], "--kube"),
    ] {
        let output = bench.diagnose(arguments);
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
        assert!(stderr.contains(said), "{said} is not in: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn nothing_to_see_is_no_answer() {
    let bench = Bench::new();
    bench.put(
        "scrape.txt",
        b"sni_probe_handshakes_total{outcome=\"alert\",sni=\"absent\",source=\"other\"} 0\n",
    );
    let output = bench.diagnose(&["--metrics", "scrape.txt", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let diagnosis: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(diagnosis["cause"], "not_enough_evidence");
    assert!(!diagnosis["missing"].as_array().unwrap().is_empty());
}
