//! The worker of the blocking models: it serves one client at a time.
//!
//! A request costs one blocking read and one write. A blocked call returns after a time slice at the latest,
//! or when a signal interrupts it; then the worker checks the client's deadline and the signals, and goes on.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::admission::{
    AcceptOutcome, Accepted, Admission, BufferShare, ListenerService, SharedBuffers, SocketMode, unserved,
};
use crate::connection::{Blocking, Connection, Context, Mode, Pumped, Scratch, TimeSource, TurnBudget};
use crate::limits::Limits;
use crate::reactor::Summary;
use crate::session::{Maintenance, Service, WakeTarget, Waker};
use crate::sys::process::{must_ask_for_parent, parent_lives};
use crate::sys::stream::Stream;
use crate::sys::{Listener, SignalCounts, wait};
use crate::telemetry::{self, Reason, Telemetry};
use crate::time::ServerClock;

/// The longest time for which a call blocks before signals are checked, in models that interrupt their
/// workers.
pub(super) const SLICE_MS: u64 = 1_000;
/// The same where no other process or thread interrupts the worker: a signal may come just before the call.
pub(super) const SLICE_ALONE_MS: u64 = 200;
/// How often blocked workers are interrupted until each has noticed that it is to stop, in ms.
pub(super) const INTERRUPT_EVERY_MS: u64 = 20;

/// A process or thread that serves one client at a time. A worker that is the whole server calls `H` when a
/// stop begins.
pub(super) struct Worker<S, H = fn()> {
    /// The services whose maintenance it does.
    services: Vec<S>,
    maintenance: Maintenance,
    limits: Limits,
    clock: ServerClock,
    scratch: Scratch,
    pub(super) telemetry: Telemetry,
    signals: SignalCounts,
    admission: Admission,
    slice_ms: u64,
    stop_state: StopState,
    /// The process whose end is to be looked for, where the system does not report it.
    parent: Option<u32>,
    /// The buffers of all workers of this process, if there are several.
    buffers: Option<Arc<SharedBuffers>>,
    /// Whether it may be killed while it serves a client.
    is_child: bool,
    alone: Option<Alone<H>>,
}

/// What a worker that is the whole server does besides serving.
struct Alone<H> {
    /// How many reports were asked for and given.
    reports: u32,
    /// Called when a stop begins.
    at_stop: H,
}

/// Whether a worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopState {
    Serving,
    Draining {
        due_ms: u64,
    },
    /// The drain's deadline has passed, or a second signal came.
    Over,
}

impl<S: Service> Worker<S> {
    pub(super) fn new(
        services: Vec<S>,
        limits: &Limits,
        clock: ServerClock,
        telemetry: Telemetry,
        signals: SignalCounts,
        slice_ms: u64,
    ) -> Self {
        Worker {
            services,
            maintenance: Maintenance::default(),
            scratch: Scratch::new(limits),
            limits: limits.clone(),
            clock,
            telemetry,
            signals,
            admission: Admission::new(limits, u32::MAX),
            slice_ms,
            stop_state: StopState::Serving,
            parent: None,
            buffers: None,
            is_child: false,
            alone: None,
        }
    }

    /// The same as the whole server: it logs its counters on request, and calls `at_stop` once.
    pub(super) fn alone<H: FnMut()>(self, at_stop: H) -> Worker<S, H> {
        let Worker { services, maintenance, limits, clock, scratch, telemetry, admission, .. } = self;
        let Worker { signals, slice_ms, stop_state, parent, is_child, .. } = self;
        let alone = Some(Alone { reports: signals.reports(), at_stop });
        Worker {
            services,
            maintenance,
            limits,
            clock,
            scratch,
            telemetry,
            signals,
            admission,
            slice_ms,
            stop_state,
            parent,
            buffers: None,
            is_child,
            alone,
        }
    }

