//! What a client that floods costs the others: 50 clients ping, with and without one that sends as fast as it can.
//!
//! ```sh
//! cargo bench --bench fairness
//! ```
//!
//! Server, pinging clients and flood have cores of their own as far as there are any. The 99th percentile of the pings
//! beside the flood is to stay within twice the undisturbed one: median of interleaved pairs, interval shown. It ends
//! with code 1 when it does not. `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` change the number of pairs and their length.

#[cfg(target_os = "linux")]
mod bare;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: the load is written for epoll");
}

#[cfg(target_os = "linux")]
fn main() {
    measure::main();
}

#[cfg(target_os = "linux")]
mod measure {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use nix::unistd::Pid;

    use super::bare::load::Load;
    use super::bare::pairs::{Ratio, interleaved, setting};
    use super::bare::process::{Server, cores, pin};

    const CLIENTS: usize = 50;
    const BYTES: usize = 64;
    const P99_RATIO_MAX: f64 = 2.0;
    const FLOOD_PIECE_BYTES: usize = 64 << 10;

    /// A client that sends as fast as it can, and takes what comes back.
    struct Flood {
        stop: Arc<AtomicBool>,
        bytes: Arc<AtomicU64>,
        threads: Vec<JoinHandle<()>>,
        stream: TcpStream,
    }

    impl Flood {
        fn begin(addr: SocketAddr) -> Flood {
            let stream = TcpStream::connect(addr).unwrap();
            let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
            let (mut out, mut back) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
            let (stopped, sent) = (Arc::clone(&stop), Arc::clone(&bytes));
            let sender = std::thread::spawn(move || {
                let piece = vec![b'f'; FLOOD_PIECE_BYTES];
                while !stopped.load(Ordering::Relaxed) && out.write_all(&piece).is_ok() {
                    sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
            });
            let receiver = std::thread::spawn(move || {
                let mut piece = vec![0; FLOOD_PIECE_BYTES];
                while back.read(&mut piece).is_ok_and(|len| len > 0) {}
            });
            Flood { stop, bytes, threads: vec![sender, receiver], stream }
        }

        fn end(self) -> u64 {
            self.stop.store(true, Ordering::Relaxed);
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
            for thread in self.threads {
                thread.join().unwrap();
            }
            self.bytes.load(Ordering::Relaxed)
        }
    }

    /// One side of a pair, in µs and bytes per second.
    struct Side {
        p50: f64,
        p99: f64,
        flooded: f64,
    }

    fn side(core: usize, span: Duration, flooded: bool) -> Side {
        let server = Server::oneloop(core, &[]);
        let mut load = Load::connect(server.addr(), CLIENTS, 0, BYTES);
        let flood = flooded.then(|| Flood::begin(server.addr()));
        load.begin();
        load.run(span / 4, false);
        let mut done = load.run(span, true);
        let flooded = flood.map_or(0, Flood::end);
        done.latencies_ns.sort_unstable();
        let percentile = |part: f64| {
            let index = (done.latencies_ns.len() as f64 * part).ceil() as usize;
            done.latencies_ns[index.clamp(1, done.latencies_ns.len()) - 1] as f64 / 1e3
        };
        Side {
            p50: percentile(0.5),
            p99: percentile(0.99),
            flooded: flooded as f64 / (span + span / 4).as_secs_f64(),
        }
    }

    pub(super) fn main() {
        let cores = cores();
        let (server_core, load_core) = (cores[0], cores[cores.len() - 1]);
        pin(Pid::from_raw(0), load_core);
        let pairs = setting("ONELOOP_PAIRS", 15) as usize;
        let span = Duration::from_millis(setting("ONELOOP_SPAN_MS", 1000));
        println!("server on core {server_core}, {CLIENTS} pinging clients and the flood on core {load_core}");
        let pairs = interleaved(pairs, || side(server_core, span, true), || side(server_core, span, false));
        let median = |value: fn(&(Side, Side)) -> f64| Ratio::of(pairs.iter().map(value).collect()).median;
        let p99 = Ratio::of(pairs.iter().map(|(with, without)| with.p99 / without.p99).collect());
        let verdict = if p99.median <= P99_RATIO_MAX { "kept" } else { "NOT KEPT" };
        println!("p99 of pings beside a flood / without  {p99}, promised at most {P99_RATIO_MAX}: {verdict}");
        println!(
            "  medians: p50 {:.0} and {:.0} µs, p99 {:.0} and {:.0} µs; the flood sent {:.0} MB/s",
            median(|pair| pair.0.p50),
            median(|pair| pair.1.p50),
            median(|pair| pair.0.p99),
            median(|pair| pair.1.p99),
            median(|pair| pair.0.flooded) / 1e6,
        );
        if p99.median > P99_RATIO_MAX {
            std::process::exit(1);
        }
    }
}
