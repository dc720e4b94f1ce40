//! One table of conversations, run against every model: a new service is one line of `TALKS`, a new model one
//! of `crate::common::faulty::models`.
#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::common::client::Ended;
use crate::common::faulty::models;
use crate::common::{Client, Server};

/// What a client sends, and what it receives up to the end of the connection.
struct Talk {
    service: &'static str,
    sent: &'static [u8],
    received: ExpectedReply,
}

enum ExpectedReply {
    Exactly(&'static [u8]),
    /// A text that depends on the time of day: its length, and its end.
    Text {
        bytes: std::ops::RangeInclusive<usize>,
        ends: &'static [u8],
    },
    /// No end: it begins like this, and the client leaves.
    Begins(&'static [u8]),
}

const TALKS: [Talk; 9] = [
    Talk { service: "echo", sent: b"some bytes\0\xff\r\nand more", received: ExpectedReply::Exactly(b"some bytes\0\xff\r\nand more") },
    Talk { service: "echo", sent: b"", received: ExpectedReply::Exactly(b"") },
    Talk { service: "discard", sent: b"some bytes\0\xff\r\nand more", received: ExpectedReply::Exactly(b"") },
    Talk { service: "message", sent: b"hello\n", received: ExpectedReply::Exactly(b"I got your message") },
    Talk { service: "message", sent: b"without a newline", received: ExpectedReply::Exactly(b"I got your message") },
    Talk { service: "daytime", sent: b"", received: ExpectedReply::Text { bytes: 10..=80, ends: b"\r\n" } },
    Talk { service: "time", sent: b"", received: ExpectedReply::Text { bytes: 4..=4, ends: b"" } },
    Talk { service: "chargen", sent: b"ignored", received: ExpectedReply::Begins(b" !\"#$%&'()*+,-./0123456789") },
    Talk {
        service: "http",
        sent: b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        received: ExpectedReply::Text { bytes: 200..=4000, ends: b"" },
    },
];

/// How the bytes sent are split on their way.
#[derive(Clone, Copy, Debug)]
enum Split {
    Whole,
    Halves,
    Bytes,
    /// With pauses, as a slow client's network does.
    Slow,
}

/// How the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Departure {
    /// It ends its side and receives all of the answer.
    HalfCloses,
    /// It closes without reading.
    Early,
    Resets,
}

fn send_split(client: &mut Client, sent: &[u8], split: Split) {
    let (piece, pause) = match split {
        Split::Whole => (sent.len().max(1), Duration::ZERO),
        Split::Halves => (sent.len().div_ceil(2).max(1), Duration::ZERO),
        Split::Bytes => (1, Duration::ZERO),
        Split::Slow => (sent.len().div_ceil(4).max(1), Duration::from_millis(3)),
    };
    for piece in sent.chunks(piece) {
        // A service that speaks first and leaves may have left.
        let _ = client.try_send(piece);
        if !pause.is_zero() {
            crate::common::pace(pause);
        }
    }
}

fn expect_reply(client: &mut Client, expected: &ExpectedReply, of: &str) {
    match expected {
        ExpectedReply::Exactly(expected) => {
            assert_eq!(client.rest(), (expected.to_vec(), Ended::Closed), "{of}");
        }
        ExpectedReply::Text { bytes, ends } => {
            let (got, _) = client.rest();
            assert!(bytes.contains(&got.len()) && got.ends_with(ends), "{of}: {}", got.escape_ascii());
        }
        ExpectedReply::Begins(expected) => client.expect_exact(expected),
    }
}

fn serve(args: &[String], more: &[&str]) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "the file\n").unwrap();
    let mut all: Vec<String> = args.to_vec();
    all.extend(more.iter().map(ToString::to_string));
    for service in ["echo", "discard", "message", "daytime", "time", "chargen"] {
        all.push(format!("{service}@127.0.0.1:0"));
    }
    all.push(format!("http={}@127.0.0.1:0", folder.path().display()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    (Server::serve(&all), folder)
}

#[test]
fn every_model_holds_every_conversation_however_it_is_split_and_however_the_client_leaves() {
    for args in models(3) {
        let (mut server, _folder) = serve(&args, &[]);
        let mut clients = 0;
        for talk in &TALKS {
            for split in [Split::Whole, Split::Halves, Split::Bytes, Split::Slow] {
                for departure in [Departure::HalfCloses, Departure::Early, Departure::Resets] {
                    let of = format!("{args:?} {} {split:?} {departure:?}", talk.service);
                    let mut client = server.client(talk.service);
                    clients += 1;
                    send_split(&mut client, talk.sent, split);
                    match departure {
                        Departure::HalfCloses => {
                            if !matches!(talk.received, ExpectedReply::Begins(_)) {
                                let _ = client.socket().shutdown(std::net::Shutdown::Write);
                            }
                            expect_reply(&mut client, &talk.received, &of);
                        }
                        Departure::Early => drop(client),
                        Departure::Resets => client.reset(),
                    }
                }
            }
        }
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        let told = server.stderr();
        // Every client has one end, however it left, and no end was a failure of the server.
        assert!(told.contains(&format!("accepted={clients} open=0")), "{args:?}: {clients} in\n{told}");
        for never in ["panicked=", "crashed=", "contract=", "drain-cut="] {
            assert!(!told.contains(never), "{args:?}: {never} in\n{told}");
        }
    }
}

#[test]
fn every_model_keeps_the_deadlines_and_has_the_same_reasons_for_them() {
    for args in models(3) {
        let (mut server, _folder) =
            serve(&args, &["--idle=150ms", "--request=150ms", "--rate-window=150ms", "--rate-bytes=4KiB"]);
        server.client("echo").expect_end();
        let mut slow = server.client("http");
        slow.send(b"GET / HT");
        assert!(slow.rest().0.starts_with(b"HTTP/1.1 408"), "{args:?}");
        drop(slow);
        let deaf = server.client("chargen"); // reads nothing
        server.expect_log("ended: rate-too-low", 1);
        drop(deaf);
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        let told = server.stderr();
        for reason in ["idle-timeout=1", "rate-too-low=1"] {
            assert!(told.contains(reason), "{args:?}: {reason} in\n{told}");
        }
    }
}

#[test]
fn every_model_ends_a_drain_in_time_while_a_client_reads_a_big_file_slowly() {
    for args in models(3) {
        // With a share that the file does not use up only a call that comes back early ends it.
        let (mut server, folder) = serve(&args, &["--drain=300ms", "--write-per-turn=1GiB"]);
        let big = std::fs::File::create(folder.path().join("big")).unwrap();
        big.set_len(256 << 20).unwrap();
        let mut client = server.client("http");
        client.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
        client.expect_exact(b"HTTP/1.1 200 OK");
        let reader = client.another_handle();
        let trickle = std::thread::spawn(move || {
            let mut some = [0; 16 << 10];
            // It ends after the server: a read of a cut connection fails or returns 0.
            while std::io::Read::read(&mut reader.socket(), &mut some).is_ok_and(|len| len > 0) {
                crate::common::pace(Duration::from_millis(5));
            }
        });
        let began = std::time::Instant::now();
        assert_eq!(server.stop().code(), Some(0), "{args:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{args:?}: {:?}", began.elapsed());
        assert!(server.stderr().contains("drain-cut=1"), "{args:?}:\n{}", server.stderr());
        drop(client);
        drop(trickle); // it still reads what is left in the kernel, and is not joined
    }
}
