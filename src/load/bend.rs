//! Where the latency bends while the rate grows.

use super::report::{Bend, Interval, Pace, Phase, Report};

/// Whole intervals that are needed to see a bend.
const INTERVALS_MIN: usize = 8;
/// One of this many parts of the intervals, the first, shows the latency without load.
const UNLOADED: usize = 4;
/// How much higher the p99 latency must be after a bend: this factor, and this difference.
const P99_TIMES: u64 = 3;
const P99_MORE_NS: u64 = 1_000_000;
/// Share of the offered rate below which an interval is short of answers.
const ANSWERED_MIN: f64 = 0.9;
/// Share of the intervals after a bend that must show it: a few may be better by chance.
const BENT_MIN: f64 = 0.8;
/// Intervals after a bend, at least: a short pause of the server is not a bend.
const BENT_COUNT_MIN: usize = 2;

/// An interval with its offered rate.
struct OfferedInterval {
    /// Requests per second of the schedule, when it began and on average.
    from_per_s: f64,
    mean_per_s: f64,
    answered_per_s: f64,
    p99_ns: u64,
    errors: u64,
}

/// The bend of a run whose rate grows; `None` without a bend or with too few intervals.
pub(super) fn of(report: &Report) -> Option<Bend> {
    let Pace::Ramp { from_per_second, to_per_second, .. } = report.configuration.pace else { return None };
    if to_per_second <= from_per_second {
        return None;
    }
    let half_ns = report.configuration.interval_ns / 2;
    let is_whole = |interval: &&Interval| interval.end_ns - interval.start_ns > half_ns;
    let measured: Vec<&Interval> =
        report.series.iter().filter(|interval| interval.phase == Phase::Measuring).filter(is_whole).collect();
    let began_ns = measured.first()?.start_ns;
    let per_ns = (to_per_second - from_per_second) / (report.configuration.duration_ns as f64).max(1.0);
    let rate_at = |ns: u64| from_per_second + per_ns * (ns - began_ns) as f64;
    let offered: Vec<OfferedInterval> = measured
        .iter()
        .map(|interval| OfferedInterval {
            from_per_s: rate_at(interval.start_ns),
            mean_per_s: rate_at(u64::midpoint(interval.start_ns, interval.end_ns)),
            answered_per_s: interval.requests as f64 * 1e9 / (interval.end_ns - interval.start_ns) as f64,
            p99_ns: interval.p99_ns,
            errors: interval.errors,
        })
        .collect();
    bend(&offered)
}

fn bend(offered: &[OfferedInterval]) -> Option<Bend> {
    if offered.len() < INTERVALS_MIN {
        return None;
    }
    let p99_below_ns = median_p99(&offered[..offered.len() / UNLOADED]);
    let is_bent = |at: &OfferedInterval| {
        let is_slow = at.p99_ns > P99_TIMES * p99_below_ns && at.p99_ns > p99_below_ns + P99_MORE_NS;
        is_slow || at.errors > 0 || at.answered_per_s < ANSWERED_MIN * at.mean_per_s
    };
    let bent: Vec<bool> = offered.iter().map(is_bent).collect();
    let begins = |from: usize| {
        let count = bent[from..].iter().filter(|&&bent| bent).count();
        bent[from] && count >= BENT_COUNT_MIN && count as f64 >= BENT_MIN * (bent.len() - from) as f64
    };
    let from = (0..bent.len()).find(|&from| begins(from))?;
    Some(Bend {
        rate_per_second: offered[from].from_per_s,
        p99_below_ns,
        p99_above_ns: median_p99(&offered[from..]),
        answered_max_per_second: offered.iter().map(|at| at.answered_per_s).fold(0.0, f64::max),
    })
}

fn median_p99(offered: &[OfferedInterval]) -> u64 {
    let mut p99_ns: Vec<u64> = offered.iter().map(|at| at.p99_ns).collect();
    p99_ns.sort_unstable();
    p99_ns.get(p99_ns.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A server that answers at most `capacity` requests per second, while the rate grows from 1,000 by 1,000
    /// in each of 20 intervals of a second.
    fn ramp(capacity: f64) -> Vec<OfferedInterval> {
        let mut waiting = 0.0;
        (1..=20)
            .map(|second| {
                let from_per_s = f64::from(second) * 1_000.0;
                let wanted = from_per_s + 500.0 + waiting;
                let answered_per_s = wanted.min(capacity);
                waiting = wanted - answered_per_s;
                let p99_ns = 500_000 + Duration::from_secs_f64(waiting / capacity).as_nanos() as u64;
                OfferedInterval {
                    from_per_s,
                    mean_per_s: from_per_s + 500.0,
                    answered_per_s,
                    p99_ns,
                    errors: 0,
                }
            })
            .collect()
    }

    #[test]
    fn a_bend_is_where_the_server_falls_behind() {
        for capacity in [5_000.0, 12_300.0, 17_000.0] {
            let bend = bend(&ramp(capacity)).unwrap();
            assert!((bend.rate_per_second / capacity - 1.0).abs() < 0.11, "{capacity}: {bend:?}");
            assert!((bend.answered_max_per_second - capacity).abs() < 1.0);
            assert!(bend.p99_above_ns > 10 * bend.p99_below_ns);
        }
        assert_eq!(bend(&ramp(50_000.0)), None, "it answers all");
    }

    #[test]
    fn one_slow_interval_is_not_a_bend() {
        let mut quiet = ramp(50_000.0);
        quiet[9].p99_ns = 80_000_000;
        assert_eq!(bend(&quiet), None);
        quiet[19].p99_ns = 80_000_000;
        assert_eq!(bend(&quiet), None, "nor at the end");
        assert_eq!(bend(&quiet[..7]), None, "too few");
    }

    #[test]
    fn a_server_that_is_behind_from_the_beginning_bends_there() {
        assert!((bend(&ramp(800.0)).unwrap().rate_per_second - 1_000.0).abs() < 1e-9);
        let mut failing = ramp(50_000.0);
        for at in &mut failing[12..] {
            at.errors = 3;
        }
        assert!((bend(&failing).unwrap().rate_per_second - 13_000.0).abs() < 1e-9);
    }
}
