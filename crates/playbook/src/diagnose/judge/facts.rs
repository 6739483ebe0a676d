//! Causes that the facts about refusals separate.

use std::collections::BTreeMap;

use sni_probe_core::vocabulary::IncompleteReason;
use sni_probe_model::facts::{Certainty, Detail, Fact, FactName, GatewayFacts, MIN_HANDSHAKES, ShapeCount};
use sni_probe_model::{AlertDescription, Label as _, Word};
use sni_probe_terminal::printable_within;
use sni_probe_terminal::units::counted;

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::{WireFacts, counts_without_sni};
use super::explanation::{Basis, Explanation, Noun, not_enough};
use super::names::{NameFacts, is_routed, refused_names};
use super::{Judgement, serves_a_name};

/// Characters of a fact in a sentence.
const LINE: usize = 400;
/// Bytes of a host name at most (RFC 1035, section 2.3.4).
const MAX_NAME_BYTES: u32 = 255;
/// Bytes of a sentence to which no further gateway is added.
const MAX_SENTENCE: usize = 1_000;

/// What the facts of all gateways explain.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// Causes, with what they explain.
    pub(super) explanations: Vec<Explanation>,
    /// Refused handshakes with a name that they explain.
    pub(super) with_name: u64,
    /// The same without SNI.
    pub(super) without_sni: u64,
    /// The same with an incomplete ClientHello.
    pub(super) unknown_sni: u64,
    /// Alerts about TLS versions that they explain.
    pub(super) mismatches: u64,
    /// Handshakes that failed without the gateway's doing that they explain.
    pub(super) failed: u64,
    /// Refused handshakes of clients that look like health checks, and what is known of these.
    pub(super) health_checks: Option<(u64, String)>,
    /// What they say of names.
    pub(super) names: NameFacts,
}

/// Refused handshakes of a gateway that no fact explains yet.
#[derive(Clone, Copy, Debug)]
struct Left {
    with_name: u64,
    without_sni: u64,
}

impl Left {
    fn of(gateway: &GatewayFacts) -> Self {
        let without_sni = counts_without_sni(gateway).map_or(0, |counts| counts.refused);
        Self { with_name: gateway.refused.saturating_sub(without_sni), without_sni }
    }

    /// Takes handshakes away: returns those with a name, those without SNI, and how many more the count has.
    fn take(&mut self, count: u64) -> [u64; 3] {
        let with_name = count.min(self.with_name);
        let without_sni = (count - with_name).min(self.without_sni);
        self.with_name -= with_name;
        self.without_sni -= without_sni;
        [with_name, without_sni, count - with_name - without_sni]
    }
}

/// The causes in the facts.
pub(super) fn explained(inputs: &Inputs, wire: &WireFacts) -> Explained {
    let mut all = Explained::default();
    if wire.plain_http > 0 {
        all.plain_http_requests("a TLS port", wire.plain_http);
    }
    all.incomplete("gateways of the scrape", &wire.incomplete, wire.refused_with_unknown_sni());
    // Handshakes that were answered in plain HTTP are not among the refused ones of a gateway.
    let mut unaccounted = wire.refusals.gateways.iter().map(Left::of).fold(
        Left { with_name: wire.refused_with_name(), without_sni: wire.refused_without_sni(false) },
        |left, gateway| Left {
            with_name: left.with_name.saturating_sub(gateway.with_name),
            without_sni: left.without_sni.saturating_sub(gateway.without_sni),
        },
    );
    for gateway in &wire.refusals.gateways {
        let mut left = Left::of(gateway);
        for fact in &gateway.facts {
            let is_everything = matches!(fact.detail, Detail::RefusesEverything { .. });
            if is_everything && has_another_reason(inputs, gateway) {
                continue;
            }
            if let Detail::PlainHttpAnswer { handshakes } = fact.detail {
                all.plain_http_answers(&gateway.gateway, handshakes, &mut unaccounted);
                continue;
            }
            match fact.certainty {
                Certainty::Fact => all.take(wire, gateway, fact, &mut left),
                Certainty::Hint if is_dot(fact) => all.take(wire, gateway, fact, &mut left),
                Certainty::Hint => all.hint(wire, &gateway.gateway, fact),
            }
        }
    }
    all.names.hints.sort_unstable();
    all.names.hints.dedup();
    all
}

