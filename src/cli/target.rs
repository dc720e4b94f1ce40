//! What a load is put on: `SERVICE@ADDR`, or a URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use super::spec::address_of;
use crate::services::NAMES;
use crate::sys::Address;

/// Which client is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Echo,
    Message,
    Discard,
    Chargen,
    /// What to ask for, of whom.
    Http {
        host: String,
        target: String,
    },
}

/// A server, and what is spoken there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) kind: Kind,
    pub(super) address: Address,
}

const HTTP_PORT: u16 = 80;
const FORM: &str = "write SERVICE@ADDR, such as echo@127.0.0.1:7007, or a URL, such as http://127.0.0.1:8000/file; services: \
                    echo, message, discard, chargen, http";

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("http://") {
            return url(rest);
        }
        if text.starts_with("https://") {
            return Err("there is no TLS here; put the load on http:// behind it".to_owned());
        }
        let (name, address) = match text.split_once('@') {
            Some((name, address)) => (name, Some(address)),
            None => (text, None),
        };
        let kind = match name {
            "echo" => Kind::Echo,
            "message" => Kind::Message,
            "discard" => Kind::Discard,
            "chargen" => Kind::Chargen,
            "http" => {
                let host = address.filter(|address| !address.starts_with("unix:")).unwrap_or("localhost");
                Kind::Http { host: host.to_owned(), target: "/".to_owned() }
            }
            name => return Err(format!("there is no client for \"{}\"; {FORM}", name.escape_debug())),
        };
        let port = NAMES.iter().find(|known| known.name == name).map_or(HTTP_PORT, |known| known.port);
        let address = match address {
            Some(address) => reachable(address, port)?,
            None => Address::Tcp((Ipv4Addr::LOCALHOST, port).into()),
        };
        Ok(Target { kind, address })
    }
}

fn url(rest: &str) -> Result<Target, String> {
    // What follows a # is for browsers.
    let rest = rest.split('#').next().unwrap_or(rest);
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(at);
    if host.is_empty() || host.contains('@') || rest.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err(format!("the URL has no usable host; {FORM}"));
    }
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let address = reachable(host, HTTP_PORT)?;
    Ok(Target { kind: Kind::Http { host: host.to_owned(), target }, address })
}

/// Addresses of a name that are tried, and how long each.
const TRIED_MAX: usize = 4;
const TRY: Duration = Duration::from_secs(1);

/// Of several addresses the first at which somebody listens (as RFC 8305 has it, one after the other), else the first:
/// localhost is often IPv6 before it is 127.0.0.1, and many servers are at the latter alone.
fn met(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let listens = |addr: &&SocketAddr| TcpStream::connect_timeout(addr, TRY).is_ok();
    match addresses {
        [] | [_] => addresses.first(),
        _ => addresses.iter().take(TRIED_MAX).find(listens).or(addresses.first()),
    }
    .copied()
}

/// An address as elsewhere, or a name that the system knows.
fn reachable(text: &str, default_port: u16) -> Result<Address, String> {
    let named = |error: String| {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| error.clone())?),
            None => (text, default_port),
        };
        let is_name =
            !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
        let found = Some(host).filter(|_| is_name).and_then(|host| (host, port).to_socket_addrs().ok());
        found.and_then(|found| met(&found.collect::<Vec<_>>())).map(Address::Tcp).ok_or(error)
    };
    Ok(match address_of(text, default_port).or_else(named)? {
        // Whoever listens everywhere is met on loopback. A * takes clients of both kinds, or of IPv4 alone where there is no
        // IPv6: so IPv4 meets it, and a server of IPv4 alone as well. Whoever writes [::] means IPv6.
        Address::Tcp(addr) if addr.ip().is_unspecified() => {
            let is_ipv4 = addr.is_ipv4() || text.starts_with('*');
            let here: IpAddr = if is_ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            Address::Tcp(SocketAddr::new(here, addr.port()))
        }
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let target: Target = text.parse()?;
        let kind = match &target.kind {
            Kind::Http { host, target } => format!("http {host} {target}"),
            kind => format!("{kind:?}").to_lowercase(),
        };
        Ok(format!("{kind} at {}", target.address))
    }

    #[test]
    fn services_and_urls_are_understood() {
        for (text, expected) in [
            ("echo", "echo at 127.0.0.1:7007"),
            ("message@127.0.0.1:1", "message at 127.0.0.1:1"),
            ("discard@[::1]:9", "discard at [::1]:9"),
            ("chargen@*:19", "chargen at 127.0.0.1:19"),
            ("discard@*", "discard at 127.0.0.1:7009"),
            ("http://*:81/x", "http *:81 /x at 127.0.0.1:81"),
            ("echo@[::]:7", "echo at [::1]:7"),
            ("echo@0.0.0.0:7", "echo at 127.0.0.1:7"),
            ("echo@unix:/run/a@b.sock", "echo at unix:/run/a@b.sock"),
            ("http@127.0.0.1:8000", "http 127.0.0.1:8000 / at 127.0.0.1:8000"),
            ("http://127.0.0.1:8000/a/b?c#d", "http 127.0.0.1:8000 /a/b?c at 127.0.0.1:8000"),
            ("http://127.0.0.1", "http 127.0.0.1 / at 127.0.0.1:80"),
            ("http://[::1]:81?x", "http [::1]:81 /?x at [::1]:81"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn of_several_addresses_the_one_is_met_that_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        assert_eq!(met(&[nobody, here]), Some(here));
        assert_eq!(met(&[nobody, nobody]), Some(nobody), "who then is told that nobody listens there");
        assert_eq!((met(&[nobody]), met(&[])), (Some(nobody), None));
    }

    #[test]
    fn a_mistake_says_what_to_write() {
        for (text, part) in [
            ("", "echo@127.0.0.1:7007"),
            ("daytime@127.0.0.1:1", "no client for \"daytime\""),
            ("https://127.0.0.1/", "no TLS"),
            ("http:///x", "no usable host"),
            ("http://127.0.0.1/a b", "no usable host"),
            ("echo@127.0.0.1:x", "the port"),
            ("echo@no.such.name.invalid:1", "is no address"),
        ] {
            assert!(shown(text).unwrap_err().contains(part), "{text}: {:?}", shown(text));
        }
    }
}
