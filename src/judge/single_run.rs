//! What makes one run of the load generator doubtful.

use super::figures::percent;

/// CPU time of the generator, as a share of a core, above which it may be the limit. Lower than
/// [`super::repeats::BUSY_FROM`]: one run gets a note for it, and is not rejected.
const GENERATOR_BUSY_FROM: f64 = 0.85;
/// Share of the span in which the generator waited for a core. A closed loop sends less by at most this
/// share, and two equal runs differ by this much anyway. Lower than [`super::repeats::STARVED_MAX`] for the
/// same reason.
const GENERATOR_STARVED_FROM: f64 = 0.05;
/// Share of the scheduled requests that must be answered: the rest may be in flight when the span ends.
const RATE_REACHED_FROM: f64 = 0.98;
/// Requests below which p99.99 is about the maximum.
const TAIL_REQUESTS_MIN: u64 = 10_000;

/// The figures of one run that decide whether to trust it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunFigures {
    /// CPU time of the generator, as a share of a core.
    pub(crate) generator_cpu: f64,
    /// Share of the span in which the generator waited for a core.
    pub(crate) generator_waited: f64,
    /// Requests answered.
    pub(crate) requests: u64,
    /// Requests that fell due (open loop).
    pub(crate) requests_due: u64,
    /// Requests that fell due and were never sent.
    pub(crate) missed: u64,
    /// Requests without an answer when the run ended, which were not late yet.
    pub(crate) unanswered: u64,
    /// Requests in flight or waiting for a connection, on average.
    pub(crate) outstanding_mean: f64,
    /// Requests whose latency was recorded, and their p99.
    pub(crate) latency_count: u64,
    pub(crate) latency_p99_ns: u64,
    /// Requests of the open loop that were sent, and how late the p99 of them was.
    pub(crate) send_lag_count: u64,
    pub(crate) send_lag_p99_ns: u64,
}

/// Reasons to doubt the run; empty if there are none.
pub(crate) fn doubts(run: &RunFigures) -> Vec<String> {
    let mut doubts = Vec::new();
    if run.generator_cpu > GENERATOR_BUSY_FROM {
        let used = percent(run.generator_cpu);
        doubts.push(format!("the generator used {used} of a core; the server may be faster than measured"));
    }
    if run.generator_waited > GENERATOR_STARVED_FROM {
        let waited = percent(run.generator_waited);
        doubts.push(format!(
            "the generator waited for a core {waited} of the time; the server may be faster than measured"
        ));
    }
    // One request more or less depends on where the span ends.
    if run.requests as f64 + 1.0 < RATE_REACHED_FROM * run.requests_due as f64 {
        doubts.push(format!(
            "the offered rate was not reached: {} of {} scheduled requests were answered in time",
            run.requests, run.requests_due
        ));
    }
    if run.missed > 0 {
        doubts.push(format!(
            "{} scheduled requests were never sent because no connection was free; the latencies do not include them",
            run.missed
        ));
    }
    if run.unanswered > 0 {
        doubts.push(format!(
            "{} requests had no answer when the run ended; the latencies include the time they had waited so far",
            run.unanswered
        ));
    }
    // While no request waits for a connection, the lag is the generator's own.
    let generator_is_late = run.send_lag_p99_ns * 2 > run.latency_p99_ns;
    if run.send_lag_count > 0 && run.outstanding_mean < 1.0 && generator_is_late {
        doubts.push(
            "most of the p99 latency comes from late sends of the generator: this machine was busy otherwise"
                .to_owned(),
        );
    }
    if (1..TAIL_REQUESTS_MIN).contains(&run.latency_count) {
        doubts.push(format!("p99.99 of only {} requests is close to the maximum", run.latency_count));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> RunFigures {
        RunFigures { generator_cpu: 0.5, requests: 20_000, latency_count: 20_000, ..RunFigures::default() }
    }

    /// The only doubt of a quiet run after `change`; empty without one.
    fn doubt(change: impl Fn(&mut RunFigures)) -> String {
        let mut run = quiet();
        change(&mut run);
        let doubts = doubts(&run);
        assert!(doubts.len() <= 1, "{doubts:?}");
        doubts.concat()
    }

    #[test]
    fn a_quiet_run_is_not_doubted() {
        assert_eq!(doubt(|_| ()), "");
        assert_eq!(doubts(&RunFigures::default()), [""; 0], "nothing fell due, nothing was measured");
    }

    #[test]
    fn a_generator_that_was_busy_or_starved_is_reported() {
        assert_eq!(doubt(|run| run.generator_cpu = 0.85), "");
        assert!(doubt(|run| run.generator_cpu = 0.93).contains("used 93 % of a core"));
        assert_eq!(doubt(|run| run.generator_waited = 0.045), "");
        assert!(doubt(|run| run.generator_waited = 0.12).contains("waited for a core 12 %"));
    }

    #[test]
    fn a_rate_that_was_not_reached_is_reported() {
        assert!(doubt(|run| run.requests_due = 20_600).contains("20000 of 20600 scheduled"));
        assert_eq!(doubt(|run| run.requests_due = 20_100), "", "the rest was in flight");
        assert!(doubt(|run| run.missed = 3).contains("3 scheduled requests were never sent"));
        assert!(doubt(|run| run.unanswered = 7).contains("7 requests had no answer"));
    }

    #[test]
    fn late_sends_are_the_generators_only_while_no_request_waits_for_a_connection() {
        let late = |run: &mut RunFigures| {
            (run.send_lag_count, run.send_lag_p99_ns, run.latency_p99_ns) = (20_000, 600, 1_000);
        };
        assert!(doubt(late).contains("late sends of the generator"));
        let waiting = |run: &mut RunFigures| {
            late(run);
            run.outstanding_mean = 40.0;
        };
        assert_eq!(doubt(waiting), "");
    }

    #[test]
    fn a_short_run_has_no_tail() {
        assert!(doubt(|run| run.latency_count = 800).contains("p99.99 of only 800 requests"));
        assert_eq!(doubt(|run| run.latency_count = 0), "");
    }
}
