use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use sni_probe_core::observation::{Hello, Negotiated, Outcome, Proxied, Sni};
use sni_probe_core::software;
use sni_probe_core::vocabulary::{
    AlertDescription, AlertSender, Feature, IncompleteReason, Prelude, TlsVersion,
};

use super::*;

/// 2026-03-05 14:03:22.481 UTC is the epoch of the example's timestamps.
fn clock() -> WallClock {
    WallClock::new(Timestamp(1_000), UNIX_EPOCH + Duration::new(1_772_719_402, 481_001_000))
}

/// As it is by default.
const JSON: Format = Format::Json { client_random: false };

fn incomplete() -> Handshake {
    let hello = Hello {
        incomplete: Some(IncompleteReason::Timeout),
        length: 512,
        segments: 1,
        records: 1,
        ..Hello::default()
    };
    Handshake { hello, outcome: Outcome::Timeout, latency: Duration::from_secs(30), ..Handshake::example() }
}

fn json(handshake: &Handshake) -> String {
    json_from(Provenance::Interface { name: "eth0", pods: &Pods::default() }, handshake)
}

fn json_from(source: Provenance<'_>, handshake: &Handshake) -> String {
    line(JSON, source, handshake)
}

fn line(format: Format, source: Provenance<'_>, handshake: &Handshake) -> String {
    let mut line = Vec::new();
    format.line(&mut line, source, handshake, clock());
    String::from_utf8(line).unwrap()
}

fn json_with_random(handshake: &Handshake) -> String {
    let source = Provenance::Interface { name: "eth0", pods: &Pods::default() };
    line(Format::Json { client_random: true }, source, handshake)
}

fn value(handshake: &Handshake) -> serde_json::Value {
    serde_json::from_str(&json(handshake)).unwrap()
}

fn text(handshake: &Handshake, colour: bool) -> String {
    let mut line = Vec::new();
    text::write(
        &mut line,
        Provenance::Interface { name: "eth0", pods: &Pods::default() },
        handshake,
        clock(),
        colour,
    );
    String::from_utf8(line).unwrap()
}

#[test]
fn the_examples_in_the_docs_are_what_is_written() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    let docs = std::fs::read_to_string(path).unwrap();
    for line in [json(&Handshake::example()), text(&Handshake::example(), false)] {
        assert!(docs.contains(&line), "docs/events.md is not up to date; its example is now:\n{line}");
    }
}

#[test]
fn the_docs_name_every_field_in_order() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let documented: Vec<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(field, _)| field))
        .collect();
    let without = |left_out: &[&str]| -> Vec<&str> {
        documented.iter().copied().filter(|field| !left_out.contains(field)).collect()
    };
    assert_eq!(
        without(&["capture", "frame", "certificate_names"]),
        keys(&json_with_random(&Handshake::example()))
    );
    assert_eq!(
        without(&["capture", "frame", "random", "certificate_names"]),
        keys(&json(&Handshake::example()))
    );
    let in_capture = Provenance::Capture { file: "a.pcap", frame: 7, certificate_names: &[] };
    assert_eq!(without(&["interface", "random"]), keys(&json_from(in_capture, &Handshake::example())));
}

/// The keys of an object without nested ones, in their order.
fn keys(line: &str) -> Vec<&str> {
    line.split("\":").filter_map(|part| part.rsplit_once('"')).map(|(_, key)| key).collect()
}

#[test]
fn json_has_the_same_keys_whatever_happened() {
    let expected = [
        "time",
        "interface",
        "client",
        "peer",
        "gateway",
        "proxied_client",
        "client_pod",
        "gateway_pod",
        "sni",
        "server_name",
        "legacy_version",
        "offered_versions",
        "tls_version",
        "alpn",
        "ja4",
        "ja3",
        "likely",
        "hello_bytes",
        "segments",
        "records",
        "format",
        "prelude",
        "features",
        "incomplete",
        "outcome",
        "alert",
        "alert_sender",
        "negotiated_version",
        "cipher_suite",
        "group",
        "latency_us",
    ];
    for handshake in [Handshake::example(), incomplete()] {
        let value = value(&handshake);
        let object = value.as_object().unwrap();
        assert_eq!(object.len(), expected.len());
        assert!(expected.iter().all(|key| object.contains_key(*key)));
    }
}

