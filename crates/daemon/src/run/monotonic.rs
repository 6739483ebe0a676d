//! The clock that the programs stamp events with.

use rustix::time::{ClockId, clock_gettime};
use sni_probe_core::flow::Timestamp;

/// The time now by `CLOCK_MONOTONIC`.
pub(super) fn now() -> Timestamp {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned();
    Timestamp(nanos)
}
