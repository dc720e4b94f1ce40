//! Servers that end connections, as they may: the load continues with new connections, without an error.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use oneloop::load::clients::{ChargenLoad, EchoLoad, HttpLoad};
use oneloop::load::report::{Arrivals, Pace, Report};
use oneloop::load::{Plan, run};

const HEAD_END: &[u8] = b"\r\n\r\n";

/// An HTTP server that answers up to `requests_max` requests of a connection, the last one with `Connection:
/// close`, and ignores what follows.
fn web(requests_max: u32) -> SocketAddr {
    serve(move |mut stream| {
        let (mut seen, mut buf, mut answered) = (Vec::new(), [0; 4096], 0);
        while let Ok(len @ 1..) = stream.read(&mut buf) {
            seen.extend_from_slice(&buf[..len]);
            while let Some(end) = seen.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
                seen.drain(..end + HEAD_END.len());
                answered += 1;
                let last = if answered == requests_max { "Connection: close\r\n" } else { "" };
                let answer = format!("HTTP/1.1 200 OK\r\n{last}Content-Length: 5\r\n\r\nhello");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                if answered == requests_max {
                    // Closing with unread bytes would be a reset, which is another story.
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    while let Ok(1..) = stream.read(&mut buf) {}
                    return;
                }
            }
        }
    })
}

fn serve(handle: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || handle(stream.unwrap()));
        }
    });
    addr
}

fn plan(server: SocketAddr) -> Plan {
    let mut plan = Plan::new(server.to_string().parse().unwrap());
    (plan.warmup, plan.duration) = (Duration::from_millis(50), Duration::from_millis(300));
    plan.clients = 2;
    plan
}

fn constant(rate_per_second: f64) -> Pace {
    Pace::Open { rate_per_second, arrivals: Arrivals::Constant }
}

#[track_caller]
fn without_error(report: &Report) {
    assert_eq!(report.errors.total() + report.errors_before.total(), 0, "{:?}", report.first_error);
    assert!(report.requests > 0);
}

#[test]
fn a_server_that_ends_each_connection_after_its_reply_causes_no_error() {
    let web = web(1);
    for pace in [Pace::Closed, constant(50_000.0)] {
        let mut plan = plan(web);
        (plan.pace, plan.reply_timeout) = (pace, Duration::from_millis(600));
        let report = run(&plan, &HttpLoad::new("h", "/", false)).unwrap();
        // The rate is more than two connections can do: requests wait for one all the time, up to the end of
        // all patience.
        assert!(report.unanswered <= 2 && pace != Pace::Closed || report.unanswered == 0, "{report:?}");
        assert!(report.send_lag.count <= report.latency.count, "nothing is begun behind a last reply");
        without_error(&report);
        assert!(report.connections.ended_by_server >= report.requests, "{:?}", report.connections);
    }
}

#[test]
fn requests_after_a_last_reply_are_sent_again() {
    let web = web(5);
    let mut plan = plan(web);
    (plan.pace, plan.depth) = (constant(2_000.0), 4);
    let report = run(&plan, &HttpLoad::new("h", "/", false)).unwrap();
    without_error(&report);
    assert!(
        report.latency.count.abs_diff(600) <= 1,
        "each that fell due is answered: {}",
        report.latency.count
    );
    plan.pace = Pace::Closed;
    without_error(&run(&plan, &HttpLoad::new("h", "/", false)).unwrap());
}

#[test]
fn a_connection_that_ends_while_no_reply_is_owed_is_not_an_error() {
    // Answers once, and ends the connection without a word; long before the client's next turn.
    let server = serve(|mut stream| {
        let mut buf = [0; 64];
        if stream.read_exact(&mut buf).is_ok() {
            let _ = stream.write_all(&buf);
        }
    });
    let mut plan = plan(server);
    (plan.clients, plan.pace, plan.warmup) = (1, constant(4.0), Duration::ZERO);
    plan.duration = Duration::from_millis(900);
    let report = run(&plan, &EchoLoad::new(64, 1)).unwrap();
    without_error(&report);
    assert!(report.connections.ended_by_server >= 3, "{:?}", report.connections);
}

/// Requests always wait for a connection: each new connection takes as many as it may have in flight.
#[test]
fn a_connection_that_is_new_takes_no_more_than_the_depth() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = serve(|mut stream| {
        let mut buf = [0; 4096];
        // The first bytes make it wait, so that whatever else is sent comes with them.
        let _ = stream.read_exact(&mut buf[..1]);
        std::thread::sleep(Duration::from_millis(10));
        let len = stream.read(&mut buf[1..]).map_or(0, |len| len + 1);
        MOST.fetch_max(len, SeqCst);
        let _ = stream.write_all(&buf[..len]);
    });
    let mut plan = plan(server);
    (plan.pace, plan.depth, plan.reply_timeout) = (constant(5_000.0), 2, Duration::from_millis(50));
    run(&plan, &EchoLoad::new(64, 1)).unwrap();
    assert_eq!(MOST.load(SeqCst), 2 * 64);
}

/// It owes nothing. It is not connected to in a tight loop either.
#[test]
fn a_connection_that_ends_before_it_was_used_is_opened_again_after_a_pause() {
    static ACCEPTED: AtomicUsize = AtomicUsize::new(0);
    let server = serve(|stream| {
        ACCEPTED.fetch_add(1, SeqCst);
        drop(stream);
    });
    let mut plan = plan(server);
    (plan.clients, plan.pace) = (1, constant(1.0));
    let report = run(&plan, &EchoLoad::new(64, 1)).unwrap();
    let errors = report.errors.and(report.errors_before);
    assert!(errors.total() <= 1, "of the one request that fell due: {errors:?}");
    assert!(report.connections.ended_by_server > 0, "{:?}", report.connections);
    // Without a pause a connection takes some 50 µs.
    assert!(ACCEPTED.load(SeqCst) < 200, "{ACCEPTED:?}");
}

