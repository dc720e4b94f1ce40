//! The evidence in a report, and the verdict on it.

use std::time::Duration;

#[cfg(feature = "cli")]
use super::Expectation;
use super::bend;
#[cfg(feature = "cli")]
use super::client_error::ClientError;
use super::clock::ns;
use super::report::{Pace, Phase, Report};
#[cfg(feature = "cli")]
use crate::judge::ErrorCounts;
#[cfg(feature = "cli")]
use crate::judge::figures::plural;
use crate::judge::single_run::rate_spread;
use crate::judge::{RunEvidence, RunVerdict};

/// Replies per client, on average, from which a client without any was left out.
const SERVED_FROM: u64 = 10;
/// Share of the replies with a status other than 2xx that is worth a note: more of them than this may be the
/// p99.
#[cfg(feature = "cli")]
const OTHER_STATUSES_NOTED_FROM: f64 = 0.01;

/// Adds the verdict and the bend of the latency to a report.
pub(super) fn conclude(report: &mut Report) {
    report.bend = bend::of(report);
    report.verdict = Some(of(report));
}

/// Judges a run.
pub(super) fn of(report: &Report) -> RunVerdict {
    RunVerdict::of(evidence(report))
}

fn evidence(report: &Report) -> RunEvidence {
    let (generator, fairness) = (&report.generator, &report.fairness);
    let measured_ns = (report.measured_ns as f64).max(1.0);
    let share = |seconds: f64| seconds * 1e9 / measured_ns;
    let pace = report.configuration.pace;
    let is_closed = pace == Pace::Closed;
    let little = report.requests_per_second * report.latency.mean_ns / 1e9 / report.outstanding_mean;
    RunEvidence {
        measured_ns: report.measured_ns,
        interrupted: report.interrupted,
        generator_cpu_share: generator.utilisation,
        generator_waited_share: generator.run_delay_s.map(share),
        generator_delayed_share: generator.delayed_share,
        generator_stalls: generator.stalls,
        generator_stalled_share: share(generator.stalled_s),
        generator_stalled_max_ns: Duration::try_from_secs_f64(generator.stalled_max_s).map_or(0, ns),
        schedule_lag_p99_ns: (!is_closed).then_some(report.schedule_lag.p99_ns),
        clock_ratio: generator.clock_ratio,
        clock_step_ns: generator.clock_step_ns,
        requests: report.requests,
        requests_per_second: report.requests_per_second,
        requests_due: matches!(pace, Pace::Open { .. }).then_some(report.requests_due),
        missed_sends: report.missed_sends,
        unanswered: report.unanswered,
        latency_mean_ns: report.latency.mean_ns,
        latency_p50_ns: report.latency.p50_ns,
        latency_p99_ns: report.latency.p99_ns,
        latency_max_ns: report.latency.max_ns,
        outstanding_mean: report.outstanding_mean,
        little_ratio: Some(little).filter(|ratio| is_closed && ratio.is_finite() && *ratio > 0.0),
        rate_spread_share: if is_closed { spread(report) } else { None },
        clients: fairness.clients,
        clients_unserved: if report.requests >= SERVED_FROM * fairness.clients {
            fairness.clients_unserved
        } else {
            0
        },
        connections_mean: (!report.configuration.churn).then_some(report.connected_mean),
        connections_ended_by_server: report.connections.ended_by_server,
        connections_attempted: report.connections.attempted,
        local_ports: generator.local_ports,
        retransmitted_segments: generator.retransmitted_segments,
        errors: report.errors,
    }
}

/// How much the rate varies over the whole intervals of the measured span.
fn spread(report: &Report) -> Option<f64> {
    let whole_ns = report.configuration.interval_ns / 2;
    let intervals: Vec<(f64, u64)> = report
        .series
        .iter()
        .filter(|interval| {
            interval.phase == Phase::Measuring && interval.end_ns - interval.start_ns > whole_ns
        })
        .map(|interval| {
            let seconds = (interval.end_ns - interval.start_ns) as f64 / 1e9;
            (interval.requests as f64 / seconds, interval.requests)
        })
        .collect();
    rate_spread(&intervals)
}

/// The verdict in a report; that of a report of before is made now.
#[cfg(feature = "cli")]
pub(crate) fn judged(report: &Report) -> RunVerdict {
    report.verdict.clone().unwrap_or_else(|| of(report))
}

/// Notes for the reader in addition to the verdict, one sentence each.
#[cfg(feature = "cli")]
pub(crate) fn notes(report: &Report) -> Vec<String> {
    let mut found = judged(report).notes(report.latency.count);
    found.extend(other_statuses(report));
    for (kind, crowd) in [("idle", &report.idle), ("slow", &report.slow)] {
        let lost = crowd.lost.total();
        if lost > 0 {
            let clients = plural(crowd.clients, "client", "clients");
            let were = plural(lost, "was", "were");
            let what =
                format!("{lost} of {} {kind} {clients} {were} not connected throughout", crowd.clients);
            found.push([vec![what], advice(&crowd.lost)].concat().join("; "));
        }
    }
    found
}

/// Replies that are not what was asked for, and often faster or slower than those that are. A redirect that
/// is followed is what was asked for.
#[cfg(feature = "cli")]
fn other_statuses(report: &Report) -> Option<String> {
    let follows = report.counts.get("redirects_followed").is_some_and(|count| *count > 0);
    let all = report.replies_with(0..=u16::MAX);
    let other = all - report.replies_with(200..=if follows { 399 } else { 299 });
    let share = other as f64 / (all as f64).max(1.0);
    let is_of_share = |asked: &str| asked.parse().is_ok_and(|check: Expectation| check.is_about_share());
    let is_checked = report.checks.iter().any(|check| is_of_share(&check.asked));
    let advice = if is_checked { "" } else { "; --expect '2xx>99%' checks the share" };
    (share > OTHER_STATUSES_NOTED_FROM).then(|| {
        format!(
            "{:.1} % of the replies are not 2xx, and rate and latencies include them{advice}",
            share * 100.0
        )
    })
}

/// What helps against the errors of the generator that occurred.
#[cfg(feature = "cli")]
fn advice(errors: &ErrorCounts) -> Vec<String> {
    let own = [
        (errors.out_of_ports, ClientError::OutOfPorts),
        (errors.out_of_descriptors, ClientError::OutOfDescriptors),
    ];
    own.into_iter().filter(|(count, _)| *count > 0).map(|(_, error)| error.describe()).collect()
}

#[cfg(test)]
mod tests;
