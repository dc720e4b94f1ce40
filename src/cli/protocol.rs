//! What the load speaks with a server.

use std::fmt;

use crate::services::ServiceName;

/// What the load speaks with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// That of a service.
    Service(ServiceName),
    /// Bytes that the user chooses.
    RawTcp,
}

/// The name of the protocol without a service.
pub(super) const RAW_TCP: &str = "tcp";

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Protocol::Service(service) => service.fmt(f),
            Protocol::RawTcp => f.pad(RAW_TCP),
        }
    }
}
