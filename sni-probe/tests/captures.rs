//! `replay` of real captures agrees with what tshark, nDPI, Arkime and `FoxIO` say of them.
//!
//! The captures lie beside the repository (`../shared/captures`; its README tells where they and the expectations
//! come from) and are not part of it. Where they are absent, these tests are skipped, and count as that.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use sni_probe_core::vocabulary::OutcomeClass;
use sni_probe_model::Word;

/// Where tshark is wrong or cannot know, with the bytes that prove it.
///
/// Hellos that contradict themselves are `unknown` here, and `openssl s_server` answers `decode_error` to each of
/// them; tshark tells what it can read of them.
const DIFFERENCES: &[Difference] = &[
    Difference {
        capture: "foxio-ja4/tls-non-ascii-alpn.pcapng",
        frame: 1,
        field: "ja4",
        ours: r#""t13d1516bd_8daaf6152771_e5627efa2ab1""#,
        because: "the first ALPN name is BA AD; the specification of JA4 takes the first and last hexadecimal digit of a name that is not alphanumeric, the tools that this expectation is of print 99",
    },
    Difference {
        capture: "ndpi/4in6tunnel.pcap",
        frame: 3,
        field: "outcome",
        ours: "server_hello",
        because: "frame 4 begins 16 03 03 13 59 02 00 00 5A 03 03: a ServerHello in a record of 4,953 bytes, of which the capture has 1,367; tshark waits for the rest",
    },
    Difference {
        capture: "ndpi/KakaoTalk_chat.pcap",
        frame: 44,
        field: "outcome",
        ours: "server_hello",
        because: "frame 91 begins 16 03 01 00 59 02 00 00 55 03 01: a ServerHello; tshark has lost its place in the stream after a repeated hello",
    },
    Difference {
        capture: "ndpi/KakaoTalk_chat.pcap",
        frame: 345,
        field: "outcome",
        ours: "server_hello",
        because: "frame 347 begins 16 03 01 06 B5 02 00 00 46 03 01: a ServerHello in a record of 1,717 bytes, of which the capture has 1,383",
    },
    Difference {
        capture: "ndpi/ocs.pcap",
        frame: 24,
        field: "outcome",
        ours: "closed_by_client",
        because: "the client's record 15 03 0x 00 20 is an encrypted alert, long after its change of cipher specs: the handshake had succeeded, and its answer is not in this one-sided capture",
    },
    Difference {
        capture: "ndpi/ocs.pcap",
        frame: 31,
        field: "outcome",
        ours: "closed_by_client",
        because: "the client's record 15 03 0x 00 20 is an encrypted alert, long after its change of cipher specs: the handshake had succeeded, and its answer is not in this one-sided capture",
    },
    Difference {
        capture: "ndpi/ocs.pcap",
        frame: 272,
        field: "outcome",
        ours: "none",
        because: "the client's record 15 03 0x 00 20 is an encrypted alert, long after its change of cipher specs: the handshake had succeeded, and its answer is not in this one-sided capture",
    },
    Difference {
        capture: "ndpi/tls_1.2_unidirectional_client_no_cert.pcapng",
        frame: 3,
        field: "outcome",
        ours: "closed_by_client",
        because: "the client's record 15 03 0x 00 1A is an encrypted alert, long after its change of cipher specs: the handshake had succeeded, and its answer is not in this one-sided capture",
    },
    Difference {
        capture: "ndpi/ossfuzz_seed_fake_traces_1.pcapng",
        frame: 19,
        field: "sni",
        ours: "unknown",
        because: "02 00 00 34 01 00 00 05 00 00 00 00 00: the block of extensions has 5 bytes, one extension takes 4, and the fifth is no extension",
    },
    Difference {
        capture: "ndpi/ossfuzz_seed_fake_traces_1.pcapng",
        frame: 19,
        field: "legacy_version",
        ours: "null",
        because: "02 00 00 34 01 00 00 05 00 00 00 00 00: the block of extensions has 5 bytes, one extension takes 4, and the fifth is no extension",
    },
    Difference {
        capture: "ndpi/ossfuzz_seed_fake_traces_1.pcapng",
        frame: 19,
        field: "ja3",
        ours: "null",
        because: "02 00 00 34 01 00 00 05 00 00 00 00 00: the block of extensions has 5 bytes, one extension takes 4, and the fifth is no extension",
    },
    Difference {
        capture: "ndpi/ossfuzz_seed_fake_traces_1.pcapng",
        frame: 21,
        field: "sni",
        ours: "unknown",
        because: "behind version and random come only zeros, so no session ID, no cipher suites, no compression methods and no extensions, and 33 bytes that are nothing",
    },
    Difference {
        capture: "ndpi/ossfuzz_seed_fake_traces_1.pcapng",
        frame: 21,
        field: "legacy_version",
        ours: "null",
        because: "behind version and random come only zeros, so no session ID, no cipher suites, no compression methods and no extensions, and 33 bytes that are nothing",
    },
    Difference {
        capture: "ndpi/ossfuzz_seed_fake_traces_1.pcapng",
        frame: 21,
        field: "ja3",
        ours: "null",
        because: "behind version and random come only zeros, so no session ID, no cipher suites, no compression methods and no extensions, and 33 bytes that are nothing",
    },
    Difference {
        capture: "ndpi/tls_cipher_lens.pcap",
        frame: 2,
        field: "legacy_version",
        ours: "null",
        because: "cipher suites of 00 86 bytes, 62 more than there are: they end inside of the extensions",
    },
    Difference {
        capture: "ndpi/tls_cipher_lens.pcap",
        frame: 3,
        field: "legacy_version",
        ours: "null",
        because: "cipher suites of 00 85 bytes: an odd number, and more than there are",
    },
    Difference {
        capture: "ndpi/tls_cipher_lens.pcap",
        frame: 5,
        field: "legacy_version",
        ours: "null",
        because: "cipher suites of 00 00 bytes, compression methods of 00, extensions of FF C0: more than there are",
    },
    Difference {
        capture: "ndpi/tls_cipher_lens.pcap",
        frame: 5,
        field: "ja3",
        ours: "null",
        because: "cipher suites of 00 00 bytes, compression methods of 00, extensions of FF C0: more than there are",
    },
    Difference {
        capture: "ndpi/tls_invalid_reads.pcap",
        frame: 4,
        field: "legacy_version",
        ours: "null",
        because: "compression methods of 00 bytes, and then one byte, 00, which is no block of extensions",
    },
    Difference {
        capture: "ndpi/tls_invalid_reads.pcap",
        frame: 4,
        field: "ja3",
        ours: "null",
        because: "compression methods of 00 bytes, and then one byte, 00, which is no block of extensions",
    },
    Difference {
        capture: "ndpi/tls_invalid_reads.pcap",
        frame: 12,
        field: "sni",
        ours: "unknown",
        because: "behind ALPN (00 10 00 0B, 11 bytes) comes an extension 47 E3 of 4F C6 bytes: more than there are",
    },
    Difference {
        capture: "ndpi/tls_invalid_reads.pcap",
        frame: 12,
        field: "server_name",
        ours: "None",
        because: "behind ALPN (00 10 00 0B, 11 bytes) comes an extension 47 E3 of 4F C6 bytes: more than there are",
    },
    Difference {
        capture: "ndpi/tls_invalid_reads.pcap",
        frame: 12,
        field: "legacy_version",
        ours: "null",
        because: "behind ALPN (00 10 00 0B, 11 bytes) comes an extension 47 E3 of 4F C6 bytes: more than there are",
    },
];

