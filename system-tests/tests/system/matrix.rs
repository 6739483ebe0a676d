//! Outcomes beside what real clients report: a sample of the combinations of `cargo xtask gateways`.

use system_tests::matrix::report::{Counts, Trial, render};
use system_tests::matrix::run_all;
use system_tests::matrix::selections::sample;
use system_tests::matrix::situation::Situation;

/// Every situation of a handshake, with programs of the machine. TC programs and packet sockets watch the same packets.
#[test]
fn outcomes_are_what_clients_report() {
    let combinations = sample();
    for situation in Situation::ALL {
        let is_in_sample = combinations.iter().any(|combination| combination.situation == situation);
        assert!(is_in_sample, "no combination is {}", situation.word());
    }
    let trials = run_all(&combinations, |gateway| println!("{gateway}")).unwrap();
    let (counts, report) = (Counts::of(&trials), render(&trials));
    println!("{report}");
    assert_eq!(trials.len(), combinations.len());
    assert!(counts.is_success(), "{report}");
    assert_eq!(counts.undecided_served, 0, "{report}");
    // A new session would make a resumption the same as a served handshake.
    assert!(!trials.iter().any(Trial::is_not_resumed), "{report}");
}
