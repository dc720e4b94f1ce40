//! Two runs compared: how much each quantity changed, and what the data can decide.
//!
//! The uncertainty of a change comes from how much each run varied over time (bootstrap): blocks of its
//! intervals are drawn again and again with replacement, and the quantity is computed anew from the
//! histograms of the drawn blocks. Blocks are several intervals long where there are many, because neighbours
//! resemble each other. With few blocks such intervals are too narrow; they are widened as Student's t is
//! wider than the normal distribution (Hesterberg, "What Teachers Should Know about the Bootstrap", 2015,
//! section 5.3).
//!
//! What differs from run to run is not in the data of two runs, such as the placement of memory or of
//! processes.

use std::fmt;
use std::str::FromStr;

use super::histograms::{buckets, decoded};
use super::random::Random;
use super::report::{Interval, Phase, Report};
use crate::judge::figures::counted;

/// Draws: the ends of an interval that leave 0.5 % out on a side are then the tenth from the end.
const DRAWS: usize = if cfg!(test) { 400 } else { 2_000 };
/// Blocks that a run is divided into, at most.
const BLOCKS_MAX: usize = 30;
/// With fewer blocks nothing is known about how much a run varies.
const BLOCKS_MIN: usize = 5;
/// Requests that must be slower than a percentile: a few decide it otherwise.
const BEYOND_MIN: f64 = 10.0;
/// The probability that an interval covers the change.
pub(crate) const COVERAGE: f64 = 0.95;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ComparedQuantity {
    Rate,
    Errors,
    Mean,
    Quantile(f64),
}

impl ComparedQuantity {
    /// Those that every comparison shows.
    pub(crate) const ALL: [ComparedQuantity; 9] = [
        ComparedQuantity::Rate,
        ComparedQuantity::Errors,
        ComparedQuantity::Mean,
        ComparedQuantity::Quantile(0.5),
        ComparedQuantity::Quantile(0.75),
        ComparedQuantity::Quantile(0.9),
        ComparedQuantity::Quantile(0.95),
        ComparedQuantity::Quantile(0.99),
        ComparedQuantity::Quantile(0.999),
    ];

    /// The unit of a change: percentage points for the share of errors, which may be 0.
    pub(crate) fn change_unit(self) -> &'static str {
        if self == ComparedQuantity::Errors { "points" } else { "%" }
    }

    /// Its change from one value to another, in percent or in points.
    fn change(self, before: f64, after: f64) -> f64 {
        match self {
            ComparedQuantity::Errors => after - before,
            _ => (after / before - 1.0) * 100.0,
        }
    }

    /// Whether a higher value is better.
    pub(crate) fn is_better_high(self) -> bool {
        self == ComparedQuantity::Rate
    }
}

impl fmt::Display for ComparedQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ComparedQuantity::Rate => f.write_str("rate"),
            ComparedQuantity::Errors => f.write_str("errors"),
            ComparedQuantity::Mean => f.write_str("mean"),
            ComparedQuantity::Quantile(quantile) => write!(f, "p{}", (quantile * 1e8).round() / 1e6),
        }
    }
}

/// How a quantity changed from one run to the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) quantity: ComparedQuantity,
    /// The value in each run: requests per second, ns, or percent of all requests.
    pub(crate) values: Option<[f64; 2]>,
    pub(crate) change: Change,
}

/// A change, as far as the data show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// In [`ComparedQuantity::change_unit`], with its interval.
    Measured { change: f64, low: f64, high: f64 },
    /// The data have no answer, and why.
    Unknown(String),
}

/// A run as blocks of its intervals.
struct Blocks {
    blocks: Vec<Block>,
}

/// Some intervals together.
struct Block {
    span_ns: u64,
    requests: u64,
    errors: u64,
    /// For each bound of the grid, the number of requests that took at most this long.
    at_most: Vec<u64>,
    /// The sum of all latencies.
    sum_ns: f64,
}

/// A block and how often it was drawn.
type DrawnBlock<'a> = (&'a Block, u64);

