//! Which attempts at a repeat count.
//!
//! A run is measured again only if other processes took CPU time from its server or generator. The first
//! undisturbed attempt replaces it, whatever the values of both. So the state of the machine selects the
//! attempts, never their results, and the median is that of a quiet machine. If every attempt was disturbed,
//! the first one counts. A run that failed is never replaced.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::criteria::{ComparisonSetup, is_replaceable};
use crate::lab::run::outcome::Run;

/// The runs that count: one for each repeat of a cell.
pub(super) fn counting(runs: &[Run], setup: ComparisonSetup) -> Vec<Run> {
    let mut places = BTreeMap::new();
    let mut counting: Vec<Run> = Vec::new();
    for run in runs {
        match places.entry((&run.cell, run.repeat)) {
            Entry::Vacant(place) => {
                place.insert(counting.len());
                counting.push(run.clone());
            }
            Entry::Occupied(place) => {
                let kept = &mut counting[*place.get()];
                if is_replaceable(kept, setup) && !is_replaceable(run, setup) {
                    *kept = run.clone();
                }
            }
        }
    }
    counting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::evidence::Evidence;
    use crate::judge::repeats::Cores;
    use crate::lab::plan::comparison::Cell;
    use crate::lab::plan::experiment::Experiment;
    use crate::lab::plan::metric::Metric;
    use crate::lab::plan::subject::{CoreClass, Subject};
    use crate::lab::run::outcome::{Measurement, RunOutcome};
    use crate::models::Model;

    const SETUP: ComparisonSetup = ComparisonSetup { repeats_min: 3, cores: Cores::Separate };

    /// An attempt at a repeat while other processes take a share of the server's core.
    fn run(repeat: u32, attempt: u32, others: f64, value: f64) -> Run {
        let cell = Cell {
            experiment: Experiment::Steady,
            class: CoreClass::OneCore,
            level: 2000,
            subject: Subject::model(Model::Reactor, None),
        };
        let evidence = Evidence { others_beside_server: Some(others), ..Evidence::default() };
        let measurement = Measurement { evidence, ..Measurement::default() };
        let measurement = measurement.with(Metric::CpuPerRequestUs, value);
        Run { cell, repeat, attempt, at_s: 0.0, outcome: RunOutcome::Measured(Box::new(measurement)) }
    }

    fn chosen(runs: &[Run]) -> Vec<(u32, u32)> {
        counting(runs, SETUP).iter().map(|run| (run.repeat, run.attempt)).collect()
    }

    #[test]
    fn the_first_attempt_on_a_quiet_machine_counts_whatever_its_value() {
        let others =
            [(0, 0, 0.5), (1, 0, 0.02), (2, 0, 0.3), (0, 1, 0.4), (2, 1, 0.4), (0, 2, 0.01), (0, 3, 0.0)];
        for seed in 0..50_u64 {
            let value = |at: u64| ((seed * 7 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64;
            let runs = others.iter().zip(0..);
            let runs: Vec<Run> = runs
                .map(|((repeat, attempt, others), at)| run(*repeat, *attempt, *others, value(at)))
                .collect();
            // The repeat that was never quiet counts as it was measured at first.
            assert_eq!(chosen(&runs), [(0, 2), (1, 0), (2, 0)]);
        }
    }

    #[test]
    fn a_failure_is_never_replaced_and_one_of_a_later_attempt_counts() {
        let failed =
            |attempt| Run { outcome: RunOutcome::Failed("it ended".into()), ..run(0, attempt, 0.0, 0.0) };
        assert_eq!(chosen(&[failed(0), run(0, 1, 0.0, 1.0)]), [(0, 0)]);
        assert_eq!(chosen(&[run(0, 0, 0.5, 1.0), failed(1), run(0, 2, 0.0, 1.0)]), [(0, 1)]);
    }
}
