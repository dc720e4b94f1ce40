//! Signals as readable events: the handlers only set bits and write a byte into a pipe.
//!
//! A process that waits in ppoll(2) needs no pipe ([`HeldSignals`]): signals are delivered only while it
//! waits. Neither does a process that blocks in other calls (accept(2), read(2)): after a signal, a timer
//! interrupts these calls until the process has noticed it.
//!
//! The handlers are installed without `SA_RESTART`, so that a signal also interrupts a blocked call
//! (signal(7)). Only what is async-signal-safe happens in them (signal-safety(7)), and `errno` is kept.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::terminal::{Terminal, terminal};
use super::wait::{self, ReadySet};

/// The signals that are read from the pipe.
const HANDLED: [Signal; 5] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD];
/// Interrupts a blocked call of one thread, and does nothing else.
pub(super) const INTERRUPT: Signal = Signal::SIGUSR2;
/// Interrupts a blocked call of a process with one thread: the signal of `ITIMER_REAL` (setitimer(2)).
const TIMER: Signal = Signal::SIGALRM;
/// Ends a child at once. Only its parent sends this signal. SIGTERM is not enough: supervisors send it to
/// every process of a server (`KillMode=control-group`, systemd.kill(5)), and so do the parent and, when the
/// parent dies, the system. To a child all of these are one request to drain. No timer of this crate sends
/// SIGVTALRM.
pub(super) const CUT: Signal = Signal::SIGVTALRM;
/// Bytes read from the pipe at once.
const DRAIN_BYTES: usize = 256;
/// After this many waits in a row that ended with a ready descriptor, signals are checked for.
#[cfg(any(target_os = "linux", target_os = "android"))]
const READY_WAITS_MAX: u32 = 16;
/// How long a wait lasts at most where there is no ppoll(2), in ms.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SLICE_MS: u64 = 100;

/// The length of a mask of signals in calls of Linux (`_NSIG` bits); where it is another, such a call fails.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SIGNALS_BYTES: usize = 8;

/// Bits of [`SignalState::arrived`].
const REOPEN: u32 = 1;
const REPORT: u32 = 2;
const CHILD: u32 = 4;
const HANGUP: u32 = 8;

/// The only static that signal handlers change, because a handler takes no argument of ours. [`Signals`] owns
/// it; all other code reads it through [`SignalCounts`].
static SHARED: SignalState = SignalState::new();

/// The state shared by the handlers and the [`Signals`] of this process.
#[derive(Debug)]
struct SignalState {
    /// The pipe into which the handlers write; -1 while there is none.
    pipe: AtomicI32,
    /// Bits of what arrived and was not taken yet.
    arrived: AtomicU32,
    /// Requests to stop, since the signals were installed.
    stops: AtomicU32,
    /// Requests to open log files again, since the signals were installed.
    reopens: AtomicU32,
    /// Requests to report the counters, since the signals were installed.
    reports: AtomicU32,
    /// All signals since they were installed.
    events: AtomicU32,
    /// The thread in which signals are held ([`HeldSignals`]); 0 if there is none.
    holder: AtomicUsize,
    /// Whether this process was forked by a parent that controls it: SIGTERM means to drain, however often it
    /// comes.
    is_child: AtomicBool,
    /// In a process that is blocked in system calls: the period in ms with which it interrupts itself after a
    /// signal. 0 in others.
    interrupt_every_ms: AtomicU32,
    /// Whether this process ends when its terminal closes: it has no log that SIGHUP opens again.
    ends_with_terminal: AtomicBool,
    /// Whether this process had a controlling terminal when signals were installed.
    had_terminal: AtomicBool,
    /// Handlers at work: the pipe is closed only when there is none.
    handlers: AtomicU32,
}

/// The numbers of signals since they were installed: for code between two blocking calls, in any thread. In a
/// child, requests to stop are counted from its fork on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalCounts {
    shared: &'static SignalState,
}

