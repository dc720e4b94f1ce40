//! What a run of load showed: the numbers, with everything needed to doubt them. Written as JSON, read by the comparison.
//!
//! Times are in ns of one monotonic clock whose zero is the beginning of the run. "Measured" is what belongs to the
//! measured span alone: connecting, ramp and warm-up are left out, except in [`Report::series`], which marks its phases.

use serde::{Deserialize, Serialize};

pub use crate::judge::ErrorCounts;

/// The version of this form: it grows when a field changes its meaning or goes away; new fields do not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// One run of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// What was asked for.
    pub configuration: Configuration,
    /// Whether the run was ended before its time; what was measured until then is in the report.
    pub interrupted: bool,
    /// When the run began, on the clock that all processes of the system share (`CLOCK_MONOTONIC`): the zero of all other
    /// times here. By it others can tell what they saw meanwhile, whenever they come to read this.
    #[serde(default)]
    pub began_monotonic_ns: u64,
    /// From the beginning of the run to its end, setup and drain included.
    pub wall_ns: u64,
    /// How long was measured.
    pub measured_ns: u64,
    /// Requests answered whole and right within the measured span.
    pub requests: u64,
    /// `requests` per second of the measured span.
    pub requests_per_second: f64,
    /// Bytes of all active clients read within the measured span.
    pub bytes_in: u64,
    /// Bytes of all active clients written within the measured span.
    pub bytes_out: u64,
    /// Requests of the open loop that fell due within the measured span: as many were to be answered.
    #[serde(default)]
    pub requests_due: u64,
    /// Requests that fell due within the measured span but were never sent: no connection was free until the end.
    pub missed_sends: u64,
    /// Requests of the measured span that had no answer yet when the run ended, and whose reply was not late: they were sent
    /// less than [`Configuration::reply_timeout_ns`] before, having waited for a connection until then, or the run was
    /// interrupted.
    #[serde(default)]
    pub unanswered: u64,
    /// Requests in flight or waiting for a connection, averaged over the measured span. Little's law says that this is
    /// `requests_per_second` times the mean latency.
    pub outstanding_mean: f64,
    /// From the intended send of a request to the last byte of its reply; requests whose intended send lies within the
    /// measured span. Those that are `unanswered` count with the time that they had waited until the run ended;
    /// those that failed or were missed do not count.
    pub latency: Latency,
    /// From the intended to the real send: how late the generator was, or how long a request waited for a connection.
    pub send_lag: Latency,
    /// From the call of `connect` to the connection, of all connections of the run.
    pub connect_latency: Latency,
    /// Errors from the beginning of the measured span on, by when they happened, as `requests` counts answers: a request of the
    /// warm-up that fails within the span fails there, or a server that hangs since then would show no error at all.
    /// Those behind the span are of requests that were sent within it, or before.
    pub errors: ErrorCounts,
    /// Errors that happened before the measured span: while connecting, in the ramp, in the warm-up.
    pub errors_before: ErrorCounts,
    /// The first error of the run, in words.
    pub first_error: Option<String>,
    /// Connections of the whole run, of active clients, idle ones and slow ones.
    pub connections: Connections,
    /// The clients that hold a connection and do nothing.
    pub idle: Crowd,
    /// The clients that read or send slowly.
    pub slow: Crowd,
    /// How the work was shared between active clients within the measured span.
    pub fairness: Fairness,
    /// What the generator itself used within the measured span.
    pub generator: Generator,
    /// The run in intervals, from its beginning.
    pub series: Vec<Interval>,
}

/// What was asked for, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The service, or the name of a user's own workload.
    pub service: String,
    /// The server's address.
    pub target: String,
    /// What is asked for there, such as the target of an HTTP request; empty where there is nothing to choose.
    #[serde(default)]
    pub resource: String,
    /// Active clients.
    pub clients: u32,
    /// Requests in flight on one connection, at most.
    pub depth: u32,
    /// Bytes of one request, where the service lets the client choose.
    pub request_bytes: u64,
    /// What paces the requests.
    pub pace: Pace,
    /// Whether each request has a connection of its own.
    pub churn: bool,
    /// Clients that hold a connection and do nothing.
    pub idle_clients: u32,
    /// Clients that read or send slowly.
    pub slow_clients: u32,
    /// How long a slow client waits between two bytes.
    #[serde(default)]
    pub slow_pause_ns: u64,
    /// Over how long the active clients begin, one after the other.
    pub ramp_ns: u64,
    /// Whether all of them connected before the first asked.
    #[serde(default)]
    pub connect_first: bool,
    /// How long the load runs before it is measured.
    pub warmup_ns: u64,
    /// How long is to be measured.
    pub duration_ns: u64,
    /// The pieces of [`Report::series`].
    #[serde(default)]
    pub interval_ns: u64,
    /// How long a connection may take.
    pub connect_timeout_ns: u64,
    /// How long a reply may take.
    pub reply_timeout_ns: u64,
    /// Source addresses; empty if the kernel chose.
    pub sources: Vec<String>,
    /// Where randomness (bytes sent, arrivals) began.
    pub seed: u64,
}

