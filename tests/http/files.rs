//! What is served is what lies beneath the root, in one state, framed as promised, whatever happens to the
//! files.

mod replaced;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::common::client::Ended;
use crate::common::fault::Fault;
use crate::common::faulty::models;
use crate::common::http::{Answer, Site, get, receive, spec};
use crate::common::{Client, Server, eventually, eventually_some};
use nix::sys::stat::Mode;

/// The ways of finding a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathResolution {
    /// In one call of the kernel, where there is one.
    Kernel,
    /// By a walk that follows no links, as asked.
    NoLinks,
    /// By that walk, for a sandbox denies the call.
    Denied(&'static Fault),
}

/// As old kernels answer, and sandboxes that pretend to be one; as other sandboxes do.
static DENIED: [Fault; 2] =
    [Fault { call: "openat2", effect: "error=ENOSYS" }, Fault { call: "openat2", effect: "error=EPERM" }];

impl PathResolution {
    fn all() -> impl Iterator<Item = PathResolution> {
        let denied = DENIED.iter().filter(|fault| cfg!(target_os = "linux") && fault.can_be_injected());
        [PathResolution::Kernel, PathResolution::NoLinks]
            .into_iter()
            .chain(denied.map(PathResolution::Denied))
    }

    /// `oneloop serve SPEC`
    fn serve(self, spec: &str) -> Server {
        println!("{self:?}");
        let args = ["serve", spec];
        match self {
            PathResolution::Kernel => Server::serve(&args[1..]),
            PathResolution::NoLinks => Server::serve(&[spec, "--no-links"]),
            PathResolution::Denied(fault) => {
                fault.injected_into([env!("CARGO_BIN_EXE_oneloop")].iter().chain(&args)).start().listening()
            }
        }
    }
}

#[test]
fn links_are_followed_beneath_the_root_where_the_kernel_can_promise_it() {
    let site = Site::new();
    site.file("folder/file", "inside");
    symlink("folder/file", site.root().join("link")).unwrap();
    for resolution in PathResolution::all() {
        let status =
            if resolution == PathResolution::Kernel && cfg!(target_os = "linux") { 200 } else { 403 };
        let mut server = resolution.serve(&spec(&site.root()));
        assert_eq!(get(&mut server.client("http"), "/link", "").status, status, "{resolution:?}");
    }
}

#[test]
fn a_link_that_leads_outside_is_named_in_the_log_once_under_every_model() {
    let site = Site::new();
    symlink("../outside", site.root().join("link")).unwrap();
    for model in models(2) {
        let args: Vec<&str> = model.iter().map(String::as_str).collect();
        let mut server = site.serve(&args);
        for _ in 0..2 {
            assert_eq!(get(&mut server.client("http"), "/link", "").status, 403, "{model:?}");
        }
        assert!(server.stop().success(), "{model:?}");
        let logged = server.stderr().matches("the link \"link\" leads out of the directory").count();
        // Links are followed where the kernel can promise that they stay inside.
        assert_eq!(logged, usize::from(cfg!(target_os = "linux")), "{model:?}: {}", server.stderr());
    }
}

#[test]
fn an_upload_of_any_size_is_refused_by_its_method() {
    let site = Site::new();
    let mut server = site.serve(&[]);
    for length in [1, 3 << 20, u64::MAX] {
        let mut client = server.client("http");
        client.send(format!("PUT /new HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\nx").as_bytes());
        assert_eq!(receive(&mut client, "PUT").status, 405, "{length}");
    }
}

#[test]
fn nothing_outside_the_root_is_ever_served() {
    let site = Site::new();
    site.file("folder/file", "inside");
    std::fs::create_dir(site.beside("private")).unwrap();
    std::fs::write(site.beside("private/key"), "outside").unwrap();
    symlink("../outside", site.root().join("link")).unwrap();
    symlink("../private", site.root().join("folder-link")).unwrap();
    symlink(site.beside("outside"), site.root().join("absolute")).unwrap();
    symlink("/", site.root().join("slash")).unwrap();
    symlink("/proc/self/root", site.root().join("magic")).unwrap();
    for resolution in PathResolution::all() {
        let mut server = resolution.serve(&spec(&site.root()));
        let mut client = server.client("http");
        for target in [
            "/../outside",
            "/folder/../../outside",
            "/%2e%2e/outside",
            "/%2E%2E%2Foutside",
            "/..%2foutside",
            "/folder/%2e./..%2f..%2foutside",
            "/%252e%252e/outside",
            "/.%00./outside",
            "/outside%00.html",
            "/link",
            "/link/",
            "/folder-link",
            "/folder-link/",
            "/folder-link/key",
            "/absolute",
            "/slash/etc/passwd",
            "/magic/etc/passwd",
            "//etc/passwd",
            "/./../outside",
            "/folder/..\\..\\outside",
            "http://localhost/../outside",
        ] {
            let answer = get(&mut client, target, "");
            assert!(matches!(answer.status, 400 | 403 | 404), "{target}: {answer:?}");
            assert!(!answer.text().contains("outside"), "{target}: {answer:?}");
        }
        let listing = get(&mut client, "/", "").text();
        for hidden in ["link", "absolute", "slash", "magic"] {
            assert!(!listing.contains(&format!("{hidden}<")), "{hidden} is in the listing: {listing}");
        }
        assert_eq!(get(&mut client, "/folder/file", "").text(), "inside");
    }
}

