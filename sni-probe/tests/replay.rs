//! `replay` as a user meets it: what it says of captures with known answers, in every container; its
//! filters, outputs and exit codes.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sni_probe_pcap::Reader;
use sni_probe_testkit::answers::{fatal_alert, server_hello};
use sni_probe_testkit::captures::{
    self, ByteOrder, Capture, Connection, Container, Format, FragmentOrder, LinkType, START_NS, Scenario,
};
use sni_probe_testkit::hello::ClientHelloBuilder;
use tempfile::TempDir;

const NAME: &str = "api.example.com";
const UNRECOGNIZED_NAME: u8 = 112;
/// The name of the scenario whose capture began when the connection was open.
const LATE: &str = "without_the_beginning";
const PCAP_FILE_HEADER: usize = 24;
const PCAP_RECORD_HEADER: usize = 16;
const DAY_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// The outcomes of an answered handshake.
const ANSWERED: &str =
    "server_hello,established,rejected_by_client,client_certificate_refused,refused_after_server_hello";
/// Filters that select what was reset for want of SNI.
const RESET_WITHOUT_SNI: [&str; 4] = ["--outcome", "reset_by_gateway", "--sni", "absent"];

/// A directory with captures, in which the program runs.
struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn put_capture(&self, name: &str, capture: &Capture) {
        self.put(name, &pcap(capture));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sni-probe"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SNI_PROBE_") {
                command.env_remove(name);
            }
        }
        command.arg("replay").args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn replay(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("sni-probe starts")
    }

    /// The events of a run in which all was well.
    fn events(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.replay(&[&["--format", "json"], arguments].concat());
        assert_eq!(stderr(&output), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        events(&output)
    }

    fn code(&self, arguments: &[&str]) -> Option<i32> {
        self.replay(arguments).status.code()
    }

    /// What is printed by a run in which all was well.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.replay(arguments);
        assert_eq!(stderr(&output), "", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is UTF-8")
}

/// The one line on stderr of a run that ended with exit code 2.
fn complaint(output: &Output) -> String {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    assert!(stderr.starts_with("sni-probe: ") && stderr.ends_with('\n'), "{stderr}");
    stderr
}

fn events(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("stdout is UTF-8");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect(line));
    // The last line may say what was not read.
    lines.filter(|line: &Value| line["not_read"].is_null()).collect()
}

/// What the last line says of frames that were not read.
fn not_read(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).expect("stdout is UTF-8");
    text.lines().last().map(|line| serde_json::from_str(line).expect(line)).expect("a line")
}

fn sorted_by_client(mut events: Vec<Value>) -> Vec<Value> {
    events.sort_by_key(|event| event["client"].to_string());
    events
}

/// Without what depends on the file that the events were found in.
fn without(keys: &[&str], mut events: Vec<Value>) -> Vec<Value> {
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        event.retain(|key, _| !keys.contains(&key.as_str()));
    }
    events
}

fn values<'a>(events: &'a [Value], key: &str) -> Vec<&'a str> {
    events.iter().map(|event| event[key].as_str().unwrap()).collect()
}

fn pcap(capture: &Capture) -> Vec<u8> {
    capture.to_bytes(Format::PCAP).unwrap()
}

fn hello(name: Option<&str>) -> Vec<u8> {
    let builder = ClientHelloBuilder::new();
    name.map_or_else(|| builder.clone(), |name| builder.clone().server_name(name)).build()
}

/// A connection in which this is the hello, and this becomes of it.
fn connection(
    connection: Connection,
    name: Option<&str>,
    answer: impl FnOnce(&mut Connection) -> &mut Connection,
) -> Connection {
    let mut connection = connection;
    answer(connection.open().client(&hello(name)));
    connection
}

/// What becomes of a hello.
type Answer = fn(&mut Connection) -> &mut Connection;

fn answered(connection: &mut Connection) -> &mut Connection {
    connection.gateway(&server_hello())
}

fn alerted(connection: &mut Connection) -> &mut Connection {
    connection.gateway(&fatal_alert(UNRECOGNIZED_NAME)).gateway_fin()
}

/// Connections at the same time, and a hello in fragments among them. Times are not whole microseconds.
struct Mixed {
    reset_without_sni: Vec<Connection>,
    others: Vec<Connection>,
}

impl Mixed {
    fn new() -> Self {
        let at = |offset: u16| START_NS + 123_456_789 + u64::from(offset) * 70_000;
        let v4 = |offset| Connection::v4().client_port(40_000 + offset).starting_at(at(offset));
        let v6 = |offset| Connection::v6().client_port(40_000 + offset).starting_at(at(offset));
        let mut in_fragments = v4(3);
        let order = FragmentOrder::Reversed;
        in_fragments.open().client_in_fragments(&hello(None), 104, order).gateway_reset();
        Self {
            reset_without_sni: vec![
                connection(v4(1), None, Connection::gateway_reset),
                connection(v6(2), None, Connection::gateway_reset),
                in_fragments,
            ],
            others: vec![
                connection(v4(4), Some(NAME), Connection::gateway_reset),
                connection(v6(5), Some(NAME), answered),
                connection(v4(6), None, answered),
                connection(v4(7).gateway_port(8443), None, alerted),
                connection(v4(8), Some(NAME), Connection::gateway_ack),
            ],
        }
    }

    fn capture(&self) -> Capture {
        Capture::of(self.reset_without_sni.iter().chain(&self.others))
    }

    fn hellos(&self) -> usize {
        self.reset_without_sni.len() + self.others.len()
    }
}

/// Where the records of a pcap begin, and behind the last one its end.
fn record_offsets(pcap: &[u8]) -> Vec<usize> {
    let mut offsets = vec![PCAP_FILE_HEADER];
    while let Some(length) = offsets.last().and_then(|at| pcap.get(at + 8..at + 12)) {
        let length = u32::from_le_bytes(length.try_into().unwrap());
        offsets.push(offsets[offsets.len() - 1] + PCAP_RECORD_HEADER + usize::try_from(length).unwrap());
    }
    offsets
}

