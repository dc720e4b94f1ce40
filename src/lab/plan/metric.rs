//! What is measured, with names, units and which direction is better.

use serde::{Deserialize, Serialize};

use crate::judge::figures::{bytes, grouped, scaled};

/// A measured quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    /// How long the second client waits for its answer.
    WaitMs,
    /// Clients answered while all others still held their connections.
    ServedAtOnce,
    /// Clients not answered while all others still held their connections: answered later, or not before they
    /// gave up.
    KeptWaiting,
    /// Clients that were refused, or whose connection was closed without an answer.
    Refused,
    /// Clients whose connection attempt the kernel dropped because the listen queue was full.
    Dropped,
    /// The longest wait for an answer; a lower bound once clients give up.
    WaitMaxMs,
    /// Clients per second, each with a connection of its own.
    ClientsPerS,
    /// Server CPU time per client.
    CpuPerClientUs,
    /// Server CPU time per client minus that of the iterative server: what creating and ending a process,
    /// thread or slot costs.
    ProcessControlUs,
    /// Requests answered per second.
    RequestsPerS,
    /// Median latency.
    LatencyP50Us,
    /// 99 % of the requests were answered within this time.
    LatencyP99Us,
    /// 99.9 % of the requests were answered within this time.
    LatencyP999Us,
    /// Server CPU time per request.
    CpuPerRequestUs,
    /// Proportional set size (PSS) of the server's process tree.
    MemoryBytes,
    /// Kernel memory (slab, stacks, page tables, socket buffers) in addition to what was used before the
    /// server started.
    KernelBytes,
    /// Server CPU time per second.
    CpuPerSecondUs,
    /// Bytes per second, one direction.
    BytesPerS,
    /// Jain's index of the shares of all clients: 1 if all are equal, 1/n if one client gets everything.
    Fairness,
}

/// Which direction of a metric is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

