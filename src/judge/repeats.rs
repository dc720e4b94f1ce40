//! The verdict on all repeats of one measurement.

use super::errors::ErrorCounts;
use super::evidence::Evidence;
use super::figures::{counted, counted_grouped, grouped, percent, plural, three_digits};
use super::statistics::{MedianInterval, median};
use super::thresholds::{
    BUSY_FROM, ERRORS_MAX, LITTLE_MAX, OTHERS_MAX, SHORTFALL_MAX, SPREAD_MAX, STARVED_MAX,
};
use super::verdict::{Judgement, ReasonedVerdict, Verdict, conclude};

/// From this average number of threads that wait for a core, the scheduler explains a run without answers.
const WAITED_FROM: f64 = 0.50;
/// With fewer measured repeats, failed repeats fail the whole measurement.
const MEASURED_MIN: usize = 3;

/// How one repeat ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repeat<'a> {
    /// It was measured.
    Measured(&'a Evidence),
    /// The server cannot do this by design.
    Unsupported(&'a str),
    /// Which repeat failed, from 1, and why.
    Failed(u32, &'a str),
}

/// The criteria that the verdict depends on, besides the evidence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Criteria {
    /// With fewer repeats nothing is trusted.
    pub(crate) repeats_min: u32,
    /// Which cores server and generator run on.
    pub(crate) cores: Cores,
    /// The metric that the verdict is about.
    pub(crate) headline: Headline,
    /// The effect of CPU time of other processes on the measurement.
    pub(crate) other_load: OtherLoad,
    /// What a full listen queue means.
    pub(crate) full_queue: FullQueue,
}

/// Which cores server and generator run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Each has its own cores.
    Separate,
    /// They share a core, so each waits for the other.
    Shared,
}

/// The metric that the verdict is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headline {
    /// Its name in reasons.
    pub(crate) label: &'static str,
    /// Its repeats, if it was measured.
    pub(crate) summary: Option<MedianInterval>,
    /// Differences below this do not matter, in the unit of the metric.
    pub(crate) negligible: f64,
    /// Whether a busy generator makes it a lower bound.
    pub(crate) is_capacity: bool,
}

impl Headline {
    fn figure(&self) -> Figure {
        if self.is_capacity { Figure::Capacity } else { Figure::Cost }
    }
}

/// The effect of CPU time of other processes on a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OtherLoad {
    /// It changes what is measured, as with times and rates.
    Disturbs,
    /// It does not change what is measured, as with memory and counts.
    Harmless,
}

/// The kind of figure, which decides how other processes can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// The throughput of a server at its limit. While the server uses its cores all the time, a waiting
    /// generator does not change it.
    Capacity,
    /// The CPU time of the server per request or client. A waiting generator sends in bursts, which cost
    /// less.
    Cost,
    /// The time of a reply. Any process on a core of server or generator makes some replies late.
    Latency,
}

/// What a full listen queue means for a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FullQueue {
    /// A full queue is what is measured: refused or dropped clients are not errors.
    IsMeasured,
    /// It disturbs: each dropped client connects a second late.
    Disturbs,
    /// It does not matter.
    Harmless,
}