    /// The same as one of several workers in this process.
    pub(super) fn beside_others(self, buffers: &Arc<SharedBuffers>) -> Self {
        Worker { buffers: Some(Arc::clone(buffers)), ..self }
    }

    /// The same in a child: it drains when its parent is gone.
    pub(super) fn of_parent(self, parent: u32) -> Self {
        Worker { parent: must_ask_for_parent().then_some(parent), is_child: true, ..self }
    }
}

impl<S: Service, H: FnMut()> Worker<S, H> {
    /// Whether it is to wait for no further client.
    pub(super) fn is_stopping(&mut self) -> bool {
        self.check_signals();
        self.stop_state != StopState::Serving
    }

    /// Whether it is to end at once, even if clients wait in the backlog.
    pub(super) fn is_over(&mut self) -> bool {
        self.check_signals();
        self.stop_state == StopState::Over
    }

    fn check_signals(&mut self) {
        let now = self.clock.now();
        let now_ms = now.monotonic_ms;
        let orphan = self.parent.is_some_and(|parent| !parent_lives(parent));
        let stops = self.signals.stops().max(u32::from(orphan));
        let before = self.stop_state;
        self.stop_state = match (before, stops) {
            (state, 0) => state,
            (StopState::Serving, 1) => {
                StopState::Draining { due_ms: now_ms + u64::from(self.limits.drain_ms) }
            }
            (StopState::Draining { due_ms }, 1) if now_ms < due_ms => StopState::Draining { due_ms },
            _ => StopState::Over,
        };
        self.telemetry.tick(now_ms);
        self.maintenance.run_due(&self.services, now);
        let Some(alone) = &mut self.alone else { return };
        if before == StopState::Serving && self.stop_state != StopState::Serving {
            (alone.at_stop)();
        }
        let asked = self.signals.reports();
        if alone.reports != asked {
            alone.reports = asked;
            log::info!("{}", Summary::of_counters(self.telemetry.counters.clone()));
        }
    }

    /// How long a wait for the next client may last, so that telemetry and services do what is due in time.
    pub(super) fn wait_max(&self) -> Option<Duration> {
        let now = self.clock.now();
        let telemetry = self.telemetry.due_ms();
        let telemetry =
            telemetry.map(|due_ms| Duration::from_millis(due_ms.saturating_sub(now.monotonic_ms)));
        telemetry.into_iter().chain(self.maintenance.due_in(&self.services, now)).min()
    }

    /// Accepts the next client. Its socket blocks.
    pub(super) fn accept(&mut self, listener: &Listener) -> AcceptOutcome {
        let clock = self.clock;
        let now_ms = || clock.now().monotonic_ms;
        self.admission.tick(now_ms()); // the pause was waited for
        self.admission.accept(listener, SocketMode::Blocking, &mut self.telemetry, now_ms)
    }

    /// How long accepting pauses from now on.
    pub(super) fn accept_pause(&self) -> Option<Duration> {
        let until_ms = self.admission.resumes_at_ms()?;
        Some(Duration::from_millis(until_ms.saturating_sub(self.clock.now().monotonic_ms)))
    }

    /// Serves one client to its end. Its socket blocks.
    pub(super) fn serve(&mut self, served: &ListenerService<S>, accepted: Accepted) -> Reason {
        let Accepted { fd, peer } = accepted;
        let clock = self.clock;
        let opened = clock.now();
        telemetry::accepted(peer);
        let pipe = match served.service.wakes().then(WakePipe::new).transpose() {
            Ok(pipe) => pipe,
            Err(error) => {
                log::warn!("{peer}: cannot create a pipe for its wakers: {error}");
                self.telemetry.ended(&unserved(Reason::Failed, peer));
                return Reason::Failed;
            }
        };
        let stream = Stream::new(fd);
        let transport = if self.is_child { Blocking::reset_if_killed(stream) } else { Blocking::new(stream) };
        let mut connection =
            Connection::accepted(transport, served.layers.make(), peer, opened, &self.limits);
        let reason = self.serve_connection(&mut connection, served, pipe.as_ref());
        let end = connection.end(reason, clock.now());
        drop(connection); // the client does not wait for the log
        self.telemetry.ended(&end);
        // The wait for the next client may be long, and nothing writes the access log meanwhile.
        self.telemetry.flush();
        reason
    }

