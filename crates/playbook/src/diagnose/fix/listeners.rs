//! The fix of Gateways of Istio and of the Gateway API: a listener for whoever sends no name, or what is wrong with the
//! one that is there.

use super::yaml::{gateway_listener, istio_server};
use super::{CREDENTIAL, HTTPS, printable, word};
use crate::diagnose::model::Document;
use crate::routes::report::{Finding, FindingCode, Route, RoutesReport};

const ISTIO: &str = "Gateway (Istio)";
const GATEWAY_API: &str = "Gateway (Gateway API)";

/// Adds what makes the gateways of the findings take clients without SNI.
pub(super) fn let_them_in(routes: &RoutesReport, documents: &mut Vec<Document>, commands: &mut Vec<String>) {
    for finding in &routes.findings {
        let of_gateway: Vec<&Route> =
            routes.routes.iter().filter(|route| is_of(route, &finding.object)).collect();
        let Some(first) = of_gateway.first() else { continue };
        match finding.code {
            FindingCode::NoWildcardRoute => add(first, finding, &of_gateway, documents, commands),
            FindingCode::TlsNotTerminated | FindingCode::NoCredential => {
                correct(first, finding, &of_gateway, commands);
            }
            _ => {}
        }
    }
}

/// Whether it is a server or a listener of the Gateway "namespace/name".
fn is_of(route: &Route, object: &str) -> bool {
    let is_listener = matches!(route.kind.as_str(), ISTIO | GATEWAY_API);
    is_listener && format!("{}/{}", route.namespace, gateway(route)) == object
}

/// The name of the object; that of the listener is behind the slash.
fn gateway(route: &Route) -> &str {
    route.name.split('/').next().unwrap_or_default()
}

fn add(
    first: &Route,
    finding: &Finding,
    of_gateway: &[&Route],
    documents: &mut Vec<Document>,
    commands: &mut Vec<String>,
) {
    // The finding is of a port; it names the first listener of it.
    let listener = index_of(finding).and_then(|index| of_gateway.get(index)).unwrap_or(&first);
    let port = listener.ports.first().copied().unwrap_or(HTTPS);
    let of_any = || of_gateway.iter().find_map(|route| route.credential.as_deref());
    let credential = listener.credential.as_deref().or_else(of_any).unwrap_or(CREDENTIAL);
    let file = format!("{}.yaml", word(gateway(first)));
    let yaml =
        if first.kind == ISTIO { istio_server(credential, port) } else { gateway_listener(credential, port) };
    commands.push(format!("kubectl -n {} apply -f {file}", word(&first.namespace)));
    documents.push(Document {
        file,
        note: format!(
            "Add this to the {} {} beside what is there, then apply the file.",
            first.kind,
            printable(&finding.object)
        ),
        yaml,
    });
}

/// The field of the listener that is there: a second one would be in conflict with it.
fn correct(first: &Route, finding: &Finding, of_gateway: &[&Route], commands: &mut Vec<String>) {
    let value = if finding.code == FindingCode::NoCredential {
        let credential = of_gateway.iter().find_map(|route| route.credential.as_deref());
        let credential = printable(credential.unwrap_or(CREDENTIAL));
        if first.kind == ISTIO { credential } else { format!("[{{name: {credential}}}]") }
    } else {
        printable(&finding.expected)
    };
    let kind = if first.kind == ISTIO {
        "gateways.networking.istio.io"
    } else {
        "gateways.gateway.networking.k8s.io"
    };
    commands.push(format!(
        "kubectl -n {} edit {kind} {}  # change only: {}: {value}",
        word(&first.namespace),
        word(gateway(first)),
        printable(&finding.path)
    ));
}

/// The number in the path of a finding, such as `spec.servers[1].hosts`.
fn index_of(finding: &Finding) -> Option<usize> {
    finding.path.split_once('[')?.1.split_once(']')?.0.parse().ok()
}
