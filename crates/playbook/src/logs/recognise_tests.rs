use super::*;
use crate::logs::entry::Kind;

const TEXT: &str = "[2025-05-19T04:46:20.117Z] \"- - -\" 0 NR filter_chain_not_found - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - 10.0.0.5:8443 198.51.100.28:19432 - -";
const JSON: &str = r#"{"start_time":"2025-05-19T04:46:20.117Z","remote_address":"198.51.100.28:19432","status":0,"status_details":"filter_chain_not_found","upstream_response_flags":"NR","sni_host":null}"#;

/// The kinds, clients and times of the entries of a line.
fn entries(content: &str) -> Vec<(Kind, String, String)> {
    let mut all = Vec::new();
    let found = line(content.as_bytes(), None, &mut |entry, _| {
        let text = |field: &Option<Cow<'_, str>>| field.as_deref().unwrap_or_default().to_owned();
        all.push((entry.kind(), text(&entry.client), text(&entry.time)));
    });
    assert_eq!(found.count(), all.len() as u64, "{content}");
    all
}

fn refused() -> (Kind, String, String) {
    (Kind::NoFilterChain, "198.51.100.28:19432".to_owned(), "2025-05-19T04:46:20.117Z".to_owned())
}

/// What shippers make of a line, with the line in the place of `LINE` (a JSON string) or `OBJECT` (an object).
const WRAPPERS: [&str; 39] = [
    // Docker, containerd's JSON, Fluentd, Fluent Bit.
    r#"{"log":LINE,"stream":"stdout","time":"2025-05-19T04:46:21Z"}"#,
    r#"{"@timestamp":"2025-05-19T04:46:21Z","_p":"F","log_processed":OBJECT,"kubernetes":{"pod_name":"gw-1"}}"#,
    r#"{"log":LINE,"log_processed":OBJECT}"#,
    r#"[1747629980.117,{"log":LINE}]"#,
    // Filebeat, Logstash, Vector, stern, journald, Elasticsearch.
    r#"{"@timestamp":"2025-05-19T04:46:21Z","message":LINE,"host":{"name":"n1"}}"#,
    r#"{"event":{"original":LINE},"message":LINE}"#,
    r#"{"message":LINE,"nodeName":"n1","containerName":"istio-proxy"}"#,
    r#"{"MESSAGE":LINE,"_HOSTNAME":"n1","__REALTIME_TIMESTAMP":"1747629980117000"}"#,
    r#"{"_index":"x","_source":{"message":LINE}}"#,
    r#"{"took":1,"hits":{"total":{"value":1},"hits":[{"_source":OBJECT}]}}"#,
    // Cloud Logging, CloudWatch Logs, Azure.
    r#"{"insertId":"1","jsonPayload":OBJECT,"timestamp":"2025-05-19T04:46:21Z"}"#,
    r#"{"insertId":"1","textPayload":LINE}"#,
    r#"{"events":[{"timestamp":1747629980117,"message":LINE,"logStreamName":"x"}]}"#,
    r#"{"logEvents":[{"id":"1","timestamp":1747629980117,"message":LINE}]}"#,
    r#"{"records":[{"time":"2025-05-19T04:46:21Z","properties":{"log":LINE}}]}"#,
    r#"{"LogEntry":LINE,"PodName":"gw-1"}"#,
    // Splunk, Loki, Datadog.
    r#"{"preview":false,"offset":0,"result":{"_raw":LINE,"_time":"2025-05-19 04:46:21"}}"#,
    r#"{"labels":{"app":"gw"},"line":LINE,"timestamp":"2025-05-19T04:46:21Z"}"#,
    r#"{"streams":[{"stream":{"app":"gw"},"values":[["1747629980117000000",LINE]]}]}"#,
    r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{},"values":[["1747629980117000000",LINE]]}]}}"#,
    r#"{"id":"1","content":{"message":LINE,"attributes":{}}}"#,
    // OpenTelemetry.
    r#"{"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1747629980117000000","body":{"stringValue":LINE},"attributes":[]}]}]}]}"#,
    r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"},"attributes":[{"key":"start_time","value":{"stringValue":"2025-05-19T04:46:20.117Z"}},{"key":"response_flags","value":{"stringValue":"NR"}},{"key":"downstream_remote_address","value":{"stringValue":"198.51.100.28:19432"}}]}]}]}]}"#,
    r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1747629980117000000","body":{"kvlistValue":{"values":[{"key":"requested_server_name","value":{}},{"key":"start_time","value":{"stringValue":"2025-05-19T04:46:20.117Z"}},{"key":"response_flags","value":{"stringValue":"NR"}},{"key":"downstream_remote_address","value":{"stringValue":"198.51.100.28:19432"}}]}}}]}]}]}"#,
    // Graylog, LogScale, rsyslog, Kafka Connect, journald, Kibana, CloudWatch Logs Insights, Fluent Bit's stdout, CSV.
    r#"{"version":"1.1","host":"gw","short_message":LINE,"level":6}"#,
    r#"{"version":"1.1","host":"gw","short_message":"x","full_message":LINE}"#,
    r#"{"@rawstring":LINE,"@timestamp":1747629980117,"@timezone":"Z"}"#,
    r#"{"rawmsg":LINE,"hostname":"n1"}"#,
    r#"{"schema":{},"payload":LINE}"#,
    r#"{"entry":LINE,"ts":"2025-05-19T04:46:21Z"}"#,
    r#"{"MESSAGE":BYTES,"_HOSTNAME":"n1"}"#,
    r#"{"_index":"x","fields":{"message":[LINE],"@timestamp":["2025-05-19T04:46:21Z"]}}"#,
    r#"{"_index":"x","fields":{"response_flags":["NR"],"remote_address":["198.51.100.28:19432"],"start_time":["2025-05-19T04:46:20.117Z"]}}"#,
    r#"{"results":[[{"field":"@timestamp","value":"2025-05-19 04:46:21.117"},{"field":"@message","value":LINE},{"field":"@ptr","value":"a"}]]}"#,
    r#"[0] kube.var.log: [[1747629980.117, {}], {"log"=>LINE, "stream"=>"stdout"}]"#,
    // In two wrappers, with a label or a name before it, in a list.
    r#"{"message":"{\"log\":\"{\\\"response_flags\\\":\\\"NR\\\",\\\"remote_address\\\":\\\"198.51.100.28:19432\\\",\\\"start_time\\\":\\\"2025-05-19T04:46:20.117Z\\\"}\\n\"}"}"#,
    "[OBJECT]",
    r#"[{"message":LINE}]"#,
    "[LINE]",
];

