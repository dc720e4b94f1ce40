//! The parent of N worker processes, for [`super::prefork`] and [`super::workers`]: it forks them ahead,
//! replaces those that die, passes signals on, and drains all.
//!
//! The parent has one thread and no `mio::Poll`. It waits for its signals, and reaps there. It keeps the
//! listeners open, so that clients in a dead worker's queue are served by its replacement.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::reactor::Summary;
use crate::sys::listener::is_shortage;
use crate::sys::process::{self, ChildExit, ChildRequest, ForkSide};
use crate::sys::{HeldSignals, SharedCounters, Signals};
use crate::telemetry::{Counters, Reason, Tally, Telemetry};
use crate::time::in_words;

use super::blocking::INTERRUPT_EVERY_MS;
use super::shutdown::Shutdown;

/// The pause before a worker that died is replaced, in ms: the first, doubled each time up to the last.
const RESTART_PAUSE_MS: (u64, u64) = (100, 10_000);
/// A worker that lived at least this long, in ms, did not fail at its start: the pauses begin again at the
/// shortest.
const SETTLED_MS: u64 = 10_000;
/// The exit code of a worker that drained on request.
const DRAINED: u8 = 0;
/// The exit code of a worker that the system kept from serving. (`EX_OSERR`, sysexits.h)
const FAILED: u8 = 71;
/// The exit code of a worker that lacked descriptors or memory, of which there may be enough later
/// (`EX_TEMPFAIL`).
const SHORT: u8 = 75;

/// The work of a worker process, and what its parent holds for it.
pub(super) trait WorkerJob {
    /// How often a worker interrupts its own calls once a signal has come; 0 if it waits for signals.
    const INTERRUPT_EVERY_MS: u32 = 0;

    /// In the child: serves until it is stopped. `parent` is the process to follow.
    ///
    /// # Errors
    /// It cannot serve, or cannot continue to. Errors of clients are not reported here.
    fn serve(
        &mut self,
        index: usize,
        parent: u32,
        signals: &mut HeldSignals,
        telemetry: Telemetry,
    ) -> io::Result<()>;

    /// In the parent, when draining begins: closes the listeners, so that no new client queues there.
    fn release(&mut self);

    /// In the parent: runs the maintenance of its own copies of the services. Returns the time until it is
    /// due again.
    fn maintain(&mut self) -> Option<Duration>;
}

/// The workers, as their parent sees them.
///
/// A page of memory that the parent or a worker writes to after the fork is copied. So between two forks the
/// parent writes only to memory that they share, and a worker finds its data on the stack.
pub(super) struct WorkerPool {
    signals: HeldSignals,
    telemetry: Telemetry,
    /// For the process of a worker, with the tally of the first.
    child_telemetry: Telemetry,
    drain_ms: u32,
    workers: Vec<SupervisedWorker>,
    /// By worker: the id of the process just forked for it, until `WorkerState` has it; 0 for none.
    forked: SharedCounters,
    /// The error of the last worker that failed, as `errno`, written by that worker.
    failure: SharedCounters,
}

/// A worker, and the counters of all processes that have taken its place: they show how many clients a
/// process that died had.
struct SupervisedWorker {
    state: WorkerState,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
enum WorkerState {
    Running {
        pid: u32,
        since: Instant,
        pause_ms: u64,
    },
    /// To be started at `start_at`.
    Vacant {
        start_at: Instant,
        pause_ms: u64,
        cause: VacancyCause,
    },
    /// It ended in the drain, and is not replaced.
    Closed,
}

/// Why a worker has no process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VacancyCause {
    /// It died, or there was no process yet: clients may wait in its queue.
    Death,
    /// It was drained alone: an operator sent it SIGTERM, or a supervisor sent SIGTERM to every process of
    /// the server and that for the parent is still on its way.
    Drain,
    /// The system kept it from serving, soon after its start.
    Failure,
}

impl WorkerState {
    fn vacant(now: Instant, pause_ms: u64, cause: VacancyCause) -> WorkerState {
        let start_at = now + Duration::from_millis(pause_ms);
        WorkerState::Vacant { start_at, pause_ms: (pause_ms * 2).min(RESTART_PAUSE_MS.1), cause }
    }

    fn pid(&self) -> Option<u32> {
        match *self {
            WorkerState::Running { pid, .. } => Some(pid),
            WorkerState::Vacant { .. } | WorkerState::Closed => None,
        }
    }

