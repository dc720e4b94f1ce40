//! What is written down while the load runs.

use hdrhistogram::Histogram;

use super::errors::Class;
use super::report::{Connections, ErrorCounts, Interval, Latency, Phase};

/// Two days: no request waits longer, as neither the span nor the timeout of a reply is longer than one
/// ([`super::Plan::check`]).
const LATENCY_MAX_NS: u64 = 2 * 86_400_000_000_000;
/// Decimal digits kept of a time in the report, and of one in an interval of the series.
const DIGITS: u8 = 3;
const INTERVAL_DIGITS: u8 = 2;

/// Counters that only grow: a span is a difference of two.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) errors: u64,
    /// Clients of the crowds that have no connection any more, or got none.
    pub(super) crowd_lost: u64,
    /// Requests outstanding times ns.
    pub(super) outstanding_ns: u128,
}

/// All that is counted in one run.
pub(super) struct Recorder {
    pub(super) totals: Totals,
    /// The measured span; `u64::MAX` until it is known.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) errors: ErrorCounts,
    pub(super) errors_before: ErrorCounts,
    pub(super) first_error: Option<Class>,
    pub(super) requests_due: u64,
    pub(super) missed_sends: u64,
    pub(super) unanswered: u64,
    /// Requests in flight or waiting for a connection.
    pub(super) outstanding: u64,
    /// Connections of idle and slow clients.
    pub(super) crowd_open: u64,
    pub(super) connections: Connections,
    pub(super) series: Vec<Interval>,
    latency: Histogram<u64>,
    send_lag: Histogram<u64>,
    connect_latency: Histogram<u64>,
    interval: Histogram<u64>,
    interval_start_ns: u64,
    interval_start: Totals,
    turn_ns: u64,
}

/// What is known of the interval that has not ended yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    pub(super) requests_per_second: f64,
    pub(super) p99_ns: u64,
}

fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, digits)
        .expect("bounds and digits are constants that it takes")
}

impl Recorder {
    pub(super) fn new() -> Self {
        Recorder {
            totals: Totals::default(),
            start_ns: u64::MAX,
            end_ns: u64::MAX,
            errors: ErrorCounts::default(),
            errors_before: ErrorCounts::default(),
            first_error: None,
            requests_due: 0,
            missed_sends: 0,
            unanswered: 0,
            outstanding: 0,
            crowd_open: 0,
            connections: Connections::default(),
            series: Vec::new(),
            latency: histogram(DIGITS),
            send_lag: histogram(DIGITS),
            connect_latency: histogram(DIGITS),
            interval: histogram(INTERVAL_DIGITS),
            interval_start_ns: 0,
            interval_start: Totals::default(),
            turn_ns: 0,
        }
    }

    fn is_measured(&self, intended_ns: u64) -> bool {
        (self.start_ns..self.end_ns).contains(&intended_ns)
    }

    /// A request that was to be sent at `intended_ns` is answered.
    pub(super) fn answered(&mut self, now_ns: u64, intended_ns: u64) {
        let latency_ns = now_ns.saturating_sub(intended_ns);
        self.totals.requests += 1;
        self.outstanding = self.outstanding.saturating_sub(1);
        self.interval.saturating_record(latency_ns);
        if self.is_measured(intended_ns) {
            self.latency.saturating_record(latency_ns);
        }
    }

    /// A request of the open loop falls due.
    pub(super) fn due(&mut self, intended_ns: u64) {
        self.requests_due += u64::from(self.is_measured(intended_ns));
    }

