//! The worker of the blocking models: it serves one client at a time.
//!
//! A request costs one blocking read and one write, and no timer: a read has no timeout. When something is
//! due, or a signal has come, a signal interrupts the blocked call; then the worker checks the client's
//! deadline and the signals, and goes on. A process with one thread has a timer for this, which is set when
//! it would be too late, and not for each client ([`Interrupter::Timer`]). Threads are interrupted by the
//! first one.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::admission::{Accepted, BufferShare, ListenerService, SharedBuffers, unserved};
use crate::connection::{
    Blocking, Connection, Context, Mode, NEVER_MS, Pumped, Scratch, TimeSource, TurnBudget,
};
use crate::limits::Limits;
use crate::reactor::Summary;
use crate::session::{Maintenance, Now, Service, WakeTarget, Waker};
use crate::sys::process::{must_ask_for_parent, parent_lives};
use crate::sys::stream::Stream;
use crate::sys::{SignalCounts, signals, wait};
use crate::telemetry::{Begin, Reason, Telemetry};
use crate::time::{CallClock, LiveTime};

use super::BoundListener;

/// The longest time for which a write blocks, and a read of a worker that has to look for something that no
/// signal reports, in ms.
pub(super) const SLICE_MS: u64 = 1_000;
/// How often blocked workers are interrupted until each has noticed that it is to stop, or that something is
/// due, in ms.
pub(super) const INTERRUPT_EVERY_MS: u32 = 20;

/// The stack of a thread that serves clients. It becomes memory as it is used; half of what std gives, so
/// that the system's library keeps more of them for the next clients.
pub(super) const STACK_BYTES: usize = 1 << 20;

/// A process or thread that serves one client at a time. A worker that is the whole server calls `H` when a
/// stop begins.
pub(super) struct Worker<'a, S, H = fn()> {
    /// The services whose maintenance it does.
    services: Services<S>,
    maintenance: Maintenance,
    limits: Limits,
    pub(super) clock: CallClock,
    scratch: Scratch,
    pub(super) telemetry: Telemetry,
    signals: SignalCounts,
    /// How many signals had come at the last look.
    events_seen: u32,
    interrupter: Interrupter<'a>,
    stop_state: StopState,
    /// The parent, whose end is polled where the system does not report it.
    parent: Option<u32>,
    /// The buffers of all workers of this process, if there are several.
    buffers: Option<Arc<SharedBuffers>>,
    /// Whether it may be killed while it serves a client.
    is_child: bool,
    alone: Option<SoleWorker<H>>,
}

/// The services of all listeners. Usually there is one, which is stored without an allocation.
pub(super) struct Services<S> {
    first: S,
    others: Vec<S>,
}

impl<S: Clone> Services<S> {
    pub(super) fn one(first: S) -> Self {
        Services { first, others: Vec::new() }
    }

    /// The services of these listeners, at least one.
    pub(super) fn of(listeners: &[BoundListener<S>]) -> Self {
        let service = |listener: &BoundListener<S>| listener.served.service.clone();
        Services { first: service(&listeners[0]), others: listeners[1..].iter().map(service).collect() }
    }

    fn iter(&self) -> impl Iterator<Item = &S> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// What a worker that is the whole server does besides serving.
struct SoleWorker<H> {
    /// How many reports were asked for and given.
    reports: u32,
    /// Called when a stop begins.
    at_stop: H,
}

/// What interrupts the blocked calls of a worker when something is due.
pub(super) enum Interrupter<'a> {
    /// The timer of this process ([`signals::interrupt_after`]), which goes off at `set_to_ms`; [`NEVER_MS`]
    /// if it is not set.
    Timer { set_to_ms: u64 },
    /// The first thread: it was given this time.
    Thread { interrupt_at: &'a dyn Fn(u64), set_to_ms: u64 },
    /// Nothing: the system denies the timer. A read is preceded by a wait with a timeout.
    Nothing,
}

impl<'a> Interrupter<'a> {
    /// The timer of a process with one thread.
    pub(super) const TIMER: Interrupter<'static> = Interrupter::Timer { set_to_ms: NEVER_MS };

    /// The first thread, which is given the time by this.
    pub(super) fn thread(interrupt_at: &'a dyn Fn(u64)) -> Self {
        Interrupter::Thread { interrupt_at, set_to_ms: NEVER_MS }
    }