    /// Readies it for the drain of the server: clients in the queue of a dead worker are served by a process
    /// that drains at once. A worker that has drained has emptied its queue, and is not replaced.
    fn prepare_drain(&mut self) {
        if let WorkerState::Vacant { start_at, cause, .. } = self {
            match cause {
                VacancyCause::Death | VacancyCause::Failure => *start_at = Instant::now(),
                VacancyCause::Drain => *self = WorkerState::Closed,
            }
        }
    }
}

impl WorkerPool {
    pub(super) fn new(
        signals: Signals,
        telemetry: Telemetry,
        drain_ms: u32,
        count: usize,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let count = count.max(1);
        let worker = |tally: Tally| {
            let pause_ms = RESTART_PAUSE_MS.0;
            SupervisedWorker {
                state: WorkerState::Vacant { start_at: now, pause_ms, cause: VacancyCause::Death },
                tally,
            }
        };
        let workers: Vec<SupervisedWorker> = Tally::several(count)?.into_iter().map(worker).collect();
        Ok(WorkerPool {
            signals: signals.hold()?,
            child_telemetry: telemetry.for_children(&workers[0].tally),
            telemetry,
            drain_ms,
            workers,
            forked: SharedCounters::new(count)?,
            failure: SharedCounters::new(1)?,
        })
    }

    /// Keeps the workers running until a signal stops all. A child never returns from here.
    ///
    /// # Errors
    /// The system keeps every worker from serving.
    pub(super) fn supervise(
        mut self,
        mut job: impl WorkerJob,
        stopping: &mut dyn FnMut(),
    ) -> io::Result<Summary> {
        self.reap()?; // children from before exec: no signal has come for them
        loop {
            self.start_vacant(&mut job);
            let timeout = self.next_start().into_iter().chain(job.maintain()).min();
            let (arrived, _) = self.signals.wait([], timeout)?;
            self.reap()?;
            if arrived.reopen {
                self.telemetry.reopen_if_asked();
                self.notify_all(ChildRequest::ReopenLogs);
            }
            if arrived.report {
                log::info!("{} workers: {}", self.workers.len(), self.summary());
            }
            if arrived.stops > 0 {
                stopping();
                self.workers.iter_mut().for_each(|worker| worker.state.prepare_drain());
                self.start_vacant(&mut job);
                job.release();
                return self.drain();
            }
            self.check_failures()?;
        }
    }

    /// Returns an error once every worker has failed soon after its start: starting them again would be in
    /// vain.
    fn check_failures(&self) -> io::Result<()> {
        let has_failed = |worker: &SupervisedWorker| {
            matches!(worker.state, WorkerState::Vacant { cause: VacancyCause::Failure, .. })
        };
        if !self.workers.iter().all(has_failed) {
            return Ok(());
        }
        let error = match i32::try_from(self.failure[0].load(Ordering::Acquire)) {
            Ok(errno) if errno > 0 => io::Error::from_raw_os_error(errno),
            _ => io::Error::other("see the log for the reason"),
        };
        let count = self.workers.len();
        Err(io::Error::new(error.kind(), format!("none of {count} workers can serve: {error}")))
    }

    fn summary(&self) -> Summary {
        let mut counters = Counters::default();
        self.workers.iter().for_each(|worker| counters.add_tally(&worker.tally));
        Summary::of_counters(counters)
    }

    /// How long until the next worker is to be started.
    fn next_start(&self) -> Option<Duration> {
        let now = Instant::now();
        let start = |worker: &SupervisedWorker| match worker.state {
            WorkerState::Vacant { start_at, .. } => Some(start_at.saturating_duration_since(now)),
            WorkerState::Running { .. } | WorkerState::Closed => None,
        };
        self.workers.iter().filter_map(start).min()
    }

    /// Forks a process for each worker without one whose pause is over.
    fn start_vacant<J: WorkerJob>(&mut self, job: &mut J) {
        let now = Instant::now();
        for index in 0..self.workers.len() {
            let (pause_ms, cause) = match self.workers[index].state {
                WorkerState::Vacant { start_at, pause_ms, cause } if start_at <= now => (pause_ms, cause),
                _ => continue,
            };
            match process::fork(&mut self.signals, J::INTERRUPT_EVERY_MS) {
                Ok(ForkSide::Parent(pid)) => self.forked[index].store(pid.into(), Ordering::Relaxed),
                Ok(ForkSide::Child(parent)) => process::work_and_exit(|| self.work(index, parent, job)),
                Err(error) => {
                    log::error!("cannot start worker {index}: {error}; trying again in {pause_ms} ms");
                    self.workers[index].state = WorkerState::vacant(now, pause_ms, cause);
                }
            }
        }
        self.note_forked(now);
    }

