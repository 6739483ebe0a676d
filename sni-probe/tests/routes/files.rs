//! Files that are not as they should be: one line, with the place.

use super::{Bench, GROUP_OBJECT, OVERRIDES, group, list, wildcard};

#[test]
fn a_bad_file_is_told_in_one_line_with_its_place() {
    let json = serde_json::to_string_pretty(&group()).unwrap();
    let cases: [(&str, &[u8], &[&str]); 14] = [
        (
            "truncated.json",
            &json.as_bytes()[..json.len() / 2],
            &["truncated.json:", "EOF", "is the file whole?"],
        ),
        ("comma.json", b"{\n  \"kind\": \"List\"\n  \"items\": []\n}", &["comma.json:3:3: ", "expected `,`"]),
        ("tab.yaml", b"kind: List\nmetadata:\n\tname: x\n", &["tab.yaml:3:", "tab"]),
        ("tab-in-list.yaml", b"spec:\n  hostnames:\n  \t- a\n", &["tab-in-list.yaml:3:", "tab"]),
        ("colon.yaml", b"kind: List\nspec: a: b\n", &["colon.yaml:2:"]),
        ("twice.yaml", b"kind: List\nkind: List\n", &["twice.yaml:2:1: "]),
        (
            "kind.yaml",
            b"kind: Pod\n---\nkind: Pod\n---\nkind: Service\n",
            &["kind.yaml: ", "Pod (2), Service (1)"],
        ),
        ("none.json", br#"{"kind": "List", "items": []}"#, &["none.json: ", "it has no objects"]),
        ("empty.yaml", b"\n", &["empty.yaml: empty"]),
        ("comment.yaml", b"# nothing\n", &["comment.yaml: ", "it has no objects"]),
        ("table", b"NAME   STATE   AGE\nnon-sni   running   2d\n", &["table:", "add -o json"]),
        ("utf16.json", b"\xff\xfe{\0}\0", &["utf16.json:1:1: UTF-16"]),
        ("binary", b"abc\ndef\xff\x00", &["binary:2:4: not text"]),
        ("text.txt", b"just words", &["text.txt:1:1: "]),
    ];
    let bench = Bench::new(&[]);
    for (name, bytes, parts) in cases {
        bench.put(name, bytes);
        let line = bench.refusal(&["--file", name]);
        println!("{line}");
        for part in parts {
            assert!(line.contains(part), "{part} is not in: {line}");
        }
    }
}

#[test]
fn a_field_of_another_type_is_told_by_its_path() {
    let bench = Bench::new(&[]);
    let changes = [
        ("/spec/hostnames", "\"*\"", "spec.hostnames: expected a list of strings, it has \"*\""),
        (
            "/spec/enableNonSniClient",
            "\"true\"",
            "spec.enableNonSniClient: expected true or false without quotes",
        ),
        ("/spec/ports/0/number", "70000", "spec.ports[0].number: expected a port, it has 70000"),
        ("/spec/ports/0/tls", "[]", "spec.ports[0].tls: expected a map"),
        ("/spec/ports", "[1]", "spec.ports: expected a list of maps, it has 1"),
        ("/spec/selector/app", "1", "spec.selector.app: expected a string"),
    ];
    for (pointer, value, expected) in changes {
        let mut route = wildcard();
        *route.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
        bench.put("routes.json", list(&[group(), route]).as_bytes());
        let line = bench.refusal(&["--file", "routes.json"]);
        assert!(line.starts_with("routes.json: ApigeeRoute non-sni: ") && line.contains(expected), "{line}");
    }
}

#[test]
fn bad_overrides_are_told_with_their_place() {
    let bench = Bench::new(&[("routes.json", &list(&[group(), wildcard()]))]);
    let cases = [
        (
            OVERRIDES.replace("[\"non-sni\"]", "non-sni"),
            "overrides.yaml:9:23: not YAML as expected: expected a list",
        ),
        (OVERRIDES.replace("  sslKeyPath", "\tsslKeyPath"), "YAML takes no tabs"),
        (OVERRIDES.replace("name: dev-grp", "nam: dev-grp"), "name"),
        (OVERRIDES.replace("virtualhosts", "hosts"), "no `virtualhosts`"),
        (group().to_string(), "no `virtualhosts`"),
    ];
    for (text, expected) in cases {
        bench.put("overrides.yaml", text.as_bytes());
        let line = bench.refusal(&["--file", "routes.json", "--overrides", "overrides.yaml"]);
        assert!(line.starts_with("overrides.yaml") && line.contains(expected), "{line}");
        println!("{line}");
    }
}

#[test]
fn garbage_of_100_mb_is_refused() {
    let bench = Bench::new(&[]);
    // A file of zeros that takes no room.
    std::fs::File::create(bench.path("garbage")).unwrap().set_len(100_000_000).unwrap();
    assert!(bench.refusal(&["--file", "garbage"]).starts_with("garbage: more than 64 MiB"));
    let words = "garbage: [x, y]\n".repeat(100_000);
    bench.put("words", words.as_bytes());
    assert!(bench.refusal(&["--file", "words"]).starts_with("words:2:1: "));
    bench.put("flat", "x ".repeat(4_000_000).as_bytes());
    bench.refusal(&["--file", "flat"]);
    bench.put("braces", "{".repeat(8_000_000).as_bytes());
    assert!(bench.refusal(&["--file", "braces"]).starts_with("braces:1:"));
    let names = "\"\",".repeat(4_000_001);
    bench.put("names", format!("{{\"spec\": {{\"hostnames\": [{names}\"\"]}}}}").as_bytes());
    assert!(bench.refusal(&["--file", "names"]).starts_with("names: more than 4000000 keys and values"));
}

#[test]
fn what_is_not_there_cannot_be_read() {
    let bench = Bench::new(&[]);
    assert!(bench.refusal(&["--file", "nothing.json"]).starts_with("cannot read nothing.json: No such file"));
    assert!(bench.refusal(&["--file", "."]).starts_with("cannot read .: "));
    let line = bench.refusal(&[]);
    assert!(line.contains("--file"), "{line}");
    let line = bench.refusal(&["--kube", "--namespace", "../x"]);
    assert!(line.contains("expected the name of a namespace"), "{line}");
}

#[test]
fn a_route_of_another_namespace_has_its_name() {
    let mut route = group();
    route["metadata"]["namespace"] = "other".into();
    route["spec"]["ports"][0]["tls"]["credentialName"] = serde_json::Value::Null;
    let bench = Bench::new(&[("routes.json", &list(&[group(), wildcard(), route]))]);
    let (report, _) = bench.report(&["--file", "routes.json"]);
    assert_eq!(report["findings"][0]["object"], GROUP_OBJECT.replace("apigee/", "other/"));
}
