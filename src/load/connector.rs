//! How a client connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, SockAddr, Socket, Type};

use super::errors::Class;
use super::sources::{SourceRange, Sources};
use crate::connection::Polled;
use crate::sys::{Address, Stream};

/// Sources that are tried for one connection when ports run out; the next connection tries on.
const SKIPS_MAX: u32 = 64;
/// The receive buffer of a slow reader, in bytes: small, so that the server feels it soon.
const SLOW_BUFFER_BYTES: usize = 4 << 10;

/// What came of a call of connect(2).
pub(super) enum Connect {
    /// The stream, connected or about to be: its first writability tells.
    Begun(Polled),
    /// The queue of a Unix socket is full: to be tried again.
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
    pub(super) fn new(target: &Address, sources: &[SourceRange]) -> io::Result<Self> {
        Ok(match target {
            Address::Tcp(addr) => Connector {
                server: SockAddr::from(*addr),
                domain: Domain::for_address(*addr),
                sources: Sources::new(sources, Some(addr.ip())),
            },
            Address::Unix(path) => Connector {
                server: SockAddr::unix(path)?,
                domain: Domain::UNIX,
                sources: Sources::new(&[], None),
            },
        })
    }

    pub(super) fn begin(&mut self, is_slow: bool) -> Result<Connect, Class> {
        let mut skips = 0;
        // Bounded by SKIPS_MAX.
        loop {
            let source = self.sources.next();
            match self.begin_from(source, is_slow) {
                Err(Class::OutOfPorts) if skips < SKIPS_MAX && self.sources.skip() => skips += 1,
                Err(Class::Other(io::ErrorKind::WouldBlock)) => return Ok(Connect::Busy),
                begun => return begun.map(Connect::Begun),
            }
        }
    }

    fn begin_from(&self, source: Option<IpAddr>, is_slow: bool) -> Result<Polled, Class> {
        let socket = self.socket(is_slow).map_err(|error| Class::of(&error))?;
        if let Some(source) = source {
            let comes_late = late_port(&socket);
            socket.bind(&SocketAddr::new(source, 0).into()).map_err(|error| match Class::of(&error) {
                // The port comes later: it is the address that this machine does not have.
                Class::OutOfPorts if comes_late => Class::NoSuchSource,
                class => class,
            })?;
        }
        match socket.connect(&self.server) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(Class::of(&error)),
            _ => Ok(Polled::new(Stream::new(OwnedFd::from(socket)))),
        }
    }

    fn socket(&self, is_slow: bool) -> io::Result<Socket> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let socket = Socket::new(self.domain, Type::STREAM.nonblocking(), None)?;
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let socket = {
            let socket = Socket::new(self.domain, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket
        };
        if self.domain != Domain::UNIX {
            let _ = socket.set_tcp_nodelay(true); // refused, it costs time and is no error
        }
        if is_slow {
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        Ok(socket)
    }
}

/// Leaves the choice of the port to connect(2), and says whether that is so: then a port serves again towards another server,
/// and one that is about to be free is found (ip(7), `IP_BIND_ADDRESS_NO_PORT`). Where it is refused, bind(2) chooses.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn late_port(socket: &Socket) -> bool {
    nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn late_port(_socket: &Socket) -> bool {
    false
}