impl SignalCounts {
    /// Requests to stop: SIGTERM, SIGINT, and SIGHUP when the terminal closes.
    pub(crate) fn stops(self) -> u32 {
        self.shared.stops.load(SeqCst)
    }

    /// Requests to open log files again: SIGHUP.
    pub(crate) fn reopens(self) -> u32 {
        self.shared.reopens.load(SeqCst)
    }

    /// Requests to report the counters: SIGUSR1.
    pub(crate) fn reports(self) -> u32 {
        self.shared.reports.load(SeqCst)
    }

    /// The number of signals so far. If it has changed, a signal has come.
    pub(crate) fn events(self) -> u32 {
        self.shared.events.load(SeqCst)
    }
}

/// The signals of this process: there is one such value at a time.
#[derive(Debug)]
pub struct Signals {
    // Dropped first, so that no handler writes into the pipe any more.
    state: SignalsSeen,
    pipe: Pipe,
}

/// Signals that are delivered only during [`HeldSignals::wait`]: they are blocked in the owning thread and in
/// the threads it starts. Without ppoll(2) they arrive through the pipe.
#[derive(Debug)]
pub(crate) struct HeldSignals {
    /// The signal mask during a wait and after the end. Dropped first, while the handlers are still
    /// installed.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    while_waiting: BlockedSignals,
    state: SignalsSeen,
    /// Whether the ends of children come, too.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    child_ends: ChildEnds,
    /// Waits in a row that ended because a descriptor was ready.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    ready_waits: u32,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    is_ppoll_refused: bool,
    /// `None` in a child.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pipe: Option<Pipe>,
}

/// Whether SIGCHLD ends a wait of [`HeldSignals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnds {
    Come,
    /// With ppoll(2) the signal stays pending until a wait lets it through.
    Stay,
}

/// Signals of a process with one thread that serves with blocking calls. After a signal, a timer interrupts
/// these calls until the process sets it again.
#[derive(Debug)]
pub(crate) struct LoneSignals {
    state: SignalsSeen,
}

/// Both ends of the pipe into which the handlers write.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// The signals that were already taken.
#[derive(Debug)]
struct SignalsSeen {
    stops_taken: u32,
    at_end: AtEnd,
    hangup: Hangup,
}

/// The meaning of SIGHUP to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hangup {
    /// It was ignored when this process was started (nohup(1)), and still is.
    Ignored,
    /// A closed terminal drains. There is no log to reopen.
    Drains,
    /// The terminal has closed, and the drain has begun. At the end SIGHUP is ignored: the shell may send its
    /// own late, and it must not interrupt the last actions of the program.
    TerminalClosed,
    /// The log is opened again. `was_ignored` is restored at the end.
    Reopens { was_ignored: bool },
}

/// What happens to the handlers when [`Signals`] is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtEnd {
    /// Signals have their default effect again: the process continues without handlers.
    Restore,
    /// They stay: the process is about to end, and a signal that comes meanwhile must not end it in another
    /// way.
    Stay,
}

/// The signals that arrived since the last check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArrivedSignals {
    /// How often to stop (SIGTERM, SIGINT, and SIGHUP when the terminal closes): the first drains, one more
    /// ends at once. A closed terminal is never the second.
    pub(crate) stops: u32,
    /// Whether to open log files again (SIGHUP).
    pub(crate) reopen: bool,
    /// Whether to report the counters (SIGUSR1).
    pub(crate) report: bool,
    /// Whether a child has ended (SIGCHLD).
    pub(crate) child: bool,
}

