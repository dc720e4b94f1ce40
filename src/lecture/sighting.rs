//! Sightings: events of a scene, with their times.

use std::fmt;

use super::scene::Gauge;

/// An event of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// When, in µs since the scene began.
    pub(crate) at_us: u64,
    /// What.
    pub(crate) seen: SightingKind,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SightingKind {
    /// An event that the client itself noticed.
    Client {
        /// Its place in the scene.
        client: usize,
        /// What.
        event: ClientEvent,
    },
    /// An event at the server, reported by the process or thread that serves the client with this port.
    Server {
        /// The port of the client.
        port: u16,
        /// What.
        event: ServerEvent,
    },
    /// A process has ended and was not waited for (state Z in `/proc`).
    Zombie {
        /// Its id.
        process: u32,
    },
    /// A number changed.
    Gauge {
        /// Which.
        gauge: Gauge,
        /// What it is now.
        value: u32,
    },
}

/// An event of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientEvent {
    /// It calls connect(2), from this port.
    Comes {
        /// Its port.
        port: u16,
    },
    /// connect(2) returned: the connection is established.
    Connected {
        /// How often its SYN was sent again (`TCP_INFO`); `None` where the system does not show it.
        sent_again: Option<u32>,
    },
    /// It sent this many bytes.
    Sent(usize),
    /// It received this many bytes.
    Received(usize),
    /// It closed its side, and waits for the end.
    ClosedItsSide,
    /// The connection ended from the server's side.
    SawEnd,
    /// It gave up: this did not come in time.
    GaveUp(&'static str),
    /// A call failed.
    Failed(String),
    /// It closed the connection.
    Left,
}

/// An event of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerEvent {
    /// The client was accepted, and is served here.
    Began(ServedIn),
    /// This many bytes of it were read.
    Read(usize),
    /// This many bytes were written to it.
    Answered(usize),
    /// The server has closed its connection.
    Ended,
}

/// The process, thread or slot that serves a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServedIn {
    /// The id of the process.
    pub(crate) process: u32,
    /// The id of the thread, if it is not the first thread.
    pub(crate) thread: Option<u32>,
    /// The slot, in a loop.
    pub(crate) slot: Option<u32>,
}

impl fmt::Display for ServedIn {
    /// The innermost of slot, thread and process.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServedIn { slot: Some(slot), .. } => write!(f, "slot {slot}"),
            ServedIn { thread: Some(thread), .. } => write!(f, "thread {thread}"),
            ServedIn { process, .. } => write!(f, "process {process}"),
        }
    }
}

/// A line of the standard output of a server: an event with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerLine {
    /// When, in ns of `CLOCK_MONOTONIC`.
    pub(crate) at_ns: u64,
    /// The port of the client.
    pub(crate) port: u16,
    /// The event.
    pub(crate) event: ServerEvent,
}

impl fmt::Display for ServerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerLine { at_ns, port, event } = self;
        write!(f, "{at_ns} {port} ")?;
        match event {
            ServerEvent::Began(ServedIn { process, thread, slot }) => {
                write!(f, "began {process}")?;
                thread.map_or(Ok(()), |thread| write!(f, " thread {thread}"))?;
                slot.map_or(Ok(()), |slot| write!(f, " slot {slot}"))
            }
            ServerEvent::Read(bytes) => write!(f, "read {bytes}"),
            ServerEvent::Answered(bytes) => write!(f, "answered {bytes}"),
            ServerEvent::Ended => write!(f, "ended"),
        }
    }
}

impl ServerLine {
    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(line: &str) -> Option<ServerLine> {
        let mut words = line.split(' ');
        let (at_ns, port) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let event = match words.next()? {
            "began" => {
                let mut served_in =
                    ServedIn { process: words.next()?.parse().ok()?, thread: None, slot: None };
                while let Some(word) = words.next() {
                    let number = Some(words.next()?.parse().ok()?);
                    match word {
                        "thread" => served_in.thread = number,
                        "slot" => served_in.slot = number,
                        _ => return None,
                    }
                }
                ServerEvent::Began(served_in)
            }
            "read" => ServerEvent::Read(words.next()?.parse().ok()?),
            "answered" => ServerEvent::Answered(words.next()?.parse().ok()?),
            "ended" => ServerEvent::Ended,
            _ => return None,
        };
        words.next().is_none().then_some(ServerLine { at_ns, port, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_server_is_read_as_it_was_written() {
        let in_slot = ServedIn { process: 7, thread: Some(8), slot: Some(0) };
        let alone = ServedIn { process: 7, thread: None, slot: None };
        for event in [
            ServerEvent::Began(in_slot),
            ServerEvent::Began(alone),
            ServerEvent::Read(5),
            ServerEvent::Answered(5),
            ServerEvent::Ended,
        ] {
            let line = ServerLine { at_ns: 123_456_789_012, port: 41_890, event };
            assert_eq!(ServerLine::parse(&line.to_string()), Some(line));
        }
        for line in ["", "listening on lecture@127.0.0.1:1", "1 2 began", "1 2 began 3 slot", "1 2 ended 3"] {
            assert_eq!(ServerLine::parse(line), None, "{line}");
        }
    }
}
