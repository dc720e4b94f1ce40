//! Rankings and crossovers, from VALID cells alone. There is no overall winner: situations differ.

use serde::{Deserialize, Serialize};

use super::results::{CellResult, JudgedValue, Results};
use crate::judge::Verdict;
use crate::judge::statistics::MedianInterval;
use crate::lab::plan::experiment::{Experiment, Extent};
use crate::lab::plan::metric::{Better, Metric};
use crate::lab::plan::subject::CoreClass;

/// A row of the decision table: a ranking for one situation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// The situation in which the reader has to choose.
    pub(crate) situation: String,
    /// The server's cores.
    pub(crate) class: CoreClass,
    /// What is compared.
    pub(crate) metric: Metric,
    /// The subjects in tiers, best first. Within a tier intervals overlap, directly or through another one,
    /// and the order means nothing; intervals of different tiers do not overlap.
    pub(crate) tiers: Vec<Vec<RankedSubject>>,
    /// Subjects that are not ranked, and why.
    pub(crate) left_out: Vec<(String, Verdict)>,
}

/// A subject in a ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RankedSubject {
    /// The subject.
    pub(crate) name: String,
    /// Its value.
    pub(crate) summary: MedianInterval,
    /// The most that it may be, as of a slope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<f64>,
}

impl RankedSubject {
    /// What it is compared by: up to the bound that is shown, where there is one.
    fn interval(&self) -> MedianInterval {
        MedianInterval { high: self.at_most.unwrap_or(self.summary.high), ..self.summary }
    }
}

/// Where two subjects change places as the level grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Crossover {
    /// The experiment.
    pub(crate) experiment: Experiment,
    /// The server's cores.
    pub(crate) class: CoreClass,
    /// What is compared.
    pub(crate) metric: Metric,
    /// The subject that is better up to `until`.
    pub(crate) before: String,
    /// The last level at which `before` is better.
    pub(crate) until: u32,
    /// The subject that is better from `from` on.
    pub(crate) after: String,
    /// The first level at which `after` is better.
    pub(crate) from: u32,
}

/// The decision table and the crossovers. Empty for a quick comparison, which has too few levels and repeats.
pub(crate) fn decide(results: &Results) -> (Vec<Decision>, Vec<Crossover>) {
    if results.header.plan.extent == Extent::Quick {
        return (Vec::new(), Vec::new());
    }
    let mut decisions = Vec::new();
    let mut crossovers = Vec::new();
    for &class in &results.header.plan.classes {
        for &experiment in &results.header.plan.experiments {
            let cells = results.of_experiment(experiment, class);
            for &metric in deciding(experiment) {
                decisions.extend(rankings(experiment, class, metric, &cells));
            }
            if experiment == Experiment::Crowd {
                for metric in [Metric::RequestsPerS, Metric::LatencyP99Us] {
                    crossovers.extend(crossings(experiment, class, metric, &cells));
                }
            }
            decisions.extend(slope_rankings(results, experiment, class));
        }
    }
    (decisions, crossovers)
}

/// The metrics of an experiment that are ranked.
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
        Experiment::Few => format!("{level} clients connect at the same time"),
        Experiment::Many => "spare copies wait for clients (per copy)".to_owned(),
        Experiment::Churn => "clients connect, send one request and close".to_owned(),
        Experiment::Crowd => {
            format!("{level} {} sending without pause", if level == 1 { "client" } else { "clients" })
        }
        Experiment::Steady => format!("{level} requests per second"),
        Experiment::Idle => "clients stay connected and idle (per client)".to_owned(),
        Experiment::Bulk => "large messages".to_owned(),
    }
}

/// A ranking per level.
fn rankings(
    experiment: Experiment,
    class: CoreClass,
    metric: Metric,
    cells: &[&CellResult],
) -> Vec<Decision> {
    let mut levels: Vec<u32> = cells.iter().map(|result| result.cell.level).collect();
    levels.dedup();
    let mut decisions = Vec::new();
    for level in levels {
        let at_level = cells.iter().filter(|result| result.cell.level == level);
        let values: Vec<JudgedValue<'_>> = at_level.map(|result| result.judged(metric)).collect();
        let situation = situation(experiment, level);
        decisions.extend(ranking(situation, class, metric, metric.negligible(), &values));
    }
    decisions
}

fn slope_rankings(results: &Results, experiment: Experiment, class: CoreClass) -> Vec<Decision> {
    let ranking = |metric| {
        let values = results.judged_slopes(experiment, class, metric);
        // A byte per client matters; a byte per server does not.
        ranking(situation(experiment, 0), class, metric, 0.0, &values)
    };
    match experiment {
        Experiment::Many | Experiment::Idle => {
            [Metric::MemoryBytes, Metric::KernelBytes].into_iter().filter_map(ranking).collect()
        }
        _ => Vec::new(),
    }
}

