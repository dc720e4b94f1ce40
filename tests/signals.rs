//! Promises of `sys::signals` and `sys::process`. They reap whatever child ends and handle every signal, so
//! they have a process of their own, and run one at a time.
//!
//! `sys` is a leaf and not for users of the library: this crate compiles it by itself, with its unit tests.
//!
//! Where a new test goes: here if it calls `sys` and raises signals, forks or reaps; how the program handles
//! signals is tested in `tests/server/drain.rs` and `tests/models/stop.rs`.

#[path = "../src/sys/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unexpected_cfgs,
    clippy::unused_self,
    reason = "it is compiled for its tests alone"
)]
mod sys;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use sys::process::{self, ChildExit, ChildRequest, ForkSide};
use sys::signals::ArrivedSignals;
use sys::{Address, Crew, CrewMember, HeldSignals, ListenOptions, Listener, Signals, signals};

/// Longer than anything here takes, short enough to wait for.
const PATIENCE: Duration = Duration::from_secs(10);

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn readable(signals: &Signals, patience_ms: u16) -> bool {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let start = Instant::now();
    loop {
        match poll(&mut fds, PollTimeout::from(patience_ms)) {
            Ok(count) => return count > 0,
            Err(nix::Error::EINTR) => assert!(start.elapsed() < PATIENCE),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until the child has ended; its id and how.
fn reaped() -> (u32, ChildExit) {
    let start = Instant::now();
    loop {
        if let Some(ended) = process::reap().unwrap() {
            return ended;
        }
        assert!(start.elapsed() < PATIENCE, "no child ended");
        std::thread::yield_now();
    }
}

#[test]
fn a_signal_is_read_from_the_pipe_and_taken_once() {
    let _alone = alone();
    let mut signals = Signals::install().unwrap();
    assert_eq!(Signals::install().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(signals.take(), ArrivedSignals::default());
    assert_eq!(signals.counts().stops(), 0, "what was asked for before is forgotten");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1] {
        raise(signal).unwrap();
    }
    assert!(readable(&signals, 10_000));
    assert_eq!(signals.take(), ArrivedSignals { stops: 2, reopen: true, report: true, child: false });
    assert_eq!(signals.counts().stops(), 2);
    assert!(!readable(&signals, 0), "the pipe is empty again");
    assert_eq!(signals.take(), ArrivedSignals::default());
}

#[test]
fn signals_installed_again_start_anew() {
    let _alone = alone();
    for _ in 0..3 {
        let mut signals = Signals::install().unwrap();
        assert_eq!(signals.take(), ArrivedSignals::default());
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.take().stops, 1);
    }
}

fn held() -> HeldSignals {
    Signals::install().unwrap().hold().unwrap()
}

#[test]
fn a_signal_that_came_before_signals_were_held_ends_the_first_wait() {
    let _alone = alone();
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1] {
        let signals = Signals::install().unwrap();
        raise(signal).unwrap();
        let (mut held, start) = (signals.hold().unwrap(), Instant::now());
        let (arrived, _) = held.wait([], Some(PATIENCE)).unwrap();
        assert!(arrived != ArrivedSignals::default() && start.elapsed() < PATIENCE, "{signal}");
        let (arrived, _) = held.wait([], Some(Duration::ZERO)).unwrap();
        assert_eq!(arrived, ArrivedSignals::default(), "{signal} was taken");
    }
}

/// Whether the only request is one to stop, and comes in time.
fn is_stopped(mut held: HeldSignals) -> bool {
    let mut signals = held.readable().unwrap();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match signals.take() {
            arrived if arrived == ArrivedSignals::default() => readable(&signals, 100),
            arrived => return arrived == ArrivedSignals { stops: 1, ..ArrivedSignals::default() },
        };
    }
    false
}

