//! The clock of a run, and its timers.

use std::time::{Duration, SystemTime};

use crate::sys::clock::monotonic_ns;
use crate::time::Deadlines;

/// A span in ns. Plans allow at most a day.
pub(super) fn ns(span: Duration) -> u64 {
    span.as_nanos() as u64
}

/// Nanoseconds since the run began, on the clock that all processes share.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names)] // a unit ends each name
pub(super) struct RunClock {
    began_ns: u64,
    began_unix_ns: u64,
    now_ns: u64,
}

impl RunClock {
    /// A clock that starts now.
    pub(super) fn start() -> Self {
        let began_unix_ns = SystemTime::UNIX_EPOCH.elapsed().map_or(0, ns);
        RunClock { began_ns: monotonic_ns(), began_unix_ns, now_ns: 0 }
    }

    /// When the run began, in ns since 1970.
    pub(super) fn began_unix_ns(self) -> u64 {
        self.began_unix_ns
    }

    /// When the run began, on the shared clock.
    pub(super) fn began_ns(self) -> u64 {
        self.began_ns
    }

    /// The time as it was read last.
    pub(super) fn now_ns(self) -> u64 {
        self.now_ns
    }

    /// Reads the time.
    pub(super) fn read(&mut self) -> u64 {
        self.now_ns = self.peek();
        self.now_ns
    }

    /// Reads the time without changing [`RunClock::now_ns`].
    pub(super) fn peek(self) -> u64 {
        monotonic_ns().saturating_sub(self.began_ns)
    }
}

/// Give up after this many readings without an advance (about 20 ms).
const READINGS_MAX: u32 = 1 << 20;

/// The smallest of a few observed clock steps; 0 if the clock did not advance.
pub(super) fn clock_step_ns() -> u64 {
    let mut readings = std::iter::repeat_with(monotonic_ns).take(READINGS_MAX as usize);
    let Some(mut last_ns) = readings.next() else { return 0 };
    let mut steps = readings.filter_map(|now_ns| {
        let step_ns = now_ns - std::mem::replace(&mut last_ns, now_ns);
        (step_ns > 0).then_some(step_ns)
    });
    steps.by_ref().take(4).min().unwrap_or(0)
}

/// A timer for each client.
#[derive(Debug)]
pub(super) struct Timers {
    wheel: Deadlines,
}

impl Timers {
    pub(super) fn new(clients: usize) -> Self {
        Timers { wheel: Deadlines::with_capacity(clients) }
    }

    /// The client's timer expires by `due_ns`; earlier if it was set to an earlier time before.
    pub(super) fn set(&mut self, client: u32, due_ns: u64) {
        self.wheel.file(client as usize, due_ns.div_ceil(1_000_000));
    }

    /// When the next timer may expire; `u64::MAX` without one.
    pub(super) fn next_ns(&self) -> u64 {
        self.wheel.next_ms().map_or(u64::MAX, |ms| ms * 1_000_000)
    }

    pub(super) fn advance(&mut self, now_ns: u64) {
        self.wheel.advance(now_ns / 1_000_000);
    }

    /// Takes a client whose timer has expired.
    pub(super) fn pop_expired(&mut self) -> Option<u32> {
        self.wheel.pop_due().map(|client| client as u32)
    }
}