/// Names of one file, each asked for once.
const LINKS: usize = 3_000;

#[test]
fn a_link_swapped_during_the_requests_never_leads_outside() {
    let site = Site::new();
    // Another name each time for the same file: none is remembered.
    let inside = site.file("folder/inside", "inside");
    std::fs::create_dir(site.beside("other")).unwrap();
    let outside = site.beside("other/outside");
    std::fs::write(&outside, "outside").unwrap();
    for n in 0..LINKS {
        std::fs::hard_link(&inside, site.root().join(format!("folder/{n}"))).unwrap();
        std::fs::hard_link(&outside, site.beside(&format!("other/{n}"))).unwrap();
    }
    let root = site.root();
    let done = Arc::new(AtomicBool::new(false));
    let swapping = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // The folder, then a link out of the root in its place, and back.
                std::fs::rename(root.join("folder"), root.join("kept")).unwrap();
                symlink("../other", root.join("folder")).unwrap();
                std::fs::remove_file(root.join("folder")).unwrap();
                std::fs::rename(root.join("kept"), root.join("folder")).unwrap();
            }
        })
    };
    for resolution in PathResolution::all() {
        let mut server = resolution.serve(&spec(&site.root()));
        let mut client = server.client("http");
        for n in 0..LINKS {
            let answer = get(&mut client, &format!("/folder/{n}"), "");
            assert!(!answer.text().contains("outside"), "{answer:?}");
        }
    }
    done.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
}

#[test]
fn special_files_neither_block_the_loop_nor_are_served() {
    let site = Site::new();
    site.file("index.html", "home");
    nix::unistd::mkfifo(&site.root().join("fifo"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.root().join("socket")).unwrap();
    // Only root can make a device; every system has some in /dev.
    let devices = spec(Path::new("/dev"));
    for resolution in PathResolution::all() {
        let mut server = resolution.serve(&spec(&site.root()));
        let mut client = server.client("http");
        for target in ["/fifo", "/socket"] {
            assert_eq!(get(&mut client, target, "").status, 403, "{target}");
        }
        assert_eq!(get(&mut client, "/", "").text(), "home", "the loop goes on");
        let mut server = resolution.serve(&devices);
        let mut client = server.client("http");
        for target in ["/zero", "/null", "/tty"] {
            assert_eq!(get(&mut client, target, "").status, 403, "{target}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")] // elsewhere the way leads only through what may be read
fn a_directory_that_may_only_be_passed_through_has_its_page_and_its_redirect() {
    let site = Site::new();
    let folder = site.file("folder/index.html", "page").parent().unwrap().to_owned();
    site.file("folder/file", "file");
    let allow = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&folder, permissions).unwrap();
    };
    allow(0o311);
    let is_root = nix::unistd::Uid::effective().is_root();
    let mut server = site.serve(if is_root { &["--user", "nobody"] } else { &[] });
    let mut client = server.client("http");
    let moved = get(&mut client, "/folder", "");
    assert_eq!((moved.status, moved.field("location")), (301, Some("folder/")));
    assert_eq!(get(&mut client, "/folder/", "").text(), "page");
    assert_eq!(get(&mut client, "/folder/file", "").text(), "file");
    std::fs::remove_file(folder.join("index.html")).unwrap();
    eventually("it is not listed", || get(&mut client, "/folder/", "").status == 403);
    allow(0o755); // so that it can be removed
}

#[test]
fn what_the_user_of_the_server_may_not_read_is_logged_with_the_reason() {
    const WARNED: &str = "cannot be read by the user nobody: ";
    if !nix::unistd::Uid::effective().is_root() {
        return crate::common::skipped("only root can become another user");
    }
    let allow = |path: &Path, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, permissions).unwrap();
    };
    let site = Site::new();
    allow(&site.file("se\ncret", "secret"), 0o600);
    site.file("file", "file");
    for (mode, args, warned, statuses) in [
        (0o700, &[][..], "; requests get 403", [403, 403]),
        (0o711, &[], "; its listing gets 403", [200, 403]),
        (0o711, &["--no-listing"], "", [200, 403]),
        (0o755, &[], "", [200, 200]),
    ] {
        allow(&site.root(), mode);
        let mut server = site.serve(&[&["--user=nobody"], args].concat());
        let mut client = server.client("http");
        for (target, status) in ["/file", "/"].iter().zip(statuses) {
            assert_eq!(get(&mut client, target, "").status, status, "{mode:o} {args:?} {target}");
        }
        assert_eq!(get(&mut client, "/se%0acret", "").status, 403);
        server.expect_log("http: cannot open \"se\\ncret\": Permission denied", 1);
        assert_eq!(server.stop().code(), Some(0));
        let log = server.stderr();
        assert_eq!(log.matches(WARNED).count(), usize::from(!warned.is_empty()), "{mode:o} {args:?}: {log}");
        assert!(log.contains(warned), "{mode:o} {args:?}: {log}");
    }
}

