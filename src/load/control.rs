//! The parts of a run, one after the other: connect the crowd, ramp, warm up, measure, drain.

use std::time::Duration;

use super::RunProgress;
use super::client_error::ClientError;
use super::clock::{clock_step_ns, ns};
use super::common_start::{CommonStart, LOOK_NS};
use super::core_waits::CoreWaits;
use super::error::RunError;
use super::kernel_counts::local_ports;
use super::plan::Plan;
use super::pool::ClientPool;
use super::portion::Portion;
use super::recorder::Ledger;
use super::report::{Origin, Phase, Report};
use super::schedule::Schedule;
use super::standstill::Standstills;
use super::usage::Usage;
use super::verdict;
use super::workload::Workload;

/// The most due requests sent in one turn: replies wait at most as long as these take.
const ARRIVALS_PER_TURN_MAX: u32 = 256;

/// The part of a run, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunPart {
    /// Idle and slow clients connect.
    Crowd,
    /// Active clients start, one after the other.
    Ramp {
        since_ns: u64,
    },
    /// All clients of this thread are connected or have failed; other threads may not be ready.
    Ready,
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

/// Leads a run through its parts. Every part begins and ends here.
pub(super) struct RunControl<'a, W: Workload> {
    plan: &'a Plan,
    portion: Portion,
    start: &'a CommonStart,
    part: RunPart,
    /// Active clients that have started.
    started: u32,
    /// When requests of the open loop fall due.
    schedule: Option<Schedule>,
    usage: Option<Usage>,
    pub(super) standstills: Standstills,
    /// Those of the measured span, once that is over.
    core_waits: Option<CoreWaits>,
    report: Report,
    pub(super) pool: ClientPool<'a, W>,
    pub(super) ledger: Ledger,
}

impl<'a, W: Workload> RunControl<'a, W> {
    pub(super) fn new(
        plan: &'a Plan,
        workload: &'a W,
        portion: Portion,
        start: &'a CommonStart,
    ) -> Result<Self, RunError> {
        let mut pool = ClientPool::new(plan, workload, portion).map_err(RunError::System)?;
        let configuration = plan.configuration_with(workload);
        let mut ledger = Ledger::start(plan, start.clock());
        ledger.clock.read();
        pool.start_crowd(ledger.clock.now_ns());
        Ok(RunControl {
            plan,
            portion,
            start,
            part: RunPart::Crowd,
            started: 0,
            schedule: None,
            usage: None,
            standstills: Standstills::default(),
            core_waits: None,
            report: Report::empty(configuration),
            pool,
            ledger,
        })
    }

