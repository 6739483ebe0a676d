//! What to do about a cause: YAML, commands, words for the client's owner.

mod apigee;
mod gateways;
mod listeners;
mod reasons;
mod yaml;

use std::net::SocketAddr;

use sni_probe_terminal::printable_within;

use self::gateways::Problem;
use self::yaml::{envoy_chain, istio_server};
use super::clients::{self, ClientLine};
use super::gateway_kind::{self, Platform, platform};
use super::judge::{is_routed, unknown_names};
use super::model::{Cause, Document, Fix, Inputs, Snippet};
use crate::check::report::AttemptKind;

/// Names that are told to add to a route.
const MAX_NAMES: usize = 20;
/// Lines of clients that are shown.
const MAX_CLIENT_LINES: usize = 8;
/// Programs with lines that are shown for load balancers and health checks.
const HEALTH_CHECKERS: [&str; 5] = [
    "HAProxy, server",
    "HAProxy, health check",
    "nginx, proxy_pass",
    "Envoy, cluster",
    "blackbox_exporter, prober http",
];
/// Clients with lines that are shown where no fingerprint is known.
const COMMON_CLIENTS: [&str; 6] =
    ["curl", "Python, ssl", "Java, SSLSocket", "Node.js, https", "Go, crypto/tls", "HAProxy, health check"];
/// Lines of other gateways that are shown.
const MAX_SNIPPETS: usize = 6;
/// What stands for something that no input tells; to be replaced.
const CREDENTIAL: &str = "CREDENTIAL_NAME";
/// The same for a host name.
const HOST_NAME: &str = "HOST_NAME";
/// Characters of a name: as long as a host name may be (RFC 1035), for it is to be typed.
const MAX_NAME: usize = 255;
/// The port, unless an active check was of another.
const HTTPS: u16 = 443;

/// The fix; `None` where there is nothing to change, or it is not known what.
pub(super) fn fix(cause: Cause, inputs: &Inputs) -> Option<Fix> {
    let place = &Place::of(inputs);
    match cause {
        Cause::NoWildcardRoute | Cause::NonSniClientNotEnabled | Cause::NotInAdditionalGateways => {
            Some(Fix { client_owner: switch_sni_on(inputs, place), ..let_them_in(inputs, place) })
        }
        Cause::LoadBalancer => {
            let mut client_owner = vec![
                "Google's load balancers, AWS NLB and ALB with TLS targets, F5 health checks and kubelet probes cannot send SNI: keep a \
                 catch-all for them."
                    .to_owned(),
                "Tell sni-probe which clients are known: --expected-non-sni gcp-lb, or --expected-non-sni ADDRESS".to_owned(),
            ];
            let name = known_name(place);
            let checkers = clients::all().iter().filter(|line| HEALTH_CHECKERS.contains(&line.software));
            client_owner.extend(checkers.map(|line| client_line(line, name, place.port)));
            Some(Fix { client_owner, ..let_them_in(inputs, place) })
        }
        Cause::UnknownName => Some(add_name(inputs, place)),
        Cause::TlsMismatch => Some(speak_newer(inputs, place)),
        Cause::CertificateRejected => Some(trust_the_gateway(place)),
        Cause::ClientCertificateRequired => Some(trust_the_client(place)),
        Cause::NothingWrong | Cause::NotEnoughEvidence => None,
        cause => reasons::fix(cause, inputs, place),
    }
}

/// The gateway, as commands and examples name it.
struct Place {
    /// A name that it serves, as it is.
    name: String,
    /// The same as a word for a shell.
    host: String,
    port: u16,
    /// What to give to `sni-probe check`: what the user gave, or the name.
    target: String,
}

