//! Every state of a connection, and every transition.
//!
//! ```text
//! Handshaking -> Calling      the layers are done, and the model has opened the session
//! Handshaking -> Refused      the layers are done, and the model refuses the client
//! Handshaking -> Lingering    the client broke a layer's protocol; or a drain, and the client has sent nothing
//! Handshaking -> Ended        the deadline passed; the stream failed; the client was cut
//!
//! Calling     -> Awaiting     all was sent, and the session needs input
//! Calling     -> Paused       all was sent, and the session waits for a wake or its timer
//! Calling     -> Flushing     bytes are left over
//! Calling     -> Lingering    all was sent, and the session is done
//! Calling     -> Ended        the same, and the client has ended, too; or the session failed, or the client was cut
//!
//! Awaiting    -> Calling      a wake; or input came or a timer was due, and the session needs room or another turn
//! Awaiting    -> Paused       input or its end came, or a timer was due, and the session waits for a wake or its timer
//! Awaiting    -> Flushing     input came, or a timer was due, or the deadline passed, and bytes are left over
//! Awaiting    -> Lingering    the same, and the session is done
//! Awaiting    -> Ended        the same, and the client has ended, too; or the stream or session failed; or a cut
//!
//! Paused      -> Calling      a wake; or the timer was due, or a drain began, and the session needs room or another turn
//! Paused      -> Awaiting     the timer was due, or a drain began, and the session needs input
//! Paused      -> Flushing     the same, and bytes are left over
//! Paused      -> Lingering    the same, and the session is done
//! Paused      -> Ended        the same, and the client has ended, too; or the stream or session failed; or a cut
//!
//! Flushing    -> Calling      all was sent, and the session needs room, another turn or to be woken
//! Flushing    -> Awaiting     all was sent, and the session needs input
//! Flushing    -> Paused       all was sent, and the session waits for a wake or its timer
//! Flushing    -> Lingering    all was sent, and the session is done
//! Flushing    -> Ended        the client reads too slowly; the stream failed; the client was cut
//!
//! Refused     -> Lingering    the last words were sent
//! Refused     -> Ended        the deadline passed; the stream failed; the client was cut
//!
//! Lingering   -> Delivering   the deadline passed, and the client has yet to take what was sent
//! Lingering   -> Ended        the client has ended; the deadline passed; the client sent too much; a cut
//!
//! Delivering  -> Ended        the client has ended; it reads too slowly; it sent too much; a cut
//! ```
//!
//! A connection begins as `Handshaking`, or as `Refused`. `tests/simulation` compares this table with the
//! transitions that it has seen: `log` has each at the level `trace`.

// Functions on the path of every request are inlined: calls and copies of `Step` were a fifth of its
// instructions.
#![allow(clippy::inline_always)]

use std::io;
use std::panic::{self, AssertUnwindSafe};

use crate::limits::Limits;
use crate::session::{
    ASKS_WITHOUT_END, Call, ClientInfo, Input, Next, Now, Outbox, Peer, Session, WAITS_FOR_NO_REQUEST, Wait,
    Waker,
};
use crate::telemetry::{End, Reason};

use super::context::{Context, Mode, NEVER_MS, Scratch, TurnBudget, after_ms};
use super::io::{Flushed, INITIAL_WINDOW_BYTES, InputEnd, Io, inbox_bytes_max};
use super::layers::{Handshake, Layers};
use super::rate::Window;
use super::transport::{Patience, ReadOutcome, Transport};

/// How often a connection looks whether a client that closes has taken all that was sent: the system does not
/// report it.
const DELIVERY_LOOK_MS: u64 = 1_000;

/// One client.
#[derive(Debug)]
pub struct Connection<S, T> {
    state: ConnState,
    io: Io<T>,
    /// `Some` from [`Connection::open`] until the service is done.
    session: Option<S>,
    /// Calls in a row that neither took nor gave a byte.
    idle_calls: u32,
    /// The current or last wait and its deadline: a repeated wait keeps its deadline. [`NEVER_MS`] after the
    /// end of a request, so that the next wait gets a new deadline.
    awaited: Wait,
    awaited_due_ms: u64,
    /// Whether the last bytes consumed belong to a request that has not ended.
    is_inside_request: bool,
    opened_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnState {
    /// The layers have yet to agree with the client.
    Handshaking { due_ms: u64, begun: bool },
    /// The session is to be called; it does not wait for bytes.
    Calling(Call),
    /// The session waits for bytes: until its deadline, or its timer if that is due before.
    Awaiting { wait: Wait, due_ms: u64 },
    /// The session waits for a wake or its timer, and nothing is read. `is_stopping_sent`: it has been called
    /// with [`Call::Stopping`].
    Paused { due_ms: u64, is_stopping_sent: bool },
    /// Bytes wait to be sent. The client must take them at the minimum rate.
    Flushing { then: Sequel, window: Window },
    /// The client gets no session. The last words of the service wait to be sent.
    Refused { reason: Reason, due_ms: u64 },
    /// All was sent and our side is shut; the client's own close is awaited, so that no reset destroys what
    /// is on its way.
    Lingering { reason: Reason, due_ms: u64, left_bytes: u32, overtime: Overtime },
    /// As `Lingering`, beyond its time: the system still has bytes for the client, which must take them at
    /// the minimum rate.
    Delivering { reason: Reason, due_ms: u64, left_bytes: u32, window: Window },
    /// To be dropped.
    Ended(Reason),
}

/// What follows when all output was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sequel {
    Await(Wait),
    Pause {
        is_stopping_sent: bool,
    },
    Call(Call),
    /// Call again, after others had their turn.
    Yield,
    Close(Reason),
}

