//! The comparison, step by step; each run is kept at once.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::executor::Executor;
use super::outcome::{Run, RunOutcome};
use super::raw::{Header, RawDataFile};
use crate::lab::plan::comparison::PlanStep;

/// Decides what is measured again when all planned steps are done.
pub(crate) trait Again {
    /// The next step, or `None` at the end. `elapsed` is the time since the first step began.
    fn next(&mut self, runs: &[Run], elapsed: Duration) -> Option<PlanStep>;
}

/// Is notified of the progress of a comparison.
pub(crate) trait Watcher {
    /// Step `at` (from 0) begins.
    fn begins(&mut self, at: usize, step: &PlanStep);
    /// The step is done.
    fn done(&mut self, at: usize, run: &Run);
}

/// Runs the steps of the header's plan, then those that `again` adds, until `stop` returns true, and appends
/// each run to the file `raw` at once. A run that cannot be written ends the comparison; all runs so far are
/// returned, including that one.
pub(crate) fn compare(
    header: &Header,
    executor: &mut dyn Executor,
    raw: &Path,
    again: &mut dyn Again,
    stop: &dyn Fn() -> bool,
    watcher: &mut dyn Watcher,
) -> (Vec<Run>, io::Result<()>) {
    let mut journal = match RawDataFile::create(raw, header) {
        Ok(journal) => journal,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let began = Instant::now();
    let mut runs = Vec::new();
    let mut planned = header.plan.steps().into_iter();
    while !stop() {
        let chosen = planned.next().or_else(|| again.next(&runs, began.elapsed()));
        let Some(chosen) = chosen else { break };
        let at = runs.len();
        watcher.begins(at, &chosen);
        let PlanStep { cell, repeat, attempt } = chosen;
        let unsupported = cell.experiment.unsupported(&cell.subject, cell.level, header.machine.allowed());
        let outcome = match unsupported {
            Some(why) => RunOutcome::Unsupported(why),
            None => executor.run(&cell, header.plan.extent, repeat),
        };
        if stop() {
            // An interrupted run is not a measurement.
            break;
        }
        let at_s = (began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        let run = Run { cell, repeat, attempt, at_s, outcome };
        let kept = journal.append(&run);
        watcher.done(at, &run);
        runs.push(run);
        if kept.is_err() {
            return (runs, kept);
        }
    }
    (runs, Ok(()))
}
