//! What the kernel counts of the machine around a run, and its own clock.

use std::fs;

use super::plan::Plan;
use super::portion::Portion;
use super::sources::Sources;
use crate::sys::Address;
use crate::sys::clock::monotonic_ns;

/// How long reading the kernel's clock may take, for both clocks to have been read at the same time.
const AT_ONCE_NS: u64 = 5_000_000;
/// How often that is tried.
const TRIES: u32 = 3;

/// Counters of the kernel at one moment. `None` where the system does not have them.
#[derive(Clone, Copy, Debug)]
pub(super) struct KernelCounts {
    /// This program's clock, and the kernel's at the same time, both in s.
    clocks_s: Option<(f64, f64)>,
    /// TCP segments sent again, since the system started.
    retransmitted: Option<u64>,
}

impl KernelCounts {
    pub(super) fn now() -> KernelCounts {
        KernelCounts { clocks_s: clocks_s(), retransmitted: retransmitted() }
    }

    /// How much time has passed by this program's clock, relative to the kernel's, and how many segments were
    /// sent again.
    pub(super) fn until_now(self) -> (Option<f64>, Option<u64>) {
        let now = KernelCounts::now();
        let ratio = self.clocks_s.zip(now.clocks_s).and_then(|(then, now)| clock_ratio(then, now));
        let sent = self.retransmitted.zip(now.retransmitted).map(|(then, now)| now.saturating_sub(then));
        (ratio, sent)
    }
}

/// The program's time between two moments, relative to the kernel's.
fn clock_ratio(then_s: (f64, f64), now_s: (f64, f64)) -> Option<f64> {
    let (own_s, kernel_s) = (now_s.0 - then_s.0, now_s.1 - then_s.1);
    (kernel_s > 0.0).then(|| own_s / kernel_s)
}

/// The kernel's clock is read from a file, so that a library that replaces the calls for the time does not
/// replace it.
fn clocks_s() -> Option<(f64, f64)> {
    (0..TRIES).find_map(|_| {
        let before_ns = monotonic_ns();
        let uptime_s = parse_uptime(&fs::read_to_string("/proc/uptime").ok()?)?;
        let after_ns = monotonic_ns();
        let is_at_once = after_ns - before_ns < AT_ONCE_NS;
        is_at_once.then_some((before_ns as f64 / 1e9, uptime_s))
    })
}

fn retransmitted() -> Option<u64> {
    parse_retransmitted(&fs::read_to_string("/proc/thread-self/net/snmp").ok()?)
}

/// Seconds since the system started, in hundredths (proc(5)).
fn parse_uptime(uptime: &str) -> Option<f64> {
    uptime.split_whitespace().next()?.parse().ok()
}

/// A line of names and a line of values (RFC 4022: `tcpRetransSegs`).
fn parse_retransmitted(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next()?.split_whitespace(), lines.next()?.split_whitespace());
    names.zip(values).find(|(name, _)| *name == "RetransSegs")?.1.parse().ok()
}

/// Local ports for connections of this plan, with all source addresses.
pub(super) fn local_ports(plan: &Plan) -> Option<u64> {
    let Address::Tcp(server) = &plan.target else { return None };
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    Some(parse_ports(&range)? * Sources::new(&plan.sources, Some(server.ip()), Portion::WHOLE).count())
}

/// The first and the last port (ip(7)).
fn parse_ports(range: &str) -> Option<u64> {
    let mut ports = range.split_whitespace().map(|port| port.parse::<u64>().ok());
    let (first, last) = (ports.next()??, ports.next()??);
    (first <= last).then(|| last - first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_as_it_writes_them() {
        assert_eq!(parse_uptime("350735.47 234388.90\n"), Some(350_735.47));
        let snmp =
            "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm MaxConn RetransSegs InErrs\nTcp: 1 -1 42 0\nUdp: x\n";
        assert_eq!(parse_retransmitted(snmp), Some(42));
        assert_eq!(parse_ports("32768\t60999\n"), Some(28_232));
        assert_eq!((parse_uptime(""), parse_retransmitted("Tcp: x\n"), parse_ports("7")), (None, None, None));
    }

    #[test]
    fn a_clock_that_runs_slowly_is_seen() {
        assert_eq!(clock_ratio((10.0, 500.0), (11.0, 502.0)), Some(0.5));
        assert_eq!(clock_ratio((10.0, 500.0), (10.1, 500.0)), None, "too short for the kernel's clock");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_has_them() {
        let counts = KernelCounts::now();
        assert!(counts.clocks_s.is_some(), "{counts:?}");
        let plan = Plan::new("127.0.0.1:7".parse().unwrap());
        assert!(local_ports(&plan).is_some_and(|ports| ports > 4_096));
    }
}
