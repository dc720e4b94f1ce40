//! What is served: whole, in part, in another coding, changed, or not at all; and how it is logged.

use std::os::unix::fs::MetadataExt;

use super::*;

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

/// What is in the parts is encoded, the answer around them is not: a client that decodes what it gets would
/// decode boundaries.
#[test]
fn each_part_of_an_encoded_file_has_content_encoding_and_the_response_has_none() {
    let (_dir, http) = site(|_| {});
    let one = get(&http, "/code.js", "Accept-Encoding: gzip\r\nRange: bytes=2-4\r\n");
    assert_eq!((field(&one, "Content-Encoding"), body(&one)), (Some("gzip"), "ipp"));
    let parts = get(&http, "/code.js", "Accept-Encoding: gzip\r\nRange: bytes=0-1,5-\r\n");
    assert_eq!((statuses(&parts), field(&parts, "Content-Encoding")), (vec![206], None));
    let codings = parts.matches("\r\nContent-Encoding: gzip\r\n").count();
    assert_eq!((codings, parts.matches("Content-Range: ").count()), (2, 2), "{parts}");
    let plain = get(&http, "/code.js", "Accept-Encoding: identity\r\nRange: bytes=0-1,5-6\r\n");
    assert!(!plain.contains("Content-Encoding"), "{plain}");
}

/// A cache that learns of a state by these answers keeps what it has for other clients, too (RFC 9110,
/// section 15.4.5).
#[test]
fn partial_and_empty_answers_vary_as_the_whole_file_does() {
    let (_dir, http) = site(|_| {});
    for accept in ["identity", "gzip"] {
        let accept = format!("Accept-Encoding: {accept}\r\n");
        let whole = get(&http, "/code.js", &accept);
        let etag = field(&whole, "ETag").unwrap();
        for (asked, status) in [
            (format!("If-None-Match: {etag}"), 304),
            ("Range: bytes=0-1".into(), 206),
            ("Range: bytes=0-0,-1".into(), 206),
            ("Range: bytes=999-".into(), 416),
        ] {
            let answer = get(&http, "/code.js", &format!("{accept}{asked}\r\n"));
            let said = (statuses(&answer), field(&answer, "Vary"), field(&answer, "ETag"));
            assert_eq!(said, (vec![status], Some("Accept-Encoding"), Some(etag)), "{accept}{asked}");
        }
    }
}

