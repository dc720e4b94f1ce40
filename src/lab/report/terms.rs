//! The terms of the field, each explained where it first stands in a report.

use crate::lab::plan::experiment::Experiment;
use crate::lab::plan::metric::Metric;

/// A term and its explanation.
pub(super) type Term = (&'static str, &'static str);

/// Whether a term stands in an experiment.
type StandsIn = fn(Experiment) -> bool;

/// The terms, and where they stand.
const TERMS: [(Term, StandsIn); 6] = [
    (
        (
            "Interval",
            "the confidence interval of a median: if the whole comparison were made many times, this share of the \
             intervals would contain the true median. Two servers differ clearly if their intervals do not overlap",
        ),
        |_| true,
    ),
    (
        (
            "PSS",
            "proportional set size, the memory of a process: a page that several processes share counts for each of them in \
             equal parts, so that the sum over a tree of processes counts it once",
        ),
        |experiment| experiment.metrics().contains(&Metric::MemoryBytes),
    ),
    (
        (
            "p50, p99, p99.9",
            "of 100 requests 50, or 99, were answered within this time, and of 1000 requests 999: p50 is the median, and the \
             others show the slow ones",
        ),
        |experiment| experiment.metrics().contains(&Metric::LatencyP99Us),
    ),
    (
        (
            "Closed loop",
            "a client sends its next request when it has the reply: a server that is slow gets fewer requests. It shows capacity",
        ),
        |experiment| matches!(experiment, Experiment::Churn | Experiment::Crowd | Experiment::Bulk),
    ),
    (
        (
            "Open loop",
            "requests fall due at times that no reply changes: behind a slow reply they queue, and their wait counts. It shows \
             what users would experience",
        ),
        |experiment| matches!(experiment, Experiment::Steady | Experiment::Idle),
    ),
    (
        (
            "Process control",
            "what it costs to create and end what serves a client (Stevens): a process, a thread, a slot",
        ),
        |experiment| experiment.metrics().contains(&Metric::ProcessControlUs),
    ),
];

/// The terms of this experiment that no earlier experiment uses.
pub(super) fn first_in(experiment: Experiment, before: &[Experiment]) -> Vec<Term> {
    let is_new = |stands: &StandsIn| stands(experiment) && !before.iter().any(|earlier| stands(*earlier));
    TERMS.iter().filter(|(_, stands)| is_new(stands)).map(|(term, _)| *term).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_term_is_explained_once_in_whatever_order() {
        let mut orders = [Experiment::ALL, Experiment::ALL];
        orders[1].reverse();
        for order in orders {
            let explained = (0..order.len()).flat_map(|at| first_in(order[at], &order[..at]));
            let mut words: Vec<&str> = explained.map(|(word, _)| word).collect();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), TERMS.len());
        }
        assert_eq!(first_in(Experiment::Bulk, &[Experiment::Crowd]), []);
    }
}
