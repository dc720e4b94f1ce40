//! Words and sentences that several reports share.

use std::collections::BTreeMap;

use crate::judge::Verdict;
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
        "\u{2264}: the interval is not wholly above 0, or half of it is more than {} of the slope and at most {negligible} for \
         all clients or copies together. Shown is its upper end, but not less than these {negligible} divided among them",
        percent(SPREAD_MAX)
    )
}

/// Servers whose values are not to be trusted, by verdict: `fork and thread NOISY; reactor FAILED`. One that
/// is VALID and yet left out was not measured.
pub(super) fn left_out<'a>(servers: impl IntoIterator<Item = (&'a str, Verdict)>) -> String {
    let mut by_verdict: BTreeMap<Verdict, Vec<&str>> = BTreeMap::new();
    for (name, verdict) in servers {
        by_verdict.entry(verdict).or_default().push(name);
    }
    let groups = by_verdict
        .iter()
        .map(|(verdict, names)| format!("{} {}", joined(names, ", ", " and "), without_value(*verdict)));
    groups.collect::<Vec<_>>().join("; ")
}

/// The verdict on a value that is not there to be compared.
pub(super) fn without_value(verdict: Verdict) -> String {
    if verdict == Verdict::Valid { "not measured".to_owned() } else { verdict.to_string() }
}

/// Parts as a list in a sentence.
pub(super) fn joined(parts: &[impl AsRef<str>], between: &str, last: &str) -> String {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match parts.as_slice() {
        [] => String::new(),
        [alone] => (*alone).to_owned(),
        [first @ .., end] => format!("{}{last}{end}", first.join(between)),
    }
}
