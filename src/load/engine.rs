//! The loop of the load: one thread, one poll, a slot for each client.
//!
//! ```text
//! wait    until an event, the next request due, the nearest deadline; zero if work is left over
//! stage   crowd, ramp, warm-up, measuring, draining: what has come to its end
//! due     requests of the open loop, to free connections or into the queue
//! events  read, check, write the next request
//! again   those that had more to do than one turn allows
//! connect a batch
//! expire  connections and replies that did not come in time; slow clients have their turn
//! ```

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::connector::Connector;
use super::recorder::Recorder;
use super::report::{Crowd, Pace, Phase, Report};
use super::schedule::Schedule;
use super::slot::{Clock, Role, Slot, State};
use super::usage::{Sleeper, Usage};
use super::{Plan, RunError, Workload};
use crate::time::Deadlines;

/// Events of one wait: requests that fall due meanwhile wait at most as long as these take.
const EVENTS_MAX: usize = 256;
/// Bytes of one read, for all connections.
const SCRATCH_BYTES: usize = 64 << 10;
/// Requests that fall due in one turn: replies wait at most as long as these take.
const ARRIVALS_PER_TURN_MAX: u32 = 256;
/// Requests that wait for a connection; those beyond it are missed at once. 8 MiB.
pub(super) const WAITING_MAX: usize = 1 << 20;
/// How often whoever watches is told.
const WATCH_NS: u64 = 100_000_000;

/// How far a run is, told ten times a second and when another part begins.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Which part of the run.
    pub phase: Phase,
    /// How much of the warm-up and the measured span has passed, and how long both are.
    pub passed: (Duration, Duration),
    /// Requests answered per second, in the present interval.
    pub requests_per_second: f64,
    /// 99 % of those answers were faster.
    pub p99_ns: u64,
    /// Connections of active clients.
    pub clients_open: u64,
    /// Connections of all clients.
    pub connections_open: u64,
    /// Errors so far.
    pub errors: u64,
}

/// What a run is doing, until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Idle and slow clients connect.
    Crowd,
    /// Active clients begin; the ramp since then.
    Ramp {
        since_ns: u64,
    },
    WarmUp {
        until_ns: u64,
    },
    Measuring {
        until_ns: u64,
    },
    Draining {
        until_ns: u64,
    },
    Done,
}

/// One run.
pub(super) struct Engine<'a, W: Workload> {
    pub(super) plan: &'a Plan,
    pub(super) workload: &'a W,
    /// Whether each request has its own connection.
    pub(super) churn: bool,
    pub(super) poll: Poll,
    pub(super) sleeper: Sleeper,
    pub(super) slots: Vec<Slot<W::Client>>,
    pub(super) scratch: Vec<u8>,
    pub(super) connector: Connector,
    pub(super) deadlines: Deadlines,
    pub(super) schedule: Option<Schedule>,
    /// Requests of the open loop that wait for a connection: when each was to be sent.
    pub(super) waiting: VecDeque<u64>,
    /// Clients of the open loop that can take a request, with their generations.
    pub(super) free: VecDeque<(u32, u32)>,
    pub(super) to_connect: VecDeque<u32>,
    pub(super) again: VecDeque<u32>,
    pub(super) connecting: u32,
    /// Nobody connects before.
    pub(super) connect_at_ns: u64,
    pub(super) open: u64,
    pub(super) clients_open: u64,
    /// Clients that have begun, and whose first connection has neither come about nor failed.
    pub(super) untried: u32,
    /// When the last client began or got its first connection.
    pub(super) settled_ns: u64,
    pub(super) begun: u32,
    pub(super) stage: Stage,
    pub(super) clock: Clock,
    pub(super) now_ns: u64,
    pub(super) recorder: Recorder,
    pub(super) idle: Crowd,
    pub(super) slow: Crowd,
    pub(super) usage: Option<Usage>,
    pub(super) report: Report,
    watched_ns: u64,
}

pub(super) fn ns(span: Duration) -> u64 {
    span.as_nanos() as u64
}

