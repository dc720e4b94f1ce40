//! `oneloop load` of a URL: the request that is sent, and what statuses decide.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};

use crate::common::Server;

/// A server that answers each request with `answer`, and its first requests as they came.
fn web(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (requests, seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, requests) = (stream.unwrap(), requests.clone());
            std::thread::spawn(move || {
                let mut buf = [0; 4096];
                // The requests of these tests come in one piece.
                while let Ok(len @ 1..) = stream.read(&mut buf) {
                    let _ = requests.send(String::from_utf8_lossy(&buf[..len]).into_owned());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, seen)
}

fn load(url: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(["load", url, "--warmup=20ms", "--duration=100ms", "-c1"]).args(args).env_remove("RUST_LOG");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn the_request_is_sent_as_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, "{\"a\": 1}").unwrap();
    let from_file = format!("@{}", file.display());
    let (url, requests) = web(EMPTY);
    let host = url.strip_prefix("http://").unwrap();
    let agent = concat!("User-Agent: oneloop/", env!("CARGO_PKG_VERSION"), "\r\n");
    for (args, expected) in [
        (&[][..], format!("GET /x HTTP/1.1\r\nHost: {host}\r\n{agent}Accept: */*\r\n\r\n")),
        (
            &["-d", "a=1&b=2"],
            format!(
                "POST /x HTTP/1.1\r\nHost: {host}\r\n{agent}Accept: */*\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2"
            ),
        ),
        (
            &[
                "-XPUT",
                "--data",
                &from_file,
                "-H",
                "content-type: application/json",
                "-H",
                "Host: h",
                "-HAccept:",
                "-H",
                "user-agent:",
            ],
            "PUT /x HTTP/1.1\r\ncontent-type: application/json\r\nHost: h\r\nContent-Length: 8\r\n\r\n{\"a\": 1}"
                .to_owned(),
        ),
    ] {
        while requests.try_recv().is_ok() {}
        let done = load(&format!("{url}/x"), args);
        assert!(done.status.success(), "{args:?}: {done:?}");
        assert_eq!(requests.recv().unwrap(), expected, "{args:?}");
    }
}

#[test]
fn a_reply_to_head_has_no_body_whatever_its_head_declares() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), [b'x'; 1000]).unwrap();
    let mut server = Server::serve(&[&format!("http={}@127.0.0.1:0", folder.path().display())]);
    let url = format!("http://{}/file", server.address("http").tcp());
    let done = load(&url, &["--method", "HEAD"]);
    assert!(done.status.success(), "{done:?}");
    assert!(text(&done.stdout).contains("statuses     200: all"), "{}", text(&done.stdout));
}

#[test]
fn a_run_without_a_reply_of_2xx_fails_unless_a_check_allows_it() {
    let (url, _requests) = web("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let refused = load(&url, &[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(text(&refused.stderr).contains("2xx>0 does not hold: it was 0"), "{refused:?}");
    assert!(text(&refused.stdout).contains("statuses     503: all"), "{}", text(&refused.stdout));
    assert!(text(&refused.stdout).contains("errors       0\n"), "{}", text(&refused.stdout));
    for (check, code) in [("status=503", 0), ("5xx>99%", 0), ("503=0", 3), ("status=200", 3)] {
        let done = load(&url, &["--expect", check]);
        assert_eq!(done.status.code(), Some(code), "{check}: {done:?}");
    }
}

#[test]
fn what_is_no_request_is_reported_with_what_to_write() {
    let (url, _requests) = web(EMPTY);
    for (args, shown) in [
        (&["-X", "GE T"][..], "--method: \"GE T\" is not a method"),
        (&["-H", "Accept"], "a field is written as 'NAME: VALUE'"),
        (&["-H", "Content-Length: 3"], "Content-Length follows from the body"),
        (&["-d", "@/no/such/file"], "cannot read \"/no/such/file\""),
    ] {
        let done = load(&url, args);
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        assert!(text(&done.stderr).contains(shown), "{shown} in {done:?}");
    }
    let echo = load("echo", &["-d", "x"]);
    assert!(text(&echo.stderr).contains("--data has no effect with echo"), "{echo:?}");
}
