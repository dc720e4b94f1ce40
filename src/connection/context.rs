//! The context of one pump: the time, the limits, the buffers of the loop, the client's budget.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::Limits;
use crate::session::{LENT_BYTES_MIN, Now, Outbox, Service};
use crate::telemetry::Telemetry;
use crate::time::LiveTime;

/// No deadline.
pub const NEVER_MS: u64 = u64::MAX;

/// The context of one pump of a connection.
pub struct Context<'a> {
    /// The time.
    pub clock: TimeSource<'a>,
    /// The server's bounds.
    pub limits: &'a Limits,
    /// The deadlines: how long the client may be idle, or take for a request.
    pub timeouts: WaitTimeouts,
    /// The loop's buffers.
    pub scratch: &'a mut Scratch,
    /// Where bytes and answers are counted and logged.
    pub telemetry: &'a mut Telemetry,
    /// Whether the server drains.
    pub mode: Mode,
}

/// How long a service waits for its clients, in ms; `0` means no deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeouts {
    /// For a request: how long a client may be idle.
    pub idle_ms: u32,
    /// For the rest of a request, from its first byte.
    pub request_ms: u32,
}

impl WaitTimeouts {
    /// The timeouts of `service`; where it sets none, those of the limits.
    pub fn new<S: Service>(service: &S, limits: &Limits) -> Self {
        let ms = |timeout: Option<Duration>, limit_ms| timeout.map_or(limit_ms, whole_ms);
        WaitTimeouts {
            idle_ms: ms(service.idle_timeout(), limits.idle_ms),
            request_ms: ms(service.request_timeout(), limits.request_ms),
        }
    }

    /// Those of the limits.
    pub fn of_limits(limits: &Limits) -> Self {
        WaitTimeouts { idle_ms: limits.idle_ms, request_ms: limits.request_ms }
    }
}

/// In ms, rounded up, so that only a timeout of zero means no deadline.
fn whole_ms(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// The source of the time. Connections do not read a clock themselves.
#[derive(Clone, Copy)]
pub enum TimeSource<'a> {
    /// Read once, before the turn.
    Turn(Now),
    /// Read again after each call that may have blocked (blocking models).
    Live(&'a LiveTime),
}

/// Whether the server takes new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It serves.
    Serving,
    /// It answers what has arrived, then ends.
    Draining,
}

/// The work that a pump may do for one client, so that the others get their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnBudget {
    /// Reads of the stream.
    pub reads: u32,
    /// Calls of the session.
    pub advances: u32,
    /// Bytes to be written.
    pub write_bytes: usize,
}

impl TurnBudget {
    /// The reactor's budget: the limits per turn, at least 1 each. With 0 a client could make no progress.
    pub fn of_turn(limits: &Limits) -> Self {
        TurnBudget {
            reads: limits.reads_per_turn_max.max(1),
            advances: limits.advances_per_turn_max.max(1),
            write_bytes: limits.write_bytes_per_turn_max.max(1) as usize,
        }
    }

    /// For models with a process or thread per client: one read, which may block, then the model checks its
    /// clock and signals. A write that returns early ends the pump in any case.
    pub fn of_call(limits: &Limits) -> Self {
        TurnBudget { reads: 1, ..TurnBudget::of_turn(limits) }
    }
}

/// Buffers that all clients of one loop, process or thread share: an idle client owns none.
#[derive(Debug)]
pub struct Scratch {
    pub(super) input: InputBuffer,
    pub(super) outbox: Outbox,
}

/// The buffer for reads. It begins small and without an allocation, which would cost a page in each process
/// and thread that serves a single client. A read that fills it makes it grow.
#[derive(Debug)]
pub(super) struct InputBuffer {
    first: [u8; INPUT_BYTES_FIRST],
    /// Used once it has grown. Shared with the outbox while a session is called with many bytes
    /// ([`Outbox::lend`]), and owned alone when it is read into.
    grown: Option<Arc<[u8]>>,
    bytes_max: usize,
}

/// The size of the input buffer at first.
const INPUT_BYTES_FIRST: usize = 512;
/// The factor by which it grows, up to `read_bytes`.
const INPUT_GROWTH: usize = 8;
/// What the buffers of a thread may hold while its client is idle: less than the thread itself costs.
const IDLE_BYTES_MAX: usize = 16 << 10;
/// Room for answers that a child finds in its outbox.
const OUTBOX_BYTES_FIRST: usize = 512;

