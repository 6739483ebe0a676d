//! What must hold for any bytes: one entry function for each fuzz target.
//!
//! libFuzzer drives them (`cargo xtask fuzz`), and so do this crate's tests, with the seed corpus and
//! simple changes to it. Each asserts more than the absence of panics: that answers do not change their
//! mind, that they agree with a second, simpler reading of the same bytes, and that what grows stays
//! within its bound.
#![forbid(unsafe_code)]

mod answers;
mod client_hello;
mod frame;
mod input;
mod ledger;
mod proxy_header;
mod record_layer;
mod tracker;
mod unwrap;

pub use client_hello::client_hello;
pub use frame::frame;
pub use proxy_header::proxy_header;
pub use record_layer::record_layer;
pub use tracker::tracker;

/// An entry function: takes any bytes, and panics where an invariant is broken.
pub type Target = fn(&[u8]);

/// All targets, by the names of their binaries and of their directories of seeds.
pub const TARGETS: [(&str, Target); 5] = [
    ("client_hello", client_hello),
    ("frame", frame),
    ("proxy_header", proxy_header),
    ("record_layer", record_layer),
    ("tracker", tracker),
];

/// The main part of a fuzz target's binary: libFuzzer under cargo-fuzz, else a run of the files that
/// are named on the command line, which reproduces a finding with an ordinary build.
#[macro_export]
macro_rules! target {
    ($entry:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::$entry(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            for path in std::env::args_os().skip(1) {
                $crate::$entry(&std::fs::read(path)?);
            }
            Ok(())
        }
    };
}