/// A dot makes a ClientHello longer by one byte: the length is no other explanation.
fn is_dot(fact: &Fact) -> bool {
    fact.name() == Some(FactName::TrailingDot)
        && fact.refused.min(fact.served) >= MIN_HANDSHAKES
        && fact.alternatives.iter().all(|other| other.known() == Some(FactName::HelloSize))
}

/// Whether a gateway that refuses everything gives a reason itself, or another input does: names may be the cause then.
fn has_another_reason(inputs: &Inputs, gateway: &GatewayFacts) -> bool {
    let answers_http = gateway.facts.iter().any(|fact| matches!(fact.detail, Detail::PlainHttpAnswer { .. }));
    // The wildcard route is missing, and no route takes a refused name.
    let by_routes = inputs.routes.as_ref().is_some_and(|routes| {
        let mut names = refused_names(inputs).peekable();
        routes.serves_non_sni == Some(false)
            && !routes.routes.is_empty()
            && names.peek().is_some()
            && names.all(|name| !is_routed(routes, name))
    });
    answers_http || serves_a_name(inputs) || by_routes || says_why(gateway)
}

/// Whether all refusals are alerts that name their reason.
fn says_why(gateway: &GatewayFacts) -> bool {
    const ALERTS: [AlertDescription; 5] = [
        AlertDescription::UnrecognizedName,
        AlertDescription::MissingExtension,
        AlertDescription::ProtocolVersion,
        AlertDescription::InsufficientSecurity,
        AlertDescription::NoApplicationProtocol,
    ];
    let shapes: Vec<&ShapeCount> = gateway.facts.iter().flat_map(shapes).collect();
    !shapes.is_empty()
        && shapes.iter().all(|shape| ALERTS.iter().any(|alert| shape.shape.contains(alert.as_str())))
}

fn shapes(fact: &Fact) -> impl Iterator<Item = &ShapeCount> {
    let (without_sni, unknown_names) = match &fact.detail {
        Detail::RefusalShape { without_sni, unknown_names, .. } => (&without_sni[..], &unknown_names[..]),
        _ => (&[][..], &[][..]),
    };
    without_sni.iter().chain(unknown_names)
}

/// How many names the gateway refused.
fn refused_name_count(gateway: &GatewayFacts) -> u64 {
    let of = |fact: &Fact| match &fact.detail {
        Detail::RefusalShape { unknown_names, .. } => unknown_names.iter().map(|shape| shape.count).sum(),
        _ => 0,
    };
    gateway.facts.iter().map(of).sum()
}

impl Explained {
    fn take(&mut self, wire: &WireFacts, facts: &GatewayFacts, fact: &Fact, left: &mut Left) {
        let gateway = facts.gateway.as_str();
        let refused = fact.refused;
        match &fact.detail {
            Detail::SplitHello { .. } | Detail::TwoRecords { .. } => {
                self.separated(Cause::SplitHello, gateway, fact, left);
            }
            Detail::HelloSize { refused_from_bytes, served_up_to_bytes }
                if refused_from_bytes.saturating_sub(*served_up_to_bytes) < MAX_NAME_BYTES
                    && !wire.refused_names.is_empty()
                    && wire.refused_names.iter().all(|(name, _)| !wire.served_names.contains(name)) =>
            {
                // Refused names that are longer than the served ones make ClientHellos longer.
                self.names.separates_names = true;
            }
            Detail::HelloSize { .. } => self.separated(Cause::HelloTooLarge, gateway, fact, left),
            Detail::ProxyHeader { .. } => self.separated(Cause::ProxyProtocolMismatch, gateway, fact, left),
            Detail::Alpn { .. } => self.separated(Cause::AlpnMismatch, gateway, fact, left),
            Detail::TrailingDot { .. } | Detail::UpperCase { .. } => {
                self.separated(Cause::UnknownName, gateway, fact, left);
            }
            Detail::Versions { .. } => {
                // Refusals by an alert about versions are counted apart from those of names.
                let alerts = wire.mismatches(false).saturating_sub(self.mismatches).min(refused);
                self.mismatches += alerts;
                left.take(alerts);
                self.separated_of(Cause::TlsMismatch, gateway, fact, refused - alerts, left);
            }
            Detail::OneName { .. } => self.names.separates_names = true,
            Detail::RefusesEverything { with_name, without_sni } => {
                self.refuses_everything(facts, fact);
                self.everything(wire, *with_name, *without_sni);
                *left = Left { with_name: 0, without_sni: 0 };
            }
            Detail::PlainHttpRequest { connections } => {
                self.plain_http_requests(&format!("the TLS port {gateway}"), *connections);
            }
            Detail::Incomplete { reasons } => {
                self.incomplete(&format!("the gateway {gateway}"), reasons, refused);
            }
            Detail::HealthCheck { .. } if refused > 0 => {
                let (before, _) = self.health_checks.take().unwrap_or_default();
                self.health_checks = Some((before + refused, words(gateway, fact)));
            }
            Detail::PlainHttpAnswer { .. }
            | Detail::HealthCheck { .. }
            | Detail::RefusalShape { .. }
            | Detail::Unknown => {}
        }
    }

