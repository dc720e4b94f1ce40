//! The clients of a run. Every state of a client is assigned here.
//!
//! ```text
//! Closed ──> Queued ──> Connecting ──> Open ──> Closed, Queued, Ended
//!              ^             │          │ └─(fails)─> Pausing ──> Queued
//!              └──Pausing <──┘(fails)   └ idle clients: Held
//! ```

use std::collections::VecDeque;
use std::io;

use mio::Registry;
use mio::event::Event;
use socket2::SockRef;

use super::client_error::ClientError;
use super::clock::{Timers, ns};
use super::connector::DialOutcome;
use super::conversation::{Conversation, IoLimits, SendTimes, TurnEnd};
use super::dialer::Dialer;
use super::driver::{ActiveDriver, RequestPolicy, SlowDriver};
use super::plan::Plan;
use super::portion::Portion;
use super::recorder::Ledger;
use super::report::{Fairness, Pace};
use super::slot::{ClientSlot, ClientTotals, Role, SlotState, WorkQueue};
use super::workload::Workload;

/// Bytes of one read, for all connections.
const SCRATCH_BYTES: usize = 64 << 10;
/// The work of an active client in one turn: others wait at most as long as this takes.
const ACTIVE: IoLimits = IoLimits { calls_max: 8, bytes_max: 64 << 10 };
/// What a slow client does in its turn, in its slow direction.
const SLOW: IoLimits = IoLimits { calls_max: 1, bytes_max: 1 };
/// Requests that a slow reader has in flight: enough for the server to have more to send than the kernel
/// buffers.
const SLOW_READER_DEPTH: usize = 64;
/// Connections started in one turn.
const CONNECTS_PER_TURN_MAX: u32 = 32;
/// The longest pause of a client after failures: without a pause, a run against a failing server would do
/// little but fail. After the first failure since an answer there is no pause, so that few errors do not
/// reduce the load. Then the client pauses for `PAUSE_FIRST_NS`, and twice as long after each further
/// failure.
const PAUSE_NS_MAX: u64 = 100_000_000;
const PAUSE_FIRST_NS: u64 = 1_000_000;
/// Requests that wait for a connection; more are missed at once. 8 MiB.
const BACKLOG_MAX: usize = 1 << 20;
/// Beyond the timeout of a connection, how long its failure may take to be recorded.
const STUCK_NS: u64 = 100_000_000;

/// What clients may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestFlow {
    /// They connect and send nothing yet.
    Held,
    /// They send requests.
    Flowing,
    /// They start no new request, and complete those in flight.
    Draining,
}

/// Connections that are open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OpenConnections {
    pub(super) all: u64,
    pub(super) active: u64,
}

/// All clients of a run: first the active, then the idle, then the slow ones.
pub(super) struct ClientPool<'a, W: Workload> {
    plan: &'a Plan,
    workload: &'a W,
    portion: Portion,
    /// Whether each request has its own connection.
    churn: bool,
    flow: RequestFlow,
    slots: Vec<ClientSlot<W::Client>>,
    dialer: Dialer,
    timers: Timers,
    /// When the requests of the open loop that wait for a connection were to be sent.
    backlog: VecDeque<u64>,
    /// Clients of the open loop that can take a request, with their generations.
    free: VecDeque<(u32, u32)>,
    /// Clients with unfinished work.
    unfinished: VecDeque<u32>,
    scratch: Vec<u8>,
    open: OpenConnections,
    /// Active clients that pause.
    pausing: u32,
    /// Clients that have started and whose first connection is still pending.
    untried: u32,
    /// When a client last started or was connected for the first time.
    settling_ns: u64,
}