    /// Interrupts blocked calls at `due_ms` at the latest, and repeatedly from then on. Returns whether the
    /// timer was set. A timer that expires earlier is left as it is: the caller then calls this again, so
    /// that in steady state no timer is set.
    #[inline]
    fn set(&mut self, due_ms: u64, now_ms: u64) -> bool {
        match self {
            Interrupter::Timer { set_to_ms } | Interrupter::Thread { set_to_ms, .. }
                if now_ms < *set_to_ms && *set_to_ms <= due_ms =>
            {
                false
            }
            _ => self.set_anew(due_ms, now_ms),
        }
    }

    #[inline] // apart, it would be a page of the program that a child needs for nothing else
    fn set_anew(&mut self, due_ms: u64, now_ms: u64) -> bool {
        match self {
            Interrupter::Timer { set_to_ms } => {
                let set = if due_ms == NEVER_MS {
                    signals::interrupt_no_more()
                } else {
                    signals::interrupt_after(due_ms.saturating_sub(now_ms), INTERRUPT_EVERY_MS)
                };
                match set {
                    Ok(()) => *set_to_ms = due_ms,
                    Err(error) => {
                        log::debug!("setitimer(2) is not available ({error}); waiting before each read");
                        *self = Interrupter::Nothing;
                    }
                }
                true
            }
            Interrupter::Thread { interrupt_at, set_to_ms } => {
                interrupt_at(due_ms);
                *set_to_ms = due_ms;
                false
            }
            Interrupter::Nothing => false,
        }
    }

    /// A signal has come: its handler may have set the timer.
    fn was_set(&mut self) {
        if let Interrupter::Timer { set_to_ms } = self {
            *set_to_ms = 0;
        }
    }
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

impl<'a, S: Service> Worker<'a, S> {
    pub(super) fn new(
        services: Services<S>,
        limits: Limits,
        clock: CallClock,
        telemetry: Telemetry,
        signals: SignalCounts,
        interrupter: Interrupter<'a>,
    ) -> Self {
        Worker {
            services,
            maintenance: Maintenance::default(),
            scratch: Scratch::new(&limits),
            clock,
            telemetry,
            signals,
            events_seen: 0,
            limits,
            interrupter,
            stop_state: StopState::Serving,
            parent: None,
            buffers: None,
            is_child: false,
            alone: None,
        }
    }

    /// The same as the whole server: it logs its counters on request, and calls `at_stop` once.
    pub(super) fn alone<H: FnMut()>(self, at_stop: H) -> Worker<'a, S, H> {
        let Worker { services, maintenance, limits, clock, scratch, telemetry, .. } = self;
        let Worker { signals, events_seen, interrupter, stop_state, parent, is_child, .. } = self;
        // A report may have been asked for before: while the server started.
        let alone = Some(SoleWorker { reports: 0, at_stop });
        Worker {
            services,
            maintenance,
            limits,
            clock,
            scratch,
            telemetry,
            signals,
            events_seen,
            interrupter,
            stop_state,
            parent,
            buffers: None,
            is_child,
            alone,
        }
    }

    /// Counts the buffers of this worker together with those of the other workers of the process.
    pub(super) fn share_buffers(&mut self, buffers: Arc<SharedBuffers>) {
        self.buffers = Some(buffers);
    }

    /// Allocates before the fork what each child would otherwise allocate itself.
    pub(super) fn for_children(mut self) -> Self {
        self.scratch.reserve();
        Worker { is_child: true, ..self }
    }

    /// In a child: it drains when its parent is gone.
    pub(super) fn begin_child(&mut self, parent: u32) {
        self.parent = must_ask_for_parent().then_some(parent);
    }
}

impl<S: Service, H: FnMut()> Worker<'_, S, H> {
    /// Whether it should stop accepting clients.
    pub(super) fn is_stopping(&mut self) -> bool {
        self.check(self.clock.now());
        self.stop_state != StopState::Serving
    }

    /// Whether it is to end at once, even if clients wait in the backlog.
    pub(super) fn is_over(&mut self) -> bool {
        self.check(self.clock.now());
        self.stop_state == StopState::Over
    }

    /// Looks at its signals, and does what is due. Returns when a service is due again. A request passes it:
    /// it reads little memory while nothing has happened.
    #[inline]
    fn check(&mut self, now: Now) -> Option<u64> {
        // A signal is counted as an event after all else that its handler notes.
        let is_quiet = self.signals.events() == self.events_seen
            && self.stop_state == StopState::Serving
            && self.parent.is_none();
        if !is_quiet {
            self.check_signals(now.monotonic_ms);
        }
        self.telemetry.tick(now.monotonic_ms);
        self.maintenance.run(self.services.iter(), now)
    }

