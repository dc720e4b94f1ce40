//! What a connection is given for one pump: the time, the bounds, the loop's buffers, its share of the turn.

use std::cell::Cell;
use std::time::Duration;

use crate::limits::Limits;
use crate::session::{Now, Outbox, Service};
use crate::telemetry::Telemetry;

/// No deadline.
pub const NEVER_MS: u64 = u64::MAX;

/// What a connection is given for one pump.
pub struct Context<'a> {
    /// The time.
    pub clock: TimeSource<'a>,
    /// The server's bounds.
    pub limits: &'a Limits,
    /// How long the client may be idle, or take for a request.
    pub timeouts: WaitTimeouts,
    /// The loop's buffers.
    pub scratch: &'a mut Scratch,
    /// Where bytes and answers are counted and logged.
    pub telemetry: &'a mut Telemetry,
    /// Whether the server drains.
    pub mode: Mode,
}

/// How long a service waits for its clients, in ms; `0` is no deadline.
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

/// Where the time comes from: nothing here reads a clock by itself.
#[derive(Clone, Copy)]
pub enum TimeSource<'a> {
    /// Read once a turn, before it.
    Turn(Now),
    /// Read anew after each call that may have taken long: in models that block.
    Live(&'a LiveTime<'a>),
}

/// The time in a model that blocks: it is read at most once after each call that may take long.
pub struct LiveTime<'a> {
    read: &'a dyn Fn() -> Now,
    last: Cell<Option<Now>>,
}

impl<'a> LiveTime<'a> {
    /// The time that `read` reads.
    pub fn new(read: &'a dyn Fn() -> Now) -> Self {
        LiveTime { read, last: Cell::new(None) }
    }

    /// The time.
    pub fn now(&self) -> Now {
        let now = self.last.get().unwrap_or_else(|| (self.read)());
        self.last.set(Some(now));
        now
    }

    /// A call that may have taken long has returned.
    pub fn passed(&self) {
        self.last.set(None);
    }
}

/// Whether the server takes new work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It serves.
    Serving,
    /// It answers what has arrived, then ends.
    Draining,
}

/// What one pump may spend on one client, so that the others get their turn.
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
    /// The reactor's budget: the limits per turn, at least 1 each. With 0 a client could never move on.
    pub fn of_turn(limits: &Limits) -> Self {
        TurnBudget {
            reads: limits.reads_per_turn_max.max(1),
            advances: limits.advances_per_turn_max.max(1),
            write_bytes: limits.write_bytes_per_turn_max.max(1) as usize,
        }
    }

    /// For the models with a process or thread per client: after one read, which may block, the model checks
    /// its clock and signals. A write that returns early ends the pump anyway.
    pub fn of_call(limits: &Limits) -> Self {
        TurnBudget { reads: 1, ..TurnBudget::of_turn(limits) }
    }
}

/// Buffers that all clients of one loop, process or thread share: an idle client owns none.
#[derive(Debug)]
pub struct Scratch {
    pub(super) input: Vec<u8>,
    input_bytes_max: usize,
    pub(super) outbox: Outbox,
}

/// The size of the input buffer at first. A process or thread that serves a single client rarely needs more;
/// a read that fills the buffer makes it grow.
const INPUT_BYTES_FIRST: usize = 1 << 10;
/// How much longer it becomes then, until it has `read_bytes`.
const INPUT_GROWTH: usize = 8;
/// Room for answers that a child finds in its outbox.
const OUTBOX_BYTES_FIRST: usize = 512;

impl Scratch {
    /// Buffers of the sizes in `limits`.
    pub fn new(limits: &Limits) -> Self {
        let input_bytes_max = limits.read_bytes.max(1) as usize;
        Scratch {
            input: vec![0; input_bytes_max.min(INPUT_BYTES_FIRST)],
            input_bytes_max,
            outbox: Outbox::new(limits.outbox_bytes_max.max(1) as usize),
        }
    }

    /// A read has given `len` bytes. If they filled the buffer, it grows.
    pub(super) fn received(&mut self, len: usize) {
        if len == self.input.len() && len < self.input_bytes_max {
            self.input.resize(self.input_bytes_max.min(len * INPUT_GROWTH), 0);
        }
    }

    /// Makes room for small answers now. In a child that is forked later, an allocation would copy pages of
    /// the parent.
    pub fn reserve(&mut self) {
        self.outbox.reserve(OUTBOX_BYTES_FIRST.min(self.outbox.bytes_max()));
    }
}

impl TimeSource<'_> {
    /// The time.
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
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// A call that may have taken long has returned.
    #[inline]
    pub(super) fn call_returned(&self) {
        self.clock.call_returned();
    }
}

/// `now_ms + wait_ms`; a wait of 0 is no deadline.
pub(super) fn after_ms(now_ms: u64, wait_ms: u32) -> u64 {
    if wait_ms == 0 { NEVER_MS } else { now_ms + u64::from(wait_ms) }
}
