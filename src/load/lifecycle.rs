//! A client's life: it connects, converses, ends or fails, and begins again.

use mio::Token;
use mio::event::Event;
use socket2::SockRef;

use super::Workload;
use super::connector::Connect;
use super::conversation::{Budget, Conversation, Rest};
use super::engine::{Engine, Stage, ns};
use super::errors::Class;
use super::report::Pace;
use super::slot::{ActiveLedger, Policy, Role, Standing, State};

/// What an active client may do in one turn: others wait at most as long as this takes.
pub(super) const ACTIVE: Budget = Budget { calls_max: 8, bytes_max: 64 << 10 };
/// Connections begun in one turn, and under way at once: more would overflow queues of the server that are not ours
/// to test.
const CONNECTS_PER_TURN_MAX: u32 = 32;
const CONNECTING_MAX: u32 = 512;
/// How long a client that failed waits: refusals would be all that the run does.
const PAUSE_NS: u64 = 100_000_000;
/// How long nobody connects when the queue of a Unix socket is full: no event tells that it is not any more.
const BUSY_NS: u64 = 1_000_000;

impl<W: Workload> Engine<'_, W> {
    /// Puts a client in the queue of those to connect.
    pub(super) fn queue(&mut self, index: u32, intended_ns: Option<u64>) {
        self.slots[index as usize].state = State::Queued { since_ns: self.now_ns, intended_ns };
        self.to_connect.push_back(index);
    }

    /// When the next client may connect; `u64::MAX`: not before another has connected, or failed to.
    pub(super) fn may_connect_ns(&self) -> u64 {
        let may = !self.to_connect.is_empty() && self.connecting < CONNECTING_MAX;
        if may { self.connect_at_ns } else { u64::MAX }
    }

    pub(super) fn connect_some(&mut self) {
        for _ in 0..CONNECTS_PER_TURN_MAX {
            if self.may_connect_ns() > self.now_ns {
                return;
            }
            let Some(index) = self.to_connect.pop_front() else { return };
            let slot = &mut self.slots[index as usize];
            let State::Queued { since_ns, intended_ns } = slot.state else { continue };
            self.recorder.connections.attempted += 1;
            let began_ns = self.clock.now_ns();
            match self.connector.begin(slot.role == Role::SlowReader) {
                Ok(Connect::Begun(mut stream)) => {
                    slot.generation = slot.generation.wrapping_add(1);
                    let name = (u64::from(slot.generation) << 32 | u64::from(index)) as usize;
                    let registered = stream.register(self.poll.registry(), Token(name));
                    slot.state = State::Connecting { stream, began_ns, intended_ns };
                    self.connecting += 1;
                    self.open += 1;
                    self.recorder.connections.open_max = self.recorder.connections.open_max.max(self.open);
                    if intended_ns.is_some() && self.schedule.is_some() {
                        self.recorder.sent(began_ns, intended_ns.unwrap_or(began_ns));
                    }
                    self.file(index, began_ns + ns(self.plan.connect_timeout));
                    if let Err(error) = registered {
                        self.fail(index, Class::of(&error));
                    }
                }
                // Whoever waited behind others in the queue wanted a connection all the time.
                Ok(Connect::Busy) if began_ns >= since_ns + ns(self.plan.connect_timeout) => {
                    self.fail(index, Class::ConnectTimeout);
                }
                Ok(Connect::Busy) => {
                    self.to_connect.push_front(index);
                    self.connect_at_ns = began_ns + BUSY_NS;
                    return;
                }
                Err(class) => self.fail(index, class),
            }
        }
    }

    /// Has the client looked at then, if it is not looked at before.
    pub(super) fn file(&mut self, index: u32, due_ns: u64) {
        self.deadlines.file(index as usize, due_ns.div_ceil(1_000_000));
    }

    pub(super) fn on_event(&mut self, index: u32, event: &Event) {
        match &mut self.slots[index as usize].state {
            State::Open(conversation) => {
                conversation.stream.latch(event);
                self.pump(index);
            }
            State::Connecting { stream, .. } => {
                stream.latch(event);
                match SockRef::from(stream.stream()).take_error() {
                    Ok(None) if event.is_writable() => {
                        self.connected(index);
                        self.look_after_held(index, event);
                    }
                    Ok(None) => {}
                    Ok(Some(error)) | Err(error) => self.fail(index, Class::of(&error)),
                }
            }
            _ => self.look_after_held(index, event),
        }
    }

    fn connected(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let state = std::mem::replace(&mut slot.state, State::Closed);
        let State::Connecting { stream, began_ns, intended_ns } = state else { return };
        self.now_ns = self.clock.now_ns();
        self.connecting -= 1;
        if !std::mem::replace(&mut slot.has_tried, true) {
            self.untried = self.untried.saturating_sub(1);
            self.settled_ns = self.now_ns;
        }
        self.recorder.connected(self.now_ns, began_ns, slot.role == Role::Active);
        self.recorder.crowd_open += u64::from(slot.role != Role::Active);
        if slot.role == Role::Idle {
            slot.state = State::Held(stream);
            return;
        }
        let mut conversation = Conversation::new(stream, self.workload.open(index));
        match (slot.role, intended_ns) {
            (Role::Active, Some(intended_ns)) => conversation.begin(intended_ns, self.now_ns),
            (Role::Active, None) if matches!(self.plan.pace, Pace::Closed) => {
                let is_silent = match self.stage {
                    Stage::Ramp { .. } => self.plan.connect_first,
                    Stage::Draining { .. } => true,
                    _ => false,
                };
                if !is_silent {
                    for _ in 0..self.plan.depth {
                        conversation.begin(self.now_ns, self.now_ns);
                    }
                    self.recorder.outstanding += u64::from(self.plan.depth);
                }
            }
            // It takes what waits, and is free as far as it has room behind that.
            (Role::Active, None) => {}
            _ => conversation.begin(self.now_ns, self.now_ns),
        }
        slot.state = State::Open(conversation);
        if slot.role == Role::Active {
            self.clients_open += 1;
            self.file(index, self.now_ns + ns(self.plan.reply_timeout));
            self.take_waiting(index);
            self.pump(index);
        } else {
            self.file(index, self.now_ns + ns(self.plan.slow_pause));
        }
    }

    /// Has all that connected first ask; each in its turn, so that none waits for the first to be answered.
    pub(super) fn all_ask(&mut self) {
        for (index, slot) in self.slots.iter_mut().enumerate().take(self.plan.clients as usize) {
            let State::Open(conversation) = &mut slot.state else { continue };
            for _ in 0..self.plan.depth {
                conversation.begin(self.now_ns, self.now_ns);
            }
            self.recorder.outstanding += u64::from(self.plan.depth);
            if slot.standing == Standing::Resting {
                slot.standing = Standing::InQueue;
                self.again.push_back(index as u32);
            }
        }
    }

    /// A connection that is new takes what waits for one; with room left it is free.
    fn take_waiting(&mut self, index: u32) {
        if !self.is_open_loop() || self.churn {
            return;
        }
        let slot = &mut self.slots[index as usize];
        let State::Open(conversation) = &mut slot.state else { return };
        while conversation.in_flight() < self.plan.depth as usize {
            let Some(intended_ns) = self.waiting.pop_front() else {
                self.free.push_back((index, slot.generation));
                return;
            };
            self.recorder.sent(self.now_ns, intended_ns);
            conversation.begin(intended_ns, self.now_ns);
        }
    }

    /// Lets an active client read, check and write, as far as its budget goes.
    pub(super) fn pump(&mut self, index: u32) {
        let is_open_loop = self.is_open_loop();
        let draining = matches!(self.stage, Stage::Draining { .. });
        let slot = &mut self.slots[index as usize];
        let State::Open(conversation) = &mut slot.state else { return };
        if slot.role != Role::Active {
            return;
        }
        let was_full = conversation.in_flight() >= self.plan.depth as usize;
        let policy = match (self.churn, is_open_loop, draining) {
            (true, ..) | (false, false, true) => Policy::Close,
            (false, false, false) => Policy::AskAgain,
            (false, true, false) => Policy::TakeWaiting(&mut self.waiting),
            (false, true, true) => Policy::TakeLast(&mut self.waiting),
        };
        let (recorder, share) = (&mut self.recorder, &mut slot.share);
        let mut ledger =
            ActiveLedger { clock: self.clock, now_ns: &mut self.now_ns, recorder, share, policy };
        let rest = converse(conversation, [ACTIVE; 2], &mut self.scratch, &mut ledger);
        let is_full = conversation.in_flight() >= self.plan.depth as usize;
        match rest {
            Ok(Rest::Over) => self.over(index),
            Err(class) => self.fail(index, class),
            Ok(rest) => {
                if is_open_loop && was_full && !is_full {
                    self.free.push_back((index, slot.generation));
                }
                if rest == Rest::Again && slot.standing == Standing::Resting {
                    slot.standing = Standing::InQueue;
                    self.again.push_back(index);
                }
            }
        }
    }

    /// The connection has given all it can: the client begins another, or is free, or is done.
    pub(super) fn over(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if let State::Open(conversation) = &mut slot.state
            && slot.role == Role::Active
            && !self.churn
        {
            if !matches!(self.stage, Stage::Draining { .. }) {
                self.recorder.connections.ended_by_server += 1;
            }
            // Requests behind the last reply are not lost, the server has told that it does not take them: those of a
            // schedule go to another connection, and keep their time; a client of the closed loop asks anew.
            if matches!(self.plan.pace, Pace::Open { .. }) {
                for intended_ns in conversation.take_unanswered().into_iter().rev() {
                    self.waiting.push_front(intended_ns);
                }
            }
        }
        self.close(index);
        self.begin_again(index, None);
    }

    /// Something went wrong with the client: it tries again after a pause, the crowd does not.
    pub(super) fn fail(&mut self, index: u32, class: Class) {
        let lost = self.close(index);
        let slot = &mut self.slots[index as usize];
        if !std::mem::replace(&mut slot.has_tried, true) {
            self.untried = self.untried.saturating_sub(1);
        }
        if slot.role == Role::Active {
            self.recorder.failed(self.now_ns, class, lost.max(1));
            self.begin_again(index, Some(self.now_ns + PAUSE_NS));
        } else {
            self.lose(index, class);
        }
    }

    /// Closes what the client has open. How many requests that leaves without an answer.
    fn close(&mut self, index: u32) -> u64 {
        let slot = &mut self.slots[index as usize];
        let had_stream = slot.has_stream();
        self.recorder.crowd_open -= u64::from(slot.role != Role::Active && slot.is_connected());
        let state = std::mem::replace(&mut slot.state, State::Closed);
        slot.generation = slot.generation.wrapping_add(1);
        let lost = match state {
            State::Connecting { intended_ns, .. } => {
                self.connecting -= 1;
                u64::from(intended_ns.is_some())
            }
            State::Open(conversation) if slot.role == Role::Active => {
                self.clients_open -= 1;
                conversation.in_flight() as u64
            }
            State::Queued { intended_ns, .. } => u64::from(intended_ns.is_some()),
            State::Open(_) | State::Held(_) | State::Closed | State::Pausing { .. } | State::Ended => 0,
        };
        self.open -= u64::from(had_stream);
        self.recorder.outstanding = self.recorder.outstanding.saturating_sub(lost);
        lost
    }

    /// What the client does next, after a pause if there is one.
    fn begin_again(&mut self, index: u32, pause_until_ns: Option<u64>) {
        let is_active = self.slots[index as usize].role == Role::Active;
        let (open_loop, churn) = (self.is_open_loop() && is_active, self.churn && is_active);
        // At the end only what waits for a connection is worth one.
        let is_wanted = open_loop && (churn || !self.waiting.is_empty());
        if matches!(self.stage, Stage::Draining { .. } | Stage::Done) && is_active && !is_wanted {
            self.slots[index as usize].state = State::Ended;
            return;
        }
        if open_loop && churn {
            match self.waiting.pop_front() {
                Some(intended_ns) => self.queue(index, Some(intended_ns)),
                None => self.free.push_back((index, self.slots[index as usize].generation)),
            }
            return;
        }
        match pause_until_ns {
            Some(until_ns) => {
                self.slots[index as usize].state = State::Pausing { until_ns };
                self.file(index, until_ns);
            }
            None => self.connect_again(index),
        }
    }

    fn connect_again(&mut self, index: u32) {
        let is_active = self.slots[index as usize].role == Role::Active;
        if self.churn && is_active {
            self.recorder.outstanding += 1;
            self.queue(index, Some(self.now_ns));
        } else {
            self.queue(index, None);
        }
    }

    /// Looks at a client whose time has come.
    pub(super) fn expire(&mut self, index: u32) {
        let now_ns = self.now_ns;
        let slot = &self.slots[index as usize];
        match &slot.state {
            State::Pausing { until_ns } if now_ns < *until_ns => self.file(index, *until_ns),
            State::Pausing { .. } => {
                if matches!(self.stage, Stage::Draining { .. }) && !self.is_open_loop() {
                    return;
                }
                self.connect_again(index);
            }
            State::Connecting { began_ns, .. } => match began_ns + ns(self.plan.connect_timeout) {
                due_ns if now_ns < due_ns => self.file(index, due_ns),
                _ => self.fail(index, Class::ConnectTimeout),
            },
            State::Open(_) if slot.role != Role::Active => self.slow_turn(index),
            State::Open(conversation) => {
                let since_ns = if conversation.in_flight() > 0 { conversation.owed_since_ns } else { now_ns };
                match since_ns + ns(self.plan.reply_timeout) {
                    due_ns if now_ns < due_ns => self.file(index, due_ns),
                    _ => self.fail(index, Class::ReplyTimeout),
                }
            }
            State::Closed | State::Queued { .. } | State::Held(_) | State::Ended => {}
        }
    }
}

/// Reads, then writes what that brought about; each with its budget.
pub(super) fn converse<C: super::Client>(
    conversation: &mut Conversation<C>,
    [reading, writing]: [Budget; 2],
    scratch: &mut [u8],
    ledger: &mut impl super::conversation::Ledger,
) -> Result<Rest, Class> {
    let read = conversation.receive(reading, scratch, ledger)?;
    if read == Rest::Over {
        return Ok(Rest::Over);
    }
    match conversation.send(writing, ledger)? {
        Rest::Waits => Ok(read),
        written => Ok(written),
    }
}