    /// Notes the processes that were forked at `now`.
    fn note_forked(&mut self, now: Instant) {
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let pid = self.forked[index].swap(0, Ordering::Relaxed) as u32;
            if let WorkerState::Vacant { pause_ms, .. } = worker.state
                && pid != 0
            {
                log::debug!("worker {index} is process {pid}");
                worker.state = WorkerState::Running { pid, since: now, pause_ms };
            }
        }
    }

    /// The whole life of a child. Returns its exit code.
    fn work(&mut self, index: usize, parent: u32, job: &mut impl WorkerJob) -> u8 {
        self.telemetry.leave_to_child();
        let mut telemetry = std::mem::take(&mut self.child_telemetry);
        telemetry.begin_child_with(&self.workers[index].tally);
        match job.serve(index, parent, &mut self.signals, telemetry) {
            Ok(()) => DRAINED,
            Err(error) => {
                log::error!("worker {index} failed: {error}");
                // EAGAIN is a shortage, too, where nothing is waited for.
                if is_shortage(&error) || error.kind() == io::ErrorKind::WouldBlock {
                    return SHORT;
                }
                let errno = error.raw_os_error().unwrap_or(0);
                self.failure[0].store(u64::try_from(errno).unwrap_or(0), Ordering::Release);
                FAILED
            }
        }
    }

    /// Reaps the workers that have ended. They are started again after a pause that grows.
    fn reap(&mut self) -> io::Result<()> {
        while let Some((pid, ended)) = process::reap()? {
            let Some(index) = self.workers.iter().position(|worker| worker.state.pid() == Some(pid)) else {
                continue;
            };
            let worker = &mut self.workers[index];
            let WorkerState::Running { since, pause_ms, .. } = worker.state else { continue };
            let has_settled = since.elapsed() >= Duration::from_millis(SETTLED_MS);
            let pause_ms = if has_settled { RESTART_PAUSE_MS.0 } else { pause_ms };
            let cause = if ended == ChildExit::Exited(DRAINED) {
                log::info!(
                    "worker {index} (process {pid}) was drained by a signal; it is replaced in {pause_ms} ms, unless the server \
                     stops, too"
                );
                VacancyCause::Drain
            } else {
                log::error!("worker {index} (process {pid}) died: {ended}; replacing it in {pause_ms} ms");
                let failed = ended == ChildExit::Exited(FAILED) && !has_settled;
                if failed { VacancyCause::Failure } else { VacancyCause::Death }
            };
            worker.end_clients(Reason::Crashed);
            worker.state = WorkerState::vacant(Instant::now(), pause_ms, cause);
        }
        Ok(())
    }

    fn notify_all(&self, request: ChildRequest) {
        for pid in self.workers.iter().filter_map(|worker| worker.state.pid()) {
            if let Err(error) = process::notify(pid, request) {
                log::error!("cannot signal process {pid}: {error}");
            }
        }
    }

    /// Has all workers drain, and waits until they have ended. Bound: see [`Shutdown`].
    fn drain(mut self) -> io::Result<Summary> {
        let drain = Duration::from_millis(self.drain_ms.into());
        log::info!("draining for at most {}; workers: {}", in_words(drain), self.workers.len());
        let mut shutdown = Shutdown::new(self.drain_ms, self.signals.counts());
        for worker in &mut self.workers {
            if worker.state.pid().is_none() {
                worker.state = WorkerState::Closed;
            }
        }
        loop {
            let request = shutdown.request();
            self.notify_all(request);
            self.reap_drained(shutdown.reason_of_killed())?;
            if self.workers.iter().all(|worker| worker.state.pid().is_none()) {
                return Ok(self.summary());
            }
            self.signals.wait([], Some(Duration::from_millis(INTERRUPT_EVERY_MS.into())))?;
        }
    }

    /// Reaps the workers that have ended in the drain. The clients of a worker that was killed end for the
    /// reason `killed`.
    fn reap_drained(&mut self, killed: Reason) -> io::Result<()> {
        while let Some((pid, ended)) = process::reap()? {
            for worker in self.workers.iter_mut().filter(|worker| worker.state.pid() == Some(pid)) {
                worker.state = WorkerState::Closed;
                if ended != ChildExit::Exited(DRAINED) {
                    log::error!("process {pid} did not drain: {ended}");
                    worker.end_clients(killed);
                }
            }
        }
        Ok(())
    }
}

impl SupervisedWorker {
    /// The clients that its process still had when it died end for this reason.
    fn end_clients(&self, reason: Reason) {
        self.tally.add(reason as usize, Counters::of_tally(&self.tally).open());
    }
}
