//! From raw runs to results: medians, intervals and verdict of every cell, and slopes over the levels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attempts::counting;
use super::criteria::{ComparisonSetup, criteria, disturbed_by, doubts, is_replaceable, repeat};
use crate::judge::figures::{counted, percent};
use crate::judge::repeats::{Repeat, judge};
use crate::judge::statistics::{MedianInterval, slope};
use crate::judge::thresholds::SPREAD_MAX;
use crate::judge::{Judgement, Verdict};
use crate::lab::plan::comparison::Cell;
use crate::lab::plan::experiment::Experiment;
use crate::lab::plan::metric::Metric;
use crate::lab::plan::subject::{CoreClass, Subject};
use crate::lab::run::outcome::{ClientTimes, Measurement, Run, RunOutcome};
use crate::lab::run::raw::Header;
use crate::models::Model;

/// The content of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// What was compared, where and how.
    pub(crate) header: Header,
    /// The cells, in the order of the report.
    pub(crate) cells: Vec<CellResult>,
    /// The cost of one more client or copy.
    pub(crate) slopes: Vec<Slope>,
    /// Runs that were planned.
    pub(crate) runs_planned: u32,
    /// The runs that were made.
    pub(crate) runs_made: u32,
    /// Attempts beyond those, for runs that other processes disturbed.
    pub(crate) runs_again: u32,
    /// Cells that other processes disturbed, and that had no turn to be measured again before the comparison
    /// ended.
    #[serde(default)]
    pub(crate) cells_without_turn: u32,
}

/// A cell's summaries and judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CellResult {
    /// What was measured.
    pub(crate) cell: Cell,
    /// Median and interval of each metric.
    pub(crate) summaries: BTreeMap<Metric, MedianInterval>,
    /// Whether to trust it.
    pub(crate) judgement: Judgement,
    /// Metrics that are not trusted although the cell is VALID, and why.
    pub(crate) doubted: BTreeMap<Metric, String>,
    /// How other processes took CPU time from server or generator; empty if they did not.
    pub(crate) disturbed_by: Vec<String>,
    /// How many of its runs were measured again.
    pub(crate) attempts_again: u32,
    /// In `wait` and `few`: the times of each client in the repeat whose longest wait is the median.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clients: Vec<ClientTimes>,
}

/// A value of a server, and whether to trust it: of a metric in a cell, or a slope.
#[derive(Clone, Debug)]
pub(crate) struct JudgedValue<'a> {
    /// The server.
    pub(crate) name: &'a str,
    /// Median and interval; `None` if it was not measured.
    pub(crate) summary: Option<&'a MedianInterval>,
    /// The most that it may be, as of a slope.
    pub(crate) at_most: Option<f64>,
    /// Whether to trust it. VALID although it was not measured, if nothing else was wrong.
    pub(crate) verdict: Verdict,
    /// All reasons of the verdict.
    pub(crate) why: String,
    /// The cell that decided the verdict; `None` if it was the slope itself.
    pub(crate) decided_by: Option<&'a CellResult>,
}

impl<'a> JudgedValue<'a> {
    /// Median and interval, if it is to be trusted.
    pub(crate) fn trusted(&self) -> Option<&'a MedianInterval> {
        self.summary.filter(|_| self.verdict == Verdict::Valid)
    }
}

