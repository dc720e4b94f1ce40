//! The result of a run: the numbers, and what is needed to judge them. Written as JSON, which the comparison
//! reads.
//!
//! Times are in ns since the beginning of the run, on a monotonic clock. "Measured" means within the measured
//! span: it excludes connecting, ramp and warm-up. [`Report::series`] covers all, and marks the phases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::judge::{ErrorCounts, RunEvidence, RunVerdict, Verdict};

/// The version of this format. It grows when a field changes its meaning or is removed, and not with new
/// fields.
pub const SCHEMA_VERSION: u32 = 1;

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// What made the report, where and when.
    #[serde(default)]
    pub origin: Origin,
    /// The settings of the run.
    pub configuration: Configuration,
    /// Whether the run was ended early; the report has the measurements until then.
    pub interrupted: bool,
    /// When the run began, on the clock that all processes of the system share (`CLOCK_MONOTONIC`). All other
    /// times here count from then, so other programs can relate what they saw to the run.
    #[serde(default)]
    pub began_monotonic_ns: u64,
    /// The duration of the whole run, including setup and drain.
    pub wall_ns: u64,
    /// The duration of the measured span.
    pub measured_ns: u64,
    /// Requests with a complete and correct reply within the measured span.
    pub requests: u64,
    /// `requests` per second of the measured span.
    pub requests_per_second: f64,
    /// Bytes of all active clients read within the measured span.
    pub bytes_in: u64,
    /// Bytes of all active clients written within the measured span.
    pub bytes_out: u64,
    /// Requests of the open loop that fell due within the measured span.
    #[serde(default)]
    pub requests_due: u64,
    /// Requests that fell due within the measured span and were never sent, because no connection was free.
    pub missed_sends: u64,
    /// Requests of the measured span without a reply when the run ended, whose reply was not late yet: they
    /// were sent less than [`Configuration::reply_timeout_ns`] before, after they had waited for a
    /// connection, or the run was interrupted.
    #[serde(default)]
    pub unanswered: u64,
    /// Requests in flight or waiting for a connection, on average over the measured span. By Little's law
    /// this is `requests_per_second` times the mean latency.
    pub outstanding_mean: f64,
    /// Connections of active clients, on average over the measured span.
    #[serde(default)]
    pub connected_mean: f64,
    /// From the scheduled send of a request (closed loop: the send) to the last byte of its reply, for
    /// requests scheduled within the measured span. `unanswered` requests count with the time that they had
    /// waited when the run ended. Requests that failed or were missed do not count.
    pub latency: Latency,
    /// The same from the actual send of a request: what the server took. The difference to `latency` is the
    /// wait for a connection, which a generator that measures only this leaves out (coordinated omission).
    /// Empty in the closed loop, where `latency` is the same.
    #[serde(default)]
    pub service_time: Latency,
    /// From the scheduled to the actual send: how late the generator was, or how long a request waited for a
    /// connection.
    pub send_lag: Latency,
    /// From the scheduled time of a request of the open loop to the time when the generator turned to it: how
    /// late the generator itself was, whether or not a connection was free.
    #[serde(default)]
    pub schedule_lag: Latency,
    /// From the call of `connect` to the established connection, for all connections of the run.
    pub connect_latency: Latency,
    /// Errors from the beginning of the measured span on, by the time when they happened, as `requests`
    /// counts answers. A request of the warm-up that fails within the span counts: otherwise a server that
    /// hangs since the warm-up would show no error. Errors after the span are of requests that were sent
    /// before its end.
    pub errors: ErrorCounts,
    /// Errors before the measured span: while connecting, in the ramp, in the warm-up.
    pub errors_before: ErrorCounts,
    /// Complete replies within the measured span by status, for protocols that have one; the statuses
    /// ascend. A reply with any status is a reply: none is an error.
    #[serde(default)]
    pub statuses: Vec<StatusCount>,
    /// Other counters of the clients over the whole run, by name, such as `redirects_followed`.
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// The first error of the run, as text.
    pub first_error: Option<String>,
    /// Connections of the whole run, of active, idle and slow clients.
    pub connections: Connections,
    /// The idle clients, which hold a connection and do nothing.
    pub idle: Crowd,
    /// The slow clients, which read or send a byte at a time.
    pub slow: Crowd,
    /// How evenly active clients were served within the measured span.
    pub fairness: Fairness,
    /// What the generator used within the measured span.
    pub generator: Generator,
    /// Where the latency bends while the rate grows ([`Pace::Ramp`]); `None` if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bend: Option<Bend>,
    /// The highest rate that met the checks, of a search for it; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_found_per_s: Option<f64>,
    /// The search for that rate. The rest of this report is then of its last probe at the rate found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchReport>,
    /// Whether these numbers can be trusted, and why. `None` in reports of older versions.
    #[serde(default)]
    pub verdict: Option<RunVerdict>,
    /// The whole run in intervals.
    pub series: Vec<Interval>,
    /// The checks that were asked of the run, those included that are made of every run.
    #[serde(default)]
    pub checks: Vec<CheckResult>,
    /// Reasons to doubt the numbers, a sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What made a report, where and when. Each field is empty or 0 if that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The program or library, such as `oneloop 0.1.0`.
    pub program: String,
    /// The name of the machine.
    pub host: String,
    /// When the run began, by the machine's clock (RFC 3339).
    pub date: String,
    /// The same, in ns since 1970.
    pub began_unix_ns: u64,
}

