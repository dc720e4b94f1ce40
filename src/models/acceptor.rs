//! The process that accepts and hands clients over: to a child ([`super::fork`]) or a thread ([`super::thread`]).
//!
//! It waits in poll(2) on listeners, the pipe of its signals, and the few refused clients that still linger.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crate::connection::{
    Blocking, Connection, Context, Mode, NEVER_MS, Pumped, Scratch, TimeSource, TurnBudget, WaitTimeouts,
};
use crate::limits::{Limits, Overflow};
use crate::session::{Maintenance, Now, Peer, Refusal, Service};
use crate::sys::signals::Arrived;
use crate::sys::stream::Stream;
use crate::sys::{AcceptFailures, AfterFailure, Signals, wait};
use crate::telemetry::{End, Reason, Telemetry};
use crate::time::ServerClock;

use super::{BoundListener, Setup};

/// Clients that a drain takes from one backlog at a time: more than any backlog holds, and without it those who go on coming
/// would keep the children from hearing of the drain.
const BACKLOG_TAKEN_MAX: u32 = 65_536;

/// Listeners, signals, and who was refused.
pub(super) struct Acceptor<S: Service> {
    pub(super) listeners: Vec<BoundListener<S>>,
    pub(super) signals: Signals,
    pub(super) limits: Limits,
    pub(super) clock: ServerClock,
    pub(super) telemetry: Telemetry,
    maintenance: Maintenance,
    sites: HashMap<[u8; 9], u32>,
    clients: u32,
    accepting: Accepting,
    accept_failures: AcceptFailures,
    refused: Vec<Connection<S::Session, Blocking>>,
    scratch: Scratch,
}

/// Whether new clients are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    Open,
    /// Without descriptors or memory: until a client ends, or this time.
    Exhausted {
        until_ms: u64,
    },
}

/// What a look at the backlog of a listener has brought.
enum AcceptOutcome {
    Accepted(Accepted),
    Empty,
    /// Somebody may wait there for whom there is no place, or no descriptor, yet.
    Later,
}

/// A client that was accepted and may be served.
pub(super) struct Accepted {
    /// Which listener it came by.
    pub(super) listener: usize,
    pub(super) fd: OwnedFd,
    pub(super) peer: Peer,
}

impl<S: Service> Acceptor<S> {
    pub(super) fn new(setup: Setup<S>) -> io::Result<Self> {
        let Setup { listeners, limits, telemetry, signals, .. } = setup;
        let listeners = BoundListener::all(listeners, &limits);
        listeners.iter().try_for_each(|listener| listener.socket.set_nonblocking(true))?;
        Ok(Acceptor {
            listeners,
            signals,
            clock: ServerClock::start(),
            telemetry,
            maintenance: Maintenance::default(),
            sites: HashMap::new(),
            clients: 0,
            accepting: Accepting::Open,
            accept_failures: AcceptFailures::default(),
            refused: Vec::new(),
            scratch: Scratch::new(&limits),
            limits,
        })
    }

    /// Clients that are served now.
    pub(super) fn clients(&self) -> u32 {
        self.clients
    }

    fn is_full(&self) -> bool {
        self.clients >= self.limits.clients_max
    }

