//! The end of children and threads that serve clients, as the process or thread that started them enforces
//! it.

use std::time::{Duration, Instant};

use crate::sys::SignalCounts;
use crate::sys::process::ChildRequest;
use crate::telemetry::{Counters, Reason, Tally};

/// How long a child that is to end at once is given before it is killed, in ms.
const CHILD_GRACE_MS: u64 = 2_000;
/// How long after the drain's deadline, or a second signal, a thread is waited for, in ms. It cannot be
/// killed.
pub(super) const THREAD_GRACE_MS: u64 = 500;

/// The stages of a shutdown, which the parent of children enforces.
///
/// The request is repeated until a child has ended: a signal may come just before the child blocks, and a
/// child may have been forked only now. First children are to drain; from the drain's deadline on, or after a
/// second signal, to end at once; a child that does not even do that within `CHILD_GRACE_MS`, because its
/// session computes without end, is killed.
pub(super) struct Shutdown {
    signals: SignalCounts,
    stage: ShutdownStage,
}

#[derive(Clone, Copy)]
enum ShutdownStage {
    Draining { until: Instant },
    Cutting { until: Instant },
    Killing,
}

impl Shutdown {
    /// Begins now.
    pub(super) fn new(drain_ms: u32, signals: SignalCounts) -> Self {
        let until = Instant::now() + Duration::from_millis(drain_ms.into());
        Shutdown { signals, stage: ShutdownStage::Draining { until } }
    }

    /// What to ask of the children now.
    pub(super) fn request(&mut self) -> ChildRequest {
        let now = Instant::now();
        self.stage = match self.stage {
            ShutdownStage::Draining { until } if until <= now || self.signals.stops() > 1 => {
                ShutdownStage::Cutting { until: now + Duration::from_millis(CHILD_GRACE_MS) }
            }
            ShutdownStage::Cutting { until } if until <= now => {
                log::error!("killing children that did not end in time");
                ShutdownStage::Killing
            }
            stage => stage,
        };
        match self.stage {
            ShutdownStage::Draining { .. } => ChildRequest::Drain,
            ShutdownStage::Cutting { .. } => ChildRequest::End,
            ShutdownStage::Killing => ChildRequest::Kill,
        }
    }

    /// Whether clients in the backlog may still be accepted.
    pub(super) fn may_accept(&self) -> bool {
        matches!(self.stage, ShutdownStage::Draining { .. })
    }

    /// The reason for clients whose child is killed now.
    pub(super) fn reason_of_killed(&self) -> Reason {
        match self.stage {
            ShutdownStage::Draining { .. } | ShutdownStage::Cutting { .. } => Reason::Crashed,
            ShutdownStage::Killing => Reason::DrainCut,
        }
    }
}

/// When to stop waiting for threads that do not end by themselves: no later than decided before, and soon
/// after a second signal.
pub(super) fn end_of_threads(before: Option<Instant>, drain_ms: u32, signals: SignalCounts) -> Instant {
    let drain_ms = if signals.stops() > 1 { 0 } else { drain_ms };
    let end = Instant::now() + Duration::from_millis(u64::from(drain_ms) + THREAD_GRACE_MS);
    before.map_or(end, |before| before.min(end))
}

/// Detects that a drain has begun to cut clients. Its time is over then, even if the clock of the accepting
/// process or thread reaches the deadline a moment later: a waiting client must not take the place of a
/// client that was cut.
pub(super) struct Cuts {
    tally: Tally,
    before: u64,
}

impl Cuts {
    /// For a drain that begins now.
    pub(super) fn new(tally: &Tally) -> Self {
        Cuts { tally: tally.clone(), before: Self::count(tally) }
    }

    pub(super) fn have_begun(&self) -> bool {
        Self::count(&self.tally) > self.before
    }

    fn count(tally: &Tally) -> u64 {
        Counters::of_tally(tally).of(Reason::DrainCut)
    }
}