#[test]
fn wrappers() {
    for wrapper in WRAPPERS {
        for line in [TEXT, JSON] {
            let quoted = |suffix: &str| serde_json::to_string(&format!("{line}{suffix}")).unwrap();
            for suffix in ["", "\n"] {
                let bytes = format!("{:?}", format!("{line}{suffix}").as_bytes());
                let text =
                    wrapper.replace("LINE", &quoted(suffix)).replace("OBJECT", JSON).replace("BYTES", &bytes);
                assert_eq!(entries(&text), [refused()], "{text}");
            }
        }
    }
}

#[test]
fn what_stands_before_an_entry() {
    for before in [
        "",
        "ACCESS ",
        "gateway-1  | ",
        "apigee-ingressgateway-7b4-xk2 istio-proxy ",
        "May 19 04:46:20 node1 envoy[123]: ",
        "<134>May 19 04:46:20 node1 envoy[123]: ",
        "2025-05-19T04:46:21Z {app=\"gw\", pod=\"gw-1\"} ",
        "{app=\"g}w\", pod=\"a{b\"} ",
        "{} ",
        "{app=\"gw\"} {} ",
        "\u{1b}[32mgw-1\u{1b}[0m | ",
        "level=x {\"a\":1} ",
    ] {
        for line in [TEXT, JSON] {
            assert_eq!(entries(&format!("{before}{line}")), [refused()], "{before}{line}");
        }
    }
}

/// Lines of CSV, with the doubled quotes of its fields.
#[test]
fn fields_of_csv() {
    for line in [TEXT, JSON] {
        let quoted = line.replace('"', "\"\"");
        for text in [
            format!("\"2025-05-19T04:46:21Z\",\"{quoted}\""),
            format!("2025-05-19T04:46:21Z,\"{quoted}\",gw-1"),
            format!("\"{quoted}\""),
        ] {
            assert_eq!(entries(&text), [refused()], "{text}");
        }
    }
}

/// A line that has no time has that of what stands before it.
#[test]
fn times_before_a_line() {
    let timeless = JSON.replace("\"start_time\":\"2025-05-19T04:46:20.117Z\",", "");
    let quoted = timeless.replace('"', "\"\"");
    let ruby = timeless.replace('"', "\\\"");
    for text in [
        format!("<14>1 2025-05-19T04:46:20.117Z host envoy 123 - {timeless}"),
        format!("gw-1  | 2025-05-19T04:46:20.117Z {timeless}"),
        format!("x,2025-05-19T04:46:20.117Z,\"{quoted}\""),
        format!("[0] t: [2025-05-19T04:46:20.117Z, {{\"log\"=>\"{ruby}\"}}]"),
    ] {
        assert_eq!(entries(&text), [refused()], "{text}");
    }
    let mut all = Vec::new();
    line(timeless.as_bytes(), Some("2025-05-19T04:46:20.117Z"), &mut |entry, _| all.push(entry.timestamp()));
    assert_eq!(all, ["2025-05-19T04:46:20.117Z".parse().ok()]);
}

