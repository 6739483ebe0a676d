//! The ledger: each handshake between two real kernels is reported exactly once, with the outcome that it had.
//! `cargo xtask soak` runs the same test with many more handshakes.

use system_tests::Lab;
use system_tests::ledger::{self, Settings};

use crate::load;

/// The observer and the lists may disagree once, and once more for each of so many handshakes: two processors that write
/// one entry of the flow table at the same moment cost a flow its entry (docs/limits.md).
const HANDSHAKES_PER_DIFFERENCE: u64 = 1_000_000;

#[test]
fn every_handshake_is_reported_once_with_its_outcome() {
    let _turn = load::turn();
    let lab = Lab::new().unwrap();
    let report = ledger::run(&lab, &Settings::from_environment().unwrap()).unwrap();
    println!("{report}");
    let allowed = 1 + report.handshakes() / HANDSHAKES_PER_DIFFERENCE;
    assert!(report.is_balanced(allowed), "the observer and the lists differ");
}
