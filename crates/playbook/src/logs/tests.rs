use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

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

/// Lines of Envoy 1.40, put into each state: file, (served, no filter chain, null, present, not logged), kinds of failures.
#[test]
fn what_envoy_wrote() {
    type Counts = (u64, u64, u64, u64, u64);
    type Case = (&'static str, &'static str, Counts, &'static [(&'static str, u64)]);
    let cases: [Case; 5] = [
        (
            "listener",
            include_str!("testdata/envoy-1.40-listener.jsonl"),
            (0, 8, 4, 4, 0),
            &[("plain_http_client", 1), ("tls_mismatch", 1), ("upstream_unreachable", 1)],
        ),
        (
            "PROXY header",
            include_str!("testdata/envoy-1.40-proxy-header.jsonl"),
            (0, 0, 0, 0, 0),
            &[("no_reason", 3)],
        ),
        (
            "default format",
            include_str!("testdata/envoy-1.40-default.log"),
            (1, 9, 0, 0, 9),
            &[("no_reason", 2), ("upstream_unreachable", 1)],
        ),
        (
            "Istio's format",
            include_str!("testdata/envoy-1.40-istio.log"),
            (0, 0, 0, 0, 0),
            &[("upstream_unreachable", 1)],
        ),
        (
            "secret",
            include_str!("testdata/envoy-1.40-secret-missing.jsonl"),
            (0, 0, 0, 0, 0),
            &[("no_certificate", 8)],
        ),
    ];
    let files = Files::new();
    for (name, text, counts, kinds) in cases {
        let report = read(&Config::of(vec![files.write(name, text)])).unwrap();
        let LogsReport { served, no_filter_chain, sni_null, sni_present, sni_not_logged, .. } = report;
        assert_eq!((served, no_filter_chain, sni_null, sni_present, sni_not_logged), counts, "{name}");
        let found: Vec<(&str, u64)> =
            report.failure_kinds.iter().map(|kind| (kind.name.as_str(), kind.count)).collect();
        assert_eq!(found, kinds, "{name}");
        assert_eq!((report.other_lines, report.time_not_understood), (0, 0), "{name}");
        let has_no_reason = kinds.iter().any(|&(kind, _)| kind == "no_reason");
        assert_eq!(report.notes.len(), usize::from(has_no_reason), "{name}: {:?}", report.notes);
    }
}

/// Envoy 1.40: names in camel case, each form of `%START_TIME(…)%` beside the default, fingerprints, a client that left, a ClientHello over the
/// limit.
const FORMS: &str = include_str!("testdata/envoy-1.40-forms.jsonl");

#[test]
fn forms_of_envoy() {
    let files = Files::new();
    let report = read(&Config::of(vec![files.write("forms", FORMS)])).unwrap();
    assert_eq!((report.entries, report.no_filter_chain, report.sni_null, report.sni_present), (9, 2, 1, 1));
    assert_eq!((report.null_likely_without_sni, report.null_likely_with_sni), (1, 0));
    assert!(
        report
            .by_fingerprint
            .iter()
            .any(|one| one.likely.as_deref().is_some_and(|likely| likely.contains("OpenSSL")))
    );
    let kinds: Vec<(&str, u64)> =
        report.failure_kinds.iter().map(|kind| (kind.name.as_str(), kind.count)).collect();
    assert_eq!(
        kinds,
        [
            ("upstream_unreachable", 2),
            ("no_reason", 2),
            ("plain_http_client", 1),
            ("client_certificate_required", 1)
        ]
    );
    let failures: Vec<&str> = report.other_failures.iter().map(|failure| failure.name.as_str()).collect();
    for part in ["NC: ", "UH: ", "no reason logged", "HTTP_REQUEST", "PEER_DID_NOT_RETURN_A_CERTIFICATE"] {
        assert!(failures.iter().any(|failure| failure.contains(part)), "{part}: {failures:?}");
    }
}

