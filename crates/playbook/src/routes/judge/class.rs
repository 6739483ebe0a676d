//! What implementations of the Gateway API do with a client for which no listener is there.

/// What becomes of a client without SNI where every listener of the port has a hostname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithoutMatch {
    /// Envoy finds no filter chain, and resets the connection.
    Reset,
    /// nginx refuses the handshake by an alert.
    Alert,
    /// Traefik sends its default certificate, unless `sniStrict` is set.
    DefaultCertificate,
    Unknown,
}

/// Implementations by the name of their controller and by the usual name of their `GatewayClass`. Sources: the
/// documentation of each; for Envoy, measurements with 1.40.0; for Traefik, "TLS Certificates: Strict SNI Checking" of
/// version 3; for nginx, nginx/nginx-gateway-fabric#4878.
const KNOWN: [(&str, &str, WithoutMatch); 9] = [
    ("istio.io/gateway-controller", "istio", WithoutMatch::Reset),
    ("gateway.envoyproxy.io/gatewayclass-controller", "eg", WithoutMatch::Reset),
    ("projectcontour.io/gateway-controller", "contour", WithoutMatch::Reset),
    ("io.cilium/gateway-controller", "cilium", WithoutMatch::Reset),
    ("kgateway.dev/kgateway", "kgateway", WithoutMatch::Reset),
    ("solo.io/gloo-gateway", "gloo-gateway", WithoutMatch::Reset),
    ("openshift.io/gateway-controller/v1", "openshift-default", WithoutMatch::Reset),
    ("traefik.io/gateway-controller", "traefik", WithoutMatch::DefaultCertificate),
    ("gateway.nginx.org/nginx-gateway-controller", "nginx", WithoutMatch::Alert),
];

/// The behaviour of a class. Its controller decides, if the `GatewayClass` was read; otherwise its name.
pub(super) fn without_match(class: Option<&str>, controller: Option<&str>) -> WithoutMatch {
    let known = KNOWN.iter().find(|(name, usual, _)| match controller {
        Some(controller) => controller == *name,
        None => class == Some(usual),
    });
    known.map_or(WithoutMatch::Unknown, |(_, _, behaviour)| *behaviour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_decides_before_the_name() {
        for (class, controller, expected) in [
            (Some("istio"), None, WithoutMatch::Reset),
            (Some("traefik"), None, WithoutMatch::DefaultCertificate),
            (Some("edge"), None, WithoutMatch::Unknown),
            (Some("edge"), Some("io.cilium/gateway-controller"), WithoutMatch::Reset),
            (Some("istio"), Some("example.com/own"), WithoutMatch::Unknown),
            (None, None, WithoutMatch::Unknown),
        ] {
            assert_eq!(without_match(class, controller), expected, "{class:?} {controller:?}");
        }
    }
}
