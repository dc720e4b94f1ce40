//! The steps of a pump: what is done in each phase, and the one place where a session is called.

use std::panic::{self, AssertUnwindSafe};

use crate::limits::Limits;
use crate::session::{Call, Input, Next, Outbox, Session, Wait};
use crate::telemetry::Reason;

use super::inbox::Inbox;
use super::sending::{Held, INITIAL_WINDOW_BYTES};
use super::{
    Connection, Context, Inflow, Mode, NEVER_MS, Patience, Phase, Pumped, ReadOutcome, Scratch, Sent, Step,
    Then, Transport, TurnBudget,
};

impl<S: Session, T: Transport> Connection<S, T> {
    /// Whether all that was ever sent, `outbox` included, is on its way as soon as it is written. What waits in the kernel
    /// would be destroyed by a reset, should the client send anything after it said it would not.
    fn leaves_at_once(&self, outbox: &Outbox) -> bool {
        !outbox.has_file() && self.bytes_out + outbox.held_bytes() as u64 <= INITIAL_WINDOW_BYTES
    }

    pub(super) fn step_calling(
        &mut self,
        call: Call,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        if budget.advances == 0 {
            return Step::Return(Pumped::More);
        }
        let call = if call == Call::Ready && ctx.mode == Mode::Draining { Call::Stopping } else { call };
        // A session that streams does not wait for input, so its input is taken here, as far as it is there.
        let mut fresh = 0;
        if self.inbox.is_none()
            && self.inflow == Inflow::Open
            && call != Call::Open
            && self.transport.may_read()
        {
            let room = self.inbox_room(ctx);
            match self.transport.read(&mut ctx.scratch.input[..room], Patience::Now) {
                Ok(ReadOutcome::Bytes(len)) => fresh = self.received(len, ctx),
                Ok(ReadOutcome::End) => self.inflow = Inflow::Ended,
                Ok(ReadOutcome::NotNow) => {}
                Err(error) => {
                    self.cut(Reason::of_error(&error), ctx);
                    return Step::Go;
                }
            }
        }
        self.call(call, fresh, ctx, budget)
    }

    pub(super) fn step_awaiting(
        &mut self,
        wait: Wait,
        patience: Patience,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        let draining = ctx.mode == Mode::Draining;
        // A drain reads what has arrived; only the rest of a request that has begun is worth waiting for.
        let patience = if draining && wait == Wait::NextRequest { Patience::Now } else { patience };
        if self.transport.may_read() && (budget.reads == 0 || budget.advances == 0) {
            return Step::Return(Pumped::More);
        }
        let room = self.inbox_room(ctx);
        match self.transport.read(&mut ctx.scratch.input[..room], patience) {
            Ok(ReadOutcome::Bytes(len)) => {
                budget.reads -= 1;
                let fresh = self.received(len, ctx);
                // Less than was asked for is the last of what has arrived: a session that knows can tell its client.
                let call = if draining && len < room { Call::Stopping } else { Call::Ready };
                self.call(call, fresh, ctx, budget)
            }
            Ok(ReadOutcome::End) => {
                self.inflow = Inflow::Ended;
                self.call(Call::Ready, 0, ctx, budget)
            }
            Ok(ReadOutcome::NotNow) if draining && wait == Wait::NextRequest => {
                let step = self.call(Call::Stopping, 0, ctx, budget);
                self.begin_nothing_new(ctx);
                step
            }
            Ok(ReadOutcome::NotNow) => Step::Return(Pumped::Waits),
            Err(error) => {
                self.cut(Reason::of_error(&error), ctx);
                Step::Go
            }
        }
    }

    /// In a drain, when all that had arrived was answered: a session that would wait for another request is closed.
    pub(super) fn begin_nothing_new(&mut self, ctx: &mut Context<'_>) {
        match &mut self.phase {
            Phase::Awaiting { wait: Wait::NextRequest, .. } => {
                self.close(Reason::Drained, Held::Nothing, ctx);
            }
            Phase::Flushing { then: then @ Then::Await(Wait::NextRequest), .. } => {
                *then = Then::Close(Reason::Drained);
            }
            _ => {}
        }
    }

