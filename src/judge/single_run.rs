//! The verdict on one run of the load generator: whether its numbers can be trusted.

use serde::{Deserialize, Serialize};

use super::errors::ErrorCounts;
use super::figures::{counted, counted_grouped, grouped, percent, plural, three_digits, time};
use super::statistics::MedianInterval;
use super::thresholds::{BUSY_FROM, ERRORS_MAX, LITTLE_MAX, SHORTFALL_MAX, SPREAD_MAX, STARVED_MAX};
use super::verdict::{ReasonedVerdict, Verdict, conclude};

/// CPU time of the generator, as a share of a core, from which it may be the limit; a note points it out.
const BUSY_NOTED_FROM: f64 = 0.85;
/// Share of the span in which the generator waited for a core that is worth a note.
const STARVED_NOTED_FROM: f64 = 0.05;
/// Share of the span in which the generator may stand still. While it does no request is sent and no reply is
/// read: with a little more than this share, it would show in the p99.
const STALLED_MAX: f64 = 0.0075;
/// Share of the requests that may be delayed by waits for a core: with more, these are the p99.
const DELAYED_MAX: f64 = 0.01;
/// How late the p99 of all sends may be before it matters: an idle machine wakes a thread within a tenth of
/// it.
const LAG_P99_MIN_NS: u64 = 500_000;
/// The generator may account for at most 1/4 of the p99 latency.
const LAG_PARTS_OF_P99: u64 = 4;
/// If the p99 latency is at most this many times the longest disturbance of the generator, the disturbance
/// may have caused it.
const DISTURBANCE_TIMES: u64 = 5;
/// Requests below which the p99 is about the maximum.
const REQUESTS_MIN: u64 = 100;
/// Requests below which p99.99 is about the maximum.
const TAIL_REQUESTS_MIN: u64 = 10_000;
/// Requests that may be in flight at the ends of the span, in addition to [`SHORTFALL_MAX`].
const ACROSS_ENDS: u64 = 2;
/// How far two clocks may be apart after a second, as a share. Clocks that are kept in step differ by 0.0005.
const CLOCK_SHARE_MAX: f64 = 0.02;
/// The error of the kernel's clock in s, for both ends of the span together: it counts in hundredths.
const CLOCK_INEXACT_S: f64 = 0.03;
/// How coarse the clock may be, relative to the median latency, and the coarseness that never matters.
const CLOCK_STEP_MAX: f64 = 0.10;
const CLOCK_STEP_MIN_NS: u64 = 10_000;
/// Share of the connections that may be missing, on average.
const UNCONNECTED_MAX: f64 = 0.02;
/// Intervals that are needed to see how much the rate varies.
const INTERVALS_MIN: usize = 5;
/// Segments that may be sent again in any run.
const RETRANSMITTED_MIN: u64 = 2;
/// What the loss of its last segment delays a request by, at least: Linux waits so long before it sends that
/// again (`TCP_RTO_MIN`). The segments are counted for the whole machine: without a request that took so
/// long, they were those of other programs, or replaced at once.
const RETRANSMISSION_NS: u64 = 200_000_000;