impl<'a, W: Workload> Engine<'a, W> {
    pub(super) fn new(plan: &'a Plan, workload: &'a W) -> Result<Self, RunError> {
        let poll = Poll::new().map_err(RunError::System)?;
        let sleeper = Sleeper::new(poll.registry()).map_err(RunError::System)?;
        let role = |index: u32| match index {
            index if index < plan.clients => Role::Active,
            index if index < plan.clients + plan.idle => Role::Idle,
            index => Role::slow(index - plan.clients - plan.idle, workload.flow()),
        };
        let churn = plan.churn || workload.one_shot();
        let crowd = |clients: u32| Crowd { clients: clients.into(), ..Crowd::default() };
        let mut configuration = plan.configuration(workload.name(), workload.request_bytes());
        workload.resource().unwrap_or_default().clone_into(&mut configuration.resource);
        (configuration.churn, configuration.depth) = (churn, if churn { 1 } else { plan.depth });
        Ok(Engine {
            plan,
            workload,
            churn,
            poll,
            sleeper,
            slots: (0..plan.connections() as u32).map(|index| Slot::new(role(index))).collect(),
            scratch: vec![0; SCRATCH_BYTES],
            connector: Connector::new(&plan.target, &plan.sources).map_err(RunError::System)?,
            deadlines: Deadlines::with_capacity(plan.connections() as usize),
            schedule: None,
            waiting: VecDeque::new(),
            free: VecDeque::new(),
            to_connect: VecDeque::new(),
            again: VecDeque::new(),
            connecting: 0,
            connect_at_ns: 0,
            open: 0,
            clients_open: 0,
            untried: plan.idle + plan.slow,
            settled_ns: 0,
            begun: 0,
            stage: Stage::Crowd,
            clock: Clock::start(),
            now_ns: 0,
            recorder: Recorder::new(),
            idle: crowd(plan.idle),
            slow: crowd(plan.slow),
            usage: None,
            report: Report::empty(configuration),
            watched_ns: 0,
        })
    }

    /// Runs to the end, or until `watch` breaks it off.
    pub(super) fn run(
        mut self,
        mut watch: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Report, RunError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        for index in self.plan.clients..self.plan.connections() as u32 {
            self.queue(index, None);
        }
        let mut told = None;
        while self.stage != Stage::Done {
            self.turn(&mut events).map_err(RunError::System)?;
            let phase = Some(self.phase());
            if self.now_ns >= self.watched_ns || phase != told {
                told = phase;
                self.watched_ns = self.now_ns + WATCH_NS;
                if watch(&self.progress()).is_break() {
                    self.report.interrupted = true;
                    self.break_off();
                }
            }
        }
        Ok(self.finish())
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let wait_ns = self.next_ns().saturating_sub(self.clock.now_ns());
        self.sleeper.sleep(&mut self.poll, events, wait_ns)?;
        self.now_ns = self.clock.now_ns();
        self.recorder.turn(self.now_ns);
        self.step();
        self.fall_due();
        for event in &*events {
            let Token(name) = event.token();
            let (index, generation) = (name as u32, (name as u64 >> 32) as u32);
            if self.slots.get(index as usize).is_some_and(|slot| slot.generation == generation) {
                self.on_event(index, event);
            }
        }
        // Bounded by those in the queue now: whoever comes back has its turn in the next round.
        for _ in 0..self.again.len() {
            let Some(index) = self.again.pop_front() else { break };
            self.slots[index as usize].standing = super::slot::Standing::Resting;
            self.pump(index);
        }
        self.connect_some();
        self.deadlines.advance(self.now_ns / 1_000_000);
        // Bounded by those that are due: each is filed again for later, if at all.
        while let Some(index) = self.deadlines.pop_due() {
            self.expire(index as u32);
        }
        Ok(())
    }