    fn plain_http_answers(&mut self, gateway: &str, handshakes: u64, unaccounted: &mut Left) {
        self.subtract(unaccounted, handshakes);
        let sentence = format!(
            "The gateway {gateway} answered {} in plain HTTP: this port does not speak TLS.",
            Noun::Handshake.counted(handshakes)
        );
        let short = "answered in plain HTTP";
        let count = (handshakes, Noun::Handshake);
        self.add(Cause::PlainHttpPort, Confidence::Certain, count, sentence, short);
    }

    fn plain_http_requests(&mut self, port: &str, connections: u64) {
        let sentence = format!(
            "Clients send plain HTTP to {port}: {} began with an HTTP request instead of a ClientHello.",
            Noun::Connection.counted(connections)
        );
        let count = (connections, Noun::Connection);
        self.add(Cause::PlainHttpClient, Confidence::Certain, count, sentence, "began with plain HTTP");
    }

    /// Refused handshakes of a gateway that served none. Those by an alert about versions are counted apart from those of names.
    fn everything(&mut self, wire: &WireFacts, with_name: u64, without_sni: u64) {
        let alerts = wire.mismatches(false).saturating_sub(self.mismatches).min(with_name + without_sni);
        self.mismatches += alerts;
        let of_names = alerts.min(with_name);
        self.with_name += with_name - of_names;
        self.without_sni += without_sni.saturating_sub(alerts - of_names);
    }

    fn hint(&mut self, wire: &WireFacts, gateway: &str, fact: &Fact) {
        match &fact.detail {
            Detail::RefusesEverything { with_name, without_sni } => {
                self.everything(wire, *with_name, *without_sni);
                let sentence = format!(
                    "The gateway {gateway} refused {} ({with_name} with a name, {without_sni} without SNI) and served none. That is too \
                     few to show whether the name matters.",
                    counted(with_name + without_sni, "handshake")
                );
                let short = "to gateways that served none were refused, with a name and without SNI";
                let count = with_name + without_sni;
                let known = self.explanations.iter_mut().find(|known| known.short == short);
                match known {
                    Some(known) => known.count += count,
                    None => self.explanations.push(not_enough(count, sentence, short.to_owned())),
                }
            }
            Detail::OneName { .. } if fact.alternatives.is_empty() => {}
            Detail::OneName { .. } => {
                let other: Vec<&str> = fact.alternatives.iter().map(Word::as_str).collect();
                self.names.hints.push(other.join(", "));
            }
            Detail::HealthCheck { .. } | Detail::RefusalShape { .. } | Detail::Unknown => {}
            _ => self.names.hints.extend(fact.name().map(|name| name.to_string())),
        }
    }

    /// Handshakes that a fact explains: those with a name first, then those without SNI. What is more was not refused.
    fn subtract(&mut self, left: &mut Left, count: u64) {
        let [with_name, without_sni, more] = left.take(count);
        self.with_name += with_name;
        self.without_sni += without_sni;
        self.failed += more;
    }

    /// A property that separates the refused handshakes from those that were served.
    fn separated(&mut self, cause: Cause, gateway: &str, fact: &Fact, left: &mut Left) {
        self.separated_of(cause, gateway, fact, fact.refused, left);
    }