#[test]
fn a_missing_fallback_is_reported_at_the_start_and_found_once_it_exists() {
    const WARNED: &str = "--fallback \"app.html\" is not a file that can be served in ";
    let site = Site::new();
    std::fs::create_dir(site.root().join("app.html")).unwrap();
    let server = site.serve(&["--fallback=app.html"]);
    server.expect_log(WARNED, 1);
    drop(server);
    std::fs::remove_dir(site.root().join("app.html")).unwrap();
    let mut server = site.serve(&["--fallback=app.html"]);
    server.expect_log(WARNED, 1);
    let mut client = server.client("http");
    assert_eq!(get(&mut client, "/any/route", "").status, 404);
    site.file("app.html", "the app");
    eventually("it is found", || get(&mut client, "/any/route", "").text() == "the app");
    let mut server = site.serve(&["--fallback=app.html"]);
    assert_eq!(get(&mut server.client("http"), "/any/route", "").text(), "the app");
    assert_eq!(server.stop().code(), Some(0));
    assert!(!server.stderr().contains("--fallback"), "{}", server.stderr());
}

#[test]
fn a_change_is_seen_within_a_second() {
    let site = Site::new();
    let small = site.file("small", "old");
    let big = site.file("big", vec![b'o'; 200_000]);
    let mut server = site.serve(&[]);
    let mut client = server.client("http");
    assert_eq!(
        (get(&mut client, "/small", "").text().len(), get(&mut client, "/big", "").body[0]),
        (3, b'o')
    );
    std::fs::write(&small, "new").unwrap();
    std::fs::write(site.beside("big"), vec![b'n'; 200_000]).unwrap();
    std::fs::rename(site.beside("big"), big).unwrap();
    let changed = Instant::now();
    let mut seen = |target: &str, first: u8| {
        eventually_some("the change", || {
            (get(&mut client, target, "").body[0] == first).then(|| changed.elapsed())
        })
    };
    // Generous for a machine that is busy with other tests.
    for (target, first) in [("/small", b'n'), ("/big", b'n')] {
        let after = seen(target, first);
        assert!(after < Duration::from_millis(1_500), "{target} was seen after {after:?}");
    }
}

/// Each look takes a moment, so that something comes between it and the next.
static SLOW_LOOKS: Fault = Fault { call: "openat2", effect: "delay_exit=4000" };

/// The looks that something comes into, each at another moment.
const LOOKS: u64 = 40;

/// `oneloop serve http=ROOT ARGS…`, with slow looks; `None` if there cannot be any.
fn slow_looks(site: &Site, args: &[&str]) -> Option<Server> {
    let can = cfg!(target_os = "linux") && SLOW_LOOKS.can_be_injected();
    let spec = spec(&site.root());
    let serve = [env!("CARGO_BIN_EXE_oneloop"), "serve", &spec];
    can.then(|| SLOW_LOOKS.injected_into(serve.iter().chain(args)).start().listening())
}

/// Asks for `target`, and renames `from` to `to` meanwhile.
fn asked_while_renamed(client: &mut Client, target: &str, look: u64, from: &Path, to: &Path) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    std::thread::sleep(Duration::from_millis(look));
    std::fs::rename(from, to).unwrap();
    receive(client, "GET")
}

