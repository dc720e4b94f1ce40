//! The access log: a line for each answer to a request.

mod line;
#[cfg(feature = "cli")]
mod terminal;
mod writer;

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Answer, Observer, ReopenRequests};
use crate::session::AnswerDetail;
use crate::sys::sink::{Sink, descriptor_of};
pub use line::AccessFormat;
use line::LineFormat;
#[cfg(feature = "cli")]
pub(crate) use terminal::TerminalLog;
use writer::LineWriter;

/// An [`Observer`] that writes a line for each answer to a request. Answers of services that report no
/// request have none.
///
/// Several processes may share the target: only whole lines are written. Nothing waits for the reader of the
/// log: lines that a FIFO, pipe or terminal does not accept stay in memory, up to 1 MiB; further lines are
/// lost, and counted in the diagnostics log.
///
/// ```no_run
/// use std::sync::Arc;
/// use oneloop::telemetry::{AccessFormat, AccessLog, AccessTarget, Telemetry};
///
/// let log = AccessLog::open(AccessTarget::File("access.log".into()), AccessFormat::Combined)?;
/// let telemetry = Telemetry::new().with_observer(Arc::new(log));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AccessLog {
    has_file: bool,
    /// Threads share it.
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    format: LineFormat,
    writer: LineWriter,
}

impl AccessLog {
    /// Opens the target, and creates a file that does not exist.
    ///
    /// # Errors
    /// The target cannot be opened; of kind `NotConnected` if it is a FIFO without a reader.
    pub fn open(target: AccessTarget, format: AccessFormat) -> io::Result<Self> {
        let has_file = target.is_file();
        let log = Log { format: LineFormat::new(format), writer: LineWriter::open(target)? };
        Ok(AccessLog { has_file, log: Mutex::new(log) })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for AccessLog {
    fn answer_detail(&self) -> AnswerDetail {
        AnswerDetail::Request
    }

    fn answered(&self, answer: &Answer<'_>) {
        let Some(request) = &answer.info.request else { return };
        let Log { format, writer } = &mut *self.log();
        writer.add(|line| format.append(answer, request, line), answer.ended_ms);
    }

    fn due_ms(&self) -> Option<u64> {
        self.log().writer.due_ms()
    }

    fn tick(&self, now_ms: u64) {
        self.log().writer.tick(now_ms);
    }

    fn flush(&self) {
        self.log().writer.write();
    }

    fn has_file(&self) -> bool {
        self.has_file
    }

    fn watch_reopen(&self, requests: ReopenRequests) {
        self.log().writer.watch_reopen(requests);
    }

    fn reopen_if_asked(&self) {
        self.log().writer.reopen_if_asked();
    }

    fn forked(&self) {
        self.log().writer.forget_all();
    }

    fn close(&self) {
        self.log().writer.end();
    }
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessTarget {
    /// Standard output.
    Stdout,
    /// What this process was started with under this number: a file, pipe, socket or terminal. It is not
    /// opened again.
    Descriptor(RawFd),
    /// A file or FIFO, appended to, and opened again by SIGHUP after it was rotated. A terminal or another
    /// character device (`/dev/null`) is not opened again.
    File(PathBuf),
}

impl AccessTarget {
    /// What a path names. `/dev/stdout`, `/dev/stderr`, `/dev/fd/N` and links to them are descriptors of this
    /// process: it writes to them rather than opening them, which a socket or the pipe of another user would
    /// not allow.
    pub fn of_path(path: &Path) -> AccessTarget {
        match descriptor_of(path) {
            Some(1) => AccessTarget::Stdout,
            Some(fd) => AccessTarget::Descriptor(fd),
            None => AccessTarget::File(path.to_owned()),
        }
    }

    /// Whether it is opened again by its path. A character device is not: nothing rotates it, and a server
    /// that has no other log ends when its terminal closes.
    pub fn is_file(&self) -> bool {
        let is_device = |path: &Path| path.metadata().is_ok_and(|found| found.file_type().is_char_device());
        matches!(self, AccessTarget::File(path) if !is_device(path))
    }

    fn open_sink(&self) -> io::Result<Sink> {
        match self {
            AccessTarget::Stdout => Sink::inherited(1),
            AccessTarget::Descriptor(fd) => Sink::inherited(*fd),
            AccessTarget::File(path) => Sink::open(path),
        }
    }
}

impl fmt::Display for AccessTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessTarget::Stdout => f.write_str("standard output"),
            AccessTarget::Descriptor(2) => f.write_str("standard error"),
            AccessTarget::Descriptor(fd) => write!(f, "descriptor {fd}"),
            AccessTarget::File(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::session::{AnswerInfo, Peer, RequestInfo};
    use crate::telemetry::Telemetry;

    #[test]
    fn a_character_device_is_not_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert!(AccessTarget::of_path(&path).is_file(), "it is made");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(!AccessTarget::of_path(&path).is_file());
        assert!(!AccessTarget::of_path(Path::new("/dev/tty")).is_file());
    }

    #[test]
    fn a_line_is_written_when_it_is_due_and_moves_with_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let log = AccessLog::open(AccessTarget::File(path.clone()), AccessFormat::Common).unwrap();
        let log = Arc::new(log);
        let mut telemetry = Telemetry::new().with_observer(log.clone());
        let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
        let mut answer = |status, sent_bytes, is_request: bool| {
            let fields = [(RequestInfo::LINE, &b"GET /"[..])];
            let request = is_request.then(|| Box::new(RequestInfo::new(UNIX_EPOCH, fields)));
            let info = AnswerInfo { status: Some(status), head_bytes: 10, began_ms: 0, request };
            telemetry.answered(&Answer { peer, info: &info, sent_bytes, is_complete: true, ended_ms: 0 });
        };
        answer(200, 110, true);
        answer(200, 110, false);
        log.tick(writer::AGE_MS - 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "buffered until it is due");
        log.tick(writer::AGE_MS);
        std::fs::rename(&path, &rotated).unwrap();
        log.log().writer.reopen();
        answer(404, 4, true);
        drop(telemetry);
        let line = "192.0.2.7 - - [01/Jan/1970:00:00:00 +0000] \"GET /\"";
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), format!("{line} 200 100\n"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{line} 404 0\n"));
    }
}