/// A check of a run, and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check as text, such as `p99<5ms`.
    pub asked: String,
    /// The measured value, as text.
    pub seen: String,
    /// Whether the check holds.
    pub held: bool,
}

/// The settings of a run, defaults included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The service, or the name of another workload.
    pub service: String,
    /// The server's address.
    pub target: String,
    /// What is requested there, such as the target of an HTTP request; empty if there is nothing to choose.
    #[serde(default)]
    pub resource: String,
    /// What requests have beside that, and how replies are checked. `None` where there is nothing to choose,
    /// and in reports of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestSettings>,
    /// Threads of the generator.
    #[serde(default)]
    pub threads: u32,
    /// Active clients.
    pub clients: u32,
    /// Requests in flight on one connection, at most.
    pub depth: u32,
    /// Bytes of one request; 0 if that has no meaning for the service.
    pub request_bytes: u64,
    /// What paces the requests.
    pub pace: Pace,
    /// Whether each request has its own connection.
    pub churn: bool,
    /// Clients that hold a connection and do nothing.
    pub idle_clients: u32,
    /// Clients that read or send slowly.
    pub slow_clients: u32,
    /// How long a slow client waits between two bytes.
    #[serde(default)]
    pub slow_pause_ns: u64,
    /// The time over which active clients start, one after the other.
    pub ramp_ns: u64,
    /// Whether all active clients connected before the first one sent.
    #[serde(default)]
    pub connect_first: bool,
    /// How long the load runs before it is measured.
    pub warmup_ns: u64,
    /// How long the run is measured, as planned.
    pub duration_ns: u64,
    /// The length of an interval of [`Report::series`].
    #[serde(default)]
    pub interval_ns: u64,
    /// How long connecting may take.
    pub connect_timeout_ns: u64,
    /// How long a reply may take.
    pub reply_timeout_ns: u64,
    /// Source addresses; empty if the kernel chooses.
    pub sources: Vec<String>,
    /// The seed of bytes and arrivals.
    pub seed: u64,
}

/// What requests have beside their target, and how replies are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestSettings {
    /// The method of HTTP; of several requests each method once, such as `GET, POST`. Empty for other
    /// protocols.
    pub method: String,
    /// The names of the header fields that were set.
    pub fields: Vec<String>,
    /// The scheme of the field Authorization, such as `Basic`, or `other`; empty without that field.
    pub authorization: String,
    /// A digest of methods, targets, names of fields and bodies: the same for the same requests. Of the
    /// values of fields it has only those that are no secrets, such as Accept and Range; what raw TCP sends
    /// before its first request is not in it. It confirms a guess of a body.
    pub digest: String,
    /// What is checked of bodies, as `--verify` has it: `whole`, `length`, `exact` or `json-pointer:...`;
    /// without the value at a pointer.
    pub verify: String,
    /// How many redirects in a row are followed.
    pub redirects_max: u32,
    /// Whether clients keep cookies.
    pub keeps_cookies: bool,
    /// Whether bodies with gzip are decoded.
    pub decodes_gzip: bool,
}

