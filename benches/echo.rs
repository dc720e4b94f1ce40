//! Echo of 64 bytes: `oneloop serve echo`, with all that is on by default, against the leanest hand-written epoll loop;
//! and 64 active clients with 10,000 idle ones beside them against the same without.
//!
//! ```sh
//! cargo bench --bench echo
//! ```
//!
//! Server and load have a core each. Each pair is measured anew, in turns; the median ratio and its interval are shown.
//! `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` change the number of pairs and how long each side is measured.
//! It ends with code 1 when a ratio is below what the project promises.

#[cfg(target_os = "linux")]
mod bare;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: the bare loop is written for epoll");
}

#[cfg(target_os = "linux")]
fn main() {
    if bare::process::is_bare_server() {
        bare::server::run();
    }
    measure::main();
}

#[cfg(target_os = "linux")]
mod measure {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    use super::bare::load::Load;
    use super::bare::pairs::{Bench, Ratio};
    use super::bare::process::Server;

    const BYTES: usize = 64;
    const IDLE: usize = 10_000;
    const ECHO_RATIO_MIN: f64 = 0.95;
    const IDLE_RATIO_MIN: f64 = 0.97;

    /// One side of a pair.
    struct Side {
        requests_per_second: f64,
        /// The server's, in µs.
        cpu_per_request: f64,
    }

    pub(super) fn main() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let bench = Bench::begin(&format!("{BYTES} bytes per request"));
        let mut kept = true;
        for clients in [64, 1000] {
            kept &= against_bare(&bench, clients);
        }
        kept &= beside_idle(&bench);
        if !kept {
            std::process::exit(1);
        }
    }

    fn against_bare(bench: &Bench, clients: usize) -> bool {
        let pairs = bench.interleaved(
            || side(bench, &Server::oneloop(bench.server_core, &[]), clients, 0),
            || side(bench, &Server::bare(bench.server_core), clients, 0),
        );
        report(&format!("{clients} clients, oneloop / bare loop"), &pairs, ECHO_RATIO_MIN)
    }

    fn beside_idle(bench: &Bench) -> bool {
        let pairs = bench.interleaved(
            || side(bench, &Server::oneloop(bench.server_core, &[]), 64, IDLE),
            || side(bench, &Server::oneloop(bench.server_core, &[]), 64, 0),
        );
        report(&format!("64 clients beside {IDLE} idle / without"), &pairs, IDLE_RATIO_MIN)
    }

    fn side(bench: &Bench, server: &Server, active: usize, idle: usize) -> Side {
        let mut load = Load::connect(server.addr(), active, idle, BYTES);
        load.begin();
        load.run(bench.span / 4, false);
        let before = server.cpu_seconds();
        let done = load.run(bench.span, false);
        let cpu = server.cpu_seconds() - before;
        Side {
            requests_per_second: done.requests as f64 / done.seconds,
            cpu_per_request: cpu * 1e6 / done.requests as f64,
        }
    }

    fn report(what: &str, pairs: &[(Side, Side)], ratio_min: f64) -> bool {
        let median = |value: fn(&(Side, Side)) -> f64| Ratio::of(pairs.iter().map(value).collect()).median;
        let rate =
            Ratio::of(pairs.iter().map(|(a, b)| a.requests_per_second / b.requests_per_second).collect());
        let cpu = Ratio::of(pairs.iter().map(|(a, b)| a.cpu_per_request / b.cpu_per_request).collect());
        let verdict = if rate.median >= ratio_min { "kept" } else { "NOT KEPT" };
        println!("{what}");
        println!("  requests per second  {rate}, promised {ratio_min}: {verdict}");
        println!("  server CPU/request   {cpu}");
        println!(
            "  medians: {:.0} and {:.0} requests/s, {:.2} and {:.2} µs of the server's CPU per request",
            median(|pair| pair.0.requests_per_second),
            median(|pair| pair.1.requests_per_second),
            median(|pair| pair.0.cpu_per_request),
            median(|pair| pair.1.cpu_per_request),
        );
        rate.median >= ratio_min
    }
}
