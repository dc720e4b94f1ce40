//! What an HTTP session promises for any input; shared by the fuzz target and the replay of its corpus.

use std::fs;
use std::sync::OnceLock;

use oneloop::services::http::{Files, FilesConfig, Http};
use oneloop::session::rehearsal::Rehearsal;
use oneloop::session::{AnswerDetail, AnswerInfo, RequestInfo};

/// Room of the outbox.
const OUT: usize = 64 << 10;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A site with each kind of thing that can be asked for.
fn site() -> &'static (tempfile::TempDir, Http) {
    static SITE: OnceLock<(tempfile::TempDir, Http)> = OnceLock::new();
    SITE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::write(dir.path().join("outside"), "OUTSIDE").unwrap();
        fs::write(root.join("index.html"), "home").unwrap();
        fs::write(root.join("a"), "0123456789").unwrap();
        fs::write(root.join("a.gz"), "zip").unwrap();
        fs::write(root.join("big"), vec![b'b'; 70_000]).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("l")).unwrap();
        let files = Files::new(FilesConfig { listing: true, ..FilesConfig::new(root) }).unwrap();
        (dir, Http::new(files))
    })
}

/// The bytes and the reports for a client that sends these pieces and then ends its side.
fn answered(http: &Http, pieces: &[&[u8]], room: usize) -> (Vec<u8>, Vec<(AnswerInfo, u64)>) {
    let mut client = Rehearsal::open(http, room).reporting(AnswerDetail::Request);
    for piece in pieces {
        client.feed(piece);
    }
    client.end();
    (client.answer, client.answers)
}

/// The first byte decides where the rest is split. No panic, no spin, nothing from outside; the answers and
/// their reports are the same however the bytes come, the answers also whatever the room; each answer is
/// reported once and ends where its head declares it.
pub(crate) fn check(data: &[u8]) {
    let Some((&piece, bytes)) = data.split_first() else { return };
    let http = &site().1;
    let (whole, answers) = answered(http, &[bytes], OUT);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(piece % 31) + 1).collect();
    assert!(answered(http, &pieces, OUT) == (whole.clone(), answers.clone()), "split by {}", piece % 31 + 1);
    assert!(answered(http, &[bytes], 100 + usize::from(piece)).0 == whole, "with little room");
    assert!(!whole.windows(7).any(|window| window == b"OUTSIDE"), "from outside");
    let (mut rest, mut closed) = (&whole[..], false);
    for (info, sent) in &answers {
        assert!(!closed, "an answer behind the last one");
        let (answer, behind) = rest.split_at(*sent as usize);
        closed = check_answer(info, answer);
        rest = behind;
    }
    assert!(rest.is_empty() || rest == CONTINUE, "{}", rest.escape_ascii());
}

/// Checks the framing of one answer by its head alone (RFC 9112, section 6.3). Returns whether the head
/// announces that the answer is the last.
fn check_answer(info: &AnswerInfo, answer: &[u8]) -> bool {
    let request = info.request.as_ref().expect("a request, as was asked for");
    let (head, body) = answer.split_at(info.head_bytes as usize);
    let head = std::str::from_utf8(head.strip_prefix(CONTINUE).unwrap_or(head)).unwrap();
    assert!(head.starts_with("HTTP/1.1 ") && head.find("\r\n\r\n") == Some(head.len() - 4), "{head}");
    let field = |name| head.lines().find_map(|line| line.strip_prefix(name));
    let closes = field("Connection: ") == Some("close");
    let to_head = body.is_empty()
        && match (request.get(RequestInfo::METHOD), request.get(RequestInfo::LINE)) {
            (Some(method), _) => method == b"HEAD",
            // What has no first line may have been any request.
            (None, line) => line.is_none_or(|line| line.is_empty() || line.starts_with(b"HEAD ")),
        };
    match (field("Content-Length: "), field("Transfer-Encoding: ")) {
        _ if to_head => {}
        (Some(length), None) => assert_eq!(length.parse(), Ok(body.len()), "{head}"),
        (None, Some("chunked")) => check_chunks(body),
        (None, None) if closes => {}
        (None, None) => assert!(body.is_empty() && matches!(&head[9..12], "204" | "304"), "{head}"),
        _ => panic!("two framings: {head}"),
    }
    closes
}

/// RFC 9112, section 7.1.
fn check_chunks(body: &[u8]) {
    let mut rest = std::str::from_utf8(body).unwrap();
    loop {
        let (size, behind) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let (_, end) = behind.split_at(size);
        rest = end.strip_prefix("\r\n").unwrap();
        if size == 0 {
            return assert_eq!(rest, "");
        }
    }
}
