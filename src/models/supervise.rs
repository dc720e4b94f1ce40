//! A parent of N processes: it starts them ahead, replaces those that die, passes signals on, and drains all.
//!
//! The parent has one thread and no `mio::Poll`; it waits in poll(2) on the pipe of its signals and reaps there. It keeps the
//! listeners open, so that who waits in a dead worker's queue is served by its replacement.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::reactor::Summary;
use crate::sys::process::{self, Ended, Forked, Tell};
use crate::sys::signals::{SignalCounts, Signals};
use crate::sys::tally::Tally;
use crate::sys::wait;
use crate::telemetry::{Counters, Reason, Telemetry};

use super::blocking::INTERRUPT_EVERY_MS;

/// The pause before a worker that died is replaced: the first, doubled each time up to the last, in ms.
const RESTART_PAUSE_MS: (u64, u64) = (100, 10_000);
/// A worker that lived as long as this was no failure of the start: the pause begins anew, in ms.
const SETTLED_MS: u64 = 10_000;
/// How long a child that is to end at once is given before it is killed, in ms.
const GRACE_MS: u64 = 2_000;
/// The exit code of a worker that drained as it was told.
pub(super) const DRAINED: u8 = 0;

/// What the workers do, and what their parent holds for them.
pub(super) trait Job {
    /// In the child: serves until it is stopped; returns its exit code. `parent` is to be followed.
    fn work(&mut self, index: usize, parent: u32, signals: Signals, telemetry: Telemetry) -> u8;

    /// In the parent, when draining begins: closes the listeners, so that no new client queues there.
    fn release(&mut self);

    /// In the parent: does what its own copies of the services have due, and says how long until the next call.
    fn tend(&mut self) -> Option<Duration>;
}

/// The end of a drain, as a parent brings it about.
///
/// Its children are told again and again, since a signal may come just before a child blocks, and a child may have been
/// made only now: to drain; from the drain's deadline on, or after a second signal, to end at once; and who does not even do
/// that in `GRACE_MS`, because its session computes without end, is killed.
pub(super) struct Ending {
    signals: SignalCounts,
    stage: Stage,
}

/// How far it is.
#[derive(Clone, Copy)]
enum Stage {
    Drains { until: Instant },
    Cuts { until: Instant },
    Kills,
}

impl Ending {
    pub(super) fn new(drain_ms: u32, signals: SignalCounts) -> Self {
        let until = Instant::now() + Duration::from_millis(drain_ms.into());
        Ending { signals, stage: Stage::Drains { until } }
    }

    /// What the children are to be told now.
    pub(super) fn next(&mut self) -> Tell {
        let now = Instant::now();
        self.stage = match self.stage {
            Stage::Drains { until } if until <= now || self.signals.stops() > 1 => {
                Stage::Cuts { until: now + Duration::from_millis(GRACE_MS) }
            }
            Stage::Cuts { until } if until <= now => {
                log::error!("children that did not end in time are killed");
                Stage::Kills
            }
            stage => stage,
        };
        match self.stage {
            Stage::Drains { .. } => Tell::Stop,
            Stage::Cuts { .. } => Tell::Cut,
            Stage::Kills => Tell::Kill,
        }
    }

    /// Whether who waits in the backlog may still be taken.
    pub(super) fn may_take(&self) -> bool {
        matches!(self.stage, Stage::Drains { .. })
    }

    /// What a child that was killed counts for.
    pub(super) fn reason_of_killed(&self) -> Reason {
        match self.stage {
            Stage::Drains { .. } | Stage::Cuts { .. } => Reason::Crashed,
            Stage::Kills => Reason::DrainCut,
        }
    }
}

/// The workers, seen by their parent.
pub(super) struct Crew {
    signals: Signals,
    telemetry: Telemetry,
    drain_ms: u32,
    posts: Vec<Post>,
    /// What the workers of each post have counted: of one that dies it tells how many clients went with it.
    tallies: Vec<Arc<Tally>>,
}