/// What paces the requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "loop", rename_all = "snake_case")]
pub enum Pace {
    /// A client sends its next request when it has the reply: shows capacity, and is blind to the waiting of requests
    /// that a slow server kept from being sent.
    Closed,
    /// Requests fall due on an absolute schedule, whatever the server does.
    Open {
        /// Requests per second.
        rate_per_second: f64,
        /// How they are spread.
        arrivals: Arrivals,
    },
}

/// How requests of the open loop are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// At random, independently of each other: exponential distances.
    Poisson,
}

/// A distribution of times. All zero, and no buckets, if there was none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min_ns: u64,
    /// The mean.
    pub mean_ns: f64,
    /// The standard deviation.
    pub stddev_ns: f64,
    /// The median.
    pub p50_ns: u64,
    /// 75 %.
    pub p75_ns: u64,
    /// 90 %.
    pub p90_ns: u64,
    /// 95 %.
    pub p95_ns: u64,
    /// 99 %.
    pub p99_ns: u64,
    /// 99.9 %.
    pub p99_9_ns: u64,
    /// 99.99 %.
    pub p99_99_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The whole histogram: the highest time of each bucket with a count, and the count. A bucket is at most 0.1 % wide.
    pub buckets_ns_count: Vec<(u64, u64)>,
}

impl Latency {
    /// The time that this share (0 to 1) of all values did not exceed, from the buckets; 0 without a value.
    #[allow(clippy::cast_sign_loss)] // a share is not negative
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

/// Connections of the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Calls of `connect`.
    pub attempted: u64,
    /// Those that led to a connection.
    pub established: u64,
    /// Those of active clients made within the measured span.
    pub established_measured: u64,
    /// The most that were open at once.
    pub open_max: u64,
    /// Those of active clients that the server ended behind a whole reply, where not each request has its own: the client
    /// connects again.
    #[serde(default)]
    pub ended_by_server: u64,
}

/// Clients beside the active ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd {
    /// How many were asked for.
    pub clients: u64,
    /// How many were connected when measuring began.
    pub connected: u64,
    /// How many were still connected when it ended.
    pub connected_at_end: u64,
    /// Bytes read from them in the whole run.
    pub bytes_in: u64,
    /// Bytes written to them in the whole run.
    pub bytes_out: u64,
    /// Clients that read wrong bytes; these are errors as well.
    pub wrong_bytes: u64,
    /// Clients that got no connection, or lost theirs before measuring ended, by what happened. None tries again. They are no
    /// errors: a server may well close an idle connection.
    #[serde(default)]
    pub lost: ErrorCounts,
}

/// How evenly active clients were served within the measured span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// Active clients that were compared.
    pub clients: u64,
    /// Requests of the client with the fewest.
    pub requests_min: u64,
    /// The median of requests per client.
    pub requests_median: u64,
    /// Requests of the client with the most.
    pub requests_max: u64,
    /// Bytes, in and out, of the client with the fewest.
    pub bytes_min: u64,
    /// The median of bytes per client.
    pub bytes_median: u64,
    /// Bytes of the client with the most.
    pub bytes_max: u64,
    /// Jain's index of requests per client: 1 is even, 1/clients is all for one (Jain, Chiu, Hawe 1984).
    pub jain_requests: f64,
    /// Jain's index of bytes per client.
    pub jain_bytes: f64,
}

/// What the generator itself used within the measured span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Processor time in the program (getrusage(2)).
    pub cpu_user_s: f64,
    /// Processor time in the kernel for the program.
    pub cpu_system_s: f64,
    /// Processor time per second of the measured span; near 1 the generator, one thread, is at its own limit.
    pub utilisation: f64,
    /// Processor time per request, in µs; 0 if there was none.
    pub cpu_per_request_us: f64,
    /// How long it was ready to run and had no core, in s: others had it, or the server did. Nothing where the system does not
    /// tell (Linux does).
    #[serde(default)]
    pub run_delay_s: Option<f64>,
    /// The largest resident memory of the process so far.
    pub memory_max_bytes: u64,
}

