//! What a configuration says of clients without SNI: also the `--json` of `routes`.

use std::collections::BTreeMap;

use serde::Serialize;

/// All that was read, and what is wrong with it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct RoutesReport {
    /// Where it came from: files, the cluster.
    pub(crate) sources: Vec<String>,
    /// Routes and listeners, in the order in which they came.
    pub(crate) routes: Vec<Route>,
    /// Virtual hosts of `overrides.yaml`: environment groups.
    pub(crate) virtual_hosts: Vec<VirtualHost>,
    /// Objects that were passed over, by kind.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// What is wrong, most important first.
    pub(crate) findings: Vec<Finding>,
    /// Whether clients without SNI are served, as far as the configuration tells; `None` if it does not.
    pub(crate) serves_non_sni: Option<bool>,
}

/// An `ApigeeRoute`, an Istio `Gateway`'s server, or a listener of the Gateway API.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Route {
    /// `ApigeeRoute`, `Gateway (Istio)`, `Gateway (Gateway API)`.
    pub(crate) kind: String,
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name; of a server or a listener with the name of that.
    pub(crate) name: String,
    /// Host names, `*` among them.
    pub(crate) hostnames: Vec<String>,
    /// Whether one of them is `*`.
    pub(crate) wildcard: bool,
    /// `spec.enableNonSniClient`; `None` where there is no such field.
    pub(crate) enable_non_sni_client: Option<bool>,
    /// `spec.selector` as `key=value`.
    pub(crate) selector: Vec<String>,
    /// The secret with the certificate.
    pub(crate) credential: Option<String>,
    /// `spec.ports[].tls.mode`, or that of the server.
    pub(crate) tls_mode: Option<String>,
    /// `minProtocolVersion`.
    pub(crate) min_tls_version: Option<String>,
    /// Ports.
    pub(crate) ports: Vec<u16>,
    /// `spec.additionalGateways`.
    pub(crate) additional_gateways: Vec<String>,
    /// `status.state`.
    pub(crate) state: Option<String>,
}

/// An entry of `virtualhosts` in `overrides.yaml`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct VirtualHost {
    /// Name of the environment group.
    pub(crate) name: String,
    /// `additionalGateways`.
    pub(crate) additional_gateways: Vec<String>,
    /// `selector` as `key=value`.
    pub(crate) selector: Vec<String>,
    /// Where its certificate comes from: `sslSecret`, or else `sslCertPath`.
    pub(crate) certificate: Option<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// A word for programs.
    pub(crate) code: FindingCode,
    /// The object or file: `apigee/non-sni`, `overrides.yaml`.
    pub(crate) object: String,
    /// The field: `spec.enableNonSniClient`.
    pub(crate) path: String,
    /// What it has.
    pub(crate) value: String,
    /// What it should have.
    pub(crate) expected: String,
    /// A sentence for people.
    pub(crate) sentence: String,
}

/// Ways to have it wrong, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FindingCode {
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
