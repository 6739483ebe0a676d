use super::*;
use crate::logs::entry::Kind;
use crate::logs::split::MAX_OBJECT_BYTES;

/// The entry of Google's page, as it is printed there.
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
}"#;

/// The same in one line, as the gateway writes it.
fn one_line() -> String {
    PAGE.lines().map(str::trim_start).collect()
}

/// The same with something before each line.
fn prefixed(prefix: &str) -> String {
    PAGE.lines().map(|line| format!("{prefix}{line}")).collect::<Vec<_>>().join("\n")
}

/// What entries are in the text, by kind and client; and how many other lines.
fn scan(text: &str) -> (Vec<(Kind, String)>, u64) {
    let mut scanner = Scanner::default();
    let mut entries = Vec::new();
    for line in text.lines() {
        scanner.take(&Line::Text(line.as_bytes()), &mut |entry, _| {
            entries.push((entry.kind(), entry.client.clone().unwrap_or_default().into_owned()));
        });
    }
    scanner.finish();
    (entries, scanner.other_lines)
}

fn the_page() -> (Kind, String) {
    (Kind::NoFilterChain, "10.138.0.28:19432".to_owned())
}

#[test]
fn the_example_of_the_page() {
    assert_eq!(scan(PAGE), (vec![the_page()], 0));
    assert_eq!(scan(&one_line()), (vec![the_page()], 0));
    assert_eq!(scan(&prefixed("    ")), (vec![the_page()], 0));
}

#[test]
fn as_kubectl_and_container_runtimes_print_it() {
    let line = one_line();
    let time = "2025-05-19T04:46:20.117123456Z";
    for prefix in [
        String::new(),
        "[pod/apigee-ingressgateway-ext-ingress-dvrcp/istio-proxy] ".to_owned(),
        format!("{time} "),
        format!("[pod/a/b] {time} "),
        format!("{time} stdout F "),
        "gateway-1  | ".to_owned(),
    ] {
        assert_eq!(scan(&format!("{prefix}{line}")), (vec![the_page()], 0), "{prefix}");
    }
    for prefix in ["[pod/a/b] ".to_owned(), format!("[pod/a/b] {time} "), format!("{time} stdout F ")] {
        assert_eq!(scan(&prefixed(&prefix)), (vec![the_page()], 0), "{prefix}");
    }
    let docker = serde_json::json!({ "log": format!("{line}\n"), "stream": "stdout", "time": time });
    assert_eq!(scan(&docker.to_string()), (vec![the_page()], 0));
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    let cloud = serde_json::json!([{ "jsonPayload": object, "logName": "x" }, { "textPayload": line }]);
    assert_eq!(scan(&serde_json::to_string_pretty(&cloud).unwrap()), (vec![the_page(), the_page()], 2));
}

#[test]
fn a_line_in_parts() {
    let line = one_line();
    let (first, rest) = line.split_at(200);
    let (second, third) = rest.split_at(17);
    let time = "2025-05-19T04:46:20.117123456Z";
    let text = format!("{time} stdout P {first}\n{time} stdout P {second}\n{time} stdout F {third}\n{line}");
    assert_eq!(scan(&text), (vec![the_page(), the_page()], 0));
}

#[test]
fn other_lines_between() {
    let line = one_line();
    let noise = "2025-05-19T04:46:20.1Z\tinfo\tenvoy config\tadded {\"cluster\": 1}";
    assert_eq!(scan(&format!("{noise}\n{line}\n\n{noise}\n{line}")), (vec![the_page(), the_page()], 3));
    // Also in the middle of an entry.
    let (head, tail) = PAGE.split_once("  \"bytes_sent\"").unwrap();
    let text = format!("{head}{noise}\n  \"bytes_sent\"{tail}\n{PAGE}");
    assert_eq!(scan(&text), (vec![the_page(), the_page()], 1));
}

