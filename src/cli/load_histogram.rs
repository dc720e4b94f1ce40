//! The distribution of latencies as a picture on a terminal: a row for each range of times.

use std::fmt::Write;

use super::layout::{LineWidth, filled};
use crate::judge::figures::time;
use crate::load::ranges;
use crate::load::report::Latency;

/// Parts of a column, for bars of any length.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// The length of the longest bar, in columns: a longer one would show no more.
const BAR_COLUMNS_MAX: usize = 60;

/// What a row takes beside its bar and its count.
const BESIDE_COLUMNS: usize = 22;
/// With a shorter bar, rows have no count: a share says as much.
const BAR_COLUMNS_MIN: usize = 4;

/// The picture with its caption, in this many columns; empty without a value.
pub(super) fn picture(latency: &Latency, columns: usize) -> String {
    let rows = ranges(latency);
    let most = rows.iter().map(|row| row.1).max().unwrap_or(0);
    let counts = rows.iter().map(|row| row.1.to_string().len()).max().unwrap_or(0);
    let has_counts = columns >= BESIDE_COLUMNS + counts + BAR_COLUMNS_MIN;
    let beside = if has_counts { BESIDE_COLUMNS + counts } else { BESIDE_COLUMNS - 1 };
    let bar_columns = columns.saturating_sub(beside).clamp(1, BAR_COLUMNS_MAX);
    let mut text = String::new();
    if !rows.is_empty() {
        let caption = if has_counts { "latency, requests, share of all" } else { "latency, share of all" };
        text += &filled("", caption, 0, LineWidth::Columns(columns));
    }
    for (end_ns, count) in rows {
        let share = count as f64 * 100.0 / latency.count as f64;
        let bar = bar(count, most, bar_columns);
        let shown = if has_counts { format!(" {count:>counts$}") } else { String::new() };
        // Writing to a string does not fail.
        let row = format!("≤ {:>7}{shown} {share:>5.1} % {bar}", time(end_ns));
        let _ = writeln!(text, "{}", row.trim_end());
    }
    text
}

/// A bar of at most this many columns, which is the length for `most`. Every count has a visible bar.
#[allow(clippy::cast_sign_loss)] // a share is not negative
fn bar(count: u64, most: u64, columns: usize) -> String {
    if count == 0 {
        return String::new();
    }
    let eighths = (count as f64 / most as f64 * (columns * 8) as f64).round().max(1.0) as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_in_one_row_and_every_row_fits() {
        for buckets in [
            &[][..],
            &[(0, 3)],
            &[(1_000_000, 1)],
            &[(150, 5), (999_999, 1), (1_000_000, 2), (1_000_001, 1)],
            &[(50_000, 90_000), (60_000, 123_456), (3_000_000_000, 1)],
            &[(1, 1), (172_800_000_000_000, 1)],
        ] {
            let latency = Latency::of_buckets(buckets);
            assert_eq!(ranges(&latency).iter().map(|row| row.1).sum::<u64>(), latency.count);
            for columns in (20..50).chain([80, 140]) {
                let text = picture(&latency, columns);
                assert!(text.lines().count() <= 22, "{text}");
                let widest = text.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0);
                // A million seconds, which no request takes, has two characters more.
                assert!(widest <= columns.max(21), "{columns}:\n{text}");
            }
        }
    }
}
