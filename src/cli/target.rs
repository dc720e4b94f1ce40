//! The argument of `oneloop load`: `SERVICE@ADDR` or a URL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::protocol::{Protocol, RAW_TCP};
use super::services::{LOADABLE, loadable, no_client};
use super::spec::address_of;
use super::typed_command::TypedCommand;
use super::words::closest;
use crate::services::ServiceName;
use crate::sys::Address;

/// The server to load.
#[derive(Clone, Debug)]
pub(super) struct LoadTarget {
    pub(super) protocol: Protocol,
    /// The host, for the field `Host` of HTTP requests.
    pub(super) host: String,
    /// The path of a URL, with its query.
    pub(super) path: String,
    pub(super) address: Address,
}

const HTTP_PORT: u16 = 80;
/// The examples of a server.
const A_SERVICE: &str = "echo@127.0.0.1:7007";
const A_URL: &str = "http://127.0.0.1:8000/";

/// Why a word is not a server to load, and what to write in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetError {
    what: String,
    target: String,
    /// Options that this server needs, and their values.
    options: &'static [(&'static str, &'static str)],
    /// What follows the command.
    after: String,
}

impl TargetError {
    fn new(what: String, target: impl Into<String>) -> TargetError {
        TargetError { what, target: target.into(), options: &[], after: String::new() }
    }

    /// With the example of a server that the words before it name: a URL or a service.
    fn with_example(what: &str, text: &str) -> TargetError {
        let is_http = text.to_ascii_lowercase().starts_with("http");
        TargetError::new(format!("{what}; for example"), if is_http { A_URL } else { A_SERVICE })
    }

    /// The message, with the command `typed` where `word` is corrected.
    pub(super) fn message(&self, word: &str, typed: &TypedCommand) -> String {
        let with = |typed: TypedCommand, (option, value): &(&str, &str)| {
            if typed.has(option) { typed } else { typed.with(option, value) }
        };
        let works = typed.clone().with_argument(word, &self.target);
        format!("{}: {}{}", self.what, self.options.iter().fold(works, with), self.after)
    }
}

impl std::error::Error for TargetError {}

/// As if nothing else had been typed.
impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message("", &TypedCommand::new(&["load".to_owned()])))
    }
}

impl FromStr for LoadTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        // The scheme of a URL has no case (RFC 3986, section 3.1).
        let scheme = text.find("://").map_or_else(String::new, |at| text[..at].to_ascii_lowercase());
        let rest = text.get(scheme.len() + "://".len()..).unwrap_or_default();
        if scheme == "http" {
            return url(rest);
        }
        if scheme == "https" {
            let what =
                format!("\"{}\": load has no TLS; put load on the server behind it", text.escape_debug());
            return Err(TargetError::new(what, format!("http://{rest}")));
        }
        if !scheme.is_empty() {
            return Err(other_scheme(text, &scheme, rest));
        }
        let (name, address) = match text.split_once('@') {
            Some((name, address)) => (name, Some(address)),
            None => (text, None),
        };
        if name == RAW_TCP {
            return raw_tcp(text, address);
        }
        let service = match name.parse::<ServiceName>() {
            Ok(service) if LOADABLE.contains(&service) => service,
            Ok(service) => return Err(TargetError::with_example(&no_client(service), A_SERVICE)),
            Err(_) => return Err(meant(text, name, address)),
        };
        let host = host_field(address.filter(|address| !address.starts_with("unix:")).unwrap_or("localhost"));
        let port = service.default_port();
        let address = match address {
            Some(address) => reachable(address, port).map_err(|why| TargetError::with_example(&why, name))?,
            None => Address::Tcp((Ipv4Addr::LOCALHOST, port).into()),
        };
        Ok(LoadTarget { protocol: Protocol::Service(service), host, path: "/".to_owned(), address })
    }
}

/// The names that may stand before the `@`.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    LOADABLE.iter().map(|known| known.as_str()).chain([RAW_TCP])
}