/// The numbers of one run that decide whether it can be trusted. `None` means "not measured here", or that
/// it does not apply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunEvidence {
    /// The duration of the measured span.
    pub measured_ns: u64,
    /// Whether the run was ended early.
    pub interrupted: bool,
    /// CPU time of the generator, as a share of a core. From several threads, that of the busiest.
    pub generator_cpu_share: f64,
    /// Share of the span in which the generator was runnable and had no core.
    pub generator_waited_share: Option<f64>,
    /// Share of the requests that waits of the generator for a core may have delayed, each by so much that
    /// their p99 would show it.
    pub generator_delayed_share: Option<f64>,
    /// How often the generator stood still: it was stopped, or had no core for a long time.
    pub generator_stalls: u64,
    /// For how much of the span.
    pub generator_stalled_share: f64,
    /// For how long at a time, at most.
    pub generator_stalled_max_ns: u64,
    /// How late the generator turned to a request of the open loop, at p99. It does not include the wait for
    /// a free connection.
    pub schedule_lag_p99_ns: Option<u64>,
    /// The span by the clock of the generator, relative to that by the clock of the kernel.
    pub clock_ratio: Option<f64>,
    /// The smallest step of the clock that was seen.
    pub clock_step_ns: u64,
    /// Requests answered.
    pub requests: u64,
    /// The same per second.
    pub requests_per_second: f64,
    /// Requests that fell due, in an open loop of constant rate.
    pub requests_due: Option<u64>,
    /// Requests that fell due and were never sent.
    pub missed_sends: u64,
    /// Requests without an answer when the run ended, which were not late yet.
    pub unanswered: u64,
    /// The mean latency.
    pub latency_mean_ns: f64,
    /// The median latency.
    pub latency_p50_ns: u64,
    /// The p99 latency.
    pub latency_p99_ns: u64,
    /// The longest latency.
    pub latency_max_ns: u64,
    /// Requests in flight or waiting for a connection, on average.
    pub outstanding_mean: f64,
    /// Throughput times mean latency, relative to `outstanding_mean`: 1 by Little's law. `None` in the open
    /// loop, where too few requests are in flight for a check.
    pub little_ratio: Option<f64>,
    /// How much the rate of a closed loop varies over the intervals of the run: half of the width of its
    /// confidence interval, relative to the median.
    pub rate_spread_share: Option<f64>,
    /// Active clients.
    pub clients: u64,
    /// Active clients without a reply in the span, although there were several replies per client.
    pub clients_unserved: u64,
    /// Connections of active clients, on average; none where each request has its own.
    pub connections_mean: Option<f64>,
    /// Connections that the server ended while it owed no reply.
    pub connections_ended_by_server: u64,
    /// Connections of the whole run.
    pub connections_attempted: u64,
    /// Local ports that the system has for connections to one server, with all source addresses.
    pub local_ports: Option<u64>,
    /// TCP segments that this machine sent again, of all its programs.
    pub retransmitted_segments: Option<u64>,
    /// Errors by class.
    pub errors: ErrorCounts,
}

/// The verdict on one run, with its reasons and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunVerdict {
    /// Whether the numbers of the run can be trusted.
    pub verdict: Verdict,
    /// Why, strongest reason first; for VALID, what supports it.
    pub reasons: Vec<String>,
    /// The numbers that it rests on.
    pub evidence: RunEvidence,
}

impl RunVerdict {
    /// Judges a run.
    pub(crate) fn of(evidence: RunEvidence) -> RunVerdict {
        let mut findings = errors(&evidence);
        findings.extend(limit(&evidence));
        findings.extend(service(&evidence));
        findings.extend(noise(&evidence).into_iter().map(|why| (Verdict::Noisy, why)));
        let judgement = conclude(findings, || support(&evidence));
        RunVerdict { verdict: judgement.verdict, reasons: judgement.evidence, evidence }
    }

    /// The same with a finding from outside the run.
    #[must_use]
    pub(crate) fn with(mut self, verdict: Verdict, reason: String) -> RunVerdict {
        if verdict > self.verdict {
            if self.verdict == Verdict::Valid {
                self.reasons.clear(); // they support what is no longer true
            }
            self.verdict = verdict;
            self.reasons.insert(0, reason);
        } else {
            self.reasons.push(reason);
        }
        self
    }

    /// Notes for the reader in addition to the reasons.
    pub(crate) fn notes(&self, latency_count: u64) -> Vec<String> {
        let run = &self.evidence;
        let mut notes = Vec::new();
        if (BUSY_NOTED_FROM..BUSY_FROM).contains(&run.generator_cpu_share) {
            let used = percent(run.generator_cpu_share);
            notes
                .push(format!("the generator used {used} of a core; the server may be faster than measured"));
        }
        if let Some(waited) = run.generator_waited_share
            && (STARVED_NOTED_FROM..=STARVED_MAX).contains(&waited)
        {
            let waited = percent(waited);
            notes.push(format!(
                "the generator waited for a core {waited} of the time; the server may be faster than measured"
            ));
        }
        if run.generator_stalls > 0 && run.generator_stalled_share <= STALLED_MAX {
            let longest = time(run.generator_stalled_max_ns as f64);
            notes.push(format!("the generator stood still for up to {longest}; the maximum may be its own"));
        }
        notes.extend(missed(run));
        notes.extend(unanswered(run));
        if let Some(segments) = retransmitted(run)
            && run.latency_max_ns < RETRANSMISSION_NS
        {
            notes.push(format!(
                "this machine sent {segments} again, of all its programs; no request took the 200 ms that a loss costs"
            ));
        }
        if (1..TAIL_REQUESTS_MIN).contains(&latency_count) {
            notes.push(format!(
                "p99.99 of only {} is close to the maximum",
                counted(latency_count, "request", "requests")
            ));
        }
        notes.retain(|note| !self.reasons.contains(note));
        notes
    }

