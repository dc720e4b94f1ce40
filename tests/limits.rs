//! How many clients there may be, in all and from one address, and what happens to the next one.
#![cfg(feature = "cli")]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use common::{Client, Server};

#[test]
fn over_the_limit_a_client_is_refused_and_counted_until_one_leaves() {
    let mut server = Server::serve(&["--clients=2", "echo@127.0.0.1:0"]);
    let (mut first, mut second) = (server.client("echo"), server.client("echo"));
    first.expect_echo(b"one");
    second.expect_echo(b"two");
    for _ in 0..10 {
        server.client("echo").expect_end();
    }
    server.told("ended: refused-clients", 10);
    drop(first);
    server.told("ended: peer-closed", 1);
    server.client("echo").expect_echo(b"there is room again");
    second.expect_echo(b"and I was not disturbed");
}

#[test]
fn with_wait_a_client_over_the_limit_waits_for_its_turn() {
    let mut server = Server::serve(&["--clients=2", "--overflow=wait", "echo@127.0.0.1:0"]);
    let (mut first, mut second) = (server.client("echo"), server.client("echo"));
    first.expect_echo(b"one");
    second.expect_echo(b"two");
    let mut third = server.client("echo");
    third.send(b"three");
    third.expect_silence(Duration::from_millis(300));
    second.expect_echo(b"those inside are served");
    drop(first);
    third.expect_exact(b"three");
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
    server.told("ended: evicted", 1);
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
    server.told("ended: refused-address", 3);
    drop(inside.remove(0));
    server.told("ended: peer-closed", 1);
    from(7).expect_echo(b"one place was free");
}

#[test]
fn clients_of_a_unix_socket_have_no_address_to_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    let mut server = Server::serve(&["--clients-per-address=1", &format!("echo@unix:{}", path.display())]);
    let mut clients: Vec<Client> = (0..5).map(|_| server.client("echo")).collect();
    for client in &mut clients {
        client.expect_echo(b"inside");
    }
    assert!(server.stop().success());
    assert!(!path.exists(), "the socket's path is removed at the end");
}
