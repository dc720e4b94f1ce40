//! The report of `oneloop load` as a table.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::judge::figures::scaled;
use crate::load::Report;
use crate::load::report::{Arrivals, Pace};

/// What is shown of nothing: a 0 would be the best of all.
const NOTHING: &str = "-";

/// A time in ns with three digits and its unit.
pub(super) fn time(ns: f64) -> String {
    match ns {
        0.0 => "0 s".to_owned(),
        ns => scaled(ns, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")]),
    }
}

/// The same of a percentile, if there was anything.
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
pub(super) fn of(report: &Report) -> String {
    let mut text = headline(report);
    let (numbers, latencies) = (numbers(report), latencies(report));
    let _ = write!(text, "\n{}\n\n{}\n", numbers.trim_fmt(), latencies.trim_fmt());
    for doubt in crate::load::doubts(report) {
        let _ = writeln!(text, "note: {doubt}");
    }
    text
}

fn headline(report: &Report) -> String {
    let asked = &report.configuration;
    let pace = match asked.pace {
        Pace::Closed => "closed loop".to_owned(),
        Pace::Open { rate_per_second, arrivals } => {
            let arrivals = match arrivals {
                Arrivals::Constant => "constant",
                Arrivals::Poisson => "Poisson",
            };
            format!("open loop, {rate_per_second} requests/s, {arrivals} arrivals")
        }
    };
    let churn = if asked.churn { ", a connection per request" } else { "" };
    format!(
        "{}@{}{}: {pace}\n\
         {} clients, depth {}{churn}, {} bytes per request\n\
         measured {} after a warm-up of {}, seed {}{}\n",
        asked.service,
        asked.target,
        asked.resource,
        asked.clients,
        asked.depth,
        asked.request_bytes,
        time(report.measured_ns as f64),
        time(asked.warmup_ns as f64),
        asked.seed,
        if report.interrupted { "; INTERRUPTED" } else { "" },
    )
}

fn numbers(report: &Report) -> Table {
    let seconds = (report.measured_ns as f64 / 1e9).max(1e-9);
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("requests", format!("{} ({:.1} per second)", report.requests, report.requests_per_second));
    let [bytes_in, bytes_out] =
        [report.bytes_in, report.bytes_out].map(|bytes| byte_rate(bytes as f64 / seconds));
    row("bytes", format!("{bytes_in} in, {bytes_out} out"));
    row("errors", errors(report));
    if !report.statuses.is_empty() {
        row("statuses", statuses(report));
    }
    if matches!(report.configuration.pace, Pace::Open { .. }) {
        row("missed sends", report.missed_sends.to_string());
        let lag = &report.send_lag;
        let [p50, p99, max] = [lag.p50_ns, lag.p99_ns, lag.max_ns].map(|ns| time_of(ns, lag.count));
        row("send lag", format!("p50 {p50}, p99 {p99}, max {max} (included in the latency)"));
    }
    let connections = &report.connections;
    let mut made =
        format!("{} established, at most {} at the same time", connections.established, connections.open_max);
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
                "{min} to {max} requests, median {median}; Jain's fairness index {:.3}",
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
    row("generator", format!("{percent:.1} % of a core, {per_request} per request, {megabytes:.1} MB"));
    table
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

fn errors(report: &Report) -> String {
    let named = report.errors.named();
    let classes = named.iter().filter(|(_, count)| *count > 0);
    let mut text =
        classes.map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect::<Vec<_>>();
    if text.is_empty() {
        text.push("0".to_owned());
    }
    let mut text = text.join(", ");
    if report.errors_before.total() > 0 {
        let _ = write!(text, " (and {} before measuring)", report.errors_before.total());
    }
    if let Some(first) = &report.first_error {
        let _ = write!(text, "; first: {first}");
    }
    text
}

fn latencies(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["latency", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"]);
    let mut row = |name: &str, latency: &crate::load::report::Latency| {
        let quantiles = [
            latency.p50_ns,
            latency.p90_ns,
            latency.p99_ns,
            latency.p99_9_ns,
            latency.p99_99_ns,
            latency.max_ns,
        ];
        let mean = if latency.count == 0 { NOTHING.to_owned() } else { time(latency.mean_ns) };
        let times = std::iter::once(mean).chain(quantiles.map(|ns| time_of(ns, latency.count)));
        table.add_row(std::iter::once(name.to_owned()).chain(times));
    };
    row("request", &report.latency);
    row("connect", &report.connect_latency);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_was_not_seen_is_no_number() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.configuration.pace = Pace::Open { rate_per_second: 1.0, arrivals: Arrivals::Constant };
        (report.measured_ns, report.configuration.resource) = (500_000_000, "/file".to_owned());
        let text = of(&report);
        for part in [
            "127.0.0.1:7/file: open",
            "send lag      p50 -, p99 -, max -",
            "core, - per request",
            "request      -     -     -",
        ] {
            assert!(text.contains(part), "`{part}` in:\n{text}");
        }
        assert!(!text.contains("note:"), "nothing fell due, so nothing is amiss:\n{text}");
    }

    #[test]
    fn a_generator_without_a_core_is_told_where_that_matters() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.measured_ns = 2_000_000_000;
        for (run_delay_s, is_told) in [(None, false), (Some(0.09), false), (Some(0.24), true)] {
            report.generator.run_delay_s = run_delay_s;
            let text = of(&report);
            assert_eq!(
                text.contains("note: the generator waited for a core 12 % of the time"),
                is_told,
                "{text}"
            );
        }
        let mut old = serde_json::to_value(&report).unwrap();
        old["generator"].as_object_mut().unwrap().remove("run_delay_s");
        let read: Report = serde_json::from_value(old).unwrap();
        assert_eq!(read.generator.run_delay_s, None, "reports of before can be read");
    }

    #[test]
    fn requests_that_the_latencies_do_not_show_are_told() {
        let plan = crate::load::Plan::new("127.0.0.1:7".parse().unwrap());
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.configuration.pace = Pace::Open { rate_per_second: 1e3, arrivals: Arrivals::Poisson };
        (report.requests, report.requests_due, report.measured_ns) = (960, 990, 1_000_000_000);
        assert!(
            of(&report).contains("note: the offered rate was not reached: 960 of 990"),
            "{}",
            of(&report)
        );
        // Random arrivals may be fewer than the rate times the duration.
        report.requests = 985;
        assert!(!of(&report).contains("offered rate"), "{}", of(&report));
        (report.missed_sends, report.unanswered) = (3, 7);
        let text = of(&report);
        assert!(
            text.contains("note: 3 scheduled requests were never sent")
                && text.contains("note: 7 requests had no answer")
        );
    }
}
