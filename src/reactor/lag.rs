//! How long turns take: while the loop works, every other client waits.

use std::time::Duration;

/// A bucket per half power of two of microseconds, up to some minutes.
const BUCKETS: usize = 56;

/// Durations of turns, in buckets of about 40 %: enough to see a loop that stalls.
#[derive(Clone, Debug)]
pub struct Lag {
    counts: [u64; BUCKETS],
    max: Duration,
}

impl Default for Lag {
    fn default() -> Self {
        Lag { counts: [0; BUCKETS], max: Duration::ZERO }
    }
}

impl Lag {
    pub(super) fn record(&mut self, turn: Duration) {
        let us = (turn.as_micros() as u64).max(1);
        let power = us.ilog2();
        let upper_half = us >> power.saturating_sub(1) & 1;
        let bucket = (power as usize * 2 + upper_half as usize).min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.max = self.max.max(turn);
    }

    /// The longest turn.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// An upper bound of the 99th percentile of turns; zero without a turn.
    pub fn p99(&self) -> Duration {
        let total: u64 = self.counts.iter().sum();
        let rank = total - total / 100;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && total > 0 {
                let power = (bucket / 2) as u32;
                let low = 1u64 << power;
                let edge = if bucket % 2 == 0 { low + low / 2 } else { low * 2 };
                return Duration::from_micros(edge.max(1)).min(self.max);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p99_bounds_99_of_100_turns_within_half_and_the_maximum_is_exact() {
        let mut lag = Lag::default();
        assert_eq!(lag.p99(), Duration::ZERO);
        (0..990).for_each(|_| lag.record(Duration::from_micros(100)));
        (0..10).for_each(|_| lag.record(Duration::from_millis(70)));
        assert!((100..=150).contains(&lag.p99().as_micros()), "{:?}", lag.p99());
        assert_eq!(lag.max(), Duration::from_millis(70));
        (0..10).for_each(|_| lag.record(Duration::from_millis(60)));
        assert!(lag.p99() > Duration::from_millis(40));
    }
}
