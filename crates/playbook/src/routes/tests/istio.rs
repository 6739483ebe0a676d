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
    // Which of both takes them is not defined, in one Gateway or in two.
    for yaml in [
        gateway("g", PODS, &[PASSED_ON, ALL]),
        gateway("g", PODS, &[ALL, PASSED_ON]),
        format!("{}---\n{}", gateway("g", PODS, &[PASSED_ON]), gateway("h", PODS, &[ALL])),
        format!(
            "{}---\n{}",
            gateway("g", PODS, &[PASSED_ON]),
            gateway("h", "istio: ingressgateway, a: b", &[ALL])
        ),
    ] {
        expect(&yaml, &[], &[NoteCode::DecidedByBackend], None);
    }
    // At another port, and at other pods, each is alone.
    let other_port = gateway("g", PODS, &[PASSED_ON, &ALL.replace("443", "8443")]);
    expect(&other_port, &[], &[NoteCode::DecidedByBackend], None);
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
    let mutual = ALL.replace("SIMPLE", "MUTUAL");
    expect(&gateway("g", PODS, &[&mutual]), &[], &[NoteCode::ClientCertificate], Some(true));
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
    let of_others = "app: ingress, ingress_name: int";
    let report = expect(&both(of_others, more), &[FindingCode::NoWildcardRoute], &[], Some(false));
    assert_eq!(report.findings[0].object, "istio-system/named");
}

#[test]
fn selectors_with_different_labels_may_select_the_same_pods() {
    let named = ALL.replace("'*'", "a.example.com");
    let both = |of_all: &str, of_named: &str, all: &str| {
        format!("{}---\n{}", gateway("all", of_all, &[all]), gateway("named", of_named, &[&named]))
    };
    // The sample gateway of Istio has both labels.
    let sample = both("app: istio-ingressgateway", PODS, ALL);
    let report = expect(&sample, &[], &[NoteCode::PodsUnknown], None);
    assert_eq!(report.notes[0].object, "istio-system/named");
    expect(
        &both("app: ingress, ingress_name: ext", "app: ingress", ALL),
        &[],
        &[NoteCode::PodsUnknown],
        None,
    );
    // Not if a label has two values, and not if the server for every host serves none.
    let one = [FindingCode::NoWildcardRoute];
    expect(&both("app: a, istio: egressgateway", PODS, ALL), &one, &[], Some(false));
    let broken = ALL.replace(", credentialName: c", "");
    let two = [FindingCode::NoWildcardRoute, FindingCode::NoCredential];
    expect(&both("app: istio-ingressgateway", PODS, &broken), &two, &[], Some(false));
    let passed_on = [NoteCode::DecidedByBackend, NoteCode::PodsUnknown];
    expect(&both("app: istio-ingressgateway", PODS, PASSED_ON), &[], &passed_on, None);
}

#[test]
fn servers_for_workloads_of_the_mesh_are_left_out() {
    let of_mesh = ALL.replace("mode: SIMPLE, credentialName: c", "mode: ISTIO_MUTUAL");
    let egress = gateway("egress", "istio: egressgateway", &[&of_mesh.replace("'*'", "edition.cnn.com")]);
    let with_ingress = format!("{}---\n{egress}", gateway("g", PODS, &[ALL]));
    expect(&with_ingress, &[], &[NoteCode::MeshOnly], Some(true));
    let report = expect(&gateway("g", PODS, &[&of_mesh]), &[], &[NoteCode::MeshOnly], None);
    assert!(!report.routes[0].wildcard);
}

#[test]
fn a_protocol_of_http_has_no_tls() {
    let named = ALL.replace("'*'", "a.example.com");
    for protocol in ["HTTP", "HTTP2", "http2", "GRPC", "GRPC-Web", "HTTP_PROXY"] {
        let plain = named.replace("HTTPS", protocol);
        let report = expect(&gateway("g", PODS, &[&plain]), &[], &[NoteCode::TlsIgnored], None);
        assert!(!report.routes[0].wildcard, "{protocol}");
        let beside = gateway("g", PODS, &[ALL, &plain.replace("443", "9443")]);
        expect(&beside, &[], &[NoteCode::TlsIgnored], Some(true));
    }
    let redirect =
        ALL.replace("HTTPS", "HTTP").replace("mode: SIMPLE, credentialName: c", "httpsRedirect: true");
    expect(&gateway("g", PODS, &[&redirect]), &[], &[], None);
    for protocol in ["TCP", "MONGO", "Mongo", "TLS", "HTTPS"] {
        let named = named.replace("HTTPS", protocol);
        expect(&gateway("g", PODS, &[&named]), &[FindingCode::NoWildcardRoute], &[], Some(false));
    }
}

#[test]
fn a_certificate_is_named_in_several_places() {
    let with = |tls: &str| gateway("g", PODS, &[&ALL.replace("credentialName: c", tls)]);
    for tls in [
        "credentialNames: [a, b]",
        "serverCertificate: /etc/a/tls.crt",
        "tlsCertificates: [{serverCertificate: /etc/a/tls.crt, privateKey: k}, {serverCertificate: /etc/b/tls.crt}]",
    ] {
        expect(&with(tls), &[], &[], Some(true));
    }
    for tls in ["credentialName: ''", "tlsCertificates: []", "serverCertificate: ''", "privateKey: k"] {
        expect(&with(tls), &[FindingCode::NoCredential], &[], Some(false));
    }
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
