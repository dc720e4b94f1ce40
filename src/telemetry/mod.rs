//! What happened, as whole lines: ends of clients (with one reason each), and answers given (the access log).

mod access;
mod reason;
mod traffic;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::{Answers, Peer, Record};
use crate::sys::signals::SignalCounts;
use crate::sys::tally::{Lane, Tally};
use access::AccessLog;
pub use access::AccessTarget;
pub use reason::{Counters, Reason};
pub use traffic::Traffic;

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
pub struct Telemetry {
    /// Clients that came, ends by reason, and what went through.
    pub counters: Counters,
    /// Where all is counted, too, for other processes or threads to see.
    lane: Option<Lane>,
    access: Option<Access>,
}

/// The access log, which threads share.
#[derive(Debug)]
enum Access {
    /// By the `Telemetry` that opened it: at its end, what can still be written is, and what is lost is told.
    Kept(Arc<Mutex<AccessLog>>),
    /// By that of another thread.
    Lent(Arc<Mutex<AccessLog>>),
}

impl Access {
    fn log(&self) -> &Arc<Mutex<AccessLog>> {
        match self {
            Access::Kept(log) | Access::Lent(log) => log,
        }
    }
}

impl Telemetry {
    /// Counters only.
    pub fn new() -> Self {
        Telemetry::default()
    }

    /// Counters and an access log. Several processes may share the target: what is written is whole lines.
    ///
    /// Nothing waits for whoever reads the log: what a FIFO, pipe or terminal does not take stays in memory, up to 1 MiB, and
    /// lines beyond that are lost, and counted in the log of diagnostics.
    ///
    /// # Errors
    /// The target cannot be opened; of kind `NotConnected` if it is a FIFO that nobody reads.
    pub fn with_access(target: AccessTarget) -> io::Result<Self> {
        let access = Access::Kept(Arc::new(Mutex::new(AccessLog::open(target)?)));
        Ok(Telemetry { counters: Counters::default(), lane: None, access: Some(access) })
    }

    /// The same, which counts into `tally`, too.
    pub fn counting(mut self, tally: &Arc<Tally>) -> Telemetry {
        self.lane = Some(Lane::of(tally));
        self
    }

    /// In a child after fork: its own one, in place of its copy of the parent's. It goes on with the descriptor that it
    /// inherited, so that a parent without descriptors can make children. It writes to the same file, in whole lines, leaves to the
    /// parent the lines that wait there, and counts into `tally`, too, where there is one.
    pub fn of_child(mut self, tally: Option<&Arc<Tally>>) -> Telemetry {
        if let Some(mut log) = self.log() {
            log.forget_all();
        }
        Telemetry { counters: Counters::default(), lane: tally.map(Lane::of), access: self.access.take() }
    }

    /// One for another thread, which shares the access log, and counts into `tally`, too.
    pub fn share(&self, tally: &Arc<Tally>) -> Telemetry {
        let access = self.access.as_ref().map(|access| Access::Lent(Arc::clone(access.log())));
        Telemetry { counters: Counters::default(), lane: Some(Lane::of(tally)), access }
    }

