//! What the generator itself uses.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::core_waits::CoreWaits;
use super::kernel_counts::KernelCounts;
use super::report::{Generator, Report};
use super::standstill::Standstills;
use super::totals::Totals;

/// What had been done and used when measuring began.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    cpu_us: (i64, i64),
    core_waits: Option<CoreWaits>,
    totals: Totals,
    kernel: KernelCounts,
}

/// This thread, where the system counts threads; else the process.
#[cfg(any(target_os = "linux", target_os = "android"))]
const WHO: UsageWho = UsageWho::RUSAGE_THREAD;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const WHO: UsageWho = UsageWho::RUSAGE_SELF;

/// getrusage(2) counts memory in KiB on Linux and in bytes on macOS.
const MEMORY_UNIT_BYTES: u64 = if cfg!(target_os = "macos") { 1 } else { 1 << 10 };

/// CPU time in user mode and in the kernel, in µs; zero if the system refuses.
fn cpu_us() -> (i64, i64) {
    getrusage(WHO).map_or((0, 0), |usage| {
        (usage.user_time().num_microseconds(), usage.system_time().num_microseconds())
    })
}

impl Usage {
    pub(super) fn begin(totals: Totals) -> Self {
        Usage { cpu_us: cpu_us(), core_waits: CoreWaits::begin(), totals, kernel: KernelCounts::now() }
    }

    /// The thread has woken.
    pub(super) fn look(&mut self, now_ns: u64) {
        if let Some(core_waits) = &mut self.core_waits {
            core_waits.look(now_ns);
        }
    }

    /// Measuring has ended: writes the resource usage of the span into the report. Returns the waits for a
    /// core, which are evaluated once the latencies are known.
    pub(super) fn end(
        mut self,
        measured_ns: u64,
        totals: &Totals,
        standstills: &Standstills,
        report: &mut Report,
    ) -> Option<CoreWaits> {
        let (before, seconds) = (self.totals, measured_ns as f64 / 1e9);
        report.measured_ns = measured_ns;
        report.requests = totals.requests - before.requests;
        report.requests_per_second = report.requests as f64 / seconds;
        report.bytes_in = totals.bytes_in - before.bytes_in;
        report.bytes_out = totals.bytes_out - before.bytes_out;
        let outstanding_ns = totals.outstanding_ns - before.outstanding_ns;
        report.outstanding_mean = outstanding_ns as f64 / measured_ns as f64;
        let connected_ns = totals.connected_ns - before.connected_ns;
        report.connected_mean = connected_ns as f64 / measured_ns as f64;
        report.generator = self.generator(measured_ns, report.requests);
        standstills.report(&mut report.generator);
        self.core_waits
    }

    fn generator(&mut self, measured_ns: u64, requests: u64) -> Generator {
        let now = cpu_us();
        let (user_s, system_s) = ((now.0 - self.cpu_us.0) as f64 / 1e6, (now.1 - self.cpu_us.1) as f64 / 1e6);
        let run_delay_ns = self.core_waits.as_mut().map(CoreWaits::end);
        let (clock_ratio, retransmitted_segments) = self.kernel.until_now();
        let memory = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
        Generator {
            cpu_user_s: user_s,
            cpu_system_s: system_s,
            utilisation: (user_s + system_s) * 1e9 / (measured_ns as f64).max(1.0),
            cpu_per_request_us: if requests == 0 { 0.0 } else { (user_s + system_s) * 1e6 / requests as f64 },
            run_delay_s: run_delay_ns.map(|ns| ns as f64 / 1e9),
            clock_ratio,
            retransmitted_segments,
            memory_max_bytes: u64::try_from(memory).unwrap_or(0) * MEMORY_UNIT_BYTES,
            ..Generator::default()
        }
    }
}
