//! What a file looks like that has no entry, and the command that makes the right one.

use memchr::memmem;

/// Lines of a file that are looked at.
const MAX_LINES: u32 = 200;

/// Bytes of a line that are looked at.
const MAX_LINE_BYTES: usize = 4096;

/// What files look like. In the order in which a line is asked: what is certain first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Capture,
    Packed,
    Events,
    MeshRequests,
    CloudYaml,
    EnvoyDebug,
    IstioProxy,
    OwnFormat,
    Manifest,
    KubectlTable,
    Metrics,
    NginxErrors,
    HaProxy,
    Caddy,
    Traefik,
    HttpAccess,
    Html,
    Csv,
    Json,
    Binary,
}

/// Each with what to say: what it is, and what to do.
const LOOKS: [(Look, &str); 20] = [
    (Look::Capture, "a packet capture; read it with: sni-probe replay FILE"),
    (
        Look::Packed,
        "compressed data that is neither gzip nor zstd; unpack it first, such as: xz -dc FILE | sni-probe logs -",
    ),
    (Look::Events, "sni-probe's events; join them with a log: sni-probe logs --events FILE access.log"),
    (
        Look::MeshRequests,
        "Cloud Service Mesh's log of requests, which has no connection that was refused before a request; get the gateway's access log from its stdout: gcloud logging read 'log_id(\"stdout\") AND resource.labels.container_name=\"istio-proxy\"' --format=json",
    ),
    (
        Look::CloudYaml,
        "YAML as gcloud prints it; get JSON with: gcloud logging read FILTER --format=json > access.json",
    ),
    (
        Look::EnvoyDebug,
        "Envoy's debug log, not its access log; name an access log in the listener (access_log with a FileAccessLog), in Istio with: istioctl install --set meshConfig.accessLogFile=/dev/stdout",
    ),
    (
        Look::IstioProxy,
        "the log of Istio's proxy without an access log; switch the access log on: istioctl install --set meshConfig.accessLogFile=/dev/stdout",
    ),
    (
        Look::OwnFormat,
        "an access log of Envoy in a log format of its own; use JSON or the default format, in Istio with: istioctl install --set meshConfig.accessLogEncoding=JSON",
    ),
    (Look::Manifest, "a Kubernetes manifest; read it with: sni-probe routes --file FILE"),
    (Look::KubectlTable, "what kubectl get or describe prints; get the log with: kubectl logs"),
    (Look::Metrics, "Prometheus metrics; read them with: sni-probe diagnose --metrics FILE"),
    (
        Look::NginxErrors,
        "an error log of nginx without a failed handshake; nginx writes them at level info: error_log /var/log/nginx/error.log info;",
    ),
    (
        Look::HaProxy,
        "a log of HAProxy without a failed handshake; see them on the wire: sni-probe run, or sni-probe replay CAPTURE",
    ),
    (
        Look::Caddy,
        "a log of Caddy without a refused handshake; Caddy writes them at level DEBUG (global option: debug). Or see them on the wire: sni-probe run",
    ),
    (
        Look::Traefik,
        "a log of Traefik without a refused handshake; Traefik writes them at level DEBUG: --log.level=DEBUG. Or see them on the wire: sni-probe run",
    ),
    (
        Look::HttpAccess,
        "an access log of HTTP requests (nginx, Apache, Traefik), which has no client that was refused in the handshake; see them on the wire: sni-probe run, or sni-probe replay CAPTURE",
    ),
    (Look::Html, "an HTML page, not a log; download the log itself"),
    (Look::Csv, "CSV; export it as JSON, such as: gcloud logging read FILTER --format=json"),
    (
        Look::Json,
        "JSON without the fields of an access log; it needs response_flags or response_code_details, downstream_remote_address, requested_server_name and start_time (docs/log-formats.md)",
    ),
    (Look::Binary, "binary data, not a log"),
];

/// Bytes of a file that may be an answer without entries.
const MAX_ANSWER_BYTES: usize = 4096;

/// Counts what the first lines of a file look like.
#[derive(Debug, Default)]
pub(super) struct Hints {
    lines: u32,
    /// What may be an answer of a log store without entries.
    answer: Answer,
    votes: [u32; LOOKS.len()],
}

