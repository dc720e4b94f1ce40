//! What an HTTP session promises for any input; shared by the fuzz target and the replay of its corpus.

use std::fs;
use std::sync::OnceLock;

use oneloop::services::http::{AccessFormat, Config, Http};
use oneloop::session::rehearsal::{Rehearsal, answer};

/// Room of the outbox.
const OUT: usize = 64 << 10;

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
        let config = Config { listing: true, access: Some(AccessFormat::Combined), ..Config::new(root) };
        (dir, Http::new(config).unwrap())
    })
}

/// The first byte says where the rest is split. No panic, no spin, nothing from outside; the answers are the same
/// however the bytes come and whatever the room; each answer has one line of log.
pub(crate) fn check(data: &[u8]) {
    let Some((&piece, bytes)) = data.split_first() else { return };
    let http = &site().1;
    let whole = answer(http, &[bytes], true, OUT);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(piece % 31) + 1).collect();
    assert!(answer(http, &pieces, true, OUT) == whole, "split by {}", piece % 31 + 1);
    assert!(answer(http, &[bytes], true, 100 + usize::from(piece)) == whole, "with little room");
    assert!(whole.is_empty() || whole.starts_with(b"HTTP/1.1 "));
    assert!(!whole.windows(7).any(|window| window == b"OUTSIDE"), "from outside");
    let mut client = Rehearsal::open(http, OUT);
    client.feed(bytes);
    for (record, sent) in &client.records {
        assert!(u64::from(record.head_bytes) <= *sent && !record.line.contains('\n'));
    }
}