/// Whether a lingering client may stay longer while it still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overtime {
    Granted,
    Denied,
}

/// How much of the session's output was passed to the system before the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    All,
    Part,
    /// An answer is incomplete. If the close of the connection marks its end (HTTP/1.0 without a length), an
    /// orderly close would make it look complete.
    Cut,
}

/// Whether the system may hold the last bytes back until our end follows them (`more` of
/// [`Transport::write`]).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Corked {
    No,
    Perhaps,
}

/// How far a pump got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// The layers are done: the model is to [`Connection::open`] a session, or to [`Connection::refuse`] the
    /// client.
    Established,
    /// Nothing to do until there are bytes, room, a wake or the deadline.
    Waits,
    /// There is more to do, after others had their turn.
    More,
    /// It ended; the connection is to be dropped.
    Ended(Reason),
}

/// The end of one step of a pump.
#[derive(Clone, Copy)]
enum Step {
    /// The next state; the pump goes on.
    Go(ConnState),
    /// The next state, in which the pump returns.
    Rest(ConnState, Pumped),
    /// The state stays, and the pump returns.
    Stay(Pumped),
}

impl ConnState {
    fn name(self) -> &'static str {
        match self {
            ConnState::Handshaking { .. } => "Handshaking",
            ConnState::Calling(_) => "Calling",
            ConnState::Awaiting { .. } => "Awaiting",
            ConnState::Paused { .. } => "Paused",
            ConnState::Flushing { .. } => "Flushing",
            ConnState::Refused { .. } => "Refused",
            ConnState::Lingering { .. } => "Lingering",
            ConnState::Delivering { .. } => "Delivering",
            ConnState::Ended(_) => "Ended",
        }
    }

    /// The state after a wake: the session will be called, after what waits to be sent.
    fn woken(self) -> ConnState {
        match self {
            ConnState::Awaiting { .. } | ConnState::Paused { .. } | ConnState::Calling(Call::Ready) => {
                ConnState::Calling(Call::Woken)
            }
            ConnState::Flushing {
                then: Sequel::Await(_) | Sequel::Pause { .. } | Sequel::Yield | Sequel::Call(Call::Ready),
                window,
            } => ConnState::Flushing { then: Sequel::Call(Call::Woken), window },
            other => other,
        }
    }

    /// The state after more bytes of a client to which we have already sent FIN.
    fn with_left_bytes(self, left: u32) -> ConnState {
        match self {
            ConnState::Lingering { reason, due_ms, overtime, .. } => {
                ConnState::Lingering { reason, due_ms, left_bytes: left, overtime }
            }
            ConnState::Delivering { reason, due_ms, window, .. } => {
                ConnState::Delivering { reason, due_ms, left_bytes: left, window }
            }
            other => other,
        }
    }
}

impl<S: Session, T: Transport> Connection<S, T> {
    /// A client that was just accepted. When its layers are done, a pump returns [`Pumped::Established`].
    pub fn accepted(transport: T, layers: Layers, peer: Peer, now: Now, limits: &Limits) -> Self {
        let due_ms = after_ms(now.monotonic_ms, limits.handshake_ms);
        Self::in_state(ConnState::Handshaking { due_ms, begun: false }, Io::new(transport, layers, peer), now)
    }

    /// A client without a session: it gets the last words of the service, and a brief linger.
    pub fn refused(
        transport: T,
        words: &[u8],
        reason: Reason,
        peer: Peer,
        now: Now,
        limits: &Limits,
    ) -> Self {
        let mut connection = Self::accepted(transport, Layers::none(), peer, now, limits);
        connection.refuse(words, reason, now, limits);
        connection
    }

    fn in_state(state: ConnState, io: Io<T>, now: Now) -> Self {
        Connection {
            state,
            io,
            session: None,
            idle_calls: 0,
            awaited: Wait::NextRequest,
            awaited_due_ms: NEVER_MS,
            is_inside_request: false,
            opened_ms: now.monotonic_ms,
        }
    }

    /// What is known of the client when its session is opened. To be called when the layers are done.
    pub fn client<'a>(&'a self, local: Peer, waker: Option<&'a Waker>) -> ClientInfo<'a> {
        let layers = self.io.layers();
        ClientInfo {
            peer: self.peer(),
            local,
            server_name: layers.and_then(Layers::server_name),
            protocol: layers.and_then(Layers::protocol),
            waker,
            offload: None,
        }
    }