/// `tcp@ADDR`, which has no default port.
fn raw_tcp(text: &str, address: Option<&str>) -> Result<LoadTarget, TargetError> {
    let example = |what: String| as_raw_tcp(what, "");
    let reached = address.map(|address| reachable(address, 0)).transpose();
    let address = reached.map_err(|why| example(format!("{why}; for example")))?;
    let has_port = |address: &Address| !matches!(address, Address::Tcp(addr) if addr.port() == 0);
    let address = address.filter(has_port).ok_or_else(|| {
        example(format!("\"{}\": tcp needs an address with a port; for example", text.escape_debug()))
    })?;
    Ok(LoadTarget { protocol: Protocol::RawTcp, host: String::new(), path: String::new(), address })
}

/// The message for a URL of another scheme than HTTP, with what the user probably meant.
fn other_scheme(text: &str, scheme: &str, rest: &str) -> TargetError {
    let shown = text.escape_debug();
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let write = |target: String| TargetError::new(format!("\"{shown}\" is not a URL of HTTP; write"), target);
    match closest(scheme, names().chain(["https"])) {
        Some("http" | "https") => write(format!("http://{rest}")),
        Some(known) if !authority.is_empty() => write(format!("{known}@{authority}")),
        _ if scheme == "unix" => write(format!("http://unix:{rest}:/")),
        _ => {
            other_protocol(&format!("\"{shown}\": load does not speak {}", scheme.escape_debug()), authority)
        }
    }
}

/// How to load a server of another protocol.
fn other_protocol(what: &str, address: &str) -> TargetError {
    let services = loadable();
    as_raw_tcp(
        format!(
            "{what}; the services are {services}; what another protocol sends is written with --send and --until, for example"
        ),
        address,
    )
}

/// The error with raw TCP as the example, at this address if it has a port.
fn as_raw_tcp(what: String, address: &str) -> TargetError {
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = format!("{RAW_TCP}@{}", if has_port { address } else { "127.0.0.1:6379" });
    let options = &[("send", r"PING\r\n"), ("until", r"+PONG\r\n")];
    TargetError { options, ..TargetError::new(what, target) }
}

/// The message for a word that does not name a service, with what the user probably meant.
fn meant(text: &str, name: &str, address: Option<&str>) -> TargetError {
    let word = text.escape_debug();
    if let Some(known) = closest(name, names()) {
        let spec = format!("{known}{}", &text[name.len()..]);
        return TargetError::new(format!("unknown service \"{word}\"; did you mean {known}? Write"), spec);
    }
    // As in `http:127.0.0.1:8000` and `echo:7007`.
    if let Some((known, rest)) = text.split_once(':')
        && let Some(known) = names().find(|name| *name == known)
        && !rest.trim_matches('/').is_empty()
    {
        let rest = rest.trim_start_matches('/');
        let is_port = rest.parse::<u16>().is_ok();
        let host = if is_port { "127.0.0.1:" } else { "" };
        let target =
            if known == "http" { format!("http://{host}{rest}") } else { format!("{known}@{host}{rest}") };
        return TargetError::new(format!("\"{word}\" does not name a service; write"), target);
    }
    // As typed into a browser: `localhost:8000`, `127.0.0.1/file`, `example.org`.
    let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let bare = host.trim_start_matches(':');
    let is_port = bare.parse::<u16>().is_ok();
    if address.is_none() && (is_port || bare == "localhost" || bare.contains([':', '.'])) {
        let host = if is_port { format!("127.0.0.1:{bare}") } else { bare.to_owned() };
        let url = format!("http://{host}{}", if path.is_empty() { "/" } else { path });
        let after = format!(", or: oneloop load SERVICE@ADDR with one of {}", loadable());
        return TargetError {
            after,
            ..TargetError::new(format!("\"{word}\" does not name a service; write"), url)
        };
    }
    match address {
        Some(address) => other_protocol(&format!("unknown service \"{word}\""), address),
        None => TargetError {
            after: format!(", or: oneloop load {A_URL}"),
            ..TargetError::with_example(
                &format!("unknown service \"{word}\"; the services are {}", loadable()),
                A_SERVICE,
            )
        },
    }
}

