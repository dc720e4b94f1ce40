//! Errors of a run, counted by class.

use serde::{Deserialize, Serialize};

use super::figures::counted;

/// Errors by class.
///
/// Each request without a complete and correct reply is counted once, and so is each connection that failed
/// with no request on it. A server that closes a connection after a complete reply, and owes nothing on it,
/// causes no error.
///
/// The same classes give the reasons why idle and slow clients lost their connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorCounts {
    /// Nothing listens at the address.
    pub refused: u64,
    /// The server reset the connection.
    pub reset: u64,
    /// The connection was not established in time.
    pub connect_timeout: u64,
    /// The reply was not complete in time.
    pub reply_timeout: u64,
    /// The reply had other bytes than expected.
    pub wrong_bytes: u64,
    /// The server closed the connection before the reply was complete.
    pub closed_early: u64,
    /// The generator ran out of local ports.
    pub out_of_ports: u64,
    /// The generator ran out of file descriptors.
    pub out_of_descriptors: u64,
    /// Any other error of the operating system.
    pub other: u64,
}

impl ErrorCounts {
    /// All errors.
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    /// Errors of the generator itself: it ran out of ports or descriptors.
    pub fn of_generator(&self) -> u64 {
        self.out_of_ports + self.out_of_descriptors
    }

    /// All errors but those of the generator itself.
    pub fn of_server(&self) -> u64 {
        self.total() - self.of_generator()
    }

    /// Each class with its name in JSON.
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("refused", self.refused),
            ("reset", self.reset),
            ("connect_timeout", self.connect_timeout),
            ("reply_timeout", self.reply_timeout),
            ("wrong_bytes", self.wrong_bytes),
            ("closed_early", self.closed_early),
            ("out_of_ports", self.out_of_ports),
            ("out_of_descriptors", self.out_of_descriptors),
            ("other", self.other),
        ]
    }

    /// The sum of both, class by class.
    #[must_use]
    pub fn and(self, more: ErrorCounts) -> ErrorCounts {
        ErrorCounts {
            refused: self.refused.saturating_add(more.refused),
            reset: self.reset.saturating_add(more.reset),
            connect_timeout: self.connect_timeout.saturating_add(more.connect_timeout),
            reply_timeout: self.reply_timeout.saturating_add(more.reply_timeout),
            wrong_bytes: self.wrong_bytes.saturating_add(more.wrong_bytes),
            closed_early: self.closed_early.saturating_add(more.closed_early),
            out_of_ports: self.out_of_ports.saturating_add(more.out_of_ports),
            out_of_descriptors: self.out_of_descriptors.saturating_add(more.out_of_descriptors),
            other: self.other.saturating_add(more.other),
        }
    }

    /// The classes that occurred, as text; empty without an error.
    pub(crate) fn summary(&self) -> String {
        let classes = [
            (self.refused, ["refused"; 2]),
            (self.reset, ["reset"; 2]),
            (self.connect_timeout, ["connect timeout", "connect timeouts"]),
            (self.reply_timeout, ["reply timeout", "reply timeouts"]),
            (self.wrong_bytes, ["wrong reply", "wrong replies"]),
            (self.closed_early, ["closed early"; 2]),
            (self.other, ["other error", "other errors"]),
            (self.out_of_ports, ["without a local port"; 2]),
            (self.out_of_descriptors, ["without a descriptor"; 2]),
        ];
        let occurred = classes.iter().filter(|(count, _)| *count > 0);
        occurred.map(|(count, [one, many])| counted(*count, one, many)).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_without_a_newer_class_can_still_be_read() {
        let errors: ErrorCounts = serde_json::from_str(r#"{"refused": 3, "reset": 1}"#).unwrap();
        assert_eq!(errors.total(), 4);
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_summary_names_every_class_that_occurred() {
        let counted = ErrorCounts { reset: 2, out_of_ports: 1, ..ErrorCounts::default() };
        assert_eq!(counted.summary(), "2 reset, 1 without a local port");
        assert_eq!((counted.of_server(), counted.of_generator()), (2, 1));
        assert_eq!(ErrorCounts::default().summary(), "");
        let of_each = |count| ErrorCounts {
            connect_timeout: count,
            reply_timeout: count,
            wrong_bytes: count,
            other: count,
            ..ErrorCounts::default()
        };
        let one = "1 connect timeout, 1 reply timeout, 1 wrong reply, 1 other error";
        let two = "2 connect timeouts, 2 reply timeouts, 2 wrong replies, 2 other errors";
        assert_eq!((of_each(1).summary().as_str(), of_each(2).summary().as_str()), (one, two));
    }
}