/// Judges all repeats of one measurement.
pub(crate) fn judge(repeats: &[Repeat<'_>], criteria: &Criteria) -> Judgement {
    let mut findings: Vec<ReasonedVerdict> = Vec::new();
    let mut measured: Vec<&Evidence> = Vec::new();
    let mut failed = 0;
    let mut failures: Vec<(&str, Vec<String>)> = Vec::new();
    for repeat in repeats {
        match *repeat {
            Repeat::Measured(evidence) => measured.push(evidence),
            Repeat::Unsupported(why) => findings.push((Verdict::Unsupported, why.to_owned())),
            Repeat::Failed(number, why) => {
                failed += 1;
                match failures.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, numbers)) => numbers.push(number.to_string()),
                    None => failures.push((why, vec![number.to_string()])),
                }
            }
        }
    }
    for (why, numbers) in failures {
        let repeats = plural(numbers.len() as u64, "repeat", "repeats");
        findings.push((Verdict::Failed, format!("{repeats} {}: {why}", numbers.join(", "))));
    }
    if failed > 0 && measured.len() >= MEASURED_MIN && failed * 2 < repeats.len() {
        // Enough repeats remain to report the cell, not enough to rank it.
        for finding in &mut findings {
            finding.0 = Verdict::Noisy;
        }
    }
    if !measured.is_empty() {
        findings.extend(measured.iter().filter_map(|evidence| unanswered(evidence)));
        findings.extend(errors(&measured, criteria));
        findings.extend(generator(&measured, criteria));
        findings.extend(noise(&measured, criteria));
    }
    conclude(findings, || support(&measured, criteria))
}