impl Place {
    fn of(inputs: &Inputs) -> Self {
        let check = inputs.check.as_ref();
        let checked = check
            .and_then(|check| check.attempts.iter().find(|attempt| attempt.kind == AttemptKind::Named))
            .and_then(|named| named.server_name.clone());
        let routes = inputs.routes.iter().flat_map(|routes| &routes.routes);
        let configured = routes
            .flat_map(|route| &route.hostnames)
            // Istio has a namespace before the slash.
            .map(|host| host.rsplit('/').next().unwrap_or_default())
            .find(|host| !host.contains('*'))
            .map(str::to_owned);
        let name = checked.or(configured).unwrap_or_else(|| HOST_NAME.to_owned());
        let port = check.and_then(|check| {
            let address = check.address.as_ref().and_then(|address| address.parse::<SocketAddr>().ok());
            // A name that has no address may have a port.
            let named = || check.target.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            address.map(|address| address.port()).or_else(named)
        });
        let port = port.or_else(|| {
            let mut gateways = inputs.wire.iter().flat_map(|wire| &wire.refusals.gateways);
            let only = gateways.next().filter(|_| gateways.next().is_none());
            only.and_then(|gateway| gateway.gateway.parse::<SocketAddr>().ok()).map(|address| address.port())
        });
        let host = word(&name);
        let target =
            check.map_or_else(|| host.clone(), |check| target_word(&check.target)) + &inputs.check_flags;
        Self { name: printable(&name), host, port: port.unwrap_or(HTTPS), target }
    }
}

/// Lets clients without SNI in.
fn let_them_in(inputs: &Inputs, place: &Place) -> Fix {
    let routes = inputs.routes.as_ref();
    let platform = platform(routes);
    let (mut documents, mut commands) = (Vec::new(), Vec::new());
    let snippets = if platform == Platform::Unknown { snippets(inputs, Problem::NoSni) } else { Vec::new() };
    // Lines of another gateway are of no use.
    let may_be_envoy = platform != Platform::Unknown || snippets.is_empty() || may_be_envoy(inputs);
    if may_be_envoy && matches!(platform, Platform::Apigee | Platform::Unknown) {
        apigee::let_them_in(routes, &mut documents, &mut commands);
    }
    if let Some(routes) = routes {
        listeners::let_them_in(routes, &mut documents, &mut commands);
    }
    if may_be_envoy && platform == Platform::Unknown {
        documents.push(Document {
            file: "gateway.yaml".to_owned(),
            note: "Instead, if the gateway is plain Istio: add this server to its Gateway.".to_owned(),
            yaml: istio_server(CREDENTIAL, place.port),
        });
        documents.push(Document {
            file: "envoy.yaml".to_owned(),
            note: "Instead, if it is plain Envoy: add this chain to the listener's filter_chains, without filter_chain_match. FILTERS are \
                   the filters of the chain that has the name."
                .to_owned(),
            yaml: envoy_chain(),
        });
    }
    commands.push(format!("sni-probe check {}", place.target));
    Fix { documents, snippets, commands, warnings: warnings(), ..Fix::default() }
}

fn warnings() -> Vec<String> {
    gateways::WARNINGS.map(str::to_owned).to_vec()
}

/// Whether Envoy, or what is made of it, may be the gateway.
fn may_be_envoy(inputs: &Inputs) -> bool {
    let is_envoy = |software: &str| {
        let of_envoy =
            [gateway_kind::APIGEE, gateway_kind::ISTIO, gateway_kind::GATEWAY_API, gateway_kind::ENVOY];
        of_envoy.iter().any(|name| software.starts_with(name))
    };
    gateway_kind::candidates(inputs).iter().any(|candidate| is_envoy(&candidate.software))
}

