//! Folders as archives: what is in them, as other programs read it; and what happens when a file, a disk or a
//! client is not as it should be.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use crate::common::client::Ended;
use crate::common::fault::Fault;
use crate::common::http::{Answer, Site, get, receive, spec};
use crate::common::{Client, Random, Server, eventually, faulty, has_program};

/// Archives of one process at a time, as `ARCHIVES_MAX` has it.
const ARCHIVES_MAX: usize = 16;
const KINDS: [&str; 3] = ["tar", "tar.zst", "zip"];

/// Prints the members of an archive, each on a line: name and content in hexadecimal digits, `/` for a
/// folder.
const LIST: &str = r#"
import sys, tarfile, zipfile
path = sys.argv[1]
def line(name, content):
    print(name.hex(), "/" if content is None else content.hex())
if path.endswith(".zip"):
    archive = zipfile.ZipFile(path)
    assert archive.testzip() is None
    for info in archive.infolist():
        name = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
        line(name.rstrip(b"/"), None if info.is_dir() else archive.read(info))
else:
    archive = tarfile.open(path)
    for info in archive:
        name = info.name.encode("utf-8", "surrogateescape")
        assert info.isdir() or info.isreg(), name
        line(name, None if info.isdir() else archive.extractfile(info).read())
"#;

