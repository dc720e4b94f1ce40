//! All services in one enum: what the command line names, any model serves without dynamic dispatch.

use std::fmt;
use std::time::Duration;

#[cfg(feature = "daytime")]
use super::daytime::{Daytime, DaytimeSession};
#[cfg(feature = "http")]
use super::http::{Config, Http, HttpSession};
use super::{
    chargen::{Chargen, ChargenSession},
    discard::Discard,
    echo::Echo,
    message::{Message, MessageSession},
    time::{Time, TimeSession},
};
use crate::session::{Client, Input, Now, Outbox, Progress, Record, Refusal, Service, Session};

/// Any of the services that come with oneloop.
#[derive(Clone, Debug)]
pub enum AnyService {
    /// See [`Message`].
    Message(Message),
    /// See [`Echo`].
    Echo(Echo),
    /// See [`Discard`].
    Discard(Discard),
    /// See [`Chargen`].
    Chargen(Chargen),
    /// See [`Daytime`].
    #[cfg(feature = "daytime")]
    Daytime(Daytime),
    /// See [`Http`].
    #[cfg(feature = "http")]
    Http(Http),
    /// See [`Time`].
    Time(Time),
}

/// One client of [`AnyService`].
#[derive(Debug)]
pub enum AnySession {
    /// Of [`Message`].
    Message(MessageSession),
    /// Of [`Echo`].
    Echo(Echo),
    /// Of [`Discard`].
    Discard(Discard),
    /// Of [`Chargen`].
    Chargen(ChargenSession),
    /// Of [`Daytime`].
    #[cfg(feature = "daytime")]
    Daytime(DaytimeSession),
    /// Of [`Http`].
    #[cfg(feature = "http")]
    Http(HttpSession),
    /// Of [`Time`].
    Time(TimeSession),
}

/// A service by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// As on the command line.
    pub name: &'static str,
    /// Where it listens when nothing else is said: the number of its RFC's port plus 7000.
    pub port: u16,
    /// What it does, in a few words.
    pub about: &'static str,
}

/// The services of this build.
pub const NAMES: &[Name] = &[
    Name { name: "message", port: 7000, about: "reads one message, answers \"I got your message\", closes" },
    Name { name: "echo", port: 7007, about: "sends back what it is sent (RFC 862)" },
    Name { name: "discard", port: 7009, about: "throws away what it is sent (RFC 863)" },
    #[cfg(feature = "daytime")]
    Name { name: "daytime", port: 7013, about: "tells date and time as text (RFC 867)" },
    Name { name: "chargen", port: 7019, about: "sends characters without end (RFC 864)" },
    #[cfg(feature = "http")]
    Name {
        name: "http",
        port: 8000,
        about: "files of the directory ARG (without: this one) over HTTP/1.1 (RFC 9112)",
    },
    Name { name: "time", port: 7037, about: "tells the seconds since 1900 as 4 bytes (RFC 868)" },
];