    /// A request of the open loop is sent.
    pub(super) fn sent(&mut self, now_ns: u64, intended_ns: u64) {
        if self.is_measured(intended_ns) {
            self.send_lag.saturating_record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// A request of the open loop was not sent, and will not be.
    pub(super) fn missed(&mut self, intended_ns: u64) {
        if self.is_measured(intended_ns) {
            self.missed_sends += 1;
        }
    }

    /// A request has no answer yet, and the run ends before that is late: it takes so long at least.
    pub(super) fn unanswered(&mut self, now_ns: u64, intended_ns: u64) {
        if self.is_measured(intended_ns) {
            self.unanswered += 1;
            self.latency.saturating_record(now_ns.saturating_sub(intended_ns));
        }
    }

    pub(super) fn connected(&mut self, now_ns: u64, began_ns: u64, is_active: bool) {
        self.connections.established += 1;
        if is_active && self.is_measured(now_ns) {
            self.connections.established_measured += 1;
        }
        self.connect_latency.saturating_record(now_ns.saturating_sub(began_ns));
    }

    /// So many requests, or a connection without any, fail now: that they fell due before is no reason to leave them out.
    pub(super) fn failed(&mut self, now_ns: u64, class: Class, count: u64) {
        self.totals.errors += count;
        self.first_error.get_or_insert(class);
        let errors = if now_ns < self.start_ns { &mut self.errors_before } else { &mut self.errors };
        class.count(errors, count);
    }

    /// A turn begins: what was outstanding since the last one counts for the mean.
    pub(super) fn turn(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.turn_ns);
        self.totals.outstanding_ns += u128::from(self.outstanding) * u128::from(since_ns);
        self.turn_ns = now_ns;
    }

    pub(super) fn interval_start_ns(&self) -> u64 {
        self.interval_start_ns
    }

    pub(super) fn glance(&self, now_ns: u64) -> Glance {
        let span_ns = now_ns.saturating_sub(self.interval_start_ns).max(1);
        Glance {
            requests_per_second: (self.totals.requests - self.interval_start.requests) as f64 * 1e9
                / span_ns as f64,
            p99_ns: at_quantile(&self.interval, 0.99),
        }
    }

    /// Ends an interval of the series and begins the next.
    pub(super) fn end_interval(&mut self, now_ns: u64, phase: Phase, clients_open: u64) {
        if now_ns > self.interval_start_ns {
            let before = self.interval_start;
            self.series.push(Interval {
                phase,
                start_ns: self.interval_start_ns,
                end_ns: now_ns,
                requests: self.totals.requests - before.requests,
                bytes_in: self.totals.bytes_in - before.bytes_in,
                bytes_out: self.totals.bytes_out - before.bytes_out,
                p50_ns: at_quantile(&self.interval, 0.5),
                p99_ns: at_quantile(&self.interval, 0.99),
                max_ns: self.interval.max(),
                errors: self.totals.errors - before.errors,
                clients_open,
                outstanding: self.outstanding,
                crowd_open: self.crowd_open,
                crowd_lost: self.totals.crowd_lost - before.crowd_lost,
            });
        }
        self.interval.reset();
        self.interval_start_ns = now_ns;
        self.interval_start = self.totals;
    }

    /// Latencies, lags of sending, and latencies of connecting.
    pub(super) fn distributions(&self) -> [Latency; 3] {
        [&self.latency, &self.send_lag, &self.connect_latency].map(Latency::of)
    }
}

/// 0 of nothing.
fn at_quantile(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    // The end of a bucket may lie behind the longest time there was.
    if histogram.is_empty() { 0 } else { histogram.value_at_quantile(quantile).min(histogram.max()) }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Latency {
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

    /// The time that this part of all (0 to 1) did not exceed, from the buckets; 0 of nothing.
    #[allow(clippy::cast_sign_loss)] // a part of all is not negative
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let rank = ((quantile * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for &(ns, count) in &self.buckets_ns_count {
            seen += count;
            if seen >= rank {
                return ns.min(self.max_ns);
            }
        }
        self.max_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth_and_only_of_the_measured_span() {
        let mut recorder = Recorder::new();
        recorder.answered(2_000_000_000, 1);
        (recorder.start_ns, recorder.end_ns) = (1_000, 101_000);
        for i in 0..100_000 {
            recorder.answered(1_000 + i + 50 * (i + 1), 1_000 + i);
        }
        recorder.answered(900_000_000, 999);
        recorder.answered(900_000_000, 101_000);
        let [latency, ..] = recorder.distributions();
        assert_eq!(latency.count, 100_000);
        for (seen, expected) in [
            (latency.p50_ns, 2_500_000),
            (latency.p99_ns, 4_950_000),
            (latency.p99_99_ns, 4_999_500),
            (latency.max_ns, 5_000_000),
            (latency.quantile_ns(0.5), latency.p50_ns),
            (latency.quantile_ns(1.0), latency.max_ns),
        ] {
            assert!((seen as f64 / expected as f64 - 1.0).abs() <= 0.001, "{seen} for {expected}");
        }
        assert_eq!(latency.buckets_ns_count.iter().map(|bucket| bucket.1).sum::<u64>(), latency.count);
        assert_eq!(recorder.totals.requests, 100_003, "throughput counts all");
    }

    #[test]
    fn errors_belong_to_the_span_in_which_they_happened_and_the_first_is_kept() {
        let mut recorder = Recorder::new();
        recorder.failed(10, Class::Refused, 2);
        (recorder.start_ns, recorder.end_ns) = (20, 30);
        recorder.failed(35, Class::Reset, 1);
        assert_eq!((recorder.errors_before.total(), recorder.errors.total()), (2, 1));
        assert_eq!((recorder.errors.reset, recorder.first_error), (1, Some(Class::Refused)));
    }

    #[test]
    fn intervals_add_up_to_the_run() {
        let mut recorder = Recorder::new();
        for turn in 1..=10 {
            recorder.answered(turn * 10, turn * 10 - 5);
            if turn % 3 == 0 {
                recorder.end_interval(turn * 10, Phase::WarmUp, 1);
            }
        }
        recorder.end_interval(110, Phase::Draining, 0);
        assert_eq!(recorder.series.iter().map(|interval| interval.requests).sum::<u64>(), 10);
        assert!(recorder.series.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
        assert_eq!(recorder.series.last().map(|interval| interval.max_ns), Some(5));
    }

    #[test]
    fn what_is_outstanding_is_weighed_by_its_time() {
        let mut recorder = Recorder::new();
        recorder.outstanding = 4;
        recorder.turn(100);
        recorder.outstanding = 1;
        recorder.turn(150);
        assert_eq!(recorder.totals.outstanding_ns, 450);
    }
}
