//! What a configuration says of clients without SNI: also the `--json` of `routes`.

use std::collections::BTreeMap;

use serde::Serialize;

/// All that was read, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoutesReport {
    /// Where it came from: files, the cluster.
    pub sources: Vec<String>,
    /// Routes and listeners, in the order in which they came.
    pub routes: Vec<Route>,
    /// Virtual hosts of `overrides.yaml`: environment groups.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Objects that were passed over, by kind.
    pub skipped: BTreeMap<String, usize>,
    /// What is wrong, most important first.
    pub findings: Vec<Finding>,
    /// Whether clients without SNI are served, as far as the configuration tells; `None` if it does not.
    pub serves_non_sni: Option<bool>,
}

/// An `ApigeeRoute`, an Istio `Gateway`'s server, or a listener of the Gateway API.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// `ApigeeRoute`, `Gateway (Istio)`, `Gateway (Gateway API)`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name; of a server or a listener with the name of that.
    pub name: String,
    /// Host names, `*` among them.
    pub hostnames: Vec<String>,
    /// Whether one of them is `*`.
    pub wildcard: bool,
    /// `spec.enableNonSniClient`; `None` where there is no such field.
    pub enable_non_sni_client: Option<bool>,
    /// `spec.selector` as `key=value`.
    pub selector: Vec<String>,
    /// The secret with the certificate.
    pub credential: Option<String>,
    /// `spec.ports[].tls.mode`, or that of the server.
    pub tls_mode: Option<String>,
    /// `minProtocolVersion`.
    pub min_tls_version: Option<String>,
    /// Ports.
    pub ports: Vec<u16>,
    /// `spec.additionalGateways`.
    pub additional_gateways: Vec<String>,
    /// `status.state`.
    pub state: Option<String>,
}

/// An entry of `virtualhosts` in `overrides.yaml`.
#[derive(Clone, Debug, Serialize)]
pub struct VirtualHost {
    /// Name of the environment group.
    pub name: String,
    /// `additionalGateways`.
    pub additional_gateways: Vec<String>,
    /// `selector` as `key=value`.
    pub selector: Vec<String>,
    /// Where its certificate comes from: `sslSecret`, or else `sslCertPath`.
    pub certificate: Option<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A word for programs.
    pub code: FindingCode,
    /// The object or file: `apigee/non-sni`, `overrides.yaml`.
    pub object: String,
    /// The field: `spec.enableNonSniClient`.
    pub path: String,
    /// What it has.
    pub value: String,
    /// What it should have.
    pub expected: String,
    /// A sentence for people.
    pub sentence: String,
}

/// Ways to have it wrong, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// No route has the host name `*`.
    NoWildcardRoute,
    /// The wildcard route has not `enableNonSniClient: true`.
    NonSniClientNotEnabled,
    /// The wildcard route is not in `additionalGateways` of a virtual host.
    NotInAdditionalGateways,
    /// The selector does not match the ingress gateway.
    SelectorMismatch,
    /// The wildcard route is at another port than a route that lists it.
    PortMismatch,
    /// The listener does not end TLS, so it picks no certificate.
    TlsNotTerminated,
    /// No certificate is named.
    NoCredential,
    /// The route is not in the state `running`.
    NotRunning,
    /// A name in `additionalGateways` is that of no route.
    UnknownAdditionalGateway,
    /// The wildcard route has other host names beside `*`.
    WildcardAmongOthers,
}