#[test]
fn what_is_cut_off_is_no_entry_and_hides_none() {
    let line = one_line();
    for end in [1, 10, 100, line.len() - 1] {
        assert_eq!(scan(&format!("{}\n{line}\n{PAGE}", &line[..end])), (vec![the_page(); 2], 1), "{end}");
        assert_eq!(scan(&line[..end]), (vec![], 1), "{end}");
    }
    let lines: Vec<&str> = PAGE.lines().collect();
    for end in 1..lines.len() {
        let cut = lines[..end].join("\n");
        assert_eq!(scan(&cut), (vec![], end as u64));
        assert_eq!(scan(&format!("{cut}\n{PAGE}")), (vec![the_page()], end as u64));
    }
}

#[test]
fn an_object_without_end_is_bounded() {
    let mut scanner = Scanner::default();
    let line = format!("\"{}\",", "x".repeat(1000));
    let lines = 3 * MAX_OBJECT_BYTES / 1000;
    scanner.take(&Line::Text(b"{"), &mut |_, _| panic!("no entry"));
    for _ in 0..lines {
        scanner.take(&Line::Text(line.as_bytes()), &mut |_, _| panic!("no entry"));
        assert!(scanner.pending.splitter.kept() <= MAX_OBJECT_BYTES);
    }
    scanner.finish();
    assert_eq!(scanner.other_lines, lines as u64 + 1);
}

/// Elasticsearch, `CloudWatch` Logs: one object around all entries, in one line or over many.
#[test]
fn a_wrapper_that_is_longer_than_the_bound() {
    let line = one_line();
    let entries = 3 * MAX_OBJECT_BYTES / line.len();
    let events: Vec<String> =
        (0..entries).map(|_| serde_json::json!({ "message": line, "n": [1] }).to_string()).collect();
    for (text, separator) in
        [("{\"nextToken\":\"x\",\"events\":[", ""), ("[", ""), ("{\n  \"events\": [\n", "\n")]
    {
        let text = format!("{text}{}]}}\n", events.join(&format!(",{separator}")));
        let mut scanner = Scanner::default();
        let mut found = 0;
        for one in text.lines() {
            let pieces: Vec<&[u8]> = one.as_bytes().chunks(MAX_OBJECT_BYTES).collect();
            for (at, piece) in pieces.iter().enumerate() {
                let line = match (pieces.len(), at + 1 == pieces.len()) {
                    (1, _) => Line::Text(piece),
                    (_, true) => Line::LastPart(piece),
                    (_, false) => Line::Part(piece),
                };
                scanner.take(&line, &mut |_, _| found += 1);
            }
        }
        scanner.finish();
        assert_eq!((found, scanner.other_lines), (entries, 0));
    }
}

#[test]
fn a_long_line_that_is_no_json() {
    let mut scanner = Scanner::default();
    let text = vec![b'x'; MAX_OBJECT_BYTES];
    scanner.take(&Line::Part(&text), &mut |_, _| panic!("no entry"));
    scanner.take(&Line::Part(&text), &mut |_, _| panic!("no entry"));
    scanner
        .take(&Line::LastPart(b"{\"status\":0,\"response_flags\":\"NR\"}"), &mut |_, _| panic!("no entry"));
    assert_eq!((scanner.other_lines, scanner.pending.splitter.kept()), (1, 0));
    assert_eq!(scan(&one_line()), (vec![the_page()], 0));
}

proptest::proptest! {
    /// No bytes make it panic, and every line holds an entry or is counted as another.
    #[test]
    fn any_lines(lines in proptest::collection::vec("[\\[{}\"\\\\:, a2\\]-]{0,12}", 0..40)) {
        let mut scanner = Scanner::default();
        let mut entries = 0_u64;
        for line in &lines {
            scanner.take(&Line::Text(line.as_bytes()), &mut |_, _| entries += 1);
        }
        scanner.finish();
        proptest::prop_assert!(scanner.other_lines <= lines.len() as u64);
        proptest::prop_assert!(entries > 0 || scanner.other_lines == lines.len() as u64);
    }
}
