//! What each experiment has shown, in one sentence.

use std::collections::BTreeMap;

use super::text::{joined, left_out, without_value};
use crate::judge::Verdict;
use crate::judge::figures::{counted, plural};
use crate::judge::statistics::MedianInterval;
use crate::lab::judge::results::{JudgedValue, Results};
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

/// A note that the machine was busy, and what to do; `None` if it was not. It counts the cells of which the
/// runs that count were disturbed, after others were measured again.
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

/// How many cells were measured again, with the result, and how many of the others had no turn; `None` if
/// there are neither.
pub(super) fn measured_again(results: &Results) -> Option<String> {
    const WHILE: &str = "While time was left, cells that other processes had disturbed were measured again";
    let again: Vec<_> = results.cells.iter().filter(|result| result.attempts_again > 0).collect();
    let valid = again.iter().filter(|result| result.judgement.verdict == Verdict::Valid).count();
    let had_turn = match again.len() {
        0 => None,
        cells => Some(format!(
            "{} in {}, and {} now",
            counted(cells as u64, "cell", "cells"),
            counted(results.runs_again.into(), "run", "runs"),
            match valid {
                0 => "none is VALID".to_owned(),
                valid if valid == cells => format!("{} VALID", if valid == 1 { "it is" } else { "all are" }),
                1 => "1 is VALID".to_owned(),
                valid => format!("{valid} are VALID"),
            }
        )),
    };
    let left = u64::from(results.cells_without_turn);
    let no_turn = |cells: String| {
        let are = plural(left, "is", "are");
        format!("{cells} that {are} NOISY or GENERATOR-BOUND had no turn before the comparison ended.")
    };
    match (had_turn, left) {
        (None, 0) => None,
        (None, _) => Some(format!("{WHILE}: none in time. {}", no_turn(counted(left, "cell", "cells")))),
        (Some(had_turn), 0) => Some(format!("{WHILE}: {had_turn}.")),
        (Some(had_turn), _) => Some(format!("{WHILE}: {had_turn}. {}", no_turn(format!("{left} more")))),
    }
}

/// One sentence about an experiment from VALID values alone, with the servers that it leaves out; or why
/// there is none.
fn sentence(results: &Results, experiment: Experiment, class: CoreClass) -> String {
    // What a client costs is the question of churn; on a busy machine only the rate may be VALID.
    let wanted = (experiment == Experiment::Churn).then_some(Metric::CpuPerClientUs);
    for metric in wanted.into_iter().chain([experiment.headline()]) {
        let values = trusted(judged(results, experiment, class, metric));
        let said = match experiment {
            Experiment::Wait => wait(&values),
            Experiment::Few => few(&values),
            _ => compared(experiment, metric, &values),
        };
        if let Some(said) = said {
            let left_out = match values.left_out.as_slice() {
                [] => String::new(),
                servers => format!(" (not compared: {})", left_out(servers.iter().copied())),
            };
            return format!("{said}{left_out}.");
        }
    }
    untrusted(&judged(results, experiment, class, experiment.headline()))
}

/// All values of a metric with their levels; slopes where these are the question.
fn judged(
    results: &Results,
    experiment: Experiment,
    class: CoreClass,
    metric: Metric,
) -> Vec<(u32, JudgedValue<'_>)> {
    match experiment {
        Experiment::Many | Experiment::Idle => {
            results.judged_slopes(experiment, class, metric).into_iter().map(|value| (0, value)).collect()
        }
        _ => {
            let cells = results.of_experiment(experiment, class).into_iter();
            cells.map(|result| (result.cell.level, result.judged(metric))).collect()
        }
    }
}

/// A trusted value of a server.
#[derive(Clone, Copy)]
struct TrustedValue<'a> {
    name: &'a str,
    summary: &'a MedianInterval,
    /// The most that it may be, as of a slope.
    at_most: Option<f64>,
}

impl TrustedValue<'_> {
    fn high(&self) -> f64 {
        self.at_most.unwrap_or(self.summary.high)
    }
}

