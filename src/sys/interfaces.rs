//! The addresses of this machine's network interfaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// An address of an interface that works and is not loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InterfaceAddress {
    pub(crate) interface: String,
    /// Whether the interface is hardware, unlike bridges and tunnels.
    pub(crate) is_hardware: bool,
    pub(crate) ip: IpAddr,
    /// Whether the system soon replaces it by another, or does not use it: a temporary (RFC 8981), deprecated
    /// or tentative IPv6 address.
    pub(crate) is_passing: bool,
}

/// All addresses of interfaces, in the order of the system.
pub(crate) fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let temporary = TemporaryAddresses::read();
    let found = getifaddrs()?.filter_map(|found| {
        // A bridge without containers is up and not running.
        let is_working = found.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
        if !is_working || found.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            return None;
        }
        let address = found.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(ipv4), _) => IpAddr::from(ipv4.ip()),
            (_, Some(ipv6)) => IpAddr::from(ipv6.ip()),
            _ => return None,
        };
        Some(InterfaceAddress {
            is_hardware: is_hardware(&found.interface_name),
            is_passing: matches!(ip, IpAddr::V6(ip) if temporary.contains(&found.interface_name, ip)),
            interface: found.interface_name,
            ip,
        })
    });
    Ok(found.collect())
}

/// The addresses that this machine would use to reach the internet, over IPv4 and IPv6. Nothing is sent:
/// connecting a datagram socket only looks up a route.
pub(crate) fn outward_addresses() -> Vec<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): no machine has them, and the default route leads to
    // them.
    let destinations: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    let source = |(any, destination): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
        socket.connect(SocketAddr::new(destination, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    destinations.into_iter().filter_map(source).collect()
}

/// The name of this machine, if it can be used in a URL.
pub(crate) fn host_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let is_valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    (is_valid && !name.is_empty() && !name.starts_with("localhost")).then_some(name)
}

#[cfg(target_os = "linux")]
fn is_hardware(interface: &str) -> bool {
    std::path::Path::new("/sys/class/net").join(interface).join("device").exists()
}

#[cfg(not(target_os = "linux"))]
fn is_hardware(interface: &str) -> bool {
    interface.starts_with("en")
}

/// The IPv6 addresses that should not be announced: temporary, deprecated, tentative or failed ones.
#[cfg(target_os = "linux")]
struct TemporaryAddresses(Vec<(String, Ipv6Addr)>);

#[cfg(target_os = "linux")]
impl TemporaryAddresses {
    /// `/proc/net/if_inet6` has a line per address: address, interface number, prefix, scope, flags (all in
    /// hexadecimal) and interface name. If it cannot be read, no address is in it.
    fn read() -> TemporaryAddresses {
        let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        TemporaryAddresses(table.lines().filter_map(TemporaryAddresses::parse).collect())
    }

    fn parse(line: &str) -> Option<(String, Ipv6Addr)> {
        // Temporary, failed, deprecated, tentative (linux/if_addr.h).
        const FLAGS: u32 = 0x01 | 0x08 | 0x20 | 0x40;
        let mut fields = line.split_whitespace();
        let ip = u128::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
        let interface = fields.next()?.to_owned();
        (flags & FLAGS != 0).then(|| (interface, Ipv6Addr::from(ip)))
    }

    fn contains(&self, interface: &str, ip: Ipv6Addr) -> bool {
        self.0.iter().any(|(name, found)| name == interface && *found == ip)
    }
}

/// On macOS each address is asked for its flags.
#[cfg(target_os = "macos")]
struct TemporaryAddresses(Option<UdpSocket>);

#[cfg(target_os = "macos")]
#[allow(unsafe_code)]
impl TemporaryAddresses {
    fn read() -> TemporaryAddresses {
        TemporaryAddresses(UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok())
    }

    fn contains(&self, interface: &str, ip: Ipv6Addr) -> bool {
        use std::os::fd::AsRawFd;
        // netinet6/in6_var.h: tentative, duplicated, detached, deprecated, temporary.
        const FLAGS: libc::c_int = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;
        // `_IOWR('i', 73, struct in6_ifreq)`, as sys/ioccom.h builds it.
        const SIZE: libc::c_ulong = size_of::<libc::in6_ifreq>() as libc::c_ulong;
        const SIOCGIFAFLAG_IN6: libc::c_ulong =
            0xc000_0000 | ((SIZE & 0x1fff) << 16) | ((b'i' as libc::c_ulong) << 8) | 0x49;
        let Some(socket) = &self.0 else { return false };
        // SAFETY: the struct is plain old data, for which zeros are valid.
        let mut request: libc::in6_ifreq = unsafe { std::mem::zeroed() };
        if interface.len() >= request.ifr_name.len() {
            return false;
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = from.cast_signed();
        }
        // SAFETY: as above.
        let mut addr: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
        addr.sin6_len = size_of::<libc::sockaddr_in6>() as u8;
        addr.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        addr.sin6_addr.s6_addr = ip.octets();
        request.ifr_ifru.ifru_addr = addr;
        // SAFETY: the call reads and writes the struct, whose size is in its number.
        if unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGIFAFLAG_IN6, &raw mut request) } != 0 {
            return false;
        }
        // SAFETY: after this call the union has the flags.
        unsafe { request.ifr_ifru.ifru_flags6 & FLAGS != 0 }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
struct TemporaryAddresses;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
impl TemporaryAddresses {
    fn read() -> TemporaryAddresses {
        TemporaryAddresses
    }

    fn contains(&self, _interface: &str, _ip: Ipv6Addr) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_an_ipv6_address_show_whether_it_is_permanent() {
        for (flags, passes) in
            [("80", false), ("00", false), ("01", true), ("21", true), ("40", true), ("c8", true)]
        {
            let line = format!("20010db8000000000000000000000007 02 40 00 {flags}     eth0");
            let expected = passes.then(|| ("eth0".to_owned(), "2001:db8::7".parse().unwrap()));
            assert_eq!(TemporaryAddresses::parse(&line), expected, "{flags}");
        }
        assert_eq!(TemporaryAddresses::parse("20010db8 02"), None);
    }
}
