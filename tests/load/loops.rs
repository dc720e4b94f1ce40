//! The load generator against servers of the test: what it counts is what happened.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use oneloop::limits::Limits;
use oneloop::load::clients::{ChargenLoad, DiscardLoad, EchoLoad, HttpLoad, MessageLoad};
use oneloop::load::report::{Arrivals, Pace, Phase, Report};
use oneloop::load::{Plan, RunError, Workload, run, run_watched};
use oneloop::services::{Chargen, Discard, Echo, Message};
use oneloop::session::Service;

use crate::common::full_queue::FullQueue;
use crate::common::inside::Inside;

/// A server whose every connection is handled by `handle` in a thread of its own.
fn server(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || handle(stream.unwrap()));
        }
    });
    addr
}

fn plan(server: &impl ToString) -> Plan {
    let mut plan = Plan::new(server.to_string().parse().unwrap());
    plan.warmup = Duration::from_millis(50);
    plan.duration = Duration::from_millis(300);
    plan.interval = Duration::from_millis(50);
    plan
}

fn open_loop(rate_per_second: f64, arrivals: Arrivals) -> Pace {
    Pace::Open { rate_per_second, arrivals }
}

/// Runs and expects no error.
#[track_caller]
fn clean(plan: &Plan, workload: &impl Workload) -> Report {
    let report = run(plan, workload).unwrap();
    assert_eq!(report.errors.total() + report.errors_before.total(), 0, "{:?}", report.first_error);
    assert_eq!(report.missed_sends, 0);
    assert!(report.requests > 0);
    report
}

fn within_one_percent(seen: f64, expected: f64) -> bool {
    (seen / expected - 1.0).abs() < 0.01
}

#[test]
fn a_closed_loop_keeps_every_client_busy_and_its_numbers_agree() {
    let echo = Inside::serve(Limits::default(), Echo);
    let mut plan = plan(&echo.addr());
    (plan.clients, plan.depth) = (8, 4);
    let report = clean(&plan, &EchoLoad::new(100, plan.seed));
    assert_eq!(report.connections.established, 8);
    assert_eq!(report.bytes_in / 100, report.requests, "what came is whole replies");
    assert!(report.fairness.clients == 8 && report.fairness.requests_min > 0);
    assert!(within_one_percent(report.outstanding_mean, 32.0), "{}", report.outstanding_mean);
    let little = report.requests_per_second * report.latency.mean_ns / 1e9;
    assert!((little / 32.0 - 1.0).abs() < 0.1, "Little's law: {little} of 32 in flight");
    let sum: u64 = report.series.iter().filter(|i| i.phase == Phase::Measuring).map(|i| i.requests).sum();
    assert_eq!(sum, report.requests, "the series adds up");
    assert!(report.generator.utilisation > 0.0 && report.generator.cpu_per_request_us > 0.0);
}

#[test]
fn every_service_has_a_client_that_finds_it_right() {
    fn check<S: Service + Send>(service: S, workload: &impl Workload, change: impl Fn(&mut Plan)) -> Report {
        let inside = Inside::serve(Limits::default(), service);
        let mut plan = plan(&inside.addr());
        plan.clients = 3;
        change(&mut plan);
        clean(&plan, workload)
    }
    let echo = check(Echo, &EchoLoad::new(300_000, 3), |plan| plan.depth = 2);
    assert_eq!(echo.configuration.request_bytes, 300_000);
    let message = check(Message, &MessageLoad::new(64), |_| ());
    assert!(message.configuration.churn, "the message service ends each connection");
    assert_eq!(message.connections.open_max, 3);
    assert!(message.connections.established_measured + 3 >= message.requests, "but for those under way");
    let discard = check(Discard, &DiscardLoad::new(10_000, 3), |_| ());
    assert_eq!(discard.bytes_in, 0);
    let chargen = check(Chargen, &ChargenLoad::new(1_000), |_| ());
    assert_eq!(chargen.bytes_out, 0);
}

