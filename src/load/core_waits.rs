//! Waits of the generator for a core that are too short for a standstill. A few waits of some milliseconds
//! change the p99, but not the sum over the run.

use std::path::Path;

use hdrhistogram::Histogram;

use super::histograms::{buckets, histogram};
use super::report::{Pace, Report};
use crate::judge::single_run::disturbing_ns;
use crate::sys::process::run_delay_ns;

/// The directory of the calling thread, on systems that have it.
const TASK: &str = "/proc/thread-self";
/// How often the kernel's counter is read, at most: each time costs a few microseconds.
const LOOK_EVERY_NS: u64 = 5_000_000;
/// Shorter waits never matter: any program that wakes for a moment causes them.
const MATTERS_FROM_NS: u64 = 1_000_000;

/// The waits of a thread between two readings, by their length.
#[derive(Clone, Debug)]
pub(super) struct CoreWaits {
    began_ns: u64,
    /// The kernel's counter at the last reading.
    delay_ns: u64,
    looked_ns: u64,
    waits: Histogram<u64>,
}

impl CoreWaits {
    /// Counts the waits of this thread from now on; `None` where the system does not report them.
    pub(super) fn begin() -> Option<Self> {
        run_delay_ns(Path::new(TASK)).map(Self::since)
    }

    fn since(began_ns: u64) -> Self {
        CoreWaits { began_ns, delay_ns: began_ns, looked_ns: 0, waits: histogram() }
    }

    /// Called when the thread has woken: reads how long it waited since the last reading, unless that was a
    /// moment ago.
    pub(super) fn look(&mut self, now_ns: u64) {
        if now_ns >= self.looked_ns + LOOK_EVERY_NS {
            self.looked_ns = now_ns;
            self.count();
        }
    }

    /// Reads once more, and returns the total wait.
    pub(super) fn end(&mut self) -> u64 {
        self.count();
        self.delay_ns - self.began_ns
    }

    fn count(&mut self) {
        let now_ns = run_delay_ns(Path::new(TASK)).unwrap_or(0).max(self.delay_ns);
        self.waits.saturating_record(now_ns - self.delay_ns);
        self.delay_ns = now_ns;
    }

    /// The share of the requests that waits may have delayed enough to change the p99. A wait delays at least
    /// one request, for which the thread woke; in a closed loop at most one of each client, in an open loop
    /// those that fall due meanwhile.
    pub(super) fn delayed_share(&self, report: &Report) -> f64 {
        let from_ns = disturbing_ns(report.latency.p99_ns).max(MATTERS_FROM_NS);
        let (mut count, mut total_ns) = (0, 0);
        for (ns, waits) in buckets(&self.waits).into_iter().filter(|(ns, _)| *ns >= from_ns) {
            (count, total_ns) = (count + waits, total_ns + ns * waits);
        }
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let of_requests = |each: u64| share(count.saturating_mul(each), report.requests);
        let most = match report.configuration.pace {
            Pace::Closed => {
                share(total_ns, report.measured_ns).min(of_requests(report.configuration.clients.into()))
            }
            // Requests that fall due at the end of a wait are delayed by less.
            _ => share(total_ns.saturating_sub(count.saturating_mul(from_ns)), report.measured_ns),
        };
        most.max(of_requests(1)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Plan;
    use crate::load::report::Arrivals;

    const MS: u64 = 1_000_000;

    #[test]
    fn waits_that_the_p99_would_show_count_by_request_and_by_time() {
        let mut waits = CoreWaits::since(0);
        let expect = |waits: &CoreWaits, pace: Pace, p99_ms: u64, requests, expected: f64, why: &str| {
            let mut report =
                Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64));
            (report.requests, report.measured_ns, report.latency.p99_ns) =
                (requests, 1_000 * MS, p99_ms * MS);
            (report.configuration.pace, report.configuration.clients) = (pace, 4);
            let found = waits.delayed_share(&report) * 100.0;
            assert!((found - expected).abs() < 0.05, "{why}: {found}");
        };
        let open = Pace::Open { rate_per_second: 1_000.0, arrivals: Arrivals::Constant };
        waits.waits.record_n(900_000, 50).unwrap();
        expect(&waits, open, 1, 100, 0.0, "short waits do not show");
        waits.waits.record_n(3 * MS, 10).unwrap();
        expect(&waits, open, 1, 250, 4.0, "10 of 250 requests");
        expect(&waits, open, 1, 1_000_000, 2.0, "10 times 3 ms of a second, by 1 ms or more");
        expect(&waits, Pace::Closed, 1, 4_000, 1.0, "10 waits for each of 4 clients");
        expect(&waits, Pace::Closed, 1, 1_000, 3.0, "10 times 3 ms of a second");
        expect(&waits, open, 11, 250, 4.0, "3 ms are more than a quarter of 11 ms");
        expect(&waits, open, 16, 250, 0.0, "and less than a quarter of 16 ms");
        waits.waits.record(10_000 * MS).unwrap();
        expect(&waits, open, 40, 250, 100.0, "never more than all");
    }
}
