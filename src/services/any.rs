//! The table of services, and the closed enum of them: every model serves any of them without dynamic
//! dispatch.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

#[cfg(feature = "daytime")]
use super::Daytime;
#[cfg(feature = "http")]
use super::http::{Files, FilesConfig, Http as HttpOf, Router};
use super::{Chargen, Discard, Echo, Message, Time};
#[cfg(feature = "cli")]
use crate::limits::Need;
use crate::session::{AnswerInfo, ClientInfo, Input, Now, Outbox, Progress, Refusal, Service, Session};

/// Several directories, by host and path.
#[cfg(feature = "http")]
type Http = HttpOf<Router<Files>>;

/// Every service, once. The table is passed to another macro, which generates code from the rows: here the
/// enums, in the program the flags and the clients of the load generator.
///
/// - `name`, `port`, `about`: as on the command line; the port of its RFC plus 7000. `about` completes "a
///   service that …".
/// - `argument`: the argument after the `=` of the name ([`Argument`]); `new` makes the service from it.
/// - `meets`: limits that have an effect on it (`limits::Need`).
/// - `flags`: a field and a type of the program, for a service that has flags; their `open` is used in place
///   of `new`. Their heading in the help is the service's name.
/// - `load`: its client for the load generator, if there is one, made of what the user asks for
///   (`cli::services::WorkloadOptions`).
macro_rules! for_each_service {
    ($callback:ident) => {
        $callback! {
            Message {
                name: "message", port: 7000,
                about: "answers one message with \"I got your message\"",
                argument: Nothing, new: |_nothing| Ok(Message),
                meets: [IdleClients, Output],
                load: |ask| MessageLoad::new(ask.bytes(64, 1..=255)?),
            }
            Echo {
                name: "echo", port: 7007,
                about: "sends back what it receives (RFC 862)",
                argument: Nothing, new: |_nothing| Ok(Echo),
                meets: [IdleClients, Output],
                load: |ask| EchoLoad::new(ask.bytes(64, 1..=u64::MAX)?, ask.seed),
            }
            Discard {
                name: "discard", port: 7009,
                about: "discards what it receives (RFC 863)",
                argument: Nothing, new: |_nothing| Ok(Discard),
                meets: [IdleClients],
                load: |ask| DiscardLoad::new(ask.bytes(64, 1..=u64::MAX)?, ask.seed),
            }
            #[cfg(feature = "daytime")]
            Daytime {
                name: "daytime", port: 7013,
                about: "sends the date and time as text (RFC 867)",
                argument: Nothing, new: |_nothing| Ok(Daytime),
                meets: [Output],
            }
            Chargen {
                name: "chargen", port: 7019,
                about: "sends characters without end (RFC 864)",
                argument: Nothing, new: |_nothing| Ok(Chargen),
                meets: [Output],
                load: |ask| ChargenLoad::new(ask.bytes(64 << 10, 1..=u64::MAX)?),
            }
            #[cfg(feature = "http")]
            Http {
                name: "http", port: 8000,
                about: "serves the files of directory ARG (default: .)",
                argument: Directory, new: |directory| {
                    Files::new(FilesConfig::new(directory.unwrap_or("."))).map(|files| Http::new(files.into())).map_err(|error| ServiceError::Argument(error.to_string()))
                },
                meets: [IdleClients, Requests, Output],
                flags: http: HttpArgs,
                load: |ask| ask.without_bytes()?.http_load()?,
            }
            Time {
                name: "time", port: 7037,
                about: "sends the time as 4 bytes (RFC 868)",
                argument: Nothing, new: |_nothing| Ok(Time),
                meets: [Output],
            }
        }
    };
}
#[cfg(feature = "cli")]
pub(crate) use for_each_service;

/// The argument after the `=` of a service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    Nothing,
    #[cfg_attr(not(feature = "http"), allow(dead_code))]
    Directory,
}

