//! The report of a load, for a person.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};

use crate::load::Report;
use crate::load::report::{Arrivals, Pace};

/// From here on the generator is no longer idle enough to be believed.
const BUSY: f64 = 0.85;

/// A time in ns with three digits and its unit.
pub(super) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns >= 1e9 => (ns / 1e9, "s"),
        ns if ns >= 1e6 => (ns / 1e6, "ms"),
        ns if ns >= 1e3 => (ns / 1e3, "µs"),
        ns => (ns, "ns"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// Bytes per second with three digits.
fn byte_rate(bytes_per_second: f64) -> String {
    let (value, unit) = match bytes_per_second {
        rate if rate >= 1e9 => (rate / 1e9, "GB/s"),
        rate if rate >= 1e6 => (rate / 1e6, "MB/s"),
        rate => (rate / 1e3, "kB/s"),
    };
    format!("{value:.2} {unit}")
}

/// The report as tables and, where there is reason, warnings.
pub(super) fn of(report: &Report) -> String {
    let mut text = headline(report);
    let _ = write!(text, "\n{}\n\n{}\n", numbers(report), latencies(report));
    for warning in warnings(report) {
        let _ = writeln!(text, "note: {warning}");
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
            format!("open loop, {rate_per_second} requests/s, {arrivals}")
        }
    };
    let churn = if asked.churn { ", a connection per request" } else { "" };
    format!(
        "{}@{}: {pace}, {} clients, depth {}{churn}, {} bytes per request\n\
         measured {} after a warm-up of {}, seed {}{}\n",
        asked.service,
        asked.target,
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
    if matches!(report.configuration.pace, Pace::Open { .. }) {
        row("missed sends", report.missed_sends.to_string());
        let lag = &report.send_lag;
        let [p50, p99, max] = [lag.p50_ns, lag.p99_ns, lag.max_ns].map(|ns| time(ns as f64));
        row("sent late by", format!("p50 {p50}, p99 {p99}, max {max} (part of the latency)"));
    }
    let connections = &report.connections;
    row("connections", format!("{} made, {} at once at most", connections.established, connections.open_max));
    for (name, crowd) in [("idle crowd", &report.idle), ("slow crowd", &report.slow)] {
        if crowd.clients > 0 {
            let (connected, left) = (crowd.connected, crowd.connected_at_end);
            let lost = match crowd.lost.told() {
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
            format!("{min} to {max} requests, median {median}; Jain's index {:.3}", fair.jain_requests),
        );
    }
    let generator = &report.generator;
    row(
        "generator",
        format!(
            "{:.1} % of a core, {:.2} µs per request, {:.1} MB",
            generator.utilisation * 100.0,
            generator.cpu_per_request_us,
            generator.memory_max_bytes as f64 / 1e6
        ),
    );
    table
}

fn errors(report: &Report) -> String {
    let named = report.errors.named();
    let classes = named.iter().filter(|(_, count)| *count > 0);
    let mut told =
        classes.map(|(name, count)| format!("{count} {}", name.replace('_', " "))).collect::<Vec<_>>();
    if told.is_empty() {
        told.push("0".to_owned());
    }
    let mut told = told.join(", ");
    if report.errors_before.total() > 0 {
        let _ = write!(told, " (and {} before measuring)", report.errors_before.total());
    }
    if let Some(first) = &report.first_error {
        let _ = write!(told, "; first: {first}");
    }
    told
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
        let times = std::iter::once(latency.mean_ns).chain(quantiles.map(|ns| ns as f64)).map(time);
        table.add_row(std::iter::once(name.to_owned()).chain(times));
    };
    row("request", &report.latency);
    row("connect", &report.connect_latency);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What makes the numbers doubtful.
fn warnings(report: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    let (busy, latency, lag) = (report.generator.utilisation, &report.latency, &report.send_lag);
    if busy > BUSY {
        warnings.push(format!(
            "the generator used {:.0} % of its core: the server may do more than this, and answers faster",
            busy * 100.0
        ));
    }
    if let Pace::Open { rate_per_second, .. } = report.configuration.pace
        && report.requests_per_second < 0.98 * rate_per_second
    {
        warnings.push("the rate asked for was not reached: latencies grow as long as it runs".to_owned());
    }
    for (name, crowd) in [("idle", &report.idle), ("slow", &report.slow)] {
        if crowd.lost.total() > 0 {
            let (lost, clients) = (crowd.lost.total(), crowd.clients);
            let what = format!("{lost} of the {clients} {name} clients were lost: fewer were there");
            warnings.push([vec![what], crowd.lost.advice()].concat().join("; "));
        }
    }
    // Without a request waiting for a connection, lag is the generator's own.
    if lag.count > 0 && report.outstanding_mean < 1.0 && lag.p99_ns * 2 > latency.p99_ns {
        warnings.push(
            "most of the p99 is the generator being late: this machine had other things to do".to_owned(),
        );
    }
    if latency.count > 0 && latency.count < 10_000 {
        warnings.push(format!("p99.99 of {} requests is little more than the maximum", latency.count));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (ns, shown) in [
            (0.0, "0.00 ns"),
            (999.0, "999 ns"),
            (1_234.0, "1.23 µs"),
            (56_789.0, "56.8 µs"),
            (123_456_789.0, "123 ms"),
            (2.5e9, "2.50 s"),
        ] {
            assert_eq!(time(ns), shown);
        }
    }
}