/// The trusted values at the highest level that has two of them, otherwise one, and the servers that are left
/// out there.
#[derive(Default)]
struct TrustedValues<'a> {
    level: u32,
    values: Vec<TrustedValue<'a>>,
    left_out: Vec<(&'a str, Verdict)>,
}

fn trusted(judged: Vec<(u32, JudgedValue<'_>)>) -> TrustedValues<'_> {
    let mut levels: BTreeMap<u32, TrustedValues<'_>> = BTreeMap::new();
    for (level, value) in judged {
        let trusted = value.trusted();
        let JudgedValue { name, at_most, verdict, .. } = value;
        let at = levels.entry(level).or_insert(TrustedValues { level, ..TrustedValues::default() });
        match trusted {
            Some(summary) => at.values.push(TrustedValue { name, summary, at_most }),
            None => at.left_out.push((name, verdict)),
        }
    }
    // A comparison needs two values; of the levels that have two, the highest shows the most.
    levels.into_values().max_by_key(|at| (at.values.len().min(2), at.level)).unwrap_or_default()
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
            Some(format!("The second client waited {behind} behind a stalled one, and {free}"))
        }
        (Some(behind), None) => Some(format!("The second client waited {behind} behind a stalled one")),
        (None, Some(free)) => Some(format!("The second client did not wait for a stalled one: {free}")),
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
    (!shown.is_empty()).then(|| format!("When {} clients came at the same time, {served}", at.level))
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
        Experiment::Bulk => {
            format!("The throughput for {} is", counted(at.level.into(), "client", "clients"))
        }
        Experiment::Idle => "The memory of an idle client is".to_owned(),
        _ => "The memory of an idle copy is".to_owned(),
    };
    let mut values = at.values.clone();
    values.sort_by(|a, b| a.summary.median.total_cmp(&b.summary.median));
    let (least, most) = (values.first()?, values.last()?);
    let value = |of: &TrustedValue<'_>| match of.at_most {
        Some(most) => format!("at most {} at {}", metric.format(most), of.name),
        None => format!("{} at {}", metric.format(of.summary.median), of.name),
    };
    if values.len() == 1 {
        return Some(format!("{subject} {}", value(least)));
    }
    if least.high() >= most.summary.low {
        let apart = |a: &TrustedValue<'_>| values.iter().any(|b| a.high() < b.summary.low);
        return Some(if values.iter().any(apart) {
            format!("{subject} {} and {}: their intervals overlap", value(least), value(most))
        } else {
            let range = range(metric, &values)?;
            format!("{subject} {range}: the intervals overlap, so no difference is clear")
        });
    }
    let (best, worst) = if metric.better() == Better::Higher { (most, least) } else { (least, most) };
    let apart = match (least.at_most, most.at_most) {
        (None, None) => times(most.summary.median, least.summary.median)
            .map(|times| format!(", {} times apart", times_text(times))),
        // Of the least a bound alone is known.
        (Some(bound), None) => times(most.summary.low, bound)
            .map(|times| format!(", at least {} times apart", times_text_below(times))),
        (_, Some(_)) => None,
    };
    let apart = apart.unwrap_or_default();
    Some(format!("{subject} {} and {}{apart}", value(best), value(worst)))
}

