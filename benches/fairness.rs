//! The cost of a flooding client for the others: 50 clients ping, with and without one that sends as fast as
//! it can.
//!
//! ```sh
//! cargo bench --bench fairness
//! ```
//!
//! The server has a core of its own; the pinging clients and the flood share another, where the flood is a
//! process of the idle class (`chrt --idle`, sched(7)): it takes what the pings leave, so that what they wait
//! for is the server and not their own scheduler. The 99th percentile of the pings beside the flood is to
//! stay within twice the undisturbed one: median of interleaved pairs, interval shown. It ends with code 1
//! when it does not. `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` change the number of pairs and their length.

#[cfg(target_os = "linux")]
mod bare;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: the load is written for epoll");
}

#[cfg(target_os = "linux")]
fn main() {
    match std::env::args().skip_while(|arg| arg != measure::FLOOD).nth(1) {
        Some(addr) => measure::flood(addr.parse().expect("the address of a server")),
        None => measure::main(),
    }
}

#[cfg(target_os = "linux")]
mod measure {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::bare::load::Load;
    use super::bare::pairs::Bench;
    use super::bare::process::Server;

    const CLIENTS: usize = 50;
    const BYTES: usize = 64;
    const P99_RATIO_MAX: f64 = 2.0;
    const FLOOD_PIECE_BYTES: usize = 64 << 10;

    /// The argument with which this program, started again by itself, is the flood.
    pub(super) const FLOOD: &str = "--flood";

    /// A client process that sends as fast as it can and reads what comes back, until its standard input
    /// ends. Then it prints the number of bytes that it has sent.
    pub(super) fn flood(addr: SocketAddr) {
        let stream = TcpStream::connect(addr).unwrap();
        let (mut out, mut back) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        std::thread::spawn(move || {
            let piece = vec![b'f'; FLOOD_PIECE_BYTES];
            while out.write_all(&piece).is_ok() {
                counted.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
        std::thread::spawn(move || {
            let mut piece = vec![0; FLOOD_PIECE_BYTES];
            while back.read(&mut piece).is_ok_and(|len| len > 0) {}
        });
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        println!("{}", sent.load(Ordering::Relaxed));
    }

    /// The flood's process. It inherits the load's core.
    struct Flood(Child);

    impl Flood {
        fn begin(addr: SocketAddr) -> Flood {
            let mut command = Command::new("chrt");
            command.args(["--idle", "0"]).arg(std::env::current_exe().unwrap());
            command.args([FLOOD, &addr.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
            Flood(command.spawn().expect("chrt(1), of util-linux"))
        }

        fn end(mut self) -> u64 {
            drop(self.0.stdin.take());
            let mut told = String::new();
            self.0.stdout.take().unwrap().read_to_string(&mut told).unwrap();
            assert!(self.0.wait().unwrap().success());
            told.trim().parse().expect("the bytes it has sent")
        }
    }

    /// One side of a pair, in µs and bytes per second.
    struct Side {
        p50: f64,
        p99: f64,
        flooded: f64,
    }

    fn side(bench: &Bench, flooded: bool) -> Side {
        let span = bench.span;
        let server = Server::oneloop(bench.server_core, &[]);
        let mut load = Load::connect(server.addr(), CLIENTS, 0, BYTES);
        let flood = flooded.then(|| Flood::begin(server.addr()));
        load.begin();
        load.run(span / 4, false);
        let mut done = load.run(span, true);
        let flooded = flood.map_or(0, Flood::end);
        done.latencies_ns.sort_unstable();
        let percentile = |per_cent: usize| {
            let rank = (done.latencies_ns.len() * per_cent).div_ceil(100);
            done.latencies_ns[rank.max(1) - 1] as f64 / 1e3
        };
        Side {
            p50: percentile(50),
            p99: percentile(99),
            flooded: flooded as f64 / (span + span / 4).as_secs_f64(),
        }
    }

    pub(super) fn main() {
        let bench = Bench::begin(&format!("the load is {CLIENTS} pinging clients and the flood"));
        let pairs = bench.interleaved(|| side(&bench, true), || side(&bench, false));
        let p99 = pairs.ratio(|side| side.p99);
        let (p50s, p99s) = (pairs.medians(|side| side.p50), pairs.medians(|side| side.p99));
        let verdict = if p99.median <= P99_RATIO_MAX { "kept" } else { "NOT KEPT" };
        println!("p99 of pings beside a flood / without  {p99}, promised at most {P99_RATIO_MAX}: {verdict}");
        println!(
            "  medians: p50 {:.0} and {:.0} µs, p99 {:.0} and {:.0} µs; the flood sent {:.0} MB/s",
            p50s.0,
            p50s.1,
            p99s.0,
            p99s.1,
            pairs.medians(|side| side.flooded).0 / 1e6,
        );
        if p99.median > P99_RATIO_MAX {
            std::process::exit(1);
        }
    }
}