    /// Pumps a connection until it has ended. Bound: its deadlines, and that of the drain.
    fn serve_connection(
        &mut self,
        connection: &mut Connection<S::Session, Blocking>,
        served: &ListenerService<S>,
        pipe: Option<&WakePipe>,
    ) -> Reason {
        let clock = self.clock;
        let waker = pipe.map(WakePipe::waker);
        let live = || clock.now();
        let mut socket_timeouts = Timeouts::default();
        let mut held = BufferShare::of(self.buffers.as_ref());
        // A drain calls a session that pauses before it goes on to wait.
        let mut pumped_serving = true;
        loop {
            self.check_signals();
            let now_ms = clock.now().monotonic_ms;
            let left_ms = connection.deadline_ms().saturating_sub(now_ms).min(self.slice_ms).max(1);
            let serving = self.stop_state == StopState::Serving;
            let is_due = connection.deadline_ms() <= now_ms;
            if connection.waits_for_time() && !is_due {
                // A signal ends the wait, as does an error of poll(2).
                let _ = wait::readable(&[], Some(Duration::from_millis(left_ms)));
            }
            let wait_ms = match (serving, connection.is_paused()) {
                (_, true) if serving == pumped_serving => left_ms,
                (true, false) if connection.is_reading() && !connection.has_input() => left_ms,
                _ => 0,
            };
            pumped_serving = serving;
            let bytes_may_come = match pipe {
                Some(pipe) if !is_due => pipe.wait(connection, wait_ms) || !serving || connection.has_input(),
                None if connection.is_paused() && !is_due => {
                    let (stream, wait) =
                        (connection.transport().stream().as_fd(), Duration::from_millis(wait_ms));
                    let _ = wait::readable_or_failed(stream, &[], wait);
                    false
                }
                _ => true,
            };
            // A state that is entered in this pump has its own deadline: its read waits for the next round.
            let reads = u32::from(bytes_may_come && connection.is_reading());
            let mut context = Context {
                clock: TimeSource::Live(&live),
                limits: &self.limits,
                timeouts: served.timeouts,
                scratch: &mut self.scratch,
                telemetry: &mut self.telemetry,
                mode: if serving { Mode::Serving } else { Mode::Draining },
            };
            let mut pumped = if self.stop_state == StopState::Over {
                let reason = connection.lingers_for().unwrap_or(Reason::DrainCut);
                connection.cut(reason, &mut context);
                Pumped::Ended(reason)
            } else if is_due {
                connection.expire(&mut context, TurnBudget::of_turn(&self.limits))
            } else {
                match socket_timeouts.set(connection, left_ms) {
                    Ok(()) => connection
                        .pump(&mut context, TurnBudget { reads, ..TurnBudget::of_call(&self.limits) }),
                    Err(error) => {
                        log::debug!("{}: no timeout: {error}", connection.peer());
                        connection.cut(Reason::Failed, &mut context);
                        Pumped::Ended(Reason::Failed)
                    }
                }
            };
            if pumped == Pumped::Established {
                // The client has this process or thread for itself: slow work may hold it up.
                if !served.open(connection, waker.as_ref(), None) {
                    connection.cut(Reason::Panicked, &mut context);
                    return Reason::Panicked;
                }
                let budget = TurnBudget { reads: 0, ..TurnBudget::of_call(&self.limits) };
                pumped = connection.pump(&mut context, budget);
            }
            if let Pumped::Ended(reason) = pumped {
                return reason;
            }
            if held.set(connection.memory_bytes()) {
                connection.cut(Reason::BuffersFull, &mut context);
                return Reason::BuffersFull;
            }
        }
    }
}

