//! The sending half: write at once, wait for room only with bytes left over, and close so that the last reply arrives.

use std::io::{self, IoSlice};

use crate::session::{Call, Front, GATHER_MAX, Outbox, Peer, Record, Session, Wait};
use crate::telemetry::{Reason, Telemetry};

use super::context::after_ms;
use super::{
    Connection, Context, Inflow, Mode, NEVER_MS, Phase, Pumped, Sent, Step, Then, Transport, TurnBudget,
    WriteOutcome,
};

/// How many windows a client can have paid for ahead: at most so much longer does one hold its place that has read fast and
/// then stops. With the default window a minute, as long as an idle one.
const RATE_WINDOWS_AHEAD_MAX: u64 = 6;

/// How often it is looked at whether a client that closes has taken all that was sent: the system does not tell.
const LINGER_LOOK_MS: u64 = 1_000;

/// What TCP sends to a client that has acknowledged nothing yet: ten segments of an Ethernet (RFC 6928).
pub(super) const INITIAL_WINDOW_BYTES: u64 = 10 * 1460;

/// How an attempt to flush ended.
#[derive(Clone, Copy)]
pub(super) enum Flushed {
    All,
    NotNow,
    Budget,
    Failed(Reason),
}

/// Whether the system may hold bytes back until our end follows them (`more` of [`Transport::write`]).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    Perhaps,
}

impl<S: Session, T: Transport> Connection<S, T> {
    /// Sends what the session put into the scratch outbox; what cannot be sent now moves to an outbox of the client's own.
    pub(super) fn send(&mut self, then: Then, ctx: &mut Context<'_>, budget: &mut TurnBudget) -> Step {
        if ctx.scratch.outbox.is_empty() {
            return self.follow(then, Held::Nothing, ctx);
        }
        let now_ms = ctx.now().monotonic_ms;
        match self.flush(&mut ctx.scratch.outbox, then, now_ms, ctx.telemetry, budget) {
            Flushed::All => self.follow(then, Held::Perhaps, ctx),
            flushed => {
                self.phase = self.flushing(then, ctx);
                let rest = ctx.scratch.outbox.take_rest();
                self.flushed(flushed, Some(rest), ctx)
            }
        }
    }

    /// What follows from an attempt to flush, in phase `Flushing`.
    pub(super) fn flushed(
        &mut self,
        flushed: Flushed,
        outbox: Option<Box<Outbox>>,
        ctx: &mut Context<'_>,
    ) -> Step {
        self.outbox = outbox;
        match flushed {
            Flushed::All => {
                self.outbox = None;
                let Phase::Flushing { then, .. } = self.phase else { unreachable!("phase of this step") };
                self.follow(then, Held::Perhaps, ctx)
            }
            Flushed::NotNow => Step::Return(Pumped::Waits),
            Flushed::Budget => Step::Return(Pumped::More),
            Flushed::Failed(reason) => {
                self.cut(reason, ctx);
                Step::Go
            }
        }
    }

    /// All has been sent: what now?
    fn follow(&mut self, then: Then, held: Held, ctx: &mut Context<'_>) -> Step {
        match then {
            Then::Await(wait) => {
                let due_ms = self.wait_due_ms(wait, ctx);
                self.phase = Phase::Awaiting { wait, due_ms };
                if ctx.mode == Mode::Serving && !self.transport.may_read() {
                    return Step::Return(Pumped::Waits);
                }
            }
            Then::Call(call) => self.phase = Phase::Calling(call),
            Then::Yield => {
                self.phase = Phase::Calling(Call::Ready);
                return Step::Return(Pumped::More);
            }
            Then::Close(reason) => self.close(reason, held, ctx),
        }
        Step::Go
    }

    /// When a wait that begins, or goes on, now is over.
    fn wait_due_ms(&mut self, wait: Wait, ctx: &Context<'_>) -> u64 {
        if self.awaited_due_ms == NEVER_MS || self.awaited != wait {
            let wait_ms = match wait {
                Wait::NextRequest => ctx.timeouts.idle_ms,
                Wait::Rest => ctx.timeouts.request_ms,
            };
            self.awaited = wait;
            self.awaited_due_ms = after_ms(ctx.now().monotonic_ms, wait_ms);
        }
        self.awaited_due_ms
    }

