//! Validators, and conditional requests of clients that have a copy.

use super::*;

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
        // Never a strong validator here.
        (format!("Range: bytes=0-0\r\nIf-Range: {modified}"), 200),
        (format!("Range: bytes=0-0\r\nIf-Range: {before}"), 200),
        (format!("Range: bytes=0-0\r\nIf-Range: {after}"), 200),
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

/// It has no usable date (RFC 9110, section 8.8.2.1), so conditions with dates do not apply.
#[test]
fn a_file_from_the_future_is_known_by_its_tag_alone() {
    let (dir, http) = site(|_| {});
    set_modified(&dir.path().join("root/hello.txt"), 2_000_000_001);
    let (before, itself) = ("Sun, 13 Sep 2020 12:26:39 GMT", "Wed, 18 May 2033 03:33:21 GMT");
    for fields in [
        "A: b".into(),
        format!("If-Modified-Since: {itself}"),
        format!("If-Unmodified-Since: {before}"),
        format!("Range: bytes=0-1\r\nIf-Range: {itself}"),
        "Range: bytes=0-1\r\nIf-Range: no date".into(),
    ] {
        let answer = get(&http, "/hello.txt", &format!("{fields}\r\n"));
        assert_eq!((statuses(&answer), field(&answer, "Last-Modified")), (vec![200], None), "{fields}");
    }
    set_modified(&dir.path().join("root/code.js"), 2_000_000_000);
    assert_eq!(field(&get(&http, "/code.js", ""), "Last-Modified"), Some("Wed, 18 May 2033 03:33:20 GMT"));
}

/// `ostree` sets all times to 0 and Nix to 1: they do not show a change.
#[test]
fn a_file_without_a_time_is_known_by_its_tag_alone() {
    let (dir, http) = site(|_| {});
    let path = dir.path().join("root/hello.txt");
    for (second, told) in [
        (0, None),
        (1, None),
        (2, Some("Thu, 01 Jan 1970 00:00:02 GMT")),
        (3, Some("Thu, 01 Jan 1970 00:00:03 GMT")),
    ] {
        set_modified(&path, second);
        let mut client = Rehearsal::open(&http, OUT);
        client.pass(Duration::from_secs(second));
        let since = "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT";
        client.feed(format!("GET /hello.txt HTTP/1.1\r\nHost: h\r\n{since}\r\n\r\n").as_bytes());
        let answer = String::from_utf8_lossy(&client.answer).into_owned();
        assert_eq!((statuses(&answer), field(&answer, "Last-Modified")), (vec![200], told));
    }
}

/// Sizes of files kept in memory, of hashed files, and of files named by their state.
const SIZES: [usize; 6] = [10, 8 << 10, (8 << 10) + 1, 1 << 20, (1 << 20) + 1, 3 << 20];

