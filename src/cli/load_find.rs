//! `oneloop load --find`: the search for the highest rate that meets checks, as it is typed and watched.

use std::ops::ControlFlow;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::load_verdict::per_second;
use super::{Failure, load_table, stderr};
use crate::judge::figures::time;
use crate::load::report::{Arrivals, Pace, ProbeReport, Report};
use crate::load::{Aim, Expectation, FindProgress, PROBES_MAX, Plan, RunError, Workload, find};
use crate::services::ServiceName;
use crate::sys::Signals;
use crate::time::in_words;

/// The warm-up and the duration of a probe, and of a run without a search.
const PROBE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));
const RUN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Search")]
pub(super) struct FindArgs {
    /// Find the highest rate at which this check holds, such as p99<5ms; may be repeated
    ///
    /// Runs short probes of the open loop: climbs, bisects to 2 %, then repeats the rate found until chance
    /// is an unlikely explanation. A rate passes if all checks hold, including those of --expect and the
    /// implied ones, and nearly all requests are answered in time. --duration is the length of a probe, 3 s
    /// unless given; the search takes at most 30 times as long, so 90 s. Not with --replay-log, which has
    /// times of its own.
    #[arg(long, value_name = "CHECK")]
    find: Vec<Expectation>,
}

/// Requests per second: one rate, or two that the run goes through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RateArg {
    Steady(f64),
    FromTo(f64, f64),
}

impl FromStr for RateArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None => rate(text).map(RateArg::Steady),
            Some((from, to)) => Ok(RateArg::FromTo(rate(from)?, rate(to)?)),
        }
    }
}

impl RateArg {
    pub(super) fn pace(self, arrivals: Arrivals) -> Pace {
        match self {
            RateArg::Steady(rate_per_second) => Pace::Open { rate_per_second, arrivals },
            RateArg::FromTo(from_per_second, to_per_second) => {
                Pace::Ramp { from_per_second, to_per_second, arrivals }
            }
        }
    }
}

/// A number with an SI prefix, optionally followed by `/s`.
fn rate(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches("/s");
    let (digits, factor) = match number.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => number.strip_suffix('M').map_or((number, 1.0), |digits| (digits, 1e6)),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = digits.parse::<f64>().ok().filter(|_| is_plain);
    let value = value.map(|value| value * factor).ok_or_else(|| {
        "not a rate; write requests per second as 500, 10k or 1.5M, or as 100:5k for a rate that grows"
            .to_owned()
    })?;
    if value > 0.0 { Ok(value) } else { Err("a rate must be more than 0".to_owned()) }
}

impl FindArgs {
    pub(super) fn is_given(&self) -> bool {
        !self.find.is_empty()
    }

    pub(super) fn checks(&self) -> &[Expectation] {
        &self.find
    }

    /// The defaults of --warmup and --duration.
    pub(super) fn spans(&self) -> (Duration, Duration) {
        if self.is_given() { PROBE } else { RUN }
    }

