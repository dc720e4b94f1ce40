//! The highest rate that meets checks, found on a real server: each probe is a run of its own.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::error::RunError;
use super::expect::Expectation;
use super::plan::Plan;
use super::report::{Arrivals, Pace, Phase, ProbeReport, Report, SearchLimit, SearchReport, Verdict};
use super::search::{FoundRate, Probe, ProbeLength, ProbeOutcome, Search, SearchBounds};
use super::workload::Workload;
use super::{RunProgress, run_watched, verdict};
use crate::judge::figures::counted;

/// A search takes at most as long as this many whole probes: 90 s with probes of 3 s.
pub(crate) const PROBES_MAX: u32 = 30;
/// The length of a short probe, as a share of a whole one.
const SHORT_PART: u32 = 3;
/// Requests of a whole probe at the lowest rate: with fewer a percentile means nothing.
const REQUESTS_MIN: f64 = 10.0;
/// The highest rate: no generator sends more with one thread.
const RATE_MAX: f64 = 1e8;
/// The time of a probe outside of warm-up and measured span: connecting, and the check for a backlog.
const BESIDE: Duration = Duration::from_millis(300);
/// The first rate, as a share of the rate of the closed loop, which is near the server's limit.
const START_SHARE: f64 = 0.9;
/// A probe is hopeless when so much of all its requests waits: the server would have to catch up with a
/// quarter of the probe.
const BACKLOG_MAX: f64 = 0.25;
/// Share of the requests that must be answered, below which chance does not explain what is missing.
const ANSWERED_MIN: f64 = 0.9;
/// The check for a backlog: a single client with this many requests per second, for this long.
const LOOK_RATE: f64 = 100.0;
const LOOK: Duration = Duration::from_millis(100);
/// The backlog is empty if a request takes at most this many times as long as before the first probe, or at
/// most this much longer.
const EMPTY_TIMES: u64 = 2;
const EMPTY_MORE_NS: u64 = 1_000_000;
/// How long to wait for that.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);
/// Confidence from which a rate counts as confirmed.
const CONFIDENCE_MIN: f64 = 0.9;

/// What is to be found, and where.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    /// All of them must hold.
    pub(crate) checks: Vec<Expectation>,
    /// The rates that may be tried.
    pub(crate) lowest_per_s: Option<f64>,
    pub(crate) highest_per_s: Option<f64>,
    /// The first rate; `None`: estimated with a closed loop.
    pub(crate) start_per_s: Option<f64>,
    pub(crate) arrivals: Arrivals,
}