/// Compares two runs. The same seed gives the same intervals.
pub(crate) fn compare(
    before: &Report,
    after: &Report,
    quantities: &[ComparedQuantity],
    seed: u64,
) -> Vec<Difference> {
    let runs = [before, after].map(pieces);
    let grid = grid(&runs);
    let blocks = runs.map(|pieces| Blocks::of(&pieces, &grid));
    let mut random = Random::new(seed);
    let mut changes: Vec<Vec<f64>> = vec![Vec::with_capacity(DRAWS); quantities.len()];
    for _ in 0..DRAWS {
        let drawn = [blocks[0].draw(&mut random), blocks[1].draw(&mut random)];
        for (quantity, changes) in quantities.iter().zip(&mut changes) {
            let [before, after] = [&drawn[0], &drawn[1]].map(|drawn| value(*quantity, drawn, &grid));
            changes.extend(before.zip(after).map(|(before, after)| quantity.change(before, after)));
        }
    }
    let fewest = blocks.iter().map(|run| run.blocks.len()).min().unwrap_or(0);
    let whole = blocks.each_ref().map(|run| run.blocks.iter().map(|block| (block, 1)).collect::<Vec<_>>());
    let differences = quantities.iter().zip(changes).map(|(quantity, mut changes)| {
        let values = value(*quantity, &whole[0], &grid).zip(value(*quantity, &whole[1], &grid));
        let reason = unknown(*quantity, &whole, fewest);
        changes.retain(|change| change.is_finite());
        changes.sort_by(f64::total_cmp);
        let change = match (values, reason) {
            (_, Some(reason)) => Change::Unknown(reason),
            (Some((before, after)), None) if changes.len() == DRAWS => {
                let (low, high) = ends(&changes, fewest);
                Change::Measured { change: quantity.change(before, after), low, high }
            }
            _ => Change::Unknown("nothing was measured".to_owned()),
        };
        Difference { quantity: *quantity, values: values.map(|(before, after)| [before, after]), change }
    });
    differences.collect()
}

/// An interval, and its latencies as buckets.
type MeasuredInterval = (Interval, Vec<(u64, u64)>);

/// The measured intervals. Replies that came after the span belong to its last interval.
fn pieces(report: &Report) -> Vec<MeasuredInterval> {
    let mut pieces: Vec<MeasuredInterval> = Vec::new();
    let answered = report.series.iter().filter(|it| matches!(it.phase, Phase::Measuring | Phase::Draining));
    // A short rest at the end of the span is not an interval of its own.
    let is_whole =
        |it: &Interval| it.phase == Phase::Measuring && span_ns(it) > report.configuration.interval_ns / 2;
    for interval in answered {
        let Some(latencies) = decoded(&interval.latency_hdr).filter(|found| found.len() == interval.requests)
        else {
            return Vec::new();
        };
        let latencies = buckets(&latencies);
        match pieces.last_mut() {
            Some((last, of_last)) if !is_whole(interval) => {
                let is_measured = interval.phase == Phase::Measuring;
                last.end_ns = if is_measured { interval.end_ns } else { last.end_ns };
                // Replies after the span do not count for the rate.
                let answered = if is_measured { interval.requests } else { 0 };
                last.requests = last.requests.saturating_add(answered);
                last.errors = last.errors.saturating_add(interval.errors);
                of_last.extend(latencies);
            }
            _ => pieces.push((interval.clone(), latencies)),
        }
    }
    pieces
}

/// Reports may have any numbers: what does not fit is the most.
fn sum(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

fn span_ns(interval: &Interval) -> u64 {
    interval.end_ns.saturating_sub(interval.start_ns)
}

/// The bounds of all buckets of both runs, ascending.
fn grid(runs: &[Vec<MeasuredInterval>; 2]) -> Vec<u64> {
    let all = runs.iter().flatten().flat_map(|(_, buckets)| buckets);
    let mut grid: Vec<u64> = all.map(|bucket| bucket.0).collect();
    grid.sort_unstable();
    grid.dedup();
    grid
}

impl Blocks {
    fn of(pieces: &[MeasuredInterval], grid: &[u64]) -> Blocks {
        let len = pieces.len().div_ceil(BLOCKS_MAX).max(1);
        Blocks { blocks: pieces.chunks(len).map(|chunk| Block::of(chunk, grid)).collect() }
    }

    /// Draws as many blocks as there are, with replacement.
    fn draw(&self, random: &mut Random) -> Vec<DrawnBlock<'_>> {
        let mut drawn: Vec<DrawnBlock> = self.blocks.iter().map(|block| (block, 0)).collect();
        for _ in 0..drawn.len() {
            let at = (random.next() % drawn.len() as u64) as usize;
            drawn[at].1 += 1;
        }
        drawn
    }
}

