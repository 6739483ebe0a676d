//! Causes that the facts about refusals separate.

use sni_probe_core::vocabulary::IncompleteReason;
use sni_probe_model::facts::{Certainty, Detail, Fact};
use sni_probe_model::{AlertDescription, Word};
use sni_probe_terminal::printable_within;
use sni_probe_terminal::units::counted;

use super::super::model::{Cause, Confidence};
use super::super::wire::WireFacts;
use super::Judgement;
use super::explanation::{Basis, Explanation, Noun, not_enough};

/// Characters of a fact in a sentence.
const LINE: usize = 400;
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
    /// Whether certain names, and nothing else, are refused.
    pub(super) separates_names: bool,
    /// What may be the reason as well, in words.
    pub(super) hints: Vec<String>,
}

/// The causes in the facts. `answers_names`: another input shows that the gateway serves a name.
pub(super) fn explained(wire: &WireFacts, answers_names: bool) -> Explained {
    let mut all = Explained::default();
    let http_gateways: Vec<&str> = wire
        .facts()
        .filter(|(_, fact)| matches!(fact.detail, Detail::PlainHttpAnswer { .. }))
        .map(|(gateway, _)| gateway)
        .collect();
    if wire.plain_http > 0 {
        all.plain_http_requests("a TLS port", wire.plain_http);
    }
    for (gateway, fact) in wire.facts() {
        if matches!(fact.detail, Detail::RefusesEverything { .. })
            && (answers_names || http_gateways.contains(&gateway))
        {
            continue;
        }
        match fact.certainty {
            Certainty::Fact => all.take(wire, gateway, fact),
            Certainty::Hint => all.hint(gateway, fact),
        }
    }
    all
}

impl Explained {
    fn take(&mut self, wire: &WireFacts, gateway: &str, fact: &Fact) {
        let refused = fact.refused;
        match &fact.detail {
            Detail::SplitHello { .. } | Detail::TwoRecords { .. } => {
                self.separated(Cause::SplitHello, gateway, fact);
            }
            Detail::HelloSize { .. } => self.separated(Cause::HelloTooLarge, gateway, fact),
            Detail::ProxyHeader { .. } => self.separated(Cause::ProxyProtocolMismatch, gateway, fact),
            Detail::Alpn { .. } => self.separated(Cause::AlpnMismatch, gateway, fact),
            Detail::TrailingDot { .. } | Detail::UpperCase { .. } => {
                self.separated(Cause::UnknownName, gateway, fact);
            }
            Detail::Versions { .. } => {
                self.separated(Cause::TlsMismatch, gateway, fact);
                self.mismatches += refused;
            }
            Detail::OneName { .. } => self.separates_names = true,
            Detail::RefusesEverything { with_name, without_sni } => {
                // The gateway says itself what it is about.
                let says_so = wire.alerts_of(AlertDescription::ProtocolVersion)
                    + wire.alerts_of(AlertDescription::InsufficientSecurity)
                    + wire.alerts_of(AlertDescription::NoApplicationProtocol);
                if says_so * 2 < refused {
                    self.refuses_everything(gateway, fact);
                    self.with_name += with_name;
                    self.without_sni += without_sni;
                }
            }
            Detail::PlainHttpAnswer { handshakes } => {
                self.with_name += handshakes;
                let sentence = format!(
                    "The gateway {gateway} answered {} in plain HTTP: this port does not speak TLS.",
                    Noun::Handshake.counted(*handshakes)
                );
                self.add(
                    Cause::PlainHttpPort,
                    Confidence::Certain,
                    (*handshakes, Noun::Handshake),
                    sentence,
                    "were answered in plain HTTP",
                );
            }
            Detail::PlainHttpRequest { connections } => {
                self.plain_http_requests(&format!("the TLS port {gateway}"), *connections);
            }
            Detail::Incomplete { reasons } => self.incomplete(gateway, reasons, refused),
            Detail::HealthCheck { .. } if refused > 0 => {
                let (before, _) = self.health_checks.take().unwrap_or_default();
                self.health_checks = Some((before + refused, words(gateway, fact)));
            }
            Detail::HealthCheck { .. } | Detail::RefusalShape { .. } | Detail::Unknown => {}
        }
    }

    fn plain_http_requests(&mut self, port: &str, connections: u64) {
        let sentence = format!(
            "Clients send plain HTTP to {port}: {} began with an HTTP request instead of a ClientHello.",
            Noun::Connection.counted(connections)
        );
        let count = (connections, Noun::Connection);
        self.add(Cause::PlainHttpClient, Confidence::Certain, count, sentence, "began with plain HTTP");
    }

    fn hint(&mut self, gateway: &str, fact: &Fact) {
        match &fact.detail {
            Detail::RefusesEverything { with_name, without_sni } => {
                self.with_name += with_name;
                self.without_sni += without_sni;
                let sentence = format!(
                    "The gateway {gateway} refused {with_name} with a name and {without_sni} without SNI, and served none: too few to \
                     say whether the name is the cause."
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
                self.hints.push(other.join(", "));
            }
            Detail::HealthCheck { .. } | Detail::RefusalShape { .. } | Detail::Unknown => {}
            _ => self.hints.extend(fact.name().map(|name| name.to_string())),
        }
    }

    /// A property that separates the refused handshakes from those that were served.
    fn separated(&mut self, cause: Cause, gateway: &str, fact: &Fact) {
        self.with_name += fact.refused;
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

    fn refuses_everything(&mut self, gateway: &str, fact: &Fact) {
        let sentence = format!(
            "{} So names are not the cause: the listener may expect a PROXY header, have no certificate, or not be in effect.",
            words(gateway, fact)
        );
        let count = (fact.refused, Noun::Handshake);
        let short = "to a gateway that served none were refused, with a name and without SNI";
        self.add(Cause::NotAboutNames, Confidence::Likely, count, sentence, short);
        if let Some(last) = self.explanations.last_mut() {
            last.basis = Basis::Common;
        }
    }

    /// ClientHellos that never became complete, by reason. What was only not seen here says nothing of the client.
    fn incomplete(&mut self, gateway: &str, reasons: &std::collections::BTreeMap<String, u64>, refused: u64) {
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
            "{} to the gateway {gateway} never became complete ({}): {why}.",
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
    ) {
        let known = self.explanations.iter_mut().find(|known| known.judgement.cause == cause);
        if let Some(known) = known {
            known.count += count;
            if known.judgement.sentence.len() < MAX_SENTENCE {
                known.judgement.sentence += " ";
                known.judgement.sentence += &sentence;
            }
            return;
        }
        let judgement = Judgement { cause, confidence, sentence };
        let (short, basis) = (short.to_owned(), Basis::Separated);
        self.explanations.push(Explanation { judgement, count, noun, short, basis });
    }
}

/// The fact, with the gateway as its subject.
pub(super) fn words(gateway: &str, fact: &Fact) -> String {
    let line = match fact.sentence.strip_prefix("It ") {
        Some(rest) => format!("The gateway {gateway} {rest}"),
        None => format!("At the gateway {gateway}, {}", fact.sentence),
    };
    printable_within(LINE, &line)
}