    pub(super) fn step_lingering(
        &mut self,
        patience: Patience,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        let Phase::Lingering { reason, due_ms, left_bytes, taken_bytes } = self.phase else {
            unreachable!("phase of this step")
        };
        if self.transport.may_read() && budget.reads == 0 {
            return Step::Return(Pumped::More);
        }
        match self.transport.read(&mut ctx.scratch.input, patience) {
            Ok(ReadOutcome::Bytes(len)) => {
                budget.reads -= 1;
                self.count_received(len, ctx);
                match left_bytes.checked_sub(len as u32) {
                    Some(left_bytes) => {
                        self.phase = Phase::Lingering { reason, due_ms, left_bytes, taken_bytes };
                    }
                    None => self.finish(reason, Sent::Part), // too much after the end
                }
            }
            Ok(ReadOutcome::NotNow) => return Step::Return(Pumped::Waits),
            // It sends nothing more, and has yet to take what was sent: until its deadline, or an error.
            Ok(ReadOutcome::End) if self.is_behind() => {
                self.inflow = Inflow::Ended;
                return Step::Return(Pumped::Waits);
            }
            // The end awaited, or a reset: there is nothing left to protect.
            Ok(ReadOutcome::End) => {
                self.transport.close_in_order();
                self.phase = Phase::Ended(reason);
            }
            Err(_) => self.finish(reason, Sent::Part),
        }
        Step::Go
    }

    /// How many bytes a read may ask for: all of them may have to be kept.
    fn inbox_room(&self, ctx: &Context<'_>) -> usize {
        let held = self.inbox.as_ref().map_or(0, |inbox| inbox.len());
        inbox_bytes_max(ctx.limits).saturating_sub(held).min(ctx.scratch.input.len())
    }

    /// Counts what a read gave.
    fn received(&mut self, len: usize, ctx: &mut Context<'_>) -> usize {
        ctx.scratch.received(len);
        self.count_received(len, ctx);
        len
    }

    fn count_received(&mut self, len: usize, ctx: &mut Context<'_>) {
        self.bytes_in += len as u64;
        ctx.telemetry.received(len as u64);
    }

