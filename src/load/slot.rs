//! One client of the load, whether it is connected or not.

use std::collections::VecDeque;

use super::Flow;
use super::conversation::{Conversation, Ledger, Onward};
use super::recorder::Recorder;
use crate::connection::Polled;
use crate::sys::clock::monotonic_ns;

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Active,
    /// Holds a connection.
    Idle,
    /// Sends a byte at a time.
    SlowSender,
    /// Reads a byte at a time.
    SlowReader,
}

impl Role {
    /// Of the slow client with this number: both kinds take turns where the service has both ways.
    pub(super) fn slow(number: u32, flow: Flow) -> Role {
        let sends = match flow {
            Flow::ToServer => true,
            Flow::ToClient => false,
            Flow::BothWays => number.is_multiple_of(2),
        };
        if sends { Role::SlowSender } else { Role::SlowReader }
    }
}

/// Where a client is in its life.
#[derive(Debug)]
pub(super) enum State<C> {
    /// It waits for its beginning or, in the open loop with a connection per request, for its next request.
    Closed,
    /// It is in the queue of those to connect since then, with the request that has to go first.
    Queued { since_ns: u64, intended_ns: Option<u64> },
    /// It failed and tries again then.
    Pausing { until_ns: u64 },
    /// The kernel is connecting it.
    Connecting { stream: Polled, began_ns: u64, intended_ns: Option<u64> },
    /// It converses.
    Open(Conversation<C>),
    /// It holds its connection. Nothing is read: what a server of its own accord sends stays in the kernel.
    Held(#[allow(dead_code, reason = "it is kept open, and that is all")] Polled),
    /// It is done for this run.
    Ended,
}

/// Whether a client is in the queue of those that have more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Resting,
    InQueue,
}

/// What a client got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

/// One client of the load.
#[derive(Debug)]
pub(super) struct Slot<C> {
    pub(super) state: State<C>,
    pub(super) role: Role,
    pub(super) standing: Standing,
    /// Whether its first connection has come about or failed: a run begins when all have tried.
    pub(super) has_tried: bool,
    /// Grows with each connection, so that no stale event or place in a list meets the next one.
    pub(super) generation: u32,
    pub(super) share: Share,
}

impl<C> Slot<C> {
    pub(super) fn new(role: Role) -> Self {
        Slot {
            state: State::Closed,
            role,
            standing: Standing::Resting,
            has_tried: false,
            generation: 0,
            share: Share::default(),
        }
    }

    /// Whether it has a descriptor.
    pub(super) fn has_stream(&self) -> bool {
        matches!(self.state, State::Connecting { .. } | State::Open(_) | State::Held(_))
    }

    /// Whether it is connected.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Held(_))
    }
}

/// The clock of one run: ns since its beginning, which is a moment of the clock that all processes share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) began_ns: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Clock { began_ns: monotonic_ns() }
    }

    pub(super) fn now_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.began_ns)
    }
}

/// What an active connection does behind an answer.
#[derive(Debug)]
pub(super) enum Policy<'a> {
    /// The closed loop: it asks again at once.
    AskAgain,
    /// The open loop: it takes the request that waits longest, if one does.
    TakeWaiting(&'a mut VecDeque<u64>),
    /// The open loop when no more requests fall due: the same, and it ends when none waits.
    TakeLast(&'a mut VecDeque<u64>),
    /// It has served its only request, or the run ends.
    Close,
}

/// Writes down what an active client does.
pub(super) struct ActiveLedger<'a> {
    pub(super) clock: Clock,
    pub(super) now_ns: &'a mut u64,
    pub(super) recorder: &'a mut Recorder,
    pub(super) share: &'a mut Share,
    pub(super) policy: Policy<'a>,
}

impl Ledger for ActiveLedger<'_> {
    fn read_clock(&mut self) -> u64 {
        *self.now_ns = self.clock.now_ns();
        *self.now_ns
    }

    fn now_ns(&self) -> u64 {
        *self.now_ns
    }

    fn moved(&mut self, bytes_in: usize, bytes_out: usize) {
        self.recorder.totals.bytes_in += bytes_in as u64;
        self.recorder.totals.bytes_out += bytes_out as u64;
        self.share.bytes += (bytes_in + bytes_out) as u64;
    }

    fn answered_last(&mut self, intended_ns: u64) {
        self.recorder.answered(*self.now_ns, intended_ns);
        self.share.requests += 1;
    }

    fn answered(&mut self, intended_ns: u64) -> Onward {
        self.answered_last(intended_ns);
        let now_ns = *self.now_ns;
        match &mut self.policy {
            Policy::AskAgain => {
                self.recorder.outstanding += 1;
                Onward::Begin(now_ns)
            }
            Policy::TakeWaiting(waiting) => match waiting.pop_front() {
                Some(next_ns) => {
                    self.recorder.sent(now_ns, next_ns);
                    Onward::Begin(next_ns)
                }
                None => Onward::Stay,
            },
            Policy::TakeLast(waiting) => match waiting.pop_front() {
                Some(next_ns) => {
                    self.recorder.sent(now_ns, next_ns);
                    Onward::Begin(next_ns)
                }
                None => Onward::Close,
            },
            Policy::Close => Onward::Close,
        }
    }
}

/// Writes down what a slow client does: it is no part of what is measured.
pub(super) struct SlowLedger<'a> {
    pub(super) now_ns: u64,
    pub(super) bytes_in: &'a mut u64,
    pub(super) bytes_out: &'a mut u64,
}

impl Ledger for SlowLedger<'_> {
    fn read_clock(&mut self) -> u64 {
        self.now_ns
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn moved(&mut self, bytes_in: usize, bytes_out: usize) {
        *self.bytes_in += bytes_in as u64;
        *self.bytes_out += bytes_out as u64;
    }

    fn answered(&mut self, _intended_ns: u64) -> Onward {
        Onward::Begin(self.now_ns)
    }

    fn answered_last(&mut self, _intended_ns: u64) {}
}
