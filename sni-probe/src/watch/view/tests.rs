use std::path::PathBuf;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use sni_probe_model::api::{Interface, NotSeen};

use super::super::keys::Action;
use super::super::testing::{at, sample};
use super::super::words::Bars;
use super::*;

const PLAIN: Look = Look { colour: false, bars: Bars::Ascii };
const SIZES: [(u16, u16); 9] =
    [(1, 1), (2, 2), (1, 40), (200, 1), (20, 5), (40, 10), (80, 24), (120, 40), (300, 100)];

/// A state that has seen two snapshots, ten seconds apart.
fn state() -> ScreenState {
    state_of(|_| {})
}

fn state_of(change: impl FnOnce(&mut super::super::Snapshot)) -> ScreenState {
    let now = Instant::now();
    let mut state = ScreenState::new("http://localhost:9917".to_owned(), Duration::from_secs(1), now);
    let mut earlier = sample();
    earlier.summary.time = at(-10);
    for count in &mut earlier.summary.handshakes {
        count.handshakes -= count.handshakes / 50;
    }
    for client in &mut earlier.clients.clients {
        client.handshakes -= client.handshakes / 50;
    }
    state.receive(Ok(Box::new(earlier)), now);
    let mut snapshot = sample();
    change(&mut snapshot);
    state.receive(Ok(Box::new(snapshot)), now);
    state
}

fn render(state: &mut ScreenState, look: Look, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    render_at(state, look, (width, height), Instant::now())
}

fn render_at(state: &mut ScreenState, look: Look, size: (u16, u16), now: Instant) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal.draw(|frame| draw(frame, state, look, now)).unwrap();
    terminal
}

