//! Conversations over real sockets, each with the section of the RFC that it follows.

use crate::common::Server;
use crate::common::client::Ended;
use crate::common::http::{Site, get, receive};
use oneloop::models::Model;

/// The state of the connection after a conversation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionAfter {
    Open,
    Closed,
}
use ConnectionAfter::{Closed, Open};

/// The section of the RFC, what is sent, which statuses come back, and what becomes of the connection.
type Conversation = (&'static str, &'static str, &'static [u16], ConnectionAfter);

const CONVERSATIONS: [Conversation; 74] = [
    ("9110 9.3.1", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open),
    ("9110 9.3.2", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open),
    ("9110 9.3.7", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", &[204], Open),
    ("9110 9.1", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", &[501], Open),
    ("9110 15.5.6", "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", &[405], Open),
    ("9110 15.5.5", "GET /none HTTP/1.1\r\nHost: h\r\n\r\n", &[404], Open),
    ("9110 15.4.2", "GET /folder HTTP/1.1\r\nHost: h\r\n\r\n", &[301], Open),
    ("9110 15.5.4", "GET /folder/ HTTP/1.1\r\nHost: h\r\n\r\n", &[403], Open),
    ("9110 15.3.7", "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\n\r\n", &[206], Open),
    ("9110 15.5.17", "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=999-\r\n\r\n", &[416], Open),
    ("9110 14.2", "GET / HTTP/1.1\r\nHost: h\r\nRange: lines=1-2\r\n\r\n", &[200], Open),
    ("9110 14.2", "HEAD / HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\n\r\n", &[200], Open),
    ("9110 14.6", "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1,5-6\r\n\r\n", &[206], Open),
    ("9110 13.1.5", "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nIf-Range: \"x\"\r\n\r\n", &[200], Open),
    ("9110 13.2.1", "GET /none HTTP/1.1\r\nHost: h\r\nIf-Match: \"x\"\r\n\r\n", &[404], Open),
    ("9110 13.1.1", "GET / HTTP/1.1\r\nHost: h\r\nIf-Match: \"x\"\r\n\r\n", &[412], Open),
    ("9110 13.1.2", "GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n", &[304], Open),
    (
        "9110 13.1.3",
        "GET / HTTP/1.1\r\nHost: h\r\nIf-Modified-Since: Sun, 06 Nov 2044 08:49:37 GMT\r\n\r\n",
        &[304],
        Open,
    ),
    (
        "9110 13.1.4",
        "GET / HTTP/1.1\r\nHost: h\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
        &[412],
        Open,
    ),
    (
        "9110 10.1.1",
        "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        &[100, 200],
        Open,
    ),
    (
        "9110 10.1.1",
        "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
        &[405],
        Closed,
    ),
    (
        "9110 10.1.1",
        "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n",
        &[413],
        Closed,
    ),
    (
        "9110 10.1.1",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        &[200],
        Open,
    ),
    ("9110 15.5.18", "GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", &[417], Closed),
    ("9110 15.6.6", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", &[505], Closed),
    ("9110 2.5", "GET / HTTP/1.9\r\nHost: h\r\n\r\n", &[200], Open),
    ("9112 2.2", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open),
    ("9112 2.2", "GET / HTTP/1.1\nHost: h\n\n", &[400], Closed),
    ("9112 2.2", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", &[400], Closed),
    ("9112 3", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", &[400], Closed),
    ("9112 3.2", "GET / HTTP/1.1\r\n\r\n", &[400], Closed),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[400], Closed),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: a:b:c\r\n\r\n", &[400], Closed),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: [[[\r\n\r\n", &[400], Closed),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: %zz\r\n\r\n", &[400], Closed),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: h:99999\r\n\r\n", &[400], Closed),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", &[200], Open),
    ("6874 4", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0.7]:80\r\n\r\n", &[200], Open),
    ("6874 4", "GET / HTTP/1.1\r\nHost: [fe80::1%eth0]\r\n\r\n", &[200], Open),
    ("6874 4", "GET / HTTP/1.1\r\nHost: [fe80::1%]\r\n\r\n", &[400], Closed),
    ("6874 4", "GET / HTTP/1.1\r\nHost: [fe80::1%e/h]\r\n\r\n", &[400], Closed),
    ("3986 3.2.2", "GET / HTTP/1.1\r\nHost: [v1.fe80::a+en1]:80\r\n\r\n", &[200], Open),
    ("3986 3.2.2", "GET / HTTP/1.1\r\nHost: [v.a]\r\n\r\n", &[400], Closed),
    ("3986 3.2.2", "GET / HTTP/1.1\r\nHost: [v1.]\r\n\r\n", &[400], Closed),
    ("6874 4", "GET http://[fe80::1%25eth0]/ HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost: h%41:\r\n\r\n", &[200], Open),
    ("9112 3.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n", &[200], Open),
    ("9110 4.2.1", "GET http://:80/ HTTP/1.1\r\nHost: h\r\n\r\n", &[400], Open),
    ("9110 4.2.1", "GET http://h:x/ HTTP/1.1\r\nHost: h\r\n\r\n", &[400], Open),
    ("9112 3.2.2", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", &[200], Open),
    ("9112 5.1", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", &[400], Closed),
    ("9112 5.2", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", &[400], Closed),
    ("9110 5.5", "GET / HTTP/1.1\r\nHost: h\r\nA: b\0\r\n\r\n", &[400], Closed),
    ("9112 6.1", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", &[501], Closed),
    (
        "9112 6.1",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x;a=b\r\nTransfer-Encoding: chunked\r\n\r\n",
        &[501],
        Closed,
    ),
    ("9112 6.3", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: foo\r\n\r\n", &[400], Closed),
    ("9112 6.3", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", &[400], Closed),
    ("9112 6.3", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked;a=b\r\n\r\n", &[400], Closed),
    ("9112 6.1", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: , chunked\r\n\r\n", &[400], Closed),
    ("9112 6.1", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400], Closed),
    (
        "9112 6.1",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
        Closed,
    ),
    ("9112 6.3", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", &[400], Closed),
    (
        "9112 6.3",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        &[400],
        Closed,
    ),
    ("9112 6.3", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\nx", &[400], Closed),
    ("9110 15.5.14", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", &[413], Closed),
    (
        "9112 7.1",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\nT: u\r\n\r\n",
        &[405],
        Open,
    ),
    ("9112 7.1", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", &[400], Closed),
    (
        "9112 7.1.2",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT : u\r\n\r\n",
        &[400],
        Closed,
    ),
    ("9112 9.3", "GET / HTTP/1.0\r\n\r\n", &[200], Closed),
    ("9112 9.3", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[200], Open),
    (
        "9112 9.6",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        &[200],
        Closed,
    ),
    (
        "9112 9.3.2",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        &[200, 404, 200],
        Open,
    ),
    ("3986 5.2.4", "GET /folder/../%2e%2e/x HTTP/1.1\r\nHost: h\r\n\r\n", &[400], Open),
    ("9112 3.2.3", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", &[405], Closed),
];

fn method(request: &str) -> &str {
    request.trim_start().split(' ').next().unwrap()
}

fn site() -> Site {
    let site = Site::new();
    site.file("index.html", "<p>home</p>");
    site.file("folder/file", "file");
    site
}

fn converse(server: &mut Server, (section, request, statuses, then): &Conversation) {
    let mut client = server.client("http");
    client.send(request.as_bytes());
    for status in *statuses {
        let answer = receive(&mut client, method(request));
        assert_eq!(answer.status, *status, "RFC {section}: {request:?} was answered with {answer:?}");
        assert!(*status == 100 || answer.field("date").is_some(), "RFC 9110 6.6.1: {answer:?}");
    }
    match then {
        Open => assert_eq!(get(&mut client, "/folder/file", "").text(), "file", "RFC {section}: {request:?}"),
        Closed => client.expect_end(),
    }
}

#[test]
fn every_conversation_follows_its_rfc_under_every_model() {
    let site = site();
    for model in Model::ALL {
        println!("under the model {}", model.name());
        let mut server = site.serve(&["--no-listing", "--model", model.name()]);
        for conversation in &CONVERSATIONS {
            converse(&mut server, conversation);
        }
    }
}

#[test]
fn a_line_a_field_and_their_number_have_bounds() {
    let site = site();
    let mut server = site.serve(&["--inbox", "16KiB"]); // the smallest in which a refusal has room to come about
    let long = "a".repeat(9_000);
    let half = &long[..6_000];
    let many = "A: b\r\n".repeat(101);
    for (request, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {long}{long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {half}\r\nB: {half}\r\nC: {half}\r\n\r\n"), 431),
    ] {
        let mut client = server.client("http");
        client.send(request.as_bytes());
        assert_eq!(receive(&mut client, "GET").status, status);
        client.expect_end();
    }
}

#[test]
fn a_client_too_many_gets_503() {
    let site = site();
    let mut server = site.serve(&["--clients", "1", "--header", "X-A: b"]);
    let mut first = server.client("http");
    assert_eq!(get(&mut first, "/", "").status, 200);
    let mut second = server.client("http");
    let answer = receive(&mut second, "GET");
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    assert_eq!(answer.field("x-a"), Some("b"), "what the operator says is sent with every answer");
    second.expect_end();
}

#[test]
fn every_model_sends_a_big_file_complete_and_in_ranges() {
    let site = site();
    let bytes: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    site.file("big", &bytes);
    for model in Model::ALL {
        println!("under the model {}", model.name());
        let mut server = site.serve(&["--model", model.name()]);
        let mut reader = server.client("http");
        assert!(get(&mut reader, "/big", "").body == bytes);
        let part = get(&mut reader, "/big", "Range: bytes=5000000-5999999\r\n");
        assert!(part.status == 206 && part.body == bytes[5_000_000..6_000_000]);
        let parts = get(&mut reader, "/big", "Range: bytes=0-9,-10\r\n");
        assert!(parts.field("content-type").unwrap().starts_with("multipart/byteranges; boundary="));
        assert_eq!(get(&mut reader, "/", "").status, 200, "the framing held");
    }
}

#[test]
fn others_are_served_while_a_big_file_waits_for_its_reader() {
    let site = site();
    site.file("big", vec![0; 20_000_000]);
    let mut server = site.serve(&[]);
    let mut reader = server.client("http");
    reader.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(get(&mut server.client("http"), "/", "").status, 200);
    assert_eq!(receive(&mut reader, "GET").body.len(), 20_000_000);
}

/// Bytes after the last request stay unread, and closing a socket with unread bytes causes a reset. The
/// client announced its last request; careless clients send an empty line after it nevertheless.
#[test]
fn bytes_after_the_last_request_do_not_destroy_unsent_answers() {
    let site = site();
    let big = vec![b'b'; 16 << 20];
    site.file("big", &big);
    for model in Model::ALL {
        println!("under the model {}", model.name());
        let mut server = site.serve(&["--model", model.name()]);
        let mut client = server.client("http");
        client.send(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        client.expect_exact(b"HTTP/1.1 200 OK\r\n");
        client.send(b"\r\n");
        let (rest, ended) = client.rest();
        assert!(rest.ends_with(&big) && ended == Ended::Closed, "{} bytes, {ended:?}", rest.len());
    }
}

#[test]
fn bytes_after_the_last_request_do_not_destroy_its_answer() {
    let site = site();
    site.file("big", vec![b'b'; 3_000_000]);
    for model in Model::ALL {
        println!("under the model {}", model.name());
        let mut server = site.serve(&["--model", model.name()]);
        for last in ["GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "nonsense\r\n\r\n"] {
            let mut client = server.client("http");
            client.send(&[last.as_bytes(), &vec![b'x'; 40_000]].concat());
            let answer = receive(&mut client, "GET");
            assert!(answer.status == 400 || answer.body.len() == 3_000_000, "{answer:?}");
            client.expect_end();
        }
    }
}

/// Nagle's algorithm keeps the second piece until the first is acknowledged (RFC 9293, section 3.7.4), and a
/// kernel delays that by at least 40 ms where it expects an answer to carry it.
#[cfg(target_os = "linux")]
#[test]
fn a_head_in_two_pieces_is_answered_without_waiting_for_a_delayed_acknowledgement() {
    use std::time::{Duration, Instant};
    const ROUNDS: usize = 20;
    let site = Site::new();
    site.file("index.html", "home");
    for model in ["reactor", "thread"] {
        let mut server = site.serve(&["--model", model]);
        let address = server.address("http");
        let mut kept = crate::common::Client::connect(&address);
        kept.socket().set_tcp_nodelay(false).unwrap();
        let ask = |client: &mut crate::common::Client| {
            let began = Instant::now();
            client.send(b"GET / HTTP/1.1\r\n");
            client.send(b"Host: h\r\n\r\n");
            assert_eq!(receive(client, "GET").status, 200);
            began.elapsed()
        };
        let fresh = (0..ROUNDS).map(|_| {
            let mut client = crate::common::Client::connect(&address);
            client.socket().set_tcp_nodelay(false).unwrap();
            ask(&mut client)
        });
        // The fastest: others may have kept the machine busy.
        let (fresh, kept) = (fresh.min().unwrap(), (0..ROUNDS).map(|_| ask(&mut kept)).min().unwrap());
        let delayed = Duration::from_millis(40);
        assert!(fresh < delayed && kept < delayed, "{model}: {fresh:?} fresh, {kept:?} kept");
    }
}