impl Hints {
    /// Looks at a line, if it is one of the first.
    #[inline]
    pub(super) fn see(&mut self, line: &[u8]) {
        if self.lines < MAX_LINES {
            self.look(line);
        }
        self.answer.see(line);
    }

    /// Whether the file has blank lines alone, or is an answer of a log store that found nothing (`[]`, `"result":[]`).
    pub(super) fn has_nothing(&self) -> bool {
        self.answer.is_empty()
    }

    fn look(&mut self, line: &[u8]) {
        let is_first = self.lines == 0;
        self.lines += 1;
        let look = look(&line[..line.len().min(MAX_LINE_BYTES)], is_first);
        if let Some(index) = LOOKS.iter().position(|&(known, _)| Some(known) == look) {
            self.votes[index] += 1;
        }
    }

    /// What the file looks like, and what to do.
    pub(super) fn sentence(&self) -> Option<&'static str> {
        // Of JSON and of bytes each line says little: any other look is better.
        let strong = LOOKS.len() - 2;
        let best = |range: std::ops::Range<usize>| {
            range.rev().max_by_key(|&index| self.votes[index]).filter(|&index| self.votes[index] > 0)
        };
        best(0..strong).or_else(|| best(strong..LOOKS.len())).map(|index| LOOKS[index].1)
    }
}

/// The file, if it is short.
#[derive(Debug, Default)]
struct Answer {
    text: Vec<u8>,
    is_long: bool,
}

/// Fields in which log stores give out what they found.
const RESULTS: [&str; 8] = ["result", "results", "hits", "events", "streams", "entries", "logEvents", "data"];

impl Answer {
    #[inline]
    fn see(&mut self, line: &[u8]) {
        if !self.is_long {
            let line = line.trim_ascii();
            self.is_long = self.text.len() + line.len() > MAX_ANSWER_BYTES;
            if !self.is_long {
                self.text.extend_from_slice(line);
            }
        }
    }

    fn is_empty(&self) -> bool {
        use serde_json::Value;
        // Whether a list of results is empty, and none has anything.
        fn is_without_results(value: &Value) -> bool {
            let Value::Object(fields) = value else { return false };
            let mut results = fields.iter().filter(|(name, _)| RESULTS.contains(&name.as_str())).peekable();
            results.peek().is_some()
                && results.all(|(_, value)| match value {
                    Value::Array(list) => list.is_empty(),
                    other => is_without_results(other),
                })
        }
        if self.is_long {
            return false;
        }
        self.text.is_empty()
            || serde_json::from_slice(&self.text).is_ok_and(|value: Value| {
                value.as_array().is_some_and(Vec::is_empty) || is_without_results(&value)
            })
    }
}