    fn log(&self) -> Option<MutexGuard<'_, AccessLog>> {
        let access = self.access.as_ref()?;
        Some(access.log().lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it has a file that can be opened again ([`Telemetry::reopen_if_asked`]).
    pub fn has_file(&self) -> bool {
        self.log().is_some_and(|log| log.has_file())
    }

    /// SIGHUP asks to open the access log's file again from now on.
    pub fn watch_signals(&mut self, signals: SignalCounts) {
        if let Some(mut log) = self.log() {
            log.watch_signals(signals);
        }
    }

    fn add_to_tally(&self, counter: usize) {
        if let Some(lane) = &self.lane {
            lane.tally().add(counter, 1);
        }
    }

    /// A client was accepted: counted. It has one end, told to [`Telemetry::ended`].
    pub fn accepted(&mut self) {
        self.counters.accepted += 1;
        self.add_to_tally(reason::ACCEPTED);
    }

    /// A client was lost before it was accepted, or the system refused to accept: counted.
    pub fn accept_failed(&mut self) {
        self.counters.accept_errors += 1;
        self.add_to_tally(reason::ACCEPT_ERRORS);
    }

    /// Bytes came from a client: counted.
    pub fn received(&mut self, bytes: u64) {
        self.counters.traffic.received(bytes, self.lane.as_ref());
    }

    /// Bytes went to a client: counted.
    pub fn sent(&mut self, bytes: u64) {
        self.counters.traffic.sent(bytes, self.lane.as_ref());
    }

    /// Answers began: counted.
    pub fn count_answers(&mut self, answers: &Answers) {
        self.counters.traffic.answered(answers, self.lane.as_ref());
    }

    /// A client ended: counted, and told at `debug`.
    pub fn ended(&mut self, end: &End) {
        self.counters.count(end.reason);
        self.add_to_tally(end.reason as usize);
        let End { reason, peer, bytes_in, bytes_out, lasted_ms } = end;
        log::debug!("{peer} ended: {reason} in={bytes_in} out={bytes_out} lasted={lasted_ms}ms");
    }

    /// An answer was sent, or its client ended before all of it was; `sent_bytes` counts its head too.
    pub fn answered(&mut self, peer: Peer, record: &Record, sent_bytes: u64, now_ms: u64) {
        let Some(mut log) = self.log() else { return };
        let body_bytes = sent_bytes.saturating_sub(record.head_bytes.into());
        let (before, after) = record.line.split_at(record.bytes_at);
        let host: &dyn fmt::Display = match &peer.socket_addr() {
            Some(addr) => &addr.ip().to_string(),
            None => &peer,
        };
        log.add(format_args!("{host}{before}{body_bytes}{after}"), now_ms);
    }

    /// When [`Telemetry::tick`] is due next, in ms of the server's clock.
    pub fn due_ms(&self) -> Option<u64> {
        self.log().and_then(|log| log.due_ms())
    }

    /// Writes what has waited long enough, and does what [`Telemetry::reopen_if_asked`] does. Called once a turn.
    pub fn tick(&mut self, now_ms: u64) {
        if let Some(mut log) = self.log() {
            log.tick(now_ms);
        }
    }

    /// Writes all that waits, as far as it is taken at once.
    pub fn flush(&mut self) {
        if let Some(mut log) = self.log() {
            log.write();
        }
    }

    /// Opens the access log's file again if SIGHUP asked for that since it was last done ([`Telemetry::watch_signals`]): it
    /// was renamed (rotation). Lines that wait go to the old one, if that takes them. Threads that share the log need one of them to do this.
    pub fn reopen_if_asked(&mut self) {
        if let Some(mut log) = self.log() {
            log.reopen_if_asked();
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if matches!(self.access, Some(Access::Kept(_)))
            && let Some(mut log) = self.log()
        {
            log.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_line_has_the_peer_and_the_body_bytes_sent_and_moves_with_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, rotated) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let mut telemetry = Telemetry::with_access(AccessTarget::File(path.clone())).unwrap();
        let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
        let record = Record { line: " - \"GET /\" 200  \"-\"".into(), bytes_at: 15, head_bytes: 10 };
        telemetry.answered(peer, &record, 110, 0);
        telemetry.tick(access::AGE_MS - 1);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "buffered until it is due");
        telemetry.tick(access::AGE_MS);
        std::fs::rename(&path, &rotated).unwrap();
        telemetry.log().unwrap().reopen();
        telemetry.answered(peer, &record, 4, 0);
        drop(telemetry);
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "192.0.2.7 - \"GET /\" 200 100 \"-\"\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "192.0.2.7 - \"GET /\" 200 0 \"-\"\n");
    }
}
