//! What each experiment has shown, in one sentence.

use std::collections::BTreeMap;

use crate::judge::Verdict;
use crate::judge::figures::counted;
use crate::judge::statistics::MedianInterval;
use crate::lab::judge::results::Results;
use crate::lab::plan::experiment::{Experiment, STEADY_CLIENTS, WAIT_STALL_MS};
use crate::lab::plan::metric::{Better, Metric};
use crate::lab::plan::subject::CoreClass;

/// A sentence for each experiment, after its name, with the class of cores if there are several. Names of
/// servers come from the command line or from raw data, so the sentence must be escaped.
pub(super) fn all(results: &Results) -> Vec<(String, String)> {
    let plan = &results.header.plan;
    let each =
        plan.experiments.iter().flat_map(|experiment| plan.classes.iter().map(|class| (*experiment, *class)));
    let reached = each.filter(|(experiment, class)| !results.of_experiment(*experiment, *class).is_empty());
    let named = |(experiment, class): (Experiment, CoreClass)| {
        let name = experiment.name();
        let name = if plan.classes.len() > 1 { format!("{name} ({class})") } else { name.to_owned() };
        (name, sentence(results, experiment, class))
    };
    reached.map(named).collect()
}

/// A note that the machine was busy, and what to do; `None` if it was not.
pub(super) fn busy_machine(results: &Results) -> Option<String> {
    let disturbed: Vec<_> = results.cells.iter().filter(|result| !result.disturbed_by.is_empty()).collect();
    let noisy = disturbed.iter().filter(|result| result.judgement.verdict == Verdict::Noisy).count();
    (!disturbed.is_empty()).then(|| {
        format!(
            "This machine was busy: other processes took CPU time in {} of {} cells, and {noisy} of these are NOISY. End other \
             programs, or use a machine of its own, and compare again.",
            disturbed.len(),
            results.cells.len()
        )
    })
}

/// How many cells were measured again, and the result; `None` if no cell was.
pub(super) fn measured_again(results: &Results) -> Option<String> {
    let again: Vec<_> = results.cells.iter().filter(|result| result.attempts_again > 0).collect();
    let valid = again.iter().filter(|result| result.judgement.verdict == Verdict::Valid).count();
    (!again.is_empty()).then(|| {
        format!(
            "Other processes had disturbed {}, which {} measured again in {}: {} now.",
            counted(again.len() as u64, "cell", "cells"),
            if again.len() == 1 { "was" } else { "were" },
            counted(results.runs_again.into(), "run", "runs"),
            match valid {
                0 => "none is VALID".to_owned(),
                valid if valid == again.len() => "all are VALID".to_owned(),
                1 => "one is VALID".to_owned(),
                valid => format!("{valid} are VALID"),
            }
        )
    })
}

/// One sentence about an experiment from VALID cells alone, or why there is none.
fn sentence(results: &Results, experiment: Experiment, class: CoreClass) -> String {
    let sentence = match experiment {
        Experiment::Wait => wait(&trusted(results, experiment, class, Metric::WaitMs)),
        Experiment::Few => few(&trusted(results, experiment, class, Metric::ServedAtOnce)),
        Experiment::Many | Experiment::Idle => slope(results, experiment, class),
        Experiment::Churn | Experiment::Crowd | Experiment::Steady | Experiment::Bulk => {
            // What a client costs is the question of churn; on a busy machine only the rate may be VALID.
            let wanted = (experiment == Experiment::Churn).then_some(Metric::CpuPerClientUs);
            let mut metrics = wanted.into_iter().chain([experiment.headline()]);
            metrics
                .find_map(|metric| compared(experiment, metric, &trusted(results, experiment, class, metric)))
        }
    };
    sentence.unwrap_or_else(|| untrusted(results, experiment, class))
}

/// A trusted value of a server.
#[derive(Clone, Copy)]
struct TrustedValue<'a> {
    name: &'a str,
    summary: &'a MedianInterval,
}

/// The trusted values at the highest level that has two of them, otherwise one.
struct TrustedValues<'a> {
    level: u32,
    values: Vec<TrustedValue<'a>>,
}

fn trusted(results: &Results, experiment: Experiment, class: CoreClass, metric: Metric) -> TrustedValues<'_> {
    let mut levels: BTreeMap<u32, Vec<TrustedValue<'_>>> = BTreeMap::new();
    for result in results.of_experiment(experiment, class) {
        if let (Verdict::Valid, Some(summary)) = (result.verdict(metric), result.summaries.get(&metric)) {
            levels
                .entry(result.cell.level)
                .or_default()
                .push(TrustedValue { name: &result.cell.subject.name, summary });
        }
    }
    // A comparison needs two values; of the levels that have two, the highest shows the most.
    let wanted = |values: &Vec<TrustedValue<'_>>| values.len().min(2);
    let best = levels.into_iter().max_by_key(|(level, values)| (wanted(values), *level));
    best.map_or(TrustedValues { level: 0, values: Vec::new() }, |(level, values)| TrustedValues {
        level,
        values,
    })
}

fn wait(at: &TrustedValues<'_>) -> Option<String> {
    // A wait of at least half the stall is a wait for the first client.
    let waited = |value: &&TrustedValue<'_>| value.summary.median >= WAIT_STALL_MS as f64 / 2.0;
    let (behind, free): (Vec<TrustedValue<'_>>, Vec<TrustedValue<'_>>) =
        at.values.iter().partition(|value| waited(value));
    let shown = |values: &[TrustedValue<'_>]| {
        Some(format!("{} at {}", range(Metric::WaitMs, values)?, names(values)))
    };
    match (shown(&behind), shown(&free)) {
        (Some(behind), Some(free)) => {
            Some(format!("The second client waited {behind} behind a stalled one, and {free}."))
        }
        (Some(behind), None) => Some(format!("The second client waited {behind} behind a stalled one.")),
        (None, Some(free)) => Some(format!("The second client did not wait for a stalled one: {free}.")),
        (None, None) => None,
    }
}

