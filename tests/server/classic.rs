//! The classic clients talk to the small services: `nc`, `telnet`, `rdate`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use crate::common::{Server, has_program};

/// Runs a client with `input`, which ends, and gives what it printed. It is bounded by `timeout(1)`.
///
/// The input is written while the output is read: with both pipes full, this and the client would wait for
/// each other.
fn talk(program: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("timeout")
        .args(["20", program])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    })
}

fn host_and_port(addr: SocketAddr) -> [String; 2] {
    [addr.ip().to_string(), addr.port().to_string()]
}

#[test]
fn netcat_has_its_text_back_over_ipv4_ipv6_and_a_unix_socket() {
    if !has_program("nc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock").display().to_string();
    let mut server = Server::serve(&["echo@127.0.0.1:0", "echo@[::1]:0", &format!("echo@unix:{path}")]);
    let text = b"all work and no play\n".repeat(10_000);
    for address in &server.addresses("echo", 3)[..2] {
        let [host, port] = host_and_port(address.tcp());
        assert!(talk("nc", &["-N", &host, &port], &text).stdout == text, "{address:?}");
    }
    assert!(talk("nc", &["-N", "-U", &path], &text).stdout == text);
}

#[test]
fn netcat_sends_a_message_and_is_answered() {
    if !has_program("nc") {
        return;
    }
    let mut server = Server::serve(&["message@127.0.0.1:0"]);
    let [host, port] = host_and_port(server.address("message").tcp());
    assert_eq!(talk("nc", &[&host, &port], b"Hello\n").stdout, b"I got your message");
    server.expect_log("Hello", 1);
}

#[test]
fn telnet_sends_a_message_and_is_answered() {
    if !has_program("telnet") {
        return;
    }
    let mut server = Server::serve(&["message@127.0.0.1:0"]);
    let [host, port] = host_and_port(server.address("message").tcp());
    // telnet ends with its input, so that stays open until the server has closed.
    let mut child = Command::new("timeout")
        .args(["20", "telnet", &host, &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"Hello\n").unwrap();
    let said = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    child.wait().unwrap();
    assert!(said.contains("I got your message"), "{said}");
    server.expect_log("Hello", 1);
}

#[test]
fn rdate_reads_the_time_of_rfc_868() {
    if !has_program("rdate") {
        return;
    }
    let mut server = Server::serve(&["time@127.0.0.1:0"]);
    let [host, port] = host_and_port(server.address("time").tcp());
    let output = talk("rdate", &["-p", "-o", &port, &host], b"");
    assert!(output.status.success(), "{output:?}");
    let year =
        String::from_utf8_lossy(&output.stdout).trim().rsplit(' ').next().unwrap_or_default().to_owned();
    assert!(year.parse::<u32>().is_ok_and(|year| year >= 2026), "{output:?}");
}
