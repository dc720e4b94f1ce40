//! Answers in numbers: by status, in bytes, and how long they took.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use super::{Answer, Histogram, Observer};
use crate::session::AnswerDetail;
use crate::sys::SharedCounters;

/// Statuses have three digits, the first of which is 1 to 5.
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

/// The order of the counters: answers without a status, one counter for each status, bytes, latencies.
const WITHOUT_STATUS: usize = 0;
const SENT_BYTES: usize = *STATUSES.end() as usize - *STATUSES.start() as usize + 2;
const INCOMPLETE: usize = SENT_BYTES + 1;
const LATENCY_SUM: usize = INCOMPLETE + 1;
const LATENCIES: usize = LATENCY_SUM + 1;
const COUNTERS: usize = LATENCIES + Histogram::BUCKETS;

/// An [`Observer`] that counts answers by status, the bytes of all, and their latencies, over all processes
/// and threads of a server. It takes 14 KiB, and per answer no allocation and no lock.
///
/// ```
/// use std::sync::Arc;
/// use oneloop::telemetry::{Metrics, Telemetry};
///
/// let metrics = Arc::new(Metrics::new()?);
/// let telemetry = Telemetry::new().with_observer(metrics.clone());
/// // … serve with it; at any time, in any thread of the process that made it:
/// let seen = metrics.snapshot();
/// println!("{} answers, {} of them 404", seen.answers(), seen.with_status(404));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Metrics(SharedCounters);

impl Metrics {
    /// All at zero. Made before the server starts, so that its processes share it.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> io::Result<Metrics> {
        SharedCounters::new(COUNTERS).map(Metrics)
    }

    /// What has been counted until now. An answer that is being counted meanwhile may be in some of the
    /// numbers only.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let get = |place: usize| self.0[place].load(Relaxed);
        let mut latencies_ms = Histogram::new();
        (0..Histogram::BUCKETS)
            .for_each(|bucket| latencies_ms.add_to_bucket(bucket, get(LATENCIES + bucket)));
        MetricsSnapshot {
            statuses: (WITHOUT_STATUS..SENT_BYTES).map(get).collect(),
            sent_bytes: get(SENT_BYTES),
            incomplete: get(INCOMPLETE),
            latency_sum_ms: get(LATENCY_SUM),
            latencies_ms,
        }
    }
}

impl Observer for Metrics {
    fn answer_detail(&self) -> AnswerDetail {
        AnswerDetail::Outcome
    }

    fn answered(&self, answer: &Answer<'_>) {
        let add = |place: usize, n: u64| self.0[place].fetch_add(n, Relaxed);
        add(place_of(answer.info.status), 1);
        add(SENT_BYTES, answer.sent_bytes);
        if answer.is_complete {
            add(LATENCY_SUM, answer.latency_ms());
            add(LATENCIES + Histogram::bucket(answer.latency_ms()), 1);
        } else {
            add(INCOMPLETE, 1);
        }
    }
}

/// The index of the counter for this status. An invalid status counts as none.
fn place_of(status: Option<u16>) -> usize {
    let valid = status.filter(|status| STATUSES.contains(status));
    valid.map_or(WITHOUT_STATUS, |status| usize::from(status - STATUSES.start()) + 1)
}

/// What [`Metrics`] had counted at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSnapshot {
    statuses: Box<[u64]>,
    /// Bytes of all answers that were handed to the system, heads included.
    pub sent_bytes: u64,
    /// Answers whose client ended before they were sent in full.
    pub incomplete: u64,
    /// The sum of `latencies_ms`.
    pub latency_sum_ms: u64,
    /// From the first byte of a request to the last byte of its answer handed to the system
    /// ([`Answer::latency_ms`]), of those that were sent in full.
    pub latencies_ms: Histogram,
}

impl MetricsSnapshot {
    /// How many answers there were.
    pub fn answers(&self) -> u64 {
        self.statuses.iter().sum()
    }

    /// How many had this status.
    pub fn with_status(&self, status: u16) -> u64 {
        if STATUSES.contains(&status) { self.statuses[place_of(Some(status))] } else { 0 }
    }

    /// How many had no status: those of protocols without.
    pub fn without_status(&self) -> u64 {
        self.statuses[WITHOUT_STATUS]
    }

    /// The statuses that occurred, with how often they did.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.map(|status| (status, self.with_status(status))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{AnswerInfo, Peer};

    #[test]
    fn answers_are_counted_by_status_bytes_and_latency() {
        let metrics = Metrics::new().unwrap();
        let observe = |status, is_complete, latency_ms: u64| {
            let info = AnswerInfo { status, head_bytes: 10, began_ms: 1_000, request: None };
            let (peer, ended_ms) = (Peer::UNIX, 1_000 + latency_ms);
            metrics.answered(&Answer { peer, info: &info, sent_bytes: 100, is_complete, ended_ms });
        };
        (0..98).for_each(|_| observe(Some(200), true, 0));
        observe(Some(404), true, 7);
        observe(None, true, 50);
        observe(Some(599), false, 90_000);
        observe(Some(9), true, 0);
        let seen = metrics.snapshot();
        assert_eq!(seen.answers(), 102);
        assert_eq!((seen.with_status(200), seen.with_status(599), seen.with_status(9)), (98, 1, 0));
        assert_eq!((seen.without_status(), seen.incomplete, seen.sent_bytes), (2, 1, 10_200));
        assert_eq!(seen.statuses().collect::<Vec<_>>(), [(200, 98), (404, 1), (599, 1)]);
        let quantile = |share| seen.latencies_ms.quantile(share).unwrap();
        assert_eq!((seen.latencies_ms.count(), seen.latency_sum_ms), (101, 57));
        assert_eq!((quantile(0.5), quantile(0.99), quantile(1.0)), (0, 7, 50));
    }
}