impl Configuration {
    /// In what the requests of two runs differ, with the values of both. What a report of before does not
    /// have is not compared.
    pub(crate) fn request_differences(&self, other: &Configuration) -> Vec<(&'static str, [String; 2])> {
        let mut found = Vec::new();
        let mut differ = |what, one: &dyn ToString, other: &dyn ToString| {
            let values = [one.to_string(), other.to_string()];
            if values[0] != values[1] {
                found.push((what, values));
            }
        };
        differ("their service", &self.service, &other.service);
        differ("what they request", &self.resource, &other.resource);
        match (&self.request, &other.request) {
            (Some(one), Some(other)) => {
                differ("the method", &one.method, &other.method);
                differ("the authorization", &one.authorization, &other.authorization);
                differ("what is checked of replies", &one.verify, &other.verify);
                differ("how many redirects are followed", &one.redirects_max, &other.redirects_max);
                differ("whether cookies are kept", &one.keeps_cookies, &other.keeps_cookies);
                differ("whether gzip is decoded", &one.decodes_gzip, &other.decodes_gzip);
                // It is also of the method, the target and the names of fields.
                if found.is_empty() && one.digest != other.digest {
                    let values = [&one.digest, &other.digest].map(|digest| format!("digest {digest}"));
                    found.push(("the fields or bodies of requests", values));
                }
            }
            // Requests of HTTP have the name of the host in them.
            (None, None) if self.service != "http" => {
                differ("the size of a request", &self.request_bytes, &other.request_bytes);
            }
            _ => {}
        }
        found
    }
}

/// What paces the requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "loop", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pace {
    /// A client sends its next request when it has the reply. It shows capacity, and hides the waiting of
    /// requests that a slow server keeps from being sent.
    Closed,
    /// Requests fall due on an absolute schedule, independently of the server.
    Open {
        /// Requests per second.
        rate_per_second: f64,
        /// How they are spread over time.
        arrivals: Arrivals,
    },
    /// The same with a rate that changes evenly over the measured span. The warm-up has the first rate.
    Ramp {
        /// Requests per second when measuring begins.
        from_per_second: f64,
        /// Requests per second when it ends.
        to_per_second: f64,
        /// How they are spread over time.
        arrivals: Arrivals,
    },
}

/// The arrival process of the open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Arrivals {
    /// Equal distances.
    Constant,
    /// Independent arrivals at random: exponential distances.
    Poisson,
    /// At the times of [`super::Plan::recorded_ns`], such as those of a log. The rate is their mean.
    Recorded,
}

/// A distribution of times. Without a value all fields are zero and there are no buckets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Number of values.
    pub count: u64,
    /// The minimum.
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
    /// The maximum.
    pub max_ns: u64,
    /// The histogram: the upper bound and the count of each bucket that is not empty. A bucket is at most 0.1
    /// % wide.
    pub buckets_ns_count: Vec<(u64, u64)>,
}

impl Latency {
    /// With these buckets alone.
    #[cfg(test)]
    pub(crate) fn of_buckets(buckets: &[(u64, u64)]) -> Latency {
        Latency {
            count: buckets.iter().map(|bucket| bucket.1).sum(),
            max_ns: buckets.last().map_or(0, |bucket| bucket.0),
            buckets_ns_count: buckets.to_vec(),
            ..Latency::default()
        }
    }

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

/// How many replies had one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCount {
    /// The status, such as 200 of HTTP.
    pub status: u16,
    /// Replies with it.
    pub replies: u64,
}

/// Connections of the whole run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Calls of `connect`.
    pub attempted: u64,
    /// Established connections.
    pub established: u64,
    /// Connections of active clients established within the measured span.
    pub established_measured: u64,
    /// The most connections open at the same time.
    pub open_max: u64,
    /// Connections of active clients that the server closed while it owed no reply, if a connection is for
    /// several requests. The client connects again.
    #[serde(default)]
    pub ended_by_server: u64,
}

