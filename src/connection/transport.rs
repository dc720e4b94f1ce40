//! The streams of clients: one trait, and its implementations for readiness ([`Polled`]) and for blocking
//! calls ([`Blocking`]). Nothing else reads or writes a client's stream.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;

use crate::session::FileRange;
use crate::sys::stream::{COPY_BYTES_MAX, Stream, is_refused};
use crate::sys::wait;

/// Whether a call may block. A transport that never blocks ignores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It may block, up to the transport's own timeout.
    MayBlock,
    /// It must not block.
    Now,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Only bytes of a layer's own were read, a header or a part of a record: another read may bring more.
    Overhead,
    /// The client has ended its side.
    End,
    /// Nothing now: it would block, timed out or was interrupted.
    NotNow,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// This many bytes were written, at least one.
    Bytes(usize),
    /// Nothing now.
    NotNow,
    /// The file has no byte at the offset where the range promised one.
    FileShort,
}

/// Whether all that a layer held has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushOutcome {
    /// It has.
    All,
    /// Room must come first.
    NotNow,
}

/// A stream of bytes to one client.
pub trait Transport {
    /// Reads up to `buf.len()` bytes.
    fn read(&mut self, buf: &mut [u8], patience: Patience) -> io::Result<ReadOutcome>;

    /// Writes from `slices`. `more`: a file or the end of our side follows at once, so a last short segment
    /// may wait for it.
    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome>;

    /// Sends up to `bytes_max` from the front of `range`.
    fn send_file(&mut self, range: &FileRange, bytes_max: usize) -> io::Result<WriteOutcome>;

    /// Sends what was taken by `write` and is still held by a layer ([`super::Layer::flush`]). A stream holds
    /// nothing.
    fn flush(&mut self, _end_follows: bool) -> io::Result<FlushOutcome> {
        Ok(FlushOutcome::All)
    }

    /// Ends our side: the client reads the end after all that was written.
    fn shutdown_write(&mut self) -> io::Result<()>;

    /// Whether a read is worth a system call.
    fn may_read(&self) -> bool;

    /// The error that has ended the stream, such as a reset by the client, if it can be found without a read.
    /// Called while the connection does not read.
    fn failure(&mut self) -> Option<io::Error> {
        None
    }

    /// Bytes taken by `write` that the client's side has not acknowledged; 0 where the system does not report
    /// it.
    fn unacknowledged_bytes(&self) -> u64;

    /// Has what was read acknowledged at once: no answer follows that would carry the acknowledgement, and
    /// the client may wait for it before it sends the rest (Nagle's algorithm, RFC 9293, section 3.7.4).
    fn acknowledge(&mut self) {}

    /// Has the stream reset when it is dropped, so that the system forgets what the client has not taken: the
    /// client is cut.
    fn reset_at_close(&mut self) {}

    /// The client has ended in good order: the system may send the rest when the stream is dropped.
    fn close_in_order(&mut self) {}
}

/// A stream of the reactor: it never blocks. Latched events show when a call is worth making.
///
/// Registered once ([`Polled::register`]), edge-triggered. Readiness is cleared when a call would block or,
/// with epoll, after a short read: no byte was left, and the next byte makes an edge. This does not hold once
/// the end of input or urgent data was signalled (a read stops at the urgent mark, and the end makes no
/// further edge): then reads continue until one would block or returns the end.
#[derive(Debug)]
pub struct Polled {
    stream: Stream,
    ready: u8,
    files: FileSending,
    #[cfg(mio_unsupported_force_poll_poll)]
    registration: Option<(mio::Registry, mio::Token)>,
}

const READ: u8 = 1;
const WRITE: u8 = 2;
const READ_CLOSED: u8 = 4;
const PRIORITY: u8 = 8;
const FAILED: u8 = 16;

/// Whether a short read proves that the kernel's buffer is empty and that the next byte will make an edge.
const SHORT_READ_EMPTIES: bool =
    cfg!(any(target_os = "linux", target_os = "android")) && !cfg!(mio_unsupported_force_poll_poll);

impl Polled {
    /// A stream that was just accepted: it can be written to; the first event reports what can be read.
    pub fn new(stream: Stream) -> Self {
        Self::ready_for(stream, WRITE)
    }

    /// A stream that was just accepted with its first bytes: a read is worth its call before any event.
    pub(crate) fn with_bytes(stream: Stream) -> Self {
        Self::ready_for(stream, READ | WRITE)
    }

    fn ready_for(stream: Stream, ready: u8) -> Self {
        Polled {
            stream,
            ready,
            files: FileSending::Sent,
            #[cfg(mio_unsupported_force_poll_poll)]
            registration: None,
        }
    }

