//! A server that stops for a while: the open loop shows the delay of the requests that arrive meanwhile, as
//! theory predicts.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use nix::sys::signal::Signal;
use oneloop::load::clients::EchoLoad;
use oneloop::load::report::{Arrivals, Latency, Pace, Phase, Report};
use oneloop::load::{Plan, run_watched};

use crate::common::Server;

/// The measured span, and how long the server is stopped within it.
const MEASURED: Duration = Duration::from_secs(3);
const FREEZE: Duration = Duration::from_millis(900);
/// How much of the measured span passes before.
const BEFORE: Duration = Duration::from_millis(700);
const RATE: f64 = 500.0;
const CLIENTS: u32 = 8;

/// A load during which the server is stopped, and how long it was.
fn frozen(pace: Pace, clients: u32) -> (Report, Duration) {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut plan = Plan::new(server.address("echo").tcp().to_string().parse().unwrap());
    (plan.pace, plan.clients, plan.duration) = (pace, clients, MEASURED);
    plan.warmup = Duration::from_millis(200);
    plan.seed = 11;
    let (mut stopped, mut freeze) = (None, None);
    let report = run_watched(&plan, &EchoLoad::new(64, plan.seed), |progress| {
        let passed = progress.passed.saturating_sub(plan.warmup);
        match (stopped, freeze) {
            (None, _) if progress.phase == Phase::Measuring && passed >= BEFORE => {
                server.signal(Signal::SIGSTOP);
                stopped = Some(Instant::now());
            }
            (Some(since), None) if since.elapsed() >= FREEZE => {
                server.signal(Signal::SIGCONT);
                freeze = Some(since.elapsed());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert_eq!((report.errors.total(), report.missed_sends), (0, 0), "{:?}", report.first_error);
    (report, freeze.expect("the server was stopped and went on"))
}

/// Of requests that come at a steady rate over a span D, those that come within a freeze F wait for the rest
/// of it: the part (F - x) / D of all waits longer than x. So the quantile q is F - (1 - q) D, for q > 1 - F
/// / D.
fn theory_ns(quantile: f64, freeze: Duration) -> f64 {
    freeze.as_nanos() as f64 - (1.0 - quantile) * MEASURED.as_nanos() as f64
}

/// What a user would call slow: far above what an answer takes, and far below the freeze.
const SLOW: Duration = Duration::from_millis(100);

/// How many latencies of the run are slow, by the histograms of its intervals, which are what `--hdr-log` and
/// `--json` have of it.
fn slow_in_series(report: &Report) -> u64 {
    let answered = report.series.iter().filter(|it| matches!(it.phase, Phase::Measuring | Phase::Draining));
    let kept = answered.filter(|interval| !interval.latency_hdr.is_empty()).map(|interval| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&interval.latency_hdr).unwrap();
        let latencies: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        latencies.len() - latencies.count_between(0, SLOW.as_nanos() as u64)
    });
    kept.sum()
}

/// The same by a distribution of the whole run.
fn slow(latency: &Latency) -> u64 {
    let buckets = latency.buckets_ns_count.iter().filter(|(ns, _)| *ns > SLOW.as_nanos() as u64);
    buckets.map(|(_, count)| count).sum()
}

/// A machine with other things to do stops and starts the server late, and lets it catch up slowly.
const SLACK_NS: f64 = 120e6;

/// A machine that is full may stop server or generator for longer than that: a second and a third look are
/// allowed. A generator that measures wrongly is wrong in each.
const LOOKS_MAX: u32 = 3;

/// How far each quantile is from theory, where that is too far.
fn deviations(arrivals: Arrivals) -> Vec<String> {
    let (report, freeze) = frozen(Pace::Open { rate_per_second: RATE, arrivals }, CLIENTS);
    let latency = &report.latency;
    // Random arrivals may come more or less often within the freeze: 3 standard deviations of their number,
    // in time.
    let slack_ns = match arrivals {
        Arrivals::Constant => SLACK_NS,
        _ => SLACK_NS + 3.0 * (RATE * FREEZE.as_secs_f64()).sqrt() / RATE * 1e9,
    };
    let mut seen = vec![
        // Most came while it ran.
        (0.5, latency.p50_ns, 0.0),
    ];
    for (quantile, seen_ns) in [
        (0.75, latency.p75_ns),
        (0.9, latency.p90_ns),
        (0.95, latency.p95_ns),
        (0.99, latency.p99_ns),
        (1.0, latency.max_ns),
    ] {
        seen.push((quantile, seen_ns, theory_ns(quantile, freeze)));
    }
    assert!(report.send_lag.max_ns as f64 > theory_ns(1.0, freeze) / 2.0, "requests waited for a connection");
    // Only those that were under way then took long, one a connection: a generator that measures from the
    // send shows no more of a freeze.
    let service = &report.service_time;
    assert_eq!(service.count, latency.count);
    assert!(service.p99_ns < latency.p99_ns / 2 && service.max_ns > latency.max_ns / 2, "{service:?}");
    // Each request that fell due while the server was stopped and would be for longer than that is slow.
    let (in_all, in_series) = (slow(latency) as f64, slow_in_series(&report) as f64);
    assert!((in_all - in_series).abs() <= 1.0, "{in_all} in the whole run, {in_series} in its intervals");
    let expected = RATE * freeze.saturating_sub(SLOW).as_secs_f64();
    let mut count = Vec::new();
    if (in_series - expected).abs() >= RATE * slack_ns / 1e9 {
        count.push(format!(
            "{arrivals:?}: {in_series} requests took more than {SLOW:?}, in theory {expected}"
        ));
    }
    // Of those that were sent then: one a connection.
    assert!(slow(service) <= u64::from(CLIENTS) + 1, "{} took the server long", slow(service));
    let far =
        seen.into_iter().filter(|(_, seen_ns, theory_ns)| (*seen_ns as f64 - theory_ns).abs() >= slack_ns);
    far.map(|(quantile, seen_ns, theory_ns)| {
        format!("{arrivals:?}, quantile {quantile}: {seen_ns} ns, in theory {theory_ns}")
    })
    .chain(count)
    .collect()
}

#[test]
fn the_open_loop_shows_a_freeze_as_predicted() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let mut looks = (0..LOOKS_MAX).map(|_| deviations(arrivals));
        let is_right = |far: &Vec<String>| {
            println!("too far: {far:?}");
            far.is_empty()
        };
        assert!(looks.any(|far| is_right(&far)), "{arrivals:?}: not once in {LOOKS_MAX} looks as in theory");
    }
}

