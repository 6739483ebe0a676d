//! The ledger: each handshake between two real kernels is reported exactly once, with the outcome that it had.
//! `cargo xtask soak` runs the same test with many more handshakes.

use system_tests::Lab;
use system_tests::ledger::{self, Settings};

use crate::load;

#[test]
fn every_handshake_is_reported_once_with_its_outcome() {
    let _turn = load::turn();
    let lab = Lab::new().unwrap();
    let report = ledger::run(&lab, &Settings::from_environment().unwrap()).unwrap();
    println!("{report}");
    assert!(report.is_balanced(), "the observer and the lists differ");
}
