//! One client of the load, connected or not.

use mio::Token;

use super::conversation::Conversation;
use super::workload::Flow;
use crate::connection::Polled;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It sends requests, and is measured.
    Active,
    /// It holds a connection.
    Idle,
    /// It sends a byte at a time.
    SlowSender,
    /// It reads a byte at a time.
    SlowReader,
}

impl Role {
    /// The role of the slow client with this number. Where bytes flow both ways, every other client is a
    /// sender.
    pub(super) fn slow(number: u32, flow: Flow) -> Role {
        let sends = match flow {
            Flow::ToServer => true,
            Flow::ToClient => false,
            Flow::BothWays => number.is_multiple_of(2),
        };
        if sends { Role::SlowSender } else { Role::SlowReader }
    }
}

/// The state of a client; [`super::pool::ClientPool`] alone changes it.
#[derive(Debug)]
pub(super) enum SlotState<C> {
    /// It has not started yet or, in the open loop with a connection per request, waits for its next request.
    Closed,
    /// It waits to connect since then, with the request that it will send first.
    Queued { since_ns: u64, intended_ns: Option<u64> },
    /// It failed, and tries again then.
    Pausing { until_ns: u64 },
    /// The kernel is connecting it.
    Connecting { stream: Polled, began_ns: u64, intended_ns: Option<u64> },
    /// It is connected and exchanges bytes.
    Open(Conversation<C>),
    /// It holds its connection. Nothing is read: what a server sends unasked stays in the kernel.
    Held(#[allow(dead_code, reason = "it only keeps the connection open")] Polled),
    /// It does nothing more in this run.
    Ended,
}

/// Whether a client is in the queue of clients with unfinished work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkQueue {
    Absent,
    Queued,
}

/// What the server did for a client within the measured span.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClientTotals {
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

/// One client of the load.
#[derive(Debug)]
pub(super) struct ClientSlot<C> {
    pub(super) state: SlotState<C>,
    pub(super) role: Role,
    pub(super) work: WorkQueue,
    /// Whether its first connection was established or failed.
    pub(super) has_tried: bool,
    /// Failures of its connections since the last answer.
    pub(super) failures: u32,
    /// Grows with each connection, so that no stale event or list entry reaches the next connection.
    pub(super) generation: u32,
    pub(super) totals: ClientTotals,
}

impl<C> ClientSlot<C> {
    pub(super) fn new(role: Role) -> Self {
        ClientSlot {
            state: SlotState::Closed,
            role,
            work: WorkQueue::Absent,
            has_tried: false,
            failures: 0,
            generation: 0,
            totals: ClientTotals::default(),
        }
    }

    /// The token of its connection.
    pub(super) fn token(&self, index: u32) -> Token {
        Token((u64::from(self.generation) << 32 | u64::from(index)) as usize)
    }

    /// Whether it has a descriptor.
    pub(super) fn has_stream(&self) -> bool {
        matches!(self.state, SlotState::Connecting { .. } | SlotState::Open(_) | SlotState::Held(_))
    }

    /// Whether it is connected.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state, SlotState::Open(_) | SlotState::Held(_))
    }
}
