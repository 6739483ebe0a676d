//! The facts about refusals, at the end of the summary.

use std::fmt::Write as _;

use sni_probe_model::Label as _;
use sni_probe_model::facts::{Certainty, Fact, FactsReport, GatewayFacts};

/// Gateways that are shown, those with the most refused handshakes first.
const SHOWN_GATEWAYS: usize = 20;

/// Characters of the longest name of a fact.
const WIDTH: usize = 18;

/// The facts for people; empty if there is none.
pub(super) fn show(report: &FactsReport) -> String {
    let mut text = String::new();
    let gateways: Vec<&GatewayFacts> =
        report.gateways.iter().filter(|gateway| !gateway.facts.is_empty()).collect();
    for gateway in gateways.iter().take(SHOWN_GATEWAYS) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "\nGateway {}: {} refused, {} served",
            gateway.gateway, gateway.refused, gateway.served
        );
        for fact in &gateway.facts {
            show_fact(&mut text, fact);
        }
    }
    if let Some(more) = gateways.len().checked_sub(SHOWN_GATEWAYS).filter(|&more| more > 0) {
        let _ = writeln!(text, "\n{more} more gateways with facts (fewer of them: --port, --client)");
    }
    text
}

fn show_fact(text: &mut String, fact: &Fact) {
    let Some(name) = fact.name() else { return };
    let certainty = match fact.certainty {
        Certainty::Fact => "fact",
        Certainty::Hint => "hint",
    };
    let _ = writeln!(text, "  {certainty}  {:<WIDTH$}  {}", name.as_str(), fact.sentence);
}

#[cfg(test)]
mod tests {
    use sni_probe_core::clients::ClientLabel;
    use sni_probe_core::observation::{Handshake, Outcome, Sni};
    use sni_probe_model::facts::{FactName, Ports, RefusalFacts};

    use super::*;

    #[test]
    fn a_line_for_each_fact() {
        let mut facts = RefusalFacts::for_captures(Ports::All);
        assert_eq!(show(&facts.report(&ClientLabel::Ip)), "");
        for (segments, outcome) in [(2, Outcome::ResetByGateway), (1, Outcome::Established)].repeat(3) {
            let mut handshake = Handshake::example();
            handshake.hello.sni = Sni::Present("a.example".to_owned());
            handshake.hello.segments = segments;
            handshake.outcome = outcome;
            facts.add(&handshake);
        }
        let text = show(&facts.report(&ClientLabel::Ip));
        assert_eq!(
            text,
            "\nGateway 198.51.100.9:443: 3 refused, 3 served\n  fact  split_hello         It refuses ClientHellos \
             in 2 or more TCP segments. Refused with this: 3; served without: 3.\n"
        );
    }

    #[test]
    fn every_name_fits() {
        let longest = FactName::ALL.iter().map(|name| name.as_str().len()).max();
        assert_eq!(longest, Some(WIDTH));
    }
}
