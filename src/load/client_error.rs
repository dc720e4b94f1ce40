//! What can go wrong with a client.

use std::io;

use super::report::ErrorCounts;

/// An error of a client, by the classes of [`ErrorCounts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientError {
    Refused,
    Reset,
    ConnectTimeout,
    ReplyTimeout,
    /// What is wrong with them.
    WrongBytes(&'static str),
    ClosedEarly,
    OutOfPorts,
    OutOfDescriptors,
    /// A source address that this machine does not have.
    NoSuchSource,
    /// Any other error of the operating system.
    Other(io::ErrorKind),
}

impl ClientError {
    /// The class of an error that the system reported for a connection.
    pub(super) fn of(error: &io::Error) -> ClientError {
        match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => return ClientError::OutOfPorts,
            Some(libc::EMFILE | libc::ENFILE) => return ClientError::OutOfDescriptors,
            _ => {}
        }
        match error.kind() {
            // A Unix socket without a server: the path does not exist, or nothing listens there.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ClientError::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => ClientError::Reset,
            // ETIMEDOUT: the kernel gave up, on a SYN or on data.
            io::ErrorKind::TimedOut => ClientError::ConnectTimeout,
            kind => ClientError::Other(kind),
        }
    }

    /// The error as text.
    pub(super) fn describe(self) -> String {
        match self {
            ClientError::Refused => "refused: nothing listens there".to_owned(),
            ClientError::Reset => "reset by the server".to_owned(),
            ClientError::ConnectTimeout => "the connection was not established in time".to_owned(),
            ClientError::ReplyTimeout => "the reply was not complete in time".to_owned(),
            ClientError::WrongBytes(what) => format!("wrong bytes: {what}"),
            ClientError::ClosedEarly => "closed by the server before the reply was complete".to_owned(),
            ClientError::OutOfPorts => "no local port is left; add source addresses with --source".to_owned(),
            ClientError::OutOfDescriptors => {
                "no file descriptor is left; raise the limit (ulimit -n)".to_owned()
            }
            ClientError::NoSuchSource => {
                "a source address does not belong to this machine; change --source".to_owned()
            }
            ClientError::Other(kind) => kind.to_string(),
        }
    }

    /// Counts it `count` times.
    pub(super) fn count(self, errors: &mut ErrorCounts, times: u64) {
        let counter = match self {
            ClientError::Refused => &mut errors.refused,
            ClientError::Reset => &mut errors.reset,
            ClientError::ConnectTimeout => &mut errors.connect_timeout,
            ClientError::ReplyTimeout => &mut errors.reply_timeout,
            ClientError::WrongBytes(_) => &mut errors.wrong_bytes,
            ClientError::ClosedEarly => &mut errors.closed_early,
            ClientError::OutOfPorts => &mut errors.out_of_ports,
            ClientError::OutOfDescriptors => &mut errors.out_of_descriptors,
            ClientError::NoSuchSource | ClientError::Other(_) => &mut errors.other,
        };
        *counter += times;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_class() {
        for (errno, class) in [
            (libc::ECONNREFUSED, ClientError::Refused),
            (libc::ENOENT, ClientError::Refused),
            (libc::ECONNRESET, ClientError::Reset),
            (libc::EPIPE, ClientError::Reset),
            (libc::ETIMEDOUT, ClientError::ConnectTimeout),
            (libc::EADDRNOTAVAIL, ClientError::OutOfPorts),
            (libc::EMFILE, ClientError::OutOfDescriptors),
            (libc::ENFILE, ClientError::OutOfDescriptors),
        ] {
            assert_eq!(ClientError::of(&io::Error::from_raw_os_error(errno)), class);
        }
    }

    #[test]
    fn every_class_is_counted_in_its_own_counter() {
        let classes = [
            ClientError::Refused,
            ClientError::Reset,
            ClientError::ConnectTimeout,
            ClientError::ReplyTimeout,
            ClientError::WrongBytes(""),
            ClientError::ClosedEarly,
            ClientError::OutOfPorts,
            ClientError::OutOfDescriptors,
            ClientError::Other(io::ErrorKind::Other),
        ];
        for (index, class) in classes.into_iter().enumerate() {
            let mut errors = ErrorCounts::default();
            class.count(&mut errors, 3);
            let counts = errors.named().map(|(_, count)| count);
            assert_eq!((counts[index], errors.total()), (3, 3), "{class:?}");
            assert!(!class.describe().is_empty());
        }
    }
}