/// Refusals without a name field are joined too; those without a port are said to be.
#[test]
fn events_of_refusals_without_a_name() {
    let nameless = REFUSED.replace(",\"sni_host\":null", "");
    let haproxy =
        "h haproxy[1]: 10.138.0.28:19432 [19/May/2025:04:46:20.117] fe fe/<NOSRV> -1/-1/0 0 SC 1/1/0/0/0 0/0";
    let envoy = "[2025-05-19 04:46:20.117][32][debug][conn_handler] [x.cc:321] closing connection from 10.138.0.28:19432: no matching filter chain found";
    let cri = format!("2025-05-19T04:46:20.117Z stderr F {envoy}");
    let without_port = REFUSED.replace(":19432", "");
    let scheme = REFUSED.replace("10.138.0.28", "tcp://10.138.0.28");
    let files = Files::new();
    for (line, joined_by_address, without) in [
        (&*nameless, 0, 0),
        (haproxy, 1, 0),
        (envoy, 1, 0),
        (&*cri, 0, 0),
        (&*scheme, 0, 0),
        (&*without_port, 0, 1),
    ] {
        let mut config = Config::of(vec![files.write("a.log", line)]);
        config.events = vec![files.write("events.jsonl", EVENT)];
        let report = read(&config).unwrap();
        let joined = report.joined.as_ref().unwrap();
        assert_eq!((joined.had_a_name, joined.by_address_alone), (1 - without, joined_by_address), "{line}");
        assert_eq!((joined.not_seen, joined.without_port), (0, without), "{line}");
        let text = show::show(&report, false);
        assert_eq!(text.contains("no address and port of the client"), without == 1, "{text}");
        assert!(!text.contains("were not seen"), "{text}");
    }
}

/// Envoy's `omit_empty_values`: what is null is not there. Other entries of the file have the name.
#[test]
fn nulls_that_are_left_out() {
    let omitted = r#"{"start_time":"2025-05-19T04:46:20.117Z","remote_address":"10.138.0.28:19432","status":0,"status_details":"filter_chain_not_found","upstream_response_flags":"NR"}"#;
    let with_null = omitted.replace('{', "{\"method\":null,");
    let files = Files::new();
    for (lines, null, not_logged) in [
        (vec![omitted, SERVED], 1, 0),
        (vec![SERVED, omitted, omitted], 2, 0),
        (vec![omitted], 0, 1),
        (vec![&*with_null, SERVED], 0, 1),
    ] {
        let report = read(&Config::of(vec![files.write("a.log", &lines.join("\n"))])).unwrap();
        assert_eq!((report.sni_null, report.sni_not_logged), (null, not_logged), "{lines:?}");
        assert_eq!(report.notes.len(), usize::from(null > 0), "{:?}", report.notes);
    }
    // One file says nothing of the next.
    let report =
        read(&Config::of(vec![files.write("a.log", SERVED), files.write("b.log", omitted)])).unwrap();
    assert_eq!((report.sni_null, report.sni_not_logged), (0, 1));
}

#[test]
fn answers_without_entries_are_a_note() {
    let files = Files::new();
    let good = files.write("good.log", REFUSED);
    for text in ["[]\n", "\n\n", r#"{"status":"success","data":{"resultType":"streams","result":[]}}"#] {
        let other = files.write("other.log", text);
        let report = read(&Config::of(vec![other.clone(), good.clone()])).unwrap();
        assert_eq!((report.unread.len(), report.notes.len()), (0, 1), "{text}: {:?}", report.notes);
        let error = read(&Config::of(vec![other])).unwrap_err();
        assert!(error.is::<NothingWritten>(), "{text}: {error:#}");
    }
}

