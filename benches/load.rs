//! What the load generator itself costs: processor time per request of `oneloop::load`, which checks every byte, keeps
//! every latency and watches its deadlines, against the leanest hand-written epoll client, which does nothing but send
//! and receive.
//!
//! ```sh
//! cargo bench --bench load
//! ```
//!
//! The server is the bare loop, with a core of its own; both clients run on the other, in turns. The median ratio and its
//! interval are shown. `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` change the number of pairs and how long each side is measured.
//! It ends with code 1 when a ratio is above what the project promises.

#[cfg(target_os = "linux")]
mod bare;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: the bare client is written for epoll");
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
    use std::time::Duration;

    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    use oneloop::load::clients::EchoLoad;
    use oneloop::load::{Plan, run};

    use super::bare::load::Load;
    use super::bare::pairs::{Bench, Ratio};
    use super::bare::process::Server;

    const BYTES: usize = 64;
    const CPU_RATIO_MAX: f64 = 1.15;

    /// One side of a pair.
    struct Side {
        requests_per_second: f64,
        /// The client's, in µs.
        cpu_per_request: f64,
    }

    pub(super) fn main() {
        let bench = Bench::begin(&format!("{BYTES} bytes per request"));
        let mut kept = true;
        for clients in [64, 1000] {
            let pairs = bench.interleaved(
                || ours(&Server::bare(bench.server_core), clients, bench.span),
                || bare(&Server::bare(bench.server_core), clients, bench.span),
            );
            kept &= report(&format!("{clients} clients, oneloop load / bare client"), &pairs);
        }
        if !kept {
            std::process::exit(1);
        }
    }

    fn ours(server: &Server, clients: usize, span: Duration) -> Side {
        let mut plan = Plan::new(oneloop::sys::Address::Tcp(server.addr()));
        (plan.clients, plan.warmup, plan.duration) = (clients as u32, span / 4, span);
        let report = run(&plan, &EchoLoad::new(BYTES as u64, plan.seed)).unwrap();
        assert_eq!(report.errors.total(), 0, "{:?}", report.first_error);
        let cpu_per_request = report.generator.cpu_per_request_us;
        Side { requests_per_second: report.requests_per_second, cpu_per_request }
    }

    fn bare(server: &Server, clients: usize, span: Duration) -> Side {
        let mut load = Load::connect(server.addr(), clients, 0, BYTES);
        load.begin();
        load.run(span / 4, false);
        let before = cpu_us();
        let done = load.run(span, false);
        let cpu = cpu_us() - before;
        Side {
            requests_per_second: done.requests as f64 / done.seconds,
            cpu_per_request: cpu as f64 / done.requests as f64,
        }
    }

    fn cpu_us() -> i64 {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    }

    fn report(what: &str, pairs: &[(Side, Side)]) -> bool {
        let ratio =
            |value: fn(&Side) -> f64| Ratio::of(pairs.iter().map(|(a, b)| value(a) / value(b)).collect());
        let median = |value: fn(&(Side, Side)) -> f64| Ratio::of(pairs.iter().map(value).collect()).median;
        let cpu = ratio(|side| side.cpu_per_request);
        let verdict = if cpu.median <= CPU_RATIO_MAX { "kept" } else { "NOT KEPT" };
        println!("{what}");
        println!("  client CPU/request   {cpu}, promised at most {CPU_RATIO_MAX}: {verdict}");
        println!("  requests per second  {}", ratio(|side| side.requests_per_second));
        println!(
            "  medians: {:.2} and {:.2} µs of the client's CPU per request, {:.0} and {:.0} requests/s",
            median(|pair| pair.0.cpu_per_request),
            median(|pair| pair.1.cpu_per_request),
            median(|pair| pair.0.requests_per_second),
            median(|pair| pair.1.requests_per_second),
        );
        cpu.median <= CPU_RATIO_MAX
    }
}