    /// Whether the generator itself was disturbed, so that a failed check may not be the server's fault.
    /// A latency that is many times longer than the disturbance has another cause.
    pub(crate) fn doubts_generator(&self) -> bool {
        let run = &self.evidence;
        let disturbed_ns = run.generator_stalled_max_ns.max(run.schedule_lag_p99_ns.unwrap_or(0));
        let is_explained = run.latency_p99_ns <= disturbed_ns.saturating_mul(DISTURBANCE_TIMES);
        (is_explained && !disturbances(run).is_empty()) || !clock(run).is_empty()
    }

    /// Whether the server answered nearly all that fell due in the open loop.
    pub(crate) fn has_kept_up(&self) -> bool {
        !is_short(&self.evidence)
    }
}

/// Requests that are in no percentile.
fn missed(run: &RunEvidence) -> Option<String> {
    let missed = run.missed_sends;
    let requests = plural(missed, "scheduled request was", "scheduled requests were");
    let them = plural(missed, "it", "them");
    (missed > 0).then(|| {
        format!(
            "{missed} {requests} never sent because no connection was free; the latencies do not include {them}"
        )
    })
}

/// Requests whose latency is a lower bound.
fn unanswered(run: &RunEvidence) -> Option<String> {
    let requests = counted(run.unanswered, "request", "requests");
    (run.unanswered > 0).then(|| {
        format!("{requests} had no answer when the run ended; the latencies include the time waited so far")
    })
}

/// Whether the rate of the open loop changes, so that the server cannot be expected to keep up to the end.
fn is_ramp(run: &RunEvidence) -> bool {
    run.schedule_lag_p99_ns.is_some() && run.requests_due.is_none()
}

/// CPU time that the generator had and wanted, as a share of a core.
fn wanted(run: &RunEvidence) -> f64 {
    run.generator_cpu_share + run.generator_waited_share.unwrap_or(0.0)
}

/// Errors of the server, and what the generator lacked.
fn errors(run: &RunEvidence) -> Vec<ReasonedVerdict> {
    let mut findings = Vec::new();
    let (own, of_server) = (run.errors.of_generator(), run.errors.of_server());
    if own > 0 {
        let ports = run.local_ports.map_or(String::new(), |ports| format!(" of {}", grouped(ports as f64)));
        let connections = |count| counted(count, "connection", "connections");
        let what = if run.errors.out_of_ports > 0 {
            format!("no local port{ports} was left for {}", connections(run.errors.out_of_ports))
        } else {
            format!("no file descriptor was left for {}", connections(run.errors.out_of_descriptors))
        };
        findings.push((Verdict::PortStarved, what));
    }
    if run.requests == 0 && run.requests_due == Some(0) {
        findings.push((Verdict::Noisy, "no request fell due".to_owned()));
    } else if run.requests == 0 {
        let why = match of_server {
            0 => "no request was answered".to_owned(),
            _ => format!("no request was answered: {}", run.errors.summary()),
        };
        findings.push((Verdict::Failed, why));
    } else if run.errors.wrong_bytes > 0 {
        findings.push((Verdict::Failed, format!("wrong replies: {}", run.errors.wrong_bytes)));
    } else if of_server > 0 {
        let share = of_server as f64 / (run.requests + of_server) as f64;
        let verdict = if share > ERRORS_MAX { Verdict::Failed } else { Verdict::Noisy };
        let of_server = ErrorCounts { out_of_ports: 0, out_of_descriptors: 0, ..run.errors };
        let answers = counted_grouped(run.requests, "answer", "answers");
        findings.push((verdict, format!("errors: {}, with {answers}", of_server.summary())));
    }
    findings
}

/// Whether the generator was the limit.
fn limit(run: &RunEvidence) -> Option<ReasonedVerdict> {
    is_at_its_limit(run).then(|| {
        let waited = run.generator_waited_share.filter(|waited| *waited > STARVED_MAX / 2.0);
        let waited = waited
            .map_or(String::new(), |waited| format!(" and waited for one {} of the time", percent(waited)));
        let used = percent(run.generator_cpu_share);
        let what = if run.schedule_lag_p99_ns.is_none() {
            "the rate is a lower bound"
        } else {
            "its sends were late"
        };
        (Verdict::GeneratorBound, format!("the generator used {used} of a core{waited}: {what}"))
    })
}

/// A closed loop sends as fast as it can. An open loop that keeps its schedule is not limited, however busy.
fn is_at_its_limit(run: &RunEvidence) -> bool {
    let is_closed = run.schedule_lag_p99_ns.is_none();
    wanted(run) >= BUSY_FROM && (is_closed || is_short(run) || lag(run).is_some())
}

