//! Statuses, framing, and when a connection ends.

use super::*;

#[test]
fn a_session_is_small_and_an_idle_one_owns_nothing() {
    assert!(size_of::<HttpSession>() <= 40, "{}", size_of::<HttpSession>());
}

/// Requests, and the status that RFC 9110 gives each.
const STATUSES: [(&str, u16); 67] = [
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("GET http://h/hello.txt?x HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("GET / HTTP/1.0\r\n\r\n", 200),
    ("GET / HTTP/1.7\r\nHost: h\r\n\r\n", 200),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
    ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 204),
    ("OPTIONS /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n", 204),
    ("OPTIONS /a%2fb HTTP/1.1\r\nHost: h\r\n\r\n", 204),
    ("GET /sub%20dir HTTP/1.1\r\nHost: h\r\n\r\n", 301),
    ("GET /empty/ HTTP/1.1\r\nHost: h\r\n\r\n", 403),
    ("GET /leak HTTP/1.1\r\nHost: h\r\n\r\n", 403),
    ("GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ("GET /hello.txt/ HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ("GET /.secret HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ("GET /%2esecret HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 405),
    ("DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    ("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 405),
    ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    ("PRI * HTTP/2.0\r\n\r\n", 505),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", 400),
    ("GET /\r\n\r\n", 400),
    ("GET / http/1.1\r\nHost: h\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("GET /.. HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: h\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nA B: c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\n: c\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\nx", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nx", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999999\r\n\r\n", 413),
    ("GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", 417),
    ("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, tea\r\n\r\n", 417),
    ("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue,\r\n\r\n", 200),
    ("GET / HTTP/1.1\r\nHost: h\r\nExpect:\r\n\r\n", 200),
    ("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: tea\r\n\r\n", 417),
    ("GET / HTTP/1.0\r\nExpect: tea\r\n\r\n", 200),
];

#[test]
fn each_request_gets_the_status_that_rfc_9110_gives_it() {
    let (_dir, http) = site(|_| {});
    let long = "a".repeat(9000);
    let fields = "a: b\r\n".repeat(101);
    let with_bounds: [(&str, u16); 5] = [
        (&format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        (&long, 414),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\nA: {long}{long}\r\n\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "a: b\r\n".repeat(4000)), 431),
    ];
    for (request, expected) in STATUSES.into_iter().chain(with_bounds) {
        let answers = ask(&http, request);
        assert_eq!(statuses(&answers), [expected], "{request:?} was answered with {answers:?}");
        if matches!(expected, 400 | 413 | 414 | 417 | 431 | 505) && !request.contains(" /.. ") {
            let closes = field(&answers, "Connection") == Some("close");
            assert!(closes || request.contains("* ") || request.contains("%00"), "{request:?}: {answers:?}");
        }
    }
    let refused = ask(&http, "PUT / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(field(&refused, "Allow"), Some("GET, HEAD, OPTIONS"));
    let moved = get(&http, "/sub%20dir?q=1", "");
    assert_eq!(field(&moved, "Location"), Some("sub%20dir/?q=1"));
}

/// With any prefix of a reverse proxy and any name: no part is taken for a host or a scheme.
#[test]
fn a_redirect_to_a_directory_is_relative_to_the_path_that_was_asked_for() {
    let (dir, http) = site(|_| {});
    for below in ["a/deep", "http:x"] {
        std::fs::create_dir_all(dir.path().join("root").join(below)).unwrap();
    }
    for (target, location) in [
        ("/sub%20dir", "sub%20dir/"),
        ("//sub%20dir", "sub%20dir/"),
        ("http://h/sub%20dir", "sub%20dir/"),
        ("/a/deep?x=1", "deep/?x=1"),
        ("/empty/../a/./deep", "deep/"),
        ("/http:x", "http%3Ax/"),
    ] {
        let moved = get(&http, target, "");
        assert_eq!((statuses(&moved), field(&moved, "Location")), (vec![301], Some(location)), "{target}");
    }
}

/// For certificates (ACME), app links, security.txt. Other names with a dot, beside it or below it, stay
/// hidden.
#[test]
fn well_known_files_are_served_and_other_names_with_a_dot_are_not() {
    let (dir, http) = site(|_| {});
    let root = dir.path().join("root");
    for below in [".well-known", ".well-known/.git", "empty/.well-known"] {
        std::fs::create_dir_all(root.join(below)).unwrap();
        write(&root.join(below).join("file"), b"known");
    }
    write(&root.join(".well-known/.secret"), b"secret");
    assert_eq!(body(&get(&http, "/.well-known/file", "")), "known");
    assert_eq!(field(&get(&http, "/.well-known", ""), "Location"), Some(".well-known/"));
    for hidden in ["/.well-known/.secret", "/.well-known/.git/file", "/empty/.well-known/file", "/.secret"] {
        assert_eq!(statuses(&get(&http, hidden, "")), [404], "{hidden}");
    }
}

/// As `curl` sends it when a name is typed.
#[test]
fn a_name_that_is_not_ascii_is_found_with_and_without_escapes() {
    let (dir, http) = site(|_| {});
    write(&dir.path().join("root/größe"), b"1.80 m");
    for target in ["/größe", "/gr%C3%B6%C3%9Fe", "/gr\u{f6}%C3%9Fe?\u{e9}"] {
        assert_eq!(body(&get(&http, target, "")), "1.80 m", "{target}");
    }
}

/// A target may have characters that a URI cannot have (RFC 3986, section 3.4): the query is kept whole, and
/// is not taken for anything else.
#[test]
fn a_redirect_keeps_the_query_as_a_uri_has_it() {
    let (_dir, http) = site(|_| {});
    for (query, kept) in [
        ("a=b&c=%20;:@/?!$'()*+,-._~", "a=b&c=%20;:@/?!$'()*+,-._~"),
        ("q=\u{e4}", "q=%C3%A4"),
        ("a#b", "a%23b"),
        ("\"<>[\\]^`{|}", "%22%3C%3E%5B%5C%5D%5E%60%7B%7C%7D"),
    ] {
        let moved = get(&http, &format!("/sub%20dir?{query}"), "");
        assert_eq!(field(&moved, "Location"), Some(format!("sub%20dir/?{kept}").as_str()));
    }
}

#[test]
fn each_bound_holds_to_the_byte() {
    use super::bounds::{BODY_BYTES_MAX, CHUNK_LINE_BYTES_MAX, HEADERS_MAX, LINE_BYTES_MAX};
    type OfSize<'a> = &'a dyn Fn(usize) -> String;
    let head_bytes = HttpConfig::default().head_bytes_max as usize;
    let (_dir, http) = site(|_| {});
    let (_other, cookies) =
        site_with(&HttpConfig { head_bytes_max: 200_000, ..HttpConfig::default() }, |_| {});
    let filled = |before: &str, behind: &str, bytes: usize| {
        format!("{before}{}{behind}", "a".repeat(bytes - before.len() - behind.len()))
    };
    let begin = "GET / HTTP/1.1\r\nHost: h\r\n";
    let coded = format!("{begin}Transfer-Encoding: chunked\r\n\r\n");
    let line = |bytes| filled("GET /?", " HTTP/1.1\r\n", bytes) + "Host: h\r\n\r\n";
    let field = |bytes| filled(&format!("{begin}Cookie: "), "\r\n\r\n", bytes);
    let head = |bytes| filled(&format!("{begin}{}A: ", "A: b\r\n".repeat(50)), "\r\n\r\n", bytes);
    let fields = |count| format!("{begin}{}\r\n", "A: b\r\n".repeat(count - 1));
    let body = |bytes| format!("{begin}Content-Length: {bytes}\r\n\r\n") + &"a".repeat(bytes);
    let chunk_line = |bytes| format!("{coded}{}a\r\n0\r\n\r\n", filled("1;", "\r\n", bytes));
    let chunks =
        |bytes: usize| format!("{coded}{:x}\r\n{}", bytes - 14, filled("", "\r\n0\r\n\r\n", bytes - 7));
    let body_max = BODY_BYTES_MAX as usize;
    let table: [(&Http, OfSize<'_>, usize, u16); 10] = [
        (&http, &line, LINE_BYTES_MAX, 414),
        (&http, &field, head_bytes, 431),
        (&http, &head, head_bytes, 431),
        (&http, &fields, HEADERS_MAX, 431),
        (&http, &body, body_max, 413),
        (&http, &chunk_line, CHUNK_LINE_BYTES_MAX, 400),
        (&http, &chunks, body_max, 413),
        (&cookies, &line, LINE_BYTES_MAX, 414),
        (&cookies, &field, 200_000, 431),
        (&cookies, &head, 200_000, 431),
    ];
    for (http, request, max, beyond) in table {
        for (size, status) in [(max, 200), (max + 1, beyond)] {
            let answers = ask(http, &request(size));
            assert_eq!(statuses(&answers), [status], "{size} where {max} are allowed, else {beyond}");
        }
    }
}

#[test]
fn a_connection_stays_open_or_closes_by_its_version() {
    let (_dir, http) = site(|_| {});
    let table = [
        ("1.1", "", None, 2),
        ("1.1", "Connection: close\r\n", Some("close"), 1),
        ("1.1", "Connection: x, Close\r\n", Some("close"), 1),
        ("1.0", "", Some("close"), 1),
        ("1.0", "Connection: keep-alive\r\n", Some("keep-alive"), 2),
        ("1.0", "Connection: keep-alive, close\r\n", Some("close"), 1),
    ];
    for (version, fields, connection, count) in table {
        for target in ["/hello.txt", "/big.bin", "/nothing"] {
            let request = format!("GET {target} HTTP/{version}\r\nHost: h\r\n{fields}\r\n");
            let answers = ask(&http, &format!("{request}{request}"));
            assert_eq!(answers.matches("HTTP/1.1 ").count(), count, "{request}");
            assert_eq!(field(&answers, "Connection"), connection, "{request}");
        }
    }
}

#[test]
fn bodies_are_skipped_to_the_next_request() {
    let (_dir, http) = site(|_| {});
    let next = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let length =
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n{next}");
    assert_eq!(statuses(&ask(&http, &length)), [405, 200]);
    let chunked = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: x\r\n\r\n{next}"
    );
    assert_eq!(statuses(&ask(&http, &chunked)), [200, 200]);
    let expects = "Host: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(statuses(&ask(&http, &format!("GET / HTTP/1.1\r\n{expects}abc{next}"))), [100, 200, 200]);
    let refused = ask(&http, &format!("PUT / HTTP/1.1\r\n{expects}"));
    assert_eq!((statuses(&refused), field(&refused, "Connection")), (vec![405], Some("close")));
    for (method, status) in [("GET", 413), ("PUT", 405)] {
        let too_long =
            ask(&http, &format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n"));
        assert_eq!((statuses(&too_long), field(&too_long, "Connection")), (vec![status], Some("close")));
    }
}

#[test]
fn a_slow_request_gets_408_and_an_idle_client_gets_nothing() {
    let (_dir, http) = site(|_| {});
    for partial in
        ["G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"]
    {
        let mut client = Rehearsal::open(&http, OUT);
        client.feed(partial.as_bytes());
        assert_eq!(client.state(), State::Waits(Wait::Rest));
        client.call(Call::Expired(Wait::Rest));
        assert_eq!(statuses(&String::from_utf8_lossy(&client.answer)), [408]);
        assert!(matches!(client.state(), State::Done(Next::NeedInput(_))));
    }
    let mut client = Rehearsal::open(&http, OUT);
    client.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n").answer.clear();
    assert_eq!(client.state(), State::Waits(Wait::NextRequest), "an empty line begins nothing");
    client.call(Call::Expired(Wait::NextRequest));
    assert_eq!(client.answer, b"");
}

#[test]
fn a_stopping_server_answers_pending_requests_and_announces_the_close() {
    let (_dir, http) = site(|_| {});
    let request = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut idle = Rehearsal::open(&http, OUT);
    idle.call(Call::Stopping);
    assert_eq!(idle.state(), State::Done(Next::Finish));
    let mut begun = Rehearsal::open(&http, OUT);
    begun.feed(&request.as_bytes()[..9]);
    begun.call(Call::Stopping);
    assert_eq!(begun.state(), State::Waits(Wait::Rest));
    let service = stopping(&http, &[request, request].concat());
    assert_eq!(statuses(&service), [200, 200]);
    let (first, second) = service.split_at(service.rfind("HTTP/1.1").unwrap());
    assert_eq!((field(first, "Connection"), field(second, "Connection")), (None, Some("close")));
    let with_body = stopping(&http, "GET /hello.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((statuses(&with_body), field(&with_body, "Connection")), (vec![200], Some("close")));
}

#[test]
fn requests_that_come_together_are_answered_in_parts_between_which_others_have_their_turn() {
    use crate::session::{ClientInfo, Input, Now, Outbox, Peer, Service, Session};
    let (_dir, http) = site(|_| {});
    let mut session = http.open(&ClientInfo::new(Peer::UNIX, Peer::UNIX));
    let now = Now { monotonic_ms: 0, wall: SystemTime::UNIX_EPOCH };
    let request = b"HEAD /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let bytes = request.repeat(1000);
    let mut out = Outbox::new(1 << 20);
    let progress = session.advance(Input::new(&bytes, Call::Ready, now), &mut out);
    assert_eq!(progress.next, Next::Again);
    assert!((1..=100).contains(&(progress.consumed / request.len())), "{progress:?}");
}

/// The answers to `requests` that have arrived when the server stops.
fn stopping(http: &Http, requests: &str) -> String {
    use crate::session::{ClientInfo, Input, Now, Outbox, Peer, Service, Session};
    let mut session = http.open(&ClientInfo::new(Peer::UNIX, Peer::UNIX));
    let now = Now { monotonic_ms: 0, wall: SystemTime::UNIX_EPOCH };
    let input = Input::new(requests.as_bytes(), Call::Stopping, now);
    let mut out = Outbox::new(OUT);
    assert_eq!(session.advance(input, &mut out).next, Next::Finish);
    let mut slices = [std::io::IoSlice::new(&[]); 16];
    let crate::session::Front::Bytes { count, .. } = out.front(&mut slices) else {
        panic!("nothing was said")
    };
    slices[..count].iter().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect()
}

#[test]
fn an_answer_to_head_is_that_to_get_without_its_body_whatever_its_status() {
    let (_dir, http) = site(|config| config.listing = true);
    let table = [
        ("/hello.txt HTTP/1.1\r\nHost: h", 200),
        ("/big.bin HTTP/1.1\r\nHost: h", 200),
        ("/sub%20dir/ HTTP/1.1\r\nHost: h", 200),
        ("/nothing HTTP/1.1\r\nHost: h", 404),
        ("/leak HTTP/1.1\r\nHost: h", 403),
        ("/hello.txt HTTP/1.1\r\nHost: h\r\nIf-Match: \"x\"", 412),
        ("/ HTTP/1.1", 400),
        ("/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x, chunked", 501),
    ];
    for (rest, status) in table {
        let answer = ask(&http, &format!("HEAD {rest}\r\n\r\n"));
        assert_eq!((statuses(&answer), body(&answer)), (vec![status], ""), "HEAD {rest}");
        let got = ask(&http, &format!("GET {rest}\r\n\r\n"));
        assert_eq!(answer.strip_suffix("\r\n\r\n"), got.split_once("\r\n\r\n").map(|(head, _)| head));
    }
}