    /// The service is done, and all was sent, though the system may hold the last of it for our end.
    pub(super) fn close(&mut self, reason: Reason, held: Held, ctx: &mut Context<'_>) {
        self.end_session(ctx);
        self.inbox = None;
        let now_ms = ctx.now().monotonic_ms;
        let linger_ms =
            if reason_of_refusal(reason) { ctx.limits.refusal_linger_ms } else { ctx.limits.linger_ms };
        let lingers = (self.inflow == Inflow::Open && linger_ms > 0) || self.is_behind();
        // A close alone ends our side, too, but should the client have sent more, it would destroy what is held.
        let shut = (lingers || held == Held::Perhaps) && self.transport.shutdown_write().is_ok();
        self.phase = if lingers && shut {
            let due_ms = now_ms + u64::from(linger_ms);
            Phase::Lingering { reason, due_ms, left_bytes: ctx.limits.linger_bytes_max, taken_bytes: None }
        } else {
            self.transport.close_in_order();
            Phase::Ended(reason) // the client is known to be done, or nothing can be done for it
        };
    }

    /// Writes from `outbox` until it is empty, would block, or the budget is spent. What is sent before our end may wait for
    /// it, so that both leave in one segment.
    pub(super) fn flush(
        &mut self,
        outbox: &mut Outbox,
        then: Then,
        now_ms: u64,
        telemetry: &mut Telemetry,
        budget: &mut TurnBudget,
    ) -> Flushed {
        let end_follows = matches!(then, Then::Close(_));
        while !outbox.is_empty() {
            if budget.write_bytes == 0 {
                return Flushed::Budget;
            }
            let put = match outbox.plain() {
                Some(bytes) => self.transport.write(&[IoSlice::new(bytes)], end_follows),
                None => self.put_front(outbox, end_follows, budget),
            };
            match put {
                Ok(WriteOutcome::Bytes(len)) => {
                    let before = self.bytes_out;
                    self.bytes_out += len as u64;
                    telemetry.sent(len as u64);
                    budget.write_bytes = budget.write_bytes.saturating_sub(len);
                    outbox.sent(len as u64, |record, sent| {
                        let at = before + sent;
                        let answer_bytes = at - std::mem::replace(&mut self.recorded_bytes, at);
                        telemetry.answered(self.peer, record, answer_bytes, now_ms);
                    });
                }
                Ok(WriteOutcome::NotNow) => return Flushed::NotNow,
                Ok(WriteOutcome::FileShort) => return Flushed::Failed(Reason::FileShort),
                Err(error) => return Flushed::Failed(Reason::of_error(&error)),
            }
        }
        Flushed::All
    }

    fn put_front(
        &mut self,
        outbox: &Outbox,
        end_follows: bool,
        budget: &TurnBudget,
    ) -> io::Result<WriteOutcome> {
        let mut slices = [IoSlice::new(&[]); GATHER_MAX];
        match outbox.front(&mut slices) {
            Front::Empty => Ok(WriteOutcome::Bytes(0)), // records only
            Front::Bytes { count, file_follows } => {
                self.transport.write(&slices[..count], file_follows || end_follows)
            }
            Front::File(range) => self.transport.send_file(range, budget.write_bytes),
        }
    }

    /// Drops what was not sent; the records of its answers get the bytes that were.
    pub(super) fn abandon(&mut self, outbox: &mut Outbox, now_ms: u64, telemetry: &mut Telemetry) {
        outbox.abandon(|record| self.answered(record, now_ms, telemetry));
    }

    /// Nothing more is sent of the answer with this record.
    pub(super) fn answered(&mut self, record: &Record, now_ms: u64, telemetry: &mut Telemetry) {
        let answer_bytes = self.bytes_out - std::mem::replace(&mut self.recorded_bytes, self.bytes_out);
        telemetry.answered(self.peer, record, answer_bytes, now_ms);
    }

    /// Bytes the client's side has taken, as far as is known.
    fn taken_bytes(&self) -> u64 {
        self.bytes_out.saturating_sub(self.transport.unacknowledged_bytes())
    }

