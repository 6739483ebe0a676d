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
    /// Objects that were skipped, by kind.
    pub skipped: BTreeMap<String, usize>,
    /// What is wrong, most important first.
    pub findings: Vec<Finding>,
    /// What is not wrong, but limits the answer or the clients that it is about.
    pub notes: Vec<Note>,
    /// Whether clients without SNI are served according to the configuration; `None` if it does not decide that.
    pub serves_non_sni: Option<bool>,
}

/// An `ApigeeRoute`, an `ApigeeRouteConfig`, an Istio `Gateway`'s server, or a listener of the Gateway API.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// `ApigeeRoute`, `ApigeeRouteConfig`, `Gateway (Istio)`, `Gateway (Gateway API)`, `ListenerSet (Gateway API)`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name; of a server or a listener with the name of that.
    pub name: String,
    /// Host names, `*` among them.
    pub hostnames: Vec<String>,
    /// Whether it takes clients by TLS, and one of its host names is `*`.
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

/// Something that limits the answer, or the clients that it is about, and is not wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// A word for programs.
    pub code: NoteCode,
    /// The object or the source: `istio-system/ingress`, the URL of an API server.
    pub object: String,
    /// A sentence for people.
    pub sentence: String,
}

/// Kinds of notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteCode {
    /// The gateway passes TLS on: the backend decides.
    DecidedByBackend,
    /// The routes of a TLS listener decide, and were not read or do not say.
    DecidedByRoutes,
    /// The implementation serves clients without SNI with its default certificate.
    DefaultCertificate,
    /// What the implementation does depends on its version.
    DependsOnVersion,
    /// The certificate may be named where it is not looked for.
    CertificateUnknown,
    /// Whether servers are at the same pods is not known: their selectors have different labels.
    PodsUnknown,
    /// The parent of a `ListenerSet`, or its permission to attach, was not read.
    ParentUnknown,
    /// The status does not say whether the object is in effect.
    StatusUnknown,
    /// Clients need a certificate.
    ClientCertificate,
    /// A server between clusters is left out.
    BetweenClusters,
    /// A server for workloads of the mesh is left out.
    MeshOnly,
    /// A server has a protocol of HTTP, so its `tls` has no effect.
    TlsIgnored,
    /// There are more wildcard routes than are compared with one another.
    TooManyToCompare,
    /// An object is in several inputs.
    Replaced,
    /// The cluster lacks a kind.
    KindMissing,
    /// A kind must not be listed in the cluster.
    NotAllowed,
    /// A kind could not be listed for another reason.
    NotListed,
    /// The cluster has no object that is read.
    NothingInCluster,
}

/// Ways to have it wrong, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// No route has the host name `*`.
    NoWildcardRoute,
    /// The wildcard route has not `enableNonSniClient: true`.
    NonSniClientNotEnabled,
    /// A route with host names has `enableNonSniClient: true`, for which two references differ.
    NonSniClientOnNames,
    /// The wildcard route is not in `additionalGateways` of a virtual host.
    NotInAdditionalGateways,
    /// The selector does not match the ingress gateway.
    SelectorMismatch,
    /// The wildcard route is at another port than a route that lists it.
    PortMismatch,
    /// The listener does not end TLS, so it picks no certificate.
    TlsNotTerminated,
    /// The listener has only routes that need a name.
    OnlyTlsRoutes,
    /// No certificate is named.
    NoCredential,
    /// The route is not in the state `running`.
    NotRunning,
    /// The Gateway does not allow the `ListenerSet`.
    ListenerSetNotAllowed,
    /// The status says that the Gateway, `ListenerSet` or listener is not accepted.
    NotAccepted,
    /// The status says that the listener is in conflict with another one.
    Conflicted,
    /// The status says that references of the listener, such as its certificate, are not resolved.
    RefsNotResolved,
    /// The status says that the Gateway, `ListenerSet` or listener is not programmed.
    NotProgrammed,
    /// A name in `additionalGateways` is that of no route.
    UnknownAdditionalGateway,
    /// There are several wildcard routes at one ingress gateway.
    SeveralWildcardRoutes,
    /// Environment groups at the ingress gateway of a wildcard route have different certificates.
    SeveralCertificates,
    /// A host in upper case, which no client's name matches.
    UpperCaseHost,
    /// The wildcard route has other host names beside `*`.
    WildcardAmongOthers,
}

impl FindingCode {
    /// Whether it can keep clients without SNI from being served.
    pub fn keeps_out(self) -> bool {
        !matches!(
            self,
            Self::SeveralWildcardRoutes
                | Self::SeveralCertificates
                | Self::UpperCaseHost
                | Self::WildcardAmongOthers
        )
    }
}
