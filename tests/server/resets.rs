//! A reset, at any moment, ends only the connection it belongs to; signals interrupt nothing.

use crate::common::client::Ended;
use crate::common::{Client, Random, Server, eventually, pace};
use nix::sys::signal::Signal;
use std::time::Duration;

#[test]
fn a_reset_ends_its_client_alone() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut steady = server.client("echo");
    for _ in 0..20 {
        let mut client = server.client("echo");
        client.expect_echo(b"hello");
        client.reset();
        steady.expect_echo(b"still here");
    }
    server.expect_log("ended: reset", 20);
}

#[test]
fn a_reset_while_the_server_writes_causes_no_sigpipe() {
    let mut server = Server::serve(&["chargen@127.0.0.1:0"]);
    for _ in 0..20 {
        let mut client = server.client("chargen");
        client.expect_exact(b" !\"#$%&'()*+,-./");
        client.reset();
    }
    server.expect_log("ended: reset", 20);
    server.client("chargen").expect_exact(b" !\"#");
}

/// A reset that meets a half-closed socket makes the next write fail with EPIPE, and only that raises the
/// signal; sendfile(2) has no flag to suppress it.
#[test]
fn a_reset_after_a_half_close_while_the_server_writes_causes_no_sigpipe() {
    let site = crate::common::http::Site::new();
    site.file("big", vec![0; 64 << 20]);
    let mut server = Server::serve(&["chargen@127.0.0.1:0", &crate::common::http::spec(&site.root())]);
    for service in ["chargen", "http"] {
        for _ in 0..20 {
            let mut client = server.client(service);
            if service == "http" {
                client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
            }
            client.read_exact(&mut [0; 1000]);
            client.socket().shutdown(std::net::Shutdown::Write).unwrap();
            client.read_exact(&mut [0; 1000]);
            client.reset();
        }
    }
    server.expect_log("ended: reset", 40);
    server.client("chargen").expect_exact(b" !\"#");
}

#[test]
fn a_reset_with_unsent_answers_and_unread_bytes_ends_its_client_alone() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut random = Random::new();
    let mut steady = server.client("echo");
    for _ in 0..50 {
        let mut client = server.client("echo");
        let len = random.below(200 << 10);
        client.socket().set_nonblocking(true).unwrap();
        let _ = client.try_send(&random.bytes(len));
        client.reset();
        steady.expect_echo(b"still here");
    }
    server.expect_log(" ended: ", 50);
}

#[test]
fn a_client_gone_before_it_is_accepted_does_not_stop_accepting() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let address = server.address("echo");
    server.signal(Signal::SIGSTOP);
    for _ in 0..20 {
        Client::connect(&address).reset();
    }
    let mut after = Client::connect(&address);
    server.signal(Signal::SIGCONT);
    after.expect_echo(b"accepted");
}

#[test]
fn signals_in_the_midst_of_a_conversation_lose_nothing() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut random = Random::new();
    let mut client = server.client("echo");
    for round in 0..200 {
        let signal = [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGCONT, Signal::SIGPIPE][round % 4];
        server.signal(signal);
        let len = 1 + random.below(8 << 10);
        client.expect_echo(&random.bytes(len));
    }
    assert!(server.stop().success());
}

#[test]
fn a_stopped_and_continued_server_goes_on() {
    let mut server = Server::serve(&["echo@127.0.0.1:0"]);
    let mut client = server.client("echo");
    for _ in 0..5 {
        server.signal(Signal::SIGSTOP);
        client.send(b"while you slept");
        pace(Duration::from_millis(5));
        server.signal(Signal::SIGCONT);
        client.expect_exact(b"while you slept");
    }
}

/// Bytes that the kernel still holds for clients of `server`: sent and not acknowledged, or not sent
/// (`proc_pid_net(5)`).
#[cfg(target_os = "linux")]
fn kept_by_the_kernel(port: u16) -> u64 {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_port = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let local = words.get(1)?.rsplit_once(':')?.1;
        let unsent = words.get(4)?.split_once(':')?.0;
        (u16::from_str_radix(local, 16) == Ok(port)).then(|| u64::from_str_radix(unsent, 16).unwrap())
    };
    sockets.lines().filter_map(of_port).sum()
}

#[cfg(target_os = "linux")]
const MODELS: [&str; 6] = ["reactor", "iterative", "fork", "thread", "prefork", "prethread"];

/// A server of `chargen`, and a client of it that reads nothing, whose buffers are full.
#[cfg(target_os = "linux")]
fn full(args: &[&str]) -> (Server, Client, u16) {
    let mut server = Server::serve(&[&["chargen@127.0.0.1:0"], args].concat());
    let port = server.address("chargen").tcp().port();
    let client = server.client("chargen");
    let (mut last, mut same) = (0, 0);
    eventually("the buffers are full", || {
        let kept = kept_by_the_kernel(port);
        same = if kept > 0 && kept == last { same + 1 } else { 0 };
        last = kept;
        same == 50
    });
    (server, client, port)
}