/// Each container of an object counts, but a line that two fields of a shipper have counts once.
#[test]
fn several_containers() {
    let other = JSON.replace("28:19432", "61:2");
    for (text, count) in [
        (format!(r#"{{"gw-1":[{JSON}],"gw-2":[{other}]}}"#), 2),
        (format!(r#"{{"gw-1":{JSON},"gw-2":{other}}}"#), 2),
        (
            format!(
                r#"{{"results":{{"A":{{"frames":[{{"data":{{"values":[[1],[{JSON}]]}}}}]}},"B":{{"frames":[{{"data":{{"values":[[1],[{other}]]}}}}]}}}}}}"#
            ),
            2,
        ),
        (
            format!(
                r#"{{"_source":{JSON},"fields":{{"remote_address":["198.51.100.28:19432"],"response_flags":["NR"]}}}}"#
            ),
            1,
        ),
        (format!(r#"{{"x":{JSON},"y":{JSON}}}"#), 1),
    ] {
        assert_eq!(entries(&text).len(), count, "{text}");
    }
}

/// Depth in one text and over several texts is bounded.
#[test]
fn objects_without_end() {
    for depth in [20, 60, 120] {
        let text = format!("{}{JSON}{}", "{\"a\":[".repeat(depth / 2), "]}".repeat(depth / 2));
        assert_eq!(entries(&text).len(), usize::from(depth == 20), "{depth}");
    }
    let mut text = "x".to_owned();
    for _ in 0..7 {
        text = format!("{}{}{}", "[".repeat(100), serde_json::Value::String(text), "]".repeat(100));
        assert_eq!(entries(&text), []);
    }
}

#[test]
fn several_objects_in_a_line() {
    for (before, between, after) in
        [("", "", ""), ("", " ", ""), ("", ",", ","), ("[", ",", "]"), ("[", ", ", ""), ("x | ", " ", "")]
    {
        assert_eq!(
            entries(&format!("{before}{JSON}{between}{JSON}{after}")),
            [refused(), refused()],
            "{before}{between}{after}"
        );
    }
    // What follows them is not lost, and does not hide them.
    assert_eq!(entries(&format!("{JSON} rest")), [refused()]);
}

#[test]
fn an_entry_without_a_time_has_that_of_its_wrapper() {
    let line = r#"{\"response_flags\":\"NR\",\"remote_address\":\"198.51.100.28:19432\"}"#;
    let text = format!(r#"{{"message":"{line}","timestamp":"2025-05-19T04:46:20.117Z"}}"#);
    assert_eq!(entries(&text), [refused()]);
}

/// A text in a field that is a client's is not a line of the log.
#[test]
fn texts_of_clients() {
    for field in ["user_agent", "path", "labels", "request_path"] {
        let text =
            serde_json::json!({ "level": "info", field: TEXT, "list": [1], "tags": [TEXT] }).to_string();
        assert_eq!(entries(&text), [], "{text}");
    }
}

#[test]
fn wrappers_without_end() {
    let mut text = JSON.to_owned();
    for level in 0..20 {
        assert_eq!(entries(&text).len(), usize::from(level <= MAX_WRAPPERS as usize), "{level}");
        text = serde_json::json!({ "message": text }).to_string();
        // Each level escapes what the last one escaped.
        if text.len() > 1 << 22 {
            break;
        }
    }
    for bomb in ["{", "{a", "{\"a\":", "[", "[{", "[\"", "{}", "{}{a}", "[] \"", "a=", "] \"[", "\u{1b}["] {
        let _ = line(bomb.repeat(50_000).as_bytes(), None, &mut |_, _| panic!("{bomb}"));
    }
}

#[test]
fn cut_off_lines_go_on_or_are_nothing() {
    for end in 0..JSON.len() {
        let found = line(&JSON.as_bytes()[..end], None, &mut |_, _| panic!("{end}"));
        assert_eq!(found, if end == 0 { Found::Nothing } else { Found::Unfinished });
    }
}

proptest::proptest! {
    #[test]
    fn any_line(text in "[\\[{}\"\\\\:, a2=\\]-]{0,60}") {
        let _ = line(text.as_bytes(), None, &mut |_, _| ());
    }

    /// No change of a byte makes it panic.
    #[test]
    fn changed_wrappers(wrapper in 0..WRAPPERS.len(), at in 0_usize..2000, byte in 0_u8..) {
        let quoted = serde_json::to_string(TEXT).unwrap();
        let mut text = WRAPPERS[wrapper].replace("LINE", &quoted).replace("OBJECT", JSON).into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let _ = line(&text, None, &mut |_, _| ());
    }
}