struct Difference {
    capture: &'static str,
    frame: u64,
    field: &'static str,
    ours: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    because: &'static str,
}

fn main() {
    let arguments = Arguments::from_args();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    if !directory.join("expected.jsonl").exists() {
        eprintln!("skipped: the captures are absent ({})", directory.display());
        let trial = Trial::test("real_captures", || Ok(())).with_ignored_flag(true);
        libtest_mimic::run(&arguments, vec![trial]).exit();
    }
    let unused: Unused = Arc::new(Mutex::new(DIFFERENCES.iter().map(Difference::key).collect()));
    let conclusion = libtest_mimic::run(&arguments, trials(&directory, &unused));
    conclusion.exit_if_failed();
    let is_all = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let unused = unused.lock().expect("no test panics with it");
    assert!(!is_all || unused.is_empty(), "listed, and no difference (any more): {unused:?}");
}

/// The listed differences that were not met yet.
type Unused = Arc<Mutex<HashSet<(&'static str, u64, &'static str)>>>;

fn trials(directory: &Path, unused: &Unused) -> Vec<Trial> {
    let [hellos, partial, captures, ja4] =
        ["expected", "expected-partial", "expected-captures", "expected-ja4"]
            .map(|name| lines(directory, name));
    let mut count = 0;
    let mut trials: Vec<_> = captures
        .into_iter()
        .map(|capture| {
            let name = text(&capture, "capture").to_owned();
            let of_capture = |rows: &[Value]| -> Vec<Value> {
                rows.iter().filter(|row| row["capture"] == *name).cloned().collect()
            };
            let expected = Expected {
                path: directory.join(&name),
                hellos: of_capture(&hellos),
                partial: of_capture(&partial),
                ja4: of_capture(&ja4),
                frames: capture["frames"].as_u64().expect("a number"),
                unused: Arc::clone(unused),
                name: name.clone(),
            };
            count += expected.hellos.len();
            Trial::test(name, move || expected.check())
        })
        .collect();
    trials.push(Trial::test("there are as many captures and hellos as its README says", move || {
        if count == 469 { Ok(()) } else { Err(format!("{count} hellos").into()) }
    }));
    trials
}

