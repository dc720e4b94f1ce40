//! Conversations with a session, without sockets.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::session::rehearsal::{self, Rehearsal, State};
use crate::session::{Call, Next, Wait};

const OUT: usize = 64 << 10;

/// A site with a little of everything; files are from 2020, as the rehearsal's time is 2033.
fn site(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Http) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("sub dir")).unwrap();
    std::fs::create_dir_all(root.join("empty")).unwrap();
    write(&root.join("index.html"), b"<p>home");
    write(&root.join("hello.txt"), b"0123456789");
    write(&root.join("sub dir/file"), b"file");
    write(&root.join("big.bin"), &big());
    write(&root.join("code.js"), b"plain plain plain");
    write(&root.join("code.js.gz"), b"gzipped");
    write(&root.join("code.js.br"), b"brotli");
    write(&root.join(".secret"), b"secret");
    write(&dir.path().join("outside"), b"outside");
    symlink("../outside", root.join("leak")).unwrap();
    let mut config = Config::new(root);
    change(&mut config);
    (dir, Http::new(config).unwrap())
}

fn big() -> Vec<u8> {
    (0..100_000u32).flat_map(u32::to_le_bytes).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    set_modified(path, 1_600_000_000);
}

fn set_modified(path: &Path, second: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
}

fn ask(http: &Http, request: &str) -> String {
    String::from_utf8_lossy(&rehearsal::answer(http, &[request.as_bytes()], true, OUT)).into_owned()
}

