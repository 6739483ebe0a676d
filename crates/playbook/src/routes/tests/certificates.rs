//! Where listeners of the Gateway API name their certificate, and which clients need one.

use super::gateway_api::{ALL, PLAIN, TLS, allowing, gateway, set};
use super::*;

#[test]
fn clients_of_a_listener_that_validates_them_need_a_certificate() {
    let validating = ALL.replace("tls: {", "tls: {frontendValidation: {caCertificateRefs: [{name: ca}]}, ");
    expect(&gateway("istio", &validating, ""), &[], &[NoteCode::ClientCertificate], Some(true));
}

#[test]
fn only_what_names_a_certificate_is_one() {
    let none = [FindingCode::NoCredential];
    let unknown = [NoteCode::CertificateUnknown];
    let with = |tls: &str| ALL.replace("certificateRefs: [{name: c}]", tls);
    let bare = "{name: https, port: 443, protocol: HTTPS}".to_owned();
    for (class, listener, findings, notes, serves) in [
        ("kgateway", with("options: {kgateway.dev/alpn-protocols: h2}"), &none[..], &[][..], Some(false)),
        ("istio", with("mode: Terminate"), &none, &[], Some(false)),
        ("istio", bare.clone(), &none, &[], Some(false)),
        ("istio", with("options: {gateway.istio.io/tls-terminate-mode: ISTIO_SIMPLE}"), &[], &[], Some(true)),
        (
            "gke-l7-global-external-managed",
            with("options: {networking.gke.io/pre-shared-certs: c}"),
            &[],
            &[],
            Some(true),
        ),
        ("istio", with("options: {example.com/tls: c}"), &[], &unknown, None),
        // An option beside a certificate.
        ("kgateway", with("certificateRefs: [{name: c}], options: {a.b/c: d}"), &[], &[], Some(true)),
        // Implementations that are not known, or that have it in objects of their own.
        ("example", bare.clone(), &[], &unknown, None),
        ("example", with("mode: Terminate"), &none, &[], Some(false)),
        ("aws-alb-gateway-class", bare.clone(), &[], &unknown, None),
        ("aws-alb-gateway-class", with("mode: Terminate"), &[], &unknown, None),
    ] {
        expect(&gateway(class, &listener, ""), findings, notes, serves);
    }
    let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: edge}\n\
                 spec: {controllerName: gateway.k8s.aws/nlb}\n";
    expect(&format!("{}{class}", gateway("edge", &bare, "")), &[], &unknown, None);
}

#[test]
fn an_option_of_istio_asks_for_a_certificate() {
    let mode = |mode: &str| {
        ALL.replace("tls: {", &format!("tls: {{options: {{gateway.istio.io/tls-terminate-mode: {mode}}}, "))
    };
    expect(&gateway("istio", &mode("MUTUAL"), ""), &[], &[NoteCode::ClientCertificate], Some(true));
    expect(&gateway("istio", &mode("SIMPLE"), ""), &[], &[], Some(true));
}

#[test]
fn a_gateway_asks_for_certificates_by_port() {
    let asks = "validation: {caCertificateRefs: [{name: ca}]}";
    let optional = "validation: {mode: AllowInsecureFallback, caCertificateRefs: [{name: ca}]}";
    let note = [NoteCode::ClientCertificate];
    for (frontend, notes) in [
        (format!("default: {{{asks}}}"), &note[..]),
        (format!("default: {{{optional}}}"), &[]),
        ("default: {}".to_owned(), &[]),
        (format!("default: {{}}, perPort: [{{port: 443, tls: {{{asks}}}}}]"), &note),
        (format!("default: {{}}, perPort: [{{port: 8443, tls: {{{asks}}}}}]"), &[]),
        (format!("default: {{{asks}}}, perPort: [{{port: 443, tls: {{{optional}}}}}]"), &[]),
        (format!("default: {{{asks}}}, perPort: [{{port: 8443, tls: {{}}}}]"), &note),
    ] {
        let more = format!("  tls: {{frontend: {{{frontend}}}}}\n{}", allowing("All"));
        expect(&gateway("eg", ALL, &more), &[], notes, Some(true));
        // Of listeners of a set too.
        expect(&format!("{}{}", gateway("eg", PLAIN, &more), set(ALL, "")), &[], notes, Some(true));
        // But not of protocol TLS.
        expect(&gateway("eg", TLS, &more), &[], &[NoteCode::DecidedByRoutes], None);
    }
    let wrong = report(&gateway("eg", ALL, "  tls: {frontend: {perPort: [{port: x}]}}\n"), None).unwrap_err();
    assert!(format!("{wrong:#}").contains("spec.tls.frontend.perPort[0].port: expected a port"), "{wrong:#}");
}
