//! Processes: limits, children, cores. Giving up privileges is in [`super::privileges`].
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use super::signals::HeldSignals;

/// Raises the limit of descriptors of this process as far as is allowed without privileges, and returns the
/// limit (`RLIMIT_NOFILE` of getrlimit(2)). A server of many clients calls it at start: each client needs a
/// descriptor.
pub fn raise_descriptors_max() -> u64 {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            log::debug!("cannot read the limit of file descriptors: {error}; assuming {DESCRIPTORS_USUAL}");
            return DESCRIPTORS_USUAL;
        }
    };
    let most = hard.min(descriptors_kernel_max());
    if most > soft {
        match setrlimit(Resource::RLIMIT_NOFILE, most, hard) {
            Ok(()) => return most,
            Err(error) => log::debug!("the limit of file descriptors stays at {soft}, below {most}: {error}"),
        }
    }
    soft
}

/// How much the priority of a thread beside a loop is lowered (nice(2)): if the loop is busy all the time and
/// both share a processor, the thread gets about a quarter of it. With less, a password would take seconds on
/// a busy machine.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NICE_BESIDE_LOOP: libc::c_int = 5;

/// Lowers the priority of the calling thread, so that what it computes does not delay a loop on the same
/// processor. On other systems a priority belongs to the process, and nothing is done.
pub(crate) fn lower_priority_of_thread() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        Errno::clear();
        // SAFETY: nice(2) is given a number alone; on Linux it changes the calling thread.
        let niceness = unsafe { libc::nice(NICE_BESIDE_LOOP) };
        // -1 may be a niceness, too.
        if niceness == -1 && Errno::last_raw() != 0 {
            log::debug!("cannot lower the priority of a thread: {}", Errno::last());
        }
    }
}

/// The limit of file descriptors on most systems, if it was not changed.
const DESCRIPTORS_USUAL: u64 = 1024;

/// The number of descriptors that this process may have now (getrlimit(2), `RLIMIT_NOFILE`).
#[cfg(feature = "http")]
pub(crate) fn descriptors_max() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// macOS reports "unlimited" and then refuses more than this.
#[cfg(target_os = "macos")]
fn descriptors_kernel_max() -> u64 {
    let mut most: libc::c_int = 0;
    let mut len = size_of_val(&most);
    // SAFETY: the name is a C string, and the value has the given length.
    let result = unsafe {
        let value = (&raw mut most).cast();
        libc::sysctlbyname(c"kern.maxfilesperproc".as_ptr(), value, &raw mut len, std::ptr::null_mut(), 0)
    };
    // OPEN_MAX of macOS, should the question fail.
    if result == 0 { u64::try_from(most).unwrap_or(10_240) } else { 10_240 }
}

#[cfg(not(target_os = "macos"))]
fn descriptors_kernel_max() -> u64 {
    u64::MAX
}

/// Names the thread that prints it by the number that `ps -L` shows: its process, if that has no other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallingThread;

impl CallingThread {
    /// The id of the thread; `None` for the first thread of a process, whose id is that of the process.
    #[cfg(target_os = "linux")]
    pub(crate) fn number() -> Option<u32> {
        let thread = nix::unistd::gettid();
        (thread != Pid::this()).then(|| id_of(thread))
    }

    /// The number that std gives the thread; `None` for the first thread of a process.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn number() -> Option<u32> {
        let thread = std::thread::current();
        if thread.name() == Some("main") {
            return None;
        }
        // `ThreadId(7)`: std gives the number in no other way.
        let shown = format!("{:?}", thread.id());
        shown.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()
    }
}

impl fmt::Display for CallingThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = Pid::this();
        match CallingThread::number() {
            Some(thread) => write!(f, "thread {thread} of process {process}"),
            None => write!(f, "process {process}"),
        }
    }
}

