//! Times in few ranges, for pictures of a distribution.

use super::report::Latency;

/// Ranges, unless the times span more decades.
const RANGES_MAX: usize = 12;
/// The upper ends of the ranges of a decade, from fine to coarse: preferred numbers.
const STEPS: [&[f64]; 5] = [
    &[
        1.0, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2.0, 2.2, 2.4, 2.7, 3.0, 3.3, 3.6, 3.9, 4.3, 4.7, 5.1, 5.6, 6.2,
        6.8, 7.5, 8.2, 9.1,
    ],
    &[1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 3.9, 4.7, 5.6, 6.8, 8.2],
    &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
    &[1.0, 2.0, 5.0],
    &[1.0],
];
/// The upper end of each range in ns, and the requests in it: from the first to the last that is not empty.
pub(crate) fn ranges(latency: &Latency) -> Vec<(f64, u64)> {
    let (Some(&(first_ns, _)), Some(&(last_ns, _))) =
        (latency.buckets_ns_count.first(), latency.buckets_ns_count.last())
    else {
        return Vec::new();
    };
    let last_ns = last_ns.min(latency.max_ns);
    let mut choices = STEPS.iter().map(|steps| ends(steps, first_ns, last_ns));
    let coarsest = || ends(&[1.0], first_ns, last_ns);
    let ends = choices.find(|ends| ends.len() <= RANGES_MAX).unwrap_or_else(coarsest);
    let mut rows: Vec<(f64, u64)> = ends.into_iter().map(|end_ns| (end_ns, 0)).collect();
    let mut at = 0;
    for &(ns, count) in &latency.buckets_ns_count {
        // The end of a bucket may lie above the maximum.
        let ns = ns.min(latency.max_ns) as f64;
        while at + 1 < rows.len() && ns > rows[at].0 {
            at += 1;
        }
        rows[at].1 += count;
    }
    rows
}

/// The ends of ranges from the one that contains `first_ns` to the one that contains `last_ns`.
fn ends(steps: &[f64], first_ns: u64, last_ns: u64) -> Vec<f64> {
    let decade = (first_ns.max(1) as f64).log10().floor() as i32;
    let all = (decade..).flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
    let mut ends = Vec::new();
    // Bounded: times have fewer than 20 decades.
    for end in all.skip_while(|end| *end < first_ns as f64) {
        ends.push(end);
        if end >= last_ns as f64 {
            break;
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_as_fine_as_the_rows_allow() {
        let narrow = ranges(&Latency::of_buckets(&[(1_210_000, 1), (1_990_000, 1)]));
        assert_eq!(narrow.iter().map(|row| row.0 / 1e6).collect::<Vec<_>>(), [1.3, 1.5, 1.6, 1.8, 2.0]);
        let wide = ranges(&Latency::of_buckets(&[(80_000, 1), (2_000_000_000, 1)]));
        assert!(wide.len() <= RANGES_MAX, "{wide:?}");
    }
}
