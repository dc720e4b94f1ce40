//! An accepted socket: TCP or Unix, read and written with the calls that the connection needs and std does
//! not offer.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::socket::MsgFlags;

/// A connected stream socket. Four bytes: a connection keeps it for its whole life.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
}

/// A write to a closed connection is an error, never a signal (send(2)).
#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_SIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_SIGNAL: MsgFlags = MsgFlags::empty(); // SIGPIPE is ignored: std does so before `main`

/// Bytes of a file that are in memory at once where it is read and written: few calls per file, and little
/// memory.
pub(crate) const COPY_BYTES_MAX: usize = 64 << 10;

/// sendfile(2) is missing, or forbidden to this process: no file can be sent by it.
static SENDFILE_IS_REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether an error of [`Stream::send_file`] means that the system does not send this file in that way,
/// though it may be readable: the call is missing or forbidden (a seccomp filter), or the file system does
/// not offer it (GPFS, some FUSE).
pub(crate) fn is_refused(error: &io::Error) -> bool {
    // `Unsupported` is ENOTSUP, which Linux calls EOPNOTSUPP too, and ENOSYS.
    error.kind() == io::ErrorKind::Unsupported
        || is_refused_always(error)
        || matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

/// Whether it means that for every file.
fn is_refused_always(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES))
}

impl Stream {
    /// A stream socket that is connected.
    pub fn new(fd: OwnedFd) -> Self {
        Stream { fd }
    }

    /// What has failed, of a stream of which poll(2) or epoll(7) reports an error or that the client is gone.
    pub fn failure(&self) -> io::Error {
        match nix::sys::socket::getsockopt(&self.fd, nix::sys::socket::sockopt::SocketError) {
            Ok(0) => io::ErrorKind::ConnectionReset.into(), // both sides are closed
            Ok(errno) => io::Error::from_raw_os_error(errno),
            Err(errno) => errno.into(),
        }
    }

