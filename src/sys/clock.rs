//! The clock that all processes of a system share.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// ns since a moment that is the same for every process until the system starts again (`CLOCK_MONOTONIC`):
/// what two processes date by it can be put in order, which `Instant` promises for one process alone.
pub(crate) fn monotonic_ns() -> u64 {
    // Every system that this program is made for has this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |since| Duration::from(since).as_nanos() as u64)
}
