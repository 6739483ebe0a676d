//! Judging what was read; the whole program on files is in `tests/routes.rs`.

use proptest::prelude::*;

use super::fix::{WildcardRoute, overrides_yaml, wildcard_route_yaml};
use super::input::InputText;
use super::judge::USUAL_NAME;
use super::report::{FindingCode, NoteCode, VirtualHost};
use super::*;

mod apigee;
mod certificates;
mod gateway_api;
mod inputs;
mod istio;
mod status;

/// The route of an environment group, as Google's page has it.
const GROUP: &str = r#"
apiVersion: apigee.cloud.google.com/v1alpha1
kind: ApigeeRoute
metadata: {name: myorg-hyb-dev-grp-000-33620d0, namespace: apigee}
spec:
  hostnames: ["api-test.mydomain.com"]
  additionalGateways: ["non-sni"]
  selector: {app: apigee-ingressgateway, ingress_name: ext-ingress}
  ports:
  - {number: 443, protocol: HTTPS, tls: {credentialName: dev-grp, mode: SIMPLE, minProtocolVersion: TLS_AUTO}}
status: {state: running}
"#;

fn source(text: &str) -> InputText {
    InputText::new("f.yaml".to_owned(), text.as_bytes().to_vec()).unwrap()
}

/// What is read of this text as a file and this as `overrides.yaml`.
fn report(routes: &str, overrides: Option<&str>) -> anyhow::Result<RoutesReport> {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Config::default();
    if !routes.is_empty() {
        options.files.push(directory.path().join("routes.yaml"));
        std::fs::write(&options.files[0], routes).unwrap();
    }
    if let Some(overrides) = overrides {
        let path = directory.path().join("overrides.yaml");
        std::fs::write(&path, overrides).unwrap();
        options.overrides = Some(path);
    }
    read(&options)
}

fn wildcard(name: &str, selector: &[&str]) -> String {
    let selector: Vec<String> = selector.iter().map(|&label| label.to_owned()).collect();
    let route = WildcardRoute { name, namespace: "apigee", credential: "org-dev-cert", selector: &selector };
    wildcard_route_yaml(&route)
}

fn notes(report: &RoutesReport) -> Vec<NoteCode> {
    report.notes.iter().map(|note| note.code).collect()
}

/// An expectation of one file: findings, notes, and whether clients without SNI are served.
#[track_caller]
fn expect(
    yaml: &str,
    findings: &[FindingCode],
    with_notes: &[NoteCode],
    serves: Option<bool>,
) -> RoutesReport {
    let report = report(yaml, None).unwrap();
    assert_eq!(codes(&report), findings, "{yaml}\n{:#?}", report.findings);
    assert_eq!(notes(&report), with_notes, "{yaml}\n{:#?}", report.notes);
    assert_eq!(report.serves_non_sni, serves, "{yaml}");
    report
}

fn codes(report: &RoutesReport) -> Vec<FindingCode> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn the_fix_leaves_nothing_to_find() {
    let before = "virtualhosts: [{name: dev-grp, selector: {app: apigee-ingressgateway}}, {name: 'on', additionalGateways: [x]}]";
    let hosts = overrides::parse(&source(before)).unwrap();
    let after = overrides_yaml(&hosts, USUAL_NAME);
    let fixed = overrides::parse(&source(&after)).unwrap();
    let lists: Vec<&[String]> = fixed.iter().map(|host| &*host.additional_gateways).collect();
    assert_eq!(lists, [&["non-sni".to_owned()][..], &["x".to_owned(), "non-sni".to_owned()]]);
    assert_eq!([&*fixed[0].name, &fixed[1].name], ["dev-grp", "on"]);
    assert_eq!(fixed[0].selector, hosts[0].selector);
    assert_eq!(overrides_yaml(&fixed, USUAL_NAME), after, "what is listed is not listed twice");

    let route = wildcard(USUAL_NAME, &["app=apigee-ingressgateway"]);
    let hosts = after.replace("\"x\", ", "");
    let report = report(&format!("{route}---{GROUP}"), Some(&hosts)).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.serves_non_sni, Some(true));
    assert_eq!(report.routes[0].ports, [443]);
    assert_eq!(report.routes[0].min_tls_version.as_deref(), Some("TLS_AUTO"));
}