/// Why there is no sentence.
fn untrusted(values: &[(u32, JudgedValue<'_>)]) -> String {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for (_, value) in values {
        *counts.entry(value.verdict).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.iter().map(|(verdict, count)| format!("{count} {}", without_value(*verdict))).collect();
    let doubtful = || {
        let values = values.iter().map(|(_, value)| value);
        values.filter(|value| !matches!(value.verdict, Verdict::Valid | Verdict::Unsupported))
    };
    // Other processes can be ended: a value that is doubtful because of them is the most useful example.
    let is_disturbed = |value: &&JudgedValue<'_>| {
        let disturbed_by = value.decided_by.map_or(&[][..], |result| &result.disturbed_by);
        disturbed_by.iter().any(|reason| value.why.contains(reason))
    };
    let example = doubtful().find(is_disturbed).or_else(|| doubtful().find(|value| !value.why.is_empty()));
    let why = example.map_or(String::new(), |value| {
        let again = match value.decided_by.map_or(0, |result| result.attempts_again) {
            0 => String::new(),
            runs => format!(" (measured again in {})", counted(runs.into(), "run", "runs")),
        };
        format!("; at {}, for example, {}{again}", value.name, value.why)
    });
    format!("Nothing can be concluded: no value is VALID ({}){why}.", counts.join(", "))
}

fn names(values: &[TrustedValue<'_>]) -> String {
    let names: Vec<&str> = values.iter().map(|value| value.name).collect();
    joined(&names, ", ", " and ")
}

/// The medians of several, from the least to the greatest; the greatest upper end where one is shown as that.
fn range(metric: Metric, values: &[TrustedValue<'_>]) -> Option<String> {
    if values.iter().any(|value| value.at_most.is_some()) {
        let ends = values.iter().map(TrustedValue::high);
        return Some(format!("at most {}", metric.format(ends.reduce(f64::max)?)));
    }
    let medians = || values.iter().map(|value| value.summary.median);
    let (least, most) = (medians().reduce(f64::min)?, medians().reduce(f64::max)?);
    let (least, most) = (metric.format(least), metric.format(most));
    Some(if least == most { least } else { format!("{least} to {most}") })
}

/// How many times one value is another; `None` if that is not worth a word, or has no meaning.
fn times(most: f64, least: f64) -> Option<f64> {
    (least > 0.0).then(|| most / least).filter(|times| *times >= 1.1)
}

/// Rounded down.
fn times_text_below(times: f64) -> String {
    times_text(if times < 10.0 { (times * 10.0).floor() / 10.0 } else { times.floor() })
}

fn times_text(times: f64) -> String {
    if times < 10.0 { format!("{times:.1}") } else { format!("{times:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comparison of servers with these repeats, and with a bound where there is one.
    fn said(servers: &[(&str, [f64; 3], Option<f64>)]) -> String {
        let summaries: Vec<MedianInterval> =
            servers.iter().map(|(_, repeats, _)| MedianInterval::of(repeats).unwrap()).collect();
        let values = servers.iter().zip(&summaries);
        let values =
            values.map(|((name, _, at_most), summary)| TrustedValue { name, summary, at_most: *at_most });
        let values = TrustedValues { values: values.collect(), ..TrustedValues::default() };
        compared(Experiment::Idle, Metric::MemoryBytes, &values).unwrap()
    }

    #[test]
    fn a_comparison_claims_no_more_than_the_intervals_show() {
        let is = |rest: &str| format!("The memory of an idle client is {rest}");
        assert_eq!(said(&[("a", [100.0, 110.0, 120.0], None)]), is("110 B at a"));
        let apart = [("a", [100.0, 110.0, 120.0], None), ("b", [300.0, 330.0, 350.0], None)];
        assert_eq!(said(&apart), is("110 B at a and 330 B at b, 3.0 times apart"));
        let overlapping = [("a", [100.0, 110.0, 150.0], None), ("b", [140.0, 150.0, 160.0], None)];
        assert_eq!(
            said(&overlapping),
            is("110 B to 150 B: the intervals overlap, so no difference is clear")
        );
        // That of c is apart from that of b, although the least and the greatest overlap.
        let chain = [
            ("a", [100.0, 110.0, 250.0], None),
            ("b", [140.0, 150.0, 160.0], None),
            ("c", [200.0, 210.0, 220.0], None),
        ];
        assert_eq!(said(&chain), is("110 B at a and 210 B at c: their intervals overlap"));
        // Of a bound: the ratio of the ends that face each other, rounded down.
        let bounded = [("a", [-20.0, 10.0, 60.0], Some(100.0)), ("b", [199.0, 210.0, 220.0], None)];
        assert_eq!(said(&bounded), is("at most 100 B at a and 210 B at b, at least 1.9 times apart"));
        let bounded = [("a", [-20.0, 10.0, 60.0], Some(100.0)), ("b", [80.0, 85.0, 90.0], None)];
        assert_eq!(said(&bounded), is("at most 100 B: the intervals overlap, so no difference is clear"));
    }
}
