//! The report of `oneloop load` as one HTML file, with the plots of the comparison's report.

use std::fmt::Write;

use super::load_table::{headline, latency_rows, numbers, time_of};
use super::load_verdict::{Sentence, per_second, requests_at, sentences};
use crate::judge::figures::{counted, time};
use crate::load::report::{CheckResult, Interval, Latency, Phase, SearchReport};
use crate::load::{Report, judged, ranges};
use crate::plot::page::page;
use crate::plot::scale::{AxisUnit, Scale, Spread, short};
use crate::plot::svg::{self, Bar, Point, Series, Style, escape, swatch};

const LATENCY: Style = Style { colour: 1, marker: 0, dashed: false };
const SERVICE: Style = Style { colour: 4, marker: 1, dashed: true };
const MAXIMUM: Style = Style { colour: 2, marker: 2, dashed: false };
const RATE: Style = Style { colour: 3, marker: 4, dashed: false };
/// Points of a curve of percentiles, for each power of ten.
const POINTS_PER_DECADE: u32 = 20;

/// The page.
pub(super) fn of(report: &Report) -> String {
    let mut html = String::new();
    head(&mut html, report);
    latencies(&mut html, report);
    over_time(&mut html, report);
    probes(&mut html, report.search.as_ref());
    section(&mut html, "requests", "What was measured", |html| list(html, &numbers(report)));
    checks(&mut html, &report.checks);
    section(&mut html, "run", "Where and when", |html| list(html, &origin(report)));
    html.push_str("<footer>Made by <code>oneloop load</code>.</footer>\n");
    page(&format!("oneloop load, {}", report.configuration.target), &html)
}

fn head(html: &mut String, report: &Report) {
    let [server, asked @ ..] = headline(report);
    // Writing to a string does not fail.
    let _ = write!(html, "<header><p class=\"kicker\">oneloop load</p><h1>{}</h1>", escape(&server));
    for line in asked {
        let _ = write!(html, "<p class=\"soft\">{}</p>", escape(&line));
    }
    html.push_str("<ul class=\"chips\">");
    let failed = report.checks.iter().filter(|check| !check.held).count();
    match (report.checks.len(), failed) {
        (0, _) => {}
        (1, 0) => html.push_str("<li class=\"chip VALID\">1 check holds</li>"),
        (all, 0) => {
            let _ = write!(html, "<li class=\"chip VALID\">all {all} checks hold</li>");
        }
        (all, failed) => {
            let all = counted(all as u64, "check", "checks");
            let _ = write!(html, "<li class=\"chip FAILED\">{failed} of {all} failed</li>");
        }
    }
    let verdict = judged(report).verdict;
    let _ = write!(html, "<li class=\"chip {verdict}\">{verdict}</li></ul>");
    for Sentence { topic, text } in sentences(report) {
        let topic = if topic.is_empty() { String::new() } else { format!("<b>{topic}</b> ") };
        let _ = write!(html, "<p class=\"soft\">{topic}{}</p>", escape(&text));
    }
    for note in &report.notes {
        let _ = write!(html, "<p class=\"banner\">{}</p>", escape(note));
    }
    html.push_str("</header>\n");
}

fn section(html: &mut String, kicker: &str, title: &str, content: impl FnOnce(&mut String)) {
    let _ = write!(html, "<section><p class=\"kicker\">{kicker}</p><h2>{title}</h2>");
    content(html);
    html.push_str("</section>\n");
}

fn list(html: &mut String, rows: &[(&str, String)]) {
    html.push_str("<dl>");
    for (name, value) in rows {
        let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    }
    html.push_str("</dl>");
}

/// The kinds of latency that the report has, with their styles.
fn kinds(report: &Report) -> Vec<(&'static str, &Latency, Style)> {
    let all = [("latency", &report.latency, LATENCY), ("service", &report.service_time, SERVICE)];
    all.into_iter().filter(|(_, latency, _)| latency.count > 0).collect()
}

