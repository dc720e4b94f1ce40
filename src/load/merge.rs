//! Reports of threads or machines that loaded one server at the same time, as one report.
//!
//! Histograms are added bucket by bucket: all have the same buckets, so percentiles are those of all
//! requests. Percentiles are never averaged.

use std::collections::BTreeMap;
use std::fmt;

use super::histograms::{HdrEncoder, add_buckets, at_quantile, buckets, decoded, histogram, latency};
use super::report::{
    Configuration, Connections, Crowd, ErrorCounts, Fairness, Generator, Interval, Latency, Origin, Pace,
    Phase, Report, SCHEMA_VERSION, StatusCount,
};
use super::verdict;

/// Share of its measured span that each run must have in common with the others; otherwise their rates cannot
/// be added.
const TOGETHER_MIN: f64 = 0.9;

/// Why reports cannot be merged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MergeError {
    /// There is no report.
    Nothing,
    /// The report of this number, from 0, was written by a newer version.
    Newer(usize),
    /// The runs differ in this.
    Different(&'static str),
    /// The run of this number, from 0, had this share of its measured span in common with the others, in
    /// percent.
    NotTogether(usize, f64),
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::Nothing => f.write_str("there is no report"),
            MergeError::Newer(at) => write!(f, "report {} is of a newer version of oneloop", at + 1),
            MergeError::Different(what) => write!(f, "the runs differ in {what}"),
            MergeError::NotTogether(at, percent) => write!(
                f,
                "run {} was measured together with the others for {percent:.0} % of its time; start all at the same time \
                 (--start-at)",
                at + 1
            ),
        }
    }
}

impl std::error::Error for MergeError {}

/// Joins the reports of runs that loaded the same server at the same time, from several machines or
/// processes.
///
/// Requests, bytes, errors and rates add up. Latencies are those of all requests: histograms are added bucket
/// by bucket, without loss. The time between intervals of the runs is that of the machines' clocks.
pub fn merge(reports: &[Report]) -> Result<Report, MergeError> {
    let Some(first) = reports.first() else { return Err(MergeError::Nothing) };
    // Older reports do not say what was sent: all are compared with one that does.
    let reference = reports.iter().find(|report| report.configuration.request.is_some()).unwrap_or(first);
    for (at, report) in reports.iter().enumerate() {
        if report.schema_version > SCHEMA_VERSION {
            return Err(MergeError::Newer(at));
        }
        let (one, other) = (&reference.configuration, &report.configuration);
        if let Some((what, _)) = one.request_differences(other).first() {
            return Err(MergeError::Different(what));
        }
        let kind = |configuration: &Configuration| std::mem::discriminant(&configuration.pace);
        for (what, differs) in [
            ("whether there is a rate", kind(one) != kind(other)),
            ("whether each request has its own connection", one.churn != other.churn),
        ] {
            if differs {
                return Err(MergeError::Different(what));
            }
        }
    }
    check_together(reports)?;
    let mut merged = merged(reports).ok_or(MergeError::Nothing)?;
    merged.configuration = joined_configuration(reports, &first.configuration);
    verdict::conclude(&mut merged);
    Ok(merged)
}

/// Runs that were measured at different times did not load the server together.
fn check_together(reports: &[Report]) -> Result<(), MergeError> {
    let spans: Vec<(f64, f64)> = reports
        .iter()
        .map(|report| {
            let from_ns = report.origin.began_unix_ns as f64 + report.measured_from_ns() as f64;
            (from_ns, from_ns + report.measured_ns as f64)
        })
        .collect();
    let from_ns = spans.iter().map(|span| span.0).fold(f64::NEG_INFINITY, f64::max);
    let until_ns = spans.iter().map(|span| span.1).fold(f64::INFINITY, f64::min);
    for (at, span) in spans.iter().enumerate() {
        let share = (until_ns - from_ns).max(0.0) / (span.1 - span.0).max(1.0);
        if share < TOGETHER_MIN {
            return Err(MergeError::NotTogether(at, share * 100.0));
        }
    }
    Ok(())
}

fn joined_configuration(reports: &[Report], first: &Configuration) -> Configuration {
    let all = || reports.iter().map(|report| &report.configuration);
    let pace = all().map(|one| one.pace).reduce(|one, other| match (one, other) {
        (Pace::Open { rate_per_second, arrivals }, Pace::Open { rate_per_second: more, .. }) => {
            Pace::Open { rate_per_second: rate_per_second + more, arrivals }
        }
        (
            Pace::Ramp { from_per_second, to_per_second, arrivals },
            Pace::Ramp { from_per_second: more_from, to_per_second: more_to, .. },
        ) => Pace::Ramp {
            from_per_second: from_per_second + more_from,
            to_per_second: to_per_second + more_to,
            arrivals,
        },
        (one, _) => one,
    });
    Configuration {
        pace: pace.unwrap_or(first.pace),
        clients: all().map(|one| one.clients).fold(0, u32::saturating_add),
        idle_clients: all().map(|one| one.idle_clients).fold(0, u32::saturating_add),
        slow_clients: all().map(|one| one.slow_clients).fold(0, u32::saturating_add),
        threads: all().map(|one| one.threads).fold(0, u32::saturating_add),
        sources: all().flat_map(|one| one.sources.iter().cloned()).collect(),
        ..first.clone()
    }
}

