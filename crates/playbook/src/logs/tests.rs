use std::fs;
use std::path::PathBuf;

use super::*;

const REFUSED: &str = r#"{"start_time":"2025-05-19T04:46:20.117Z","remote_address":"10.138.0.28:19432","status":0,"status_details":"filter_chain_not_found","upstream_response_flags":"NR","sni_host":null}"#;
const SERVED: &str = r#"{"start_time":"2025-05-19T04:46:21.117Z","remote_address":"10.138.0.29:1","request_method":"GET","status":200,"status_details":"via_upstream","sni_host":"a.example"}"#;
const EVENT: &str = r#"{"time":"2025-05-19T04:46:20.118000Z","interface":"eth0","client":"10.138.0.28:19432","peer":"10.138.0.28:19432","gateway":"10.0.0.5:443","sni":"present","server_name":"b.example","outcome":"reset_by_gateway"}"#;

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

#[test]
fn several_files_are_one_report() {
    let files = Files::new();
    let one = files.write("1.log", &format!("{REFUSED}\n{SERVED}\nother\n"));
    let two = files.write("2.log", REFUSED);
    let report = read(&Config::of(vec![one, two])).unwrap();
    assert_eq!((report.lines, report.entries, report.other_lines), (4, 3, 1));
    assert_eq!((report.served, report.no_filter_chain, report.sni_null), (1, 2, 2));
    assert_eq!(report.files.len(), 2);
    assert_eq!(report.unread, Vec::<String>::new());
}

/// An entry does not go on in the next file.
#[test]
fn a_file_that_is_cut_off() {
    let files = Files::new();
    let (head, tail) = REFUSED.split_at(50);
    let one = files.write("1.log", &format!("{SERVED}\n{head}"));
    let two = files.write("2.log", tail);
    let report = read(&Config::of(vec![one, two])).unwrap();
    assert_eq!((report.lines, report.entries, report.other_lines), (3, 1, 2));
}

#[test]
fn a_file_that_cannot_be_read_does_not_hinder_the_others() {
    let files = Files::new();
    let good = files.write("good.log", REFUSED);
    let missing = files.directory.path().join("missing.log");
    let report = read(&Config::of(vec![missing.clone(), good])).unwrap();
    assert_eq!((report.entries, report.unread.len()), (1, 1));
    assert!(report.unread[0].contains("missing.log: cannot be opened: No such file"), "{:?}", report.unread);
    let error = read(&Config::of(vec![missing])).unwrap_err();
    assert!(format!("{error:#}").contains("missing.log: cannot be opened"), "{error:#}");
}

#[test]
fn events_tell_what_a_null_was() {
    let files = Files::new();
    let mut config = Config::of(vec![files.write("a.log", REFUSED)]);
    config.events = vec![files.write("events.jsonl", EVENT)];
    let joined = read(&config).unwrap().joined.unwrap();
    assert_eq!((joined.events, joined.had_a_name, joined.really_without_sni), (1, 1, 0));
    config.events = vec![files.write("none.jsonl", REFUSED)];
    let error = format!("{:#}", read(&config).unwrap_err());
    assert!(error.contains("none.jsonl: not one event of sni-probe in 1 lines"), "{error}");
}

#[test]
fn a_file_among_others_that_is_no_log_is_told_and_an_empty_one_is_none() {
    let files = Files::new();
    let log = files.write("log", r#"{"status_details":"filter_chain_not_found","sni_host":null,"status":0,"remote_address":"10.138.0.28:19432","start_time":"2025-05-19T04:46:20.117Z","upstream_response_flags":"NR"}"#);
    let report =
        read(&Config::of(vec![log, files.write("garbage", "a\nb\n"), files.write("empty", "")])).unwrap();
    assert_eq!(report.no_filter_chain, 1);
    let [unread] = &report.unread[..] else { panic!("{:?}", report.unread) };
    assert!(unread.contains("garbage: no entry of an access log in 2 lines"), "{unread}");
}

#[test]
fn what_is_no_log_is_told_with_what_would_be() {
    let files = Files::new();
    for (text, part) in [("", "empty"), ("a\nb\n", "no entry of an access log in 2 lines")] {
        let error = read(&Config::of(vec![files.write("x", text)])).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(part) && error.contains("kubectl -n apigee logs"), "{error}");
    }
}