/// Whether less was answered than fell due.
fn is_short(run: &RunEvidence) -> bool {
    run.requests_due.is_some_and(|due| {
        let missed = run.missed_sends as f64 > SHORTFALL_MAX * due as f64;
        missed || ((run.requests + ACROSS_ENDS) as f64) < (1.0 - SHORTFALL_MAX) * due as f64
    })
}

/// How late the generator was, where that shows in the p99.
fn lag(run: &RunEvidence) -> Option<u64> {
    let lag_ns = run.schedule_lag_p99_ns?;
    (lag_ns > disturbing_ns(run.latency_p99_ns)).then_some(lag_ns)
}

/// A delay of the generator from which a p99 latency is not to be trusted, where it shows in it.
pub(crate) fn disturbing_ns(latency_p99_ns: u64) -> u64 {
    LAG_P99_MIN_NS.max(latency_p99_ns / LAG_PARTS_OF_P99)
}

/// Whether the server did what it was to do.
fn service(run: &RunEvidence) -> Vec<ReasonedVerdict> {
    let mut findings = Vec::new();
    if run.clients_unserved > 0 {
        findings.push((
            Verdict::Failed,
            format!(
                "{} of {} had no reply, while the others had",
                run.clients_unserved,
                counted(run.clients, "client", "clients")
            ),
        ));
    }
    if is_short(run) && !is_at_its_limit(run) {
        // While the generator is kept from its work, either side may be the cause.
        let verdict = if disturbances(run).is_empty() { Verdict::Failed } else { Verdict::Noisy };
        let due = scheduled(run.requests_due.unwrap_or(0));
        let (answered, were) = (grouped(run.requests as f64), plural(run.requests, "was", "were"));
        findings.push((
            verdict,
            format!("the offered rate was not reached: {answered} of {due} {were} answered in time"),
        ));
    }
    findings
}

fn scheduled(requests: u64) -> String {
    counted_grouped(requests, "scheduled request", "scheduled requests")
}

/// What kept the generator from its work.
fn disturbances(run: &RunEvidence) -> Vec<String> {
    let mut reasons = Vec::new();
    if run.generator_stalled_share > STALLED_MAX {
        let (share, longest) =
            (run.generator_stalled_share * 100.0, time(run.generator_stalled_max_ns as f64));
        reasons.push(format!(
            "the generator stood still for {share:.1} % of the time, up to {longest}: it was stopped, or had no core"
        ));
    }
    if let Some(waited) = run.generator_waited_share
        && waited > STARVED_MAX
    {
        let waited = percent(waited);
        reasons.push(format!("the generator waited for a core {waited} of the time: other programs used it"));
    }
    if let Some(delayed) = run.generator_delayed_share
        && delayed > DELAYED_MAX
    {
        let delayed = delayed * 100.0;
        reasons.push(format!(
            "the generator waited for a core, again and again: {delayed:.1} % of the requests may be late by that"
        ));
    }
    if let Some(lag_ns) = lag(run) {
        let (lag, p99) = (time(lag_ns as f64), time(run.latency_p99_ns as f64));
        reasons.push(format!("the generator sent late: p99 {lag}, of a p99 latency of {p99}"));
    }
    reasons
}

/// Whether the clock can be trusted.
fn clock(run: &RunEvidence) -> Vec<String> {
    let mut reasons = Vec::new();
    let seconds = run.measured_ns as f64 / 1e9;
    if let Some(ratio) = run.clock_ratio
        && (ratio - 1.0).abs() > CLOCK_SHARE_MAX + CLOCK_INEXACT_S / seconds.max(CLOCK_INEXACT_S)
    {
        let ratio = three_digits(ratio);
        reasons
            .push(format!("the clock of the generator ran at {ratio} times the speed of the kernel's clock"));
    } else if run.generator_cpu_share > 1.0 + CLOCK_SHARE_MAX + CLOCK_INEXACT_S / seconds.max(CLOCK_INEXACT_S)
    {
        let used = percent(run.generator_cpu_share);
        reasons.push(format!("one thread used {used} of a core, so the clock of the generator is slow"));
    }
    let coarse = run.clock_step_ns > CLOCK_STEP_MIN_NS
        && run.clock_step_ns as f64 > CLOCK_STEP_MAX * run.latency_p50_ns as f64;
    if coarse {
        let step = time(run.clock_step_ns as f64);
        reasons.push(format!("the clock advances in steps of {step}, too coarse for these latencies"));
    }
    reasons
}

