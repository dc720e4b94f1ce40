//! What is printed, and whether an aim is reached.

use super::measure::{Side, memory, pairs};
use super::subject::{Case, Model};
use crate::bare::pairs::{Bench, Pairs, Ratio};

/// Requests per second of clients that stay, and clients per second of those that come once, at least.
const STAY_RATIO_MIN: f64 = 0.95;
const ONCE_RATIO_MIN: f64 = 0.90;
/// From this share of its core on, the server is the limit of the rate. Below it (a single client, a busy
/// load, other processes on the machine) the rate is less reliable than the processor time, which is judged
/// instead.
const LIMIT_FROM: f64 = 0.80;
/// Memory per idle client, at most.
const MEMORY_RATIO_MAX: f64 = 1.15;

pub(crate) fn head(bench: &Bench) {
    println!(
        "ratio of oneloop to the leanest server: median of {} pairs of {} ms a side, and its interval",
        bench.pairs,
        bench.span.as_millis()
    );
    let [model, case] = [""; 2];
    println!(
        "{model:<10} {case:<18} {:<23} {:<23} medians: oneloop, leanest (share of the core that the server used)",
        "per second", "processor time each"
    );
}

/// What a case came to.
pub(crate) struct Outcome {
    /// Whether its aim is reached.
    pub(crate) kept: bool,
    /// The leanest server's processor time for the same work over ours, or our memory over its.
    pub(crate) ratio: Option<f64>,
}

/// Measures and prints a case.
pub(crate) fn case(bench: &Bench, model: Model, case: Case, fast: bool) -> Outcome {
    let what = match case {
        Case::Stay(1) => "1 client".to_owned(),
        Case::Stay(clients) => format!("{clients} clients"),
        Case::Once => "a connection each".to_owned(),
        Case::Memory => "an idle client".to_owned(),
    };
    let line = format!("{:<10} {what:<18}", model.name());
    if let Some(why) = case.unsupported(model) {
        println!("{line} {why}");
        return Outcome { kept: true, ratio: None };
    }
    match case {
        Case::Memory => memory_line(&line, model, &memory(bench, model, fast)),
        Case::Once => traffic_line(&line, &pairs(bench, model, case), ONCE_RATIO_MIN),
        Case::Stay(_) => traffic_line(&line, &pairs(bench, model, case), STAY_RATIO_MIN),
    }
}

fn traffic_line(line: &str, pairs: &Pairs<Side>, ratio_min: f64) -> Outcome {
    let rate = pairs.ratio(Side::per_second);
    let cpu = pairs.ratio(Side::cpu_each);
    let (rates, costs, busy) =
        (pairs.medians(Side::per_second), pairs.medians(Side::cpu_each), pairs.medians(Side::busy));
    let is_limit = busy.0.min(busy.1) >= LIMIT_FROM;
    let per_cpu = 1.0 / cpu.median;
    let (judged, by) =
        if is_limit || per_cpu.is_nan() { (rate.median, "per second") } else { (per_cpu, "processor time") };
    let kept = judged >= ratio_min;
    println!(
        "{line} {:<23} {:<23} {:.0} and {:.0}/s, {:.2} and {:.2} µs ({:.0} and {:.0} %){}",
        interval(rate),
        interval(cpu),
        rates.0,
        rates.1,
        costs.0,
        costs.1,
        busy.0 * 100.0,
        busy.1 * 100.0,
        missed(kept, &format!("{judged:.3} by {by}, at least {ratio_min}")),
    );
    Outcome { kept, ratio: Some(per_cpu).filter(|ratio| ratio.is_finite()) }
}

fn memory_line(line: &str, model: Model, pairs: &Pairs<f64>) -> Outcome {
    let ratio = pairs.ratio(|bytes| *bytes);
    let bytes = pairs.medians(|bytes| *bytes);
    // The bare loop keeps a descriptor of a client and nothing else.
    let kept = ratio.median <= MEMORY_RATIO_MAX || model == Model::Reactor;
    let shown = if model == Model::Reactor { "-".to_owned() } else { interval(ratio) };
    let aim = format!("at most {MEMORY_RATIO_MAX}");
    println!("{line} memory {shown:<40} {:.0} and {:.0} bytes{}", bytes.0, bytes.1, missed(kept, &aim));
    Outcome { kept, ratio: (model != Model::Reactor).then_some(ratio.median) }
}

fn interval(Ratio { median, low, high, .. }: Ratio) -> String {
    if median.is_nan() { "no control group".to_owned() } else { format!("{median:.3} [{low:.3}, {high:.3}]") }
}

fn missed(kept: bool, aim: &str) -> String {
    if kept { String::new() } else { format!("  MISSED: {aim}") }
}