#[test]
fn a_connection_per_request_is_just_that() {
    let echo = Inside::serve(Limits::default(), Echo);
    for pace in [Pace::Closed, open_loop(500.0, Arrivals::Poisson)] {
        let mut plan = plan(&echo.addr());
        (plan.clients, plan.churn, plan.pace) = (4, true, pace);
        let report = clean(&plan, &EchoLoad::new(64, plan.seed));
        let answered: u64 = report.series.iter().map(|interval| interval.requests).sum();
        assert_eq!(report.connections.established, answered);
        assert!(report.connections.open_max <= 4);
        assert!(report.latency.p50_ns > report.connect_latency.min_ns, "connecting is part of it");
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let echo = Inside::serve(Limits::default(), Echo);
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let mut plan = plan(&echo.addr());
        (plan.clients, plan.pace, plan.duration) = (16, open_loop(2_000.0, arrivals), Duration::from_secs(1));
        let report = clean(&plan, &EchoLoad::new(64, plan.seed));
        assert_eq!(report.connections.established, 16, "none connects again to no purpose at the end");
        assert_eq!(report.connections.ended_by_server, 0, "the run ended them");
        // Of a Poisson count of 2,000 the standard deviation is 45.
        let slack = if arrivals == Arrivals::Constant { 1 } else { 45 * 6 };
        assert!(report.latency.count.abs_diff(2_000) <= slack, "{}", report.latency.count);
        assert_eq!(report.send_lag.count, report.latency.count, "each was sent");
        assert_eq!(report.requests_due, report.latency.count, "and answered");
        let [sends, latency] = [report.send_lag.mean_ns, report.latency.mean_ns];
        assert!(latency > sends, "from the intended send to the answer: {latency}, to the send: {sends}");
    }
}

#[test]
fn wrong_bytes_are_noticed_even_when_only_the_order_is_wrong() {
    // Two requests of 8 bytes come together, and their echoes leave in the other order.
    let swapping = server(|mut stream| {
        let mut two = [0; 16];
        while stream.read_exact(&mut two).is_ok() {
            let swapped = [&two[8..], &two[..8]].concat();
            if stream.write_all(&swapped).is_err() {
                return;
            }
        }
    });
    let mut plan = plan(&swapping);
    plan.depth = 2;
    let report = run(&plan, &EchoLoad::new(8, plan.seed)).unwrap();
    assert_eq!(report.requests, 0);
    assert!(report.errors.wrong_bytes > 0, "{:?}", report.errors);
    assert_eq!(report.errors.total(), report.errors.wrong_bytes);
    assert!(report.first_error.unwrap().contains("differs"));
}

#[test]
fn each_error_of_a_server_has_its_class() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut errors = Vec::new();
    let mut run_against = |addr: SocketAddr, reply_timeout: Duration| {
        let mut plan = plan(&addr);
        (plan.warmup, plan.reply_timeout, plan.clients) = (Duration::ZERO, reply_timeout, 2);
        let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
        assert_eq!(report.requests, 0);
        errors.push(report.errors_before);
        report.errors
    };
    // A server that the machine keeps waiting is not to be taken for a silent one.
    let patient = Duration::from_secs(10);
    run_against(closed, patient);
    let silent = server(|stream| drop((std::thread::park(), stream)));
    let silent = run_against(silent, Duration::from_millis(60));
    assert!(silent.reply_timeout > 0 && silent.reply_timeout == silent.total(), "{silent:?}");
    let curt = run_against(server(|mut stream| drop(stream.read(&mut [0; 64]))), patient);
    assert!(curt.closed_early > 0 && curt.closed_early == curt.total(), "{curt:?}");
    // Closing with unread bytes makes the kernel send a reset.
    let rude = run_against(server(|mut stream| drop(stream.read(&mut [0; 1]))), patient);
    assert!(rude.reset > 0 && rude.reset == rude.total(), "{rude:?}");
    assert!(errors[0].refused >= 2 && errors[0].refused == errors[0].total(), "{:?}", errors[0]);
}

#[test]
fn a_connection_that_never_comes_is_a_connect_timeout() {
    let server = FullQueue::new();
    let mut plan = plan(&server.addr);
    (plan.warmup, plan.connect_timeout, plan.clients) = (Duration::ZERO, Duration::from_millis(60), 4);
    plan.reply_timeout = Duration::from_millis(60);
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    let timeouts = report.errors.connect_timeout + report.errors_before.connect_timeout;
    if cfg!(target_os = "linux") {
        assert!(timeouts > 0, "{:?} {:?}", report.errors, report.errors_before);
    }
}

#[test]
fn sends_that_no_connection_was_free_for_are_missed() {
    let silent = server(|stream| drop((std::thread::park(), stream)));
    let mut plan = plan(&silent);
    (plan.clients, plan.pace) = (1, open_loop(500.0, Arrivals::Constant));
    (plan.warmup, plan.duration) = (Duration::ZERO, Duration::from_millis(600));
    plan.reply_timeout = Duration::from_millis(700);
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    assert_eq!(report.requests_due, 300);
    let (missed, errors, unanswered) = (report.missed_sends, report.errors, report.unanswered);
    assert_eq!(missed + errors.total() + unanswered, 300, "each that fell due is accounted for");
    assert!(missed >= 298, "{missed}");
    // The first reply is owed for its whole timeout; the next request, sent when the first timed out, only
    // until the run ends.
    assert_eq!((errors.reply_timeout, errors.total(), unanswered), (1, 1, 1));
    assert_eq!(report.latency.count, unanswered, "it has waited for so long at least");
}

