//! Whether to believe a cell: six judgements, each with its evidence.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Errors, Evidence, Measurement, Metric, Outcome, Run};
use super::experiments::{Experiment, PATIENCE_MS};
use super::metric::{grouped, three_digits};
use super::stats::{Summary, median};

/// Half of the interval's width, relative to the median, above which a cell is noisy: within it, two servers of which one
/// is better by more than a third are told apart.
pub const SPREAD_MAX: f64 = 0.15;
/// Share of its cores from which a generator is taken to be the bound, if the server has cores to spare. Below 1 because
/// the lab samples on the generator's core (up to 4 %), and interrupts are served there.
pub const BUSY_FROM: f64 = 0.90;
/// Share of the sends that an open loop may miss, or of the target that may remain unanswered: what is in flight at the
/// end of a short run is less.
pub const SHORTFALL_MAX: f64 = 0.03;
/// How far throughput times latency may be from the requests in flight: requests across an end of the measured span count in
/// one and not in the other, and with 10,000 clients they are some 5 % of all.
pub const LITTLE_MAX: f64 = 0.10;
/// Cores' worth of CPU that other processes may take: were all of it taken from one side, repeats would still differ by less
/// than [`SPREAD_MAX`].
pub const OTHERS_MAX: f64 = 0.10;
/// Share of the time that a generator may be without its core: a closed loop asks less by as much at most, and an open one is
/// late. Undisturbed it is half of that, one wait of µs at each wake-up.
pub const STARVED_MAX: f64 = 0.10;
/// Threads that wait for a core, on average, from which the scheduler is why nothing was answered.
pub const WAITED_FROM: f64 = 0.50;
/// Share of the requests that may end in an error, and only make the cell noisy: one client of a thousand.
pub const ERRORS_MAX: f64 = 0.001;

/// Runs with numbers below which runs that failed fail their cell.
const MEASURED_MIN: usize = 3;

/// What is said of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Verdict {
    /// Believed; the only one that takes part in an order.
    Valid,
    /// The repeats, or the machine around them, were not quiet enough.
    Noisy,
    /// The generator was the limit: a throughput is a lower bound.
    GeneratorBound,
    /// The generator ran out of local ports or descriptors.
    PortStarved,
    /// The subject cannot do this by its nature.
    Unsupported,
    /// It should have worked and did not.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Valid => "VALID",
            Verdict::Noisy => "NOISY",
            Verdict::GeneratorBound => "GENERATOR-BOUND",
            Verdict::PortStarved => "PORT-STARVED",
            Verdict::Unsupported => "UNSUPPORTED",
            Verdict::Failed => "FAILED",
        })
    }
}

/// A judgement and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What is said.
    pub verdict: Verdict,
    /// Why, strongest first; what speaks for it, where it is VALID.
    pub evidence: Vec<String>,
}

/// By what the cells of a comparison are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Fewer repeats are not believed.
    pub repeats_min: u32,
    /// Server and generator have cores of their own: where they share one, each waits for the other, as it has to.
    pub apart: bool,
}

/// Judges a cell by all of its runs.
///
/// `headline` is the summary of the experiment's first metric. `rules` are those of the whole comparison.
pub fn judge(cell: &Cell, runs: &[&Run], headline: Option<&Summary>, rules: Rules) -> Judgement {
    let mut findings = Vec::new();
    let mut measured = Vec::new();
    for run in runs {
        match &run.outcome {
            Outcome::Measured(measurement) => measured.push(&**measurement),
            Outcome::Unsupported(why) => findings.push((Verdict::Unsupported, why.clone())),
            Outcome::Failed(why) => {
                findings.push((Verdict::Failed, format!("repeat {}: {why}", run.repeat + 1)));
            }
        }
    }
    let failed = findings.iter().filter(|(verdict, _)| *verdict == Verdict::Failed).count();
    if failed > 0 && measured.len() >= MEASURED_MIN && failed * 2 < runs.len() {
        // Enough is left to report, not enough to rank.
        for finding in &mut findings {
            finding.0 = Verdict::Noisy;
        }
    }
    if !measured.is_empty() {
        findings.extend(measured.iter().filter_map(|measurement| unanswered(&measurement.evidence)));
        findings.extend(errors(cell.experiment, &measured));
        findings.extend(generator(cell.experiment, &measured, rules));
        findings.extend(quiet(cell.experiment, &measured, headline, rules));
    }
    conclude(cell.experiment, findings, &measured)
}