    /// Reads into `buf`: recv(2).
    #[inline]
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, 0)
    }

    /// Reads into `buf` without waiting, whatever the socket's mode: recv(2) with `MSG_DONTWAIT`.
    #[inline]
    pub fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf, libc::MSG_DONTWAIT)
    }

    #[inline]
    fn receive(&self, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
        // SAFETY: bytes are written to `buf` alone, at most its length; the descriptor is open because `self`
        // owns it.
        let len = unsafe { libc::recv(self.fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), flags) };
        usize::try_from(len).map_err(|_| io::Error::last_os_error())
    }

    #[inline]
    fn send(&self, bytes: &[u8], flags: MsgFlags) -> io::Result<usize> {
        // SAFETY: `bytes` are read, at most their length; the descriptor is open because `self` owns it.
        let len =
            unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags.bits()) };
        usize::try_from(len).map_err(|_| io::Error::last_os_error())
    }

    /// Writes from `slices`: send(2), or sendmsg(2) for several. With `more`, a last short segment waits for
    /// what follows (`MSG_MORE`, where there is one).
    #[inline]
    pub fn write(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let flags = if more { NO_SIGNAL | MsgFlags::from_bits_retain(libc::MSG_MORE) } else { NO_SIGNAL };
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let flags = {
            let _ = more;
            NO_SIGNAL
        };
        match slices {
            [one] => self.send(one, flags),
            many => Ok(nix::sys::socket::sendmsg::<()>(self.fd.as_raw_fd(), many, &[], flags, None)?),
        }
    }

    /// Sends up to `len` bytes of `file` from `offset` in one call, in which the bytes do not pass through
    /// the program: sendfile(2) on Linux and macOS. 0 means that the file has no byte there. Where
    /// `is_refused` holds for the error, [`Stream::copy_file`] does the same.
    pub fn send_file(&self, file: &File, offset: u64, len: usize) -> io::Result<usize> {
        if SENDFILE_IS_REFUSED.load(Relaxed) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.send_file_at(file, offset, len).inspect_err(|error| {
            if is_refused_always(error) && !SENDFILE_IS_REFUSED.swap(true, Relaxed) {
                log::debug!("sendfile(2) is not available ({error}); reading and writing files instead");
            }
        })
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_file_at(&self, file: &File, mut offset: i64, len: usize) -> io::Result<usize> {
        Ok(nix::sys::sendfile::sendfile64(self.fd.as_fd(), file.as_fd(), Some(&mut offset), len)?)
    }

    #[cfg(target_os = "macos")]
    fn send_file_at(&self, file: &File, offset: i64, len: usize) -> io::Result<usize> {
        let len = Some(i64::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?);
        let (result, sent) =
            nix::sys::sendfile::sendfile(file.as_fd(), self.fd.as_fd(), offset, len, None, None);
        match result {
            // An interrupted or partial send returns an error and the number of bytes that were sent.
            Err(_) if sent > 0 => Ok(usize::try_from(sent).unwrap_or(0)),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(usize::try_from(sent).unwrap_or(0)),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
    #[allow(clippy::unused_self, reason = "there is no such call")]
    fn send_file_at(&self, _file: &File, _offset: i64, _len: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads up to `len` bytes of `file` from `offset`, at most `COPY_BYTES_MAX`, and writes them: pread(2)
    /// and send(2). Returns how many were written; 0 means that the file has no byte there. What was read and
    /// not written is read again by the next call. `more` is as for [`Stream::write`].
    pub fn copy_file(&self, file: &File, offset: u64, len: usize, more: bool) -> io::Result<usize> {
        let mut bytes = vec![0; len.min(COPY_BYTES_MAX)];
        match file.read_at(&mut bytes, offset)? {
            0 => Ok(0),
            read => self.write(&[IoSlice::new(&bytes[..read])], more || read < len),
        }
    }

    /// Ends our side: shutdown(2) with `SHUT_WR`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        Ok(nix::sys::socket::shutdown(self.fd.as_raw_fd(), nix::sys::socket::Shutdown::Write)?)
    }

    /// Written bytes that the client has not acknowledged (`SIOCOUTQ`, tcp(7); `SO_NWRITE`); 0 if unknown.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn unacknowledged_bytes(&self) -> u64 {
        let mut queued: libc::c_int = 0;
        // SAFETY: TIOCOUTQ (the same number as SIOCOUTQ) writes one int to the address given, which is
        // `queued`, alive for the call; the descriptor is open because `self` owns it.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) };
        if done == 0 { u64::try_from(queued).unwrap_or(0) } else { 0 }
    }

    /// Written bytes that the client has not acknowledged (`SIOCOUTQ`, tcp(7); `SO_NWRITE`); 0 if unknown.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub fn unacknowledged_bytes(&self) -> u64 {
        #[cfg(target_os = "macos")]
        {
            let mut queued: libc::c_int = 0;
            let mut len = size_of::<libc::c_int>() as libc::socklen_t;
            // SAFETY: SO_NWRITE writes at most `len` bytes, one int, to the address given, which is `queued`,
            // alive for the call as is `len`; the descriptor is open because `self` owns it.
            let done = unsafe {
                libc::getsockopt(
                    self.fd.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_NWRITE,
                    (&raw mut queued).cast(),
                    &raw mut len,
                )
            };
            if done == 0 {
                return u64::try_from(queued).unwrap_or(0);
            }
        }
        0
    }

    /// Makes the system acknowledge received bytes at once (`TCP_QUICKACK`, tcp(7)), if the acknowledgement
    /// is delayed. On Linux only; a Unix socket has no acknowledgements.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self, reason = "nothing is to be had there"))]
    pub fn acknowledge(&self) {
        // Nothing depends on it: without it the acknowledgement leaves some 40 ms later.
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&self.fd).set_tcp_quickack(true);
    }

    /// Sets whether closing resets the connection (`SO_LINGER` with no time, socket(7)). With a reset the
    /// system drops unsent and unacknowledged bytes; otherwise it tries to deliver them for minutes, even
    /// after this process has ended. A Unix socket has no reset: its client can still read the waiting bytes,
    /// at most the send buffer.
    pub fn reset_at_close(&self, reset: bool) {
        // Nothing depends on it but how long the system remembers the client.
        let _ = socket2::SockRef::from(&self.fd).set_linger(reset.then_some(Duration::ZERO));
    }

    /// Sets whether calls block.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        socket2::SockRef::from(&self.fd).set_nonblocking(nonblocking)
    }

    /// How long a blocking write may take (`SO_SNDTIMEO`, socket(7)); `None` means no limit.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        socket2::SockRef::from(&self.fd).set_write_timeout(timeout)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