impl Scratch {
    /// Buffers of the sizes in `limits`.
    pub fn new(limits: &Limits) -> Self {
        let bytes_max = limits.read_bytes.max(1) as usize;
        Scratch {
            input: InputBuffer { first: [0; INPUT_BYTES_FIRST], grown: None, bytes_max },
            outbox: Outbox::new(limits.outbox_bytes_max.max(1) as usize),
        }
    }

    /// Makes room for small answers now. In a child that is forked later, an allocation would copy pages of
    /// the parent.
    pub fn reserve(&mut self) {
        self.outbox.reserve(OUTBOX_BYTES_FIRST.min(self.outbox.bytes_max()));
    }

    /// Whether they have grown to more memory than a client that is idle should hold.
    pub(crate) fn is_large(&self) -> bool {
        let input_bytes = self.input.grown.as_ref().map_or(0, |grown| grown.len());
        input_bytes + self.outbox.reserved_bytes() > IDLE_BYTES_MAX
    }

    /// Frees the memory that the buffers have grown to. For a process or thread whose only client does not
    /// read or is silent: nothing else needs them until it does something.
    pub(crate) fn shrink(&mut self) {
        self.input.grown = None;
        self.outbox.shrink();
    }
}

impl InputBuffer {
    /// Called after a read of `len` bytes into its front: grows if the read has filled it.
    #[inline]
    pub(super) fn received(&mut self, len: usize) {
        if len == self.len() && len < self.bytes_max {
            self.grow(len);
        }
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let mut grown = self[..len].to_vec();
        grown.resize(self.bytes_max.min(len * INPUT_GROWTH), 0);
        self.grown = Some(grown.into());
    }

    /// The buffer for a read.
    #[inline]
    pub(super) fn for_read(&mut self) -> &mut [u8] {
        match &mut self.grown {
            None => &mut self.first[..self.bytes_max.min(INPUT_BYTES_FIRST)],
            // A copy is made only if a session has kept the outbox of an earlier call.
            Some(grown) => Arc::make_mut(grown),
        }
    }

    /// The buffer, if `fresh` bytes at its front are so many that a session should send them without a copy.
    #[inline]
    pub(super) fn to_lend(&self, fresh: usize) -> Option<Arc<[u8]>> {
        if fresh < LENT_BYTES_MIN { None } else { self.grown.clone() }
    }
}

impl Deref for InputBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.grown {
            None => &self.first[..self.bytes_max.min(INPUT_BYTES_FIRST)],
            Some(grown) => grown,
        }
    }
}

impl TimeSource<'_> {
    /// The time.
    #[inline]
    pub(super) fn now(self) -> Now {
        match self {
            TimeSource::Turn(now) => now,
            TimeSource::Live(time) => time.now(),
        }
    }

    /// A call that may have taken long has returned.
    #[inline]
    pub(super) fn call_returned(self) {
        if let TimeSource::Live(time) = self {
            time.passed();
        }
    }
}

impl Context<'_> {
    /// The time.
    #[inline]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// A call that may have taken long has returned.
    #[inline]
    pub(super) fn call_returned(&self) {
        self.clock.call_returned();
    }
}

/// `now_ms + wait_ms`; a wait of 0 means no deadline.
pub(super) fn after_ms(now_ms: u64, wait_ms: u32) -> u64 {
    if wait_ms == 0 { NEVER_MS } else { now_ms + u64::from(wait_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_have_grown_are_freed_and_grow_again() {
        let mut scratch = Scratch::new(&Limits::default());
        let first = scratch.input.len();
        for _ in 0..2 {
            while scratch.input.len() < Limits::default().read_bytes as usize {
                scratch.input.received(scratch.input.len());
            }
            scratch.outbox.put(&[b'x'; 4096]).unwrap();
            scratch.outbox.abandon(|_| {});
            let before = scratch.outbox.memory_bytes();
            scratch.shrink();
            assert_eq!(scratch.input.len(), first);
            assert!(scratch.outbox.memory_bytes() + 4096 <= before);
        }
    }
}
