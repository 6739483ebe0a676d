//! Plain text at each look, or JSON: for pipes, files and scripts.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use anyhow::{Context as _, bail};
use sni_probe_model::api::Client;
use sni_probe_terminal::units::{counted, rate};
use sni_probe_terminal::{Column, Table, printable};

use super::feed::{self, MAX_WAITING, TICK};
use super::rates::Rates;
use super::state::Shown;
use super::{Snapshot, kinds, view, words};
use crate::cli::{WatchFormat, WatchOptions};

/// Clients in a block of text.
const CLIENTS: usize = 10;

/// Prints until all that is asked for is printed, nobody reads any more, or `stop` is set.
///
/// # Errors
/// If the first look fails, or the last one that was asked for, or nothing can be written. Others that fail are told on
/// stderr, and count.
pub(super) fn run(
    options: &WatchOptions,
    place: &str,
    source: impl FnMut() -> anyhow::Result<Snapshot> + Send + 'static,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let (sender, receiver) = sync_channel(MAX_WAITING);
    feed::spawn(options.interval, source, sender, |result| result)?;
    let mut rates = Rates::default();
    let mut printed = 0;
    let mut looks = 0;
    let mut told = None;
    while !stop.load(Ordering::Relaxed) && options.limit().is_none_or(|limit| looks < limit) {
        let snapshot = match receiver.recv_timeout(TICK) {
            Ok(Ok(snapshot)) => snapshot,
            Ok(Err(error)) if printed == 0 || options.limit() == Some(looks + 1) => {
                return Err(error.context(place.to_owned()));
            }
            Ok(Err(error)) => {
                looks += 1;
                let message = format!("{place}: {error:#}");
                // Once, not at each look.
                if told.as_ref() != Some(&message) {
                    sni_probe_terminal::report(&words::sentence(&message));
                }
                told = Some(message);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that looks has ended; this is a bug"),
        };
        told = None;
        let text = match options.format.unwrap_or(WatchFormat::Text) {
            WatchFormat::Json => {
                serde_json::to_string(&snapshot).context("cannot write what was seen as JSON")? + "\n"
            }
            WatchFormat::Text => {
                let speeds = rates.observe(&snapshot);
                let separator = if printed == 0 { "" } else { "\n" };
                format!("{separator}{}", block(&Shown { snapshot: *snapshot, speeds }))
            }
        };
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => {
                printed += 1;
                looks += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error).context("cannot write to standard output"),
        }
    }
    Ok(())
}

/// The state, what may make it untrue, rates, and the clients most often refused.
fn block(shown: &Shown) -> String {
    let Shown { snapshot: Snapshot { summary, clients, .. }, speeds } = shown;
    let ready = if summary.ready { "ready" } else { "NOT READY" };
    let time = summary.time.strftime("%Y-%m-%dT%H:%M:%SZ");
    let sentence = words::sentence(&summary.sentence);
    let mut text = format!("{time}  {}  {ready}  {sentence}\n", printable(&summary.node));
    // Writing to a `String` cannot fail.
    for notice in [view::unwatched(summary), view::losses(summary)].into_iter().flatten() {
        let _ = writeln!(text, "  {notice}");
    }
    let columns =
        [Column::left("").at_least(8), Column::left("").at_least(18), Column::right("").at_least(11)];
    let columns = columns.into_iter().chain([Column::right("").at_least(12)]);
    let mut table = Table::without_heads(columns.collect::<Vec<_>>()).indent(2).gap(1);
    for kind in kinds::rows(shown) {
        let speed = format!("{}/s", rate(kind.rate));
        table.row([
            printable(kind.sni.as_str()).into(),
            words::class(kind.outcome).into(),
            speed.into(),
            kind.total.into(),
        ]);
    }
    let _ = write!(text, "{table}");
    let mut top: Vec<&Client> = clients.clients.iter().collect();
    top.sort_by_key(|client| std::cmp::Reverse((client.refused, client.handshakes)));
    for client in top.iter().take(CLIENTS) {
        let mut who = printable(&client.client);
        if let Some(name) = &client.name {
            let _ = write!(who, " ({})", printable(name));
        }
        let last = client.last_handshakes.first().map_or_else(|| "-".to_owned(), words::outcome);
        let _ = writeln!(
            text,
            "  {who}: {}, {} refused, {}/s, last {last} {} ago, {}",
            counted(client.handshakes, "handshake"),
            client.refused,
            rate(speeds.of_client(&client.client)),
            words::age(client.last_seen, clients.time),
            words::software(client),
        );
    }
    if top.len() > CLIENTS {
        let _ = writeln!(text, "  and {} without SNI", counted((top.len() - CLIENTS) as u64, "more client"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, sample};
    use super::*;

    fn shown(snapshot: Snapshot) -> Shown {
        let mut rates = Rates::default();
        let mut earlier = snapshot.clone();
        earlier.summary.time = at(-1);
        for count in &mut earlier.summary.handshakes {
            count.handshakes -= 2;
        }
        rates.observe(&earlier);
        let speeds = rates.observe(&snapshot);
        Shown { snapshot, speeds }
    }

    #[test]
    fn a_block_of_text() {
        let expected = "\
2026-03-05T14:03:22Z  node-1  ready  2 clients without SNI were refused in the last hour; the gateway accepts 1 other
  absent   reset_by_gateway         2.0/s          700
  empty    alert                    2.0/s          112
  absent   server_hello             4.0/s         1000
  unknown  timeout                  2.0/s            3
  present  server_hello             2.0/s        81200
  192.0.2.7 (shop/checkout-5c9f): 700 handshakes, 700 refused, 0.0/s, last reset_by_gateway 2 s ago, Java 8 (HttpsURLConnection)
  2001:db8::17: 112 handshakes, 112 refused, 0.0/s, last alert unrecognized_name 5 min ago, t13i3112h2_e8f1e7e78f70_b26ce05bbdd6
  198.51.100.44 (probes/blackbox-0): 40 handshakes, 0 refused, 0.0/s, last server_hello 1 s ago, Go 1.22 (crypto/tls)
";
        assert_eq!(block(&shown(sample())), expected);
    }

    #[test]
    fn a_block_is_compact_and_printable() {
        let mut snapshot = sample();
        let mut client = snapshot.clients.clients[0].clone();
        client.likely = Some("\u{1b}[2J".to_owned());
        client.refused = u64::MAX;
        snapshot.clients.clients = vec![client; 1000];
        snapshot.summary.sentence = "a\nb\u{7}".to_owned();
        let text = block(&shown(snapshot));
        assert!(text.lines().count() < 25, "{text}");
        assert!(
            text.contains("and 990 more clients")
                && text.contains(r"\x1b[2J")
                && text.contains(r"a\x0ab\x07")
        );
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{text}");
    }
}
