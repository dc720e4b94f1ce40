//! Where a server listens, in the form of the command line.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen at.
///
/// As text: `127.0.0.1:7007`, `[::1]:7007`, `localhost:7007` (which is `127.0.0.1`), `[::]:7007` or `*:7007`
/// (every address of the machine, IPv4 too), `[fe80::1%eth0]:7007` (a link-local address, with the name or
/// number of its interface; as in a URL, `%25` stands for the percent sign), `unix:/run/echo.sock`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// TCP. The unspecified IPv6 address takes IPv4 clients too; any other IPv6 address does not. Port 0 asks
    /// the kernel for a free one.
    Tcp(SocketAddr),
    /// A Unix stream socket at this path.
    Unix(PathBuf),
}

/// The text is not a valid address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError {
    text: String,
    hint: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not a valid address: {}", self.text.escape_debug(), self.hint)
    }
}

impl std::error::Error for AddressError {}

const FORMS: &str =
    "write it as 127.0.0.1:7007, '[::1]:7007', '*:7007' (every address of this machine) or unix:/path";

const PORTS: &str = "a port is a number from 0 to 65535";

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |hint| Err(AddressError { text: text.to_owned(), hint });
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => error("a path must follow \"unix:\", as in unix:/run/echo.sock"),
                path if path.contains('\0') => error("a path cannot contain a NUL"),
                path if path.starts_with('@') => error(
                    "only a supervisor's socket can have an abstract name; for a file of that name write unix:./@name",
                ),
                path => Ok(Address::Unix(path.into())),
            };
        }
        if text.starts_with('/') || text.starts_with("./") {
            return error("write \"unix:\" before the path of a Unix socket");
        }
        if let Ok(addr) = text.parse() {
            return Ok(Address::Tcp(addr));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
                return error(PORTS);
            }
            return error(FORMS);
        };
        let Ok(port) = port.parse::<u16>() else {
            return error(PORTS);
        };
        if let Some((ip, zone)) = zoned(host) {
            let number = |name: &str| nix::net::if_::if_nametoindex(name).ok();
            // In a URL, %25 stands before the zone (RFC 6874, section 2).
            let in_url = || zone.strip_prefix("25").and_then(number);
            return match number(zone).or_else(in_url) {
                Some(number) => Ok(Address::Tcp(SocketAddrV6::new(ip, port, 0, number).into())),
                None => error(
                    "this machine has no network interface of that name; `ip link` or `ifconfig` lists them",
                ),
            };
        }
        match host {
            "*" => Ok(Address::Tcp((Ipv6Addr::UNSPECIFIED, port).into())),
            "localhost" => Ok(Address::Tcp((Ipv4Addr::LOCALHOST, port).into())),
            host if host.contains(':') => error("write brackets around an IPv6 address, as in '[::1]:7007'"),
            _ => error(FORMS),
        }
    }
}

/// The address and the name of the interface in `[fe80::1%eth0]` (RFC 4007, section 11.2).
fn zoned(host: &str) -> Option<(Ipv6Addr, &str)> {
    let (ip, zone) = host.strip_prefix('[')?.strip_suffix(']')?.split_once('%')?;
    Some((ip.parse().ok()?, zone))
}

/// The name of the interface with this number, or the number if there is none: the zone of an IPv6 address.
pub(crate) fn zone_name(number: u32) -> String {
    let name = nix::net::if_::if_indextoname(number).ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| number.to_string())
}

/// The IP address with its zone, such as `fe80::1%eth0`.
pub(crate) fn ip_with_zone(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => {
            format!("{}%{}", addr.ip(), zone_name(addr.scope_id()))
        }
        addr => addr.ip().to_string(),
    }
}

/// In the form that [`Address::from_str`] reads. The zone of an IPv6 address is the name of its interface.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(addr) if addr.is_ipv6() => write!(f, "[{}]:{}", ip_with_zone(*addr), addr.port()),
            Address::Tcp(addr) => addr.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_read() {
        for text in ["127.0.0.1:7007", "[::1]:0", "[::]:80", "unix:/run/a b.sock", "unix:./echo.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("*:7".parse::<Address>(), "[::]:7".parse());
        assert_eq!("localhost:7".parse::<Address>(), "127.0.0.1:7".parse());
    }

    #[test]
    fn an_interface_is_known_by_its_name_or_its_number() {
        let loopback = if cfg!(target_os = "linux") { "lo" } else { "lo0" };
        let number = nix::net::if_::if_nametoindex(loopback).unwrap();
        let named: Address = format!("[fe80::1%{loopback}]:80").parse().unwrap();
        assert_eq!(named, Address::Tcp(SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 0, number).into()));
        for zone in [number.to_string(), format!("25{loopback}")] {
            let parsed: Address = format!("[fe80::1%{zone}]:80").parse().unwrap();
            assert_eq!(parsed, named, "{zone}");
            assert_eq!(parsed.to_string(), format!("[fe80::1%{loopback}]:80"), "{zone}");
        }
        let without_name = "[fe80::1%4294967295]:80";
        assert_eq!(without_name.parse::<Address>().unwrap().to_string(), without_name);
    }

    #[test]
    fn an_invalid_address_is_reported_with_the_remedy() {
        for (text, hint) in [
            ("", "write it as 127.0.0.1:7007"),
            ("example.org:80", "write it as 127.0.0.1:7007"),
            ("127.0.0.1:65536", "0 to 65535"),
            ("99999", "0 to 65535"),
            ("127.0.0.1:", "0 to 65535"),
            ("::1:70000", "0 to 65535"),
            ("1::x:80", "brackets"),
            ("[fe80::1%no-such-one]:80", "no network interface"),
            ("[fe80::1%25no-such-one]:80", "no network interface"),
            ("[fe80::1%]:80", "no network interface"),
            ("unix:", "must follow"),
            ("/run/x", "unix:"),
            ("unix:@x", "unix:./@name"),
        ] {
            let said = text.parse::<Address>().unwrap_err().to_string();
            assert!(said.contains(hint), "{said}");
        }
    }
}
