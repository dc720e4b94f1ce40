//! Promises of `sys::signals` and `sys::process`. They reap whatever child ends and handle every signal, so
//! they have a process of their own, and run one at a time.
//!
//! `sys` is a leaf and not for users of the library: this crate compiles it by itself, with its unit tests.

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

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use sys::process::{self, ChildRequest, Ended, Forked};
use sys::signals::Arrived;
use sys::{Address, ListenOptions, Listener, Signals, signals};

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
fn reaped() -> (u32, Ended) {
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
    assert_eq!(signals.take(), Arrived::default());
    assert_eq!(signals.counts().stops(), 0, "what was asked for before is forgotten");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1] {
        raise(signal).unwrap();
    }
    assert!(readable(&signals, 10_000));
    assert_eq!(signals.take(), Arrived { stops: 2, reopen: true, report: true, child: false });
    assert_eq!(signals.counts().stops(), 2);
    assert!(!readable(&signals, 0), "the pipe is empty again");
    assert_eq!(signals.take(), Arrived::default());
}

#[test]
fn signals_installed_again_start_anew() {
    let _alone = alone();
    for _ in 0..3 {
        let mut signals = Signals::install().unwrap();
        assert_eq!(signals.take(), Arrived::default());
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(signals.take().stops, 1);
    }
}

#[test]
fn a_child_has_its_own_pipe_and_the_parent_learns_of_its_end() {
    let _alone = alone();
    let mut signals = Signals::install().unwrap();
    raise(Signal::SIGHUP).unwrap();
    let Forked::Parent(child) = process::fork(&mut signals).unwrap() else {
        // In the child: nothing of the parent's is seen, SIGINT is nothing, SIGTERM is read, once however
        // often, and what ends it at once is a signal of its own.
        let clean = signals.take() == Arrived::default();
        let _ = raise(Signal::SIGINT);
        let deaf = signals.take() == Arrived::default();
        let _ = raise(Signal::SIGTERM);
        let hears = signals.take().stops == 1 && signals.counts().stops() == 1;
        let _ = raise(Signal::SIGTERM);
        let once = signals.take().stops == 0 && signals.counts().stops() == 1;
        let _ = raise(Signal::SIGALRM);
        let cut = signals.take().stops == 1 && signals.counts().stops() == 2;
        process::exit(if clean && deaf && hears && once && cut { 7 } else { 1 });
    };
    assert_eq!(reaped(), (child, Ended::Exited(7)));
    let start = Instant::now();
    let mut seen = signals.take();
    while !seen.child {
        assert!(start.elapsed() < PATIENCE, "SIGCHLD was not told");
        seen.child = signals.take().child;
    }
    assert_eq!(seen, Arrived { reopen: true, child: true, ..Arrived::default() }, "no stop of the child's");
    assert_eq!(process::reap().unwrap(), None);
}

#[test]
fn a_signal_that_comes_between_the_end_of_the_work_and_that_of_the_process_does_not_kill_it() {
    let _alone = alone();
    let mut signals = Signals::install().unwrap();
    let Forked::Parent(child) = process::fork(&mut signals).unwrap() else {
        drop(signals);
        for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGALRM] {
            let _ = raise(signal);
        }
        process::exit(3);
    };
    assert_eq!(reaped(), (child, Ended::Exited(3)));
    drop(signals.for_good());
    raise(Signal::SIGHUP).unwrap();
    Signals::install().unwrap();
    assert_eq!(Signals::install().unwrap().take(), Arrived::default());
}

#[test]
fn a_signal_of_a_child_does_not_reach_its_parents_pipe() {
    let _alone = alone();
    let (told, tell) = nix::unistd::pipe().unwrap();
    let (waits, goes_on) = nix::unistd::pipe().unwrap();
    let mut signals = Signals::install().unwrap();
    let Forked::Parent(child) = process::fork(&mut signals).unwrap() else {
        let _ = raise(Signal::SIGTERM);
        let _ = nix::unistd::write(&tell, b"x");
        let _ = nix::unistd::read(&waits, &mut [0]);
        process::exit(0);
    };
    assert_eq!(nix::unistd::read(&told, &mut [0]), Ok(1));
    assert!(!readable(&signals, 0), "the child wrote into the pipe of its parent");
    nix::unistd::write(&goes_on, b"x").unwrap();
    assert_eq!(reaped(), (child, Ended::Exited(0)));
}

#[test]
fn a_child_is_stopped_by_its_parent() {
    let _alone = alone();
    let mut signals = Signals::install().unwrap();
    let Forked::Parent(child) = process::fork(&mut signals).unwrap() else {
        let stopped = readable(&signals, 10_000) && signals.take().stops == 1;
        process::exit(u8::from(!stopped));
    };
    process::notify(child, ChildRequest::Drain).unwrap();
    assert_eq!(reaped(), (child, Ended::Exited(0)));
    process::notify(child, ChildRequest::Drain).expect("one that has ended is no error");
    let Forked::Parent(child) = process::fork(&mut signals).unwrap() else {
        loop {
            std::thread::park();
        }
    };
    process::notify(child, ChildRequest::Kill).unwrap();
    assert_eq!(reaped(), (child, Ended::Killed(9)));
}

#[test]
#[cfg(target_os = "linux")]
fn a_grandchild_is_told_when_its_parent_dies() {
    let _alone = alone();
    let (read, write) = nix::unistd::pipe().unwrap();
    let (ready, set) = nix::unistd::pipe().unwrap();
    let mut signals = Signals::install().unwrap();
    let Forked::Parent(child) = process::fork(&mut signals).unwrap() else {
        if let Ok(Forked::Parent(_)) = process::fork(&mut signals) {
            // It lives until the grandchild is set up: an earlier death is another case.
            let _ = nix::unistd::read(&ready, &mut [0]);
            process::exit(0);
        }
        let _ = nix::unistd::write(&set, b"x");
        let told = readable(&signals, 10_000) && signals.take().stops == 1;
        let _ = nix::unistd::write(&write, if told { b"y" } else { b"n" });
        process::exit(0);
    };
    assert_eq!(reaped(), (child, Ended::Exited(0)));
    drop(write);
    let mut told = [0];
    assert_eq!(nix::unistd::read(&read, &mut told), Ok(1));
    assert_eq!(&told, b"y");
}

#[test]
fn a_blocked_thread_is_interrupted_until_it_has_noticed() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let _alone = alone();
    let _signals = Signals::install().unwrap();
    let (read, _write) = nix::unistd::pipe().unwrap();
    let blocked = signals::block().unwrap();
    let thread = std::thread::spawn(move || {
        while !STOP.load(SeqCst) {
            assert_eq!(nix::unistd::read(&read, &mut [0]), Err(nix::Error::EINTR));
        }
    });
    drop(blocked);
    STOP.store(true, SeqCst);
    let start = Instant::now();
    while !thread.is_finished() {
        assert!(start.elapsed() < PATIENCE, "the thread is still blocked");
        signals::interrupt(&thread).unwrap();
        std::thread::yield_now();
    }
    signals::interrupt(&thread).expect("one that has ended is no error");
    thread.join().unwrap();
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
    let mut signals = Signals::install().unwrap();
    let Forked::Parent(child) = process::fork(&mut signals).unwrap() else {
        drop(listener);
        process::exit(0);
    };
    assert_eq!(reaped(), (child, Ended::Exited(0)));
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
}
