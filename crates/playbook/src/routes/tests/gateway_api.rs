//! Gateways, `ListenerSets` and routes of the Gateway API.

use super::*;

pub(super) const ALL: &str = "{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}}";
pub(super) const TLS: &str =
    "{name: tls, port: 443, protocol: TLS, tls: {mode: Terminate, certificateRefs: [{name: c}]}}";
pub(super) const PASSED_ON: &str = "{name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}";
pub(super) const PLAIN: &str = "{name: http, port: 80, protocol: HTTP}";

pub(super) fn named() -> String {
    ALL.replace("name: https", "name: named, hostname: a.example.com")
}

/// The Gateway `infra/shared` of a class; `more` are further lines of it.
pub(super) fn gateway(class: &str, listener: &str, more: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: shared, namespace: infra, generation: 2}}\n\
         spec:\n  gatewayClassName: {class}\n  listeners:\n  - {listener}\n{more}"
    )
}

/// The `ListenerSet` `team/set` with one listener.
pub(super) fn set(listener: &str, more: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {{name: set, namespace: team}}\n\
         spec:\n  parentRef: {{name: shared, namespace: infra}}\n  listeners:\n  - {listener}\n{more}"
    )
}

pub(super) fn allowing(from: &str) -> String {
    format!("  allowedListeners: {{namespaces: {{from: {from}}}}}\n")
}

pub(super) fn route(version: &str, kind: &str, namespace: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: r, namespace: {namespace}}}\n\
         spec: {{{spec}}}\n"
    )
}

#[test]
fn what_a_class_does_without_a_match_is_said_where_it_is_known() {
    for (class, serves, says) in [
        ("istio", Some(false), "are reset"),
        ("eg", Some(false), "are reset"),
        ("nginx", Some(false), "an alert"),
        ("traefik", None, "default certificate"),
        ("example", None, "is not known"),
    ] {
        let report = expect(&gateway(class, &named(), ""), &[FindingCode::NoWildcardRoute], &[], serves);
        let sentence = &report.findings[0].sentence;
        assert!(sentence.contains(says), "{sentence}");
        assert_eq!(sentence.contains("are reset"), says == "are reset", "{sentence}");
        let (notes, of_all): (&[NoteCode], _) = match class {
            "traefik" => (&[NoteCode::DefaultCertificate], Some(true)),
            "nginx" => (&[NoteCode::DependsOnVersion], None),
            _ => (&[], Some(true)),
        };
        expect(&gateway(class, ALL, ""), &[], notes, of_all);
    }
    // The class says which controller it is.
    let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: edge}\n\
                 spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}\n";
    let with_class = format!("{}{class}", gateway("edge", &named(), ""));
    expect(&with_class, &[FindingCode::NoWildcardRoute], &[], Some(false));
}

#[test]
fn a_listener_set_adds_listeners_where_it_is_allowed() {
    let not_allowed = [FindingCode::ListenerSetNotAllowed];
    let unknown = [NoteCode::ParentUnknown];
    for (more, findings, notes, serves) in [
        (allowing("All"), &[][..], &[][..], Some(true)),
        (allowing("Selector"), &[], &unknown, None),
        (allowing("Same"), &not_allowed, &[], Some(false)),
        (allowing("None"), &not_allowed, &[], Some(false)),
        (String::new(), &not_allowed, &[], Some(false)),
    ] {
        expect(&format!("{}{}", gateway("istio", PLAIN, &more), set(ALL, "")), findings, notes, serves);
        // The order of the objects does not matter.
        let reversed = format!("{}\n---\n{}", set(ALL, ""), gateway("istio", PLAIN, &more));
        expect(&reversed, findings, notes, serves);
    }
    let same = set(ALL, "").replace("namespace: team", "namespace: infra");
    expect(&format!("{}{same}", gateway("istio", PLAIN, &allowing("Same"))), &[], &[], Some(true));
    // Of the same port as a listener of the Gateway.
    let at_one_port = |port: &str| {
        let gateway = gateway("istio", &named(), &allowing("All"));
        format!("{gateway}{}", set(&ALL.replace("443", port), ""))
    };
    expect(&at_one_port("443"), &[], &[], Some(true));
    let report = expect(&at_one_port("8443"), &[FindingCode::NoWildcardRoute], &[], Some(false));
    assert_eq!(report.findings[0].object, "infra/shared");
    // As the experimental channel names it.
    let experimental =
        set(ALL, "").replace("k8s.io/v1", "x-k8s.io/v1alpha1").replace("ListenerSet", "XListenerSet");
    let report =
        expect(&format!("{}{experimental}", gateway("istio", PLAIN, &allowing("All"))), &[], &[], Some(true));
    assert_eq!(report.routes[1].kind, "ListenerSet (Gateway API)");
    assert_eq!(report.routes[1].name, "set/https");
}