    /// The stream, to register.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Registers it, once and for all: its events have this token.
    pub fn register(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.stream.as_raw_fd()), token, Self::interest())?;
        #[cfg(mio_unsupported_force_poll_poll)]
        {
            self.registration = Some((registry.try_clone()?, token));
        }
        Ok(())
    }

    fn interest() -> mio::Interest {
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let interest = interest | mio::Interest::PRIORITY;
        interest
    }

    /// Renews the interest in readiness that is not latched: mio's selector for poll(2) forgets an interest
    /// with its event. A stream that it has dropped itself, because both sides are closed, needs no further
    /// event.
    #[cfg(mio_unsupported_force_poll_poll)]
    fn renew(&self) {
        let missing = [(READ, mio::Interest::READABLE), (WRITE, mio::Interest::WRITABLE)]
            .into_iter()
            .filter(|(bit, _)| self.ready & bit == 0)
            .map(|(_, interest)| interest)
            .reduce(|one, other| one | other);
        let urgent = Self::interest().remove(mio::Interest::READABLE | mio::Interest::WRITABLE);
        let missing = missing.map(|missing| urgent.map_or(missing, |urgent| missing | urgent));
        if let (Some((registry, token)), Some(interest)) = (&self.registration, missing) {
            let _ = registry.reregister(&mut SourceFd(&self.stream.as_raw_fd()), *token, interest);
        }
    }

    /// epoll and kqueue renew it by themselves.
    #[cfg(not(mio_unsupported_force_poll_poll))]
    #[allow(clippy::unused_self)]
    fn renew(&self) {}

    /// Latches an event; it does no I/O. A flag of closing or error makes a read and a write worth a call,
    /// which then gives the cause: events are hints, only `read` and `write` decide.
    pub fn latch(&mut self, event: &mio::event::Event) {
        if event.is_readable() {
            self.ready |= READ;
        }
        if event.is_writable() {
            self.ready |= WRITE;
        }
        if event.is_priority() {
            self.ready |= READ | PRIORITY;
        }
        if event.is_read_closed() {
            self.ready |= READ | READ_CLOSED;
        }
        if event.is_error() || event.is_write_closed() {
            self.ready |= READ | WRITE | READ_CLOSED | FAILED;
        }
    }

    /// Makes the next read call the system, whatever was latched: a drain answers what has arrived.
    pub(crate) fn look_again(&mut self) {
        self.ready |= READ;
    }
}

/// epoll and kqueue forget a closed descriptor that has no duplicate; from poll(2) it must be removed.
#[cfg(mio_unsupported_force_poll_poll)]
impl Drop for Polled {
    fn drop(&mut self) {
        if let Some((registry, _)) = &self.registration {
            let _ = registry.deregister(&mut SourceFd(&self.stream.as_raw_fd()));
        }
    }
}

impl Transport for Polled {
    fn read(&mut self, buf: &mut [u8], _patience: Patience) -> io::Result<ReadOutcome> {
        if !self.may_read() {
            return Ok(ReadOutcome::NotNow);
        }
        match retry(|| self.stream.read(buf)) {
            Ok(0) => Ok(ReadOutcome::End),
            Ok(len) => {
                if SHORT_READ_EMPTIES && len < buf.len() && self.ready & (READ_CLOSED | PRIORITY) == 0 {
                    self.ready &= !READ;
                }
                Ok(ReadOutcome::Bytes(len))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready &= !(READ | PRIORITY);
                self.renew();
                Ok(ReadOutcome::NotNow)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome> {
        if self.ready & WRITE == 0 {
            return Ok(WriteOutcome::NotNow);
        }
        let written = retry(|| self.stream.write(slices, more)).map(WriteOutcome::Bytes);
        self.clear_if_blocked(written)
    }

    fn send_file(&mut self, range: &FileRange, bytes_max: usize) -> io::Result<WriteOutcome> {
        if self.ready & WRITE == 0 {
            return Ok(WriteOutcome::NotNow);
        }
        let sent = retry(|| self.files.send(&self.stream, range, bytes_max));
        self.clear_if_blocked(sent)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn may_read(&self) -> bool {
        self.ready & READ != 0
    }

    fn failure(&mut self) -> Option<io::Error> {
        (self.ready & FAILED != 0).then(|| self.stream.failure())
    }

    fn unacknowledged_bytes(&self) -> u64 {
        self.stream.unacknowledged_bytes()
    }

    fn acknowledge(&mut self) {
        self.stream.acknowledge();
    }

    fn reset_at_close(&mut self) {
        self.stream.reset_at_close(true);
    }
}

impl Polled {
    fn clear_if_blocked(&mut self, written: io::Result<WriteOutcome>) -> io::Result<WriteOutcome> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready &= !WRITE;
                self.renew();
                Ok(WriteOutcome::NotNow)
            }
            written => written,
        }
    }
}

/// A stream of the models in which a process or thread waits for its own client: calls block, up to the
/// timeouts that the model sets on the socket.
#[derive(Debug)]
pub struct Blocking {
    stream: Stream,
    writes: Writes,
    if_killed: KillEffect,
    files: FileSending,
}

/// What becomes of the stream when its process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KillEffect {
    /// The system closes it, and still delivers what was written.
    Close,
    /// It is reset, unless the client was ended in order before.
    Reset,
}

