//! What the tests of the HTTP service share: a site, a server of it, and answers as they are framed.

use std::path::{Path, PathBuf};

use super::{Client, Server};

/// A directory with a file outside of the part that is served.
pub struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(site.root()).unwrap();
        std::fs::write(site.folder.path().join("outside"), "outside").unwrap();
        site
    }

    /// The served directory.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// What lies beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in it, with its folders.
    pub fn file(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// `oneloop serve http=ROOT ARGS…`
    pub fn serve(&self, args: &[&str]) -> Server {
        let spec = spec(&self.root());
        Server::serve(&[&[spec.as_str()], args].concat())
    }
}

/// The files of a directory on a port of the kernel's choice.
pub fn spec(root: &Path) -> String {
    format!("http={}@127.0.0.1:0", root.display())
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads one answer; `method` decides whether a body comes with it.
#[track_caller]
pub fn receive(client: &mut Client, method: &str) -> Answer {
    let head = line_by_line(client);
    let status: u16 = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let mut answer = Answer { status, head, body: Vec::new() };
    if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
        return answer;
    }
    if let Some(len) = answer.field("content-length") {
        answer.body = vec![0; len.parse().unwrap()];
        client.read_exact(&mut answer.body);
    } else if answer.field("transfer-encoding") == Some("chunked") {
        loop {
            let size = line_of(client);
            let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
            client.read_exact(&mut chunk);
            if chunk.len() == 2 {
                break;
            }
            answer.body.extend_from_slice(&chunk[..chunk.len() - 2]);
        }
    } else {
        answer.body = client.rest().0;
    }
    answer
}

/// Asks for a file, on a connection that stays open.
#[track_caller]
pub fn get(client: &mut Client, target: &str, fields: &str) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
    receive(client, "GET")
}

#[track_caller]
fn line_by_line(client: &mut Client) -> String {
    let mut head = String::new();
    loop {
        let line = line_of(client);
        if line == "\r\n" {
            return head;
        }
        head.push_str(&line);
    }
}

#[track_caller]
fn line_of(client: &mut Client) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte);
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("heads are ASCII here")
}