/// Idle or slow clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd {
    /// How many the plan has.
    pub clients: u64,
    /// How many were connected when measuring began.
    pub connected: u64,
    /// How many were still connected when it ended.
    pub connected_at_end: u64,
    /// Bytes that they read in the whole run.
    pub bytes_in: u64,
    /// Bytes that they wrote in the whole run.
    pub bytes_out: u64,
    /// Clients that read wrong bytes; these count as errors, too.
    pub wrong_bytes: u64,
    /// Clients that got no connection, or lost it before measuring ended, by cause. They do not try again.
    /// They are not errors: a server may close an idle connection.
    #[serde(default)]
    pub lost: ErrorCounts,
}

/// How evenly active clients were served within the measured span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// Number of active clients.
    pub clients: u64,
    /// The clients without an answer.
    #[serde(default)]
    pub clients_unserved: u64,
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
    /// How many clients had how many requests, in ranges at most 0.1 % wide: the upper end of each, and the
    /// clients in it.
    #[serde(default)]
    pub requests_clients: Vec<(u64, u64)>,
    /// The same of bytes.
    #[serde(default)]
    pub bytes_clients: Vec<(u64, u64)>,
}

/// What the generator used within the measured span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// CPU time in user mode, in s (getrusage(2)).
    pub cpu_user_s: f64,
    /// CPU time in the kernel, in s.
    pub cpu_system_s: f64,
    /// CPU time per second of the measured span, of the busiest thread. Near 1 that thread is at its limit.
    pub utilisation: f64,
    /// CPU time per request, in µs; 0 without a request.
    pub cpu_per_request_us: f64,
    /// How long the generator was runnable without a core, in s; the thread that waited longest. `None` where
    /// the system does not measure it (Linux does).
    #[serde(default)]
    pub run_delay_s: Option<f64>,
    /// Share of the requests that waits of the generator for a core may have delayed, each by 1 ms or more
    /// and by a quarter of the p99 latency or more; of several threads, the largest. `None` where the system
    /// does not measure it (Linux does).
    #[serde(default)]
    pub delayed_share: Option<f64>,
    /// How often the generator stood still for 5 ms or more: it was stopped, or had no core.
    #[serde(default)]
    pub stalls: u64,
    /// For how long in total, in s.
    #[serde(default)]
    pub stalled_s: f64,
    /// For how long at a time, at most, in s.
    #[serde(default)]
    pub stalled_max_s: f64,
    /// The measured span by the clock of the generator, relative to that by the kernel's uptime. `None` where
    /// the system has no such file (Linux does).
    #[serde(default)]
    pub clock_ratio: Option<f64>,
    /// The smallest step of the generator's clock that was seen.
    #[serde(default)]
    pub clock_step_ns: u64,
    /// Local ports for connections to one server, with all source addresses. `None` for a Unix socket, and
    /// where the system does not report them.
    #[serde(default)]
    pub local_ports: Option<u64>,
    /// TCP segments of all programs that this machine retransmitted within the measured span. `None` for a
    /// Unix socket, and where the system does not report them.
    #[serde(default)]
    pub retransmitted_segments: Option<u64>,
    /// The largest resident set size of the process so far.
    pub memory_max_bytes: u64,
}

/// Where the latency bends while the rate grows: from here on requests wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bend {
    /// The rate of the schedule there.
    pub rate_per_second: f64,
    /// The p99 latency below that rate: the median of the intervals in the first quarter.
    pub p99_below_ns: u64,
    /// The p99 latency from there on: the median of the intervals.
    pub p99_above_ns: u64,
    /// The most requests per second that were answered in an interval.
    pub answered_max_per_second: f64,
}

/// A search for the highest rate that meets checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchReport {
    /// The checks, as they were typed.
    pub checks: Vec<String>,
    /// All probes, in their order.
    pub probes: Vec<ProbeReport>,
    /// Whole probes at the rate found that met the checks.
    pub passed: u32,
    /// Whole probes at the rate found that did not.
    pub failed: u32,
    /// The probability that a rate that meets the checks in half of its probes or less would not have been
    /// found; 0 without a rate.
    pub confidence: f64,
    /// The lowest rate that is known to fail; `None` if there is none.
    pub failed_from_per_second: Option<f64>,
    /// Why the search ended at this rate.
    pub limit: SearchLimit,
}