#[test]
fn json_of_a_whole_hello() {
    let value = value(&Handshake::example());
    assert_eq!(value["time"], "2026-03-05T14:03:22.481627Z");
    assert_eq!(value["interface"], "eth0");
    assert_eq!(value["client"], "192.0.2.7:51234");
    assert_eq!(value["peer"], "192.0.2.7:51234");
    assert_eq!(value["legacy_version"], "0x0303");
    assert_eq!(value["offered_versions"], serde_json::json!(["0x0304", "0x0303"]));
    assert_eq!(value["features"], serde_json::json!(["post_quantum", "multi_segment"]));
    assert_eq!(value["sni"], "absent");
    assert!(value["server_name"].is_null());
    assert_eq!(value["latency_us"], 45);
}

#[test]
fn software_is_told_where_its_fingerprint_is_known() {
    let mut handshake = Handshake::example();
    let software = software::likely_sender(&handshake.hello).expect("the sample's software");
    assert_eq!(value(&handshake)["likely"], software);
    assert!(text(&handshake, false).ends_with(&format!("  likely {software}\n")));
    // The same hello with a name, whatever became of it.
    handshake.hello.sni = Sni::Present("a.example".to_owned());
    let body = handshake.hello.body.as_mut().unwrap();
    assert_eq!(body.ja4.as_deref(), Some("t13i3012h2_1d37bd780c83_8537cf56674e"));
    body.ja4 = Some("t13d3013h2_1d37bd780c83_8537cf56674e".to_owned());
    for outcome in [Outcome::ResetByGateway, Outcome::ServerHello] {
        handshake.outcome = outcome;
        assert_eq!(value(&handshake)["likely"], software);
        assert!(text(&handshake, false).ends_with(&format!("  likely {software}\n")));
    }
    let body = handshake.hello.body.as_mut().unwrap();
    (body.ja4, body.ja3) = (Some("t13i0000h2_aaaaaaaaaaaa_bbbbbbbbbbbb".to_owned()), None);
    assert!(value(&handshake)["likely"].is_null());
    assert!(!text(&handshake, false).contains("likely"));
}

#[test]
fn json_of_an_incomplete_hello_has_nulls() {
    let value = value(&incomplete());
    assert_eq!(value["sni"], "unknown");
    assert_eq!(value["tls_version"], "unknown");
    assert_eq!(value["incomplete"], "timeout");
    assert_eq!(value["offered_versions"], serde_json::json!([]));
    for key in [
        "server_name",
        "legacy_version",
        "ja3",
        "ja4",
        "likely",
        "alert",
        "alert_sender",
        "negotiated_version",
        "cipher_suite",
        "group",
    ] {
        assert!(value[key].is_null(), "{key}");
    }
}

