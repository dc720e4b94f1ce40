//! When requests of the open loop fall due: an absolute schedule, which slow replies do not change.

use std::sync::Arc;

use super::plan::Plan;
use super::portion::Portion;
use super::random::Random;
use super::report::{Arrivals, Pace};

/// The arrivals of one run.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start_ns: u64,
    /// From `start_ns` to the next arrival. Exact to 1 ns for three months.
    offset_ns: f64,
    /// How many arrivals were to be expected by then, on average. Of constant arrivals it is their number, so
    /// that no rounding adds up.
    expected: f64,
    rate: Rate,
    arrivals: Arrivals,
    random: Random,
    /// Arrivals of other threads between two of this one.
    passed: u32,
    /// For [`Arrivals::Recorded`]: when each falls due after `start_ns`.
    recorded_ns: Option<Arc<[u64]>>,
}

/// Requests per ns over time.
#[derive(Clone, Copy, Debug)]
enum Rate {
    Constant {
        distance_ns: f64,
    },
    /// The first rate for a while, then an even change over a span, then the last rate.
    Ramp {
        from_per_ns: f64,
        to_per_ns: f64,
        hold_ns: f64,
        span_ns: f64,
    },
}

impl Rate {
    /// The time at which this many arrivals are expected: the inverse of the integral of the rate.
    fn offset_ns(self, expected: f64) -> f64 {
        match self {
            Rate::Constant { distance_ns } => expected * distance_ns,
            Rate::Ramp { from_per_ns, to_per_ns, hold_ns, span_ns } => {
                let in_ramp = expected - from_per_ns * hold_ns;
                let behind = in_ramp - f64::midpoint(from_per_ns, to_per_ns) * span_ns;
                if in_ramp <= 0.0 {
                    return expected / from_per_ns;
                }
                if behind >= 0.0 {
                    return hold_ns + span_ns + behind / to_per_ns;
                }
                let slope = (to_per_ns - from_per_ns) / span_ns;
                // The positive root of a quadratic equation, in the form without cancellation.
                let root = (from_per_ns * from_per_ns + 2.0 * slope * in_ramp).max(0.0).sqrt();
                hold_ns + 2.0 * in_ramp / (from_per_ns + root)
            }
        }
    }
}

impl Schedule {
    /// The arrivals of one thread from `start_ns`, the begin of the warm-up; `None` for a closed loop. Each
    /// thread computes all arrivals and takes its own, so that together the threads have the schedule of a
    /// single thread.
    pub(super) fn new(plan: &Plan, start_ns: u64, portion: Portion) -> Option<Self> {
        let (rate, arrivals) = match plan.pace {
            Pace::Closed => return None,
            Pace::Open { rate_per_second, arrivals } => {
                (Rate::Constant { distance_ns: 1e9 / rate_per_second }, arrivals)
            }
            Pace::Ramp { from_per_second, to_per_second, arrivals } => {
                let (from_per_ns, to_per_ns) = (from_per_second / 1e9, to_per_second / 1e9);
                let (hold_ns, span_ns) = (plan.warmup.as_nanos() as f64, plan.duration.as_nanos() as f64);
                (Rate::Ramp { from_per_ns, to_per_ns, hold_ns, span_ns }, arrivals)
            }
        };
        let random = Random::new(plan.seed);
        let recorded_ns = plan.recorded_ns.clone().filter(|_| arrivals == Arrivals::Recorded);
        let (offset_ns, expected, passed) = (0.0, 0.0, 0);
        let mut schedule =
            Schedule { start_ns, offset_ns, expected, rate, arrivals, random, passed, recorded_ns };
        if arrivals == Arrivals::Poisson {
            schedule.step();
        }
        let (first, passed) = portion.first_and_passed();
        (0..first).for_each(|_| schedule.step());
        schedule.passed = passed;
        Some(schedule)
    }

    /// When the next request falls due; `u64::MAX` after the last recorded one.
    #[allow(clippy::cast_sign_loss)] // distances are not negative
    pub(super) fn next_ns(&self) -> u64 {
        if let Some(recorded_ns) = &self.recorded_ns {
            let next_ns = recorded_ns.get(self.expected as usize);
            return next_ns.map_or(u64::MAX, |ns| self.start_ns + ns);
        }
        self.start_ns + self.offset_ns as u64
    }

    /// Takes the next arrival if it is due by `now_ns`.
    pub(super) fn pop(&mut self, now_ns: u64) -> Option<u64> {
        let due_ns = self.next_ns();
        (due_ns <= now_ns).then(|| {
            (0..=self.passed).for_each(|_| self.step());
            due_ns
        })
    }