/// Why a search found no higher rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SearchLimit {
    /// A higher rate does not meet the checks.
    Server,
    /// The generator could not do more: the rate found is a lower bound.
    Generator,
    /// The highest rate that was to be tried meets the checks.
    Highest,
    /// The lowest rate that was to be tried does not meet the checks.
    Lowest,
    /// The time was over.
    Time,
    /// The search was interrupted.
    Interrupted,
}

/// A probe of a search: one short run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// Requests per second of the schedule.
    pub rate_per_second: f64,
    /// For how long it was measured.
    pub measured_ns: u64,
    /// Requests per second that were answered.
    pub requests_per_second: f64,
    /// The p99 latency.
    pub p99_ns: u64,
    /// The verdict on the probe.
    pub verdict: Verdict,
    /// Whether it met the checks.
    pub passed: bool,
    /// Whether it failed while the generator was disturbed: then it is repeated, and does not count.
    pub disturbed: bool,
    /// The first check that it did not meet, with the measured value.
    pub failure: Option<String>,
}

/// The part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Clients connect, at once or over the ramp.
    Connecting,
    /// The load runs, and is not measured.
    WarmUp,
    /// The load is measured.
    Measuring,
    /// No more requests fall due; replies are awaited.
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

/// An interval of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The part of the run; an interval never spans two.
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
    /// p99 latency of those requests.
    pub p99_ns: u64,
    /// Maximum latency of those requests.
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
    /// All latencies of those requests in ns, as a histogram: the compressed encoding V2 of `HdrHistogram`
    /// in base64. Empty outside of the measured span and the drain, without a request, and beyond the
    /// intervals that a long run keeps.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub latency_hdr: String,
}

impl Report {
    /// How many replies within the measured span have a status within `statuses`, which is inclusive.
    pub fn replies_with(&self, statuses: std::ops::RangeInclusive<u16>) -> u64 {
        let counts = self.statuses.iter().filter(|count| statuses.contains(&count.status));
        counts.map(|count| count.replies).sum()
    }

    /// When measuring began; 0 if it did not.
    pub(crate) fn measured_from_ns(&self) -> u64 {
        let measured = self.series.iter().find(|interval| interval.phase == Phase::Measuring);
        measured.map_or(0, |interval| interval.start_ns)
    }