    #[cold]
    fn check_signals(&mut self, now_ms: u64) {
        let events = self.signals.events();
        if events != self.events_seen {
            self.events_seen = events;
            self.interrupter.was_set();
        }
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
        let Some(alone) = &mut self.alone else { return };
        if before == StopState::Serving && self.stop_state != StopState::Serving {
            (alone.at_stop)();
        }
        let asked = self.signals.reports();
        if alone.reports != asked {
            alone.reports = asked;
            self.report();
        }
    }

    /// A function of its own, so that its locals are on the stack only while it runs.
    #[cold]
    #[inline(never)]
    fn report(&self) {
        log::info!("{}", Summary::of_counters(self.telemetry.counters.clone()));
    }

    /// When a blocked call is to be interrupted, apart from the deadline of a client: something is due, or
    /// has to be looked for.
    fn due_ms(&self, now_ms: u64, looks: bool, services_due_ms: Option<u64>) -> u64 {
        let drain_ms = match self.stop_state {
            StopState::Draining { due_ms } => due_ms,
            StopState::Serving | StopState::Over => NEVER_MS,
        };
        let looks = looks || self.parent.is_some();
        let look_ms = if looks { now_ms + SLICE_MS } else { NEVER_MS };
        let due = self.telemetry.due_ms().into_iter().chain(services_due_ms);
        due.fold(drain_ms.min(look_ms), u64::min)
    }

    /// The same while no client is served.
    fn due_between_clients_ms(&self, now_ms: u64) -> u64 {
        self.due_ms(now_ms, false, self.maintenance.due_ms(self.services.iter()))
    }

    /// Has a blocked call interrupted no later than `due_ms`. Returns `false` if a signal has come meanwhile,
    /// which is to be looked at first.
    fn interrupt_at(&mut self, due_ms: u64, now_ms: u64) -> bool {
        // The timer of a handler that came after the last look is overwritten.
        !self.interrupter.set(due_ms, now_ms) || self.signals.events() == self.events_seen
    }

    /// Readies it to block in accept(2). Returns `false` if it is to look at its signals first.
    pub(super) fn may_block(&mut self) -> bool {
        let now_ms = self.clock.now_ms();
        let due_ms = self.due_between_clients_ms(now_ms);
        self.interrupt_at(due_ms, now_ms)
    }

    /// When its services and telemetry have something to do; [`NEVER_MS`] if they have nothing.
    pub(super) fn next_due_ms(&self) -> u64 {
        self.due_between_clients_ms(self.clock.now_ms())
    }

    /// How long a wait for the next client may last.
    pub(super) fn wait_max(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        let due_ms = self.due_between_clients_ms(now_ms);
        (due_ms != NEVER_MS).then(|| Duration::from_millis(due_ms.saturating_sub(now_ms)))
    }