fn url(rest: &str) -> Result<LoadTarget, TargetError> {
    // A fragment is not sent.
    let rest = rest.split('#').next().unwrap_or(rest);
    if let Some(rest) = rest.strip_prefix("unix:") {
        return unix_url(rest);
    }
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    // An empty port is the default one (RFC 3986, section 3.2.3).
    let host = host.strip_suffix(':').filter(|host| !host.ends_with(':')).unwrap_or(host);
    let wrong = if host.is_empty() {
        Some("the host is missing")
    } else if host.contains('@') {
        Some("a URL has no user name and password here; use --user")
    } else if rest.contains(|c: char| c.is_ascii_control() || c == ' ') {
        Some("a space or control character must be written as %XX")
    } else {
        None
    };
    if let Some(what) = wrong {
        let url = rest.escape_debug();
        return Err(TargetError::with_example(
            &format!("\"http://{url}\" is not a valid URL: {what}"),
            A_URL,
        ));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    // In a URL, the zone of an IPv6 address follows %25 (RFC 6874, section 2); users also write a bare
    // percent sign.
    let zoned = match host.split_once("%25").filter(|_| host.starts_with('[')) {
        Some((ip, zone)) => format!("{ip}%{}", percent_decode_str(zone).decode_utf8_lossy()),
        None => host.to_owned(),
    };
    let address = reachable(&zoned, HTTP_PORT).map_err(|why| TargetError::with_example(&why, A_URL))?;
    Ok(LoadTarget { protocol: Protocol::Service(ServiceName::Http), host: host_field(host), path, address })
}

/// `http://unix:SOCKET:/PATH`, as nginx writes it in `proxy_pass`.
fn unix_url(rest: &str) -> Result<LoadTarget, TargetError> {
    let (socket, path) = match rest.find(":/") {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest.strip_suffix(':').unwrap_or(rest), "/"),
    };
    if path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        let url = rest.escape_debug();
        return Err(TargetError::new(
            format!(
                "\"http://unix:{url}\" is not a valid URL: a space or control character must be written as %XX; for example"
            ),
            "http://unix:/run/app.sock:/",
        ));
    }
    let address = reachable(&format!("unix:{socket}"), HTTP_PORT)
        .map_err(|why| TargetError::new(format!("{why}; for example"), "http://unix:/run/app.sock:/"))?;
    let protocol = Protocol::Service(ServiceName::Http);
    Ok(LoadTarget { protocol, host: "localhost".to_owned(), path: path.to_owned(), address })
}

/// The field Host: an IPv6 address in brackets, and without its zone, which has no meaning on another machine
/// (RFC 6874, section 4).
fn host_field(host: &str) -> String {
    if let Some((ip, behind)) = host.split_once('%')
        && let Some(ip) = ip.strip_prefix('[').filter(|ip| ip.parse::<Ipv6Addr>().is_ok())
    {
        return format!("[{ip}]{}", behind.split_once(']').map_or("", |(_, port)| port));
    }
    let bare = host.split_once('%').map_or(host, |(ip, _)| ip);
    if bare.parse::<Ipv6Addr>().is_ok() { format!("[{bare}]") } else { host.to_owned() }
}

/// The number of addresses of a name that are tried, and the time for each.
const TRIED_MAX: usize = 4;
const TRY: Duration = Duration::from_secs(1);

/// The first address that accepts a connection, trying one after the other (RFC 8305); otherwise the first of
/// all. The name localhost often gives `::1` first, while many servers listen on 127.0.0.1 only.
fn listening(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let accepts = |addr: &&SocketAddr| TcpStream::connect_timeout(addr, TRY).is_ok();
    match addresses {
        [] | [_] => addresses.first(),
        _ => addresses.iter().take(TRIED_MAX).find(accepts).or(addresses.first()),
    }
    .copied()
}

