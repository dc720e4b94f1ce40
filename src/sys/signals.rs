//! Signals as readable events: the handlers only set bits and write a byte into a pipe.
//!
//! The handlers are installed without `SA_RESTART`, so that a signal also interrupts a blocked call
//! (signal(7)). Only what is async-signal-safe happens in them (signal-safety(7)), and `errno` is kept.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::SeqCst};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::terminal::{Terminal, terminal};

/// The signals that are read from the pipe.
const HANDLED: [Signal; 5] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCHLD];
/// Interrupts a blocked call of one thread, and does nothing else.
const INTERRUPT: Signal = Signal::SIGUSR2;
/// Ends a child at once. A signal that only its parent sends: supervisors send SIGTERM to every process of a
/// server (`KillMode=control-group`, systemd.kill(5)), a parent sends it, too, and so does the system when
/// the parent dies. To a child all of them are one request to drain.
pub(super) const CUT: Signal = Signal::SIGALRM;
/// Bytes read from the pipe at once.
const DRAIN_BYTES: usize = 256;

/// Bits of [`SignalState::arrived`].
const REOPEN: u32 = 1;
const REPORT: u32 = 2;
const CHILD: u32 = 4;
const HANGUP: u32 = 8;

/// The one static of this crate that changes with signals. A handler is given no argument of ours, so it
/// finds what it changes here. [`Signals`] owns it; all other code reads it through [`SignalCounts`].
static SHARED: SignalState = SignalState::new();

/// What the handlers share with the [`Signals`] of this process.
#[derive(Debug)]
struct SignalState {
    /// Where the handlers write; -1 while there is no pipe.
    pipe: AtomicI32,
    /// Bits of what arrived and was not taken yet.
    arrived: AtomicU32,
    /// Requests to stop, since the signals were installed.
    stops: AtomicU32,
    /// Requests to open log files again, since the signals were installed.
    reopens: AtomicU32,
    /// Requests to report the counters, since the signals were installed.
    reports: AtomicU32,
    /// Whether this process was forked by a parent that controls it: SIGTERM means to drain, however often it
    /// comes.
    is_child: AtomicBool,
    /// How often a process that serves alone interrupts itself once it is to stop, in ms; 0 for all others.
    alone_every_ms: AtomicU32,
    /// Whether this process ends when its terminal closes: it has no log that SIGHUP opens again.
    ends_with_terminal: AtomicBool,
    /// Whether this process had a controlling terminal when signals were installed.
    had_terminal: AtomicBool,
    /// Handlers at work: the pipe is closed only when there is none.
    handlers: AtomicU32,
}

/// How often signals have asked for something since they were installed: for code between two blocking calls,
/// in any thread. In a child the requests to stop are counted from its fork on.
#[derive(Clone, Copy, Debug)]
pub struct SignalCounts {
    shared: &'static SignalState,
}

impl SignalCounts {
    /// Requests to stop: SIGTERM, SIGINT, and SIGHUP when the terminal closes.
    pub fn stops(self) -> u32 {
        self.shared.stops.load(SeqCst)
    }

    /// Requests to open log files again: SIGHUP.
    pub fn reopens(self) -> u32 {
        self.shared.reopens.load(SeqCst)
    }

    /// Requests to report the counters: SIGUSR1.
    pub fn reports(self) -> u32 {
        self.shared.reports.load(SeqCst)
    }
}

/// The signals of this process: there is one such value at a time.
#[derive(Debug)]
pub struct Signals {
    read: OwnedFd,
    write: OwnedFd,
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
    /// The log is opened again. `was_ignored` is restored at the end.
    Reopens { was_ignored: bool },
}

/// What becomes of the handlers when [`Signals`] is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtEnd {
    /// Signals do again what they do by default: the process lives on without them.
    Restore,
    /// They stay: the process is about to end, and a signal that comes meanwhile must not end it in another
    /// way.
    Stay,
}

/// The signals that arrived since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// How often to stop (SIGTERM, SIGINT, and SIGHUP when the terminal closes): the first drains, one more
    /// ends at once. A closed terminal is never the second.
    pub stops: u32,
    /// Whether to open log files again (SIGHUP).
    pub reopen: bool,
    /// Whether to report the counters (SIGUSR1).
    pub report: bool,
    /// Whether a child has ended (SIGCHLD).
    pub child: bool,
}

