//! The fix of an Apigee installation: the wildcard `ApigeeRoute`, and the lists of gateways that name it.
//!
//! A route that is there keeps all that is right with it: only what is wrong is patched, or told as a line to edit.

use std::collections::BTreeMap;

use super::yaml::{apigee_route, is_file_name, overrides, route_patch};
use super::{CREDENTIAL, printable, word};
use crate::diagnose::model::Document;
use crate::routes::report::{Finding, FindingCode, Route, RoutesReport, VirtualHost};

/// The name of Google's page for the wildcard route.
const USUAL_NAME: &str = "non-sni";
/// Stands for the name of the environment group, where no input tells it.
const GROUP: &str = "ENVIRONMENT_GROUP";

/// Adds what makes the gateway take clients without SNI, as far as it is not so already.
pub(super) fn let_them_in(
    routes: Option<&RoutesReport>,
    documents: &mut Vec<Document>,
    commands: &mut Vec<String>,
) {
    let all: Vec<&Route> = routes
        .into_iter()
        .flat_map(|routes| &routes.routes)
        .filter(|route| route.kind == "ApigeeRoute")
        .collect();
    let wildcards: Vec<&Route> = all.iter().copied().filter(|route| route.wildcard).collect();
    let credential = all.iter().find_map(|route| route.credential.as_deref());
    let first = wildcards.first().or(all.first());
    let namespace = first.map(|route| route.namespace.as_str()).filter(|name| !name.is_empty());
    let namespace = namespace.unwrap_or("apigee");
    let name = wildcards.first().map_or_else(|| free_name(&all), |route| route.name.clone());
    if wildcards.is_empty() {
        create(namespace, &name, credential, documents, commands);
    }
    let findings = routes.map_or(&[][..], |routes| &routes.findings);
    for route in &all {
        correct(route, findings, credential, documents, commands);
    }
    let is_unlisted = |finding: &Finding| {
        matches!(finding.code, FindingCode::NotInAdditionalGateways | FindingCode::UnknownAdditionalGateway)
    };
    if wildcards.is_empty() || findings.iter().any(is_unlisted) {
        list(routes, &all, namespace, &name, documents, commands);
    }
}

