//! What a server prints when it is ready, on standard output.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use percent_encoding::utf8_percent_encode;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::browser;
use super::http::SiteArgs;
use super::listen::ListenArgs;
use super::load_form::ENCODED;
use super::network::{Families, hosts};
use super::spec::Spec;
use super::{Failure, GivenOptions};
use crate::models::ListenerConfig;
use crate::plot::text::in_one_line;
use crate::services::http::Mount;
use crate::services::{AnyService, ServiceName};
use crate::sys::Listener;
use crate::sys::address::ip_with_zone;

/// A directory that is shared, as it is announced.
pub(super) struct Share {
    root: String,
    mount: Mount,
    lists: bool,
}

impl Share {
    /// `None` for a service that shares no directory.
    pub(super) fn of(spec: &Spec, site: &SiteArgs, given: &GivenOptions) -> Result<Option<Share>, Failure> {
        if spec.service != ServiceName::Http {
            return Ok(None);
        }
        let root = Path::new(spec.argument.as_deref().unwrap_or("."));
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let lists = site.with_options(&spec.options, given)?.lists();
        Ok(Some(Share { root: root.display().to_string(), mount: spec.mount.clone(), lists }))
    }
}

/// What is printed once the server is ready: a line per listener, in a form that scripts can read, then what
/// is shared and its URLs.
pub(super) struct Announcement {
    text: String,
    /// The first URL for this machine.
    own_url: Option<String>,
    /// The URL that most likely works on other machines.
    network_url: Option<String>,
}

impl Announcement {
    pub(super) fn of(
        listeners: &[ListenerConfig<AnyService>],
        shares: &[Vec<Option<Share>>],
    ) -> Announcement {
        let mut text = String::new();
        let (mut own_url, mut network_url) = (None, None);
        for (listener, shares) in listeners.iter().zip(shares) {
            let (name, first) = (listener.service.name(), &listener.sockets[0]);
            let mut line = |line: &str| text.extend([&in_one_line(line), "\n"]);
            line(&format!("listening on {name}@{}", first.local_addr()));
            let (network, own) = (network_urls(first), first.local_reachable_addr().map(url));
            for share in shares.iter().flatten() {
                let about = if share.lists { "directories are listed" } else { "directories are not listed" };
                line(&format!("sharing {} ({about})", share.root));
                let mut urls: Vec<String> =
                    network.iter().chain(&own).map(|top| share.mount.url(top)).collect();
                // A site of a host has that in place of each address.
                urls.dedup();
                for url in &urls {
                    line(&format!("open {url}"));
                }
                network_url = network_url.or_else(|| urls.first().filter(|_| !network.is_empty()).cloned());
                own_url = own_url.or_else(|| urls.pop());
            }
        }
        Announcement { text, own_url, network_url }
    }

    /// Prints it; with `--lan` on a terminal, also a QR code of the URL that most likely works. Opens the
    /// browser on request. A closed standard output does not stop the server.
    pub(super) fn print(self, listen: &ListenArgs) {
        let Announcement { mut text, own_url, network_url } = self;
        let is_terminal = std::io::stdout().is_terminal();
        match network_url {
            Some(url) if listen.lan && is_terminal => text += &qr_code(&url).unwrap_or_default(),
            None if listen.lan && own_url.is_some() => {
                log::warn!(
                    "--lan: this machine has no address in a network; only programs on it can open the server"
                );
            }
            _ => {}
        }
        // In one write: a script that has read the first line can read the others without waiting.
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            log::warn!("cannot write to standard output: {error}");
        }
        match own_url {
            Some(url) if listen.open => browser::open(&url),
            None if listen.open => log::warn!("--open: a browser cannot open a Unix socket"),
            _ => {}
        }
    }
}