    fn step(&mut self) {
        self.expected += match self.arrivals {
            Arrivals::Constant | Arrivals::Recorded => 1.0,
            Arrivals::Poisson => -self.random.unit().ln(),
        };
        self.offset_ns = self.rate.offset_ns(self.expected);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plan(pace: Pace) -> Plan {
        let mut plan = Plan::new("127.0.0.1:7".parse().unwrap());
        (plan.pace, plan.seed) = (pace, 42);
        plan
    }

    fn distances(arrivals: Arrivals, rate_per_second: f64, count: usize) -> Vec<f64> {
        let plan = plan(Pace::Open { rate_per_second, arrivals });
        let mut schedule = Schedule::new(&plan, 5_000, Portion::WHOLE).unwrap();
        let mut last = 5_000;
        (0..count)
            .map(|_| {
                let due = schedule.next_ns();
                schedule.step();
                (due - std::mem::replace(&mut last, due)) as f64
            })
            .collect()
    }

    #[test]
    fn recorded_arrivals_come_when_they_did_and_end() {
        let mut plan = plan(Pace::Open { rate_per_second: 1.0, arrivals: Arrivals::Recorded });
        plan.recorded_ns = Some([0, 5, 5, 900].into());
        let mut schedule = Schedule::new(&plan, 100, Portion::WHOLE).unwrap();
        let due: Vec<u64> = std::iter::from_fn(|| schedule.pop(1_000)).collect();
        assert_eq!((due, schedule.next_ns()), (vec![100, 105, 105, 1_000], u64::MAX));
    }

    #[test]
    fn constant_arrivals_do_not_drift() {
        let plan = plan(Pace::Open { rate_per_second: 30_000.0, arrivals: Arrivals::Constant });
        let mut schedule = Schedule::new(&plan, 7, Portion::WHOLE).unwrap();
        for _ in 0..3_000_000 {
            schedule.step();
        }
        assert_eq!(schedule.next_ns(), 100_000_000_007, "3,000,000 requests at 30,000 a second take 100 s");
    }

    #[test]
    fn poisson_arrivals_have_exponential_distances() {
        // Of an exponential distribution the standard deviation is the mean, and exp(-1) of all are longer
        // than it.
        let seen = distances(Arrivals::Poisson, 10_000.0, 200_000);
        let mean = seen.iter().sum::<f64>() / seen.len() as f64;
        let variance = seen.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / seen.len() as f64;
        let longer = seen.iter().filter(|&&d| d > mean).count() as f64 / seen.len() as f64;
        assert!((mean / 100_000.0 - 1.0).abs() < 0.01, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.01, "{}", variance.sqrt());
        assert!((longer - (-1_f64).exp()).abs() < 0.005, "{longer}");
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals() {
        assert_eq!(distances(Arrivals::Poisson, 99.0, 100), distances(Arrivals::Poisson, 99.0, 100));
    }

    #[test]
    fn a_closed_loop_has_no_schedule() {
        assert!(Schedule::new(&plan(Pace::Closed), 0, Portion::WHOLE).is_none());
    }

    #[test]
    fn the_arrivals_of_all_threads_are_those_of_one() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let plan = plan(Pace::Open { rate_per_second: 1_000.0, arrivals });
            let due = |portion| {
                let mut schedule = Schedule::new(&plan, 3, portion).unwrap();
                std::iter::from_fn(move || schedule.pop(1_000_000_000)).collect::<Vec<u64>>()
            };
            let mut all: Vec<u64> = Portion::all(3).flat_map(due).collect();
            all.sort_unstable();
            assert_eq!(all, due(Portion::WHOLE));
            assert!(all.len() > 900, "{}", all.len());
        }
    }

    /// Arrivals in each second.
    fn per_second(arrivals: Arrivals, from_per_second: f64, to_per_second: f64) -> Vec<f64> {
        let mut plan = plan(Pace::Ramp { from_per_second, to_per_second, arrivals });
        (plan.warmup, plan.duration) = (Duration::from_secs(2), Duration::from_secs(8));
        let mut schedule = Schedule::new(&plan, 0, Portion::WHOLE).unwrap();
        let mut counts = vec![0.0; 12];
        while let Some(second) = counts.get_mut((schedule.next_ns() / 1_000_000_000) as usize) {
            *second += 1.0;
            schedule.step();
        }
        counts
    }

    #[test]
    fn a_ramp_changes_its_rate_evenly_over_the_measured_span() {
        for (from, to) in [(1_000.0, 9_000.0), (9_000.0, 1_000.0), (500.0, 500.0)] {
            for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
                let counts = per_second(arrivals, from, to);
                let expected = |second: usize| match second {
                    0 | 1 => from,
                    2..10 => from + (to - from) * (second as f64 - 1.5) / 8.0,
                    _ => to,
                };
                for (second, count) in counts.iter().enumerate() {
                    let slack =
                        if arrivals == Arrivals::Constant { 1.5 } else { 5.0 * expected(second).sqrt() };
                    assert!((count - expected(second)).abs() <= slack, "{from} to {to}: {counts:?}");
                }
            }
        }
    }
}
