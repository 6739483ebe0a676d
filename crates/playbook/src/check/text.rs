//! The report for people.

use std::fmt::Write as _;
use std::time::Duration;

use sni_probe_terminal::units::latency;
use sni_probe_terminal::{Cell, Colour, Column, Painted, Table, printable, printable_within};

use super::report::{
    Attempt, AttemptKind, AttemptOutcome, Certificate, CheckClient, CheckReport, CheckVerdict,
};

/// Names of a certificate that are shown.
const MAX_NAMES: usize = 10;
/// Characters of an issuer that are shown.
const MAX_ISSUER: usize = 120;

/// All of it, in colours if there are any.
pub(super) fn render(report: &CheckReport, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{}", printable(&report.target));
    if let Some(address) = &report.address {
        let _ = write!(text, " at {address}");
    }
    text.push_str("\n\n");
    let _ = write!(text, "{}", table(&report.attempts, colour));
    let is_name = |attempt: &Attempt| matches!(attempt.kind, AttemptKind::Named | AttemptKind::ExactName);
    if !report.attempts.iter().any(is_name) {
        text.push_str("(no name to ask for: the target is an address; --sni gives one)\n");
    }
    if report.attempts.iter().any(|attempt| attempt.client == CheckClient::HelloOnly) {
        text.push_str("(*: a hello that rustls cannot send; the first answer is shown, the handshake was not completed)\n");
    }
    certificates(&mut text, &report.attempts);
    let sentence_colour = match report.verdict {
        CheckVerdict::NonSniSameCertificate => Colour::Green,
        CheckVerdict::NonSniOtherCertificate | CheckVerdict::Unknown => Colour::Yellow,
        CheckVerdict::NonSniRefused | CheckVerdict::NameRefused | CheckVerdict::RejectedByHttp => Colour::Red,
    };
    let _ = writeln!(text, "\n{}", Painted::new(report.sentence.as_str(), colour.then_some(sentence_colour)));
    next(&mut text, report);
    text
}

fn table(attempts: &[Attempt], colour: bool) -> Table {
    let mut table = Table::new([
        Column::left("hello"),
        Column::left("outcome"),
        Column::right("time").at_least(8),
        Column::left("TLS"),
        Column::left("cipher suite").at_least(39),
        Column::left("certificate"),
    ]);
    for attempt in attempts {
        let is_good = matches!(attempt.outcome, AttemptOutcome::Handshake | AttemptOutcome::ServerHello);
        let colour = colour.then_some(if is_good { Colour::Green } else { Colour::Red });
        table.row([
            hello(attempt).into(),
            Cell::painted(outcome(attempt), colour),
            latency(Duration::from_micros(attempt.latency_us)).into(),
            attempt.tls_version.as_deref().unwrap_or("-").into(),
            attempt.cipher.as_deref().unwrap_or("-").into(),
            attempt.certificate.as_ref().map_or_else(|| "-".to_owned(), short).into(),
        ]);
    }
    table
}

fn hello(attempt: &Attempt) -> String {
    let name = attempt.server_name.as_deref().map_or_else(|| "(no SNI)".to_owned(), printable);
    let what = match attempt.kind {
        AttemptKind::ExactName => " (as given)",
        AttemptKind::PostQuantum => " (post-quantum)",
        AttemptKind::Named | AttemptKind::WithoutSni | AttemptKind::UnknownName => "",
    };
    let mark = if attempt.client == CheckClient::HelloOnly { " *" } else { "" };
    format!("{name}{what}{mark}")
}

fn outcome(attempt: &Attempt) -> String {
    match attempt.outcome {
        AttemptOutcome::Handshake => match attempt.http_status {
            Some(status) => format!("HTTP {status}"),
            None => "handshake".to_owned(),
        },
        AttemptOutcome::ServerHello => "ServerHello".to_owned(),
        AttemptOutcome::RejectedByHttp => {
            format!("rejected by HTTP {}", attempt.http_status.unwrap_or_default())
        }
        AttemptOutcome::Reset => "reset".to_owned(),
        AttemptOutcome::Alert => format!("alert {}", attempt.alert.as_deref().unwrap_or_default()),
        AttemptOutcome::Closed => "closed".to_owned(),
        AttemptOutcome::Refused => "refused".to_owned(),
        AttemptOutcome::Timeout => "timeout".to_owned(),
        AttemptOutcome::NotTls => "not TLS".to_owned(),
        AttemptOutcome::Unreachable => "unreachable".to_owned(),
        AttemptOutcome::Unsupported => "unsupported".to_owned(),
    }
}

fn short(certificate: &Certificate) -> String {
    let matches = if certificate.matches_host { "matches" } else { "does not match" };
    format!("{}, {matches}", title(certificate))
}

fn title(certificate: &Certificate) -> String {
    match (certificate.subject.as_str(), certificate.names.first()) {
        ("", Some(name)) => printable(name),
        ("", None) => "(no name)".to_owned(),
        (subject, _) => format!("CN {}", printable(subject)),
    }
}

