//! Checks of a report, as users type them: `p99<5ms`, `errors=0`, `rate>=10k`.

use std::fmt;
use std::str::FromStr;

use super::report::{CheckResult, Report, Verdict};

/// A check of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expectation {
    text: String,
    metric: Quantity,
    relation: Relation,
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    /// In ns.
    Quantile(f64),
    Min,
    Mean,
    Max,
    /// Requests per second.
    Rate,
    Requests,
    Errors,
    /// Of all requests, in percent.
    ErrorsPercent,
    /// Replies with a status in this range.
    Status(StatusRange),
    /// The same, in percent of all replies.
    StatusPercent(StatusRange),
    Missed,
    /// Of the crowds.
    Lost,
    /// Of the generator, in percent of a core.
    CpuPercent,
    /// 1 if the verdict on the run is this one, else 0.
    Verdict(Verdict),
}

/// The first and last status of a range: a single status, or a class such as 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StatusRange {
    first: u16,
    last: u16,
}

impl FromStr for StatusRange {
    type Err = ();

    /// Reads `200` or `2xx`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (class, is_class) = match text.strip_suffix("xx") {
            Some(class) => (class, true),
            None => (text, false),
        };
        let digits = if is_class { 1 } else { 3 };
        let number = Some(class).filter(|class| class.len() == digits).and_then(|class| class.parse().ok());
        match (number, is_class) {
            (Some(class @ 1..=5u16), true) => Ok(StatusRange { first: class * 100, last: class * 100 + 99 }),
            (Some(status @ 100..=599), false) => Ok(StatusRange { first: status, last: status }),
            _ => Err(()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// Longer relations first: `<=` begins with `<`.
const RELATIONS: [(&str, Relation); 8] = [
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Equal),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Equal),
    ("≤", Relation::AtMost),
    ("≥", Relation::AtLeast),
];

const FORM: &str = "write a check as p99<5ms, p99.9<=20ms, max<1s, mean<500µs, rate>=10k, requests>0, errors=0, \
                    errors<0.1%, status=200, 2xx>99%, 503=0, missed=0, lost=0, cpu<90% or verdict=VALID";

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; {FORM}");
        let found = RELATIONS.iter().filter_map(|&(sign, relation)| Some((text.find(sign)?, sign, relation)));
        let (at, sign, relation) =
            found.min_by_key(|found| found.0).ok_or_else(|| wrong("it has no comparison"))?;
        let (name, typed) = (text[..at].trim(), text[at + sign.len()..].trim());
        if (name, relation) == ("verdict", Relation::Equal) {
            let verdict = serde_json::from_value(typed.into())
                .map_err(|_| wrong(&format!("\"{}\" is not a verdict", typed.escape_debug())))?;
            return Ok(Expectation {
                text: text.to_owned(),
                metric: Quantity::Verdict(verdict),
                relation,
                value: 1.0,
            });
        }
        let (number, unit) = split_unit(typed).ok_or_else(|| wrong("its value is not a number"))?;
        let all_of =
            (name == "status" && relation == Relation::Equal).then(|| typed.parse::<StatusRange>().ok());
        if let Some(range) = all_of.flatten() {
            let (metric, relation) = (Quantity::StatusPercent(range), Relation::AtLeast);
            return Ok(Expectation { text: text.to_owned(), metric, relation, value: 100.0 });
        }
        let (metric, value) = metric(name, number, unit).ok_or_else(|| {
            wrong(&format!(
                "\"{}\" cannot be compared with \"{}\"",
                name.escape_debug(),
                typed.escape_debug()
            ))
        })?;
        Ok(Expectation { text: text.to_owned(), metric, relation, value })
    }
}

fn split_unit(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number = text[..digits].parse::<f64>().ok()?;
    Some((number, text[digits..].trim()))
}

