//! The clocks that all processes of a system share.
#![allow(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// ns since a moment that is the same for all processes until the next boot (`CLOCK_MONOTONIC`): times of
/// several processes can be compared, which `Instant` guarantees only within a process.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    let since = read(libc::CLOCK_MONOTONIC);
    let ns = |number| u64::try_from(number).unwrap_or(0); // neither is ever negative
    ns(since.tv_sec) * 1_000_000_000 + ns(since.tv_nsec)
}

/// The time of day, as `SystemTime::now` returns it. The code of std is on another page of the program, for
/// which a child that serves one client would have to wait.
pub(crate) fn time_of_day() -> SystemTime {
    let since = read(libc::CLOCK_REALTIME);
    match (u64::try_from(since.tv_sec), u32::try_from(since.tv_nsec)) {
        (Ok(s), Ok(ns)) => UNIX_EPOCH + Duration::new(s, ns),
        _ => SystemTime::now(), // before 1970
    }
}

#[inline]
fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to `time`, which has its type. Every system that this program is made for
    // has the clocks that are asked for.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

/// The CPU time of this thread; `None` if the system does not provide it.
#[cfg(feature = "load")]
pub(crate) fn thread_cpu_ns() -> Option<u64> {
    let used = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).ok()?;
    Some(Duration::from(used).as_nanos() as u64)
}
