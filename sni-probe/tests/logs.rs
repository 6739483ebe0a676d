//! `sni-probe logs` as a user meets it: output, exit codes, bad input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// The entry of Google's page.
const PAGE: &str = r#"{
  "request_time": 1,
  "tls_protocol": null,
  "upstream_service_time": null,
  "request_method": null,
  "request_protocol": null,
  "upstream_response_time": null,
  "bytes_sent": 0,
  "start_time": "2025-05-19T04:46:20.117Z",
  "bytes_received": 0,
  "host": null,
  "upstream_cluster": null,
  "upstream_address": null,
  "remote_address": "10.138.0.28:19432",
  "request_path": null,
  "request_id": null,
  "user_agent": null,
  "status_details": "filter_chain_not_found",
  "request": "- - -",
  "status": 0,
  "x_forwarded_for": null,
  "apigee_dynamic_data": null,
  "upstream_response_flags": "NR",
  "sni_host": null
}
"#;

const SERVED: &str = "[2025-05-19T05:46:20.117Z] \"GET /a HTTP/2\" 200 - via_upstream - \"-\" 0 5 3 2 \"10.0.0.1\" \"curl\" \"id\" \"a.example\" \"10.0.0.9:80\" outbound|80||a 10.0.0.5:1 10.0.0.5:8443 10.138.0.28:19432 a.example default\n";

const USAGE_OF_KUBECTL: &str = "kubectl -n apigee logs";

/// Runs `sni-probe logs` with these arguments in a directory, with `input` on standard input.
fn logs(directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sni-probe"));
    command.arg("logs").args(arguments).current_dir(directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("sni-probe starts");
    // One that reads no input may have ended.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("sni-probe ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line on stderr of a run that ended with exit code 2.
fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("sni-probe: ") && stderr.ends_with('\n'), "{stderr}");
    assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    stderr
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_entry_of_the_page() {
    let files = Files::new();
    files.write("access.log", PAGE.as_bytes());
    let output = logs(files.path(), &["access.log"], b"");
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for part in [
        "25 lines, 1 entry of",
        "1  refused: no filter chain",
        "1  sni_host is null",
        "1  10.138.0.28\n",
        "2025-05-19 04:00",
        "sni-probe replay",
        "--events-file",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn nobody_was_refused() {
    let output = logs(Path::new("/"), &[], SERVED.as_bytes());
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("1  served"));
}

#[test]
fn packed_files_and_standard_input_as_json() {
    let files = Files::new();
    files.write("1.log", &gzip(PAGE.as_bytes()));
    files.write("2.log", &zstd::encode_all(SERVED.as_bytes(), 1).unwrap());
    let output = logs(files.path(), &["--json", "1.log", "-", "2.log"], PAGE.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (field, count) in
        [("lines", 51), ("entries", 3), ("served", 1), ("no_filter_chain", 2), ("sni_null", 2)]
    {
        assert_eq!(report[field], count, "{field}");
    }
    assert_eq!(report["files"], serde_json::json!(["1.log", "-", "2.log"]));
    assert_eq!(report["by_client"][0], serde_json::json!({ "name": "10.138.0.28", "count": 2 }));
    assert_eq!(report["joined"], Value::Null);
    assert!(report["sample"].as_str().unwrap().contains("filter_chain_not_found"));
}

#[test]
fn what_cannot_be_read_is_told_in_one_line() {
    let files = Files::new();
    files.write("text", b"no log at all\nnot one entry\n");
    files.write("empty", b"");
    files.write("cut", &PAGE.as_bytes()[..300]);
    files.write("bad.gz", &[&[0x1f, 0x8b][..], &[0; 100]].concat());
    files.write("events", b"{}\n");
    files.write("good", PAGE.as_bytes());
    fs::create_dir(files.path().join("directory")).unwrap();
    for (arguments, parts) in [
        (&["missing"][..], ["missing: cannot be opened", "No such file"]),
        (&["directory"], ["directory: is a directory", "name the files in it"]),
        (&["text"], ["text: no entry of an access log in 2 lines", USAGE_OF_KUBECTL]),
        (&["empty"], ["empty: empty", USAGE_OF_KUBECTL]),
        (&["cut"], ["cut: no entry of an access log", USAGE_OF_KUBECTL]),
        (&["bad.gz"], ["bad.gz: the gzip data are damaged", "copy the file again"]),
        (&["--events", "none", "good"], ["none: cannot be opened", "No such file"]),
        (&["--events", "events", "good"], ["events: not one event", "--events-file"]),
    ] {
        let output = logs(files.path(), arguments, b"");
        let refusal = refusal(&output);
        assert!(output.stdout.is_empty());
        for part in parts {
            assert!(refusal.contains(part), "{part} is not in: {refusal}");
        }
    }
}

/// What came before counts, and the exit code says that it is not all.
#[test]
fn packed_data_that_end_early() {
    let files = Files::new();
    // Enough that some of it is unpacked before the end.
    let whole = gzip(PAGE.repeat(20_000).as_bytes());
    files.write("cut.gz", &whole[..whole.len() - 100]);
    let output = logs(files.path(), &["--json", "cut.gz"], b"");
    assert!(refusal(&output).contains("cut.gz: the gzip data are damaged or end early"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["no_filter_chain"].as_u64().unwrap() > 10_000);
    assert_eq!(report["unread"].as_array().unwrap().len(), 1);
}

/// 100 MB without one entry: one line, in a process that may have no more than 256 MiB of addresses.
#[test]
fn garbage_takes_no_memory() {
    let files = Files::new();
    let mut state = 1_u64;
    let mut garbage = vec![0; 100_000_000];
    for chunk in garbage.chunks_exact_mut(8) {
        // Xorshift: any bytes, the same each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    files.write("garbage", &garbage);
    garbage.fill(b'{');
    files.write("line", &garbage);
    for name in ["garbage", "line"] {
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 262144; exec \"$0\" logs \"$1\"", env!("CARGO_BIN_EXE_sni-probe"), name])
            .current_dir(files.path())
            .output()
            .unwrap();
        let refusal = refusal(&output);
        assert!(refusal.contains(&format!("{name}: no entry of an access log in")), "{refusal}");
    }
}