/// The captures of scenarios, in a file each; returns their names. Each is of the day after that before.
/// (In one file they would be one connection over and over, for they all have the same sequence numbers.)
fn put_day_by_day(bench: &Bench, scenarios: &[Scenario]) -> Vec<String> {
    let put = |(day, scenario): (u32, &Scenario)| {
        let mut bytes = pcap(&scenario.capture);
        let mut offsets = record_offsets(&bytes);
        offsets.pop();
        for at in offsets {
            let seconds: &mut [u8; 4] = (&mut bytes[at..at + 4]).try_into().unwrap();
            *seconds = (u32::from_le_bytes(*seconds) + day * 24 * 3_600).to_le_bytes();
        }
        let name = format!("{}.pcap", scenario.name);
        bench.put(&name, &bytes);
        name
    };
    (0..).zip(scenarios).map(put).collect()
}

/// Where an event and what is expected differ; nothing, if they do not.
fn differences(scenario: &Scenario, events: Vec<Value>) -> Vec<String> {
    let expected = scenario.expected.iter().map(|one| serde_json::to_value(one).unwrap()).collect();
    let (expected, events) = (sorted_by_client(expected), sorted_by_client(events));
    let name = &scenario.name;
    if expected.len() != events.len() {
        return vec![format!("{name}: {} events, not {}: {events:?}", events.len(), expected.len())];
    }
    let pairs = expected.iter().zip(&events);
    let keys = pairs.flat_map(|(expected, event)| {
        expected.as_object().unwrap().iter().map(move |(key, value)| (key, value, event.get(key)))
    });
    // The scenarios do not say how an answered handshake ends.
    let is_answered =
        |found: &Value| found.as_str().is_some_and(|found| ANSWERED.split(',').any(|it| it == found));
    let wrong = keys.filter(|(key, value, found)| {
        let is_end_of_answered =
            *key == "outcome" && **value == "server_hello" && found.is_some_and(is_answered);
        *found != Some(*value) && !is_end_of_answered
    });
    wrong.map(|(key, value, found)| format!("{name}: {key}: {found:?}, not {value}")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file's frames: their times and bytes.
fn frames(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut reader = Reader::open(path).unwrap();
    let mut frames = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        frames.push((record.time_ns, record.bytes.to_vec()));
    }
    frames
}

/// Whether a tool that can check what was written is there.
fn is_installed(tool: &str) -> bool {
    let found =
        Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("skipped: {tool} is not on the PATH");
    }
    found
}

// Answers.

#[test]
fn scenarios_give_the_events_that_are_expected() {
    let bench = Bench::new();
    let mut wrong = Vec::new();
    for scenario in captures::all() {
        bench.put_capture("scenario.pcap", &scenario.capture);
        let output = bench.replay(&["--format", "json", "scenario.pcap"]);
        if output.status.code() != Some(0) || !output.stderr.is_empty() {
            wrong.push(format!("{}: {:?}: {}", scenario.name, output.status, stderr(&output)));
        }
        wrong.extend(differences(&scenario, events(&output)));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_random_is_added_if_asked_for() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("mixed.pcap", &mixed.capture());
    let events = bench.events(&["mixed.pcap"]);
    assert!(events.iter().all(|event| event.get("random").is_none()));
    let events = bench.events(&["--client-random", "mixed.pcap"]);
    assert_eq!(events.len(), mixed.hellos());
    // That of each hello of the builder.
    let random: String = (0..32_u8).fold(String::new(), |mut random, index| {
        let _ = write!(random, "{:02x}", index.wrapping_mul(7));
        random
    });
    assert!(events.iter().all(|event| event["random"] == *random), "{events:#?}");
}

#[test]
fn containers_give_the_same_events() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("plain.pcap", &mixed.capture());
    let expected = without(&["capture"], bench.events(&["plain.pcap"]));
    assert_eq!(expected.len(), mixed.hellos());
    for format in formats() {
        let plain = mixed.capture().to_bytes(format).unwrap();
        // Neither name nor suffix tells what is inside.
        for (name, bytes) in [
            ("capture.gz", plain.clone()),
            ("capture.txt", gzip(&plain)),
            ("capture.pcap", zstd::encode_all(&plain[..], 1).unwrap()),
        ] {
            bench.put(name, &bytes);
            let found = without(&["capture"], bench.events(&[name]));
            assert_eq!(found, expected, "{format:?} in {name}");

            let mut command = bench.command(&["--format", "json", "-"]);
            let output = command.stdin(File::open(bench.path(name)).unwrap()).output().unwrap();
            assert_eq!(stderr(&output), "", "{format:?} in {name}");
            let found = events(&output);
            assert!(found.iter().all(|event| event["capture"] == "-"), "{found:?}");
            assert_eq!(without(&["capture"], found), expected, "{format:?} in {name} from standard input");
        }
    }
}

fn formats() -> Vec<Format> {
    use LinkType::{Ethernet, LinuxCooked, LinuxCooked2, RawIp, Vlan};
    let mut formats = Vec::new();
    for container in [Container::Pcap, Container::Pcapng] {
        for byte_order in [ByteOrder::Little, ByteOrder::Big] {
            for nanoseconds in [false, true] {
                for link_type in [Ethernet, Vlan, RawIp, LinuxCooked, LinuxCooked2] {
                    formats.push(Format { container, byte_order, nanoseconds, link_type });
                }
            }
        }
    }
    formats
}

// `--write`.

#[test]
fn evidence_has_all_packets_of_the_selected_handshakes_and_no_others() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    // With nanoseconds, so that times can be compared.
    bench.put("mixed.pcapng", &mixed.capture().to_bytes(Format::PCAPNG).unwrap());
    let selected =
        bench.events(&[&RESET_WITHOUT_SNI[..], &["mixed.pcapng", "--write", "evidence.pcapng"]].concat());
    assert_eq!(selected.len(), mixed.reset_without_sni.len());

    let again = bench.events(&["evidence.pcapng"]);
    let place = ["capture", "frame"];
    assert_eq!(without(&place, again), without(&place, selected));

    // From the SYN to the RST, the fragments of a hello among them, in the order of time.
    let times = frames(&bench.path("evidence.pcapng")).into_iter().map(|(time_ns, _)| time_ns);
    assert!(times.is_sorted());
    let expected = Capture::of(&mixed.reset_without_sni);
    let expected: Vec<_> =
        expected.frames(LinkType::Ethernet).map(|frame| (frame.time_ns, frame.bytes)).collect();
    assert_eq!(frames(&bench.path("evidence.pcapng")), expected);
}

