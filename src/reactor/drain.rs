//! The end of the loop: signals, draining, and what there is to tell.

use std::fmt;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;

use crate::connection::NEVER_MS;
use crate::session::{Now, Service};
use crate::telemetry::{Counters, Reason};

use super::accept::Backlog;
use super::token::{ConnId, Name};
use super::wakes::StopWish;
use super::{Lag, Place, Reactor, State};

/// Turns of accepting in which a drain empties the backlog: more than any backlog holds at the default batch.
const BACKLOG_BATCHES_MAX: u32 = 1024;

/// What a server did, told at its end and on SIGUSR1.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Clients accepted.
    pub accepted: u64,
    /// Clients open now.
    pub open: usize,
    /// Accepts that failed: clients lost in the queue, and attempts without descriptors.
    pub accept_errors: u64,
    /// Ends by reason.
    pub counters: Counters,
    /// Clients cut by the drain's deadline or a second signal.
    pub cut: u64,
    /// How long turns took, where there is a loop.
    pub lag: Option<Lag>,
}

impl Summary {
    /// Of a server without a loop in this process: what its `Telemetry`, or those of its workers, counted.
    pub(crate) fn of_counters(counters: Counters) -> Self {
        let Counters { accepted, accept_errors, .. } = counters;
        let (open, cut) = (counters.open() as usize, counters.of(Reason::DrainCut));
        Summary { accepted, open, accept_errors, counters, cut, lag: None }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { accepted, open, accept_errors, counters, cut, lag } = self;
        write!(
            f,
            "accepted={accepted} open={open} accept-errors={accept_errors} cut={cut} ended: {counters}; {}",
            counters.traffic
        )?;
        match lag {
            Some(lag) => write!(f, "; lag p99<={}µs max={}µs", lag.p99().as_micros(), lag.max().as_micros()),
            None => Ok(()),
        }
    }
}

impl<S: Service> Reactor<S> {
    /// What has happened so far.
    pub fn summary(&self) -> Summary {
        Summary {
            accepted: self.telemetry.counters.accepted,
            open: self.clients.len(),
            accept_errors: self.telemetry.counters.accept_errors,
            counters: self.telemetry.counters.clone(),
            cut: self.cut,
            lag: Some(self.lag.clone()),
        }
    }

    /// Does what signals and handles ask for.
    pub(super) fn obey(&mut self, now: Now) {
        let mut wish = self.wish_seen;
        if self.signals_latched
            && let Some(signals) = &mut self.signals
        {
            self.signals_latched = false;
            let (arrived, fd) = (signals.take(), signals.as_raw_fd());
            self.renew(fd, Name::Signals);
            if arrived.reopen {
                self.telemetry.reopen_if_asked();
            }
            if arrived.report {
                log::info!("{}", self.summary());
            }
            let again = self.state != State::Serving || arrived.stops > 1;
            wish = match arrived.stops {
                0 => wish,
                _ if again => StopWish::Stop,
                _ => wish.max(StopWish::Drain),
            };
        }
        match (wish, self.state) {
            (StopWish::Stop, State::Serving | State::Draining { .. }) => self.stop(now),
            (StopWish::Drain, State::Serving) => self.drain(now),
            _ => {}
        }
    }

    /// Takes whoever waits in the backlog, closes the listeners (which resets whoever comes later), and has every client
    /// read once more. Listeners with somebody in the backlog for whom there is no place yet stay until there was.
    fn drain(&mut self, now: Now) {
        let due_ms = now.monotonic_ms + u64::from(self.limits.drain_ms);
        let drain = Duration::from_millis(self.limits.drain_ms.into());
        log::info!("draining: {} clients have {drain:?}", self.clients.len());
        self.state = State::Draining { due_ms };
        self.listeners.iter_mut().for_each(|listener| listener.backlog = Backlog::MayHold);
        for _ in 0..BACKLOG_BATCHES_MAX {
            if !self.wants_accept() {
                break;
            }
            self.accept(now);
        }
        if self.wants_accept() {
            self.close_listeners(); // more come than can be taken
        }
        self.close_empty_listeners();
        for (key, slot) in &mut self.clients {
            slot.connection.transport_mut().look_again();
            slot.place.enqueue(ConnId { slot: key as u32, generation: slot.generation }, &mut self.runnable);
        }
    }

    /// A drain needs the listeners no more once all that waited there have been taken.
    fn close_empty_listeners(&mut self) {
        if self.listeners.iter().all(|listener| listener.backlog == Backlog::Empty) {
            self.close_listeners();
        }
    }

    /// Takes them out of the poll, too: a listener of which a supervisor has a duplicate would go on to wake us, and poll(2)
    /// tells of a closed descriptor for ever.
    fn close_listeners(&mut self) {
        for slot in self.listeners.drain(..) {
            // It was registered, or else no loop would turn: nothing can be wrong with it.
            let _ = self.poll.registry().deregister(&mut SourceFd(&slot.listener.as_raw_fd()));
        }
    }

    /// Ends a drain: when all clients have ended and nobody waits to get in, or at its deadline.
    pub(super) fn end_drain(&mut self, now: Now) {
        let State::Draining { due_ms } = self.state else { return };
        self.close_empty_listeners();
        let all_done = self.clients.is_empty() && self.listeners.is_empty();
        if all_done || due_ms <= now.monotonic_ms {
            self.stop(now);
        }
    }

    fn stop(&mut self, now: Now) {
        self.close_listeners();
        self.cut_all(now);
        self.state = State::Stopped;
        self.telemetry.flush();
    }

    /// Cuts every client. One whose bytes were all sent, and that only lingers, loses nothing: it keeps its reason.
    pub(super) fn cut_all(&mut self, now: Now) {
        let keys: Vec<usize> = self.clients.iter().map(|(key, _)| key).collect();
        for key in keys {
            let reason = match (self.clients[key].place, self.clients[key].connection.lingers_for()) {
                (Place::Ended(reason), _) | (_, Some(reason)) => reason,
                _ => Reason::DrainCut,
            };
            let mut ctx = self.context(key, now);
            ctx.slot.connection.cut(reason, &mut ctx.context);
            debug_assert_eq!(ctx.slot.connection.deadline_ms(), NEVER_MS);
            self.free(key, reason, now);
        }
    }
}