/// All unanswered requests are from the warm-up: if they were left out, the hang would not show.
#[test]
fn a_server_that_hangs_since_the_warm_up_shows_errors() {
    let silent = server(|stream| drop((std::thread::park(), stream)));
    let mut plan = plan(&silent);
    // All clients send when the warm-up begins, and never again: the measured span is over before the first
    // timeout.
    (plan.clients, plan.connect_first, plan.reply_timeout) = (3, true, Duration::from_millis(800));
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    assert_eq!((report.errors.reply_timeout, report.errors.total()), (3, 3), "{:?}", report.errors);
    assert_eq!((report.errors_before.total(), report.requests), (0, 0));
}

/// At this rate most is overdue when the span ends, and falls due then.
#[cfg(target_os = "linux")]
#[test]
fn requests_due_after_the_span_are_not_sent_within_it() {
    let silent = server(|stream| drop((std::thread::park(), stream)));
    let mut plan = plan(&silent);
    (plan.clients, plan.pace) = (1, open_loop(1e8, Arrivals::Constant));
    plan.reply_timeout = Duration::from_millis(50);
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    // The kernel adds up a thread's time with each of its ticks, of 4 ms or so.
    assert!(report.generator.utilisation < 1.05, "{:?} of {} ns", report.generator, report.measured_ns);
}

#[test]
fn idle_and_slow_crowds_are_there_and_do_not_count() {
    let echo = Inside::serve(Limits::default(), Echo);
    let mut plan = plan(&echo.addr());
    (plan.clients, plan.idle, plan.slow) = (2, 50, 4);
    (plan.slow_pause, plan.ramp) = (Duration::from_millis(5), Duration::from_millis(40));
    let report = clean(&plan, &EchoLoad::new(64, plan.seed));
    assert_eq!((report.idle.connected, report.idle.connected_at_end, report.idle.bytes_in), (50, 50, 0));
    assert_eq!((report.slow.connected, report.slow.connected_at_end), (4, 4));
    assert!(report.slow.bytes_in > 0 && report.slow.bytes_out > report.slow.bytes_in);
    assert_eq!(report.slow.wrong_bytes, 0);
    assert_eq!((report.connections.established, report.fairness.clients), (56, 2));
}

/// Connections come in the order in which they were begun: the crowd first, its idle clients before the slow
/// ones.
#[test]
fn clients_of_the_crowds_that_are_gone_are_counted_by_what_happened() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = plan(&listener.local_addr().unwrap());
    (plan.clients, plan.idle, plan.slow, plan.slow_pause) = (2, 4, 2, Duration::from_millis(5));
    let serving = std::thread::spawn(move || {
        let accept = || listener.accept().unwrap().0;
        drop(accept());
        let reset = accept();
        socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).unwrap();
        drop(reset);
        let _held = [accept(), accept()];
        let mut wrong = accept();
        wrong.write_all(b"what nobody asked for").unwrap();
        let _slow = accept();
        let active = [accept(), accept()].map(|mut stream| {
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream))
        });
        for echo in active {
            let _ = echo.join();
        }
    });
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    serving.join().unwrap();
    let (idle, slow) = (report.idle.lost, report.slow.lost);
    assert_eq!((idle.closed_early, idle.reset, idle.total()), (1, 1, 2), "{idle:?}");
    assert_eq!((slow.wrong_bytes, slow.total(), report.slow.wrong_bytes), (1, 1, 1), "{slow:?}");
    assert_eq!((report.idle.connected_at_end, report.slow.connected_at_end), (2, 1));
    let errors = report.errors.and(report.errors_before);
    assert_eq!((errors.wrong_bytes, errors.total()), (1, 1), "wrong bytes alone are an error: {errors:?}");
    assert!(report.requests > 0);
    let lost: u64 = report.series.iter().map(|interval| interval.crowd_lost).sum();
    let measured = report.series.iter().rfind(|interval| interval.phase == Phase::Measuring).unwrap();
    assert_eq!((lost, measured.crowd_open), (3, 3), "the series tells as well");
}

