//! What the findings of the routes say.

use sni_probe_terminal::printable;

use super::super::model::{Cause, Inputs};
use crate::routes::report::{Finding, FindingCode, RoutesReport};

/// The first thing that keeps clients without SNI out, and which of the causes that is.
pub(super) fn configured_wrong(routes: &RoutesReport) -> Option<(Cause, String)> {
    let find = |codes: &[FindingCode]| routes.findings.iter().find(|finding| codes.contains(&finding.code));
    if let Some(finding) = find(&[FindingCode::NoWildcardRoute]) {
        // Another gateway, or another port, may have one.
        let why = if routes.routes.iter().any(|route| route.wildcard) {
            format!("no listener takes every host name: {} {}", place(finding), is(finding))
        } else {
            "no route has the host name *".to_owned()
        };
        return Some((Cause::NoWildcardRoute, why));
    }
    if let Some(finding) = find(&[FindingCode::NonSniClientNotEnabled]) {
        let why = format!("the wildcard route does not enable them: {} {}", place(finding), is(finding));
        return Some((Cause::NonSniClientNotEnabled, why));
    }
    if let Some(finding) =
        find(&[FindingCode::NotInAdditionalGateways, FindingCode::UnknownAdditionalGateway])
    {
        let what = if routes.routes.is_empty() {
            "no wildcard route is listed (whether there is one, --routes would tell)"
        } else {
            "the wildcard route is not listed"
        };
        let why = format!("{what}: {} {}", place(finding), is(finding));
        return Some((Cause::NotInAdditionalGateways, why));
    }
    routes.findings.iter().find(|finding| finding.code.keeps_out()).map(|finding| {
        // The wildcard route is there, and takes no client: as if it were not.
        status(finding).unwrap_or_else(|| {
            let why = format!("the wildcard route is not in effect: {} {}", place(finding), is(finding));
            (Cause::NoWildcardRoute, why)
        })
    })
}

fn place(finding: &Finding) -> String {
    format!("{} {}", printable(&finding.object), printable(&finding.path))
}

fn is(finding: &Finding) -> String {
    format!("is {} and should be {}", printable(&finding.value), printable(&finding.expected))
}

/// The cause of a finding that says that a listener or route has no certificate, or is not in effect.
fn status(finding: &Finding) -> Option<(Cause, String)> {
    let (cause, what) = match finding.code {
        FindingCode::NoCredential | FindingCode::RefsNotResolved => {
            (Cause::NoCertificate, "a listener has no certificate")
        }
        FindingCode::NotProgrammed
        | FindingCode::NotAccepted
        | FindingCode::Conflicted
        | FindingCode::ListenerSetNotAllowed
        | FindingCode::NotRunning => (Cause::NotProgrammed, "the configuration is not in effect"),
        _ => return None,
    };
    Some((cause, format!("{what}: {} {}", place(finding), is(finding))))
}

/// Why the configuration is not in effect, or has no certificate; `None` if nothing says so.
pub(super) fn not_in_effect(inputs: &Inputs) -> Option<(Cause, String)> {
    inputs.routes.iter().flat_map(|routes| &routes.findings).find_map(status)
}