#[test]
fn each_handshake_in_the_evidence_begins_with_a_syn() {
    let bench = Bench::new();
    let scenarios = captures::all();
    let files = put_day_by_day(&bench, &scenarios);
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let selected = bench.events(&[&RESET_WITHOUT_SNI, &files[..], &["--write", "evidence.pcapng"]].concat());
    let expected = scenarios.iter().flat_map(|scenario| &scenario.expected);
    let expected =
        expected.filter(|expected| expected.outcome == "reset_by_gateway" && expected.sni == "absent");
    assert_eq!(selected.len(), expected.count());

    let frames = frames(&bench.path("evidence.pcapng"));
    assert!(frames.is_sorted_by_key(|(time_ns, _)| *time_ns));
    // Each is of another day: see `put_day_by_day`.
    let mut days = HashMap::new();
    for (time_ns, frame) in &frames {
        days.entry(usize::try_from((time_ns - START_NS) / DAY_NS).unwrap()).or_insert(frame);
    }
    assert_eq!(days.len(), selected.len());
    for (day, first) in days {
        // The SYN, but for the one capture that began too late for it.
        let scenario = &scenarios[day];
        let expected = scenario.capture.frames(LinkType::Ethernet).next().unwrap();
        assert!(*first == expected.bytes, "{}: begins with {first:02x?}", scenario.name);
        let ip = &first[14..];
        let flags = if ip[0] >> 4 == 4 { ip[20 + 13] } else { ip[40 + 13] };
        assert!(flags == 0x02 || scenario.name == LATE, "{}: no SYN", scenario.name);
    }
}

#[test]
fn tshark_finds_the_hellos_in_the_evidence() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("mixed.pcap", &mixed.capture());
    bench.text(&[&RESET_WITHOUT_SNI[..], &["mixed.pcap", "--write", "evidence.pcapng"]].concat());
    if !is_installed("tshark") {
        return;
    }
    let mut tshark = Command::new("tshark");
    tshark.args(["-T", "fields", "-e", "frame.number", "-Y", "tls.handshake.type == 1", "-r"]);
    let output = tshark.arg(bench.path("evidence.pcapng")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let hellos = String::from_utf8(output.stdout).unwrap();
    assert_eq!(hellos.lines().count(), mixed.reset_without_sni.len(), "{hellos}");
}

#[test]
fn evidence_is_never_written_onto_an_input() {
    let bench = Bench::new();
    let bytes = pcap(&Mixed::new().capture());
    bench.put("mixed.pcap", &bytes);
    // The same file under other names too.
    std::os::unix::fs::symlink("mixed.pcap", bench.path("link.pcap")).unwrap();
    for name in ["mixed.pcap", "./mixed.pcap", "link.pcap"] {
        let output = bench.replay(&["--format", "json", "mixed.pcap", "--write", name]);
        let complaint = complaint(&output);
        assert!(complaint.contains(name) && complaint.contains("capture to be read"), "{complaint}");
        assert!(output.stdout.is_empty());
        assert!(fs::read(bench.path("mixed.pcap")).unwrap() == bytes, "{name}: the input was harmed");
    }
}

#[test]
fn evidence_is_never_written_onto_an_input_that_goes_by_no_name() {
    let bench = Bench::new();
    let bytes = pcap(&Mixed::new().capture());
    bench.put("mixed.pcap", &bytes);
    fs::hard_link(bench.path("mixed.pcap"), bench.path("hard-link.pcap")).unwrap();
    let by_hard_link = bench.replay(&["mixed.pcap", "--write", "hard-link.pcap"]);
    assert!(fs::read(bench.path("mixed.pcap")).unwrap() == bytes, "the input was harmed");
    complaint(&by_hard_link);

    let mut command = bench.command(&["-", "--write", "mixed.pcap"]);
    let redirected = command.stdin(File::open(bench.path("mixed.pcap")).unwrap()).output().unwrap();
    assert!(fs::read(bench.path("mixed.pcap")).unwrap() == bytes, "standard input's file was harmed");
    complaint(&redirected);
}

#[test]
fn evidence_is_for_its_owner_alone() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    for existing in [false, true] {
        let path = bench.path("evidence.pcapng");
        if existing {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        bench.events(&["mixed.pcap", "--write", "evidence.pcapng"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "existing: {existing}");
    }
}

#[test]
fn evidence_is_not_written_to_standard_output() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    let output = bench.replay(&["mixed.pcap", "--write", "-"]);
    assert!(complaint(&output).contains("--write -"));
    assert!(output.stdout.is_empty());
    assert!(!bench.path("-").exists());
}

#[test]
fn evidence_that_nothing_was_selected_for_is_a_capture() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    let arguments = ["mixed.pcap", "--client", "203.0.113.1", "--write", "evidence.pcapng"];
    assert_eq!(bench.events(&arguments), [] as [Value; 0]);
    assert_eq!(bench.events(&["evidence.pcapng"]), [] as [Value; 0]);
}

// Filters.

#[test]
fn filters_select() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    for (filters, count) in [
        (&["--sni", "absent"][..], 5),
        (&["--sni", "present"], 3),
        (&["--sni", "present,absent"], 8),
        (&["--sni", "empty", "--sni", "invalid"], 0),
        (&["--outcome", "reset_by_gateway"], 4),
        (&["--outcome", "alert", "--outcome", ANSWERED], 3),
        (&["--outcome", "unfinished"], 1),
        (&RESET_WITHOUT_SNI, 3),
        (&["--client", "192.0.2.7"], 6),
        (&["--client", "192.0.2.0/24"], 6),
        (&["--client", "192.0.2.8"], 0),
        (&["--client", "2001:db8:0:1::7"], 2),
        (&["--client", "2001:db8::/32"], 2),
        (&["--client", "192.0.2.0/24,2001:db8::/32"], 8),
        (&["--client", "2001:db8::/32", "--outcome", ANSWERED], 1),
        (&["--port", "8443"], 1),
        (&["--port", "443"], 7),
        (&["--port", "443,8443"], 8),
        (&["--port", "444"], 0),
    ] {
        assert_eq!(bench.events(&[filters, &["mixed.pcap"]].concat()).len(), count, "{filters:?}");
    }
}

#[test]
fn wrong_filters_are_told_in_one_line() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    for (filter, word) in [
        ("--sni", "none"),
        ("--outcome", "reset"),
        ("--client", "example.com"),
        ("--client", "192.0.2.0/33"),
        ("--port", "0"),
        ("--port", "65536"),
        ("--format", "xml"),
        ("--handshake-timeout", "soon"),
    ] {
        let output = bench.replay(&[filter, word, "mixed.pcap"]);
        let complaint = complaint(&output);
        assert!(complaint.contains(filter) && complaint.contains(word), "{complaint}");
        assert!(output.stdout.is_empty());
    }
}