impl Signals {
    /// Installs the handlers of SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD, the interruption of threads
    /// (`interrupt`), and ignores SIGPIPE and SIGXFSZ: a write to a pipe without a
    /// reader, or beyond the limit of the file size (setrlimit(2)), fails with an error instead.
    ///
    /// An error of kind `AlreadyExists` if another `Signals` exists.
    ///
    /// Inherited settings do not matter, with one exception. The mask of the calling thread becomes empty,
    /// because a process whose starter had blocked SIGTERM and SIGCHLD could neither be stopped nor reap its
    /// children. SIGHUP stays ignored if it was (nohup(1)), until [`Signals::reopen_on_hangup`].
    ///
    /// When the controlling terminal closes, SIGHUP means to drain, and is ignored once this is dropped: a
    /// shell that ends sends one of its own. Otherwise it asks to open log files again.
    pub fn install() -> io::Result<Self> {
        let pipe = Pipe::open()?;
        if SHARED.pipe.compare_exchange(-1, pipe.write.as_raw_fd(), SeqCst, SeqCst).is_err() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "signal handlers are already installed",
            ));
        }
        for count in [&SHARED.arrived, &SHARED.stops, &SHARED.reopens, &SHARED.reports, &SHARED.events] {
            count.store(0, SeqCst);
        }
        let hangup = if is_ignored(Signal::SIGHUP)? { Hangup::Ignored } else { Hangup::Drains };
        let signals = Signals { state: SignalsSeen { stops_taken: 0, at_end: AtEnd::Restore, hangup }, pipe };
        SHARED.had_terminal.store(terminal() == Terminal::Open, SeqCst);
        SHARED.ends_with_terminal.store(hangup == Hangup::Drains, SeqCst);
        for signal in HANDLED {
            match (signal, hangup) {
                (Signal::SIGHUP, Hangup::Ignored) => {}
                (Signal::SIGHUP, _) => set_hangup()?,
                _ => set(signal, SigHandler::Handler(on_signal))?,
            }
        }
        set(INTERRUPT, SigHandler::Handler(on_interrupt))?;
        set(Signal::SIGPIPE, SigHandler::SigIgn)?;
        ignore_file_limit()?;
        // After the handlers are installed: a signal that the inherited mask blocked comes now.
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(signals)
    }

    /// How often signals have asked for something.
    pub(crate) fn counts(&self) -> SignalCounts {
        self.state.counts()
    }

    /// From now on SIGHUP reopens log files, even if it was inherited as ignored: such a process outlives its
    /// terminal.
    pub fn reopen_on_hangup(&mut self) -> io::Result<()> {
        let SignalsSeen { hangup, .. } = &mut self.state;
        if !matches!(hangup, Hangup::Reopens { .. }) {
            SHARED.ends_with_terminal.store(false, SeqCst);
            set_hangup()?;
            *hangup = Hangup::Reopens { was_ignored: *hangup == Hangup::Ignored };
        }
        Ok(())
    }

    /// Keeps the handlers installed on drop: the program ends soon after, and until then no signal kills it.
    pub fn for_good(mut self) -> Self {
        self.state.at_end = AtEnd::Stay;
        self
    }

    /// For a process without parent or children that serves with blocking calls: after a signal, a timer
    /// interrupts its calls every `every_ms`, as in children.
    pub(crate) fn alone(self, every_ms: u32) -> io::Result<LoneSignals> {
        set(TIMER, SigHandler::Handler(on_interrupt))?;
        SHARED.interrupt_every_ms.store(every_ms, SeqCst);
        let Signals { state, pipe } = self;
        SHARED.release_pipe();
        drop(pipe);
        if state.has_untaken() {
            // It came before its handler knew of the timer.
            interrupt_after(every_ms.into(), every_ms)?;
        }
        Ok(LoneSignals { state })
    }

    /// For a process whose first thread waits for signals and descriptors without a poll of mio.
    pub(crate) fn hold(self) -> io::Result<HeldSignals> {
        // Inherited by children, which need both.
        set(TIMER, SigHandler::Handler(on_interrupt))?;
        set(CUT, SigHandler::Handler(on_signal))?;
        let Signals { state, pipe } = self;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            let while_waiting = block()?;
            // SAFETY: it has no conditions.
            SHARED.holder.store(unsafe { libc::pthread_self() } as usize, SeqCst);
            SHARED.release_pipe();
            drop(pipe);
            let child_ends = ChildEnds::Come;
            Ok(HeldSignals { state, while_waiting, child_ends, ready_waits: 0, is_ppoll_refused: false })
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        Ok(HeldSignals { state, pipe: Some(pipe) })
    }

    /// For a program that forks no children: makes the system reap inherited children (wait(2), `SIGCHLD`
    /// ignored). These are orphans if it is process 1 of a container, and children of a shell that replaced
    /// itself with this program.
    pub fn without_children(self) -> io::Result<Self> {
        set(Signal::SIGCHLD, SigHandler::SigIgn)?;
        // Reaps the children that ended before; bounded by their number.
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {
        }
        Ok(self)
    }

    /// The signals that arrived since the last call. SIGHUP leaves a line in the log of the first process.
    /// Empties the pipe, so that with edge-triggered polling, too, the next signal causes an event.
    pub(crate) fn take(&mut self) -> ArrivedSignals {
        self.pipe.empty();
        self.state.take()
    }
}

