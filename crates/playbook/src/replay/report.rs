//! What `replay` prints: lines as handshakes end, and what the captures come to at their end.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use sni_probe_core::clients::ClientLabel;
use sni_probe_core::flow::Place;
use sni_probe_core::observation::{Handshake, Observation};
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::vocabulary::{Label as _, NonTls};
use sni_probe_model::facts::{Ports, RefusalFacts};
use sni_probe_telemetry::events::{Format, Provenance, WallClock};
use sni_probe_telemetry::metrics::{Metrics, Parties};
use sni_probe_terminal::units::counted;

use super::config::{self, Config};
use super::facts;
use super::selection::Selection;
use super::summary::{Span, Summary};

/// Lines are written when so many bytes of them are there, and before anybody waits.
const BATCH_BYTES: usize = 64 << 10;

/// Takes what the replay saw.
pub(super) struct Report {
    selection: Selection,
    /// The form of the lines; `None`: there are none.
    lines: Option<Format>,
    batch: Vec<u8>,
    summary: Option<Summary>,
    /// Counts for the summary, of all handshakes: what separates them does not depend on which ones are selected.
    facts: RefusalFacts,
    metrics: Option<Metrics>,
    colour: bool,
    non_tls: [u64; NonTls::ALL.len()],
    unclassified: u64,
    refused_without_sni: bool,
}

/// What was read, for the summary.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) captures: usize,
    pub(super) frames: u64,
    pub(super) span: Span,
    /// What was not read: in words, with how many.
    pub(super) not_read: Vec<(String, u64)>,
    /// What was skipped or lost, and what else is not as it should be: in words, with how many.
    pub(super) not_seen: Vec<(String, u64)>,
}

/// The last line of JSON, if something was not read.
#[derive(Debug, Serialize)]
struct NotRead<'a> {
    /// Frames of all captures.
    frames: u64,
    not_read: Vec<NotReadItem<'a>>,
}

#[derive(Debug, Serialize)]
struct NotReadItem<'a> {
    what: &'a str,
    count: u64,
}

impl<'a> NotRead<'a> {
    fn of(totals: &'a Totals) -> Self {
        let items = totals.not_read.iter().map(|(what, count)| NotReadItem { what, count: *count });
        Self { frames: totals.frames, not_read: items.collect() }
    }
}