/// What others say of a capture.
struct Expected {
    name: String,
    path: PathBuf,
    hellos: Vec<Value>,
    partial: Vec<Value>,
    ja4: Vec<Value>,
    frames: u64,
    unused: Unused,
}

impl Expected {
    fn check(&self) -> Result<(), Failed> {
        let mut wrong = Vec::new();
        let mut events = self.replay(&mut wrong);
        for row in &self.hellos {
            let (client, gateway) = (text(row, "client"), text(row, "server"));
            let of_connection = |event: &Value| event["peer"] == *client && event["gateway"] == *gateway;
            // Packed in the packets of another protocol: not there for a probe of TLS over TCP.
            if row["stream_offset"].is_null() {
                continue;
            }
            let frame = row["frame"].as_u64().expect("a number");
            if row["hello_index"] != 0 {
                self.check_second(row, events.iter().filter(|event| of_connection(event)), &mut wrong);
                continue;
            }
            let at = events
                .iter()
                .position(|event| of_connection(event) && event["frame"] == frame)
                .or_else(|| events.iter().position(|event| of_connection(event) && event["seen"].is_null()));
            let Some(at) = at else {
                wrong.push(format!("frame {frame}: no such hello of {client} to {gateway}"));
                continue;
            };
            let event = &events[at];
            self.compare(row, event, &mut wrong);
            events[at]["seen"] = true.into();
        }
        for event in events.iter().filter(|event| event["seen"].is_null()) {
            let is_known_half = event["sni"] == "unknown"
                && self
                    .partial
                    .iter()
                    .any(|row| row["client"] == event["peer"] && row["server"] == event["gateway"]);
            if !is_known_half {
                wrong.push(format!("not expected: {event}"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
    }

    /// The events of `sni-probe replay`, and their number of frames.
    fn replay(&self, wrong: &mut Vec<String>) -> Vec<Value> {
        let output = Command::new(env!("CARGO_BIN_EXE_sni-probe"))
            .args(["replay", "--format", "json", "--handshake-timeout", "10m"])
            .arg(&self.path)
            .output()
            .expect("sni-probe starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        // The one capture that ends inside a packet.
        let is_cut = self.name == "ndpi/fuzz-2021-10-13.pcap";
        if output.status.code() != Some(if is_cut { 2 } else { 0 })
            || is_cut != stderr.contains("ends inside packet")
        {
            wrong.push(format!("{}: {stderr}", output.status));
        }
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let events: Vec<Value> = stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(is_handshake)
            .collect();
        for event in &events {
            let frame = event["frame"].as_u64().unwrap_or(0);
            if frame == 0 || frame > self.frames {
                wrong.push(format!("no such frame: {event}"));
            }
        }
        events
    }

    /// The second hello of a handshake is no hello of its own; that it was asked for shows in the first, if the
    /// capture has what the gateway said.
    fn check_second<'a>(
        &self,
        row: &Value,
        mut events: impl Iterator<Item = &'a Value>,
        wrong: &mut Vec<String>,
    ) {
        let first =
            self.hellos.iter().find(|first| first["stream"] == row["stream"]).expect("there is a first");
        if first["server_bytes"] == 0 {
            return;
        }
        let is_retried = |event: &Value| {
            event["features"]
                .as_array()
                .is_some_and(|features| features.iter().any(|feature| feature == "hello_retry"))
        };
        if !events.any(is_retried) {
            wrong.push(format!("frame {}: no HelloRetryRequest seen", row["frame"]));
        }
    }

    fn compare(&self, row: &Value, event: &Value, wrong: &mut Vec<String>) {
        let frame = row["frame"].as_u64().expect("a number");
        let is_sslv2 = row["sslv2"] == true;
        let mut differ = |field: &'static str, ours: String, theirs: String| {
            let found = DIFFERENCES.iter().find(|known| known.key() == (self.name.as_str(), frame, field));
            match found {
                Some(known) if known.ours == ours && ours != theirs => {
                    self.unused.lock().expect("no test panics with it").remove(&known.key());
                }
                None if ours == theirs => {}
                _ => wrong.push(format!("frame {frame}: {field}: {ours} (others: {theirs})")),
            }
        };
        differ("frame", event["frame"].to_string(), frame.to_string());
        let (class, name) = (text(event, "sni"), event["server_name"].as_str());
        let theirs = row["sni"].as_str().map(str::to_ascii_lowercase);
        let class_of_theirs = match &theirs {
            // What no host name is, is told as such here.
            Some(_) if class == "invalid" => "invalid",
            Some(_) => "present",
            None if row["sni_certain"] == false && class == "unknown" => "unknown",
            None if row["sni_extension"] == true => "empty",
            None => "absent",
        };
        differ("sni", class.to_owned(), class_of_theirs.to_owned());
        differ("server_name", format!("{name:?}"), format!("{:?}", theirs.as_deref()));
        differ("legacy_version", event["legacy_version"].to_string(), row["legacy_version"].to_string());
        differ("versions", event["offered_versions"].to_string(), row["versions"].to_string());
        differ("segments", event["segments"].to_string(), row["segments"].to_string());
        differ("records", event["records"].to_string(), row["records"].to_string());
        differ("alpn", event["alpn"].to_string(), escaped(&row["alpn"]).to_string());
        differ("sslv2", (event["format"] == "sslv2").to_string(), is_sslv2.to_string());
        if !is_sslv2 {
            differ("ja3", event["ja3"].to_string(), row["ja3"].to_string());
            differ("hello_bytes", event["hello_bytes"].to_string(), row["hello_len"].to_string());
        }
        differ("outcome", outcome_of(event), outcome_of_theirs(row));
        for known in
            self.ja4.iter().filter(|known| known["frame"] == frame && known["stream"] == row["stream"])
        {
            differ("ja4", event["ja4"].to_string(), known["ja4"].to_string());
        }
    }
}

impl Difference {
    fn key(&self) -> (&'static str, u64, &'static str) {
        (self.capture, self.frame, self.field)
    }
}

/// Names with bytes that are no printable ASCII, as events write them.
/// The last line may say what was not read.
fn is_handshake(line: &Value) -> bool {
    line["not_read"].is_null()
}

fn escaped(names: &Value) -> Value {
    let escape = |name: &Value| -> Value {
        let name = name.as_str().expect("a name");
        let of_char = |character: char| match character {
            ' '..='~' => character.to_string(),
            // The expectations have one character a byte.
            _ => format!("\\x{:02x}", u32::from(character)),
        };
        name.chars().map(of_char).collect::<String>().into()
    };
    names.as_array().expect("a list").iter().map(escape).collect()
}

fn outcome_of(event: &Value) -> String {
    match text(event, "outcome") {
        // A capture that ends, or goes on for longer than the timeout: nothing was seen either way.
        "unfinished" | "timeout" => "none".to_owned(),
        // The expectations do not say how an answered handshake ended.
        answered if is_answered(answered) => "server_hello".to_owned(),
        other => other.to_owned(),
    }
}

fn is_answered(outcome: &str) -> bool {
    Word::<OutcomeClass>::from(outcome).known().is_some_and(OutcomeClass::is_answered)
}

fn outcome_of_theirs(row: &Value) -> String {
    match text(row, "outcome") {
        "rst_by_server" => "reset_by_gateway".to_owned(),
        "rst_by_client" => "reset_by_client".to_owned(),
        "fin" => {
            let mut events = row["events"].as_array().expect("an array").iter();
            let fin = events.find(|event| event["event"] == "fin").expect("it is there");
            if fin["by"] == "client" { "closed_by_client" } else { "closed_by_gateway" }.to_owned()
        }
        other => other.to_owned(),
    }
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_else(|| panic!("{field} of {row}"))
}

fn lines(directory: &Path, name: &str) -> Vec<Value> {
    let path = directory.join(name).with_extension("jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
