//! Forms of files: templates, YAML in flow style, lists, events of a watch.

use super::*;

#[test]
fn a_template_that_is_not_rendered_is_recognised() {
    let istio = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec:\n  servers:\n";
    for (text, place) in [
        // Not YAML.
        ("kind: Gateway\nmetadata:\n  name: {{ .Values.name }}\n".to_owned(), "f.yaml:3:9: "),
        (format!("{istio}  {{{{- if .Values.tls }}}}\n  - hosts: ['*']\n  {{{{- end }}}}\n"), "f.yaml:6:3: "),
        ("# {{ a comment }}\n{{- include \"x\" . | nindent 2 }}\nkind: a: b\n".to_owned(), "f.yaml:2:1: "),
        // YAML, with a template in a value that decides.
        (format!("{istio}  - hosts: ['{{{{ .Values.host }}}}']\n"), "f.yaml: Gateway (Istio) g: "),
        (istio.replace("name: g", "name: '{{ .Release.Name }}-g'"), "f.yaml: Gateway (Istio) "),
    ] {
        let error = format!("{:#}", Objects::default().add_file(&source(&text)).unwrap_err());
        assert!(error.starts_with(place), "{error}");
        assert!(
            error.contains("a template that is not rendered: {{") && error.contains("`helm template`"),
            "{error}"
        );
    }
    // Braces that decide nothing, and errors that are none of templates.
    let rule =
        "kind: PrometheusRule\napiVersion: monitoring.coreos.com/v1\nspec: {name: '{{ $labels.x }}'}\n---\n";
    assert!(Objects::default().add_file(&source(&format!("{rule}{GROUP}"))).is_ok());
    let error = Objects::default().add_file(&source("spec: {{{\n")).unwrap_err().to_string();
    assert!(!error.contains("template"), "{error}");
}

/// What is read of the file, and of the file as `overrides.yaml`: the message.
fn refused(text: &str) -> String {
    format!("{:#}", Objects::default().add_file(&source(text)).unwrap_err())
}

#[test]
fn a_template_in_the_first_line_is_recognised() {
    for (text, place, shown) in [
        (
            "{{- if .Values.gateway.enabled }}\nkind: Gateway\n{{- end }}\n",
            "f.yaml:1:1: ",
            "{{- if .Values.gateway.enabled }};",
        ),
        ("\n  {{/* a\n comment */}}\nkind: Gateway\n", "f.yaml:2:3: ", "{{/* a;"),
        ("---\n{{- with .Values }}\nkind: Gateway\n{{- end }}\n", "f.yaml:2:1: ", "{{- with .Values }};"),
        (
            "# Copyright\n{{- range .Values.gateways }}\nkind: Gateway\n{{- end }}\n",
            "f.yaml:2:1: ",
            "{{- range",
        ),
        ("{% if enabled %}\nkind: Gateway\n{% endif %}\n", "f.yaml:1:1: ", "{% if enabled %};"),
        ("kind: Gateway\n{% if enabled %}\nspec: {}\n{% endif %}\n", "f.yaml:2:1: ", "{% if enabled %};"),
    ] {
        for error in [refused(text), overrides::parse(&source(text)).unwrap_err().to_string()] {
            assert!(error.starts_with(place), "{text}: {error}");
            assert!(error.contains(&format!("a template that is not rendered: {shown}")), "{text}: {error}");
            assert_eq!(error.contains("`helm template`"), shown.starts_with("{{"), "{text}: {error}");
        }
    }
}

#[test]
fn a_template_in_the_overrides_is_recognised() {
    for host in [
        "{name: '{{ .Values.group }}'}",
        "{name: dev, additionalGateways: ['{{ .Values.nonSni }}']}",
        "{name: dev, selector: {app: '{{ .Values.app }}'}}",
        "{name: dev, sslCertPath: '{{ .Values.certificate }}'}",
        "{name: dev, sslSecret: '${SECRET}'}",
    ] {
        let text = format!("virtualhosts: [{{name: test}}, {host}]");
        let error = overrides::parse(&source(&text)).unwrap_err().to_string();
        assert!(error.starts_with("f.yaml: virtualhosts[1]: a "), "{error}");
        assert!(error.contains("that is not re"), "{error}");
    }
    let text = "virtualhosts:\n- name: {{ .Values.group }}\n";
    let error = overrides::parse(&source(text)).unwrap_err().to_string();
    assert!(error.starts_with("f.yaml:2:9: a template"), "{error}");
}

/// A Gateway of Istio in one line of flow style.
const FLOW: &str = "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: NAME}, spec: {selector: {a: b}, servers: \
                    [{port: {number: 443, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: ['HOST']}]}}";

