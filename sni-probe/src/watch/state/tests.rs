use super::super::testing::{at, sample};
use super::*;

fn state() -> ScreenState {
    let now = Instant::now();
    let mut state = ScreenState::new("here".to_owned(), Duration::from_secs(1), now);
    state.receive(Ok(Box::new(sample())), now);
    state
}

fn names(state: &ScreenState) -> Vec<&str> {
    state.rows().iter().map(|client| client.client.as_str()).collect()
}

fn selected(state: &ScreenState) -> &str {
    state.selected().unwrap().0
}

fn apply(state: &mut ScreenState, actions: &[Action]) {
    for &action in actions {
        assert!(state.apply(action));
    }
}

fn type_filter(state: &mut ScreenState, text: &str) {
    apply(state, &[Action::EditFilter]);
    for character in text.chars() {
        apply(state, &[Action::Type(character)]);
    }
}

const JAVA: &str = "192.0.2.7";
const UNKNOWN: &str = "2001:db8::17";
const GO: &str = "198.51.100.44";

#[test]
fn sorted_by_each_column_and_back() {
    let mut state = state();
    let mut later = sample();
    later.summary.time = at(10);
    // Rates: Go's is the highest, the unknown one's is 0.
    later.clients.clients[0].handshakes += 10;
    later.clients.clients[2].handshakes += 100;
    state.receive(Ok(Box::new(later)), Instant::now());
    for (sort, expected) in [
        (Sort::Refused, [JAVA, UNKNOWN, GO]),
        (Sort::Handshakes, [JAVA, GO, UNKNOWN]),
        (Sort::Rate, [GO, JAVA, UNKNOWN]),
        (Sort::LastSeen, [GO, JAVA, UNKNOWN]),
        (Sort::Client, [JAVA, GO, UNKNOWN]),
    ] {
        assert_eq!(state.sort, sort);
        assert_eq!(names(&state), expected, "{sort:?}");
        apply(&mut state, &[Action::Reverse]);
        let mut reversed = expected;
        reversed.reverse();
        assert_eq!(names(&state), reversed, "{sort:?}");
        apply(&mut state, &[Action::Reverse, Action::NextSort]);
    }
    assert_eq!(state.sort, Sort::Refused, "round and round");
}

#[test]
fn addresses_are_sorted_as_numbers() {
    let mut clients = ["10.0.0.10", "2001:db8::1", "10.0.0.9", "10.0.0.0/24", "hash-b", "9.0.0.1", "hash-a"];
    clients.sort_by(|a, b| place(a).cmp(&place(b)));
    let expected = ["hash-a", "hash-b", "9.0.0.1", "10.0.0.0/24", "10.0.0.9", "10.0.0.10", "2001:db8::1"];
    assert_eq!(clients, expected);
}

#[test]
fn the_filter_looks_into_client_name_software_and_ja4() {
    for (filter, expected) in [
        ("192.0", &[JAVA][..]),
        ("CHECKOUT", &[JAVA]),
        ("crypto/tls", &[GO]),
        ("t13i", &[UNKNOWN, GO]),
        ("nothing", &[]),
        ("", &[JAVA, UNKNOWN, GO]),
    ] {
        let mut state = state();
        type_filter(&mut state, filter);
        assert_eq!(names(&state), expected, "{filter}");
        apply(&mut state, &[Action::Enter]);
        assert_eq!((state.pane, names(&state).len()), (Pane::Table, expected.len()));
        apply(&mut state, &[Action::Escape]);
        assert_eq!(names(&state).len(), 3, "Esc shows all");
    }
}

#[test]
fn a_filter_is_short_and_printable() {
    let mut state = state();
    type_filter(&mut state, &"x\u{7}é".repeat(1000));
    assert_eq!(state.filter, "x".repeat(MAX_FILTER));
    for _ in 0..=MAX_FILTER {
        apply(&mut state, &[Action::Erase]);
    }
    assert_eq!(state.filter, "");
}

#[test]
fn a_pause_holds_the_screen_and_keeps_the_rates() {
    let mut state = state();
    apply(&mut state, &[Action::Pause]);
    for seconds in 1..=3 {
        let mut later = sample();
        later.summary.time = at(seconds);
        later.clients.clients[0].handshakes += 4 * u64::try_from(seconds).unwrap();
        state.receive(Ok(Box::new(later)), Instant::now());
        assert_eq!(state.shown().unwrap().snapshot.summary.time, at(0));
    }
    apply(&mut state, &[Action::Pause]);
    let shown = state.shown().unwrap();
    assert_eq!(shown.snapshot.summary.time, at(3));
    let rate = shown.speeds.of_client(JAVA).unwrap();
    assert!((rate - 4.0).abs() < 1e-9, "{rate}");
}

#[test]
fn the_selection_follows_its_client() {
    let mut state = state();
    assert_eq!(selected(&state), JAVA);
    apply(&mut state, &[Action::Move(1)]);
    assert_eq!(selected(&state), UNKNOWN);
    // It moves to the top; the selection with it.
    let mut later = sample();
    later.clients.clients[1].refused = 10_000;
    state.receive(Ok(Box::new(later.clone())), Instant::now());
    assert_eq!((selected(&state), state.row()), (UNKNOWN, 0));
    apply(&mut state, &[Action::NextSort]);
    assert_eq!((selected(&state), state.row()), (UNKNOWN, 2 - usize::from(names(&state)[1] == UNKNOWN)));
    // It leaves the top: what is in its place is selected.
    later.clients.clients.remove(1);
    state.receive(Ok(Box::new(later)), Instant::now());
    assert_eq!(state.row(), 1);
    apply(&mut state, &[Action::Move(100)]);
    assert_eq!(state.row(), 1, "the last one");
    apply(&mut state, &[Action::Move(-100)]);
    assert_eq!(state.row(), 0);
}

#[test]
fn details_stay_with_a_client_that_leaves_the_top() {
    let mut state = state();
    apply(&mut state, &[Action::Enter]);
    let mut later = sample();
    later.clients.clients.remove(0);
    state.receive(Ok(Box::new(later)), Instant::now());
    let (name, client) = state.selected().unwrap();
    assert!(name == JAVA && client.is_none());
    apply(&mut state, &[Action::Escape]);
    assert_eq!(state.pane, Pane::Table);
}

#[test]
fn nothing_can_be_selected_where_nothing_is() {
    let mut state = ScreenState::new("here".to_owned(), Duration::from_secs(1), Instant::now());
    apply(&mut state, &[Action::Enter, Action::Last, Action::Page(1), Action::Pause, Action::NextSort]);
    assert!(state.selected().is_none() && state.pane == Pane::Table);
    assert!(!state.apply(Action::Quit));
    // The first answer shows, paused or not.
    state.receive(Ok(Box::new(sample())), Instant::now());
    assert!(state.shown().is_some());
}