fn conclude(
    experiment: Experiment,
    findings: Vec<(Verdict, String)>,
    measured: &[&Measurement],
) -> Judgement {
    // The strongest finding decides; the order of the enum is the order of strength.
    let verdict = findings.iter().map(|(verdict, _)| *verdict).max();
    let Some(verdict) = verdict else {
        return Judgement { verdict: Verdict::Valid, evidence: reassurance(experiment, measured) };
    };
    let (mut evidence, others): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.0 == verdict);
    evidence.extend(others);
    let mut evidence: Vec<String> = evidence.into_iter().map(|(_, why)| why).collect();
    evidence.dedup();
    Judgement { verdict, evidence }
}

/// A run without a single answer: the server's fault, if it had its core.
///
/// Where other processes take the cores, a server may wait for its own as long as a short run lasts.
fn unanswered(evidence: &Evidence) -> Option<(Verdict, String)> {
    if evidence.achieved_per_s.is_none() || evidence.requests > 0 {
        return None;
    }
    let waits = [("server", evidence.server_waited), ("generator", evidence.generator_waited)];
    let others = evidence.others_cpu.filter(|others| *others > OTHERS_MAX);
    let waiting = waits.iter().find(|(_, waited)| waited.is_some_and(|waited| waited >= WAITED_FROM));
    if let (Some(others), Some((who, Some(waited)))) = (others, waiting) {
        let (others, waited) = (percent(others), percent(*waited));
        let why = format!(
            "a run without an answer: the {who} waited for a core {waited} of the time, and others took {others} of one"
        );
        return Some((Verdict::Noisy, why));
    }
    let told = [
        evidence.server_cpu.map(|busy| format!("server's CPU {}", percent(busy))),
        evidence.server_waited.map(|waited| format!("it waited for a core {} of the time", percent(waited))),
        Some(evidence.errors.told()).filter(|errors| !errors.is_empty()),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    Some((Verdict::Failed, format!("no request was answered: {}", told.join(", "))))
}

/// The server's errors, and the generator's shortage of ports and descriptors.
fn errors(experiment: Experiment, measured: &[&Measurement]) -> Vec<(Verdict, String)> {
    let mut findings = Vec::new();
    let mut all = Errors::default();
    let mut requests = 0;
    for Measurement { evidence: Evidence { errors, requests: answered, .. }, .. } in measured {
        all = all.and(*errors);
        requests += answered;
    }
    if all.of_generator() > 0 {
        let own = Errors {
            out_of_ports: all.out_of_ports,
            out_of_descriptors: all.out_of_descriptors,
            ..Errors::default()
        };
        findings.push((Verdict::PortStarved, format!("the generator ran out: {}", own.told())));
    }
    // In `few`, who is refused or dropped is the result.
    let of_server = Errors { out_of_ports: 0, out_of_descriptors: 0, ..all };
    if of_server.wrong_bytes > 0 {
        findings.push((Verdict::Failed, format!("{} wrong replies", of_server.wrong_bytes)));
    } else if of_server.of_server() > 0 && experiment != Experiment::Few {
        let share = of_server.of_server() as f64 / (requests + of_server.of_server()) as f64;
        let verdict = if share > ERRORS_MAX { Verdict::Failed } else { Verdict::Noisy };
        findings.push((verdict, format!("{} beside {} answers", of_server.told(), grouped(requests as f64))));
    }
    findings
}

/// Whether the generator, not the server, was measured.
fn generator(experiment: Experiment, measured: &[&Measurement], rules: Rules) -> Vec<(Verdict, String)> {
    let mut findings = Vec::new();
    let generator_cpu = middle(measured, |evidence| evidence.generator_cpu);
    let server_cpu = middle(measured, |evidence| evidence.server_cpu);
    let missed: u64 = measured.iter().map(|measurement| measurement.evidence.missed).sum();
    let requests: u64 = measured.iter().map(|measurement| measurement.evidence.requests).sum();
    if missed as f64 > SHORTFALL_MAX * (missed + requests) as f64 {
        let why = format!(
            "the generator missed {} of {} sends",
            grouped(missed as f64),
            grouped((missed + requests) as f64)
        );
        findings.push((Verdict::GeneratorBound, why));
    }
    // It had work all the time, whether or not it had the core for it.
    let wanted = middle(measured, |evidence| {
        Some(evidence.generator_cpu? + evidence.generator_waited.filter(|_| rules.apart).unwrap_or(0.0))
    });
    if let (Some(busy), Some(wanted), true) = (generator_cpu, wanted, experiment.headline().is_capacity())
        && wanted >= BUSY_FROM
        && server_cpu.is_none_or(|server| server < BUSY_FROM)
    {
        let server = server_cpu.map_or("not sampled".to_owned(), percent);
        let waiting = starved(measured, rules).map(|share| format!(" and {} without a core", percent(share)));
        let busy = percent(busy) + &waiting.unwrap_or_default();
        let why = format!("generator's CPU {busy}, server's {server}");
        findings.push((Verdict::GeneratorBound, why));
    }
    let short = middle(measured, |evidence| Some(1.0 - evidence.achieved_per_s? / evidence.target_per_s?));
    if let Some(short) = short
        && short > SHORTFALL_MAX
    {
        let told = rates(measured);
        let verdict = if wanted.is_some_and(|wanted| wanted >= BUSY_FROM) {
            Verdict::GeneratorBound
        } else if !disturbed(measured, rules).is_empty() {
            // Who did not hold it cannot be told while others have the cores.
            Verdict::Noisy
        } else {
            Verdict::Failed
        };
        findings.push((verdict, format!("the offered rate was not held: {told}")));
    }
    findings
}

/// Whether the repeats and the machine were quiet, and the numbers agree with each other.
fn quiet(
    experiment: Experiment,
    measured: &[&Measurement],
    headline: Option<&Summary>,
    rules: Rules,
) -> Vec<(Verdict, String)> {
    let mut findings = Vec::new();
    let repeats_min = rules.repeats_min;
    if measured.len() < repeats_min as usize {
        findings.push((Verdict::Noisy, format!("only {} of at least {repeats_min} repeats", measured.len())));
    }
    if let Some(summary) = headline
        && summary.spread() > SPREAD_MAX
        && (summary.high - summary.low) / 2.0 > experiment.headline().negligible()
    {
        let why = format!("{} varies by \u{b1}{}", experiment.headline().label(), percent(summary.spread()));
        findings.push((Verdict::Noisy, why));
    }
    let not_sampled: Vec<f64> =
        measured.iter().filter_map(|measurement| measurement.evidence.not_sampled_ms).collect();
    if let Some(ms) = median(&not_sampled) {
        let why = format!(
            "{} of {} repeats have no CPU times: {} ms of what was measured were not sampled",
            not_sampled.len(),
            measured.len(),
            three_digits(ms)
        );
        findings.push((Verdict::Noisy, why));
    }
    let little = middle(measured, little);
    if let Some(ratio) = little
        && (ratio - 1.0).abs() > LITTLE_MAX
    {
        let why = format!("throughput \u{d7} latency is {} of the requests in flight", three_digits(ratio));
        findings.push((Verdict::Noisy, why));
    }
    if sensitive(experiment) {
        findings.extend(disturbed(measured, rules).into_iter().map(|why| (Verdict::Noisy, why)));
    }
    let overflows: u64 =
        measured.iter().filter_map(|measurement| measurement.evidence.listen_overflows).sum();
    if overflows > 0 && experiment == Experiment::Churn {
        let why = format!(
            "the listen queue overflowed {} times, and each client dropped there came a second late",
            grouped(overflows as f64)
        );
        findings.push((Verdict::Noisy, why));
    }
    findings
}

/// Share of the time without a core, if it is too much.
fn starved(measured: &[&Measurement], rules: Rules) -> Option<f64> {
    let waited = middle(measured, |evidence| evidence.generator_waited)?;
    (rules.apart && waited > STARVED_MAX).then_some(waited)
}

/// What took cores away from what is measured.
fn disturbed(measured: &[&Measurement], rules: Rules) -> Vec<String> {
    let others = middle(measured, |evidence| evidence.others_cpu).filter(|others| *others > OTHERS_MAX);
    let told = [
        others.map(|others| format!("other processes took {} of a core", percent(others))),
        starved(measured, rules)
            .map(|starved| format!("the generator waited for a core {} of the time", percent(starved))),
    ];
    told.into_iter().flatten().collect()
}

/// Whether other processes' CPU time disturbs what is measured; memory and counts stay what they are.
fn sensitive(experiment: Experiment) -> bool {
    !matches!(experiment, Experiment::Few | Experiment::Many | Experiment::Idle)
}

/// Requests in flight by Little's law, relative to those that were.
fn little(evidence: &Evidence) -> Option<f64> {
    let in_flight = evidence.in_flight.filter(|_| evidence.requests > 0)?;
    Some(evidence.achieved_per_s? * evidence.latency_mean_us? / 1e6 / in_flight)
}

fn middle(measured: &[&Measurement], of: impl Fn(&Evidence) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = measured.iter().filter_map(|measurement| of(&measurement.evidence)).collect();
    median(&values)
}

fn rates(measured: &[&Measurement]) -> String {
    let achieved = middle(measured, |evidence| evidence.achieved_per_s).unwrap_or(0.0);
    let target = middle(measured, |evidence| evidence.target_per_s).unwrap_or(0.0);
    format!("{} of {} per second", grouped(achieved), grouped(target))
}

/// Metrics of a cell that are to be believed less than the rest of it, and why. Beside an idle crowd memory is what it is,
/// whatever other processes do; times are not.
pub fn doubts(experiment: Experiment, runs: &[&Run], rules: Rules) -> Option<(&'static [Metric], String)> {
    let measured: Vec<&Measurement> = runs.iter().filter_map(|run| run.measured()).collect();
    let disturbed = disturbed(&measured, rules);
    let is_doubted = experiment == Experiment::Idle && !disturbed.is_empty();
    is_doubted.then(|| (&[Metric::CpuPerRequestUs, Metric::LatencyP99Us][..], disturbed.join("; ")))
}

/// What speaks for a cell that nothing speaks against.
fn reassurance(experiment: Experiment, measured: &[&Measurement]) -> Vec<String> {
    let mut evidence = Vec::new();
    if middle(measured, |evidence| evidence.target_per_s).is_some() {
        evidence.push(format!("achieved {}", rates(measured)));
    }
    if let Some(busy) = middle(measured, |evidence| evidence.generator_cpu) {
        evidence.push(format!("generator's CPU {}", percent(busy)));
    }
    if let Some(busy) = middle(measured, |evidence| evidence.server_cpu) {
        evidence.push(format!("server's {}", percent(busy)));
    }
    if let Some(ratio) = middle(measured, little) {
        evidence.push(format!("Little's law {}", three_digits(ratio)));
    }
    let overflows: u64 =
        measured.iter().filter_map(|measurement| measurement.evidence.listen_overflows).sum();
    if overflows > 0 || experiment == Experiment::Few {
        evidence.push(format!("listen queue overflowed {} times", grouped(overflows as f64)));
    }
    evidence.push(format!("{} repeats", measured.len()));
    evidence
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Whether a value of a cell with this verdict is only a lower bound: a capacity that the generator bounded, or the wait of
/// a client that gave up.
pub fn is_lower_bound(verdict: Verdict, metric: Metric, value: f64) -> bool {
    (verdict == Verdict::GeneratorBound && metric.is_capacity())
        || (metric == Metric::WaitMaxMs && value >= PATIENCE_MS as f64)
}
