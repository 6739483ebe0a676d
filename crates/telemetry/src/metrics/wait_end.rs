//! The labels of `sni_probe_handshake_outcome_seconds`.

use sni_probe_core::vocabulary::{Label as _, OutcomeClass, SniClass};

use super::table::Key;

/// What ended the wait for the gateway's answer. The histogram measures the time to the ServerHello, so all outcomes after one share
/// a series: it has the label of [`OutcomeClass::ServerHello`].
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitEnd(pub(super) SniClass, pub(super) OutcomeClass);

impl WaitEnd {
    /// The outcome as the label shows it.
    pub(super) fn outcome(self) -> OutcomeClass {
        if self.1.is_answered() { OutcomeClass::ServerHello } else { self.1 }
    }
}

impl Key for WaitEnd {
    const COUNT: usize = <(SniClass, OutcomeClass)>::COUNT;

    fn index(self) -> usize {
        (self.0, self.1).index()
    }

    // Equal labels are one series, which several places of the table then share.
    fn all_labels() -> Vec<Vec<&'static str>> {
        let all =
            SniClass::ALL.iter().flat_map(|&sni| OutcomeClass::ALL.iter().map(move |&it| Self(sni, it)));
        all.map(|wait| vec![wait.0.as_str(), wait.outcome().as_str()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_answered_outcomes_have_one_label() {
        let labels = WaitEnd::all_labels();
        assert_eq!(labels.len(), WaitEnd::COUNT);
        let label = |outcome| labels[WaitEnd(SniClass::Absent, outcome).index()].clone();
        assert_eq!(label(OutcomeClass::RefusedAfterServerHello), ["absent", "server_hello"]);
        assert_eq!(label(OutcomeClass::Timeout), ["absent", "timeout"]);
        let values: std::collections::BTreeSet<_> = labels.into_iter().collect();
        let answered = OutcomeClass::ALL.iter().filter(|outcome| outcome.is_answered()).count();
        assert_eq!(values.len(), SniClass::ALL.len() * (OutcomeClass::ALL.len() - answered + 1));
    }
}