impl LoneSignals {
    /// How often signals have asked for something.
    pub(crate) fn counts(&self) -> SignalCounts {
        self.state.counts()
    }

    /// The signals that arrived since the last call. SIGHUP leaves a line in the log.
    pub(crate) fn take(&mut self) -> ArrivedSignals {
        self.state.take()
    }
}

impl HeldSignals {
    /// How often signals have asked for something.
    pub(crate) fn counts(&self) -> SignalCounts {
        self.state.counts()
    }

    /// Sets whether the ends of children end the waits from now on.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn set_child_ends(&mut self, child_ends: ChildEnds) {
        self.child_ends = child_ends;
    }

    /// Without ppoll(2) every signal ends a wait.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(clippy::unused_self, reason = "where signals are held it does something")]
    pub(crate) fn set_child_ends(&mut self, _child_ends: ChildEnds) {}

    /// Waits as [`wait::readable`] does, and returns the signals that arrived since the last call, too.
    /// SIGHUP leaves a line in the log of the first process.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn wait<'a>(
        &mut self,
        fds: impl IntoIterator<Item = BorrowedFd<'a>, IntoIter: Clone>,
        timeout: Option<Duration>,
    ) -> io::Result<(ArrivedSignals, ReadySet)> {
        let fds = fds.into_iter();
        // One that came before signals were held does not interrupt this wait.
        let timeout = if self.state.has_untaken() { Some(Duration::ZERO) } else { timeout };
        let mut mask = self.while_waiting.before;
        if self.child_ends == ChildEnds::Stay {
            mask.add(Signal::SIGCHLD);
        }
        if self.is_ppoll_refused {
            return self.wait_in_slices(fds, timeout);
        }
        let again = fds.clone();
        let ready = match wait::readable_or_signal(fds, timeout, mask) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                log::debug!("ppoll(2) is not available ({error}); looking for signals from time to time");
                self.is_ppoll_refused = true;
                return self.wait_in_slices(again, timeout);
            }
            ready => ready?,
        };
        // If a descriptor is ready, ppoll(2) returns before it delivers signals.
        self.ready_waits = if ready.any() { self.ready_waits + 1 } else { 0 };
        if self.ready_waits >= READY_WAITS_MAX {
            self.ready_waits = 0;
            wait::readable_or_signal([], Some(Duration::ZERO), mask)?;
        }
        Ok((self.state.take(), ready))
    }

    /// The same where ppoll(2) is missing or denied: a signal just before the wait is noticed at the end of a
    /// slice.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[cold]
    fn wait_in_slices<'a>(
        &mut self,
        fds: impl IntoIterator<Item = BorrowedFd<'a>>,
        timeout: Option<Duration>,
    ) -> io::Result<(ArrivedSignals, ReadySet)> {
        let slice = Duration::from_millis(SLICE_MS);
        self.release()?;
        let ready = wait::readable(fds, Some(timeout.map_or(slice, |timeout| timeout.min(slice))));
        // The mask stays blocked; the next `release` unblocks it.
        std::mem::forget(block()?);
        Ok((self.state.take(), ready?))
    }

    /// Waits as [`wait::readable`] does, and returns the signals that arrived since the last call, too.
    /// SIGHUP leaves a line in the log of the first process.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn wait<'a>(
        &mut self,
        fds: impl IntoIterator<Item = BorrowedFd<'a>>,
        timeout: Option<Duration>,
    ) -> io::Result<(ArrivedSignals, ReadySet)> {
        // The pipe comes last: the results do not include it.
        let pipe = self.pipe.iter().map(|pipe| pipe.read.as_fd());
        let fds: Vec<BorrowedFd<'_>> = fds.into_iter().collect();
        let ready = wait::readable(fds.into_iter().chain(pipe), timeout)?;
        self.pipe.iter().for_each(Pipe::empty);
        Ok((self.state.take(), ready))
    }

    /// Blocks the signals around fork(2), and around the start of a thread that must not receive them. Held
    /// signals are already blocked.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "elsewhere it does something")]
    pub(super) fn block(&self) -> io::Result<Option<BlockedSignals>> {
        Ok(None)
    }

    /// Blocks the signals around fork(2), and around the start of a thread that must not receive them.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(clippy::unused_self, reason = "where signals are held it does nothing")]
    pub(super) fn block(&self) -> io::Result<Option<BlockedSignals>> {
        block().map(Some)
    }

    /// Call it in a child right after fork, while the signals are blocked: signals of the parent are
    /// forgotten, and handlers no longer write into its pipe. From here on SIGINT and SIGUSR1 have no effect:
    /// a terminal or a supervisor sends them to all processes, and the parent acts for all. SIGTERM drains,
    /// however often it comes; [`super::process::ChildRequest::End`] ends the child at once.
    ///
    /// After a signal, the child interrupts its own calls every `interrupt_every_ms`, if that is not 0.
    pub(super) fn begin_child(&mut self, interrupt_every_ms: u32) {
        SHARED.is_child.store(true, SeqCst);
        SHARED.interrupt_every_ms.store(interrupt_every_ms, SeqCst);
        SHARED.pipe.store(-1, SeqCst);
        SHARED.arrived.store(0, SeqCst);
        SHARED.stops.store(0, SeqCst);
        self.state.stops_taken = 0;
        self.state.at_end = AtEnd::Stay; // a child ends after its work
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        {
            self.pipe = None;
        }
    }

    /// In a child, after [`HeldSignals::begin_child`]: signals are delivered from now on.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn release(&mut self) -> io::Result<()> {
        let mask = &self.while_waiting.before;
        // Not pthread_sigmask(3): it is on pages of libc that a child uses for nothing else and would have to
        // wait for.
        let set: *const libc::sigset_t = mask.as_ref();
        // SAFETY: the system reads this many bytes of the set, which is longer, and writes nothing.
        let done = unsafe {
            let none = std::ptr::null_mut::<libc::sigset_t>();
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, set, none, SIGNALS_BYTES)
        };
        if done != 0 {
            pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(mask), None)?;
        }
        Ok(())
    }

    /// In a child, after [`HeldSignals::begin_child`]: signals come once [`HeldSignals::block`] has ended.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "where signals are held it does something"
    )]
    pub(super) fn release(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// In a child: from here on, signals are read from the child's own pipe, including those that have
    /// already come.
    pub(crate) fn readable(&mut self) -> io::Result<Signals> {
        let pipe = Pipe::open()?;
        SHARED.pipe.store(pipe.write.as_raw_fd(), SeqCst);
        // It is empty, so there is room.
        nix::unistd::write(&pipe.write, &[0])?;
        Ok(Signals { state: SignalsSeen { ..self.state }, pipe })
    }
}

