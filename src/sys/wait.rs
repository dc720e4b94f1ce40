//! Waiting for several descriptors where there is no `mio::Poll`: poll(2).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long to pause in place of a poll(2) that the system refuses, in ms: its caller tries again, and must
/// not spin.
const REFUSED_PAUSE_MS: u64 = 50;

/// Whether poll(2) could do nothing for want of memory, or because more descriptors are open than may be now
/// (`EINVAL`).
fn is_starved(errno: Errno) -> bool {
    matches!(errno, Errno::ENOMEM | Errno::EAGAIN | Errno::EINVAL)
}

/// A pause in place of a poll(2) that was refused.
fn pause(max: Option<Duration>) {
    let pause = Duration::from_millis(REFUSED_PAUSE_MS);
    std::thread::sleep(max.map_or(pause, |max| max.min(pause)));
}

/// Waits until one of `fds` can be read or is at its end, a signal comes, or `timeout` has passed (`None`: no
/// timeout). Returns for each whether it is ready, in order. A signal is not an error: nothing is ready then.
/// Neither is a system without memory: nothing is ready, after a short pause.
pub(crate) fn readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    match poll(&mut polled, timeout.map_or(PollTimeout::NONE, rounded_up)) {
        Err(Errno::EINTR) => return Ok(vec![false; fds.len()]),
        Err(errno) if is_starved(errno) => {
            pause(timeout);
            return Ok(vec![false; fds.len()]);
        }
        Err(errno) => return Err(errno.into()),
        Ok(_) => {}
    }
    Ok(polled.iter().map(has_event).collect())
}

/// Waits until one of `fds` can be read, `stream` has failed or its client is gone, a signal comes, or
/// `timeout` has passed. Returns for each of `fds` whether it is ready. Bytes that come for `stream` do not
/// end the wait.
pub(crate) fn readable_or_failed(
    stream: BorrowedFd<'_>,
    fds: &[BorrowedFd<'_>],
    timeout: Duration,
) -> io::Result<Vec<bool>> {
    let readable = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
    let mut polled: Vec<PollFd> = readable.chain([PollFd::new(stream, PollFlags::empty())]).collect();
    match poll(&mut polled, rounded_up(timeout)) {
        Err(Errno::EINTR) => return Ok(vec![false; fds.len()]),
        Err(errno) if is_starved(errno) => {
            pause(Some(timeout));
            return Ok(vec![false; fds.len()]);
        }
        Err(errno) => return Err(errno.into()),
        Ok(_) => {}
    }
    Ok(polled.iter().take(fds.len()).map(has_event).collect())
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