    /// Calls the session with the unconsumed bytes, `fresh` of which lie at the front of the scratch input, and sends
    /// what it says at once.
    pub(super) fn call(
        &mut self,
        call: Call,
        fresh: usize,
        ctx: &mut Context<'_>,
        budget: &mut TurnBudget,
    ) -> Step {
        let now = ctx.now();
        budget.advances = budget.advances.saturating_sub(1);
        let Context { scratch: Scratch { input, outbox, .. }, limits, telemetry, .. } = ctx;
        debug_assert!(outbox.is_empty() && self.outbox.is_none());
        if let Some(inbox) = &mut self.inbox
            && fresh > 0
        {
            inbox.append(&input[..fresh]);
        }
        let bytes = self.inbox.as_ref().map_or(&input[..fresh], |inbox| inbox.bytes());
        let len = bytes.len();
        let session = self.session.as_mut().expect("a session while it is called");
        let given = Input { bytes, ended: self.inflow == Inflow::Ended, call, now };
        let advanced = panic::catch_unwind(AssertUnwindSafe(|| session.advance(given, outbox)));
        if let Some(answers) = outbox.take_answers() {
            telemetry.count_answers(&answers);
        }
        let progress = match advanced {
            Ok(progress) if progress.consumed > len => {
                return self.break_contract("it consumed more bytes than there were", ctx);
            }
            Ok(progress) if progress.unfinished > progress.consumed => {
                return self.break_contract("it reported more unfinished bytes than it consumed", ctx);
            }
            Ok(progress) => progress,
            Err(_) => return self.fail(Reason::Panicked, ctx),
        };
        let is_idle = progress.next == Next::Again && progress.consumed == 0 && !outbox.has_content();
        self.idle_calls = if is_idle { self.idle_calls.saturating_add(1) } else { 0 };
        if progress.consumed > 0 {
            self.is_inside_request = progress.unfinished > 0;
        }
        if progress.consumed > progress.unfinished {
            self.awaited_due_ms = NEVER_MS; // a request has ended: the next wait begins anew
        }
        if let Some(inbox) = &mut self.inbox {
            inbox.consume(progress.consumed);
            if inbox.len() == 0 {
                self.inbox = None;
            }
        } else if progress.consumed < len {
            self.inbox = Some(Box::new(Inbox::of(&input[progress.consumed..fresh])));
        }
        let incomplete = match progress.next {
            Next::NeedInput(wait) => wait != Wait::NextRequest || self.inbox.is_some(),
            _ => false,
        };
        if fresh > 0 && incomplete && outbox.is_empty() {
            self.transport.acknowledge();
        }
        let full = self.inbox.as_ref().is_some_and(|inbox| inbox.len() >= inbox_bytes_max(limits));
        if progress.next == Next::Close && self.inbox.is_none() && self.leaves_at_once(outbox) {
            self.inflow = Inflow::Ended; // nothing comes after this, as the client itself has said
        }
        let then = match progress.next {
            Next::Abort(fault) => return self.fail(fault.into(), ctx),
            Next::NeedRoom if !outbox.has_content() => {
                return self.break_contract("it asked for room in an empty outbox", ctx);
            }
            Next::Again if self.idle_calls > limits.again_max => {
                return self.break_contract("it asked to be called again and again, and did nothing", ctx);
            }
            Next::Finish | Next::Close if call == Call::Stopping => Then::Close(Reason::Drained),
            Next::Finish | Next::Close => Then::Close(Reason::Finished),
            next => match (call, next) {
                (Call::Expired(wait), _) => Then::Close(wait.into()),
                (_, Next::NeedInput(_)) if self.inflow == Inflow::Ended => Then::Close(Reason::PeerClosed),
                (_, Next::NeedInput(_)) if full => Then::Close(Reason::InputTooLong),
                (_, Next::NeedInput(Wait::Rest)) if self.inbox.is_none() && !self.is_inside_request => {
                    return self.break_contract("it waits for the rest of a request that has not begun", ctx);
                }
                (_, Next::NeedInput(wait)) => Then::Await(wait),
                (_, Next::NeedRoom) => Then::Call(Call::Ready),
                (_, _) => Then::Yield,
            },
        };
        self.send(then, ctx, budget)
    }

    fn break_contract(&mut self, how: &str, ctx: &mut Context<'_>) -> Step {
        log::error!("{}: the session broke the contract: {how}; its client ends", self.peer);
        self.fail(Reason::Contract, ctx)
    }

    /// The session is given up: nothing of what it said in this call is sent.
    pub(super) fn fail(&mut self, reason: Reason, ctx: &mut Context<'_>) -> Step {
        if reason == Reason::Panicked {
            log::error!("{}: the session panicked; its client ends", self.peer);
        }
        let now_ms = ctx.now().monotonic_ms;
        self.abandon(&mut ctx.scratch.outbox, now_ms, ctx.telemetry);
        self.cut_with(Sent::Part, reason, ctx);
        Step::Go
    }

    /// The session ends. The answer that it had begun is written down; all that will be sent of it was.
    pub(super) fn end_session(&mut self, ctx: &mut Context<'_>) {
        let Some(mut session) = self.session.take() else { return };
        // It may panic now, too, and when it is dropped.
        match panic::catch_unwind(AssertUnwindSafe(move || session.unfinished())) {
            Ok(None) => {}
            Ok(Some(record)) => self.answered(&record, ctx.now().monotonic_ms, ctx.telemetry),
            Err(_) => log::error!("{}: the session panicked when it ended", self.peer),
        }
    }
}

/// A read of no bytes would look like the end of input.
fn inbox_bytes_max(limits: &Limits) -> usize {
    limits.inbox_bytes_max.max(1) as usize
}
