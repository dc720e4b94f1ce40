//! What can go wrong with a client, by class.

use std::io;

use super::report::Errors;

/// A class of errors; see [`Errors`].
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

impl Errors {
    pub(super) fn add(&mut self, class: Class, count: u64) {
        let counter = match class {
            Class::Refused => &mut self.refused,
            Class::Reset => &mut self.reset,
            Class::ConnectTimeout => &mut self.connect_timeout,
            Class::ReplyTimeout => &mut self.reply_timeout,
            Class::WrongBytes(_) => &mut self.wrong_bytes,
            Class::ClosedEarly => &mut self.closed_early,
            Class::OutOfPorts => &mut self.out_of_ports,
            Class::OutOfDescriptors => &mut self.out_of_descriptors,
            Class::NoSuchSource | Class::Other(_) => &mut self.other,
        };
        *counter += count;
    }
}

impl Errors {
    /// Both together.
    #[must_use]
    pub fn and(self, more: Errors) -> Errors {
        Errors {
            refused: self.refused + more.refused,
            reset: self.reset + more.reset,
            connect_timeout: self.connect_timeout + more.connect_timeout,
            reply_timeout: self.reply_timeout + more.reply_timeout,
            wrong_bytes: self.wrong_bytes + more.wrong_bytes,
            closed_early: self.closed_early + more.closed_early,
            out_of_ports: self.out_of_ports + more.out_of_ports,
            out_of_descriptors: self.out_of_descriptors + more.out_of_descriptors,
            other: self.other + more.other,
        }
    }

    /// What would help against those of the generator that occurred.
    pub fn advice(&self) -> Vec<String> {
        let own =
            [(self.out_of_ports, Class::OutOfPorts), (self.out_of_descriptors, Class::OutOfDescriptors)];
        own.into_iter().filter(|(count, _)| *count > 0).map(|(_, class)| class.describe()).collect()
    }

    /// The classes that occurred, for people; empty if there was no error.
    pub fn told(&self) -> String {
        let classes = [
            (self.refused, "refused"),
            (self.reset, "reset"),
            (self.connect_timeout, "connect timeouts"),
            (self.reply_timeout, "reply timeouts"),
            (self.wrong_bytes, "wrong replies"),
            (self.closed_early, "closed early"),
            (self.other, "other errors"),
            (self.out_of_ports, "without a local port"),
            (self.out_of_descriptors, "without a descriptor"),
        ];
        let occurred = classes.iter().filter(|(count, _)| *count > 0);
        occurred.map(|(count, class)| format!("{count} {class}")).collect::<Vec<_>>().join(", ")
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
            let mut errors = Errors::default();
            errors.add(class, 3);
            let counts = errors.named().map(|(_, count)| count);
            assert_eq!((counts[index], errors.total()), (3, 3), "{class:?}");
            assert!(!class.describe().is_empty());
        }
    }
}