fn latencies(html: &mut String, report: &Report) {
    let kinds = kinds(report);
    if kinds.is_empty() {
        return;
    }
    section(html, "latency", "How long requests took", |html| {
        let terms = if kinds.len() > 1 {
            "Latency counts from the scheduled time of a request, which slow replies do not delay; service from when it was \
             sent. The difference is the wait for a connection."
        } else {
            "Latency counts from when a request is sent to the last byte of its reply."
        };
        let _ = write!(html, "<p class=\"method\">{terms}</p>");
        legend(html, &kinds.iter().map(|(name, _, style)| (*name, *style)).collect::<Vec<_>>());
        let _ = write!(
            html,
            "<div class=\"plots\">{}{}</div>",
            percentiles(&kinds),
            distribution(&report.latency)
        );
        html.push_str("<div class=\"scroll\"><table class=\"numbers\"><thead><tr>");
        let [names, rows @ ..] = &latency_rows(report)[..] else { return };
        for name in names {
            let _ = write!(html, "<th class=\"n\">{name}</th>");
        }
        html.push_str("</tr></thead><tbody>");
        for row in rows {
            html.push_str("<tr>");
            for cell in row {
                let _ = write!(html, "<td class=\"n\">{}</td>", escape(cell));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>");
    });
}

fn legend(html: &mut String, entries: &[(&str, Style)]) {
    html.push_str("<ul class=\"legend\">");
    for (name, style) in entries {
        let _ = write!(html, "<li>{}{name}</li>", swatch(*style));
    }
    html.push_str("</ul>");
}

fn point(x: f64, y: f64, title: String) -> Point {
    Point { x, y, low: y, high: y, valid: true, title }
}

/// Latency over the share of requests that it is not exceeded by, as plotters of `HdrHistogram` draw it: each
/// nine of the share has the same width.
#[allow(clippy::cast_sign_loss)] // a number of decades is not negative
fn percentiles(kinds: &[(&str, &Latency, Style)]) -> String {
    let nines_max = kinds.iter().map(|(_, latency, _)| (latency.count as f64).log10()).fold(1.0, f64::max);
    let steps = (nines_max * f64::from(POINTS_PER_DECADE)).ceil() as u32;
    let series: Vec<Series> = kinds
        .iter()
        .map(|(name, latency, style)| {
            let points = (0..=steps).map(|step| {
                let nines = (f64::from(step) / f64::from(POINTS_PER_DECADE)).min(nines_max);
                let share = 1.0 - 10_f64.powf(-nines);
                let ns = latency.quantile_ns(share) as f64;
                point(nines, ns / 1e3, format!("{name}: {:.4} % within {}", share * 100.0, time(ns)))
            });
            Series { name: (*name).to_owned(), style: *style, points: points.collect() }
        })
        .collect();
    let y = Scale::of_values(AxisUnit::Micros, Spread::AsNeeded, values(&series));
    let labels = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    let ticks: Vec<(f64, String)> =
        labels.iter().enumerate().map(|(nines, label)| (nines as f64, (*label).to_owned())).collect();
    let ticks: Vec<_> = ticks.into_iter().filter(|(nines, _)| *nines <= nines_max).collect();
    let title = titled("Latency by share of requests", &y);
    svg::lines(&title, "share of requests", &Scale::linear(0.0, nines_max), &ticks, &y, &series)
}

fn titled(title: &str, scale: &Scale) -> String {
    if scale.is_log() { format!("{title} (logarithmic)") } else { title.to_owned() }
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|one| one.points.iter().map(|point| point.y))
}

/// A bar for each range of latencies.
fn distribution(latency: &Latency) -> String {
    let ranges = ranges(latency);
    let bars: Vec<Bar> = ranges
        .iter()
        .map(|&(end_ns, count)| {
            let share = count as f64 * 100.0 / latency.count as f64;
            let title = format!("at most {}: {}", time(end_ns), counted(count, "request", "requests"));
            let bar = point(0.0, count as f64, title);
            Bar {
                name: format!("\u{2264} {}", time(end_ns)),
                style: LATENCY,
                point: Some(bar),
                text: format!("{share:.1} %"),
            }
        })
        .collect();
    let scale =
        Scale::of_values(AxisUnit::Count, Spread::Linear, ranges.iter().map(|&(_, count)| count as f64));
    svg::bars("Requests by latency", &scale, &bars)
}

fn over_time(html: &mut String, report: &Report) {
    // A short rest of an interval has no rate.
    let is_long = |interval: &&Interval| {
        interval.phase != Phase::Draining && span_ns(interval) > report.configuration.interval_ns / 2
    };
    let shown: Vec<&Interval> = report.series.iter().filter(is_long).collect();
    if shown.len() < 2 {
        return;
    }
    section(html, "time", "How the run went", |html| {
        html.push_str(
            "<p class=\"method\">One point for each interval, in its middle. Hollow points and the beginning of a line are \
             before the measured span.</p>",
        );
        legend(
            html,
            &[("requests per second", RATE), ("p50", LATENCY), ("p99", SERVICE), ("maximum", MAXIMUM)],
        );
        let _ = write!(html, "<div class=\"plots\">{}{}</div>", rates(&shown), latencies_over_time(&shown));
    });
}

/// At least 1, because it divides.
fn span_ns(interval: &Interval) -> u64 {
    interval.end_ns.saturating_sub(interval.start_ns).max(1)
}

fn middle_s(interval: &Interval) -> f64 {
    f64::midpoint(interval.start_ns as f64, interval.end_ns as f64) / 1e9
}

fn timed(interval: &Interval, y: f64, what: &str) -> Point {
    let title = format!("{what}, {:.1} s, {}", middle_s(interval), interval.phase.name());
    Point { valid: interval.phase == Phase::Measuring, ..point(middle_s(interval), y, title) }
}

/// Lines over the time of the run.
fn time_lines(title: &str, intervals: &[&Interval], y: &Scale, series: &[Series]) -> String {
    let ends = intervals.first().zip(intervals.last());
    let (first_s, last_s) = ends.map_or((0.0, 1.0), |(first, last)| (middle_s(first), middle_s(last)));
    let x = Scale::linear(first_s, last_s);
    let ticks: Vec<(f64, String)> = x.ticks().into_iter().map(|(at, _)| (at, short(at))).collect();
    svg::lines(title, "seconds since the run began", &x, &ticks, y, series)
}

fn rates(intervals: &[&Interval]) -> String {
    let points = intervals.iter().map(|interval| {
        let rate = interval.requests as f64 * 1e9 / span_ns(interval) as f64;
        timed(interval, rate, &requests_at(rate.round()))
    });
    let series = [Series { name: "requests/s".to_owned(), style: RATE, points: points.collect() }];
    let y = Scale::of_values(AxisUnit::Count, Spread::Linear, values(&series));
    time_lines("Requests per second", intervals, &y, &series)
}

fn latencies_over_time(intervals: &[&Interval]) -> String {
    type Of = fn(&Interval) -> u64;
    let lines: [(&str, Style, Of); 3] = [
        ("p50", LATENCY, |interval| interval.p50_ns),
        ("p99", SERVICE, |interval| interval.p99_ns),
        ("maximum", MAXIMUM, |interval| interval.max_ns),
    ];
    let series: Vec<Series> = lines
        .into_iter()
        .map(|(name, style, of)| {
            let answered = intervals.iter().filter(|interval| interval.requests > 0);
            let points = answered.map(|interval| {
                let ns = of(interval) as f64;
                timed(interval, ns / 1e3, &format!("{name} {}", time(ns)))
            });
            Series { name: name.to_owned(), style, points: points.collect() }
        })
        .collect();
    let y = Scale::of_values(AxisUnit::Micros, Spread::AsNeeded, values(&series));
    time_lines(&titled("Latency over time", &y), intervals, &y, &series)
}

/// All probes of a search, in their order.
fn probes(html: &mut String, search: Option<&SearchReport>) {
    let Some(search) = search.filter(|search| !search.probes.is_empty()) else { return };
    section(html, "search", "What was tried", |html| {
        html.push_str(
            "<p class=\"method\">One row for each probe, a short run, in their order. A probe that fails while the \
             generator is disturbed does not count. The rest of this page is about the last probe at the rate that was \
             found.</p><div class=\"scroll\"><table class=\"numbers\"><thead><tr><th class=\"n\">Rate</th>\
             <th class=\"n\">Answered</th><th class=\"n\">p99</th><th>Result</th></tr></thead><tbody>",
        );
        for probe in &search.probes {
            let (class, result) = match (probe.passed, probe.disturbed) {
                (true, _) => ("VALID", "holds"),
                (false, true) => ("NOISY", "does not count"),
                (false, false) => ("FAILED", "failed"),
            };
            let why =
                probe.failure.as_deref().map(|why| format!("<span class=\"range\">{}</span>", escape(why)));
            let _ = write!(
                html,
                "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td><span class=\"verdict {class}\">{result}</span>{}</td></tr>",
                per_second(probe.rate_per_second),
                per_second(probe.requests_per_second),
                time_of(probe.p99_ns, probe.p99_ns),
                why.unwrap_or_default()
            );
        }
        html.push_str("</tbody></table></div>");
    });
}

fn checks(html: &mut String, checks: &[CheckResult]) {
    if checks.is_empty() {
        return;
    }
    section(html, "checks", "What was asked of the run", |html| {
        html.push_str("<div class=\"scroll\"><table class=\"numbers\"><thead><tr><th>Check</th><th>Seen</th><th>Result</th></tr></thead><tbody>");
        for CheckResult { asked, seen, held } in checks {
            let (class, result) = if *held { ("VALID", "holds") } else { ("FAILED", "failed") };
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td><span class=\"verdict {class}\">{result}</span></td></tr>",
                escape(asked),
                escape(seen)
            );
        }
        html.push_str("</tbody></table></div>");
    });
}

