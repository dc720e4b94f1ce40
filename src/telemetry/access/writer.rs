//! Whole lines, on their way to a file, or to a program that may read slowly, stall or exit.
//!
//! Nothing here waits for that reader, except for a moment at the end. What is not taken stays in memory, up
//! to a bound; lines beyond it are lost, and the log of diagnostics has their number.

use std::io;
use std::time::Duration;

use super::AccessTarget;
use crate::sys::sink::Sink;
use crate::telemetry::ReopenRequests;

/// Lines are written when this many bytes have come since the last attempt, or `AGE_MS` after the first of
/// them.
const BATCH_BYTES: usize = 32 << 10;
/// See `BATCH_BYTES`: a reader of the log sees an answer at most this long after it was given, in ms.
pub(super) const AGE_MS: u64 = 1_000;
/// Lines that were not taken are tried again after this time, in ms: a reader that is only slow empties a
/// pipe in less, and ten looks a second cost nothing.
const RETRY_MS: u64 = 100;
/// The most bytes that wait for the reader of the log: a few seconds of a busy server, some thousand lines.
/// Without this bound a stalled reader would exhaust the memory of the server.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// How long the end of the log waits, in all, for a reader that still reads, in ms: time enough for
/// `WAITING_BYTES_MAX`, too short to be taken for a program that does not end.
const FAREWELL_MS: u64 = 200;

/// Lines that wait, and where they go.
#[derive(Debug)]
pub(super) struct LineWriter {
    target: AccessTarget,
    sink: Sink,
    /// Whole lines. Of the first line only the last `begun_bytes` may be left.
    waiting: Vec<u8>,
    /// The number of unwritten bytes of a line whose beginning was written; 0 if there is none.
    begun_bytes: usize,
    /// What came since writing was last tried, lost lines too.
    untried_bytes: usize,
    /// The time of the last call.
    now_ms: u64,
    /// When writing must be tried.
    due_ms: Option<u64>,
    health: WriterHealth,
    /// Requests to reopen the file, where signals are installed.
    requests: Option<ReopenRequests>,
    /// The number of requests when the file was last reopened.
    reopens_seen: u32,
}

/// Whether lines are written, as last reported in the diagnostics log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriterHealth {
    Works,
    Fails { lost_lines: u64 },
}

/// The result of writing the waiting lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogWriteOutcome {
    AllWritten,
    /// The reader is absent or too slow.
    Blocked,
    Failed,
}

impl LineWriter {
    pub(super) fn open(target: AccessTarget) -> io::Result<Self> {
        let sink = target.open_sink()?;
        Ok(LineWriter::new(target, sink))
    }

    fn new(target: AccessTarget, sink: Sink) -> Self {
        LineWriter {
            target,
            sink,
            waiting: Vec::new(),
            begun_bytes: 0,
            untried_bytes: 0,
            now_ms: 0,
            due_ms: None,
            health: WriterHealth::Works,
            requests: None,
            reopens_seen: 0,
        }
    }

    /// From now on SIGHUP reopens the file. A SIGHUP since the signals were installed counts, too.
    pub(super) fn watch_reopen(&mut self, requests: ReopenRequests) {
        self.requests = Some(requests);
    }

    fn reopens(&self) -> u32 {
        self.requests.map_or(0, ReopenRequests::count)
    }

    /// Forgets the waiting lines and the count of lost ones: in a child, because they belong to its parent.
    pub(super) fn forget_all(&mut self) {
        self.waiting.clear();
        (self.begun_bytes, self.untried_bytes, self.due_ms) = (0, 0, None);
        self.health = WriterHealth::Works;
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Adds the line that `append` appends, without its end of line. First reopens the file if a signal asked
    /// for it: no line of an answer given after the signal goes to the old file.
    pub(super) fn add(&mut self, append: impl FnOnce(&mut Vec<u8>), now_ms: u64) {
        self.reopen_if_asked();
        let before = self.waiting.len();
        append(&mut self.waiting);
        self.waiting.push(b'\n');
        self.untried_bytes += self.waiting.len() - before;
        self.now_ms = now_ms;
        self.due_ms.get_or_insert(now_ms + AGE_MS);
        if self.waiting.len() > WAITING_BYTES_MAX {
            self.waiting.truncate(before);
            self.lose(1);
        }
        if self.untried_bytes >= BATCH_BYTES {
            self.write();
        }
    }

    /// Writes what has waited long enough; opens the file again if a signal asked for it.
    pub(super) fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.reopen_if_asked();
        if self.due_ms.is_some_and(|due| due <= now_ms) {
            self.write();
        }
    }