impl CellResult {
    /// The value of a metric.
    pub(crate) fn judged(&self, metric: Metric) -> JudgedValue<'_> {
        let verdict = self.verdict(metric);
        let doubt = self.doubted.get(&metric).filter(|_| self.judgement.verdict == Verdict::Valid);
        JudgedValue {
            name: &self.cell.subject.name,
            summary: self.summaries.get(&metric),
            at_most: None,
            verdict,
            why: doubt.map_or_else(|| self.judgement.why(), String::clone),
            decided_by: Some(self),
        }
    }

    /// Its runs that are worth another attempt, of those that count: those that other processes disturbed, if
    /// its verdict is NOISY or GENERATOR-BOUND.
    pub(super) fn worth_another_attempt<'a>(
        &self,
        counting: &'a [Run],
        setup: ComparisonSetup,
    ) -> Vec<&'a Run> {
        if !matches!(self.judgement.verdict, Verdict::Noisy | Verdict::GeneratorBound) {
            return Vec::new();
        }
        let mine = counting.iter().filter(|run| run.cell == self.cell);
        mine.filter(|run| is_replaceable(run, setup)).collect()
    }

    /// Whether to trust one of its metrics.
    pub(crate) fn verdict(&self, metric: Metric) -> Verdict {
        match self.judgement.verdict {
            Verdict::Valid if self.doubted.contains_key(&metric) => Verdict::Noisy,
            verdict => verdict,
        }
    }
}

/// How a metric grows per unit of the level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slope {
    /// The experiment: `many` or `idle`.
    pub(crate) experiment: Experiment,
    /// The server's cores.
    pub(crate) class: CoreClass,
    /// The server.
    pub(crate) subject: Subject,
    /// What grows.
    pub(crate) metric: Metric,
    /// The slopes of the repeats: per client, or per copy.
    pub(crate) summary: MedianInterval,
    /// The most that it may be, where no more than that is known: the interval is not wholly above 0, or is
    /// wide for its median and yet negligible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<f64>,
    /// Whether to trust it.
    pub(crate) judgement: Judgement,
}

impl Results {
    /// Summarizes and judges the runs of a comparison, finished or not.
    pub(crate) fn of(header: Header, runs: &[Run]) -> Results {
        let setup = ComparisonSetup::of(&header);
        let planned = header.plan.cells();
        let counting = with_process_control(&counting(runs, setup));
        let mut cells = Results::cells_of(&header, &counting, setup);
        let again = |cell: &Cell| runs.iter().filter(|run| run.attempt > 0 && run.cell == *cell).count();
        for result in &mut cells {
            result.attempts_again = again(&result.cell) as u32;
        }
        doubt_process_control(&mut cells);
        let slopes = slopes(&planned, &counting, &cells);
        let runs_planned = planned.len() as u32 * header.plan.repeats;
        let runs_again: u32 = cells.iter().map(|result| result.attempts_again).sum();
        let runs_made = runs.len() as u32 - runs_again;
        let cells_without_turn = cells_without_turn(&header, &counting, &cells, setup);
        Results { header, cells, slopes, runs_planned, runs_made, runs_again, cells_without_turn }
    }

    /// Each cell with its verdict, from the run that counts of each repeat.
    pub(super) fn cells_of(header: &Header, counting: &[Run], setup: ComparisonSetup) -> Vec<CellResult> {
        header.plan.cells().iter().filter_map(|cell| summarize(cell, counting, setup)).collect()
    }

    /// The cells of one experiment and class.
    pub(crate) fn of_experiment(&self, experiment: Experiment, class: CoreClass) -> Vec<&CellResult> {
        self.cells
            .iter()
            .filter(|result| result.cell.experiment == experiment && result.cell.class == class)
            .collect()
    }