#[test]
fn forms_of_the_start_time() {
    let mut seen = 0;
    for line in FORMS.lines() {
        let serde_json::Value::Object(fields) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        let start = time::parse(fields["startTime"].as_str().unwrap()).unwrap();
        for (name, value) in fields.iter().filter(|(name, _)| name.len() < 4 && name.starts_with('t')) {
            let parsed = time::parse(value.as_str().unwrap());
            // `%D`: the month or the day comes first.
            assert_eq!(
                parsed.map(Timestamp::as_second),
                (name != "t12").then(|| start.as_second()),
                "{value}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 9 * 12);
}

#[test]
fn a_time_that_is_not_understood_is_reported_and_joined_by_address_alone() {
    let files = Files::new();
    let odd = REFUSED.replace("2025-05-19T04:46:20.117Z", "04:46:20");
    let mut config = Config::of(vec![files.write("a.log", &odd)]);
    config.events = vec![files.write("events.jsonl", EVENT)];
    let report = read(&config).unwrap();
    assert_eq!((report.entries, report.time_not_understood, report.first), (1, 1, None));
    assert!(report.notes[0].contains("\"04:46:20\""), "{:?}", report.notes);
    let joined = report.joined.as_ref().unwrap();
    assert_eq!((joined.had_a_name, joined.by_address_alone), (1, 1));
    let text = show::show(&report, false);
    assert!(text.contains("by address and port alone") && !text.contains("at that time"), "{text}");
}

#[test]
fn fingerprints_become_likely_software() {
    let files = Files::new();
    let table = include_str!("../../../core/src/software.tsv");
    let (ja4, software) = table
        .lines()
        .skip(1)
        .find_map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            (columns[0].as_bytes().get(3) == Some(&b'i'))
                .then(|| (columns[0].to_owned(), columns[2].to_owned()))
        })
        .unwrap();
    let with = |ja4: &str| REFUSED.replace('{', &format!("{{\"tls_ja4_fingerprint\":\"{ja4}\","));
    let text = format!("{}\n{}\n{}\n", with(&ja4), with(&ja4), with("t13d1516h2_8daaf6152771_02713d6af862"));
    let report = read(&Config::of(vec![files.write("a.log", &text)])).unwrap();
    assert_eq!((report.null_likely_without_sni, report.null_likely_with_sni), (2, 1));
    let first = &report.by_fingerprint[0];
    assert_eq!(
        (first.ja4.as_deref(), first.likely.as_deref(), first.count),
        (Some(&*ja4), Some(&*software), 2)
    );
    assert_eq!(report.by_fingerprint[1].likely, None);
}

/// Caddy writes two lines for one refusal.
#[test]
fn lines_of_other_programs() {
    let files = Files::new();
    let text = "\
        {\"level\":\"debug\",\"ts\":1738288766.11,\"logger\":\"tls.handshake\",\"msg\":\"no certificate matching TLS ClientHello\",\"server_name\":\"\",\"remote\":\"192.0.2.202:59396\"}\n\
        {\"level\":\"debug\",\"ts\":1738288766.12,\"logger\":\"http.stdlib\",\"msg\":\"http: TLS handshake error from 192.0.2.202:59396: no certificate available for '10.0.0.79'\"}\n\
        time=\"2020-09-19T01:41:43Z\" level=debug msg=\"http: TLS handshake error from 192.0.2.1:36436: strict SNI enabled - No certificate found for domain: \\\"b.example\\\", closing connection\"\n\
        time=\"2020-09-19T01:41:43Z\" level=info msg=\"Configuration loaded\"\n\
        2023/05/01 10:00:00 [info] 29#29: *1 SSL_do_handshake() failed (SSL: error:0A0000EA) while SSL handshaking, client: 192.0.2.5, server: 0.0.0.0:443\n";
    let report = read(&Config::of(vec![files.write("a.log", text)])).unwrap();
    assert_eq!((report.entries, report.no_filter_chain, report.sni_null, report.sni_present), (3, 2, 1, 1));
    assert_eq!((report.lines, report.other_lines, report.other_failures.len()), (5, 1, 1));
    assert_eq!(report.by_name[0].name, "b.example");
    let programs: Vec<&str> = report.by_program.iter().map(|program| program.name.as_str()).collect();
    assert_eq!(programs, ["Caddy", "Traefik", "nginx"]);
    assert_eq!((report.time_not_understood, report.without_time), (0, 0));
}

#[test]
fn names_that_are_no_host_names() {
    let files = Files::new();
    let text = REFUSED.replace("\"sni_host\":null", "\"sni_host\":\"invalid:198.51.100.7:8443\"");
    let report = read(&Config::of(vec![files.write("a.log", &text)])).unwrap();
    assert_eq!(
        (report.no_filter_chain, report.sni_invalid, report.sni_present, report.sni_null),
        (1, 1, 0, 0)
    );
    assert_eq!(report.by_invalid_name[0].name, "198.51.100.7:8443");
    assert!(report.by_name.is_empty());
}

#[test]
fn nothing_is_written_yet() {
    let files = Files::new();
    let (empty, missing) = (files.write("empty", ""), files.directory.path().join("missing"));
    for paths in [vec![empty.clone()], vec![missing.clone()], vec![empty, missing]] {
        let error = read(&Config::of(paths)).unwrap_err();
        assert!(error.is::<NothingWritten>(), "{error:#}");
    }
    let error =
        read(&Config::of(vec![files.write("x", "x\n"), files.directory.path().join("missing")])).unwrap_err();
    assert!(!error.is::<NothingWritten>(), "{error:#}");
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
    let [note] = &report.notes[..] else { panic!("{:?}", report.notes) };
    assert!(note.contains("empty is empty"), "{note}");
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
