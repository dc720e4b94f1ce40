//! What happened, as whole lines: ends of clients (with one reason each), and answers given (the access log).

mod reason;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::session::{Peer, Record};
use crate::sys::tally::Tally;
pub use reason::{Counters, Reason};

/// Access log lines are written when this many bytes wait, or `ACCESS_AGE_MS` after the first of them.
const ACCESS_BYTES: usize = 32 << 10;
/// See `ACCESS_BYTES`: a reader of the log sees an answer at most this long after it was given, in ms.
const ACCESS_AGE_MS: u64 = 1_000;

/// The end of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: Reason,
    /// Who.
    pub peer: Peer,
    /// Bytes received from it.
    pub bytes_in: u64,
    /// Bytes sent to it.
    pub bytes_out: u64,
    /// From `accept` to now, in ms.
    pub lasted_ms: u64,
}

/// Where ends and answers are written down.
#[derive(Debug, Default)]
pub struct Journal {
    /// Ends of clients by reason.
    pub counters: Counters,
    /// Where ends are counted, too: shared with other processes or threads.
    tally: Option<Arc<Tally>>,
    access: Option<AccessLog>,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to, and opened again by [`Journal::reopen`] after it was rotated.
    File(PathBuf),
}

#[derive(Debug)]
struct AccessLog {
    target: AccessTarget,
    sink: Sink,
    lines: Vec<u8>,
    /// When the lines that wait must be written.
    due_ms: Option<u64>,
    lost_lines: u64,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    File(File),
}

impl Journal {
    /// A journal without an access log.
    pub fn new() -> Self {
        Journal::default()
    }

    /// A journal that also writes an access log. Several processes may share the target: each write is of whole lines.
    pub fn with_access(target: AccessTarget) -> io::Result<Self> {
        let sink = Sink::open(&target)?;
        let access = AccessLog { target, sink, lines: Vec::new(), due_ms: None, lost_lines: 0 };
        Ok(Journal { counters: Counters::default(), tally: None, access: Some(access) })
    }

    /// A journal for another process or thread of the same server: it writes to the same access log, in whole lines, and
    /// counts into `tally`, too, where
    /// there is one.
    pub fn sibling(&self, tally: Option<&Arc<Tally>>) -> io::Result<Journal> {
        let access = match &self.access {
            Some(access) => Some(AccessLog {
                target: access.target.clone(),
                sink: access.sink.try_clone()?,
                lines: Vec::new(),
                due_ms: None,
                lost_lines: 0,
            }),
            None => None,
        };
        Ok(Journal { counters: Counters::default(), tally: tally.cloned(), access })
    }

    /// A client ended: counted, and told at `debug`.
    pub fn ended(&mut self, end: &End) {
        self.counters.count(end.reason);
        if let Some(tally) = &self.tally {
            tally.add(end.reason as usize, 1);
        }
        let End { reason, peer, bytes_in, bytes_out, lasted_ms } = end;
        log::debug!("{peer} ended: {reason} in={bytes_in} out={bytes_out} lasted={lasted_ms}ms");
    }

    /// An answer was sent, or its client ended before all of it was; `sent_bytes` counts its head too.
    pub fn answered(&mut self, peer: Peer, record: &Record, sent_bytes: u64, now_ms: u64) {
        let Some(access) = &mut self.access else { return };
        let body_bytes = sent_bytes.saturating_sub(record.head_bytes.into());
        let (before, after) = record.line.split_at(record.bytes_at);
        let host: &dyn fmt::Display = match &peer.socket_addr() {
            Some(addr) => &addr.ip().to_string(),
            None => &peer,
        };
        writeln!(access.lines, "{host}{before}{body_bytes}{after}").expect("memory takes all");
        access.due_ms.get_or_insert(now_ms + ACCESS_AGE_MS);
        if access.lines.len() >= ACCESS_BYTES {
            access.write();
        }
    }

    /// When the journal wants [`Journal::tick`] next, in ms of the server's clock.
    pub fn due_ms(&self) -> Option<u64> {
        self.access.as_ref().and_then(|access| access.due_ms)
    }

    /// Writes what has waited long enough. Called once a turn.
    pub fn tick(&mut self, now_ms: u64) {
        if self.due_ms().is_some_and(|due| due <= now_ms) {
            self.flush();
        }
    }

    /// Writes all that waits.
    pub fn flush(&mut self) {
        if let Some(access) = &mut self.access {
            access.write();
        }
    }

    /// Writes all that waits and opens the access log's file again: it may have been renamed (rotation).
    pub fn reopen(&mut self) {
        let Some(access) = &mut self.access else { return };
        access.write();
        match Sink::open(&access.target) {
            Ok(sink) => access.sink = sink,
            Err(error) => log::error!(
                "access log: cannot reopen {:?}: {error}; writing on to the old file",
                access.target
            ),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Sink {
    fn try_clone(&self) -> io::Result<Sink> {
        match self {
            Sink::Stdout => Ok(Sink::Stdout),
            Sink::File(file) => Ok(Sink::File(file.try_clone()?)),
        }
    }

    fn open(target: &AccessTarget) -> io::Result<Sink> {
        match target {
            AccessTarget::Stdout => Ok(Sink::Stdout),
            AccessTarget::File(path) => {
                Ok(Sink::File(OpenOptions::new().append(true).create(true).open(path)?))
            }
        }
    }
}

impl AccessLog {
    fn write(&mut self) {
        self.due_ms = None;
        if self.lines.is_empty() {
            return;
        }
        let written = match &mut self.sink {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&self.lines).and_then(|()| out.flush())
            }
            Sink::File(file) => file.write_all(&self.lines),
        };
        if let Err(error) = written {
            let lines = self.lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
            if self.lost_lines == 0 {
                log::error!(
                    "access log: cannot write to {:?}: {error}; lines are lost until it works again",
                    self.target
                );
            }
            self.lost_lines += lines;
        } else if self.lost_lines > 0 {
            log::warn!("access log: works again; {} lines were lost", self.lost_lines);
            self.lost_lines = 0;
        }
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_line_has_the_peer_and_the_body_bytes_sent_and_moves_with_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let mut journal = Journal::with_access(AccessTarget::File(path.clone())).unwrap();
        let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
        let record = Record { line: " - \"GET /\" 200  \"-\"".into(), bytes_at: 15, head_bytes: 10 };
        journal.answered(peer, &record, 110, 0);
        journal.tick(ACCESS_AGE_MS - 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "buffered until it is due");
        journal.tick(ACCESS_AGE_MS);
        std::fs::rename(&path, &rotated).unwrap();
        journal.reopen();
        journal.answered(peer, &record, 4, 0);
        drop(journal);
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "192.0.2.7 - \"GET /\" 200 100 \"-\"\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "192.0.2.7 - \"GET /\" 200 0 \"-\"\n");
    }
}