/// As `cp -p`, `rsync -t`, and a write in place followed by `utime` leave it.
#[test]
fn another_content_of_the_same_size_and_time_has_another_tag_at_every_size() {
    let (dir, http) = site(|_| {});
    let path = dir.path().join("root/hello.txt");
    let mut client = Rehearsal::open(&http, OUT);
    for size in SIZES {
        let mut tag_of = |content: u8| {
            // In place: the same inode.
            write(&path, &vec![content; size]);
            client.pass(Duration::from_secs(1));
            client.answer.clear();
            client.feed(b"HEAD /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            field(&String::from_utf8_lossy(&client.answer), "ETag").unwrap().to_owned()
        };
        let (first, second, again) = (tag_of(b'1'), tag_of(b'2'), tag_of(b'1'));
        assert_ne!(first, second, "{size} bytes");
        assert!(first.starts_with('"') && second.starts_with('"'), "strong: {first} and {second}");
        if size <= 1 << 20 {
            assert_eq!(first, again, "the tag of {size} bytes is of the content, not of the moment");
        }
    }
}

#[test]
fn copies_have_one_tag_on_every_server_and_other_files_have_others() {
    let ((one, http), (other, another)) = (site(|_| {}), site(|_| {}));
    let tag = |http: &Http, target: &str| {
        field(&ask(http, &format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n")), "ETag").unwrap().to_owned()
    };
    for size in SIZES.into_iter().filter(|size| *size <= 1 << 20) {
        for dir in [&one, &other] {
            write(&dir.path().join(format!("root/{size}")), &vec![b'x'; size]);
            write(&dir.path().join(format!("root/{size}.other")), &vec![b'y'; size]);
        }
        let (target, different) = (format!("/{size}"), format!("/{size}.other"));
        assert_eq!(tag(&http, &target), tag(&another, &target), "{size} bytes");
        assert_ne!(tag(&http, &target), tag(&http, &different), "{size} bytes");
        // Deployed again, at another time.
        set_modified(&other.path().join(format!("root/{size}")), 1_700_000_000);
        let again = plain_site(other.path().join("root"));
        assert_eq!(tag(&http, &target), tag(&again, &target), "{size} bytes");
    }
}

/// A cache must not send one representation to a client that accepts only another, even if their bytes are
/// equal.
#[test]
fn two_codings_never_share_a_tag_though_they_be_links_to_one_file() {
    let (dir, http) = site(|_| {});
    for size in SIZES {
        let name = |suffix: &str| dir.path().join(format!("root/{size}{suffix}"));
        write(&name(""), &vec![b'x'; size]);
        for suffix in [".gz", ".br", ".zst"] {
            std::fs::hard_link(name(""), name(suffix)).unwrap();
        }
        let mut tags = std::collections::HashSet::new();
        for accept in ["identity", "gzip", "br", "zstd"] {
            let head = format!("HEAD /{size} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accept}\r\n\r\n");
            tags.insert(field(&ask(&http, &head), "ETag").unwrap().to_owned());
        }
        assert_eq!(tags.len(), 4, "{size} bytes: {tags:?}");
    }
}

/// A file has the same tag in every response, and this tag selects it.
#[test]
fn the_tag_is_the_same_in_every_answer_at_every_size() {
    let (dir, http) = site(|_| {});
    for size in SIZES {
        write(&dir.path().join(format!("root/{size}")), &vec![b'x'; size]);
        let head = ask(&http, &format!("HEAD /{size} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let tag = field(&head, "ETag").unwrap();
        for (fields, status) in [
            (format!("If-None-Match: {tag}"), 304),
            (format!("If-Match: {tag}\r\nRange: bytes=0-0"), 206),
            (format!("If-Range: {tag}\r\nRange: bytes=0-0"), 206),
            ("Range: bytes=0-0,-1".into(), 206),
            ("Range: bytes=99999999-".into(), 416),
        ] {
            let answer = get(&http, &format!("/{size}"), &format!("{fields}\r\n"));
            assert_eq!(
                (statuses(&answer), field(&answer, "ETag")),
                (vec![status], Some(tag)),
                "{size}: {fields}"
            );
        }
    }
}

/// A client may join the part with other parts of the earlier file.
#[test]
fn a_part_is_of_the_state_that_its_entity_tag_names() {
    let (dir, http) = site(|_| {});
    let tag = field(&get(&http, "/big.bin", ""), "ETag").unwrap().to_owned();
    let asked = format!("Range: bytes=0-7\r\nIf-Range: {tag}\r\n");
    assert_eq!(statuses(&get(&http, "/big.bin", &asked)), [206]);
    // In place and of the same size, within the moment for which a file is believed to be as it was.
    let file = std::fs::File::options().write(true).open(dir.path().join("root/big.bin")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"changed!", 0).unwrap();
    let request = format!("GET /big.bin HTTP/1.1\r\nHost: h\r\n{asked}\r\n");
    let whole = rehearsal::answer(&http, &[request.as_bytes()], true, OUT);
    assert!(whole.starts_with(b"HTTP/1.1 200 ") && whole.ends_with(&big()[8..]));
    let part = get(&http, "/big.bin", "Range: bytes=0-7\r\n");
    assert_eq!((statuses(&part), body(&part)), (vec![206], "changed!"));
    assert_ne!(field(&part, "ETag"), Some(tag.as_str()));
}
