//! Waiting for several descriptors where there is no `mio::Poll`: poll(2).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::poll::ppoll;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::sys::{signal::SigSet, time::TimeSpec};

/// How long to pause in place of a poll(2) that the system refuses, in ms: its caller tries again, and must
/// not spin.
const REFUSED_PAUSE_MS: u64 = 50;

/// Whether poll(2) failed for lack of memory, or because more descriptors are open than the limit now allows
/// (`EINVAL`).
fn is_starved(errno: Errno) -> bool {
    matches!(errno, Errno::ENOMEM | Errno::EAGAIN | Errno::EINVAL)
}

/// A pause in place of a poll(2) that was refused.
fn pause(max: Option<Duration>) {
    let pause = Duration::from_millis(REFUSED_PAUSE_MS);
    std::thread::sleep(max.map_or(pause, |max| max.min(pause)));
}

/// Up to this many descriptors are waited for without an allocation: pages that an accepting process writes
/// to between two forks are copied for a child.
const FEW: usize = 8;

/// Which of the descriptors of a wait are ready.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadySet {
    /// One bit for each of the first descriptors.
    first: u64,
    /// The other descriptors.
    others: Vec<bool>,
}

impl ReadySet {
    fn of(polled: &[PollFd<'_>]) -> Self {
        let (first, others) = polled.split_at(polled.len().min(u64::BITS as usize));
        let bits = first.iter().enumerate().map(|(at, fd)| u64::from(has_event(fd)) << at);
        ReadySet { first: bits.sum(), others: others.iter().map(has_event).collect() }
    }

    /// Whether the descriptor with this index is ready.
    pub(crate) fn is(&self, at: usize) -> bool {
        match at.checked_sub(u64::BITS as usize) {
            None => self.first >> at & 1 == 1,
            Some(other) => self.others.get(other) == Some(&true),
        }
    }

    /// Whether any is.
    pub(crate) fn any(&self) -> bool {
        self.first != 0 || self.others.contains(&true)
    }
}

/// Waits until one of `fds` can be read or is at its end, a signal comes, or `timeout` has passed (`None`: no
/// timeout). Returns which are ready. A signal is not an error, and nothing is ready then. A lack of memory
/// is not an error either: nothing is ready, after a short pause.
pub(crate) fn readable<'a>(
    fds: impl IntoIterator<Item = BorrowedFd<'a>>,
    timeout: Option<Duration>,
) -> io::Result<ReadySet> {
    ready(fds.into_iter().map(to_read), timeout, |fds| {
        poll(fds, timeout.map_or(PollTimeout::NONE, rounded_up))
    })
}

/// The same, with this signal mask during the wait (ppoll(2)): a signal that the mask allows is delivered
/// only in this call, and ends it unless one of `fds` is ready.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn readable_or_signal<'a>(
    fds: impl IntoIterator<Item = BorrowedFd<'a>>,
    timeout: Option<Duration>,
    mask: SigSet,
) -> io::Result<ReadySet> {
    ready(fds.into_iter().map(to_read), timeout, |fds| {
        ppoll(fds, timeout.map(TimeSpec::from_duration), Some(mask))
    })
}

/// Waits until one of `fds` can be read, `stream` has failed or its client is gone, a signal comes, or
/// `timeout` has passed. Returns which of `fds` are ready. Bytes that come for `stream` do not end the wait.
pub(crate) fn readable_or_failed<'a>(
    stream: BorrowedFd<'a>,
    fds: impl IntoIterator<Item = BorrowedFd<'a>>,
    timeout: Duration,
) -> io::Result<ReadySet> {
    let failed = PollFd::new(stream, PollFlags::empty());
    ready(fds.into_iter().map(to_read).chain([failed]), Some(timeout), |fds| poll(fds, rounded_up(timeout)))
}

fn to_read(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}

fn ready<'a>(
    fds: impl Iterator<Item = PollFd<'a>>,
    timeout: Option<Duration>,
    wait: impl FnOnce(&mut [PollFd<'a>]) -> nix::Result<libc::c_int>,
) -> io::Result<ReadySet> {
    let mut fds = fds.fuse();
    let Some(first) = fds.next() else { return done(wait(&mut []), &[], timeout) };
    let mut few: [PollFd<'a>; FEW] = std::array::from_fn(|_| first.clone());
    let mut count = 1;
    for (place, fd) in few[1..].iter_mut().zip(&mut fds) {
        *place = fd;
        count += 1;
    }
    let rest: Vec<PollFd<'a>> = fds.collect();
    if rest.is_empty() {
        let woken = wait(&mut few[..count]);
        return done(woken, &few[..count], timeout);
    }
    let mut all: Vec<PollFd<'a>> = few.into_iter().chain(rest).collect();
    let woken = wait(&mut all);
    done(woken, &all, timeout)
}

/// What a wait that has returned means.
fn done(
    woken: nix::Result<libc::c_int>,
    polled: &[PollFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<ReadySet> {
    match woken {
        Err(Errno::EINTR) => Ok(ReadySet::default()),
        Err(errno) if is_starved(errno) => {
            pause(timeout);
            Ok(ReadySet::default())
        }
        Err(errno) => Err(errno.into()),
        Ok(_) => Ok(ReadySet::of(polled)),
    }
}

/// Whether `stream` has failed, or its client is gone.
pub(crate) fn has_failed(stream: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn has_event(fd: &PollFd<'_>) -> bool {
    fd.revents().is_none_or(|events| !events.is_empty())
}

/// Waits until `fd` can be written to, or a write would fail, for `max` at most. Returns whether it is ready.
/// A signal is not an error: nothing is ready then.
pub(crate) fn writable(fd: BorrowedFd<'_>, max: Duration) -> io::Result<bool> {
    match poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], rounded_up(max)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) if is_starved(errno) => {
            pause(Some(max));
            Ok(false)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// A wait that ends early would be repeated at once.
fn rounded_up(timeout: Duration) -> PollTimeout {
    PollTimeout::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
}
