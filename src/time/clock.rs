//! The clocks of servers. A loop reads its clock once a turn, and a worker that blocks reads its own after
//! each call that may have taken long; the time is passed on as a value.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use crate::session::Now;
use crate::sys::clock::{monotonic_ns, time_of_day};

/// How long the time of day of a [`CallClock`] follows the monotonic clock until it is read again, in ns: so
/// late is a change of the system's time noticed.
const WALL_EVERY_NS: u64 = 100_000_000;
const NS_PER_MS: u64 = 1_000_000;

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

/// The clock of the models that block. A worker reads it twice per request, so a read is one call of the
/// system's clock, which costs no system call and touches few pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallClock {
    started_ns: u64,
    /// The time of day when it was last read, and when that was.
    wall: SystemTime,
    wall_read_ns: u64,
}

impl CallClock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        let started_ns = monotonic_ns();
        CallClock { started_ns, wall: SystemTime::now(), wall_read_ns: started_ns }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms(), wall: time_of_day() }
    }

    /// Milliseconds since it was started.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms(monotonic_ns())
    }

    /// The time now. The time of day is read at most once in `WALL_EVERY_NS`.
    #[inline]
    pub(crate) fn read(&mut self) -> Now {
        let now_ns = monotonic_ns();
        if now_ns - self.wall_read_ns >= WALL_EVERY_NS {
            self.read_wall(now_ns);
        }
        Now {
            monotonic_ms: self.ms(now_ns),
            wall: self.wall + Duration::from_nanos(now_ns - self.wall_read_ns),
        }
    }

    #[cold]
    fn read_wall(&mut self, now_ns: u64) {
        self.wall = time_of_day();
        self.wall_read_ns = now_ns;
    }

    fn ms(&self, now_ns: u64) -> u64 {
        (now_ns - self.started_ns) / NS_PER_MS
    }
}

/// The time in a model that blocks: it is read at most once after each call that may take long.
#[derive(Debug)]
pub struct LiveTime {
    clock: Cell<CallClock>,
    last: Cell<Option<Now>>,
}

impl LiveTime {
    /// The time since now.
    pub fn start() -> Self {
        LiveTime::of(CallClock::start())
    }

    /// The time of this clock.
    pub(crate) fn of(clock: CallClock) -> Self {
        LiveTime { clock: Cell::new(clock), last: Cell::new(None) }
    }

    /// The time.
    #[inline]
    pub fn now(&self) -> Now {
        match self.last.get() {
            Some(now) => now,
            None => self.read(),
        }
    }

    #[inline(never)] // a request passes two of the many places that ask for the time
    fn read(&self) -> Now {
        let mut clock = self.clock.get();
        let now = clock.read();
        self.clock.set(clock);
        self.last.set(Some(now));
        now
    }

    /// A call that may have taken long has returned.
    pub fn passed(&self) {
        self.last.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_follows_the_monotonic_clock_and_is_read_again_in_time() {
        let mut clock = CallClock::start();
        clock.wall -= Duration::from_secs(3600); // as if the system's time had been set an hour ahead since
        let before = clock.read();
        assert!(SystemTime::now() - Duration::from_secs(3500) > before.wall, "not read again yet");
        clock.wall_read_ns -= WALL_EVERY_NS;
        let after = clock.read();
        assert!(after.wall.duration_since(before.wall).unwrap() > Duration::from_secs(3500));
        assert!(after.monotonic_ms >= before.monotonic_ms);
    }
}