/// A ranking of the values that are trusted; `None` without any.
fn ranking(
    situation: String,
    class: CoreClass,
    metric: Metric,
    negligible: f64,
    values: &[JudgedValue<'_>],
) -> Option<Decision> {
    let (mut ranked, mut left_out) = (Vec::new(), Vec::new());
    for value in values {
        let name = value.name.to_owned();
        match value.trusted() {
            Some(summary) => ranked.push(RankedSubject { name, summary: *summary, at_most: value.at_most }),
            None => left_out.push((name, value.verdict)),
        }
    }
    let any = !ranked.is_empty();
    let tiers = tiers(metric, negligible, ranked);
    any.then_some(Decision { situation, class, metric, tiers, left_out })
}

/// Sorts, best first, and starts a new tier where every interval before is disjoint from every interval
/// after.
///
/// It is not enough to be disjoint from the first of a tier. In a chain of three overlapping neighbours, the
/// first and the last may be disjoint, but nothing separates the last from the second. Such a chain is one
/// tier.
pub(crate) fn tiers(
    metric: Metric,
    negligible: f64,
    mut ranked: Vec<RankedSubject>,
) -> Vec<Vec<RankedSubject>> {
    // Stable: equal subjects keep the order of the lecture.
    ranked.sort_by(|a, b| match metric.better() {
        Better::Lower => a.summary.median.total_cmp(&b.summary.median),
        Better::Higher => b.summary.median.total_cmp(&a.summary.median),
    });
    let opens = |at: usize| {
        let (before, behind) = ranked.split_at(at);
        before.iter().all(|a| behind.iter().all(|b| apart(&a.interval(), &b.interval(), negligible)))
    };
    let opening: Vec<bool> = (0..ranked.len()).map(opens).collect();
    let mut tiers: Vec<Vec<RankedSubject>> = Vec::new();
    for (subject, opens) in ranked.into_iter().zip(opening) {
        match tiers.last_mut() {
            Some(tier) if !opens => tier.push(subject),
            _ => tiers.push(vec![subject]),
        }
    }
    tiers
}

/// Whether two summaries differ by more than chance and by more than is negligible.
fn apart(a: &MedianInterval, b: &MedianInterval, negligible: f64) -> bool {
    (a.is_below(b) || b.is_below(a)) && (a.median - b.median).abs() > negligible
}

/// Every pair that changes places between two levels at which their order is clear.
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

/// The levels at which two subjects are VALID and differ, ascending, with the better one first.
fn clear_orders<'a>(
    metric: Metric,
    cells: &[&'a CellResult],
    first: &str,
    second: &str,
) -> Vec<(u32, &'a str, &'a str)> {
    let valid = |name: &str, level: Option<u32>| {
        cells
            .iter()
            .filter(|result| result.verdict(metric) == Verdict::Valid && result.cell.subject.name == name)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(metric: Metric, negligible: f64, intervals: &[(&str, [f64; 3])]) -> Vec<Vec<String>> {
        let ranked = intervals.iter().map(|(name, values)| RankedSubject {
            name: (*name).to_owned(),
            summary: MedianInterval::of(values).unwrap_or_else(|| panic!("no summary")),
            at_most: None,
        });
        tiers(metric, negligible, ranked.collect())
            .into_iter()
            .map(|tier| tier.into_iter().map(|subject| subject.name).collect())
            .collect()
    }

    #[test]
    fn between_two_tiers_every_interval_is_apart_from_every_other() {
        let chain =
            [("a", [1.0, 1.5, 2.0]), ("b", [1.9, 2.4, 3.0]), ("c", [2.5, 3.5, 4.0]), ("d", [5.0, 5.1, 5.2])];
        assert_eq!(names(Metric::LatencyP99Us, 0.0, &chain), [vec!["a", "b", "c"], vec!["d"]]);
        assert_eq!(names(Metric::RequestsPerS, 0.0, &chain), [vec!["d"], vec!["c", "b", "a"]]);
        // A very wide interval joins all subjects into one tier.
        let wide = [("a", [1.0, 1.1, 1.2]), ("b", [0.5, 2.0, 9.0]), ("c", [5.0, 5.1, 5.2])];
        assert_eq!(names(Metric::LatencyP99Us, 0.0, &wide), [vec!["a", "b", "c"]]);
        let bounded = |at_most| {
            let [a, b] =
                [[-3.0, 1.0, 4.0], [5.0, 6.0, 7.0]].map(|values| MedianInterval::of(&values).unwrap());
            let a = RankedSubject { name: "a".into(), summary: a, at_most };
            let b = RankedSubject { name: "b".into(), summary: b, at_most: None };
            tiers(Metric::MemoryBytes, 0.0, vec![a, b]).len()
        };
        assert_eq!((bounded(None), bounded(Some(6.0))), (2, 1), "at most 6 and 6 are not apart");
        let near = [("a", [1.0, 1.0, 1.0]), ("b", [2.5, 2.5, 2.5]), ("c", [9.0, 9.0, 9.0])];
        assert_eq!(names(Metric::WaitMs, 2.0, &near), [vec!["a", "b"], vec!["c"]], "2 ms are negligible");
    }
}
