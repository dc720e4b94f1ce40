//! One pair: both servers up, loaded in turn, slice by slice.

use std::process::Command;
use std::time::{Duration, Instant};

use super::server::Server;
use super::subject::{Case, Model};
use crate::bare::load::Load;
use crate::bare::once::Once;
use crate::bare::pairs::{Bench, Pairs};

pub(crate) const BYTES: usize = 64;
/// Clients that come once, at a time.
const ONCE_AT_A_TIME: usize = 16;
/// Slices of each side of a pair, in the order A B B A.
const SLICES: u32 = 4;
/// The numbers of idle clients between which memory is measured: the first few are left out.
const IDLE_FROM: usize = 8;
const IDLE_TO: usize = 1000;
const IDLE_TO_FAST: usize = 200;
/// Memory varies little.
const MEMORY_PAIRS: usize = 3;

/// One side of a pair.
#[derive(Default)]
pub(crate) struct Side {
    /// Requests of clients that stay, or clients that came once.
    done: u64,
    /// What the server had of its core.
    seconds: f64,
    cpu_seconds: f64,
}

impl Side {
    pub(crate) fn per_second(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// In µs.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.done as f64
    }

    /// The share of its time in which the server was busy.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu_seconds / self.seconds
    }
}

enum Clients {
    Stay(Load),
    Once(Once),
}

impl Clients {
    fn of(case: Case, server: &Server) -> Clients {
        match case {
            Case::Stay(clients) => Clients::Stay(Load::connect(server.addr(), clients, 0, BYTES)),
            _ => Clients::Once(Once::new(server.addr(), ONCE_AT_A_TIME, BYTES)),
        }
    }

    /// Loads for `span`, until all that was asked is answered. Returns how much that was.
    fn run(&mut self, span: Duration) -> u64 {
        match self {
            Clients::Stay(load) => {
                load.begin();
                let done = load.run(span, false).requests;
                done + load.rest()
            }
            Clients::Once(once) => once.run(span),
        }
    }
}

/// Pairs of ours and the floor.
pub(crate) fn pairs(bench: &Bench, model: Model, case: Case) -> Pairs<Side> {
    let workers = model.workers(if let Case::Stay(clients) = case { clients } else { 1 });
    pairs_of(bench, case, &model.ours(workers), &model.floor(workers))
}

/// Pairs of any two servers.
pub(crate) fn pairs_of(bench: &Bench, case: Case, first: &Command, second: &Command) -> Pairs<Side> {
    let mut index = 0;
    bench.each(|| {
        index += 1;
        pair(bench, case, (first, second), index)
    })
}

fn pair(bench: &Bench, case: Case, (ours, floor): (&Command, &Command), index: u32) -> (Side, Side) {
    let ours = Server::start(ours, bench);
    let floor = Server::start(floor, bench);
    let mut clients = [Clients::of(case, &ours), Clients::of(case, &floor)];
    let servers = [ours, floor];
    let mut sides = [Side::default(), Side::default()];
    for (clients, server) in clients.iter_mut().zip(&servers) {
        clients.run(bench.span / SLICES);
        server.quiet();
    }
    for slice in 0..SLICES {
        let first = ((slice.div_ceil(2) + index) % 2) as usize;
        for at in [first, 1 - first] {
            let (server, resting) = (&servers[at], &servers[1 - at]);
            let (before, resting_before) = (server.cpu_seconds(), resting.cpu_seconds());
            let began = Instant::now();
            let done = clients[at].run(bench.span / SLICES);
            let seconds = began.elapsed().as_secs_f64();
            // The timers of a server that rests run on the same core.
            let not_its_own = (resting.cpu_seconds() - resting_before).max(0.0);
            server.quiet();
            let side = &mut sides[at];
            side.done += done;
            side.seconds += seconds - not_its_own;
            side.cpu_seconds += server.cpu_seconds() - before;
        }
    }
    sides.into()
}

/// Bytes per idle client of both. With workers it is those of a worker and its client.
pub(crate) fn memory(bench: &Bench, model: Model, fast: bool) -> Pairs<f64> {
    let (to, pairs) = if fast { (IDLE_TO_FAST, 1) } else { (IDLE_TO, MEMORY_PAIRS) };
    let few = Bench { pairs, ..*bench };
    let each = |command: &dyn Fn(Option<usize>) -> std::process::Command| {
        let of = |clients: usize| {
            let server = Server::start(&command(model.starts_ahead().then_some(clients)), bench);
            let mut load = Load::connect(server.addr(), clients, 0, BYTES);
            load.begin();
            load.rest();
            server.quiet();
            server.memory_bytes()
        };
        (of(to) - of(IDLE_FROM)) / (to - IDLE_FROM) as f64
    };
    few.each(|| (each(&|workers| model.ours(workers)), each(&|workers| model.floor(workers))))
}
