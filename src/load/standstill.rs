//! Times in which the generator stood still: it was stopped, or had no core. What it measured meanwhile is
//! its own delay.

use super::report::Generator;

/// A stop of this length counts: longer than a loaded scheduler keeps a thread from an idle core.
const STALL_FROM_NS: u64 = 5_000_000;
/// Work of this length costs enough that reading the CPU time before it does not matter.
const HEAVY_FROM_NS: u64 = 1_000_000;
/// The same, in events.
const HEAVY_EVENTS_FROM: usize = 64;

/// What the loop does, and since when.
#[derive(Clone, Copy, Debug)]
enum Activity {
    /// It works; with the CPU time at the beginning, if the work was expected to be heavy.
    Works { since_ns: u64, cpu_ns: Option<u64> },
    /// It waits for events, for at most this long.
    Waits { since_ns: u64, at_most_ns: u64 },
}

/// Finds standstills from the times at which the loop begins and ends to wait.
///
/// A wait that took longer than requested, or work that took longer than its CPU time, is a standstill. The
/// CPU time is read only if it may be needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standstills {
    activity: Activity,
    was_heavy: bool,
    count: u64,
    total_ns: u64,
    longest_ns: u64,
}

impl Default for Standstills {
    fn default() -> Self {
        let activity = Activity::Works { since_ns: 0, cpu_ns: None };
        Standstills { activity, was_heavy: true, count: 0, total_ns: 0, longest_ns: 0 }
    }
}

impl Standstills {
    /// Work ends, and the loop waits for at most this long.
    pub(super) fn sleep(&mut self, now_ns: u64, at_most_ns: u64, cpu_ns: impl FnOnce() -> Option<u64>) {
        if let Activity::Works { since_ns, cpu_ns: then_ns } = self.activity {
            let worked_ns = now_ns.saturating_sub(since_ns);
            self.was_heavy = worked_ns >= HEAVY_FROM_NS;
            if worked_ns >= STALL_FROM_NS {
                let used_ns = then_ns.and_then(|then_ns| Some(cpu_ns()?.saturating_sub(then_ns)));
                // Work that was not expected to be heavy needs less than that.
                self.stood_still(worked_ns.saturating_sub(used_ns.unwrap_or(HEAVY_FROM_NS)));
            }
        }
        self.activity = Activity::Waits { since_ns: now_ns, at_most_ns };
    }

    /// The wait has ended with this many events, and work begins.
    pub(super) fn wake(&mut self, now_ns: u64, events: usize, cpu_ns: impl FnOnce() -> Option<u64>) {
        if let Activity::Waits { since_ns, at_most_ns } = self.activity {
            self.stood_still(now_ns.saturating_sub(since_ns).saturating_sub(at_most_ns));
        }
        let is_heavy = self.was_heavy || events >= HEAVY_EVENTS_FROM;
        let cpu_ns = if is_heavy { cpu_ns() } else { None };
        self.activity = Activity::Works { since_ns: now_ns, cpu_ns };
    }

    /// Counts from now on.
    pub(super) fn reset(&mut self) {
        (self.count, self.total_ns, self.longest_ns) = (0, 0, 0);
    }

    /// Writes the counts into a report.
    pub(super) fn report(&self, generator: &mut Generator) {
        generator.stalls = self.count;
        (generator.stalled_s, generator.stalled_max_s) =
            (self.total_ns as f64 / 1e9, self.longest_ns as f64 / 1e9);
    }

    fn stood_still(&mut self, for_ns: u64) {
        if for_ns >= STALL_FROM_NS {
            self.count += 1;
            self.total_ns += for_ns;
            self.longest_ns = self.longest_ns.max(for_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn seen(standstills: &Standstills) -> (u64, u64, u64) {
        (standstills.count, standstills.total_ns / MS, standstills.longest_ns / MS)
    }

    #[test]
    fn a_wait_that_takes_too_long_is_a_standstill_and_an_early_end_is_not() {
        let mut standstills = Standstills::default();
        let mut now_ns = 0;
        for (at_most_ms, took_ms) in [(6, 6), (6, 2), (0, 4), (2, 40), (6, 26)] {
            standstills.sleep(now_ns, at_most_ms * MS, || None);
            now_ns += took_ms * MS;
            standstills.wake(now_ns, 1, || None);
        }
        assert_eq!(seen(&standstills), (2, 58, 38));
        standstills.reset();
        assert_eq!(seen(&standstills), (0, 0, 0));
    }

    #[test]
    fn work_that_takes_longer_than_its_cpu_time_is_a_standstill() {
        for (cpu_ms, stood_ms) in [(0, 30), (29, 0), (10, 20)] {
            let mut standstills = Standstills::default();
            standstills.wake(0, HEAVY_EVENTS_FROM, || Some(7 * MS));
            standstills.sleep(30 * MS, MS, || Some((7 + cpu_ms) * MS));
            assert_eq!(seen(&standstills), (u64::from(stood_ms > 0), stood_ms, stood_ms));
        }
    }

    #[test]
    fn light_work_costs_no_look_at_the_cpu_time() {
        let mut standstills = Standstills { was_heavy: false, ..Standstills::default() };
        standstills.wake(0, 1, || panic!("it is light"));
        standstills.sleep(MS, MS, || panic!("it was"));
        standstills.wake(2 * MS, 1, || None);
        standstills.sleep(32 * MS, MS, || None);
        assert_eq!(seen(&standstills), (1, 29, 29), "light work needs less than 1 ms");
    }
}
