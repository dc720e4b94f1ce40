//! A run by several threads, each with a loop, connections and a recorder of its own: nothing is shared while
//! requests are sent. At the end their reports become one.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::RunProgress;
use super::common_start::CommonStart;
use super::engine::Engine;
use super::error::RunError;
use super::merge::merged;
use super::plan::Plan;
use super::portion::Portion;
use super::report::{Phase, Report};
use super::verdict;
use super::workload::Workload;

/// How often the progress of all threads is reported.
const PROGRESS: Duration = Duration::from_millis(100);

/// Runs the plan with its threads.
pub(super) fn run<W: Workload>(
    plan: &Plan,
    workload: &W,
    start: &CommonStart,
    mut watch: impl FnMut(&RunProgress) -> ControlFlow<()>,
) -> Result<Report, RunError> {
    let plans: Vec<(Plan, Portion)> =
        Portion::all(plan.threads).map(|portion| (plan.portion(portion), portion)).collect();
    let stop = &AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    let ended = thread::scope(|scope| {
        let mut threads = Vec::with_capacity(plans.len());
        for (at, (plan, portion)) in plans.iter().enumerate() {
            let (sender, portion) = (sender.clone(), *portion);
            let work = move || {
                let run = |engine: Engine<'_, W>| {
                    engine.run(|progress| {
                        // Without a receiver the run has ended.
                        let _ = sender.send((at, *progress));
                        if stop.load(Ordering::Relaxed) {
                            ControlFlow::Break(())
                        } else {
                            ControlFlow::Continue(())
                        }
                    })
                };
                let done = Engine::new(plan, workload, portion, start).and_then(run);
                // The other threads would wait for this one.
                stop.fetch_or(done.is_err(), Ordering::Relaxed);
                done
            };
            let thread = thread::Builder::new().name(format!("load-{at}")).spawn_scoped(scope, work);
            stop.fetch_or(thread.is_err(), Ordering::Relaxed);
            threads.push(thread);
        }
        drop(sender);
        let mut view = View::of(threads.len());
        // Until every thread has ended: each sends its progress ten times per second.
        while let Ok((at, progress)) = receiver.recv() {
            if let Some(progress) = view.add(at, progress)
                && watch(&progress).is_break()
            {
                stop.store(true, Ordering::Relaxed);
            }
        }
        let join = |thread: io::Result<thread::ScopedJoinHandle<'_, Result<Report, RunError>>>| {
            let thread = thread.map_err(RunError::System)?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    let reports = ended.into_iter().collect::<Result<Vec<_>, _>>()?;
    let configuration = plan.configuration_with(workload);
    let whole =
        merged(&reports).ok_or_else(|| RunError::System(io::Error::other("no thread has a report")))?;
    let mut report = Report { configuration, ..whole };
    verdict::conclude(&mut report);
    Ok(report)
}

/// The merged progress of all threads.
struct View {
    seen: Vec<Option<RunProgress>>,
    shown: Option<(Phase, Instant)>,
}

impl View {
    fn of(threads: usize) -> Self {
        View { seen: vec![None; threads], shown: None }
    }

    /// Adds the progress of a thread. Returns the progress of all if it is to be shown.
    fn add(&mut self, at: usize, progress: RunProgress) -> Option<RunProgress> {
        self.seen[at] = Some(progress);
        let all: Vec<RunProgress> = self.seen.iter().copied().collect::<Option<_>>()?;
        let together = RunProgress::together(&all)?;
        let is_due = |(phase, at): (Phase, Instant)| phase != together.phase || at.elapsed() >= PROGRESS;
        if !self.shown.is_none_or(is_due) {
            return None;
        }
        self.shown = Some((together.phase, Instant::now()));
        Some(together)
    }
}