/// The metric, and the value in its unit.
fn metric(name: &str, number: f64, unit: &str) -> Option<(Quantity, f64)> {
    let time = || match unit {
        "ns" => Some(number),
        "us" | "µs" => Some(number * 1e3),
        "ms" => Some(number * 1e6),
        "s" => Some(number * 1e9),
        _ => None,
    };
    let count = || match unit.trim_end_matches("/s") {
        "" => Some(number),
        "k" => Some(number * 1e3),
        "M" => Some(number * 1e6),
        _ => None,
    };
    Some(match name {
        "min" => (Quantity::Min, time()?),
        "mean" => (Quantity::Mean, time()?),
        "max" => (Quantity::Max, time()?),
        "rate" => (Quantity::Rate, count()?),
        "requests" => (Quantity::Requests, count()?),
        "errors" if unit == "%" => (Quantity::ErrorsPercent, number),
        "errors" => (Quantity::Errors, count()?),
        _ if let Ok(range) = name.parse() => match unit {
            "%" => (Quantity::StatusPercent(range), number),
            _ => (Quantity::Status(range), count()?),
        },
        "missed" => (Quantity::Missed, count()?),
        "lost" => (Quantity::Lost, count()?),
        "cpu" if unit == "%" => (Quantity::CpuPercent, number),
        _ => {
            let percent = name.strip_prefix('p')?.parse::<f64>().ok()?;
            (0.0..=100.0).contains(&percent).then_some((Quantity::Quantile(percent / 100.0), time()?))?
        }
    })
}

impl Expectation {
    /// Whether the report meets it. Without a measured request no percentile is met.
    fn is_met(&self, report: &Report) -> bool {
        let Some(seen) = self.metric.of(report) else { return false };
        match self.relation {
            Relation::Less => seen < self.value,
            Relation::AtMost => seen <= self.value,
            Relation::Equal => (seen - self.value).abs() <= f64::EPSILON * self.value.abs(),
            Relation::AtLeast => seen >= self.value,
            Relation::More => seen > self.value,
        }
    }

    /// The measured value, as text.
    fn seen(&self, report: &Report) -> String {
        match (self.metric, self.metric.of(report)) {
            (_, None) => "nothing was measured".to_owned(),
            (Quantity::Quantile(_) | Quantity::Min | Quantity::Mean | Quantity::Max, Some(ns)) => {
                format!("it was {:.3} ms", ns / 1e6)
            }
            (Quantity::ErrorsPercent | Quantity::CpuPercent | Quantity::StatusPercent(_), Some(percent)) => {
                format!("it was {percent:.3} %")
            }
            (Quantity::Verdict(_), Some(_)) => match &report.verdict {
                Some(judged) => format!("it was {}: {}", judged.verdict, judged.reasons.join("; ")),
                None => "the run was not judged".to_owned(),
            },
            (Quantity::Rate, Some(rate)) => format!("it was {rate:.1} per second"),
            (_, Some(count)) => format!("it was {count}"),
        }
    }

    /// The check with its result.
    pub(crate) fn result(&self, report: &Report) -> CheckResult {
        CheckResult { asked: self.text.clone(), seen: self.seen(report), held: self.is_met(report) }
    }

    /// Whether it limits errors.
    pub(crate) fn is_about_errors(&self) -> bool {
        matches!(self.metric, Quantity::Errors | Quantity::ErrorsPercent)
    }

    /// Whether it limits replies by status.
    pub(crate) fn is_about_statuses(&self) -> bool {
        matches!(self.metric, Quantity::Status(_) | Quantity::StatusPercent(_))
    }

    /// Whether it limits the share of replies with a status.
    pub(crate) fn is_about_share(&self) -> bool {
        matches!(self.metric, Quantity::StatusPercent(_))
    }

    /// Whether it limits missed sends.
    pub(crate) fn is_about_missed(&self) -> bool {
        self.metric == Quantity::Missed
    }
}

