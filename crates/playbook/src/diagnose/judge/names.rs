//! Names that the gateway refused: whether a route or the gateway itself serves them.

use sni_probe_model::REST;
use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence, Inputs};
use super::Judgement;
use crate::routes::report::RoutesReport;

/// Clients with a name are refused. `is_proven` if it was seen on the wire.
pub(super) fn unknown_name(inputs: &Inputs, count: u64, is_proven: bool) -> Judgement {
    let unknown: Vec<&str> = unknown_names(inputs).collect();
    let most = unknown.first().copied().or_else(|| refused_names(inputs).next());
    let most_with = most.map_or_else(String::new, |name| format!(" (most with {})", printable(name)));
    let what = format!("{count} connections with a name were refused{most_with}");
    let not_enough = |why: &str| Judgement {
        cause: Cause::NotEnoughEvidence,
        confidence: Confidence::Unknown,
        sentence: format!("{what}, {why}."),
    };
    if unknown.is_empty() && most.is_some() {
        return not_enough(
            "though the gateway served the name in other handshakes; see what separates them from the refused ones, and \
             whether the configuration was changed in between",
        );
    }
    let routes = inputs.routes.as_ref().filter(|routes| !routes.routes.is_empty());
    let all_routed = routes
        .is_some_and(|routes| !unknown.is_empty() && unknown.iter().all(|name| is_routed(routes, name)));
    if all_routed {
        return not_enough("though a route takes the name; see whether that route is running");
    }
    let is_certain = is_proven && routes.is_some() && !unknown.is_empty();
    let confidence = if is_certain { Confidence::Certain } else { Confidence::Likely };
    let sentence = format!("Clients send a name that no route serves: {what}.");
    Judgement { cause: Cause::UnknownName, confidence, sentence }
}

/// Names that the gateway refused, most often first: of the wire, else of the log.
pub(in super::super) fn refused_names(inputs: &Inputs) -> impl Iterator<Item = &str> {
    let wire = inputs.wire.iter().flat_map(|wire| &wire.refused_names).map(|(name, _)| name.as_str());
    let logs = inputs.logs.iter().filter(|_| inputs.wire.is_none()).flat_map(|logs| &logs.by_name);
    wire.chain(logs.map(|name| name.name.as_str()).filter(|name| *name != REST))
}

/// [`refused_names`] without those that the gateway served in another handshake.
pub(in super::super) fn unknown_names(inputs: &Inputs) -> impl Iterator<Item = &str> {
    refused_names(inputs)
        .filter(|name| inputs.wire.as_ref().is_none_or(|wire| !wire.served_names.contains(*name)))
}

/// Whether a route takes this name. `*` takes all, if it is in effect.
pub(in super::super) fn is_routed(routes: &RoutesReport, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let matches = |host: &String| {
        // Before the slash, Istio has the namespace of the services that may have the name.
        let host = host.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some("") => routes.serves_non_sni == Some(true),
            Some(domain) => {
                domain.starts_with('.') && name.strip_suffix(domain).is_some_and(|label| !label.is_empty())
            }
            None => host == name,
        }
    };
    routes.routes.iter().flat_map(|route| &route.hostnames).any(matches)
}
