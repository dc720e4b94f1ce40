//! How many clients there may be, in all and from one address, and what happens to the next one.

#[cfg(target_os = "linux")]
use std::net::Ipv6Addr;
use std::net::{IpAddr, Ipv4Addr};

use crate::common::http::Site;
use crate::common::inside::Inside;
use crate::common::{Client, Server, eventually};
use oneloop::limits::Limits;
use oneloop::services::Echo;
use oneloop::session::{Refusal, Service};
use oneloop::telemetry::Reason;

#[test]
fn over_the_limit_a_client_is_refused_and_counted_until_one_leaves() {
    let mut server = Server::serve(&["--clients=2", "echo@127.0.0.1:0"]);
    let (mut first, mut second) = (server.client("echo"), server.client("echo"));
    first.expect_echo(b"one");
    second.expect_echo(b"two");
    for _ in 0..10 {
        server.client("echo").expect_end();
    }
    server.expect_log("ended: refused-clients", 10);
    drop(first);
    server.expect_log("ended: peer-closed", 1);
    server.client("echo").expect_echo(b"there is room again");
    second.expect_echo(b"and I was not disturbed");
}

/// It is about the listener of the real loop. Once the loop rests, an answer to the third would have come.
#[test]
fn with_wait_a_client_over_the_limit_waits_for_its_turn() {
    let mut server = Server::serve(&["--clients=2", "--overflow=wait", "echo@127.0.0.1:0"]);
    let (mut first, mut second) = (server.client("echo"), server.client("echo"));
    first.expect_echo(b"one");
    second.expect_echo(b"two");
    let mut third = server.client("echo");
    third.send(b"three");
    second.expect_echo(b"those inside are served");
    #[cfg(target_os = "linux")]
    server.quiet();
    third.expect_nothing_yet();
    drop(first);
    third.expect_exact(b"three");
}

#[test]
fn with_wait_a_listener_with_many_in_its_queue_leaves_places_to_the_others() {
    let args = ["--clients=1", "--overflow=wait", "echo@127.0.0.1:0", "message@127.0.0.1:0"];
    for (crowded, other) in [("echo", "message"), ("message", "echo")] {
        let mut server = Server::serve(&args);
        let mut inside = server.client("echo");
        inside.expect_echo(b"inside");
        let mut crowd: Vec<Client> = (0..20).map(|_| server.client(crowded)).collect();
        let mut alone = server.client(other);
        alone.send(b"asked\n");
        alone.half_close();
        drop(inside);
        // Each place goes to the crowd or to the other; those of the crowd leave it one after the other.
        for mut client in crowd.drain(..2) {
            client.half_close();
            client.expect_end();
        }
        assert!(!alone.rest().0.is_empty(), "{other} is served beside those who wait for {crowded}");
    }
}

#[test]
fn with_evict_the_longest_idle_leaves() {
    let mut server = Server::serve(&["--clients=2", "--overflow=evict", "echo@127.0.0.1:0"]);
    let (mut first, mut second) = (server.client("echo"), server.client("echo"));
    first.expect_echo(b"one");
    second.expect_echo(b"two");
    first.expect_echo(b"I am the later one now");
    let mut third = server.client("echo");
    third.expect_echo(b"three");
    second.expect_end();
    first.expect_echo(b"still here");
    server.expect_log("ended: evicted", 1);
}

/// An urgent byte wakes the loop and brings nothing.
#[test]
fn a_check_for_eviction_does_not_reset_idle_time() {
    let mut server = Server::serve(&["--clients=2", "--overflow=evict", "echo@127.0.0.1:0"]);
    let (mut first, mut second) = (server.client("echo"), server.client("echo"));
    first.expect_echo(b"one");
    second.expect_echo(b"two");
    first.send_urgent(b'!');
    server.quiet();
    let mut third = server.client("echo");
    third.expect_echo(b"three");
    first.expect_end();
    second.expect_echo(b"still here");
}

/// An empty line before a request is none (RFC 9112, section 2.2).
#[test]
fn bytes_that_are_not_a_request_do_not_reset_idle_time() {
    let site = Site::new();
    site.file("index.html", "home");
    let ask = |client: &mut Client| assert_eq!(crate::common::http::get(client, "/", "").status, 200);
    // The last ones cannot become a request either.
    for pieces in [&[&b"\r"[..], b"\n"][..], &[b"\r\n", b"\r"], &[b"\r", b"\r"], &[b" ", b"GET"], &[b"\x16"]]
    {
        let mut server = site.serve(&["--clients=2", "--overflow=evict"]);
        let (mut first, mut second) = (server.client("http"), server.client("http"));
        ask(&mut first);
        ask(&mut second);
        for piece in pieces {
            first.send(piece);
            server.quiet();
        }
        ask(&mut server.client("http"));
        assert_eq!(first.rest().0, b"", "{pieces:?}");
        ask(&mut second);
    }
}

/// A crowd that requests much and reads nothing fills the buffers; a client with small buffers is not reset.
#[test]
fn over_the_limit_of_all_buffers_those_with_the_largest_are_reset_and_counted() {
    const CROWD: usize = 40;
    /// At least: each holds some 15 KB or more, as the buffers of the kernel leave it.
    const GONE: usize = CROWD / 4;
    let site = Site::new();
    site.file("index.html", "x".repeat(4 << 10));
    let models: [&[&str]; 4] =
        [&[], &["--workers=2"], &["--model=thread"], &["--model=prethread", "--workers=41"]];
    for model in models {
        let mut server = site
            .serve(&[&["--buffers=256KiB", "--drain=0", "--rate-window=0", "--request=0"], model].concat());
        let address = server.address("http");
        let mut good = Client::connect(&address);
        good.send(b"GET / HTTP/1.1\r\nHost: a\r\n");
        let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
        let mut crowd: Vec<Client> = (0..CROWD).map(|_| Client::connect_narrow(&address)).collect();
        for client in &mut crowd {
            let _ = client.try_send(&requests); // it may be gone already
        }
        server.expect_log("ended: buffers-full", GONE);
        good.send(b"\r\n");
        assert_eq!(crate::common::http::receive(&mut good, "GET").status, 200, "{model:?}");
        server.stop();
        let log = server.stderr();
        let gone = log.matches("ended: buffers-full").count();
        assert!(gone < CROWD && log.contains(&format!("buffers-full={gone}")), "{model:?}: {gone} of {log}");
    }
}