impl Metric {
    /// The name in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Metric::WaitMs => "wait of second client",
            Metric::ServedAtOnce => "served at once",
            Metric::KeptWaiting => "kept waiting",
            Metric::Refused => "refused",
            Metric::Dropped => "dropped",
            Metric::WaitMaxMs => "longest wait",
            Metric::ClientsPerS => "clients per second",
            Metric::CpuPerClientUs => "CPU per client",
            Metric::ProcessControlUs => "process control per client",
            Metric::RequestsPerS => "requests per second",
            Metric::LatencyP50Us => "latency p50",
            Metric::LatencyP99Us => "latency p99",
            Metric::LatencyP999Us => "latency p99.9",
            Metric::CpuPerRequestUs => "CPU per request",
            Metric::MemoryBytes => "memory (PSS)",
            Metric::KernelBytes => "kernel memory",
            Metric::CpuPerSecondUs => "CPU per second",
            Metric::BytesPerS => "bytes per second",
            Metric::Fairness => "fairness (Jain)",
        }
    }

    /// The name in raw data and CSV, which ends with the unit.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Metric::WaitMs => "wait_ms",
            Metric::ServedAtOnce => "served_at_once",
            Metric::KeptWaiting => "kept_waiting",
            Metric::Refused => "refused",
            Metric::Dropped => "dropped",
            Metric::WaitMaxMs => "wait_max_ms",
            Metric::ClientsPerS => "clients_per_s",
            Metric::CpuPerClientUs => "cpu_per_client_us",
            Metric::ProcessControlUs => "process_control_us",
            Metric::RequestsPerS => "requests_per_s",
            Metric::LatencyP50Us => "latency_p50_us",
            Metric::LatencyP99Us => "latency_p99_us",
            Metric::LatencyP999Us => "latency_p999_us",
            Metric::CpuPerRequestUs => "cpu_per_request_us",
            Metric::MemoryBytes => "memory_bytes",
            Metric::KernelBytes => "kernel_bytes",
            Metric::CpuPerSecondUs => "cpu_per_second_us",
            Metric::BytesPerS => "bytes_per_s",
            Metric::Fairness => "fairness",
        }
    }

    /// The unit for an axis; empty for counts and indexes.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Metric::WaitMs | Metric::WaitMaxMs => "ms",
            Metric::CpuPerClientUs
            | Metric::ProcessControlUs
            | Metric::LatencyP50Us
            | Metric::LatencyP99Us
            | Metric::LatencyP999Us
            | Metric::CpuPerRequestUs
            | Metric::CpuPerSecondUs => "\u{b5}s",
            Metric::ClientsPerS | Metric::RequestsPerS => "/s",
            Metric::MemoryBytes | Metric::KernelBytes => "B",
            Metric::BytesPerS => "B/s",
            Metric::ServedAtOnce | Metric::KeptWaiting | Metric::Refused | Metric::Dropped => "clients",
            Metric::Fairness => "",
        }
    }

    /// Which direction is better.
    pub(crate) fn better(self) -> Better {
        match self {
            Metric::ServedAtOnce
            | Metric::ClientsPerS
            | Metric::RequestsPerS
            | Metric::BytesPerS
            | Metric::Fairness => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// Whether a busy generator makes the measured value a lower bound.
    pub(crate) fn is_capacity(self) -> bool {
        matches!(self, Metric::ClientsPerS | Metric::RequestsPerS | Metric::BytesPerS)
    }

    /// Differences below this do not matter, in the unit of the metric: repeats that differ by less are not
    /// noisy.
    pub(crate) fn negligible(self) -> f64 {
        match self {
            Metric::WaitMs => 2.0,
            Metric::WaitMaxMs => 20.0,
            Metric::MemoryBytes | Metric::KernelBytes => 256.0 * 1024.0,
            Metric::CpuPerSecondUs => 2000.0,
            Metric::ServedAtOnce | Metric::KeptWaiting | Metric::Refused | Metric::Dropped => 1.0,
            _ => 0.0,
        }
    }

    /// Whether it is a difference of two measurements: to the iterative server, or to what was used before
    /// the server started. Noise may make it negative, which a cost never is.
    pub(crate) fn is_difference(self) -> bool {
        matches!(self, Metric::ProcessControlUs | Metric::KernelBytes)
    }

    /// A value with its unit: three significant digits, SI or binary prefixes.
    pub(crate) fn format(self, value: f64) -> String {
        match self {
            Metric::MemoryBytes | Metric::KernelBytes => bytes(value),
            Metric::BytesPerS => format!("{}/s", bytes(value)),
            Metric::Fairness => format!("{value:.3}"),
            Metric::ServedAtOnce | Metric::KeptWaiting | Metric::Refused | Metric::Dropped => {
                format!("{value:.0}")
            }
            Metric::ClientsPerS | Metric::RequestsPerS => format!("{}/s", grouped(value)),
            Metric::WaitMs | Metric::WaitMaxMs => time_us(value * 1e3),
            _ => time_us(value),
        }
    }
}

fn time_us(us: f64) -> String {
    scaled(us, &[(1e6, "s"), (1e3, "ms"), (1.0, "\u{b5}s")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_unit() {
        assert_eq!(Metric::LatencyP50Us.format(12.345), "12.3 \u{b5}s");
        assert_eq!(Metric::LatencyP50Us.format(12_345.0), "12.3 ms");
        assert_eq!(Metric::WaitMs.format(1500.0), "1.50 s");
        assert_eq!(Metric::RequestsPerS.format(1_234_567.8), "1,234,568/s");
        assert_eq!(Metric::MemoryBytes.format(1023.0), "1023 B");
        assert_eq!(Metric::MemoryBytes.format(1536.0 * 1024.0), "1.50 MiB");
        assert_eq!(Metric::ProcessControlUs.format(-3.0), "-3.00 \u{b5}s");
    }

    #[test]
    fn keys_are_what_serde_writes() {
        let json = serde_json::to_string(&Metric::LatencyP999Us).unwrap();
        assert_eq!(json, format!("\"{}\"", Metric::LatencyP999Us.key()));
    }
}