    /// The report of a run in which nothing happened.
    pub(crate) fn empty(configuration: Configuration) -> Self {
        Report {
            schema_version: SCHEMA_VERSION,
            origin: Origin::default(),
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
            connected_mean: 0.0,
            latency: Latency::default(),
            service_time: Latency::default(),
            send_lag: Latency::default(),
            schedule_lag: Latency::default(),
            connect_latency: Latency::default(),
            errors: ErrorCounts::default(),
            errors_before: ErrorCounts::default(),
            statuses: Vec::new(),
            counts: BTreeMap::new(),
            first_error: None,
            connections: Connections::default(),
            idle: Crowd::default(),
            slow: Crowd::default(),
            fairness: Fairness::default(),
            generator: Generator::default(),
            bend: None,
            rate_found_per_s: None,
            search: None,
            verdict: None,
            series: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Interval {
    /// An interval in which nothing happened.
    pub(crate) const EMPTY: Interval = Interval {
        phase: Phase::Measuring,
        start_ns: 0,
        end_ns: 0,
        requests: 0,
        bytes_in: 0,
        bytes_out: 0,
        p50_ns: 0,
        p99_ns: 0,
        max_ns: 0,
        errors: 0,
        clients_open: 0,
        outstanding: 0,
        crowd_open: 0,
        crowd_lost: 0,
        latency_hdr: String::new(),
    };
}

impl Fairness {
    /// From the requests and the bytes of each active client.
    pub fn of(requests: Vec<u64>, bytes: Vec<u64>) -> Self {
        let clients = requests.len() as u64;
        let clients_unserved = requests.iter().filter(|&&count| count == 0).count() as u64;
        let (jain_requests, jain_bytes) = (jain(&requests), jain(&bytes));
        let (requests_clients, bytes_clients) = (in_ranges(&requests), in_ranges(&bytes));
        let [requests_min, requests_median, requests_max] = spread(requests);
        let [bytes_min, bytes_median, bytes_max] = spread(bytes);
        Fairness {
            clients,
            clients_unserved,
            requests_min,
            requests_median,
            requests_max,
            bytes_min,
            bytes_median,
            bytes_max,
            jain_requests,
            jain_bytes,
            requests_clients,
            bytes_clients,
        }
    }

    /// Of the clients of all parts: medians and indexes from the ranges, exact to 0.1 %.
    pub(super) fn together<'a>(parts: impl Iterator<Item = &'a Fairness>) -> Fairness {
        let parts: Vec<&Fairness> = parts.collect();
        let ranges = |of: fn(&Fairness) -> &[(u64, u64)]| {
            let mut all: BTreeMap<u64, u64> = BTreeMap::new();
            for &(value, clients) in parts.iter().flat_map(|part| of(part)) {
                let count = all.entry(value).or_default();
                *count = count.saturating_add(clients);
            }
            all.into_iter().collect::<Vec<_>>()
        };
        let least = |of: fn(&Fairness) -> u64| parts.iter().map(|part| of(part)).min().unwrap_or(0);
        let most = |of: fn(&Fairness) -> u64| parts.iter().map(|part| of(part)).max().unwrap_or(0);
        let requests_clients = ranges(|part| &part.requests_clients);
        let bytes_clients = ranges(|part| &part.bytes_clients);
        let (requests_min, bytes_min) = (least(|part| part.requests_min), least(|part| part.bytes_min));
        let (requests_max, bytes_max) = (most(|part| part.requests_max), most(|part| part.bytes_max));
        Fairness {
            clients: parts.iter().fold(0, |all, part| all.saturating_add(part.clients)),
            clients_unserved: parts.iter().fold(0, |all, part| all.saturating_add(part.clients_unserved)),
            requests_min,
            // A range is known by its upper end, which may be beyond all that are in it.
            requests_median: median_of(&requests_clients).min(requests_max).max(requests_min),
            requests_max,
            bytes_min,
            bytes_median: median_of(&bytes_clients).min(bytes_max).max(bytes_min),
            bytes_max,
            jain_requests: jain_of(&requests_clients),
            jain_bytes: jain_of(&bytes_clients),
            requests_clients,
            bytes_clients,
        }
    }
}

/// The median of values with these counts, in ascending order.
fn median_of(ranges: &[(u64, u64)]) -> u64 {
    let all = ranges.iter().fold(0_u64, |all, (_, count)| all.saturating_add(*count));
    let mut before = 0_u64;
    for (value, count) in ranges {
        before = before.saturating_add(*count);
        if before > all / 2 {
            return *value;
        }
    }
    0
}

/// Jain's index of values with these counts.
fn jain_of(ranges: &[(u64, u64)]) -> f64 {
    let sum =
        |power: i32| ranges.iter().map(|(value, n)| (*value as f64).powi(power) * *n as f64).sum::<f64>();
    let (clients, squares) = (sum(0), sum(2));
    if squares > 0.0 { sum(1).powi(2) / (clients * squares) } else { 0.0 }
}

/// How many of the values lie in each range that is not empty; a range keeps the leading `KEPT_BITS` bits.
fn in_ranges(values: &[u64]) -> Vec<(u64, u64)> {
    const KEPT_BITS: u32 = 11;
    let mut ranges = std::collections::BTreeMap::new();
    for value in values {
        let dropped = (u64::BITS - value.leading_zeros()).saturating_sub(KEPT_BITS);
        *ranges.entry(value | ((1 << dropped) - 1)).or_insert(0) += 1;
    }
    ranges.into_iter().collect()
}

/// Minimum, median and maximum; zero without a value.
fn spread(mut values: Vec<u64>) -> [u64; 3] {
    values.sort_unstable();
    match values[..] {
        [] => [0; 3],
        [first, ..] => [first, values[values.len() / 2], values[values.len() - 1]],
    }
}

/// (Σx)² / (n Σx²); 0 if all values are 0.
fn jain(values: &[u64]) -> f64 {
    let sum: f64 = values.iter().map(|&value| value as f64).sum();
    let squares: f64 = values.iter().map(|&value| (value as f64).powi(2)).sum();
    if squares > 0.0 { sum * sum / (values.len() as f64 * squares) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut RequestSettings);

    #[test]
    fn requests_that_differ_are_noticed_and_reports_of_before_are_read() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let mut get = plan.configuration("http", 80);
        get.request = Some(RequestSettings { method: "GET".to_owned(), ..RequestSettings::default() });
        let with = |change: &dyn Fn(&mut RequestSettings)| {
            let mut other = get.clone();
            change(other.request.as_mut().unwrap());
            other.request_differences(&get)
        };
        assert_eq!(with(&|_| ()), []);
        let shown = ["POST", "GET"].map(str::to_owned);
        let post = with(&|request| {
            (request.method, request.digest) = ("POST".to_owned(), "1".to_owned());
        });
        assert_eq!(post, [("the method", shown)], "the digest differs with it");
        let changes: [(&str, Change); 6] = [
            ("the fields or bodies of requests", |request| request.digest = "1".to_owned()),
            ("the authorization", |request| request.authorization = "Basic".to_owned()),
            ("what is checked of replies", |request| request.verify = "whole".to_owned()),
            ("how many redirects are followed", |request| request.redirects_max = 10),
            ("whether cookies are kept", |request| request.keeps_cookies = true),
            ("whether gzip is decoded", |request| request.decodes_gzip = true),
        ];
        for (what, change) in changes {
            let found = with(&change);
            assert!(found.len() == 1 && found[0].0 == what, "{what}: {found:?}");
        }
        let mut before = serde_json::to_value(&get).unwrap();
        before.as_object_mut().unwrap().remove("request");
        let before: Configuration = serde_json::from_value(before).unwrap();
        assert_eq!((&before.request, before.request_differences(&get)), (&None, vec![]));
        let (small, large) = (plan.configuration("echo", 64), plan.configuration("echo", 65));
        assert_eq!(small.request_differences(&large)[0].0, "the size of a request");
    }

    #[test]
    fn jains_index_is_one_for_even_shares_and_one_nth_for_all_to_one() {
        let even = Fairness::of(vec![5; 10], vec![64; 10]);
        assert!((even.jain_requests - 1.0).abs() < 1e-12 && (even.jain_bytes - 1.0).abs() < 1e-12);
        let greedy = Fairness::of(vec![0, 0, 0, 8], vec![1, 2, 3, 10]);
        assert!((greedy.jain_requests - 0.25).abs() < 1e-12);
        assert_eq!((greedy.bytes_min, greedy.bytes_median, greedy.bytes_max), (1, 3, 10));
        assert_eq!(Fairness::of(vec![], vec![]), Fairness::default());
        let together = Fairness::together([&even, &greedy].into_iter());
        let whole = Fairness::of(
            [vec![5; 10], vec![0, 0, 0, 8]].concat(),
            [vec![64; 10], vec![1, 2, 3, 10]].concat(),
        );
        assert_eq!(together.requests_clients, whole.requests_clients);
        assert_eq!(
            (together.requests_median, together.bytes_median),
            (whole.requests_median, whole.bytes_median)
        );
        assert!((together.jain_requests - whole.jain_requests).abs() < 1e-12, "numbers below 2048 are exact");
        let large = Fairness::of(vec![1_000_000, 3_000_000], vec![0, 0]);
        let doubled = Fairness::together([&large, &large].into_iter());
        assert!(
            (doubled.requests_median as f64 / 3e6 - 1.0).abs() < 0.001 && doubled.requests_max == 3_000_000
        );
        let alike = Fairness::of(vec![1_000_001; 2], vec![2_000_001; 2]);
        let doubled = Fairness::together([&alike, &alike].into_iter());
        assert_eq!((doubled.requests_median, doubled.bytes_median), (1_000_001, 2_000_001));
    }
}