    /// Searches with the checks of the user, and for HTTP the checks of statuses unless the user has one.
    /// Standard error gets a line for each probe and, if it is a terminal, a live view.
    pub(super) fn search(
        &self,
        plan: &Plan,
        workload: &impl Workload,
        rate: Option<RateArg>,
        arrivals: Arrivals,
        (expected, of_statuses): (&[Expectation], &[&str]),
    ) -> Result<Report, Failure> {
        let mut checks = [&self.find, expected].concat();
        checks.extend(implied(&checks, Pace::Open { rate_per_second: 1.0, arrivals }));
        if workload.name() == ServiceName::Http.to_string()
            && !checks.iter().any(Expectation::is_about_statuses)
        {
            checks.extend(of_statuses.iter().filter_map(|check| check.parse::<Expectation>().ok()));
        }
        let (lowest_per_s, highest_per_s, start_per_s) = match rate {
            None => (None, None, None),
            Some(RateArg::Steady(rate)) => (None, None, Some(rate)),
            Some(RateArg::FromTo(low, high)) if low <= high => (Some(low), Some(high), None),
            Some(RateArg::FromTo(..)) => {
                return Err(Failure::Usage(
                    "--rate A:B of a search has its lowest rate first; for example: --rate 100:5k".to_owned(),
                ));
            }
        };
        let aim = Aim { checks, lowest_per_s, highest_per_s, start_per_s, arrivals };
        let names: Vec<String> = aim.checks.iter().map(ToString::to_string).collect();
        stderr::say(format_args!(
            "the highest rate that meets {} is searched for; this takes at most {}",
            names.join(", "),
            in_words(plan.duration * PROBES_MAX)
        ));
        let signals = Signals::install().map_err(Failure::system)?;
        let bar = ProgressBar::with_draw_target(None, stderr::progress_target());
        let style = ProgressStyle::with_template("{spinner} {wide_msg}").map_err(Failure::system)?;
        bar.set_style(style);
        let report = find(plan, workload, &aim, |progress| {
            show(&bar, progress);
            if signals.counts().stops() > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        bar.finish_and_clear();
        report.map_err(|error| match error {
            RunError::Plan(error) => Failure::usage(error),
            error => Failure::system(error),
        })
    }
}

/// The implied checks, each unless the user has one of its kind. Requests that failed or were not sent are
/// not in the percentiles, so the user must allow them explicitly. A rate that grows beyond the capacity of
/// the server is expected to miss requests.
pub(super) fn implied(checks: &[Expectation], pace: Pace) -> Vec<Expectation> {
    let mut implied: Vec<Expectation> = Vec::new();
    if !checks.iter().any(Expectation::is_about_errors) {
        implied.extend("errors=0".parse::<Expectation>());
    }
    if !checks.iter().any(Expectation::is_about_missed) && !matches!(pace, Pace::Ramp { .. }) {
        implied.extend("missed=0".parse::<Expectation>());
    }
    implied
}

/// Why a search counts as failed: it found no rate.
pub(super) fn failure(report: &Report) -> Option<String> {
    let search = report.search.as_ref().filter(|_| report.rate_found_per_s.is_none())?;
    let last = search.probes.iter().rfind(|probe| probe.failure.is_some());
    let why = last.and_then(|probe| {
        Some(format!(": at {}, {}", per_second(probe.rate_per_second), probe.failure.as_ref()?))
    });
    Some(format!("no rate was found that meets {}{}", search.checks.join(", "), why.unwrap_or_default()))
}

fn show(bar: &ProgressBar, progress: FindProgress<'_>) {
    let message = match progress {
        FindProgress::Estimating(run) => {
            format!("closed loop, to see where to begin: {:.0}/s", run.requests_per_second)
        }
        FindProgress::Probing(number, rate, run) => format!(
            "probe {number}: {}, p99 {}, {} outstanding",
            per_second(rate),
            load_table::time_of(run.p99_ns, run.p99_ns),
            run.outstanding
        ),
        FindProgress::Probed(number, probe) => {
            let line = format!("probe {number}: {}", result(probe));
            if bar.is_hidden() {
                stderr::say(format_args!("{line}"));
            } else {
                bar.println(line);
            }
            return;
        }
    };
    bar.set_message(message);
    bar.tick();
}

/// What a probe showed, in a line.
fn result(probe: &ProbeReport) -> String {
    let (rate, span) = (per_second(probe.rate_per_second), time(probe.measured_ns as f64));
    match &probe.failure {
        None => format!("{rate} for {span}: holds, p99 {}", load_table::time_of(probe.p99_ns, probe.p99_ns)),
        Some(failure) if probe.disturbed => {
            format!("{rate} for {span}: {failure}; the generator was disturbed, so this does not count")
        }
        Some(failure) => format!("{rate} for {span}: {failure}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_one_or_two() {
        assert_eq!("1.5k/s".parse(), Ok(RateArg::Steady(1_500.0)));
        assert_eq!("100:2M".parse(), Ok(RateArg::FromTo(100.0, 2e6)));
        for wrong in ["", "fast", "1:", ":2", "1:2:3", "-1"] {
            let message = wrong.parse::<RateArg>().unwrap_err();
            assert!(message.contains("500, 10k or 1.5M"), "{wrong}: {message}");
        }
    }
}
