//! What a larger program costs: the leanest server with one thing more (`benches/floor/price.h`) against
//! itself without. It explains what no code of ours can save: a program that does more is larger.

use super::measure::{Side, pairs_of};
use super::subject::{Case, Model};
use crate::bare::pairs::Bench;

/// The kinds of added work, and the amount of each.
const ADDED: [(Model, Case, &str, u32, &str); 8] = [
    (Model::Fork, Case::Once, "DIRTY_PAGES", 100, "page that the parent has written to"),
    (Model::Fork, Case::Once, "MAPPINGS", 15, "mapping"),
    (Model::Fork, Case::Once, "CHILD_FAULTS", 10, "page fault of a child in a file"),
    (Model::Prefork, Case::Stay(64), "READ_PAGES", 24, "page that a request reads"),
    (Model::Prefork, Case::Stay(64), "READ_LINES", 128, "cache line that a request reads"),
    (Model::Prefork, Case::Stay(64), "CLOCK_READS", 2, "reading of the clock by a request"),
    (Model::Thread, Case::Stay(1_000), "OWN_LINES", 38, "cache line of its own that a thread writes"),
    (Model::Thread, Case::Stay(1_000), "READ_LINES", 128, "cache line of all threads that a request reads"),
];

pub(crate) fn measure(bench: &Bench) {
    for (model, case, name, count, what) in ADDED {
        let workers = model.workers(if let Case::Stay(clients) = case { clients } else { 1 });
        let extra = model.priced(&format!("{name}={count}"), workers);
        let pairs = pairs_of(bench, case, &extra, &model.floor(workers));
        let (with, without) = pairs.medians(Side::cpu_each);
        println!(
            "{:<8} {name}={count}: processor time {}, {with:.2} and {without:.2} µs: {:.3} µs for each {what}",
            model.name(),
            pairs.ratio(Side::cpu_each),
            (with - without) / f64::from(count),
        );
    }
}