    /// The same, where `refused` of the handshakes are counted by name.
    fn separated_of(&mut self, cause: Cause, gateway: &str, fact: &Fact, refused: u64, left: &mut Left) {
        self.subtract(left, refused);
        let sentence = words(gateway, fact);
        let short = match cause {
            Cause::SplitHello => "with a ClientHello in several segments or records were refused",
            Cause::HelloTooLarge => "with a large ClientHello were refused",
            Cause::ProxyProtocolMismatch => "were refused for a PROXY header, or for want of one",
            Cause::AlpnMismatch => "without a common ALPN protocol were refused",
            Cause::TlsMismatch => "were refused for the TLS versions that they offer",
            _ => "with another spelling of a served name were refused",
        };
        self.add(cause, Confidence::Likely, (fact.refused, Noun::Handshake), sentence, short);
    }

    fn refuses_everything(&mut self, facts: &GatewayFacts, fact: &Fact) {
        let reasons = "the listener may expect a PROXY header, have no certificate, or not be in effect";
        let (confidence, so) = if refused_name_count(facts) > 1 {
            (Confidence::Likely, "So names are not the cause")
        } else {
            (Confidence::Possible, "Unless the gateway serves another name, names are not the cause")
        };
        let sentence = format!("{} {so}: {reasons}.", words(&facts.gateway, fact));
        let count = (fact.refused, Noun::Handshake);
        let short = "to a gateway that served none were refused, with a name and without SNI";
        let explanation = self.add(Cause::NotAboutNames, confidence, count, sentence, short);
        explanation.basis = Basis::Common;
    }

    /// ClientHellos that never became complete, by reason. What was only not seen here says nothing of the client.
    fn incomplete(&mut self, gateway: &str, reasons: &BTreeMap<String, u64>, refused: u64) {
        let of = |wanted: &[IncompleteReason]| -> u64 {
            wanted.iter().filter_map(|reason| reasons.get(&reason.to_string())).sum()
        };
        let cut_off = of(&[IncompleteReason::Reset, IncompleteReason::Closed, IncompleteReason::Timeout]);
        // A gateway may serve what this program cannot read.
        let unreadable = of(&[IncompleteReason::Malformed, IncompleteReason::TooLarge]).min(refused);
        let real = cut_off + unreadable;
        if real == 0 {
            return;
        }
        let reasons: Vec<String> =
            reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let why = match (cut_off, unreadable) {
            (0, _) => "they are malformed or too large",
            _ => "parts of them were lost on the way (an MTU that is too small), or the client stopped",
        };
        let sentence = format!(
            "{} to {gateway} never became complete ({}): {why}.",
            counted(real, "ClientHello"),
            reasons.join(", ")
        );
        let refused = refused.min(real);
        self.unknown_sni += refused;
        self.failed += real - refused;
        let short = "had a ClientHello that never became complete";
        self.add(Cause::IncompleteHellos, Confidence::Likely, (real, Noun::Handshake), sentence, short);
    }

    /// Adds a cause; what several gateways show of one cause is summed up.
    fn add(
        &mut self,
        cause: Cause,
        confidence: Confidence,
        (count, noun): (u64, Noun),
        sentence: String,
        short: &str,
    ) -> &mut Explanation {
        let known = self.explanations.iter().position(|known| known.judgement.cause == cause);
        let place = known.unwrap_or(self.explanations.len());
        if let Some(known) = self.explanations.get_mut(place) {
            known.count += count;
            if known.judgement.sentence.len() < MAX_SENTENCE {
                known.judgement.add(&sentence);
            }
        } else {
            let judgement = Judgement { cause, confidence, sentence };
            let (short, basis) = (short.to_owned(), Basis::Separated);
            self.explanations.push(Explanation { judgement, count, noun, short, basis, class: None });
        }
        &mut self.explanations[place]
    }
}

/// The fact, with the gateway as its subject.
pub(super) fn words(gateway: &str, fact: &Fact) -> String {
    let line = match fact.sentence.strip_prefix("It ") {
        Some(rest) => format!("The gateway {gateway} {rest}"),
        None => match fact.sentence.strip_prefix("Perhaps it refuses ") {
            Some(rest) => format!("The gateway {gateway} may refuse {rest}"),
            None => format!("At the gateway {gateway}, {}", fact.sentence),
        },
    };
    printable_within(LINE, &line)
}
