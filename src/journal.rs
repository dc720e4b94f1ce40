//! What happened, as whole lines: ends of clients (with one reason each), and answers given (the access log).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::session::{Fault, Peer, Record, Refusal, Wait};

/// Access log lines are written when this many bytes wait, or `ACCESS_AGE_MS` after the first of them.
const ACCESS_BYTES: usize = 32 << 10;
/// See `ACCESS_BYTES`: a reader of the log sees an answer at most this long after it was given, in ms.
const ACCESS_AGE_MS: u64 = 1_000;

/// Why a client ended, or was refused. Log, counters, exit codes of children and reports share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The service was done, and all was sent.
    Finished,
    /// The client ended its side, and all it had asked was answered.
    PeerClosed,
    /// The client, or the network, reset the connection.
    Reset,
    /// Reading or writing failed otherwise.
    Failed,
    /// No request in time (`idle_ms`).
    IdleTimeout,
    /// The rest of a request did not come in time (`request_ms`).
    RequestTimeout,
    /// The client read too slowly (`rate_bytes_min` per `rate_window_ms`).
    RateTooLow,
    /// The server drained; nothing of the client's was cut.
    Drained,
    /// The drain's deadline, or a second signal, cut it.
    DrainCut,
    /// It was the longest idle when another client needed its place.
    Evicted,
    /// Refused: `clients_max`.
    RefusedClients,
    /// Refused: `clients_per_address_max`.
    RefusedAddress,
    /// Refused: no process or thread could be made for it.
    RefusedWorker,
    /// Refused: the server drains.
    RefusedStopping,
    /// The client broke the protocol of the service.
    Protocol,
    /// A unit of input was longer than `inbox_bytes_max`.
    InputTooLong,
    /// It did not read what others sent it.
    MailboxOverflow,
    /// A file or another resource failed while it was served.
    Resource,
    /// A file ended before the range that was promised.
    FileShort,
    /// The session broke its contract.
    Contract,
    /// The session panicked.
    Panicked,
    /// The process that served it was killed.
    Crashed,
}

impl Reason {
    /// All reasons, in the order of their codes.
    pub const ALL: [Reason; 22] = [
        Reason::Finished,
        Reason::PeerClosed,
        Reason::Reset,
        Reason::Failed,
        Reason::IdleTimeout,
        Reason::RequestTimeout,
        Reason::RateTooLow,
        Reason::Drained,
        Reason::DrainCut,
        Reason::Evicted,
        Reason::RefusedClients,
        Reason::RefusedAddress,
        Reason::RefusedWorker,
        Reason::RefusedStopping,
        Reason::Protocol,
        Reason::InputTooLong,
        Reason::MailboxOverflow,
        Reason::Resource,
        Reason::FileShort,
        Reason::Contract,
        Reason::Panicked,
        Reason::Crashed,
    ];

    /// The name in logs, counters and reports.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Finished => "finished",
            Reason::PeerClosed => "peer-closed",
            Reason::Reset => "reset",
            Reason::Failed => "failed",
            Reason::IdleTimeout => "idle-timeout",
            Reason::RequestTimeout => "request-timeout",
            Reason::RateTooLow => "rate-too-low",
            Reason::Drained => "drained",
            Reason::DrainCut => "drain-cut",
            Reason::Evicted => "evicted",
            Reason::RefusedClients => "refused-clients",
            Reason::RefusedAddress => "refused-address",
            Reason::RefusedWorker => "refused-worker",
            Reason::RefusedStopping => "refused-stopping",
            Reason::Protocol => "protocol",
            Reason::InputTooLong => "input-too-long",
            Reason::MailboxOverflow => "mailbox-overflow",
            Reason::Resource => "resource",
            Reason::FileShort => "file-short",
            Reason::Contract => "contract",
            Reason::Panicked => "panicked",
            Reason::Crashed => "crashed",
        }
    }

    /// The reason with this code (`self as u8`), `None` if there is none.
    pub fn from_code(code: u8) -> Option<Reason> {
        Reason::ALL.get(usize::from(code)).copied()
    }

    /// The reason of an I/O error on a stream.
    pub fn of_error(error: &io::Error) -> Reason {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut => Reason::Reset,
            _ => Reason::Failed,
        }
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol => Reason::Protocol,
            Fault::Overflow => Reason::MailboxOverflow,
            Fault::Resource => Reason::Resource,
            Fault::Contract => Reason::Contract,
        }
    }
}

impl From<Refusal> for Reason {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::TooManyClients => Reason::RefusedClients,
            Refusal::TooManyFromAddress => Reason::RefusedAddress,
            Refusal::NoWorker => Reason::RefusedWorker,
            Refusal::Stopping => Reason::RefusedStopping,
        }
    }
}

impl From<Wait> for Reason {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::NextRequest => Reason::IdleTimeout,
            Wait::RestOf(_) => Reason::RequestTimeout,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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

/// How many clients ended for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    ends: [u64; Reason::ALL.len()],
}

impl Counters {
    /// How many ended for `reason`.
    pub fn of(&self, reason: Reason) -> u64 {
        self.ends[reason as usize]
    }

    /// How many ended in all, refused ones too.
    pub fn total(&self) -> u64 {
        self.ends.iter().sum()
    }

    /// Counts one more.
    pub fn count(&mut self, reason: Reason) {
        self.add(reason, 1);
    }

    /// Counts `n` more.
    pub fn add(&mut self, reason: Reason, n: u64) {
        self.ends[reason as usize] += n;
    }
}

/// `finished=3 reset=1`; reasons that did not occur are left out; `none` if none did.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for reason in Reason::ALL {
            if self.of(reason) > 0 {
                write!(f, "{separator}{reason}={}", self.of(reason))?;
                separator = " ";
            }
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// Where ends and answers are written down.
#[derive(Debug, Default)]
pub struct Journal {
    /// Ends of clients by reason.
    pub counters: Counters,
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
        Ok(Journal { counters: Counters::default(), access: Some(access) })
    }

    /// A client ended: counted, and told at `debug`.
    pub fn ended(&mut self, end: &End) {
        self.counters.count(end.reason);
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
    fn every_reason_has_a_code_of_its_own_and_a_name_of_its_own() {
        for (code, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(Reason::from_code(code as u8), Some(reason));
        }
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert_eq!(Reason::from_code(Reason::ALL.len() as u8), None);
    }

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