    /// What one more client or copy costs at each subject. One that was measured at a single level has no
    /// slope, and the strongest verdict of its cells.
    pub(crate) fn judged_slopes(
        &self,
        experiment: Experiment,
        class: CoreClass,
        metric: Metric,
    ) -> Vec<JudgedValue<'_>> {
        let cells = self.of_experiment(experiment, class);
        let mut subjects: Vec<&Subject> = Vec::new();
        for result in &cells {
            if !subjects.contains(&&result.cell.subject) {
                subjects.push(&result.cell.subject);
            }
        }
        let key = (experiment, class, metric);
        let judged = |subject: &Subject| {
            let slope = self.slopes.iter().find(|slope| {
                (slope.experiment, slope.class, slope.metric) == key && slope.subject == *subject
            });
            if let Some(slope) = slope {
                return Some(JudgedValue {
                    name: &slope.subject.name,
                    summary: Some(&slope.summary),
                    at_most: slope.at_most,
                    verdict: slope.judgement.verdict,
                    why: slope.judgement.why(),
                    decided_by: None,
                });
            }
            let mine = cells.iter().filter(|result| result.cell.subject == *subject);
            let strongest = mine.max_by_key(|result| result.verdict(metric))?;
            Some(JudgedValue { summary: None, ..strongest.judged(metric) })
        };
        subjects.into_iter().filter_map(judged).collect()
    }

    /// Unsupported levels of an experiment, one line per subject: they need no rows in the table.
    pub(crate) fn unsupported(&self, experiment: Experiment, class: CoreClass) -> Vec<String> {
        let mut lines: Vec<(String, Vec<String>, String)> = Vec::new();
        for result in self.of_experiment(experiment, class) {
            if result.judgement.verdict == Verdict::Unsupported {
                let level = result.cell.level.to_string();
                let name = &result.cell.subject.name;
                match lines.iter_mut().find(|(subject, ..)| subject == name) {
                    Some((_, levels, _)) => levels.push(level),
                    None => lines.push((name.clone(), vec![level], result.judgement.why())),
                }
            }
        }
        let label = experiment.level_label();
        lines
            .into_iter()
            .map(|(name, levels, why)| format!("{name} at {} {label}: {why}", levels.join(", ")))
            .collect()
    }

    /// How many cells have each verdict.
    pub(crate) fn verdicts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for result in &self.cells {
            *counts.entry(result.judgement.verdict).or_default() += 1;
        }
        counts
    }
}

/// How many cells are worth another attempt and had none.
fn cells_without_turn(
    header: &Header,
    counting: &[Run],
    cells: &[CellResult],
    setup: ComparisonSetup,
) -> u32 {
    if header.plan.attempts_max <= 1 {
        return 0;
    }
    let without = cells.iter().filter(|result| result.attempts_again == 0);
    without.filter(|result| !result.worth_another_attempt(counting, setup).is_empty()).count() as u32
}

/// `None` for a cell without any run, as an interrupted comparison has.
fn summarize(cell: &Cell, runs: &[Run], setup: ComparisonSetup) -> Option<CellResult> {
    let runs: Vec<&Run> = runs.iter().filter(|run| run.cell == *cell).collect();
    if runs.is_empty() {
        return None;
    }
    let mut values: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    for measurement in runs.iter().filter_map(|run| run.measured()) {
        for (metric, value) in &measurement.values {
            values.entry(*metric).or_default().push(*value);
        }
    }
    let summaries: BTreeMap<Metric, MedianInterval> =
        values.iter().filter_map(|(metric, values)| Some((*metric, MedianInterval::of(values)?))).collect();
    let headline = summaries.get(&cell.experiment.headline());
    let measured: Vec<_> = runs.iter().filter_map(|run| run.measured()).map(|run| &run.evidence).collect();
    let disturbed_by = disturbed_by(&measured, setup);
    let repeats: Vec<Repeat<'_>> = runs.iter().map(|run| repeat(run)).collect();
    let judgement = judge(&repeats, &criteria(cell.experiment, headline, setup));
    let mut doubted = doubts(cell.experiment, &measured, setup);
    doubted.extend(doubtful_difference(cell.experiment, &summaries));
    let (cell, clients) = (cell.clone(), clients(&runs));
    Some(CellResult { cell, summaries, judgement, doubted, disturbed_by, attempts_again: 0, clients })
}

/// The clients of the repeat in the middle, by its longest wait.
fn clients(runs: &[&Run]) -> Vec<ClientTimes> {
    let longest = |measurement: &Measurement| {
        let waits =
            [Metric::WaitMs, Metric::WaitMaxMs].map(|metric| measurement.values.get(&metric).copied());
        waits.into_iter().flatten().next().unwrap_or(0.0)
    };
    let mut known: Vec<&Measurement> = runs.iter().filter_map(|run| run.measured()).collect();
    known.retain(|measurement| !measurement.clients.is_empty());
    known.sort_by(|a, b| longest(a).total_cmp(&longest(b)));
    known.get(known.len().saturating_sub(1) / 2).map_or(Vec::new(), |middle| middle.clients.clone())
}

