//! Conditions of Gateways, `ListenerSets`, listeners and routes.

use super::super::report::FindingCode::{
    Conflicted, NotAccepted, NotProgrammed, OnlyTlsRoutes, RefsNotResolved,
};
use super::gateway_api::{ALL, PLAIN, TLS, allowing, gateway, route, set};
use super::*;

/// `status` of the Gateway and of its listener `https`.
fn status(of_gateway: &str, of_listener: &str) -> String {
    format!(
        "status: {{conditions: [{of_gateway}], listeners: [{{name: https, conditions: [{of_listener}]}}]}}\n"
    )
}

#[test]
fn conditions_say_what_is_not_in_effect() {
    let programmed = "{type: Programmed, status: 'True', reason: Programmed}";
    let bad_refs =
        "{type: ResolvedRefs, status: 'False', reason: InvalidCertificateRef, message: 'no secret.'}";
    let bad_kinds = bad_refs.replace("InvalidCertificateRef", "InvalidRouteKinds");
    let outdated = "{type: Accepted, status: 'False', observedGeneration: 1}";
    let unclear = [NoteCode::StatusUnknown];
    for (of_gateway, of_listener, findings, notes, serves) in [
        (programmed, programmed.to_owned(), &[][..], &[][..], Some(true)),
        ("", bad_refs.to_owned(), &[RefsNotResolved], &[], Some(false)),
        // One of several certificates.
        ("", format!("{bad_refs}, {programmed}"), &[RefsNotResolved], &[], None),
        ("", format!("{bad_kinds}, {programmed}"), &[RefsNotResolved], &[], Some(true)),
        (
            "",
            "{type: Conflicted, status: 'True', reason: HostnameConflict}".into(),
            &[Conflicted],
            &[],
            Some(false),
        ),
        ("", "{type: Conflicted, status: 'False', reason: NoConflicts}".into(), &[], &[], Some(true)),
        // As some controllers have it.
        ("", "{type: Conflicted, status: 'True', reason: NoConflicts}".into(), &[], &[], Some(true)),
        (
            "",
            "{type: Accepted, status: 'False', reason: PortUnavailable}".into(),
            &[NotAccepted],
            &[],
            Some(false),
        ),
        (
            "",
            "{type: Programmed, status: 'False', reason: Invalid}".into(),
            &[NotProgrammed],
            &[],
            Some(false),
        ),
        (
            "{type: Programmed, status: 'False', reason: Invalid}",
            String::new(),
            &[NotProgrammed],
            &[],
            Some(false),
        ),
        (
            "{type: Programmed, status: 'False', reason: Invalid}",
            programmed.into(),
            &[NotProgrammed],
            &[],
            None,
        ),
        (
            "{type: Programmed, status: 'False', reason: AddressNotAssigned}",
            String::new(),
            &[NotProgrammed],
            &[],
            None,
        ),
        (
            "{type: Accepted, status: 'False', reason: InvalidParameters}",
            String::new(),
            &[NotAccepted],
            &[],
            Some(false),
        ),
        ("{type: Accepted, status: Unknown, reason: Pending}", String::new(), &[], &unclear, None),
        ("", outdated.into(), &[], &unclear, None),
    ] {
        let yaml = gateway("eg", ALL, &status(of_gateway, &of_listener));
        expect(&yaml, findings, notes, serves);
    }
    let report = expect(&gateway("eg", ALL, &status("", bad_refs)), &[RefsNotResolved], &[], Some(false));
    let finding = &report.findings[0];
    assert_eq!(finding.path, "status.listeners[https].conditions[ResolvedRefs]");
    assert_eq!((&*finding.value, &*finding.expected), ("False (InvalidCertificateRef)", "True"));
    assert!(finding.sentence.ends_with(": no secret."), "{}", finding.sentence);
    // Of a listener without TLS it says nothing about clients without SNI.
    let plain = status("", &bad_kinds).replace("name: https", "name: http");
    expect(&gateway("eg", PLAIN, &plain), &[], &[], None);
}

#[test]
fn old_conditions_count_where_there_are_no_new_ones() {
    let detached = "{type: Detached, status: 'True', reason: PortUnavailable}";
    let not_ready = "{type: Ready, status: 'False', reason: Invalid}";
    for (of_gateway, of_listener, findings, serves) in [
        ("", detached.to_owned(), &[NotAccepted][..], Some(false)),
        ("", not_ready.to_owned(), &[NotProgrammed], Some(false)),
        ("", format!("{detached}, {not_ready}"), &[NotAccepted, NotProgrammed], Some(false)),
        (not_ready, String::new(), &[NotProgrammed], Some(false)),
        (
            "{type: Scheduled, status: 'False', reason: NoResources}",
            String::new(),
            &[NotAccepted],
            Some(false),
        ),
        ("", "{type: Detached, status: 'False'}, {type: Ready, status: 'True'}".to_owned(), &[], Some(true)),
        // The new ones count.
        ("", format!("{{type: Accepted, status: 'True'}}, {detached}"), &[], Some(true)),
        ("", format!("{{type: Programmed, status: 'True'}}, {not_ready}"), &[], Some(true)),
    ] {
        expect(&gateway("istio", ALL, &status(of_gateway, &of_listener)), findings, &[], serves);
    }
    let report = report(&gateway("istio", ALL, &status("", detached)), None).unwrap();
    assert_eq!(report.findings[0].expected, "False");
}

