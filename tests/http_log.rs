//! The access log: lines that other programs read, with the bytes really sent.
#![cfg(feature = "cli")]

mod common;

use std::net::Shutdown;

use common::http::{Site, get};
use common::{Server, eventually};
use nix::sys::signal::Signal;

#[test]
fn answers_are_written_down_with_the_bytes_really_sent_and_the_file_is_reopened() {
    let site = Site::new();
    site.file("a", "content");
    site.file("big", vec![0; 50_000_000]);
    let (log, rotated) = (site.beside("log"), site.beside("log.1"));
    let path = log.to_str().unwrap();
    let mut server = site.serve(&["--access-log", path]);
    let mut client = server.client("http");
    get(&mut client, "/a?b", "Referer: from\r\nUser-Agent: \"quoted\"\r\n");
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    eventually("a line", || read(&log).ends_with('\n'));
    let line = read(&log);
    let (start, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(
        (start, rest),
        ("127.0.0.1 - -", "\"GET /a?b HTTP/1.1\" 200 7 \"from\" \"\\x22quoted\\x22\"\n")
    );
    assert!(time.len() == "10/Oct/2000:13:55:36 +0000".len() && time.ends_with(" +0000"), "{time}");
    std::fs::rename(&log, &rotated).unwrap();
    server.signal(Signal::SIGHUP);
    eventually("a new file", || log.exists());
    // A client that leaves in the midst of a download: what it got is counted, not what it asked for.
    let mut leaving = server.client("http");
    leaving.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut some = vec![0; 1_000_000];
    leaving.read_exact(&mut some);
    leaving.socket().shutdown(Shutdown::Both).unwrap();
    drop(leaving);
    eventually("the line of the cut download", || read(&log).contains("GET /big"));
    let line = read(&log);
    let sent: u64 = line.split("\" 200 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((900_000..50_000_000).contains(&sent), "{line}");
    assert_eq!(read(&rotated).lines().count(), 1);
}

#[test]
fn the_log_on_standard_output_is_in_the_common_format_if_asked() {
    let site = Site::new();
    site.file("a", "content");
    let spec = common::http::spec(&site.root());
    let mut server = Server::serve(&[&spec, "--access-log", "-", "--access-format", "common"]);
    get(&mut server.client("http"), "/a", "");
    get(&mut server.client("http"), "/none", "");
    eventually("two lines", || server.stdout().matches(" HTTP/1.1\" ").count() == 2);
    assert!(server.stdout().contains("\"GET /a HTTP/1.1\" 200 7\n"), "{}", server.stdout());
    assert!(server.stdout().contains("\"GET /none HTTP/1.1\" 404 "), "{}", server.stdout());
}

/// The loop's clients share buffers, not counts.
#[test]
fn what_another_service_sends_in_between_counts_in_no_line() {
    let site = Site::new();
    site.file("a", "content");
    let spec = common::http::spec(&site.root());
    let mut server = Server::serve(&[&spec, "echo@127.0.0.1:0", "--access-log", "-"]);
    let mut echo = server.client("echo");
    echo.send(&[b'e'; 5000]);
    echo.read_exact(&mut [0; 5000]);
    get(&mut server.client("http"), "/a", "");
    eventually("a line", || server.stdout().contains(" HTTP/1.1\" "));
    assert!(server.stdout().contains("\"GET /a HTTP/1.1\" 200 7 "), "{}", server.stdout());
}
