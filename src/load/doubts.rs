//! What makes the numbers of a report doubtful.

use super::Report;
use super::errors::Class;
use crate::judge::single_run::{RunFigures, doubts};

impl Report {
    /// Reasons to doubt the numbers, one sentence each; empty if there are none.
    pub fn doubts(&self) -> Vec<String> {
        let mut found = doubts(&self.figures());
        for (kind, crowd) in [("idle", &self.idle), ("slow", &self.slow)] {
            let lost = crowd.lost.total();
            if lost > 0 {
                let what =
                    format!("{lost} of {} {kind} clients were not connected throughout", crowd.clients);
                found.push([vec![what], Class::advice(&crowd.lost)].concat().join("; "));
            }
        }
        found
    }

    fn figures(&self) -> RunFigures {
        let measured_ns = (self.measured_ns as f64).max(1.0);
        RunFigures {
            generator_cpu: self.generator.utilisation,
            generator_waited: self.generator.run_delay_s.unwrap_or(0.0) * 1e9 / measured_ns,
            requests: self.requests,
            requests_due: self.requests_due,
            missed: self.missed_sends,
            unanswered: self.unanswered,
            outstanding_mean: self.outstanding_mean,
            latency_count: self.latency.count,
            latency_p99_ns: self.latency.p99_ns,
            send_lag_count: self.send_lag.count,
            send_lag_p99_ns: self.send_lag.p99_ns,
        }
    }
}
