//! Words and sentences that several reports share.

use crate::judge::figures::percent;
use crate::judge::statistics::MedianInterval;
use crate::judge::thresholds::SPREAD_MAX;
use crate::lab::plan::metric::Metric;
use crate::lab::run::raw::Finding;
use crate::plot::text::in_one_line;

/// What is wrong with a server, in one line: `other: leaves zombies`.
pub(crate) fn found(finding: &Finding) -> String {
    in_one_line(&format!("{}: {}", finding.server, finding.what))
}

/// A slope: its median, or the most that it may be.
pub(super) fn slope(metric: Metric, summary: &MedianInterval, at_most: Option<f64>) -> String {
    match at_most {
        Some(most) => format!("\u{2264} {}", metric.format(most)),
        None => metric.format(summary.median),
    }
}

/// What the mark of such a slope means.
pub(super) fn slope_note() -> String {
    let negligible = Metric::MemoryBytes.format(Metric::MemoryBytes.negligible());
    format!(
        "\u{2264}: the interval contains 0, or half of it is more than {} of the slope and at most {negligible} for all \
         clients or copies together. Shown is its upper end, but not less than these {negligible} divided among them",
        percent(SPREAD_MAX)
    )
}