impl SignalsSeen {
    #[allow(clippy::unused_self, reason = "counts are of signals that were installed")]
    fn counts(&self) -> SignalCounts {
        SignalCounts { shared: &SHARED }
    }

    /// Whether signals have come that were not taken yet.
    fn has_untaken(&self) -> bool {
        SHARED.arrived.load(SeqCst) != 0 || SHARED.stops.load(SeqCst) != self.stops_taken
    }

    fn take(&mut self) -> ArrivedSignals {
        let bits = SHARED.arrived.swap(0, SeqCst);
        let stops = SHARED.stops.load(SeqCst);
        let arrived = ArrivedSignals {
            stops: stops.wrapping_sub(self.stops_taken),
            reopen: bits & REOPEN != 0,
            report: bits & REPORT != 0,
            child: bits & CHILD != 0,
        };
        self.stops_taken = stops;
        if bits & HANGUP != 0 {
            self.hangup = Hangup::TerminalClosed;
            log::info!("SIGHUP: the terminal has closed");
        }
        if arrived.reopen && !SHARED.is_child.load(SeqCst) {
            log::info!(
                "SIGHUP: {}",
                match self.hangup {
                    Hangup::Reopens { .. } => "reopening the access log",
                    Hangup::Drains | Hangup::TerminalClosed | Hangup::Ignored =>
                        "there is no access log to open again",
                }
            );
        }
        arrived
    }
}