#[test]
fn json_has_the_random_if_it_was_asked_for() {
    let mut handshake = Handshake::example();
    handshake.hello.body.as_mut().unwrap().random = (0xf0..=0xff).collect();
    let value: serde_json::Value = serde_json::from_str(&json_with_random(&handshake)).unwrap();
    assert_eq!(value["random"], "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    let value: serde_json::Value = serde_json::from_str(&json_with_random(&incomplete())).unwrap();
    assert!(value.as_object().unwrap().contains_key("random"));
    assert!(value["random"].is_null());
}

#[test]
fn json_of_an_alert_over_ipv6_behind_a_proxy() {
    let mut handshake = Handshake::example();
    handshake.flow.client = "[2001:db8::7]:51234".parse().unwrap();
    handshake.proxied = Some(Proxied {
        client: "[2001:db8::9]:40000".parse().unwrap(),
        destination: "[2001:db8::1]:443".parse().unwrap(),
    });
    handshake.outcome =
        Outcome::Alert { description: AlertDescription::UnknownCa, sender: AlertSender::Client };
    let value = value(&handshake);
    assert_eq!(value["client"], "[2001:db8::9]:40000");
    assert_eq!(value["peer"], "[2001:db8::7]:51234");
    assert_eq!(value["proxied_client"], "[2001:db8::9]:40000");
    assert_eq!(value["outcome"], "alert");
    assert_eq!(value["alert"], "unknown_ca");
    assert_eq!(value["alert_sender"], "client");
}

#[test]
fn json_has_what_the_gateway_chose_by_name_or_by_code() {
    let chosen = |version, cipher_suite, group| {
        let mut handshake = Handshake { outcome: Outcome::Established, ..Handshake::example() };
        handshake.answer.negotiated = Some(Negotiated { version, cipher_suite, group });
        let value = value(&handshake);
        assert_eq!(value["outcome"], "established");
        ["negotiated_version", "cipher_suite", "group"].map(|key| value[key].clone())
    };
    assert_eq!(
        chosen(TlsVersion::Tls13, 0x1301, Some(0x001d)),
        ["1.3".into(), "TLS_AES_128_GCM_SHA256".into(), serde_json::Value::from("x25519")]
    );
    assert_eq!(
        chosen(TlsVersion::Unknown, 0xfafa, Some(0x2a2a)),
        [serde_json::Value::Null, "0xfafa".into(), "0x2a2a".into()]
    );
    assert_eq!(chosen(TlsVersion::Tls12, 0xc02f, None)[2], serde_json::Value::Null);
}

#[test]
fn an_alert_after_the_server_hello_is_there_with_its_sender() {
    let alert = Some(AlertDescription::UnknownCa);
    for (outcome, sender, line, colour) in [
        (Outcome::RejectedByClient { alert }, "client", "rejected_by_client unknown_ca", 33),
        (Outcome::ClientCertificateRefused { alert }, "gateway", "client_certificate_refused unknown_ca", 33),
        (Outcome::RefusedAfterServerHello { alert }, "gateway", "refused_after_server_hello unknown_ca", 31),
    ] {
        let handshake = Handshake { outcome, ..Handshake::example() };
        let value = value(&handshake);
        assert_eq!((&value["alert"], &value["alert_sender"]), (&"unknown_ca".into(), &sender.into()));
        assert!(text(&handshake, false).contains(line));
        assert!(
            text(&handshake, true).contains(&format!("\u{1b}[{colour}m{line}")),
            "{}",
            text(&handshake, true)
        );
    }
    let encrypted = Handshake { outcome: Outcome::RejectedByClient { alert: None }, ..Handshake::example() };
    assert!(value(&encrypted)["alert"].is_null() && value(&encrypted)["alert_sender"].is_null());
}

#[test]
fn a_name_beside_encrypted_client_hello_is_marked() {
    let mut handshake = Handshake::example();
    handshake.hello.features.insert(Feature::Ech);
    assert!(!text(&handshake, false).contains("ECH"), "there is no name");
    handshake.hello.sni = Sni::Present("outer.example".to_owned());
    assert!(text(&handshake, false).contains("  ECH: outer name or GREASE"));
    assert!(value(&handshake)["features"].as_array().unwrap().contains(&"ech".into()));
}

#[test]
fn json_tells_the_pods_that_are_known() {
    let pods = Pods { client: Some("shop/cart-1".into()), gateway: None };
    let line = json_from(Provenance::Interface { name: "eth0", pods: &pods }, &Handshake::example());
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["client_pod"], "shop/cart-1");
    assert!(value["gateway_pod"].is_null());
}

#[test]
fn what_came_before_the_hello() {
    let mut handshake = Handshake::example();
    assert!(value(&handshake)["prelude"].is_null());
    handshake.hello.prelude = Some(Prelude::ProxyV2);
    assert_eq!(value(&handshake)["prelude"], "proxy_v2");
    assert_eq!(text(&handshake, false), text(&Handshake::example(), false));
    handshake.hello.prelude = Some(Prelude::HttpConnect);
    assert_eq!(value(&handshake)["prelude"], "http_connect");
    assert_eq!(
        text(&handshake, false),
        text(&Handshake::example(), false).replace('\n', "  after http_connect\n")
    );
}

#[test]
fn json_escapes_what_is_no_text() {
    let mut handshake = Handshake::example();
    handshake.hello.sni = Sni::Invalid("a\"b\u{1b}[2J\n".to_owned());
    let body = handshake.hello.body.as_mut().unwrap();
    body.alpn = vec![b"\xff\x00h2\\".to_vec()];
    body.offered_versions = vec![0x0a0a];
    let line = json(&handshake);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.contains('\u{1b}'));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["server_name"], "a\"b\u{1b}[2J\n");
    assert_eq!(value["alpn"], serde_json::json!([r"\xff\x00h2\x5c"]));
    assert_eq!(value["offered_versions"], serde_json::json!(["0x0a0a"]));
}

