//! The fix of causes that are not about names.

use sni_probe_model::facts::Detail;

use super::gateways::Problem;
use super::{CREDENTIAL, Place, look_between, word};
use crate::diagnose::model::{Cause, Document, Fix, Inputs};
use crate::diagnose::wire::WireFacts;
use crate::routes::report::FindingCode;

/// The fix of `cause`; `None` if it is none of these.
pub(super) fn fix(cause: Cause, inputs: &Inputs, place: &Place) -> Option<Fix> {
    let mut fix = match cause {
        Cause::NotAboutNames => not_about_names(),
        Cause::ProxyProtocolMismatch => proxy_protocol(inputs),
        Cause::HelloTooLarge => hello_too_large(),
        Cause::SplitHello => split_hello(),
        Cause::IncompleteHellos => incomplete_hellos(place),
        Cause::AlpnMismatch => alpn(inputs),
        Cause::GatewayClosedFirst => closed_first(),
        Cause::PlainHttpPort => plain_http_port(),
        Cause::PlainHttpClient => plain_http_client(place),
        Cause::NoCertificate => no_certificate(inputs),
        Cause::NotProgrammed => not_programmed(inputs),
        Cause::UpstreamUnreachable => upstream_unreachable(),
        Cause::RejectedByHttp => rejected_by_http(inputs, place),
        Cause::NotTheGateway => return Some(look_between(place)),
        _ => return None,
    };
    let is_wire_only = matches!(cause, Cause::PlainHttpClient | Cause::UpstreamUnreachable);
    if !is_wire_only {
        fix.commands.push(format!("sni-probe check {}", place.target));
    }
    Some(fix)
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn document(file: &str, note: &str, yaml: &str) -> Document {
    Document { file: file.to_owned(), note: note.to_owned(), yaml: yaml.to_owned() }
}

fn not_about_names() -> Fix {
    Fix {
        commands: lines(&[
            "# A certificate: istioctl proxy-config secret POD -n NAMESPACE (Istio); a secret in state WARMING has not come",
            "kubectl get gateways.gateway.networking.k8s.io -A -o wide  # PROGRAMMED must be True",
            "# A PROXY header: see that load balancer and listener agree; --capture of the gateway shows what arrives",
        ]),
        client_owner: lines(&[
            "Nothing to change at the client: the gateway refuses every connection, with any name.",
        ]),
        ..Fix::default()
    }
}

const ENVOY_PROXY_PROTOCOL: &str = "\
listener_filters:
- name: envoy.filters.listener.proxy_protocol
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
";
const ENVOY_PROXY_PROTOCOL_OPTIONAL: &str = "\
listener_filters:
- name: envoy.filters.listener.proxy_protocol
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
    allow_requests_without_proxy_protocol: true
";

fn proxy_protocol(inputs: &Inputs) -> Fix {
    let with_header = inputs
        .wire
        .iter()
        .flat_map(WireFacts::facts)
        .any(|(_, fact)| matches!(fact.detail, Detail::ProxyHeader { refused_with_header: true }));
    if with_header {
        Fix {
            documents: vec![document(
                "envoy.yaml",
                "Envoy: let the listener read the PROXY header, before tls_inspector. Otherwise switch the header off at the load \
                 balancer.",
                ENVOY_PROXY_PROTOCOL,
            )],
            commands: lines(&[
                "# nginx: listen 443 ssl proxy_protocol;    HAProxy: bind :443 ssl crt CERTIFICATE_FILE accept-proxy",
            ]),
            client_owner: lines(&[
                "The load balancer before the gateway sends a PROXY header that the gateway does not expect. Clients are not the reason.",
            ]),
            ..Fix::default()
        }
    } else {
        Fix {
            documents: vec![document(
                "envoy.yaml",
                "Envoy: accept connections without a PROXY header, too. Only where no client can reach the listener past the load \
                 balancer: a client could send a header with any address.",
                ENVOY_PROXY_PROTOCOL_OPTIONAL,
            )],
            commands: lines(&[
                "# Or send the header. HAProxy: server NAME ADDRESS send-proxy-v2    nginx stream: proxy_protocol on;",
            ]),
            client_owner: lines(&[
                "The gateway expects a PROXY header. Connect through the load balancer that adds it, and not to the gateway itself.",
            ]),
            ..Fix::default()
        }
    }
}

fn hello_too_large() -> Fix {
    Fix {
        commands: lines(&[
            "# Envoy: tls_inspector reads at most 16,384 bytes; remove a smaller max_client_hello_size",
            "# HAProxy, mode tcp: tune.bufsize 32768 (global), and tcp-request inspect-delay 5s",
            "# Others: update a proxy or firewall that expects a ClientHello in one packet (see https://tldr.fail)",
        ]),
        client_owner: lines(&[
            "Your client sends a large ClientHello, most likely with a post-quantum key share (X25519MLKEM768), and the gateway or a \
             program before it refuses it.",
            "Until that is mended: curl --curves X25519; Go: GODEBUG=tlsmlkem=0; Chrome: policy PostQuantumKeyAgreementEnabled false; \
             OpenSSL: Groups = X25519:P-256.",
        ]),
        ..Fix::default()
    }
}

fn split_hello() -> Fix {
    Fix {
        commands: lines(&[
            "# HAProxy, mode tcp: tcp-request inspect-delay 5s, and tcp-request content accept if { req.ssl_hello_type 1 }",
            "# HAProxy in mode tcp and sniproxy do not read a ClientHello over two TLS records: end TLS there (mode http), or use \
             nginx stream or Envoy",
            "# Others: update a proxy or firewall that expects a ClientHello in one packet (see https://tldr.fail)",
        ]),
        client_owner: lines(&[
            "Your client sends its ClientHello in several segments or records, and the gateway or a program before it refuses this.",
            "Until that is mended, a ClientHello that fits into one segment works: without post-quantum groups, or with fewer extensions.",
        ]),
        ..Fix::default()
    }
}

fn incomplete_hellos(place: &Place) -> Fix {
    let Place { port, .. } = place;
    Fix {
        commands: vec![
            "tracepath -n CLIENT_IP  # from the gateway: the smallest MTU of the way".to_owned(),
            "iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu  # on the router in between"
                .to_owned(),
            format!("sudo tcpdump -n -i any -s 0 -w gateway.pcap 'tcp port {port} or ip6[6] = 0'"),
        ],
        client_owner: lines(&[
            "Only a part of your client's ClientHello arrives. Large packets may be lost on the way: try ping -M do -s 1472 GATEWAY_IP, and \
             a smaller MTU.",
            "A client that is closed while it connects, and a port scan, look the same.",
        ]),
        ..Fix::default()
    }
}

fn alpn(inputs: &Inputs) -> Fix {
    let protocols = inputs.wire.iter().flat_map(WireFacts::facts).find_map(|(_, fact)| match &fact.detail {
        Detail::Alpn { served_protocols, .. } if !served_protocols.is_empty() => {
            Some(served_protocols.join(", "))
        }
        _ => None,
    });
    let protocols = protocols.unwrap_or_else(|| "PROTOCOL".to_owned());
    Fix {
        documents: vec![document(
            "envoy.yaml",
            "Envoy: offer what the clients ask for, in common_tls_context of the filter chain.",
            "common_tls_context:\n  alpn_protocols: [\"h2\", \"http/1.1\"]\n",
        )],
        commands: lines(&[
            "# nginx: http2 on; (listen ... http2 before 1.25.1)    HAProxy: bind ... alpn h2,http/1.1",
        ]),
        client_owner: vec![format!(
            "Your client offers no application protocol (ALPN) that the gateway has. Served clients offer: {}",
            super::printable(&protocols)
        )],
        ..Fix::default()
    }
}

fn closed_first() -> Fix {
    Fix {
        commands: lines(&[
            "# Envoy: a listener with server_names needs the listener filter envoy.filters.listener.tls_inspector; without it, it closes at \
             once",
            "# Envoy: listener_filters_timeout (15 s) ends connections without a byte; raise it only if clients cannot send sooner",
        ]),
        client_owner: lines(&[
            "Your client opens a connection and sends its ClientHello later than the gateway waits. Send it at once: no connections in \
             advance (browsers' preconnect, pools with a minimum of idle connections).",
            "A retry helps, because the gateway has seen nothing of the request.",
        ]),
        ..Fix::default()
    }
}

fn plain_http_port() -> Fix {
    Fix {
        documents: vec![document(
            "gateway.yaml",
            "Istio: if the port is to speak TLS, its server needs the protocol HTTPS and tls; HTTP ignores tls.",
            "spec:\n  servers:\n  - port:\n      number: 443\n      name: https\n      protocol: HTTPS\n    hosts: [\"HOST_NAME\"]\n    tls:\n      mode: SIMPLE\n      credentialName: CREDENTIAL_NAME\n",
        )],
        commands: lines(&["curl -v http://GATEWAY_IP:PORT/  # an answer shows that the port speaks HTTP"]),
        client_owner: lines(&[
            "Your client speaks TLS to a port that speaks plain HTTP: use the port for HTTPS, or http:// in the URL.",
            "Istio's sidecars and DestinationRules: tls.mode SIMPLE to a backend without TLS gives the same; use DISABLE or ISTIO_MUTUAL.",
        ]),
        ..Fix::default()
    }
}

fn plain_http_client(place: &Place) -> Fix {
    Fix {
        commands: lines(&[
            "# Load balancer before the gateway: its backend protocol and its health check must be HTTPS, not HTTP",
            "# Or give plain HTTP a port of its own that redirects to HTTPS (Istio: tls.httpsRedirect: true)",
        ]),
        client_owner: vec![format!(
            "Your client sends plain HTTP to the port for TLS: use {}, and not http://",
            super::url(place)
        )],
        ..Fix::default()
    }
}

fn no_certificate(inputs: &Inputs) -> Fix {
    let findings = inputs.routes.iter().flat_map(|routes| &routes.findings);
    let finding = findings
        .into_iter()
        .find(|finding| matches!(finding.code, FindingCode::NoCredential | FindingCode::RefsNotResolved));
    let mut commands = Vec::new();
    if let Some(finding) = finding {
        commands.push(format!("# {}", super::printable(&finding.sentence)));
    }
    let routes = inputs.routes.iter().flat_map(|routes| &routes.routes);
    let mut named = routes.filter_map(|route| Some((route.credential.as_deref()?, route.namespace.as_str())));
    let only = named.next().filter(|first| named.all(|other| other == *first));
    let (credential, namespace) = match only {
        Some((credential, namespace)) if !namespace.is_empty() => (word(credential), word(namespace)),
        _ => (CREDENTIAL.to_owned(), "NAMESPACE".to_owned()),
    };
    commands.push(format!("kubectl -n {namespace} get secret {credential}"));
    commands.push(format!(
        "kubectl -n {namespace} create secret tls {credential} --cert=CERTIFICATE_FILE --key=KEY_FILE"
    ));
    commands.push("# Istio: the secret must be in the namespace of the gateway's pods; istioctl proxy-config secret POD shows it".to_owned());
    commands
        .push("# Gateway API: a certificate of another namespace needs a ReferenceGrant there".to_owned());
    Fix {
        commands,
        client_owner: lines(&[
            "Nothing to change at the client: the gateway has no certificate for this listener.",
        ]),
        ..Fix::default()
    }
}

fn not_programmed(inputs: &Inputs) -> Fix {
    let findings = inputs.routes.iter().flat_map(|routes| &routes.findings);
    let of_status = findings.filter(|finding| {
        matches!(
            finding.code,
            FindingCode::NotProgrammed
                | FindingCode::NotAccepted
                | FindingCode::Conflicted
                | FindingCode::ListenerSetNotAllowed
                | FindingCode::NotRunning
        )
    });
    let mut commands: Vec<String> = Vec::new();
    for finding in of_status.take(5) {
        let (namespace, name) =
            finding.object.split_once('/').unwrap_or(("NAMESPACE", finding.object.as_str()));
        let kind = if finding.code == FindingCode::NotRunning { "apigeeroute" } else { "gateway" };
        commands.push(format!(
            "kubectl -n {} describe {kind} {}  # {} is {}",
            word(namespace),
            word(name.split('/').next().unwrap_or_default()),
            super::printable(&finding.path),
            super::printable(&finding.value)
        ));
    }
    if commands.is_empty() {
        commands.push(
            "kubectl get gateways.gateway.networking.k8s.io -A -o wide  # PROGRAMMED must be True".to_owned(),
        );
    }
    commands.push("# The condition's message says what to mend: an address, a port that another listener has, a missing reference".to_owned());
    Fix {
        commands,
        client_owner: lines(&[
            "Nothing to change at the client: the gateway's configuration is not in effect.",
        ]),
        ..Fix::default()
    }
}

fn upstream_unreachable() -> Fix {
    Fix {
        commands: lines(&[
            "kubectl -n NAMESPACE get endpoints SERVICE  # none: no pod is ready, or the selector fits none",
            "# Envoy: curl -s ADMIN_ADDRESS/clusters | grep -E 'health_flags|cx_connect_fail'",
            "# TLS passthrough: the gateway connects to the backend only after the ClientHello, so a dead backend looks like a refusal",
        ]),
        client_owner: lines(&["Nothing to change at the client: the gateway cannot reach its backend."]),
        ..Fix::default()
    }
}

fn rejected_by_http(inputs: &Inputs, place: &Place) -> Fix {
    let Place { host, port, .. } = place;
    let snippets = super::snippets(inputs, Problem::NoSni);
    let warnings = if snippets.is_empty() { Vec::new() } else { super::warnings() };
    Fix {
        snippets,
        warnings,
        commands: vec![format!(
            "curl -sv -o /dev/null --resolve {host}:{port}:GATEWAY_IP {}  # with the name: is it served?",
            super::url(place)
        )],
        client_owner: lines(&[
            "The handshake works; the gateway answers the request with an HTTP error because the name in the handshake is missing, or \
             differs from the Host header. Let the client send the name of the Host header as SNI.",
            "Status 421: do not reuse a connection that was made for another name.",
        ]),
        ..Fix::default()
    }
}
