//! The parts of a run, one after the other, and what is written down where they meet.

use super::Workload;
use super::engine::{Engine, Stage, ns};
use super::errors::Class;
use super::report::{Connections, Fairness, Generator, Report};
use super::schedule::Schedule;
use super::slot::{Role, Share, State};
use super::usage::Usage;

/// How long behind the timeout of a connection its failure is written down at the latest.
const STUCK_NS: u64 = 100_000_000;

impl<W: Workload> Engine<'_, W> {
    /// Ends what has come to its end, and begins what follows.
    pub(super) fn step(&mut self) {
        if self.now_ns >= self.recorder.interval_start_ns() + ns(self.plan.interval) {
            self.recorder.end_interval(self.now_ns, self.phase(), self.clients_open);
        }
        match self.stage {
            Stage::Crowd if self.has_settled() => self.enter(Stage::Ramp { since_ns: self.now_ns }),
            Stage::Ramp { since_ns } => self.ramp(since_ns),
            Stage::WarmUp { until_ns } if self.now_ns >= until_ns => {
                if self.recorder.connections.established == 0 && self.recorder.errors_before.total() > 0 {
                    // Nobody is there: measuring would show nothing. Without an error nobody has tried for long enough.
                    self.enter(Stage::Done);
                } else {
                    self.begin_measuring();
                }
            }
            Stage::Measuring { until_ns } if self.now_ns >= until_ns => self.end_measuring(),
            Stage::Draining { until_ns } if self.recorder.outstanding == 0 || self.now_ns >= until_ns => {
                self.give_up();
                self.enter(Stage::Done);
            }
            _ => {}
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.recorder.end_interval(self.now_ns, self.phase(), self.clients_open);
        self.stage = stage;
    }

    /// Whether all that were to connect have connected or failed once, or nothing moves any more.
    ///
    /// Those that failed try again for as long as the run lasts; it does not wait for them.
    fn has_settled(&self) -> bool {
        let stuck_ns = self.settled_ns + ns(self.plan.connect_timeout) + STUCK_NS;
        self.untried == 0 || self.now_ns >= stuck_ns
    }

    fn ramp(&mut self, since_ns: u64) {
        while self.begun < self.plan.clients && self.ramp_ns(since_ns, self.begun) <= self.now_ns {
            let index = self.begun;
            self.begun += 1;
            self.settled_ns = self.now_ns;
            match (self.churn, self.is_open_loop()) {
                (false, _) => {
                    self.untried += 1;
                    self.queue(index, None);
                }
                (true, true) => self.free.push_back((index, self.slots[index as usize].generation)),
                (true, false) => {
                    self.recorder.outstanding += 1;
                    self.queue(index, Some(self.now_ns));
                }
            }
        }
        if self.begun == self.plan.clients && (self.churn || self.has_settled()) {
            self.schedule = Schedule::new(self.plan.pace, self.now_ns, self.plan.seed);
            if self.plan.connect_first && !self.churn && !self.is_open_loop() {
                self.all_ask();
            }
            self.enter(Stage::WarmUp { until_ns: self.now_ns + ns(self.plan.warmup) });
            if self.plan.warmup.is_zero() {
                // What falls due at once is measured, too.
                self.step();
            }
        }
    }

    fn begin_measuring(&mut self) {
        let until_ns = self.now_ns + ns(self.plan.duration);
        self.enter(Stage::Measuring { until_ns });
        (self.recorder.start_ns, self.recorder.end_ns) = (self.now_ns, until_ns);
        for slot in &mut self.slots {
            slot.share = Share::default();
        }
        (self.idle.connected, self.slow.connected) = self.crowds_connected();
        self.usage = Some(Usage::begin(self.recorder.totals));
    }

    fn end_measuring(&mut self) {
        self.now_ns = self.clock.now_ns();
        self.recorder.turn(self.now_ns);
        self.recorder.end_ns = self.now_ns.min(self.recorder.end_ns);
        let measured_ns = self.now_ns - self.recorder.start_ns;
        // At once: whatever is done before, sending what is overdue above all, would count as used within the span.
        if let Some(usage) = self.usage.take() {
            let totals = self.recorder.totals;
            let before = usage.totals;
            let (report, seconds) = (&mut self.report, measured_ns as f64 / 1e9);
            report.measured_ns = measured_ns;
            report.requests = totals.requests - before.requests;
            report.requests_per_second = report.requests as f64 / seconds;
            report.bytes_in = totals.bytes_in - before.bytes_in;
            report.bytes_out = totals.bytes_out - before.bytes_out;
            let outstanding_ns = totals.outstanding_ns - before.outstanding_ns;
            report.outstanding_mean = outstanding_ns as f64 / measured_ns as f64;
            report.generator = usage.end(measured_ns, report.requests);
        }
        (self.idle.connected_at_end, self.slow.connected_at_end) = self.crowds_connected();
        let active = self.slots.iter().filter(|slot| slot.role == Role::Active);
        let (requests, bytes) = active.map(|slot| (slot.share.requests, slot.share.bytes)).unzip();
        self.report.fairness = Fairness::of(requests, bytes);
        self.recorder.end_interval(self.now_ns, self.phase(), self.clients_open);
        self.fall_due_before_end();
        // Not by `enter`: what was answered meanwhile belongs to the interval that has just begun.
        self.stage = Stage::Draining { until_ns: self.now_ns + ns(self.plan.reply_timeout) };
        self.drain();
    }

    /// What fell due in the last moments, and before a generator that came late: late is not missed.
    fn fall_due_before_end(&mut self) {
        let end_ns = self.recorder.end_ns;
        // Bounded by the rate and the span; what has no connection waits, and is missed beyond that bound.
        while let Some(schedule) = self.schedule.as_mut().filter(|schedule| schedule.next_ns() < end_ns) {
            let intended_ns = schedule.next_ns();
            schedule.step();
            self.dispatch(intended_ns);
        }
    }

    /// Who has nothing to wait for ends.
    fn drain(&mut self) {
        let slots = &self.slots;
        self.to_connect.retain(|&index| {
            matches!(slots[index as usize].state, State::Queued { intended_ns: Some(_), .. })
                || !self.waiting.is_empty()
        });
    }

    /// What still waits for a connection at the end will not be sent.
    fn give_up(&mut self) {
        while let Some(intended_ns) = self.waiting.pop_front() {
            self.recorder.missed(intended_ns);
        }
        self.count_unanswered();
    }

    /// Ends the run early: what was measured so far is kept.
    pub(super) fn break_off(&mut self) {
        if matches!(self.stage, Stage::Measuring { .. }) {
            self.end_measuring();
        }
        while let Some(intended_ns) = self.waiting.pop_front() {
            self.recorder.unanswered(self.now_ns, intended_ns);
        }
        self.count_unanswered();
        self.enter(Stage::Done);
    }

    /// Requests without an answer when the run ends have waited for so long at least, and that counts: a server that hangs
    /// makes people press Ctrl-C. Only what was owed for all of its time is late: others were sent just now, and late
    /// for want of a connection.
    fn count_unanswered(&mut self) {
        let reply_timeout_ns = ns(self.plan.reply_timeout);
        for slot in self.slots.iter().filter(|slot| slot.role == Role::Active) {
            let (since_ns, asked, queued) = match &slot.state {
                State::Open(conversation) => {
                    (conversation.owed_since_ns, Some(conversation.unanswered()), None)
                }
                State::Connecting { began_ns, intended_ns, .. } => (*began_ns, None, *intended_ns),
                State::Queued { since_ns, intended_ns } => (*since_ns, None, *intended_ns),
                _ => continue,
            };
            let is_late = self.now_ns >= since_ns + reply_timeout_ns;
            for intended_ns in asked.into_iter().flatten().chain(queued) {
                if is_late {
                    self.recorder.failed(self.now_ns, Class::ReplyTimeout, 1);
                } else {
                    self.recorder.unanswered(self.now_ns, intended_ns);
                }
            }
        }
    }

    fn crowds_connected(&self) -> (u64, u64) {
        let count = |is_idle: bool| {
            let crowd = self.slots[self.plan.clients as usize..].iter();
            crowd.filter(|slot| slot.is_connected() && (slot.role == Role::Idle) == is_idle).count() as u64
        };
        (count(true), count(false))
    }

    pub(super) fn finish(mut self) -> Report {
        self.now_ns = self.clock.now_ns();
        let [latency, send_lag, connect_latency] = self.recorder.distributions();
        Report {
            began_monotonic_ns: self.clock.began_ns,
            wall_ns: self.now_ns,
            requests_due: self.recorder.requests_due,
            missed_sends: self.recorder.missed_sends,
            unanswered: self.recorder.unanswered,
            latency,
            send_lag,
            connect_latency,
            errors: self.recorder.errors,
            errors_before: self.recorder.errors_before,
            first_error: self.recorder.first_error.map(Class::describe),
            connections: self.recorder.connections,
            idle: self.idle,
            slow: self.slow,
            series: self.recorder.series,
            ..self.report
        }
    }
}

impl Report {
    /// One in which nothing has happened.
    pub(crate) fn empty(configuration: super::report::Configuration) -> Self {
        use super::report::{Crowd, ErrorCounts, Latency, SCHEMA_VERSION};
        Report {
            schema_version: SCHEMA_VERSION,
            configuration,
            interrupted: false,
            began_monotonic_ns: 0,
            wall_ns: 0,
            measured_ns: 0,
            requests: 0,
            requests_per_second: 0.0,
            bytes_in: 0,
            bytes_out: 0,
            requests_due: 0,
            missed_sends: 0,
            unanswered: 0,
            outstanding_mean: 0.0,
            latency: Latency::default(),
            send_lag: Latency::default(),
            connect_latency: Latency::default(),
            errors: ErrorCounts::default(),
            errors_before: ErrorCounts::default(),
            first_error: None,
            connections: Connections::default(),
            idle: Crowd::default(),
            slow: Crowd::default(),
            fairness: Fairness::default(),
            generator: Generator::default(),
            series: Vec::new(),
        }
    }
}