/// People press Ctrl-C when nothing comes any more: what hangs then is what the percentiles are to show.
#[test]
fn a_run_that_is_broken_off_in_a_freeze_shows_it() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut plan = Plan::new(server.address("echo").tcp().to_string().parse().unwrap());
    (plan.clients, plan.warmup, plan.duration) = (8, Duration::ZERO, Duration::from_secs(3_600));
    plan.pace = Pace::Open { rate_per_second: RATE, arrivals: Arrivals::Constant };
    let mut stopped = None;
    let report = run_watched(&plan, &EchoLoad::new(64, plan.seed), |progress| {
        if stopped.is_none() && progress.passed >= BEFORE {
            server.signal(Signal::SIGSTOP);
            stopped = Some(Instant::now());
        }
        match stopped {
            Some(since) if since.elapsed() >= FREEZE => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    let (report, freeze) = (report.unwrap(), stopped.unwrap().elapsed());
    server.signal(Signal::SIGCONT);
    let (latency, due) = (&report.latency, report.measured_ns as f64 / 1e9 * RATE);
    assert!((latency.count as f64 - due).abs() <= 1.5, "{} of {due} that fell due", latency.count);
    let waiting = RATE * FREEZE.as_secs_f64();
    assert!(report.unanswered as f64 >= waiting - 1.0, "{} of {waiting}", report.unanswered);
    // The first request in the freeze waited for all of it. None waited longer, except on a busy machine.
    let (seen, frozen) = (Duration::from_nanos(latency.max_ns), FREEZE.mul_f64(0.9));
    assert!(seen >= frozen, "{seen:?}, frozen for {freeze:?}");
    assert!(Duration::from_nanos(latency.p75_ns) > FREEZE / 3, "{}", latency.p75_ns);
}

#[test]
fn the_closed_loop_is_blind_to_it_as_documented() {
    let (report, freeze) = frozen(Pace::Closed, 1);
    let freeze_ns = freeze.as_nanos() as f64;
    assert!(report.latency.max_ns as f64 > freeze_ns * 0.8, "one request met the freeze");
    assert!(
        (report.latency.p99_ns as f64) < freeze_ns / 10.0,
        "the others were not sent: {}",
        report.latency.p99_ns
    );
}
