//! The run in intervals.

use hdrhistogram::Histogram;

use super::histograms::{Buckets, HdrEncoder, at_quantile, buckets, histogram};
use super::report::{Interval, Phase};
use super::totals::Totals;

/// Buckets of all intervals that a run keeps: 64 MiB. A run of an hour with an interval of 1 s has a
/// thousand in each.
const BUCKETS_MAX: usize = 4 << 20;

/// Collects the intervals of a run.
pub(super) struct IntervalSeries {
    intervals: Vec<Interval>,
    /// Of each interval; encoded when the run is over, because that takes time.
    buckets: Vec<Buckets>,
    buckets_kept: usize,
    latency: Histogram<u64>,
    start_ns: u64,
    at_start: Totals,
}

/// What is true when an interval ends.
pub(super) struct IntervalEnd {
    pub(super) now_ns: u64,
    pub(super) phase: Phase,
    pub(super) clients_open: u64,
    pub(super) crowd_open: u64,
    pub(super) outstanding: u64,
}

impl IntervalSeries {
    pub(super) fn new() -> Self {
        IntervalSeries {
            intervals: Vec::new(),
            buckets: Vec::new(),
            buckets_kept: 0,
            latency: histogram(),
            start_ns: 0,
            at_start: Totals::default(),
        }
    }

    /// When the present interval began.
    pub(super) fn start_ns(&self) -> u64 {
        self.start_ns
    }

    pub(super) fn record(&mut self, latency_ns: u64) {
        self.latency.saturating_record(latency_ns);
    }

    /// Requests answered per second in the present interval.
    pub(super) fn requests_per_second(&self, now_ns: u64, totals: &Totals) -> f64 {
        let span_ns = now_ns.saturating_sub(self.start_ns).max(1);
        (totals.requests - self.at_start.requests) as f64 * 1e9 / span_ns as f64
    }

    /// The p99 of the present interval.
    pub(super) fn p99_ns(&self) -> u64 {
        at_quantile(&self.latency, 0.99)
    }

    /// Ends the present interval, and begins the next.
    pub(super) fn end_interval(&mut self, end: &IntervalEnd, totals: &Totals) {
        if end.now_ns > self.start_ns {
            let before = self.at_start;
            self.intervals.push(Interval {
                phase: end.phase,
                start_ns: self.start_ns,
                end_ns: end.now_ns,
                requests: totals.requests - before.requests,
                bytes_in: totals.bytes_in - before.bytes_in,
                bytes_out: totals.bytes_out - before.bytes_out,
                p50_ns: at_quantile(&self.latency, 0.5),
                p99_ns: at_quantile(&self.latency, 0.99),
                max_ns: self.latency.max(),
                errors: totals.errors - before.errors,
                clients_open: end.clients_open,
                outstanding: end.outstanding,
                crowd_open: end.crowd_open,
                crowd_lost: totals.crowd_lost - before.crowd_lost,
                latency_hdr: String::new(),
            });
            let buckets = if self.buckets_kept < BUCKETS_MAX { buckets(&self.latency) } else { Vec::new() };
            self.buckets_kept += buckets.len();
            self.buckets.push(buckets);
        }
        self.latency.reset();
        self.start_ns = end.now_ns;
        self.at_start = *totals;
    }

    pub(super) fn into_intervals(self) -> Vec<Interval> {
        let mut encoder = HdrEncoder::new();
        let with_histogram = |(interval, buckets): (Interval, Buckets)| Interval {
            latency_hdr: encoder.encoded(&buckets),
            ..interval
        };
        self.intervals.into_iter().zip(self.buckets).map(with_histogram).collect()
    }
}