    /// Waits for something to do, at most `timeout`, also for `beside`; says what signals arrived and which listeners have
    /// clients.
    pub(super) fn wait(
        &mut self,
        beside: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> io::Result<(Arrived, Vec<usize>)> {
        let now_ms = self.clock.now().monotonic_ms;
        let listens =
            self.accepting == Accepting::Open && !(self.limits.overflow == Overflow::Wait && self.is_full());
        let open = if listens { self.listeners.len() } else { 0 };
        let listeners = self.listeners.iter().take(open).map(|listener| listener.socket.as_fd());
        let refused = self.refused.iter().map(|client| client.transport().stream().as_fd());
        let signals = self.signals.as_fd();
        let fds: Vec<BorrowedFd<'_>> = listeners.chain([signals]).chain(beside).chain(refused).collect();
        let pause_ms = match self.accepting {
            Accepting::Exhausted { until_ms } => until_ms,
            Accepting::Open => NEVER_MS,
        };
        let due = self.refused.iter().map(Connection::deadline_ms).chain(self.telemetry.due_ms());
        let maintenance_ms = self.maintenance.due_ms(self.listeners.iter().map(|listener| &listener.service));
        let due_ms = due.chain(maintenance_ms).chain([pause_ms]).min().filter(|&due_ms| due_ms != NEVER_MS);
        let own = due_ms.map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now_ms)));
        let timeout = match (own, timeout) {
            (Some(own), Some(timeout)) => Some(own.min(timeout)),
            (own, timeout) => own.or(timeout),
        };
        let ready = wait::readable(&fds, timeout)?;
        let ready: Vec<usize> = (0..open).filter(|&at| ready[at]).collect();
        let now = self.clock.now();
        if matches!(self.accepting, Accepting::Exhausted { until_ms } if until_ms <= now.monotonic_ms) {
            self.accepting = Accepting::Open;
        }
        self.telemetry.tick(now.monotonic_ms);
        self.maintenance.run_due(self.listeners.iter().map(|listener| &listener.service), now);
        self.move_refused(now);
        Ok((self.signals.take(), ready))
    }

    /// Takes one client from a listener; who may not be served is refused.
    fn accept(&mut self, at: usize) -> AcceptOutcome {
        for _ in 0..self.limits.accepts_per_turn_max {
            if self.accepting != Accepting::Open || (self.limits.overflow == Overflow::Wait && self.is_full())
            {
                return AcceptOutcome::Later;
            }
            let listener = &self.listeners[at].socket;
            let error = match listener.accept_blocking() {
                Ok((fd, addr)) => {
                    self.telemetry.accepted();
                    self.accept_failures.none();
                    let peer = addr.map_or(Peer::UNIX, Peer::from);
                    match self.objection(peer) {
                        None => return AcceptOutcome::Accepted(Accepted { listener: at, fd, peer }),
                        Some(why) => self.refuse(Accepted { listener: at, fd, peer }, why),
                    }
                    continue;
                }
                Err(error) => error,
            };
            let now_ms = self.clock.now().monotonic_ms;
            match self.accept_failures.after(listener, &error, now_ms) {
                AfterFailure::Nobody | AfterFailure::NobodyCould => return AcceptOutcome::Empty,
                AfterFailure::Interrupted => {}
                AfterFailure::Lost => self.telemetry.accept_failed(),
                AfterFailure::Pause => {
                    self.telemetry.accept_failed();
                    let until_ms = now_ms + u64::from(self.limits.accept_pause_ms.max(1));
                    self.accepting = Accepting::Exhausted { until_ms };
                    return AcceptOutcome::Later;
                }
            }
        }
        AcceptOutcome::Later
    }

    fn objection(&self, peer: Peer) -> Option<Refusal> {
        let site_max = self.limits.clients_per_address_max;
        let from_site = peer.site().and_then(|site| self.sites.get(&site).copied()).unwrap_or(0);
        if site_max > 0 && from_site >= site_max {
            Some(Refusal::TooManyFromAddress)
        } else {
            self.is_full().then_some(Refusal::TooManyClients)
        }
    }

    /// Takes up to a batch of clients from these listeners, one of each in turn, and has `serve` take them over.
    pub(super) fn accept_ready(
        &mut self,
        ready: &[usize],
        mut serve: impl FnMut(&mut Self, Accepted) -> Result<(), (Accepted, io::Error)>,
    ) {
        for _ in 0..self.limits.accepts_per_turn_max {
            let mut any = false;
            for &at in ready {
                if let AcceptOutcome::Accepted(accepted) = self.accept(at) {
                    any = true;
                    self.hand_over(accepted, &mut serve);
                }
            }
            if !any {
                break;
            }
        }
    }

    /// Has `serve` take this client over; who cannot be taken over is refused.
    fn hand_over(
        &mut self,
        accepted: Accepted,
        serve: &mut impl FnMut(&mut Self, Accepted) -> Result<(), (Accepted, io::Error)>,
    ) {
        let peer = accepted.peer;
        match serve(self, accepted) {
            Ok(()) => self.enter(peer),
            Err((accepted, error)) => {
                log::warn!("{}: cannot be served: {error}", accepted.peer);
                self.refuse(accepted, Refusal::NoWorker);
            }
        }
    }

    /// In a drain: takes whoever waits in the backlogs, and closes each listener in whose backlog nobody is left. Who has to
    /// wait for a place, or for a descriptor, is taken by a later call.
    pub(super) fn take_backlog(
        &mut self,
        mut serve: impl FnMut(&mut Self, Accepted) -> Result<(), (Accepted, io::Error)>,
    ) {
        // From behind: what takes the place of a listener that is closed was looked at before.
        for at in (0..self.listeners.len()).rev() {
            for _ in 0..BACKLOG_TAKEN_MAX {
                match self.accept(at) {
                    AcceptOutcome::Accepted(accepted) => self.hand_over(accepted, &mut serve),
                    AcceptOutcome::Later => break,
                    AcceptOutcome::Empty => {
                        self.listeners.swap_remove(at);
                        break;
                    }
                }
            }
        }
    }

    /// Whether somebody may still wait to be taken.
    pub(super) fn is_open(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Closes the listeners, whoever waits there.
    pub(super) fn close(&mut self) {
        self.listeners.clear();
    }

    /// In a child: keeps this listener's service, and closes all that is the parent's.
    pub(super) fn become_child(&mut self, listener: usize) -> BoundListener<S> {
        let own = self.listeners.swap_remove(listener);
        self.listeners.clear();
        self.refused.clear();
        own
    }

    fn enter(&mut self, peer: Peer) {
        self.clients += 1;
        if self.limits.clients_per_address_max > 0
            && let Some(site) = peer.site()
        {
            *self.sites.entry(site).or_insert(0) += 1;
        }
    }

    /// A client has ended: its place is free.
    pub(super) fn leave(&mut self, peer: Peer) {
        self.clients -= 1;
        self.accepting = Accepting::Open;
        if let Some(site) = peer.site()
            && let Some(count) = self.sites.get_mut(&site)
        {
            *count -= 1;
            if *count == 0 {
                self.sites.remove(&site);
            }
        }
    }

    /// Closes refused clients that still linger: the server ends.
    pub(super) fn release(&mut self) {
        let now = self.clock.now();
        for client in std::mem::take(&mut self.refused) {
            let reason = client.lingers_for().unwrap_or(Reason::RefusedStopping);
            self.telemetry.ended(&client.end(reason, now));
        }
    }

    /// Says last words, where there are any and somebody may still linger; else closes plainly.
    fn refuse(&mut self, accepted: Accepted, why: Refusal) {
        let (reason, peer, now) = (Reason::from(why), accepted.peer, self.clock.now());
        let ended = |reason| End { reason, peer, bytes_in: 0, bytes_out: 0, lasted_ms: 0 };
        let service = &self.listeners[accepted.listener].service;
        let Ok(words) = panic::catch_unwind(AssertUnwindSafe(|| service.refusal(why))) else {
            log::error!("{peer}: the service panicked when it refused; the client ends");
            return self.telemetry.ended(&ended(Reason::Panicked));
        };
        let stream = Stream::new(accepted.fd);
        let silent = words.is_empty() || self.refused.len() >= self.limits.refusals_max as usize;
        if silent || stream.set_nonblocking(true).is_err() {
            return self.telemetry.ended(&ended(reason));
        }
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
            self.telemetry.ended(end);
        }
    }
}