/// A name that no route has: a route of that name would be overwritten.
fn free_name(routes: &[&Route]) -> String {
    let is_free = |name: &String| !routes.iter().any(|route| route.name == *name);
    // There is one among the first of them, for each route takes one away.
    let numbered = (2..routes.len() + 3).map(|number| format!("{USUAL_NAME}-{number}"));
    std::iter::once(USUAL_NAME.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

fn create(
    namespace: &str,
    name: &str,
    credential: Option<&str>,
    documents: &mut Vec<Document>,
    commands: &mut Vec<String>,
) {
    let (file, yaml) = apigee_route(namespace, name, credential.unwrap_or(CREDENTIAL));
    let note = if credential.is_some() {
        "Create this ApigeeRoute. All its clients get the certificate of credentialName."
    } else {
        "Create this ApigeeRoute; put the Secret of the certificate that clients without SNI get for CREDENTIAL_NAME."
    };
    if credential.is_none() {
        commands
            .push(format!("kubectl -n {} get apigeeroutes -o yaml | grep credentialName", word(namespace)));
    }
    commands.push(format!("kubectl apply -n {} -f {file}", word(namespace)));
    documents.push(Document { file, note: note.to_owned(), yaml });
}

/// What the findings say of a route that is there. Lists are told as lines to edit, for a merge patch would
/// replace the whole of them.
fn correct(
    route: &Route,
    findings: &[Finding],
    credential: Option<&str>,
    documents: &mut Vec<Document>,
    commands: &mut Vec<String>,
) {
    let object = format!("{}/{}", route.namespace, route.name);
    let (mut enable, mut selector, mut lines) = (false, BTreeMap::new(), Vec::new());
    let mut is_down = false;
    for finding in findings.iter().filter(|finding| finding.object == object) {
        match finding.code {
            FindingCode::NonSniClientNotEnabled => enable = true,
            FindingCode::SelectorMismatch => {
                let labels = names_of(&finding.expected);
                let labels = labels.iter().filter_map(|label| label.split_once('='));
                selector.extend(labels.map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
            FindingCode::NoCredential => {
                let credential = printable(credential.unwrap_or(CREDENTIAL));
                lines.push(format!("{}: {credential}", printable(&finding.path)));
            }
            FindingCode::PortMismatch => lines.push(format!(
                "{}: a port for each of {}, like those that are there",
                printable(&finding.path),
                printable(&finding.expected)
            )),
            FindingCode::TlsNotTerminated => {
                lines.push(format!("{}: {}", printable(&finding.path), printable(&finding.expected)));
            }
            FindingCode::NotRunning => is_down = true,
            // Of lists, of names, or of Gateways.
            _ => {}
        }
    }
    let (namespace, name) = (word(&route.namespace), word(&route.name));
    if enable || !selector.is_empty() {
        let plain = if is_file_name(&route.name) { &route.name } else { USUAL_NAME };
        let file = format!("{plain}-patch.yaml");
        let note = format!(
            "Patch the ApigeeRoute {} with this; its other fields stay as they are.",
            printable(&route.name)
        );
        commands.push(format!(
            "kubectl -n {namespace} patch apigeeroute {name} --type merge --patch-file {file}"
        ));
        documents.push(Document { file, note, yaml: route_patch(enable, &selector) });
    }
    if !lines.is_empty() {
        commands.push(format!(
            "kubectl -n {namespace} edit apigeeroute {name}  # change only: {}",
            lines.join(", ")
        ));
    }
    if is_down {
        commands.push(format!("kubectl -n {namespace} describe apigeeroute {name}"));
    }
}

/// The lines of overrides.yaml that list the route `name`, and how to apply them.
fn list(
    routes: Option<&RoutesReport>,
    all: &[&Route],
    namespace: &str,
    name: &str,
    documents: &mut Vec<Document>,
    commands: &mut Vec<String>,
) {
    let findings = routes.map_or(&[][..], |routes| &routes.findings);
    let dead: Vec<String> = findings
        .iter()
        .filter(|finding| finding.code == FindingCode::UnknownAdditionalGateway)
        .flat_map(|finding| names_of(&finding.value))
        .collect();
    let mut hosts = routes.map_or_else(Vec::new, |routes| routes.virtual_hosts.clone());
    if hosts.is_empty() {
        // The lists of the routes come from those of the virtual hosts.
        let mut additional_gateways: Vec<String> = Vec::new();
        for gateway in all.iter().flat_map(|route| &route.additional_gateways) {
            if !additional_gateways.contains(gateway) {
                additional_gateways.push(gateway.clone());
            }
        }
        let (name, selector) = (GROUP.to_owned(), Vec::new());
        hosts.push(VirtualHost { name, additional_gateways, selector, certificate: None });
    }
    for host in &mut hosts {
        host.name = printable(&host.name);
        host.additional_gateways.retain(|gateway| !dead.contains(gateway));
    }
    let mut note =
        "Set additionalGateways of each of these entries; leave their other lines as they are.".to_owned();
    if !dead.is_empty() {
        let dead: Vec<String> = dead.iter().map(|name| printable(name)).collect();
        note = format!("{note} Left out, as no route of that name was read: {}.", dead.join(", "));
    }
    documents.push(Document { file: "overrides.yaml".to_owned(), note, yaml: overrides(&hosts, name) });
    for group in hosts.iter().map(|host| word(&host.name)) {
        commands.push(format!(
            "helm upgrade {group} apigee-virtualhost/ -n {} --set envgroup={group} -f overrides.yaml",
            word(namespace)
        ));
    }
}

/// The strings of a list in a finding; none if it is not one.
fn names_of(list: &str) -> Vec<String> {
    serde_json::from_str(list).unwrap_or_default()
}
