//! What tells a client's copy from ours, and what is answered to a client that has one.

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
        (format!("Range: bytes=0-0\r\nIf-Range: {modified}"), 206),
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

/// It has no date to tell (RFC 9110, section 8.8.2.1), so nothing that a client says of dates is about it.
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

/// Sizes are the same, and the second too: the nanoseconds tell.
#[test]
fn two_states_within_a_second_have_two_entity_tags() {
    let (dir, http) = site(|_| {});
    let path = dir.path().join("root/hello.txt");
    let mut client = Rehearsal::open(&http, OUT);
    let mut now = |nanos| {
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::new(1_600_000_000, nanos)).unwrap();
        client.pass(Duration::from_secs(1));
        client.answer.clear();
        client.feed(b"HEAD /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        field(&String::from_utf8_lossy(&client.answer), "ETag").unwrap().to_owned()
    };
    let (first, second, again) = (now(0), now(1_000), now(0));
    assert_ne!(first, second);
    assert_eq!(first, again, "the tag is of the state, not of the moment");
}

#[test]
fn two_files_of_one_size_and_time_have_two_entity_tags_whoever_is_asked() {
    let (dir, http) = site(|_| {});
    write(&dir.path().join("root/other.txt"), b"9876543210");
    let tag = |http: &Http, target| field(&get(http, target, ""), "ETag").unwrap().to_owned();
    assert_ne!(tag(&http, "/hello.txt"), tag(&http, "/other.txt"));
    let another = Http::new(Config::new(dir.path().join("root"))).unwrap();
    assert_eq!(tag(&http, "/hello.txt"), tag(&another, "/hello.txt"), "a restart costs no download");
}

/// The time can be set, and a file's clock has ticks: what is read anyway tells, too.
#[test]
fn two_contents_of_one_size_and_time_have_two_entity_tags() {
    let (dir, http) = site(|_| {});
    let path = dir.path().join("root/hello.txt");
    let mut client = Rehearsal::open(&http, OUT);
    let mut tag_of = |content: &[u8]| {
        // In place: the same inode.
        std::fs::write(&path, content).unwrap();
        set_modified(&path, 1_600_000_000);
        client.pass(Duration::from_secs(1));
        client.answer.clear();
        client.feed(b"HEAD /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
        field(&String::from_utf8_lossy(&client.answer), "ETag").unwrap().to_owned()
    };
    let (first, second, again) = (tag_of(b"0123456789"), tag_of(b"9876543210"), tag_of(b"0123456789"));
    assert_ne!(first, second);
    assert_eq!(first, again);
}

/// Whoever asks for a part may put it to others that he has of the file as it was.
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