/// Returns free heap memory to the system (`malloc_trim(3)`, where it exists): a fork copies the page table
/// entries of every page that this process has written to, free ones included.
pub(crate) fn release_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it has no conditions.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The process that returns from [`fork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForkSide {
    /// The parent, with the id of its new child.
    Parent(u32),
    /// The child, with the id of its parent.
    Child(u32),
}

/// Makes a child process (fork(2)). The caller has one thread and no `mio::Poll`.
///
/// Signals are blocked meanwhile. On Linux the child gets SIGTERM when its parent dies (prctl(2),
/// `PR_SET_PDEATHSIG`); where [`must_ask_for_parent`] holds, it polls [`parent_lives`]. It never returns into
/// the parent's code: it ends with [`exit`]. A child that serves with blocking calls interrupts them every
/// `interrupt_every_ms` after a signal; a child that waits for signals passes 0, and makes them readable
/// ([`HeldSignals::readable`]).
pub(crate) fn fork(signals: &mut HeldSignals, interrupt_every_ms: u32) -> io::Result<ForkSide> {
    let parent = std::process::id();
    let blocked = signals.block()?;
    // SAFETY: the caller has one thread, so that no lock is left held in the child.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => {
            drop(blocked);
            Ok(ForkSide::Parent(id_of(child)))
        }
        ForkResult::Child => {
            signals.begin_child(interrupt_every_ms);
            if let Err(error) = follow_parent(parent).and_then(|()| signals.release()) {
                log::error!("child: cannot set up signals: {error}");
                exit(CHILD_FAILED);
            }
            drop(blocked);
            Ok(ForkSide::Child(parent))
        }
    }
}

/// The system sends no signal when the parent of this process ends.
static PARENT_ENDS_SILENTLY: AtomicBool = AtomicBool::new(!cfg!(target_os = "linux"));

/// Whether a child must check by itself that its parent lives: no signal reports the parent's end.
pub(crate) fn must_ask_for_parent() -> bool {
    PARENT_ENDS_SILENTLY.load(Relaxed)
}

#[cfg(target_os = "linux")]
fn follow_parent(parent: u32) -> io::Result<()> {
    if let Err(error) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
        // For instance by a filter of system calls.
        log::debug!("PR_SET_PDEATHSIG: {error}; checking for the parent from time to time");
        PARENT_ENDS_SILENTLY.store(true, Relaxed);
        return Ok(());
    }
    if !parent_lives(parent) {
        // It died before the call above: the signal will not come.
        nix::sys::signal::raise(Signal::SIGTERM)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)] // It can fail on Linux.
fn follow_parent(_parent: u32) -> io::Result<()> {
    Ok(())
}

/// Whether the parent of this process still has this id: an orphan gets another parent.
pub(crate) fn parent_lives(parent: u32) -> bool {
    id_of(Pid::parent()) == parent
}

/// Exit code of a child that failed outside its work; no server uses this code.
const CHILD_FAILED: u8 = u8::MAX;

/// Runs a child's work and ends the child with the code that it returns. A panic ends it, too: it must not
/// unwind into the code of the parent.
pub(crate) fn work_and_exit(work: impl FnOnce() -> u8) -> ! {
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    exit(code.unwrap_or(CHILD_FAILED))
}

/// Ends this process at once: no destructor, no buffer flushed, nothing of the parent's undone (_exit(2)).
pub(crate) fn exit(code: u8) -> ! {
    // SAFETY: _exit only ends the process.
    unsafe { libc::_exit(code.into()) }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildExit {
    /// By itself, with this exit code.
    Exited(u8),
    /// By a signal with this number.
    Killed(i32),
}

impl fmt::Display for ChildExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChildExit::Exited(code) => write!(f, "exit code {code}"),
            ChildExit::Killed(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

/// Reaps one child that has ended, without waiting: its id, and how it ended. `None` if none has ended, or
/// there is none. Called until it returns `None`, since signals of several ends coalesce.
pub(crate) fn reap() -> io::Result<Option<(u32, ChildExit)>> {
    loop {
        return match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                Ok(Some((id_of(pid), ChildExit::Exited(code.to_le_bytes()[0]))))
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                Ok(Some((id_of(pid), ChildExit::Killed(signal as i32))))
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => Ok(None),
            // Stopped and continued children are not asked for; a call that was interrupted is made again.
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(errno) => Err(errno.into()),
        };
    }
}

/// Reaps this child if it has ended, without waiting: the CPU time that it and the children that it waited
/// for have used (wait4(2)). `None` if it runs, or is not a child.
#[cfg(feature = "cli")]
pub(crate) fn reap_child(child: u32) -> Option<std::time::Duration> {
    use nix::sys::time::{TimeVal, TimeValLike};
    let pid = libc::pid_t::try_from(child).ok().filter(|&pid| pid > 0)?;
    // SAFETY: all bytes 0 are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer to a status may be null, and `usage` has the type that the call writes.
    let reaped = unsafe { libc::wait4(pid, std::ptr::null_mut(), libc::WNOHANG, &raw mut usage) };
    let used = TimeVal::from(usage.ru_utime) + TimeVal::from(usage.ru_stime);
    (reaped == pid).then(|| std::time::Duration::from_nanos(used.num_nanoseconds().unsigned_abs()))
}

/// What a parent asks of its child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildRequest {
    /// Drain and end (SIGTERM). A repetition asks for the same, and interrupts a call in which the child is
    /// blocked: it is repeated until the child has noticed.
    Drain,
    /// End at once (SIGVTALRM), whatever was asked before.
    End,
    /// Open log files again (SIGHUP).
    ReopenLogs,
    /// The child is ended without being asked (SIGKILL).
    Kill,
}

/// Sends a request to the child with this id. A child that has ended is not an error.
pub(crate) fn notify(child: u32, request: ChildRequest) -> io::Result<()> {
    let signal = match request {
        ChildRequest::Drain => Signal::SIGTERM,
        ChildRequest::End => super::signals::CUT,
        ChildRequest::ReopenLogs => Signal::SIGHUP,
        ChildRequest::Kill => Signal::SIGKILL,
    };
    let Some(pid) = i32::try_from(child).ok().filter(|&pid| pid > 0) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match nix::sys::signal::kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes this process the parent of orphaned descendants (prctl(2), `PR_SET_CHILD_SUBREAPER`), so that a
/// server that goes to the background is still found. On other systems they become children of process 1.
#[cfg_attr(not(target_os = "linux"), allow(clippy::unnecessary_wraps))] // It can fail on Linux.
#[cfg(feature = "cli")]
pub(crate) fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    Ok(())
}

/// On Linux, a program started by this command is sent SIGTERM when the thread that started it ends for any
/// reason, SIGKILL included (prctl(2), `PR_SET_PDEATHSIG`). Elsewhere it is not notified.
#[cfg(feature = "cli")]
pub(crate) fn end_with_parent(command: &mut std::process::Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let follow = || {
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM); // refused: it is not notified
            Ok(())
        };
        // SAFETY: between fork and exec it makes one system call, and neither allocates nor locks.
        unsafe { command.pre_exec(follow) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// The numbers of the cores on which this process may run (`sched_getaffinity(2)`); empty where the system
/// has no such call or it fails.
#[cfg(feature = "cli")]
#[cfg(target_os = "linux")]
pub(crate) fn cores() -> Vec<usize> {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    let own = Pid::from_raw(0);
    // What it has already is refused only where everything is.
    let set = sched_getaffinity(own).and_then(|set| sched_setaffinity(own, &set).map(|()| set));
    set.map_or_else(
        |_| Vec::new(),
        |set| (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect(),
    )
}

/// The cores on which this process may run: this system does not report them.
#[cfg(not(target_os = "linux"))]
pub(crate) fn cores() -> Vec<usize> {
    Vec::new()
}

/// Keeps this thread, and the threads and children that it makes from now on, on these cores
/// (`sched_setaffinity(2)`).
#[cfg(feature = "cli")]
#[cfg(target_os = "linux")]
pub(crate) fn pin(cores: &[usize]) -> io::Result<()> {
    let mut set = nix::sched::CpuSet::new();
    for &core in cores {
        set.set(core)?;
    }
    Ok(nix::sched::sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Keeps this thread on these cores: this system has no way to.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_cores: &[usize]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How long a thread was ready to run and had no core, in ns (`/proc/PID/task/TID/schedstat`, second number:
/// the kernel's Documentation/scheduler/sched-stats.rst). `task` is the folder of the thread; `None` where
/// the system does not provide the value.
#[cfg(feature = "load")]
pub(crate) fn run_delay_ns(task: &std::path::Path) -> Option<u64> {
    parse_run_delay(&std::fs::read_to_string(task.join("schedstat")).ok()?)
}

/// A kernel without these counters shows 0 runs of the thread.
#[cfg(feature = "load")]
fn parse_run_delay(schedstat: &str) -> Option<u64> {
    let mut numbers = schedstat.split_whitespace().map(|number| number.parse().ok());
    let ran_ns: u64 = numbers.next()??;
    numbers.next()?.filter(|_| ran_ns > 0)
}

fn id_of(pid: Pid) -> u32 {
    // A process id is positive; 0 is the parent of a process whose parent lives in another namespace.
    pid.as_raw().unsigned_abs()
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_pinned_to_a_core_it_has() {
        // The affinity is the calling thread's; threads of the other tests keep theirs.
        let before = cores();
        pin(&before[..1]).unwrap();
        assert_eq!(cores(), &before[..1]);
        pin(&before).unwrap();
        assert_eq!(cores(), before);
    }

    #[test]
    fn the_kernel_reports_waits_for_a_core_or_that_it_does_not_count_them() {
        assert_eq!(parse_run_delay("123456789 4242 17\n"), Some(4242));
        for nothing in ["0 0 0\n", "", "12", "x 4 1"] {
            assert_eq!(parse_run_delay(nothing), None, "{nothing:?}");
        }
    }
}