/// The lines of the gateways that may be the one, the most certain first. Those of Envoy are a document.
fn snippets(inputs: &Inputs, problem: Problem) -> Vec<Snippet> {
    let mut snippets: Vec<Snippet> = Vec::new();
    for candidate in gateway_kind::candidates(inputs) {
        for fix in gateways::fixes_of(&candidate.software, problem) {
            let is_known = snippets.iter().any(|known| known.text == fix.text);
            if !is_known && fix.gateway != gateway_kind::ENVOY && snippets.len() < MAX_SNIPPETS {
                snippets.push(Snippet {
                    gateway: fix.gateway.to_owned(),
                    file: fix.file.to_owned(),
                    note: fix.note.to_owned(),
                    text: fix.text.to_owned(),
                    trial: fix.trial(),
                });
            }
        }
    }
    snippets
}

/// Serves names that were refused, or has them corrected.
fn add_name(inputs: &Inputs, place: &Place) -> Fix {
    let Place { host, port, .. } = place;
    let routes = inputs.routes.as_ref();
    let unknown = unknown_names(inputs).filter(|name| routes.is_none_or(|routes| !is_routed(routes, name)));
    // A log may have anything for a name.
    let sent: Vec<&str> = unknown.filter(|name| is_plain(name)).take(MAX_NAMES).collect();
    let spelled: Vec<(&str, String)> = sent.iter().map(|name| (*name, usual_spelling(name))).collect();
    let (right, misspelled): (Vec<_>, Vec<_>) = spelled.into_iter().partition(|(sent, usual)| *sent == usual);
    let mut client_owner: Vec<String> = misspelled.iter().map(|(sent, usual)| respell(sent, usual)).collect();
    let mut names: Vec<String> = right.into_iter().map(|(_, usual)| usual).collect();
    if names.is_empty() && !misspelled.is_empty() {
        let commands =
            misspelled.iter().map(|(_, usual)| format!("sni-probe check {usual}")).take(1).collect();
        return Fix { commands, client_owner, ..Fix::default() };
    }
    if names.is_empty() {
        // Of the check, where nothing else has one.
        names.push(if is_plain(&place.name) { place.name.clone() } else { HOST_NAME.to_owned() });
    }
    let platform = platform(routes);
    let snippets =
        if platform == Platform::Unknown { snippets(inputs, Problem::UnknownName) } else { Vec::new() };
    // Lines of another gateway are of no use.
    let may_be_envoy = platform != Platform::Unknown || snippets.is_empty() || may_be_envoy(inputs);
    let (mut documents, mut commands) = (Vec::new(), Vec::new());
    if may_be_envoy && matches!(platform, Platform::Apigee | Platform::Unknown) {
        let group = routes.and_then(|routes| routes.virtual_hosts.first());
        let group = group.map_or_else(|| "ENVIRONMENT_GROUP".to_owned(), |group| printable(&group.name));
        commands.push(format!(
            "# Apigee, if the gateway is to serve {}: add it to the environment group {group}, in the Apigee console under \
             Management > Environments > Environment Groups; its certificate must have the name",
            names.join(", ")
        ));
        if platform == Platform::Apigee {
            commands.push(
                "kubectl -n apigee get apigeeroutes -o jsonpath='{.items[*].spec.hostnames}'".to_owned(),
            );
        }
    }
    if may_be_envoy && platform != Platform::Apigee {
        documents.push(Document {
            file: "gateway.yaml".to_owned(),
            note: "If the gateway is to serve the name (Istio): add it to the hosts of the server whose certificate has it."
                .to_owned(),
            yaml: yaml::hosts(&names),
        });
    }
    commands.push(format!("sni-probe check {}", names[0]));
    let served: Vec<String> = routes
        .into_iter()
        .flat_map(|routes| &routes.routes)
        .flat_map(|route| &route.hostnames)
        .filter(|name| *name != "*")
        .take(MAX_NAMES)
        .map(|name| printable(name))
        .collect();
    let listed =
        if served.is_empty() { String::new() } else { format!(" Its routes have: {}", served.join(", ")) };
    client_owner.push(format!(
        "Your client asks for {}, which this gateway does not serve.{listed}",
        names.join(", ")
    ));
    client_owner.push(
        "The name in the URL is the name that is sent. A Host header does not change it, except with Node.js and an address as the \
         target."
            .to_owned(),
    );
    client_owner.push(format!("curl --resolve {host}:{port}:GATEWAY_IP {}", url(place)));
    let warnings = if snippets.is_empty() { Vec::new() } else { warnings() };
    Fix { documents, snippets, commands, warnings, client_owner }
}

