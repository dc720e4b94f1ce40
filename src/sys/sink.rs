//! Appends lines to a file, pipe, socket or terminal without ever waiting for its reader.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::wait;

/// Bytes that a write to a pipe transfers as a whole or not at all, not interleaved with other writers
/// (pipe(7), `PIPE_BUF`).
const PIECE_BYTES_MAX: usize = libc::PIPE_BUF;
/// Bytes that a terminal with room for anything takes without waiting. poll(2) reports room for one byte, and
/// a write of more would wait for the rest; but systems make room in larger steps (Linux by 256 bytes).
const TERMINAL_PIECE_BYTES_MAX: usize = 64;

/// A file, FIFO, pipe, socket or terminal to which lines are appended. Other processes may append to it, too.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    method: WriteMethod,
}

/// What keeps a write from waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteMethod {
    /// A regular file: a write does not depend on a reader.
    Regular,
    /// Each call is nonblocking by a flag (send(2), `MSG_DONTWAIT`).
    Socket,
    /// A separate open file description, with `O_NONBLOCK`.
    Nonblocking,
    /// An open file description shared with other programs, such as the shell, which do not expect
    /// `O_NONBLOCK`: poll(2) is called before each write. For a pipe it reports room for a piece; between
    /// poll and write another process may take this room.
    PollFirst,
    /// The same for a terminal, which takes smaller pieces.
    PollTerminalFirst,
}

