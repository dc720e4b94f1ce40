//! How each experiment is judged: which rules of [`crate::judge`] apply to it.

use std::collections::BTreeMap;

use crate::judge::Verdict;
use crate::judge::evidence::Evidence;
use crate::judge::repeats::{Cores, Criteria, Figure, FullQueue, Headline, OtherLoad, Repeat, disturbances};
use crate::judge::statistics::MedianInterval;
use crate::lab::plan::experiment::{Experiment, PATIENCE_MS};
use crate::lab::plan::metric::Metric;
use crate::lab::run::outcome::{Run, RunOutcome};
use crate::lab::run::raw::Header;

/// What applies to all cells of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparisonSetup {
    pub(super) repeats_min: u32,
    pub(super) cores: Cores,
}

impl ComparisonSetup {
    pub(super) fn of(header: &Header) -> ComparisonSetup {
        ComparisonSetup {
            repeats_min: header.plan.extent.repeats_min(),
            cores: header.machine.core_sharing(),
        }
    }
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
            // What `wait` shows is longer by far than other processes make anyone wait.
            Experiment::Wait | Experiment::Few | Experiment::Many | Experiment::Idle => OtherLoad::Harmless,
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

/// The kind of a metric that other processes may distort; `None` for counts, memory, and waits for a stalled
/// client.
fn figure(metric: Metric) -> Option<Figure> {
    match metric {
        Metric::ClientsPerS | Metric::RequestsPerS | Metric::BytesPerS => Some(Figure::Capacity),
        Metric::CpuPerClientUs | Metric::ProcessControlUs | Metric::CpuPerRequestUs => Some(Figure::Cost),
        Metric::LatencyP50Us | Metric::LatencyP99Us | Metric::LatencyP999Us => Some(Figure::Latency),
        Metric::WaitMs
        | Metric::WaitMaxMs
        | Metric::ServedAtOnce
        | Metric::KeptWaiting
        | Metric::Refused
        | Metric::Dropped
        | Metric::MemoryBytes
        | Metric::KernelBytes
        | Metric::CpuPerSecondUs
        | Metric::Fairness => None,
    }
}

/// Metrics of a cell that are less trustworthy than the cell, with reasons. A process on the generator's core
/// delays replies, but does not change the server's CPU time per reply or its memory.
pub(super) fn doubts(
    experiment: Experiment,
    measured: &[&Evidence],
    setup: ComparisonSetup,
) -> BTreeMap<Metric, String> {
    let doubt = |metric: &Metric| {
        let found = disturbances(measured, setup.cores, figure(*metric)?);
        (!found.is_empty()).then(|| (*metric, found.join("; ")))
    };
    experiment.metrics().iter().filter_map(doubt).collect()
}

/// How other processes took CPU time from server or generator; empty if they did not.
pub(super) fn disturbed_by(measured: &[&Evidence], setup: ComparisonSetup) -> Vec<String> {
    disturbances(measured, setup.cores, Figure::Latency)
}

/// Whether other processes may have changed what this run is judged by: then it is measured again, and
/// another attempt counts in its place. Nothing else is a reason to measure again, least of all the values.
pub(super) fn is_replaceable(run: &Run, setup: ComparisonSetup) -> bool {
    let Some(measurement) = run.measured() else { return false };
    let evidence = &measurement.evidence;
    let figure = figure(run.cell.experiment.headline()).unwrap_or(Figure::Latency);
    evidence.not_sampled_ms.is_some() || !disturbances(&[evidence], setup.cores, figure).is_empty()
}

/// Whether a value is only a lower bound: a capacity that the generator limited, or the wait of a client that
/// gave up.
pub(crate) fn is_lower_bound(verdict: Verdict, metric: Metric, value: f64) -> bool {
    (verdict == Verdict::GeneratorBound && metric.is_capacity())
        || (metric == Metric::WaitMaxMs && value >= PATIENCE_MS as f64)
}
