//! What the evidence says to someone who must choose: orders and crossovers from VALID cells only, and no winner.

use serde::{Deserialize, Serialize};

use super::cell::{Better, CoreClass, Metric};
use super::experiments::{Experiment, Extent};
use super::judge::Verdict;
use super::results::{CellResult, Results};
use super::stats::Summary;

/// A row of the decision table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The situation someone is in.
    pub situation: String,
    /// The server's cores.
    pub class: CoreClass,
    /// What is compared.
    pub metric: Metric,
    /// The subjects, best first, in tiers: within a tier, intervals meet and the order says nothing.
    pub tiers: Vec<Vec<Standing>>,
    /// Who takes no part in the order, and why.
    pub left_out: Vec<(String, Verdict)>,
}

/// A subject's place in an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The subject.
    pub name: String,
    /// Its value.
    pub summary: Summary,
}

/// Where two subjects change places as the level grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossover {
    /// The experiment.
    pub experiment: Experiment,
    /// The server's cores.
    pub class: CoreClass,
    /// What is compared.
    pub metric: Metric,
    /// The better one up to `until`.
    pub before: String,
    /// The last level at which it is better.
    pub until: u32,
    /// The better one from `from` on.
    pub after: String,
    /// The first level at which the other is better.
    pub from: u32,
}

/// The decision table and the crossovers. Empty for a quick look: too few levels and repeats to decide by.
pub fn decide(results: &Results) -> (Vec<Decision>, Vec<Crossover>) {
    if results.header.plan.extent == Extent::Quick {
        return (Vec::new(), Vec::new());
    }
    let mut decisions = Vec::new();
    let mut crossovers = Vec::new();
    for &class in &results.header.plan.classes {
        for &experiment in &results.header.plan.experiments {
            let cells = results.of_experiment(experiment, class);
            for &metric in deciding(experiment) {
                decisions.extend(orders(experiment, class, metric, &cells));
            }
            if experiment == Experiment::Crowd {
                for metric in [Metric::RequestsPerS, Metric::LatencyP99Us] {
                    crossovers.extend(crossings(experiment, class, metric, &cells));
                }
            }
            decisions.extend(slope_orders(results, experiment, class));
        }
    }
    (decisions, crossovers)
}

/// The metrics of an experiment by which someone decides.
fn deciding(experiment: Experiment) -> &'static [Metric] {
    match experiment {
        Experiment::Wait => &[Metric::WaitMs],
        Experiment::Few => &[Metric::ServedAtOnce],
        Experiment::Churn => &[Metric::ClientsPerS, Metric::CpuPerClientUs],
        Experiment::Crowd => &[Metric::RequestsPerS],
        Experiment::Steady => &[Metric::CpuPerRequestUs, Metric::LatencyP99Us],
        Experiment::Bulk => &[Metric::BytesPerS],
        Experiment::Many | Experiment::Idle => &[],
    }
}

fn situation(experiment: Experiment, level: u32) -> String {
    match experiment {
        Experiment::Wait => "clients may stall".to_owned(),
        Experiment::Few => format!("{level} clients arrive at once"),
        Experiment::Many => "capacity is kept ready while nobody asks (per copy)".to_owned(),
        Experiment::Churn => "clients come, ask once and go".to_owned(),
        Experiment::Crowd => {
            format!("{level} {} at once", if level == 1 { "client converses" } else { "clients converse" })
        }
        Experiment::Steady => format!("{level} requests per second, always"),
        Experiment::Idle => "clients stay and are silent (per client)".to_owned(),
        Experiment::Bulk => "big messages".to_owned(),
    }
}

/// One order per level.
fn orders(experiment: Experiment, class: CoreClass, metric: Metric, cells: &[&CellResult]) -> Vec<Decision> {
    let mut levels: Vec<u32> = cells.iter().map(|result| result.cell.level).collect();
    levels.dedup();
    let mut decisions = Vec::new();
    for level in levels {
        let mut standings = Vec::new();
        let mut left_out = Vec::new();
        for result in cells.iter().filter(|result| result.cell.level == level) {
            let name = result.cell.subject.name.clone();
            match (result.judgement.verdict, result.summaries.get(&metric)) {
                (Verdict::Valid, Some(summary)) => standings.push(Standing { name, summary: *summary }),
                (verdict, _) => left_out.push((name, verdict)),
            }
        }
        if !standings.is_empty() {
            let tiers = tiers(metric, metric.negligible(), standings);
            decisions.push(Decision {
                situation: situation(experiment, level),
                class,
                metric,
                tiers,
                left_out,
            });
        }
    }
    decisions
}