impl<'a, W: Workload> ClientPool<'a, W> {
    pub(super) fn new(plan: &'a Plan, workload: &'a W, portion: Portion) -> io::Result<Self> {
        let churn = plan.has_churn(workload);
        let is_held = plan.connect_first || plan.start_at.is_some() && !churn;
        let role = |index: u32| match index {
            index if index < plan.clients => Role::Active,
            index if index < plan.clients + plan.idle => Role::Idle,
            index => Role::slow(index - plan.clients - plan.idle, workload.flow()),
        };
        Ok(ClientPool {
            plan,
            workload,
            portion,
            churn,
            flow: if is_held { RequestFlow::Held } else { RequestFlow::Flowing },
            slots: (0..plan.connections() as u32).map(|index| ClientSlot::new(role(index))).collect(),
            dialer: Dialer::new(plan, portion)?,
            timers: Timers::new(plan.connections() as usize),
            backlog: VecDeque::new(),
            free: VecDeque::new(),
            unfinished: VecDeque::new(),
            scratch: vec![0; SCRATCH_BYTES],
            open: OpenConnections::default(),
            pausing: 0,
            untried: plan.idle + plan.slow,
            settling_ns: 0,
        })
    }

    pub(super) fn churn(&self) -> bool {
        self.churn
    }

    pub(super) fn open(&self) -> OpenConnections {
        self.open
    }

    /// Idle and slow clients start to connect.
    pub(super) fn start_crowd(&mut self, now_ns: u64) {
        for index in self.plan.clients..self.plan.connections() as u32 {
            self.queue(index, now_ns, None);
        }
    }

    /// An active client starts.
    pub(super) fn start(&mut self, index: u32, ledger: &mut Ledger) {
        let now_ns = ledger.clock.now_ns();
        self.settling_ns = now_ns;
        match (self.churn, self.plan.is_open_loop()) {
            (false, _) => {
                self.untried += 1;
                self.queue(index, now_ns, None);
            }
            (true, true) => self.free.push_back((index, self.slots[index as usize].generation)),
            (true, false) => {
                ledger.recorder.outstanding += 1;
                self.queue(index, now_ns, Some(now_ns));
            }
        }
    }

    /// Whether every client that started was connected or failed once, or nothing changes any more.
    ///
    /// Clients that failed try again throughout the run, which does not wait for them.
    pub(super) fn has_settled(&self, now_ns: u64) -> bool {
        self.untried == 0 || now_ns >= self.settling_ns + ns(self.plan.connect_timeout) + STUCK_NS
    }

    /// Whether every client that started was connected or failed once.
    pub(super) fn all_have_tried(&self) -> bool {
        self.untried == 0
    }

    /// When the pool has work without an event; `u64::MAX` if it has none.
    pub(super) fn next_ns(&self) -> u64 {
        if self.unfinished.is_empty() { self.dialer.next_ns().min(self.timers.next_ns()) } else { 0 }
    }

    /// A request of the open loop falls due: it goes to a free client, or waits for a free client.
    pub(super) fn dispatch(&mut self, intended_ns: u64, ledger: &mut Ledger) {
        ledger.recorder.due(ledger.clock.now_ns(), intended_ns);
        // Bounded: each pass removes one entry of the list.
        while let Some((index, generation)) = self.free.pop_front() {
            if self.slots[index as usize].generation != generation {
                continue;
            }
            match &mut self.slots[index as usize].state {
                SlotState::Closed => {
                    ledger.recorder.outstanding += 1;
                    self.queue(index, ledger.clock.now_ns(), Some(intended_ns));
                    return;
                }
                SlotState::Open(conversation) => {
                    let now_ns = ledger.clock.read();
                    conversation.begin(intended_ns, now_ns);
                    let has_room = conversation.in_flight() < self.plan.depth as usize;
                    ledger.recorder.outstanding += 1;
                    ledger.recorder.sent(now_ns, intended_ns);
                    if has_room {
                        self.free.push_back((index, generation));
                    }
                    self.pump(index, ledger);
                    return;
                }
                _ => {}
            }
        }
        // While all clients pause, a request would wait for the generator, and its latency show that.
        let is_taken = self.pausing < self.plan.clients && self.backlog.len() < BACKLOG_MAX;
        if is_taken {
            ledger.recorder.outstanding += 1;
            self.backlog.push_back(intended_ns);
        } else {
            ledger.recorder.missed(intended_ns);
        }
    }

