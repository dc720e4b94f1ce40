//! One client of a service: the only code that reads and writes a stream.
//!
//! A [`Connection`] is a state machine (`Phase`) over a [`Transport`]. [`Connection::pump`] moves it as far as bytes, room
//! and budget allow; [`Connection::expire`] tells it that a deadline passed. Who calls them is the model's business: the
//! reactor with a transport that never blocks, the other models with one that does. It reads no clock and knows no slab.
//!
//! ```text
//!             +------------------------------- Flushing, then ... <----+
//!             v                                                        | bytes left
//!   Calling -----> session.advance -----> write at once ---------------+
//!      ^                                       | all sent
//!      | room, again                           v
//!      +-------------------- NeedRoom, Again, NeedInput, Finish
//!      | bytes or their end                      |         |
//!      +-------------------- Awaiting <----------+         v
//!                                                shutdown(WR), Lingering -> Ended
//! ```

mod context;
mod inbox;
mod sending;
mod steps;
mod transport;

use std::panic::{self, AssertUnwindSafe};

use crate::limits::Limits;
use crate::session::{Call, Now, Outbox, Peer, Session, Wait};
use crate::telemetry::{End, Reason};
pub use context::{Context, Mode, Scratch, TimeSource, TurnBudget, WaitTimeouts};
use inbox::Inbox;
use sending::INITIAL_WINDOW_BYTES;
pub use transport::{Blocking, Patience, Polled, ReadOutcome, Transport, WriteOutcome};

/// No deadline.
pub const NEVER_MS: u64 = u64::MAX;

/// One client.
#[derive(Debug)]
pub struct Connection<S, T> {
    transport: T,
    /// `None` for a refused client, and once the service is done.
    session: Option<S>,
    phase: Phase,
    inflow: Inflow,
    /// Calls in a row that neither took nor gave a byte.
    idle_calls: u32,
    /// What is awaited, or was last, and until when: the same wait has the same deadline. [`NEVER_MS`] after the client has
    /// asked something: its next wait begins anew.
    awaited: Wait,
    awaited_due_ms: u64,
    /// Whether the last bytes consumed belong to a request that has not ended.
    is_inside_request: bool,
    inbox: Option<Box<Inbox>>,
    /// What could not be sent yet: there exactly while the phase is `Flushing` and `pump` is not at work.
    outbox: Option<Box<Outbox>>,
    opened_ms: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// What `bytes_out` was at the last record: the bytes since belong to the answer after it.
    recorded_bytes: u64,
    peer: Peer,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The session is to be called; it does not wait for bytes.
    Calling(Call),
    /// The session waits for bytes.
    Awaiting { wait: Wait, due_ms: u64 },
    /// Bytes wait to be sent. By `due_ms` the client must have taken `rate_bytes_min` beyond `taken_bytes`.
    Flushing { then: Then, due_ms: u64, taken_bytes: u64 },
    /// All was sent and our side is shut; the client's own close is awaited, so that no reset destroys what is on its way.
    /// If the system still has bytes for it at `due_ms`, the client must take them at the minimum rate, as while `Flushing`:
    /// until `awaited_due_ms`, beyond `taken_bytes`; that is `None` in the time that every client has.
    Lingering { reason: Reason, due_ms: u64, left_bytes: u32, taken_bytes: Option<u64> },
    /// To be dropped.
    Ended(Reason),
}

/// What follows when all has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Await(Wait),
    Call(Call),
    /// Call again, after others had their turn.
    Yield,
    Close(Reason),
}

/// The client's side of the stream: independent of the phase, because a client may end its side in any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inflow {
    Open,
    Ended,
}

/// How much of what its session said the system was given, when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    All,
    Part,
}

/// How far a pump got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// Nothing can be done until bytes, room, a wake or the deadline come.
    Waits,
    /// There is more to do, after others had their turn.
    More,
    /// It ended; the connection is to be dropped.
    Ended(Reason),
}

/// What stopped a step.
enum Step {
    Go,
    Return(Pumped),
}

impl<S: Session, T: Transport> Connection<S, T> {
    /// A client whose session is to be called for the first time ([`Call::Open`]).
    pub fn new(transport: T, session: S, peer: Peer, now: Now) -> Self {
        Self::in_phase(transport, Some(session), Phase::Calling(Call::Open), peer, now)
    }