fn slope_orders(results: &Results, experiment: Experiment, class: CoreClass) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for metric in [Metric::MemoryBytes, Metric::KernelBytes] {
        let mut standings = Vec::new();
        let mut left_out = Vec::new();
        for slope in &results.slopes {
            if (slope.experiment, slope.class, slope.metric) == (experiment, class, metric) {
                let name = slope.subject.name.clone();
                match slope.judgement.verdict {
                    Verdict::Valid => standings.push(Standing { name, summary: slope.summary }),
                    verdict => left_out.push((name, verdict)),
                }
            }
        }
        if !standings.is_empty() {
            // A byte per client matters, where a byte per server does not.
            let tiers = tiers(metric, 0.0, standings);
            decisions.push(Decision { situation: situation(experiment, 0), class, metric, tiers, left_out });
        }
    }
    decisions
}

/// Sorts, best first, and opens a new tier where an interval is apart from that of the tier's first, and the medians
/// by more than `negligible`.
pub fn tiers(metric: Metric, negligible: f64, mut standings: Vec<Standing>) -> Vec<Vec<Standing>> {
    // Stable: equals keep the order of the lecture.
    standings.sort_by(|a, b| match metric.better() {
        Better::Lower => a.summary.median.total_cmp(&b.summary.median),
        Better::Higher => b.summary.median.total_cmp(&a.summary.median),
    });
    let mut tiers: Vec<Vec<Standing>> = Vec::new();
    for standing in standings {
        match tiers.last_mut() {
            Some(tier) if !apart(&tier[0].summary, &standing.summary, negligible) => tier.push(standing),
            _ => tiers.push(vec![standing]),
        }
    }
    tiers
}

/// Whether two summaries differ by more than chance and by more than anybody's concern.
fn apart(a: &Summary, b: &Summary, negligible: f64) -> bool {
    (a.is_below(b) || b.is_below(a)) && (a.median - b.median).abs() > negligible
}

/// Every pair that changes places between two levels at which the order is clear.
fn crossings(
    experiment: Experiment,
    class: CoreClass,
    metric: Metric,
    cells: &[&CellResult],
) -> Vec<Crossover> {
    let mut names: Vec<&str> = Vec::new();
    for result in cells {
        if !names.contains(&result.cell.subject.name.as_str()) {
            names.push(&result.cell.subject.name);
        }
    }
    let mut crossovers = Vec::new();
    for (at, first) in names.iter().enumerate() {
        for second in &names[at + 1..] {
            let mut last: Option<(&str, &str, u32)> = None;
            for (level, better, worse) in clear_orders(metric, cells, first, second) {
                if let Some((before, _, until)) = last
                    && before != better
                {
                    let (before, after) = (before.to_owned(), better.to_owned());
                    crossovers.push(Crossover {
                        experiment,
                        class,
                        metric,
                        before,
                        until,
                        after,
                        from: level,
                    });
                }
                last = Some((better, worse, level));
            }
        }
    }
    crossovers
}

/// The levels at which two subjects are VALID and apart, ascending, with the better one first.
fn clear_orders<'a>(
    metric: Metric,
    cells: &[&'a CellResult],
    first: &str,
    second: &str,
) -> Vec<(u32, &'a str, &'a str)> {
    let valid = |name: &str, level: Option<u32>| {
        cells
            .iter()
            .filter(|result| result.judgement.verdict == Verdict::Valid && result.cell.subject.name == name)
            .filter(|result| level.is_none_or(|level| result.cell.level == level))
            .filter_map(|result| {
                Some((result.cell.level, result.cell.subject.name.as_str(), *result.summaries.get(&metric)?))
            })
            .collect::<Vec<_>>()
    };
    let mut orders = Vec::new();
    for (level, name, summary) in valid(first, None) {
        for (_, other, other_summary) in valid(second, Some(level)) {
            if apart(&summary, &other_summary, metric.negligible()) {
                let first_is_more = summary.median > other_summary.median;
                let first_is_better = first_is_more == (metric.better() == Better::Higher);
                orders.push(if first_is_better { (level, name, other) } else { (level, other, name) });
            }
        }
    }
    orders.sort_by_key(|order| order.0);
    orders
}