/// Each certificate once.
fn certificates(text: &mut String, attempts: &[Attempt]) {
    let mut told: Vec<&Certificate> = Vec::new();
    for certificate in attempts.iter().filter_map(|attempt| attempt.certificate.as_ref()) {
        if told.contains(&certificate) {
            continue;
        }
        told.push(certificate);
        let mut names: Vec<_> =
            certificate.names.iter().take(MAX_NAMES).map(|name| printable(name)).collect();
        if certificate.names.len() > MAX_NAMES {
            names.push(format!("and {} more", certificate.names.len() - MAX_NAMES));
        }
        let _ = writeln!(
            text,
            "\n{}\n  names    {}\n  issuer   {}\n  expires  {}\n  sha256   {}",
            title(certificate),
            names.join(", "),
            printable_within(MAX_ISSUER, &certificate.issuer),
            certificate.not_after,
            certificate.sha256
        );
    }
}

/// What to type next.
fn next(text: &mut String, report: &CheckReport) {
    let Some(address) = &report.address else { return };
    let by_hand = format!("openssl s_client -connect {address} -noservername </dev/null");
    let lines = match report.verdict {
        CheckVerdict::NonSniSameCertificate => return,
        CheckVerdict::NonSniOtherCertificate => vec![(by_hand, "the same by hand")],
        CheckVerdict::NonSniRefused => vec![
            (by_hand, "the same by hand"),
            ("sni-probe diagnose --help".to_owned(), "why, and what to change"),
            ("sni-probe run --events text".to_owned(), "on the gateway's node: who connects without SNI"),
        ],
        CheckVerdict::RejectedByHttp => {
            vec![(
                format!("curl -vk https://{address}/"),
                "the same by hand: to an address curl sends no SNI",
            )]
        }
        CheckVerdict::NameRefused => {
            let named = report.attempts.iter().find(|attempt| attempt.kind == AttemptKind::Named);
            let name = named.and_then(|named| named.server_name.as_deref()).unwrap_or_default();
            let by_hand = format!("openssl s_client -connect {address} -servername {name} </dev/null");
            vec![
                (by_hand, "whether another client is served"),
                ("sni-probe diagnose --help".to_owned(), "why, and what to change"),
            ]
        }
        CheckVerdict::Unknown => vec![(by_hand, "what another client says")],
    };
    let mut table = Table::without_heads([Column::left(""), Column::left("")]).indent(2);
    for (command, why) in lines {
        table.row([command.into(), why.into()]);
    }
    // Writing to a `String` cannot fail.
    let _ = write!(text, "\nNext:\n{table}");
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::report::Offered;
    use super::*;

    #[test]
    fn a_gateway_that_refuses() {
        let certificate = Certificate {
            names: vec!["a.example".to_owned(), "\u{1b}[31m".to_owned()],
            subject: "a.example".to_owned(),
            issuer: "CN=ca".to_owned(),
            not_after: Timestamp::UNIX_EPOCH,
            sha256: "00ff".to_owned(),
            matches_host: true,
        };
        let named = Attempt {
            kind: AttemptKind::Named,
            client: CheckClient::Rustls,
            http_status: None,
            server_name: Some("a.example".to_owned()),
            connected: true,
            outcome: AttemptOutcome::Handshake,
            alert: None,
            tls_version: Some("1.3".to_owned()),
            cipher: Some("TLS_AES_128_GCM_SHA256".to_owned()),
            certificate: Some(certificate),
            latency_us: 1_234,
            error: None,
        };
        let without = Attempt {
            kind: AttemptKind::WithoutSni,
            server_name: None,
            outcome: AttemptOutcome::Alert,
            alert: Some("unrecognized_name".to_owned()),
            tls_version: None,
            cipher: None,
            certificate: None,
            ..named.clone()
        };
        let report = CheckReport {
            target: "a.example".to_owned(),
            address: Some("10.1.2.3:443".to_owned()),
            attempts: vec![named, without],
            offered: Offered::default(),
            verdict: CheckVerdict::NonSniRefused,
            sentence: "non-SNI clients are refused".to_owned(),
        };
        let expected = "\
a.example at 10.1.2.3:443

hello      outcome                      time  TLS  cipher suite                             certificate
a.example  handshake                   1.2ms  1.3  TLS_AES_128_GCM_SHA256                   CN a.example, matches
(no SNI)   alert unrecognized_name     1.2ms  -    -                                        -

CN a.example
  names    a.example, \\x1b[31m
  issuer   CN=ca
  expires  1970-01-01T00:00:00Z
  sha256   00ff

non-SNI clients are refused

Next:
  openssl s_client -connect 10.1.2.3:443 -noservername </dev/null  the same by hand
  sni-probe diagnose --help                                        why, and what to change
  sni-probe run --events text                                      on the gateway's node: who connects without SNI
";
        assert_eq!(render(&report, false), expected);
        assert!(render(&report, true).contains("\u{1b}[31mnon-SNI clients are refused\u{1b}[0m"));
    }
}
