//! What the load generator itself costs: processor time per request of `oneloop::load`, which checks every
//! byte, keeps every latency and watches its deadlines, against the leanest hand-written epoll client, which
//! does nothing but send and receive.
//!
//! ```sh
//! cargo bench --bench load
//! ```
//!
//! The server is the bare loop, with a core of its own; both clients run on the other, in turns. The median
//! ratio and its interval are shown. `ONELOOP_PAIRS` and `ONELOOP_SPAN_MS` change the number of pairs and how
//! long each side is measured. It ends with code 1 when a ratio is above what the project promises.

#[cfg(target_os = "linux")]
mod bare;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: the bare client is written for epoll");
}

#[cfg(target_os = "linux")]
fn main() {
    bare::main("64 bytes per request", measure::all);
}

#[cfg(target_os = "linux")]
mod measure {
    use std::time::Duration;

    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    use oneloop::load::clients::EchoLoad;
    use oneloop::load::{Plan, run};

    use super::bare::load::Load;
    use super::bare::pairs::{Bench, Cost, Pairs};
    use super::bare::process::Server;

    const BYTES: usize = 64;
    const CPU_RATIO_MAX: f64 = 1.15;

    pub(super) fn all(bench: &Bench) -> bool {
        let mut kept = true;
        for clients in [64, 1000] {
            let pairs = bench.interleaved(
                || ours(&Server::bare(bench.server_core), clients, bench.span),
                || bare(&Server::bare(bench.server_core), clients, bench.span),
            );
            kept &= report(&format!("{clients} clients, oneloop load / bare client"), &pairs);
        }
        kept
    }

    fn ours(server: &Server, clients: usize, span: Duration) -> Cost {
        let mut plan = Plan::new(oneloop::Address::Tcp(server.addr()));
        (plan.clients, plan.warmup, plan.duration) = (clients as u32, span / 4, span);
        let report = run(&plan, &EchoLoad::new(BYTES as u64, plan.seed)).unwrap();
        assert_eq!(report.errors.total(), 0, "{:?}", report.first_error);
        let cpu_per_request = report.generator.cpu_per_request_us;
        Cost { requests_per_second: report.requests_per_second, cpu_per_request }
    }

    fn bare(server: &Server, clients: usize, span: Duration) -> Cost {
        let mut load = Load::connect(server.addr(), clients, 0, BYTES);
        load.begin();
        load.run(span / 4, false);
        let before = cpu_seconds();
        let done = load.run(span, false);
        Cost::of(done.requests, done.seconds, cpu_seconds() - before)
    }

    fn cpu_seconds() -> f64 {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    }

    fn report(what: &str, pairs: &Pairs<Cost>) -> bool {
        let cpu = pairs.ratio(|side| side.cpu_per_request);
        let costs = pairs.medians(|side| side.cpu_per_request);
        let rates = pairs.medians(|side| side.requests_per_second);
        let verdict = if cpu.median <= CPU_RATIO_MAX { "kept" } else { "NOT KEPT" };
        println!("{what}");
        println!("  client CPU/request   {cpu}, promised at most {CPU_RATIO_MAX}: {verdict}");
        println!("  requests per second  {}", pairs.ratio(|side| side.requests_per_second));
        println!(
            "  medians: {:.2} and {:.2} µs of the client's CPU per request, {:.0} and {:.0} requests/s",
            costs.0, costs.1, rates.0, rates.1,
        );
        cpu.median <= CPU_RATIO_MAX
    }
}
