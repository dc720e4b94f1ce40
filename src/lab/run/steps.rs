//! The comparison itself: step by step, each run kept as soon as it is made.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::executor::Executor;
use super::outcome::{Outcome, Run};
use super::raw::{Header, RawDataFile};
use crate::lab::plan::comparison::Step;

/// Who watches a comparison.
pub(crate) trait Watcher {
    /// Step `at` (from 0) begins.
    fn begins(&mut self, at: usize, step: &Step);
    /// It is done.
    fn done(&mut self, at: usize, run: &Run);
}

/// Runs all steps of the header's plan, or as many as `stop` allows, and keeps each run in `raw` at once. What cannot be
/// kept any more ends it; the runs made until then are returned all the same, the last one too.
pub(crate) fn compare(
    header: &Header,
    executor: &mut dyn Executor,
    raw: &Path,
    stop: &dyn Fn() -> bool,
    watcher: &mut dyn Watcher,
) -> (Vec<Run>, io::Result<()>) {
    let mut journal = match RawDataFile::create(raw, header) {
        Ok(journal) => journal,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let began = Instant::now();
    let mut runs = Vec::new();
    for (at, step) in header.plan.steps().into_iter().enumerate() {
        if stop() {
            break;
        }
        watcher.begins(at, &step);
        let Step { cell, repeat } = step;
        let unsupported = cell.experiment.unsupported(&cell.subject, cell.level, header.machine.allowed());
        let outcome = match unsupported {
            Some(why) => Outcome::Unsupported(why),
            None => executor.run(&cell, header.plan.extent, repeat),
        };
        if stop() {
            // What was interrupted is no measurement.
            break;
        }
        let run = Run { cell, repeat, at_s: (began.elapsed().as_secs_f64() * 1e3).round() / 1e3, outcome };
        let kept = journal.append(&run);
        watcher.done(at, &run);
        runs.push(run);
        if kept.is_err() {
            return (runs, kept);
        }
    }
    (runs, Ok(()))
}