/// The screen as lines, without spaces at their ends.
fn text(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(buffer.area().width));
    let lines = lines.map(|cells| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn screen(state: &mut ScreenState, size: (u16, u16)) -> String {
    text(&render(state, PLAIN, size))
}

/// Compares with `screens/NAME.txt`, or with `SNI_PROBE_BLESS=1` writes it.
fn assert_screen(name: &str, state: &mut ScreenState, size: (u16, u16)) {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "src/watch/view/screens", &format!("{name}.txt")].iter().collect();
    let shown = screen(state, size);
    if std::env::var_os("SNI_PROBE_BLESS").is_some() {
        std::fs::write(&path, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown, expected, "{name}:\n{shown}\nexpected:\n{expected}");
}

fn keys(state: &mut ScreenState, actions: &[Action]) {
    for &action in actions {
        assert!(state.apply(action));
    }
}

#[test]
fn whole_screens() {
    for size in [(80, 24), (120, 40), (20, 5)] {
        assert_screen(&format!("{}x{}", size.0, size.1), &mut state(), size);
    }
    assert_eq!(screen(&mut state(), (1, 1)), "2\n", "the sentence comes first");
}

/// The screen of the manual: it is what the program draws.
#[test]
fn the_screen_in_the_docs() {
    const DOCS: &str = include_str!("../../../../docs/watch.md");
    let look = Look { colour: false, bars: Bars::Unicode };
    let shown = text(&render(&mut state(), look, (112, 15)));
    assert!(DOCS.contains(&shown), "docs/watch.md is not up to date:\n{shown}");
}

#[test]
fn the_keys_fit_on_a_line() {
    for pane in [Pane::Table, Pane::Filter, Pane::Details, Pane::Help] {
        assert!(keys::footer(pane).len() <= 80, "{pane:?}");
    }
}

#[test]
fn details_and_help() {
    let mut state = state();
    keys(&mut state, &[Action::Move(1), Action::Enter]);
    assert_screen("details", &mut state, (80, 24));
    keys(&mut state, &[Action::Escape, Action::Help]);
    assert_screen("help", &mut state, (80, 24));
}

#[test]
fn every_pane_at_every_size() {
    let crowd = || {
        state_of(|snapshot| {
            let client = snapshot.clients.clients[1].clone();
            snapshot.clients.clients = (0..1000)
                .map(|n| {
                    let mut client = client.clone();
                    client.client = format!("2001:db8:1111:2222:3333:4444:5555:{n:x}");
                    client.refused = u64::MAX;
                    client
                })
                .collect();
            snapshot.summary.ready = false;
            let kinds = &mut snapshot.summary.handshakes;
            *kinds = (0..100).flat_map(|_| kinds.clone()).collect();
        })
    };
    let empty = || ScreenState::new("somewhere".to_owned(), Duration::from_secs(1), Instant::now());
    for size in SIZES {
        for make in [&state as &dyn Fn() -> ScreenState, &crowd, &empty] {
            for actions in [
                &[][..],
                &[Action::Last],
                &[Action::Enter, Action::Last],
                &[Action::EditFilter, Action::Type('x')],
                &[Action::Help],
                &[Action::Pause],
            ] {
                let mut state = make();
                keys(&mut state, actions);
                // On the way from one size to another as well.
                render(&mut state, PLAIN, (80, 24));
                render(&mut state, PLAIN, size);
            }
        }
    }
}

#[test]
fn the_selected_client_stays_on_the_screen() {
    let mut state = state_of(|snapshot| {
        let client = snapshot.clients.clients[0].clone();
        snapshot.clients.clients = (0..200)
            .map(|n| {
                let mut client = client.clone();
                client.client = format!("host-{n:03}");
                client
            })
            .collect();
    });
    for (actions, selected) in [
        (&[][..], "> host-000"),
        (&[Action::Last], "> host-199"),
        (&[Action::Page(-1), Action::Move(-1)], "> host-18"),
        (&[Action::First], "> host-000"),
        (&[Action::Page(1)], "> host-0"),
    ] {
        keys(&mut state, actions);
        let shown = screen(&mut state, (80, 24));
        assert!(shown.contains(selected), "{selected} is not in:\n{shown}");
        assert_eq!(shown.matches("\n> ").count(), 1);
    }
}

#[test]
fn nothing_of_the_wire_but_printable_ascii() {
    let hostile = "\u{1b}]0;x\u{7}\n\u{202e}é".to_owned();
    let mut state = state_of(|snapshot| {
        let summary = &mut snapshot.summary;
        summary.node.clone_from(&hostile);
        summary.version.clone_from(&hostile);
        summary.sentence.clone_from(&hostile);
        summary.handshakes[0].sni = hostile.as_str().into();
        summary.handshakes[1].outcome = hostile.as_str().into();
        summary.interfaces[0] = Interface { name: hostile.clone(), ready: false, status: hostile.clone() };
        summary.not_seen = vec![NotSeen { metric: hostile.clone(), reason: hostile.clone(), count: 1 }];
        let client = &mut snapshot.clients.clients[0];
        for field in [&mut client.client, &mut client.gateway, &mut client.tls_version] {
            field.clone_from(&hostile);
        }
        for field in [&mut client.name, &mut client.likely, &mut client.ja4, &mut client.ja3] {
            *field = Some(hostile.clone());
        }
        client.offered_versions = vec![hostile.clone()];
        client.alpn = vec![hostile.clone()];
        client.outcomes[0].outcome = hostile.as_str().into();
        let last = &mut client.last_handshakes[0];
        last.sni = hostile.as_str().into();
        last.outcome = hostile.as_str().into();
        last.gateway.clone_from(&hostile);
        last.alert = Some(hostile.clone());
    });
    state.receive(Err(anyhow::anyhow!("{hostile}")), Instant::now());
    for actions in [&[][..], &[Action::Enter]] {
        keys(&mut state, actions);
        let shown = screen(&mut state, (200, 50));
        assert!(shown.contains(r"\x1b]0;x\x07\x0a"), "{shown}");
        assert!(shown.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{shown}");
    }
}

#[test]
fn numbers_and_times_without_sense() {
    use jiff::Timestamp;
    let mut state = state_of(|snapshot| {
        for count in &mut snapshot.summary.handshakes {
            count.handshakes = u64::MAX;
        }
        for series in &mut snapshot.summary.last_hour.series {
            series.handshakes = vec![u64::MAX; 1000];
        }
        snapshot.clients.time = Timestamp::MIN;
        for client in &mut snapshot.clients.clients {
            (client.handshakes, client.refused) = (u64::MAX, u64::MAX);
            (client.first_seen, client.last_seen) = (Timestamp::MAX, Timestamp::MIN);
            client.last_refused = Some(Timestamp::MAX);
            client.per_minute = vec![u64::MAX; 1000];
            client.last_handshakes[0].latency_us = u64::MAX;
        }
        for count in snapshot.clients.other.iter_mut().chain(&mut snapshot.clients.expected) {
            count.handshakes = u64::MAX;
        }
    });
    assert!(screen(&mut state, (120, 40)).contains("18.4E"));
    keys(&mut state, &[Action::Enter]);
    assert!(screen(&mut state, (120, 40)).contains(&u64::MAX.to_string()));
    for time in [Timestamp::MAX, Timestamp::MIN] {
        let mut snapshot = sample();
        (snapshot.summary.time, snapshot.clients.time) = (time, time);
        state.receive(Ok(Box::new(snapshot)), Instant::now());
        screen(&mut state, (120, 40));
    }
}

#[test]
fn kinds_without_end() {
    let mut state = state_of(|snapshot| {
        let count = snapshot.summary.handshakes[0].clone();
        snapshot.summary.handshakes = (0..100_000)
            .map(|n| {
                let mut count = count.clone();
                count.outcome = n.to_string().as_str().into();
                count
            })
            .collect();
    });
    assert_eq!(kinds::rows(state.shown().unwrap()).len(), 512);
    assert!(screen(&mut state, (80, 24)).contains("more kinds"));
}

#[test]
fn what_makes_the_rest_doubtful_is_told() {
    let mut state = state_of(|snapshot| {
        let summary = &mut snapshot.summary;
        summary.ready = false;
        let status = "not attached: no such interface".to_owned();
        summary.interfaces.push(Interface { name: "eth1".to_owned(), ready: false, status });
        let lost = |metric: &str, reason: &str, count| NotSeen {
            metric: metric.to_owned(),
            reason: reason.to_owned(),
            count,
        };
        summary.not_seen =
            vec![lost("events_lost_total", "ring_full", 12), lost("packets_dropped_total", "", 3)];
    });
    let shown = screen(&mut state, (80, 24));
    for part in [
        "NOT READY",
        "eth1: not attached: no such interface",
        "not seen: events_lost_total ring_full 12, packets_dropped_total 3",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
}

#[test]
fn a_daemon_that_does_not_answer_is_told_with_the_time() {
    let mut state = state();
    let now = Instant::now();
    let later = |seconds| now + Duration::from_secs(seconds);
    let shown = |state: &mut ScreenState, seconds| text(&render_at(state, PLAIN, (80, 24), later(seconds)));
    assert!(!shown(&mut state, 2).contains("no answer"));
    assert!(shown(&mut state, 8).contains("no answer for 8 s: still waiting for one"));
    state.receive(Err(anyhow::anyhow!("connection refused; is it running?")), now);
    let screen = shown(&mut state, 65);
    assert!(screen.contains("no answer for 1 min: connection refused; is it running?"), "{screen}");
    assert!(screen.contains("192.0.2.7"), "the last snapshot stays:\n{screen}");
}

#[test]
fn before_the_first_answer() {
    let mut state =
        ScreenState::new("http://localhost:9917".to_owned(), Duration::from_secs(1), Instant::now());
    assert!(screen(&mut state, (80, 24)).contains("asking http://localhost:9917 ..."));
}

#[test]
fn no_client_at_all_and_none_that_matches() {
    let mut state = state_of(|snapshot| snapshot.clients.clients.clear());
    assert!(screen(&mut state, (80, 24)).contains("No client without SNI has been seen yet."));
    let mut state = self::state();
    keys(&mut state, &[Action::EditFilter, Action::Type('z'), Action::Type('z')]);
    let shown = screen(&mut state, (80, 24));
    for part in ["0 of 3 top clients, with \"zz\"", "No client matches the filter", "filter: zz_"] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
}

#[test]
fn no_colour_means_none() {
    for (colour, is_expected) in [(false, false), (true, true)] {
        let look = Look { colour, bars: Bars::Unicode };
        let mut state = state();
        let terminal = render(&mut state, look, (120, 40));
        let has_colour = terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(has_colour, is_expected);
    }
}