#[test]
fn whatever_the_names_the_yaml_has_them() {
    for name in ["a: b", "yes", "0x1f", "1.5", "\"", "a\nb", "#", "é", "null", "~", "", "- a", "*x"] {
        let report = report(&wildcard(name, &["app=on", "b=1"]), None).unwrap();
        assert_eq!(report.routes[0].name, name);
        assert_eq!(report.routes[0].selector, ["app=on", "b=1"]);
        let host = VirtualHost {
            name: name.to_owned(),
            additional_gateways: Vec::new(),
            selector: Vec::new(),
            certificate: None,
        };
        let hosts = overrides::parse(&source(&overrides_yaml(&[host], name))).unwrap();
        assert_eq!((&*hosts[0].name, &hosts[0].additional_gateways[..]), (name, &[name.to_owned()][..]));
    }
}

#[test]
fn the_wildcard_route_is_at_the_ingress_of_the_group() {
    let internal = wildcard("non-sni", &["app=apigee-ingressgateway", "ingress_name=int-ingress"]);
    let report_of_one = report(&format!("{internal}---{GROUP}"), None).unwrap();
    assert_eq!(codes(&report_of_one), [FindingCode::SelectorMismatch]);
    let finding = &report_of_one.findings[0];
    assert_eq!(finding.value, r#"["app=apigee-ingressgateway", "ingress_name=int-ingress"]"#);
    assert_eq!(finding.expected, r#"["app=apigee-ingressgateway", "ingress_name=ext-ingress"]"#);
    assert_eq!(report_of_one.serves_non_sni, Some(false));

    // Another is there for that ingress.
    let external = wildcard("non-sni-ext", &["app=apigee-ingressgateway", "ingress_name=ext-ingress"]);
    let group = GROUP.replace(r#"["non-sni"]"#, r#"["non-sni", "apigee/non-sni-ext"]"#);
    let report_of_both = report(&format!("{internal}---\n{external}---{group}"), None).unwrap();
    assert_eq!(report_of_both.findings, []);
    assert_eq!(report_of_both.serves_non_sni, Some(true));
}

#[test]
fn the_wildcard_route_is_at_the_ports_of_the_group() {
    let route = wildcard("non-sni", &["app=apigee-ingressgateway"]).replace("443", "8443");
    let alone = report(&format!("{route}---{GROUP}"), None).unwrap();
    assert_eq!(codes(&alone), [FindingCode::PortMismatch]);
    let finding = &alone.findings[0];
    assert_eq!((&*finding.object, &*finding.path), ("apigee/non-sni", "spec.ports"));
    assert_eq!((&*finding.value, &*finding.expected), ("[8443]", "[443]"));
    assert_eq!(alone.serves_non_sni, Some(false));
    // Both are wrong, and both are told.
    let group = GROUP.replace("selector: {app: apigee-ingressgateway,", "selector: {app: other,");
    let both = report(&format!("{route}---{group}"), None).unwrap();
    assert_eq!(codes(&both), [FindingCode::SelectorMismatch, FindingCode::PortMismatch]);
}

#[test]
fn what_is_not_there_is_not_named() {
    let report = report(GROUP, None).unwrap();
    assert_eq!(report.findings[0].code, FindingCode::NoWildcardRoute);
    assert_eq!(report.findings[0].object, "namespace apigee");
    assert_eq!(report.findings[0].value, "[\"api-test.mydomain.com\"]");
    let error = overrides::parse(&source("virtualhosts: []")).unwrap_err().to_string();
    assert!(error.contains("`virtualhosts` is empty"), "{error}");
}

#[test]
fn a_broken_wildcard_route_serves_nobody_though_a_sound_one_is_there() {
    let broken = wildcard("broken", &["app=apigee-ingressgateway"]).replace("Client: true", "Client: false");
    let sound = wildcard("sound", &["app=apigee-ingressgateway"]);
    let group = GROUP.replace("non-sni", "broken");
    let report = report(&format!("{broken}---\n{sound}---{group}"), None).unwrap();
    assert_eq!(codes(&report), [FindingCode::NonSniClientNotEnabled, FindingCode::SeveralWildcardRoutes]);
    assert_eq!(report.serves_non_sni, Some(false));
}

#[test]
fn a_route_that_is_an_additional_gateway_needs_none() {
    let group = GROUP.replace(r#"["non-sni"]"#, r#"["non-sni", "extra"]"#);
    let extra = GROUP
        .replace("myorg-hyb-dev-grp-000-33620d0", "extra")
        .replace(r#"additionalGateways: ["non-sni"]"#, "additionalGateways: null");
    let route = wildcard("non-sni", &["app=apigee-ingressgateway"]);
    let report = report(&format!("{route}---{group}---{extra}"), None).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn overrides_alone_tell_when_no_gateway_is_named() {
    let without =
        report("", Some("virtualhosts: [{name: a}, {name: b, additionalGateways: [non-sni]}]")).unwrap();
    assert_eq!(codes(&without), [FindingCode::NotInAdditionalGateways]);
    assert_eq!(without.findings[0].path, "virtualhosts[0].additionalGateways");
    assert_eq!(without.serves_non_sni, Some(false));
    let with = report("", Some("virtualhosts: [{name: b, additionalGateways: [non-sni]}]")).unwrap();
    assert_eq!((with.findings.len(), with.serves_non_sni), (0, None));
}

#[test]
fn all_that_is_wrong_is_found_at_once_and_in_order() {
    let route = wildcard("other", &["app=istio"])
        .replace("Client: true", "Client: false")
        .replace("SIMPLE", "PASSTHROUGH")
        .replace("      credentialName: org-dev-cert\n", "")
        .replace("- \"*\"", "- \"*\"\n  - a.example.com");
    let route = format!("{route}status: {{state: error}}\n");
    let report = report(&format!("{route}---{GROUP}"), None).unwrap();
    assert_eq!(
        codes(&report),
        [
            FindingCode::NonSniClientNotEnabled,
            FindingCode::NotInAdditionalGateways,
            FindingCode::SelectorMismatch,
            FindingCode::TlsNotTerminated,
            FindingCode::NoCredential,
            FindingCode::NotRunning,
            FindingCode::UnknownAdditionalGateway,
            FindingCode::WildcardAmongOthers,
        ]
    );
}

#[test]
fn aliases_that_stand_for_billions_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        text = format!("{text}a{level}: &a{level} [{before}]\n");
    }
    text += "kind: x\nspec: {hostnames: *a11}\n";
    let error = Objects::default().add_file(&source(&text)).unwrap_err().to_string();
    assert!(error.starts_with("f.yaml:"), "{error}");
    let deep = format!("spec: {}", "[".repeat(100_000));
    assert!(Objects::default().add_file(&source(&deep)).is_err());
    let deep = "[".repeat(100_000);
    assert!(Objects::default().add_file(&source(&deep)).is_err());
    let deep = "{\"items\":[".repeat(40);
    assert!(Objects::default().add_file(&source(&deep)).is_err());
}

#[test]
fn the_last_of_several_copies_counts() {
    let route = wildcard("non-sni", &["app=apigee-ingressgateway"]);
    let broken = route.replace("Client: true", "Client: false");
    for (text, serves) in [(format!("{broken}---\n{route}"), true), (format!("{route}---\n{broken}"), false)]
    {
        let report = report(&text, None).unwrap();
        assert_eq!(report.routes.len(), 1);
        assert_eq!(report.serves_non_sni, Some(serves), "{text}");
        assert_eq!(notes(&report), [NoteCode::Replaced]);
    }
}

#[test]
fn an_object_of_a_file_counts_before_that_of_the_cluster() {
    let route = wildcard("non-sni", &["app=apigee-ingressgateway"]);
    let mut objects = Objects::default();
    objects.add_file(&source(&route)).unwrap();
    let mut cluster = Objects::default();
    cluster
        .add_file(&source(&format!("{}---{GROUP}", route.replace("Client: true", "Client: false"))))
        .unwrap();
    let mut notes = Vec::new();
    objects.merge_cluster(cluster, &mut notes).unwrap();
    let report = judge(objects, Vec::new(), "", &["app=apigee-ingressgateway".to_owned()], notes);
    assert_eq!((report.routes.len(), report.serves_non_sni), (2, Some(true)));
    assert_eq!(report.notes.len(), 1);
    assert!(report.notes[0].sentence.ends_with("counts as the file has it, not as the cluster has it."));
}

#[test]
fn routes_have_a_bound() {
    let listeners = "{},".repeat(objects::MAX_ROUTES + 1);
    let text = format!(
        "{{\"apiVersion\":\"gateway.networking.k8s.io/v1\",\"kind\":\"Gateway\",\"spec\":{{\"listeners\":[{}]}}}}",
        listeners.trim_end_matches(',')
    );
    let error = format!("{:#}", Objects::default().add_file(&source(&text)).unwrap_err());
    assert!(error.contains("more than 20000 routes"), "{error}");
}

#[test]
fn other_kinds_have_a_bound() {
    let mut objects = Objects::default();
    let text = (0..100).fold(String::new(), |text, number| format!("{text}kind: K{number}\n---\n"));
    assert!(objects.add_file(&source(&format!("{text}{GROUP}"))).is_ok());
    assert_eq!(objects.skipped.len(), 33);
    assert_eq!(objects.skipped["other"], 68);
}

/// Text made of what such files are made of.
fn almost_yaml() -> impl Strategy<Value = String> {
    let parts = [
        "\n",
        "\n  ",
        "- ",
        ": ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "*a",
        "&a ",
        "---\n",
        "!!str ",
        "null",
        "true",
        "443",
        "kind: ApigeeRoute\n",
        "apiVersion: apigee.cloud.google.com/v1alpha1\n",
        "spec:\n  ",
        "items:\n",
        "hostnames: ",
        "ports: ",
        "tls: ",
        "selector: ",
        "additionalGateways: ",
        "virtualhosts:\n",
        "name: ",
        "status: ",
        "apiVersion: networking.istio.io/v1\nkind: Gateway\n",
        "servers: ",
        "listeners: ",
        "metadata: ",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\n",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n",
        "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TLSRoute\n",
        "kind: ApigeeRouteConfig\n",
        "parentRef: ",
        "parentRefs: ",
        "conditions: ",
        "allowedListeners: ",
        "{{ .Values.x }}",
        "{% if x %}",
        "${HOST}",
        "parents: ",
        "object: ",
    ];
    proptest::collection::vec(proptest::sample::select(parts.to_vec()), 0..40)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_is_an_error_or_a_report(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        judge_bytes(bytes);
    }

    #[test]
    fn almost_yaml_is_an_error_or_a_report(text in almost_yaml()) {
        judge_bytes(text.into_bytes());
    }

    #[test]
    fn a_file_with_a_byte_changed_is_an_error_or_a_report(at in 0..GROUP.len(), byte: u8) {
        let mut bytes = GROUP.as_bytes().to_vec();
        bytes[at] = byte;
        judge_bytes(bytes.clone());
        bytes.truncate(at);
        judge_bytes(bytes);
    }
}

/// Whatever it says: errors are one line, and what is printed is printable.
fn judge_bytes(bytes: Vec<u8>) {
    let result = InputText::new("f".to_owned(), bytes).and_then(|source| {
        let hosts = overrides::parse(&source).unwrap_or_default();
        let mut objects = Objects::default();
        objects.add_file(&source)?;
        Ok(judge(objects, hosts, "f", &["app=x".to_owned()], Vec::new()))
    });
    match result {
        Ok(report) => {
            let text = text::render(&report, false);
            assert!(text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')), "{text}");
        }
        Err(error) => {
            let text = format!("{error:#}");
            assert!(!text.contains(char::is_control), "{text}");
        }
    }
}
