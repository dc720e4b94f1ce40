//! Distributions of times.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::report::Latency;

/// Two days: neither the measured span nor the timeout of a reply is longer than one
/// ([`super::Plan::check`]).
const LATENCY_MAX_NS: u64 = 2 * 86_400_000_000_000;

/// Decimal digits kept of a time: a bucket is at most 0.1 % wide.
const DIGITS: u8 = 3;

/// The histogram of a report: the upper bound and the count of each bucket that is not empty.
pub(super) type Buckets = Vec<(u64, u64)>;

/// An empty histogram. All have the same buckets, so that they are added without loss.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS).expect("bounds and digits are valid constants")
}

/// The buckets that are not empty.
pub(super) fn buckets(histogram: &Histogram<u64>) -> Buckets {
    let recorded = histogram.iter_recorded();
    recorded.map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect()
}

/// Adds buckets of another histogram: the upper bound of a bucket lies in it.
pub(super) fn add_buckets(histogram: &mut Histogram<u64>, buckets: &[(u64, u64)]) {
    for &(ns, count) in buckets {
        histogram.saturating_record_n(ns, count);
    }
}

/// Encodes several histograms with one buffer.
pub(super) struct HdrEncoder {
    histogram: Histogram<u64>,
    serializer: V2DeflateSerializer,
    bytes: Vec<u8>,
}

impl HdrEncoder {
    pub(super) fn new() -> Self {
        HdrEncoder { histogram: histogram(), serializer: V2DeflateSerializer::new(), bytes: Vec::new() }
    }

    /// The histogram with these buckets: the compressed encoding V2 of `HdrHistogram` in base64. Empty
    /// without a value.
    pub(super) fn encoded(&mut self, buckets: &[(u64, u64)]) -> String {
        if buckets.is_empty() {
            return String::new();
        }
        self.histogram.reset();
        self.bytes.clear();
        add_buckets(&mut self.histogram, buckets);
        let written = self.serializer.serialize(&self.histogram, &mut self.bytes);
        // Memory takes all bytes, and counts of u64 need no conversion.
        written.map_or_else(|_| String::new(), |_| BASE64.encode(&self.bytes))
    }
}

/// The histogram that [`HdrEncoder`] encoded; `None` if the text is not one, or has other buckets.
pub(super) fn decoded(text: &str) -> Option<Histogram<u64>> {
    if text.is_empty() {
        return Some(histogram());
    }
    let bytes = BASE64.decode(text).ok()?;
    let found: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
    let layout = |histogram: &Histogram<u64>| (histogram.low(), histogram.high(), histogram.sigfig());
    (layout(&found) == layout(&histogram())).then_some(found)
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
        buckets_ns_count: buckets(histogram),
    }
}
