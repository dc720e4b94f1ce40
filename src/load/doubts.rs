//! What makes the numbers of a report doubtful.

use super::client_error::ClientError;
use super::report::Report;
use crate::judge::ErrorCounts;
use crate::judge::single_run::{self, RunFigures};

/// Reasons to doubt the numbers, one sentence each; empty if there are none.
pub(crate) fn doubts(report: &Report) -> Vec<String> {
    let mut found = single_run::doubts(&figures(report));
    for (kind, crowd) in [("idle", &report.idle), ("slow", &report.slow)] {
        let lost = crowd.lost.total();
        if lost > 0 {
            let what = format!("{lost} of {} {kind} clients were not connected throughout", crowd.clients);
            found.push([vec![what], advice(&crowd.lost)].concat().join("; "));
        }
    }
    found
}

fn figures(report: &Report) -> RunFigures {
    let measured_ns = (report.measured_ns as f64).max(1.0);
    RunFigures {
        generator_cpu: report.generator.utilisation,
        generator_waited: report.generator.run_delay_s.unwrap_or(0.0) * 1e9 / measured_ns,
        requests: report.requests,
        requests_due: report.requests_due,
        missed: report.missed_sends,
        unanswered: report.unanswered,
        outstanding_mean: report.outstanding_mean,
        latency_count: report.latency.count,
        latency_p99_ns: report.latency.p99_ns,
        send_lag_count: report.send_lag.count,
        send_lag_p99_ns: report.send_lag.p99_ns,
    }
}

/// What helps against the errors of the generator that occurred.
fn advice(errors: &ErrorCounts) -> Vec<String> {
    let own = [
        (errors.out_of_ports, ClientError::OutOfPorts),
        (errors.out_of_descriptors, ClientError::OutOfDescriptors),
    ];
    own.into_iter().filter(|(count, _)| *count > 0).map(|(_, error)| error.describe()).collect()
}
