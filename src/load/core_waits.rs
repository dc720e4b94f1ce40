//! Waits of the generator for a core that are too short for a standstill. A few of some milliseconds move the
//! p99, and are lost in the sum of a run.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::report::{Pace, Report};
use crate::judge::single_run::disturbing_ns;
use crate::sys::process::parse_run_delay;

/// The kernel is asked so often, at most: each time costs about a microsecond.
const LOOK_EVERY_NS: u64 = 5_000_000;
/// The shortest wait that is kept, as a power of two of nanoseconds: 0.26 ms.
const SHORTEST_BITS: u32 = 18;
/// Waits below this do not matter at any latency: a program that wakes for a moment makes others wait so
/// long.
const MATTERS_FROM_NS: u64 = 1_000_000;
/// Classes within a power of two, as a power of two.
const PARTS_BITS: u32 = 2;
/// All classes: the last is from 59 ms.
const CLASSES: usize = 32;
/// More than the three numbers of the file.
const FILE_BYTES_MAX: usize = 96;

/// The waits of one thread between two looks, by their length.
#[derive(Debug, Default)]
pub(super) struct CoreWaits {
    /// `schedstat` of the thread; `None` where the system has none, and before it counts.
    schedstat: Option<File>,
    /// Nothing counts before the run is measured, and afterwards.
    looks: bool,
    looked_ns: u64,
    delay_ns: u64,
    classes: [WaitClass; CLASSES],
}

#[derive(Clone, Copy, Debug, Default)]
struct WaitClass {
    count: u64,
    total_ns: u64,
}

impl CoreWaits {
    /// The thread has woken: looks how long it waited since the last look, unless that was a moment ago.
    pub(super) fn look(&mut self, now_ns: u64) {
        if self.looks && now_ns >= self.looked_ns + LOOK_EVERY_NS {
            self.looked_ns = now_ns;
            self.count();
        }
    }

    /// Counts those of this thread from now on.
    pub(super) fn reset(&mut self) {
        *self = CoreWaits {
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
            looks: true,
            ..CoreWaits::default()
        };
        self.delay_ns = self.read().unwrap_or(0);
    }

    /// Counts up to now.
    pub(super) fn end(&mut self) {
        self.count();
        self.looks = false;
    }

    fn count(&mut self) {
        if let Some(delay_ns) = self.read() {
            self.waited(delay_ns.saturating_sub(self.delay_ns));
            self.delay_ns = delay_ns;
        }
    }

    /// The share of the requests of this load that may have been delayed by so much that their p99 shows it;
    /// `None` where it is not known. A wait delays one request at least, for which the thread woke, at most
    /// one of each client in a closed loop, and otherwise those that fall due meanwhile.
    pub(super) fn delayed_share(&self, report: &Report) -> Option<f64> {
        self.schedstat.as_ref()?;
        let from_ns = disturbing_ns(report.latency.p99_ns).max(MATTERS_FROM_NS);
        let long = (1..).zip(&self.classes).filter(|(next, _)| begin_ns(*next) > from_ns);
        let (count, total_ns) = long
            .fold((0, 0), |(count, total_ns), (_, class)| (count + class.count, total_ns + class.total_ns));
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let of_requests = |each: u64| share(count.saturating_mul(each), report.requests);
        let most = match report.configuration.pace {
            Pace::Closed => {
                share(total_ns, report.measured_ns).min(of_requests(report.configuration.clients.into()))
            }
            // Those that fall due at its end wait for less than that.
            _ => share(total_ns.saturating_sub(count.saturating_mul(from_ns)), report.measured_ns),
        };
        Some(most.max(of_requests(1)).min(1.0))
    }

    fn waited(&mut self, for_ns: u64) {
        if for_ns >= begin_ns(0) {
            let longer = (1..CLASSES).take_while(|class| begin_ns(*class) <= for_ns).count();
            self.classes[longer].count += 1;
            self.classes[longer].total_ns += for_ns;
        }
    }

    fn read(&self) -> Option<u64> {
        let mut text = [0; FILE_BYTES_MAX];
        let length = self.schedstat.as_ref()?.read_at(&mut text, 0).ok()?;
        parse_run_delay(std::str::from_utf8(&text[..length]).ok()?)
    }
}

/// The shortest wait of this class.
fn begin_ns(class: usize) -> u64 {
    let (octave, part) = (class >> PARTS_BITS, class as u64 % (1 << PARTS_BITS));
    ((1 << PARTS_BITS) + part) << (SHORTEST_BITS - PARTS_BITS + octave as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Plan;
    use crate::load::report::Arrivals;

    const MS: u64 = 1_000_000;

    #[test]
    fn waits_that_the_p99_would_show_count_by_request_and_by_time() {
        let mut waits = CoreWaits { schedstat: File::open("/dev/null").ok(), ..CoreWaits::default() };
        let expect = |waits: &CoreWaits, pace: Pace, p99_ms: u64, requests, expected: f64, why: &str| {
            let mut report =
                Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64));
            (report.requests, report.measured_ns, report.latency.p99_ns) =
                (requests, 1_000 * MS, p99_ms * MS);
            (report.configuration.pace, report.configuration.clients) = (pace, 4);
            let found = waits.delayed_share(&report).unwrap() * 100.0;
            assert!((found - expected).abs() < 0.05, "{why}: {found}");
        };
        let open = Pace::Open { rate_per_second: 1_000.0, arrivals: Arrivals::Constant };
        (0..50).for_each(|_| waits.waited(200_000));
        expect(&waits, open, 1, 100, 0.0, "short waits do not show");
        (0..10).for_each(|_| waits.waited(3 * MS));
        expect(&waits, open, 1, 250, 4.0, "10 of 250 requests");
        expect(&waits, open, 1, 1_000_000, 2.0, "10 times 3 ms of a second, by 1 ms or more");
        expect(&waits, Pace::Closed, 1, 4_000, 1.0, "10 waits for each of 4 clients");
        expect(&waits, open, 11, 250, 4.0, "3 ms are a quarter of 11 ms");
        expect(&waits, open, 16, 250, 0.0, "and less than a quarter of 16 ms");
        waits.waited(u64::MAX / 2);
        expect(&waits, open, 40, 250, 100.0, "never more than all");
    }

    #[test]
    fn classes_begin_where_the_one_before_ends_and_are_a_quarter_long_at_most() {
        assert_eq!((begin_ns(0), begin_ns(4), begin_ns(31)), (1 << 18, 1 << 19, 7 << 23));
        for class in 1..CLASSES {
            let (before_ns, begins_ns) = (begin_ns(class - 1), begin_ns(class));
            assert!(before_ns < begins_ns && begins_ns <= before_ns + before_ns / 4, "{class}");
        }
    }

    #[test]
    fn where_the_kernel_does_not_count_waits_nothing_is_said() {
        let mut waits = CoreWaits::default();
        waits.reset();
        waits.look(LOOK_EVERY_NS);
        let report = Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64));
        assert_eq!(waits.delayed_share(&report).is_some(), waits.schedstat.is_some());
        waits.schedstat = None;
        waits.look(3 * LOOK_EVERY_NS);
        assert_eq!(waits.delayed_share(&report), None);
    }
}
