//! The gateway refused no handshake with or without SNI: whether that means that nothing is wrong.

use sni_probe_terminal::units::counted;

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::WireFacts;
use super::{Judgement, caveat, is_served_now};

/// How many events were lost, as a sentence; empty if none were.
pub(super) fn lost(wire: &WireFacts) -> String {
    match wire.lost_events {
        0 => String::new(),
        1 => " 1 event was lost, so some handshakes may be missing.".to_owned(),
        count => format!(" {count} events were lost, so some handshakes may be missing."),
    }
}

/// The judgement where no handshake is known to be refused for its name, or for the lack of one.
pub(super) fn nothing_refused(inputs: &Inputs, wire: &WireFacts) -> Judgement {
    let (all, without, with) = (wire.handshakes(), wire.without_sni(), wire.with_sni());
    let unknown = all - without - with;
    let handshakes = counted(all, "handshake");
    let not_enough =
        |sentence| Judgement { cause: Cause::NotEnoughEvidence, confidence: Confidence::Unknown, sentence };
    match wire.refused_with_unknown_sni() {
        0 => {}
        refused => {
            let what = if refused == 1 { "handshake was" } else { "handshakes were" };
            return not_enough(format!(
                "{refused} {what} refused, of {all}. Whether they had SNI is unknown: their ClientHellos are incomplete.{}",
                lost(wire)
            ));
        }
    }
    if wire.lost_events > 0 {
        return not_enough(format!(
            "No refusal was seen in {handshakes}, but not everything was seen.{}",
            lost(wire)
        ));
    }
    if wire.served() == 0 || unknown == all {
        return not_enough(format!(
            "The gateway refused none of {handshakes}, but too little was seen: {} served, {unknown} with an incomplete ClientHello.",
            wire.served()
        ));
    }
    let sni = match (without, wire.served_without_sni()) {
        (0, _) if with == all => "all of them with SNI".to_owned(),
        (0, _) => format!("{with} of them with SNI"),
        (_, served) if served == without => {
            format!("{without} of them without SNI, and all of those were let in")
        }
        (_, served) => {
            format!("{without} of them without SNI, of which {served} were let in and none was refused")
        }
    };
    let incomplete =
        if unknown == 0 { String::new() } else { format!(", {unknown} with an incomplete ClientHello") };
    let is_confirmed = inputs.check.as_ref().is_some_and(is_served_now)
        || inputs.routes.as_ref().is_some_and(|routes| routes.serves_non_sni == Some(true));
    Judgement {
        cause: Cause::NothingWrong,
        confidence: if is_confirmed { Confidence::Certain } else { Confidence::Likely },
        sentence: format!("Nothing is wrong: {handshakes}, {sni}{incomplete}.{}", caveat(inputs)),
    }
}
