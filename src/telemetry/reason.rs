//! Why clients ended: one enum, which log, counters and reports share.

use std::fmt;
use std::io;

use super::Traffic;
use super::tally::{COUNTERS, Tally};
use crate::session::{Fault, Refusal, Wait};

/// Why a client ended, or was refused. Log, counters and reports share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
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
    /// The handshakes of its layers were not done in time (`handshake_ms`).
    HandshakeTimeout,
    /// The client broke the protocol of a layer before its session began.
    HandshakeFailed,
    /// Something that the session itself was waiting for did not come in time.
    ServiceTimeout,
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
    /// It did not read what other clients sent to it.
    MailboxOverflow,
    /// Its buffers were among the largest when those of all clients were more than `buffers_bytes_max`.
    BuffersFull,
    /// A file or another resource failed while it was served.
    Resource,
    /// A file ended before the range that was promised.
    FileShort,
    /// The session broke its contract.
    Contract,
    /// The session panicked.
    Panicked,
    /// The process that served it died.
    Crashed,
}

impl Reason {
    /// All reasons, in the order of their codes.
    pub const ALL: [Reason; 26] = [
        Reason::Finished,
        Reason::PeerClosed,
        Reason::Reset,
        Reason::Failed,
        Reason::IdleTimeout,
        Reason::RequestTimeout,
        Reason::HandshakeTimeout,
        Reason::HandshakeFailed,
        Reason::ServiceTimeout,
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
        Reason::BuffersFull,
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
            Reason::HandshakeTimeout => "handshake-timeout",
            Reason::HandshakeFailed => "handshake-failed",
            Reason::ServiceTimeout => "service-timeout",
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
            Reason::BuffersFull => "buffers-full",
            Reason::Resource => "resource",
            Reason::FileShort => "file-short",
            Reason::Contract => "contract",
            Reason::Panicked => "panicked",
            Reason::Crashed => "crashed",
        }
    }

    /// The reason of an I/O error on a stream.
    pub fn of_error(error: &io::Error) -> Reason {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
            | io::ErrorKind::UnexpectedEof => Reason::Reset,
            io::ErrorKind::InvalidData => Reason::Protocol, // only a layer finds that
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
            Wait::Rest => Reason::RequestTimeout,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The index at which a tally counts accepted clients, after the reasons, whose index is their code.
pub(super) const ACCEPTED: usize = Reason::ALL.len();
/// Where it counts accepts that failed.
pub(super) const ACCEPT_ERRORS: usize = ACCEPTED + 1;
const _: () = assert!(ACCEPT_ERRORS < COUNTERS);

/// How many clients came, and how many ended for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients accepted, refused ones too.
    pub accepted: u64,
    /// Accepts that failed: clients lost in the queue, and attempts without descriptors.
    pub accept_errors: u64,
    /// Requests and bytes.
    pub traffic: Traffic,
    ends: [u64; Reason::ALL.len()],
}

impl Counters {
    /// What processes or threads have counted together.
    pub(crate) fn of_tally(tally: &Tally) -> Self {
        let mut counters = Counters::default();
        counters.add_tally(tally);
        counters
    }

    /// Counts what processes or threads have counted, too.
    pub(crate) fn add_tally(&mut self, tally: &Tally) {
        // Reads the ends first: a client whose end is counted is then also counted as accepted.
        for reason in Reason::ALL {
            self.add(reason, tally.get(reason as usize));
        }
        self.traffic.add_tally(tally);
        self.accepted += tally.get(ACCEPTED);
        self.accept_errors += tally.get(ACCEPT_ERRORS);
    }

    /// How many have been accepted and have not ended.
    pub fn open(&self) -> u64 {
        self.accepted.saturating_sub(self.total())
    }

    /// How many ended for `reason`.
    pub fn of(&self, reason: Reason) -> u64 {
        self.ends[reason as usize]
    }

    /// All clients that have ended, including refused ones.
    pub fn total(&self) -> u64 {
        self.ends.iter().sum()
    }

    /// Counts an end.
    pub(crate) fn count(&mut self, reason: Reason) {
        self.add(reason, 1);
    }

    /// Counts `n` more.
    pub(crate) fn add(&mut self, reason: Reason, n: u64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own_and_a_name_of_its_own() {
        for (code, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, code);
        }
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
