//! How each experiment is judged: which rules of [`crate::judge`] apply to it.

use crate::judge::Verdict;
use crate::judge::repeats::{Cores, Criteria, FullQueue, Headline, OtherLoad, Repeat, disturbances};
use crate::judge::statistics::MedianInterval;
use crate::lab::plan::experiment::{Experiment, PATIENCE_MS};
use crate::lab::plan::metric::Metric;
use crate::lab::run::outcome::{Run, RunOutcome};

/// What applies to all cells of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparisonSetup {
    pub(super) repeats_min: u32,
    pub(super) cores: Cores,
}

/// The criteria for a cell of this experiment.
pub(super) fn criteria(
    experiment: Experiment,
    headline: Option<&MedianInterval>,
    setup: ComparisonSetup,
) -> Criteria {
    let metric = experiment.headline();
    Criteria {
        repeats_min: setup.repeats_min,
        cores: setup.cores,
        headline: Headline {
            label: metric.label(),
            summary: headline.copied(),
            negligible: metric.negligible(),
            is_capacity: metric.is_capacity(),
        },
        other_load: match experiment {
            Experiment::Few | Experiment::Many | Experiment::Idle => OtherLoad::Harmless,
            _ => OtherLoad::Disturbs,
        },
        full_queue: match experiment {
            Experiment::Few => FullQueue::IsMeasured,
            Experiment::Churn => FullQueue::Disturbs,
            _ => FullQueue::Harmless,
        },
    }
}

/// A run as the judge reads it.
pub(super) fn repeat(run: &Run) -> Repeat<'_> {
    match &run.outcome {
        RunOutcome::Measured(measurement) => Repeat::Measured(&measurement.evidence),
        RunOutcome::Unsupported(why) => Repeat::Unsupported(why),
        RunOutcome::Failed(why) => Repeat::Failed(run.repeat + 1, why),
    }
}

/// Metrics of a cell that are less trustworthy than the cell, and why: beside an idle crowd other processes
/// change times, and leave memory as it is.
pub(super) fn doubts(
    experiment: Experiment,
    runs: &[&Run],
    setup: ComparisonSetup,
) -> Option<(&'static [Metric], String)> {
    if experiment != Experiment::Idle {
        return None;
    }
    let measured: Vec<_> =
        runs.iter().filter_map(|run| run.measured()).map(|measurement| &measurement.evidence).collect();
    let found = disturbances(&measured, setup.cores);
    (!found.is_empty()).then(|| (&[Metric::CpuPerRequestUs, Metric::LatencyP99Us][..], found.join("; ")))
}

/// Whether a value is only a lower bound: a capacity that the generator limited, or the wait of a client that
/// gave up.
pub(crate) fn is_lower_bound(verdict: Verdict, metric: Metric, value: f64) -> bool {
    (verdict == Verdict::GeneratorBound && metric.is_capacity())
        || (metric == Metric::WaitMaxMs && value >= PATIENCE_MS as f64)
}