/// The URLs under which other machines can open a listener that takes every address.
fn network_urls(listener: &Listener) -> Vec<String> {
    let Some(addr) = listener.local_socket_addr().filter(|addr| addr.ip().is_unspecified()) else {
        return Vec::new();
    };
    let takes_ipv4 = listener.local_reachable_addr().is_some_and(|addr| addr.is_ipv4());
    let families = match (addr.ip(), takes_ipv4) {
        (IpAddr::V4(_), _) => Families::Ipv4,
        (IpAddr::V6(_), true) => Families::Both,
        (IpAddr::V6(_), false) => Families::Ipv6,
    };
    let port = if addr.port() == HTTP_PORT { String::new() } else { format!(":{}", addr.port()) };
    hosts(families).iter().map(|host| format!("http://{host}{port}/")).collect()
}

/// The port that a URL need not have (RFC 9110, section 4.2.1).
const HTTP_PORT: u16 = 80;

fn url(addr: SocketAddr) -> String {
    let ip = ip_with_zone(addr);
    let host = match ip.split_once('%') {
        // RFC 6874, section 2.
        Some((ip, zone)) => format!("[{ip}%25{}]", utf8_percent_encode(zone, ENCODED)),
        None if addr.is_ipv6() => format!("[{ip}]"),
        None => ip,
    };
    let port = if addr.port() == HTTP_PORT { String::new() } else { format!(":{}", addr.port()) };
    format!("http://{host}{port}/")
}

/// The URL as a QR code; `None` if it does not fit the terminal. Black on white, whatever the colours of the
/// terminal: not every camera reads inverted codes.
fn qr_code(url: &str) -> Option<String> {
    let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    (!is_dumb).then(|| qr_code_in(url, width?)).flatten()
}

fn qr_code_in(url: &str, columns: usize) -> Option<String> {
    let code = QrCode::new(url).ok()?;
    let code = code.render().light_color(Dense1x2::Dark).dark_color(Dense1x2::Light).build();
    let fits = code.lines().all(|line| line.chars().count() <= columns);
    let lines = code.lines().map(|line| format!("\x1b[97;40m{line}\x1b[0m\n"));
    fits.then(|| lines.collect())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn a_url_has_no_port_where_it_needs_none() {
        let shown = |addr: &str| url(addr.parse().unwrap());
        assert_eq!(shown("127.0.0.1:8000"), "http://127.0.0.1:8000/");
        assert_eq!(shown("127.0.0.1:80"), "http://127.0.0.1/");
        assert_eq!(shown("[::1]:80"), "http://[::1]/");
    }

    #[test]
    fn the_zone_of_a_url_is_a_name_behind_an_escaped_percent_sign() {
        let loopback = if cfg!(target_os = "linux") { "lo" } else { "lo0" };
        let number = nix::net::if_::if_nametoindex(loopback).unwrap();
        let shown = |port, zone| url(SocketAddrV6::new("fe80::1".parse().unwrap(), port, 0, zone).into());
        assert_eq!(shown(8000, number), format!("http://[fe80::1%25{loopback}]:8000/"));
        assert_eq!(shown(80, number), format!("http://[fe80::1%25{loopback}]/"));
        assert_eq!(shown(80, u32::MAX), "http://[fe80::1%254294967295]/", "the number of no interface");
        assert_eq!(shown(80, 0), "http://[fe80::1]/");
    }

    #[test]
    fn a_qr_code_is_left_out_where_its_lines_would_wrap() {
        let url = "http://192.168.1.7:8000/";
        let code = qr_code_in(url, 80).unwrap();
        let columns = code.lines().next().unwrap().chars().filter(|char| !char.is_ascii()).count();
        assert!(columns < 40 && code.lines().count() < 20, "{code}");
        assert!(code.lines().all(|line| line.starts_with("\x1b[97;40m") && line.ends_with("\x1b[0m")));
        assert_eq!(qr_code_in(url, columns).as_deref(), Some(code.as_str()));
        assert_eq!(qr_code_in(url, columns - 1), None);
    }
}