fn few(at: &TrustedValues<'_>) -> Option<String> {
    let all = Metric::ServedAtOnce.format(f64::from(at.level));
    let count = |value: &TrustedValue<'_>| Metric::ServedAtOnce.format(value.summary.median);
    let mut values = at.values.clone();
    values.sort_by(|a, b| b.summary.median.total_cmp(&a.summary.median));
    let mut shown: Vec<String> = Vec::new();
    for values in values.chunk_by(|a, b| count(a) == count(b)) {
        let count = count(&values[0]);
        let verb = match (shown.is_empty(), count.as_str()) {
            (true, "1") => " was served at once",
            (true, _) => " were served at once",
            (false, _) => "",
        };
        let count = if count == all { "all".to_owned() } else { count };
        shown.push(format!("{count}{verb} at {}", names(values)));
    }
    let served = joined(&shown, "; ", "; ");
    (!shown.is_empty()).then(|| format!("When {} clients came at the same time, {served}.", at.level))
}

fn slope(results: &Results, experiment: Experiment, class: CoreClass) -> Option<String> {
    let slopes = results.slopes.iter().filter(|slope| {
        (slope.experiment, slope.class, slope.metric) == (experiment, class, Metric::MemoryBytes)
            && slope.judgement.verdict == Verdict::Valid
    });
    let values =
        slopes.map(|slope| TrustedValue { name: &slope.subject.name, summary: &slope.summary }).collect();
    compared(experiment, Metric::MemoryBytes, &TrustedValues { level: 0, values })
}

/// The best and the worst of several, and how far apart they are.
fn compared(experiment: Experiment, metric: Metric, at: &TrustedValues<'_>) -> Option<String> {
    let subject = match experiment {
        Experiment::Churn if metric == Metric::CpuPerClientUs => {
            "The processor time of a client with one request is".to_owned()
        }
        Experiment::Churn => "With one request from each client the rate of clients is".to_owned(),
        Experiment::Crowd if at.level == 1 => "With one client the request rate is".to_owned(),
        Experiment::Crowd => format!("With {} clients the request rate is", at.level),
        Experiment::Steady => {
            format!(
                "The processor time of a request, at {} per second from {STEADY_CLIENTS} clients, is",
                at.level
            )
        }
        Experiment::Bulk => format!("The throughput for {} clients is", at.level),
        Experiment::Idle => "The memory of an idle client is".to_owned(),
        _ => "The memory of an idle copy is".to_owned(),
    };
    let mut values = at.values.clone();
    values.sort_by(|a, b| a.summary.median.total_cmp(&b.summary.median));
    let (least, most) = (values.first()?, values.last()?);
    let value = |of: &TrustedValue<'_>| format!("{} at {}", metric.format(of.summary.median), of.name);
    if values.len() == 1 {
        return Some(format!("{subject} {}; no other server has a VALID value to compare.", value(least)));
    }
    if least.summary.high >= most.summary.low {
        let range = range(metric, &values)?;
        return Some(format!("{subject} {range}: the intervals overlap, so no difference is clear."));
    }
    let (best, worst) = if metric.better() == Better::Higher { (most, least) } else { (least, most) };
    let times = (least.summary.median > 0.0).then(|| most.summary.median / least.summary.median);
    let apart = match times {
        Some(times) if times >= 1.1 => format!(", {} times apart", times_text(times)),
        _ => String::new(),
    };
    Some(format!("{subject} {} and {}{apart}.", value(best), value(worst)))
}

/// Why there is no sentence.
fn untrusted(results: &Results, experiment: Experiment, class: CoreClass) -> String {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    let cells = results.of_experiment(experiment, class);
    for result in &cells {
        *counts.entry(result.judgement.verdict).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    let doubtful = || cells.iter().filter(|result| result.judgement.verdict != Verdict::Unsupported);
    let disturbed = doubtful().find(|result| !result.disturbed_by.is_empty());
    let why = match disturbed {
        Some(result) => result.disturbed_by.first().map(|why| (result, why.clone())),
        None => {
            doubtful().next().and_then(|result| Some((result, result.judgement.evidence.first()?.clone())))
        }
    };
    let why = why.map_or(String::new(), |(result, why)| {
        let again = match result.attempts_again {
            0 => String::new(),
            1 => ", and again in another run".to_owned(),
            runs => format!(", and again in {runs} more runs"),
        };
        format!("; at {}, for example, {why}{again}", result.cell.subject.name)
    });
    format!("Nothing can be concluded: no value is VALID ({}){why}.", counts.join(", "))
}

fn names(values: &[TrustedValue<'_>]) -> String {
    let names: Vec<String> = values.iter().map(|value| value.name.to_owned()).collect();
    joined(&names, ", ", " and ")
}

fn joined(parts: &[String], between: &str, last: &str) -> String {
    match parts {
        [] => String::new(),
        [alone] => alone.clone(),
        [first @ .., end] => format!("{}{last}{end}", first.join(between)),
    }
}

/// The medians of several, from the least to the greatest.
fn range(metric: Metric, values: &[TrustedValue<'_>]) -> Option<String> {
    let medians = || values.iter().map(|value| value.summary.median);
    let (least, most) = (medians().reduce(f64::min)?, medians().reduce(f64::max)?);
    let (least, most) = (metric.format(least), metric.format(most));
    Some(if least == most { least } else { format!("{least} to {most}") })
}

fn times_text(times: f64) -> String {
    if times < 10.0 { format!("{times:.1}") } else { format!("{times:.0}") }
}
