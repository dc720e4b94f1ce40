//! The clock of a server: read once a turn, and passed on as a value.

use std::time::{Instant, SystemTime};

use crate::session::Now;

/// Milliseconds since the server started, and the time of day.
#[derive(Clone, Copy, Debug)]
pub struct ServerClock {
    started: Instant,
}

impl ServerClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        ServerClock { started: Instant::now() }
    }

    /// Reads it.
    pub fn now(&self) -> Now {
        self.at(Instant::now())
    }

    /// The same, for an instant that was read already.
    pub(super) fn at(&self, instant: Instant) -> Now {
        Now { monotonic_ms: self.ms(instant), wall: SystemTime::now() }
    }

    /// Milliseconds from the start to `instant`.
    pub(super) fn ms(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.started).as_millis() as u64
    }
}
