//! A client's reset, at whatever moment, is that client's end and nobody else's; signals interrupt nothing.
#![cfg(feature = "cli")]

mod common;

use common::{Client, Random, Server, pace};
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
    server.told("ended: reset", 20);
}

#[test]
fn a_reset_while_the_server_writes_is_no_sigpipe() {
    let mut server = Server::serve(&["chargen@127.0.0.1:0"]);
    for _ in 0..20 {
        let mut client = server.client("chargen");
        client.expect_exact(b" !\"#$%&'()*+,-./");
        client.reset();
    }
    server.told("ended: reset", 20);
    server.client("chargen").expect_exact(b" !\"#");
}

/// A reset that meets a half-closed socket makes the next write fail with EPIPE, and only that raises the signal; sendfile(2)
/// has no flag to suppress it.
#[test]
fn a_reset_after_a_half_close_while_the_server_writes_is_no_sigpipe() {
    let site = common::http::Site::new();
    site.file("big", vec![0; 64 << 20]);
    let mut server = Server::serve(&["chargen@127.0.0.1:0", &common::http::spec(&site.root())]);
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
    server.told("ended: reset", 40);
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
    server.told(" ended: ", 50);
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