    /// Bytes that the client has not taken and that a reset would destroy. On a Unix socket there is none.
    pub(super) fn untaken_bytes(&self) -> u64 {
        if self.peer == Peer::UNIX { 0 } else { self.transport.unacknowledged_bytes() }
    }

    /// Whether the client has not taken more than what leaves at once: a plain close would leave it to the system, for minutes.
    pub(super) fn is_behind(&self) -> bool {
        self.bytes_out > INITIAL_WINDOW_BYTES && self.untaken_bytes() > INITIAL_WINDOW_BYTES
    }

    /// The phase of a client that must read: a window begins.
    pub(super) fn flushing(&self, then: Then, ctx: &Context<'_>) -> Phase {
        let (due_ms, taken_bytes) = self.first_window(ctx);
        Phase::Flushing { then, due_ms, taken_bytes }
    }

    /// When the first window of a client that must read ends, and what it had taken before. What it has taken beyond its duty
    /// since it came counts.
    fn first_window(&self, ctx: &Context<'_>) -> (u64, u64) {
        let window_ms = u64::from(ctx.limits.rate_window_ms.max(1));
        let windows = ctx.now().monotonic_ms.saturating_sub(self.opened_ms) / window_ms;
        let duty_bytes = windows.saturating_mul(u64::from(ctx.limits.rate_bytes_min));
        self.window(self.taken_bytes().saturating_sub(duty_bytes), ctx)
    }

    /// A window that is as much longer as `ahead_bytes` are worth. Why: once a client's buffer was full, its kernel tells of
    /// room in large steps only, a sixteenth of the buffer or a whole segment (on Linux; a Unix socket likewise), however
    /// steadily its program reads.
    fn window(&self, ahead_bytes: u64, ctx: &Context<'_>) -> (u64, u64) {
        let paid = ahead_bytes / u64::from(ctx.limits.rate_bytes_min.max(1));
        let windows = paid.clamp(1, RATE_WINDOWS_AHEAD_MAX) as u32;
        let window_ms = ctx.limits.rate_window_ms.saturating_mul(windows);
        (after_ms(ctx.now().monotonic_ms, window_ms), self.taken_bytes())
    }

    /// The time is over in which the client could close, or take more of what was sent.
    pub(super) fn judge_linger(&mut self, ctx: &Context<'_>) {
        let Phase::Lingering { reason, left_bytes, taken_bytes, .. } = self.phase else {
            unreachable!("phase of this step")
        };
        if reason_of_refusal(reason) || self.untaken_bytes() == 0 {
            return self.finish(reason, Sent::All);
        }
        let now_ms = ctx.now().monotonic_ms;
        let (window_due_ms, taken_bytes) = match taken_bytes {
            None => self.first_window(ctx),
            Some(before) if now_ms < self.awaited_due_ms => (self.awaited_due_ms, before),
            Some(before) => {
                let taken = self.taken_bytes().saturating_sub(before);
                if taken < u64::from(ctx.limits.rate_bytes_min) {
                    return self.finish(Reason::RateTooLow, Sent::Part);
                }
                self.window(taken, ctx)
            }
        };
        self.awaited_due_ms = window_due_ms;
        let due_ms = window_due_ms.min(now_ms + LINGER_LOOK_MS);
        self.phase = Phase::Lingering { reason, due_ms, left_bytes, taken_bytes: Some(taken_bytes) };
    }

    /// A window has passed in which the client had to read.
    pub(super) fn judge_rate(&mut self, then: Then, taken_bytes: u64, ctx: &mut Context<'_>) {
        if self.session.is_none()
            && let Then::Close(reason) = then
            && reason_of_refusal(reason)
        {
            return self.cut(reason, ctx); // a refused client has one short linger, not a window
        }
        let taken_now = self.taken_bytes();
        let taken = taken_now.saturating_sub(taken_bytes);
        if taken < u64::from(ctx.limits.rate_bytes_min) {
            self.cut(Reason::RateTooLow, ctx);
        } else {
            let (due_ms, taken_bytes) = self.window(taken, ctx);
            self.phase = Phase::Flushing { then, due_ms, taken_bytes };
        }
    }
}

/// Whether a client with this reason never had a session.
fn reason_of_refusal(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::RefusedClients | Reason::RefusedAddress | Reason::RefusedWorker | Reason::RefusedStopping
    )
}