/// The timeouts of a socket, set only when they change: in steady state a request costs no call for them.
#[derive(Debug, Default)]
struct Timeouts {
    read_ms: u64,
    write_ms: u64,
}

impl Timeouts {
    fn set<S: crate::session::Session>(
        &mut self,
        connection: &Connection<S, Blocking>,
        left_ms: u64,
    ) -> io::Result<()> {
        let stream = connection.transport().stream();
        let timeout = Some(Duration::from_millis(left_ms));
        let may_write = connection.is_flushing() || connection.is_handshaking();
        if self.write_ms == 0 || (may_write && self.write_ms != left_ms) {
            stream.set_write_timeout(timeout)?;
            self.write_ms = left_ms;
        }
        if self.read_ms == 0 || (!connection.is_flushing() && self.read_ms != left_ms) {
            stream.set_read_timeout(timeout)?;
            self.read_ms = left_ms;
        }
        Ok(())
    }
}

/// Wakes for a client whose thread may be blocked: a pipe beside its socket.
struct WakePipe {
    read: UnixStream,
    shared: Arc<WakePipeEnd>,
}

struct WakePipeEnd {
    write: UnixStream,
    /// A byte is on its way: further wakes are the same wake.
    pending: AtomicBool,
}

impl WakePipe {
    fn new() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        Ok(WakePipe { read, shared: Arc::new(WakePipeEnd { write, pending: AtomicBool::new(false) }) })
    }

    fn waker(&self) -> Waker {
        Waker::new(Arc::clone(&self.shared) as Arc<_>, 0)
    }

    /// Waits for wakes, and for bytes unless the connection pauses; passes wakes on. Returns whether bytes
    /// have come: a read without any would sleep through a wake.
    fn wait<S: crate::session::Session>(
        &self,
        connection: &mut Connection<S, Blocking>,
        wait_ms: u64,
    ) -> bool {
        // A handshake may have to write first, and there is no session yet to be woken.
        if connection.is_handshaking() {
            return true;
        }
        let (stream, wait) = (connection.transport().stream().as_fd(), Duration::from_millis(wait_ms));
        let ready = if connection.is_paused() {
            wait::readable_or_failed(stream, &[self.read.as_fd()], wait)
        } else {
            wait::readable(&[self.read.as_fd(), stream], Some(wait))
        };
        let ready = ready.unwrap_or_default();
        if ready.first() == Some(&true) {
            self.clear();
            connection.wake();
        }
        ready.get(1) == Some(&true)
    }

    /// Empties the pipe. The session is to be called after it: a wake before the end of this need not write a
    /// byte.
    fn clear(&self) {
        self.clear_by(|mut pipe| pipe.read(&mut [0; 64]));
    }

    /// The byte is read before the mark is cleared. In the other order a wake between the two would lose its
    /// byte to the read and leave the mark, and no later wake would write one.
    fn clear_by(&self, read: impl FnOnce(&UnixStream) -> io::Result<usize>) {
        let _ = read(&self.read); // at most one byte is there; none is as good
        self.shared.pending.swap(false, Ordering::SeqCst);
    }
}

impl WakeTarget for WakePipeEnd {
    fn wake(&self, _client: u64) {
        if !self.pending.swap(true, Ordering::SeqCst) {
            // It fails when the client has ended, or when the pipe is full of wakes: both are as good.
            let _ = (&self.write).write(&[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_while_the_pipe_is_emptied_does_not_silence_later_ones() {
        let pipe = WakePipe::new().unwrap();
        let waker = pipe.waker();
        let is_readable = || wait::readable(&[pipe.read.as_fd()], Some(Duration::ZERO)).unwrap()[0];
        waker.wake();
        pipe.clear_by(|mut read| {
            waker.wake();
            read.read(&mut [0; 64])
        });
        assert!(!is_readable());
        waker.wake();
        assert!(is_readable());
    }
}
