//! The verdict on a run and the result of a search, as sentences.

use super::layout::{LineWidth, filled};
use crate::judge::figures::{counted, time};
use crate::load::report::{Pace, Report, SearchLimit, SearchReport, Verdict};

/// A sentence and its topic; the topic is empty if it is that of the sentence before.
pub(super) struct Sentence {
    pub(super) topic: &'static str,
    pub(super) text: String,
}

/// What further reasons of a verdict begin with, in place of "verdict: ".
const CONTINUED: &str = "         ";

/// The verdict with its reasons, the bend of a rate that grows, and the result of a search.
pub(super) fn sentences(report: &Report) -> Vec<Sentence> {
    let judged = crate::load::judged(report);
    let mut reasons = judged.reasons.iter();
    // What supports a verdict is a list, what speaks against the numbers are sentences.
    let first = match judged.verdict {
        Verdict::Valid => reasons.by_ref().cloned().collect::<Vec<_>>().join("; "),
        _ => reasons.next().cloned().unwrap_or_default(),
    };
    let mut sentences = vec![Sentence { topic: "verdict", text: format!("{}: {first}", judged.verdict) }];
    sentences.extend(reasons.map(|reason| Sentence { topic: "", text: reason.clone() }));
    sentences.extend(broken_checks(report, judged.verdict).map(|text| Sentence { topic: "", text }));
    sentences.extend(bend(report).map(|text| Sentence { topic: "bend", text }));
    let found = report.search.as_ref().map(|search| found(report, search));
    sentences.extend(found.map(|text| Sentence { topic: "found", text }));
    sentences
}

/// Why a run that is VALID fails: checks are about the values, the verdict is about whether to trust them.
fn broken_checks(report: &Report, verdict: Verdict) -> Option<String> {
    let broken: Vec<&str> =
        report.checks.iter().filter(|check| !check.held).map(|check| check.asked.as_str()).collect();
    let fail = match &broken[..] {
        [] => return None,
        _ if verdict != Verdict::Valid => return None,
        [check] => format!("the check {check} does not hold"),
        checks => format!("the checks {} do not hold", checks.join(", ")),
    };
    Some(format!("the numbers can be trusted, but {fail}"))
}

/// The same as lines of a terminal.
pub(super) fn lines(report: &Report, width: LineWidth) -> String {
    let line = |Sentence { topic, text }: Sentence| match topic {
        "" => filled(CONTINUED, &text, CONTINUED.len(), width),
        topic => filled(&format!("{topic}: "), &text, CONTINUED.len(), width),
    };
    sentences(report).into_iter().map(line).collect()
}

/// Where the latency bends.
fn bend(report: &Report) -> Option<String> {
    let Pace::Ramp { to_per_second, .. } = report.configuration.pace else { return None };
    let Some(bend) = &report.bend else {
        return Some(format!("none up to {}", requests_at(to_per_second)));
    };
    let [below, above] = [bend.p99_below_ns, bend.p99_above_ns].map(|ns| time(ns as f64));
    Some(format!(
        "from {} on the p99 latency is {above} instead of {below}; at most {:.0}/s were answered",
        requests_at(bend.rate_per_second.round()),
        bend.answered_max_per_second
    ))
}

/// The result of a search.
fn found(report: &Report, search: &SearchReport) -> String {
    let checks = search.checks.join(", ");
    let Some(found) = report.rate_found_per_s else {
        let probes = counted(search.probes.len() as u64, "probe", "probes");
        return format!("no rate that meets {checks}, in {probes}");
    };
    let all = search.passed + search.failed;
    let confidence = match all {
        0 => "not confirmed".to_owned(),
        _ => format!(
            "{} of {}, confidence {:.0} %",
            search.passed,
            counted(all.into(), "probe", "probes"),
            search.confidence * 100.0
        ),
    };
    let limit = match (search.limit, search.failed_from_per_second) {
        (SearchLimit::Generator, _) => "the generator could not send more: the server may do more".to_owned(),
        (SearchLimit::Highest, _) => "this is the highest rate that was to be tried".to_owned(),
        (SearchLimit::Interrupted, _) => "the search was interrupted".to_owned(),
        (SearchLimit::Time, _) => "the time was over".to_owned(),
        (_, Some(above)) => format!("{} does not meet them", per_second(above)),
        (_, None) => "no higher rate was tried".to_owned(),
    };
    format!("{} meets {checks} ({confidence}); {limit}", per_second(found))
}

/// A rate that was found or tried.
pub(super) fn per_second(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}/s") } else { format!("{rate:.0}/s") }
}

/// A rate as it was typed: whole, or with a few decimals.
pub(super) fn rate(per_second: f64) -> String {
    let text = format!("{per_second:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The same with its unit.
pub(super) fn requests_at(per_second: f64) -> String {
    let rate = rate(per_second);
    let unit = if rate == "1" { "request/s" } else { "requests/s" };
    format!("{rate} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;
    use crate::load::report::ProbeReport;

    fn searched() -> Report {
        let plan = Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.rate_found_per_s = Some(4_870.4);
        report.search = Some(SearchReport {
            checks: vec!["p99<5ms".to_owned(), "errors=0".to_owned()],
            probes: vec![ProbeReport {
                rate_per_second: 4_966.0,
                measured_ns: 3_000_000_000,
                requests_per_second: 4_900.0,
                p99_ns: 61_300_000,
                verdict: Verdict::Valid,
                passed: false,
                disturbed: false,
                failure: Some("p99<5ms does not hold: it was 61.300 ms".to_owned()),
            }],
            passed: 7,
            failed: 1,
            confidence: 0.949,
            failed_from_per_second: Some(4_966.0),
            limit: SearchLimit::Server,
        });
        report
    }

    #[test]
    fn a_valid_run_has_the_checks_that_do_not_hold_beside_its_verdict() {
        let mut report = searched();
        report.verdict = Some(crate::load::report::RunVerdict {
            verdict: Verdict::Valid,
            reasons: vec!["8 requests".to_owned()],
            evidence: crate::load::report::RunEvidence::default(),
        });
        let texts = |report: &Report| -> Vec<String> {
            sentences(report).into_iter().take(2).map(|sentence| sentence.text).collect()
        };
        let check = |asked: &str, held| crate::load::report::CheckResult {
            asked: asked.to_owned(),
            seen: String::new(),
            held,
        };
        report.checks = vec![check("errors=0", true)];
        assert!(texts(&report).iter().all(|text| !text.contains("check")), "{:?}", texts(&report));
        report.checks.push(check("2xx=100%", false));
        let one = "the numbers can be trusted, but the check 2xx=100% does not hold";
        assert_eq!(texts(&report), ["VALID: 8 requests", one]);
        report.checks.push(check("p99<5ms", false));
        assert_eq!(
            texts(&report)[1],
            "the numbers can be trusted, but the checks 2xx=100%, p99<5ms do not hold"
        );
        report.verdict.as_mut().unwrap().verdict = Verdict::Failed;
        assert!(texts(&report).iter().all(|text| !text.contains("trusted")), "{:?}", texts(&report));
    }

    #[test]
    fn the_result_has_the_rate_the_confidence_and_the_reason_for_the_end() {
        let mut report = searched();
        let search = report.search.clone().unwrap();
        assert_eq!(
            found(&report, &search),
            "4870/s meets p99<5ms, errors=0 (7 of 8 probes, confidence 95 %); 4966/s does not meet them"
        );
        report.rate_found_per_s = None;
        assert_eq!(found(&report, &search), "no rate that meets p99<5ms, errors=0, in 1 probe");
    }
}
