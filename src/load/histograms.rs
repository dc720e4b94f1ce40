//! Distributions of times.

use hdrhistogram::Histogram;

use super::report::Latency;

/// Two days: neither the measured span nor the timeout of a reply is longer than one
/// ([`super::Plan::check`]).
const LATENCY_MAX_NS: u64 = 2 * 86_400_000_000_000;

/// An empty histogram that keeps so many decimal digits of a time.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, digits).expect("bounds and digits are valid constants")
}

/// 0 without a value.
pub(super) fn at_quantile(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    // The end of a bucket may lie above the maximum.
    if histogram.is_empty() { 0 } else { histogram.value_at_quantile(quantile).min(histogram.max()) }
}

/// The histogram as reports have it.
pub(super) fn latency(histogram: &Histogram<u64>) -> Latency {
    if histogram.is_empty() {
        return Latency::default();
    }
    let at = |quantile| at_quantile(histogram, quantile);
    Latency {
        count: histogram.len(),
        min_ns: histogram.min(),
        mean_ns: histogram.mean(),
        stddev_ns: histogram.stdev(),
        p50_ns: at(0.5),
        p75_ns: at(0.75),
        p90_ns: at(0.9),
        p95_ns: at(0.95),
        p99_ns: at(0.99),
        p99_9_ns: at(0.999),
        p99_99_ns: at(0.9999),
        max_ns: histogram.max(),
        buckets_ns_count: histogram
            .iter_recorded()
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect(),
    }
}