/// As it was typed.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Quantity {
    fn of(self, report: &Report) -> Option<f64> {
        let latency = &report.latency;
        let of_latency = |ns: f64| (latency.count > 0).then_some(ns);
        let errors = report.errors.total() as f64;
        match self {
            Quantity::Quantile(quantile) => of_latency(latency.quantile_ns(quantile) as f64),
            Quantity::Min => of_latency(latency.min_ns as f64),
            Quantity::Mean => of_latency(latency.mean_ns),
            Quantity::Max => of_latency(latency.max_ns as f64),
            Quantity::Rate => Some(report.requests_per_second),
            Quantity::Requests => Some(report.requests as f64),
            Quantity::Errors => Some(errors),
            Quantity::ErrorsPercent => {
                let all = report.requests as f64 + errors;
                (all > 0.0).then(|| errors * 100.0 / all)
            }
            Quantity::Status(StatusRange { first, last }) => Some(report.replies_with(first..=last) as f64),
            Quantity::StatusPercent(StatusRange { first, last }) => {
                let all = report.replies_with(0..=u16::MAX) as f64;
                (all > 0.0).then(|| report.replies_with(first..=last) as f64 * 100.0 / all)
            }
            Quantity::Missed => Some(report.missed_sends as f64),
            Quantity::Lost => Some((report.idle.lost.total() + report.slow.lost.total()) as f64),
            Quantity::CpuPercent => Some(report.generator.utilisation * 100.0),
            Quantity::Verdict(verdict) => {
                let is_it = report.verdict.as_ref().is_some_and(|judged| judged.verdict == verdict);
                Some(f64::from(u8::from(is_it)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;
    use crate::load::report::{RunEvidence, RunVerdict, StatusCount};

    fn report() -> Report {
        let plan = Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        (report.requests, report.requests_per_second, report.missed_sends) = (990, 12_500.0, 3);
        report.errors.reset = 10;
        (report.idle.lost.refused, report.slow.lost.closed_early) = (3, 2);
        report.generator.utilisation = 0.5;
        report.verdict = Some(RunVerdict {
            verdict: Verdict::Noisy,
            reasons: vec!["the run was ended early".to_owned()],
            evidence: RunEvidence::default(),
        });
        report.statuses = [(200, 950), (204, 20), (503, 30)]
            .map(|(status, replies)| StatusCount { status, replies })
            .into();
        report.latency.count = 4;
        report.latency.buckets_ns_count = vec![(1_000_000, 2), (2_000_000, 1), (9_000_000, 1)];
        (report.latency.min_ns, report.latency.mean_ns, report.latency.max_ns) = (900_000, 3.2e6, 9_000_000);
        report
    }

    #[test]
    fn what_is_typed_is_compared_in_its_unit() {
        for (text, met) in [
            ("p50<1.001ms", true),
            ("p50 <= 1ms", true),
            ("p50<1ms", false),
            ("p99.99<9000us", false),
            ("p99.99<=9000us", true),
            ("max<0.01s", true),
            ("min>899999ns", true),
            ("mean<3ms", false),
            ("rate>=12.5k", true),
            ("rate>1M/s", false),
            ("rate≥12.5k", true),
            ("requests=990", true),
            ("errors==10", true),
            ("errors<1%", false),
            ("errors≤1%", true),
            ("missed<3", false),
            ("lost=5", true),
            ("lost=0", false),
            ("cpu<90%", true),
            ("status=200", false),
            ("2xx>=97%", true),
            ("2xx>97%", false),
            ("200=950", true),
            ("503<=3%", true),
            ("503=0", false),
            ("4xx=0", true),
            ("verdict=NOISY", true),
            ("verdict = VALID", false),
        ] {
            let expectation: Expectation = text.parse().unwrap();
            assert_eq!(expectation.is_met(&report()), met, "{text}: {}", expectation.seen(&report()));
            assert_eq!(expectation.to_string(), text);
        }
    }

    #[test]
    fn nothing_measured_meets_no_percentile() {
        let mut nothing = report();
        nothing.latency = crate::load::report::Latency::default();
        let expectation: Expectation = "p99<5ms".parse().unwrap();
        assert!(!expectation.is_met(&nothing) && expectation.seen(&nothing).contains("nothing"));
    }

    #[test]
    fn a_malformed_check_is_rejected_with_examples() {
        for text in [
            "",
            "p99",
            "p99<5",
            "p99<fast",
            "p101<1s",
            "speed>3",
            "rate>3ms",
            "errors<3ms",
            "cpu<3",
            "6xx=0",
            "status<200",
            "20=0",
            "2x>1",
            "verdict=GOOD",
            "verdict<VALID",
        ] {
            let said = text.parse::<Expectation>().unwrap_err();
            assert!(said.contains("p99<5ms"), "{text}: {said}");
        }
    }
}