    /// Handles an event of a connection.
    pub(super) fn on_event(&mut self, event: &Event, ledger: &mut Ledger) {
        let mio::Token(token) = event.token();
        let (index, generation) = (token as u32, (token as u64 >> 32) as u32);
        let Some(slot) = self.slots.get_mut(index as usize).filter(|slot| slot.generation == generation)
        else {
            return;
        };
        match &mut slot.state {
            SlotState::Open(conversation) => {
                conversation.stream.latch(event);
                self.pump(index, ledger);
            }
            SlotState::Connecting { stream, .. } => {
                stream.latch(event);
                match SockRef::from(stream.stream()).take_error() {
                    Ok(None) if event.is_writable() => {
                        self.connected(index, ledger);
                        self.check_held(index, event, ledger);
                    }
                    Ok(None) => {}
                    Ok(Some(error)) | Err(error) => self.fail(index, ClientError::of(&error), ledger),
                }
            }
            _ => self.check_held(index, event, ledger),
        }
    }

    /// Lets clients with unfinished work continue.
    pub(super) fn resume_unfinished(&mut self, ledger: &mut Ledger) {
        // Bounded by the queue as it is now: a client that comes back waits for the next turn.
        for _ in 0..self.unfinished.len() {
            let Some(index) = self.unfinished.pop_front() else { break };
            self.slots[index as usize].work = WorkQueue::Absent;
            self.pump(index, ledger);
        }
    }

    /// Connects a batch of the clients that wait for it.
    pub(super) fn connect_some(&mut self, registry: &Registry, ledger: &mut Ledger) {
        let connect_timeout_ns = ns(self.plan.connect_timeout);
        for _ in 0..CONNECTS_PER_TURN_MAX {
            if self.dialer.next_ns() > ledger.clock.now_ns() {
                return;
            }
            let Some(index) = self.dialer.pop() else { return };
            let slot = &mut self.slots[index as usize];
            let SlotState::Queued { since_ns, intended_ns } = slot.state else { continue };
            ledger.recorder.connections.attempted += 1;
            let began_ns = ledger.clock.peek();
            match self.dialer.dial(slot.role == Role::SlowReader) {
                Ok(DialOutcome::Started(mut stream)) => {
                    slot.generation = slot.generation.wrapping_add(1);
                    let registered = stream.register(registry, slot.token(index));
                    slot.state = SlotState::Connecting { stream, began_ns, intended_ns };
                    self.open.all += 1;
                    let open_max = &mut ledger.recorder.connections.open_max;
                    *open_max = self.open.all.max(*open_max);
                    if let (Some(intended_ns), true) = (intended_ns, self.plan.is_open_loop()) {
                        ledger.recorder.sent(began_ns, intended_ns);
                    }
                    self.timers.set(index, began_ns + connect_timeout_ns);
                    if let Err(error) = registered {
                        self.fail(index, ClientError::of(&error), ledger);
                    }
                }
                // A client has wanted a connection for as long as it was in the queue.
                Ok(DialOutcome::Busy) if began_ns >= since_ns + connect_timeout_ns => {
                    self.fail(index, ClientError::ConnectTimeout, ledger);
                }
                Ok(DialOutcome::Busy) => {
                    self.dialer.retry(index, began_ns);
                    return;
                }
                Err(error) => self.fail(index, error, ledger),
            }
        }
    }

    /// Handles every timer that has expired.
    pub(super) fn expire(&mut self, ledger: &mut Ledger) {
        self.timers.advance(ledger.clock.now_ns());
        // Bounded by the expired timers: each is set to a later time, if at all.
        while let Some(index) = self.timers.pop_expired() {
            self.on_timer(index, ledger);
        }
    }

