//! What can go wrong with a client, by class.

use std::io;

use super::report::ErrorCounts;

/// A class of errors; see [`ErrorCounts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Refused,
    Reset,
    ConnectTimeout,
    ReplyTimeout,
    /// And what was wrong with them.
    WrongBytes(&'static str),
    ClosedEarly,
    OutOfPorts,
    OutOfDescriptors,
    /// A source address that this machine does not have.
    NoSuchSource,
    /// And what the system said.
    Other(io::ErrorKind),
}

impl Class {
    /// Of what the system said about a connection.
    pub(super) fn of(error: &io::Error) -> Class {
        match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => return Class::OutOfPorts,
            Some(libc::EMFILE | libc::ENFILE) => return Class::OutOfDescriptors,
            _ => {}
        }
        match error.kind() {
            // A Unix socket without a server: its path is gone, or nobody listens.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Class::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Class::Reset,
            // ETIMEDOUT: the kernel gave up; it does so with SYNs and with data.
            io::ErrorKind::TimedOut => Class::ConnectTimeout,
            kind => Class::Other(kind),
        }
    }

    /// In words, for a person.
    pub(super) fn describe(self) -> String {
        match self {
            Class::Refused => "refused: nobody listens there".to_owned(),
            Class::Reset => "reset by the server".to_owned(),
            Class::ConnectTimeout => "no connection in time".to_owned(),
            Class::ReplyTimeout => "no whole reply in time".to_owned(),
            Class::WrongBytes(what) => format!("wrong bytes: {what}"),
            Class::ClosedEarly => "closed by the server before the reply was whole".to_owned(),
            Class::OutOfPorts => "no local port is left; give more addresses with --source".to_owned(),
            Class::OutOfDescriptors => "no file descriptor is left; raise the limit (ulimit -n)".to_owned(),
            Class::NoSuchSource => "a source address is not this machine's; change --source".to_owned(),
            Class::Other(kind) => kind.to_string(),
        }
    }
}

impl Class {
    /// Counts it so many times.
    pub(super) fn count(self, errors: &mut ErrorCounts, times: u64) {
        let counter = match self {
            Class::Refused => &mut errors.refused,
            Class::Reset => &mut errors.reset,
            Class::ConnectTimeout => &mut errors.connect_timeout,
            Class::ReplyTimeout => &mut errors.reply_timeout,
            Class::WrongBytes(_) => &mut errors.wrong_bytes,
            Class::ClosedEarly => &mut errors.closed_early,
            Class::OutOfPorts => &mut errors.out_of_ports,
            Class::OutOfDescriptors => &mut errors.out_of_descriptors,
            Class::NoSuchSource | Class::Other(_) => &mut errors.other,
        };
        *counter += times;
    }

    /// What helps against the errors of the generator that occurred.
    pub(super) fn advice(errors: &ErrorCounts) -> Vec<String> {
        let own =
            [(errors.out_of_ports, Class::OutOfPorts), (errors.out_of_descriptors, Class::OutOfDescriptors)];
        own.into_iter().filter(|(count, _)| *count > 0).map(|(_, class)| class.describe()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_class() {
        for (errno, class) in [
            (libc::ECONNREFUSED, Class::Refused),
            (libc::ENOENT, Class::Refused),
            (libc::ECONNRESET, Class::Reset),
            (libc::EPIPE, Class::Reset),
            (libc::ETIMEDOUT, Class::ConnectTimeout),
            (libc::EADDRNOTAVAIL, Class::OutOfPorts),
            (libc::EMFILE, Class::OutOfDescriptors),
            (libc::ENFILE, Class::OutOfDescriptors),
        ] {
            assert_eq!(Class::of(&io::Error::from_raw_os_error(errno)), class);
        }
    }

    #[test]
    fn every_class_is_counted_in_its_own_counter() {
        let classes = [
            Class::Refused,
            Class::Reset,
            Class::ConnectTimeout,
            Class::ReplyTimeout,
            Class::WrongBytes(""),
            Class::ClosedEarly,
            Class::OutOfPorts,
            Class::OutOfDescriptors,
            Class::Other(io::ErrorKind::Other),
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