impl Signals {
    /// Installs the handlers of SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD, the interruption of threads
    /// (`interrupt`), and ignores SIGPIPE and SIGXFSZ: a write to a pipe without a
    /// reader, or beyond the limit of the file size (setrlimit(2)), fails with an error instead.
    ///
    /// An error of kind `AlreadyExists` if another `Signals` exists.
    ///
    /// What was inherited does not matter, with one exception. The mask of the calling thread becomes empty,
    /// because a process whose starter had blocked SIGTERM and SIGCHLD could neither be stopped nor reap its
    /// children. SIGHUP stays ignored if it was (nohup(1)), until [`Signals::reopen_on_hangup`].
    ///
    /// When the controlling terminal closes, SIGHUP means to drain. Otherwise it asks to open log files
    /// again.
    pub fn install() -> io::Result<Self> {
        let (read, write) = pipe()?;
        if SHARED.pipe.compare_exchange(-1, write.as_raw_fd(), SeqCst, SeqCst).is_err() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "signal handlers are already installed",
            ));
        }
        for count in [&SHARED.arrived, &SHARED.stops, &SHARED.reopens, &SHARED.reports] {
            count.store(0, SeqCst);
        }
        let hangup = if is_ignored(Signal::SIGHUP)? { Hangup::Ignored } else { Hangup::Drains };
        let signals = Signals { read, write, stops_taken: 0, at_end: AtEnd::Restore, hangup };
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
        // After the handlers: a signal that waited behind the inherited mask comes now.
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        Ok(signals)
    }

    /// How often signals have asked for something.
    pub fn counts(&self) -> SignalCounts {
        SignalCounts { shared: &SHARED }
    }

    /// SIGHUP asks to open log files again from now on, also where it was inherited as ignored: such a
    /// process outlives its terminal.
    pub fn reopen_on_hangup(&mut self) -> io::Result<()> {
        if !matches!(self.hangup, Hangup::Reopens { .. }) {
            SHARED.ends_with_terminal.store(false, SeqCst);
            set_hangup()?;
            self.hangup = Hangup::Reopens { was_ignored: self.hangup == Hangup::Ignored };
        }
        Ok(())
    }

    /// Keeps the handlers when this is dropped: the program ends soon after, and until then no signal kills
    /// it.
    pub fn for_good(mut self) -> Self {
        self.at_end = AtEnd::Stay;
        self
    }

    /// For a process without parent or children that serves by blocking calls: from the request to stop on,
    /// its own calls are interrupted every `every_ms` (`ITIMER_REAL`, setitimer(2)), as a parent interrupts
    /// those of its children. A timeout of the socket is not enough: sendfile(2) starts it again whenever the
    /// client has read a little.
    pub fn alone(self, every_ms: u32) -> io::Result<Self> {
        set(Signal::SIGALRM, SigHandler::Handler(on_interrupt))?;
        SHARED.alone_every_ms.store(every_ms, SeqCst);
        Ok(self)
    }

    /// For a program that forks no children: the system reaps those that it gets from others (wait(2),
    /// `SIGCHLD` ignored), which are orphans if it is the first process of its container, and what a shell
    /// had started before it became this program.
    pub fn without_children(self) -> io::Result<Self> {
        set(Signal::SIGCHLD, SigHandler::SigIgn)?;
        // Those that ended before, bounded by their number.
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {
        }
        Ok(self)
    }

    /// The signals that arrived since the last call. SIGHUP leaves a line in the log of the first process.
    /// Empties the pipe, so that also with edge-triggered polling the next signal gives an event.
    pub fn take(&mut self) -> Arrived {
        let mut bytes = [0; DRAIN_BYTES];
        // Bounded by the size of the pipe, which only signals fill.
        while nix::unistd::read(&self.read, &mut bytes) == Ok(DRAIN_BYTES) {}
        // After the pipe: a signal between the two leaves a byte, and so an event.
        let bits = SHARED.arrived.swap(0, SeqCst);
        let stops = SHARED.stops.load(SeqCst);
        let arrived = Arrived {
            stops: stops.wrapping_sub(self.stops_taken),
            reopen: bits & REOPEN != 0,
            report: bits & REPORT != 0,
            child: bits & CHILD != 0,
        };
        self.stops_taken = stops;
        if bits & HANGUP != 0 {
            log::info!("SIGHUP: the terminal has closed");
        }
        if arrived.reopen && !SHARED.is_child.load(SeqCst) {
            log::info!(
                "SIGHUP: {}",
                match self.hangup {
                    Hangup::Reopens { .. } => "reopening the access log",
                    Hangup::Drains | Hangup::Ignored => "there is no access log to open again",
                }
            );
        }
        arrived
    }

    /// To be called in a child right after fork, while signals are [`block`]ed: the child gets a pipe of its
    /// own, as the inherited handlers must never write into the parent's, and what arrived for the parent is
    /// forgotten. SIGINT is ignored from here on: the terminal sends it to all, and the child is stopped by
    /// its parent alone. SIGTERM drains however often it comes; what ends the child at once is
    /// [`super::process::ChildRequest::End`].
    ///
    /// After an error the process must end, as the pipe is gone.
    pub(super) fn reset_in_child(&mut self) -> io::Result<()> {
        SHARED.is_child.store(true, SeqCst);
        SHARED.pipe.store(-1, SeqCst);
        SHARED.arrived.store(0, SeqCst);
        SHARED.stops.store(0, SeqCst);
        self.stops_taken = 0;
        self.at_end = AtEnd::Stay; // a child ends where its work does
        // The parent's ends first: a parent that has used all its descriptors can still make children.
        for end in [&self.read, &self.write] {
            // SAFETY: the ends are not used from here on: handlers see no pipe, both are replaced below, and
            // are then forgotten rather than closed once more.
            unsafe { libc::close(end.as_raw_fd()) };
        }
        let (read, write) = pipe()?;
        std::mem::forget(std::mem::replace(&mut self.read, read));
        std::mem::forget(std::mem::replace(&mut self.write, write));
        SHARED.pipe.store(self.write.as_raw_fd(), SeqCst);
        set(CUT, SigHandler::Handler(on_signal))?;
        set(Signal::SIGINT, SigHandler::SigIgn)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if SHARED.alone_every_ms.swap(0, SeqCst) > 0 {
            interrupt_every(0); // the handler stays for one that is on its way
        }
        for signal in HANDLED.into_iter().filter(|_| self.at_end == AtEnd::Restore) {
            let ignored = matches!(self.hangup, Hangup::Ignored | Hangup::Reopens { was_ignored: true });
            let before =
                if signal == Signal::SIGHUP && ignored { SigHandler::SigIgn } else { SigHandler::SigDfl };
            // Fails for no signal that could be set before.
            let _ = set(signal, before);
        }
        SHARED.pipe.store(-1, SeqCst);
        // A handler in another thread may be between reading `pipe` and writing: it takes a few instructions.
        while SHARED.handlers.load(SeqCst) > 0 {
            std::hint::spin_loop();
        }
    }
}