/// Whether the run was quiet, and whether its numbers agree with each other.
fn noise(run: &RunEvidence) -> Vec<String> {
    let mut reasons = disturbances(run);
    reasons.extend(clock(run));
    if let Some(ratio) = run.little_ratio {
        // Requests in flight at the ends of the span are counted in only one of the two numbers.
        let allowed = LITTLE_MAX + run.outstanding_mean / run.requests.max(1) as f64;
        if (ratio - 1.0).abs() > allowed {
            let ratio = three_digits(ratio);
            reasons
                .push(format!("throughput × latency is {ratio} times the requests in flight (Little's law)"));
        }
    }
    if let Some(spread) = run.rate_spread_share
        && spread > SPREAD_MAX
    {
        reasons.push(format!("the rate varies by ±{} over the run", percent(spread)));
    }
    if run.requests > 0 {
        reasons.extend(connections(run));
    }
    if run.interrupted {
        let after = three_digits(run.measured_ns as f64 / 1e9);
        reasons.push(format!("the run was ended early, after {after} s"));
    } else if !is_ramp(run) {
        reasons.extend(missed(run));
        reasons.extend(unanswered(run));
    }
    if (1..REQUESTS_MIN).contains(&run.requests) {
        let answered = counted(run.requests, "request was", "requests were");
        reasons.push(format!("only {answered} answered: p99 is about the maximum"));
    }
    reasons
}

/// Whether the connections were there, and their segments arrived.
fn connections(run: &RunEvidence) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(mean) = run.connections_mean
        && run.connections_ended_by_server == 0
        && mean < (1.0 - UNCONNECTED_MAX) * run.clients as f64
    {
        let clients = counted(run.clients, "client was", "clients were");
        reasons.push(format!("on average {mean:.1} of {clients} connected"));
    }
    if let Some(segments) = retransmitted(run)
        && run.latency_max_ns >= RETRANSMISSION_NS
    {
        let longest = time(run.latency_max_ns as f64);
        reasons.push(format!(
            "this machine sent {segments} again, and the longest request took {longest}: a lost segment delays its \
             request by 200 ms or more"
        ));
    }
    reasons
}

/// Segments that this machine sent again, if they are more than a few.
fn retransmitted(run: &RunEvidence) -> Option<String> {
    let count = run.retransmitted_segments?;
    (count > RETRANSMITTED_MIN && count as f64 > ERRORS_MAX * run.requests as f64)
        .then(|| counted_grouped(count, "segment", "segments"))
}

/// What supports a VALID verdict.
fn support(run: &RunEvidence) -> Vec<String> {
    let mut evidence = Vec::new();
    if let Some(due) = run.requests_due {
        let (answered, scheduled) = (grouped(run.requests as f64), scheduled(due));
        // Some that were scheduled before the span may be answered within it.
        evidence.push(if run.requests > due {
            format!("{answered} requests answered while {} were scheduled", grouped(due as f64))
        } else {
            format!("{answered} of {scheduled} answered")
        });
    }
    if let Some(ratio) = run.little_ratio {
        evidence.push(format!("Little's law {}", three_digits(ratio)));
    }
    if let Some(lag_ns) = run.schedule_lag_p99_ns {
        evidence.push(format!("schedule lag p99 {}", time(lag_ns as f64)));
    }
    let waited = run
        .generator_waited_share
        .map_or(String::new(), |waited| format!(", without a core {}", percent(waited)));
    evidence.push(format!("generator CPU {}{waited}", percent(run.generator_cpu_share)));
    if let Some(mean) = run.connections_mean {
        let clients = counted(run.clients, "client", "clients");
        evidence.push(format!("{mean:.0} of {clients} connected"));
    }
    if let Some(count) = run.retransmitted_segments {
        evidence.push(format!("{} sent again", counted_grouped(count, "segment", "segments")));
    }
    evidence
}