impl Block {
    fn of(pieces: &[MeasuredInterval], grid: &[u64]) -> Block {
        let mut at_most = vec![0; grid.len()];
        let mut sum_ns = 0.0;
        for &(ns, count) in pieces.iter().flat_map(|(_, buckets)| buckets) {
            let at = grid.partition_point(|bound| *bound < ns);
            at_most[at] = count.saturating_add(at_most[at]);
            sum_ns += ns as f64 * count as f64;
        }
        let mut seen = 0;
        for count in &mut at_most {
            seen = count.saturating_add(seen);
            *count = seen;
        }
        Block {
            span_ns: sum(pieces.iter().map(|(interval, _)| span_ns(interval))),
            requests: sum(pieces.iter().map(|(interval, _)| interval.requests)),
            errors: sum(pieces.iter().map(|(interval, _)| interval.errors)),
            at_most,
            sum_ns,
        }
    }

    /// Requests whose latency is known.
    fn count(&self) -> u64 {
        self.at_most.last().copied().unwrap_or(0)
    }
}

/// The value of a quantity in the drawn blocks.
#[allow(clippy::cast_sign_loss)] // a share is not negative
fn value(quantity: ComparedQuantity, drawn: &[DrawnBlock<'_>], grid: &[u64]) -> Option<f64> {
    let total =
        |of: &dyn Fn(&Block) -> u64| sum(drawn.iter().map(|(block, times)| of(block).saturating_mul(*times)));
    let count = total(&Block::count);
    match quantity {
        ComparedQuantity::Rate => {
            let span_ns = total(&|block| block.span_ns);
            (span_ns > 0).then(|| total(&|block| block.requests) as f64 * 1e9 / span_ns as f64)
        }
        ComparedQuantity::Errors => {
            let errors = total(&|block| block.errors);
            let all = errors.saturating_add(total(&|block| block.requests));
            (all > 0).then(|| errors as f64 * 100.0 / all as f64)
        }
        ComparedQuantity::Mean => {
            let sum_ns: f64 = drawn.iter().map(|(block, times)| block.sum_ns * *times as f64).sum();
            (count > 0).then(|| sum_ns / count as f64)
        }
        ComparedQuantity::Quantile(quantile) => {
            let rank = ((quantile * count as f64).ceil().max(1.0)) as u64;
            let below = |at: usize| total(&|block| block.at_most[at]) < rank;
            let (mut low, mut high) = (0, grid.len());
            // Bounded: the range halves.
            while low < high {
                let middle = low.midpoint(high);
                if below(middle) { low = middle + 1 } else { high = middle }
            }
            grid.get(low).filter(|_| count > 0).map(|ns| *ns as f64)
        }
    }
}

/// Why the data cannot decide; `None` if they can.
fn unknown(quantity: ComparedQuantity, runs: &[Vec<DrawnBlock<'_>>; 2], fewest: usize) -> Option<String> {
    if fewest < BLOCKS_MIN {
        let intervals = counted(fewest as u64, "interval", "intervals");
        return Some(format!(
            "a run has {intervals} with a histogram, and {BLOCKS_MIN} are needed; measure longer"
        ));
    }
    let ComparedQuantity::Quantile(quantile) = quantity else { return None };
    let counts = runs.iter().map(|run| run.iter().map(|(block, _)| block.count()).sum::<u64>());
    let count = counts.min().unwrap_or(0);
    // Rounded, because 1 - 0.99 is not 0.01.
    let beyond = ((1.0 - quantile) * count as f64 * 1e6).round() / 1e6;
    let requests = counted(count, "request is", "requests are");
    (beyond < BEYOND_MIN).then(|| format!("{requests} too few for {quantity}; measure longer"))
}

/// The ends of the interval, from the sorted changes of runs with this many blocks.
#[allow(clippy::cast_sign_loss)] // a share is not negative
fn ends(sorted: &[f64], blocks: usize) -> (f64, f64) {
    let n = blocks as f64;
    let z = (n / (n - 1.0)).sqrt() * student_t_975(n - 1.0);
    let tail = normal_below(-z);
    let at = |share: f64| sorted[((share * sorted.len() as f64) as usize).min(sorted.len() - 1)];
    (at(tail), at(1.0 - tail))
}

/// The quantile 0.975 of Student's t with this many degrees of freedom, at least 4: by its expansion around
/// the normal distribution (Abramowitz and Stegun, 26.7.5), exact to 0.01.
fn student_t_975(degrees: f64) -> f64 {
    let z = 1.959_964_f64;
    let (v, z3, z5, z7) = (degrees, z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * v)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * v * v)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * v.powi(3))
}