/// A difference that varies by more than is negligible, and the reason to doubt it. Its cell may be VALID:
/// what the kernel holds changes with the whole system, the memory of the server does not. The spread of
/// process control, of which nothing is negligible, is judged by its sides.
fn doubtful_difference(
    experiment: Experiment,
    summaries: &BTreeMap<Metric, MedianInterval>,
) -> Option<(Metric, String)> {
    let differences =
        experiment.metrics().iter().filter(|metric| metric.is_difference() && metric.negligible() > 0.0);
    let mut summarized = differences.filter_map(|metric| Some((*metric, summaries.get(metric)?)));
    let (metric, summary) = summarized
        .find(|(metric, summary)| summary.spread() > SPREAD_MAX && summary.half() > metric.negligible())?;
    let (half, negligible) = (metric.format(summary.half()), metric.format(metric.negligible()));
    Some((metric, format!("it varies by \u{b1}{half}, and only up to {negligible} do not matter")))
}

/// A difference is only as trustworthy as both of its sides.
fn doubt_process_control(cells: &mut [CellResult]) {
    let baselines: Vec<(CoreClass, u32, Verdict)> = cells
        .iter()
        .filter(|result| result.cell.experiment == Experiment::Churn)
        .filter(|result| result.cell.subject.as_model() == Some(Model::Iterative))
        .map(|result| (result.cell.class, result.cell.level, result.verdict(Metric::CpuPerClientUs)))
        .filter(|(.., verdict)| *verdict != Verdict::Valid)
        .collect();
    for (class, level, verdict) in baselines {
        let beside =
            cells.iter_mut().filter(|result| (result.cell.class, result.cell.level) == (class, level));
        for result in beside.filter(|result| result.summaries.contains_key(&Metric::ProcessControlUs)) {
            let why = format!("it is the difference to the iterative server, which is {verdict}");
            let doubts = result.doubted.entry(Metric::ProcessControlUs).or_default();
            *doubts = if doubts.is_empty() { why } else { format!("{doubts}; {why}") };
        }
    }
}

/// Adds process-control time in Stevens' sense: CPU time per client minus that of the iterative server in the
/// same repeat (UNP, chapter 30). For a peer it includes everything else in which it differs from this
/// program's iterative server: one that does less has less than 0, which reports show as below noise.
fn with_process_control(runs: &[Run]) -> Vec<Run> {
    let baseline: BTreeMap<(CoreClass, u32, u32), f64> = runs
        .iter()
        .filter(|run| run.cell.experiment == Experiment::Churn)
        .filter(|run| run.cell.subject.as_model() == Some(Model::Iterative))
        .filter_map(|run| {
            let cpu_us = run.measured()?.values.get(&Metric::CpuPerClientUs)?;
            Some(((run.cell.class, run.cell.level, run.repeat), *cpu_us))
        })
        .collect();
    let mut runs = runs.to_vec();
    for run in &mut runs {
        let key = (run.cell.class, run.cell.level, run.repeat);
        if let (Some(baseline_us), RunOutcome::Measured(measurement)) = (baseline.get(&key), &mut run.outcome)
            && run.cell.experiment == Experiment::Churn
            && let Some(cpu_us) = measurement.values.get(&Metric::CpuPerClientUs).copied()
        {
            measurement.values.insert(Metric::ProcessControlUs, cpu_us - baseline_us);
        }
    }
    runs
}