#[test]
fn text_lets_nothing_but_printable_ascii_through() {
    let mut handshake = Handshake::example();
    handshake.hello.sni = Sni::Invalid(format!("\u{1b}[2J\r\n\u{202e}{}", "x".repeat(300)));
    let line = text(&handshake, false);
    assert!(line.trim_end_matches('\n').bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
    assert!(line.contains(r"(invalid SNI) \x1b[2J\x0d\x0a\xe2\x80\xaexxx"), "{line}");
    assert!(line.len() < 300);
}

#[test]
fn text_is_aligned_with_and_without_colour() {
    let plain = text(&Handshake::example(), false);
    let mut named = Handshake::example();
    named.hello.sni = Sni::Present("api.example.com".to_owned());
    named.outcome = Outcome::ServerHello;
    let column = |line: &str| line.find("TLS 1.3").unwrap();
    assert_eq!(column(&plain), column(&text(&named, false)));

    let coloured = text(&Handshake::example(), true);
    let stripped = ["\x1b[31m", "\x1b[33m", "\x1b[0m"]
        .iter()
        .fold(coloured.clone(), |line, code| line.replace(code, ""));
    assert_ne!(coloured, plain);
    assert_eq!(stripped, plain);
}

#[test]
fn text_tells_incomplete_hellos_alerts_and_proxied_clients() {
    let line = text(&incomplete(), false);
    assert!(line.contains("(incomplete: timeout)"), "{line}");
    assert!(line.contains("  30.0s"), "{line}");
    let mut handshake = Handshake::example();
    handshake.proxied = Some(Proxied {
        client: "203.0.113.5:40000".parse().unwrap(),
        destination: "198.51.100.9:443".parse().unwrap(),
    });
    handshake.outcome =
        Outcome::Alert { description: AlertDescription::UnknownCa, sender: AlertSender::Client };
    let line = text(&handshake, false);
    assert!(line.contains("  203.0.113.5:40000"), "{line}");
    assert!(line.contains("alert unknown_ca by client"), "{line}");
    assert!(line.ends_with("via 192.0.2.7:51234\n"), "{line}");
}

/// A sink that hands over what it is given, and waits for a word (its result) before each write.
struct Puppet {
    writes: Sender<Vec<u8>>,
    results: Receiver<io::Result<()>>,
}

impl Write for Puppet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Without a word any more, all is well.
        self.results.recv().unwrap_or(Ok(()))?;
        let _ = self.writes.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn puppet() -> (EventWriter, Receiver<Vec<u8>>, Sender<io::Result<()>>) {
    let (writes, written) = mpsc::channel();
    let (command, results) = mpsc::channel();
    let output =
        Output::new("a puppet", JSON, Puppet { writes, results }, Arc::default(), || Ok(())).unwrap();
    (EventWriter::new(EventsFilter::ALL, 0, vec![output]), written, command)
}

/// Adds a line to the writer.
fn add(writer: &mut EventWriter, handshake: &Handshake) {
    let source = Provenance::Interface { name: "eth0", pods: &Pods::default() };
    writer.handshake(source, handshake, clock(), Timestamp(0));
}

const NONE: DroppedLines = DroppedLines { slow_reader: 0, rate_limit: 0, write_failed: 0, closed: 0 };

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_batch_is_one_write() {
    let (mut writer, written, command) = puppet();
    drop(command);
    for _ in 0..3 {
        add(&mut writer, &Handshake::example());
    }
    assert_eq!(writer.flush(), NONE);
    assert_eq!(written.recv_timeout(PATIENCE).unwrap(), json(&Handshake::example()).repeat(3).into_bytes());
    assert_eq!(writer.finish(PATIENCE), NONE);
    assert!(written.recv().is_err());
}

#[test]
fn finish_writes_what_is_left() {
    let (mut writer, written, command) = puppet();
    drop(command);
    add(&mut writer, &Handshake::example());
    assert_eq!(writer.finish(PATIENCE), NONE);
    assert_eq!(written.recv().unwrap(), json(&Handshake::example()).into_bytes());
}

#[test]
fn a_stalled_reader_loses_lines_and_holds_up_nobody() {
    let (mut writer, _written, _command) = puppet();
    let lines = 2 * MAX_PENDING_BYTES / json(&Handshake::example()).len();
    let mut dropped = 0;
    for line in 0..lines {
        add(&mut writer, &Handshake::example());
        if line % 100 == 0 {
            dropped += writer.flush().slow_reader;
        }
    }
    dropped += writer.flush().slow_reader;
    let kept = lines - usize::try_from(dropped).unwrap();
    assert!(kept * json(&Handshake::example()).len() < MAX_PENDING_BYTES + 1_000, "{kept} of {lines} lines");
    assert!(kept * json(&Handshake::example()).len() > MAX_PENDING_BYTES / 2, "{kept} of {lines} lines");
    let start = Instant::now();
    assert_eq!(writer.finish(Duration::from_millis(20)), NONE);
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn lines_after_the_reader_has_gone_are_counted() {
    let (mut writer, written, command) = puppet();
    // The first batch is written, all others fail.
    command.send(Ok(())).unwrap();
    command.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
    let mut added = 0;
    let mut closed = 0;
    let start = Instant::now();
    while closed == 0 && start.elapsed() < PATIENCE {
        add(&mut writer, &Handshake::example());
        added += 1;
        closed += writer.flush().closed;
    }
    for _ in 0..100 {
        add(&mut writer, &Handshake::example());
        added += 1;
    }
    closed += writer.flush().closed;
    assert!(writer.outputs[0].is_closed && writer.outputs[0].batch.is_empty());
    closed += writer.finish(PATIENCE).closed;
    let is_written = |bytes: Vec<u8>| memchr::memchr_iter(b'\n', &bytes).count();
    let in_time: usize = written.iter().map(is_written).sum();
    assert!(in_time > 0);
    assert_eq!(usize::try_from(closed).unwrap(), added - in_time);
}

#[test]
fn lines_on_their_way_when_the_reader_goes_are_counted() {
    let (mut writer, _written, command) = puppet();
    for _ in 0..10 {
        for _ in 0..10 {
            add(&mut writer, &Handshake::example());
        }
        assert_eq!(writer.flush(), NONE);
    }
    command.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
    // The last lines are handed over only now.
    add(&mut writer, &Handshake::example());
    assert_eq!(writer.finish(PATIENCE), DroppedLines { closed: 101, ..NONE });
}

#[test]
fn one_output_goes_on_without_the_other() {
    let (mut writer, _written, command) = puppet();
    command.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    let (other, written, fine) = puppet();
    drop(fine);
    writer.outputs.extend(other.outputs);
    let start = Instant::now();
    let mut closed = 0;
    let mut added: usize = 0;
    while closed < 3 && start.elapsed() < PATIENCE {
        add(&mut writer, &Handshake::example());
        added += 1;
        closed += writer.flush().closed;
    }
    closed += writer.finish(PATIENCE).closed;
    assert_eq!(usize::try_from(closed).unwrap(), added);
    let all: Vec<u8> = written.iter().flatten().collect();
    assert_eq!(all, json(&Handshake::example()).repeat(added).into_bytes());
}

#[test]
fn a_sink_that_does_not_block_is_tried_again() {
    let (mut writer, written, command) = puppet();
    command.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
    drop(command);
    add(&mut writer, &Handshake::example());
    assert_eq!(writer.finish(PATIENCE), NONE);
    assert_eq!(written.recv().unwrap(), json(&Handshake::example()).into_bytes());
}

#[test]
fn only_what_the_filter_lets_through_is_written_and_no_more_than_the_rate() {
    let (mut writer, written, command) = puppet();
    drop(command);
    writer.filter = EventsFilter::parse("failed").unwrap();
    writer.rate_limit = RateLimit::new(1);
    let mut fine = Handshake::example();
    fine.outcome = Outcome::ServerHello;
    for _ in 0..15 {
        add(&mut writer, &fine);
        add(&mut writer, &Handshake::example());
    }
    assert_eq!(writer.flush(), DroppedLines { rate_limit: 5, ..NONE });
    assert_eq!(written.recv_timeout(PATIENCE).unwrap(), json(&Handshake::example()).repeat(10).into_bytes());
    assert_eq!(writer.finish(PATIENCE), NONE);
}

#[test]
fn a_file_gets_its_lines_whatever_stdout_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.json");
    let config = EventsConfig {
        stdout: None,
        file: Some(EventsFile { path: path.clone(), max_bytes: 1 << 20 }),
        filter: EventsFilter::ALL,
        rate: 0,
        client_random: true,
    };
    let mut writer = EventWriter::open(&config, || Ok(())).unwrap();
    add(&mut writer, &Handshake::example());
    assert_eq!(writer.finish(PATIENCE), NONE);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), json_with_random(&Handshake::example()));

    let file = EventsFile { path: "/nonexistent/events.json".into(), max_bytes: 1 << 20 };
    let bad = EventsConfig { file: Some(file), ..config };
    let error = format!("{:#}", EventWriter::open(&bad, || Ok(())).unwrap_err());
    assert!(error.contains("/nonexistent/events.json; choose another file with --events-file"), "{error}");
}

#[test]
fn events_that_are_off_cost_nothing() {
    let mut writer = EventWriter::new(EventsFilter::ALL, 1, Vec::new());
    add(&mut writer, &Handshake::example());
    assert_eq!(writer.finish(Duration::ZERO), NONE);
}

#[test]
fn clocks_before_1970_and_after_all_years_do_not_panic() {
    let early = WallClock::new(Timestamp(u64::MAX), UNIX_EPOCH);
    assert!(early.utc(Timestamp(0)).as_nanosecond() < 0);
    let late = WallClock::new(Timestamp(0), UNIX_EPOCH + Duration::from_secs(1 << 50));
    assert_eq!(late.utc(Timestamp(0)), jiff::Timestamp::default());
}
