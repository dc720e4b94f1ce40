//! Counts of values in buckets that are narrow where values are small: bounded memory, bounded relative
//! error.

/// Values below this have a bucket each; each power of two above has half as many.
const EXACT: u64 = 64;
const HALF: usize = EXACT as usize / 2;
/// Values from 2^40 (a million seconds in microseconds) share the last bucket.
const POWERS: u32 = 40;

/// Integer values, counted in 1,152 buckets. A quantile is at most 1/32 above the exact one.
///
/// The values have no unit: the caller chooses one.
///
/// ```
/// let mut histogram = oneloop::telemetry::Histogram::new();
/// (1..=1000).for_each(|value| histogram.add(value, 1));
/// assert_eq!(histogram.count(), 1000);
/// assert!((990..=1021).contains(&histogram.quantile(0.99).unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64]>,
}

impl Histogram {
    /// How many buckets there are.
    pub(super) const BUCKETS: usize = EXACT as usize + (POWERS - EXACT.ilog2()) as usize * HALF;

    /// Without a value.
    pub fn new() -> Self {
        Histogram { counts: vec![0; Self::BUCKETS].into_boxed_slice() }
    }

    /// Adds `count` times `value`. Values from 2^40 on are counted as 2^40 - 1.
    pub fn add(&mut self, value: u64, count: u64) {
        self.counts[Self::bucket(value)] += count;
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A value that this share of all values (0 to 1) does not exceed: the largest that is counted in the
    /// same bucket as the exact one. `None` without a value.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let count = self.count();
        let rank = rank(share, count);
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= rank
        };
        self.counts.iter().position(reaches).map(Self::largest)
    }

    /// The bucket of a value.
    pub(super) fn bucket(value: u64) -> usize {
        let value = value.min((1 << POWERS) - 1);
        if value < EXACT {
            return value as usize;
        }
        let power = value.ilog2();
        let step = power - HALF.ilog2();
        let within = (value >> step) as usize - HALF;
        EXACT as usize + (power - EXACT.ilog2()) as usize * HALF + within
    }

    /// Adds `count` values of this bucket.
    pub(super) fn add_to_bucket(&mut self, bucket: usize, count: u64) {
        self.counts[bucket] += count;
    }

    /// The largest value of a bucket.
    fn largest(bucket: usize) -> u64 {
        let Some(above) = bucket.checked_sub(EXACT as usize) else { return bucket as u64 };
        let step = (above / HALF) as u32 + 1;
        (((HALF + above % HALF + 1) as u64) << step) - 1
    }
}

/// How many of `count` values this share is, at least one.
#[expect(clippy::cast_sign_loss, reason = "what is below 1 is 1")]
fn rank(share: f64, count: u64) -> u64 {
    ((share * count as f64).ceil() as u64).clamp(1, count.max(1))
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_bucket_begins_after_the_one_before() {
        let mut from = 0;
        for bucket in 0..Histogram::BUCKETS {
            let to = Histogram::largest(bucket);
            assert_eq!((Histogram::bucket(from), Histogram::bucket(to)), (bucket, bucket));
            assert!(to - from <= from / 32, "{from} to {to}");
            from = to + 1;
        }
        assert_eq!(from, 1 << POWERS);
        assert_eq!(Histogram::bucket(u64::MAX), Histogram::BUCKETS - 1);
    }

    #[test]
    fn without_a_value_there_is_no_quantile() {
        assert_eq!(Histogram::new().quantile(0.5), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_at_most_a_32nd_above_the_exact_one(
            mut values in prop::collection::vec((0u32..40).prop_flat_map(|power| 0u64..1 << power), 1..200),
            share in 0.0..=1.0f64,
        ) {
            let mut histogram = Histogram::new();
            for &value in &values {
                histogram.add(value, 1);
            }
            values.sort_unstable();
            // The least value that is not below this share of all.
            let exact = (1..).zip(&values).find(|(rank, _)| f64::from(*rank) >= share * values.len() as f64);
            let (exact, found) = (*exact.unwrap().1, histogram.quantile(share).unwrap());
            prop_assert!((exact..=exact + exact / 32).contains(&found), "{} for {}", found, exact);
        }
    }
}
