//! Text for people: colours, tables, units, printable text, progress.
//!
//! The crate knows nothing of TLS or handshakes. What it prints goes to a terminal, a pipe or a file; whether colours
//! are welcome is the caller's decision.
#![forbid(unsafe_code)]

pub mod colour;
pub mod printable;
pub mod progress;
pub mod report;
pub mod table;
pub mod units;

pub use colour::{Colour, Painted, wants_colour};
pub use printable::{is_invisible, printable, printable_within};
pub use progress::Progress;
pub use report::report;
pub use table::{Cell, Column, Table};