/// What the next write of a blocking stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    Call,
    /// Return `NotNow`, once: the last call took only a part, so a timeout or a signal has ended it. The
    /// model checks its clock and signals first; otherwise a client that reads a little in each time slice
    /// would keep it from that.
    ReturnOnce,
}

impl Blocking {
    /// A blocking stream. (A nonblocking one returns `NotNow` at once: a model may also poll it.)
    pub fn new(stream: Stream) -> Self {
        Blocking { stream, writes: Writes::Call, if_killed: KillEffect::Close, files: FileSending::Sent }
    }

    /// The same in a process that may be killed while it serves the client: the stream is reset when it is
    /// closed ([`Stream::reset_at_close`] was called, or it has inherited that), unless the client has ended
    /// in good order before.
    pub(crate) fn reset_if_killed(stream: Stream) -> Self {
        Blocking { if_killed: KillEffect::Reset, ..Blocking::new(stream) }
    }

    /// The stream, for its timeouts.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    fn write_with(
        &mut self,
        asked: u64,
        call: impl FnOnce(&Stream, &mut FileSending) -> io::Result<WriteOutcome>,
    ) -> io::Result<WriteOutcome> {
        if self.writes == Writes::ReturnOnce {
            self.writes = Writes::Call;
            return Ok(WriteOutcome::NotNow);
        }
        match call(&self.stream, &mut self.files) {
            Err(error) if returned_early(&error) => Ok(WriteOutcome::NotNow),
            Ok(WriteOutcome::Bytes(len)) if (len as u64) < asked => {
                self.writes = Writes::ReturnOnce;
                Ok(WriteOutcome::Bytes(len))
            }
            put => put,
        }
    }
}

impl Transport for Blocking {
    fn read(&mut self, buf: &mut [u8], patience: Patience) -> io::Result<ReadOutcome> {
        let read = match patience {
            Patience::MayBlock => self.stream.read(buf),
            Patience::Now => self.stream.read_now(buf),
        };
        match read {
            Ok(0) => Ok(ReadOutcome::End),
            Ok(len) => Ok(ReadOutcome::Bytes(len)),
            Err(error) if returned_early(&error) => Ok(ReadOutcome::NotNow),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<WriteOutcome> {
        let asked = slices.iter().map(|slice| slice.len() as u64).sum();
        self.write_with(asked, |stream, _| stream.write(slices, more).map(WriteOutcome::Bytes))
    }

    fn send_file(&mut self, range: &FileRange, bytes_max: usize) -> io::Result<WriteOutcome> {
        let asked = range.len.min(self.files.at_once(bytes_max) as u64);
        self.write_with(asked, |stream, files| files.send(stream, range, bytes_max))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown_write()
    }

    fn may_read(&self) -> bool {
        true
    }

    fn failure(&mut self) -> Option<io::Error> {
        wait::has_failed(self.stream.as_fd()).then(|| self.stream.failure())
    }

    fn unacknowledged_bytes(&self) -> u64 {
        self.stream.unacknowledged_bytes()
    }

    fn acknowledge(&mut self) {
        self.stream.acknowledge();
    }

    fn reset_at_close(&mut self) {
        self.stream.reset_at_close(true);
    }

    fn close_in_order(&mut self) {
        if self.if_killed == KillEffect::Reset {
            self.stream.reset_at_close(false);
        }
    }
}

/// How files are sent to one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileSending {
    /// In one system call.
    Sent,
    /// Read and written, since that call was refused once: its file system may not offer it.
    Copied,
}

impl FileSending {
    /// How many of `bytes` a single call sends.
    fn at_once(self, bytes: usize) -> usize {
        match self {
            FileSending::Sent => bytes,
            FileSending::Copied => bytes.min(COPY_BYTES_MAX),
        }
    }

    fn send(&mut self, stream: &Stream, range: &FileRange, bytes_max: usize) -> io::Result<WriteOutcome> {
        let len = usize::try_from(range.len).unwrap_or(usize::MAX).min(bytes_max);
        let sent = match self {
            FileSending::Sent => stream.send_file(&range.file, range.offset, len),
            FileSending::Copied => Err(io::ErrorKind::Unsupported.into()),
        };
        let sent = match sent {
            Err(error) if is_refused(&error) => {
                *self = FileSending::Copied;
                stream.copy_file(&range.file, range.offset, len, (len as u64) < range.len)?
            }
            sent => sent?,
        };
        Ok(if sent == 0 { WriteOutcome::FileShort } else { WriteOutcome::Bytes(sent) })
    }
}

/// Whether a blocked call returned without a result: by its timeout (`EAGAIN`, socket(7)) or by a signal.
fn returned_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
        && error.raw_os_error() != Some(libc::ETIMEDOUT)
}

/// How often a call that does not block is repeated after a signal: it is rarely interrupted once.
const INTERRUPTS_MAX: u32 = 1000;

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..INTERRUPTS_MAX {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    call()
}