/// No service can be made of that name and argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceError {
    /// There is none of that name.
    Unknown(String),
    /// It takes no argument.
    NoArgument(&'static str),
    /// Its argument leads to nothing that it can serve.
    Argument(String),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceError::Unknown(name) => {
                write!(f, "unknown service \"{}\"; the services are", name.escape_debug())?;
                for (n, known) in NAMES.iter().enumerate() {
                    write!(f, "{} {}", if n == 0 { "" } else { "," }, known.name)?;
                }
                Ok(())
            }
            ServiceError::NoArgument(name) => {
                write!(f, "the service {name} takes no argument; leave out \"=\" and what follows it")
            }
            ServiceError::Argument(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ServiceError {}

impl AnyService {
    /// The service of that name, with the argument behind its `=`.
    pub fn parse(name: &str, arg: Option<&str>) -> Result<Self, ServiceError> {
        let service = match name {
            "message" => AnyService::Message(Message),
            "echo" => AnyService::Echo(Echo),
            "discard" => AnyService::Discard(Discard),
            "chargen" => AnyService::Chargen(Chargen),
            #[cfg(feature = "daytime")]
            "daytime" => AnyService::Daytime(Daytime),
            #[cfg(feature = "http")]
            "http" => {
                let config = Config::new(arg.unwrap_or("."));
                let http = Http::new(config).map_err(|error| ServiceError::Argument(error.to_string()))?;
                return Ok(AnyService::Http(http));
            }
            "time" => AnyService::Time(Time),
            _ => return Err(ServiceError::Unknown(name.to_owned())),
        };
        match arg {
            Some(_) => Err(ServiceError::NoArgument(service.name())),
            None => Ok(service),
        }
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            AnyService::Message(_) => "message",
            AnyService::Echo(_) => "echo",
            AnyService::Discard(_) => "discard",
            AnyService::Chargen(_) => "chargen",
            #[cfg(feature = "daytime")]
            AnyService::Daytime(_) => "daytime",
            #[cfg(feature = "http")]
            AnyService::Http(_) => "http",
            AnyService::Time(_) => "time",
        }
    }

    /// Where it listens on loopback when nothing else is said.
    pub fn default_port(&self) -> u16 {
        let own = NAMES.iter().find(|known| known.name == self.name());
        own.map_or(0, |known| known.port)
    }
}

impl Service for AnyService {
    type Session = AnySession;

    fn open(&self, client: &Client<'_>) -> AnySession {
        match self {
            AnyService::Message(service) => AnySession::Message(service.open(client)),
            AnyService::Echo(service) => AnySession::Echo(service.open(client)),
            AnyService::Discard(service) => AnySession::Discard(service.open(client)),
            AnyService::Chargen(service) => AnySession::Chargen(service.open(client)),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => AnySession::Daytime(service.open(client)),
            #[cfg(feature = "http")]
            AnyService::Http(service) => AnySession::Http(service.open(client)),
            AnyService::Time(service) => AnySession::Time(service.open(client)),
        }
    }

    fn refusal(&self, why: Refusal) -> &[u8] {
        match self {
            AnyService::Message(service) => service.refusal(why),
            AnyService::Echo(service) => service.refusal(why),
            AnyService::Discard(service) => service.refusal(why),
            AnyService::Chargen(service) => service.refusal(why),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => service.refusal(why),
            #[cfg(feature = "http")]
            AnyService::Http(service) => service.refusal(why),
            AnyService::Time(service) => service.refusal(why),
        }
    }

    fn idle_timeout(&self) -> Option<Duration> {
        match self {
            AnyService::Message(service) => service.idle_timeout(),
            AnyService::Echo(service) => service.idle_timeout(),
            AnyService::Discard(service) => service.idle_timeout(),
            AnyService::Chargen(service) => service.idle_timeout(),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => service.idle_timeout(),
            #[cfg(feature = "http")]
            AnyService::Http(service) => service.idle_timeout(),
            AnyService::Time(service) => service.idle_timeout(),
        }
    }

    fn request_timeout(&self) -> Option<Duration> {
        match self {
            AnyService::Message(service) => service.request_timeout(),
            AnyService::Echo(service) => service.request_timeout(),
            AnyService::Discard(service) => service.request_timeout(),
            AnyService::Chargen(service) => service.request_timeout(),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => service.request_timeout(),
            #[cfg(feature = "http")]
            AnyService::Http(service) => service.request_timeout(),
            AnyService::Time(service) => service.request_timeout(),
        }
    }

    fn wakes(&self) -> bool {
        match self {
            AnyService::Message(service) => service.wakes(),
            AnyService::Echo(service) => service.wakes(),
            AnyService::Discard(service) => service.wakes(),
            AnyService::Chargen(service) => service.wakes(),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => service.wakes(),
            #[cfg(feature = "http")]
            AnyService::Http(service) => service.wakes(),
            AnyService::Time(service) => service.wakes(),
        }
    }

    fn client_speaks_first(&self) -> bool {
        match self {
            AnyService::Message(service) => service.client_speaks_first(),
            AnyService::Echo(service) => service.client_speaks_first(),
            AnyService::Discard(service) => service.client_speaks_first(),
            AnyService::Chargen(service) => service.client_speaks_first(),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => service.client_speaks_first(),
            #[cfg(feature = "http")]
            AnyService::Http(service) => service.client_speaks_first(),
            AnyService::Time(service) => service.client_speaks_first(),
        }
    }

    fn maintenance_due_ms(&self) -> Option<u64> {
        match self {
            AnyService::Message(service) => service.maintenance_due_ms(),
            AnyService::Echo(service) => service.maintenance_due_ms(),
            AnyService::Discard(service) => service.maintenance_due_ms(),
            AnyService::Chargen(service) => service.maintenance_due_ms(),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => service.maintenance_due_ms(),
            #[cfg(feature = "http")]
            AnyService::Http(service) => service.maintenance_due_ms(),
            AnyService::Time(service) => service.maintenance_due_ms(),
        }
    }

    fn maintain(&self, now: Now) {
        match self {
            AnyService::Message(service) => service.maintain(now),
            AnyService::Echo(service) => service.maintain(now),
            AnyService::Discard(service) => service.maintain(now),
            AnyService::Chargen(service) => service.maintain(now),
            #[cfg(feature = "daytime")]
            AnyService::Daytime(service) => service.maintain(now),
            #[cfg(feature = "http")]
            AnyService::Http(service) => service.maintain(now),
            AnyService::Time(service) => service.maintain(now),
        }
    }
}

impl Session for AnySession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        match self {
            AnySession::Message(session) => session.advance(input, out),
            AnySession::Echo(session) => session.advance(input, out),
            AnySession::Discard(session) => session.advance(input, out),
            AnySession::Chargen(session) => session.advance(input, out),
            #[cfg(feature = "daytime")]
            AnySession::Daytime(session) => session.advance(input, out),
            #[cfg(feature = "http")]
            AnySession::Http(session) => session.advance(input, out),
            AnySession::Time(session) => session.advance(input, out),
        }
    }

    fn unfinished(&mut self) -> Option<Record> {
        match self {
            AnySession::Message(session) => session.unfinished(),
            AnySession::Echo(session) => session.unfinished(),
            AnySession::Discard(session) => session.unfinished(),
            AnySession::Chargen(session) => session.unfinished(),
            #[cfg(feature = "daytime")]
            AnySession::Daytime(session) => session.unfinished(),
            #[cfg(feature = "http")]
            AnySession::Http(session) => session.unfinished(),
            AnySession::Time(session) => session.unfinished(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            AnySession::Message(session) => session.held_bytes(),
            AnySession::Echo(session) => session.held_bytes(),
            AnySession::Discard(session) => session.held_bytes(),
            AnySession::Chargen(session) => session.held_bytes(),
            #[cfg(feature = "daytime")]
            AnySession::Daytime(session) => session.held_bytes(),
            #[cfg(feature = "http")]
            AnySession::Http(session) => session.held_bytes(),
            AnySession::Time(session) => session.held_bytes(),
        }
    }
}
