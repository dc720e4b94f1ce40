//! The report of `oneloop load` as a table.

use std::fmt::Write;

use super::layout::{LineWidth, filled, named};
use super::load_histogram::picture;
use super::load_verdict::{self, rate, requests_at};
use crate::judge::figures::{counted, scaled, time};
use crate::load::Report;
use crate::load::report::{Arrivals, Configuration, Latency, Pace};

/// What is shown of nothing: a 0 would be the best of all.
const NOTHING: &str = "-";

/// A percentile; `-` without a value.
pub(super) fn time_of(ns: u64, count: u64) -> String {
    if count == 0 { NOTHING.to_owned() } else { time(ns as f64) }
}

/// Bytes per second with three digits.
fn byte_rate(bytes_per_second: f64) -> String {
    match bytes_per_second {
        0.0 => "0 B/s".to_owned(),
        rate => scaled(rate, &[(1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s")]),
    }
}

/// The report as tables and, where there is reason, warnings.
pub(super) fn of(report: &Report, width: LineWidth) -> String {
    let [server, pace, clients, span] = headline(report);
    let lines = [format!("{server}: {pace}"), clients, span];
    let mut text: String = lines.iter().map(|line| filled("", line, 2, width)).collect();
    let _ = write!(text, "\n{}\n{}", named(&numbers(report), width), latencies(report, width));
    if is_open(report) {
        let terms = "latency counts from the scheduled time of a request, service from when it is sent";
        text += &filled("", terms, 0, width);
    }
    let picture = picture(&report.latency, width.picture());
    if !picture.is_empty() {
        let _ = write!(text, "\n{picture}");
    }
    text += &load_verdict::lines(report, width);
    for note in &report.notes {
        text += &filled("note: ", note, 6, width);
    }
    text
}

fn is_open(report: &Report) -> bool {
    report.configuration.pace != Pace::Closed
}

/// What was asked of the run: the server, the pace, the clients, and the span.
pub(super) fn headline(report: &Report) -> [String; 4] {
    let asked = &report.configuration;
    let pace = match asked.pace {
        Pace::Closed => "closed loop".to_owned(),
        Pace::Open { rate_per_second, arrivals } => {
            format!("open loop, {}, {} arrivals", requests_at(rate_per_second), name_of(arrivals))
        }
        Pace::Ramp { from_per_second: from, to_per_second: to, arrivals } => {
            let arrivals = name_of(arrivals);
            format!("open loop, from {} to {}, {arrivals} arrivals", rate(from), requests_at(to))
        }
    };
    let clients = counted(asked.clients.into(), "client", "clients");
    let churn = if asked.churn { ", a connection per request" } else { "" };
    let size = match asked.request_bytes {
        0 => String::new(),
        bytes => format!(", {} per request", counted(bytes, "byte", "bytes")),
    };
    [
        server(asked),
        pace,
        format!("{clients}, depth {}{churn}{size}", asked.depth),
        format!(
            "measured {} after a warm-up of {}, seed {}{}",
            time(report.measured_ns as f64),
            time(asked.warmup_ns as f64),
            asked.seed,
            if report.interrupted { "; INTERRUPTED" } else { "" },
        ),
    ]
}

/// The server, and what is requested there.
fn server(asked: &Configuration) -> String {
    let method = match &asked.request {
        Some(request) if !["", "GET"].contains(&request.method.as_str()) => format!("{} ", request.method),
        _ => String::new(),
    };
    let resource = match asked.resource.as_str() {
        "" => String::new(),
        path if path.starts_with('/') => path.to_owned(),
        // Its special characters are escaped.
        bytes => format!(" \"{bytes}\""),
    };
    format!("{method}{}@{}{resource}", asked.service, asked.target)
}

fn name_of(arrivals: Arrivals) -> &'static str {
    match arrivals {
        Arrivals::Constant => "constant",
        Arrivals::Poisson => "Poisson",
        Arrivals::Recorded => "recorded",
    }
}

/// The measurements other than latencies: names and values.
pub(super) fn numbers(report: &Report) -> Vec<(&'static str, String)> {
    let seconds = (report.measured_ns as f64 / 1e9).max(1e-9);
    let mut rows = Vec::new();
    let mut row = |name, value| rows.push((name, value));
    row("requests", format!("{} ({:.1} per second)", report.requests, report.requests_per_second));
    let [bytes_in, bytes_out] =
        [report.bytes_in, report.bytes_out].map(|bytes| byte_rate(bytes as f64 / seconds));
    row("bytes", format!("{bytes_in} in, {bytes_out} out"));
    row("errors", errors(report));
    if !report.statuses.is_empty() {
        row("statuses", statuses(report));
    }
    let counts = counts(report);
    if !counts.is_empty() {
        row("counted", counts);
    }
    if report.configuration.pace != Pace::Closed {
        row("missed sends", report.missed_sends.to_string());
        let lag = &report.send_lag;
        let [p50, p99, max] = [lag.p50_ns, lag.p99_ns, lag.max_ns].map(|ns| time_of(ns, lag.count));
        row("send lag", format!("p50 {p50}, p99 {p99}, max {max} (included in the latency)"));
    }
    let connections = &report.connections;
    let mut made = format!(
        "{} established in the whole run, at most {} at the same time",
        connections.established, connections.open_max
    );
    if connections.ended_by_server > 0 {
        let _ = write!(made, ", {} closed by the server", connections.ended_by_server);
    }
    row("connections", made);
    for (name, crowd) in [("idle clients", &report.idle), ("slow clients", &report.slow)] {
        if crowd.clients > 0 {
            let (connected, left) = (crowd.connected, crowd.connected_at_end);
            let lost = match crowd.lost.summary() {
                lost if lost.is_empty() => lost,
                lost => format!("; lost: {lost}"),
            };
            row(name, format!("{connected} of {} connected, {left} at the end{lost}", crowd.clients));
        }
    }
    if report.fairness.clients > 1 {
        let fair = &report.fairness;
        let (min, median, max) = (fair.requests_min, fair.requests_median, fair.requests_max);
        row(
            "per client",
            format!(
                "{min} to {}, median {median}; Jain's fairness index {:.3}",
                counted(max, "request", "requests"),
                fair.jain_requests
            ),
        );
    }
    let generator = &report.generator;
    let per_request = match report.requests {
        0 => NOTHING.to_owned(),
        _ => time(generator.cpu_per_request_us * 1e3),
    };
    let (percent, megabytes) = (generator.utilisation * 100.0, generator.memory_max_bytes as f64 / 1e6);
    let of_core = match report.configuration.threads {
        0 | 1 => "of a core".to_owned(),
        threads => format!("of a core by the busiest of {threads} threads"),
    };
    row("generator", format!("{percent:.1} % {of_core}, {per_request} per request, {megabytes:.1} MB"));
    rows
}

/// How many replies had each status, with the share of all.
fn statuses(report: &Report) -> String {
    let all = report.replies_with(0..=u16::MAX);
    let shares = report.statuses.iter().map(|count| match count.replies {
        replies if replies == all => format!("{}: all", count.status),
        replies => format!("{}: {replies} ({:.1} %)", count.status, replies as f64 * 100.0 / all as f64),
    });
    shares.collect::<Vec<_>>().join(", ")
}

/// What clients counted beside requests, without what did not occur.
fn counts(report: &Report) -> String {
    let counts = report.counts.iter().filter(|(_, count)| **count > 0);
    let shown = counts.map(|(name, &count)| {
        let name = name.replace('_', " ");
        let (what, rest) = name.split_once(' ').unwrap_or((&name, ""));
        let one = match what {
            "redirects" => "redirect",
            "cookies" => "cookie",
            "bytes" => "byte",
            other => other,
        };
        format!("{} {rest}", counted(count, one, what)).trim_end().to_owned()
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn errors(report: &Report) -> String {
    let mut text = match report.errors.summary() {
        none if none.is_empty() => "0".to_owned(),
        some => some,
    };
    if report.errors_before.total() > 0 {
        let _ = write!(text, " (and {} before measuring)", report.errors_before.total());
    }
    if let Some(first) = &report.first_error {
        let _ = write!(text, "; first: {first}");
    }
    text
}

/// What latencies are shown of: a row each.
const QUANTILES: [(&str, f64); 7] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

/// The cells of a table: a column for each kind of latency, a row for each quantile. The first row and the
/// first column have the names.
pub(super) fn latency_rows(report: &Report) -> Vec<Vec<String>> {
    let mut columns = vec![("latency", &report.latency)];
    if is_open(report) {
        columns.push(("service", &report.service_time));
    }
    columns.push(("connect", &report.connect_latency));
    let row = |name: &str, value: &dyn Fn(&Latency) -> String| {
        std::iter::once(name.to_owned()).chain(columns.iter().map(|(_, latency)| value(latency))).collect()
    };
    let names = columns.iter().map(|(name, _)| (*name).to_owned());
    let mut rows: Vec<Vec<String>> = vec![std::iter::once(String::new()).chain(names).collect()];
    let mean =
        |latency: &Latency| if latency.count == 0 { NOTHING.to_owned() } else { time(latency.mean_ns) };
    rows.push(row("mean", &mean));
    for (name, quantile) in QUANTILES {
        rows.push(row(name, &|latency| time_of(latency.quantile_ns(quantile), latency.count)));
    }
    rows.push(row("max", &|latency| time_of(latency.max_ns, latency.count)));
    rows
}

/// What the names and the cells of the latencies take, and the least that a cell takes: a time has up to
/// seven characters.
const NAME_COLUMNS: usize = 6;
const CELL_COLUMNS: usize = 10;
const CELL_COLUMNS_MIN: usize = 8;

/// The latencies; on a narrow terminal in several tables, one below the other.
fn latencies(report: &Report, width: LineWidth) -> String {
    let rows = latency_rows(report);
    let columns = rows.first().map_or(0, |names| names.len() - 1);
    let (cell_columns, fit) = match width {
        LineWidth::Columns(all) if all < NAME_COLUMNS + columns * CELL_COLUMNS => {
            (CELL_COLUMNS_MIN, (all.saturating_sub(NAME_COLUMNS) / CELL_COLUMNS_MIN).max(1))
        }
        _ => (CELL_COLUMNS, columns),
    };
    let mut text = String::new();
    for first in (1..=columns).step_by(fit) {
        for row in &rows {
            // Writing to a string does not fail.
            let _ = write!(text, "{:<NAME_COLUMNS$}", row[0]);
            for cell in row.iter().skip(first).take(fit) {
                let _ = write!(text, "{cell:>cell_columns$}");
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::{RequestSettings, StatusCount};

    /// The table of a report with its notes.
    fn shown(report: &Report) -> String {
        of(&Report { notes: crate::load::notes(report), ..report.clone() }, LineWidth::Unbroken)
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (ns, shown) in [
            (0.0, "0 s"),
            (0.5, "0.50 ns"),
            (999.0, "999 ns"),
            (999.6, "1.00 µs"),
            (9_996.0, "10.0 µs"),
            (99_960.0, "100 µs"),
            (1_234.0, "1.23 µs"),
            (56_789.0, "56.8 µs"),
            (123_456_789.0, "123 ms"),
            (2.5e9, "2.50 s"),
        ] {
            assert_eq!(time(ns), shown);
        }
        assert_eq!((byte_rate(0.0).as_str(), byte_rate(330_970_000.0).as_str()), ("0 B/s", "331 MB/s"));
    }

    #[test]
    fn a_missing_value_is_not_shown_as_a_number() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.configuration.pace = Pace::Open { rate_per_second: 1.0, arrivals: Arrivals::Constant };
        (report.measured_ns, report.configuration.resource) = (500_000_000, "/file".to_owned());
        let text = shown(&report);
        for part in [
            "127.0.0.1:7/file: open",
            "send lag      p50 -, p99 -, max -",
            "core, - per request",
            "p99            -         -         -",
        ] {
            assert!(text.contains(part), "`{part}` in:\n{text}");
        }
        assert!(!text.contains("note:"), "nothing fell due, so nothing is amiss:\n{text}");
    }

    /// A report of a run of HTTP with some of everything.
    fn full() -> Report {
        let plan = crate::load::Plan::new("127.0.0.1:17481".parse().unwrap());
        let mut report = Report::empty(plan.configuration("http", 83));
        report.configuration.pace = Pace::Open { rate_per_second: 1e3, arrivals: Arrivals::Constant };
        report.configuration.resource = format!("/{}", "page".repeat(20));
        (report.requests, report.requests_due, report.measured_ns) = (990, 1_000, 1_000_000_000);
        (report.errors.reply_timeout, report.errors.wrong_bytes) = (1, 9);
        let buckets = [(1_234_567, 900), (2_345_678, 89), (123_456_789, 1)];
        report.latency = Latency::of_buckets(&buckets);
        (report.service_time, report.connect_latency) = (report.latency.clone(), report.latency.clone());
        report
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in 20..120 {
            let text = of(&full(), LineWidth::Columns(columns));
            let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= columns, "{columns} columns: `{widest}` in:\n{text}");
            let names = ["latency", "service", "connect"];
            let heads = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let heads =
                heads.filter(|words| !words.is_empty() && words.iter().all(|word| names.contains(word)));
            assert_eq!(heads.flatten().collect::<Vec<_>>(), names, "{columns} columns:\n{text}");
        }
    }

    #[test]
    fn the_first_line_has_the_method_and_quotes_bytes() {
        let mut report = full();
        let settings = |method: &str| RequestSettings { method: method.to_owned(), ..Default::default() };
        report.configuration.resource = "/api".to_owned();
        for (method, line) in [
            ("", "http@127.0.0.1:17481/api: open loop"),
            ("GET", "http@127.0.0.1:17481/api: open loop"),
            ("PUT", "PUT http@127.0.0.1:17481/api: open loop"),
        ] {
            report.configuration.request = Some(settings(method));
            assert!(shown(&report).starts_with(line), "{method}: {}", shown(&report));
        }
        (report.configuration.service, report.configuration.request) = ("tcp".to_owned(), Some(settings("")));
        report.configuration.resource = r"PING\r\n".to_owned();
        assert!(
            shown(&report).starts_with(r#"tcp@127.0.0.1:17481 "PING\r\n": open loop"#),
            "{}",
            shown(&report)
        );
    }

    #[test]
    fn what_was_counted_is_shown_without_zeros_and_one_is_singular() {
        let mut report = full();
        let row = |report: &Report, name| {
            let rows = numbers(report);
            rows.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        let mut count = |counts: &[(&str, u64)]| {
            report.counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            row(&report, "counted")
        };
        assert_eq!(count(&[("redirects_followed", 0), ("cookies_set", 0)]), None);
        assert_eq!(
            count(&[("redirects_followed", 1), ("redirects_too_many", 0), ("cookies_set", 1)]).unwrap(),
            "1 cookie set, 1 redirect followed"
        );
        assert_eq!(
            count(&[("redirects_followed", 20), ("bytes_decoded", 1), ("hits", 2)]).unwrap(),
            "1 byte decoded, 2 hits, 20 redirects followed"
        );
        assert_eq!(row(&report, "errors").unwrap(), "1 reply timeout, 9 wrong replies");
        (report.fairness.clients, report.fairness.requests_max) = (2, 1);
        assert!(row(&report, "per client").unwrap().starts_with("0 to 1 request, "));
    }

    #[test]
    fn replies_that_are_not_2xx_are_noted() {
        let mut report = full();
        let mut noted = |statuses: &[(u16, u64)], followed: u64| {
            report.statuses =
                statuses.iter().map(|&(status, replies)| StatusCount { status, replies }).collect();
            report.counts = [("redirects_followed".to_owned(), followed)].into();
            shown(&report).lines().find(|line| line.contains("not 2xx")).map(str::to_owned)
        };
        let note = noted(&[(200, 487), (503, 513)], 0).unwrap();
        assert!(
            note.starts_with("note: 51.3 % of the replies are not 2xx") && note.contains("2xx>99%"),
            "{note}"
        );
        assert_eq!(noted(&[(200, 990), (503, 10)], 0), None, "a percent is not more than a percent");
        assert_eq!(noted(&[], 0), None);
        assert!(noted(&[(200, 500), (302, 500)], 0).is_some());
        assert_eq!(noted(&[(200, 500), (302, 500)], 500), None, "they are followed");
        assert!(noted(&[(404, 500), (302, 500)], 500).unwrap().contains("50.0 %"));
    }

    #[test]
    fn a_generator_without_a_core_is_shown_where_it_matters() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.measured_ns = 2_000_000_000;
        report.requests = 1_000;
        for (run_delay_s, part) in [
            (None, "verdict: VALID: "),
            (Some(0.09), "verdict: VALID: "),
            (Some(0.14), "note: the generator waited for a core 7 % of the time"),
            (Some(0.24), "verdict: NOISY: the generator waited for a core 12 % of the time"),
        ] {
            report.generator.run_delay_s = run_delay_s;
            let text = shown(&report);
            assert!(text.contains(part) && !(run_delay_s == Some(0.09) && text.contains("waited")), "{text}");
        }
        let mut old = serde_json::to_value(&report).unwrap();
        old["generator"].as_object_mut().unwrap().remove("run_delay_s");
        let read: Report = serde_json::from_value(old).unwrap();
        assert_eq!(read.generator.run_delay_s, None, "reports of before can be read");
    }

    #[test]
    fn requests_missing_from_the_latencies_are_shown() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.configuration.pace = Pace::Open { rate_per_second: 1e3, arrivals: Arrivals::Poisson };
        (report.requests, report.requests_due, report.measured_ns) = (950, 990, 1_000_000_000);
        assert!(
            shown(&report).contains("verdict: FAILED: the offered rate was not reached: 950 of 990"),
            "{}",
            shown(&report)
        );
        // Random arrivals may be fewer than the rate times the duration.
        report.requests = 985;
        assert!(!shown(&report).contains("offered rate"), "{}", shown(&report));
        (report.missed_sends, report.unanswered) = (3, 7);
        let text = shown(&report);
        assert!(
            text.contains("verdict: NOISY: 3 scheduled requests were never sent")
                && text.contains("\n         7 requests had no answer"),
            "{text}"
        );
    }
}
