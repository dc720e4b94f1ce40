//! `many`, and the idle clients of `idle`: what servers and clients cost that do nothing.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::outcome::Measurement;
use super::server::Server;
use crate::judge::evidence::Evidence;
use crate::lab::plan::metric::Metric;
use crate::lab::sample::proc::kernel_memory_bytes;
use crate::lab::sample::server::ServerProcesses;

/// How long to wait until a server has settled.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// A server has settled when nothing changed for this long.
const SETTLED_FOR: Duration = Duration::from_millis(60);
/// The share of a core that a settled server may use, for timers.
const SETTLED_SHARE: f64 = 0.02;
/// How long connecting and the first reply may take for an idle client.
const JOIN_MAX: Duration = Duration::from_secs(5);

/// Memory and CPU time of a server without requests.
pub(crate) fn many(
    server: &Server,
    kernel_before: Option<u64>,
    measured_ms: u64,
) -> Result<Measurement, String> {
    settle(server.processes());
    let mut measurement = memory(Measurement::default(), server, kernel_before);
    let (began, before) = (Instant::now(), server.processes().cpu());
    thread::sleep(Duration::from_millis(measured_ms));
    if let (Some(before), Some(after)) = (before, server.processes().cpu()) {
        let used_us = after.saturating_sub(before) as f64 / 1e3;
        measurement = measurement.with(Metric::CpuPerSecondUs, used_us / began.elapsed().as_secs_f64());
    }
    measurement.evidence = Evidence::default();
    if measurement.values.is_empty() {
        return Err("this system does not report memory and CPU time of processes".to_owned());
    }
    Ok(measurement)
}

/// Adds the memory of a server, and of the kernel in addition to what was used before.
pub(crate) fn memory(
    mut measurement: Measurement,
    server: &Server,
    kernel_before: Option<u64>,
) -> Measurement {
    if let Some(bytes) = server.processes().memory_bytes() {
        measurement = measurement.with(Metric::MemoryBytes, bytes as f64);
    }
    if let (Some(before), Some(after)) = (kernel_before, kernel_memory_bytes()) {
        measurement = measurement.with(Metric::KernelBytes, after as f64 - before as f64);
    }
    measurement
}

/// Waits until the server neither grows nor uses CPU time.
pub(crate) fn settle(server: &ServerProcesses) {
    let deadline = Instant::now() + SETTLE_MAX;
    let mut last = (server.tasks(), server.cpu());
    while Instant::now() < deadline {
        thread::sleep(SETTLED_FOR);
        let now = (server.tasks(), server.cpu());
        let worked = now.1.unwrap_or(0).saturating_sub(last.1.unwrap_or(0)) as f64;
        if now.0 == last.0 && worked <= SETTLED_SHARE * SETTLED_FOR.as_nanos() as f64 {
            return;
        }
        last = now;
    }
}

/// Clients that sent one byte, received it, and are silent since.
#[derive(Debug)]
pub(crate) struct IdleClients {
    clients: Vec<TcpStream>,
}

impl IdleClients {
    /// Connects this many clients, one after the other; each is served before the next connects.
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
    // Reset at the end: thousands of ports in TIME-WAIT would be missing in the next cells.
    SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    client.set_read_timeout(Some(JOIN_MAX))?;
    client.write_all(b"x")?;
    client.read_exact(&mut [0])?;
    Ok(client)
}
