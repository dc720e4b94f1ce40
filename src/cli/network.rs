//! The hosts under which other machines can reach this one.

use std::net::IpAddr;

use crate::sys::interfaces::{InterfaceAddress, host_name, interface_addresses, outward_addresses};

/// The most addresses listed: a machine with many containers has hundreds.
const ADDRESSES_MAX: usize = 8;

/// The socket of a daemon that announces the name of this machine in the local network (mDNS, RFC 6762).
const AVAHI: &str = "/run/avahi-daemon/socket";

/// The address families that a listener accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Families {
    Both,
    Ipv4,
    Ipv6,
}

/// The hosts of URLs that others can open, the likeliest first: addresses, then the name of this machine.
pub(super) fn hosts(families: Families) -> Vec<String> {
    let addresses = interface_addresses().unwrap_or_else(|error| {
        log::warn!("cannot list the addresses of this machine: {error}");
        Vec::new()
    });
    let mut hosts = ranked(addresses, &outward_addresses(), families);
    // A host name that does not resolve is of no use.
    if !hosts.is_empty() {
        let is_announced = std::path::Path::new(AVAHI).exists();
        hosts.extend(host_name().map(|name| known_name(name, is_announced)));
    }
    hosts
}

fn known_name(name: String, is_announced: bool) -> String {
    if is_announced && !name.contains('.') { name + ".local" } else { name }
}

/// The addresses as hosts of URLs. Interfaces with hardware come first, and among these the one with the
/// route to the internet: bridges of containers and tunnels also have addresses, but no phone reaches this
/// machine there.
fn ranked(addresses: Vec<InterfaceAddress>, outward: &[IpAddr], families: Families) -> Vec<String> {
    let with_ip = |ip: &IpAddr| addresses.iter().find(|found| found.ip == *ip);
    let outward = outward.iter().find_map(with_ip).map(|found| found.interface.clone());
    let mut usable: Vec<InterfaceAddress> =
        addresses.into_iter().filter(|found| is_usable(found, families)).collect();
    usable.sort_by_key(|found| {
        let is_outward = Some(&found.interface) == outward.as_ref();
        let is_unique_local = matches!(found.ip, IpAddr::V6(ip) if ip.is_unique_local());
        (is_self_given(found.ip), !found.is_hardware, !is_outward, found.ip.is_ipv6(), is_unique_local)
    });
    let host = |found: &InterfaceAddress| match found.ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    usable.iter().take(ADDRESSES_MAX).map(host).collect()
}

fn is_usable(found: &InterfaceAddress, families: Families) -> bool {
    let is_of_family = match found.ip {
        IpAddr::V4(_) => families != Families::Ipv6,
        // A link-local address needs a zone, which browsers do not accept.
        IpAddr::V6(ip) => families != Families::Ipv4 && !ip.is_unicast_link_local(),
    };
    is_of_family && !found.is_passing && !found.ip.is_unspecified()
}

/// Whether it is a link-local address (RFC 3927).
fn is_self_given(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(interface: &str, ip: &str, is_hardware: bool) -> InterfaceAddress {
        let is_passing = ip.ends_with("dead");
        InterfaceAddress { interface: interface.into(), ip: ip.parse().unwrap(), is_hardware, is_passing }
    }

    #[test]
    fn the_address_that_a_phone_can_most_likely_open_comes_first() {
        let addresses = || {
            vec![
                found("docker0", "172.17.0.1", false),
                found("tun0", "10.8.0.2", false),
                found("eth1", "169.254.7.7", true),
                found("eth1", "10.0.0.5", true),
                found("wlan0", "fd00::7", true),
                found("wlan0", "2001:db8::dead", true),
                found("wlan0", "2001:db8::7", true),
                found("wlan0", "fe80::7", true),
                found("wlan0", "192.168.1.7", true),
            ]
        };
        let wlan = ["192.168.1.7".parse().unwrap(), "2001:db8::dead".parse().unwrap()];
        assert_eq!(
            ranked(addresses(), &wlan, Families::Both),
            [
                "192.168.1.7",
                "[2001:db8::7]",
                "[fd00::7]",
                "10.0.0.5",
                "172.17.0.1",
                "10.8.0.2",
                "169.254.7.7"
            ]
        );
        // A tunnel that takes all traffic does not make its address that of the local network.
        let tunnel = ["10.8.0.2".parse().unwrap()];
        let hosts = ranked(addresses(), &tunnel, Families::Both);
        assert_eq!((hosts[0].as_str(), hosts[4].as_str()), ("10.0.0.5", "10.8.0.2"));
        assert_eq!(ranked(addresses(), &wlan, Families::Ipv6), ["[2001:db8::7]", "[fd00::7]"]);
        assert!(ranked(addresses(), &wlan, Families::Ipv4).iter().all(|host| !host.contains(':')));
    }

    #[test]
    fn a_machine_with_many_addresses_names_the_first() {
        let many = (0..=255).map(|n| found("br0", &format!("172.18.0.{n}"), false)).collect();
        assert_eq!(ranked(many, &[], Families::Both).len(), ADDRESSES_MAX);
        assert!(ranked(Vec::new(), &[], Families::Both).is_empty());
    }

    #[test]
    fn a_name_is_as_the_local_network_knows_it() {
        let known = |name: &str, is_announced| known_name(name.to_owned(), is_announced);
        assert_eq!(known("box", true), "box.local");
        assert_eq!(known("box", false), "box");
        assert_eq!(known("box.example.org", true), "box.example.org");
    }
}