fn look(line: &[u8], is_first: bool) -> Option<Look> {
    if is_first {
        let begins = |marks: &[&[u8]]| marks.iter().any(|mark| line.starts_with(mark));
        if begins(&[b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"]) {
            return Some(Look::Capture);
        }
        if begins(&[b"\xfd7zXZ", b"BZh", b"\x04\"M\x18", b"PK\x03\x04", b"7z\xbc\xaf"]) {
            return Some(Look::Packed);
        }
        if begins(&[b"<!DOCTYPE", b"<!doctype", b"<html", b"<?xml"]) {
            return Some(Look::Html);
        }
        if line.contains(&b',')
            && !line.contains(&b'{')
            && [
                &b"insertId"[..],
                b"textPayload",
                b"jsonPayload",
                b"@message",
                b"timestamp,",
                b"_raw",
                b"Message",
                b"message",
            ]
            .iter()
            .any(|column| memmem::find(line, column).is_some())
        {
            return Some(Look::Csv);
        }
    }
    // The second line of pcapng: its mark is a line end and this.
    if line.starts_with(b"\r\r") {
        return Some(Look::Capture);
    }
    let text = std::str::from_utf8(line).ok().filter(|text| !text.contains('\0'));
    let Some(text) = text.map(str::trim_end) else { return Some(Look::Binary) };
    look_at_text(text)
}

fn look_at_text(text: &str) -> Option<Look> {
    let trimmed = text.trim_start();
    let has = |words: &[&str]| words.iter().any(|words| text.contains(words));
    let begins = |words: &[&str]| words.iter().any(|words| text.starts_with(words));
    let is_json = trimmed.starts_with('{') || trimmed.starts_with("[{") || trimmed == "[";
    // One that is cut off may have the fields after the cut.
    let is_whole = trimmed.trim_end_matches([',', ']']).ends_with('}');
    if has(&["\"outcome\":"]) && has(&["\"sni\":"]) {
        Some(Look::Events)
    } else if has(&["accesslog-stackdriver"]) {
        Some(Look::MeshRequests)
    } else if begins(&["insertId:", "jsonPayload:", "textPayload:", "receiveTimestamp:"]) {
        Some(Look::CloudYaml)
    } else if has(&["][debug][", "][info][", "][warning][", "][trace][", "][critical]["])
        || ["debug", "info", "warning", "error"]
            .iter()
            .any(|level| text.contains(&format!("\t{level}\tenvoy")))
    {
        Some(Look::EnvoyDebug)
    } else if is_istio_proxy(text) {
        Some(Look::IstioProxy)
    } else if begins(&["apiVersion:", "kind: "]) {
        Some(Look::Manifest)
    } else if begins(&["NAME "]) || begins(&["Name:         ", "Namespace:  "]) {
        Some(Look::KubectlTable)
    } else if begins(&["# HELP ", "# TYPE "]) {
        Some(Look::Metrics)
    } else if is_nginx_error(text) {
        Some(Look::NginxErrors)
    } else if has(&["haproxy[", "<NOSRV>", " haproxy: "]) {
        Some(Look::HaProxy)
    } else if has(&[
        "\"logger\":\"tls",
        "\"logger\":\"http",
        "\thttp.log",
        "\ttls.",
        "\tadmin\t",
        "\"logger\":\"admin",
    ]) {
        Some(Look::Caddy)
    } else if has(&[
        "level=debug msg=",
        "level=info msg=",
        "level=error msg=",
        "\"routerName\"",
        "\"entryPointName\"",
        "\"RouterName\"",
        "\"entryPointName=",
        "traefik",
    ]) {
        Some(Look::Traefik)
    } else if has(&["] \"GET ", "] \"POST ", "] \"HEAD ", "] \"PUT ", "] \"OPTIONS "]) && has(&[" - "])
        || has(&["\"remote_addr\"", "\"request_uri\""])
    {
        Some(Look::HttpAccess)
    } else if !is_json
        && has(&[
            " NR ",
            "=NR ",
            " UF ",
            "UF,URX",
            "filter_chain_not_found",
            "via_upstream",
            "response_flags",
        ])
    {
        Some(Look::OwnFormat)
    } else if is_json && is_whole {
        Some(Look::Json)
    } else {
        None
    }
}

/// A time, a level and a message between tabs, as istio-agent and istiod write.
fn is_istio_proxy(text: &str) -> bool {
    let mut columns = text.split('\t');
    let time = columns.next().and_then(|time| time.rsplit(' ').next()).unwrap_or_default();
    let level = columns.next().unwrap_or_default();
    matches!(level, "debug" | "info" | "warn" | "error" | "fatal")
        && time.len() > 20
        && time.ends_with('Z')
        && time.as_bytes().get(10) == Some(&b'T')
        && columns.next().is_some_and(|column| !column.starts_with("http"))
}

/// `2023/05/01 10:00:00 [error] 29#29: `.
fn is_nginx_error(text: &str) -> bool {
    let Some((head, _)) = text.split_once(": ") else { return false };
    let Some((process, thread)) = head.rsplit(' ').next().and_then(|word| word.split_once('#')) else {
        return false;
    };
    head.contains(" [")
        && [process, thread]
            .iter()
            .all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_has_a_sentence_in_order() {
        for (index, (look, _)) in LOOKS.iter().enumerate() {
            assert_eq!(*look as usize, index, "{look:?}");
        }
    }

    #[test]
    fn what_files_look_like() {
        for (text, part) in [
            ("\u{a1}", None),
            ("hello\nworld\n", None),
            ("---\ninsertId: a\njsonPayload:\n  bytes_received: 0\n", Some("--format=json")),
            (
                "[2020-08-07 23:50:10.468][32][debug][filter] [source/x.cc:148] tls:onServerName()",
                Some("Envoy's debug log"),
            ),
            ("2025-05-19T04:46:20.117Z\tinfo\tenvoy config\tadded", Some("Envoy's debug log")),
            (
                "[2020-08-25T17:23:01.100Z] listener 0 NR 10.0.0.5:10000 198.51.100.7:40404",
                Some("log format"),
            ),
            ("[\n {\n \"logName\": \"projects/p/logs/server-accesslog-stackdriver\"\n }\n]", Some("stdout")),
            ("apiVersion: v1\nkind: Service\n", Some("sni-probe routes")),
            (
                "2025-05-19T04:46:20.117Z\tinfo\tFLAG: --concurrency=\"0\"\n2025-05-19T04:46:21.117Z\tinfo\txdsproxy\tconnected\n",
                Some("accessLogFile"),
            ),
            ("\"_time\",\"_raw\"\n\"x\",\"y\"\n", Some("CSV")),
            ("NAME   READY   STATUS\ngw-1   1/1     Running\n", Some("kubectl logs")),
            ("# HELP up x\n# TYPE up gauge\nup 1\n", Some("--metrics")),
            ("2023/05/01 10:00:00 [error] 29#29: *1 open() failed\n", Some("error_log")),
            ("Jan  5 15:06:36 localhost haproxy[19555]: Proxy fe started.\n", Some("HAProxy")),
            (
                r#"{"level":"info","ts":1,"logger":"http.log.access","msg":"handled request","status":200}"#,
                Some("Caddy"),
            ),
            ("time=\"2020-09-19T01:41:43Z\" level=info msg=\"Configuration loaded\"", Some("Traefik")),
            ("192.0.2.1 - - [19/May/2025:04:46:20 +0000] \"GET / HTTP/1.1\" 200 5\n", Some("sni-probe run")),
            ("<!DOCTYPE html>\n<html>", Some("HTML")),
            ("insertId,textPayload,timestamp\na,b,c\n", Some("CSV")),
            (r#"{"time":"x","msg":"y"}"#, Some("response_flags")),
            (r#"{"time":"x","client":"y","sni":"absent","outcome":"reset_by_gateway"}"#, Some("--events")),
            ("{\n  \"time\": 1,\n", None),
            ("a\0b\n", Some("binary")),
        ] {
            let mut hints = Hints::default();
            for line in text.split('\n') {
                hints.see(line.as_bytes());
            }
            let sentence = hints.sentence();
            assert!(
                part.is_none_or(|part| sentence.is_some_and(|sentence| sentence.contains(part))),
                "{text}: {sentence:?}"
            );
            assert!(part.is_some() || sentence.is_none(), "{text}: {sentence:?}");
        }
        for (bytes, part) in
            [(&b"\xd4\xc3\xb2\xa1\x02"[..], "replay"), (b"\xfd7zXZ\0", "unpack"), (b"\xff\xee", "binary")]
        {
            let mut hints = Hints::default();
            hints.see(bytes);
            assert!(hints.sentence().unwrap().contains(part));
        }
    }

    #[test]
    fn answers_without_entries() {
        for (text, is_empty) in [
            ("", true),
            ("\n\n", true),
            ("[]", true),
            ("[\n]\n", true),
            (r#"{"status":"success","data":{"resultType":"streams","result":[]}}"#, true),
            (r#"{"took":1,"hits":{"total":{"value":0},"hits":[]}}"#, true),
            ("{\n \"events\": [],\n \"searchedLogStreams\": []\n}", true),
            (r#"{"result":[1]}"#, false),
            (r#"{"events":[],"result":[{}]}"#, false),
            (r#"{"tags":[],"msg":"x"}"#, false),
            ("[1]", false),
            ("x", false),
        ] {
            let mut hints = Hints::default();
            text.split('\n').for_each(|line| hints.see(line.as_bytes()));
            assert_eq!(hints.has_nothing(), is_empty, "{text}");
        }
        let mut hints = Hints::default();
        for _ in 0..10_000 {
            hints.see(b"[]");
        }
        assert!(!hints.has_nothing() && hints.answer.text.len() <= MAX_ANSWER_BYTES);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            let mut hints = Hints::default();
            for line in bytes.split(|&byte| byte == b'\n') {
                hints.see(line);
            }
            let _ = hints.sentence();
        }
    }
}
