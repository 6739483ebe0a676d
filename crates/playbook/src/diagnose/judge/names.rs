//! Names that the gateway refused: whether a route or the gateway itself serves them.

use sni_probe_model::facts::{Certainty, Detail};
use sni_probe_model::{AlertDescription, REST};
use sni_probe_terminal::printable;

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::WireFacts;
use super::attempts::{attempt, is_served};
use super::explanation::{Noun, was};
use super::findings::not_in_effect;
use super::{Judgement, serves_a_name};
use crate::check::report::AttemptKind;
use crate::routes::report::RoutesReport;

/// What facts say of names.
#[derive(Clone, Debug, Default)]
pub(super) struct NameFacts {
    /// Whether certain names, and nothing else, are refused.
    pub(super) separates_names: bool,
    /// What may be the reason as well, in words.
    pub(super) hints: Vec<String>,
}

/// The judgement on handshakes with a name that were refused. `is_proven` if they were seen on the wire, where `facts` separates
/// other reasons.
pub(super) fn unknown_name(inputs: &Inputs, count: u64, is_proven: bool, facts: &NameFacts) -> Judgement {
    let unknown: Vec<&str> = unknown_names(inputs).collect();
    let most = unknown.first().copied().or_else(|| refused_names(inputs).next());
    let most_with = most.map_or_else(String::new, |name| format!(" (most with {})", printable(name)));
    let noun = if is_proven { Noun::Handshake } else { Noun::LogEntry };
    let what = format!("{} with a name {} refused{most_with}", noun.counted(count), was(count));
    let not_enough = |why: &str| Judgement {
        cause: Cause::NotEnoughEvidence,
        confidence: Confidence::Unknown,
        sentence: format!("{what}, {why}{}.", alternatives(&facts.hints)),
    };
    if unknown.is_empty() && most.is_some() {
        return not_enough(
            "though the gateway served the name in other handshakes; see what separates them from the refused ones, and \
             whether the configuration was changed in between",
        );
    }
    let of_check = inputs.check.as_ref();
    if of_check.and_then(|check| attempt(check, AttemptKind::UnknownName)).is_some_and(is_served) {
        return not_enough(
            "but the gateway serves any name now; see whether the configuration was changed in between, and whether the check \
             reached the same listener",
        );
    }
    let routes = inputs.routes.as_ref().filter(|routes| !routes.routes.is_empty());
    let all_routed = routes
        .is_some_and(|routes| !unknown.is_empty() && unknown.iter().all(|name| is_routed(routes, name)));
    if let Some((cause, why)) = not_in_effect(inputs).filter(|_| all_routed) {
        let sentence = format!("{what}, and a route takes the name, but {why}.");
        return Judgement { cause, confidence: Confidence::Likely, sentence };
    }
    if all_routed {
        return not_enough("though a route takes the name; see whether that route is in effect");
    }
    let is_not_routed = routes.is_some() && !unknown.is_empty();
    let wire = inputs.wire.as_ref().filter(|_| is_proven);
    let says_so = wire.map_or(0, |wire| wire.alerts_of(AlertDescription::UnrecognizedName));
    let may_be_ciphers = wire.map_or(0, |wire| wire.alerts_of(AlertDescription::HandshakeFailure));
    let is_separated = facts.separates_names
        || says_so > 0
        || serves_a_name(inputs)
        || wire.is_none_or(|wire| wire.served() > 0);
    if !is_separated && !is_not_routed {
        return not_enough(
            "and the gateway served none: this does not show whether the name is the reason, the certificate, or the backend",
        );
    }
    let alternatives = alternatives(&facts.hints);
    let is_open = !facts.separates_names && !alternatives.is_empty() || may_be_ciphers * 2 >= count;
    let confidence = match (is_not_routed && is_proven, is_open) {
        (true, false) => Confidence::Certain,
        (true, true) | (false, false) => Confidence::Likely,
        (false, true) => Confidence::Possible,
    };
    let ciphers = if may_be_ciphers > 0 {
        " The alert handshake_failure can also mean that there is no cipher suite in common."
    } else {
        ""
    };
    let sentence =
        format!("Clients send a name that the gateway does not serve: {what}{alternatives}.{ciphers}");
    Judgement { cause: Cause::UnknownName, confidence, sentence }
}

/// Facts that the handshakes may show as well, in words.
fn alternatives(hints: &[String]) -> String {
    if hints.is_empty() { String::new() } else { format!("; too few to exclude: {}", hints.join(", ")) }
}

/// Names that the gateway refused, most often first: of the wire, else of the log.
pub(in super::super) fn refused_names(inputs: &Inputs) -> impl Iterator<Item = &str> {
    let wire = inputs.wire.iter().flat_map(|wire| &wire.refused_names).map(|(name, _)| name.as_str());
    let has_wire = inputs.wire.as_ref().is_some_and(|wire| !wire.refused_names.is_empty());
    let logs = inputs.logs.iter().filter(move |_| !has_wire).flat_map(|logs| &logs.by_name);
    wire.chain(logs.map(|name| name.name.as_str()).filter(|name| *name != REST))
}

/// [`refused_names`] without those that the gateway served in another handshake, or in the active check. One that a gateway refuses
/// whenever it is sent stays, though another gateway serves it.
pub(in super::super) fn unknown_names(inputs: &Inputs) -> impl Iterator<Item = &str> {
    let named = inputs.check.as_ref().and_then(|check| attempt(check, AttemptKind::Named));
    let checked = named.filter(|named| is_served(named)).and_then(|named| named.server_name.as_deref());
    let is_refused_always = |name: &str| {
        let facts = inputs.wire.iter().flat_map(WireFacts::facts);
        facts.filter(|(_, fact)| fact.certainty == Certainty::Fact).any(|(_, fact)| match &fact.detail {
            Detail::OneName { names, .. } => names.iter().any(|refused| refused.name == name),
            _ => false,
        })
    };
    refused_names(inputs)
        .filter(move |name| {
            let is_served = inputs.wire.as_ref().is_some_and(|wire| wire.served_names.contains(*name));
            !is_served || is_refused_always(name)
        })
        .filter(move |name| checked.is_none_or(|checked| !checked.eq_ignore_ascii_case(name)))
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