#[test]
fn a_limit_per_address_is_each_addresses_own() {
    let mut server = Server::serve(&["--clients-per-address=2", "echo@127.0.0.1:0", "echo@[::1]:0"]);
    let addresses = server.addresses("echo", 2);
    let from = |last| Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), &addresses[0]);
    let mut inside: Vec<Client> = [7, 7, 8, 8].map(from).into();
    inside.extend([Client::connect(&addresses[1]), Client::connect(&addresses[1])]);
    for client in &mut inside {
        client.expect_echo(b"inside");
    }
    from(7).expect_end();
    from(8).expect_end();
    Client::connect(&addresses[1]).expect_end();
    server.expect_log("ended: refused-address", 3);
    drop(inside.remove(0));
    server.expect_log("ended: peer-closed", 1);
    from(7).expect_echo(b"one place was free");
}

#[test]
fn clients_of_a_unix_socket_have_no_address_to_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    let unix = format!("echo@unix:{}", path.display());
    let mut server = Server::serve(&["--clients-per-address=1", &unix, "time@127.0.0.1:0"]);
    let mut clients: Vec<Client> = (0..5).map(|_| server.client("echo")).collect();
    for client in &mut clients {
        client.expect_echo(b"inside");
    }
    assert!(server.stop().success());
    assert!(!path.exists(), "the socket's path is removed at the end");
}

/// A machine has one loopback address of IPv6, so the addresses are those of a network namespace: this very
/// test, started again in one by `unshare(1)`, makes them on its own loopback.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_per_address_counts_a_slash_64_as_one() {
    let addresses = SITES.map(|address| format!("ip -6 addr add {address}/128 dev lo nodad")).join(" && ");
    crate::common::namespace::in_a_network(&addresses, sites_of_ipv6);
}

/// Two addresses of one /64, and one of the next.
#[cfg(target_os = "linux")]
const SITES: [&str; 3] = ["2001:db8:1:1::1", "2001:db8:1:1:ffff::2", "2001:db8:1:2::1"];

#[cfg(target_os = "linux")]
fn sites_of_ipv6() {
    let mut server = Server::serve(&["--clients-per-address=2", "echo@[::]:0"]);
    let port = server.address("echo").tcp().port();
    let from = |source: &str| {
        let source: Ipv6Addr = source.parse().unwrap();
        let to = crate::common::Address::Tcp((SITES[0].parse::<Ipv6Addr>().unwrap(), port).into());
        Client::connect_from(IpAddr::V6(source), &to)
    };
    let [mut one, mut other] = [from(SITES[0]), from(SITES[1])];
    one.expect_echo(b"one");
    other.expect_echo(b"another address of the same site");
    from(SITES[0]).expect_end();
    from(SITES[1]).expect_end();
    server.expect_log("ended: refused-address", 2);
    from(SITES[2]).expect_echo(b"the next /64 is somebody else");
    drop(one);
    server.expect_log("ended: peer-closed", 2);
    from(SITES[1]).expect_echo(b"there is room again");
}

/// Echo with last words for refused clients.
#[derive(Clone)]
struct Polite;

impl Service for Polite {
    type Session = <Echo as Service>::Session;

    fn open(&self, client: &oneloop::session::ClientInfo<'_>) -> Self::Session {
        Echo.open(client)
    }

    fn refusal(&self, _why: Refusal) -> &[u8] {
        b"full\n"
    }
}

#[test]
fn a_limit_may_be_the_largest_number_there_is() {
    let most = Limits { clients_max: u32::MAX, refusals_max: u32::MAX, ..Limits::default() };
    for limits in [most.clone(), Limits { clients_max: 1, ..most }] {
        let (server, refuses) = (Inside::serve(limits.clone(), Polite), limits.clients_max == 1);
        let (mut first, mut second) = (server.client(), server.client());
        first.expect_echo(b"one");
        if refuses {
            assert_eq!(second.rest().0, b"full\n");
        } else {
            second.expect_echo(b"two");
        }
        drop((first, second));
        assert_eq!(server.drain().counters.of(Reason::RefusedClients), u64::from(refuses));
    }
}

/// Each refused connection waits for its client's close: without a bound, forever.
#[test]
fn few_refused_clients_linger_at_once_and_the_others_are_closed_without_last_words() {
    let site = Site::new();
    site.file("index.html", "home");
    for model in ["reactor", "fork", "thread"] {
        let limits = ["--clients=1", "--refusals=2", "--refusal-linger=1h"];
        let mut server = site.serve(&[&["--model", model], &limits[..]].concat());
        let mut ask = || {
            let mut client = server.client("http");
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            client
        };
        let mut inside = ask();
        inside.expect_exact(b"HTTP/1.1 200");
        let mut lingering = [ask(), ask()];
        for client in &mut lingering {
            client.expect_exact(b"HTTP/1.1 503");
        }
        for _ in 0..5 {
            assert_eq!(ask().rest().0.escape_ascii().to_string(), "", "{model}");
        }
        drop(lingering);
        eventually("one of them has gone", || ask().rest().0.starts_with(b"HTTP/1.1 503"));
    }
}