    /// Serves one client to its end. Its socket blocks.
    pub(super) fn serve(&mut self, served: &ListenerService<S>, accepted: Accepted) -> Reason {
        let Accepted { fd, peer } = accepted;
        let time = LiveTime::of(self.clock);
        self.telemetry.began(&Begin { peer, slot: None });
        let pipe = match served.service.wakes().then(WakePipe::new).transpose() {
            Ok(pipe) => pipe,
            Err(error) => {
                log::warn!("{peer}: cannot create a pipe for its wakers: {error}");
                self.telemetry.ended(&unserved(Reason::Failed, peer));
                return Reason::Failed;
            }
        };
        let stream = Stream::new(fd);
        if !served.are_sockets_set
            && let Err(error) = stream.set_write_timeout(Some(Duration::from_millis(SLICE_MS)))
        {
            // A timer interrupts a write that blocks. Without that, too, the client could keep its worker.
            if matches!(self.interrupter, Interrupter::Nothing) {
                log::warn!("{peer}: not served: setsockopt(2) and setitimer(2) are denied ({error})");
                self.telemetry.ended(&unserved(Reason::Failed, peer));
                return Reason::Failed;
            }
            log::debug!("{peer}: no timeout of writes ({error}); the timer alone ends them");
        }
        if self.is_child && !served.are_sockets_set {
            stream.reset_at_close(true);
        }
        let transport = if self.is_child { Blocking::reset_if_killed(stream) } else { Blocking::new(stream) };
        let mut connection =
            Connection::accepted(transport, served.layers.make(), peer, time.now(), &self.limits);
        let reason = self.serve_connection(&mut connection, served, pipe.as_ref(), &time);
        let end = connection.end(reason, time.now());
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
        time: &LiveTime,
    ) -> Reason {
        let (waker, timeouts) = (pipe.map(WakePipe::waker), served.timeouts);
        let mut held = BufferShare::of(self.buffers.as_ref());
        // In a drain a paused session is called before the next wait.
        let mut pumped_serving = true;
        loop {
            let now = time.now();
            let now_ms = now.monotonic_ms;
            let services_due_ms = self.check(now);
            let is_due = connection.deadline_ms() <= now_ms;
            // A read for the rest of what a layer holds blocks, and no wake interrupts it.
            // The scratch buffers are not in the sum: many threads would have as much again.
            let may_shrink = held.is_bounded() && self.scratch.is_large();
            let looks = held.is_counted() || may_shrink || (pipe.is_some() && connection.has_input());
            let due_ms = self.due_ms(now_ms, looks, services_due_ms).min(connection.deadline_ms());
            if !self.interrupt_at(due_ms, now_ms) {
                time.passed();
                continue;
            }
            let left_ms = due_ms.saturating_sub(now_ms).max(1);
            let serving = self.stop_state == StopState::Serving;
            let mut context = Context {
                clock: TimeSource::Live(time),
                limits: &self.limits,
                timeouts,
                scratch: &mut self.scratch,
                telemetry: &mut self.telemetry,
                mode: if serving { Mode::Serving } else { Mode::Draining },
            };
            if connection.waits_for_time() && !is_due {
                // A signal ends the wait, as does an error of poll(2).
                let _ = wait::readable([], Some(Duration::from_millis(left_ms)));
                time.passed();
            }
            let wait_ms = match (serving, connection.is_paused()) {
                (_, true) if serving == pumped_serving => left_ms,
                (true, false) if connection.is_reading() && !connection.has_input() => left_ms,
                _ => 0,
            };
            pumped_serving = serving;
            let bytes_may_come = match pipe {
                Some(pipe) if !is_due => {
                    let came = pipe.wait(connection, wait_ms);
                    time.passed();
                    came || !serving || connection.has_input()
                }
                None if connection.is_paused() && !is_due => {
                    let (stream, wait) =
                        (connection.transport().stream().as_fd(), Duration::from_millis(wait_ms));
                    let _ = wait::readable_or_failed(stream, [], wait);
                    time.passed();
                    false
                }
                None if matches!(self.interrupter, Interrupter::Nothing) && wait_ms > 0 => {
                    let stream = connection.transport().stream().as_fd();
                    let wait = Duration::from_millis(wait_ms.min(SLICE_MS));
                    let came = wait::readable([stream], Some(wait));
                    time.passed();
                    came.is_ok_and(|ready| ready.any())
                }
                _ => true,
            };
            // A state that is entered in this pump has its own deadline: its read waits for the next round.
            let reads = u32::from(bytes_may_come && connection.is_reading());
            let before_bytes = connection.moved_bytes();
            let mut pumped = if self.stop_state == StopState::Over {
                let reason = connection.lingers_for().unwrap_or(Reason::DrainCut);
                connection.cut(reason, &mut context);
                Pumped::Ended(reason)
            } else if is_due {
                connection.expire(&mut context, TurnBudget::of_turn(&self.limits))
            } else {
                connection.pump(&mut context, TurnBudget { reads, ..TurnBudget::of_call(&self.limits) })
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
            let is_silent = connection.moved_bytes() == before_bytes;
            if held.is_bounded() && (connection.is_flushing() || (may_shrink && is_silent)) {
                context.scratch.shrink();
            }
            if held.is_bounded() && held.set(connection.memory_bytes()) {
                connection.cut(Reason::BuffersFull, &mut context);
                return Reason::BuffersFull;
            }
        }
    }
}

/// Wakes a client whose thread may be blocked: a pipe that is polled with its socket.
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
            wait::readable_or_failed(stream, [self.read.as_fd()], wait)
        } else {
            wait::readable([self.read.as_fd(), stream], Some(wait))
        };
        let ready = ready.unwrap_or_default();
        if ready.is(0) {
            self.clear();
            connection.wake();
        }
        !connection.is_paused() && ready.is(1)
    }

    /// Empties the pipe. The session is to be called after it: a wake before the end of this need not write a
    /// byte.
    fn clear(&self) {
        self.clear_by(|mut pipe| pipe.read(&mut [0; 64]));
    }

    /// Read the byte before clearing the mark. In the opposite order, a wake between the two would set the
    /// mark and lose its byte to the read, and no later wake would write another byte.
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
        let is_readable = || wait::readable([pipe.read.as_fd()], Some(Duration::ZERO)).unwrap().is(0);
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