/// A place for a worker.
#[derive(Clone, Copy, Debug)]
enum Post {
    Manned {
        pid: u32,
        since: Instant,
        pause_ms: u64,
    },
    Vacant {
        until: Instant,
        pause_ms: u64,
        after: After,
    },
    /// Its worker ended in the drain, and is not replaced.
    Closed,
}

/// Why a post is vacant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Its worker died, or there was none yet: somebody may wait in its queue.
    Death,
    /// Its worker drained by itself. An operator has sent it SIGTERM, or a supervisor has sent that to every process of the
    /// server, and the signal for the parent is on its way.
    Drain,
}

impl Post {
    /// Readies it for the drain of the server: who waits in the queue of a dead worker is served by one that drains at once. A
    /// worker that has drained has emptied its queue, and is not replaced.
    fn prepare_drain(&mut self) {
        if let Post::Vacant { until, after, .. } = self {
            match after {
                After::Death => *until = Instant::now(),
                After::Drain => *self = Post::Closed,
            }
        }
    }
}

impl Crew {
    pub(super) fn new(
        signals: Signals,
        telemetry: Telemetry,
        drain_ms: u32,
        count: usize,
    ) -> io::Result<Self> {
        let vacant =
            Post::Vacant { until: Instant::now(), pause_ms: RESTART_PAUSE_MS.0, after: After::Death };
        let posts = vec![vacant; count.max(1)];
        let tallies = posts.iter().map(|_| Tally::new().map(Arc::new)).collect::<io::Result<_>>()?;
        Ok(Crew { signals, telemetry, drain_ms, posts, tallies })
    }

    /// Keeps the workers until a signal stops all. A child never returns from here.
    pub(super) fn supervise(mut self, mut job: impl Job, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
        self.reap()?; // children of the program that became this one, of whose end nobody tells
        loop {
            for index in 0..self.posts.len() {
                self = self.man(index, &mut job)?;
            }
            let timeout = self.next_restart().into_iter().chain(job.tend()).min();
            wait::readable(&[self.signals.as_fd()], timeout)?;
            let arrived = self.signals.take();
            self.reap()?;
            if arrived.reopen {
                self.telemetry.reopen_if_asked();
                self.tell_all(Tell::Reopen);
            }
            if arrived.report {
                log::info!("{} workers: {}", self.posts.len(), self.summary());
            }
            if arrived.stops > 0 {
                stopping();
                self.posts.iter_mut().for_each(Post::prepare_drain);
                for index in 0..self.posts.len() {
                    self = self.man(index, &mut job)?;
                }
                job.release();
                return self.drain();
            }
        }
    }

    fn summary(&self) -> Summary {
        let mut counters = Counters::default();
        self.tallies.iter().for_each(|tally| counters.add_tally(tally));
        Summary::of_counters(counters)
    }

    /// The clients that a worker still had when it died end for this reason.
    fn end_clients(tally: &Tally, reason: Reason) {
        tally.add(reason as usize, Counters::of_tally(tally).open());
    }

    /// How long until the next post is to be manned.
    fn next_restart(&self) -> Option<Duration> {
        let vacant = |post: &Post| match post {
            Post::Vacant { until, .. } => Some(until.saturating_duration_since(Instant::now())),
            Post::Manned { .. } | Post::Closed => None,
        };
        self.posts.iter().filter_map(vacant).min()
    }