// Exit codes.

#[test]
fn without_fail_on_reset_resets_are_fine() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    assert_eq!(bench.code(&["mixed.pcap"]), Some(0));
}

#[test]
fn fail_on_reset_tells_whether_a_client_without_sni_was_refused() {
    let bench = Bench::new();
    let cases: [(_, Answer, _); 8] = [
        (None, Connection::gateway_reset, 1),
        (None, Connection::gateway_fin, 1),
        (None, alerted, 1),
        (None, answered, 0),
        (Some(NAME), Connection::gateway_fin, 0),
        (None, Connection::client_reset, 0),
        (Some(NAME), Connection::gateway_reset, 0),
        (Some(NAME), alerted, 0),
    ];
    for (name, answer, code) in cases {
        bench.put_capture("one.pcap", &connection(Connection::v4(), name, answer).capture());
        for format in ["text", "json", "summary", "prometheus"] {
            let arguments = ["--fail-on-reset", "--format", format, "one.pcap"];
            let outcome = bench.replay(&["--format", "json", "one.pcap"]);
            assert_eq!(bench.code(&arguments), Some(code), "{format}: {:?}", events(&outcome));
        }
    }
}

#[test]
fn fail_on_reset_is_about_selected_handshakes() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    assert_eq!(bench.code(&["--fail-on-reset", "mixed.pcap"]), Some(1));
    assert_eq!(bench.code(&["--fail-on-reset", "--client", "192.0.2.8", "mixed.pcap"]), Some(0));
    assert_eq!(bench.code(&["--fail-on-reset", "--sni", "present", "mixed.pcap"]), Some(0));
}

#[test]
fn of_a_capture_that_is_cut_off_what_was_read_counts() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("whole.pcap", &mixed.capture());
    let whole = bench.events(&["whole.pcap"]);
    for format in formats() {
        // The last packet is of a connection in which no hello came.
        let mut more = Connection::v4().starting_at(START_NS + 1_000_000_000);
        more.open();
        let capture = Capture::of(mixed.reset_without_sni.iter().chain(&mixed.others).chain([&more]));
        let bytes = capture.to_bytes(format).unwrap();
        bench.put("cut.pcap", &bytes[..bytes.len() - 5]);
        // That the end is missing is worse than what was found.
        let output = bench.replay(&["--format", "json", "--fail-on-reset", "cut.pcap"]);
        let complaint = complaint(&output);
        assert!(complaint.contains("cut.pcap: ends inside packet"), "{format:?}: {complaint}");
        // What has no outcome waited for one until the end of the capture.
        let keys = ["capture", "latency_us"];
        assert_eq!(without(&keys, events(&output)), without(&keys, whole.clone()), "{format:?}");
    }
}

#[test]
fn of_a_packed_capture_that_is_cut_off_what_was_read_counts() {
    let bench = Bench::new();
    let first = connection(Connection::v4(), None, Connection::gateway_reset);
    let mut upload = Connection::v6().starting_at(START_NS + 1_000_000_000);
    upload.open();
    for _ in 0..200 {
        upload.client(&[0x17; 1_000]);
    }
    let bytes = gzip(&pcap(&Capture::of([&first, &upload])));
    bench.put("cut.pcap.gz", &bytes[..bytes.len() - 9]);
    let output = bench.replay(&["--format", "json", "cut.pcap.gz"]);
    let complaint = complaint(&output);
    assert!(complaint.contains("gzip data end early"), "{complaint}");
    assert_eq!(values(&events(&output), "outcome"), ["reset_by_gateway"]);
}

#[test]
fn what_is_no_capture_is_told_in_one_line() {
    let bench = Bench::new();
    fs::create_dir(bench.path("directory")).unwrap();
    bench.put("empty.pcap", b"");
    bench.put("notes.pcap", b"Captured on Monday.\nSee the ticket.\n");
    bench.put("packed.pcap.gz", &gzip(b"Captured on Monday.\n"));
    for (name, message) in [
        ("missing.pcap", "cannot be opened"),
        ("directory", "a directory"),
        ("empty.pcap", "empty"),
        ("notes.pcap", "it looks like text: \"Captured on Monday.\""),
        ("packed.pcap.gz", "it looks like a gzip file that holds text: \"Captured on Monday.\""),
    ] {
        for format in ["json", "text", "summary", "prometheus"] {
            let output = bench.replay(&["--format", format, name]);
            let complaint = complaint(&output);
            assert!(complaint.contains(&format!("{name}: ")) && complaint.contains(message), "{complaint}");
            if format == "json" {
                assert!(output.stdout.is_empty(), "{output:?}");
            }
        }
    }
}

#[test]
fn what_the_system_says_is_told_once() {
    let complaint = complaint(&Bench::new().replay(&["missing.pcap"]));
    assert_eq!(complaint.matches("No such file").count(), 1, "{complaint}");
}

