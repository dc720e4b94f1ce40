//! Standard error, written to without waiting for its reader.
//!
//! A terminal that was stopped (Ctrl-S), or a pager behind a pipe, reads nothing for a while. A server that
//! waited for it would serve no client meanwhile, and a load generator would send no request.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressDrawTarget, TermLike};
use terminal_size::terminal_size_of;

use crate::sys::SharedCounters;
use crate::sys::sink::Sink;

/// How long lines may wait for room, all together: a reader that is behind for a moment loses nothing. What
/// was spent comes back slowly, so that a slow reader delays the program by a hundredth of its time at most.
/// After a line that was lost, the next ones do not wait at all until there is room again.
const PATIENCE: Duration = Duration::from_millis(100);
/// The time in which a unit of patience that was spent comes back, in the same unit.
const RECOVERY: u64 = 100;
/// Frames of a progress bar per second, at most.
const FRAMES_PER_SECOND: u8 = 20;
/// The width of a terminal that does not tell it.
const COLUMNS_USUAL: u16 = 80;

/// Standard error, whose lost lines are counted.
struct StandardError {
    /// `None`: it was not open at the start.
    sink: Option<Sink>,
    shared: SharedState,
    opened: Instant,
}

/// What is true of standard error, whichever process writes: children inherit it.
struct SharedState {
    shared: Option<SharedCounters>,
    /// Those of this process, where the system has no memory to share.
    own: [AtomicU64; SharedNumber::Count as usize],
}

/// The numbers in it.
#[derive(Clone, Copy)]
enum SharedNumber {
    /// Lines that were lost and that no note has counted yet.
    Lost,
    /// 1: the last line was cut.
    Cut,
    /// When all patience is back, in µs since standard error was opened.
    PatientAt,
    Count,
}

impl SharedState {
    fn new() -> SharedState {
        let shared = SharedCounters::new(SharedNumber::Count as usize).ok();
        SharedState { shared, own: Default::default() }
    }

    fn get(&self, which: SharedNumber) -> &AtomicU64 {
        let numbers: &[AtomicU64] = self.shared.as_deref().unwrap_or(&self.own);
        &numbers[which as usize]
    }
}

/// The one of this process.
fn lines() -> MutexGuard<'static, StandardError> {
    static OPENED: OnceLock<Mutex<StandardError>> = OnceLock::new();
    let open = || Mutex::new(StandardError::new(Sink::inherited(2).ok()));
    OPENED.get_or_init(open).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens it: later there may be no descriptor for it, and children would not share its numbers. A panic is
/// reported there as other lines are: the report of a session's panic would wait for the reader.
pub(super) fn open() {
    drop(lines());
    std::panic::set_hook(Box::new(|panic| {
        let name = std::thread::current().name().unwrap_or("without a name").to_owned();
        let backtrace = Backtrace::capture();
        let backtrace = match backtrace.status() {
            BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        say(format_args!("thread '{name}' {panic}{backtrace}"));
    }));
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
        StandardError { sink, shared: SharedState::new(), opened: Instant::now() }
    }

    fn put(&mut self, bytes: &[u8]) {
        let written = if self.has_told_lost() { self.write(bytes) } else { 0 };
        if self.sink.is_some() && written < bytes.len() {
            self.shared.get(SharedNumber::Lost).fetch_add(1, Relaxed);
            self.shared.get(SharedNumber::Cut).fetch_max(u64::from(written > 0), Relaxed);
        }
    }

    /// Tells how many lines were lost; whether there are none left to tell.
    fn has_told_lost(&self) -> bool {
        let [lost, cut] = [SharedNumber::Lost, SharedNumber::Cut].map(|which| self.shared.get(which));
        let Some(sink) = &self.sink else { return true };
        if lost.load(Relaxed) == 0 {
            return true;
        }
        // Taken: another process may tell its own meanwhile.
        let (told, was_cut) = (lost.swap(0, Relaxed), cut.swap(0, Relaxed));
        if told == 0 {
            return true;
        }
        let end = if was_cut > 0 { "\n" } else { "" };
        let note = format!("{end}oneloop: lines lost, because standard error had no room: {told}\n");
        let written = sink.write_within(note.as_bytes(), Duration::ZERO);
        if written < note.len() {
            lost.fetch_add(told, Relaxed);
            cut.fetch_max(was_cut.max(u64::from(written > 0)), Relaxed);
        }
        written == note.len()
    }

    /// Writes what there is room for, and waits for more as long as there is patience.
    fn write(&self, bytes: &[u8]) -> usize {
        let Some(sink) = &self.sink else { return 0 };
        let (written, waited) = sink.write_within_timed(bytes, self.patience());
        if !waited.is_zero() {
            let (now_us, back_us) = (self.now_us(), waited.as_micros() as u64 * RECOVERY);
            let patient_at = self.shared.get(SharedNumber::PatientAt);
            let _ = patient_at.fetch_update(Relaxed, Relaxed, |at| Some(at.max(now_us) + back_us));
        }
        written
    }

    /// How long a line may wait now.
    fn patience(&self) -> Duration {
        let back_us = self.shared.get(SharedNumber::PatientAt).load(Relaxed).saturating_sub(self.now_us());
        PATIENCE.saturating_sub(Duration::from_micros(back_us / RECOVERY))
    }

    fn now_us(&self) -> u64 {
        self.opened.elapsed().as_micros() as u64
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
            text().ends_with("oneloop: lines lost, because standard error had no room: 2\nthere is room\n")
        );
        lines.put(b"and nothing more to tell\n");
        assert_eq!(text(), "and nothing more to tell\n");
        assert!(lines.patience() < PATIENCE / 2, "it was spent on the first line");
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
