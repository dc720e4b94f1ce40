//! Listening sockets: bound with options and helpful errors, and `accept` in one call.
#![allow(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
#[cfg(target_os = "linux")]
use std::os::fd::IntoRawFd;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Address;
use super::bind_error::{BindError, BindErrorKind};
use super::unix_path::{self, OwnedPath};

/// How long the kernel keeps a client that sends nothing: the shortest possible time, so that the server's
/// own deadlines apply to a silent client.
#[cfg(target_os = "linux")]
const DEFER_ACCEPT_S: libc::c_int = 1;

/// Bytes that the kernel takes for a client beyond those it has sent. Without it a client that does not read
/// costs up to 4 MiB of the kernel's memory (`net.ipv4.tcp_wmem`). Enough for the time between the event of
/// room and the next write.
const UNSENT_BYTES_MAX: libc::c_int = 256 << 10;

#[cfg(any(target_os = "linux", target_os = "android"))]
const TCP_NOTSENT_LOWAT: libc::c_int = libc::TCP_NOTSENT_LOWAT;
/// `<netinet/tcp.h>`
#[cfg(target_os = "macos")]
const TCP_NOTSENT_LOWAT: libc::c_int = 0x201;

/// How to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections the kernel queues before `accept`, as asked of listen(2); the kernel has its own maximum
    /// (`net.core.somaxconn`).
    pub backlog: u32,
    /// Whether the socket joins others that are bound to the same address with the same option
    /// (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Permission bits of a Unix socket's path; `None` leaves them to the umask.
    pub unix_mode: Option<u32>,
    /// The ids of the owner and group of a Unix socket's path; `None` for those of this process.
    pub unix_owner: Option<(u32, u32)>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions { backlog: 4096, reuse_port: false, unix_mode: None, unix_owner: None }
    }
}

/// A listening stream socket, TCP or Unix: nonblocking, closed by exec. On drop, it removes the path that it
/// created, if that is still its own socket and the process is the one that bound it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: Address,
    _path: Option<OwnedPath>,
}

/// The meaning of an error of [`Listener::accept`] (accept(2), "Error handling").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// No client waits.
    WouldBlock,
    /// A signal came between; call again.
    Interrupted,
    /// This client is lost (reset while it was queued, or a network error); others may wait.
    Client,
    /// No descriptors or memory: accepting must pause until some are free.
    Exhausted,
    /// The listener is broken: a mistake of the server.
    Fatal,
}

/// Whether descriptors or memory are short, so that a later call may succeed.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

impl AcceptError {
    /// The meaning of an error that `accept` returned.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(code) if code == libc::EAGAIN || code == libc::EWOULDBLOCK => AcceptError::WouldBlock,
            Some(libc::EINTR) => AcceptError::Interrupted,
            _ if is_shortage(error) => AcceptError::Exhausted,
            Some(
                libc::ECONNABORTED
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
                | libc::ECONNRESET,
            ) => AcceptError::Client,
            #[cfg(target_os = "linux")]
            Some(libc::ENONET | libc::ENOSR) => AcceptError::Client,
            _ => AcceptError::Fatal,
        }
    }
}

impl Listener {
    /// Listens at `address`.
    ///
    /// A Unix path that a dead server has left is replaced; a path where a server answers, or that is not a
    /// socket, is an error.
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Self, BindError> {
        match address {
            Address::Tcp(addr) => Self::bind_tcp(*addr, options, options.reuse_port, false)
                .map_err(|source| BindError::new(address, source)),
            Address::Unix(path) => Self::bind_unix(path, options),
        }
    }

    /// `count` sockets at one TCP address, among which the kernel distributes the clients (`SO_REUSEPORT`); a
    /// single socket if the system refuses that.
    ///
    /// The first is bound without the option, so that a port in use is an error and is not shared; port 0 is
    /// the same port for all.
    pub fn bind_group(
        addr: SocketAddr,
        options: &ListenOptions,
        count: usize,
    ) -> Result<Vec<Self>, BindError> {
        let mut group = Vec::with_capacity(count);
        let mut at = addr;
        for nth in 0..count {
            let listener = match Self::bind_tcp(at, options, nth > 0, true) {
                Err(error) if nth > 0 && is_option_refused(&error) => {
                    log::warn!(
                        "{at}: SO_REUSEPORT is not available ({error}); all workers accept from one queue"
                    );
                    break;
                }
                listener => listener.map_err(|source| BindError::new(&Address::Tcp(at), source))?,
            };
            at = listener.local_socket_addr().unwrap_or(at);
            group.push(listener);
        }
        Ok(group)
    }

