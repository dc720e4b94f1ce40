//! The services with their flags and their clients of the load generator, made from the table in
//! [`crate::services`].

use std::ops::RangeInclusive;

use clap::Args;

use super::Failure;
use super::http::{HttpArgs, ServerContext};
use super::load_input::FileInput;
use super::load_raw::RawArgs;
use super::load_request::RequestArgs;
use super::load_values::ValuesArgs;
use super::protocol::{Protocol, RAW_TCP};
use super::spec::Spec;
use crate::load::Workload;
use crate::load::clients::{ChargenLoad, DiscardLoad, EchoLoad, HttpLoad, HttpRequest, MessageLoad, Rows};
use crate::services::{AnyService, ServiceName, for_each_service};

/// What the user asks of a workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkloadOptions<'a> {
    pub(super) protocol: Protocol,
    /// The size of a request.
    pub(super) bytes: Option<u64>,
    pub(super) seed: u64,
    /// Whether each request has a connection of its own.
    pub(super) churn: bool,
    /// The host of a URL.
    pub(super) host: &'a str,
    /// The path of a URL.
    pub(super) path: &'a str,
    /// The options of HTTP requests.
    pub(super) request: &'a RequestArgs,
    /// What is sent over raw TCP.
    pub(super) raw: &'a RawArgs,
    /// The values of variables in both.
    pub(super) values: &'a ValuesArgs,
    pub(super) input: FileInput,
}

impl WorkloadOptions<'_> {
    /// The size of a request, if it is within `valid`.
    fn bytes(&self, default: u64, valid: RangeInclusive<u64>) -> Result<u64, Failure> {
        let bytes = self.bytes.unwrap_or(default);
        if valid.contains(&bytes) {
            return Ok(bytes);
        }
        let most =
            if *valid.end() == u64::MAX { String::new() } else { format!(" and at most {}", valid.end()) };
        let service = self.protocol;
        Err(Failure::Usage(format!(
            "--bytes {bytes}: a request of {service} has at least {} byte{most}",
            valid.start()
        )))
    }

    /// The load of HTTP.
    fn http_load(&self) -> Result<HttpLoad, Failure> {
        let get = HttpRequest::get(self.host, self.path);
        let get = if self.churn { get.closes() } else { get };
        // Which variables of the URL there are is not known without the values.
        let has_unknown = self.input == FileInput::Assumed && self.values.is_given();
        let get = if has_unknown { get.for_target("/") } else { get };
        self.request.load(get, self.rows()?, self.seed, self.input)
    }

    fn rows(&self) -> Result<Rows, Failure> {
        match self.input {
            FileInput::Read => self.values.rows(),
            FileInput::Assumed => Ok(Rows::default()),
        }
    }

    /// An error if a size was given: the service leaves no choice.
    fn without_bytes(&self) -> Result<&Self, Failure> {
        match self.bytes {
            None => Ok(self),
            Some(_) => {
                Err(Failure::Usage(format!("--bytes has no effect with {}; leave it out", self.protocol)))
            }
        }
    }
}

/// What is done with a workload, whatever its type.
pub(super) trait UseWorkload {
    type Output;

    fn with(self, workload: &impl Workload) -> Self::Output;
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
        /// The flags of all services that have some.
        #[derive(Clone, Debug, Args)]
        pub(super) struct ServiceFlags {
            $($(
                #[command(flatten)]
                pub(super) $field: $flags,
            )?)+
        }

        impl ServiceFlags {
            /// The service of a listener, or the sites that share it.
            #[allow(unreachable_code)] // `new` of a service with flags
            pub(super) fn open(
                &self,
                service: ServiceName,
                specs: &[Spec],
                server: &ServerContext<'_>,
            ) -> Result<AnyService, Failure> {
                match service {
                    $(ServiceName::$service => {
                        $(return self.$field.open(specs, server).map(AnyService::$service);)?
                        let argument = specs.first().and_then(|spec| spec.argument.as_deref());
                        AnyService::new(service, argument).map_err(Failure::usage)
                    })+
                }
            }
        }

        /// The services that the load generator has a client for.
        pub(super) const LOADABLE: &[ServiceName] = &[$($({
            let _ = stringify!($ask);
            ServiceName::$service
        },)?)+];

        /// Makes the requested workload and passes it to `user`.
        pub(super) fn with_workload<U: UseWorkload>(ask: &WorkloadOptions<'_>, user: U) -> Result<U::Output, Failure> {
            let service = match ask.protocol {
                Protocol::Service(service) => service,
                Protocol::RawTcp => {
                    let ask = ask.without_bytes()?;
                    return Ok(user.with(&ask.raw.load(ask.rows()?, ask.seed, ask.input)?));
                }
            };
            match service {
                $($(ServiceName::$service => {
                    let $ask = ask;
                    Ok(user.with(&$load))
                })?)+
                other => Err(Failure::Usage(no_client(other))),
            }
        }
    };
}

for_each_service!(define);

/// The message about a service that load has no client for.
pub(super) fn no_client(service: ServiceName) -> String {
    format!("load has no client for the service {service}; it has clients for {}", loadable())
}

/// The names that load takes before an address: the services that it has a client for, and raw TCP.
pub(super) fn loadable() -> String {
    LOADABLE.iter().map(|service| service.as_str()).chain([RAW_TCP]).collect::<Vec<_>>().join(", ")
}