#[test]
fn a_variable_that_is_not_replaced_is_recognised() {
    for (text, shown) in [
        (FLOW.replace("HOST", "${INGRESS_HOST}"), "${INGRESS_HOST};"),
        (FLOW.replace("HOST", "a.${domain:=example.com}"), "${domain:=example.com};"),
        (FLOW.replace("{name: NAME}", "{name: '${GATEWAY}'}"), "${GATEWAY};"),
    ] {
        let error = refused(&text);
        assert!(error.contains(&format!("a variable that is not replaced: {shown}")), "{error}");
    }
    assert!(Objects::default().add_file(&source(&FLOW.replace("HOST", "$a.example.com"))).is_ok());
}

#[test]
fn flow_style_and_lists_are_read() {
    let json = r#"{"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": {"name": "NAME"}, "spec":
        {"servers": [{"port": {"number": 443, "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE", "credentialName": "c"}, "hosts": ["*"]}]}}"#;
    let flow = FLOW.replace("HOST", "*");
    let two = |one: &str| (one.replace("NAME", "a"), one.replace("NAME", "b"));
    let ((a, b), (json_a, json_b)) = (two(&flow), two(json));
    for (text, count) in [
        (a.clone(), 1),
        (format!("{a}\n---\n{b}\n"), 2),
        (format!("[{a},\n {b}]"), 2),
        // As `yq .items` prints them.
        (format!("- {a}\n- {b}\n"), 2),
        (format!("# two\n---\n- {a}\n- {b}\n"), 2),
        (format!("-\n  {a}\n"), 1),
        // Flow style with some keys in quotes.
        (a.replace("apiVersion:", "\"apiVersion\":"), 1),
        (json_a.clone(), 1),
        (format!("{json_a}{json_b}"), 2),
        (format!("[{json_a},{json_b}]"), 2),
    ] {
        let report = report(&text, None).unwrap();
        assert_eq!((report.routes.len(), report.serves_non_sni), (count, Some(true)), "{text}");
    }
    for (text, says) in [
        ("{\"kind\": \"Gateway\" \"spec\": 1}", "f.yaml:1:20: not JSON as expected"),
        ("{\"kind\": \"Gateway\", ", "is the file whole?"),
        ("{kind: Gateway, spec: {a: b}", "not YAML as expected"),
    ] {
        let error = refused(text);
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn the_last_event_of_a_watch_counts() {
    let event = |kind: &str, name: &str, host: &str| {
        let object = FLOW.replace("NAME", name).replace("HOST", host);
        format!("---\n{{type: {kind}, object: {object}}}\n")
    };
    let added = event("ADDED", "g", "a.example.com");
    for (more, notes_of, serves) in [
        (String::new(), &[][..], Some(false)),
        (event("MODIFIED", "g", "*"), &[NoteCode::Replaced], Some(true)),
        (event("DELETED", "g", "a.example.com"), &[NoteCode::Replaced], None),
        (event("DELETED", "other", "*"), &[], Some(false)),
        ("---\n{type: BOOKMARK, object: {kind: Status, apiVersion: v1}}\n".to_owned(), &[], Some(false)),
    ] {
        let report = report(&format!("{added}{more}"), None).unwrap();
        assert_eq!((notes(&report), report.serves_non_sni), (notes_of.to_vec(), serves), "{more}");
    }
    let json = r#"{"type":"ADDED","object":{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"g"},"spec":
        {"servers":[{"port":{"number":443,"protocol":"HTTPS"},"hosts":["*"],"tls":{"mode":"SIMPLE","credentialName":"c"}}]}}}"#;
    assert_eq!(report(json, None).unwrap().serves_non_sni, Some(true));
    // A field of that name in an object of another kind.
    let secret = format!("kind: Secret\napiVersion: v1\ntype: Opaque\n{added}");
    assert_eq!(report(&secret, None).unwrap().skipped["Secret"], 1);
    let deep = "{\"object\":".repeat(20) + "{}" + &"}".repeat(20);
    assert!(refused(&deep).contains("more than 4 events within one another"), "{}", refused(&deep));
}

#[test]
fn a_kind_of_another_group_is_shown_with_it() {
    for (version, kind, shown) in [
        ("gateway.solo.io/v1", "Gateway", "Gateway.gateway.solo.io (1)"),
        ("networking.x-k8s.io/v1alpha1", "GatewayClass", "GatewayClass.networking.x-k8s.io (1)"),
        ("apps/v1", "Deployment", "Deployment (1)"),
        ("v1", "Gateway", "Gateway (1)"),
    ] {
        let error = refused(&format!("apiVersion: {version}\nkind: {kind}\n"));
        assert!(error.contains(&format!("it has {shown};")), "{error}");
    }
}