    /// Gives the client its session, which is to be called for the first time ([`Call::Open`]). To be called
    /// when the layers are done ([`Pumped::Established`]); at other times it does nothing.
    pub fn open(&mut self, session: S) {
        if let ConnState::Handshaking { .. } = self.state {
            self.session = Some(session);
            self.io.drop_spent_layers();
            self.enter(ConnState::Calling(Call::Open));
        }
    }

    /// Sends the last words of the service, without a session. To be called in place of [`Connection::open`].
    pub fn refuse(&mut self, words: &[u8], reason: Reason, now: Now, limits: &Limits) {
        if let ConnState::Handshaking { .. } = self.state {
            let mut outbox = Outbox::new(words.len());
            outbox.put_some(words);
            self.io.keep_outbox(Box::new(outbox));
            self.io.drop_spent_layers();
            let due_ms = now.monotonic_ms + u64::from(limits.refusal_linger_ms);
            self.enter(ConnState::Refused { reason, due_ms });
        }
    }

    /// The transport, to latch events or set timeouts.
    pub fn transport(&self) -> &T {
        &self.io.transport
    }

    /// The transport, to latch events or set timeouts.
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.io.transport
    }

    /// The client's address: the real one, once the layers are done.
    pub fn peer(&self) -> Peer {
        self.io.peer
    }

    /// Bytes that the session has taken and bytes written, so far. Bytes that arrived and begin no request do
    /// not count.
    pub fn moved_bytes(&self) -> u64 {
        self.io.bytes_in - self.io.inbox_len() as u64 + self.io.bytes_out
    }

    /// Whether the layers have yet to agree with the client.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.state, ConnState::Handshaking { .. })
    }

    /// Whether the session waits for a request: the client may be evicted.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, ConnState::Awaiting { wait: Wait::NextRequest, .. })
    }

    /// Whether it is idle and has taken all but what leaves at once: it can be ended without loss.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_idle() && !self.io.is_behind()
    }

    /// Whether nothing is read because the session waits for a wake or its timer.
    pub fn is_paused(&self) -> bool {
        matches!(self.state, ConnState::Paused { .. })
    }

    /// Whether it waits for room to send: a blocking model's next call is a write.
    pub fn is_flushing(&self) -> bool {
        matches!(self.state, ConnState::Flushing { .. } | ConnState::Refused { .. })
    }

    /// Whether a blocking model's next call is a read.
    pub fn is_reading(&self) -> bool {
        matches!(
            self.state,
            ConnState::Handshaking { .. }
                | ConnState::Awaiting { .. }
                | ConnState::Lingering { .. }
                | ConnState::Delivering { .. }
        )
    }

    /// Whether a read would give bytes that a layer keeps: it would not wait for the stream.
    pub fn has_input(&self) -> bool {
        self.io.has_layer_input()
    }

    /// Why the client ends, if it has taken all and only its own close is awaited.
    pub fn lingers_for(&self) -> Option<Reason> {
        match self.state {
            ConnState::Lingering { reason, .. } | ConnState::Delivering { reason, .. }
                if self.io.untaken_bytes() == 0 =>
            {
                Some(reason)
            }
            _ => None,
        }
    }

    /// Whether it waits only for its deadline, or for the client to take what was sent: neither needs a read
    /// or a write.
    pub fn waits_for_time(&self) -> bool {
        matches!(self.state, ConnState::Lingering { .. } | ConnState::Delivering { .. })
            && self.io.input_end == InputEnd::Seen
    }

    /// When [`Connection::expire`] is to be called, in ms of the server's clock; [`NEVER_MS`] if never.
    #[inline]
    pub fn deadline_ms(&self) -> u64 {
        match self.state {
            ConnState::Handshaking { due_ms, .. }
            | ConnState::Awaiting { due_ms, .. }
            | ConnState::Paused { due_ms, .. }
            | ConnState::Flushing { window: Window { due_ms, .. }, .. }
            | ConnState::Refused { due_ms, .. }
            | ConnState::Lingering { due_ms, .. }
            | ConnState::Delivering { due_ms, .. } => due_ms,
            ConnState::Calling(_) | ConnState::Ended(_) => NEVER_MS,
        }
    }

    /// Bytes kept for this client in memory.
    pub fn held_bytes(&self) -> usize {
        self.io.held_bytes()
    }

    /// The memory of its buffers, layers and session, which `buffers_bytes_max` counts. It changes only in
    /// `pump`, `open`, `expire` and `cut`.
    pub fn memory_bytes(&self) -> usize {
        // A session is foreign code: it may panic.
        let of = |session: &S| panic::catch_unwind(AssertUnwindSafe(|| session.held_bytes())).unwrap_or(0);
        self.session.as_ref().map_or(0, of) + self.io.memory_bytes()
    }

    /// The event for telemetry, after its end.
    pub fn end(&self, reason: Reason, now: Now) -> End {
        let lasted_ms = now.monotonic_ms.saturating_sub(self.opened_ms);
        let Io { bytes_in, bytes_out, .. } = self.io;
        End { reason, peer: self.peer(), bytes_in, bytes_out, lasted_ms }
    }

    /// A waker of the session was used.
    pub fn wake(&mut self) {
        self.enter(self.state.woken());
    }

    /// Ends the client at once: unsent output is dropped, here and by the system. If all answers were
    /// written, the last is delivered as far as it leaves at once.
    pub fn cut(&mut self, reason: Reason, ctx: &mut Context<'_>) {
        let sent = match self.state {
            ConnState::Awaiting { .. } | ConnState::Lingering { .. } | ConnState::Delivering { .. } => {
                Sent::All
            }
            ConnState::Flushing { .. } | ConnState::Paused { .. } => Sent::Cut,
            _ => Sent::Part,
        };
        let ended = self.ended(sent, reason, ctx);
        self.enter(ended);
    }

    /// Moves the connection on as far as bytes, room and `budget` allow.
    pub fn pump(&mut self, ctx: &mut Context<'_>, mut budget: TurnBudget) -> Pumped {
        self.run(Patience::MayBlock, ctx, &mut budget)
    }

    /// Acts on a deadline that has passed. Bytes that came in time win: what has arrived is read first, as
    /// far as `budget` goes.
    pub fn expire(&mut self, ctx: &mut Context<'_>, mut budget: TurnBudget) -> Pumped {
        let now_ms = ctx.now().monotonic_ms;
        if now_ms < self.deadline_ms() {
            return Pumped::Waits;
        }
        let step = match self.state {
            ConnState::Handshaking { .. } | ConnState::Awaiting { .. } => {
                let pumped = self.run(Patience::Now, ctx, &mut budget);
                match self.state {
                    // A request that has arrived whole would have moved the deadline.
                    ConnState::Awaiting { wait, due_ms } if due_ms <= now_ms => {
                        let is_timer = now_ms < self.awaited_due_ms;
                        let call = if is_timer { Call::Timer } else { Call::Expired(wait) };
                        self.call_aside(call, 0, ctx, &mut budget)
                    }
                    ConnState::Handshaking { .. } if pumped != Pumped::Established => {
                        Step::Go(self.ended(Sent::Part, Reason::HandshakeTimeout, ctx))
                    }
                    _ => return pumped,
                }
            }
            ConnState::Paused { .. } => self.call_aside(Call::Timer, 0, ctx, &mut budget),
            ConnState::Flushing { then, window } => {
                match window.next(self.io.taken_bytes(), now_ms, ctx.limits) {
                    Some(window) => Step::Go(ConnState::Flushing { then, window }),
                    None => Step::Go(self.ended(Sent::Cut, Reason::RateTooLow, ctx)),
                }
            }
            ConnState::Refused { reason, .. } => Step::Go(self.ended(Sent::Part, reason, ctx)),
            ConnState::Lingering { reason, left_bytes, overtime, .. } => {
                if overtime == Overtime::Denied || self.io.untaken_bytes() == 0 {
                    Step::Go(self.closed(Sent::All, reason))
                } else {
                    let taken_bytes = self.io.taken_bytes();
                    let window = Window::first(taken_bytes, self.opened_ms, now_ms, ctx.limits);
                    Step::Go(delivering(reason, left_bytes, window, now_ms))
                }
            }
            ConnState::Delivering { reason, left_bytes, window, .. } => {
                if self.io.untaken_bytes() == 0 {
                    Step::Go(self.closed(Sent::All, reason))
                } else if now_ms < window.due_ms {
                    Step::Go(delivering(reason, left_bytes, window, now_ms))
                } else {
                    match window.next(self.io.taken_bytes(), now_ms, ctx.limits) {
                        Some(window) => Step::Go(delivering(reason, left_bytes, window, now_ms)),
                        None => Step::Go(self.closed(Sent::Part, Reason::RateTooLow)),
                    }
                }
            }
            ConnState::Calling(_) | ConnState::Ended(_) => Step::Go(self.state),
        };
        match self.take(step) {
            Some(pumped) => pumped,
            None => self.run(Patience::Now, ctx, &mut budget),
        }
    }

    fn run(&mut self, patience: Patience, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Pumped {
        loop {
            let step = match self.state {
                ConnState::Handshaking { due_ms, begun } => {
                    self.step_handshaking(due_ms, begun, patience, ctx, budget)
                }
                ConnState::Calling(call) => self.step_calling(call, ctx, budget),
                ConnState::Awaiting { wait, .. } => self.step_awaiting(wait, patience, ctx, budget),
                ConnState::Paused { is_stopping_sent, .. } => self.step_paused(is_stopping_sent, ctx, budget),
                ConnState::Flushing { then, .. } => match self.flush_outbox(then.is_close(), ctx, budget) {
                    Flushed::All => self.follow(then, Corked::Perhaps, ctx),
                    stopped => self.not_flushed(stopped, self.state, ctx),
                },
                ConnState::Refused { reason, .. } => match self.flush_outbox(true, ctx, budget) {
                    Flushed::All => {
                        let linger_ms = ctx.limits.refusal_linger_ms;
                        Step::Go(self.close(reason, Corked::Perhaps, (linger_ms, Overtime::Denied), ctx))
                    }
                    stopped => self.not_flushed(stopped, self.state, ctx),
                },
                ConnState::Lingering { reason, left_bytes, .. }
                | ConnState::Delivering { reason, left_bytes, .. } => {
                    self.step_discarding(reason, left_bytes, patience, ctx, budget)
                }
                ConnState::Ended(reason) => return Pumped::Ended(reason),
            };
            if let Some(pumped) = self.take(step) {
                return pumped;
            }
        }
    }

    /// Enters the next state; returns the result of the pump if it ends here.
    #[inline]
    fn take(&mut self, step: Step) -> Option<Pumped> {
        match step {
            Step::Go(next) => {
                self.enter(next);
                None
            }
            Step::Rest(next, pumped) => {
                self.enter(next);
                Some(pumped)
            }
            Step::Stay(pumped) => Some(pumped),
        }
    }

    /// The only place where the state is assigned.
    #[inline(always)]
    fn enter(&mut self, next: ConnState) {
        if log::log_enabled!(log::Level::Trace) {
            self.trace(next);
        }
        self.state = next;
    }

    #[cold]
    #[inline(never)]
    fn trace(&self, next: ConnState) {
        if self.state.name() != next.name() {
            log::trace!("{}: {} -> {}", self.io.peer, self.state.name(), next.name());
        }
    }

    #[cold]
    fn step_handshaking(
        &mut self,
        due_ms: u64,
        begun: bool,
        patience: Patience,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        if self.io.layers().is_none() {
            return Step::Stay(Pumped::Established);
        }
        if budget.reads == 0 {
            return Step::Stay(Pumped::More);
        }
        // A drain waits for the rest of a handshake, not for its beginning.
        let drained = ctx.mode == Mode::Draining && !begun;
        let handshake = self.io.handshake(if drained { Patience::Now } else { patience });
        ctx.call_returned();
        match handshake {
            Ok(Handshake::Done) => Step::Stay(Pumped::Established),
            Ok(Handshake::Progress) => {
                budget.reads = budget.reads.saturating_sub(1);
                Step::Go(ConnState::Handshaking { due_ms, begun: true })
            }
            Ok(Handshake::NotNow) if drained => {
                Step::Go(self.close(Reason::Drained, Corked::No, linger(ctx.limits), ctx))
            }
            Ok(Handshake::NotNow) => Step::Stay(Pumped::Waits),
            Err(error) => self.stream_failed(&error, Reason::HandshakeFailed, Sent::Part, ctx, budget),
        }
    }

    fn step_calling(&mut self, call: Call, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Step {
        if budget.advances == 0 {
            return Step::Stay(Pumped::More);
        }
        let call = if call == Call::Ready && ctx.mode == Mode::Draining { Call::Stopping } else { call };
        // A session that streams never waits for input, so what has arrived is read here.
        let mut fresh = 0;
        if self.io.inbox_len() == 0
            && self.io.input_end == InputEnd::Open
            && call != Call::Open
            && self.io.may_read()
        {
            let room = self.io.input_room(ctx);
            match self.io.read(room, Patience::Now, ctx) {
                Ok(ReadOutcome::Bytes(len)) => fresh = len,
                Ok(ReadOutcome::End | ReadOutcome::Overhead | ReadOutcome::NotNow) => {}
                Err(error) => {
                    return self.stream_failed(&error, Reason::Protocol, Sent::Part, ctx, budget);
                }
            }
        }
        self.call_aside(call, fresh, ctx, budget)
    }

    #[inline(always)]
    fn step_awaiting(
        &mut self,
        wait: Wait,
        patience: Patience,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        let draining = ctx.mode == Mode::Draining;
        // A drain reads what has arrived; only the rest of a request that has begun is worth waiting for.
        let patience = if draining && wait == Wait::NextRequest { Patience::Now } else { patience };
        if (budget.reads == 0 || budget.advances == 0) && self.io.may_read() {
            return Step::Stay(Pumped::More);
        }
        let room = self.io.input_room(ctx);
        let (call, fresh) = match self.io.read(room, patience, ctx) {
            Ok(ReadOutcome::Bytes(len)) => {
                budget.reads = budget.reads.saturating_sub(1);
                // Less than was asked for is the last of what has arrived: a session can use that for its
                // last answer.
                (if draining && len < room { Call::Stopping } else { Call::Ready }, len)
            }
            Ok(ReadOutcome::Overhead) => {
                budget.reads = budget.reads.saturating_sub(1);
                return Step::Go(self.state);
            }
            Ok(ReadOutcome::End) => (Call::Ready, 0),
            Ok(ReadOutcome::NotNow) if draining && wait == Wait::NextRequest => {
                return self.begin_nothing_new(ctx, budget);
            }
            Ok(ReadOutcome::NotNow) => return Step::Stay(Pumped::Waits),
            Err(error) => return self.stream_failed(&error, Reason::Protocol, Sent::All, ctx, budget),
        };
        self.call(call, fresh, ctx, budget)
    }

    /// Reads nothing: what the client sends waits in the system, which bounds it.
    fn step_paused(
        &mut self,
        is_stopping_sent: bool,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        if let Some(error) = self.io.transport.failure() {
            return Step::Go(self.ended(Sent::Part, Reason::of_error(&error), ctx));
        }
        if ctx.mode == Mode::Serving || is_stopping_sent {
            Step::Stay(Pumped::Waits)
        } else if budget.advances == 0 {
            Step::Stay(Pumped::More)
        } else {
            self.call_aside(Call::Stopping, 0, ctx, budget)
        }
    }

    /// In a drain, when all that had arrived was answered: a session that would wait for another request is
    /// closed.
    #[cold]
    fn begin_nothing_new(&mut self, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Step {
        match self.call_aside(Call::Stopping, 0, ctx, budget) {
            Step::Go(ConnState::Awaiting { wait: Wait::NextRequest, .. })
            | Step::Rest(ConnState::Awaiting { wait: Wait::NextRequest, .. }, _) => {
                self.send(Sequel::Close(Reason::Drained), ctx, budget)
            }
            Step::Rest(ConnState::Flushing { then: Sequel::Await(Wait::NextRequest), window }, pumped) => {
                Step::Rest(ConnState::Flushing { then: Sequel::Close(Reason::Drained), window }, pumped)
            }
            other => other,
        }
    }

    /// Discards what the client sends after our FIN.
    fn step_discarding(
        &mut self,
        reason: Reason,
        left_bytes: u32,
        patience: Patience,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        if budget.reads == 0 && self.io.may_read() {
            return Step::Stay(Pumped::More);
        }
        match self.io.read(ctx.scratch.input.len(), patience, ctx) {
            Ok(ReadOutcome::Bytes(len)) => {
                budget.reads = budget.reads.saturating_sub(1);
                match left_bytes.checked_sub(len as u32) {
                    Some(left_bytes) => Step::Go(self.state.with_left_bytes(left_bytes)),
                    None => Step::Go(self.closed(Sent::Part, reason)), // too much after the end
                }
            }
            Ok(ReadOutcome::NotNow | ReadOutcome::Overhead) => Step::Stay(Pumped::Waits),
            // The client sends nothing more, but has yet to take what was sent: until its deadline, or an
            // error.
            Ok(ReadOutcome::End) if self.io.is_behind() => Step::Stay(Pumped::Waits),
            // The awaited end, or a reset: there is nothing left to protect.
            Ok(ReadOutcome::End) => {
                self.io.transport.close_in_order();
                Step::Go(ConnState::Ended(reason))
            }
            Err(_) => Step::Go(self.closed(Sent::Part, reason)),
        }
    }

    /// [`Connection::call`] off the path of a request.
    #[inline(never)]
    fn call_aside(
        &mut self,
        call: Call,
        fresh: usize,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        self.call(call, fresh, ctx, budget)
    }

    /// Calls the session with the unconsumed bytes, `fresh` of which lie at the front of the scratch input,
    /// and sends what it has put at once.
    #[inline(always)] // into the pump, where a request passes it
    fn call(&mut self, call: Call, fresh: usize, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Step {
        let now = ctx.now();
        budget.advances = budget.advances.saturating_sub(1);
        let Context { scratch: Scratch { input, outbox, .. }, limits, telemetry, clock, .. } = ctx;
        debug_assert!(outbox.is_empty());
        if let Some(buffer) = input.to_lend(fresh) {
            outbox.lend(buffer);
        }
        let (input, ended) = (&input[..fresh], self.io.input_end == InputEnd::Seen);
        let (bytes, arrived_ms, last_arrived_ms) = self.io.unconsumed(input, now.monotonic_ms);
        let len = bytes.len();
        let session = self.session.as_mut().expect("a session while it is called");
        let given = Input { bytes, ended, call, arrived_ms, last_arrived_ms, now };
        outbox.set_answer_detail(telemetry.answer_detail());
        let advanced = panic::catch_unwind(AssertUnwindSafe(|| session.advance(given, outbox)));
        clock.call_returned();
        if let Some(answers) = outbox.take_answers() {
            telemetry.count_answers(&answers);
        }
        let progress = match advanced {
            Ok(progress) => match progress.broken_rule(len, outbox) {
                Some(how) => return self.contract_broken(how, ctx),
                None => progress,
            },
            Err(_) => return self.failed(Reason::Panicked, ctx),
        };
        let asks_again = match call {
            Call::Timer => self.timer_due_ms() <= now.monotonic_ms,
            _ => progress.next == Next::Again,
        };
        let is_idle = asks_again && progress.consumed == 0 && !outbox.has_content();
        self.idle_calls = if is_idle { self.idle_calls.saturating_add(1) } else { 0 };
        if progress.consumed > 0 {
            self.is_inside_request = progress.unfinished > 0;
        }
        if progress.consumed > progress.unfinished {
            self.awaited_due_ms = NEVER_MS; // a request has ended: the next wait gets a new deadline
        }
        self.io.consume(progress.consumed, input, now.monotonic_ms);
        let kept = len - progress.consumed;
        let incomplete = match progress.next {
            Next::NeedInput(wait) => wait != Wait::NextRequest || kept > 0,
            Next::Pause => true,
            _ => false,
        };
        if fresh > 0 && incomplete && outbox.is_empty() {
            self.io.transport.acknowledge();
        }
        let full = kept >= inbox_bytes_max(limits);
        if progress.next == Next::Close && kept == 0 && self.io.leaves_at_once(outbox) {
            self.io.input_end = InputEnd::Seen; // the client has announced that it sends nothing more
        }
        let ended = self.io.input_end == InputEnd::Seen;
        let then = match progress.next {
            Next::Abort(fault) => return self.failed(fault.into(), ctx),
            _ if self.idle_calls > limits.again_max => {
                return self.contract_broken(ASKS_WITHOUT_END, ctx);
            }
            Next::Finish | Next::Close if call == Call::Stopping => Sequel::Close(Reason::Drained),
            Next::Finish | Next::Close => Sequel::Close(Reason::Finished),
            next => match (call, next) {
                (Call::Expired(wait), _) => Sequel::Close(wait.into()),
                (_, Next::TimedOut) => Sequel::Close(Reason::ServiceTimeout),
                (_, Next::Pause) => Sequel::Pause { is_stopping_sent: call == Call::Stopping },
                (_, Next::NeedInput(_)) if ended => Sequel::Close(Reason::PeerClosed),
                (_, Next::NeedInput(_)) if full => Sequel::Close(Reason::InputTooLong),
                (_, Next::NeedInput(Wait::Rest)) if kept == 0 && !self.is_inside_request => {
                    return self.contract_broken(WAITS_FOR_NO_REQUEST, ctx);
                }
                (_, Next::NeedInput(wait)) => Sequel::Await(wait),
                (_, Next::NeedRoom) => Sequel::Call(Call::Ready),
                (_, _) => Sequel::Yield,
            },
        };
        self.send(then, ctx, budget)
    }

    /// Sends what the session has put into the scratch outbox; what cannot be sent now moves to an outbox of
    /// the client's own.
    #[inline(always)]
    fn send(&mut self, then: Sequel, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Step {
        let corked = if ctx.scratch.outbox.is_empty() && self.io.layers().is_none() {
            Corked::No
        } else {
            let flushed =
                self.io.flush(&mut ctx.scratch.outbox, then.is_close(), ctx.clock, ctx.telemetry, budget);
            ctx.call_returned();
            match flushed {
                Flushed::All => Corked::Perhaps,
                stopped => {
                    let now_ms = ctx.now().monotonic_ms;
                    let window = Window::first(self.io.taken_bytes(), self.opened_ms, now_ms, ctx.limits);
                    self.io.keep_outbox(ctx.scratch.outbox.take_rest());
                    return self.not_flushed(stopped, ConnState::Flushing { then, window }, ctx);
                }
            }
        };
        self.follow(then, corked, ctx)
    }

    /// Sends what waits in the client's own outbox.
    fn flush_outbox(&mut self, end_follows: bool, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Flushed {
        let mut outbox = self.io.take_outbox().unwrap_or_default();
        let flushed = self.io.flush(&mut outbox, end_follows, ctx.clock, ctx.telemetry, budget);
        ctx.call_returned();
        if !matches!(flushed, Flushed::All) {
            self.io.keep_outbox(outbox);
        }
        flushed
    }

    /// The step after an incomplete flush, in `state`.
    fn not_flushed(&mut self, stopped: Flushed, state: ConnState, ctx: &mut Context<'_>) -> Step {
        match stopped {
            Flushed::Failed(reason) => Step::Go(self.ended(Sent::Part, reason, ctx)),
            Flushed::Budget => Step::Rest(state, Pumped::More),
            Flushed::All | Flushed::NotNow => Step::Rest(state, Pumped::Waits),
        }
    }

    /// The step after all was sent.
    #[inline(always)]
    fn follow(&mut self, then: Sequel, corked: Corked, ctx: &mut Context<'_>) -> Step {
        match then {
            Sequel::Await(wait) => {
                if self.awaited_due_ms == NEVER_MS || self.awaited != wait {
                    let wait_ms = match wait {
                        Wait::NextRequest => ctx.timeouts.idle_ms,
                        Wait::Rest => ctx.timeouts.request_ms,
                    };
                    self.awaited = wait;
                    self.awaited_due_ms = after_ms(ctx.now().monotonic_ms, wait_ms);
                }
                let timer_ms = self.timer_due_ms().max(ctx.now().monotonic_ms + 1);
                let awaiting = ConnState::Awaiting { wait, due_ms: self.awaited_due_ms.min(timer_ms) };
                if ctx.mode == Mode::Serving && !self.io.may_read() {
                    Step::Rest(awaiting, Pumped::Waits)
                } else {
                    Step::Go(awaiting)
                }
            }
            Sequel::Pause { is_stopping_sent } => {
                // The event of a reset may have come before: check the stream once more.
                Step::Go(ConnState::Paused {
                    due_ms: self.timer_due_ms().max(ctx.now().monotonic_ms + 1),
                    is_stopping_sent,
                })
            }
            Sequel::Call(call) => Step::Go(ConnState::Calling(call)),
            Sequel::Yield => Step::Rest(ConnState::Calling(Call::Ready), Pumped::More),
            Sequel::Close(reason) => Step::Go(self.close(reason, corked, linger(ctx.limits), ctx)),
        }
    }

    /// The state when the service is done and all was sent; `corked` bytes may still wait for our end.
    fn close(
        &mut self,
        reason: Reason,
        corked: Corked,
        (linger_ms, overtime): (u32, Overtime),
        ctx: &mut Context<'_>,
    ) -> ConnState {
        self.end_session(ctx);
        self.io.drop_inbox();
        let lingers = (self.io.input_end == InputEnd::Open && linger_ms > 0) || self.io.is_behind();
        // A close alone would end our side, too; but if the client has sent more, it would destroy corked
        // bytes.
        let shut = (lingers || corked == Corked::Perhaps) && self.io.shutdown_write().is_ok();
        if lingers && shut {
            let due_ms = ctx.now().monotonic_ms + u64::from(linger_ms);
            ConnState::Lingering { reason, due_ms, left_bytes: ctx.limits.linger_bytes_max, overtime }
        } else {
            self.io.transport.close_in_order();
            ConnState::Ended(reason) // the client has ended, or the stream is broken
        }
    }

    /// When the session's timer is due; [`NEVER_MS`] if it has none.
    fn timer_due_ms(&self) -> u64 {
        // A session is foreign code: it may panic.
        let of = |session: &S| panic::catch_unwind(AssertUnwindSafe(|| session.timer_due_ms())).ok()?;
        self.session.as_ref().and_then(of).unwrap_or(NEVER_MS)
    }

    #[cold]
    fn contract_broken(&mut self, how: &str, ctx: &mut Context<'_>) -> Step {
        log::error!("{}: the session broke the contract: {how}; its client ends", self.io.peer);
        self.failed(Reason::Contract, ctx)
    }

    /// The session has failed: nothing of what it has put in this call is sent.
    #[cold]
    fn failed(&mut self, reason: Reason, ctx: &mut Context<'_>) -> Step {
        if reason == Reason::Panicked {
            log::error!("{}: the session panicked; its client ends", self.io.peer);
        }
        let now_ms = ctx.now().monotonic_ms;
        self.io.abandon(&mut ctx.scratch.outbox, now_ms, ctx.telemetry);
        let sent = if matches!(reason, Reason::Resource | Reason::Panicked) { Sent::Cut } else { Sent::Part };
        Step::Go(self.ended(sent, reason, ctx))
    }

    /// Handles a failed read. If the client broke the protocol of a layer (reason `broken`), it gets the
    /// layer's alert if there is room.
    #[cold]
    fn stream_failed(
        &mut self,
        error: &io::Error,
        broken: Reason,
        sent: Sent,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        if error.kind() != io::ErrorKind::InvalidData {
            return Step::Go(self.ended(sent, Reason::of_error(error), ctx));
        }
        log::debug!("{}: {broken}: {error}", self.io.peer);
        self.flush_outbox(true, ctx, budget);
        self.io.take_outbox();
        Step::Go(self.close(broken, Corked::Perhaps, linger(ctx.limits), ctx))
    }

    /// The end at once: what waits to be sent is dropped.
    fn ended(&mut self, sent: Sent, reason: Reason, ctx: &mut Context<'_>) -> ConnState {
        if let Some(mut outbox) = self.io.take_outbox() {
            self.io.abandon(&mut outbox, ctx.now().monotonic_ms, ctx.telemetry);
        }
        self.io.drop_inbox();
        self.end_session(ctx);
        self.closed(sent, reason)
    }

    /// The stream is about to be dropped: with a reset if the client would miss bytes anyway, or if the
    /// system would have to keep many bytes for it. A few bytes in flight are left to the system to deliver:
    /// they may have been sent a moment ago.
    fn closed(&mut self, sent: Sent, reason: Reason) -> ConnState {
        let resets = match sent {
            Sent::All => self.io.untaken_bytes() > INITIAL_WINDOW_BYTES,
            Sent::Part => self.io.untaken_bytes() > 0,
            Sent::Cut => true,
        };
        if resets {
            self.io.transport.reset_at_close();
        } else {
            self.io.transport.close_in_order();
        }
        ConnState::Ended(reason)
    }

    /// Drops the session. An answer that it had begun is reported as far as it was sent.
    fn end_session(&mut self, ctx: &mut Context<'_>) {
        let Some(mut session) = self.session.take() else { return };
        // This may panic, and so may its drop.
        match panic::catch_unwind(AssertUnwindSafe(move || session.unfinished())) {
            Ok(None) => {}
            Ok(Some(info)) => self.io.cut_answer(&info, ctx.now().monotonic_ms, ctx.telemetry),
            Err(_) => log::error!("{}: the session panicked when it ended", self.io.peer),
        }
    }
}

impl Sequel {
    fn is_close(self) -> bool {
        matches!(self, Sequel::Close(_))
    }
}

/// How long a client with a session lingers.
fn linger(limits: &Limits) -> (u32, Overtime) {
    (limits.linger_ms, Overtime::Granted)
}

fn delivering(reason: Reason, left_bytes: u32, window: Window, now_ms: u64) -> ConnState {
    ConnState::Delivering { reason, due_ms: window.due_ms.min(now_ms + DELIVERY_LOOK_MS), left_bytes, window }
}