/// A run without a single answer is the server's failure, unless other processes took the cores: then a
/// server may wait for its core longer than a short run lasts.
fn unanswered(evidence: &Evidence) -> Option<ReasonedVerdict> {
    if evidence.achieved_per_s.is_none() || evidence.requests > 0 {
        return None;
    }
    let waits = [("server", evidence.server_waited), ("generator", evidence.generator_waited)];
    let others = evidence.others_cpu.filter(|others| *others > OTHERS_MAX);
    let waiting = waits.iter().find(|(_, waited)| waited.is_some_and(|waited| waited >= WAITED_FROM));
    if let (Some(others), Some((side, Some(waited)))) = (others, waiting) {
        let (others, waited) = (percent(others), percent(*waited));
        let why = format!(
            "a run without an answer: the {side} waited for a core {waited} of the time, while other processes used \
             {others} of one"
        );
        return Some((Verdict::Noisy, why));
    }
    let details = [
        evidence.server_cpu.map(|busy| format!("server CPU {}", percent(busy))),
        evidence.server_waited.map(|waited| format!("waited for a core {} of the time", percent(waited))),
        Some(evidence.errors.summary()).filter(|errors| !errors.is_empty()),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    Some((Verdict::Failed, format!("no request was answered: {}", details.join(", "))))
}

/// Errors of the server, and ports and descriptors that the generator lacked.
fn errors(measured: &[&Evidence], criteria: &Criteria) -> Vec<ReasonedVerdict> {
    let mut findings = Vec::new();
    let mut all = ErrorCounts::default();
    let mut requests = 0;
    for evidence in measured {
        all = all.and(evidence.errors);
        requests += evidence.requests;
    }
    if all.of_generator() > 0 {
        let own = ErrorCounts {
            out_of_ports: all.out_of_ports,
            out_of_descriptors: all.out_of_descriptors,
            ..ErrorCounts::default()
        };
        findings.push((Verdict::PortStarved, format!("the generator could not connect: {}", own.summary())));
    }
    let of_server = ErrorCounts { out_of_ports: 0, out_of_descriptors: 0, ..all };
    if of_server.wrong_bytes > 0 {
        findings.push((Verdict::Failed, format!("wrong replies: {}", of_server.wrong_bytes)));
    } else if of_server.of_server() > 0 && criteria.full_queue != FullQueue::IsMeasured {
        let share = of_server.of_server() as f64 / (requests + of_server.of_server()) as f64;
        let verdict = if share > ERRORS_MAX { Verdict::Failed } else { Verdict::Noisy };
        let answers = counted_grouped(requests, "answer", "answers");
        findings.push((verdict, format!("errors: {}, with {answers}", of_server.summary())));
    }
    findings
}

/// Whether the generator was measured instead of the server.
fn generator(measured: &[&Evidence], criteria: &Criteria) -> Vec<ReasonedVerdict> {
    let mut findings = Vec::new();
    let generator_cpu = middle(measured, |evidence| evidence.generator_cpu);
    let server_cpu = middle(measured, |evidence| evidence.server_cpu);
    let missed: u64 = measured.iter().map(|evidence| evidence.missed).sum();
    let requests: u64 = measured.iter().map(|evidence| evidence.requests).sum();
    if missed as f64 > SHORTFALL_MAX * (missed + requests) as f64 {
        let scheduled = counted_grouped(missed + requests, "request", "requests");
        let why = format!("the generator did not send {} of {scheduled}", grouped(missed as f64));
        findings.push((Verdict::GeneratorBound, why));
    }
    // On a core that the server does not use, time in which the generator waits for the core counts like time
    // in which it runs.
    let wanted = middle(measured, |evidence| {
        let waited = evidence.generator_waited.filter(|_| criteria.cores == Cores::Separate);
        Some(evidence.generator_cpu? + waited.unwrap_or(0.0))
    });
    if let (Some(busy), Some(wanted), true) = (generator_cpu, wanted, criteria.headline.is_capacity)
        && wanted >= BUSY_FROM
        && server_cpu.is_none_or(|server| server < BUSY_FROM)
    {
        let server = server_cpu.map_or("not sampled".to_owned(), percent);
        let waiting = starved(measured, criteria.cores)
            .map_or(String::new(), |share| format!(", waiting for a core {}", percent(share)));
        let why = format!("generator CPU {}{waiting}; server CPU {server}", percent(busy));
        findings.push((Verdict::GeneratorBound, why));
    }
    let short = middle(measured, |evidence| Some(1.0 - evidence.achieved_per_s? / evidence.target_per_s?));
    if short.is_some_and(|short| short > SHORTFALL_MAX) {
        let verdict = if wanted.is_some_and(|wanted| wanted >= BUSY_FROM) {
            Verdict::GeneratorBound
        } else if !disturbances(measured, criteria.cores, Figure::Latency).is_empty() {
            // While other processes have the cores, either side may be the cause.
            Verdict::Noisy
        } else {
            Verdict::Failed
        };
        findings.push((verdict, format!("the offered rate was not reached: {}", rates(measured))));
    }
    findings
}

/// Whether repeats and machine were quiet, and whether the numbers agree with each other.
fn noise(measured: &[&Evidence], criteria: &Criteria) -> Vec<ReasonedVerdict> {
    let mut reasons = Vec::new();
    let (repeats_min, headline) = (criteria.repeats_min, &criteria.headline);
    if measured.len() < repeats_min as usize {
        let repeats = counted(measured.len() as u64, "repeat", "repeats");
        reasons.push(format!("only {repeats}; at least {repeats_min} are needed"));
    }
    if let Some(summary) = headline.summary
        && summary.spread() > SPREAD_MAX
        && (summary.high - summary.low) / 2.0 > headline.negligible
    {
        reasons.push(format!("{} varies by \u{b1}{}", headline.label, percent(summary.spread())));
    }
    let not_sampled: Vec<f64> = measured.iter().filter_map(|evidence| evidence.not_sampled_ms).collect();
    if let Some(ms) = median(&not_sampled) {
        reasons.push(format!(
            "{} of {} {} no CPU times: {} ms of the measured span have no samples",
            not_sampled.len(),
            counted(measured.len() as u64, "repeat", "repeats"),
            plural(not_sampled.len() as u64, "has", "have"),
            three_digits(ms)
        ));
    }
    let little = middle(measured, little);
    if let Some(ratio) = little
        && (ratio - 1.0).abs() > LITTLE_MAX
    {
        let ratio = three_digits(ratio);
        reasons.push(format!("throughput \u{d7} latency is {ratio} times the requests in flight"));
    }
    if criteria.other_load == OtherLoad::Disturbs {
        reasons.extend(disturbances(measured, criteria.cores, headline.figure()));
    }
    let overflows = overflows(measured);
    if overflows > 0 && criteria.full_queue == FullQueue::Disturbs {
        let times = counted_grouped(overflows, "time", "times");
        reasons.push(format!(
            "the listen queue overflowed {times}, and each dropped client connected a second late"
        ));
    }
    reasons.into_iter().map(|why| (Verdict::Noisy, why)).collect()
}

/// The processes that took CPU time from server or generator and may have changed this figure; empty if there
/// were none.
pub(crate) fn disturbances(measured: &[&Evidence], cores: Cores, figure: Figure) -> Vec<String> {
    let over = |used: Option<f64>| used.filter(|others| *others > OTHERS_MAX).map(percent);
    let beside_server = middle(measured, |evidence| evidence.others_beside_server);
    let beside_server = match beside_server {
        Some(_) => {
            over(beside_server).map(|used| format!("other processes used {used} of the server's core"))
        }
        // The cores of the other processes are unknown: any of them may be one of these.
        None => over(middle(measured, |evidence| evidence.others_cpu))
            .map(|used| format!("other processes used {used} of a core")),
    };
    let beside_generator = over(middle(measured, |evidence| evidence.others_beside_generator))
        .filter(|_| figure == Figure::Latency)
        .map(|used| format!("other processes used {used} of the generator's core"));
    let is_saturated = middle(measured, |evidence| evidence.server_cpu).is_some_and(|busy| busy >= BUSY_FROM);
    let starved = starved(measured, cores)
        .filter(|_| figure != Figure::Capacity || !is_saturated)
        .map(|share| format!("the generator waited for a core {} of the time", percent(share)));
    [beside_server, beside_generator, starved].into_iter().flatten().collect()
}

/// Share of the time that the generator waited for its core, if that is too much.
fn starved(measured: &[&Evidence], cores: Cores) -> Option<f64> {
    let waited = middle(measured, |evidence| evidence.generator_waited)?;
    (cores == Cores::Separate && waited > STARVED_MAX).then_some(waited)
}

/// Requests in flight by Little's law, relative to those that were in flight.
fn little(evidence: &Evidence) -> Option<f64> {
    let in_flight = evidence.in_flight.filter(|_| evidence.requests > 0)?;
    Some(evidence.achieved_per_s? * evidence.latency_mean_us? / 1e6 / in_flight)
}

fn middle(measured: &[&Evidence], of: impl Fn(&Evidence) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = measured.iter().filter_map(|evidence| of(evidence)).collect();
    median(&values)
}

fn overflows(measured: &[&Evidence]) -> u64 {
    measured.iter().filter_map(|evidence| evidence.listen_overflows).sum()
}

fn rates(measured: &[&Evidence]) -> String {
    let achieved = middle(measured, |evidence| evidence.achieved_per_s).unwrap_or(0.0);
    let target = middle(measured, |evidence| evidence.target_per_s).unwrap_or(0.0);
    format!("{} of {} per second", grouped(achieved), grouped(target))
}

/// The reasons that support a VALID verdict.
fn support(measured: &[&Evidence], criteria: &Criteria) -> Vec<String> {
    let mut evidence = Vec::new();
    if middle(measured, |evidence| evidence.target_per_s).is_some() {
        evidence.push(format!("answered {}", rates(measured)));
    }
    if let Some(busy) = middle(measured, |evidence| evidence.generator_cpu) {
        evidence.push(format!("generator CPU {}", percent(busy)));
    }
    if let Some(busy) = middle(measured, |evidence| evidence.server_cpu) {
        evidence.push(format!("server CPU {}", percent(busy)));
    }
    if let Some(ratio) = middle(measured, little) {
        evidence.push(format!("Little's law {}", three_digits(ratio)));
    }
    let overflows = overflows(measured);
    if overflows > 0 || criteria.full_queue == FullQueue::IsMeasured {
        evidence.push(format!("listen queue overflows: {}", grouped(overflows as f64)));
    }
    evidence.push(counted(measured.len() as u64, "repeat", "repeats"));
    evidence
}