macro_rules! define {
    ($(
        $(#[$cfg:meta])?
        $service:ident {
            name: $name:literal, port: $port:literal,
            about: $about:literal,
            argument: $argument:ident, new: |$value:ident| $new:expr,
            meets: [$($need:ident),*],
            $(flags: $field:ident: $flags:ty,)?
            $(load: |$ask:ident| $load:expr,)?
        }
    )+) => {
        /// The name of a service of this build.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ServiceName {
            $(
                #[doc = concat!("`", $name, "` ", $about, ".")]
                $(#[$cfg])?
                $service,
            )+
        }

        /// Any of the services that come with oneloop.
        ///
        /// ```
        /// use oneloop::services::{AnyService, ServiceName};
        ///
        /// let name: ServiceName = "echo".parse()?;
        /// let echo = AnyService::new(name, None)?;
        /// assert_eq!((echo.name(), name.default_port()), (ServiceName::Echo, 7007));
        /// # Ok::<(), oneloop::services::ServiceError>(())
        /// ```
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum AnyService {
            $(
                #[doc = concat!("The service `", $name, "`.")]
                $(#[$cfg])?
                $service($service),
            )+
        }

        /// A client of [`AnyService`].
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum AnySession {
            $(
                #[doc = concat!("Of the service `", $name, "`.")]
                $(#[$cfg])?
                $service(<$service as Service>::Session),
            )+
        }

        impl ServiceName {
            /// All of them.
            pub const ALL: &[ServiceName] = &[$($(#[$cfg])? ServiceName::$service),+];

            /// The name on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $($(#[$cfg])? ServiceName::$service => $name,)+ }
            }

            /// The port when no address is given: the number of the RFC's port plus 7000.
            pub const fn default_port(self) -> u16 {
                match self { $($(#[$cfg])? ServiceName::$service => $port,)+ }
            }

            /// Its description, in one line.
            pub const fn about(self) -> &'static str {
                match self { $($(#[$cfg])? ServiceName::$service => $about,)+ }
            }

            /// The argument after the `=`.
            pub(crate) const fn argument(self) -> Argument {
                match self { $($(#[$cfg])? ServiceName::$service => Argument::$argument,)+ }
            }

            /// Whether limits with this need have an effect.
            #[cfg(feature = "cli")]
            pub(crate) fn meets(self, need: Need) -> bool {
                let needs: &[Need] = match self { $($(#[$cfg])? ServiceName::$service => &[$(Need::$need),*],)+ };
                needs.contains(&need)
            }
        }

        impl AnyService {
            /// The service of this name, with the argument after its `=`.
            ///
            /// # Errors
            /// The service takes no argument, or this argument is not valid.
            pub fn new(name: ServiceName, argument: Option<&str>) -> Result<Self, ServiceError> {
                if argument.is_some() && name.argument() == Argument::Nothing {
                    return Err(ServiceError::NoArgument(name));
                }
                match name {
                    $($(#[$cfg])? ServiceName::$service => {
                        let $value = argument;
                        let service: Result<$service, ServiceError> = $new;
                        service.map(AnyService::$service)
                    })+
                }
            }

            /// Its name.
            pub const fn name(&self) -> ServiceName {
                match self { $($(#[$cfg])? AnyService::$service(_) => ServiceName::$service,)+ }
            }
        }

        impl Service for AnyService {
            type Session = AnySession;

            fn open(&self, client: &ClientInfo<'_>) -> AnySession {
                match self { $($(#[$cfg])? AnyService::$service(service) => AnySession::$service(service.open(client)),)+ }
            }

            fn refusal(&self, why: Refusal) -> &[u8] {
                match self { $($(#[$cfg])? AnyService::$service(service) => service.refusal(why),)+ }
            }

            fn idle_timeout(&self) -> Option<Duration> {
                match self { $($(#[$cfg])? AnyService::$service(service) => service.idle_timeout(),)+ }
            }

            fn request_timeout(&self) -> Option<Duration> {
                match self { $($(#[$cfg])? AnyService::$service(service) => service.request_timeout(),)+ }
            }

            fn wakes(&self) -> bool {
                match self { $($(#[$cfg])? AnyService::$service(service) => service.wakes(),)+ }
            }

            fn client_speaks_first(&self) -> bool {
                match self { $($(#[$cfg])? AnyService::$service(service) => service.client_speaks_first(),)+ }
            }

            fn maintenance_due_ms(&self) -> Option<u64> {
                match self { $($(#[$cfg])? AnyService::$service(service) => service.maintenance_due_ms(),)+ }
            }

            fn maintain(&self, now: Now) {
                match self { $($(#[$cfg])? AnyService::$service(service) => service.maintain(now),)+ }
            }
        }

        impl Session for AnySession {
            fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
                match self { $($(#[$cfg])? AnySession::$service(session) => session.advance(input, out),)+ }
            }

            fn unfinished(&mut self) -> Option<AnswerInfo> {
                match self { $($(#[$cfg])? AnySession::$service(session) => session.unfinished(),)+ }
            }

            fn timer_due_ms(&self) -> Option<u64> {
                match self { $($(#[$cfg])? AnySession::$service(session) => session.timer_due_ms(),)+ }
            }

            fn held_bytes(&self) -> usize {
                match self { $($(#[$cfg])? AnySession::$service(session) => session.held_bytes(),)+ }
            }
        }
    };
}

for_each_service!(define);

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ServiceName {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let named = ServiceName::ALL.iter().copied().find(|name| name.as_str() == text);
        named.ok_or_else(|| ServiceError::Unknown(text.to_owned()))
    }
}

/// No service can be made of this name and argument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceError {
    /// No service has this name.
    Unknown(String),
    /// The service takes no argument.
    NoArgument(ServiceName),
    /// The argument is not valid, with the reason.
    Argument(String),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceError::Unknown(name) => {
                let names =
                    ServiceName::ALL.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", ");
                write!(f, "unknown service \"{}\"; the services are {names}", name.escape_debug())
            }
            ServiceError::NoArgument(name) => {
                write!(f, "the service {name} takes no argument; leave out \"=\" and what follows it")
            }
            ServiceError::Argument(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ServiceError {}