    /// A client that gets no session, only the service's last words, and a brief linger.
    pub fn refused(
        transport: T,
        words: &[u8],
        reason: Reason,
        peer: Peer,
        now: Now,
        limits: &Limits,
    ) -> Self {
        let due_ms = now.monotonic_ms + u64::from(limits.refusal_linger_ms);
        let phase = Phase::Flushing { then: Then::Close(reason), due_ms, taken_bytes: 0 };
        let mut connection = Self::in_phase(transport, None, phase, peer, now);
        let mut outbox = Outbox::new(words.len());
        outbox.put_some(words);
        connection.outbox = Some(Box::new(outbox));
        connection
    }

    fn in_phase(transport: T, session: Option<S>, phase: Phase, peer: Peer, now: Now) -> Self {
        Connection {
            transport,
            session,
            phase,
            inflow: Inflow::Open,
            idle_calls: 0,
            awaited: Wait::NextRequest,
            is_inside_request: false,
            awaited_due_ms: NEVER_MS,
            inbox: None,
            outbox: None,
            opened_ms: now.monotonic_ms,
            bytes_in: 0,
            bytes_out: 0,
            recorded_bytes: 0,
            peer,
        }
    }

    /// The transport, to latch events or set timeouts.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport, to latch events or set timeouts.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Who it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Bytes that its session has taken and bytes written, so far. Bytes that arrived and begin no request do not count.
    pub fn moved_bytes(&self) -> u64 {
        self.bytes_in - self.inbox.as_ref().map_or(0, |inbox| inbox.len() as u64) + self.bytes_out
    }