/// How much a rate varies over intervals with these counts per second and these counts: half of the width of
/// its confidence interval, relative to the median, without what chance alone gives counts so small.
pub(crate) fn rate_spread(intervals: &[(f64, u64)]) -> Option<f64> {
    if intervals.len() < INTERVALS_MIN {
        return None;
    }
    let rates: Vec<f64> = intervals.iter().map(|(rate, _)| *rate).collect();
    let fewest = intervals.iter().map(|(_, count)| *count).min()?;
    let spread = MedianInterval::of(&rates)?.spread();
    Some((spread - 2.0 / (fewest.max(1) as f64).sqrt()).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A closed loop without a fault.
    fn quiet() -> RunEvidence {
        RunEvidence {
            measured_ns: 10_000_000_000,
            generator_cpu_share: 0.5,
            generator_waited_share: Some(0.02),
            clock_ratio: Some(1.001),
            clock_step_ns: 40,
            requests: 20_000,
            requests_per_second: 2_000.0,
            latency_mean_ns: 8e6,
            latency_p50_ns: 8_000_000,
            latency_p99_ns: 9_000_000,
            outstanding_mean: 16.0,
            little_ratio: Some(1.0),
            rate_spread_share: Some(0.03),
            clients: 16,
            connections_mean: Some(16.0),
            connections_attempted: 16,
            local_ports: Some(28_232),
            retransmitted_segments: Some(0),
            ..RunEvidence::default()
        }
    }

    /// The same at half of the rate, in the open loop.
    fn scheduled() -> RunEvidence {
        RunEvidence {
            requests: 10_000,
            requests_due: Some(10_000),
            schedule_lag_p99_ns: Some(60_000),
            latency_p50_ns: 500_000,
            latency_p99_ns: 800_000,
            outstanding_mean: 0.6,
            little_ratio: None,
            rate_spread_share: None,
            ..quiet()
        }
    }

    fn judged(mut run: RunEvidence, change: impl Fn(&mut RunEvidence)) -> (Verdict, String) {
        change(&mut run);
        let judged = RunVerdict::of(run);
        (judged.verdict, judged.reasons.join("; "))
    }

    #[track_caller]
    fn assert_is(run: RunEvidence, verdict: Verdict, part: &str, change: impl Fn(&mut RunEvidence)) {
        let (seen, reasons) = judged(run, change);
        assert!(seen == verdict && reasons.contains(part), "{seen}: {reasons}");
    }

    #[test]
    fn a_quiet_run_is_valid_and_shows_what_supports_it() {
        assert_is(
            quiet(),
            Verdict::Valid,
            "Little's law 1.00; generator CPU 50 %, without a core 2 %",
            |_| (),
        );
        assert_is(scheduled(), Verdict::Valid, "10,000 of 10,000 scheduled requests answered", |_| ());
        let more = "10,001 requests answered while 10,000 were scheduled";
        assert_is(scheduled(), Verdict::Valid, more, |run| run.requests = 10_001);
        assert_is(scheduled(), Verdict::Valid, "schedule lag p99 60.0 µs", |run| {
            run.generator_cpu_share = 0.95;
        });
    }

    #[test]
    fn a_generator_at_its_limit_gives_a_lower_bound() {
        assert_is(quiet(), Verdict::GeneratorBound, "used 93 % of a core", |run| {
            run.generator_cpu_share = 0.93;
        });
        assert_is(quiet(), Verdict::GeneratorBound, "used 70 % of a core and waited for one 25 %", |run| {
            (run.generator_cpu_share, run.generator_waited_share) = (0.7, Some(0.25));
        });
        assert_is(scheduled(), Verdict::GeneratorBound, "its sends were late", |run| {
            (run.generator_cpu_share, run.requests) = (0.95, 8_000);
        });
    }

    #[test]
    fn a_disturbed_generator_makes_noise() {
        assert_is(quiet(), Verdict::Noisy, "stood still for 2.0 % of the time, up to 150 ms", |run| {
            (run.generator_stalls, run.generator_stalled_share) = (2, 0.02);
            run.generator_stalled_max_ns = 150_000_000;
        });
        assert_is(quiet(), Verdict::Noisy, "waited for a core 12 %", |run| {
            run.generator_waited_share = Some(0.12);
        });
        assert_is(scheduled(), Verdict::Noisy, "sent late: p99 700 µs, of a p99 latency of 800 µs", |run| {
            run.schedule_lag_p99_ns = Some(700_000);
        });
        assert_is(scheduled(), Verdict::Noisy, "2.0 % of the requests may be late by that", |run| {
            run.generator_delayed_share = Some(0.02);
        });
        // Beside a slow server the same lag does not show.
        assert_is(scheduled(), Verdict::Valid, "", |run| {
            (run.schedule_lag_p99_ns, run.latency_p99_ns) = (Some(700_000), 90_000_000);
        });
    }

    #[test]
    fn a_disturbance_of_the_generator_does_not_explain_a_latency_that_is_much_longer() {
        let mut run = scheduled();
        (run.generator_stalled_share, run.generator_stalled_max_ns) = (0.02, 15_000_000);
        run.latency_p99_ns = 20_000_000;
        assert!(RunVerdict::of(run.clone()).doubts_generator());
        run.latency_p99_ns = 200_000_000;
        assert!(!RunVerdict::of(run.clone()).doubts_generator());
        run.clock_ratio = Some(0.5);
        assert!(RunVerdict::of(run).doubts_generator(), "with such a clock nothing is known");
    }

    #[test]
    fn a_clock_that_is_wrong_or_coarse_is_noticed() {
        let slow = |run: &mut RunEvidence| run.clock_ratio = Some(0.5);
        assert_is(quiet(), Verdict::Noisy, "ran at 0.50 times the speed", slow);
        assert_is(scheduled(), Verdict::Noisy, "the clock of the generator is slow", |run| {
            (run.clock_ratio, run.generator_cpu_share) = (None, 1.2);
            run.generator_waited_share = None;
        });
        assert_is(quiet(), Verdict::Noisy, "in steps of 4.00 ms", |run| run.clock_step_ns = 4_000_000);
        // In a short run the kernel's clock, which counts hundredths, may be this far off.
        assert_is(quiet(), Verdict::Valid, "", |run| {
            (run.measured_ns, run.clock_ratio) = (500_000_000, Some(1.04));
        });
    }

    #[test]
    fn numbers_that_contradict_each_other_make_noise() {
        assert_is(quiet(), Verdict::Noisy, "0.80 times the requests in flight", |run| {
            run.little_ratio = Some(0.8);
        });
        // Of few requests many are across an end.
        assert_is(quiet(), Verdict::Valid, "", |run| (run.little_ratio, run.requests) = (Some(0.85), 160));
        assert_is(quiet(), Verdict::Noisy, "varies by ±20 %", |run| run.rate_spread_share = Some(0.2));
        assert_is(quiet(), Verdict::Noisy, "only 60 requests", |run| run.requests = 60);
        assert_is(quiet(), Verdict::Noisy, "ended early, after 10.0 s", |run| run.interrupted = true);
        assert_is(quiet(), Verdict::Noisy, "1 request had no answer", |run| run.unanswered = 1);
    }

    #[test]
    fn missing_connections_and_lost_segments_make_noise() {
        let absent = |run: &mut RunEvidence| run.connections_mean = Some(12.5);
        assert_is(quiet(), Verdict::Noisy, "on average 12.5 of 16 clients were connected", absent);
        assert_is(quiet(), Verdict::Valid, "", |run| {
            absent(run);
            run.connections_ended_by_server = 90; // it may, and is counted
        });
        assert_is(quiet(), Verdict::Noisy, "this machine sent 50 segments again", |run| {
            (run.retransmitted_segments, run.latency_max_ns) = (Some(50), 230_000_000);
        });
        assert_is(quiet(), Verdict::Valid, "", |run| {
            (run.retransmitted_segments, run.latency_max_ns) = (Some(15), 230_000_000);
        });
    }

    /// The kernel counts those of all programs.
    #[test]
    fn lost_segments_that_delayed_no_request_are_a_note() {
        let mut run = RunEvidence { retransmitted_segments: Some(50), latency_max_ns: 9_500_000, ..quiet() };
        let judged = RunVerdict::of(run.clone());
        assert_eq!(judged.verdict, Verdict::Valid, "{:?}", judged.reasons);
        let notes = judged.notes(20_000);
        assert!(notes.iter().any(|note| note.contains("sent 50 segments again")), "{notes:?}");
        run.latency_max_ns = 230_000_000;
        assert_eq!(RunVerdict::of(run.clone()).notes(20_000), [] as [String; 0], "it is a reason");
        run.retransmitted_segments = Some(15);
        assert_eq!(RunVerdict::of(run).notes(20_000), [] as [String; 0]);
    }

    #[test]
    fn one_of_a_kind_is_singular() {
        assert_is(quiet(), Verdict::Failed, "errors: 1 reply timeout, with 1 answer", |run| {
            (run.requests, run.errors.reply_timeout) = (1, 1);
        });
        assert_is(quiet(), Verdict::PortStarved, "was left for 1 connection", |run| {
            run.errors.out_of_ports = 1;
        });
        assert_is(quiet(), Verdict::PortStarved, "was left for 1 connection", |run| {
            run.errors.out_of_descriptors = 1;
        });
        let one_client = |run: &mut RunEvidence| (run.clients, run.connections_mean) = (1, Some(1.0));
        assert_is(quiet(), Verdict::Valid, "; 1 of 1 client connected; 1 segment sent again", |run| {
            one_client(run);
            run.retransmitted_segments = Some(1);
        });
        assert_is(quiet(), Verdict::Noisy, "on average 0.5 of 1 client was connected", |run| {
            one_client(run);
            run.connections_mean = Some(0.5);
        });
        assert_is(scheduled(), Verdict::Noisy, "only 1 request was answered", |run| {
            (run.requests, run.requests_due) = (1, Some(1));
        });
    }

    #[test]
    fn a_server_that_does_not_do_its_work_fails() {
        assert_is(quiet(), Verdict::Failed, "no request was answered: 3 refused", |run| {
            (run.requests, run.errors.refused) = (0, 3);
        });
        assert_is(quiet(), Verdict::Failed, "wrong replies: 1", |run| run.errors.wrong_bytes = 1);
        assert_is(quiet(), Verdict::Failed, "errors: 30 reset", |run| run.errors.reset = 30);
        assert_is(quiet(), Verdict::Noisy, "errors: 3 reset, with 20,000 answers", |run| {
            run.errors.reset = 3;
        });
        assert_is(quiet(), Verdict::Failed, "2 of 16 clients had no reply", |run| run.clients_unserved = 2);
        assert_is(scheduled(), Verdict::Failed, "9,000 of 10,000 scheduled", |run| run.requests = 9_000);
        assert_is(scheduled(), Verdict::Noisy, "9,000 of 10,000 scheduled", |run| {
            (run.requests, run.generator_waited_share) = (9_000, Some(0.2));
        });
        assert_is(scheduled(), Verdict::Noisy, "1 scheduled request was never sent", |run| {
            run.missed_sends = 1;
        });
        // The ends of the span may add or remove one request.
        assert_is(scheduled(), Verdict::Valid, "", |run| run.requests = 9_710);
    }

    #[test]
    fn a_rate_that_grows_may_grow_beyond_the_server() {
        assert_is(scheduled(), Verdict::Valid, "", |run| {
            (run.requests_due, run.missed_sends, run.unanswered) = (None, 500, 64);
        });
    }

    #[test]
    fn a_generator_without_ports_is_starved() {
        assert_is(
            quiet(),
            Verdict::PortStarved,
            "no local port of 28,232 was left for 7 connections",
            |run| {
                (run.errors.out_of_ports, run.errors.reset) = (7, 1);
            },
        );
        let descriptors = |run: &mut RunEvidence| run.errors.out_of_descriptors = 2;
        assert_is(quiet(), Verdict::PortStarved, "no file descriptor", descriptors);
    }

    #[test]
    fn notes_repeat_no_reason() {
        let mut run = quiet();
        (run.generator_cpu_share, run.unanswered) = (0.87, 3);
        let notes = RunVerdict::of(run.clone()).notes(800);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("used 87 % of a core") && notes[1].contains("p99.99 of only 800 requests"));
        run.interrupted = true;
        let notes = RunVerdict::of(run).notes(20_000);
        assert!(notes[1].starts_with("3 requests had no answer"), "{notes:?}");
    }

    #[test]
    fn a_finding_from_outside_replaces_what_supported_the_verdict() {
        let valid = RunVerdict::of(quiet());
        let bound = valid.clone().with(Verdict::GeneratorBound, "bound".to_owned());
        assert_eq!(
            (bound.verdict, bound.reasons.clone()),
            (Verdict::GeneratorBound, vec!["bound".to_owned()])
        );
        let noisy = bound.with(Verdict::Noisy, "noisy".to_owned());
        assert_eq!((noisy.verdict, noisy.reasons.len()), (Verdict::GeneratorBound, 2));
    }

    #[test]
    fn the_spread_of_a_rate_is_that_beyond_chance() {
        let steady: Vec<(f64, u64)> = (0..10).map(|at| (1_000.0 + f64::from(at % 2), 10_000)).collect();
        assert!(rate_spread(&steady).unwrap() < 0.01);
        let moving: Vec<(f64, u64)> = (0..10).map(|at| (1_000.0 + 100.0 * f64::from(at), 10_000)).collect();
        assert!(rate_spread(&moving).unwrap() > 0.15);
        let few: Vec<(f64, u64)> = moving.iter().map(|&(rate, _)| (rate, 16)).collect();
        assert!(rate_spread(&few).unwrap() < 0.01, "16 requests vary by a quarter");
        assert_eq!(rate_spread(&steady[..4]), None);
    }
}