/// Answers every request of `web` with what `answer` gives for its number; an empty answer resets the
/// connection.
fn answering(answer: fn(usize) -> &'static str) -> SocketAddr {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    serve(move |mut stream| {
        let (mut seen, mut buf) = (Vec::new(), [0; 4096]);
        while let Ok(len @ 1..) = stream.read(&mut buf) {
            seen.extend_from_slice(&buf[..len]);
            while let Some(end) = seen.windows(HEAD_END.len()).position(|window| window == HEAD_END) {
                seen.drain(..end + HEAD_END.len());
                let answer = answer(REQUESTS.fetch_add(1, SeqCst));
                if answer.is_empty() {
                    let linger = Some(Duration::ZERO);
                    let _ = socket2::SockRef::from(&stream).set_linger(linger);
                    return;
                }
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    })
}

/// As of a server that sheds load.
#[test]
fn a_reply_with_any_status_is_counted_by_it_and_keeps_its_connection() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    // With a folded field, followed by an empty line.
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nServer: a\r\n\tfold\r\nContent-Length: 4\r\n\r\nbusy\r\n";
    for pace in [Pace::Closed, constant(500.0)] {
        let mut plan = plan(answering(|number| if number % 2 == 0 { OK } else { BUSY }));
        plan.pace = pace;
        let report = run(&plan, &HttpLoad::new("h", "/", false)).unwrap();
        without_error(&report);
        assert_eq!(report.connections.established, 2, "{:?}", report.connections);
        let (ok, busy) = (report.replies_with(200..=200), report.replies_with(500..=599));
        assert_eq!(ok + busy, report.requests, "{:?}", report.statuses);
        assert!(ok.abs_diff(busy) <= 2 && ok > 0, "{:?}", report.statuses);
    }
}

#[test]
fn a_server_that_fails_now_and_then_is_loaded_as_one_that_does_not() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let plan = plan(answering(|number| if number % 10 == 9 { "" } else { OK }));
    let report = run(&plan, &HttpLoad::new("h", "/", false)).unwrap();
    // A client that paused for 100 ms after each failure would fail four times in this run.
    assert!(report.errors.reset > 2 * 2 * 4, "{:?}", report.errors);
    assert_eq!(report.errors.reset, report.errors.total(), "{:?}", report.first_error);
    assert!(report.requests > 8 * (report.errors.reset - 2), "{} requests", report.requests);
}

/// As `timeout http-request` of some proxies, which announce the end of an idle connection.
#[test]
fn a_timeout_announced_while_no_reply_is_owed_is_not_an_error() {
    let server = serve(|mut stream| {
        let mut buf = [0; 4096];
        stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        loop {
            match stream.read(&mut buf) {
                Ok(1..) => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
                }
                Ok(0) => return,
                Err(_) => {
                    let _ = stream.write_all(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    // Until the client ends: a request may cross the announcement.
                    stream.set_read_timeout(None).unwrap();
                    while let Ok(1..) = stream.read(&mut buf) {}
                    return;
                }
            }
        }
    });
    let mut plan = plan(server);
    plan.pace = constant(20.0);
    let report = run(&plan, &HttpLoad::new("h", "/", false)).unwrap();
    without_error(&report);
    assert!(report.connections.ended_by_server > 2, "{:?}", report.connections);
    assert!(report.replies_with(200..=200) > 0, "{:?}", report.statuses);
}

/// The last reply is right, and a byte more comes with it.
#[test]
fn bytes_after_a_last_reply_are_wrong() {
    let chatty = serve(|mut stream| {
        let (mut request, mut reply) = ([0; 64], [0; 65]);
        while stream.read_exact(&mut request).is_ok() {
            reply[..64].copy_from_slice(&request);
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
    });
    let mut plan = plan(chatty);
    plan.churn = true;
    let report = run(&plan, &EchoLoad::new(64, 1)).unwrap();
    let errors = report.errors.and(report.errors_before);
    assert!(errors.wrong_bytes > 0 && errors.wrong_bytes == errors.total(), "{errors:?}");
    let web = serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello!");
        while let Ok(1..) = stream.read(&mut [0; 4096]) {}
    });
    plan = self::plan(web);
    let report = run(&plan, &HttpLoad::new("h", "/", false)).unwrap();
    let errors = report.errors.and(report.errors_before);
    assert!(errors.wrong_bytes > 0 && errors.wrong_bytes == errors.total(), "{errors:?}");
}

/// The server cannot know which reply the client takes for the last one, but any bytes other than the pattern
/// are wrong.
#[test]
fn a_server_that_speaks_unasked_may_say_more() {
    let pattern = || oneloop::services::Chargen::pattern().to_vec();
    let speak = move |mut stream: TcpStream| {
        let lines = pattern();
        while stream.write_all(&lines).is_ok() {}
    };
    let mut plan = plan(serve(speak));
    plan.churn = true;
    without_error(&run(&plan, &ChargenLoad::new(100)).unwrap());
    let wrong = move |mut stream: TcpStream| {
        let said = [&pattern()[..100], b"\0"].concat();
        let _ = stream.write_all(&said);
        while let Ok(1..) = stream.read(&mut [0; 64]) {}
    };
    plan = self::plan(serve(wrong));
    plan.churn = true;
    let report = run(&plan, &ChargenLoad::new(100)).unwrap();
    assert!(report.errors.wrong_bytes > 0, "{:?}", report.first_error);
}
