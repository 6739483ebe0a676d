//! Fixes that fit the user's own files.

use super::*;

/// A listener of a Gateway.
fn listener(kind: &str, name: &str, host: &str) -> Route {
    Route { kind: kind.to_owned(), ..route(name, host, None, &[]) }
}

#[test]
fn istio_and_the_gateway_api_have_fixes_of_their_own() {
    for (kind, list) in [("Gateway (Istio)", "servers"), ("Gateway (Gateway API)", "listeners")] {
        let mut routes = no_wildcard();
        routes.virtual_hosts.clear();
        // The finding is of the second Gateway, and its second port; the first has a wildcard.
        routes.routes = vec![
            listener(kind, "other/https", "*"),
            listener(kind, "ingress/https", NAME),
            listener(kind, "ingress/more", NAME),
        ];
        routes.routes[2].ports = vec![8443];
        routes.routes[2].credential = Some("more-cert".to_owned());
        routes.findings[0].object = "apigee/ingress".to_owned();
        routes.findings[0].path = format!("spec.{list}[1].hosts");
        let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes: Some(routes), ..Inputs::default() };
        let diagnosis = diagnose(&inputs);
        expect(&diagnosis, Cause::NoWildcardRoute, Confidence::Certain);
        assert!(!diagnosis.sentence.contains("no route has"), "{}", diagnosis.sentence);
        let added = &document(&diagnosis, "ingress.yaml")["spec"][list][0];
        assert!(added["tls"].is_object());
        assert!(added["port"] == 8443 || added["port"]["number"] == 8443, "{added}");
        assert!(added["tls"].to_string().contains("more-cert"), "{added}");
    }
}

#[test]
fn a_listener_that_is_there_is_corrected() {
    let mut routes = no_wildcard();
    routes.virtual_hosts.clear();
    routes.routes = vec![listener("Gateway (Istio)", "ingress/https", "*")];
    routes.findings[0] = Finding {
        code: FindingCode::TlsNotTerminated,
        object: "apigee/ingress".to_owned(),
        path: "spec.servers[0].tls.mode".to_owned(),
        value: "PASSTHROUGH".to_owned(),
        expected: "SIMPLE".to_owned(),
        sentence: String::new(),
    };
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes: Some(routes), ..Inputs::default() };
    let fix = diagnose(&inputs).fix.unwrap();
    assert_eq!(fix.documents, []);
    assert_eq!(
        fix.commands[0],
        "kubectl -n apigee edit gateways.networking.istio.io ingress  # change only: spec.servers[0].tls.mode: SIMPLE"
    );
}

#[test]
fn a_fix_names_the_target_and_its_port() {
    let mut check = check(CheckVerdict::Unknown, [AttemptOutcome::Timeout; 3]);
    check.target = "10.0.0.1:8443".to_owned();
    check.address = Some(check.target.clone());
    let inputs = Inputs {
        wire: Some(wire(&[("present", "timeout", 3)])),
        check: Some(check.clone()),
        ..Inputs::default()
    };
    let commands = diagnose(&inputs).fix.unwrap().commands;
    assert_eq!(commands[0], "sni-probe check 10.0.0.1:8443");
    assert!(commands[1].ends_with("'tcp port 8443 or ip6[6] = 0'"), "{commands:?}");
    // A name that is not plain is no part of a line to paste.
    check.attempts[0].server_name = Some("it's".to_owned());
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), check: Some(check), ..Inputs::default() };
    let owner = diagnose(&inputs).fix.unwrap().client_owner.join("\n");
    assert!(owner.contains("SNIHostName(\"NAME\")") && owner.contains("-servername 'it'\\''s'"), "{owner}");
}

#[test]
fn no_name_of_a_log_or_a_file_is_a_command() {
    let mut log = logs(0, 4);
    log.by_name[0].name = "$(touch x)".to_owned();
    let mut routes = no_wildcard();
    routes.virtual_hosts[0].name = "a;b'c".to_owned();
    let commands = |inputs: &Inputs| diagnose(inputs).fix.unwrap().commands.join("\n");
    let inputs = Inputs { logs: Some(log), ..Inputs::default() };
    assert!(!commands(&inputs).contains("$("), "{}", commands(&inputs));
    let inputs = Inputs { wire: Some(resets("10.138.0.28")), routes: Some(routes), ..Inputs::default() };
    assert!(commands(&inputs).contains("envgroup='a;b'\\''c'"), "{}", commands(&inputs));
}

/// The status of the Gateway says why everything is refused, and a log may say nothing.
#[test]
fn a_listener_that_is_not_in_effect() {
    let mut routes = no_wildcard();
    routes.virtual_hosts.clear();
    routes.routes = vec![listener("Gateway (Gateway API)", "eg/https", "*")];
    routes.serves_non_sni = Some(false);
    let finding = |code, path: &str, value: &str| Finding {
        code,
        object: "default/eg".to_owned(),
        path: path.to_owned(),
        value: value.to_owned(),
        expected: "True".to_owned(),
        sentence: String::new(),
    };
    routes.findings = vec![finding(
        FindingCode::NotProgrammed,
        "status.listeners[https].conditions[Programmed]",
        "False (Invalid)",
    )];
    let of = |routes: &RoutesReport| Inputs {
        wire: Some(resets("10.138.0.28")),
        routes: Some(routes.clone()),
        ..Inputs::default()
    };
    expect(&golden("not_programmed", &of(&routes)), Cause::NotProgrammed, Confidence::Certain);
    routes.findings = vec![finding(
        FindingCode::RefsNotResolved,
        "status.listeners[https].conditions[ResolvedRefs]",
        "False (InvalidCertificateRef)",
    )];
    expect(&golden("no_certificate", &of(&routes)), Cause::NoCertificate, Confidence::Certain);
}