#[test]
fn a_fifo_that_takes_a_files_place_between_two_looks_is_not_waited_for() {
    let site = Site::new();
    site.file("index.html", "home");
    let Some(mut server) = slow_looks(&site, &[]) else { return };
    let mut client = server.client("http");
    for n in 0..LOOKS {
        let (file, fifo) = (site.file(&n.to_string(), "file"), site.beside(&n.to_string()));
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let answer = asked_while_renamed(&mut client, &format!("/{n}"), n, &fifo, &file);
        assert!(answer.status == 403 || answer.text() == "file", "{answer:?}");
    }
    assert_eq!(get(&mut client, "/", "").text(), "home", "the loop goes on");
}

#[test]
fn what_comes_while_a_file_is_looked_up_is_seen() {
    let site = Site::new();
    for n in 0..LOOKS {
        site.file(&format!("{n}/second.html"), "second");
        std::fs::write(site.beside(&format!("{n}-neighbour")), "zipped").unwrap();
        std::fs::write(site.beside(&format!("{n}-index")), "first").unwrap();
    }
    let Some(mut server) = slow_looks(&site, &["--index", "first.html", "--index", "second.html"]) else {
        return;
    };
    let mut client = server.client("http");
    let mut seen = |what: &str, target: &dyn Fn(u64) -> String, from: &str, to: &str, expected: &str| {
        for n in 0..LOOKS {
            let (from, to) = (site.beside(&format!("{n}-{from}")), site.root().join(format!("{n}/{to}")));
            asked_while_renamed(&mut client, &target(n), n, &from, &to);
        }
        let mut unseen: Vec<u64> = (0..LOOKS).collect();
        eventually(what, || {
            unseen.retain(|n| get(&mut client, &target(*n), "Accept-Encoding: gzip\r\n").text() != expected);
            unseen.is_empty()
        });
    };
    seen("all neighbours", &|n| format!("/{n}/second.html"), "neighbour", "second.html.gz", "zipped");
    seen("all pages that come first", &|n| format!("/{n}/"), "index", "first.html", "first");
}

/// Only the time of the change itself (`st_ctime`), which no user can set, shows that the content is new.
#[test]
fn a_change_is_seen_though_size_and_time_of_modification_stay() {
    let site = Site::new();
    let path = site.file("small", "old");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let rewrite = |text| {
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(text).unwrap();
        file.set_modified(long_ago).unwrap();
    };
    rewrite(b"old");
    let mut server = site.serve(&[]);
    let mut client = server.client("http");
    // Until then it is read again each time, whatever its times are.
    let changed_s = std::fs::metadata(&path).unwrap().ctime();
    eventually("its last change is long enough ago to be told from the next", || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        now.as_secs().cast_signed() > changed_s + 1
    });
    assert_eq!(get(&mut client, "/small", "").text(), "old");
    rewrite(b"new");
    eventually("the change is seen", || get(&mut client, "/small", "").text() == "new");
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection_short() {
    let site = Site::new();
    let path = site.file("big", vec![b'x'; 30_000_000]);
    let mut server = site.serve(&[]);
    let mut client = server.client("http");
    client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut begin = [0; 1_000];
    client.read_exact(&mut begin);
    // The sockets' buffers are full by now or soon: the rest of the file is not.
    std::fs::File::options().write(true).open(&path).unwrap().set_len(10_000_000).unwrap();
    let (rest, _) = client.rest();
    assert!(rest.len() < 30_000_000, "{} bytes came", rest.len());
    assert!(!rest.windows(9).any(|bytes| bytes == b"HTTP/1.1 "), "an answer inside of another's body");
    server.expect_log("file-short", 1);
}

#[test]
fn a_file_that_grows_or_is_replaced_or_vanishes_while_it_is_sent_keeps_its_frame() {
    let site = Site::new();
    let path = site.file("big", vec![b'x'; 30_000_000]);
    site.file("next", "next");
    let mut server = site.serve(&[]);
    let changes: [&dyn Fn(); 3] = [
        &|| {
            let mut file = std::fs::File::options().append(true).open(&path).unwrap();
            file.write_all(&vec![b'y'; 1_000_000]).unwrap();
        },
        &|| {
            std::fs::write(site.beside("new"), "replaced").unwrap();
            std::fs::rename(site.beside("new"), &path).unwrap();
        },
        &|| std::fs::remove_file(&path).unwrap(),
    ];
    for change in changes {
        std::fs::write(&path, vec![b'x'; 30_000_000]).unwrap();
        let mut client = server.client("http");
        eventually("the file is seen as it is now", || {
            let answer = get(&mut client, "/big", "Range: bytes=0-0\r\n");
            answer.field("content-range") == Some("bytes 0-0/30000000")
        });
        client.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        change();
        let big = receive(&mut client, "GET");
        assert!(big.body.len() == 30_000_000 && big.body.iter().all(|byte| *byte == b'x'));
        assert_eq!(receive(&mut client, "GET").text(), "next");
    }
}