    /// Opens the file again if a signal asked for it since it was last opened.
    pub(super) fn reopen_if_asked(&mut self) {
        if self.reopens_seen != self.reopens() {
            self.reopen();
        }
    }

    /// Writes what waits, as far as that can be done at once.
    pub(super) fn write(&mut self) -> LogWriteOutcome {
        self.untried_bytes = 0;
        let mut written = 0;
        // Bound: what waits.
        let outcome = loop {
            if written == self.waiting.len() {
                break Ok(());
            }
            match self.sink.write_now(&self.waiting[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => written += len,
                Err(error) => break Err(error),
            }
        };
        self.forget(written);
        self.due_ms = outcome.is_err().then_some(self.now_ms + RETRY_MS);
        match outcome {
            Ok(()) => {
                self.waiting.shrink_to(2 * BATCH_BYTES); // after a stall; otherwise it has not grown
                if let WriterHealth::Fails { lost_lines } = self.health {
                    log::warn!("access log: writing again; {lost_lines} lines were lost");
                    self.health = WriterHealth::Works;
                }
                LogWriteOutcome::AllWritten
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                LogWriteOutcome::Blocked
            }
            Err(error) => {
                if self.health == WriterHealth::Works {
                    log::error!(
                        "access log: cannot write to {}: {error}; {} KiB of lines wait, further lines are lost",
                        self.target,
                        WAITING_BYTES_MAX >> 10
                    );
                    self.health = WriterHealth::Fails { lost_lines: 0 };
                }
                LogWriteOutcome::Failed
            }
        }
    }

    /// Removes the first `written` bytes, and notes the rest of a line that they began.
    fn forget(&mut self, written: usize) {
        let Some(last) = written.checked_sub(1) else { return };
        self.begun_bytes = match self.waiting[last] {
            b'\n' => 0,
            _ => end_of_line(&self.waiting[written..]),
        };
        self.waiting.drain(..written);
    }

    fn lose(&mut self, lines: u64) {
        match &mut self.health {
            WriterHealth::Fails { lost_lines } => *lost_lines += lines,
            WriterHealth::Works => {
                log::error!(
                    "access log: {} has no reader; {} KiB of lines wait, further lines are lost",
                    self.target,
                    WAITING_BYTES_MAX >> 10
                );
                self.health = WriterHealth::Fails { lost_lines: lines };
            }
        }
    }

    /// Opens the file again: it may have been renamed (rotation). The old file gets what it accepts at once.
    /// If it does not accept the rest of a line that it has begun, this line is lost. The other lines go to
    /// the new file.
    pub(super) fn reopen(&mut self) {
        self.reopens_seen = self.reopens();
        if !self.target.is_file() {
            return;
        }
        let sink = match self.target.open_sink() {
            Ok(sink) => sink,
            Err(error) => {
                log::error!(
                    "access log: cannot reopen {}: {error}; still writing to the old file",
                    self.target
                );
                return;
            }
        };
        self.write();
        if self.begun_bytes > 0 {
            self.waiting.drain(..self.begun_bytes);
            self.begun_bytes = 0;
            self.lose(1);
        }
        self.sink = sink;
    }

    /// Writes what waits, for the last time: a reader that still reads is given a moment. Logs how many lines
    /// are lost.
    pub(super) fn end(&mut self) {
        if self.write() == LogWriteOutcome::Blocked {
            let written = self.sink.write_within(&self.waiting, Duration::from_millis(FAREWELL_MS));
            self.forget(written);
        }
        let left_lines = self.waiting.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let lost_before = match self.health {
            WriterHealth::Fails { lost_lines } => lost_lines,
            WriterHealth::Works => 0,
        };
        if lost_before + left_lines > 0 {
            log::warn!("access log: closed; {} lines were lost", lost_before + left_lines);
        }
        self.waiting.clear();
        self.health = WriterHealth::Works;
    }
}

/// The length of the first line with its line end.
fn end_of_line(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |last| last + 1)
}
