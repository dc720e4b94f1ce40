//! The accepting process of [`super::fork`] and [`super::thread`], which hands each client over to a child or
//! a thread.
//!
//! It waits in ppoll(2) for listeners, its signals, and the few refused clients that linger.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::admission::{
    AcceptOutcome, Accepted, Admission, AdmissionDecision, Refused, SocketMode, unserved,
};
use crate::connection::{
    Blocking, Connection, Context, Mode, NEVER_MS, Pumped, Scratch, TimeSource, TurnBudget, WaitTimeouts,
};
use crate::limits::Limits;
use crate::session::{Maintenance, Now, Peer, Refusal, Service};
use crate::sys::HeldSignals;
use crate::sys::signals::ArrivedSignals;
use crate::sys::stream::Stream;
use crate::sys::wait::ReadySet;
use crate::telemetry::{Reason, Telemetry};
use crate::time::CallClock;

use super::{BoundListener, ServedBy, ServerConfig};

/// Clients that a drain accepts from a backlog at a time: more than any backlog holds. Without this bound, a
/// stream of new clients would keep the children from noticing the drain.
const BACKLOG_TAKEN_MAX: u32 = 65_536;

/// Accepts clients, refuses those that may not be served, and hands over the others.
pub(super) struct Acceptor<S: Service> {
    pub(super) listeners: Vec<BoundListener<S>>,
    pub(super) signals: HeldSignals,
    pub(super) limits: Limits,
    pub(super) clock: CallClock,
    pub(super) telemetry: Telemetry,
    served_by: ServedBy,
    maintenance: Maintenance,
    admission: Admission,
    refused: Vec<Connection<S::Session, Blocking>>,
    scratch: Scratch,
}

/// The next client of a listener.
enum NextClient {
    Admitted(Accepted),
    /// No client waits.
    None,
    /// A client may wait, but there is no place or no descriptor for it yet.
    Later,
}

/// What has ended a wait.
pub(super) struct WaitEnd {
    /// The signals that arrived.
    pub(super) arrived: ArrivedSignals,
    /// Whether the additional descriptor is ready.
    pub(super) beside: bool,
    ready: ReadySet,
    /// The number of listeners that were waited for.
    open: usize,
}

/// A client that could not be handed over, and why.
pub(super) type NotServed = (Accepted, io::Error);

impl<S: Service> Acceptor<S> {
    pub(super) fn new(config: ServerConfig<S>, served_by: ServedBy) -> io::Result<Self> {
        let ServerConfig { listeners, limits, telemetry, signals, .. } = config;
        let listeners = BoundListener::all(listeners, &limits, served_by);
        listeners.iter().try_for_each(|listener| listener.socket.set_nonblocking(true))?;
        Ok(Acceptor {
            listeners,
            signals: signals.hold()?,
            served_by,
            clock: CallClock::start(),
            telemetry,
            maintenance: Maintenance::default(),
            admission: Admission::new(&limits, u32::MAX),
            refused: Vec::new(),
            scratch: Scratch::new(&limits),
            limits,
        })
    }

    /// Clients that are served now.
    pub(super) fn clients(&self) -> u32 {
        self.admission.clients()
    }

    /// Whether accepting pauses until a client ends.
    pub(super) fn waits_for_end(&self) -> bool {
        !self.admission.is_open()
    }