impl Drop for SignalsSeen {
    fn drop(&mut self) {
        SHARED.holder.store(0, SeqCst);
        if SHARED.interrupt_every_ms.swap(0, SeqCst) > 0 {
            let _ = set_timer(0, 0); // the handler stays installed for a signal that is already on its way
        }
        for signal in HANDLED.into_iter().filter(|_| self.at_end == AtEnd::Restore) {
            let ignores = match self.hangup {
                Hangup::Ignored | Hangup::TerminalClosed => true,
                Hangup::Drains => false,
                Hangup::Reopens { was_ignored } => was_ignored,
            };
            let before =
                if signal == Signal::SIGHUP && ignores { SigHandler::SigIgn } else { SigHandler::SigDfl };
            // Cannot fail, as it succeeded for this signal before.
            let _ = set(signal, before);
        }
        SHARED.release_pipe();
    }
}

impl Pipe {
    /// Both ends nonblocking and closed by exec.
    fn open() -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe()?;
        for end in [&read, &write] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Pipe { read, write })
    }

    /// Empties the pipe. Called before the arrived signals are taken: a signal between the two leaves a byte,
    /// and so an event.
    fn empty(&self) {
        let mut bytes = [0; DRAIN_BYTES];
        // Bounded by the size of the pipe, which only signals fill.
        while nix::unistd::read(&self.read, &mut bytes) == Ok(DRAIN_BYTES) {}
    }
}

/// Readable when a signal arrived.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.read.as_fd()
    }
}

/// Readable when a signal arrived.
impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.read.as_raw_fd()
    }
}

/// Ignores SIGXFSZ, as [`Signals::install`] does, for good.
pub(crate) fn ignore_file_limit() -> io::Result<()> {
    set(Signal::SIGXFSZ, SigHandler::SigIgn)
}

/// Blocks the handled signals in this thread until it is dropped.
#[derive(Debug)]
#[must_use = "signals are blocked only while it lives"]
pub(crate) struct BlockedSignals {
    before: SigSet,
}

