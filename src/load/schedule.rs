//! When requests of the open loop fall due: an absolute schedule, which slow replies do not change.

use super::portion::Portion;
use super::random::Random;
use super::report::{Arrivals, Pace};

/// The arrivals of one run.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    start_ns: u64,
    /// From `start_ns` to the next arrival. A sum of distances in `f64`: exact to 1 ns for three months.
    offset_ns: f64,
    /// Arrivals so far: constant distances are multiples, so that no rounding adds up.
    count: u64,
    distance_ns: f64,
    arrivals: Arrivals,
    random: Random,
    /// Arrivals of other threads between two of this one.
    passed: u32,
}

impl Schedule {
    /// Arrivals from `start_ns` on, those of one thread; `None` for a closed loop, which has none. Each
    /// thread computes all arrivals and takes its own, so that together they are those of one thread.
    pub(super) fn new(pace: Pace, start_ns: u64, seed: u64, portion: Portion) -> Option<Self> {
        let Pace::Open { rate_per_second, arrivals } = pace else { return None };
        let mut schedule = Schedule {
            start_ns,
            offset_ns: 0.0,
            count: 0,
            distance_ns: 1e9 / rate_per_second,
            arrivals,
            random: Random::new(seed),
            passed: 0,
        };
        if arrivals == Arrivals::Poisson {
            schedule.step();
        }
        let (first, passed) = portion.first_and_passed();
        (0..first).for_each(|_| schedule.step());
        schedule.passed = passed;
        Some(schedule)
    }

    /// When the next request falls due.
    #[allow(clippy::cast_sign_loss)] // distances are not negative
    pub(super) fn next_ns(&self) -> u64 {
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
        self.count += 1;
        self.offset_ns = match self.arrivals {
            Arrivals::Constant => self.count as f64 * self.distance_ns,
            Arrivals::Poisson => self.offset_ns - self.random.unit().ln() * self.distance_ns,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distances(arrivals: Arrivals, rate_per_second: f64, count: usize) -> Vec<f64> {
        let mut schedule =
            Schedule::new(Pace::Open { rate_per_second, arrivals }, 5_000, 42, Portion::WHOLE).unwrap();
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
    fn constant_arrivals_do_not_drift() {
        let mut schedule = Schedule::new(
            Pace::Open { rate_per_second: 30_000.0, arrivals: Arrivals::Constant },
            7,
            1,
            Portion::WHOLE,
        )
        .unwrap();
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
        assert!(Schedule::new(Pace::Closed, 0, 1, Portion::WHOLE).is_none());
    }

    #[test]
    fn the_arrivals_of_all_threads_are_those_of_one() {
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let pace = Pace::Open { rate_per_second: 1_000.0, arrivals };
            let due = |portion| {
                let mut schedule = Schedule::new(pace, 3, 7, portion).unwrap();
                std::iter::from_fn(move || schedule.pop(1_000_000_000)).collect::<Vec<u64>>()
            };
            let mut all: Vec<u64> = Portion::all(3).flat_map(due).collect();
            all.sort_unstable();
            assert_eq!(all, due(Portion::WHOLE));
            assert!(all.len() > 900, "{}", all.len());
        }
    }
}
