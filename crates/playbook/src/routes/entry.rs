//! A route or a listener, whatever it was read from.

use super::listener::Listener;
use super::report::Route;

/// Kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    ApigeeRoute,
    /// The settings from which Apigee makes the routes of an environment group.
    ApigeeRouteConfig,
    /// A Gateway of Istio; its servers are the entries.
    Istio,
    /// A Gateway of the Gateway API; its listeners are the entries.
    GatewayApi,
    /// More listeners for a Gateway of the Gateway API.
    ListenerSet,
    TlsRoute,
    TcpRoute,
    GatewayClass,
}

/// Clients that a route or a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clients {
    Any,
    /// Gateways of other clusters of a mesh of Istio (`AUTO_PASSTHROUGH`), which always send a name.
    OtherClusters,
    /// Workloads of a mesh of Istio, by its certificates (`ISTIO_MUTUAL`).
    MeshWorkloads,
}

/// A route or a listener, and where it stands.
#[derive(Debug)]
pub(super) struct RouteEntry {
    pub(super) kind: Kind,
    pub(super) route: Route,
    /// The name of the object without that of the listener.
    pub(super) gateway: String,
    /// The field with the host names.
    pub(super) hosts_path: String,
    /// The fields of TLS; `None` if it does not speak TLS.
    pub(super) tls_path: Option<String>,
    /// Ports at which it speaks TLS.
    pub(super) tls_ports: Vec<u16>,
    /// Certificates that it names, each once.
    pub(super) certificates: Vec<String>,
    pub(super) clients: Clients,
    /// Of the Gateway API only.
    pub(super) listener: Option<Listener>,
}

impl RouteEntry {
    /// "namespace/name" of the object.
    pub(super) fn object(&self) -> String {
        format!("{}/{}", self.route.namespace, self.gateway)
    }

    /// Whether it takes clients of any kind by TLS.
    pub(super) fn takes_clients(&self) -> bool {
        self.tls_path.is_some() && self.clients == Clients::Any
    }
}

impl Kind {
    /// As in [`Route::kind`].
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ApigeeRoute => "ApigeeRoute",
            Self::ApigeeRouteConfig => "ApigeeRouteConfig",
            Self::Istio => "Gateway (Istio)",
            Self::GatewayApi => "Gateway (Gateway API)",
            Self::ListenerSet => "ListenerSet (Gateway API)",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::GatewayClass => "GatewayClass",
        }
    }

    /// The name of a kind that is not read: with its group if it is named as one that is.
    pub(super) fn skipped(api_version: &str, kind: &str) -> String {
        let is_similar = matches!(
            kind,
            "ApigeeRoute"
                | "ApigeeRouteConfig"
                | "Gateway"
                | "ListenerSet"
                | "TLSRoute"
                | "TCPRoute"
                | "GatewayClass"
        );
        match api_version.split_once('/') {
            Some((group, _)) if is_similar => format!("{kind}.{group}"),
            _ => kind.to_owned(),
        }
    }

    /// The kind of an object; `None` if it is not read.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<Self> {
        let (group, _) = api_version.split_once('/')?;
        match (group, kind) {
            ("apigee.cloud.google.com", "ApigeeRoute") => Some(Self::ApigeeRoute),
            ("apigee.cloud.google.com", "ApigeeRouteConfig") => Some(Self::ApigeeRouteConfig),
            ("networking.istio.io", "Gateway") => Some(Self::Istio),
            ("gateway.networking.k8s.io", "Gateway") => Some(Self::GatewayApi),
            ("gateway.networking.k8s.io", "ListenerSet")
            | ("gateway.networking.x-k8s.io", "XListenerSet" | "ListenerSet") => Some(Self::ListenerSet),
            ("gateway.networking.k8s.io", "TLSRoute") => Some(Self::TlsRoute),
            ("gateway.networking.k8s.io", "TCPRoute") => Some(Self::TcpRoute),
            ("gateway.networking.k8s.io", "GatewayClass") => Some(Self::GatewayClass),
            _ => None,
        }
    }
}