/// Merges reports without checks; `None` without a report. The configuration is that of the first report.
pub(super) fn merged(reports: &[Report]) -> Option<Report> {
    let first = reports.first()?;
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).fold(0, u64::saturating_add);
    let most = |of: fn(&Report) -> u64| reports.iter().map(of).max().unwrap_or(0);
    let of_all = |of: fn(&Report) -> &Latency| added(reports.iter().map(of));
    let (measured_ns, requests) = (most(|report| report.measured_ns), sum(|report| report.requests));
    Some(Report {
        schema_version: SCHEMA_VERSION,
        origin: joined_origin(reports),
        configuration: first.configuration.clone(),
        interrupted: reports.iter().any(|report| report.interrupted),
        began_monotonic_ns: first.began_monotonic_ns,
        wall_ns: most(|report| report.wall_ns),
        measured_ns,
        requests,
        requests_per_second: requests as f64 * 1e9 / (measured_ns as f64).max(1.0),
        bytes_in: sum(|report| report.bytes_in),
        bytes_out: sum(|report| report.bytes_out),
        requests_due: sum(|report| report.requests_due),
        missed_sends: sum(|report| report.missed_sends),
        unanswered: sum(|report| report.unanswered),
        outstanding_mean: reports.iter().map(|report| report.outstanding_mean).sum(),
        connected_mean: reports.iter().map(|report| report.connected_mean).sum(),
        latency: of_all(|report| &report.latency),
        service_time: of_all(|report| &report.service_time),
        send_lag: of_all(|report| &report.send_lag),
        schedule_lag: of_all(|report| &report.schedule_lag),
        connect_latency: of_all(|report| &report.connect_latency),
        errors: errors(reports.iter().map(|report| report.errors)),
        errors_before: errors(reports.iter().map(|report| report.errors_before)),
        statuses: statuses(reports),
        counts: counts(reports),
        first_error: reports.iter().find_map(|report| report.first_error.clone()),
        connections: connections(reports),
        idle: crowd(reports.iter().map(|report| &report.idle)),
        slow: crowd(reports.iter().map(|report| &report.slow)),
        fairness: Fairness::together(reports.iter().map(|report| &report.fairness)),
        generator: generator(reports, requests),
        series: series(reports),
        bend: None,
        rate_found_per_s: None,
        search: None,
        verdict: None,
        checks: Vec::new(),
        notes: Vec::new(),
    })
}

/// The distribution of the values of all reports.
fn added<'a>(parts: impl Iterator<Item = &'a Latency>) -> Latency {
    let mut all = histogram();
    parts.for_each(|part| add_buckets(&mut all, &part.buckets_ns_count));
    latency(&all)
}

