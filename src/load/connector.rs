//! Connections to one server.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, SockAddr, Socket, Type};

use super::client_error::ClientError;
use super::portion::Portion;
use super::sources::{SourceRange, Sources};
use crate::connection::Polled;
use crate::sys::{Address, Stream};

/// Source addresses that one connection tries when ports run out; the next connection continues from there.
const SKIPS_MAX: u32 = 64;
/// The receive buffer of a slow reader, in bytes: small, so that it soon fills up.
const SLOW_BUFFER_BYTES: usize = 4 << 10;

/// The result of connect(2).
#[derive(Debug)]
pub(super) enum DialOutcome {
    /// A stream that is connected, or will be with its first writability.
    Started(Polled),
    /// The queue of a Unix socket is full: try again later.
    Busy,
}

/// Makes connections to one server.
#[derive(Debug)]
pub(super) struct Connector {
    server: SockAddr,
    domain: Domain,
    sources: Sources,
}

impl Connector {
    /// Source addresses of other threads are left to them.
    pub(super) fn new(target: &Address, sources: &[SourceRange], portion: Portion) -> io::Result<Self> {
        Ok(match target {
            Address::Tcp(addr) => Connector {
                server: SockAddr::from(*addr),
                domain: Domain::for_address(*addr),
                sources: Sources::new(sources, Some(addr.ip()), portion),
            },
            Address::Unix(path) => Connector {
                server: SockAddr::unix(path)?,
                domain: Domain::UNIX,
                sources: Sources::new(&[], None, portion),
            },
        })
    }

    pub(super) fn connect(&mut self, is_slow_reader: bool) -> Result<DialOutcome, ClientError> {
        let mut skips = 0;
        // Bounded by SKIPS_MAX.
        loop {
            let source = self.sources.next();
            match self.connect_from(source, is_slow_reader) {
                Err(ClientError::OutOfPorts) if skips < SKIPS_MAX && self.sources.skip() => skips += 1,
                Err(ClientError::Other(io::ErrorKind::WouldBlock)) => return Ok(DialOutcome::Busy),
                started => return started.map(DialOutcome::Started),
            }
        }
    }

    fn connect_from(&self, source: Option<IpAddr>, is_slow_reader: bool) -> Result<Polled, ClientError> {
        let socket = self.socket(is_slow_reader).map_err(|error| ClientError::of(&error))?;
        if let Some(source) = source {
            let is_chosen_later = choose_port_later(&socket);
            socket.bind(&SocketAddr::new(source, 0).into()).map_err(|error| {
                match ClientError::of(&error) {
                    // The port is chosen later, so it is the address that this machine does not have.
                    ClientError::OutOfPorts if is_chosen_later => ClientError::NoSuchSource,
                    error => error,
                }
            })?;
        }
        match socket.connect(&self.server) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(ClientError::of(&error)),
            _ => Ok(Polled::new(Stream::new(OwnedFd::from(socket)))),
        }
    }

    fn socket(&self, is_slow_reader: bool) -> io::Result<Socket> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let socket = Socket::new(self.domain, Type::STREAM.nonblocking(), None)?;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let socket = {
            let socket = Socket::new(self.domain, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket
        };
        if self.domain != Domain::UNIX {
            let _ = socket.set_tcp_nodelay(true); // without it replies take longer, which is not an error
        }
        if is_slow_reader {
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        Ok(socket)
    }
}

/// Leaves the choice of the port to connect(2), and returns whether that worked: then a port can be used with
/// several servers, and a port in TIME-WAIT can be reused (ip(7), `IP_BIND_ADDRESS_NO_PORT`). Otherwise
/// bind(2) chooses the port.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn choose_port_later(socket: &Socket) -> bool {
    nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn choose_port_later(_socket: &Socket) -> bool {
    false
}