/// The probability that a normal variable is below `z`, which is negative (Abramowitz and Stegun, 26.2.17):
/// exact to 1e-7.
fn normal_below(z: f64) -> f64 {
    let t = 1.0 / (1.0 - 0.231_641_9 * z);
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let factors = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_53];
    density * factors.iter().fold(0.0, |sum, factor| (sum + factor) * t)
}

/// A condition on a change, such as `p99>+5%`: a comparison fails if it is met.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Regression {
    text: String,
    pub(crate) quantity: ComparedQuantity,
    is_more: bool,
    limit: f64,
}

/// Whether a condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegressionState {
    Yes,
    No,
    /// The interval of the change contains the limit, or there is no interval.
    Undecided,
}

impl Regression {
    /// Whether the change meets it: only if all of its interval does.
    pub(crate) fn is_met(&self, change: &Change) -> RegressionState {
        let Change::Measured { low, high, .. } = *change else { return RegressionState::Undecided };
        let (all, any) = if self.is_more {
            (low > self.limit, high > self.limit)
        } else {
            (high < self.limit, low < self.limit)
        };
        match (all, any) {
            (true, _) => RegressionState::Yes,
            (false, true) => RegressionState::Undecided,
            (false, false) => RegressionState::No,
        }
    }
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const FORM: &str = "write a change as p99>+5%, mean>10%, rate<-3% or errors>0.1%";

impl FromStr for Regression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; {FORM}");
        let at = text.find(['<', '>']).ok_or_else(|| wrong("it has no comparison"))?;
        let (name, limit) = (text[..at].trim(), text[at + 1..].trim());
        let limit = limit.strip_suffix('%').ok_or_else(|| wrong("its value is not a change in percent"))?;
        let number = limit.trim().trim_start_matches('+');
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        let limit = number
            .parse::<f64>()
            .ok()
            .filter(|_| is_plain)
            .ok_or_else(|| wrong("its value is not a number"))?;
        let quantity = match name {
            "rate" => ComparedQuantity::Rate,
            "errors" => ComparedQuantity::Errors,
            "mean" => ComparedQuantity::Mean,
            _ => {
                let percent = name.strip_prefix('p').and_then(|percent| percent.parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.0..100.0).contains(percent));
                let percent =
                    percent.ok_or_else(|| wrong(&format!("\"{}\" is not compared", name.escape_debug())))?;
                ComparedQuantity::Quantile(percent / 100.0)
            }
        };
        Ok(Regression { text: text.to_owned(), quantity, is_more: text[at..].starts_with('>'), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Plan;
    use crate::load::histograms::{HdrEncoder, histogram};

    /// A run of this many intervals of a second. The latencies of an interval are around `base_us`, times a
    /// factor that varies by `spread` between intervals.
    #[allow(clippy::cast_sign_loss)] // times are not negative
    fn run(seed: u64, intervals: u64, base_us: f64, spread: f64) -> Report {
        let mut random = Random::new(seed);
        let mut report = Report::empty(Plan::new("127.0.0.1:7".parse().unwrap()).configuration("echo", 64));
        report.configuration.interval_ns = 1_000_000_000;
        for at in 0..intervals {
            let factor = 1.0 + spread * (random.unit() + random.unit() + random.unit() - 1.5);
            let mut all = histogram();
            for _ in 0..100 {
                all.saturating_record((base_us * factor * (1.0 - random.unit().ln()) * 1e3) as u64);
            }
            report.series.push(Interval {
                phase: Phase::Measuring,
                start_ns: at * 1_000_000_000,
                end_ns: (at + 1) * 1_000_000_000,
                requests: all.len(),
                latency_hdr: HdrEncoder::new().encoded(&buckets(&all)),
                ..Interval::EMPTY
            });
        }
        report
    }

    fn change(before: &Report, after: &Report, quantity: ComparedQuantity) -> Change {
        compare(before, after, &[quantity], 1).remove(0).change
    }

    const P50: ComparedQuantity = ComparedQuantity::Quantile(0.5);

    /// Comparing two runs of the same server finds a difference in about one of twenty cases.
    #[test]
    fn intervals_cover_the_change_as_often_as_they_say() {
        for (intervals, spread) in [(6, 0.1), (10, 0.3)] {
            let trials = 30;
            let differ = (0..trials)
                .filter(|trial| {
                    let runs = [
                        run(1_000 + 2 * trial, intervals, 100.0, spread),
                        run(1_001 + 2 * trial, intervals, 100.0, spread),
                    ];
                    let Change::Measured { low, high, .. } = change(&runs[0], &runs[1], P50) else {
                        panic!()
                    };
                    low > 0.0 || high < 0.0
                })
                .count();
            assert!(differ <= 5, "{differ} of {trials} with {intervals} intervals and a spread of {spread}");
        }
    }

    #[test]
    fn a_clear_change_is_found_and_a_small_one_is_not_decided() {
        let before = run(7, 10, 100.0, 0.05);
        let Change::Measured { change: found, low, high } = change(&before, &run(8, 10, 150.0, 0.05), P50)
        else {
            panic!()
        };
        assert!(low > 30.0 && high < 70.0 && (40.0..60.0).contains(&found), "{found}: {low} to {high}");
        let met = |text: &str, change: &Change| text.parse::<Regression>().unwrap().is_met(change);
        let slower = Change::Measured { change: found, low, high };
        assert_eq!(
            (met("p50>+5%", &slower), met("p50>50%", &slower), met("p50>90%", &slower)),
            (RegressionState::Yes, RegressionState::Undecided, RegressionState::No)
        );
        let Change::Measured { low, high, .. } = change(&before, &run(9, 10, 100.0, 0.05), P50) else {
            panic!()
        };
        assert!(low < 0.0 && high > 0.0, "{low} to {high}");
    }

    #[test]
    fn a_change_that_the_data_cannot_decide_has_a_reason() {
        let short = run(1, 4, 100.0, 0.1);
        let Change::Unknown(why) = change(&short, &short, P50) else { panic!() };
        assert!(why.contains("4 intervals") && why.contains("measure longer"), "{why}");
        let some = run(1, 10, 100.0, 0.1);
        let Change::Unknown(why) = change(&some, &some, ComparedQuantity::Quantile(0.999)) else { panic!() };
        assert!(why.contains("1000 requests are too few for p99.9"), "{why}");
        assert!(matches!(change(&some, &some, ComparedQuantity::Quantile(0.99)), Change::Measured { .. }));
        let mut old = run(1, 10, 100.0, 0.1);
        old.series.iter_mut().for_each(|interval| interval.latency_hdr.clear());
        assert!(matches!(change(&old, &some, P50), Change::Unknown(_)), "a report without histograms");
    }

    #[test]
    fn tables_of_the_distributions_agree() {
        for (degrees, t) in [(4.0, 2.776), (5.0, 2.571), (9.0, 2.262), (29.0, 2.045)] {
            assert!((student_t_975(degrees) - t).abs() < 0.01, "{degrees}: {}", student_t_975(degrees));
        }
        for (z, below) in [(-1.959_964, 0.025), (-1.0, 0.158_655), (-3.0, 0.001_35)] {
            assert!((normal_below(z) - below).abs() < 1e-5, "{z}: {}", normal_below(z));
        }
    }

    #[test]
    fn a_condition_is_read_as_it_is_typed() {
        for text in ["p99>+5%", "p99.9 > 5 %", "rate<-3%", "errors>0.1%", "mean>10%"] {
            assert_eq!(text.parse::<Regression>().unwrap().to_string(), text);
        }
        assert_eq!("p99.9>5%".parse::<Regression>().unwrap().quantity.to_string(), "p99.9");
        for text in ["", "p99", "p99>5ms", "p99>fast%", "max>5%", "p100>5%", "p99>1e3%"] {
            assert!(text.parse::<Regression>().unwrap_err().contains("p99>+5%"), "{text}");
        }
    }
}