/// What is in a folder: content by path, `None` for a folder.
type Tree = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A folder with entries that are hard to archive, and the expected content of its archive.
fn awkward(site: &Site) -> Tree {
    let folder = site.root().join("album");
    let mut tree = Tree::new();
    tree.insert(b"album".to_vec(), None);
    let random = Random::new().bytes(300_001);
    let deep = format!("{}file", "forty-characters-long-folder-name-012345/".repeat(8));
    let files: [(&[u8], &[u8]); 9] = [
        (b"a.txt", b"a"),
        (b"empty", b""),
        (b"block", &[7; 512]),
        (b"large", &random),
        ("\u{dc}bergr\u{f6}\u{df}e \u{2603}.txt".as_bytes(), b"umlaut"),
        (b"\xff\xfe.bin", b"bytes"),
        (b"line\nbreak", b"two lines"),
        (&[b'n'; 200], b"a long name"),
        (deep.as_bytes(), b"a long path"),
    ];
    for (name, content) in files {
        let path = folder.join(OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        let mut path = b"album".to_vec();
        for segment in name.split(|&byte| byte == b'/') {
            tree.entry(path.clone()).or_insert(None);
            path.extend_from_slice(b"/");
            path.extend_from_slice(segment);
        }
        tree.insert(path, Some(content.to_vec()));
    }
    std::fs::create_dir(folder.join("hollow")).unwrap();
    tree.insert(b"album/hollow".to_vec(), None);
    for hidden in [".secret", ".git/config"] {
        site.file(&format!("album/{hidden}"), "hidden");
    }
    nix::unistd::mkfifo(&folder.join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    site.file("elsewhere/file", "linked to");
    let links = [
        ("a.txt", "link"),
        ("../elsewhere", "folder-link"),
        ("../../outside", "out"),
        ("/etc", "absolute"),
        ("nowhere", "dangling"),
        ("..", "loop"),
    ];
    for (to, link) in links {
        symlink(to, folder.join(link)).unwrap();
    }
    // Links are followed where the kernel can promise that they stay inside.
    if cfg!(target_os = "linux") {
        tree.insert(b"album/link".to_vec(), Some(b"a".to_vec()));
        tree.insert(b"album/folder-link".to_vec(), None);
        tree.insert(b"album/folder-link/file".to_vec(), Some(b"linked to".to_vec()));
    }
    tree
}

/// The folder `dir` as it lies on the disk; `name` is its own.
fn on_disk(dir: &Path, name: &[u8], tree: &mut Tree) {
    tree.insert(name.to_vec(), None);
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = [name, b"/", entry.file_name().as_bytes()].concat();
        if entry.file_type().unwrap().is_dir() {
            on_disk(&entry.path(), &name, tree);
        } else {
            tree.insert(name, Some(std::fs::read(entry.path()).unwrap()));
        }
    }
}

/// What Python finds in an archive.
fn listed(archive: &Path) -> Tree {
    let output = Command::new("python3").args(["-c", LIST]).arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = |digits: &str| {
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect::<Vec<u8>>()
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let members = text.lines().map(|line| line.split_once(' ').unwrap());
    let tree: Tree = members
        .clone()
        .map(|(name, content)| (bytes(name), (content != "/").then(|| bytes(content))))
        .collect();
    assert_eq!(tree.len(), members.count(), "no name is there twice");
    tree
}

/// Runs a program in an empty folder, and returns what it has put there as the folder `name`.
fn unpacked(program: &str, args: &[&str], archive: &Path, name: &str) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(args).arg(archive).current_dir(folder.path()).env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut tree = Tree::new();
    on_disk(&folder.path().join(name), name.as_bytes(), &mut tree);
    tree
}

#[track_caller]
fn assert_same(found: &Tree, expected: &Tree, by: &str) {
    let missing = expected.keys().filter(|name| !found.contains_key(*name));
    let added = found.keys().filter(|name| !expected.contains_key(*name));
    let shown =
        |names: Vec<&Vec<u8>>| names.iter().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>();
    assert_eq!((shown(missing.collect()), shown(added.collect())), (vec![], vec![]), "{by}: missing, added");
    for (name, content) in expected {
        assert!(found[name] == *content, "{by}: {} has another content", name.escape_ascii());
    }
}

fn archive(client: &mut Client, folder: &str, kind: &str) -> Answer {
    get(client, &format!("{folder}?archive={kind}"), "")
}

#[test]
fn every_model_sends_the_same_archive_and_other_programs_find_in_it_what_the_site_shows() {
    let site = Site::new();
    let mut expected = awkward(&site);
    let mut archives: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for args in faulty::models(2) {
        let args: Vec<&str> = args.iter().flat_map(|arg| arg.split('=')).collect();
        let mut server = site.serve(&[&["--archive"], &args[..]].concat());
        let mut client = server.client("http");
        for kind in KINDS {
            let answer = archive(&mut client, "/album/", kind);
            assert_eq!(answer.status, 200, "{args:?} {kind}");
            let first = archives.entry(kind).or_insert_with(|| answer.body.clone());
            assert!(answer.body == *first, "{args:?} {kind}");
        }
        // The connection is good for the next request.
        assert_eq!(get(&mut client, "/album/a.txt", "").text(), "a", "{args:?}");
    }
    // A list has what cannot be archived: a link to a folder that it is in.
    let list = "album/NOT-INCLUDED.txt";
    let folder = tempfile::tempdir().unwrap();
    let file = |kind: &str| folder.path().join(format!("album.{kind}"));
    for kind in KINDS {
        std::fs::write(file(kind), &archives[kind]).unwrap();
    }
    if cfg!(target_os = "linux") {
        let text = listed(&file("tar"))[list.as_bytes()].clone().unwrap();
        assert!(String::from_utf8_lossy(&text).contains("album/loop/album: a link to a folder"), "{text:?}");
        expected.insert(list.into(), Some(text));
        // What the link leads to before it comes back.
        expected.insert(b"album/loop".to_vec(), None);
        expected.insert(b"album/loop/elsewhere".to_vec(), None);
        expected.insert(b"album/loop/elsewhere/file".to_vec(), Some(b"linked to".to_vec()));
    }
    if has_program("python3") {
        assert_same(&listed(&file("tar")), &expected, "tarfile");
        assert_same(&listed(&file("zip")), &expected, "zipfile");
    }
    if has_program("tar") {
        assert_same(&unpacked("tar", &["-xf"], &file("tar"), "album"), &expected, "tar");
        if has_program("zstd") {
            assert_same(
                &unpacked("tar", &["--zstd", "-xf"], &file("tar.zst"), "album"),
                &expected,
                "tar --zstd",
            );
        }
    }
    if has_program("unzip") {
        // It drops control characters unless it is asked not to.
        assert_same(&unpacked("unzip", &["-q", "-^"], &file("zip"), "album"), &expected, "unzip");
    }
}

#[test]
fn an_archive_is_announced_as_a_download_and_only_where_the_operator_wants_it() {
    let site = Site::new();
    site.file("b\u{fc}cher/file", "x");
    let target = "/b%C3%BCcher/?archive=";
    let mut server = site.serve(&[]);
    let answer = get(&mut server.client("http"), &format!("{target}zip"), "");
    assert_eq!((answer.status, answer.field("content-disposition")), (200, None), "the listing");
    let mut server = site.serve(&["--archive"]);
    let mut client = server.client("http");
    for (kind, media_type) in
        [("zip", "application/zip"), ("tar", "application/x-tar"), ("tar.zst", "application/zstd")]
    {
        let answer = get(&mut client, &format!("{target}{kind}"), "Range: bytes=5-\r\n");
        assert_eq!((answer.status, answer.field("content-type")), (200, Some(media_type)));
        assert_eq!(
            answer.field("content-disposition").unwrap(),
            format!("attachment; filename=\"b_cher.{kind}\"; filename*=UTF-8''b%C3%BCcher.{kind}")
        );
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
        assert_eq!((answer.field("content-length"), answer.field("accept-ranges")), (None, None));
        client.send(format!("HEAD {target}{kind} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        let head = receive(&mut client, "HEAD");
        assert_eq!(head.field("content-disposition"), answer.field("content-disposition"));
        // An old client learns of the end by the end of the connection.
        let mut old = server.client("http");
        old.send(format!("GET {target}{kind} HTTP/1.0\r\n\r\n").as_bytes());
        let (whole, ended) = old.rest();
        assert!(whole.ends_with(&answer.body) && ended == Ended::Closed, "{kind}");
    }
    for (target, status) in [
        ("/b%C3%BCcher/?archive=rar", 400),
        ("/b%C3%BCcher?archive=zip", 301),
        ("/none/?archive=zip", 404),
        ("/../?archive=zip", 400),
        ("/b%C3%BCcher/file/?archive=zip", 404),
    ] {
        assert_eq!(get(&mut client, target, "").status, status, "{target}");
    }
}

/// A file so large that most of it is unread when the client has the first bytes of the archive, even if
/// compressed. It takes no space on the disk.
fn large(site: &Site) -> std::fs::File {
    let path = site.file("folder/large", "");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(1 << 40).unwrap();
    file
}

#[test]
fn a_file_that_gets_shorter_while_it_is_archived_cuts_the_connection() {
    for args in [&["--model", "reactor"], &["--model", "thread"]] {
        for kind in KINDS {
            let site = Site::new();
            let file = large(&site);
            let mut server = site.serve(&[&["--archive"], &args[..]].concat());
            // Zeros are little when compressed: the file must be too long even so.
            let mut client = Client::connect_narrow(&server.address("http"));
            client.send(format!("GET /folder/?archive={kind} HTTP/1.0\r\n\r\n").as_bytes());
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                client.read_exact(&mut byte);
                head.push(byte[0]);
            }
            // The first piece has content of the file, which is open.
            client.read_exact(&mut byte);
            file.set_len(1 << 10).unwrap();
            assert_eq!(client.rest().1, Ended::Reset, "{args:?} {kind}");
            eventually("it is logged", || server.stderr().contains("it has become shorter"));
        }
    }
}

#[test]
fn clients_that_do_not_read_an_archive_hold_up_no_others_and_their_places_become_free() {
    let site = Site::new();
    large(&site);
    site.file("small/file", "small");
    let mut server = site.serve(&["--archive"]);
    let address = server.address("http");
    let mut stalled: Vec<Client> = (0..ARCHIVES_MAX).map(|_| Client::connect_narrow(&address)).collect();
    for client in &mut stalled {
        client.send(b"GET /folder/?archive=tar HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read_exact(&mut [0; 1]);
    }
    let mut client = Client::connect(&address);
    assert_eq!(get(&mut client, "/small/file", "").text(), "small");
    assert_eq!(get(&mut client, "/small/", "").status, 200);
    let refused = archive(&mut client, "/small/", "zip");
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    stalled.pop().unwrap().reset();
    eventually("a place is free", || archive(&mut client, "/small/", "zip").status == 200);
}

/// The first read of a thread is as always, each later one takes seconds.
static SLOW_DISK: Fault = Fault { call: "pread64", effect: "delay_enter=2000000:when=2+" };

#[test]
fn a_disk_that_is_slow_for_an_archive_is_so_for_no_other_client() {
    if !cfg!(target_os = "linux") || !SLOW_DISK.can_be_injected() {
        return;
    }
    let site = Site::new();
    large(&site);
    let command = [env!("CARGO_BIN_EXE_oneloop"), "serve", &spec(&site.root()), "--archive"];
    let mut server: Server = SLOW_DISK.injected_into(command).start().listening();
    let mut client = server.client("http");
    let mut slow = server.client("http");
    slow.send(b"GET /folder/?archive=tar HTTP/1.1\r\nHost: h\r\n\r\n");
    // A piece has come, and the disk is at the next.
    slow.read_exact(&mut vec![0; 60 << 10]);
    let begin = Instant::now();
    for _ in 0..10 {
        assert_eq!(get(&mut client, "/none", "").status, 404);
    }
    // Less than one read takes.
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

/// Whatever is opened by one name, which `-P` of strace chooses, takes more than a second.
static SLOW_OPEN: Fault = Fault { call: "openat2", effect: "delay_enter=1500000" };
const SLOW_OPEN_TAKES: Duration = Duration::from_millis(1_500);

#[test]
fn a_folder_that_is_slow_to_open_for_an_archive_is_so_for_no_other_client() {
    if !cfg!(target_os = "linux") || !SLOW_OPEN.can_be_injected() {
        return;
    }
    let site = Site::new();
    site.file("folder/file", "content");
    let spec = spec(&site.root());
    let command = ["-P", "folder", env!("CARGO_BIN_EXE_oneloop"), "serve", &spec, "--archive"];
    let mut server: Server = SLOW_OPEN.injected_into(command).start().listening();
    let (mut slow, mut client) = (server.client("http"), server.client("http"));
    let begin = Instant::now();
    slow.send(b"GET /folder/?archive=tar HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..10 {
        assert_eq!(get(&mut client, "/none", "").status, 404);
    }
    // Less than the open takes.
    assert!(begin.elapsed() < SLOW_OPEN_TAKES, "{:?}", begin.elapsed());
    slow.read_exact(&mut [0; 1 << 10]);
    assert!(begin.elapsed() >= SLOW_OPEN_TAKES, "the open was not slow: {:?}", begin.elapsed());
}

#[test]
fn an_archive_has_more_entries_than_the_old_form_of_zip_can_count() {
    const EACH: usize = 257;
    // With links, a few hundred files are many.
    if !cfg!(target_os = "linux") || !has_program("unzip") || !has_program("python3") {
        return;
    }
    let site = Site::new();
    for number in 0..EACH {
        site.file(&format!("many/0/{number}"), "");
    }
    for number in 1..EACH {
        symlink("0", site.root().join(format!("many/{number}"))).unwrap();
    }
    let mut server = site.serve(&["--archive"]);
    let answer = archive(&mut server.client("http"), "/many/", "zip");
    let path = site.beside("many.zip");
    std::fs::write(&path, &answer.body).unwrap();
    assert_eq!(listed(&path).len(), 1 + EACH + EACH * EACH);
    assert!(Command::new("unzip").arg("-tqq").arg(&path).status().unwrap().success());
}