fn joined_origin(reports: &[Report]) -> Origin {
    let first = reports.iter().map(|report| &report.origin).min_by_key(|origin| origin.began_unix_ns);
    let mut hosts: Vec<&str> = reports.iter().map(|report| report.origin.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    Origin { host: hosts.join(", "), ..first.cloned().unwrap_or_default() }
}

fn errors(parts: impl Iterator<Item = ErrorCounts>) -> ErrorCounts {
    parts.fold(ErrorCounts::default(), ErrorCounts::and)
}

fn statuses(reports: &[Report]) -> Vec<StatusCount> {
    let mut all: BTreeMap<u16, u64> = BTreeMap::new();
    for count in reports.iter().flat_map(|report| &report.statuses) {
        let replies = all.entry(count.status).or_default();
        *replies = replies.saturating_add(count.replies);
    }
    all.into_iter().map(|(status, replies)| StatusCount { status, replies }).collect()
}

fn counts(reports: &[Report]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (name, count) in reports.iter().flat_map(|report| &report.counts) {
        let sum: &mut u64 = all.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    all
}

/// The most connections at the same time are at most the sum of each.
fn connections(reports: &[Report]) -> Connections {
    reports.iter().map(|report| report.connections).fold(Connections::default(), |all, one| Connections {
        attempted: all.attempted.saturating_add(one.attempted),
        established: all.established.saturating_add(one.established),
        established_measured: all.established_measured.saturating_add(one.established_measured),
        open_max: all.open_max.saturating_add(one.open_max),
        ended_by_server: all.ended_by_server.saturating_add(one.ended_by_server),
    })
}

fn crowd<'a>(parts: impl Iterator<Item = &'a Crowd>) -> Crowd {
    parts.fold(Crowd::default(), |all, one| Crowd {
        clients: all.clients.saturating_add(one.clients),
        connected: all.connected.saturating_add(one.connected),
        connected_at_end: all.connected_at_end.saturating_add(one.connected_at_end),
        bytes_in: all.bytes_in.saturating_add(one.bytes_in),
        bytes_out: all.bytes_out.saturating_add(one.bytes_out),
        wrong_bytes: all.wrong_bytes.saturating_add(one.wrong_bytes),
        lost: all.lost.and(one.lost),
    })
}

/// What they used together, and how near the busiest was to its limit. Of what disturbed them, the worst.
fn generator(reports: &[Report], requests: u64) -> Generator {
    let all = || reports.iter().map(|report| &report.generator);
    let (cpu_user_s, cpu_system_s) =
        (all().map(|one| one.cpu_user_s).sum(), all().map(|one| one.cpu_system_s).sum());
    let cpu_us: f64 = (cpu_user_s + cpu_system_s) * 1e6;
    Generator {
        cpu_user_s,
        cpu_system_s,
        utilisation: all().map(|one| one.utilisation).fold(0.0, f64::max),
        cpu_per_request_us: if requests == 0 { 0.0 } else { cpu_us / requests as f64 },
        run_delay_s: all().filter_map(|one| one.run_delay_s).reduce(f64::max),
        delayed_share: all().filter_map(|one| one.delayed_share).reduce(f64::max),
        stalls: all().map(|one| one.stalls).max().unwrap_or(0),
        stalled_s: all().map(|one| one.stalled_s).fold(0.0, f64::max),
        stalled_max_s: all().map(|one| one.stalled_max_s).fold(0.0, f64::max),
        clock_ratio: all()
            .filter_map(|one| one.clock_ratio)
            .reduce(|one, other| if (one - 1.0).abs() >= (other - 1.0).abs() { one } else { other }),
        clock_step_ns: all().map(|one| one.clock_step_ns).max().unwrap_or(0),
        local_ports: all().filter_map(|one| one.local_ports).max(),
        // Threads of a machine count the same segments.
        retransmitted_segments: all().filter_map(|one| one.retransmitted_segments).max(),
        memory_max_bytes: all().map(|one| one.memory_max_bytes).max().unwrap_or(0),
    }
}

/// The intervals of all runs: the first of each phase together, and so on. The phases begin at the same time.
fn series(reports: &[Report]) -> Vec<Interval> {
    let began_ns = reports.iter().map(|report| report.origin.began_unix_ns).min().unwrap_or(0);
    let mut encoder = HdrEncoder::new();
    let mut whole = Vec::new();
    for phase in [Phase::Connecting, Phase::WarmUp, Phase::Measuring, Phase::Draining] {
        let parts: Vec<Vec<Interval>> = reports
            .iter()
            .map(|report| of_phase(report, phase, report.origin.began_unix_ns - began_ns))
            .collect();
        let most = parts.iter().map(Vec::len).max().unwrap_or(0);
        for number in 0..most {
            let group: Vec<Interval> = parts.iter().filter_map(|part| numbered(part, number)).collect();
            whole.extend(one_interval(&group, &mut encoder));
        }
    }
    whole
}

/// The intervals of a phase of a run that began so much later than the first.
fn of_phase(report: &Report, phase: Phase, later_ns: u64) -> Vec<Interval> {
    let intervals = report.series.iter().filter(|interval| interval.phase == phase);
    let moved = intervals.map(|interval| Interval {
        start_ns: interval.start_ns.saturating_add(later_ns),
        end_ns: interval.end_ns.saturating_add(later_ns),
        ..interval.clone()
    });
    moved.collect()
}

/// The interval of this number. After the last interval of a run nothing happens, and open connections stay
/// open.
fn numbered(part: &[Interval], number: usize) -> Option<Interval> {
    let last = part.last()?;
    let behind = || Interval {
        phase: last.phase,
        start_ns: last.end_ns,
        end_ns: last.end_ns,
        clients_open: last.clients_open,
        outstanding: last.outstanding,
        crowd_open: last.crowd_open,
        ..Interval::EMPTY
    };
    Some(part.get(number).cloned().unwrap_or_else(behind))
}

/// Merges intervals. If the histogram of one was not kept, the percentiles of all requests are unknown: the
/// highest of the intervals is used.
fn one_interval(parts: &[Interval], encoder: &mut HdrEncoder) -> Option<Interval> {
    let first = parts.first()?;
    let sum = |of: fn(&Interval) -> u64| parts.iter().map(of).fold(0, u64::saturating_add);
    let most = |of: fn(&Interval) -> u64| parts.iter().map(of).max().unwrap_or(0);
    let mut all = histogram();
    let is_complete = parts.iter().all(|part| {
        let kept = decoded(&part.latency_hdr).filter(|histogram| histogram.len() == part.requests);
        kept.is_some_and(|histogram| all.add(&histogram).is_ok())
    });
    let of_all = if is_complete { buckets(&all) } else { Vec::new() };
    let at = |quantile, highest| if is_complete { at_quantile(&all, quantile) } else { highest };
    Some(Interval {
        phase: first.phase,
        start_ns: parts.iter().map(|part| part.start_ns).min()?,
        end_ns: most(|part| part.end_ns),
        requests: sum(|part| part.requests),
        bytes_in: sum(|part| part.bytes_in),
        bytes_out: sum(|part| part.bytes_out),
        p50_ns: at(0.5, most(|part| part.p50_ns)),
        p99_ns: at(0.99, most(|part| part.p99_ns)),
        max_ns: most(|part| part.max_ns),
        errors: sum(|part| part.errors),
        clients_open: sum(|part| part.clients_open),
        outstanding: sum(|part| part.outstanding),
        crowd_open: sum(|part| part.crowd_open),
        crowd_lost: sum(|part| part.crowd_lost),
        latency_hdr: encoder.encoded(&of_all),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;
    use crate::load::report::RequestSettings;

    /// A run of a second that began this many ms after another, with these latencies.
    fn run(after_ms: u64, latencies_us: impl Iterator<Item = u64>) -> Report {
        let mut report = Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64));
        let mut all = histogram();
        latencies_us.for_each(|us| all.saturating_record(us * 1_000));
        report.origin.began_unix_ns = 1_000_000_000 + after_ms * 1_000_000;
        (report.measured_ns, report.requests) = (1_000_000_000, all.len());
        report.latency = latency(&all);
        let interval = Interval {
            phase: Phase::Measuring,
            start_ns: 0,
            end_ns: 1_000_000_000,
            requests: all.len(),
            p50_ns: report.latency.p50_ns,
            p99_ns: report.latency.p99_ns,
            max_ns: report.latency.max_ns,
            latency_hdr: HdrEncoder::new().encoded(&buckets(&all)),
            ..Interval::EMPTY
        };
        report.series = vec![interval];
        report
    }

    #[test]
    fn percentiles_are_those_of_all_requests_and_nothing_is_lost() {
        // One run has many fast requests, the other few slow ones: no mean of their percentiles is right.
        let parts = [run(0, (0..9_900).map(|at| 100 + at % 7)), run(3, (0..100).map(|at| 50_000 + at))];
        let all = run(0, (0..9_900).map(|at| 100 + at % 7).chain((0..100).map(|at| 50_000 + at)));
        let merged = merge(&parts).unwrap();
        assert_eq!(merged.latency, all.latency);
        assert!(merged.latency.p99_ns < 110_000 && merged.latency.p99_9_ns > 50_000_000);
        assert_eq!(merged.requests, 10_000);
        assert!((merged.requests_per_second - 10_000.0).abs() < 1e-6);
        let [interval] = &merged.series[..] else { panic!("{:?}", merged.series) };
        assert_eq!((interval.p99_ns, interval.requests), (all.series[0].p99_ns, 10_000));
        assert_eq!(interval.latency_hdr, all.series[0].latency_hdr);
        let through_json: Vec<Report> = parts
            .iter()
            .map(|part| serde_json::from_str(&serde_json::to_string(part).unwrap()).unwrap())
            .collect();
        assert_eq!(merge(&through_json).unwrap(), merged);
    }

    #[test]
    fn runs_that_were_not_together_or_not_alike_are_refused() {
        let some = || (0..100).map(|at| 100 + at);
        assert_eq!(merge(&[]), Err(MergeError::Nothing));
        let refused = merge(&[run(0, some()), run(500, some())]).unwrap_err();
        assert_eq!(refused, MergeError::NotTogether(0, 50.0));
        assert!(refused.to_string().contains("50 % of its time"), "{refused}");
        let mut other = run(0, some());
        other.configuration.resource = "/other".to_owned();
        assert_eq!(merge(&[run(0, some()), other]), Err(MergeError::Different("what they request")));
        let mut method = run(0, some());
        let settings = |method: &str| RequestSettings { method: method.to_owned(), ..Default::default() };
        method.configuration.request = Some(settings("PUT"));
        let mut get = run(0, some());
        assert!(merge(&[get.clone(), method.clone()]).is_ok(), "one is of before");
        get.configuration.request = Some(settings("GET"));
        assert_eq!(merge(&[get, method]), Err(MergeError::Different("the method")));
        let mut newer = run(0, some());
        newer.schema_version += 1;
        assert_eq!(merge(&[run(0, some()), newer]), Err(MergeError::Newer(1)));
    }
}