#[test]
fn a_child_has_signals_of_its_own_and_the_parent_learns_of_its_end() {
    let _alone = alone();
    let mut signals = held();
    raise(Signal::SIGHUP).unwrap();
    let ForkSide::Parent(child) = process::fork(&mut signals, 0).unwrap() else {
        // In the child: nothing of the parent's is seen, SIGINT is nothing, SIGTERM is read, once however
        // often, and what ends it at once is a signal of its own.
        let mut signals = signals.readable().unwrap();
        let clean = signals.take() == ArrivedSignals::default();
        let _ = raise(Signal::SIGINT);
        let deaf = signals.take() == ArrivedSignals::default();
        let _ = raise(Signal::SIGTERM);
        let hears = signals.take().stops == 1 && signals.counts().stops() == 1;
        let _ = raise(Signal::SIGTERM);
        let once = signals.take().stops == 0 && signals.counts().stops() == 1;
        let _ = raise(Signal::SIGVTALRM);
        let cut = signals.take().stops == 1 && signals.counts().stops() == 2;
        process::exit(if clean && deaf && hears && once && cut { 7 } else { 1 });
    };
    assert_eq!(reaped(), (child, ChildExit::Exited(7)));
    let start = Instant::now();
    let mut seen = ArrivedSignals::default();
    while !seen.child {
        assert!(start.elapsed() < PATIENCE, "SIGCHLD was not told");
        let (arrived, _) = signals.wait([], Some(Duration::from_millis(10))).unwrap();
        seen = ArrivedSignals { reopen: seen.reopen | arrived.reopen, ..arrived };
    }
    assert_eq!(
        seen,
        ArrivedSignals { reopen: true, child: true, ..ArrivedSignals::default() },
        "no stop of the child's"
    );
    assert_eq!(process::reap().unwrap(), None);
}

/// With a descriptor ready, ppoll(2) returns before it lets signals through.
#[test]
fn a_held_signal_comes_though_a_descriptor_is_ready_at_each_wait() {
    const WAITS_MAX: usize = 20;
    let _alone = alone();
    let (read, write) = nix::unistd::pipe().unwrap();
    nix::unistd::write(&write, b"x").unwrap();
    let mut signals = held();
    raise(Signal::SIGTERM).unwrap();
    let mut came = (0..WAITS_MAX).map(|_| {
        let (arrived, ready) = signals.wait([read.as_fd()], None).unwrap();
        assert!(ready.is(0));
        arrived.stops == 1
    });
    assert!(came.any(|came| came), "not in {WAITS_MAX} waits");
}

/// As a thread of a program that uses the library does, or one of a service.
#[test]
fn a_held_signal_that_comes_to_another_thread_is_passed_on() {
    let _alone = alone();
    let (waits, goes_on) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        goes_on.recv().unwrap_or(());
        raise(Signal::SIGTERM).unwrap(); // to this thread
    });
    let mut signals = held();
    waits.send(()).unwrap();
    other.join().unwrap();
    let (arrived, _) = signals.wait([], Some(PATIENCE)).unwrap();
    assert_eq!(arrived, ArrivedSignals { stops: 1, ..ArrivedSignals::default() });
}

#[test]
fn a_child_that_blocks_notices_a_signal_that_came_just_before() {
    let _alone = alone();
    let (read, _write) = nix::unistd::pipe().unwrap();
    let mut signals = held();
    let ForkSide::Parent(child) = process::fork(&mut signals, 20).unwrap() else {
        let _ = raise(Signal::SIGTERM);
        // Again and again.
        let noticed = (0..3).all(|_| nix::unistd::read(&read, &mut [0]) == Err(nix::Error::EINTR));
        process::exit(u8::from(!noticed));
    };
    assert_eq!(reaped(), (child, ChildExit::Exited(0)));
}