/// A plain close would leave it to the kernel for minutes, even after the server has ended.
#[cfg(target_os = "linux")]
#[test]
fn the_kernel_keeps_nothing_for_a_client_that_is_cut() {
    for model in MODELS {
        let (mut server, client, port) = full(&["--model", model, "--drain=0"]);
        assert_eq!(server.stop().code(), Some(0), "{model}");
        assert_eq!(kept_by_the_kernel(port), 0, "{model}: the drain is over");
        drop(client);

        // It may be cut before the test has seen that its buffers are full.
        let mut server = Server::serve(&["chargen@127.0.0.1:0", "--model", model, "--rate-window=300ms"]);
        let port = server.address("chargen").tcp().port();
        let mut client = server.client("chargen");
        client.read_exact(&mut [0; 16]);
        let slow = "ended: rate-too-low";
        eventually("a client that does not read is cut", || {
            server.signal(Signal::SIGUSR1);
            server.stderr().contains(slow)
        });
        eventually("the kernel has forgotten it", || kept_by_the_kernel(port) == 0);
        drop(client);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_keeps_nothing_for_the_client_of_a_child_that_is_killed() {
    for model in ["fork", "prefork"] {
        let (server, client, port) = full(&["--model", model]);
        for (pid, _) in crate::common::faulty::children(server.pid()) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        eventually("the client is forgotten with its child", || kept_by_the_kernel(port) == 0);
        drop(client);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_holds_a_bounded_number_of_unsent_bytes_for_a_client() {
    let (_server, _client, port) = full(&[]);
    let kept = kept_by_the_kernel(port);
    assert!(kept <= 512 << 10, "{kept} bytes");
}

/// A file that fits into the buffers of both kernels, but not into that of the client's.
const MIDDLE_BYTES: usize = 250 << 10;

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_keeps_nothing_for_a_client_that_does_not_take_the_last_answer() {
    let site = crate::common::http::Site::new();
    site.file("middle", vec![b'm'; MIDDLE_BYTES]);
    for model in ["reactor", "fork", "thread"] {
        for ended in [false, true] {
            let args = ["--model", model, "--linger=100ms", "--rate-window=300ms"];
            let mut server = site.serve(&args);
            let port = server.address("http").tcp().port();
            let mut client = Client::connect_narrow(&server.address("http"));
            client.send(b"GET /middle HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            if ended {
                client.half_close();
            }
            client.read_exact(&mut [0; 15]);
            eventually("it is cut", || kept_by_the_kernel(port) == 0);
            assert_eq!(client.rest().1, Ended::Reset, "{model}, ended {ended}");
            server.stop();
            assert!(server.stderr().contains("rate-too-low"), "{model}:\n{}", server.stderr());
        }
    }
}

/// A file of which a narrow client's kernel takes a part, and of which the rest leaves at once when there is
/// room.
#[cfg(target_os = "linux")]
const SMALL_BYTES: usize = 12 << 10;

/// A site that serves this many clients at a time, and a client with a small receive buffer that has
/// requested `file` and taken its beginning.
#[cfg(target_os = "linux")]
fn narrow(site: &crate::common::http::Site, file: &str, places: u32) -> (Server, Client, u16) {
    let mut server = site.serve(&["--overflow=evict", &format!("--clients={places}")]);
    let port = server.address("http").tcp().port();
    let mut client = Client::connect_narrow(&server.address("http"));
    client.send(format!("GET /{file} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    client.read_exact(&mut [0; 15]);
    assert!(kept_by_the_kernel(port) > 0, "the client has taken it already");
    (server, client, port)
}

/// One more client, which stays when it has been answered.
#[cfg(target_os = "linux")]
fn newcomer(server: &mut Server) -> Client {
    let mut client = server.client("http");
    assert_eq!(crate::common::http::get(&mut client, "/none", "").status, 404);
    client
}

/// The answer to its last request may have been sent a moment ago.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_is_evicted_gets_the_last_of_its_answer() {
    let site = crate::common::http::Site::new();
    site.file("small", vec![b's'; SMALL_BYTES]);
    let (mut server, mut client, _) = narrow(&site, "small", 1);
    let _other = newcomer(&mut server);
    let (rest, end) = client.rest();
    assert_eq!(end, Ended::Closed);
    assert!(rest.ends_with(&vec![b's'; SMALL_BYTES]), "{} bytes", rest.len());
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_with_its_whole_answer_is_evicted_before_one_still_reading() {
    let site = crate::common::http::Site::new();
    site.file("middle", vec![b'm'; MIDDLE_BYTES]);
    let (mut server, mut client, port) = narrow(&site, "middle", 2);
    for _ in 0..3 {
        let _other = newcomer(&mut server);
    }
    assert!(kept_by_the_kernel(port) > 0);
    let mut body = vec![0; MIDDLE_BYTES];
    client.read_exact(&mut body);
    assert!(body.ends_with(b"mmm"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_keeps_nothing_for_a_client_that_is_evicted_with_much_to_read() {
    let site = crate::common::http::Site::new();
    site.file("middle", vec![b'm'; MIDDLE_BYTES]);
    let (mut server, mut client, port) = narrow(&site, "middle", 1);
    let _other = newcomer(&mut server);
    eventually("it is forgotten", || kept_by_the_kernel(port) == 0);
    assert_eq!(client.rest().1, Ended::Reset);
}

#[test]
fn a_slow_reader_gets_the_whole_last_answer() {
    let site = crate::common::http::Site::new();
    site.file("middle", vec![b'm'; MIDDLE_BYTES]);
    for model in ["reactor", "fork", "thread"] {
        for ended in [false, true] {
            let mut server = site.serve(&["--model", model, "--linger=50ms"]);
            let mut client = Client::connect_narrow(&server.address("http"));
            client.send(b"GET /middle HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            if ended {
                client.half_close();
            }
            client.read_exact(&mut [0; 15]);
            pace(Duration::from_millis(300)); // the linger is over
            let (rest, end) = client.rest();
            assert_eq!(end, Ended::Closed, "{model}, ended {ended}");
            assert!(rest.len() > MIDDLE_BYTES && rest.ends_with(&vec![b'm'; MIDDLE_BYTES]), "{}", rest.len());
            drop(client);
            eventually("it has ended", || server.stderr().contains(" ended: ") || model.contains("fork"));
        }
    }
}
