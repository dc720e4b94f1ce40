//! `many` and the crowd of `idle`: what servers and silent clients cost by being there.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::outcome::Measurement;
use super::server::Server;
use crate::judge::evidence::Evidence;
use crate::lab::plan::metric::Metric;
use crate::lab::sample::proc::{kernel_memory_bytes, tree_cpu, tree_memory_bytes, tree_tasks};

/// How long a server may take until nothing changes any more.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// For how long nothing must have changed.
const SETTLED_FOR: Duration = Duration::from_millis(60);
/// What an idle server may use of a core while it counts as settled: timers.
const SETTLED_SHARE: f64 = 0.02;
/// How long one of the crowd may take to be served.
const JOIN_MAX: Duration = Duration::from_secs(5);

/// Memory and CPU of a server that nobody asks.
pub(crate) fn many(
    server: &Server,
    kernel_before: Option<u64>,
    measured_ms: u64,
) -> Result<Measurement, String> {
    settle(server.root());
    let mut measurement = memory(Measurement::default(), server, kernel_before);
    let (began, before) = (Instant::now(), tree_cpu(server.root()));
    thread::sleep(Duration::from_millis(measured_ms));
    if let (Some(before), Some(after)) = (before, tree_cpu(server.root())) {
        let used_us = after.saturating_sub(before) as f64 / 1e3;
        measurement = measurement.with(Metric::CpuPerSecondUs, used_us / began.elapsed().as_secs_f64());
    }
    measurement.evidence = Evidence::default();
    if measurement.values.is_empty() {
        return Err("this system does not tell what memory and CPU time processes use".to_owned());
    }
    Ok(measurement)
}

/// Adds the memory of a server, and of the kernel beyond what there was before.
pub(crate) fn memory(
    mut measurement: Measurement,
    server: &Server,
    kernel_before: Option<u64>,
) -> Measurement {
    if let Some(bytes) = tree_memory_bytes(server.root()) {
        measurement = measurement.with(Metric::MemoryBytes, bytes as f64);
    }
    if let (Some(before), Some(after)) = (kernel_before, kernel_memory_bytes()) {
        measurement = measurement.with(Metric::KernelBytes, after as f64 - before as f64);
    }
    measurement
}

/// Waits until the tree neither grows nor works.
pub(crate) fn settle(root: u32) {
    let deadline = Instant::now() + SETTLE_MAX;
    let mut last = (tree_tasks(root), tree_cpu(root));
    while Instant::now() < deadline {
        thread::sleep(SETTLED_FOR);
        let now = (tree_tasks(root), tree_cpu(root));
        let worked = now.1.unwrap_or(0).saturating_sub(last.1.unwrap_or(0)) as f64;
        if now.0 == last.0 && worked <= SETTLED_SHARE * SETTLED_FOR.as_nanos() as f64 {
            return;
        }
        last = now;
    }
}

/// Clients that said one byte, heard it, and are silent since.
#[derive(Debug)]
pub(crate) struct IdleClients {
    clients: Vec<TcpStream>,
}

impl IdleClients {
    /// Connects as many clients, one after the other, each known to be served.
    pub(crate) fn gather(addr: SocketAddr, count: u32) -> Result<IdleClients, String> {
        let mut crowd = IdleClients { clients: Vec::with_capacity(count as usize) };
        for number in 1..=count {
            let client = join(addr).map_err(|error| format!("idle client {number} of {count}: {error}"))?;
            crowd.clients.push(client);
        }
        Ok(crowd)
    }
}

fn join(addr: SocketAddr) -> io::Result<TcpStream> {
    let mut client = TcpStream::connect_timeout(&addr, JOIN_MAX)?;
    // Reset at the end: thousands of ports in TIME-WAIT would starve the next cells.
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    client.set_read_timeout(Some(JOIN_MAX))?;
    client.write_all(b"x")?;
    client.read_exact(&mut [0])?;
    Ok(client)
}