impl Report {
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let stdout = io::stdout();
        let is_terminal = io::IsTerminal::is_terminal(&stdout);
        let format =
            config.format.unwrap_or(if is_terminal { config::Format::Text } else { config::Format::Json });
        let colour = sni_probe_terminal::wants_colour(&stdout);
        let (lines, summary) = match format {
            config::Format::Text => (Some(Format::Text { colour }), Some(Summary::default())),
            config::Format::Json => (Some(Format::Json { client_random: config.client_random }), None),
            config::Format::Summary => (None, Some(Summary::default())),
            config::Format::Prometheus => (None, None),
        };
        let metrics = (format == config::Format::Prometheus).then(Metrics::for_captures).transpose()?;
        Ok(Self {
            selection: Selection::of(config),
            lines,
            batch: Vec::new(),
            summary,
            facts: RefusalFacts::for_captures(if config.ports.is_empty() {
                Ports::All
            } else {
                Ports::Gateways
            }),
            metrics,
            colour,
            non_tls: [0; NonTls::ALL.len()],
            unclassified: 0,
            refused_without_sni: false,
        })
    }

    /// Of which hellos fingerprints are shown.
    pub(super) fn fingerprints(&self) -> Fingerprints {
        if self.lines.is_some() || self.summary.is_some() { Fingerprints::All } else { Fingerprints::None }
    }

    /// The metrics, where those are what is printed.
    pub(super) fn metrics(&self) -> Option<&Metrics> {
        self.metrics.as_ref()
    }

    /// Whether lines show names in certificates.
    pub(super) const fn shows_certificates(&self) -> bool {
        self.lines.is_some()
    }

    /// Whether the gateway refused a handshake without SNI.
    pub(super) fn refused_without_sni(&self) -> bool {
        self.refused_without_sni
    }

    /// Takes an observation, with the names in the certificate of its gateway. Returns whether it is a handshake that is selected.
    /// `place` returns the capture and the frame of a [`Handshake::place`].
    pub(super) fn observe<'a>(
        &mut self,
        observation: &Observation,
        certificate_names: &[String],
        place: impl FnOnce(Place) -> (&'a str, u64),
    ) -> bool {
        if self.summary.is_some() {
            self.facts.observe(observation);
        }
        match observation {
            Observation::Handshake(handshake) => {
                let is_selected = self.selection.selects(handshake);
                if is_selected {
                    self.handshake(handshake, certificate_names, place);
                }
                return is_selected;
            }
            // It is counted with its handshake, for only that tells whether it is selected.
            Observation::ClientHello { .. } => return false,
            Observation::NonTls { protocol, .. } => self.non_tls[*protocol as usize] += 1,
            Observation::Unclassified { .. } => self.unclassified += 1,
            Observation::Evicted { .. } => {}
        }
        if let Some(metrics) = &self.metrics {
            metrics.observe(observation, Parties::UNKNOWN);
        }
        false
    }

    fn handshake<'a>(
        &mut self,
        handshake: &Handshake,
        certificate_names: &[String],
        place: impl FnOnce(Place) -> (&'a str, u64),
    ) {
        self.refused_without_sni |=
            handshake.outcome.is_refused() && handshake.hello.sni.class().is_without_sni();
        let (file, frame) = place(handshake.place);
        if let Some(format) = self.lines {
            let source = Provenance::Capture { file, frame, certificate_names };
            format.line(&mut self.batch, source, handshake, WallClock::UTC);
        }
        if let Some(summary) = &mut self.summary {
            summary.add(handshake, || {
                let name = Path::new(file).file_name().map_or(file.into(), |name| name.to_string_lossy());
                format!("{name}:{frame}")
            });
        }
        if let Some(metrics) = &self.metrics {
            metrics.hello_and_handshake(handshake);
        }
    }

    /// Whether there is enough for a write.
    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_BYTES
    }

    /// Writes the lines so far.
    ///
    /// # Errors
    /// If stdout takes no more.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&self.batch)?;
        self.batch.clear();
        stdout.flush()
    }

    /// Writes what the captures come to.
    ///
    /// # Errors
    /// If stdout takes no more.
    pub(super) fn finish(mut self, totals: &Totals) -> io::Result<()> {
        // Of nothing that could be read there is nothing to say.
        if let Some(summary) = self.summary.as_ref().filter(|_| totals.captures > 0) {
            let text = self.summary_text(summary, totals);
            self.batch.extend_from_slice(text.as_bytes());
        }
        if matches!(self.lines, Some(Format::Json { .. })) && !totals.not_read.is_empty() {
            serde_json::to_writer(&mut self.batch, &NotRead::of(totals))?;
            self.batch.push(b'\n');
        }
        if let Some(metrics) = &self.metrics {
            self.batch.extend_from_slice(metrics.encode().map_err(io::Error::other)?.as_bytes());
        }
        self.flush()
    }

    fn summary_text(&self, summary: &Summary, totals: &Totals) -> String {
        let Totals { captures, frames, span, not_read, not_seen } = totals;
        let of_several = if *captures == 1 { String::new() } else { format!(" in {captures} captures") };
        let gap = if self.batch.is_empty() && self.lines.is_none() { "" } else { "\n" };
        let mut text = format!("{gap}{}{of_several}{span}\n\n", counted(*frames, "frame"));
        text.push_str(&summary.show(self.colour));
        text.push_str(&facts::show(&self.facts.report(&ClientLabel::Ip)));
        let mut remarks: Vec<String> = Vec::new();
        let non_tls = NonTls::ALL.iter().filter(|&&protocol| self.non_tls[protocol as usize] > 0);
        let non_tls: Vec<_> =
            non_tls.map(|&protocol| format!("{protocol} {}", self.non_tls[protocol as usize])).collect();
        if !non_tls.is_empty() {
            remarks.push(format!("connections without TLS: {}", non_tls.join(", ")));
        }
        if self.unclassified > 0 {
            remarks.push(format!("connections of which too little was seen to tell: {}", self.unclassified));
        }
        remarks.extend(not_read.iter().chain(not_seen).map(|(what, n)| format!("{what}: {n}")));
        if !remarks.is_empty() {
            text.push_str("\nBesides:\n");
            for remark in remarks {
                text.push_str("  ");
                text.push_str(&remark);
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sni_probe_core::observation::Outcome;
    use sni_probe_core::vocabulary::{AlertDescription, AlertSender, Follow};

    use super::*;

    #[test]
    fn only_what_the_gateway_refused_for_want_of_sni_makes_fail_on_reset_fail() {
        let alert = Some(AlertDescription::CertificateRequired);
        for (outcome, is_refused) in [
            (Outcome::ServerHello, false),
            (Outcome::Established, false),
            (Outcome::RejectedByClient { alert }, false),
            (Outcome::ClientCertificateRefused { alert }, false),
            (Outcome::RefusedAfterServerHello { alert: None }, true),
            (Outcome::ResetByGateway, true),
            (Outcome::Alert { description: AlertDescription::UnknownCa, sender: AlertSender::Client }, false),
        ] {
            let mut report = Report::new(&Config {
                files: Vec::new(),
                ports: Vec::new(),
                format: Some(config::Format::Summary),
                client_random: false,
                sni: Vec::new(),
                outcome: Vec::new(),
                client: Vec::new(),
                write: None,
                fail_on_reset: true,
                handshake_timeout: Duration::from_secs(30),
                follow: Follow::Handshake,
            })
            .unwrap();
            let handshake = Handshake { outcome, ..Handshake::example() };
            report.handshake(&handshake, &[], |_| ("a.pcap", 1));
            assert_eq!(report.refused_without_sni(), is_refused, "{outcome:?}");
        }
    }
}
