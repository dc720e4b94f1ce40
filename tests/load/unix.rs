//! The load generator at Unix sockets, whose queue lets clients wait without an event.

use std::io::{Read, Write};
use std::time::Duration;

use oneloop::load::clients::EchoLoad;
use oneloop::load::{Plan, run};

fn plan(server: &str) -> Plan {
    let mut plan = Plan::new(server.parse().unwrap());
    (plan.warmup, plan.duration) = (Duration::from_millis(50), Duration::from_millis(300));
    plan
}

#[test]
fn a_unix_socket_is_a_target_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let (mut stream, mut buf) = (stream.unwrap(), [0; 4096]);
                while let Ok(len @ 1..) = stream.read(&mut buf) {
                    if stream.write_all(&buf[..len]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let mut plan = plan(&format!("unix:{}", path.display()));
    plan.clients = 8;
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    assert_eq!(report.errors.total() + report.errors_before.total(), 0, "{:?}", report.first_error);
    assert!(report.requests > 0);
}

/// A Unix socket that accepts no connection. Its queue takes one or two clients; the others wait.
struct FullUnix {
    target: String,
    _held: (tempfile::TempDir, socket2::Socket),
}

impl FullUnix {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(1).unwrap();
        FullUnix { target: format!("unix:{}", path.display()), _held: (folder, socket) }
    }
}

/// Only on Linux the queue lets them wait; elsewhere it refuses them.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_a_unix_socket_has_no_room_for_gives_up_in_its_time() {
    let full = FullUnix::new();
    let mut plan = plan(&full.target);
    (plan.clients, plan.idle, plan.reply_timeout) = (20, 10, Duration::from_millis(100));
    plan.connect_timeout = Duration::from_millis(80);
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    let (idle, errors) = (report.idle.lost, report.errors.and(report.errors_before));
    assert!(report.connections.established <= 2, "{:?}", report.connections);
    assert_eq!(
        (idle.connect_timeout, idle.total()),
        (10 - report.connections.established, idle.connect_timeout)
    );
    assert!(errors.connect_timeout >= 20 && errors.connect_timeout == errors.total(), "{errors:?}");
}

/// There is no event when a full queue of a Unix socket has room again; to retry without a pause would take
/// the server's CPU.
#[test]
fn a_full_queue_of_a_unix_socket_is_asked_now_and_then() {
    let full = FullUnix::new();
    let mut plan = plan(&full.target);
    (plan.clients, plan.churn, plan.reply_timeout) = (20, true, Duration::from_millis(600));
    let report = run(&plan, &EchoLoad::new(64, plan.seed)).unwrap();
    assert_eq!(report.errors.total(), 20, "those in the queue and those before it: {:?}", report.errors);
    let (calls, run_ms) = (report.connections.attempted, report.wall_ns / 1_000_000);
    assert!(calls <= 20 + run_ms, "{calls} calls of connect in {run_ms} ms");
}
