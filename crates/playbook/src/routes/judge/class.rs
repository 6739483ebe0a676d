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

/// What becomes of a client without SNI at an HTTPS listener without hostname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CatchAll {
    /// The listener serves it.
    Served,
    /// Contour makes a virtual host for each host name of the `HTTPRoutes`: one without host names serves it.
    ByRoutes,
    /// NGINX Gateway Fabric serves it from nginx/nginx-gateway-fabric#4878 (March 2026) on, and refused it before.
    ByVersion,
}

/// Where a listener's certificate is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the listener.
    Listener,
    /// Also in objects that are not read, such as `LoadBalancerConfiguration` of AWS.
    Elsewhere,
    Unknown,
}

/// What an implementation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behaviour {
    pub(super) without_match: WithoutMatch,
    pub(super) catch_all: CatchAll,
    pub(super) certificates: Place,
}

const ENVOY: Behaviour = Behaviour {
    without_match: WithoutMatch::Reset,
    catch_all: CatchAll::Served,
    certificates: Place::Listener,
};
const CONTOUR: Behaviour = Behaviour { catch_all: CatchAll::ByRoutes, ..ENVOY };
const TRAEFIK: Behaviour = Behaviour { without_match: WithoutMatch::DefaultCertificate, ..ENVOY };
const NGINX: Behaviour =
    Behaviour { without_match: WithoutMatch::Alert, catch_all: CatchAll::ByVersion, ..ENVOY };
const UNKNOWN: Behaviour =
    Behaviour { without_match: WithoutMatch::Unknown, certificates: Place::Unknown, ..ENVOY };
const AWS: Behaviour = Behaviour { certificates: Place::Elsewhere, ..UNKNOWN };

/// Implementations by the name of their controller and by the usual name of their `GatewayClass`. Sources: the
/// documentation of each; for Envoy, measurements with 1.40.0; for Traefik, "TLS Certificates: Strict SNI Checking" of
/// version 3; for nginx, nginx/nginx-gateway-fabric#4878; for AWS, "Gateway API" of the AWS Load Balancer Controller.
const KNOWN: [(&str, &str, Behaviour); 11] = [
    ("istio.io/gateway-controller", "istio", ENVOY),
    ("gateway.envoyproxy.io/gatewayclass-controller", "eg", ENVOY),
    ("projectcontour.io/gateway-controller", "contour", CONTOUR),
    ("io.cilium/gateway-controller", "cilium", ENVOY),
    ("kgateway.dev/kgateway", "kgateway", ENVOY),
    ("solo.io/gloo-gateway", "gloo-gateway", ENVOY),
    ("openshift.io/gateway-controller/v1", "openshift-default", ENVOY),
    ("traefik.io/gateway-controller", "traefik", TRAEFIK),
    ("gateway.nginx.org/nginx-gateway-controller", "nginx", NGINX),
    ("gateway.k8s.aws/alb", "aws-alb-gateway-class", AWS),
    ("gateway.k8s.aws/nlb", "aws-nlb-gateway-class", AWS),
];

/// The behaviour of a class. Its controller decides, if the `GatewayClass` was read; otherwise its name.
pub(super) fn behaviour(class: Option<&str>, controller: Option<&str>) -> Behaviour {
    let known = KNOWN.iter().find(|(name, usual, _)| match controller {
        Some(controller) => controller == *name,
        None => class == Some(usual),
    });
    known.map_or(UNKNOWN, |(_, _, behaviour)| *behaviour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_decides_before_the_name() {
        for (class, controller, expected) in [
            (Some("istio"), None, ENVOY),
            (Some("traefik"), None, TRAEFIK),
            (Some("edge"), None, UNKNOWN),
            (Some("edge"), Some("io.cilium/gateway-controller"), ENVOY),
            (Some("edge"), Some("gateway.k8s.aws/alb"), AWS),
            (Some("istio"), Some("example.com/own"), UNKNOWN),
            (None, None, UNKNOWN),
        ] {
            assert_eq!(behaviour(class, controller), expected, "{class:?} {controller:?}");
        }
    }
}
