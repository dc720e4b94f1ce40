//! N loops in processes of their own: the reactor on several cores.
//!
//! One loop uses one core. Several loops share nothing: a parent forks them, replaces one that dies, passes
//! signals on, and drains all. On Linux each has a listening socket of its own at the same port
//! (`SO_REUSEPORT`), and the kernel spreads the clients among them; the parent keeps all of them open, so
//! that clients in a dead worker's queue are served by its replacement. With Unix sockets, sockets of a
//! supervisor, and on other systems there is one socket, and all loops are woken for each client.
//!
//! `clients_max` and `buffers_bytes_max` are divided; the limit per address holds in each process. One worker
//! is the single-process server, without a parent. Sessions that wake each other need one address space: they
//! are served by one worker only.

use std::io;
use std::time::Duration;

use crate::limits::Limits;
use crate::reactor::{Reactor, Summary, Turn};
use crate::session::{Maintenance, Service};
use crate::sys::HeldSignals;
use crate::sys::process::{must_ask_for_parent, parent_lives};
use crate::telemetry::Telemetry;
use crate::time::CallClock;

use super::blocking::SLICE_MS;
use super::supervise::{WorkerJob, WorkerPool};
use super::{ListenerConfig, ServerConfig};

/// What the parent holds for its loops.
struct Loops<S> {
    listeners: Vec<ListenerConfig<S>>,
    limits: Limits,
    workers: u32,
    clock: CallClock,
    maintenance: Maintenance,
}

/// How many of `clients_max` the loop with this number may have: all shares together are `clients_max`.
fn share(clients_max: u32, workers: u32, index: u32) -> u32 {
    clients_max / workers + u32::from(index < clients_max % workers)
}

/// Serves with `workers` loops, until a signal stops it.
pub(super) fn run<S: Service>(config: ServerConfig<S>, stopping: &mut dyn FnMut()) -> io::Result<Summary> {
    let ServerConfig { listeners, limits, workers, telemetry, signals } = config;
    let pool = WorkerPool::new(signals, telemetry, limits.drain_ms, workers)?;
    let workers = workers as u32;
    log::info!(
        "{workers} event loops with at most {} clients each; limits per address apply to each loop",
        share(limits.clients_max, workers, 0)
    );
    let (clock, maintenance) = (CallClock::start(), Maintenance::default());
    pool.supervise(Loops { listeners, limits, workers, clock, maintenance }, stopping)
}

impl<S: Service> WorkerJob for Loops<S> {
    /// Serves its own sockets, and closes those of the other workers.
    fn serve(
        &mut self,
        index: usize,
        parent: u32,
        signals: &mut HeldSignals,
        telemetry: Telemetry,
    ) -> io::Result<()> {
        let mut limits = self.limits.clone();
        if limits.buffers_bytes_max > 0 {
            limits.buffers_bytes_max = (limits.buffers_bytes_max / u64::from(self.workers)).max(1);
        }
        limits.clients_max = share(limits.clients_max, self.workers, index as u32);
        let mut reactor = Reactor::new(limits)?; // after fork: a poll must not be shared
        reactor.set_telemetry(telemetry);
        reactor.watch_signals(signals.readable()?)?;
        for mut config in self.listeners.drain(..) {
            let own = config.sockets.swap_remove(index % config.sockets.len());
            reactor.listen_with(own, config.service, config.layers)?;
        }
        let handle = reactor.handle();
        // Linux reports the parent's death by a signal, unless it is refused; elsewhere it is looked for.
        let look_every = must_ask_for_parent().then_some(Duration::from_millis(SLICE_MS));
        while reactor.turn(look_every)? != Turn::Stopped {
            if look_every.is_some() && !parent_lives(parent) {
                handle.drain();
            }
        }
        Ok(())
    }

    fn release(&mut self) {
        self.listeners.clear();
    }

    fn maintain(&mut self) -> Option<Duration> {
        let services = || self.listeners.iter().map(|listener| &listener.service);
        let now = self.clock.now();
        self.maintenance.run_due(services(), now);
        self.maintenance.due_in(services(), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_loops_are_the_whole_and_none_is_empty() {
        for (clients_max, workers) in [(2, 2), (10, 4), (16_384, 3), (1_024, 1_024), (u32::MAX, 7)] {
            let shares: Vec<u32> = (0..workers).map(|index| share(clients_max, workers, index)).collect();
            assert_eq!(shares.iter().sum::<u32>(), clients_max);
            assert!(shares.iter().all(|&share| share > 0 && share.abs_diff(shares[0]) <= 1), "{shares:?}");
        }
    }
}
