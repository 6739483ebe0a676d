//! Routes of Apigee: ports, the flag on names, settings, several wildcard routes and certificates.

use super::*;

const INGRESS: &[&str] = &["app=apigee-ingressgateway"];

/// The route for HTTP clients of Google's page "Enable non-SNI and HTTP clients".
const HTTP: &str = r#"
apiVersion: apigee.cloud.google.com/v1alpha1
kind: ApigeeRoute
metadata: {name: http, namespace: apigee}
spec:
  hostnames: ["*"]
  ports: [{number: 80, protocol: HTTP}]
  selector: {app: apigee-ingressgateway}
  enableNonSniClient: true
"#;

/// The settings of an environment group (the fields of the CRD reference).
const CONFIG: &str = r"
apiVersion: apigee.cloud.google.com/v1alpha1
kind: ApigeeRouteConfig
metadata: {name: myorg-dev-grp, namespace: apigee}
spec:
  selector: {app: apigee-ingressgateway}
  additionalGateways: [non-sni]
  tls: {credentialName: dev-grp, mode: SIMPLE}
";

#[test]
fn a_route_with_http_ports_only_is_no_tls_route() {
    let report = expect(HTTP, &[], &[], None);
    assert!(!report.routes[0].wildcard);
    let codes = [FindingCode::NoWildcardRoute, FindingCode::UnknownAdditionalGateway];
    let report = expect(&format!("{HTTP}---{GROUP}"), &codes, &[], Some(false));
    assert!(report.findings[0].sentence.starts_with("No ApigeeRoute with a TLS port has the host name *"));
    // As an additional gateway it is known.
    let route = wildcard("non-sni", INGRESS);
    let group = GROUP.replace(r#"["non-sni"]"#, r#"["non-sni", "http"]"#);
    expect(&format!("{HTTP}---\n{route}---{group}"), &[], &[], Some(true));
    // A port of HTTP beside that of HTTPS needs no port of the wildcard route.
    let both = group.replace("  ports:\n", "  ports:\n  - {number: 80, protocol: http}\n");
    assert_ne!(both, group);
    expect(&format!("{HTTP}---\n{route}---{both}"), &[], &[], Some(true));
}

#[test]
fn the_flag_on_a_route_with_names_leaves_the_answer_open() {
    let flagged = GROUP.replace("additionalGateways: [\"non-sni\"]", "enableNonSniClient: true");
    let report = expect(&flagged, &[FindingCode::NonSniClientOnNames], &[], None);
    let sentence = &report.findings[0].sentence;
    assert!(sentence.contains("CRD reference") && !sentence.contains("reset"), "{sentence}");
    // A wildcard route that serves all of them decides.
    let listing =
        flagged.replace("enableNonSniClient", "additionalGateways: [non-sni]\n  enableNonSniClient");
    let route = wildcard("non-sni", INGRESS);
    expect(&format!("{route}---{listing}"), &[FindingCode::NonSniClientOnNames], &[], Some(true));
    let broken = route.replace("Client: true", "Client: false");
    let codes = [FindingCode::NonSniClientNotEnabled, FindingCode::NonSniClientOnNames];
    expect(&format!("{broken}---{listing}"), &codes, &[], None);
}

#[test]
fn settings_of_an_environment_group_are_read() {
    let report = expect(CONFIG, &[], &[], None);
    assert_eq!(report.routes[0].kind, "ApigeeRouteConfig");
    assert_eq!(report.routes[0].credential.as_deref(), Some("dev-grp"));
    let unlisted = CONFIG.replace("  additionalGateways: [non-sni]\n", "");
    let report = expect(&unlisted, &[FindingCode::NotInAdditionalGateways], &[], Some(false));
    assert_eq!(report.findings[0].object, "apigee/myorg-dev-grp");
    let flagged = unlisted.replace("spec:\n", "spec:\n  enableNonSniClient: true\n");
    let codes = [FindingCode::NonSniClientOnNames, FindingCode::NotInAdditionalGateways];
    expect(&flagged, &codes, &[], None);
    let route = wildcard("non-sni", INGRESS);
    expect(&format!("{CONFIG}---\n{route}---{GROUP}"), &[], &[], Some(true));
    expect(
        &format!("{unlisted}---\n{route}---{GROUP}"),
        &[FindingCode::NotInAdditionalGateways],
        &[],
        Some(false),
    );
}

#[test]
fn there_is_one_wildcard_route_and_one_certificate_at_a_gateway() {
    let (one, other) = (wildcard("non-sni", INGRESS), wildcard("second", INGRESS));
    let report = expect(
        &format!("{one}---\n{other}---{GROUP}"),
        &[FindingCode::SeveralWildcardRoutes],
        &[],
        Some(true),
    );
    assert_eq!(report.findings[0].value, r#"["apigee/non-sni", "apigee/second"]"#);
    // At another port, or another ingress gateway, it is another one.
    let elsewhere = other.replace("443", "8443");
    expect(&format!("{one}---\n{elsewhere}---{GROUP}"), &[], &[], Some(true));

    let second = GROUP.replace("myorg-hyb-dev-grp-000-33620d0", "second").replace("dev-grp", "test-grp");
    let report =
        expect(&format!("{one}---{GROUP}---{second}"), &[FindingCode::SeveralCertificates], &[], Some(true));
    assert_eq!(report.findings[0].value, r#"["dev-grp", "test-grp"]"#);
    let same = second.replace("test-grp", "dev-grp");
    expect(&format!("{one}---{GROUP}---{same}"), &[], &[], Some(true));
    let of_two_ports = one.replace(
        "  ports:\n",
        "  ports:\n  - {number: 8443, protocol: HTTPS, tls: {credentialName: x, mode: SIMPLE}}\n",
    );
    assert_ne!(of_two_ports, one);
    expect(&format!("{of_two_ports}---{GROUP}"), &[FindingCode::SeveralCertificates], &[], Some(true));
    // Of virtual hosts, where there are no routes of environment groups.
    let hosts = "virtualhosts: [{name: a, sslSecret: a, additionalGateways: [non-sni]}, {name: b, sslSecret: b, additionalGateways: [non-sni]}]";
    assert_eq!(codes(&super::report(&one, Some(hosts)).unwrap()), [FindingCode::SeveralCertificates]);
}

#[test]
fn a_selector_of_other_labels_names_the_flag() {
    let report = expect(
        &wildcard("non-sni", &["app=istio-ingressgateway"]),
        &[FindingCode::SelectorMismatch],
        &[],
        Some(false),
    );
    assert!(report.findings[0].sentence.contains("--ingress"));
}

#[test]
fn clients_of_a_mutual_route_need_a_certificate() {
    let mutual = wildcard("non-sni", INGRESS).replace("SIMPLE", "MUTUAL");
    expect(&mutual, &[], &[NoteCode::ClientCertificate], Some(true));
}

#[test]
fn wildcard_routes_that_are_compared_have_a_bound() {
    let route = |number: usize| wildcard(&format!("r{number}"), &[&format!("app=a{number}")]);
    let routes: Vec<String> = (0..101).map(route).collect();
    let report = report(&routes.join("---\n"), None).unwrap();
    assert_eq!(report.routes.len(), 101);
    assert_eq!(notes(&report), [NoteCode::TooManyToCompare]);
}

#[test]
fn ports_and_labels_have_a_bound() {
    let ports = "  - {number: 443}\n".repeat(65);
    let many = GROUP.replace("  ports:\n", &format!("  ports:\n{ports}"));
    let error = format!("{:#}", report(&many, None).unwrap_err());
    assert!(error.ends_with("spec.ports: more than 64 ports"), "{error}");
    let labels: Vec<String> = (0..65).map(|number| format!("l{number}=x")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let error = format!("{:#}", report(&wildcard("r", &labels), None).unwrap_err());
    assert!(error.ends_with("spec.selector: more than 64 labels"), "{error}");
}