/// See [`BlockedSignals`]: for the start of threads that must not receive signals.
pub(crate) fn block() -> io::Result<BlockedSignals> {
    let mut before = SigSet::empty();
    let handled: SigSet = HANDLED.into_iter().chain([CUT]).collect();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&handled), Some(&mut before))?;
    Ok(BlockedSignals { before })
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // Cannot fail, as this mask was in force before.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// For a process with one thread: interrupts its blocked calls after this time, and then every `every_ms`
/// until this is called again (`ITIMER_REAL`, setitimer(2)). A socket timeout is not enough: sendfile(2)
/// restarts it whenever the client has read a little, and it costs a timer for each read.
pub(crate) fn interrupt_after(after_ms: u64, every_ms: u32) -> io::Result<()> {
    set_timer(after_ms.max(1), every_ms)
}

extern "C" fn on_signal(number: libc::c_int) {
    SHARED.handle(number, |shared| shared.on_signal(number));
}

/// SIGHUP. The signal is sent by the kernel when a terminal closes, by a shell to its jobs when its own
/// terminal closes, and by an operator to have logs opened again.
extern "C" fn on_hangup(number: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the handler is installed with SA_SIGINFO, so the system passes a valid siginfo_t.
    let by_kernel = is_sent_by_kernel(unsafe { &*info });
    SHARED.handle(number, |shared| shared.on_hangup(by_kernel));
}

extern "C" fn on_interrupt(_number: libc::c_int) {}

/// The code of the handlers. Only async-signal-safe calls.
impl SignalState {
    const fn new() -> Self {
        SignalState {
            pipe: AtomicI32::new(-1),
            arrived: AtomicU32::new(0),
            stops: AtomicU32::new(0),
            reopens: AtomicU32::new(0),
            reports: AtomicU32::new(0),
            is_child: AtomicBool::new(false),
            events: AtomicU32::new(0),
            holder: AtomicUsize::new(0),
            interrupt_every_ms: AtomicU32::new(0),
            ends_with_terminal: AtomicBool::new(false),
            had_terminal: AtomicBool::new(false),
            handlers: AtomicU32::new(0),
        }
    }

    /// Runs a handler: `errno` is kept, and the reader of the pipe is woken.
    fn handle(&self, number: libc::c_int, handler: impl FnOnce(&Self)) {
        self.handlers.fetch_add(1, SeqCst);
        let errno = Errno::last_raw();
        if self.pass_on(number) {
            self.handlers.fetch_sub(1, SeqCst);
            return;
        }
        handler(self);
        let pipe = self.pipe.load(SeqCst);
        if pipe >= 0 {
            // SAFETY: the pipe is open while `handlers` counts this call. A full pipe is readable, so a byte
            // that does not fit is not needed.
            unsafe { libc::write(pipe, [0_u8].as_ptr().cast(), 1) };
        }
        Errno::set_raw(errno);
        self.handlers.fetch_sub(1, SeqCst);
    }