    /// Whether it waits for a request: it may be evicted.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Awaiting { wait: Wait::NextRequest, .. })
    }

    /// Whether it waits for a request, and has taken what was sent but for what leaves at once: it may be ended without loss.
    pub fn is_at_rest(&self) -> bool {
        self.is_idle() && !self.is_behind()
    }

    /// Whether it waits for room to send: a blocking model's next call is a write.
    pub fn is_flushing(&self) -> bool {
        matches!(self.phase, Phase::Flushing { .. })
    }

    /// Whether a blocking model's next call is a read.
    pub fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Awaiting { .. } | Phase::Lingering { .. })
    }

    /// Why it ends, if the client has taken all and only its own close is awaited.
    pub fn lingers_for(&self) -> Option<Reason> {
        match self.phase {
            Phase::Lingering { reason, .. } if self.untaken_bytes() == 0 => Some(reason),
            _ => None,
        }
    }

    /// Whether nothing is awaited but that the client takes what was sent, or its deadline: neither a read nor a write would
    /// wait for that.
    pub fn only_time_tells(&self) -> bool {
        matches!(self.phase, Phase::Lingering { .. }) && self.inflow == Inflow::Ended
    }

    /// When [`Connection::expire`] is to be called, in ms of the server's clock; [`NEVER_MS`] if never.
    pub fn deadline_ms(&self) -> u64 {
        match self.phase {
            Phase::Awaiting { due_ms, .. }
            | Phase::Flushing { due_ms, .. }
            | Phase::Lingering { due_ms, .. } => due_ms,
            Phase::Calling(_) | Phase::Ended(_) => NEVER_MS,
        }
    }

    /// Bytes kept for this client in memory.
    pub fn held_bytes(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.len())
            + self.outbox.as_ref().map_or(0, |out| out.held_bytes())
    }

    /// Memory that its buffers take, and that of its session: what `buffers_bytes_max` counts. It changes only while the
    /// connection is pumped, expires or is cut.
    pub fn memory_bytes(&self) -> usize {
        // It should not panic, but a session is not ours.
        let of = |session: &S| panic::catch_unwind(AssertUnwindSafe(|| session.held_bytes())).unwrap_or(0);
        self.session.as_ref().map_or(0, of)
            + self.inbox.as_ref().map_or(0, |inbox| inbox.memory_bytes())
            + self.outbox.as_ref().map_or(0, |outbox| outbox.memory_bytes())
    }

    /// What is written down when it has ended.
    pub fn end(&self, reason: Reason, now: Now) -> End {
        let lasted_ms = now.monotonic_ms.saturating_sub(self.opened_ms);
        End { reason, peer: self.peer, bytes_in: self.bytes_in, bytes_out: self.bytes_out, lasted_ms }
    }

    /// Its waker was used: the session will be called, after what waits to be sent.
    pub fn wake(&mut self) {
        match &mut self.phase {
            Phase::Awaiting { .. } => self.phase = Phase::Calling(Call::Woken),
            Phase::Calling(call @ Call::Ready) => *call = Call::Woken,
            Phase::Flushing {
                then: then @ (Then::Await(_) | Then::Yield | Then::Call(Call::Ready)), ..
            } => {
                *then = Then::Call(Call::Woken);
            }
            Phase::Calling(_) | Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Ended(_) => {}
        }
    }

    /// Ends it now: what waits to be sent is dropped, here and by the system. A client that has been given all of its answers
    /// gets the last of them, as far as that leaves at once.
    pub fn cut(&mut self, reason: Reason, ctx: &mut Context<'_>) {
        let sent = match self.phase {
            Phase::Awaiting { .. } | Phase::Lingering { .. } => Sent::All,
            Phase::Calling(_) | Phase::Flushing { .. } | Phase::Ended(_) => Sent::Part,
        };
        self.cut_with(sent, reason, ctx);
    }

    fn cut_with(&mut self, sent: Sent, reason: Reason, ctx: &mut Context<'_>) {
        if let Some(mut outbox) = self.outbox.take() {
            self.abandon(&mut outbox, ctx.now().monotonic_ms, ctx.telemetry);
        }
        self.inbox = None;
        self.end_session(ctx);
        self.finish(reason, sent);
    }

    /// The stream is to be dropped: with a reset, if the client would miss bytes anyway, or the system would have to keep many for
    /// it. A few that are on their way stay the system's to deliver: they may have been sent a moment ago.
    fn finish(&mut self, reason: Reason, sent: Sent) {
        let kept_bytes_max = if sent == Sent::All { INITIAL_WINDOW_BYTES } else { 0 };
        if self.untaken_bytes() > kept_bytes_max {
            self.transport.reset_at_close();
        } else {
            self.transport.close_in_order();
        }
        self.phase = Phase::Ended(reason);
    }

    /// Moves the connection on as far as bytes, room and `budget` allow.
    pub fn pump(&mut self, ctx: &mut Context<'_>, mut budget: TurnBudget) -> Pumped {
        self.go_on(Patience::MayBlock, ctx, &mut budget)
    }

    fn go_on(&mut self, patience: Patience, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Pumped {
        loop {
            let step = match self.phase {
                Phase::Calling(call) => self.step_calling(call, ctx, budget),
                Phase::Awaiting { wait, .. } => self.step_awaiting(wait, patience, ctx, budget),
                Phase::Flushing { then, .. } => {
                    let mut outbox = self.outbox.take().unwrap_or_default();
                    let now_ms = ctx.now().monotonic_ms;
                    let flushed = self.flush(&mut outbox, then, now_ms, ctx.telemetry, budget);
                    self.flushed(flushed, Some(outbox), ctx)
                }
                Phase::Lingering { .. } => self.step_lingering(patience, ctx, budget),
                Phase::Ended(reason) => Step::Return(Pumped::Ended(reason)),
            };
            if let Step::Return(pumped) = step {
                return pumped;
            }
        }
    }

    /// Its deadline may have passed. Bytes that came in time win: a look at the stream, as far as `budget` goes, comes
    /// before the verdict. A client that is always ahead of it has had its time, too.
    pub fn expire(&mut self, ctx: &mut Context<'_>, mut budget: TurnBudget) -> Pumped {
        let now_ms = ctx.now().monotonic_ms;
        if now_ms < self.deadline_ms() {
            return Pumped::Waits;
        }
        match self.phase {
            Phase::Awaiting { .. } => {
                let looked = self.go_on(Patience::Now, ctx, &mut budget);
                match self.phase {
                    // It came, in part or not at all: a request that came whole has moved the deadline.
                    Phase::Awaiting { wait, due_ms } if due_ms <= now_ms => {
                        if let Step::Return(pumped) = self.call(Call::Expired(wait), 0, ctx, &mut budget) {
                            return pumped;
                        }
                    }
                    _ => return looked,
                }
            }
            Phase::Flushing { then, taken_bytes, .. } => self.judge_rate(then, taken_bytes, ctx),
            Phase::Lingering { .. } => self.judge_linger(ctx),
            Phase::Calling(_) | Phase::Ended(_) => {}
        }
        self.go_on(Patience::Now, ctx, &mut budget)
    }
}