    /// When there is something to do without an event.
    fn next_ns(&self) -> u64 {
        let stage_is_over = match self.stage {
            Stage::Crowd => self.untried == 0,
            Stage::Ramp { .. } => self.begun == self.plan.clients && self.untried == 0,
            Stage::Draining { .. } => self.recorder.outstanding == 0,
            _ => false,
        };
        if stage_is_over || !self.again.is_empty() {
            return 0;
        }
        let mut next_ns = self.watched_ns.min(self.may_connect_ns());
        if let Some(ms) = self.deadlines.next_ms() {
            next_ns = next_ns.min(ms * 1_000_000);
        }
        if let (Some(schedule), Stage::WarmUp { .. } | Stage::Measuring { .. }) = (&self.schedule, self.stage)
        {
            next_ns = next_ns.min(schedule.next_ns());
        }
        next_ns.min(self.recorder.interval_start_ns() + ns(self.plan.interval)).min(match self.stage {
            Stage::Ramp { since_ns } => self.ramp_ns(since_ns, self.begun),
            Stage::WarmUp { until_ns } | Stage::Measuring { until_ns } | Stage::Draining { until_ns } => {
                until_ns
            }
            Stage::Crowd | Stage::Done => u64::MAX,
        })
    }

    /// When the active client with this number begins.
    pub(super) fn ramp_ns(&self, since_ns: u64, number: u32) -> u64 {
        match number {
            number if number < self.plan.clients => {
                let share = u128::from(number) * self.plan.ramp.as_nanos() / u128::from(self.plan.clients);
                since_ns + share as u64
            }
            _ => u64::MAX,
        }
    }

    /// Has requests of the open loop sent that fell due.
    fn fall_due(&mut self) {
        if !matches!(self.stage, Stage::WarmUp { .. } | Stage::Measuring { .. }) {
            return;
        }
        for _ in 0..ARRIVALS_PER_TURN_MAX {
            let Some(schedule) = self.schedule.as_mut().filter(|schedule| schedule.next_ns() <= self.now_ns)
            else {
                return;
            };
            let intended_ns = schedule.next_ns();
            schedule.step();
            self.dispatch(intended_ns);
        }
    }

    pub(super) fn dispatch(&mut self, intended_ns: u64) {
        self.recorder.due(intended_ns);
        // Bounded: each pass takes one from the list of free ones.
        while let Some((index, generation)) = self.free.pop_front() {
            if self.slots[index as usize].generation != generation {
                continue;
            }
            match &mut self.slots[index as usize].state {
                State::Closed => {
                    self.recorder.outstanding += 1;
                    self.queue(index, Some(intended_ns));
                    return;
                }
                State::Open(conversation) => {
                    self.now_ns = self.clock.now_ns();
                    conversation.begin(intended_ns, self.now_ns);
                    let has_room = conversation.in_flight() < self.plan.depth as usize;
                    self.recorder.outstanding += 1;
                    self.recorder.sent(self.now_ns, intended_ns);
                    if has_room {
                        self.free.push_back((index, generation));
                    }
                    self.pump(index);
                    return;
                }
                _ => {}
            }
        }
        if self.waiting.len() < WAITING_MAX {
            self.recorder.outstanding += 1;
            self.waiting.push_back(intended_ns);
        } else {
            self.recorder.missed(intended_ns);
        }
    }

    pub(super) fn is_open_loop(&self) -> bool {
        matches!(self.plan.pace, Pace::Open { .. })
    }

    pub(super) fn phase(&self) -> Phase {
        match self.stage {
            Stage::Crowd | Stage::Ramp { .. } => Phase::Connecting,
            Stage::WarmUp { .. } => Phase::WarmUp,
            Stage::Measuring { .. } => Phase::Measuring,
            Stage::Draining { .. } | Stage::Done => Phase::Draining,
        }
    }

    fn progress(&self) -> Progress {
        let glance = self.recorder.glance(self.now_ns);
        let (warmup, duration) = (self.plan.warmup, self.plan.duration);
        let left = |until_ns: u64| Duration::from_nanos(until_ns.saturating_sub(self.now_ns));
        let passed = match self.stage {
            Stage::Crowd | Stage::Ramp { .. } => Duration::ZERO,
            Stage::WarmUp { until_ns } => warmup.saturating_sub(left(until_ns)),
            Stage::Measuring { until_ns } => warmup + duration.saturating_sub(left(until_ns)),
            Stage::Draining { .. } | Stage::Done => warmup + duration,
        };
        Progress {
            phase: self.phase(),
            passed: (passed, warmup + duration),
            requests_per_second: glance.requests_per_second,
            p99_ns: glance.p99_ns,
            clients_open: self.clients_open,
            connections_open: self.open,
            errors: self.recorder.totals.errors,
        }
    }
}
