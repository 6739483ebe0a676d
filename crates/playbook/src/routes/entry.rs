//! A route or a listener, whatever it was read from.

use super::report::Route;

/// Kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ApigeeRoute,
    /// A server of a Gateway of Istio.
    Istio,
    /// A listener of a Gateway of the Gateway API.
    GatewayApi,
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
}

impl Kind {
    /// As in [`Route::kind`].
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ApigeeRoute => "ApigeeRoute",
            Self::Istio => "Gateway (Istio)",
            Self::GatewayApi => "Gateway (Gateway API)",
        }
    }

    /// What an object is, if it is read.
    pub(super) fn of(api_version: &str, kind: &str) -> Option<Self> {
        let (group, _) = api_version.split_once('/')?;
        match (group, kind) {
            ("apigee.cloud.google.com", "ApigeeRoute") => Some(Self::ApigeeRoute),
            ("networking.istio.io", "Gateway") => Some(Self::Istio),
            ("gateway.networking.k8s.io", "Gateway") => Some(Self::GatewayApi),
            _ => None,
        }
    }
}