impl Sink {
    /// The descriptor with this number that the process inherited: 1 for standard output. On Linux a pipe or
    /// terminal is opened again through `/proc`: the new open file description is not shared, so `O_NONBLOCK`
    /// can be set. Where this is not permitted (a pipe of another user) or not possible, poll(2) is called
    /// before each write. A socket cannot be opened again, and need not be.
    pub(crate) fn inherited(fd: RawFd) -> io::Result<Sink> {
        // SAFETY: fcntl(2) takes any number.
        let (flags, mode) = unsafe { (libc::fcntl(fd, libc::F_GETFD), libc::fcntl(fd, libc::F_GETFL)) };
        // Descriptors that this process has opened have close-on-exec; an inherited descriptor cannot have
        // it.
        if flags == -1 || flags & libc::FD_CLOEXEC != 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the program was not started with this descriptor",
            ));
        }
        if mode & libc::O_ACCMODE == libc::O_RDONLY {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is open for reading only"));
        }
        // SAFETY: as above.
        let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
        if copy == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the copy was just made and has no other owner.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(copy) });
        let kind = file.metadata()?.file_type();
        if kind.is_file() {
            return Ok(Sink { file, method: WriteMethod::Regular });
        }
        if kind.is_socket() {
            return Ok(Sink { file, method: WriteMethod::Socket });
        }
        let (own, otherwise) = if file.is_terminal() {
            (reopened_terminal(file.as_fd()), WriteMethod::PollTerminalFirst)
        } else {
            (reopened(file.as_fd()), WriteMethod::PollFirst)
        };
        Ok(match own {
            Ok(own) => Sink { file: own, method: WriteMethod::Nonblocking },
            Err(_) => Sink { file, method: otherwise },
        })
    }

    /// The terminal of standard output, with a separate open file description, so that no write blocks.
    ///
    /// # Errors
    /// Standard output is not a terminal, or one that belongs to another user and is not the controlling
    /// terminal.
    #[cfg(feature = "cli")]
    pub(crate) fn terminal() -> io::Result<Sink> {
        Sink::of_terminal(io::stdout().as_fd())
    }

    #[cfg(feature = "cli")]
    pub(crate) fn of_terminal(fd: BorrowedFd<'_>) -> io::Result<Sink> {
        if !fd.is_terminal() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "it is not a terminal"));
        }
        Ok(Sink { file: reopened_terminal(fd)?, method: WriteMethod::Nonblocking })
    }

    /// Opens a file, and creates it if it does not exist. A FIFO without a reader is an error: the call does
    /// not wait for one.
    pub(crate) fn open(path: &Path) -> io::Result<Sink> {
        let file = options().create(true).open(path).map_err(|error| {
            let is_fifo = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
            if error.raw_os_error() == Some(libc::ENXIO) && is_fifo {
                return io::Error::new(io::ErrorKind::NotConnected, "this FIFO has no reader");
            }
            error
        })?;
        let method = if file.metadata()?.is_file() { WriteMethod::Regular } else { WriteMethod::Nonblocking };
        Ok(Sink { file, method })
    }

    /// Writes some of these lines and returns the number of bytes: all for a regular file, otherwise as many
    /// whole lines as fit into one piece, which is not interleaved with other writers. A longer line goes in
    /// pieces. Never waits: an error of kind `WouldBlock` if nothing can be written now.
    pub(crate) fn write_now(&self, lines: &[u8]) -> io::Result<usize> {
        match self.method {
            WriteMethod::Regular => (&self.file).write(lines),
            WriteMethod::Socket => {
                SockRef::from(&self.file).send_with_flags(piece(lines), libc::MSG_DONTWAIT)
            }
            WriteMethod::PollFirst | WriteMethod::PollTerminalFirst if !self.wait(Duration::ZERO)? => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            WriteMethod::Nonblocking | WriteMethod::PollFirst => (&self.file).write(piece(lines)),
            WriteMethod::PollTerminalFirst => (&self.file).write(terminal_piece(lines)),
        }
    }

    /// Writes what is taken within `max`: how many bytes that was. A signal does not end the waiting.
    pub(crate) fn write_within(&self, lines: &[u8], max: Duration) -> usize {
        self.write_within_timed(lines, max).0
    }

    /// The same, with the time for which it waited.
    pub(crate) fn write_within_timed(&self, lines: &[u8], max: Duration) -> (usize, Duration) {
        let began = Instant::now();
        let (mut written, mut waited) = (0, Duration::ZERO);
        // Bound: the bytes, and the time.
        while written < lines.len() {
            match self.write_now(&lines[written..]) {
                Ok(0) => break,
                Ok(len) => written += len,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
                {
                    let left = max.saturating_sub(began.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    let ready = self.wait(left);
                    waited = began.elapsed();
                    if ready.is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        (written, waited)
    }

    /// Waits until something can be written, or an error be learned by writing, for `max` at most; whether it
    /// is so.
    fn wait(&self, max: Duration) -> io::Result<bool> {
        wait::writable(self.file.as_fd(), max)
    }
}

/// The most links followed in a row, as in the kernel (`path_resolution(7)`).
const LINKS_MAX: u32 = 40;

/// The descriptor of this process that a path names: 1 for `/dev/stdout`, or for a link to it. Such a path
/// cannot always be opened: not for a socket, or for a pipe of another user.
pub(crate) fn descriptor_of(path: &Path) -> Option<RawFd> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if let Some(fd) = descriptor_named(&path) {
            return Some(fd);
        }
        let target = std::fs::read_link(&path).ok()?;
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    None
}

fn descriptor_named(path: &Path) -> Option<RawFd> {
    // Without `.` and doubled slashes.
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    match path.to_str()? {
        "/dev/stdin" => return Some(0),
        "/dev/stdout" => return Some(1),
        "/dev/stderr" => return Some(2),
        _ => {}
    }
    let own = format!("/proc/{}/fd", std::process::id());
    let number = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", &own]
        .into_iter()
        .find_map(|all| path.strip_prefix(all).ok())?;
    number.to_str()?.parse().ok().filter(|&fd: &RawFd| fd >= 0)
}

/// The pipe or terminal of a descriptor, opened again. On systems other than Linux its path does not do that.
fn reopened(fd: BorrowedFd<'_>) -> io::Result<File> {
    if !cfg!(target_os = "linux") {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a descriptor cannot be opened again here"));
    }
    options().open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// The same for a terminal. After su(1) it is another user's, and can be opened as the controlling terminal
/// only.
fn reopened_terminal(fd: BorrowedFd<'_>) -> io::Result<File> {
    reopened(fd).or_else(|error| {
        // SAFETY: neither call has other arguments than the number.
        let is_controlling = unsafe { libc::tcgetsid(fd.as_raw_fd()) == libc::getsid(0) };
        if is_controlling { options().open("/dev/tty") } else { Err(error) }
    })
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

/// The first whole lines, as far as they fit into a piece; of a line that does not, its beginning.
fn piece(lines: &[u8]) -> &[u8] {
    let Some(fit) = lines.get(..PIECE_BYTES_MAX) else { return lines };
    let whole = fit.iter().rposition(|&byte| byte == b'\n').map_or(fit.len(), |last| last + 1);
    &fit[..whole]
}

/// What one write to a terminal may have: a character that output processing changes (termios(3), `OPOST`) is
/// alone, since the kernel looks for room before each and would wait there.
fn terminal_piece(lines: &[u8]) -> &[u8] {
    let is_changed = |byte: &u8| matches!(byte, b'\n' | b'\r' | b'\t' | 0x08);
    let run = lines.iter().take(TERMINAL_PIECE_BYTES_MAX).take_while(|byte| !is_changed(byte)).count();
    &lines[..run.max(1).min(lines.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_of_whole_lines_unless_one_is_too_long() {
        let long = vec![b'a'; PIECE_BYTES_MAX + 7];
        assert_eq!(piece(b""), b"");
        assert_eq!(piece(b"one\ntwo\n"), b"one\ntwo\n");
        assert_eq!(piece(&[b"one\ntwo\n", &long[..]].concat()), b"one\ntwo\n");
        assert_eq!(piece(&long), &long[..PIECE_BYTES_MAX]);
    }

    #[test]
    fn paths_of_descriptors_are_known_and_links_to_them_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (link, other) = (folder.path().join("log"), folder.path().join("link"));
        std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
        std::os::unix::fs::symlink("./log", &other).unwrap();
        let own = format!("/proc/{}/fd/2", std::process::id());
        for (path, fd) in [
            ("/dev/stdout", Some(1)),
            ("/dev//./stderr", Some(2)),
            ("/dev/fd/63", Some(63)),
            ("/proc/self/fd/1", Some(1)),
            (&own, Some(2)),
            (link.to_str().unwrap(), Some(1)),
            (other.to_str().unwrap(), Some(1)),
            ("/dev/null", None),
            ("/dev/fd", None),
            ("/dev/fd/x", None),
            ("access.log", None),
        ] {
            assert_eq!(descriptor_of(Path::new(path)), fd, "{path}");
        }
    }

    /// A write never waits for a stalled reader; a full socket and a closed socket are different errors.
    #[test]
    fn a_full_socket_is_not_waited_for() {
        let (ours, mut reader) = std::os::unix::net::UnixStream::pair().unwrap();
        as_if_inherited(ours.as_fd());
        let sink = Sink::inherited(ours.as_raw_fd()).unwrap();
        drop(ours);
        let lines = [&[b'a'; 99][..], b"\n"].concat().repeat(1_000);
        let mut sent = 0;
        let error = loop {
            match sink.write_now(&lines) {
                Ok(len) => sent += len,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "after {sent} bytes");
        io::Read::read_exact(&mut reader, &mut vec![0; sent]).unwrap();
        assert!(sink.write_now(&lines).unwrap() > 0);
        drop(reader);
        assert_eq!(sink.write_now(&lines).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    /// Asking poll(2) keeps a pipe from blocking that may not be set so; the test would hang.
    #[test]
    fn a_full_pipe_is_an_error_without_waiting_and_accepts_more_once_it_is_read() {
        for method in [WriteMethod::PollFirst, WriteMethod::Nonblocking] {
            let (mut reader, writer) = io::pipe().unwrap();
            let file = File::from(std::os::fd::OwnedFd::from(writer));
            if method == WriteMethod::Nonblocking {
                nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
                    .unwrap();
            }
            let sink = Sink { file, method };
            let line = [&[b'a'; 99][..], b"\n"].concat();
            let lines = line.repeat(20_000);
            let mut sent = 0;
            for piece_of_reading in [1_000, 5_000, 30_000] {
                let error = loop {
                    match sink.write_now(&lines[sent..]) {
                        Ok(len) => sent += len,
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{method:?} after {sent} bytes");
                assert_eq!(sent % line.len(), 0, "whole lines");
                assert!(!sink.wait(Duration::ZERO).unwrap());
                let mut some = vec![0; piece_of_reading];
                io::Read::read_exact(&mut reader, &mut some).unwrap();
            }
            drop(reader);
            assert!(sink.wait(Duration::ZERO).unwrap(), "there is an error to be learned");
            assert_eq!(sink.write_now(&lines).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }

    /// After su(1) a terminal may be another user's and cannot be opened again; the test would hang.
    #[cfg(feature = "cli")] // which has terminals
    #[test]
    fn a_terminal_that_takes_nothing_is_not_waited_for_and_gets_more_once_it_is_read() {
        // Lines of each length up to a step of the kernel's room: the room ends within them and between.
        for len in (1..=300).step_by(13) {
            let pty = nix::pty::openpty(None, None).unwrap();
            let sink = Sink { file: File::from(pty.slave), method: WriteMethod::PollTerminalFirst };
            let lines = [&vec![b'a'; len - 1][..], b"\n"].concat().repeat(100_000 / len);
            let mut master = File::from(pty.master);
            let mut sent = 0;
            for _ in 0..3 {
                let before = sent;
                let error = loop {
                    match sink.write_now(&lines[sent..]) {
                        Ok(len) => sent += len,
                        Err(error) => break error,
                    }
                };
                assert!(
                    error.kind() == io::ErrorKind::WouldBlock && sent > before,
                    "{error} after {sent} bytes"
                );
                // It has room again after some reads, not after each.
                let reads_max = sent / 1_000;
                let mut has_room = || {
                    io::Read::read_exact(&mut master, &mut [0; 1_000]).unwrap();
                    sink.wait(Duration::from_millis(20)).unwrap()
                };
                assert!((0..reads_max).any(|_| has_room()), "after {reads_max} reads");
            }
        }
    }

    fn as_if_inherited(fd: std::os::fd::BorrowedFd<'_>) {
        nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    }

    #[test]
    fn a_descriptor_that_is_not_the_starters_or_only_read_is_refused() {
        let (reader, writer) = io::pipe().unwrap();
        let number = |fd: &dyn AsRawFd| Sink::inherited(fd.as_raw_fd()).map_err(|error| error.kind());
        assert_eq!(number(&writer).unwrap_err(), io::ErrorKind::NotFound);
        as_if_inherited(reader.as_fd());
        as_if_inherited(writer.as_fd());
        assert_eq!(number(&reader).unwrap_err(), io::ErrorKind::PermissionDenied);
        assert!(number(&writer).is_ok());
        assert_eq!(Sink::inherited(RawFd::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
