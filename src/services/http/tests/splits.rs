//! Any bytes, split in any way.

use proptest::prelude::*;

use super::*;

fn requests() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        Just("GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n".to_owned()),
        Just("HEAD / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n".to_owned()),
        Just("GET /code.js HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n".to_owned()),
        Just("GET /big.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=5-9,50000-50100\r\n\r\n".to_owned()),
        Just("\r\nGET /nothing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned()),
        Just("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345".to_owned()),
        Just(
            "GET /sub%20dir/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
                .to_owned()
        ),
        Just("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab".to_owned()),
        Just("GET / HTTP/1.1\r\nHost : h\r\n\r\n".to_owned()),
        "[ -~\r\n]{0,40}",
    ];
    prop::collection::vec(one, 1..6).prop_map(|all| all.concat())
}

/// Scanned bytes are overwritten, except the last: after a line feed the scan checks the byte before it.
#[test]
fn the_end_of_a_head_is_found_without_looking_at_a_byte_again() {
    for head in [&b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"[..], b"\r\nGET / HTTP/1.0\r\n\r\n"] {
        let mut scan = codec::request::Scan::default();
        let mut arrived = Vec::new();
        for &byte in head {
            if let Some(at) = arrived.len().checked_sub(2) {
                arrived[at] = b'\n';
            }
            arrived.push(byte);
            let end = (arrived.len() == head.len()).then_some(head.len());
            assert_eq!(scan.head_end(&arrived, 16 << 10), Ok(end), "{}", arrived.escape_ascii());
        }
    }
}

/// Bytes after the deciding one must change neither the body (`HEAD` gets none) nor the report.
#[test]
fn a_refusal_and_its_report_do_not_depend_on_bytes_after_the_deciding_one() {
    let (_dir, http) = site(|_| {});
    let refused = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut client = Rehearsal::open(&http, OUT).reporting(AnswerDetail::Request);
        for piece in pieces {
            client.feed(piece);
        }
        assert_eq!(client.state(), State::Done(Next::Finish));
        assert_eq!(client.answers.len(), 1);
        (String::from_utf8(client.answer).unwrap(), client.answers)
    };
    let long = |line: &str, length: usize| format!("{line}{}", "a".repeat(length));
    let table = [
        ("\n\n\nHEAD / HTTP/1.1\r\n\r\n".to_owned(), "", 400, true),
        ("\r\n\r\nHEAD / HTTP/1.1\r\n\r\n".to_owned(), "", 400, true),
        ("HEAD /\nGET / HTTP/1.1\r\n\r\n".to_owned(), "HEAD /", 400, false),
        ("\r\nHEAD /\nGET".to_owned(), "HEAD /", 400, false),
        (" HEAD / HTTP/1.1\r\n\r\nmore".to_owned(), " HEAD / HTTP/1.1", 400, true),
        (long("HEAD /", 9_000), "HEAD /aaa", 414, false),
        (long("GET /", 9_000), "GET /aaa", 414, true),
        (long("HEAD / HTTP/1.1\r\nA: ", 17_000), "HEAD / HTTP/1.1", 431, false),
        (format!("HEAD / HTTP/1.1\r\n{}", "A: b\r\n".repeat(3_000)), "HEAD / HTTP/1.1", 431, false),
    ];
    for (stream, line, status, with_body) in table {
        let bytes = stream.as_bytes();
        let whole = refused(&mut std::iter::once(bytes));
        let shown = stream[..stream.len().min(40)].escape_debug();
        let info = &whole.1[0].0;
        let reported = info.request.as_ref().unwrap().get(RequestInfo::LINE).unwrap();
        assert_eq!(info.status, Some(status), "{shown}");
        assert!(reported.starts_with(line.as_bytes()), "{shown}: {}", reported.escape_ascii());
        assert!(reported.len() == line.len() || status == 414, "{shown}: {}", reported.escape_ascii());
        assert_eq!(!body(&whole.0).is_empty(), with_body, "{shown}");
        for step in [1, 2, 3, 7, 26, 4_096] {
            assert_eq!(refused(&mut bytes.chunks(step)), whole, "{shown} in steps of {step}");
        }
    }
}

/// Files in memory, copied after their heads or shared. The second answer finds some room after the first,
/// but not enough.
#[test]
fn an_answer_without_room_after_another_waits_for_room() {
    let (dir, http) = site(|_| {});
    for (size, target) in [(3_000, "/copied"), (6_000, "/shared")] {
        let content = "c".repeat(size);
        write(&dir.path().join("root").join(&target[1..]), content.as_bytes());
        for (fields, body) in [("", ""), ("Content-Length: 1\r\n", "x")] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}");
            let stream = request.repeat(3);
            let answers = rehearsal::answer(&http, &[stream.as_bytes()], true, size + 2_000);
            assert_eq!(String::from_utf8_lossy(&answers).matches(&content).count(), 3, "{request}");
            assert!(answers == rehearsal::answer(&http, &[stream.as_bytes()], true, OUT), "{request}");
        }
    }
}

proptest! {
    // Each case makes a directory.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_answer_depends_on_how_the_bytes_were_split_or_on_the_room(
        stream in requests(),
        cuts in prop::collection::vec(0usize..600, 0..6),
        room in prop_oneof![Just(64usize << 10), 30usize..3000],
    ) {
        let (_dir, http) = site(|config| config.listing = true);
        let bytes = stream.as_bytes();
        let whole = rehearsal::answer(&http, &[bytes], true, OUT);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        let pieces: Vec<_> = cuts.into_iter().map(|to| &bytes[std::mem::replace(&mut from, to)..to]).collect();
        prop_assert!(rehearsal::answer(&http, &pieces, true, room) == whole, "split differently");
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert!(rehearsal::answer(&http, &single, true, OUT) == whole, "byte by byte");
    }

    #[test]
    fn no_bytes_make_a_session_fail(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..60) {
        let (_dir, http) = site(|_| {});
        let mut request = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=1-\r\n\r\n".to_vec();
        let at = at.min(request.len());
        request.splice(at..at, bytes.iter().copied());
        for input in [&bytes[..], &request] {
            rehearsal::answer(&http, &[input], true, OUT);
        }
    }
}
