//! Standard error, written to without waiting for its reader.
//!
//! A terminal that was stopped (Ctrl-S), or a pager behind a pipe, reads nothing for a while. A server that
//! waited for it would serve no client meanwhile, and a load generator would send no request.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use indicatif::{ProgressDrawTarget, TermLike};
use terminal_size::terminal_size_of;

use crate::sys::sink::Sink;

/// How long a line waits for room, once: a reader that has left a line behind gets the next ones only when it
/// has made room. A reader that is behind for a moment loses nothing.
const ROOM_MAX: Duration = Duration::from_millis(100);
/// Frames of a progress bar per second, at most.
const FRAMES_PER_SECOND: u8 = 20;
/// The width of a terminal that does not tell it.
const COLUMNS_USUAL: u16 = 80;

/// Standard error, whose lost lines are counted.
struct StandardError {
    /// `None`: it was not open at the start.
    sink: Option<Sink>,
    lost: u64,
    /// Whether the last line was cut.
    is_cut: bool,
}

/// The one of this process.
fn lines() -> MutexGuard<'static, StandardError> {
    static OPENED: OnceLock<Mutex<StandardError>> = OnceLock::new();
    let open = || Mutex::new(StandardError::new(Sink::inherited(2).ok()));
    OPENED.get_or_init(open).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a line, if there is room for it soon.
pub(super) fn say(line: fmt::Arguments<'_>) {
    lines().put(format!("{line}\n").as_bytes());
}

/// A writer of whole lines for the log.
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lines().put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StandardError {
    fn new(sink: Option<Sink>) -> StandardError {
        StandardError { sink, lost: 0, is_cut: false }
    }

    fn put(&mut self, bytes: &[u8]) {
        let Some(sink) = &self.sink else { return };
        let mut room_max = ROOM_MAX;
        if self.lost > 0 {
            room_max = Duration::ZERO;
            let end = if self.is_cut { "\n" } else { "" };
            let note =
                format!("{end}oneloop: lines lost, because nobody read standard error: {}\n", self.lost);
            if sink.write_within(note.as_bytes(), Duration::ZERO) == note.len() {
                (self.lost, self.is_cut) = (0, false);
            }
        }
        let written = if self.lost > 0 { 0 } else { sink.write_within(bytes, room_max) };
        if written < bytes.len() {
            self.lost += 1;
            self.is_cut |= written > 0;
        }
    }
}

/// Where progress is drawn: on standard error, if that is a terminal. Frames for which it has no room are
/// left out.
pub(super) fn progress_target() -> ProgressDrawTarget {
    match Sink::of_terminal(io::stderr().as_fd()) {
        Ok(sink) => {
            let terminal = FrameTerminal { sink, pending: Mutex::default() };
            ProgressDrawTarget::term_like_with_hz(Box::new(terminal), FRAMES_PER_SECOND)
        }
        Err(_) if io::stderr().is_terminal() => ProgressDrawTarget::stderr(),
        Err(_) => ProgressDrawTarget::hidden(),
    }
}

/// A terminal on which frames are drawn, each in one write.
#[derive(Debug)]
struct FrameTerminal {
    sink: Sink,
    pending: Mutex<String>,
}

impl FrameTerminal {
    fn add(&self, text: fmt::Arguments<'_>) -> io::Result<()> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        fmt::Write::write_fmt(&mut *pending, text).map_err(io::Error::other)
    }

    /// Moves the cursor: a control sequence with a count (ECMA-48, CUU to CUB).
    fn move_cursor(&self, by: usize, direction: char) -> io::Result<()> {
        if by == 0 { Ok(()) } else { self.add(format_args!("\x1b[{by}{direction}")) }
    }
}

impl TermLike for FrameTerminal {
    fn width(&self) -> u16 {
        match terminal_size_of(io::stderr()) {
            Some((width, _)) if width.0 > 0 => width.0,
            _ => COLUMNS_USUAL,
        }
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(format_args!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.sink.write_within(pending.as_bytes(), Duration::ZERO);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

    use super::*;

    #[test]
    fn lines_that_find_no_room_are_counted_and_told_once_there_is_some() {
        let (mut reader, writer) = io::pipe().unwrap();
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        fcntl(&writer, FcntlArg::F_SETFD(FdFlag::empty())).unwrap(); // as if inherited
        let mut lines = StandardError::new(Sink::inherited(writer.as_raw_fd()).ok());
        let mut text = || {
            let mut bytes = Vec::new();
            let _ = reader.read_to_end(&mut bytes); // ends with: nothing more now
            String::from_utf8(bytes).unwrap()
        };
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        for piece in [4096, 1] {
            while nix::unistd::write(&writer, &vec![b'x'; piece]).is_ok() {}
        }
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        lines.put(b"lost\n");
        lines.put(b"lost, too\n");
        assert!(!text().contains("lost"));
        lines.put(b"there is room\n");
        assert!(
            text().ends_with("oneloop: lines lost, because nobody read standard error: 2\nthere is room\n")
        );
        lines.put(b"and nothing more to tell\n");
        assert_eq!(text(), "and nothing more to tell\n");
    }

    #[test]
    fn a_frame_for_which_a_stopped_terminal_has_no_room_is_left_out() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let terminal =
            FrameTerminal { sink: Sink::of_terminal(pty.slave.as_fd()).unwrap(), pending: Mutex::default() };
        // Many times what a terminal buffers; it would wait.
        for _ in 0..10_000 {
            terminal.clear_line().unwrap();
            terminal.write_str("frame").unwrap();
            terminal.move_cursor_up(0).unwrap();
            terminal.move_cursor_up(2).unwrap();
            terminal.flush().unwrap();
        }
        let mut first = [0; 13];
        File::from(pty.master).read_exact(&mut first).unwrap();
        assert_eq!(&first, b"\r\x1b[2Kframe\x1b[2");
    }
}