    /// Takes over an inherited listening stream socket. Its path, if any, is not removed at the end.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, BindError> {
        let number = fd.as_raw_fd();
        let socket = Socket::from(fd);
        Self::inherit(&socket).map(|address| Listener { socket, address, _path: None }).map_err(|source| {
            BindError {
                place: format!("inherited descriptor {number}"),
                kind: BindErrorKind::NotListening,
                source,
            }
        })
    }

    fn inherit(socket: &Socket) -> io::Result<Address> {
        let not_listening = || io::Error::from(io::ErrorKind::InvalidInput);
        if socket.r#type()? != Type::STREAM {
            return Err(not_listening());
        }
        #[cfg(target_os = "linux")]
        if !socket.is_listener()? {
            return Err(not_listening());
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        if local.is_unix() {
            return Ok(Address::Unix(unix_path::shown(&local)));
        }
        set_options(socket);
        local.as_socket().map(Address::Tcp).ok_or_else(not_listening)
    }

    fn bind_tcp(addr: SocketAddr, options: &ListenOptions, join: bool, share: bool) -> io::Result<Self> {
        if addr.is_ipv6() && addr.ip().is_unspecified() {
            let ipv4 = SocketAddr::from(([0, 0, 0, 0], addr.port()));
            if !has_ipv6() {
                return Self::bind_one(ipv4, options, join, share);
            }
            return match Self::bind_one(addr, options, join, share) {
                Err(error) if is_without_ipv6(&error) => Self::bind_one(ipv4, options, join, share),
                other => other,
            };
        }
        Self::bind_one(addr, options, join, share)
    }

    fn bind_one(addr: SocketAddr, options: &ListenOptions, join: bool, share: bool) -> io::Result<Self> {
        let everywhere = addr.is_ipv6() && addr.ip().is_unspecified();
        let socket = stream_socket(Domain::for_address(addr), Some(Protocol::TCP))?;
        // A restarted server gets its port back while old connections are in TIME_WAIT. Where that is refused
        // it may have to wait.
        if let Err(error) = socket.set_reuse_address(true) {
            log::debug!("{addr}: SO_REUSEADDR: {error}");
        }
        if addr.is_ipv6()
            // Explicit, because the default is the machine's (`net.ipv6.bindv6only`). Where it cannot be set
            // it may be so already.
            && let Err(error) = socket.set_only_v6(!everywhere)
            && !socket.only_v6().is_ok_and(|only| only != everywhere)
        {
            return Err(error);
        }
        if join {
            socket.set_reuse_port(true)?;
        }
        set_options(&socket);
        socket.bind(&addr.into())?;
        if share && let Err(error) = socket.set_reuse_port(true) {
            log::debug!("{addr}: SO_REUSEPORT: {error}"); // the next socket to join meets the same error
        }
        socket.listen(backlog(options))?;
        let address = Address::Tcp(socket.local_addr()?.as_socket().unwrap_or(addr));
        Ok(Listener { socket, address, _path: None })
    }

    fn bind_unix(path: &Path, options: &ListenOptions) -> Result<Self, BindError> {
        let address = Address::Unix(path.to_owned());
        let fail = |kind, source| BindError { place: address.to_string(), kind, source };
        let other = |source| BindError::new(&address, source);
        let sock_addr = SockAddr::unix(path).map_err(|error| fail(BindErrorKind::PathTooLong, error))?;
        // From the look at the path until clients can connect to it.
        let _lock = unix_path::DirectoryLock::take(path);
        unix_path::make_free(path, &sock_addr).map_err(|(kind, source)| fail(kind, source))?;
        let socket = stream_socket(Domain::UNIX, None).map_err(other)?;
        socket.bind(&sock_addr).map_err(other)?;
        let path = OwnedPath::of(path).map_err(other)?;
        if let Some(mode) = options.unix_mode {
            // Before listen(2), until which no client can connect: the mode is in force for the first client
            // too.
            path.set_mode(mode).map_err(other)?;
        }
        if let Some((user, group)) = options.unix_owner {
            path.set_owner(user, group).map_err(other)?;
        }
        socket.listen(backlog(options)).map_err(other)?;
        Ok(Listener { socket, address, _path: Some(path) })
    }

    /// Where it listens, with the real port.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// The address; `None` for a Unix socket.
    pub fn local_socket_addr(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Tcp(addr) => Some(addr),
            Address::Unix(_) => None,
        }
    }

    /// The address for programs on this machine; `None` for a Unix socket. A socket that listens at every
    /// address can be reached on loopback: on that of IPv4 if it accepts IPv4, as IPv6 may be disabled there.
    pub fn local_reachable_addr(&self) -> Option<SocketAddr> {
        let mut addr = self.local_socket_addr()?;
        if addr.ip().is_unspecified() {
            let ipv4 = addr.is_ipv4() || self.socket.only_v6().is_ok_and(|only| !only);
            addr.set_ip(if ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        Some(addr)
    }

    /// Takes the next client: its socket (nonblocking, closed by exec, `TCP_NODELAY`) and its address, `None`
    /// for a Unix client. `AcceptError::of` gives the meaning of an error.
    pub fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        self.accept_as(BlockingMode::No)
    }

    /// The same for models that wait for one client: its socket blocks.
    pub fn accept_blocking(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        self.accept_as(BlockingMode::Yes)
    }

    fn accept_as(&self, blocking: BlockingMode) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        let fd = self.socket.as_raw_fd();
        // SAFETY: accept_raw writes an address and its length into the storage, which is large enough for
        // any.
        let (accepted, peer) =
            unsafe { SockAddr::try_init(|storage, len| accept_raw(fd, storage.cast(), len, blocking)) }?;
        // SAFETY: the descriptor was just made by accept and has no other owner.
        let accepted = unsafe { OwnedFd::from_raw_fd(accepted) };
        #[cfg(not(target_os = "linux"))]
        let accepted = {
            let socket = Socket::from(accepted);
            socket.set_cloexec(true)?;
            // Elsewhere the socket inherits the listener's mode.
            socket.set_nonblocking(blocking == BlockingMode::No)?;
            if matches!(self.address, Address::Tcp(_)) {
                set_options(&socket);
            }
            OwnedFd::from(socket)
        };
        Ok((accepted, peer.as_socket()))
    }

    /// Sets options for clients that send first and then wait for an answer. The kernel keeps each client
    /// back until its first bytes or its end have come, or a second has passed (`TCP_DEFER_ACCEPT`, tcp(7)):
    /// a client with one request then costs one wake-up instead of two. It also delays the acknowledgement of
    /// those bytes until the answer, which carries it (`TCP_QUICKACK` cleared; accepted sockets inherit it):
    /// one segment less. Without an answer the acknowledgement is sent after the usual delay of about 40 ms.
    /// On Linux and for TCP only; nothing depends on it.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self, reason = "only Linux has the options"))]
    pub fn clients_speak_first(&self) {
        #[cfg(target_os = "linux")]
        if matches!(self.address, Address::Tcp(_)) {
            if let Err(error) = self.defer_accept() {
                log::debug!("{}: TCP_DEFER_ACCEPT: {error}", self.address);
            }
            if let Err(error) = self.socket.set_tcp_quickack(false) {
                log::debug!("{}: TCP_QUICKACK: {error}", self.address);
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn defer_accept(&self) -> io::Result<()> {
        let seconds: libc::c_int = DEFER_ACCEPT_S;
        // SAFETY: TCP_DEFER_ACCEPT reads one int, `seconds`, alive for the call, whose size is given; the
        // descriptor is open because `self` owns it.
        let done = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_DEFER_ACCEPT,
                (&raw const seconds).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Has accepted sockets begin with this timeout of their writes (`SO_SNDTIMEO`, socket(7)) and, with
    /// `reset_at_close`, with what [`Stream::reset_at_close`](super::Stream::reset_at_close) sets. Returns
    /// whether they do: on Linux TCP sockets inherit both from the listener, without a call for each.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self, reason = "they inherit neither there"))]
    pub(crate) fn set_for_clients(&self, write_timeout: Duration, reset_at_close: bool) -> bool {
        #[cfg(target_os = "linux")]
        if matches!(self.address, Address::Tcp(_)) {
            let linger = reset_at_close.then_some(Duration::ZERO);
            let set = self.socket.set_write_timeout(Some(write_timeout));
            return set.and_then(|()| self.socket.set_linger(linger)).is_ok();
        }
        let _ = (write_timeout, reset_at_close);
        false
    }

    /// In a child after fork, which ends by [`super::process::exit`]: closes the descriptor, and frees
    /// nothing, since what a child writes to is copied for it. The listener must not be used any more.
    pub(crate) fn close_in_child(&self) {
        let fd = self.socket.as_raw_fd();
        // close(2) of libc lies in pages that a child uses for nothing else: on Linux it would wait for them.
        #[cfg(target_os = "linux")]
        // SAFETY: nothing uses the descriptor from here on: this copy of the process neither accepts nor
        // drops the listener.
        unsafe {
            libc::syscall(libc::SYS_close, fd)
        };
        #[cfg(not(target_os = "linux"))]
        // SAFETY: as above.
        unsafe {
            libc::close(fd)
        };
    }

    /// Makes `accept` wait for a client (`false`) or not (`true`, as it was bound). The setting is shared
    /// with every process that has the socket.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }
}

/// Sets the options for clients of a TCP listener; on Linux accepted sockets inherit them, without a call for
/// each. Nothing depends on them, so it is not an error if the system refuses one.
fn set_options(socket: &Socket) {
    if let Err(error) = socket.set_tcp_nodelay(true) {
        log::debug!("TCP_NODELAY: {error}");
    }
    if let Err(error) = set_unsent_bytes_max(socket, UNSENT_BYTES_MAX) {
        log::debug!("TCP_NOTSENT_LOWAT: {error}");
    }
}

/// `TCP_NOTSENT_LOWAT`, tcp(7): with more bytes than that unsent, a socket has no room.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos"))]
fn set_unsent_bytes_max(socket: &Socket, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: TCP_NOTSENT_LOWAT reads one int, `bytes`, alive for the call, whose size is given; the
    // descriptor is open because `socket` owns it.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_NOTSENT_LOWAT,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
fn set_unsent_bytes_max(_socket: &Socket, _bytes: libc::c_int) -> io::Result<()> {
    Ok(())
}

/// Whether calls on an accepted socket block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockingMode {
    No,
    Yes,
}

/// accept4(2) is missing, or forbidden to this process, and accept(2) is not: an emulator, a filter of system
/// calls.
#[cfg(target_os = "linux")]
static ACCEPT4_IS_REFUSED: AtomicBool = AtomicBool::new(false);

#[cfg(target_os = "linux")]
fn accept_raw(
    fd: RawFd,
    addr: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    blocking: BlockingMode,
) -> io::Result<RawFd> {
    let flags = match blocking {
        BlockingMode::No => libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
        BlockingMode::Yes => libc::SOCK_CLOEXEC,
    };
    if !ACCEPT4_IS_REFUSED.load(Relaxed) {
        // SAFETY: `addr` and `len` are valid for writing, as SockAddr::try_init promises.
        let accepted = unsafe { libc::accept4(fd, addr, len, flags) };
        if accepted != -1 {
            return Ok(accepted);
        }
        let error = io::Error::last_os_error();
        // EPERM may also come from a firewall, for a single client: then accept(2) fails with it as well.
        if !matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) {
            return Err(error);
        }
    }
    // SAFETY: `addr` and `len` are valid for writing still; a call that is missing or refused has changed
    // neither.
    let accepted = unsafe { libc::accept(fd, addr, len) };
    if accepted == -1 {
        return Err(io::Error::last_os_error());
    }
    if !ACCEPT4_IS_REFUSED.swap(true, Relaxed) {
        log::debug!("accept4(2) is not available; using accept(2)");
    }
    // SAFETY: the descriptor was just made by accept and has no other owner.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(accepted) });
    socket.set_cloexec(true)?;
    socket.set_nonblocking(blocking == BlockingMode::No)?;
    Ok(socket.into_raw_fd())
}

#[cfg(not(target_os = "linux"))]
fn accept_raw(
    fd: RawFd,
    addr: *mut libc::sockaddr,
    len: *mut libc::socklen_t,
    _blocking: BlockingMode,
) -> io::Result<RawFd> {
    // SAFETY: `addr` and `len` are valid for writing, as SockAddr::try_init promises.
    match unsafe { libc::accept(fd, addr, len) } {
        -1 => Err(io::Error::last_os_error()),
        accepted => Ok(accepted),
    }
}

/// Whether an error of setsockopt(2) means that the system does not have the option, or does not let this
/// process set it.
fn is_option_refused(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL)
    )
}

/// Whether an error means that the system, or the interface, has no IPv6.
fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// Whether this machine has an IPv6 address. Where IPv6 is disabled (`net.ipv6.conf.all.disable_ipv6`),
/// `[::]` can still be bound, although there is no address.
fn has_ipv6() -> bool {
    // Unknown: binding will show it.
    let Ok(mut addresses) = nix::ifaddrs::getifaddrs() else { return true };
    addresses.any(|interface| interface.address.is_some_and(|address| address.as_sockaddr_in6().is_some()))
}

/// Nonblocking and closed by exec.
fn stream_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The kernel's upper bound for the backlog of a listener, where it can be read (listen(2), "Notes").
#[cfg(feature = "cli")]
pub(crate) fn backlog_max() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

fn backlog(options: &ListenOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