/// What a search does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FindProgress<'a> {
    /// A closed loop runs, to see where to begin.
    Estimating(&'a RunProgress),
    /// A probe runs: its number from 1 and its rate.
    Probing(u32, f64, &'a RunProgress),
    /// A probe has ended: its number, and what it showed.
    Probed(u32, &'a ProbeReport),
}

/// A search on a server.
struct Finder<'a, W: Workload, F> {
    plan: &'a Plan,
    workload: &'a W,
    aim: &'a Aim,
    watch: F,
    is_stopped: bool,
    probes: Vec<ProbeReport>,
    /// The last report at each rate that was met, and the last of all.
    met: Vec<(f64, Report)>,
    last: Option<Report>,
}

/// Searches for the highest rate at which all checks hold. [`Plan::duration`] is that of a whole probe, and
/// [`Plan::pace`] does not matter. The report is that of the last probe at the rate found, or of the last
/// probe. If `watch` breaks, the search ends with its result so far.
pub(crate) fn find<W: Workload>(
    plan: &Plan,
    workload: &W,
    aim: &Aim,
    watch: impl FnMut(FindProgress<'_>) -> ControlFlow<()>,
) -> Result<Report, RunError> {
    let (probes, met) = (Vec::new(), Vec::new());
    let mut finder = Finder { plan, workload, aim, watch, is_stopped: false, probes, met, last: None };
    finder.run()
}

impl<W: Workload, F: FnMut(FindProgress<'_>) -> ControlFlow<()>> Finder<'_, W, F> {
    fn run(&mut self) -> Result<Report, RunError> {
        let began = Instant::now();
        let unloaded = self.look()?;
        if unloaded.connections.established == 0 {
            return Ok(unloaded);
        }
        let unloaded_ns = median_ns(&unloaded);
        let start_per_s = match self.aim.start_per_s {
            Some(rate) => rate,
            None => self.estimate()?,
        };
        let mut bounds = self.bounds(start_per_s);
        bounds.at_most = bounds.at_most.saturating_sub(began.elapsed());
        let mut search = Search::new(bounds);
        // Bounded by the time that the search may take.
        while let Some(probe) = search.next() {
            let began = Instant::now();
            if !self.is_stopped {
                self.wait_for_an_empty_backlog(unloaded_ns)?;
            }
            let outcome = if self.is_stopped { None } else { self.probe(probe)? };
            match outcome {
                Some(outcome) => search.record(outcome, began.elapsed()),
                None => search.interrupt(),
            }
        }
        Ok(self.report(&search))
    }

    fn bounds(&self, start_per_s: f64) -> SearchBounds {
        let whole = self.plan.duration;
        let lowest_per_s = self.aim.lowest_per_s.unwrap_or(REQUESTS_MIN / whole.as_secs_f64());
        let highest_per_s = self.aim.highest_per_s.unwrap_or(RATE_MAX).max(lowest_per_s);
        let beside = self.plan.warmup + BESIDE;
        SearchBounds {
            start_per_s,
            lowest_per_s,
            highest_per_s,
            short: whole / SHORT_PART + beside,
            whole: whole + beside,
            at_most: whole * PROBES_MAX,
        }
    }

    /// Estimates the first rate by what a closed loop of all clients reaches. Refusals do not count: they are
    /// fast.
    fn estimate(&mut self) -> Result<f64, RunError> {
        let mut plan = self.plan.clone();
        (plan.pace, plan.duration) = (Pace::Closed, self.plan.duration / SHORT_PART);
        let (watch, is_stopped) = (&mut self.watch, &mut self.is_stopped);
        let report = run_watched(&plan, self.workload, |progress| {
            let is_over = progress.phase == Phase::Draining;
            match watch(FindProgress::Estimating(progress)) {
                ControlFlow::Break(()) => *is_stopped = true,
                ControlFlow::Continue(()) if !is_over => return ControlFlow::Continue(()),
                ControlFlow::Continue(()) => {}
            }
            ControlFlow::Break(())
        })?;
        let rate = report.requests_per_second * served_share(&report) * START_SHARE;
        self.last = Some(report);
        Ok(rate)
    }

    /// Runs a probe; `None` if the search is to end.
    fn probe(&mut self, probe: Probe) -> Result<Option<ProbeOutcome>, RunError> {
        let number = self.probes.len() as u32 + 1;
        let mut plan = self.plan.clone();
        plan.pace = Pace::Open { rate_per_second: probe.rate_per_s, arrivals: self.aim.arrivals };
        plan.seed = self.plan.seed.wrapping_add(u64::from(number));
        if probe.length == ProbeLength::Short {
            plan.duration /= SHORT_PART;
        }
        let due = probe.rate_per_s * plan.duration.as_secs_f64();
        let in_flight_max = f64::from(plan.clients) * f64::from(plan.depth);
        let (watch, is_stopped) = (&mut self.watch, &mut self.is_stopped);
        let mut is_hopeless = false;
        let mut report = run_watched(&plan, self.workload, |progress| {
            let waiting = progress.outstanding as f64 - in_flight_max;
            is_hopeless |= progress.phase == Phase::Measuring && waiting > BACKLOG_MAX * due;
            *is_stopped |= watch(FindProgress::Probing(number, probe.rate_per_s, progress)).is_break();
            if is_hopeless || *is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if self.is_stopped {
            self.last.get_or_insert(report);
            return Ok(None);
        }
        report.interrupted = false; // it ended as it was to end
        let judged = verdict::of(&report);
        let answered = report.requests as f64 / (report.requests_due as f64).max(1.0);
        let failure = if is_hopeless {
            Some("the server fell behind".to_owned())
        } else {
            self.failure(&report).or_else(|| {
                (!judged.has_kept_up())
                    .then(|| format!("{:.1} % of the requests were answered", answered * 100.0))
            })
        };
        let outcome = match &failure {
            None => ProbeOutcome::Met,
            Some(_) if matches!(judged.verdict, Verdict::GeneratorBound | Verdict::PortStarved) => {
                ProbeOutcome::Limited
            }
            Some(_) if judged.doubts_generator() => ProbeOutcome::Disturbed,
            Some(_) if is_hopeless || answered < ANSWERED_MIN => ProbeOutcome::Overloaded,
            Some(_) => ProbeOutcome::Failed,
        };
        let reported = ProbeReport {
            rate_per_second: probe.rate_per_s,
            measured_ns: report.measured_ns,
            requests_per_second: report.requests_per_second,
            p99_ns: report.latency.p99_ns,
            verdict: judged.verdict,
            passed: outcome == ProbeOutcome::Met,
            disturbed: outcome == ProbeOutcome::Disturbed,
            failure,
        };
        report.verdict = Some(judged);
        if outcome == ProbeOutcome::Met && probe.length == ProbeLength::Whole {
            self.met.retain(|(rate, _)| rate.total_cmp(&probe.rate_per_s).is_ne());
            self.met.push((probe.rate_per_s, report));
        } else {
            self.last = Some(report);
        }
        self.is_stopped |= (self.watch)(FindProgress::Probed(number, &reported)).is_break();
        self.probes.push(reported);
        Ok(Some(outcome))
    }

    /// The first check that does not hold.
    fn failure(&self, report: &Report) -> Option<String> {
        let mut results = self.aim.checks.iter().map(|check| check.result(report));
        let broken = results.find(|result| !result.held)?;
        Some(format!("{} does not hold: {}", broken.asked, broken.seen))
    }

    /// A single client with few requests.
    fn look(&self) -> Result<Report, RunError> {
        let mut plan = self.plan.clone();
        (plan.clients, plan.depth, plan.threads, plan.idle, plan.slow) = (1, 1, 1, 0, 0);
        (plan.warmup, plan.ramp, plan.duration) = (Duration::ZERO, Duration::ZERO, LOOK);
        plan.pace = Pace::Open { rate_per_second: LOOK_RATE, arrivals: Arrivals::Constant };
        plan.reply_timeout = plan.reply_timeout.min(EMPTY_WITHIN);
        run_watched(&plan, self.workload, |_| ControlFlow::Continue(()))
    }

    /// The backlog of an overload would make the next probe fail at any rate.
    fn wait_for_an_empty_backlog(&self, unloaded_ns: u64) -> Result<(), RunError> {
        let began = Instant::now();
        let empty_ns = unloaded_ns.saturating_mul(EMPTY_TIMES).max(unloaded_ns.saturating_add(EMPTY_MORE_NS));
        while median_ns(&self.look()?) > empty_ns && began.elapsed() < EMPTY_WITHIN {}
        Ok(())
    }

    fn report(&mut self, search: &Search) -> Report {
        let found = search.found();
        let limit = search.limit().unwrap_or(SearchLimit::Interrupted);
        let at = found.and_then(|found| {
            self.met.iter().position(|(rate, _)| rate.total_cmp(&found.rate_per_s).is_eq())
        });
        let mut report = match at {
            Some(at) => self.met.swap_remove(at).1,
            None => {
                self.last.take().or_else(|| self.met.pop().map(|(_, report)| report)).unwrap_or_else(|| {
                    Report::empty(
                        self.plan.configuration(self.workload.name(), self.workload.request_bytes()),
                    )
                })
            }
        };
        report.interrupted = limit == SearchLimit::Interrupted;
        report.rate_found_per_s = found.map(|found| found.rate_per_s);
        let votes = found.map(|found| found.votes).unwrap_or_default();
        report.search = Some(SearchReport {
            checks: self.aim.checks.iter().map(ToString::to_string).collect(),
            probes: std::mem::take(&mut self.probes),
            passed: votes.met,
            failed: votes.failed,
            confidence: votes.confidence(),
            failed_from_per_second: search.failed_from(),
            limit,
        });
        let judged = report.verdict.take().unwrap_or_else(|| verdict::of(&report));
        report.verdict = Some(match finding(found, limit, search.failed_from()) {
            Some((verdict, reason)) => judged.with(verdict, reason),
            None => judged,
        });
        report
    }
}

/// The share of replies that are not refusals (429 of RFC 6585, section 4; 5xx of RFC 9110, section 15.6); 1
/// if all are.
fn served_share(report: &Report) -> f64 {
    let refused = report.replies_with(429..=429) + report.replies_with(500..=599);
    let share = 1.0 - refused as f64 / report.requests.max(1) as f64;
    if share > 0.0 { share } else { 1.0 }
}

/// The median latency; without an answer the server is as busy as can be.
fn median_ns(report: &Report) -> u64 {
    if report.requests == 0 { u64::MAX } else { report.latency.p50_ns }
}

/// What the end of a search adds to the verdict on the probe at the rate found.
fn finding(
    found: Option<FoundRate>,
    limit: SearchLimit,
    failed_from: Option<f64>,
) -> Option<(Verdict, String)> {
    let Some(found) = found else {
        let rate = failed_from.unwrap_or(0.0);
        return Some(match limit {
            SearchLimit::Interrupted => {
                (Verdict::Noisy, "the search was ended before a rate was found".to_owned())
            }
            SearchLimit::Time => {
                (Verdict::Noisy, "the time was over before a rate was found that meets the checks".to_owned())
            }
            _ => (Verdict::Failed, format!("even {rate:.1} requests/s do not meet the checks")),
        });
    };
    match limit {
        SearchLimit::Generator => Some((
            Verdict::GeneratorBound,
            "the generator could not send more: the rate found is a lower bound".to_owned(),
        )),
        _ if found.votes.confidence() < CONFIDENCE_MIN => {
            let why = match (found.votes.met, found.votes.met + found.votes.failed) {
                (_, 0) => "it was probed once".to_owned(),
                (met, all) => format!("{met} of {} met the checks", counted(all.into(), "probe", "probes")),
            };
            Some((Verdict::Noisy, format!("the rate found is not confirmed: {why}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::StatusCount;
    use super::{Plan, Report, served_share};

    #[test]
    fn a_search_does_not_begin_at_the_rate_of_refusals() {
        let mut report = Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("http", 80));
        report.requests = 40_000;
        assert!((served_share(&report) - 1.0).abs() < 1e-9, "a protocol without a status");
        report.statuses = [(200, 1_000), (429, 19_000), (503, 20_000)]
            .map(|(status, replies)| StatusCount { status, replies })
            .into();
        assert!((served_share(&report) - 0.025).abs() < 1e-9);
        report.statuses = vec![StatusCount { status: 503, replies: 40_000 }];
        assert!((served_share(&report) - 1.0).abs() < 1e-9, "nothing is known of the rate that is served");
    }
}