/// An address, or a name that the system resolves.
fn reachable(text: &str, default_port: u16) -> Result<Address, String> {
    let named = |error: String| {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| error.clone())?),
            None => (text, default_port),
        };
        let is_name = host.bytes().any(|c| c.is_ascii_alphabetic())
            && host.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
        if !is_name {
            return Err(error);
        }
        let unknown = |why: &str| {
            format!("cannot resolve the host \"{host}\": {why}; check the name, or use an IP address")
        };
        let found = (host, port).to_socket_addrs().map_err(|error| unknown(&reason(&error)))?;
        listening(&found.collect::<Vec<_>>()).map(Address::Tcp).ok_or_else(|| unknown("it has no address"))
    };
    Ok(match address_of(text, default_port).or_else(named)? {
        // A server on all addresses is reached on loopback: on 127.0.0.1 for `*`, which always includes IPv4,
        // and on ::1 for `[::]`.
        Address::Tcp(addr) if addr.ip().is_unspecified() => {
            let is_ipv4 = addr.is_ipv4() || text.starts_with('*');
            let here: IpAddr = if is_ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            Address::Tcp(SocketAddr::new(here, addr.port()))
        }
        address => address,
    })
}

/// Why a name cannot be resolved, without the common prefix of these errors.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let why = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    why.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let target: LoadTarget = text.parse().map_err(|error: TargetError| error.to_string())?;
        let resource = match target.protocol {
            Protocol::Service(ServiceName::Http) => format!(" {} {}", target.host, target.path),
            _ => String::new(),
        };
        Ok(format!("{}{resource} at {}", target.protocol, target.address))
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
            ("HTTP://127.0.0.1:81/A", "http 127.0.0.1:81 /A at 127.0.0.1:81"),
            ("http://127.0.0.1:/x", "http 127.0.0.1 /x at 127.0.0.1:80"),
            ("http://[::1]:", "http [::1] / at [::1]:80"),
            ("http://[::1]:81?x", "http [::1]:81 /?x at [::1]:81"),
            ("http://unix:/run/app.sock:/a/b?c:/d", "http localhost /a/b?c:/d at unix:/run/app.sock"),
            ("http://unix:./app.sock", "http localhost / at unix:./app.sock"),
            ("http://unix:/run/app.sock:", "http localhost / at unix:/run/app.sock"),
            ("tcp@127.0.0.1:6379", "tcp at 127.0.0.1:6379"),
            ("tcp@unix:/run/redis.sock", "tcp at unix:/run/redis.sock"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_zone_of_an_address_is_for_the_connection_and_not_sent() {
        let loopback = if cfg!(target_os = "linux") { "lo" } else { "lo0" };
        let number = nix::net::if_::if_nametoindex(loopback).unwrap();
        let at = |port: u16| format!("at [fe80::1%{loopback}]:{port}");
        for (text, host, port) in [
            (format!("http://[fe80::1%25{loopback}]:81/x"), "[fe80::1]:81 /x", 81),
            (format!("http://[fe80::1%{loopback}]/x"), "[fe80::1] /x", 80),
            (format!("http@[fe80::1%{loopback}]:81"), "[fe80::1]:81 /", 81),
            (format!("http@[fe80::1%{number}]:81"), "[fe80::1]:81 /", 81),
            (format!("http@fe80::1%{loopback}"), "[fe80::1] /", 8000),
            (format!("http@[fe80::1%25{loopback}]:81"), "[fe80::1]:81 /", 81),
            (format!("http://[fe80::1%25%6c{}]/", &loopback[1..]), "[fe80::1] /", 80),
        ] {
            assert_eq!(shown(&text), Ok(format!("http {host} {}", at(port))), "{text}");
        }
        assert_eq!(shown("http@::1").as_deref(), Ok("http [::1] / at [::1]:8000"));
        let unknown = shown("http://[fe80::1%25no-such-one]/").unwrap_err();
        assert!(unknown.contains("no network interface"), "{unknown}");
    }

    #[test]
    fn the_first_address_that_accepts_a_connection_is_used() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        assert_eq!(listening(&[closed, here]), Some(here));
        assert_eq!(listening(&[closed, closed]), Some(closed), "the load reports that it is closed");
        assert_eq!((listening(&[closed]), listening(&[])), (Some(closed), None));
    }

    #[test]
    fn an_error_shows_what_to_write() {
        for (text, part) in [
            ("", "oneloop load echo@127.0.0.1:7007"),
            ("tcp", "tcp needs an address with a port"),
            ("tcp@127.0.0.1", "tcp needs an address with a port"),
            ("tpc@127.0.0.1:1", "did you mean tcp? Write: oneloop load tcp@127.0.0.1:1"),
            ("eco@127.0.0.1:7", "did you mean echo? Write: oneloop load echo@127.0.0.1:7"),
            ("daytime@127.0.0.1:1", "no client for the service daytime"),
            (
                "https://127.0.0.1/",
                "load has no TLS; put load on the server behind it: oneloop load http://127.0.0.1/",
            ),
            ("localhost:8000", "write: oneloop load http://localhost:8000/,"),
            ("127.0.0.1/a", "write: oneloop load http://127.0.0.1/a,"),
            ("8000", "write: oneloop load http://127.0.0.1:8000/,"),
            ("nginx", "the services are message, echo, discard, chargen, http, tcp;"),
            ("tcp://127.0.0.1:6379/", "write: oneloop load tcp@127.0.0.1:6379"),
            ("echo://127.0.0.1:7", "write: oneloop load echo@127.0.0.1:7"),
            ("htp://127.0.0.1/x", "write: oneloop load http://127.0.0.1/x"),
            ("unix:///run/app.sock", "write: oneloop load http://unix:/run/app.sock:/"),
            (
                "ftp://x/",
                "load does not speak ftp; the services are message, echo, discard, chargen, http, tcp;",
            ),
            ("ftp://x/", "oneloop load tcp@127.0.0.1:6379 --send 'PING\\r\\n' --until '+PONG\\r\\n'"),
            ("redis@127.0.0.1:1", "oneloop load tcp@127.0.0.1:1 --send"),
            ("http:127.0.0.1:1", "write: oneloop load http://127.0.0.1:1"),
            ("http:/127.0.0.1:1/x", "write: oneloop load http://127.0.0.1:1/x"),
            ("http:8000", "write: oneloop load http://127.0.0.1:8000"),
            ("tcp:127.0.0.1:1", "write: oneloop load tcp@127.0.0.1:1"),
            ("echo:7007", "write: oneloop load echo@127.0.0.1:7007"),
            ("HTTPS://127.0.0.1/", "oneloop load http://127.0.0.1/"),
            ("http://unix:/a.sock:/b c", "must be written as %XX"),
            ("http:///x", "\"http:///x\" is not a valid URL: the host is missing"),
            ("http://me:pw@127.0.0.1/", "use --user"),
            ("http://127.0.0.1/a b", "must be written as %XX"),
            ("echo@127.0.0.1:x", "a port is a number"),
            ("http://localhost:99999/", "\"localhost:99999\" is not a valid address: a port is a number"),
            ("echo@127.0.0.256", "is not a valid address"),
            ("echo@no.such.name.invalid:1", "cannot resolve the host \"no.such.name.invalid\": "),
            ("http://no.such.name.invalid/", "for example: oneloop load http://127.0.0.1:8000/"),
        ] {
            let error = shown(text).unwrap_err();
            assert!(error.contains(part) && error.lines().count() == 1, "{text}: {error}");
        }
    }
}