/// Readable when a signal arrived.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// Readable when a signal arrived.
impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.read.as_raw_fd()
    }
}

/// Ignores SIGXFSZ, as [`Signals::install`] does, for good.
pub(crate) fn ignore_file_limit() -> io::Result<()> {
    set(Signal::SIGXFSZ, SigHandler::SigIgn)
}

/// Blocks the handled signals in this thread until it is dropped. Around fork, until the child has its own
/// pipe; around the start of threads that leave signals to the first one.
#[derive(Debug)]
#[must_use = "signals are blocked only while it lives"]
pub(crate) struct Blocked {
    before: SigSet,
}

/// See [`Blocked`].
pub(crate) fn block() -> io::Result<Blocked> {
    let mut before = SigSet::empty();
    let handled: SigSet = HANDLED.into_iter().chain([CUT]).collect();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&handled), Some(&mut before))?;
    Ok(Blocked { before })
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // Fails for no mask that was in force before.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

/// Interrupts the call in which `thread` is blocked, if it is: the call fails with EINTR. A thread that is
/// about to block is not interrupted, so this is repeated until the thread has noticed what it was to notice.
pub(crate) fn interrupt<T>(thread: &JoinHandle<T>) -> io::Result<()> {
    // SAFETY: the handle is borrowed, so the thread was not joined and its id is valid (pthread_kill(3)).
    match unsafe { libc::pthread_kill(thread.as_pthread_t(), INTERRUPT as libc::c_int) } {
        0 | libc::ESRCH => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

extern "C" fn on_signal(number: libc::c_int) {
    SHARED.handle(|shared| shared.on_signal(number));
}

/// SIGHUP. The signal is sent by the kernel when a terminal closes, by a shell to its jobs when its own
/// terminal closes, and by an operator to have logs opened again.
extern "C" fn on_hangup(_number: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the handler is installed with SA_SIGINFO, so the system passes a valid siginfo_t.
    let by_kernel = is_sent_by_kernel(unsafe { &*info });
    SHARED.handle(|shared| shared.on_hangup(by_kernel));
}

extern "C" fn on_interrupt(_number: libc::c_int) {}

/// What the handlers do. Only async-signal-safe calls.
impl SignalState {
    const fn new() -> Self {
        SignalState {
            pipe: AtomicI32::new(-1),
            arrived: AtomicU32::new(0),
            stops: AtomicU32::new(0),
            reopens: AtomicU32::new(0),
            reports: AtomicU32::new(0),
            is_child: AtomicBool::new(false),
            alone_every_ms: AtomicU32::new(0),
            ends_with_terminal: AtomicBool::new(false),
            had_terminal: AtomicBool::new(false),
            handlers: AtomicU32::new(0),
        }
    }

    /// Runs a handler: `errno` is kept, and the reader of the pipe is woken.
    fn handle(&self, handler: impl FnOnce(&Self)) {
        self.handlers.fetch_add(1, SeqCst);
        let errno = Errno::last_raw();
        handler(self);
        let pipe = self.pipe.load(SeqCst);
        if pipe >= 0 {
            // SAFETY: the pipe is open while `handlers` counts this call. A full pipe is readable, so a lost
            // byte is no loss.
            unsafe { libc::write(pipe, [0_u8].as_ptr().cast(), 1) };
        }
        Errno::set_raw(errno);
        self.handlers.fetch_sub(1, SeqCst);
    }

    fn on_signal(&self, number: libc::c_int) {
        match number {
            libc::SIGTERM if self.is_child.load(SeqCst) => self.stops.fetch_max(1, SeqCst),
            libc::SIGTERM | libc::SIGINT => {
                self.interrupt_if_alone();
                self.stops.fetch_add(1, SeqCst)
            }
            libc::SIGALRM => self.stops.fetch_max(2, SeqCst),
            libc::SIGUSR1 => {
                self.reports.fetch_add(1, SeqCst);
                self.arrived.fetch_or(REPORT, SeqCst)
            }
            _ => self.arrived.fetch_or(CHILD, SeqCst),
        };
    }

    fn on_hangup(&self, by_kernel: bool) {
        let is_terminal_lost = || self.had_terminal.load(SeqCst) && terminal() == Terminal::Gone;
        if !self.ends_with_terminal.load(SeqCst) || !(by_kernel || is_terminal_lost()) {
            self.reopens.fetch_add(1, SeqCst);
            self.arrived.fetch_or(REOPEN, SeqCst);
        } else if !self.is_child.load(SeqCst) {
            // A shell and the kernel may both send one: together they are one request. Children are stopped
            // by their parent.
            self.interrupt_if_alone();
            self.stops.fetch_max(1, SeqCst);
            self.arrived.fetch_or(HANGUP, SeqCst);
        }
    }

    /// Has a process that serves alone interrupt itself from now on.
    fn interrupt_if_alone(&self) {
        let every_ms = self.alone_every_ms.load(SeqCst);
        if every_ms > 0 {
            interrupt_every(every_ms);
        }
    }
}

/// Whether no process sent the signal (sigaction(2), `si_code`).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_sent_by_kernel(info: &libc::siginfo_t) -> bool {
    info.si_code > 0
}

/// Not known here: whether the terminal is gone decides.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_sent_by_kernel(_info: &libc::siginfo_t) -> bool {
    false
}

/// Has SIGALRM come every so many ms from now on, or no more. It is called by a handler.
fn interrupt_every(ms: u32) {
    // Below a million, in 64 bits on Linux and 32 on macOS.
    #[allow(clippy::cast_lossless, clippy::cast_possible_wrap)]
    let tv_usec = ((ms % 1000) * 1000) as libc::suseconds_t;
    let every = libc::timeval { tv_sec: (ms / 1000).into(), tv_usec };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the timer is read, and nothing is written. It is a bare system call, so a handler may make it.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
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
    // SAFETY: without a new action nothing changes, and the old one is written to where it has room.
    let done = unsafe { libc::sigaction(signal as libc::c_int, std::ptr::null(), action.as_mut_ptr()) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it wrote the whole of it.
    Ok(unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN)
}

/// Both ends nonblocking and closed by exec.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe()?;
    for end in [&read, &write] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok((read, write))
}
