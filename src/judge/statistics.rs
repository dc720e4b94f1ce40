//! Medians with confidence intervals, and slopes: robust, exact, without randomness.

use serde::{Deserialize, Serialize};

/// A median with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MedianInterval {
    /// The median of the repeats.
    pub(crate) median: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end of the interval.
    pub(crate) high: f64,
    /// The probability that the interval covers the median of all possible repeats.
    pub(crate) coverage: f64,
    /// Repeats.
    pub(crate) n: u32,
}

impl MedianInterval {
    /// The summary of the repeats' values; `None` without any.
    ///
    /// The interval lies between two order statistics and covers the true median with exactly the probability
    /// `coverage`, whatever the distribution. It is the narrowest that reaches 95 %, or the whole range where
    /// there are too few repeats for that (five give 93.8 %, three 75 %).
    pub(crate) fn of(values: &[f64]) -> Option<MedianInterval> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        if sorted.is_empty() {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let mut cut = 0;
        let mut tail = Tail::of(n);
        // Bound: half of the values.
        while 2 * (cut + 1) < n {
            tail.grow();
            if tail.coverage() < 0.95 {
                break;
            }
            cut += 1;
        }
        Some(MedianInterval {
            median: median_of_sorted(&sorted),
            low: sorted[cut],
            high: sorted[n - 1 - cut],
            coverage: coverage(n, cut),
            n: n as u32,
        })
    }

    /// Half of the interval's width, relative to the median.
    pub(crate) fn spread(&self) -> f64 {
        let half = self.half();
        if half == 0.0 { 0.0 } else { half / self.median.abs() }
    }

    /// Half of the interval's width.
    pub(crate) fn half(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// Whether the interval is wholly above 0, or every repeat within it is exactly 0. A difference that is a
    /// cost is known only then.
    pub(crate) fn is_a_cost(&self) -> bool {
        self.low > 0.0 || (self.low == 0.0 && self.high == 0.0)
    }

    /// Whether all of this interval is below all of `other`.
    pub(crate) fn is_below(&self, other: &MedianInterval) -> bool {
        self.high < other.low
    }
}

/// The probability that the interval from the `cut`th smallest to the `cut`th largest (from 0) of `n` values
/// covers the median: 1 minus both tails of the binomial distribution.
fn coverage(n: usize, cut: usize) -> f64 {
    let mut tail = Tail::of(n);
    (0..cut).for_each(|_| tail.grow());
    tail.coverage()
}

/// The lower tail of the binomial distribution of `n` coin tosses: the probability of at most `k` heads.
///
/// From 1,075 tosses on, `0.5^n` is below the range of `f64`, so a power of two is kept in `exponent`.
/// Scaling by powers of two is exact.
struct Tail {
    n: usize,
    k: usize,
    /// The probability of exactly `k` heads, and of at most `k`; both times `2^(n - exponent)`.
    term: f64,
    sum: f64,
    exponent: i32,
}

impl Tail {
    /// The power of two that is moved to `exponent` at once: far from both ends of the range of `f64`.
    const STEP: i32 = 512;

    fn of(n: usize) -> Tail {
        Tail { n, k: 0, term: 1.0, sum: 1.0, exponent: 0 }
    }

    /// Advances to `k + 1`.
    fn grow(&mut self) {
        self.term *= (self.n - self.k) as f64 / (self.k + 1) as f64;
        self.k += 1;
        self.sum += self.term;
        if self.sum > 2.0_f64.powi(Self::STEP) {
            self.term *= 2.0_f64.powi(-Self::STEP);
            self.sum *= 2.0_f64.powi(-Self::STEP);
            self.exponent += Self::STEP;
        }
    }

    /// The probability that lies outside both tails, which are of equal size.
    fn coverage(&self) -> f64 {
        let tosses = i32::try_from(self.n).unwrap_or(i32::MAX);
        1.0 - 2.0 * self.sum * 2.0_f64.powi(self.exponent.saturating_sub(tosses))
    }
}

/// The median; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| median_of_sorted(&sorted))
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]) }
}

/// The slope of the points by Theil and Sen: the median of the slopes of all pairs, which a single outlier
/// does not move. `None` without two different `x`.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::new();
    for (at, (x, y)) in points.iter().enumerate() {
        for (other_x, other_y) in &points[at + 1..] {
            if (other_x - x).abs() > f64::EPSILON {
                slopes.push((other_y - y) / (other_x - x));
            }
        }
    }
    median(&slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_repeats_give_their_range_and_say_how_sure_it_is() {
        let five = MedianInterval::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((five.median, five.low, five.high), (3.0, 1.0, 5.0));
        assert!((five.coverage - 0.9375).abs() < 1e-12);
        let three = MedianInterval::of(&[1.0, 2.0, 9.0]).unwrap();
        assert!((three.coverage - 0.75).abs() < 1e-12);
    }

    #[test]
    fn many_repeats_give_the_narrowest_interval_that_reaches_95_percent() {
        let values: Vec<f64> = (1..=15).map(f64::from).collect();
        let summary = MedianInterval::of(&values).unwrap();
        // Tables of the sign test: n = 15 gives the 4th and the 12th value, 96.5 %.
        assert_eq!((summary.low, summary.high), (4.0, 12.0));
        assert!((summary.coverage - 0.9648).abs() < 1e-4);
    }

    /// Computed with integers of any length: the sum of binomial coefficients, over 2^n.
    #[test]
    fn thousands_of_repeats_give_an_interval_as_exact() {
        for (n, low, high, coverage) in [
            (1_000, 469.0, 532.0, 0.953_708_802_639_501_9),
            (1_074, 505.0, 570.0, 0.952_728_117_567_383),
            (1_075, 505.0, 571.0, 0.955_933_520_620_151_4),
            (2_000, 956.0, 1_045.0, 0.953_447_179_508_216_2),
            (9_999, 4_902.0, 5_098.0, 0.950_021_089_528_205_7),
            (10_000, 4_902.0, 5_099.0, 0.951_167_050_103_618_1),
        ] {
            let values: Vec<f64> = (1..=n).map(f64::from).collect();
            let summary = MedianInterval::of(&values).unwrap();
            assert_eq!((summary.low, summary.high), (low, high), "{n}: {summary:?}");
            assert!((summary.coverage - coverage).abs() < 1e-10, "{n}: {summary:?}");
        }
    }

    #[test]
    fn the_interval_covers_the_median_with_its_stated_probability() {
        let mut state = 42_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let trials = 4000;
        let covered = (0..trials)
            .filter(|_| {
                let values: Vec<f64> = (0..5).map(|_| next()).collect();
                let summary = MedianInterval::of(&values).unwrap();
                summary.low <= 0.5 && 0.5 <= summary.high
            })
            .count();
        let share = covered as f64 / f64::from(trials);
        assert!((share - 0.9375).abs() < 0.02, "covered {share}");
    }

    #[test]
    fn one_bad_point_does_not_move_the_slope() {
        let mut points: Vec<(f64, f64)> = (0..7).map(|x| (f64::from(x), 10.0 + 3.0 * f64::from(x))).collect();
        points[3].1 = 1e9;
        assert!((slope(&points).unwrap() - 3.0).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }
}
