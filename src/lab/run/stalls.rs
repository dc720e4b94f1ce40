//! `wait` and `few`: clients that hold their connections, and clients that wait behind them. They are few
//! enough for threads.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::outcome::{ClientTimes, Measurement};
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
    let came = Instant::now();
    let first = connect(addr).map_err(|error| format!("the first client: {error}"))?;
    let connected = Instant::now();
    let patience = thread::spawn(move || {
        thread::sleep(Duration::from_millis(WAIT_STALL_MS));
        drop(first);
        Instant::now()
    });
    let second_came = Instant::now();
    let waited = connect(addr).and_then(|mut second| {
        let began = Instant::now();
        exchange(&mut second)?;
        Ok((began, Instant::now()))
    });
    let left = patience.join().map_err(|_| "the first client ended early".to_owned())?;
    let (began, answered) = waited.map_err(|error| format!("the second client: {error}"))?;
    let first = Visit { came, connected: Some(connected), answered: None, left, fate: ClientFate::Stalled };
    let second = Visit {
        came: second_came,
        connected: Some(began),
        answered: Some(answered),
        left: answered,
        fate: ClientFate::Waited,
    };
    let evidence = Evidence { requests: 1, ..Evidence::default() };
    Ok(Measurement { evidence, clients: times(vec![first, second]), ..Measurement::default() }
        .with(Metric::WaitMs, (answered - began).as_secs_f64() * 1e3))
}

/// The result of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientFate {
    /// The first client of `wait`.
    Stalled,
    AtOnce,
    Waited,
    Dropped,
    Refused,
}

/// The times of a client's visit, and its end.
#[derive(Clone, Copy, Debug)]
struct Visit {
    came: Instant,
    connected: Option<Instant>,
    answered: Option<Instant>,
    left: Instant,
    fate: ClientFate,
}

/// The visits in the order in which they began, as raw data has them.
fn times(mut visits: Vec<Visit>) -> Vec<ClientTimes> {
    visits.sort_by_key(|visit| visit.came);
    let Some(first) = visits.first().map(|visit| visit.came) else { return Vec::new() };
    // To a microsecond.
    let since_ms = |at: Instant| ((at - first).as_secs_f64() * 1e6).round() / 1e3;
    let times = |visit: &Visit| ClientTimes {
        came_ms: since_ms(visit.came),
        connected_ms: visit.connected.map(since_ms),
        answered_ms: visit.answered.map(since_ms),
        left_ms: since_ms(visit.left),
        stalls: visit.fate == ClientFate::Stalled,
    };
    visits.iter().map(times).collect()
}

/// Clients that arrive at once, each holding its connection for a while after its answer.
pub(crate) fn few(addr: SocketAddr, clients: u32) -> Measurement {
    let overflows = listen_overflows();
    let barrier = Barrier::new(clients as usize);
    let visits: Vec<Visit> = thread::scope(|scope| {
        let arrive = || {
            barrier.wait();
            one_of_few(addr)
        };
        let all: Vec<_> = (0..clients).map(|_| scope.spawn(arrive)).collect();
        all.into_iter().filter_map(|client| client.join().ok()).collect()
    });
    let count = |fate| visits.iter().filter(|visit| visit.fate == fate).count();
    let waited = |visit: &Visit| visit.answered.unwrap_or(visit.left) - visit.came;
    let longest = visits.iter().map(waited).max().unwrap_or_default().min(PATIENCE);
    let evidence = Evidence {
        requests: visits.len() as u64,
        listen_overflows: overflows.and_then(|before| Some(listen_overflows()? - before)),
        errors: ErrorCounts { refused: count(ClientFate::Refused) as u64, ..ErrorCounts::default() },
        ..Evidence::default()
    };
    let counted = Measurement { evidence, ..Measurement::default() }
        .with(Metric::ServedAtOnce, count(ClientFate::AtOnce) as f64)
        .with(Metric::KeptWaiting, count(ClientFate::Waited) as f64)
        .with(Metric::Dropped, count(ClientFate::Dropped) as f64)
        .with(Metric::Refused, count(ClientFate::Refused) as f64)
        .with(Metric::WaitMaxMs, longest.as_secs_f64() * 1e3);
    Measurement { clients: times(visits), ..counted }
}

fn one_of_few(addr: SocketAddr) -> Visit {
    let came = Instant::now();
    let connecting = connect(addr);
    let connected = Instant::now();
    let mut stream = match connecting {
        Ok(stream) => stream,
        Err(error) => {
            let fate = fate_of(&error, ClientFate::Dropped);
            return Visit { came, connected: None, answered: None, left: connected, fate };
        }
    };
    // Its patience began with its first attempt to connect.
    let left = PATIENCE.saturating_sub(connected - came).max(Duration::from_millis(1));
    let exchanged = stream.set_read_timeout(Some(left)).and_then(|()| exchange(&mut stream));
    let done = Instant::now();
    let fate = match &exchanged {
        _ if connected - came >= Duration::from_millis(DROPPED_FROM_MS) => ClientFate::Dropped,
        Ok(()) if done - came <= Duration::from_millis(AT_ONCE_MS) => ClientFate::AtOnce,
        Ok(()) => ClientFate::Waited,
        Err(error) => fate_of(error, ClientFate::Waited),
    };
    // A client that gave up keeps its connection, too: the server may be about to accept it.
    thread::sleep(Duration::from_millis(FEW_HOLD_MS));
    let answered = exchanged.is_ok().then_some(done);
    let left = if answered.is_some() { Instant::now() } else { done };
    Visit { came, connected: Some(connected), answered, left, fate }
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
    fn at_an_iterative_server_the_second_client_waits_as_long_as_the_first_stalls() {
        let (addr, served) = iterative(2);
        let measured = wait(addr).unwrap();
        let waited_ms = measured.values[&Metric::WaitMs];
        assert!(waited_ms >= WAIT_STALL_MS as f64 * 0.8, "{waited_ms}");
        let [first, second] = measured.clients[..] else { panic!("{:?}", measured.clients) };
        assert!(first.stalls && first.answered_ms.is_none() && first.left_ms >= WAIT_STALL_MS as f64);
        assert!(second.answered_ms >= Some(first.left_ms * 0.8) && !second.stalls, "{second:?}");
        served.join().unwrap();
    }

    #[test]
    fn of_three_that_arrive_at_an_iterative_server_one_is_served_at_once() {
        let (addr, served) = iterative(3);
        let Measurement { values, clients, .. } = few(addr, 3);
        assert!((values[&Metric::ServedAtOnce] - 1.0).abs() < 0.5, "{values:?}");
        assert!((values[&Metric::KeptWaiting] - 2.0).abs() < 0.5, "{values:?}");
        // Each client is answered when the one before it has left.
        let mut stays: Vec<_> =
            clients.iter().map(|client| (client.answered_ms.unwrap(), client.left_ms)).collect();
        stays.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(stays.windows(2).all(|pair| pair[1].0 >= pair[0].1 - 5.0), "{clients:?}");
        served.join().unwrap();
    }
}
