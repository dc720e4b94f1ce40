//! The run in intervals.

use hdrhistogram::Histogram;

use super::histograms::{at_quantile, histogram};
use super::report::{Interval, Phase};
use super::totals::Totals;

/// Decimal digits kept of a latency in an interval.
const DIGITS: u8 = 2;

/// Collects the intervals of a run.
pub(super) struct IntervalSeries {
    intervals: Vec<Interval>,
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
            latency: histogram(DIGITS),
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
            });
        }
        self.latency.reset();
        self.start_ns = end.now_ns;
        self.at_start = *totals;
    }

    pub(super) fn into_intervals(self) -> Vec<Interval> {
        self.intervals
    }
}
