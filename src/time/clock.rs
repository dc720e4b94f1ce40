//! The clock of a server. It is read once a turn, and the time is passed on as a value.

use std::time::{Instant, SystemTime};

use crate::session::Now;

/// Milliseconds since the server started, and the time of day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerClock {
    started: Instant,
    /// The last result of [`ServerClock::at`].
    last: Now,
}

impl ServerClock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        ServerClock { started: Instant::now(), last: Now { monotonic_ms: 0, wall: SystemTime::now() } }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        Now { monotonic_ms: self.ms(Instant::now()), wall: SystemTime::now() }
    }

    /// The time at an instant that was read already. The time of day is read at most once a millisecond.
    pub(crate) fn at(&mut self, instant: Instant) -> Now {
        let monotonic_ms = self.ms(instant);
        if monotonic_ms != self.last.monotonic_ms {
            self.last = Now { monotonic_ms, wall: SystemTime::now() };
        }
        self.last
    }

    /// Milliseconds from the start to `instant`.
    pub(crate) fn ms(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.started).as_millis() as u64
    }
}