    /// Active clients may send from now on. All begin in this turn, before the first answer is processed.
    pub(super) fn release(&mut self, ledger: &mut Ledger) {
        let was_held = std::mem::replace(&mut self.flow, RequestFlow::Flowing) == RequestFlow::Held;
        if !was_held || self.churn || self.plan.is_open_loop() {
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate().take(self.plan.clients as usize) {
            let SlotState::Open(conversation) = &mut slot.state else { continue };
            begin_all(conversation, self.plan.depth, ledger);
            if slot.work == WorkQueue::Absent {
                slot.work = WorkQueue::Queued;
                self.unfinished.push_back(index as u32);
            }
        }
    }

    /// No new request begins from now on; clients without a request stop waiting for a connection.
    pub(super) fn drain(&mut self) {
        self.flow = RequestFlow::Draining;
        let (slots, is_backlog_empty) = (&self.slots, self.backlog.is_empty());
        self.dialer.retain(|index| {
            let state = &slots[index as usize].state;
            matches!(state, SlotState::Queued { intended_ns: Some(_), .. }) || !is_backlog_empty
        });
    }

    /// Takes a request that waits for a connection it will not get.
    pub(super) fn pop_backlog(&mut self) -> Option<u64> {
        self.backlog.pop_front()
    }

    /// Records requests without an answer at the end of the run, with the time that they have waited: the
    /// users of a server that hangs press Ctrl-C. A request is late only if its reply was owed for the whole
    /// timeout: others were sent just now, after a wait for a connection.
    pub(super) fn record_unanswered(&self, ledger: &mut Ledger) {
        let (now_ns, reply_timeout_ns) = (ledger.clock.now_ns(), ns(self.plan.reply_timeout));
        for slot in self.slots.iter().filter(|slot| slot.role == Role::Active) {
            let (since_ns, asked, queued) = match &slot.state {
                SlotState::Open(conversation) => {
                    (conversation.owed_since_ns, Some(conversation.unanswered()), None)
                }
                SlotState::Connecting { began_ns, intended_ns, .. } => (*began_ns, None, *intended_ns),
                SlotState::Queued { since_ns, intended_ns } => (*since_ns, None, *intended_ns),
                _ => continue,
            };
            let is_late = now_ns >= since_ns + reply_timeout_ns;
            let asked = asked.into_iter().flatten().map(|times| (times.intended_ns, Some(times.sent_ns)));
            let queued = queued.map(|intended_ns| (intended_ns, None));
            for (intended_ns, sent_ns) in asked.chain(queued) {
                if is_late {
                    ledger.recorder.failed(now_ns, ClientError::ReplyTimeout, 1);
                } else {
                    ledger.recorder.unanswered(now_ns, intended_ns, sent_ns);
                }
            }
        }
    }

    /// Shares count from now on.
    pub(super) fn reset_totals(&mut self) {
        for slot in &mut self.slots {
            slot.totals = ClientTotals::default();
        }
    }

    /// How the work was shared since then.
    pub(super) fn fairness(&self) -> Fairness {
        let active = self.slots.iter().filter(|slot| slot.role == Role::Active);
        let (requests, bytes) = active.map(|slot| (slot.totals.requests, slot.totals.bytes)).unzip();
        Fairness::of(requests, bytes)
    }

    /// Connected idle clients, and connected slow clients.
    pub(super) fn crowds_connected(&self) -> (u64, u64) {
        let count = |is_idle: bool| {
            let crowd = self.slots[self.plan.clients as usize..].iter();
            crowd.filter(|slot| slot.is_connected() && (slot.role == Role::Idle) == is_idle).count() as u64
        };
        (count(true), count(false))
    }

    fn queue(&mut self, index: u32, now_ns: u64, intended_ns: Option<u64>) {
        self.slots[index as usize].state = SlotState::Queued { since_ns: now_ns, intended_ns };
        self.dialer.push(index);
    }

    fn connected(&mut self, index: u32, ledger: &mut Ledger) {
        let slot = &mut self.slots[index as usize];
        let state = std::mem::replace(&mut slot.state, SlotState::Closed);
        let SlotState::Connecting { stream, began_ns, intended_ns } = state else { return };
        let now_ns = ledger.clock.read();
        self.dialer.ended();
        if !std::mem::replace(&mut slot.has_tried, true) {
            self.untried = self.untried.saturating_sub(1);
            self.settling_ns = now_ns;
        }
        ledger.recorder.connected(now_ns, began_ns, slot.role == Role::Active);
        if slot.role == Role::Idle {
            slot.state = SlotState::Held(stream);
            return;
        }
        let mut conversation = Conversation::new(stream, self.workload.open(self.portion.number(index)));
        match (slot.role, intended_ns) {
            (Role::Active, Some(intended_ns)) => {
                conversation.begin_sent(SendTimes { intended_ns, sent_ns: began_ns }, now_ns);
            }
            (Role::Active, None) if self.plan.pace == Pace::Closed => {
                if self.flow == RequestFlow::Flowing {
                    begin_all(&mut conversation, self.plan.depth, ledger);
                }
            }
            // It takes requests from the backlog, and is free if it has room for more.
            (Role::Active, None) => {}
            _ => conversation.begin(now_ns, now_ns),
        }
        slot.state = SlotState::Open(conversation);
        if slot.role == Role::Active {
            self.open.active += 1;
            self.timers.set(index, now_ns + ns(self.plan.reply_timeout));
            self.take_backlog(index, ledger);
            self.pump(index, ledger);
        } else {
            self.timers.set(index, now_ns + ns(self.plan.slow_pause));
        }
    }

    /// A new connection takes waiting requests; if it has room for more it is free.
    fn take_backlog(&mut self, index: u32, ledger: &mut Ledger) {
        if !self.plan.is_open_loop() || self.churn {
            return;
        }
        let slot = &mut self.slots[index as usize];
        let SlotState::Open(conversation) = &mut slot.state else { return };
        let now_ns = ledger.clock.now_ns();
        while conversation.in_flight() < self.plan.depth as usize {
            let Some(intended_ns) = self.backlog.pop_front() else {
                self.free.push_back((index, slot.generation));
                return;
            };
            ledger.recorder.sent(now_ns, intended_ns);
            conversation.begin(intended_ns, now_ns);
        }
    }

    /// Lets an active client read, check and write within its limits.
    fn pump(&mut self, index: u32, ledger: &mut Ledger) {
        let (is_open_loop, draining) = (self.plan.is_open_loop(), self.flow == RequestFlow::Draining);
        let slot = &mut self.slots[index as usize];
        let SlotState::Open(conversation) = &mut slot.state else { return };
        if slot.role != Role::Active {
            return;
        }
        let was_full = conversation.in_flight() >= self.plan.depth as usize;
        let policy = match (self.churn, is_open_loop, draining) {
            (true, ..) | (false, false, true) => RequestPolicy::Close,
            (false, false, false) => RequestPolicy::AskAgain,
            (false, true, false) => RequestPolicy::TakeWaiting(&mut self.backlog),
            (false, true, true) => RequestPolicy::TakeLast(&mut self.backlog),
        };
        let mut driver = ActiveDriver { ledger: &mut *ledger, totals: &mut slot.totals, policy };
        let end = conversation.turn([ACTIVE; 2], &mut self.scratch, &mut driver);
        let is_full = conversation.in_flight() >= self.plan.depth as usize;
        match end {
            Ok(TurnEnd::Finished) => self.finish(index, ledger),
            Err(error) => self.fail(index, error, ledger),
            Ok(end) => {
                if is_open_loop && was_full && !is_full {
                    self.free.push_back((index, slot.generation));
                }
                if end == TurnEnd::MoreToDo && slot.work == WorkQueue::Absent {
                    slot.work = WorkQueue::Queued;
                    self.unfinished.push_back(index);
                }
            }
        }
    }

    /// Lets a slow client transfer a byte in its slow direction.
    fn slow_turn(&mut self, index: u32, ledger: &mut Ledger) {
        let now_ns = ledger.clock.now_ns();
        let slot = &mut self.slots[index as usize];
        let SlotState::Open(conversation) = &mut slot.state else { return };
        let limits = match slot.role {
            Role::SlowReader => {
                let depth = if self.workload.one_shot() { 1 } else { SLOW_READER_DEPTH };
                while conversation.in_flight() < depth {
                    conversation.begin(now_ns, now_ns);
                }
                [SLOW, ACTIVE]
            }
            _ => [ACTIVE, SLOW],
        };
        let crowd = &mut ledger.recorder.slow;
        let mut driver =
            SlowDriver { now_ns, bytes_in: &mut crowd.bytes_in, bytes_out: &mut crowd.bytes_out };
        match conversation.turn(limits, &mut self.scratch, &mut driver) {
            Ok(TurnEnd::Finished) => self.finish(index, ledger),
            Err(error) => self.fail(index, error, ledger),
            Ok(_) => self.timers.set(index, now_ns + ns(self.plan.slow_pause)),
        }
    }

    /// An idle client whose connection the server closed is lost. This event may come together with that of
    /// the connect.
    fn check_held(&mut self, index: u32, event: &Event, ledger: &mut Ledger) {
        let SlotState::Held(stream) = &self.slots[index as usize].state else { return };
        if event.is_read_closed() || event.is_error() {
            let error = SockRef::from(stream.stream()).take_error().ok().flatten();
            let error = error.map_or(ClientError::ClosedEarly, |error| ClientError::of(&error));
            self.fail(index, error, ledger);
        }
    }

    /// The connection takes no further request: the client opens another, or is free, or is done.
    fn finish(&mut self, index: u32, ledger: &mut Ledger) {
        let mut has_served = true;
        let slot = &mut self.slots[index as usize];
        if let SlotState::Open(conversation) = &mut slot.state
            && slot.role == Role::Active
            && !self.churn
        {
            has_served = conversation.has_answers();
            if self.flow != RequestFlow::Draining {
                ledger.recorder.connections.ended_by_server += 1;
            }
            // Requests after the last reply are not lost: the server announced that it would not answer them.
            // In the open loop they go to another connection and keep their time; in the closed loop the
            // client sends a new request.
            if self.plan.is_open_loop() {
                for times in conversation.take_unanswered().into_iter().rev() {
                    self.backlog.push_front(times.intended_ns);
                }
            }
        }
        self.close(index, ledger);
        // A server that ends connections which it has not used must not get them in a tight loop.
        let pause_ns = self.pause_after(index, has_served);
        self.continue_client(index, pause_ns, ledger);
    }

    /// How long the client pauses now that its connection has ended.
    fn pause_after(&mut self, index: u32, has_served: bool) -> Option<u64> {
        let failures = &mut self.slots[index as usize].failures;
        *failures = if has_served { 0 } else { failures.saturating_add(1) };
        pause_ns(*failures)
    }

    /// A client failed. An active client tries again after a pause, an idle or slow client does not.
    fn fail(&mut self, index: u32, error: ClientError, ledger: &mut Ledger) {
        let has_served = match &self.slots[index as usize].state {
            SlotState::Open(conversation) => conversation.has_answers(),
            _ => false,
        };
        let lost = self.close(index, ledger);
        let now_ns = ledger.clock.now_ns();
        let slot = &mut self.slots[index as usize];
        if !std::mem::replace(&mut slot.has_tried, true) {
            self.untried = self.untried.saturating_sub(1);
        }
        if slot.role == Role::Active {
            ledger.recorder.failed(now_ns, error, lost.max(1));
            if has_served {
                slot.failures = 0;
            }
            let pause_ns = self.pause_after(index, false);
            self.continue_client(index, pause_ns, ledger);
            return;
        }
        // The plan sets the number of idle and slow clients, so lost ones are counted. A lost client is not
        // an error of a request, but wrong bytes are an error whichever client reads them.
        log::debug!("idle or slow client {index}: {}", error.describe());
        slot.state = SlotState::Ended;
        let is_wrong = matches!(error, ClientError::WrongBytes(_));
        if self.flow == RequestFlow::Draining && !is_wrong {
            return; // it was connected for as long as needed
        }
        ledger.recorder.crowd_lost(slot.role == Role::Idle, error);
        if is_wrong {
            ledger.recorder.failed(now_ns, error, 1);
        }
    }

    /// Closes the connection of a client. Returns how many requests that leaves without an answer.
    fn close(&mut self, index: u32, ledger: &mut Ledger) -> u64 {
        let slot = &mut self.slots[index as usize];
        self.open.all -= u64::from(slot.has_stream());
        ledger.recorder.crowd_open -= u64::from(slot.role != Role::Active && slot.is_connected());
        let state = std::mem::replace(&mut slot.state, SlotState::Closed);
        slot.generation = slot.generation.wrapping_add(1);
        let lost = match state {
            SlotState::Connecting { intended_ns, .. } => {
                self.dialer.ended();
                u64::from(intended_ns.is_some())
            }
            SlotState::Open(conversation) if slot.role == Role::Active => {
                self.open.active -= 1;
                conversation.in_flight() as u64
            }
            SlotState::Queued { intended_ns, .. } => u64::from(intended_ns.is_some()),
            SlotState::Open(_)
            | SlotState::Held(_)
            | SlotState::Closed
            | SlotState::Pausing { .. }
            | SlotState::Ended => 0,
        };
        ledger.recorder.outstanding = ledger.recorder.outstanding.saturating_sub(lost);
        lost
    }

    /// The next action of the client, after a pause if there is one.
    fn continue_client(&mut self, index: u32, pause_ns: Option<u64>, ledger: &mut Ledger) {
        let is_active = self.slots[index as usize].role == Role::Active;
        let (open_loop, churn) = (self.plan.is_open_loop() && is_active, self.churn && is_active);
        // At the end, connect only for requests that wait for a connection.
        let is_wanted = open_loop && (churn || !self.backlog.is_empty());
        if self.flow == RequestFlow::Draining && is_active && !is_wanted {
            self.slots[index as usize].state = SlotState::Ended;
            return;
        }
        if open_loop && churn {
            match self.backlog.pop_front() {
                Some(intended_ns) => self.queue(index, ledger.clock.now_ns(), Some(intended_ns)),
                None => self.free.push_back((index, self.slots[index as usize].generation)),
            }
            return;
        }
        match pause_ns {
            Some(pause_ns) => {
                let until_ns = ledger.clock.now_ns() + pause_ns;
                self.pausing += u32::from(is_active);
                self.slots[index as usize].state = SlotState::Pausing { until_ns };
                self.timers.set(index, until_ns);
            }
            None => self.connect_again(index, ledger),
        }
    }

    fn connect_again(&mut self, index: u32, ledger: &mut Ledger) {
        let now_ns = ledger.clock.now_ns();
        let has_request = self.churn && self.slots[index as usize].role == Role::Active;
        ledger.recorder.outstanding += u64::from(has_request);
        self.queue(index, now_ns, has_request.then_some(now_ns));
    }

    fn on_timer(&mut self, index: u32, ledger: &mut Ledger) {
        let now_ns = ledger.clock.now_ns();
        let slot = &self.slots[index as usize];
        match &slot.state {
            SlotState::Pausing { until_ns } if now_ns < *until_ns => self.timers.set(index, *until_ns),
            SlotState::Pausing { .. } => {
                self.pausing -= u32::from(slot.role == Role::Active);
                if self.flow == RequestFlow::Draining && !self.plan.is_open_loop() {
                    return;
                }
                self.connect_again(index, ledger);
            }
            SlotState::Connecting { began_ns, .. } => match began_ns + ns(self.plan.connect_timeout) {
                due_ns if now_ns < due_ns => self.timers.set(index, due_ns),
                _ => self.fail(index, ClientError::ConnectTimeout, ledger),
            },
            SlotState::Open(_) if slot.role != Role::Active => self.slow_turn(index, ledger),
            SlotState::Open(conversation) => {
                let since_ns = if conversation.in_flight() > 0 { conversation.owed_since_ns } else { now_ns };
                match since_ns + ns(self.plan.reply_timeout) {
                    due_ns if now_ns < due_ns => self.timers.set(index, due_ns),
                    _ => self.fail(index, ClientError::ReplyTimeout, ledger),
                }
            }
            SlotState::Closed | SlotState::Queued { .. } | SlotState::Held(_) | SlotState::Ended => {}
        }
    }
}

/// The pause of a client after this many failures in a row.
fn pause_ns(failures: u32) -> Option<u64> {
    let doublings = failures.checked_sub(2)?;
    Some(PAUSE_FIRST_NS.checked_shl(doublings).map_or(PAUSE_NS_MAX, |ns| ns.min(PAUSE_NS_MAX)))
}

/// Begins as many requests as the connection may have in flight.
fn begin_all<C: super::workload::Client>(
    conversation: &mut Conversation<C>,
    depth: u32,
    ledger: &mut Ledger,
) {
    let now_ns = ledger.clock.now_ns();
    for _ in 0..depth {
        conversation.begin(now_ns, now_ns);
    }
    ledger.recorder.outstanding += u64::from(depth);
}
