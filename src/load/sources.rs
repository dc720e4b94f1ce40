//! Source addresses. One address has some 28,000 ports towards one server, so many clients need several
//! addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;

use super::portion::Portion;

/// One source address, or a block in CIDR notation (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRange {
    first: IpAddr,
    count: u64,
}

/// Connections from one address before the next is used: well below its number of ports, because the kernel
/// searches long for the last free ports. Ports in TIME-WAIT get their minute before the address is used
/// again.
const CONNECTIONS_IN_A_ROW: u64 = 4_000;
/// Addresses of 127.0.0.0/8 used by default: 16 million connections before the first is used again.
const LOOPBACK_SOURCES: u64 = 4_096;

impl SourceRange {
    pub(super) fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    fn nth(&self, n: u64) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4(Ipv4Addr::from_bits(first.to_bits().wrapping_add(n as u32))),
            IpAddr::V6(first) => IpAddr::V6(Ipv6Addr::from_bits(first.to_bits().wrapping_add(n.into()))),
        }
    }
}

impl fmt::Display for SourceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => self.first.fmt(f),
            count => write!(f, "{} to {}", self.first, self.nth(count - 1)),
        }
    }
}

impl FromStr for SourceRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write an address or a block, such as 10.0.0.7 or 10.0.0.0/24".to_owned();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().map_err(|_| form())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        if prefix > bits {
            return Err(form());
        }
        // 2^32 addresses of a block are more than a run can use.
        let count = 1_u64 << (bits - prefix).min(32);
        let first = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !((count - 1) as u32))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(count - 1))),
        };
        // The first and the last address of an IPv4 block are the network and the broadcast address.
        match address {
            IpAddr::V4(_) if count > 2 && !first.is_loopback() => {
                let range = SourceRange { first, count };
                Ok(SourceRange { first: range.nth(1), count: count - 2 })
            }
            _ => Ok(SourceRange { first, count }),
        }
    }
}

/// Chooses the source address of each connection.
#[derive(Debug)]
pub(super) struct Sources {
    ranges: Vec<SourceRange>,
    /// Those that this thread uses, by their numbers in all ranges.
    used: Range<u64>,
    made: u64,
}

impl Sources {
    /// The given addresses or, for a server in 127.0.0.0/8, many addresses of this block if the system has
    /// all of it.
    pub(super) fn new(given: &[SourceRange], server: Option<IpAddr>, portion: Portion) -> Self {
        let mut ranges = given.to_vec();
        let loopback = matches!(server, Some(IpAddr::V4(v4)) if v4.is_loopback());
        if ranges.is_empty() && loopback && cfg!(any(target_os = "linux", target_os = "android")) {
            ranges.push(SourceRange { first: Ipv4Addr::LOCALHOST.into(), count: LOOPBACK_SOURCES });
        }
        let used = portion.range(ranges.iter().map(|range| range.count).sum());
        Sources { ranges, used, made: 0 }
    }

    /// The address for the next connection; `None` if the kernel chooses.
    pub(super) fn next(&mut self) -> Option<IpAddr> {
        if self.used.is_empty() {
            return None;
        }
        let count = self.used.end - self.used.start;
        let mut n = self.used.start + self.made / CONNECTIONS_IN_A_ROW % count;
        self.made += 1;
        for range in &self.ranges {
            if n < range.count {
                return Some(range.nth(n));
            }
            n -= range.count;
        }
        None
    }

    /// How many addresses there are; 1 if the kernel chooses.
    pub(super) fn count(&self) -> u64 {
        (self.used.end - self.used.start).max(1)
    }

    /// The last address has no free port: skips to the next. Returns whether there is another address.
    pub(super) fn skip(&mut self) -> bool {
        self.made = (self.made / CONNECTIONS_IN_A_ROW + 1) * CONNECTIONS_IN_A_ROW;
        self.used.end - self.used.start > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_the_addresses_of_cidr_without_network_and_broadcast() {
        let range: SourceRange = "10.1.2.77/30".parse().unwrap();
        assert_eq!(range.to_string(), "10.1.2.77 to 10.1.2.78");
        assert_eq!("127.0.0.0/8".parse::<SourceRange>().unwrap().count, 1 << 24);
        assert_eq!("::1".parse::<SourceRange>().unwrap().to_string(), "::1");
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "x"] {
            assert!(wrong.parse::<SourceRange>().unwrap_err().contains("10.0.0.0/24"), "{wrong}");
        }
    }

    #[test]
    fn addresses_take_turns_before_ports_run_out() {
        let given = ["10.0.0.1".parse().unwrap(), "10.0.0.8/31".parse().unwrap()];
        let mut sources = Sources::new(&given, None, Portion::WHOLE);
        let seen: Vec<_> = (0..4 * CONNECTIONS_IN_A_ROW).map(|_| sources.next().unwrap()).collect();
        let turn = |n: u64| seen[(n * CONNECTIONS_IN_A_ROW) as usize].to_string();
        assert_eq!([turn(0), turn(1), turn(2), turn(3)], ["10.0.0.1", "10.0.0.8", "10.0.0.9", "10.0.0.1"]);
        assert_eq!(seen[CONNECTIONS_IN_A_ROW as usize - 1], seen[0]);
        assert!(sources.skip());
        assert_eq!(sources.next().unwrap().to_string(), "10.0.0.9");
    }

    #[test]
    fn only_a_server_on_loopback_has_many_source_addresses_by_default() {
        let next = |server: &str| Sources::new(&[], server.parse().ok(), Portion::WHOLE).next();
        assert_eq!(
            (next("10.0.0.1"), next("::1"), Sources::new(&[], None, Portion::WHOLE).next()),
            (None, None, None)
        );
        #[cfg(target_os = "linux")]
        assert_eq!(next("127.0.0.1"), "127.0.0.1".parse().ok());
    }

    #[test]
    fn threads_use_different_addresses_if_there_are_enough() {
        let first = |given: &str, threads| -> Vec<String> {
            let given = [given.parse().unwrap()];
            Portion::all(threads)
                .map(|it| Sources::new(&given, None, it).next().unwrap().to_string())
                .collect()
        };
        assert_eq!(first("10.0.0.8/31", 2), ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(first("10.0.0.7", 2), ["10.0.0.7", "10.0.0.7"]);
    }
}
