//! Echo of 64 bytes, 16 KiB and 64 KiB: `oneloop serve echo`, with all that is on by default, against the
//! leanest hand-written epoll loop; and 64 active clients with 10,000 idle ones beside them against the same
//! without.
//!
//! ```sh
//! cargo bench --bench echo
//! ```
//!
//! Server and load have a core each. Each pair is measured anew, in turns; the median ratio and its interval
//! are shown. `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` change the number of pairs and how long each side is
//! measured; `ONELOOP_AGAINST=PROGRAM` measures against another build of oneloop in place of the bare loop.
//! It ends with code 1 when a ratio is below what the project promises.

#[cfg(target_os = "linux")]
mod bare;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: the bare loop is written for epoll");
}

#[cfg(target_os = "linux")]
fn main() {
    bare::main("64 bytes per request where nothing else is said", measure::all);
}

#[cfg(target_os = "linux")]
mod measure {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    use super::bare::load::Load;
    use super::bare::pairs::{Bench, Cost, Pairs};
    use super::bare::process::Server;

    const BYTES: usize = 64;
    const IDLE: usize = 10_000;
    const ECHO_RATIO_MIN: f64 = 0.95;
    /// Powers of two, as programs send them: a buffer of exactly this size costs a second read.
    const LARGE_BYTES: [usize; 2] = [16 << 10, 64 << 10];
    const LARGE_CPU_RATIO_MAX: f64 = 1.03;
    const IDLE_RATIO_MIN: f64 = 0.97;

    pub(super) fn all(bench: &Bench) -> bool {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let mut kept = true;
        for clients in [64, 1000] {
            kept &= report_rate(
                &format!("{clients} clients, oneloop / bare loop"),
                &against_bare(bench, clients, BYTES),
                ECHO_RATIO_MIN,
            );
        }
        for bytes in LARGE_BYTES {
            let what = format!("64 clients, {} KiB per request, oneloop / bare loop", bytes >> 10);
            kept &= report_cpu(&what, &against_bare(bench, 64, bytes), LARGE_CPU_RATIO_MAX);
        }
        kept & beside_idle(bench)
    }

    fn against_bare(bench: &Bench, clients: usize, bytes: usize) -> Pairs<Cost> {
        bench.interleaved(
            || side(bench, &Server::oneloop(bench.server_core, &[]), clients, 0, bytes),
            || side(bench, &Server::bare(bench.server_core), clients, 0, bytes),
        )
    }

    fn beside_idle(bench: &Bench) -> bool {
        let pairs = bench.interleaved(
            || side(bench, &Server::oneloop(bench.server_core, &[]), 64, IDLE, BYTES),
            || side(bench, &Server::oneloop(bench.server_core, &[]), 64, 0, BYTES),
        );
        report_rate(&format!("64 clients beside {IDLE} idle / without"), &pairs, IDLE_RATIO_MIN)
    }

    fn side(bench: &Bench, server: &Server, active: usize, idle: usize, bytes: usize) -> Cost {
        let mut load = Load::connect(server.addr(), active, idle, bytes);
        load.begin();
        load.run(bench.span / 4, false);
        let before = server.cpu_seconds();
        let done = load.run(bench.span, false);
        let cpu = server.cpu_seconds() - before;
        Cost::of(done.requests, done.seconds, cpu)
    }

    fn report_rate(what: &str, pairs: &Pairs<Cost>, ratio_min: f64) -> bool {
        let rate = pairs.ratio(|side| side.requests_per_second).median;
        let kept = rate >= ratio_min;
        report(what, pairs, &format!("requests per second: at least {ratio_min}"), kept)
    }

    fn report_cpu(what: &str, pairs: &Pairs<Cost>, ratio_max: f64) -> bool {
        let cpu = pairs.ratio(|side| side.cpu_per_request).median;
        report(what, pairs, &format!("server CPU/request: at most {ratio_max}"), cpu <= ratio_max)
    }

    fn report(what: &str, pairs: &Pairs<Cost>, promise: &str, kept: bool) -> bool {
        let rate = pairs.ratio(|side| side.requests_per_second);
        let cpu = pairs.ratio(|side| side.cpu_per_request);
        let rates = pairs.medians(|side| side.requests_per_second);
        let costs = pairs.medians(|side| side.cpu_per_request);
        println!("{what}");
        println!("  requests per second  {rate}");
        println!("  server CPU/request   {cpu}");
        println!("  {promise}: {}", if kept { "kept" } else { "NOT KEPT" });
        println!(
            "  medians: {:.0} and {:.0} requests/s, {:.2} and {:.2} µs of the server's CPU per request",
            rates.0, rates.1, costs.0, costs.1,
        );
        kept
    }
}