#[test]
fn a_small_file_that_is_rewritten_all_the_time_is_always_one_state_of_it() {
    let site = Site::new();
    let path = site.file("small", vec![b'a'; 20_000]);
    let done = Arc::new(AtomicBool::new(false));
    let writing = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            for turn in 0.. {
                let len = [20_000, 5_000][turn % 2];
                file.set_len(0).unwrap();
                file.write_all_at(&vec![b'a'; len], 0).unwrap();
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        })
    };
    let mut server = site.serve(&[]);
    let mut client = server.client("http");
    for n in 0..500 {
        // Another name each time for the same file: none is remembered. One that shrinks on the way ends the
        // connection.
        std::fs::hard_link(site.root().join("small"), site.root().join(format!("{n}"))).unwrap();
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes());
        let (answer, ended) = client.rest();
        client = server.client("http");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(text.is_empty() || ended == Ended::Reset, "{text:?}");
            continue;
        };
        let promised = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        assert!(body.len() <= promised.parse().unwrap(), "{head}: {} bytes", body.len());
        assert!(body.bytes().all(|byte| byte == b'a'));
    }
    done.store(true, Ordering::Relaxed);
    writing.join().unwrap();
}

/// Whether sendfile(2) fails so for one file, or for all there are.
const REFUSALS: [(Fault, bool); 4] = [
    (Fault { call: "sendfile", effect: "error=EINVAL" }, false),
    (Fault { call: "sendfile", effect: "error=EOPNOTSUPP" }, false),
    (Fault { call: "sendfile", effect: "error=ENOSYS" }, true),
    (Fault { call: "sendfile", effect: "error=EPERM" }, true),
];

#[test]
fn a_file_that_the_system_does_not_send_is_read_and_written_instead() {
    const WORKERS: usize = 2;
    const CLIENTS: usize = 3;
    let site = Site::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    site.file("big", &content);
    let spec = spec(&site.root());
    for (fault, is_for_all) in REFUSALS {
        if !fault.can_be_injected() {
            return;
        }
        for args in crate::common::faulty::models(WORKERS) {
            let calls = site.beside("calls");
            let serve = [env!("CARGO_BIN_EXE_oneloop"), "serve", &spec];
            let command = serve.into_iter().chain(args.iter().map(String::as_str));
            let mut server = fault.recorded_into(&calls, command).start().listening();
            for _ in 0..CLIENTS {
                let mut client = server.client("http");
                assert!(get(&mut client, "/big", "").body == content, "{args:?} with {fault:?}");
                let part = get(&mut client, "/big", "Range: bytes=1000000-2999998\r\n");
                assert!(part.status == 206 && part.body == content[1_000_000..2_999_999], "{args:?}");
                client.send(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                assert!(client.rest().0.ends_with(&content), "{args:?} with {fault:?}");
            }
            assert_eq!(server.stop().code(), Some(0), "{args:?} with {fault:?}");
            let tried = std::fs::read_to_string(&calls).unwrap().matches("sendfile(").count();
            // Once for each client, whose next file may be on another file system, or for each process.
            let most = if is_for_all && args.len() > 1 { WORKERS.min(CLIENTS) } else { CLIENTS };
            let most = if is_for_all && args.len() == 1 && !args[0].ends_with("fork") { 1 } else { most };
            assert!((1..=most).contains(&tried), "{args:?} with {fault:?}: tried {tried} times");
        }
    }
}

/// Only Linux shows the peak memory of a process.
#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_read_and_written_is_not_in_memory_as_a_whole() {
    const FILE_BYTES: u64 = 64 << 20;
    let fault = &REFUSALS[0].0;
    if !fault.can_be_injected() {
        return;
    }
    let site = Site::new();
    File::create(site.beside("root/big")).unwrap().set_len(FILE_BYTES).unwrap();
    for model in ["reactor", "iterative"] {
        let command = [env!("CARGO_BIN_EXE_oneloop"), "serve", &spec(&site.root()), "--model", model];
        let mut server = fault.injected_into(command).start().listening();
        let mut client = server.client("http");
        assert_eq!(get(&mut client, "/big", "").body.len() as u64, FILE_BYTES);
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let most_kib: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(most_kib < FILE_BYTES / 2 / 1024, "{model}: {most_kib} KiB");
    }
}