fn slopes(planned: &[Cell], runs: &[Run], cells: &[CellResult]) -> Vec<Slope> {
    let mut slopes: Vec<Slope> = Vec::new();
    for cell in planned {
        if !matches!(cell.experiment, Experiment::Many | Experiment::Idle) {
            continue;
        }
        for metric in [Metric::MemoryBytes, Metric::KernelBytes] {
            let lines = slopes.iter().any(|slope| {
                (slope.experiment, slope.class, &slope.subject, slope.metric)
                    == (cell.experiment, cell.class, &cell.subject, metric)
            });
            if !lines {
                slopes.extend(slope_of(cell, metric, runs, cells));
            }
        }
    }
    slopes
}

/// The slope of a metric over the levels of a cell's experiment, for its subject.
fn slope_of(cell: &Cell, metric: Metric, runs: &[Run], cells: &[CellResult]) -> Option<Slope> {
    let same = |other: &Cell| {
        (other.experiment, other.class, &other.subject) == (cell.experiment, cell.class, &cell.subject)
    };
    let mut points: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    let (mut fewest, mut most) = (u32::MAX, 0);
    for run in runs.iter().filter(|run| same(&run.cell)) {
        if let Some(value) = run.measured().and_then(|measurement| measurement.values.get(&metric)) {
            let level = run.cell.level;
            points.entry(run.repeat).or_default().push((f64::from(level), *value));
            (fewest, most) = (fewest.min(level), most.max(level));
        }
    }
    let per_repeat: Vec<f64> = points.values().filter_map(|points| slope(points)).collect();
    let summary = MedianInterval::of(&per_repeat)?;
    // Unsupported levels are not part of the line.
    let parts =
        cells.iter().filter(|result| same(&result.cell) && result.judgement.verdict != Verdict::Unsupported);
    let worst = parts.max_by_key(|result| result.judgement.verdict)?;
    let label = cell.experiment.level_label();
    let mut judgement =
        Judgement { verdict: Verdict::Valid, evidence: vec![counted(summary.n.into(), "repeat", "repeats")] };
    // What is negligible in a cell is so in the whole line, from its first level to its last one.
    let half = summary.half();
    let of_line = half * f64::from(most - fewest);
    // One more client or copy takes memory, it never frees any.
    let freed = -summary.high * f64::from(most - fewest);
    let is_wide = summary.spread() > SPREAD_MAX;
    let is_negligible = of_line <= metric.negligible();
    if worst.judgement.verdict != Verdict::Valid {
        judgement = worst.judgement.clone();
        let why = judgement.evidence.first().map_or("", String::as_str);
        let why = format!("at {} {label}: {why}", worst.cell.level);
        judgement.evidence.splice(..judgement.evidence.len().min(1), [why]);
    } else if freed > metric.negligible() {
        let evidence = vec![format!(
            "{} fell by at least {} for {} {label}: other memory was freed meanwhile",
            metric.label(),
            metric.format(freed),
            most - fewest
        )];
        judgement = Judgement { verdict: Verdict::Noisy, evidence };
    } else if is_wide && is_negligible {
        judgement.evidence.push(format!(
            "the slope varies by \u{b1}{}, which is \u{b1}{} for {} {label}: up to {} do not matter",
            metric.format(half),
            metric.format(of_line),
            most - fewest,
            metric.format(metric.negligible())
        ));
    } else if is_wide {
        let varies = if summary.spread() < 1.0 { percent(summary.spread()) } else { metric.format(half) };
        let evidence = vec![format!("the slope varies by \u{b1}{varies}")];
        judgement = Judgement { verdict: Verdict::Noisy, evidence };
    }
    // The upper end of the interval, and not less than what is negligible: of a few repeats all may lie below
    // the true slope, even below 0.
    let negligible = metric.negligible() / f64::from(most - fewest);
    let is_bound = !summary.is_a_cost() || (is_wide && is_negligible);
    let at_most = is_bound.then_some(summary.high.max(negligible));
    Some(Slope {
        experiment: cell.experiment,
        class: cell.class,
        subject: cell.subject.clone(),
        metric,
        summary,
        at_most,
        judgement,
    })
}
