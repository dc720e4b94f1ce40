//! The latencies of a run as an interval log of `HdrHistogram` (`.hlog`).

use std::fmt::Write;

use super::report::{Phase, Report};

/// The log: a line for each interval of the measured span and the drain, with all latencies of the requests
/// that were answered in it, in ns. Times count from the beginning of the measured span.
///
/// Readers expect the maximum in ms: a millionth of the unit in the histogram.
pub(crate) fn hdr_log(report: &Report) -> String {
    let mut text = String::from("#[Histogram log format version 1.3]\n");
    let began_ns = report.measured_from_ns();
    let began_unix_s = report.origin.began_unix_ns.saturating_add(began_ns) as f64 / 1e9;
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "#[{} of {}@{}{}, in ns]\n#[StartTime: {began_unix_s:.3} (seconds since epoch)]\n\
         #[BaseTime: {began_unix_s:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        report.origin.program,
        report.configuration.service,
        report.configuration.target,
        report.configuration.resource,
    );
    let measured = |phase| matches!(phase, Phase::Measuring | Phase::Draining);
    for interval in
        report.series.iter().filter(|interval| measured(interval.phase) && !interval.latency_hdr.is_empty())
    {
        let [start_s, length_s] =
            [interval.start_ns.saturating_sub(began_ns), interval.end_ns.saturating_sub(interval.start_ns)]
                .map(|ns| ns as f64 / 1e9);
        let max_ms = interval.max_ns as f64 / 1e6;
        let _ = writeln!(text, "{start_s:.3},{length_s:.3},{max_ms:.3},{}", interval.latency_hdr);
    }
    text
}
