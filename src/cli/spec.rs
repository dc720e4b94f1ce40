//! What is to be served where: `SERVICE[=ARG][@ADDR]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::services::{AnyService, NAMES};
use crate::sys::Address;

/// One service and where it listens.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) what: What,
    /// `None`: a socket of the supervisor, or the service's own port on loopback.
    pub(super) address: Option<Address>,
}

/// A service, or what one is made of when all flags are known.
#[derive(Clone, Debug)]
pub(super) enum What {
    Service(AnyService),
    /// The files in this directory; opened later, when the inherited sockets have been taken.
    Http(PathBuf),
}

impl What {
    /// The service's name on the command line.
    pub(super) fn name(&self) -> &'static str {
        match self {
            What::Service(service) => service.name(),
            What::Http(_) => "http",
        }
    }

    fn default_port(&self) -> u16 {
        NAMES.iter().find(|known| known.name == self.name()).map_or(0, |known| known.port)
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The last one: the argument may be a path with an `@` in it. So may the path of a Unix socket.
        let (service, address) = match text.rfind("@unix:").or_else(|| text.rfind('@')) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let (name, arg) = match service.split_once('=') {
            Some((name, arg)) => (name, Some(arg)),
            None => (service, None),
        };
        let what = match (name, arg) {
            ("http", None) => What::Http(".".into()),
            ("http", Some("")) => {
                return Err("which directory? Say http=DIR, or http for this one".to_owned());
            }
            ("http", Some(dir)) => What::Http(dir.into()),
            _ => What::Service(AnyService::parse(name, arg).map_err(|error| error.to_string())?),
        };
        let address = address.map(|text| address_of(text, what.default_port())).transpose()?;
        Ok(Spec { what, address })
    }
}

impl Spec {
    /// The service at its own port on loopback.
    pub(super) fn default_address(&self) -> Address {
        Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.what.default_port())))
    }
}

/// A whole address, or a part of one: a port alone is on loopback, an IP address alone has the service's own port.
pub(super) fn address_of(text: &str, default_port: u16) -> Result<Address, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(Address::Tcp((Ipv4Addr::LOCALHOST, port).into()));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(Address::Tcp((ip, default_port).into()));
    }
    if text == "*" || text == "localhost" {
        return format!("{text}:{default_port}")
            .parse()
            .map_err(|error: crate::sys::AddressError| error.to_string());
    }
    text.parse().map_err(|error: crate::sys::AddressError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let spec: Spec = text.parse()?;
        let address = spec.address.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        Ok(format!("{} {address} {}", spec.what.name(), spec.default_address()))
    }

    #[test]
    fn a_service_has_the_address_that_was_typed_or_a_part_of_its_own() {
        for (text, expected) in [
            ("echo", "echo - 127.0.0.1:7007"),
            ("echo@8", "echo 127.0.0.1:8 127.0.0.1:7007"),
            ("echo@0.0.0.0", "echo 0.0.0.0:7007 127.0.0.1:7007"),
            ("echo@::1", "echo [::1]:7007 127.0.0.1:7007"),
            ("echo@[::1]", "echo [::1]:7007 127.0.0.1:7007"),
            ("echo@*", "echo [::]:7007 127.0.0.1:7007"),
            ("time@[::1]:7013", "time [::1]:7013 127.0.0.1:7037"),
            ("http", "http - 127.0.0.1:8000"),
            ("http=/srv/@me@[::1]:80", "http [::1]:80 127.0.0.1:8000"),
            ("echo@unix:./a.sock", "echo unix:./a.sock 127.0.0.1:7007"),
            ("echo@unix:/run/a@b.sock", "echo unix:/run/a@b.sock 127.0.0.1:7007"),
            ("http=/srv/@me@unix:x@8", "http unix:x@8 127.0.0.1:8000"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_mistake_says_which_part_is_wrong() {
        for (text, part) in [
            ("", "no service \"\""),
            ("ecko", "no service \"ecko\""),
            ("echo=x", "takes no argument"),
            ("http=", "which directory?"),
            ("echo@example.org", "\"example.org\" is no address"),
            ("echo@127.0.0.1:x", "the port"),
            ("echo@", "is no address"),
            ("echo@unix:@x", "\"unix:@x\" is no address: "),
        ] {
            assert!(shown(text).unwrap_err().contains(part), "{text}: {:?}", shown(text));
        }
    }
}