#[test]
fn a_listener_set_is_in_effect_only_if_its_gateway_is() {
    let not_accepted = "{type: Accepted, status: 'False', reason: InvalidParameters}";
    let not_programmed = "{type: Programmed, status: 'False', reason: Invalid}";
    let programmed = "{type: Programmed, status: 'True'}";
    for (of_gateway, of_set, findings, notes, serves) in [
        ("", "", &[][..], &[][..], Some(true)),
        (not_accepted, "", &[NotAccepted], &[], Some(false)),
        (not_programmed, "", &[NotProgrammed], &[], Some(false)),
        (&*format!("{not_accepted}, {not_programmed}"), "", &[NotAccepted, NotProgrammed], &[], Some(false)),
        ("{type: Accepted, status: Unknown}", "", &[], &[NoteCode::StatusUnknown], None),
        // The set's own word is the more exact one.
        (not_programmed, programmed, &[NotProgrammed], &[], None),
        (not_programmed, "{type: Accepted, status: 'True'}", &[NotProgrammed], &[], Some(false)),
    ] {
        let more = format!("{}status: {{conditions: [{of_gateway}]}}\n", allowing("All"));
        let of_set = format!("status: {{conditions: [{of_set}]}}\n");
        let yaml = format!("{}{}", gateway("eg", PLAIN, &more), set(ALL, &of_set));
        expect(&yaml, findings, notes, serves);
    }
    // Without a TLS listener the status of the Gateway says nothing about clients without SNI.
    let more = format!("{}status: {{conditions: [{not_accepted}]}}\n", allowing("All"));
    expect(&format!("{}{}", gateway("eg", PLAIN, &more), set(PLAIN, "")), &[], &[], None);
}

#[test]
fn a_route_takes_connections_only_if_it_is_accepted() {
    let tcp = route("v1alpha2", "TCPRoute", "infra", "parentRefs: [{name: shared, sectionName: tls}]");
    let tls =
        route("v1alpha3", "TLSRoute", "infra", "parentRefs: [{name: shared}], hostnames: [a.example.com]");
    let state = |parent: &str, condition: &str| {
        format!(
            "status: {{parents: [{{parentRef: {{{parent}}}, controllerName: c, conditions: [{condition}]}}]}}\n"
        )
    };
    let here = "name: shared, sectionName: tls";
    let refused = "{type: Accepted, status: 'False', reason: NotAllowedByListeners, message: not allowed}";
    let accepted = "{type: Accepted, status: 'True'}";
    let by_routes = [NoteCode::DecidedByRoutes];
    for (routes, findings, notes, serves) in [
        (format!("{tcp}{}", state(here, accepted)), &[][..], &[][..], Some(true)),
        (format!("{tcp}{}", state(here, refused)), &[NotAccepted], &[], Some(false)),
        // Of another listener.
        (format!("{tcp}{}", state("name: shared, sectionName: other", refused)), &[], &[], Some(true)),
        // The namespace may be written out.
        (
            format!("{tcp}{}", state(&format!("{here}, namespace: infra"), refused)),
            &[NotAccepted],
            &[],
            Some(false),
        ),
        (format!("{tcp}{}", state(here, "{type: Accepted, status: Unknown}")), &[], &by_routes, None),
        (format!("{tcp}{}", state(here, "{type: ResolvedRefs, status: 'False'}")), &[], &[], Some(true)),
        // One that is accepted is enough.
        (
            format!("{tcp}{}{}", state(here, refused), tcp.replace("name: r,", "name: s,")),
            &[],
            &[],
            Some(true),
        ),
        // A route that is not accepted takes no clients with its names either.
        (format!("{tls}{}", state("name: shared", refused)), &[], &by_routes, None),
        (format!("{tls}{}", state("name: shared", accepted)), &[OnlyTlsRoutes], &[], Some(false)),
        (format!("{tls}{tcp}{}", state(here, refused)), &[NotAccepted], &[], Some(false)),
        // The controller knows the labels of namespaces.
        (
            format!(
                "{}{}",
                tcp.replace("namespace: infra}\n", "namespace: team}\n")
                    .replace("name: shared", "name: shared, namespace: infra"),
                state(&format!("{here}, namespace: infra"), accepted)
            ),
            &[],
            &[],
            Some(true),
        ),
    ] {
        expect(&format!("{}{routes}", gateway("eg", TLS, "")), findings, notes, serves);
    }
    let yaml = format!("{}{tcp}{}", gateway("eg", TLS, ""), state(here, refused));
    let finding = &report(&yaml, None).unwrap().findings[0];
    assert_eq!(
        (&*finding.object, &*finding.path),
        ("infra/r", "status.parents[infra/shared].conditions[Accepted]")
    );
    assert_eq!(finding.sentence, "TCPRoute infra/r is not accepted: not allowed.");
}