#[test]
fn slow_clients_are_slow_in_the_way_that_the_service_has() {
    fn moved<S: Service + Send>(service: S, workload: &impl Workload) -> (u64, u64) {
        let inside = Inside::serve(Limits::default(), service);
        let mut plan = plan(&inside.addr());
        (plan.slow, plan.slow_pause) = (4, Duration::from_millis(5));
        let report = clean(&plan, workload);
        assert_eq!(report.slow.connected_at_end, 4);
        // A byte per pause: each client transfers as many bytes as there are pauses in the run.
        let turns = report.wall_ns / 5_000_000 + 1;
        assert!(report.slow.bytes_in + report.slow.bytes_out <= 4 * turns, "{:?} in {turns}", report.slow);
        (report.slow.bytes_in, report.slow.bytes_out)
    }
    assert!(matches!(moved(Chargen, &ChargenLoad::new(1_000)), (1.., 0)));
    assert!(matches!(moved(Discard, &DiscardLoad::new(10_000, 3)), (0, 1..)));
}

#[test]
fn a_ramp_begins_clients_one_after_the_other() {
    let echo = Inside::serve(Limits::default(), Echo);
    let mut plan = plan(&echo.addr());
    (plan.clients, plan.ramp, plan.interval) = (10, Duration::from_secs(1), Duration::from_millis(20));
    let report = clean(&plan, &EchoLoad::new(64, plan.seed));
    let ramp: Vec<u64> = report
        .series
        .iter()
        .filter(|interval| interval.phase == Phase::Connecting)
        .map(|interval| interval.clients_open)
        .collect();
    assert!(ramp.is_sorted() && ramp.iter().any(|open| (3..=7).contains(open)), "{ramp:?}");
}

#[test]
fn a_plan_without_sense_or_descriptors_is_refused() {
    let mut none = plan(&"127.0.0.1:1");
    none.clients = 0;
    assert!(matches!(run(&none, &EchoLoad::new(1, 1)), Err(RunError::Plan(_))));
    let mut many = plan(&"127.0.0.1:1");
    many.idle = 15_000_000;
    let error = run(&many, &EchoLoad::new(1, 1)).unwrap_err();
    assert!(matches!(error, RunError::Descriptors { .. }), "{error}");
    assert!(error.to_string().contains("ulimit"), "{error}");
}

#[test]
fn a_run_that_is_broken_off_keeps_what_it_has() {
    let echo = Inside::serve(Limits::default(), Echo);
    let mut plan = plan(&echo.addr());
    plan.duration = Duration::from_secs(3_600);
    let workload = EchoLoad::new(64, plan.seed);
    let report = run_watched(&plan, &workload, |progress| match progress.phase {
        Phase::Measuring if progress.passed > Duration::from_millis(150) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .unwrap();
    assert!(report.interrupted && report.requests > 0 && report.measured_ns < 100_000_000_000);
}

#[test]
fn http_is_asked_and_checked() {
    let count = Arc::new(AtomicU64::new(0));
    let served = Arc::clone(&count);
    let web = server(move |mut stream| {
        let (mut seen, mut buf) = (Vec::new(), [0; 4096]);
        while let Ok(len @ 1..) = stream.read(&mut buf) {
            seen.extend_from_slice(&buf[..len]);
            while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                seen.drain(..end + 4);
                let number = served.fetch_add(1, SeqCst);
                let body = if number == 20 { "jello" } else { "hello" };
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    let mut plan = plan(&web);
    (plan.clients, plan.depth) = (2, 4);
    let report = run(&plan, &HttpLoad::new(&web.to_string(), "/", false)).unwrap();
    let wrong = report.errors.wrong_bytes + report.errors_before.wrong_bytes;
    assert!(report.requests > 0 && (1..=4).contains(&wrong), "{:?}", report.errors);
    assert!(report.first_error.unwrap().contains("body"));
}

#[cfg(target_os = "linux")]
#[test]
fn many_connections_come_from_many_addresses() {
    use std::collections::HashSet;
    use std::sync::Mutex;
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let peers = Arc::clone(&seen);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            peers.lock().unwrap().insert(stream.peer_addr().unwrap().ip());
            let _ = stream.write_all(b"x");
        }
    });
    let mut plan = plan(&addr);
    (plan.clients, plan.churn) = (16, true);
    plan.sources = vec!["127.3.0.0/31".parse().unwrap()];
    run(&plan, &EchoLoad::new(1, plan.seed)).unwrap();
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|ip| ip.to_string().starts_with("127.3.0.")), "{seen:?}");
}

#[test]
fn a_connection_per_request_needs_no_warm_up() {
    let echo = Inside::serve(Limits::default(), Echo);
    for pace in [Pace::Closed, open_loop(500.0, Arrivals::Constant)] {
        let mut plan = plan(&echo.addr());
        (plan.churn, plan.pace, plan.warmup) = (true, pace, Duration::ZERO);
        clean(&plan, &EchoLoad::new(64, plan.seed));
    }
}