#[test]
fn a_timer_interrupts_blocked_calls_until_it_is_set_again() {
    let _alone = alone();
    let (read, _write) = nix::unistd::pipe().unwrap();
    let mut signals = held();
    let ForkSide::Parent(child) = process::fork(&mut signals, 20).unwrap() else {
        let start = Instant::now();
        let set = signals::interrupt_after(50, 10).is_ok();
        let noticed = (0..3).all(|_| nix::unistd::read(&read, &mut [0]) == Err(nix::Error::EINTR));
        let in_time = start.elapsed() >= Duration::from_millis(70);
        let ended = signals::interrupt_no_more().is_ok();
        let mut fds = [PollFd::new(read.as_fd(), PollFlags::POLLIN)];
        let quiet = poll(&mut fds, PollTimeout::from(50_u16)) == Ok(0);
        process::exit(u8::from(!(set && noticed && in_time && ended && quiet)));
    };
    assert_eq!(reaped(), (child, ChildExit::Exited(0)));
}

#[test]
fn a_signal_that_comes_between_the_end_of_the_work_and_that_of_the_process_does_not_kill_it() {
    let _alone = alone();
    let mut signals = held();
    let ForkSide::Parent(child) = process::fork(&mut signals, 0).unwrap() else {
        drop(signals);
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGVTALRM] {
            let _ = raise(signal);
        }
        process::exit(3);
    };
    assert_eq!(reaped(), (child, ChildExit::Exited(3)));
    drop(signals);
    drop(Signals::install().unwrap().for_good());
    raise(Signal::SIGHUP).unwrap();
    Signals::install().unwrap();
    assert_eq!(Signals::install().unwrap().take(), ArrivedSignals::default());
}

#[test]
fn a_signal_of_a_child_does_not_reach_its_parent() {
    let _alone = alone();
    let (told, tell) = nix::unistd::pipe().unwrap();
    let (waits, goes_on) = nix::unistd::pipe().unwrap();
    let mut signals = held();
    let ForkSide::Parent(child) = process::fork(&mut signals, 0).unwrap() else {
        let _ = raise(Signal::SIGTERM);
        let _ = nix::unistd::write(&tell, b"x");
        let _ = nix::unistd::read(&waits, &mut [0]);
        process::exit(0);
    };
    assert_eq!(nix::unistd::read(&told, &mut [0]), Ok(1));
    let (arrived, _) = signals.wait([], Some(Duration::ZERO)).unwrap();
    assert_eq!(arrived, ArrivedSignals::default());
    nix::unistd::write(&goes_on, b"x").unwrap();
    assert_eq!(reaped(), (child, ChildExit::Exited(0)));
}