    /// Passes a signal on to the thread that holds signals, if another thread received it. It stays pending
    /// until that thread waits.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn pass_on(&self, number: libc::c_int) -> bool {
        let holder = self.holder.load(SeqCst) as libc::pthread_t;
        // SAFETY: both may be called in a handler; the thread is there as long as it is the holder.
        holder != 0 && unsafe { libc::pthread_self() != holder && libc::pthread_kill(holder, number) == 0 }
    }

    /// Elsewhere any thread may write into the pipe.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[allow(clippy::unused_self, reason = "where signals are held it does something")]
    fn pass_on(&self, _number: libc::c_int) -> bool {
        false
    }

    fn on_signal(&self, number: libc::c_int) {
        let is_child = self.is_child.load(SeqCst);
        match number {
            // A supervisor may send these to all processes of a server: the first one acts for all.
            libc::SIGINT | libc::SIGUSR1 if is_child => return,
            libc::SIGTERM if is_child => self.stops.fetch_max(1, SeqCst),
            libc::SIGTERM | libc::SIGINT => self.stops.fetch_add(1, SeqCst),
            libc::SIGVTALRM if is_child => self.stops.fetch_max(2, SeqCst),
            libc::SIGUSR1 => {
                self.reports.fetch_add(1, SeqCst);
                self.arrived.fetch_or(REPORT, SeqCst)
            }
            libc::SIGCHLD => {
                self.arrived.fetch_or(CHILD, SeqCst);
                return;
            }
            _ => return,
        };
        self.has_event();
    }

    fn on_hangup(&self, by_kernel: bool) {
        let is_terminal_lost = || self.had_terminal.load(SeqCst) && terminal() == Terminal::Gone;
        if !self.ends_with_terminal.load(SeqCst) || !(by_kernel || is_terminal_lost()) {
            self.reopens.fetch_add(1, SeqCst);
            self.arrived.fetch_or(REOPEN, SeqCst);
        } else if !self.is_child.load(SeqCst) {
            // The shell and the kernel may both send SIGHUP: together they are one request. Children are
            // stopped by their parent.
            self.stops.fetch_max(1, SeqCst);
            self.arrived.fetch_or(HANGUP, SeqCst);
        } else {
            return;
        }
        self.has_event();
    }

    /// Called for each signal. From now on a process with blocking calls interrupts itself: the signal may
    /// have come just before a call that blocks.
    fn has_event(&self) {
        self.events.fetch_add(1, SeqCst);
        let every_ms = self.interrupt_every_ms.load(SeqCst);
        if every_ms > 0 {
            let _ = set_timer(every_ms.into(), every_ms); // cannot fail for a valid time
        }
    }

    /// From here on no handler writes into the pipe.
    fn release_pipe(&self) {
        self.pipe.store(-1, SeqCst);
        // A handler in another thread may be between reading `pipe` and writing: it takes a few instructions.
        while self.handlers.load(SeqCst) > 0 {
            std::hint::spin_loop();
        }
    }
}

/// Whether no process sent the signal (sigaction(2), `si_code`).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_sent_by_kernel(info: &libc::siginfo_t) -> bool {
    info.si_code > 0
}

/// Unknown on this system: whether the terminal is gone decides.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_sent_by_kernel(_info: &libc::siginfo_t) -> bool {
    false
}

/// Sets the timer: SIGALRM after `after_ms`, then every `every_ms`; a time of 0 stops it. Called by handlers,
/// too.
fn set_timer(after_ms: u64, every_ms: u32) -> io::Result<()> {
    let timer = libc::itimerval { it_interval: timeval(every_ms.into()), it_value: timeval(after_ms) };
    // SAFETY: the timer is read, and nothing is written. It is a bare system call, so a handler may make it.
    match unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Stops the interruptions of [`interrupt_after`].
pub(crate) fn interrupt_no_more() -> io::Result<()> {
    set_timer(0, 0)
}

fn timeval(ms: u64) -> libc::timeval {
    // Below a million, in 64 bits on Linux and 32 on macOS.
    #[allow(clippy::cast_lossless, clippy::cast_possible_wrap)]
    let tv_usec = ((ms % 1000) * 1000) as libc::suseconds_t;
    libc::timeval { tv_sec: libc::time_t::try_from(ms / 1000).unwrap_or(libc::time_t::MAX), tv_usec }
}

fn set(signal: Signal, handler: SigHandler) -> io::Result<()> {
    set_action(signal, handler, SaFlags::empty())
}

fn set_hangup() -> io::Result<()> {
    set_action(Signal::SIGHUP, SigHandler::SigAction(on_hangup), SaFlags::SA_SIGINFO)
}

fn set_action(signal: Signal, handler: SigHandler, flags: SaFlags) -> io::Result<()> {
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: the handlers do only what is async-signal-safe: atomics, open(2), close(2), write(2) and
    // setitimer(2).
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

/// Whether a signal is ignored now.
fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing changes, and the old one is written to `action`, which has its
    // size.
    let done = unsafe { libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it wrote the whole of it.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}