#[test]
fn nothing_on_standard_input_is_told_in_one_line() {
    let output = Bench::new().replay(&["--format", "json", "-"]);
    let complaint = complaint(&output);
    assert!(complaint.contains("standard input: empty"), "{complaint}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_good_file_behind_a_bad_one_is_read() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("good.pcap", &mixed.capture());
    bench.put("bad.pcap", b"no capture\n");
    let output = bench.replay(&["--format", "json", "bad.pcap", "good.pcap"]);
    assert!(complaint(&output).contains("bad.pcap: "));
    let found = events(&output);
    assert_eq!(found.len(), mixed.hellos());
    assert!(values(&found, "capture").iter().all(|capture| *capture == "good.pcap"));
}

#[test]
fn a_reader_of_the_events_may_leave() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = bench.command(&["--format", "json", "mixed.pcap"]).stdout(writer).output().unwrap();
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

// Several files.

#[test]
fn a_handshake_goes_on_in_the_next_file() {
    let bench = Bench::new();
    let mut before = Connection::v6();
    before.open();
    let one = connection(Connection::v4(), None, Connection::gateway_reset);
    let capture = Capture::of([&before, &one]);
    let whole = pcap(&capture);
    // All but the reset.
    let count = capture.packets().len() - 1;
    let (first, second) = (&whole[..record_offsets(&whole)[count]], pcap(&capture.clone().skip(count)));
    bench.put("part1.pcap", first);
    bench.put("part2.pcap", &second);
    bench.put("whole.pcap", &whole);
    let found = bench.events(&["part1.pcap", "part2.pcap"]);
    assert_eq!(values(&found, "outcome"), ["reset_by_gateway"]);
    assert_eq!(values(&found, "capture"), ["part1.pcap"]);
    // The same frame as in the capture that was split: only its name differs.
    let name = ["capture"];
    assert_eq!(without(&name, found), without(&name, bench.events(&["whole.pcap"])));
}

#[test]
fn frames_are_counted_in_their_own_file() {
    let bench = Bench::new();
    let at = |milliseconds: u64| START_NS + milliseconds * 1_000_000;
    let first = connection(Connection::v4().starting_at(at(0)), Some(NAME), answered);
    let second = connection(Connection::v6().starting_at(at(100)), None, Connection::gateway_reset);
    bench.put_capture("part1.pcap", &first.capture());
    bench.put_capture("part2.pcap", &second.capture());
    let found = bench.events(&["part1.pcap", "part2.pcap"]);
    // The end of the answered handshake is in neither file, so it has its outcome last.
    assert_eq!(values(&found, "capture"), ["part2.pcap", "part1.pcap"]);
    // After the three packets that open the connection.
    assert!(found.iter().all(|event| event["frame"] == 4), "{found:?}");
}

#[test]
fn a_hello_that_is_split_between_files_is_whole() {
    let bench = Bench::new();
    let hello = hello(Some(NAME));
    let mut split = Connection::v4();
    split.open().client(&hello[..100]).client(&hello[100..]).gateway(&server_hello());
    let capture = split.capture();
    let whole = pcap(&capture);
    bench.put("part1.pcap", &whole[..record_offsets(&whole)[4]]);
    bench.put_capture("part2.pcap", &capture.skip(4));
    let found = bench.events(&["part1.pcap", "part2.pcap"]);
    assert_eq!(values(&found, "server_name"), [NAME]);
    assert_eq!(values(&found, "outcome"), ["server_hello"]);
}

#[test]
fn unrelated_captures_do_not_mix() {
    let bench = Bench::new();
    let silent = connection(Connection::v4(), None, |connection| connection);
    let later = Connection::v4().starting_at(START_NS + DAY_NS);
    let later = connection(later, Some(NAME), Connection::gateway_reset);
    bench.put_capture("silent.pcap", &silent.capture());
    bench.put_capture("later.pcap", &later.capture());
    // Only the reset, of a connection with the same addresses, ports and sequence numbers.
    bench.put_capture("reset.pcap", &later.capture().skip(4));

    let found = bench.events(&["silent.pcap", "later.pcap"]);
    assert_eq!(values(&found, "outcome"), ["unfinished", "reset_by_gateway"]);
    assert_eq!(values(&found, "capture"), ["silent.pcap", "later.pcap"]);
    // Whichever comes first.
    let found = bench.events(&["later.pcap", "silent.pcap"]);
    assert_eq!(values(&found, "outcome"), ["reset_by_gateway", "unfinished"]);
    let found = bench.events(&["silent.pcap", "reset.pcap"]);
    assert_eq!(values(&found, "outcome"), ["unfinished"]);
}

#[test]
fn evidence_of_a_handshake_in_two_files_is_whole() {
    let bench = Bench::new();
    let one = connection(Connection::v4(), None, Connection::gateway_reset);
    let whole = pcap(&one.capture());
    bench.put("part1.pcap", &whole[..record_offsets(&whole)[4]]);
    bench.put_capture("part2.pcap", &one.capture().skip(4));
    bench.put("whole.pcap", &whole);
    let found = bench.events(&["part1.pcap", "part2.pcap", "--write", "evidence.pcapng"]);
    assert_eq!(found.len(), 1);
    assert_eq!(frames(&bench.path("evidence.pcapng")), frames(&bench.path("whole.pcap")));
}

// Time.

/// The capture with one record's stamp moved by so many seconds.
fn with_wrong_stamp(pcap: &[u8], record: usize, by: i64) -> Vec<u8> {
    let mut bytes = pcap.to_vec();
    let at = record_offsets(pcap)[record];
    let seconds: &mut [u8; 4] = (&mut bytes[at..at + 4]).try_into().unwrap();
    let wrong = i64::from(u32::from_le_bytes(*seconds)) + by;
    *seconds = u32::try_from(wrong).unwrap().to_le_bytes();
    bytes
}

#[test]
fn one_wrong_stamp_changes_no_outcome() {
    let bench = Bench::new();
    let capture = Mixed::new().capture();
    let right = pcap(&capture);
    bench.put("right.pcap", &right);
    let times = ["capture", "time", "latency_us"];
    let expected = without(&times, sorted_by_client(bench.events(&["right.pcap"])));
    let day = 24 * 3_600;
    // After the first one, and before the last: those have nothing on one side that says otherwise.
    for record in 1..capture.packets().len() - 1 {
        for by in [day, -day] {
            bench.put("wrong.pcap", &with_wrong_stamp(&right, record, by));
            let found = bench.events(&["wrong.pcap"]);
            let latencies = found.iter().map(|event| event["latency_us"].as_u64().unwrap());
            assert!(latencies.max() < Some(1_000_000), "{record} {by}: {found:?}");
            assert_eq!(without(&times, sorted_by_client(found)), expected, "{record} {by}");
        }
    }
}

#[test]
fn wrong_stamps_are_counted() {
    let bench = Bench::new();
    let right = pcap(&Mixed::new().capture());
    bench.put("right.pcap", &right);
    bench.put("wrong.pcap", &with_wrong_stamp(&with_wrong_stamp(&right, 9, 24 * 3_600), 20, -3_600));
    for (file, count) in [("right.pcap", 0), ("wrong.pcap", 2)] {
        let metrics = bench.text(&["--format", "prometheus", file]);
        assert!(metrics.contains(&format!("\nsni_probe_time_jumps_total {count}\n")), "{metrics}");
        let summary = bench.text(&["--format", "summary", file]);
        assert_eq!(summary.contains("wrong time stamps: 2"), count == 2, "{summary}");
    }
}

// Formats.

/// The sum over all labels of a family.
fn sum(metrics: &str, family: &str) -> f64 {
    let samples = metrics.lines().filter_map(|line| line.strip_prefix(family));
    let samples = samples.filter(|rest| rest.starts_with(['{', ' ']));
    samples.map(|rest| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn metrics_count_every_hello_once() {
    let bench = Bench::new();
    let scenarios = captures::all();
    let files = put_day_by_day(&bench, &scenarios);
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let metrics = bench.text(&[&["--format", "prometheus"], &files[..]].concat());
    let hellos: usize = scenarios.iter().map(|scenario| scenario.expected.len()).sum();
    let hellos = f64::from(u32::try_from(hellos).unwrap());
    for family in ["sni_probe_client_hellos_total", "sni_probe_handshakes_total"] {
        assert!(
            (sum(&metrics, family) - hellos).abs() < 0.5,
            "{family}: {}, not {hellos}",
            sum(&metrics, family)
        );
    }
    let selected = bench.text(&[&["--format", "prometheus", "--client", "203.0.113.1"], &files[..]].concat());
    assert!(sum(&selected, "sni_probe_client_hellos_total").abs() < 0.5, "{selected}");
}

#[test]
fn promtool_has_nothing_against_the_metrics() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    bench.put("metrics", bench.text(&["--format", "prometheus", "mixed.pcap"]).as_bytes());
    if !is_installed("promtool") {
        return;
    }
    let metrics = File::open(bench.path("metrics")).unwrap();
    let output = Command::new("promtool").args(["check", "metrics"]).stdin(metrics).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn the_summary_tells_who_sent_no_sni_and_what_became_of_them() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("mixed.pcap", &mixed.capture());
    let summary = bench.text(&["--format", "summary", "mixed.pcap"]);
    let total = summary.lines().find(|line| line.starts_with("all ")).expect(&summary);
    assert_eq!(total.split_whitespace().nth(1), Some(mixed.hellos().to_string().as_str()), "{summary}");
    let (_, clients) = summary.split_once("Clients without SNI").expect(&summary);
    let client = clients.lines().find(|line| line.contains(" 192.0.2.7 ")).expect(&summary);
    assert!(client.contains("reset_by_gateway 2"), "{summary}");
    let (without, refused) = clients.split_once("Clients with a name that were refused").expect(&summary);
    assert!(!without.contains(NAME) && refused.contains(NAME), "{summary}");
}

#[test]
fn text_has_a_line_for_each_handshake_and_the_summary() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("mixed.pcap", &mixed.capture());
    let text = bench.text(&["--format", "text", "mixed.pcap"]);
    let summary = bench.text(&["--format", "summary", "mixed.pcap"]);
    // The summary tells fingerprints, counts and times; the lines stand before it.
    let lines = text.strip_suffix(&summary).expect(&text).trim_end();
    assert_eq!(lines.lines().count(), mixed.hellos(), "{text}");
    assert_eq!(lines.matches(NAME).count(), 3, "{text}");
}

#[test]
fn where_there_is_no_terminal_there_are_no_escape_sequences() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    for format in ["text", "summary", "json", "prometheus"] {
        let mut command = bench.command(&["--format", format, "mixed.pcap"]);
        let output = command.env("TERM", "xterm-256color").env_remove("NO_COLOR").output().unwrap();
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{format}");
    }
}