#[test]
fn a_child_is_stopped_by_its_parent() {
    let _alone = alone();
    let mut signals = held();
    let ForkSide::Parent(child) = process::fork(&mut signals, 0).unwrap() else {
        process::exit(u8::from(!is_stopped(signals)));
    };
    process::notify(child, ChildRequest::Drain).unwrap();
    assert_eq!(reaped(), (child, ChildExit::Exited(0)));
    process::notify(child, ChildRequest::Drain).expect("one that has ended is no error");
    let ForkSide::Parent(child) = process::fork(&mut signals, 0).unwrap() else {
        loop {
            std::thread::park();
        }
    };
    process::notify(child, ChildRequest::Kill).unwrap();
    assert_eq!(reaped(), (child, ChildExit::Killed(9)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_grandchild_gets_a_signal_when_its_parent_dies() {
    let _alone = alone();
    let (read, write) = nix::unistd::pipe().unwrap();
    let (ready, set) = nix::unistd::pipe().unwrap();
    let mut signals = held();
    let ForkSide::Parent(child) = process::fork(&mut signals, 0).unwrap() else {
        if let Ok(ForkSide::Parent(_)) = process::fork(&mut signals, 0) {
            // It lives until the grandchild is set up: an earlier death is another case.
            let _ = nix::unistd::read(&ready, &mut [0]);
            process::exit(0);
        }
        let _ = nix::unistd::write(&set, b"x");
        let _ = nix::unistd::write(&write, if is_stopped(signals) { b"y" } else { b"n" });
        process::exit(0);
    };
    assert_eq!(reaped(), (child, ChildExit::Exited(0)));
    drop(write);
    let mut told = [0];
    assert_eq!(nix::unistd::read(&read, &mut told), Ok(1));
    assert_eq!(&told, b"y");
}

/// What threads of these tests leave.
const PARTING: u32 = 7;
const STACK_BYTES: usize = 256 << 10;

/// Waits until all threads of the crew have left, and calls this meanwhile.
fn wait_for(crew: &Crew<u32>, mut meanwhile: impl FnMut()) {
    let start = Instant::now();
    while crew.running() > 0 {
        assert!(start.elapsed() < PATIENCE, "a thread is still there");
        meanwhile();
        std::thread::yield_now();
    }
    assert_eq!(crew.take_left(false), [PARTING]);
}

#[test]
fn a_blocked_thread_is_interrupted_until_it_has_noticed() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let _alone = alone();
    let signals = held();
    let (read, _write) = nix::unistd::pipe().unwrap();
    let crew = Arc::new(Crew::new().unwrap());
    let work = |read: OwnedFd, _member: &CrewMember<u32>| {
        while !STOP.load(SeqCst) {
            assert_eq!(nix::unistd::read(&read, &mut [0]), Err(nix::Error::EINTR));
        }
    };
    crew.start(&signals, STACK_BYTES, PARTING, read, work).unwrap();
    STOP.store(true, SeqCst);
    wait_for(&crew, || crew.interrupt_all());
    crew.interrupt_all();
}

#[test]
fn a_thread_that_panics_leaves_and_rings_as_any_other() {
    let _alone = alone();
    let signals = held();
    let crew = Arc::new(Crew::new().unwrap());
    assert!(crew.take_left(true).is_empty());
    crew.start(&signals, STACK_BYTES, PARTING, (), |(), _place| panic!("the test's own panic")).unwrap();
    let mut bell = [PollFd::new(crew.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut bell, PollTimeout::from(10_000_u16)), Ok(1));
    wait_for(&crew, || {});
}

/// The time of the crew is given, so the test's own is as good as any.
#[test]
fn a_thread_is_interrupted_when_its_time_has_come_and_not_before() {
    let _alone = alone();
    let signals = held();
    let (read, _write) = nix::unistd::pipe().unwrap();
    let crew = Arc::new(Crew::new().unwrap());
    let work = |read: OwnedFd, member: &CrewMember<u32>| {
        for due_ms in [500, 300] {
            member.interrupt_at(due_ms);
            assert_eq!(nix::unistd::read(&read, &mut [0]), Err(nix::Error::EINTR));
        }
    };
    crew.start(&signals, STACK_BYTES, PARTING, read, work).unwrap();
    let mut bell = [PollFd::new(crew.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut bell, PollTimeout::from(10_000_u16)), Ok(1), "it is due sooner than never");
    crew.silence_bell();
    assert_eq!(crew.due_ms(), Some(500));
    crew.interrupt_due(499);
    assert_eq!((crew.due_ms(), crew.running()), (Some(500), 1));
    // From then on again and again, until it has set another time; that has come, too.
    let mut now_ms = 500;
    wait_for(&crew, || {
        crew.interrupt_due(now_ms);
        assert!(crew.due_ms().is_none_or(|due_ms| due_ms <= now_ms + 20));
        now_ms += 20;
    });
}

#[test]
fn descriptors_are_raised_to_the_hard_limit() {
    let most = process::raise_descriptors_max();
    let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(most, soft);
    assert_eq!(process::raise_descriptors_max(), most);
}

#[test]
fn a_child_does_not_remove_the_path_of_its_parents_socket() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = Listener::bind(&Address::Unix(path.clone()), &ListenOptions::default()).unwrap();
    let mut signals = held();
    let ForkSide::Parent(child) = process::fork(&mut signals, 0).unwrap() else {
        drop(listener);
        process::exit(0);
    };
    assert_eq!(reaped(), (child, ChildExit::Exited(0)));
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
}