    /// The thread has woken.
    pub(super) fn look_at_waits(&mut self, now_ns: u64) {
        if let Some(usage) = &mut self.usage {
            usage.look(now_ns);
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.part == RunPart::Done
    }

    /// When the next work without an event is due.
    pub(super) fn next_ns(&self) -> u64 {
        let part_is_over = match self.part {
            RunPart::Crowd => self.pool.all_have_tried(),
            RunPart::Ramp { .. } => self.started == self.plan.clients && self.pool.all_have_tried(),
            RunPart::Draining { .. } => self.ledger.recorder.outstanding == 0,
            _ => false,
        };
        if part_is_over {
            return 0;
        }
        let part_ns = match self.part {
            RunPart::Ramp { since_ns } => self.start_ns(since_ns, self.started),
            RunPart::Ready => self.start.at_ns().unwrap_or(self.ledger.clock.now_ns() + LOOK_NS),
            RunPart::WarmUp { until_ns } | RunPart::Measuring { until_ns } => {
                until_ns.min(self.schedule.as_ref().map_or(u64::MAX, Schedule::next_ns))
            }
            RunPart::Draining { until_ns } => until_ns,
            RunPart::Crowd | RunPart::Done => u64::MAX,
        };
        let interval_ns = self.ledger.recorder.series.start_ns() + ns(self.plan.interval);
        part_ns.min(interval_ns).min(self.pool.next_ns())
    }

    /// Ends what is over, and begins what follows.
    pub(super) fn step(&mut self) {
        let now_ns = self.ledger.clock.now_ns();
        if now_ns >= self.ledger.recorder.series.start_ns() + ns(self.plan.interval) {
            self.end_interval();
        }
        match self.part {
            RunPart::Crowd if self.pool.has_settled(now_ns) => {
                self.enter(RunPart::Ramp { since_ns: now_ns });
            }
            RunPart::Ramp { since_ns } => self.ramp(since_ns),
            RunPart::Ready => self.begin_together(),
            RunPart::WarmUp { until_ns } if now_ns >= until_ns => {
                if self.ledger.recorder.nothing_listens() {
                    self.enter(RunPart::Done);
                } else {
                    self.begin_measuring();
                }
            }
            RunPart::Measuring { until_ns } if now_ns >= until_ns => self.end_measuring(),
            RunPart::Draining { until_ns } if self.ledger.recorder.outstanding == 0 || now_ns >= until_ns => {
                // What still waits for a connection will not be sent.
                while let Some(intended_ns) = self.pool.pop_backlog() {
                    self.ledger.recorder.missed(intended_ns);
                }
                self.pool.record_unanswered(&mut self.ledger);
                self.enter(RunPart::Done);
            }
            _ => {}
        }
    }

    /// Sends requests of the open loop that have fallen due.
    pub(super) fn send_due(&mut self) {
        if !matches!(self.part, RunPart::WarmUp { .. } | RunPart::Measuring { .. }) {
            return;
        }
        for _ in 0..ARRIVALS_PER_TURN_MAX {
            let now_ns = self.ledger.clock.now_ns();
            let Some(intended_ns) = self.schedule.as_mut().and_then(|schedule| schedule.pop(now_ns)) else {
                return;
            };
            self.pool.dispatch(intended_ns, &mut self.ledger);
        }
    }

    /// Ends the run early. The measurements so far are kept.
    pub(super) fn interrupt(&mut self) {
        self.report.interrupted = true;
        if matches!(self.part, RunPart::Measuring { .. }) {
            self.end_measuring();
        }
        let now_ns = self.ledger.clock.now_ns();
        while let Some(intended_ns) = self.pool.pop_backlog() {
            self.ledger.recorder.unanswered(now_ns, intended_ns, None);
        }
        self.pool.record_unanswered(&mut self.ledger);
        self.enter(RunPart::Done);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.part {
            RunPart::Crowd | RunPart::Ramp { .. } | RunPart::Ready => Phase::Connecting,
            RunPart::WarmUp { .. } => Phase::WarmUp,
            RunPart::Measuring { .. } => Phase::Measuring,
            RunPart::Draining { .. } | RunPart::Done => Phase::Draining,
        }
    }

    pub(super) fn progress(&self) -> RunProgress {
        let now_ns = self.ledger.clock.now_ns();
        let (warmup, duration) = (self.plan.warmup, self.plan.duration);
        let left = |until_ns: u64| Duration::from_nanos(until_ns.saturating_sub(now_ns));
        let phase_left = match self.part {
            RunPart::Crowd | RunPart::Ramp { .. } | RunPart::Done => Duration::ZERO,
            RunPart::Ready => left(self.start.at_ns().unwrap_or(0)),
            RunPart::WarmUp { until_ns }
            | RunPart::Measuring { until_ns }
            | RunPart::Draining { until_ns } => left(until_ns),
        };
        let passed = match self.part {
            RunPart::Crowd | RunPart::Ramp { .. } | RunPart::Ready => Duration::ZERO,
            RunPart::WarmUp { until_ns } => warmup.saturating_sub(left(until_ns)),
            RunPart::Measuring { until_ns } => warmup + duration.saturating_sub(left(until_ns)),
            RunPart::Draining { .. } | RunPart::Done => warmup + duration,
        };
        let recorder = &self.ledger.recorder;
        RunProgress {
            phase: self.phase(),
            passed,
            total: warmup + duration,
            phase_left,
            requests_per_second: recorder.series.requests_per_second(now_ns, &recorder.totals),
            p99_ns: recorder.series.p99_ns(),
            clients_open: self.pool.open().active,
            connections_open: self.pool.open().all,
            errors: recorder.totals.errors,
            outstanding: recorder.outstanding,
        }
    }

    /// The report, once the run is done.
    pub(super) fn finish(mut self) -> Report {
        let recorder = self.ledger.recorder;
        let [latency, service_time, send_lag, schedule_lag, connect_latency] = recorder.distributions();
        let origin = Origin {
            program: concat!("oneloop ", env!("CARGO_PKG_VERSION")).to_owned(),
            began_unix_ns: self.ledger.clock.began_unix_ns(),
            ..Origin::default()
        };
        let mut report = Report {
            origin,
            began_monotonic_ns: self.ledger.clock.began_ns(),
            wall_ns: self.ledger.clock.read(),
            requests_due: recorder.requests_due,
            missed_sends: recorder.missed_sends,
            unanswered: recorder.unanswered,
            latency,
            service_time,
            send_lag,
            schedule_lag,
            connect_latency,
            errors: recorder.errors,
            errors_before: recorder.errors_before,
            first_error: recorder.first_error.map(ClientError::describe),
            connections: recorder.connections,
            idle: recorder.idle,
            slow: recorder.slow,
            series: recorder.series.into_intervals(),
            ..self.report
        };
        report.generator.delayed_share = self.core_waits.map(|waits| waits.delayed_share(&report));
        report.generator.clock_step_ns = clock_step_ns();
        report.generator.local_ports = local_ports(self.plan);
        verdict::conclude(&mut report);
        report
    }

    /// When the active client with this number starts; `u64::MAX` if there is none.
    fn start_ns(&self, since_ns: u64, number: u32) -> u64 {
        if number >= self.plan.clients {
            return u64::MAX;
        }
        let share = u128::from(number) * self.plan.ramp.as_nanos() / u128::from(self.plan.clients);
        since_ns + share as u64
    }

    fn end_interval(&mut self) {
        let (now_ns, phase, active) = (self.ledger.clock.now_ns(), self.phase(), self.pool.open().active);
        self.ledger.recorder.end_interval(now_ns, phase, active);
    }

    fn enter(&mut self, part: RunPart) {
        self.end_interval();
        self.part = part;
    }

    fn ramp(&mut self, since_ns: u64) {
        let now_ns = self.ledger.clock.now_ns();
        while self.start_ns(since_ns, self.started) <= now_ns {
            self.pool.start(self.started, &mut self.ledger);
            self.started += 1;
        }
        if self.started == self.plan.clients && (self.pool.churn() || self.pool.has_settled(now_ns)) {
            self.start.ready(now_ns);
            self.part = RunPart::Ready;
            self.begin_together();
        }
    }

    /// The load begins, once the threads agree that it does.
    fn begin_together(&mut self) {
        let Some(at_ns) = self.start.at_ns().filter(|at_ns| *at_ns <= self.ledger.clock.now_ns()) else {
            return;
        };
        self.schedule = Schedule::new(self.plan, at_ns, self.portion);
        self.pool.release(&mut self.ledger);
        self.enter(RunPart::WarmUp { until_ns: at_ns + ns(self.plan.warmup) });
        if self.plan.warmup.is_zero() {
            // Requests that fall due at once are measured, too.
            self.step();
        }
    }

    fn begin_measuring(&mut self) {
        let now_ns = self.ledger.clock.now_ns();
        let until_ns = now_ns + ns(self.plan.duration);
        self.enter(RunPart::Measuring { until_ns });
        let recorder = &mut self.ledger.recorder;
        (recorder.start_ns, recorder.end_ns) = (now_ns, until_ns);
        (recorder.idle.connected, recorder.slow.connected) = self.pool.crowds_connected();
        recorder.statuses.clear();
        self.pool.reset_totals();
        self.standstills.reset();
        self.usage = Some(Usage::begin(recorder.totals));
    }

    fn end_measuring(&mut self) {
        let now_ns = self.ledger.clock.read();
        let recorder = &mut self.ledger.recorder;
        recorder.turn(now_ns, self.pool.open().active);
        recorder.end_ns = now_ns.min(recorder.end_ns);
        let measured_ns = now_ns - recorder.start_ns;
        // First of all: the work that follows, above all sending overdue requests, would count as used within
        // the span.
        if let Some(usage) = self.usage.take() {
            self.core_waits = usage.end(measured_ns, &recorder.totals, &self.standstills, &mut self.report);
        }
        self.report.statuses = recorder.take_statuses();
        (recorder.idle.connected_at_end, recorder.slow.connected_at_end) = self.pool.crowds_connected();
        self.report.fairness = self.pool.fairness();
        self.end_interval();
        self.send_due_before_end();
        // Without `enter`: later answers belong to the interval that has just begun.
        let draining_ns = self.ledger.clock.now_ns() + ns(self.plan.reply_timeout);
        self.part = RunPart::Draining { until_ns: draining_ns };
        self.pool.drain();
    }

    /// Sends what fell due before the end, also where the generator was late: a late request is not missed.
    fn send_due_before_end(&mut self) {
        let last_ns = self.ledger.recorder.end_ns.saturating_sub(1);
        // Bounded by the rate and the span; without a connection a request waits, and beyond that bound it is
        // missed.
        while let Some(intended_ns) = self.schedule.as_mut().and_then(|schedule| schedule.pop(last_ns)) {
            self.pool.dispatch(intended_ns, &mut self.ledger);
        }
    }
}