fn origin(report: &Report) -> Vec<(&'static str, String)> {
    let origin = &report.origin;
    let all = [
        ("Program", origin.program.clone()),
        ("Machine", origin.host.clone()),
        ("Date", origin.date.clone()),
        ("Seed", report.configuration.seed.to_string()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;
    use crate::load::report::{ProbeReport, SearchLimit, Verdict};

    #[test]
    fn one_of_a_kind_is_singular() {
        let mut report = Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64));
        let check = |held| CheckResult { asked: "errors=0".to_owned(), seen: "it was 0".to_owned(), held };
        report.latency = Latency::of_buckets(&[(1_000_000, 1)]);
        report.checks = vec![check(true)];
        let page = of(&report);
        assert!(page.contains(">1 check holds<") && page.contains(": 1 request<"), "{page}");
        report.checks = vec![check(false)];
        assert!(of(&report).contains(">1 of 1 check failed<"));
        report.checks = vec![check(true), check(false)];
        assert!(of(&report).contains(">1 of 2 checks failed<"));
    }

    #[test]
    fn the_probes_of_a_search_are_listed() {
        let mut report = Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64));
        assert!(!of(&report).contains("What was tried"));
        let probe = |rate_per_second, passed, disturbed| ProbeReport {
            rate_per_second,
            measured_ns: 3_000_000_000,
            requests_per_second: rate_per_second * 0.9,
            p99_ns: 61_300_000,
            verdict: Verdict::Valid,
            passed,
            disturbed,
            failure: (!passed).then(|| "p99<5ms does not hold: it was 61.300 ms".to_owned()),
        };
        report.search = Some(SearchReport {
            checks: vec!["p99<5ms".to_owned()],
            probes: vec![
                probe(1_000.0, true, false),
                probe(4_000.0, false, true),
                probe(2_000.0, false, false),
            ],
            passed: 1,
            failed: 1,
            confidence: 0.5,
            failed_from_per_second: Some(2_000.0),
            limit: SearchLimit::Server,
        });
        let page = of(&report);
        let row = |rate: &str| {
            let row = page.split("<tr>").find(|row| row.contains(&format!("\"n\">{rate}<"))).unwrap();
            row.to_owned()
        };
        assert!(row("1000/s").contains(">900/s<") && row("1000/s").contains(">holds<"), "{page}");
        assert!(
            row("4000/s").contains(">does not count<") && row("4000/s").contains("p99&lt;5ms does"),
            "{page}"
        );
        assert!(row("2000/s").contains(">failed<") && row("2000/s").contains(">61.3 ms<"), "{page}");
    }
}