fn get(http: &Http, target: &str, fields: &str) -> String {
    ask(http, &format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
}

/// The statuses of the answers in a stream; bodies of these tests have no line like a status line.
fn statuses(answers: &str) -> Vec<u16> {
    answers.split("HTTP/1.1 ").skip(1).map(|rest| rest[..3].parse().unwrap()).collect()
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n").unwrap().0;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn a_session_is_small_and_an_idle_one_owns_nothing() {
    assert!(size_of::<HttpSession>() <= 40, "{}", size_of::<HttpSession>());
}

#[test]
fn a_file_comes_with_all_that_describes_it() {
    let (_dir, http) = site(|_| {});
    // From the disk, then from memory: byte for byte the same.
    let answer = get(&http, "/hello.txt", "");
    assert_eq!(get(&http, "/hello.txt", ""), answer);
    let etag = field(&answer, "ETag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"'));
    assert_eq!(
        answer,
        format!(
            "HTTP/1.1 200 OK\r\nDate: Wed, 18 May 2033 03:33:20 GMT\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 10\r\nAccept-Ranges: bytes\r\n\
             Last-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\nETag: {etag}\r\n\r\n0123456789"
        )
    );
    assert_eq!(get(&http, "/", ""), get(&http, "/index.html", ""));
    assert_eq!(body(&get(&http, "/sub%20dir/file", "")), "file");
    let head = ask(&http, "HEAD /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(head, answer.strip_suffix("0123456789").unwrap());
    let whole = rehearsal::answer(&http, &[b"GET /big.bin HTTP/1.0\r\n\r\n"], true, OUT);
    assert!(whole.ends_with(&big()));
}

#[test]
fn each_request_gets_the_status_that_rfc_9110_gives_it() {
    let (_dir, http) = site(|_| {});
    let long = "a".repeat(9000);
    let fields = "a: b\r\n".repeat(101);
    let table = [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
        ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
        ("GET http://h/hello.txt?x HTTP/1.1\r\nHost: h\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.7\r\nHost: h\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 204),
        ("OPTIONS /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n", 204),
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
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999999\r\n\r\n", 413),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", 417),
        (&format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        (&long, 414),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\nA: {long}\r\n\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"), 431),
        (&format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "a: b\r\n".repeat(4000)), 431),
    ];
    for (request, expected) in table {
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
    assert_eq!(field(&moved, "Location"), Some("/sub%20dir/?q=1"));
    assert_eq!(field(&get(&http, "//sub%20dir", ""), "Location"), Some("/sub%20dir/"));
}

#[test]
fn a_connection_stays_open_or_closes_as_its_version_says() {
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
    let too_long = ask(&http, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n");
    assert_eq!((statuses(&too_long), field(&too_long, "Connection")), (vec![413], Some("close")));
}

#[test]
fn conditions_are_evaluated_in_their_order() {
    let (_dir, http) = site(|_| {});
    let whole = get(&http, "/hello.txt", "");
    let (etag, modified) = (field(&whole, "ETag").unwrap(), field(&whole, "Last-Modified").unwrap());
    let (before, after) = ("Sun, 13 Sep 2020 12:26:39 GMT", "Sunday, 13-Sep-20 12:26:41 GMT");
    let table = [
        (format!("If-None-Match: {etag}"), 304),
        (format!("If-None-Match: W/{etag}"), 304),
        (format!("If-None-Match: \"a,b\" , {etag}"), 304),
        ("If-None-Match: *".into(), 304),
        ("If-None-Match: \"x\"".into(), 200),
        (format!("If-None-Match: \"x\"\r\nIf-None-Match: {etag}"), 304),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}"), 200),
        (format!("If-Modified-Since: {modified}"), 304),
        (format!("If-Modified-Since: {after}"), 304),
        (format!("If-Modified-Since: {before}"), 200),
        ("If-Modified-Since: yesterday".into(), 200),
        (format!("If-Match: {etag}"), 200),
        (format!("If-Match: W/{etag}"), 412),
        ("If-Match: \"x\"".into(), 412),
        ("If-Match: *".into(), 200),
        (format!("If-Unmodified-Since: {before}"), 412),
        (format!("If-Unmodified-Since: {modified}"), 200),
        (format!("If-Match: {etag}\r\nIf-Unmodified-Since: {before}"), 200),
        (format!("If-Match: {etag}\r\nIf-None-Match: {etag}"), 304),
        (format!("Range: bytes=0-0\r\nIf-Range: {etag}"), 206),
        (format!("Range: bytes=0-0\r\nIf-Range: W/{etag}"), 200),
        (format!("Range: bytes=0-0\r\nIf-Range: {modified}"), 206),
        (format!("Range: bytes=0-0\r\nIf-Range: {before}"), 200),
        (format!("Range: bytes=0-0\r\nIf-None-Match: {etag}"), 304),
    ];
    for (fields, expected) in table {
        let answer = get(&http, "/hello.txt", &format!("{fields}\r\n"));
        assert_eq!(statuses(&answer), [expected], "{fields}: {answer}");
        if expected == 304 {
            assert_eq!((field(&answer, "ETag"), body(&answer)), (Some(etag), ""));
        }
    }
}

#[test]
fn ranges_come_alone_or_as_parts() {
    let (_dir, http) = site(|_| {});
    let one = get(&http, "/hello.txt", "Range: bytes=2-4\r\n");
    assert_eq!((statuses(&one), body(&one)), (vec![206], "234"));
    assert_eq!(field(&one, "Content-Range"), Some("bytes 2-4/10"));
    let merged = get(&http, "/hello.txt", "Range: bytes=2-4,4-6\r\n");
    assert_eq!((field(&merged, "Content-Range"), body(&merged)), (Some("bytes 2-6/10"), "23456"));
    let none = get(&http, "/hello.txt", "Range: bytes=10-\r\n");
    assert_eq!((statuses(&none), field(&none, "Content-Range")), (vec![416], Some("bytes */10")));
    let parts = get(&http, "/hello.txt", "Range: bytes=0-1,-2\r\n");
    let boundary =
        field(&parts, "Content-Type").unwrap().strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |range, text| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/10\r\n\r\n{text}"
        )
    };
    assert_eq!(body(&parts), format!("{}{}\r\n--{boundary}--\r\n", part("0-1", "01"), part("8-9", "89")));
    assert_eq!(field(&parts, "Content-Length"), Some(body(&parts).len().to_string().as_str()));
    let big_one = rehearsal::answer(
        &http,
        &[b"GET /big.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=399990-\r\n\r\n"],
        true,
        OUT,
    );
    assert!(big_one.ends_with(&big()[399_990..]));
    let head = ask(&http, "HEAD /hello.txt HTTP/1.1\r\nHost: h\r\nRange: bytes=0-0\r\n\r\n");
    assert_eq!(statuses(&head), [200], "ranges are for GET");
}

#[test]
fn the_neighbour_in_the_best_coding_is_served_unless_it_is_stale() {
    let (dir, http) = site(|_| {});
    let coded = |accept: &str| {
        let answer = get(&http, "/code.js", &format!("Accept-Encoding: {accept}\r\n"));
        assert_eq!(field(&answer, "Vary"), Some("Accept-Encoding"));
        assert_eq!(field(&answer, "Content-Type"), Some("text/javascript; charset=utf-8"));
        (
            field(&answer, "Content-Encoding").map(str::to_owned),
            body(&answer).to_owned(),
            field(&answer, "ETag").unwrap().to_owned(),
        )
    };
    let (plain, gzip, brotli) = (coded("identity"), coded("gzip"), coded("gzip, br"));
    assert_eq!((plain.0, plain.1.as_str()), (None, "plain plain plain"));
    assert_eq!((gzip.0.as_deref(), gzip.1.as_str()), (Some("gzip"), "gzipped"));
    assert_eq!((brotli.0.as_deref(), brotli.1.as_str()), (Some("br"), "brotli"));
    assert!(plain.2 != gzip.2 && gzip.2 != brotli.2 && plain.2 != brotli.2);
    assert_eq!(field(&get(&http, "/hello.txt", "Accept-Encoding: gzip\r\n"), "Vary"), None);
    let mut client = Rehearsal::open(&http, OUT);
    set_modified(&dir.path().join("root/code.js"), 1_700_000_000);
    client.pass(Duration::from_secs(1));
    client.feed(b"GET /code.js HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(body(&String::from_utf8_lossy(&client.answer)), "plain plain plain");
}

#[test]
fn a_change_is_seen_within_a_second() {
    let (dir, http) = site(|_| {});
    let path = dir.path().join("root/hello.txt");
    let mut client = Rehearsal::open(&http, OUT);
    let now = |client: &mut Rehearsal<HttpSession>| {
        client.pass(Duration::from_secs(1));
        client.answer.clear();
        client.feed(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        body(&String::from_utf8_lossy(&client.answer)).to_owned()
    };
    assert_eq!(now(&mut client), "0123456789");
    write(&path, b"other size");
    set_modified(&path, 1_600_000_001);
    assert_eq!(now(&mut client), "other size");
    let replacement = dir.path().join("new");
    write(&replacement, b"replaced by rename");
    std::fs::rename(&replacement, &path).unwrap();
    assert_eq!(now(&mut client), "replaced by rename");
    std::fs::remove_file(&path).unwrap();
    assert!(now(&mut client).contains("404"));
    // Twice within one tick of the file's clock: the times cannot tell, so the file is read again.
    let soon = 2_000_000_006;
    std::fs::write(&path, b"same").unwrap();
    set_modified(&path, soon);
    client.pass(Duration::from_millis(50));
    assert_eq!(now(&mut client), "same");
    std::fs::write(&path, b"SAME").unwrap();
    set_modified(&path, soon);
    assert_eq!(now(&mut client), "SAME");
}

#[test]
fn missing_pages_are_the_sites_own_or_the_fallback() {
    let (dir, http) = site(|_| {});
    write(&dir.path().join("root/404.html"), b"<p>nowhere");
    let missing = get(&http, "/nothing", "");
    assert_eq!((statuses(&missing), body(&missing)), (vec![404], "<p>nowhere"));
    let (_dir, http) = site(|config| config.fallback = Some("index.html".into()));
    let fallback = get(&http, "/any/route", "");
    assert_eq!((statuses(&fallback), body(&fallback)), (vec![200], "<p>home"));
}

#[test]
fn what_the_operator_says_is_sent_and_what_he_may_not_say_is_refused() {
    let (_dir, http) = site(|config| {
        config.cache_control = Some("max-age=60".into());
        config.headers = vec![("X-A".into(), "b".into())];
        config.hidden = true;
    });
    let whole = get(&http, "/.secret", "");
    assert_eq!((field(&whole, "Cache-Control"), field(&whole, "X-A")), (Some("max-age=60"), Some("b")));
    let missing = get(&http, "/nothing", "");
    assert_eq!((field(&missing, "Cache-Control"), field(&missing, "X-A")), (None, Some("b")));
    for (name, value) in
        [("Content-Length", "1"), ("A b", "c"), ("", "c"), ("A", "b\r\nC: d"), ("connection", "x")]
    {
        let mut config = Config::new(".");
        config.headers = vec![(name.into(), value.into())];
        assert!(matches!(Http::new(config), Err(ConfigError::Header(_))), "{name}: {value}");
    }
    let mut config = Config::new(".");
    config.fallback = Some("../outside".into());
    assert!(matches!(Http::new(config), Err(ConfigError::Path(_))));
    assert!(matches!(Http::new(Config::new("/nonexistent")), Err(ConfigError::Root(..))));
}

#[test]
fn an_answer_is_written_down_with_the_bytes_of_its_body() {
    let (_dir, http) = site(|config| config.access = Some(AccessFormat::Combined));
    let mut client = Rehearsal::open(&http, OUT);
    let fields = "Referer: r\r\nUser-Agent: u\"a\r\n";
    client.feed(format!("GET /hello.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
    client.feed(format!("GET /hello.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
    client.feed(b"HEAD /big.bin HTTP/1.1\r\nHost: h\r\n\r\nnonsense\x1b\r\n\r\n");
    let lines: Vec<_> = client
        .records
        .iter()
        .map(|(record, sent)| {
            let (before, after) = record.line.split_at(record.bytes_at);
            format!("{before}{}{after}", sent - u64::from(record.head_bytes))
        })
        .collect();
    let error_bytes = lines[3].split(' ').nth(7).unwrap();
    let time = "[18/May/2033:03:33:20 +0000]";
    assert_eq!(
        lines,
        [
            format!(" - - {time} \"GET /hello.txt HTTP/1.1\" 200 10 \"r\" \"u\\x22a\""),
            format!(" - - {time} \"GET /hello.txt HTTP/1.1\" 200 10 \"r\" \"u\\x22a\""),
            format!(" - - {time} \"HEAD /big.bin HTTP/1.1\" 200 0 \"-\" \"-\""),
            format!(" - - {time} \"nonsense\\x1B\" 400 {error_bytes} \"-\" \"-\""),
        ]
    );
}

#[test]
fn a_slow_request_is_told_so_and_an_idle_client_is_not() {
    let (_dir, http) = site(|_| {});
    for partial in
        ["G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"]
    {
        let mut client = Rehearsal::open(&http, OUT);
        client.feed(partial.as_bytes());
        assert_eq!(client.state(), State::Waits(Wait::RestOf(0)));
        client.call(Call::Expired(Wait::RestOf(0)));
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
fn a_stopping_server_answers_what_was_asked_and_says_that_it_closes() {
    let (_dir, http) = site(|_| {});
    let request = "GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut idle = Rehearsal::open(&http, OUT);
    idle.call(Call::Stopping);
    assert_eq!(idle.state(), State::Done(Next::Finish));
    let mut begun = Rehearsal::open(&http, OUT);
    begun.feed(&request.as_bytes()[..9]);
    begun.call(Call::Stopping);
    assert_eq!(begun.state(), State::Waits(Wait::RestOf(0)));
    let service = stopping(&http, &[request, request].concat());
    assert_eq!(statuses(&service), [200, 200]);
    let (first, second) = service.split_at(service.rfind("HTTP/1.1").unwrap());
    assert_eq!((field(first, "Connection"), field(second, "Connection")), (None, Some("close")));
}

/// What is answered to `requests` that are there when the server stops.
fn stopping(http: &Http, requests: &str) -> String {
    use crate::session::{Input, Now, Outbox, Peer, Service, Session};
    let mut session = http.open(&Client::new(Peer::UNIX, Peer::UNIX));
    let now = Now { monotonic_ms: 0, wall: SystemTime::UNIX_EPOCH };
    let input = Input { bytes: requests.as_bytes(), ended: false, call: Call::Stopping, now };
    let mut out = Outbox::new(OUT);
    assert_eq!(session.advance(input, &mut out).next, Next::Finish);
    let mut slices = [std::io::IoSlice::new(&[]); 16];
    let crate::session::Front::Bytes { count, .. } = out.front(&mut slices) else {
        panic!("nothing was said")
    };
    slices[..count].iter().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect()
}

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