/// Which part of a run an interval belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Clients connect, at once or over the ramp.
    Connecting,
    /// The load runs and is not measured.
    WarmUp,
    /// The load runs and is measured.
    Measuring,
    /// No request is sent any more; replies are awaited.
    Draining,
}

impl Phase {
    /// Its name in CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Connecting => "connecting",
            Phase::WarmUp => "warm_up",
            Phase::Measuring => "measuring",
            Phase::Draining => "draining",
        }
    }
}

/// A piece of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its part of the run; an interval never spans two.
    pub phase: Phase,
    /// When it began.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Requests answered in it.
    pub requests: u64,
    /// Bytes read by active clients in it.
    pub bytes_in: u64,
    /// Bytes written by active clients in it.
    pub bytes_out: u64,
    /// Median latency of those requests.
    pub p50_ns: u64,
    /// 99 % of them were faster.
    pub p99_ns: u64,
    /// The slowest of them.
    pub max_ns: u64,
    /// Errors in it.
    pub errors: u64,
    /// Connections of active clients that were open at its end.
    pub clients_open: u64,
    /// Requests in flight or waiting for a connection at its end.
    pub outstanding: u64,
    /// Connections of idle and slow clients that were open at its end.
    #[serde(default)]
    pub crowd_open: u64,
    /// Idle and slow clients that were lost in it.
    #[serde(default)]
    pub crowd_lost: u64,
}

impl Report {
    /// The report of a run in which nothing happened.
    pub(crate) fn empty(configuration: Configuration) -> Self {
        Report {
            schema_version: SCHEMA_VERSION,
            configuration,
            interrupted: false,
            began_monotonic_ns: 0,
            wall_ns: 0,
            measured_ns: 0,
            requests: 0,
            requests_per_second: 0.0,
            bytes_in: 0,
            bytes_out: 0,
            requests_due: 0,
            missed_sends: 0,
            unanswered: 0,
            outstanding_mean: 0.0,
            latency: Latency::default(),
            send_lag: Latency::default(),
            connect_latency: Latency::default(),
            errors: ErrorCounts::default(),
            errors_before: ErrorCounts::default(),
            first_error: None,
            connections: Connections::default(),
            idle: Crowd::default(),
            slow: Crowd::default(),
            fairness: Fairness::default(),
            generator: Generator::default(),
            series: Vec::new(),
        }
    }
}

impl Fairness {
    /// Of each active client's requests and bytes.
    pub fn of(requests: Vec<u64>, bytes: Vec<u64>) -> Self {
        let clients = requests.len() as u64;
        let (jain_requests, jain_bytes) = (jain(&requests), jain(&bytes));
        let [requests_min, requests_median, requests_max] = spread(requests);
        let [bytes_min, bytes_median, bytes_max] = spread(bytes);
        Fairness {
            clients,
            requests_min,
            requests_median,
            requests_max,
            bytes_min,
            bytes_median,
            bytes_max,
            jain_requests,
            jain_bytes,
        }
    }
}

/// Minimum, median and maximum; zero of nothing.
fn spread(mut values: Vec<u64>) -> [u64; 3] {
    values.sort_unstable();
    match values[..] {
        [] => [0; 3],
        [first, ..] => [first, values[values.len() / 2], values[values.len() - 1]],
    }
}

/// (Σx)² / (n Σx²); 0 where nobody got anything.
fn jain(values: &[u64]) -> f64 {
    let sum: f64 = values.iter().map(|&value| value as f64).sum();
    let squares: f64 = values.iter().map(|&value| (value as f64).powi(2)).sum();
    if squares > 0.0 { sum * sum / (values.len() as f64 * squares) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jains_index_is_one_for_even_shares_and_one_nth_for_all_to_one() {
        let even = Fairness::of(vec![5; 10], vec![64; 10]);
        assert!((even.jain_requests - 1.0).abs() < 1e-12 && (even.jain_bytes - 1.0).abs() < 1e-12);
        let greedy = Fairness::of(vec![0, 0, 0, 8], vec![1, 2, 3, 10]);
        assert!((greedy.jain_requests - 0.25).abs() < 1e-12);
        assert_eq!((greedy.bytes_min, greedy.bytes_median, greedy.bytes_max), (1, 3, 10));
        assert_eq!(Fairness::of(vec![], vec![]), Fairness::default());
    }
}
