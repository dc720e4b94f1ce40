//! The common start of the threads of a run: they begin to load the server when all are ready.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::RunProgress;
use super::clock::{RunClock, ns};
use super::plan::Plan;
use crate::sys::clock::monotonic_ns;

/// The time between the moment when the last thread is ready and the start: enough for each thread to notice.
const NOTICE_NS: u64 = 5_000_000;
/// How often a ready thread checks whether the others are ready.
pub(super) const LOOK_NS: u64 = 1_000_000;
/// How often the wait for a given time is reported and may be ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long before a given start time the clients begin to connect, in addition to the ramp.
const CONNECT_EARLIER: Duration = Duration::from_secs(2);
/// The time of the start while it is not known.
const UNKNOWN: u64 = u64::MAX;

/// The clock and the start that the threads of a run have in common.
#[derive(Debug)]
pub(super) struct CommonStart {
    clock: RunClock,
    not_before_ns: u64,
    notice_ns: u64,
    /// Threads that are not ready.
    missing: AtomicU32,
    at_ns: AtomicU64,
}

impl CommonStart {
    /// The start of a run of this plan. If the plan has a start time, waits until shortly before it and calls
    /// `watch` meanwhile; `None` if `watch` breaks.
    pub(super) fn of(
        plan: &Plan,
        has_churn: bool,
        mut watch: impl FnMut(&RunProgress) -> ControlFlow<()>,
    ) -> Option<CommonStart> {
        let wait = plan.start_at.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default());
        let at_ns = wait.map_or(0, |wait| monotonic_ns() + ns(wait));
        // Connections are ready at the start time, unless each request has its own: then connecting is part
        // of the load.
        let earlier_ns = if has_churn { 0 } else { ns(plan.ramp + CONNECT_EARLIER) };
        loop {
            let left_ns = at_ns.saturating_sub(monotonic_ns());
            if left_ns <= earlier_ns {
                break;
            }
            if watch(&RunProgress::before(plan, Duration::from_nanos(left_ns))).is_break() {
                return None;
            }
            std::thread::sleep(LOOK.min(Duration::from_nanos(left_ns - earlier_ns)));
        }
        let clock = RunClock::start();
        Some(CommonStart::new(plan.threads, clock, at_ns.saturating_sub(clock.began_ns())))
    }

    /// The run begins now; the load begins at `not_before_ns` of the run's clock at the earliest.
    fn new(threads: u32, clock: RunClock, not_before_ns: u64) -> Self {
        let notice_ns = if threads > 1 { NOTICE_NS } else { 0 };
        let (missing, at_ns) = (AtomicU32::new(threads), AtomicU64::new(UNKNOWN));
        CommonStart { clock, not_before_ns, notice_ns, missing, at_ns }
    }

    /// The clock of the run.
    pub(super) fn clock(&self) -> RunClock {
        self.clock
    }

    /// A thread is ready; each calls this once.
    pub(super) fn ready(&self, now_ns: u64) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let at_ns = (now_ns + self.notice_ns).max(self.not_before_ns);
            self.at_ns.store(at_ns, Ordering::Release);
        }
    }

    /// When the load begins, once that is known.
    pub(super) fn at_ns(&self) -> Option<u64> {
        Some(self.at_ns.load(Ordering::Acquire)).filter(|at_ns| *at_ns != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thread_that_is_ready_decides_unless_the_time_is_given() {
        let start = CommonStart::new(2, RunClock::start(), 0);
        start.ready(100);
        assert_eq!(start.at_ns(), None);
        start.ready(700);
        assert_eq!(start.at_ns(), Some(700 + NOTICE_NS));
        let alone = CommonStart::new(1, RunClock::start(), 0);
        alone.ready(5);
        assert_eq!(alone.at_ns(), Some(5), "at once");
        let given = CommonStart::new(1, RunClock::start(), 2_000_000_000);
        given.ready(5);
        assert_eq!(given.at_ns(), Some(2_000_000_000));
    }
}