#[test]
fn a_listener_set_without_its_gateway_leaves_the_answer_open() {
    expect(&set(ALL, ""), &[], &[NoteCode::ParentUnknown], None);
    expect(&set(&named(), ""), &[], &[NoteCode::ParentUnknown], None);
    let accepted = "status: {conditions: [{type: Accepted, status: 'True'}]}\n";
    expect(&set(ALL, accepted), &[], &[], Some(true));
    let other = set(ALL, "").replace("parentRef: {", "parentRef: {kind: Service, group: '', ");
    expect(&other, &[], &[NoteCode::ParentUnknown], None);
}

#[test]
fn routes_decide_at_a_tls_listener() {
    let to_gateway = "parentRefs: [{name: shared, namespace: infra}]";
    let tls_route =
        |version: &str, more: &str| route(version, "TLSRoute", "infra", &format!("{to_gateway}{more}"));
    let with_names = ", hostnames: [a.example.com]";
    let only = [FindingCode::OnlyTlsRoutes];
    let by_routes = [NoteCode::DecidedByRoutes];
    let tcp = route("v1alpha2", "TCPRoute", "infra", to_gateway);
    for (listener, route, findings, notes, serves) in [
        (TLS, String::new(), &[][..], &by_routes[..], None),
        (TLS, tls_route("v1", with_names), &only, &[], Some(false)),
        (TLS, tls_route("v1alpha2", with_names), &only, &[], Some(false)),
        (TLS, tls_route("v1alpha2", ""), &[], &by_routes, None),
        // From v1 on there is none without hostnames.
        (TLS, tls_route("v1", ""), &only, &[], Some(false)),
        (TLS, tcp.clone(), &[], &[], Some(true)),
        (TLS, format!("{}{tcp}", tls_route("v1", with_names)), &[], &[], Some(true)),
        // Of another listener, of another port, and of another namespace.
        (TLS, tcp.replace("name: shared", "name: shared, sectionName: other"), &[], &by_routes, None),
        (TLS, tcp.replace("name: shared", "name: shared, port: 8443"), &[], &by_routes, None),
        (TLS, tcp.replace("namespace: infra}\n", "namespace: team}\n"), &[], &by_routes, None),
        (PASSED_ON, String::new(), &[], &[NoteCode::DecidedByBackend], None),
        (PASSED_ON, tcp.clone(), &[], &[NoteCode::DecidedByBackend], None),
        (PASSED_ON, tls_route("v1", with_names), &only, &[], Some(false)),
        // Routes of HTTPS choose after the handshake.
        (ALL, tls_route("v1", with_names), &[], &[], Some(true)),
    ] {
        expect(&format!("{}{route}", gateway("istio", listener, "")), findings, notes, serves);
    }
    let tls_routes_only = TLS.replace("port:", "allowedRoutes: {kinds: [{kind: TLSRoute}]}, port:");
    expect(&gateway("istio", &tls_routes_only, ""), &only, &[], Some(false));
    let other_namespaces = TLS.replace("port:", "allowedRoutes: {namespaces: {from: All}}, port:");
    let tcp = tcp.replace("namespace: infra}\n", "namespace: team}\n");
    expect(&format!("{}{tcp}", gateway("istio", &other_namespaces, "")), &[], &[], Some(true));
    // Of a listener of a set: by the set's name.
    let to_set = route("v1alpha2", "TCPRoute", "team", "parentRefs: [{kind: ListenerSet, name: set}]");
    let with_set = format!("{}{}", gateway("istio", PLAIN, &allowing("All")), set(TLS, ""));
    expect(&format!("{with_set}{to_set}"), &[], &[], Some(true));
    expect(&format!("{with_set}{tcp}"), &[], &by_routes, None);
}