    /// Whether the next client may soon have to wait for the end of another: then ends must be noticed at
    /// once.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.admission.has_room_for() <= self.limits.accepts_per_turn_max
    }

    /// Waits for something to do, at most `timeout`, also for `beside`.
    pub(super) fn wait(
        &mut self,
        beside: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> io::Result<WaitEnd> {
        let now_ms = self.clock.now_ms();
        let open = if self.admission.is_open() { self.listeners.len() } else { 0 };
        let listeners = self.listeners.iter().take(open).map(|listener| listener.socket.as_fd());
        let refused = self.refused.iter().map(|client| client.transport().stream().as_fd());
        let fds = listeners.chain(beside).chain(refused);
        let due = self.refused.iter().map(Connection::deadline_ms).chain(self.telemetry.due_ms());
        let maintenance_ms =
            self.maintenance.due_ms(self.listeners.iter().map(|listener| &listener.served.service));
        let due_ms = due
            .chain(maintenance_ms)
            .chain(self.admission.resumes_at_ms())
            .min()
            .filter(|&due_ms| due_ms != NEVER_MS);
        let own = due_ms.map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        let timeout = match (own, timeout) {
            (Some(own), Some(timeout)) => Some(own.min(timeout)),
            (own, timeout) => own.or(timeout),
        };
        let (arrived, ready) = self.signals.wait(fds, timeout)?;
        let woken = WaitEnd { arrived, beside: beside.is_some() && ready.is(open), ready, open };
        let now = self.clock.now();
        self.admission.tick(now.monotonic_ms);
        self.telemetry.tick(now.monotonic_ms);
        self.maintenance.run_due(self.listeners.iter().map(|listener| &listener.served.service), now);
        self.move_refused(now);
        Ok(woken)
    }

    /// Accepts the next client of a listener that may be served; others are refused.
    fn accept(&mut self, at: usize) -> NextClient {
        for _ in 0..self.limits.accepts_per_turn_max {
            if !self.admission.is_open() {
                break;
            }
            let (clock, listener) = (self.clock, &self.listeners[at].socket);
            let now_ms = || clock.now_ms();
            match self.admission.accept(listener, SocketMode::Blocking, &mut self.telemetry, now_ms) {
                AcceptOutcome::Accepted(accepted) => match self.admission.decide(accepted.peer) {
                    AdmissionDecision::Admit => return NextClient::Admitted(accepted),
                    // No client of these models can be evicted: its process or thread alone may end it.
                    AdmissionDecision::AdmitAfterEviction => {
                        self.refuse(at, accepted, Refusal::TooManyClients);
                    }
                    AdmissionDecision::Refuse(why) => self.refuse(at, accepted, why),
                },
                AcceptOutcome::Retry => {}
                AcceptOutcome::Empty | AcceptOutcome::EmptyWithoutWaiting => return NextClient::None,
                AcceptOutcome::Paused => break,
            }
        }
        NextClient::Later
    }

    /// Accepts a batch of clients from these listeners in turn, and hands them over to `serve`.
    pub(super) fn accept_ready(
        &mut self,
        woken: &WaitEnd,
        mut serve: impl FnMut(&mut Self, usize, Accepted) -> Result<(), NotServed>,
    ) {
        for _ in 0..self.limits.accepts_per_turn_max {
            let mut any = false;
            for at in (0..woken.open).filter(|&at| woken.ready.is(at)) {
                if let NextClient::Admitted(accepted) = self.accept(at) {
                    any = true;
                    self.hand_over(at, accepted, &mut serve);
                }
            }
            if !any {
                break;
            }
        }
    }

    /// Hands a client over to `serve`. If that fails, the client is refused.
    fn hand_over(
        &mut self,
        at: usize,
        accepted: Accepted,
        serve: &mut impl FnMut(&mut Self, usize, Accepted) -> Result<(), NotServed>,
    ) {
        let peer = accepted.peer;
        match serve(self, at, accepted) {
            Ok(()) => self.admission.enter(peer),
            Err((accepted, error)) => {
                log::warn!("cannot serve {peer}: {error}");
                self.refuse(at, accepted, Refusal::NoWorker);
            }
        }
    }

    /// In a drain: accepts all clients from the backlogs, and closes each listener whose backlog is empty.
    /// Clients for which there is no place or no descriptor yet are left to a later call.
    pub(super) fn take_backlog(
        &mut self,
        mut serve: impl FnMut(&mut Self, usize, Accepted) -> Result<(), NotServed>,
    ) {
        // In reverse order: `swap_remove` then moves only listeners that were already emptied.
        for at in (0..self.listeners.len()).rev() {
            for _ in 0..BACKLOG_TAKEN_MAX {
                match self.accept(at) {
                    NextClient::Admitted(accepted) => self.hand_over(at, accepted, &mut serve),
                    NextClient::Later => break,
                    NextClient::None => {
                        self.listeners.swap_remove(at);
                        break;
                    }
                }
            }
        }
    }

    /// Whether clients may still wait to be accepted.
    pub(super) fn is_open(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Closes the listeners. Clients that wait there are reset.
    pub(super) fn close(&mut self) {
        self.listeners.clear();
    }

    /// In a child: closes the descriptors that are the parent's, and keeps the services.
    pub(super) fn close_in_child(&mut self) {
        self.listeners.iter().for_each(|listener| listener.socket.close_in_child());
        self.refused.clear();
    }

    /// A client has ended: its place is free.
    pub(super) fn leave(&mut self, peer: Peer) {
        self.admission.leave(peer);
    }

    /// Closes refused clients that still linger: the server ends.
    pub(super) fn release(&mut self) {
        let now = self.clock.now();
        for client in std::mem::take(&mut self.refused) {
            let reason = client.lingers_for().unwrap_or(Reason::RefusedStopping);
            self.telemetry.ended(&client.end(reason, now));
        }
    }

    fn refuse(&mut self, at: usize, accepted: Accepted, why: Refusal) {
        let Accepted { fd, peer } = accepted;
        let stream = Stream::new(fd);
        if self.served_by == ServedBy::Children {
            stream.reset_at_close(false); // it has inherited the contrary
        }
        let (words, reason) = match self.admission.refuse(&self.listeners[at].served, peer, why) {
            Refused::LastWords(words, reason) => (words, reason),
            Refused::Closed(end) => return self.telemetry.ended(&end),
        };
        if stream.set_nonblocking(true).is_err() {
            self.admission.refused_left();
            return self.telemetry.ended(&unserved(reason, peer));
        }
        let now = self.clock.now();
        let transport = Blocking::new(stream);
        self.refused.push(Connection::refused(transport, words, reason, peer, now, &self.limits));
        self.move_refused(now);
    }

    fn move_refused(&mut self, now: Now) {
        let mut context = Context {
            clock: TimeSource::Turn(now),
            limits: &self.limits,
            timeouts: WaitTimeouts::of_limits(&self.limits),
            scratch: &mut self.scratch,
            telemetry: &mut self.telemetry,
            mode: Mode::Serving,
        };
        let mut ends = Vec::new();
        self.refused.retain_mut(|client| {
            let budget = TurnBudget::of_turn(context.limits);
            let due = client.deadline_ms() <= now.monotonic_ms;
            let pumped =
                if due { client.expire(&mut context, budget) } else { client.pump(&mut context, budget) };
            if let Pumped::Ended(reason) = pumped {
                ends.push(client.end(reason, now));
            }
            !matches!(pumped, Pumped::Ended(_))
        });
        for end in &ends {
            self.admission.refused_left();
            self.telemetry.ended(end);
        }
    }
}
