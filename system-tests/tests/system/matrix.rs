//! Outcomes beside what real clients report: a sample of the combinations of `cargo xtask gateways`.

use system_tests::matrix::report::{Counts, render};
use system_tests::matrix::run_all;
use system_tests::matrix::selections::sample;

/// Every situation of a handshake, by programs of the machine. TC programs and packet sockets watch the same packets.
#[test]
fn outcomes_are_what_clients_report() {
    let combinations = sample();
    let trials = run_all(&combinations, |gateway| println!("{gateway}")).unwrap();
    let (counts, report) = (Counts::of(&trials), render(&trials));
    println!("{report}");
    assert_eq!(trials.len(), combinations.len());
    assert!(counts.is_success(), "{report}");
    assert_eq!(counts.undecided_served, 0, "{report}");
}
