//! `wait` and `few`: clients that hold their connections, and clients that wait behind them. They are few
//! enough for threads.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::outcome::Measurement;
use crate::judge::ErrorCounts;
use crate::judge::evidence::Evidence;
use crate::lab::plan::experiment::{FEW_HOLD_MS, PATIENCE_MS, REQUEST_BYTES, WAIT_STALL_MS};
use crate::lab::plan::metric::Metric;
use crate::lab::sample::proc::listen_overflows;

const PATIENCE: Duration = Duration::from_millis(PATIENCE_MS);
/// A connection that took this long was dropped at its first attempt.
const DROPPED_FROM_MS: u64 = 900;
/// A reply within this time came while all other clients held their connections.
const AT_ONCE_MS: u64 = FEW_HOLD_MS / 2;

/// How long the second client waits behind a stalled one.
pub(crate) fn wait(addr: SocketAddr) -> Result<Measurement, String> {
    let stalled = connect(addr).map_err(|error| format!("the first client: {error}"))?;
    let patience = thread::spawn(move || {
        thread::sleep(Duration::from_millis(WAIT_STALL_MS));
        drop(stalled);
    });
    let waited = connect(addr).and_then(|mut second| {
        let began = Instant::now();
        exchange(&mut second)?;
        Ok(began.elapsed())
    });
    let _ = patience.join();
    let waited = waited.map_err(|error| format!("the second client: {error}"))?;
    let evidence = Evidence { requests: 1, ..Evidence::default() };
    Ok(Measurement { evidence, ..Measurement::default() }.with(Metric::WaitMs, waited.as_secs_f64() * 1e3))
}

/// The result of a client of `few`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientFate {
    AtOnce,
    Waited,
    Dropped,
    Refused,
}

/// Clients that arrive at once, each holding its connection for a while after its answer.
pub(crate) fn few(addr: SocketAddr, clients: u32) -> Measurement {
    let overflows = listen_overflows();
    let barrier = Barrier::new(clients as usize);
    let fates: Vec<(ClientFate, Duration)> = thread::scope(|scope| {
        let arrive = || {
            barrier.wait();
            one_of_few(addr)
        };
        let all: Vec<_> = (0..clients).map(|_| scope.spawn(arrive)).collect();
        all.into_iter().filter_map(|client| client.join().ok()).collect()
    });
    let count = |fate| fates.iter().filter(|(found, _)| *found == fate).count();
    let longest = fates.iter().map(|(_, waited)| waited.as_secs_f64() * 1e3).fold(0.0, f64::max);
    let evidence = Evidence {
        requests: fates.len() as u64,
        listen_overflows: overflows.and_then(|before| Some(listen_overflows()? - before)),
        errors: ErrorCounts { refused: count(ClientFate::Refused) as u64, ..ErrorCounts::default() },
        ..Evidence::default()
    };
    Measurement { evidence, ..Measurement::default() }
        .with(Metric::ServedAtOnce, count(ClientFate::AtOnce) as f64)
        .with(Metric::KeptWaiting, count(ClientFate::Waited) as f64)
        .with(Metric::Dropped, count(ClientFate::Dropped) as f64)
        .with(Metric::Refused, count(ClientFate::Refused) as f64)
        .with(Metric::WaitMaxMs, longest)
}

fn one_of_few(addr: SocketAddr) -> (ClientFate, Duration) {
    let began = Instant::now();
    let connected = connect(addr);
    let connecting = began.elapsed();
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) => return (fate_of(&error, ClientFate::Dropped), connecting.min(PATIENCE)),
    };
    // Its patience began with its first attempt to connect.
    let left = PATIENCE.saturating_sub(connecting).max(Duration::from_millis(1));
    let exchanged = stream.set_read_timeout(Some(left)).and_then(|()| exchange(&mut stream));
    let waited = began.elapsed().min(PATIENCE);
    let fate = match exchanged {
        _ if connecting >= Duration::from_millis(DROPPED_FROM_MS) => ClientFate::Dropped,
        Ok(()) if waited <= Duration::from_millis(AT_ONCE_MS) => ClientFate::AtOnce,
        Ok(()) => ClientFate::Waited,
        Err(error) => fate_of(&error, ClientFate::Waited),
    };
    thread::sleep(Duration::from_millis(FEW_HOLD_MS));
    (fate, waited)
}

/// A timeout is `late`; any other error was caused by the server.
fn fate_of(error: &io::Error, late: ClientFate) -> ClientFate {
    if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
        late
    } else {
        ClientFate::Refused
    }
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request and its complete reply.
fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    let request = [b'x'; REQUEST_BYTES as usize];
    let mut answer = [0; REQUEST_BYTES as usize];
    stream.write_all(&request)?;
    stream.read_exact(&mut answer)?;
    if answer == request { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Serves one client at a time, as an iterative server does, until its clients stop coming.
    fn iterative(clients: usize) -> (SocketAddr, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let served = thread::spawn(move || {
            for stream in listener.incoming().take(clients) {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..count]).unwrap();
                }
            }
        });
        (addr, served)
    }

    #[test]
    fn behind_an_iterative_server_the_second_waits_as_long_as_the_first_stalls() {
        let (addr, served) = iterative(2);
        let measured = wait(addr).unwrap();
        let waited_ms = measured.values[&Metric::WaitMs];
        assert!(waited_ms >= WAIT_STALL_MS as f64 * 0.8, "{waited_ms}");
        served.join().unwrap();
    }

    #[test]
    fn of_three_that_arrive_at_an_iterative_server_one_is_served_at_once() {
        let (addr, served) = iterative(3);
        let values = few(addr, 3).values;
        assert!((values[&Metric::ServedAtOnce] - 1.0).abs() < 0.5, "{values:?}");
        assert!((values[&Metric::KeptWaiting] - 2.0).abs() < 0.5, "{values:?}");
        served.join().unwrap();
    }
}
