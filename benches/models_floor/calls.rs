//! System calls per client that comes once, of both sides: what strace(1) counts with clients, minus what it
//! counts without.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::measure::BYTES;
use super::server::Server;
use super::subject::Model;
use crate::bare::once::Once;
use crate::bare::pairs::Bench;

const CLIENTS: usize = 500;
const WORKERS: usize = 4;

pub(crate) fn count(bench: &Bench, model: Model) {
    let workers = model.starts_ahead().then_some(WORKERS);
    for (side, command) in [("oneloop", model.ours(workers)), ("leanest", model.floor(workers))] {
        let (without, with) = (counted(bench, &command, 0), counted(bench, &command, CLIENTS));
        let mut each: Vec<(String, f64)> = Vec::new();
        for (name, calls) in with {
            let more = calls - without.get(&name).copied().unwrap_or(0.0);
            each.push((name, more / CLIENTS as f64));
        }
        each.retain(|(_, calls)| *calls >= 0.05);
        each.sort_by(|a, b| b.1.total_cmp(&a.1));
        let total: f64 = each.iter().map(|(_, calls)| calls).sum();
        let shown: Vec<String> = each.iter().map(|(name, calls)| format!("{name} {calls:.1}")).collect();
        println!("{:<10} {side}: {total:.1} per client: {}", model.name(), shown.join(", "));
    }
}

/// Calls by name, of the server and all of its children.
fn counted(bench: &Bench, command: &Command, clients: usize) -> BTreeMap<String, f64> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("floor-calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&path).arg(command.get_program()).args(command.get_args());
    let server = Server::start(&strace, bench);
    let mut once = Once::new(server.addr(), 1, BYTES);
    for _ in 0..clients {
        once.run(Duration::ZERO);
    }
    server.quiet();
    server.stop();
    let counted = fs::read_to_string(&path).unwrap();
    // Columns: % time, seconds, µs per call, calls, errors (if any), name.
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let calls = fields.get(3)?.parse().ok()?;
        let name = *fields.last()?;
        (name != "total").then(|| (name.to_owned(), calls))
    };
    counted.lines().filter_map(line).collect()
}
