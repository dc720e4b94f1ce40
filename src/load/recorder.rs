//! What is recorded while the load runs.

use hdrhistogram::Histogram;

use super::client_error::ClientError;
use super::clock::RunClock;
use super::conversation::SendTimes;
use super::histograms::{histogram, latency};
use super::plan::Plan;
use super::report::{Connections, Crowd, ErrorCounts, Latency, Phase, StatusCount};
use super::series::{IntervalEnd, IntervalSeries};
use super::totals::Totals;

/// The time of a run, and what is recorded of it.
pub(super) struct Ledger {
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
}

impl Ledger {
    pub(super) fn start(plan: &Plan, clock: RunClock) -> Self {
        let mut recorder = Recorder::new();
        recorder.service_time = plan.is_open_loop().then(histogram);
        (recorder.idle.clients, recorder.slow.clients) = (plan.idle.into(), plan.slow.into());
        Ledger { clock, recorder }
    }
}

/// All counters of one run.
pub(super) struct Recorder {
    pub(super) totals: Totals,
    /// The measured span; `u64::MAX` until it is known.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) errors: ErrorCounts,
    pub(super) errors_before: ErrorCounts,
    pub(super) first_error: Option<ClientError>,
    /// Replies by status since measuring began; before, since the start of the run.
    pub(super) statuses: Vec<StatusCount>,
    pub(super) requests_due: u64,
    pub(super) missed_sends: u64,
    pub(super) unanswered: u64,
    /// Requests in flight or waiting for a connection.
    pub(super) outstanding: u64,
    pub(super) connections: Connections,
    pub(super) idle: Crowd,
    pub(super) slow: Crowd,
    /// Connections of idle and slow clients.
    pub(super) crowd_open: u64,
    pub(super) series: IntervalSeries,
    latency: Histogram<u64>,
    /// Of the open loop: in the closed loop it is the latency.
    service_time: Option<Histogram<u64>>,
    send_lag: Histogram<u64>,
    schedule_lag: Histogram<u64>,
    connect_latency: Histogram<u64>,
    turn_ns: u64,
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
            statuses: Vec::new(),
            requests_due: 0,
            missed_sends: 0,
            unanswered: 0,
            outstanding: 0,
            connections: Connections::default(),
            idle: Crowd::default(),
            slow: Crowd::default(),
            crowd_open: 0,
            series: IntervalSeries::new(),
            latency: histogram(),
            service_time: None,
            send_lag: histogram(),
            schedule_lag: histogram(),
            connect_latency: histogram(),
            turn_ns: 0,
        }
    }

    /// Whether a request that was to be sent then is measured.
    fn is_measured(&self, intended_ns: u64) -> bool {
        (self.start_ns..self.end_ns).contains(&intended_ns)
    }

    /// Active clients read and wrote bytes.
    pub(super) fn transferred(&mut self, bytes_in: usize, bytes_out: usize) {
        self.totals.bytes_in += bytes_in as u64;
        self.totals.bytes_out += bytes_out as u64;
    }

    /// A request is answered.
    pub(super) fn answered(&mut self, now_ns: u64, times: SendTimes, status: Option<u16>) {
        let SendTimes { intended_ns, sent_ns } = times;
        let latency_ns = now_ns.saturating_sub(intended_ns);
        self.totals.requests += 1;
        self.outstanding = self.outstanding.saturating_sub(1);
        self.series.record(latency_ns);
        if let Some(status) = status {
            self.count_status(status);
        }
        if self.is_measured(intended_ns) {
            self.latency.saturating_record(latency_ns);
            if let Some(service_time) = &mut self.service_time {
                service_time.saturating_record(now_ns.saturating_sub(sent_ns));
            }
        }
    }

    /// A server uses few statuses: they are searched one after the other.
    fn count_status(&mut self, status: u16) {
        match self.statuses.iter_mut().find(|count| count.status == status) {
            Some(count) => count.replies += 1,
            None => self.statuses.push(StatusCount { status, replies: 1 }),
        }
    }

    /// Removes the counts of replies by status, in the order of the statuses.
    pub(super) fn take_statuses(&mut self) -> Vec<StatusCount> {
        let mut statuses = std::mem::take(&mut self.statuses);
        statuses.sort_by_key(|count| count.status);
        statuses
    }

    /// The generator turns to a request of the open loop that has fallen due.
    pub(super) fn due(&mut self, now_ns: u64, intended_ns: u64) {
        if self.is_measured(intended_ns) {
            self.requests_due += 1;
            self.schedule_lag.saturating_record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// A request of the open loop is sent.
    pub(super) fn sent(&mut self, now_ns: u64, intended_ns: u64) {
        if self.is_measured(intended_ns) {
            self.send_lag.saturating_record(now_ns.saturating_sub(intended_ns));
        }
    }

    /// A request of the open loop was not sent, and will not be.
    pub(super) fn missed(&mut self, intended_ns: u64) {
        self.missed_sends += u64::from(self.is_measured(intended_ns));
    }

    /// The run ends before a request without an answer is late; it was sent then, if at all. Its latency is
    /// at least the time until now.
    pub(super) fn unanswered(&mut self, now_ns: u64, intended_ns: u64, sent_ns: Option<u64>) {
        if self.is_measured(intended_ns) {
            self.unanswered += 1;
            self.latency.saturating_record(now_ns.saturating_sub(intended_ns));
            if let (Some(service_time), Some(sent_ns)) = (&mut self.service_time, sent_ns) {
                service_time.saturating_record(now_ns.saturating_sub(sent_ns));
            }
        }
    }

    /// A client is connected.
    pub(super) fn connected(&mut self, now_ns: u64, began_ns: u64, is_active: bool) {
        self.connections.established += 1;
        self.connections.established_measured += u64::from(is_active && self.is_measured(now_ns));
        self.crowd_open += u64::from(!is_active);
        self.connect_latency.saturating_record(now_ns.saturating_sub(began_ns));
    }

    /// Whether every connection attempt failed. False before the first error.
    pub(super) fn nothing_listens(&self) -> bool {
        self.connections.established == 0 && self.errors_before.total() > 0
    }

    /// Counts `count` errors at the time they happen, not when the requests were due.
    pub(super) fn failed(&mut self, now_ns: u64, error: ClientError, count: u64) {
        self.totals.errors += count;
        self.first_error.get_or_insert(error);
        let errors = if now_ns < self.start_ns { &mut self.errors_before } else { &mut self.errors };
        error.count(errors, count);
    }

    /// An idle or a slow client lost its connection, or got none.
    pub(super) fn crowd_lost(&mut self, is_idle: bool, error: ClientError) {
        let crowd = if is_idle { &mut self.idle } else { &mut self.slow };
        error.count(&mut crowd.lost, 1);
        crowd.wrong_bytes += u64::from(matches!(error, ClientError::WrongBytes(_)));
        self.totals.crowd_lost += 1;
    }

    /// Begins a turn: adds the outstanding requests and open connections since the last turn to the means.
    pub(super) fn turn(&mut self, now_ns: u64, clients_open: u64) {
        let since_ns = now_ns.saturating_sub(self.turn_ns);
        self.totals.outstanding_ns += u128::from(self.outstanding) * u128::from(since_ns);
        self.totals.connected_ns += u128::from(clients_open) * u128::from(since_ns);
        self.turn_ns = now_ns;
    }

    /// Ends an interval of the series and begins the next.
    pub(super) fn end_interval(&mut self, now_ns: u64, phase: Phase, clients_open: u64) {
        let (crowd_open, outstanding) = (self.crowd_open, self.outstanding);
        let end = IntervalEnd { now_ns, phase, clients_open, crowd_open, outstanding };
        self.series.end_interval(&end, &self.totals);
    }

    /// Latencies, service times, send lags, lags of the schedule, and latencies of connecting.
    pub(super) fn distributions(&self) -> [Latency; 5] {
        let service_time = self.service_time.as_ref().map_or_else(Latency::default, latency);
        let others = [&self.latency, &self.send_lag, &self.schedule_lag, &self.connect_latency];
        let [request, send, schedule, connect] = others.map(latency);
        [request, service_time, send, schedule, connect]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sent as it was to be.
    fn in_time(intended_ns: u64) -> SendTimes {
        SendTimes { intended_ns, sent_ns: intended_ns }
    }

    #[test]
    fn percentiles_are_within_a_thousandth_and_only_of_the_measured_span() {
        let mut recorder = Recorder::new();
        recorder.answered(2_000_000_000, in_time(1), None);
        (recorder.start_ns, recorder.end_ns) = (1_000, 101_000);
        for i in 0..100_000 {
            recorder.answered(1_000 + i + 50 * (i + 1), in_time(1_000 + i), None);
        }
        recorder.answered(900_000_000, in_time(999), None);
        recorder.answered(900_000_000, in_time(101_000), None);
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
        recorder.failed(10, ClientError::Refused, 2);
        (recorder.start_ns, recorder.end_ns) = (20, 30);
        recorder.failed(35, ClientError::Reset, 1);
        assert_eq!((recorder.errors_before.total(), recorder.errors.total()), (2, 1));
        assert_eq!((recorder.errors.reset, recorder.first_error), (1, Some(ClientError::Refused)));
    }

    #[test]
    fn intervals_add_up_to_the_run() {
        let mut recorder = Recorder::new();
        for turn in 1..=10 {
            recorder.answered(turn * 10, in_time(turn * 10 - 5), None);
            if turn % 3 == 0 {
                recorder.end_interval(turn * 10, Phase::WarmUp, 1);
            }
        }
        recorder.end_interval(110, Phase::Draining, 0);
        let series = recorder.series.into_intervals();
        assert_eq!(series.iter().map(|interval| interval.requests).sum::<u64>(), 10);
        assert!(series.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns));
        assert_eq!(series.last().map(|interval| interval.max_ns), Some(5));
    }

    #[test]
    fn what_is_outstanding_is_weighed_by_its_time() {
        let mut recorder = Recorder::new();
        recorder.outstanding = 4;
        recorder.turn(100, 3);
        recorder.outstanding = 1;
        recorder.turn(150, 2);
        assert_eq!((recorder.totals.outstanding_ns, recorder.totals.connected_ns), (450, 400));
    }
}
