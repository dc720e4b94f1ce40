//! A report in forms that other programs read.

use std::fmt::Write;

use super::report::Report;

/// The run in intervals, a line each, as comma-separated values (RFC 4180) with a header.
pub(crate) fn csv(report: &Report) -> String {
    let mut csv = "phase,start_s,end_s,requests,requests_per_second,bytes_in,bytes_out,p50_us,p99_us,max_us,\
                   errors,clients_open,outstanding,crowd_open,crowd_lost\r\n"
        .to_owned();
    for interval in &report.series {
        let [start_s, end_s] = [interval.start_ns, interval.end_ns].map(|ns| ns as f64 / 1e9);
        // Without an answer there is no latency: 0 would look like the best value.
        let us = |ns: u64| match interval.requests {
            0 => String::new(),
            _ => format!("{:.3}", ns as f64 / 1e3),
        };
        let [p50, p99, max] = [interval.p50_ns, interval.p99_ns, interval.max_ns].map(us);
        let rate = interval.requests as f64 / (end_s - start_s).max(1e-9);
        // Writing to a string does not fail.
        let _ = write!(
            csv,
            "{},{start_s:.6},{end_s:.6},{},{rate:.1},{},{},{p50},{p99},{max},{},{},{},{},{}\r\n",
            interval.phase.name(),
            interval.requests,
            interval.bytes_in,
            interval.bytes_out,
            interval.errors,
            interval.clients_open,
            interval.outstanding,
            interval.crowd_open,
            interval.crowd_lost
        );
    }
    csv
}

/// The distribution of latencies in ms, in the form that `HdrHistogram` prints and its plotters read
/// (`.hgrm`).
pub(crate) fn hgrm(report: &Report) -> String {
    let latency = &report.latency;
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut seen = 0;
    for &(ns, count) in &latency.buckets_ns_count {
        seen += count;
        let (ms, below) = (ns.min(latency.max_ns) as f64 / 1e6, seen as f64 / latency.count as f64);
        let left = latency.count.saturating_sub(seen);
        // Writing to a string does not fail.
        let _ = match left {
            0 => writeln!(text, "{ms:>12.6} {below:>14.12} {seen:>10}"),
            left => {
                let inverse = latency.count as f64 / left as f64;
                writeln!(text, "{ms:>12.6} {below:>14.12} {seen:>10} {inverse:>14.2}")
            }
        };
    }
    let [mean, deviation, max] =
        [latency.mean_ns, latency.stddev_ns, latency.max_ns as f64].map(|ns| ns / 1e6);
    let _ = write!(
        text,
        "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]\n\
         #[Max     = {max:>12.6}, Total count    = {:>12}]\n",
        latency.count
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;
    use crate::load::report::{Interval, Latency, Phase};

    fn report() -> Report {
        Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64))
    }

    #[test]
    fn a_line_of_csv_has_a_value_for_each_name() {
        let mut report = report();
        report.series = vec![Interval {
            phase: Phase::Measuring,
            start_ns: 1_000_000_000,
            end_ns: 1_500_000_000,
            requests: 100,
            bytes_in: 6_400,
            bytes_out: 6_464,
            p50_ns: 1_500,
            p99_ns: 2_500,
            max_ns: 3_000_000,
            errors: 1,
            clients_open: 8,
            outstanding: 7,
            crowd_open: 20,
            crowd_lost: 3,
            latency_hdr: String::new(),
        }];
        let text = csv(&report);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "measuring,1.000000,1.500000,100,200.0,6400,6464,1.500,2.500,3000.000,1,8,7,20,3"
        );
        assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
        (report.series[0].requests, report.series[0].p50_ns) = (0, 0);
        let text = csv(&report);
        assert!(text.contains(",0,0.0,6400,6464,,,,1,"), "no latency of nothing: {text}");
    }

    #[test]
    fn the_distribution_ends_with_all() {
        let mut report = report();
        report.latency = Latency {
            count: 4,
            max_ns: 8_000_000,
            mean_ns: 3e6,
            buckets_ns_count: vec![(1_000_000, 3), (8_003_583, 1)],
            ..Latency::default()
        };
        let text = hgrm(&report);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["1.000000", "0.750000000000", "3", "4.00"]);
        assert_eq!(lines[3], ["8.000000", "1.000000000000", "4"]);
        assert!(text.contains("Total count    =            4]"));
    }
}
