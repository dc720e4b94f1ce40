//! The cost of one turn of the loop, system calls included: 1, 64 and 1000 clients that each have a request
//! of 64 bytes ready, alone and beside a crowd of idle clients. Unix sockets, so that the network costs
//! little.
//!
//! ```sh
//! cargo bench --bench turn
//! ```

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::services::Echo;

const REQUEST: [u8; 64] = [b'r'; 64];
const IDLE: usize = 10_000;
/// Descriptors besides those of clients.
const SPARE_DESCRIPTORS: u64 = 100;
/// Connections made before the loop takes them: fewer than the backlog.
const BATCH: usize = 100;
/// How long a turn may wait for what was surely sent.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(10));

/// A loop and all of its clients, in one thread.
struct Stage {
    reactor: Reactor<Echo>,
    active: Vec<UnixStream>,
    _idle: Vec<UnixStream>,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn new(active: usize, idle: usize) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("echo.sock");
        // The idle ones stay for the whole run.
        let mut reactor = Reactor::new(Limits { idle_ms: 3_600_000, ..Limits::default() }).unwrap();
        reactor.bind(&format!("unix:{}", path.display()), Echo).unwrap();
        let idle = connect(&mut reactor, &path, idle);
        let active = connect(&mut reactor, &path, active);
        Stage { reactor, active, _idle: idle, _folder: folder }
    }

    /// One request of each client: the time that the loop worked for them.
    fn requests(&mut self) -> Duration {
        for client in &mut self.active {
            client.write_all(&REQUEST).unwrap();
        }
        let began = Instant::now();
        self.reactor.turn(PATIENCE).unwrap();
        let worked = began.elapsed();
        // A turn serves all ready clients, and all are ready: each has its answer now.
        let mut answer = [0; REQUEST.len()];
        for client in &mut self.active {
            client.read_exact(&mut answer).expect("the answer is there after one turn");
        }
        worked
    }
}

fn connect(reactor: &mut Reactor<Echo>, path: &Path, count: usize) -> Vec<UnixStream> {
    let mut clients: Vec<UnixStream> = Vec::with_capacity(count);
    for index in 0..count {
        let mut client = UnixStream::connect(path).unwrap();
        client.set_nonblocking(true).unwrap();
        client.write_all(&REQUEST).unwrap();
        clients.push(client);
        if index % BATCH == BATCH - 1 || index == count - 1 {
            answered(reactor, &mut clients[index - index % BATCH..]);
        }
    }
    clients
}

/// Turns until each of `clients` has been served once.
fn answered(reactor: &mut Reactor<Echo>, clients: &mut [UnixStream]) {
    let mut answer = [0; REQUEST.len()];
    for client in clients {
        while client.read_exact(&mut answer).is_err() {
            reactor.turn(PATIENCE).unwrap();
        }
    }
}

/// As many idle clients as descriptors allow; both ends are in this process.
fn idle_max() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = 2 * (IDLE as u64 + 1000) + SPARE_DESCRIPTORS;
    // Beyond the hard limit is for the privileged.
    let raised = setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted.max(hard));
    let limit = if raised.is_ok() {
        wanted
    } else {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        hard
    };
    IDLE.min((limit.saturating_sub(SPARE_DESCRIPTORS) / 2).saturating_sub(1000) as usize)
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let idle_max = idle_max();
    let mut group = criterion.benchmark_group("turn");
    for idle in [0, idle_max] {
        for active in [1, 64, 1000] {
            let mut stage = Stage::new(active, idle);
            group.throughput(Throughput::Elements(active as u64));
            let id = BenchmarkId::new(format!("{active} ready"), format!("{idle} idle"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|turns| (0..turns).map(|_| stage.requests()).sum());
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
