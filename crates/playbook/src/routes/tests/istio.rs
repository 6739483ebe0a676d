//! Servers of Istio's Gateways.

use super::*;

/// A Gateway of these pods with a server for each of `servers`.
fn gateway(name: &str, selector: &str, servers: &[&str]) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: istio-system}}\n\
         spec:\n  selector: {{{selector}}}\n  servers:\n  - {}\n",
        servers.join("\n  - ")
    )
}

const PODS: &str = "istio: ingressgateway";
const ALL: &str =
    "{port: {number: 443, name: all, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: ['*']}";
const PASSED_ON: &str =
    "{port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: ['*']}";

#[test]
fn the_backend_decides_what_is_passed_on() {
    expect(&gateway("g", PODS, &[PASSED_ON]), &[], &[NoteCode::DecidedByBackend], None);
    // A server that ends TLS takes them as well.
    let both = gateway("g", PODS, &[PASSED_ON, ALL]);
    expect(&both, &[], &[NoteCode::DecidedByBackend], Some(true));
    // A certificate that is never sent.
    let without_mode = ALL.replace("mode: SIMPLE, ", "");
    expect(&gateway("g", PODS, &[&without_mode]), &[FindingCode::TlsNotTerminated], &[], None);
    // Without a chain for them Envoy does not ask the backend.
    let named = PASSED_ON.replace("'*'", "a.example.com");
    expect(&gateway("g", PODS, &[&named]), &[FindingCode::NoWildcardRoute], &[], Some(false));
}

#[test]
fn servers_between_clusters_are_left_out() {
    let east_west = PASSED_ON.replace("PASSTHROUGH", "AUTO_PASSTHROUGH").replace("443", "15443");
    let report = expect(&gateway("g", PODS, &[&east_west]), &[], &[NoteCode::BetweenClusters], None);
    assert!(!report.routes[0].wildcard);
    expect(&gateway("g", PODS, &[ALL, &east_west]), &[], &[NoteCode::BetweenClusters], Some(true));
}

#[test]
fn a_host_in_upper_case_is_found() {
    let upper = ALL.replace("['*']", "['ns-A/API.example.com', '*', ok.example.com, 'NS/b.example.com']");
    let report = expect(&gateway("g", PODS, &[&upper]), &[FindingCode::UpperCaseHost], &[], Some(true));
    let finding = &report.findings[0];
    assert_eq!(
        (&*finding.value, &*finding.expected),
        (r#"["ns-A/API.example.com"]"#, r#"["ns-A/api.example.com"]"#)
    );
    assert_eq!(finding.path, "spec.servers[0].hosts");
}

#[test]
fn clients_of_a_mutual_server_need_a_certificate() {
    for mode in ["MUTUAL", "ISTIO_MUTUAL"] {
        let mutual = ALL.replace("SIMPLE", mode);
        expect(&gateway("g", PODS, &[&mutual]), &[], &[NoteCode::ClientCertificate], Some(true));
    }
    let optional = ALL.replace("SIMPLE", "OPTIONAL_MUTUAL");
    expect(&gateway("g", PODS, &[&optional]), &[], &[], Some(true));
}

#[test]
fn a_selector_with_fewer_labels_selects_the_same_pods() {
    let named = ALL.replace("'*'", "a.example.com");
    let more = "app: ingress, ingress_name: ext";
    let both = |of_all: &str, of_named: &str| {
        format!("{}---\n{}", gateway("all", of_all, &[ALL]), gateway("named", of_named, &[&named]))
    };
    expect(&both("app: ingress", more), &[], &[], Some(true));
    expect(&both("", more), &[], &[], Some(true));
    let report = expect(&both(more, "app: ingress"), &[FindingCode::NoWildcardRoute], &[], Some(false));
    assert_eq!(report.findings[0].object, "istio-system/named");
    expect(&both("app: ingress, ingress_name: int", more), &[FindingCode::NoWildcardRoute], &[], Some(false));
}

#[test]
fn selectors_that_are_compared_have_a_bound() {
    let named = ALL.replace("'*'", "a.example.com");
    let mut gateways: Vec<String> =
        (0..100).map(|number| gateway(&format!("g{number}"), &format!("app: a{number}"), &[ALL])).collect();
    gateways.push(gateway("named", "app: a1, ingress_name: ext", &[&named]));
    expect(&gateways.join("---\n"), &[], &[], Some(true));
    gateways.push(gateway("one-more", "app: other", &[ALL]));
    let codes = [FindingCode::NoWildcardRoute];
    expect(&gateways.join("---\n"), &codes, &[NoteCode::TooManyToCompare], Some(false));
}