#[test]
fn listeners_between_clusters_and_of_the_mesh_are_left_out() {
    let east_west = PASSED_ON.replace("443", "15443").replace(
        "Passthrough",
        "Passthrough, options: {gateway.istio.io/listener-protocol: auto-passthrough}",
    );
    let named_one = east_west.replace("name: tls", "name: tls, hostname: '*.local'");
    let of_mesh = TLS.replace("443", "15008").replace(
        "certificateRefs: [{name: c}]",
        "options: {gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL}",
    );
    for (listener, note) in [
        (&east_west, NoteCode::BetweenClusters),
        (&named_one, NoteCode::BetweenClusters),
        (&of_mesh, NoteCode::MeshOnly),
    ] {
        let report = expect(&gateway("istio", listener, ""), &[], &[note], None);
        assert!(!report.routes[0].wildcard);
        expect(&gateway("istio", &format!("{listener}\n  - {ALL}"), ""), &[], &[note], Some(true));
        // Its status does not count.
        let broken = "status: {conditions: [{type: Programmed, status: 'False'}]}\n";
        expect(&gateway("istio", listener, broken), &[], &[note], None);
    }
    let other = east_west.replace("auto-passthrough", "other");
    expect(&gateway("istio", &other, ""), &[], &[NoteCode::DecidedByBackend], None);
}

#[test]
fn which_of_two_listeners_takes_clients_is_not_known_if_one_passes_tls_on() {
    let both = |one: &str, other: &str| gateway("eg", &format!("{one}\n  - {other}"), "");
    let by_backend = [NoteCode::DecidedByBackend];
    expect(&both(ALL, PASSED_ON), &[], &by_backend, None);
    expect(&both(PASSED_ON, ALL), &[], &by_backend, None);
    expect(&both(ALL, &PASSED_ON.replace("443", "8443")), &[], &by_backend, None);
    let with_name = PASSED_ON.replace("name: tls", "name: tls, hostname: a.example.com");
    expect(&both(ALL, &with_name), &[], &[], Some(true));
    // Routes of TLS take clients with their names only.
    let tls_route =
        route("v1", "TLSRoute", "infra", "parentRefs: [{name: shared}], hostnames: [a.example.com]");
    let codes = [FindingCode::OnlyTlsRoutes];
    expect(&format!("{}{tls_route}", both(ALL, PASSED_ON)), &codes, &[], Some(true));
    // The status says which of both is in effect.
    let conflict = "status: {listeners: [{name: tls, conditions: [{type: Conflicted, status: 'True', reason: ProtocolConflict}]}]}\n";
    let yaml = format!("{}{conflict}", both(ALL, PASSED_ON));
    expect(&yaml, &[FindingCode::Conflicted], &by_backend, Some(true));
}

#[test]
fn contour_serves_them_by_routes_without_names() {
    let by_routes = [NoteCode::DecidedByRoutes];
    expect(&gateway("contour", ALL, ""), &[], &by_routes, None);
    let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: edge}\n\
                 spec: {controllerName: projectcontour.io/gateway-controller}\n";
    expect(&format!("{}{class}", gateway("edge", ALL, "")), &[], &by_routes, None);
    expect(&gateway("contour", &named(), ""), &[FindingCode::NoWildcardRoute], &[], Some(false));
}

#[test]
fn references_of_routes_have_a_bound() {
    let parents = "{name: shared}, ".repeat(objects::MAX_ROUTES + 1);
    let route = route("v1alpha2", "TCPRoute", "infra", &format!("parentRefs: [{parents}]"));
    let error = format!("{:#}", report(&route, None).unwrap_err());
    assert!(error.contains("more than 20000 routes"), "{error}");
}