    /// Forks a worker for this post, if it is vacant and its pause is over.
    fn man(mut self, index: usize, job: &mut impl Job) -> io::Result<Self> {
        let Post::Vacant { until, pause_ms, after } = self.posts[index] else { return Ok(self) };
        let now = Instant::now();
        if until > now {
            return Ok(self);
        }
        match process::fork(&mut self.signals) {
            Ok(Forked::Parent(pid)) => {
                log::debug!("worker {index} is process {pid}");
                self.posts[index] = Post::Manned { pid, since: now, pause_ms };
                Ok(self)
            }
            Ok(Forked::Child(parent)) => {
                let telemetry = self.telemetry.of_child(Some(&self.tallies[index]));
                process::work_and_exit(|| job.work(index, parent, self.signals, telemetry))
            }
            Err(error) => {
                log::error!("worker {index} cannot be started: {error}; next attempt in {pause_ms} ms");
                self.posts[index] = vacant(now, pause_ms, after);
                Ok(self)
            }
        }
    }

    /// Takes leave of those who died, and has their posts manned again after a pause that grows.
    fn reap(&mut self) -> io::Result<()> {
        while let Some((pid, ended)) = process::reap()? {
            let manned = |post: &Post| matches!(*post, Post::Manned { pid: other, .. } if other == pid);
            let Some((index, post)) = self.posts.iter_mut().enumerate().find(|(_, post)| manned(post)) else {
                continue;
            };
            let Post::Manned { since, pause_ms, .. } = *post else { continue };
            let settled = since.elapsed() >= Duration::from_millis(SETTLED_MS);
            let pause_ms = if settled { RESTART_PAUSE_MS.0 } else { pause_ms };
            let after = if ended == Ended::Exited(DRAINED) {
                log::info!("worker {index} (process {pid}) drained by itself; replaced in {pause_ms} ms");
                After::Drain
            } else {
                log::error!(
                    "worker {index} (process {pid}) died: {}; replaced in {pause_ms} ms",
                    in_words(ended)
                );
                After::Death
            };
            Self::end_clients(&self.tallies[index], Reason::Crashed);
            *post = vacant(Instant::now(), pause_ms, after);
        }
        Ok(())
    }

    fn tell_all(&self, what: Tell) {
        for post in &self.posts {
            if let Post::Manned { pid, .. } = *post
                && let Err(error) = process::tell(pid, what)
            {
                log::error!("process {pid} cannot be told: {error}");
            }
        }
    }

    /// Has all workers drain, and waits until they have ended. Bound: see [`Ending`].
    fn drain(mut self) -> io::Result<Summary> {
        let drain = Duration::from_millis(self.drain_ms.into());
        log::info!("draining: {} workers have {drain:?}", self.posts.len());
        let mut ending = Ending::new(self.drain_ms, self.signals.counts());
        self.posts
            .iter_mut()
            .filter(|post| matches!(post, Post::Vacant { .. }))
            .for_each(|post| *post = Post::Closed);
        loop {
            let what = ending.next();
            self.tell_all(what);
            self.close_posts(ending.reason_of_killed())?;
            if self.posts.iter().all(|post| matches!(post, Post::Closed)) {
                return Ok(self.summary());
            }
            wait::readable(&[self.signals.as_fd()], Some(Duration::from_millis(INTERRUPT_EVERY_MS)))?;
            self.signals.take();
        }
    }

    /// Takes leave of those who ended in the drain; who was killed counts for `killed`.
    fn close_posts(&mut self, killed: Reason) -> io::Result<()> {
        while let Some((pid, ended)) = process::reap()? {
            for (post, tally) in self.posts.iter_mut().zip(&self.tallies) {
                if matches!(*post, Post::Manned { pid: other, .. } if other == pid) {
                    *post = Post::Closed;
                    if ended != Ended::Exited(DRAINED) {
                        log::error!("process {pid} did not drain: {}", in_words(ended));
                        Self::end_clients(tally, killed);
                    }
                }
            }
        }
        Ok(())
    }
}

fn vacant(now: Instant, pause_ms: u64, after: After) -> Post {
    let until = now + Duration::from_millis(pause_ms);
    Post::Vacant { until, pause_ms: (pause_ms * 2).min(RESTART_PAUSE_MS.1), after }
}

fn in_words(ended: Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("exit code {code}"),
        Ended::Killed(signal) => format!("killed by signal {signal}"),
    }
}