/// The name as certificates and routes have it: in lower case, without a dot at its end (RFC 6066, section 3).
fn usual_spelling(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn respell(sent: &str, usual: &str) -> String {
    let what = if sent.ends_with('.') { "with a trailing dot" } else { "with upper-case letters" };
    let why = if sent.ends_with('.') {
        "a server_name has no dot at its end (RFC 6066, section 3), and no certificate has one"
    } else {
        "this gateway compares names as they are sent"
    };
    format!("Your client sends the name {what}, {sent}: {why}. Let it send {usual}.")
}

/// Has the client speak a version that the gateway speaks.
fn speak_newer(inputs: &Inputs, place: &Place) -> Fix {
    let Place { host, port, target, .. } = place;
    let mut documents = Vec::new();
    let strict = inputs.routes.iter().flat_map(|routes| &routes.routes);
    for route in strict.filter(|route| route.kind == "ApigeeRoute" && route.min_tls_version.is_some()).take(1)
    {
        documents.push(Document {
            file: format!("{}.yaml", printable(&route.name)),
            note: "Only if the client cannot be changed: TLS 1.0 and 1.1 are not safe (RFC 8996).".to_owned(),
            yaml: yaml::min_version(),
        });
    }
    Fix {
        documents,
        commands: vec![
            format!("sni-probe check {target} --tls 1.2"),
            format!("sni-probe check {target} --tls 1.3"),
            format!("openssl s_client -connect {host}:{port} -servername {host} -tls1_2 </dev/null"),
        ],
        client_owner: vec![
            "Your client and the gateway have no TLS version or cipher suite in common. Let the client offer TLS 1.2 or 1.3 \
             with ECDHE and AES-GCM."
                .to_owned(),
            "Java: 7 needs -Djdk.tls.client.protocols=TLSv1.2; 8u261 and later offer TLS 1.3.".to_owned(),
            "OpenSSL: 1.0.1 or later; Python: ssl.create_default_context(); .NET: 4.7 or later, SslProtocols.None.".to_owned(),
        ],
        ..Fix::default()
    }
}

/// Finds out who ends the connections.
fn look_between(place: &Place) -> Fix {
    let Place { port, target, .. } = place;
    Fix {
        commands: vec![
            format!("sni-probe check {target}"),
            // IPv6 packets of BIG TCP have a hop-by-hop header, so "tcp" does not match them.
            format!("sudo tcpdump -n -i any -s 0 -w gateway.pcap 'tcp port {port} or ip6[6] = 0'"),
            "sni-probe replay gateway.pcap".to_owned(),
        ],
        client_owner: vec![
            "The gateway did not reset your connection. Capture on the client's side at the same time: if a reset arrives \
             there that the gateway did not send, a firewall, proxy or load balancer in between made it."
                .to_owned(),
            "Timeouts after the hello are often an MTU too small for a hello of 1,500 bytes and more (post-quantum): try with \
             a smaller MTU."
                .to_owned(),
            "A client that ends the handshake itself may not trust the certificate: see its own log.".to_owned(),
        ],
        ..Fix::default()
    }
}

/// Finds out what clients dislike about the gateway's certificate.
fn trust_the_gateway(place: &Place) -> Fix {
    let Place { host, port, target, .. } = place;
    Fix {
        commands: vec![
            format!("sni-probe check {target}"),
            format!(
                "openssl s_client -connect {host}:{port} -servername {host} -verify_hostname {host} -verify_return_error </dev/null"
            ),
        ],
        client_owner: vec![
            "Your client ended the handshake after it had received the gateway's certificate. Its own log says why: an issuer \
             that it does not know, another name, or a date in the past."
                .to_owned(),
            "A client without SNI gets the gateway's default certificate, which has another name: let it send the name, or \
             expect that certificate."
                .to_owned(),
        ],
        ..Fix::default()
    }
}

/// Finds out which client certificates the gateway accepts.
fn trust_the_client(place: &Place) -> Fix {
    let Place { host, port, .. } = place;
    Fix {
        commands: vec![format!(
            "openssl s_client -connect {host}:{port} -servername {host} -cert CLIENT_CERTIFICATE -key CLIENT_KEY -trace </dev/null"
        )],
        client_owner: vec![
            "The gateway asks for a client certificate (mutual TLS). Your client sent none, or one that the gateway does not \
             accept: check its issuer and its dates."
                .to_owned(),
            "The list of acceptable issuers is in the output of the command above (CertificateRequest).".to_owned(),
        ],
        ..Fix::default()
    }
}

/// What makes the refused clients send SNI: the lines of the software that their fingerprints show, else those of common programs.
fn switch_sni_on(inputs: &Inputs, place: &Place) -> Vec<String> {
    let Place { name, host, port, .. } = place;
    let mut all =
        vec![format!("Your client connects without SNI: let it use the name {name} and not an IP address.")];
    let clients =
        inputs.wire.iter().flat_map(|wire| &wire.clients).filter(|client| client.refusals.refused > 0);
    let mut lines: Vec<&ClientLine> = Vec::new();
    for line in clients.filter_map(|client| client.likely.as_deref()).flat_map(clients::lines_of) {
        if !lines.contains(&line) && lines.len() < MAX_CLIENT_LINES {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        lines.extend(clients::all().iter().filter(|line| COMMON_CLIENTS.contains(&line.software)));
    }
    all.extend(lines.into_iter().map(|line| client_line(line, known_name(place), *port)));
    all.push(format!("To see it: openssl s_client -connect GATEWAY_IP:{port} -servername {host} </dev/null"));
    all
}

/// The gateway's name where an input has it. One that is not plain would need another quoting in each language.
fn known_name(place: &Place) -> Option<&str> {
    Some(place.name.as_str()).filter(|name| is_plain(name))
}

fn client_line(line: &ClientLine, name: Option<&str>, port: u16) -> String {
    let place = if line.place.is_empty() { String::new() } else { format!("{}; ", line.place) };
    let verified = match line.verified_with {
        Some(versions) => format!("tried with {versions}"),
        None => "not tried".to_owned(),
    };
    let remark = line.remark.map_or_else(String::new, |remark| format!(" {remark}"));
    format!("{}: {} ({place}{verified}).{remark}", line.software, line.with(name, Some(port)))
}

/// The gateway's URL, as a word for a shell.
fn url(place: &Place) -> String {
    let Place { host, port, .. } = place;
    if *port == HTTPS { format!("https://{host}/") } else { format!("https://{host}:{port}/") }
}

/// Whether a word means itself to a shell.
fn is_plain(word: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !word.is_empty() && word.len() <= MAX_NAME && !word.starts_with('-') && word.bytes().all(is_usual)
}

/// A name as a word of a command that somebody will copy into a shell.
fn word(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("'{}'", printable(name).replace('\'', "'\\''")) }
}

/// The target of a check as such a word; it may have a port, and the brackets of an IPv6 address.
pub(super) fn target_word(target: &str) -> String {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    let is_plain = !target.starts_with('-') && !target.is_empty() && target.bytes().all(is_usual);
    if is_plain { target.to_owned() } else { format!("'{}'", printable(target).replace('\'', "'\\''")) }
}

/// A name fit for a terminal, whole.
fn printable(name: &str) -> String {
    printable_within(MAX_NAME, name)
}