#[test]
fn without_a_terminal_the_format_is_json() {
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    assert_eq!(bench.text(&["mixed.pcap"]), bench.text(&["--format", "json", "mixed.pcap"]));
}

#[test]
fn help_has_examples_and_exit_codes() {
    let help = Bench::new().text(&["--help"]);
    for part in ["Examples:", "Exit codes:", "--fail-on-reset", "--write", "tcpdump"] {
        assert!(help.contains(part), "{part} is not in:\n{help}");
    }
}

// What is not read.

/// A pcap with the same frames, of another link type.
fn with_link_type(mut pcap: Vec<u8>, link_type: u32) -> Vec<u8> {
    pcap[20..24].copy_from_slice(&link_type.to_le_bytes());
    pcap
}

/// A pcap of these frames.
fn pcap_of(link_type: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = with_link_type(pcap(&Capture::of([])), link_type);
    for (seconds, frame) in (1_700_000_000_u32..).zip(frames) {
        let length = u32::try_from(frame.len()).unwrap();
        for field in [seconds, 0, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The frames of a pcap, changed one by one.
fn wrapped(bytes: &[u8], wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let offsets = record_offsets(bytes);
    offsets.windows(2).map(|ends| wrap(&bytes[ends[0] + PCAP_RECORD_HEADER..ends[1]])).collect()
}

/// A frame with a header between its addresses and its `EtherType`.
fn tagged(frame: &[u8], tag: &[u8]) -> Vec<u8> {
    [&frame[..12], tag, &frame[12..]].concat()
}

#[test]
fn a_capture_of_which_no_frame_can_be_read_is_told_with_its_link_type() {
    let bench = Bench::new();
    let plain = pcap(&Mixed::new().capture());
    for (number, name) in [
        (147, "147 (USER0)"),
        (8, "8 (SLIP)"),
        (10, "10 (FDDI)"),
        (109, "109 (ENC)"),
        (117, "117 (PFLOG)"),
        (192, "192 (PPI)"),
        (204, "204 (PPP_WITH_DIR)"),
        (239, "239 (NFLOG)"),
        (242, "242 (IPOIB)"),
        (258, "258 (PKTAP)"),
        (189, "189 (USB_LINUX)"),
        (252, "252 (WIRESHARK_UPPER_PDU)"),
        (303, "303 (DATA_ONLY)"),
        (40_000, "40000"),
    ] {
        let file = with_link_type(plain.clone(), number);
        bench.put("odd.pcap", &file);
        bench.put("odd.pcap.gz", &gzip(&file));
        bench.put("odd.pcap.zst", &zstd::encode_all(&file[..], 1).unwrap());
        for file in ["odd.pcap", "odd.pcap.gz", "odd.pcap.zst"] {
            for format in ["json", "text", "summary", "prometheus"] {
                let complaint = complaint(&bench.replay(&["--format", format, file]));
                assert!(complaint.starts_with(&format!("sni-probe: {file}: none of its ")), "{complaint}");
                assert!(complaint.contains(&format!("link type {name}")), "{complaint}");
            }
        }
        let mut command = bench.command(&["-"]);
        let output = command.stdin(File::open(bench.path("odd.pcap")).unwrap()).output().unwrap();
        let complaint = complaint(&output);
        assert!(complaint.starts_with("sni-probe: standard input: none of its "), "{complaint}");
    }
    let summary = bench.replay(&["--format", "summary", "odd.pcap"]);
    let summary = String::from_utf8(summary.stdout).unwrap();
    assert!(summary.contains("  frames not read, link type 40000: "), "{summary}");
}

#[test]
fn frames_that_are_only_a_part_of_a_capture_are_counted_and_named() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    let plain = pcap(&mixed.capture());
    let mut frames = wrapped(&plain, <[u8]>::to_vec);
    let expected = {
        bench.put("plain.pcap", &pcap_of(1, &frames));
        without(&["capture", "frame", "time", "latency_us"], bench.events(&["plain.pcap"]))
    };
    // MACsec with encryption, and a number that is not assigned.
    let macsec = [&[2; 12][..], &[0x88, 0xe5, 0x0c, 0], &[9; 60]].concat();
    let unknown = [&[2; 12][..], &[0x99, 0x88], &[9; 60]].concat();
    frames.extend([macsec.clone(), macsec, unknown]);
    bench.put("some.pcap", &pcap_of(1, &frames));
    let events = bench.events(&["some.pcap"]);
    let last = not_read(&bench.replay(&["--format", "json", "some.pcap"]));
    assert_eq!(without(&["capture", "frame", "time", "latency_us"], events), expected);
    let expected = serde_json::json!({
        "frames": frames.len(),
        "not_read": [
            {"what": "frames not read, EtherType 0x9988", "count": 1},
            {"what": "frames not read, MACsec with encryption (EtherType 0x88e5)", "count": 2},
        ],
    });
    assert_eq!(last, expected);
    for format in ["text", "summary"] {
        let text = bench.text(&["--format", format, "some.pcap"]);
        assert!(text.contains("\n  frames not read, EtherType 0x9988: 1\n"), "{text}");
        assert!(
            text.contains("\n  frames not read, MACsec with encryption (EtherType 0x88e5): 2\n"),
            "{text}"
        );
    }
    let metrics = bench.text(&["--format", "prometheus", "some.pcap"]);
    assert!(metrics.contains("sni_probe_packets_skipped_total{reason=\"unsupported\"} 3\n"), "{metrics}");
}

/// A pcapng with an interface of Ethernet and one of USB.
#[test]
fn of_several_interfaces_those_that_can_be_read_are_read() {
    let bench = Bench::new();
    let ethernet = Mixed::new().capture().to_bytes(Format::PCAPNG).unwrap();
    let block = |kind: u32, body: &[u8]| {
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    let usb = block(1, &[&189_u16.to_le_bytes()[..], &[0; 6]].concat());
    let microseconds = (START_NS / 1_000).to_be_bytes();
    let [high, low] =
        [0, 4].map(|at| u32::from_be_bytes(std::array::from_fn(|byte| microseconds[at + byte])));
    let packet = block(6, &[1, high, low, 8, 8, 0, 0].map(u32::to_le_bytes).concat());
    bench.put("two.pcapng", &[&ethernet[..], &usb, &packet, &packet].concat());
    bench.put("one.pcapng", &ethernet);
    let keys = ["capture", "latency_us"];
    assert_eq!(without(&keys, bench.events(&["two.pcapng"])), without(&keys, bench.events(&["one.pcapng"])));
    let last = not_read(&bench.replay(&["--format", "json", "two.pcapng"]));
    assert_eq!(last["not_read"][0]["what"], "frames not read, link type 189 (USB_LINUX)");
    assert_eq!(last["not_read"][0]["count"], 2);
    // A file that cannot be read does not hinder the others.
    bench.put("usb.pcap", &pcap_of(189, &[vec![0; 64]]));
    let output = bench.replay(&["--format", "json", "usb.pcap", "one.pcapng"]);
    let complaint = complaint(&output);
    assert!(
        complaint.contains("usb.pcap: its 1 frame cannot be read (link type 189 (USB_LINUX): 1)"),
        "{complaint}"
    );
    assert_eq!(events_of("one.pcapng", &output).len(), Mixed::new().hellos());
}

fn events_of(capture: &str, output: &Output) -> Vec<Value> {
    events(output).into_iter().filter(|event| event["capture"] == capture).collect()
}

#[test]
fn encapsulations_do_not_hide_a_handshake() {
    let bench = Bench::new();
    let plain = pcap(&Mixed::new().capture());
    let frames = |wrap: &dyn Fn(&[u8]) -> Vec<u8>| wrapped(&plain, wrap);
    let keys = ["capture", "frame"];
    bench.put("plain.pcap", &pcap_of(1, &frames(&<[u8]>::to_vec)));
    let expected = without(&keys, bench.events(&["plain.pcap"]));
    let backbone = |frame: &[u8]| [&[2; 12][..], &[0x88, 0xe7, 0, 0, 0, 42], frame].concat();
    let macsec =
        |frame: &[u8]| [&tagged(frame, &[0x88, 0xe5, 0x00, 0, 0, 0, 0, 1])[..], &[0xcc; 16]].concat();
    let metadata = |frame: &[u8]| tagged(frame, &[0x89, 0x09, 1, 1, 0, 1, 0, 42]);
    let trill = |frame: &[u8]| [&[2; 12][..], &[0x22, 0xf3, 0, 0x3f, 0, 1, 0, 2], frame].concat();
    let nsh = |frame: &[u8]| [&[2; 12][..], &[0x89, 0x4f, 0x0f, 0xc2, 1, 3, 0, 0, 1, 255], frame].concat();
    let ppi = |frame: &[u8]| [&[0, 0, 8, 0, 1, 0, 0, 0][..], frame].concat();
    for (name, link_type, wrap) in [
        ("802.1ah", 1, &backbone as &dyn Fn(&[u8]) -> Vec<u8>),
        ("MACsec", 1, &macsec),
        ("Cisco metadata", 1, &metadata),
        ("TRILL", 1, &trill),
        ("NSH", 1, &nsh),
        ("PPI", 192, &ppi),
    ] {
        bench.put("wrapped.pcap", &pcap_of(link_type, &frames(wrap)));
        assert_eq!(without(&keys, bench.events(&["wrapped.pcap"])), expected, "{name}");
    }
}

#[test]
fn hellos_that_the_snap_length_cut_are_counted() {
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("short.pcap", &mixed.capture().snap_len(96));
    let events = bench.events(&["short.pcap"]);
    let last = not_read(&bench.replay(&["--format", "json", "short.pcap"]));
    assert!(!events.is_empty());
    assert!(
        events.iter().all(|event| event["sni"] == "unknown" && event["incomplete"] == "truncated"),
        "{events:#?}"
    );
    let cut = "hellos cut by the capture's snap length (capture with: tcpdump -s 0)";
    let not_read = last["not_read"].as_array().unwrap();
    let hellos = not_read.iter().find(|item| item["what"] == cut).unwrap();
    assert_eq!(hellos["count"], events.len());
    let summary = bench.text(&["--format", "summary", "short.pcap"]);
    assert!(summary.contains(&format!("\n  {cut}: {}\n", events.len())), "{summary}");
    let metrics = bench.text(&["--format", "prometheus", "short.pcap"]);
    let truncated =
        format!("sni_probe_incomplete_client_hellos_total{{reason=\"truncated\"}} {}\n", events.len());
    assert!(metrics.contains(&truncated), "{metrics}");
    // Not even TCP's header is there.
    bench.put_capture("shorter.pcap", &mixed.capture().snap_len(30));
    let complaint = complaint(&bench.replay(&["--format", "json", "shorter.pcap"]));
    assert!(complaint.contains("cut by the snap length (link type 1 (ETHERNET))"), "{complaint}");
    assert!(complaint.ends_with("; capture again with `tcpdump -s 0`\n"), "{complaint}");
}

// Captures of real tools.

/// Runs a tool that must succeed.
fn run(tool: &str, arguments: &[&str], bench: &Bench) {
    let output = Command::new(tool).args(arguments).current_dir(bench.directory.path()).output().unwrap();
    assert!(output.status.success(), "{tool} {arguments:?}: {}", stderr(&output));
}

/// The words in a fix and in the help. Without the second condition a packet of BIG TCP over IPv6 is lost: its next header
/// is hop-by-hop.
#[test]
fn the_recommended_filter_matches_big_tcp() {
    const FILTER: &str = "tcp port 443 or ip6[6] = 0";
    let bench = Bench::new();
    assert!(bench.text(&["--help"]).contains(&format!("'{FILTER}'")));
    if !is_installed("tcpdump") {
        return;
    }
    let mut answered = Connection::v6();
    answered.open().client(&hello(None)).gateway(&server_hello());
    let frames = wrapped(&pcap(&answered.capture()), |frame| {
        if frame[54..56] != 443_u16.to_be_bytes() || frame.len() <= 74 + 12 {
            return frame.to_vec();
        }
        // The answer, as segmentation offload makes it: payload length 0, a jumbo payload option (RFC 2675).
        let length = u32::try_from(frame.len() - 54 + 8).unwrap().to_be_bytes();
        let options = [&[6, 0, 0xc2, 4][..], &length].concat();
        let mut big = [&frame[..54], &options, &frame[54..]].concat();
        big[18..20].fill(0);
        big[20] = 0;
        big
    });
    bench.put("all.pcap", &pcap_of(1, &frames));
    assert_eq!(values(&bench.events(&["all.pcap"]), "outcome"), ["server_hello"]);
    run("tcpdump", &["-r", "all.pcap", "-w", "port.pcap", "tcp port 443"], &bench);
    assert_ne!(values(&bench.events(&["port.pcap"]), "outcome"), ["server_hello"], "the case is not one");
    run("tcpdump", &["-r", "all.pcap", "-w", "recommended.pcap", FILTER], &bench);
    assert_eq!(values(&bench.events(&["recommended.pcap"]), "outcome"), ["server_hello"]);
}

/// Every format that editcap writes is read, or the line says how to convert it.
#[test]
fn formats_of_editcap_are_read_or_have_a_hint() {
    if !is_installed("editcap") {
        return;
    }
    let bench = Bench::new();
    let mixed = Mixed::new();
    bench.put_capture("mixed.pcap", &mixed.capture());
    let listed = Command::new("editcap").arg("-F").output().unwrap();
    let listed = [listed.stdout, listed.stderr].concat();
    let listed = String::from_utf8(listed).unwrap();
    let formats = listed.lines().filter_map(|line| Some(line.strip_prefix("    ")?.split_once(" - ")?.0));
    let mut read = Vec::new();
    for format in formats {
        let arguments = ["-F", format, "mixed.pcap", "converted"];
        let written =
            Command::new("editcap").args(arguments).current_dir(bench.directory.path()).output().unwrap();
        if !written.status.success() {
            continue;
        }
        let output = bench.replay(&["--format", "json", "converted"]);
        if output.status.success() {
            assert_eq!(events(&output).len(), mixed.hellos(), "{format}");
            read.push(format.to_owned());
        } else {
            let complaint = complaint(&output);
            assert!(
                complaint.contains("convert it with `editcap -F pcapng IN OUT`"),
                "{format}: {complaint}"
            );
        }
    }
    for format in ["pcap", "pcapng", "nsecpcap", "modpcap", "nokiapcap", "rh6_1pcap", "suse6_3pcap"] {
        assert!(read.iter().any(|one| one == format), "{format} is not among {read:?}");
    }
}

/// Every link type that editcap can give a file is read, or named.
#[test]
fn link_types_of_editcap_are_named() {
    if !is_installed("editcap") {
        return;
    }
    let bench = Bench::new();
    bench.put_capture("mixed.pcap", &Mixed::new().capture());
    let listed = Command::new("editcap").args(["-T", ""]).output().unwrap();
    let listed = String::from_utf8([listed.stdout, listed.stderr].concat()).unwrap();
    let names = listed.lines().filter_map(|line| Some(line.strip_prefix("    ")?.split_once(" - ")?.0));
    let mut tried = 0;
    for name in names {
        let arguments = ["-F", "pcap", "-T", name, "mixed.pcap", "converted"];
        let written =
            Command::new("editcap").args(arguments).current_dir(bench.directory.path()).output().unwrap();
        if !written.status.success() {
            continue;
        }
        let output = bench.replay(&["--format", "json", "converted"]);
        let is_told = output.status.code() == Some(2) && stderr(&output).contains("link type ");
        let is_read = output.status.success();
        assert!(is_read || is_told, "{name}: {output:?}");
        tried += 1;
    }
    assert!(tried > 50, "{tried}");
}
