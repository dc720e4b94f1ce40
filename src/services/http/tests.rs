//! Conversations with a session, without sockets.

mod content;
mod deferred;
mod handlers;
mod oracle;
mod protocol;
mod splits;
mod validators;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::session::rehearsal::{self, Rehearsal, State};
use crate::session::{AnswerDetail, AnswerInfo, Call, Next, RequestInfo, Wait};

const OUT: usize = 64 << 10;

/// A site with a little of everything; files are from 2020, as the rehearsal's time is 2033.
fn site(change: impl FnOnce(&mut FilesConfig)) -> (tempfile::TempDir, Http) {
    site_with(&HttpConfig::default(), change)
}

fn site_with(http: &HttpConfig, change: impl FnOnce(&mut FilesConfig)) -> (tempfile::TempDir, Http) {
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
    let mut config = FilesConfig::new(root);
    change(&mut config);
    (dir, Http::with_config(Files::new(config).unwrap(), http).unwrap())
}

/// The service of a directory as it is.
fn plain_site(root: std::path::PathBuf) -> Http {
    Http::new(Files::new(FilesConfig::new(root)).unwrap())
}

fn big() -> Vec<u8> {
    (0..100_000u32).flat_map(u32::to_le_bytes).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    set_modified(path, 1_600_000_000);
}

fn set_modified(path: &Path, second: u64) {
    set_modified_ns(path, second, 0);
}

fn set_modified_ns(path: &Path, second: u64, nanos: u32) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::new(second, nanos)).unwrap();
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