#[test]
fn a_neighbour_that_comes_changes_or_goes_is_seen_within_a_second() {
    let (dir, http) = site(|_| {});
    let path = dir.path().join("root/hello.txt.gz");
    let mut client = Rehearsal::open(&http, OUT);
    let mut now = |change: &dyn Fn()| {
        change();
        client.pass(Duration::from_secs(1));
        client.answer.clear();
        client.feed(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
        body(&String::from_utf8_lossy(&client.answer)).to_owned()
    };
    assert_eq!(now(&|| {}), "0123456789");
    assert_eq!(now(&|| write(&path, b"zipped")), "zipped");
    let rezip = || {
        write(&path, b"ZIPPED");
        set_modified(&path, 1_600_000_001);
    };
    assert_eq!(now(&rezip), "ZIPPED");
    // The file is newer by a nanosecond of the same second.
    let newer = || {
        write(&path, b"zipped");
        set_modified_ns(&path, 1_600_000_000, 1);
        set_modified_ns(&dir.path().join("root/hello.txt"), 1_600_000_000, 2);
    };
    assert_eq!(now(&newer), "0123456789");
    assert_eq!(now(&rezip), "ZIPPED");
    assert_eq!(now(&|| std::fs::remove_file(&path).unwrap()), "0123456789");
}

/// As `pigz -k`, `brotli -k`, archives and programs that reckon in floating point leave it.
#[test]
fn a_neighbour_with_the_time_of_its_file_cut_off_is_served_and_an_older_one_is_not() {
    let (dir, http) = site(|_| {});
    let (plain, coded) = (dir.path().join("root/hello.txt"), dir.path().join("root/hello.txt.gz"));
    let mut client = Rehearsal::open(&http, OUT);
    for (second, nanos, is_served) in [
        (1_600_000_000, 123_456_789, true),
        (1_600_000_000, 0, true),
        (1_600_000_000, 123_000_000, true),
        (1_600_000_000, 123_456_000, true),
        (1_600_000_000, 123_456_700, true),
        (1_600_000_001, 0, true),
        (1_600_000_000, 123_456_788, false),
        (1_600_000_000, 100_000_001, false),
        (1_599_999_999, 0, false),
        (1_599_999_999, 123_456_789, false),
    ] {
        std::fs::write(&coded, "zipped").unwrap();
        set_modified_ns(&plain, 1_600_000_000, 123_456_789);
        set_modified_ns(&coded, second, nanos);
        client.pass(Duration::from_secs(1));
        client.answer.clear();
        client.feed(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
        let answer = String::from_utf8_lossy(&client.answer).into_owned();
        assert_eq!(body(&answer) == "zipped", is_served, "{second}.{nanos:09}");
    }
    let zipped = || {
        let http = plain_site(dir.path().join("root"));
        body(&get(&http, "/hello.txt", "Accept-Encoding: gzip\r\n")) == "zipped"
    };
    // The clock of the machine that made the file is ahead of ours.
    set_modified_ns(&plain, 4_000_000_000, 123_456_789);
    set_modified_ns(&coded, 4_000_000_000, 0);
    assert!(zipped());
    // The file is newer than the neighbour's last change: it was written again within the second.
    let is_within_the_second = || {
        std::fs::write(&plain, "0123456789").unwrap();
        set_modified_ns(&coded, std::fs::metadata(&plain).unwrap().mtime().cast_unsigned(), 0);
        let changed = std::fs::metadata(&coded).unwrap();
        loop {
            std::fs::write(&plain, "0123456789").unwrap();
            let written = std::fs::metadata(&plain).unwrap();
            if (written.mtime(), written.mtime_nsec()) > (changed.ctime(), changed.ctime_nsec()) {
                break written.mtime() == changed.mtime();
            }
        }
    };
    while !is_within_the_second() {}
    assert!(!zipped());
}

#[test]
fn a_compressed_svg_has_content_encoding_and_no_neighbours() {
    let (dir, http) = site(|_| {});
    let gzipped = b"\x1f\x8bnot really";
    write(&dir.path().join("root/a.svgz"), gzipped);
    write(&dir.path().join("root/a.svgz.br"), b"twice");
    write(&dir.path().join("root/plain.SVGZ"), b"<svg/>");
    for accept in ["", "Accept-Encoding: gzip, br\r\n"] {
        let answer = get(&http, "/a.svgz", accept);
        let told =
            (field(&answer, "Content-Type"), field(&answer, "Content-Encoding"), field(&answer, "Vary"));
        assert_eq!(told, (Some("image/svg+xml"), Some("gzip"), None));
        assert_eq!(body(&answer), String::from_utf8_lossy(gzipped));
    }
    // Somebody has named it so: it is not compressed.
    let plain = get(&http, "/plain.SVGZ", "");
    assert_eq!(
        (field(&plain, "Content-Type"), field(&plain, "Content-Encoding")),
        (Some("image/svg+xml"), None)
    );
}

/// The end matters, too: an installer is a script with an archive appended. Long files are sampled, short
/// ones are read whole.
#[test]
fn a_file_without_a_type_is_text_if_it_begins_and_ends_as_text() {
    let (dir, http) = site(|_| {});
    for (name, begin, end, media_type) in [
        ("LICENSE", "Permission is hereby granted", "\n", "text/plain; charset=utf-8"),
        ("main.rs", "fn main() {", "}\n", "text/plain; charset=utf-8"),
        ("installer", "#!/bin/sh\n", "\0", "application/octet-stream"),
        ("program", "\x7fELF\x02", "symbols", "application/octet-stream"),
    ] {
        for between in [0, 100_000] {
            let content = [begin, &" ".repeat(between), end].concat();
            let target = format!("{between}/{name}");
            let path = dir.path().join("root").join(&target);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(&path, content.as_bytes());
            let head = ask(&http, &format!("HEAD /{target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            assert_eq!(field(&head, "Content-Type"), Some(media_type), "{target}");
        }
    }
    write(&dir.path().join("root/VERSION"), b"");
    assert_eq!(field(&get(&http, "/VERSION", ""), "Content-Type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn an_index_file_that_comes_before_the_one_in_use_takes_its_place() {
    let (dir, http) = site(|config| config.index = vec!["first.html".into(), "index.html".into()]);
    let mut client = Rehearsal::open(&http, OUT);
    client.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer.clear();
    write(&dir.path().join("root/first.html"), b"<p>first");
    client.pass(Duration::from_secs(1));
    client.feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(body(&String::from_utf8_lossy(&client.answer)), "<p>first");
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
    write(&replacement, b"by rename!");
    set_modified(&replacement, 1_600_000_001); // another file of the same size and time
    std::fs::rename(&replacement, &path).unwrap();
    assert_eq!(now(&mut client), "by rename!");
    std::fs::remove_file(&path).unwrap();
    assert!(now(&mut client).contains("404"));
    // Twice within one tick of the file's clock: the times do not show it, so the file is read again.
    let soon = 2_000_000_005;
    std::fs::write(&path, b"same").unwrap();
    set_modified(&path, soon);
    client.pass(Duration::from_millis(50));
    assert_eq!(now(&mut client), "same");
    std::fs::write(&path, b"SAME").unwrap();
    set_modified(&path, soon);
    assert_eq!(now(&mut client), "SAME");
}

/// The file has not changed for long, but its encoded neighbour was written just now: its times may not show
/// the next change.
#[test]
fn a_neighbour_written_twice_within_a_tick_is_read_again() {
    let (dir, http) = site(|_| {});
    let path = dir.path().join("root/hello.txt.gz");
    let mut client = Rehearsal::open(&http, OUT);
    for bytes in ["zipped", "ZIPPED"] {
        std::fs::write(&path, bytes).unwrap();
        set_modified(&path, 2_000_000_000);
        client.answer.clear();
        client.feed(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
        assert_eq!(body(&String::from_utf8_lossy(&client.answer)), bytes);
        client.pass(Duration::from_secs(1));
    }
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
    let (_dir, http) = site(|config| {
        config.fallback = Some("hello.txt".into());
        config.index = vec!["none".into()];
    });
    let root = get(&http, "/", "");
    assert_eq!((statuses(&root), body(&root)), (vec![200], "0123456789"), "a directory without a page");
    assert_eq!(statuses(&get(&http, "/leak", "")), [403]);
}

#[test]
fn configured_fields_are_sent_and_forbidden_ones_are_refused() {
    let with_header = |name: &str, value: &str| HttpConfig {
        headers: vec![(name.into(), value.into())],
        ..HttpConfig::default()
    };
    let (_dir, http) = site_with(&with_header("X-A", "b"), |config| {
        config.cache_control = Some("max-age=60".into());
        config.hidden = true;
    });
    let whole = get(&http, "/.secret", "");
    assert_eq!((field(&whole, "Cache-Control"), field(&whole, "X-A")), (Some("max-age=60"), Some("b")));
    let missing = get(&http, "/nothing", "");
    assert_eq!((field(&missing, "Cache-Control"), field(&missing, "X-A")), (None, Some("b")));
    // A cache that keeps them would send them in response to other requests.
    for (asked, status) in [("Range: bytes=10-20", 416), ("If-Match: \"x\"", 412)] {
        let refused = get(&http, "/hello.txt", &format!("{asked}\r\n"));
        assert_eq!((statuses(&refused), field(&refused, "Cache-Control")), (vec![status], None));
        assert_eq!(field(&refused, "X-A"), Some("b"));
    }
    for asked in ["Range: bytes=0-1", "Range: bytes=0-1,5-6", "If-None-Match: *"] {
        let selected = get(&http, "/hello.txt", &format!("{asked}\r\n"));
        assert_eq!(field(&selected, "Cache-Control"), Some("max-age=60"), "{asked}");
    }
    let (_dir, http) = site(|config| {
        config.cache_control = Some("max-age=60".into());
        config.not_found = Some("index.html".into());
    });
    let page = get(&http, "/nothing", "");
    assert_eq!((statuses(&page), body(&page), field(&page, "Cache-Control")), (vec![404], "<p>home", None));
    for (name, value) in [
        ("Content-Length", "1"),
        ("A b", "c"),
        ("", "c"),
        ("A", "b\r\nC: d"),
        ("connection", "x"),
        ("cache-control", "x"),
    ] {
        let files = Files::new(FilesConfig::new(".")).unwrap();
        let refused = Http::with_config(files, &with_header(name, value));
        assert!(matches!(refused, Err(ConfigError::Header(_))), "{name}: {value}");
    }
    let mut config = FilesConfig::new(".");
    config.fallback = Some("../outside".into());
    assert!(matches!(Files::new(config), Err(ConfigError::Path(_))));
    assert!(matches!(Files::new(FilesConfig::new("/nonexistent")), Err(ConfigError::Root(..))));
}

/// A client whose answers are reported in full.
fn observed(http: &Http) -> Rehearsal<HttpSession> {
    Rehearsal::open(http, OUT).reporting(AnswerDetail::Request)
}

/// What is reported of the answers to `client`: status and bytes of the content.
fn outcomes(client: &Rehearsal<HttpSession>) -> Vec<(u16, u64)> {
    let outcome =
        |(info, sent): &(AnswerInfo, u64)| (info.status.unwrap(), sent - u64::from(info.head_bytes));
    client.answers.iter().map(outcome).collect()
}

#[test]
fn an_answer_is_reported_with_its_request_and_the_bytes_of_its_body() {
    let (_dir, http) = site(|_| {});
    let mut client = observed(&http);
    let request = "GET /hello.txt?\"\\\u{e9} HTTP/1.1\r\nHost: h\r\nReferer: r\r\nUser-Agent: u\"a\r\n\r\n";
    // From the disk, then from memory.
    client.feed(request.as_bytes()).feed(request.as_bytes());
    client.feed(b"HEAD /big.bin HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\nnonsense\x1b\r\n\r\n");
    let seconds = |info: &AnswerInfo| {
        let at = info.request.as_ref().unwrap().answered_at;
        at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
    };
    assert!(client.answers.iter().all(|(info, _)| seconds(info) == 2_000_000_000));
    let fields = |at: usize| -> Vec<_> {
        let fields = client.answers[at].0.request.as_ref().unwrap().fields();
        fields.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
    };
    let of_file = [
        "method: GET",
        "target: /hello.txt?\"\\\u{e9}",
        "version: HTTP/1.1",
        "referer: r",
        "user-agent: u\"a",
    ];
    assert_eq!(
        (fields(0), fields(1)),
        (of_file.map(String::from).to_vec(), of_file.map(String::from).to_vec())
    );
    assert_eq!(fields(2), ["method: HEAD", "target: /big.bin", "version: HTTP/1.0"]);
    assert_eq!(fields(3), ["line: nonsense\x1b"]);
    let outcomes = outcomes(&client);
    assert_eq!(outcomes[..3], [(200, 10), (200, 10), (200, 0)]);
    assert!(outcomes[3].0 == 400 && outcomes[3].1 > 0);
}

#[test]
fn the_bytes_of_an_answer_are_those_of_its_body_whatever_comes_before_it() {
    let (_dir, http) = site(|_| {});
    let mut client = observed(&http);
    client.feed(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
    // With a field of the connection's own: of an answer from the disk, and from memory.
    let close = "Host: h\r\nConnection: close\r\n\r\n";
    client.feed(format!("GET /hello.txt HTTP/1.1\r\n{close}").as_bytes());
    assert_eq!(outcomes(&client), [(200, 10), (200, 10)]);
    let mut client = observed(&http);
    client.feed(format!("GET /code.js HTTP/1.1\r\n{close}").as_bytes());
    assert_eq!(outcomes(&client), [(200, 17)]);
}

/// An incomplete request begins at its first byte; a pipelined request begins at the read that brought it.
#[test]
fn an_answer_is_reported_with_the_time_of_the_first_byte_of_its_request() {
    let (_dir, http) = site(|_| {});
    let mut client = observed(&http);
    let second = Duration::from_secs(1);
    client.pass(second);
    client.feed(b"GET /hello.txt HTTP/1.1\r\n").pass(second);
    client.feed(b"Host: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nPUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n1");
    client.pass(second);
    client.feed(b"2GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let began: Vec<_> =
        client.answers.iter().map(|(info, _)| (info.status.unwrap(), info.began_ms)).collect();
    assert_eq!(began, [(200, 1_000), (200, 2_000), (405, 2_000), (200, 3_000)]);
}

#[test]
fn answers_are_not_reported_in_detail_without_an_observer() {
    let (_dir, http) = site(|_| {});
    let ask = |detail| {
        let mut client = Rehearsal::open(&http, OUT).reporting(detail);
        client.feed(b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answers
    };
    assert_eq!(ask(AnswerDetail::Count), []);
    let outcome = ask(AnswerDetail::Outcome);
    assert_eq!((outcome.len(), outcome[0].0.status, &outcome[0].0.request), (1, Some(200), &None));
}
