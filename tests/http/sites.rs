//! Several directories on one listener, by path and by host; what one site has in place of the flags; clean
//! addresses, types of its own, long heads, and links that lead outside where they may.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::fault::Fault;
use crate::common::faulty::models;
use crate::common::http::{Answer, Site, get, receive, spec};
use crate::common::{Client, Server, eventually};

/// Asks for a target of a host, on a connection that stays open.
#[track_caller]
fn ask(client: &mut Client, target: &str, host: &str) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    receive(client, "GET")
}

/// Directories, each with a file that has its name, on one address.
struct Sites {
    folder: tempfile::TempDir,
}

impl Sites {
    fn new(names: &[&str]) -> Sites {
        let sites = Sites { folder: tempfile::tempdir().unwrap() };
        for name in names {
            sites.file(&format!("{name}/name"), name);
        }
        sites
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    /// `http=MOUNTDIR,OPTIONS@0`: sites with the same mount have a port each, others share one.
    fn spec(&self, mount: &str, dir: &str, options: &str) -> String {
        format!("http={mount}{}{options}@0", self.path(dir).display())
    }
}

#[test]
fn each_path_and_host_has_its_directory_under_every_model_however_it_is_spelled() {
    let sites = Sites::new(&["root", "docs", "api", "host", "host-docs", "six"]);
    sites.file("docs/sub/page", "docs sub page");
    sites.file("docs/.well-known/x", "not at the top");
    let specs = [
        sites.spec("", "root", ""),
        sites.spec("/docs:", "docs", ",listing"),
        sites.spec("/docs/api:", "api", ""),
        sites.spec("//Example.org:", "host", ""),
        sites.spec("//example.org/docs:", "host-docs", ""),
        sites.spec("//[0:0::1]:", "six", ""),
    ];
    for model in models(2) {
        let args: Vec<&str> = specs.iter().chain(&model).map(String::as_str).collect();
        let mut server = Server::serve(&[&args[..], &["--no-listing"]].concat());
        let address = server.address("http");
        let mut client = Client::connect(&address);
        let told = server.stdout();
        assert_eq!(told.matches("listening on ").count(), 1, "one listener: {told}");
        for url in ["/\n", "/docs/\n", "/docs/api/\n"] {
            assert!(told.contains(&format!("open http://{}{url}", address.tcp())), "{url}: {told}");
        }
        let port = address.tcp().port();
        assert!(told.contains(&format!("open http://example.org:{port}/docs/\n")), "{told}");
        for (target, host, expected) in [
            ("/name", "h", Ok("root")),
            ("/docs/name", "h", Ok("docs")),
            ("/docs/api/name", "h", Ok("api")),
            ("/docs/apiary", "h", Err(404)),
            ("/docsX/name", "h", Err(404)),
            ("/docs/../name", "h", Ok("root")),
            ("/docs/../docs/api/../name", "h", Ok("docs")),
            ("//docs//name", "h", Ok("docs")),
            ("/./%64ocs/%6eame", "h", Ok("docs")),
            ("/docs%2fname", "h", Err(404)),
            ("/docs/%2e%2e/%2e%2e/name", "h", Err(400)),
            ("/docs/..%2fname", "h", Err(404)),
            ("/Docs/name", "h", Err(404)),
            ("/docs/sub/page", "h", Ok("docs sub page")),
            ("/docs/.well-known/x", "h", Err(404)),
            ("/name", "example.org", Ok("host")),
            ("/name", "EXAMPLE.ORG:8080", Ok("host")),
            ("/name", "example.org.", Ok("host")),
            ("/name", "example.org.:80", Ok("host")),
            ("/name", "example.org..", Ok("root")),
            ("/docs/name", "example.org", Ok("host-docs")),
            ("/docs/api/name", "example.org", Err(404)),
            ("/name", "www.example.org", Ok("root")),
            ("/name", "[::1]", Ok("six")),
            ("/name", "[::1%eth0]", Ok("six")),
            ("/name", "[::1%25lo]:80", Ok("six")),
            ("/name", "[::0001]:81", Ok("six")),
            ("/name", "[::2]", Ok("root")),
            ("/docs/name", "[::1]", Err(404)),
            ("http://example.org/name", "h", Ok("host")),
            ("http://h/docs/name", "example.org", Ok("docs")),
            ("HTTP://EXAMPLE.org:1/docs/name", "h", Ok("host-docs")),
            ("http://[::1]:9/name", "h", Ok("six")),
        ] {
            let answer = ask(&mut client, target, host);
            let found = if answer.status == 200 { Ok(answer.text()) } else { Err(answer.status) };
            assert_eq!(found, expected.map(str::to_owned), "{target} of {host}: {model:?}");
            if answer.field("connection") == Some("close") {
                drop(client);
                client = Client::connect(&address);
            }
        }
        for (target, to) in
            [("/docs", "docs/"), ("/docs?a=b", "docs/?a=b"), ("/docs/sub", "sub/"), ("/docs/api", "api/")]
        {
            let moved = ask(&mut client, target, "h");
            assert_eq!((moved.status, moved.field("location")), (301, Some(to)), "{target}");
        }
        let page = ask(&mut client, "/docs/sub/", "h").text();
        assert!(page.contains("<title>sub"), "{page}");
        assert!(page.contains("href=\"../\"") && page.contains("href=\"page\""), "{page}");
        for (target, home) in [("/docs/none", "./"), ("/docs/sub/none", "../"), ("/none", "./")] {
            let page = ask(&mut client, target, "h").text();
            assert!(page.contains(&format!("href=\"{home}\"")), "the top of the site: {target}: {page}");
        }
        assert_eq!(ask(&mut client, "/", "h").status, 403, "the option of one site is not another's");
    }
}

#[test]
fn a_host_that_no_site_is_for_is_misdirected_unless_a_site_is_for_all_hosts() {
    let sites = Sites::new(&["one", "two"]);
    let one = sites.spec("//one.example:", "one", "");
    let two = sites.spec("//two.example/docs:", "two", "");
    let mut server = Server::serve(&[&one, &two]);
    let mut client = server.client("http");
    for (target, host, status) in [
        ("/name", "one.example", 200),
        ("/docs/name", "two.example", 200),
        ("/name", "two.example", 404),
        ("/name", "three.example", 421),
        ("/name", "127.0.0.1", 421),
        ("http://one.example/name", "three.example", 200),
        ("http://three.example/name", "one.example", 421),
    ] {
        assert_eq!(ask(&mut client, target, host).status, status, "{target} of {host}");
    }
    // A client of HTTP/1.0 need not name a host.
    client.send(b"GET /name HTTP/1.0\r\n\r\n");
    assert_eq!(receive(&mut client, "GET").status, 421);
}

#[test]
fn a_site_has_its_own_settings_and_the_flags_for_the_others() {
    let sites = Sites::new(&["one", "two", "a,b", "me@home"]);
    for site in ["one", "two", "a,b", "me@home"] {
        sites.file(&format!("{site}/.hidden"), "hidden");
        sites.file(&format!("{site}/start.htm"), site);
    }
    let one = sites.spec("/one:", "one", ",hidden=off,cache-control=public,,max-age=5,index=start.htm");
    let two = sites.spec("/two:", "two", ",listing=off");
    let comma = sites.spec("/comma:", "a,b", "");
    let doubled = format!("http=/doubled:{},links,no-listing=off@0", sites.path("a,,b").display());
    let at = sites.spec("/at:", "me@home", ",hidden=off");
    let flags = ["--hidden", "--cache-control", "no-store", "--index", "none"];
    let mut server = Server::serve(&[&[&*one, &two, &comma, &doubled, &at], &flags[..]].concat());
    let mut client = server.client("http");
    assert_eq!(get(&mut client, "/one/name", "").field("cache-control"), Some("public,max-age=5"));
    assert_eq!(get(&mut client, "/two/name", "").field("cache-control"), Some("no-store"));
    for (target, expected) in [
        ("/one/.hidden", Err(404)),
        ("/two/.hidden", Ok("hidden")),
        ("/comma/.hidden", Ok("hidden")),
        ("/comma/name", Ok("a,b")),
        ("/doubled/name", Ok("a,b")),
        ("/at/name", Ok("me@home")),
        ("/at/.hidden", Err(404)),
        ("/one/", Ok("one")),
        ("/two/", Err(403)),
    ] {
        let answer = get(&mut client, target, "");
        let found = if answer.status == 200 { Ok(answer.text()) } else { Err(answer.status) };
        assert_eq!(found, expected.map(str::to_owned), "{target}");
    }
    assert!(get(&mut client, "/doubled/", "").text().contains("start.htm"));
}

#[test]
fn every_response_of_a_site_has_its_header_fields_beside_those_of_all_sites() {
    let sites = Sites::new(&["one", "two"]);
    sites.file("one/sub/x", "x");
    sites.file("one/404.html", "missing");
    std::fs::write(sites.path("one/big"), vec![b'x'; 100_000]).unwrap();
    let one = sites.spec("/one:", "one", ",header=X-One: a,,b,header=X-Two: c,listing");
    let two = sites.spec("/two:", "two", "");
    let mut server = Server::serve(&[&one, &two, "--header=X-All: all"]);
    let mut client = server.client("http");
    let tag = get(&mut client, "/one/name", "").field("etag").unwrap().to_owned();
    let unchanged = format!("If-None-Match: {tag}\r\n");
    for (target, fields, status) in [
        ("/one/name", "", 200),
        ("/one/name", "", 200), // from memory
        ("/one/big", "", 200),
        ("/one/name", &*unchanged, 304),
        ("/one/name", "If-Match: \"other\"\r\n", 412),
        ("/one/name", "Range: bytes=0-0\r\n", 206),
        ("/one/big", "Range: bytes=0-0,5-6\r\n", 206),
        ("/one/name", "Range: bytes=9-\r\n", 416),
        ("/one/none", "", 404),
        ("/one", "", 301),
        ("/one/sub/", "", 200),
    ] {
        let answer = get(&mut client, target, fields);
        assert_eq!(answer.status, status, "{target} {fields}");
        for (name, value) in [("x-one", "a,b"), ("x-two", "c"), ("x-all", "all")] {
            assert_eq!(answer.field(name), Some(value), "{target} {fields}");
            let named = |line: &&str| line.to_ascii_lowercase().starts_with(&format!("{name}:"));
            assert_eq!(answer.head.lines().filter(named).count(), 1, "{target} {fields}: {}", answer.head);
        }
    }
    client.send(b"DELETE /one/name HTTP/1.1\r\nHost: h\r\n\r\n");
    let refused = receive(&mut client, "DELETE");
    assert_eq!((refused.status, refused.field("x-one")), (405, Some("a,b")));
    let other = get(&mut client, "/two/name", "");
    assert_eq!((other.field("x-one"), other.field("x-all")), (None, Some("all")));
}

#[test]
fn a_plain_directory_argument_can_have_options() {
    let sites = Sites::new(&["one", "a:b"]);
    for (dir, options, status) in
        [("one", ",listing=off", 403), ("a:b", ",listing=off", 403), ("a:b", "", 200)]
    {
        let mut server = Server::serve(&[&format!("{}{options}@0", sites.path(dir).display())]);
        assert_eq!(get(&mut server.client("http"), "/", "").status, status, "{dir}{options}");
    }
}

#[test]
fn clean_addresses_lead_to_pages_and_pages_have_one_address_each() {
    let site = Site::new();
    for (path, text) in [
        ("about.html", "about"),
        ("index.html", "home"),
        ("both", "file"),
        ("both.html", "page of both"),
        ("team.html", "team"),
        ("team/index.html", "team's directory"),
        ("folder/index.html", "folder"),
        ("folder/page.html", "page"),
        ("404.html", "missing"),
        ("a b:c.html", "odd"),
    ] {
        site.file(path, text);
    }
    std::fs::create_dir(site.root().join("empty")).unwrap();
    symlink("../outside", site.root().join("leak.html")).unwrap();
    let docs = format!("http=/docs:{}@0", site.root().display());
    let mut server = Server::serve(&[&docs, "--clean-urls"]);
    let mut client = server.client("http");
    // Twice: from the disk, and from memory.
    for _ in 0..2 {
        for (target, status, expected) in [
            ("/docs/about", 200, "about"),
            ("/docs/about?x", 200, "about"),
            ("/docs/about.html", 301, "about"),
            ("/docs/about.html?x=y", 301, "about?x=y"),
            ("/docs/about/", 301, "../about"),
            // A client counts both slashes (RFC 3986, section 5.2.4).
            ("/docs/about//", 301, "../../about"),
            ("/docs//about///?x", 301, "../../../about?x"),
            ("/docs/about/x", 404, "missing"),
            ("/docs/about.html/", 404, "missing"),
            ("/docs/", 200, "home"),
            ("/docs/index.html", 301, "./"),
            ("/docs/index", 301, "./"),
            ("/docs/both", 200, "file"),
            ("/docs/both.html", 200, "page of both"),
            ("/docs/team", 200, "team"),
            ("/docs/team/", 200, "team's directory"),
            ("/docs/team.html", 301, "team"),
            ("/docs/team/index.html", 301, "./"),
            ("/docs/folder", 301, "folder/"),
            ("/docs/folder/page", 200, "page"),
            ("/docs/folder/page.html", 301, "page"),
            ("/docs/empty", 301, "empty/"),
            ("/docs/a%20b%3Ac", 200, "odd"),
            ("/docs/a%20b:c.html", 301, "a%20b%3Ac"),
            ("/docs/nothing", 404, "missing"),
            ("/docs/nothing.html", 404, "missing"),
            ("/docs/leak", 404, "missing"),
            ("/docs/leak.html", 403, ""),
            ("/docs/.html", 404, "missing"),
        ] {
            let answer = get(&mut client, target, "");
            let found = if status == 301 {
                answer.field("location").unwrap_or("none").to_owned()
            } else {
                answer.text()
            };
            assert_eq!(answer.status, status, "{target}: {answer:?}");
            assert!(found == expected || status == 403, "{target}: {answer:?}");
        }
    }
    let page = get(&mut client, "/docs/about", "");
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    let tag = page.field("etag").unwrap();
    assert_eq!(get(&mut client, "/docs/about", &format!("If-None-Match: {tag}\r\n")).status, 304);
    // What takes the place of the page is noticed as any other change is.
    site.file("about", "a file");
    eventually("the file comes before the page", || get(&mut client, "/docs/about", "").text() == "a file");
    std::fs::remove_file(site.root().join("about")).unwrap();
    eventually("the page is back", || get(&mut client, "/docs/about", "").text() == "about");
}

#[test]
fn types_are_those_that_were_given() {
    let site = Site::new();
    site.file("a.wasm", "x");
    site.file("a.tar.gz", "x");
    site.file("a.md", "x");
    let mut server =
        site.serve(&["--type=.wasm=application/x-mine", "--type", "md=text/plain", "--type=.tar.gz=a/b"]);
    let mut client = server.client("http");
    for (target, expected) in
        [("/a.wasm", "application/x-mine"), ("/a.md", "text/plain; charset=utf-8"), ("/a.tar.gz", "a/b")]
    {
        assert_eq!(get(&mut client, target, "").field("content-type"), Some(expected), "{target}");
    }
}

#[test]
fn every_model_accepts_heads_up_to_head_bytes() {
    let site = Site::new();
    site.file("file", "content");
    let spec = spec(&site.root());
    for model in models(2) {
        let args: Vec<&str> =
            [&*spec, "--head-bytes=200KiB"].into_iter().chain(model.iter().map(String::as_str)).collect();
        let mut server = Server::serve(&args);
        let cookie = |len: usize| format!("Cookie: a={}\r\n", "b".repeat(len));
        let mut client = server.client("http");
        assert_eq!(get(&mut client, "/file", &cookie(204_000)).text(), "content", "{model:?}");
        assert_eq!(get(&mut client, "/file", &cookie(204_800)).status, 431, "{model:?}");
    }
}

/// What a link out of the root may lead into, and what it must not.
struct Linked {
    folder: tempfile::TempDir,
}

impl Linked {
    fn new() -> Linked {
        let linked = Linked { folder: tempfile::tempdir().unwrap() };
        for (path, text) in [
            ("root/file", "inside"),
            ("shared/file", "shared"),
            ("shared/deep/file", "deep"),
            ("shared/.hidden", "hidden"),
            ("other/file", "other"),
            ("shared2/file", "secret"),
            ("secret", "secret"),
        ] {
            let path = linked.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        linked
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn link(&self, at: &str, target: impl AsRef<Path>) {
        symlink(target, self.path(at)).unwrap();
    }
}

#[test]
fn links_lead_into_followed_directories_and_nowhere_else() {
    let linked = Linked::new();
    linked.link("alias", "shared");
    linked.link("root/absolute", linked.path("shared"));
    linked.link("root/relative", "../shared");
    linked.link("root/aliased", linked.path("alias"));
    linked.link("root/file-link", "../shared/file");
    linked.link("root/chain", "relative/deep");
    linked.link("root/twice", linked.path("shared/to-other"));
    linked.link("shared/to-other", "../other");
    linked.link("shared/back", "../root/file");
    linked.link("root/around", linked.path("shared/deep/../../other/file"));
    // Hostile ones.
    linked.link("root/secret", "../secret");
    linked.link("root/up", "..");
    linked.link("root/slash", "/");
    linked.link("root/magic", "/proc/self/root");
    linked.link("root/through", linked.path("shared/../secret"));
    linked.link("root/similar", linked.path("shared2"));
    linked.link("shared/out", linked.path("secret"));
    linked.link("shared/above", "..");
    linked.link("root/loop", "loop");
    linked.link("root/ping", linked.path("shared/pong"));
    linked.link("shared/pong", linked.path("root/ping"));
    linked.link("root/grows", "grows/x");
    linked.link("root/spin", linked.path("shared/spin/x"));
    linked.link("shared/spin", linked.path("root/spin/y"));
    let root = linked.path("root").display().to_string();
    let (shared, other, alias) = (linked.path("shared"), linked.path("other"), linked.path("alias"));
    let spec = format!("http={root}@0");
    let mut args = vec![spec.as_str()];
    for dir in [&shared, &other, &alias] {
        args.extend(["--follow", dir.to_str().unwrap()]);
    }
    // Not only by openat2(2), which sandboxes deny.
    let denied = Fault { call: "openat2", effect: "error=EPERM" };
    if cfg!(target_os = "linux") && denied.can_be_injected() {
        let command = [env!("CARGO_BIN_EXE_oneloop"), "serve"];
        let command = command.iter().chain(&args);
        links_lead_where_they_may(&mut denied.injected_into(command).start().listening());
    }
    let mut server = Server::serve(&args);
    links_lead_where_they_may(&mut server);
    let mut client = server.client("http");
    // One that is replaced is looked at again.
    std::fs::rename(&other, linked.path("before")).unwrap();
    eventually("nothing is there", || get(&mut client, "/twice/file", "").status == 404);
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("file"), "new").unwrap();
    eventually("the new one is there", || get(&mut client, "/twice/file", "").text() == "new");
}

#[track_caller]
fn links_lead_where_they_may(server: &mut Server) {
    let mut client = server.client("http");
    for (target, expected) in [
        ("/file", "inside"),
        ("/absolute/file", "shared"),
        ("/relative/file", "shared"),
        ("/relative/deep/file", "deep"),
        ("/aliased/deep/file", "deep"),
        ("/file-link", "shared"),
        ("/chain/file", "deep"),
        ("/twice/file", "other"),
        ("/relative/back", "inside"),
        ("/around", "other"),
    ] {
        let answer = get(&mut client, target, "");
        assert_eq!((answer.status, answer.text()), (200, expected.to_owned()), "{target}");
    }
    for target in [
        "/secret",
        "/up/secret",
        "/slash/etc/passwd",
        "/magic/etc/passwd",
        "/through",
        "/similar/file",
        "/relative/out",
        "/relative/above/secret",
        "/loop",
        "/ping",
        "/grows",
        "/spin",
        "/relative/../secret",
        "/relative/.hidden",
        "/relative/file/x",
    ] {
        let answer = get(&mut client, target, "");
        assert!(matches!(answer.status, 403 | 404), "{target}: {answer:?}");
        assert!(
            !answer.text().contains("secret") && !answer.text().contains("hidden"),
            "{target}: {answer:?}"
        );
    }
    let listing = get(&mut client, "/", "").text();
    for (name, is_listed) in
        [("absolute/", true), ("file-link", true), ("secret", false), ("slash/", false), ("loop", false)]
    {
        assert_eq!(listing.contains(&format!("href=\"{name}\"")), is_listed, "{name}: {listing}");
    }
    let listing = get(&mut client, "/relative/", "").text();
    assert!(listing.contains("href=\"file\"") && !listing.contains("href=\"out\""), "{listing}");
}

#[test]
fn a_link_that_is_changed_during_the_requests_leads_into_followed_directories_only() {
    let linked = Linked::new();
    linked.link("root/link", "../shared");
    linked.link("shared/to", "deep");
    let done = AtomicBool::new(false);
    let swap = |at: &str, targets: [&Path; 2]| {
        let (at, new) = (linked.path(at), linked.path(&format!("{at}.new")));
        let mut turn = 0;
        while !done.load(Ordering::Relaxed) {
            symlink(targets[turn % 2], &new).unwrap();
            std::fs::rename(&new, &at).unwrap();
            turn += 1;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| swap("root/link", [Path::new("../shared"), Path::new("..")]));
        scope.spawn(|| swap("shared/to", [Path::new("deep"), Path::new("../shared2")]));
        let spec = format!("http={}@0", linked.path("root").display());
        let shared = linked.path("shared");
        let mut server = Server::serve(&[&spec, "--follow", shared.to_str().unwrap()]);
        let mut client = server.client("http");
        let (mut found, mut refused) = (0, 0);
        for nth in 0..4_000 {
            // Each path is new, so that nothing is remembered.
            let dots = "./".repeat(nth % 50);
            let target = match nth % 3 {
                0 => format!("/link/{dots}to/file?{nth}"),
                1 => format!("/link/{dots}secret?{nth}"),
                _ => format!("/link/{dots}shared2/file?{nth}"),
            };
            let answer = get(&mut client, &target, "");
            assert!(!answer.text().contains("secret"), "{target}: {answer:?}");
            if answer.status == 200 { found += 1 } else { refused += 1 }
        }
        done.store(true, Ordering::Relaxed);
        println!("{found} found, {refused} refused");
        assert!(refused > 0);
    });
}

/// The message about a mistake, of one line.
#[track_caller]
fn complaint(args: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_oneloop");
    let output = Command::new("timeout")
        .args(["20", program, "serve"])
        .args(args)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{args:?}: {stderr}");
    stderr
}

#[test]
fn a_site_has_users_of_its_own_or_those_of_all_sites_under_every_model() {
    let sites = Sites::new(&["open", "own", "file"]);
    sites.file("password", "secret\n");
    // htpasswd -nbB -C 4 bob builder
    sites.file("users", "bob:$2y$04$r1c/N46s2Nb/wd5NJXhEcOPPrSFiEQp6AMF4OQbIcyJVQlpiC3RyK\n");
    let (password, users) = (sites.path("password"), sites.path("users"));
    let specs = [
        sites.spec("", "open", ""),
        sites.spec("/own:", "own", &format!(",auth=alice,auth-password={}", password.display())),
        sites.spec("/file:", "file", &format!(",auth-file={}", users.display())),
    ];
    // YWxpY2U6c2VjcmV0 is alice:secret, Ym9iOmJ1aWxkZXI= is bob:builder.
    let credentials = |of: &str| format!("Authorization: Basic {of}\r\n");
    let (alice, bob) = (credentials("YWxpY2U6c2VjcmV0"), credentials("Ym9iOmJ1aWxkZXI="));
    for model in models(2) {
        let args = specs.iter().chain(&model).map(String::as_str).collect::<Vec<_>>();
        let mut server = Server::serve(&args);
        let mut status = |target: &str, fields: &str| get(&mut server.client("http"), target, fields).status;
        let all = |status: &mut dyn FnMut(&str, &str) -> u16, fields: &str| {
            ["/name", "/own/name", "/file/name"].map(|target| status(target, fields))
        };
        assert_eq!(all(&mut status, ""), [200, 401, 401], "{model:?}");
        assert_eq!(all(&mut status, &alice), [200, 200, 401], "{model:?}");
        assert_eq!(all(&mut status, &bob), [200, 401, 200], "{model:?}");
    }
}

#[test]
fn a_mistake_in_a_site_is_one_line_with_what_works() {
    let sites = Sites::new(&["one", "two"]);
    let (one, two) = (sites.path("one").display().to_string(), sites.path("two").display().to_string());
    let of = |mount: &str| format!("http={mount}{one}@8000");
    for (args, part) in [
        (
            &[of("").as_str(), &format!("http={two}@8000")][..],
            "are both for / on 127.0.0.1:8000; give one a path",
        ),
        (&[&of(""), &format!("http={two}")], "are both for / on 127.0.0.1:8000"),
        (&[&of("/docs:"), &of("/docs/:")], "are both for /docs on 127.0.0.1:8000"),
        (&[&of("/docs:"), &of("/x/../%64ocs:")], "are both for /docs on 127.0.0.1:8000"),
        (&[&of("//a.example:"), &of("//A.Example.:")], "are both for //a.example/ on 127.0.0.1:8000"),
        (&[&of("//[::1]:"), &of("//[0::1]:")], "are both for //[::1]/ on 127.0.0.1:8000"),
        (&[&of("//:")], "\"\" is not the name of a host"),
        (&[&of("//*.example:")], "\"*.example\" is not the name of a host"),
        (&[&of("//a b:")], "\"a b\" is not the name of a host"),
        (&[&of("//m\u{fc}nchen.example:")], "is not the name of a host"),
        (&[&of("/docs?x:")], "\"/docs?x\" is not the path of a URL"),
        (&[&of("/..:")], "\"/..\" is not the path of a URL"),
        (&[&of("/a%2fb:")], "\"/a%2fb\" is not the path of a URL"),
        (
            &["http=/docs:"],
            "the directory is missing after http=/docs:; for example: oneloop serve http=/docs:DIR",
        ),
        (
            &["http=//example.org"],
            "the directory is missing after http=//example.org; for example: oneloop serve http=//example.org:DIR",
        ),
        (&["http=/docs:/no/such@0"], "cannot serve /no/such: no such directory"),
        (&["http=docs:/no/such@0"], "a path begins with a slash: oneloop serve http=/docs:DIR@0"),
        (
            &[&of("/docs:").replace('@', ",lsiting@")],
            "unknown site option \"lsiting\"; did you mean listing?",
        ),
        (&[&of("/docs:").replace('@', ",listing=yes@")], "write listing=on or listing=off"),
        (&[&of("/docs:").replace('@', ",index@")], "the site option index needs a value: index=VALUE"),
        (
            &[&of("/docs:").replace('@', ",type=wasm@")],
            "the site option type=wasm: write it as .wasm=application/wasm",
        ),
        (
            &[&of("/docs:").replace('@', ",idle=3s@")],
            "\"idle\" holds for all sites, not for one; write it as a flag: --idle 3s",
        ),
        (
            &[&of("/docs:").replace('@', ",header=X@")],
            "the site option header=X: write it as \"Name: value\"",
        ),
        (
            &[&of("/docs:").replace('@', ",header=x-a: b@"), "--header=X-A: c"],
            "x-a is sent twice: --header gives it to all sites, and header= to http=/docs:",
        ),
        (
            &[&of(""), "--type=.wasm=wasm"],
            "--type \".wasm=wasm\": not an extension with a media type; for example: oneloop serve ",
        ),
        (&[&of(""), "--type=wasm"], " --type .wasm=application/wasm"),
        (&[&of(""), "--follow=/no/such"], "--follow /no/such: "),
        (&[&of(""), "--follow=/tmp", "--no-links"], "--follow has no effect with --no-links"),
        (
            &[&of("").replace('@', ",auth=alice@"), "--auth-password=/dev/null"],
            "http=DIR,auth=USER,auth-password=FILE",
        ),
        (&[&of(""), "--head-bytes=1KiB"], "--head-bytes \"1KiB\": it must be at least 10KiB"),
        (&[&of(""), "--head-bytes=1MiB"], "--head-bytes \"1MiB\": it must be at most 256KiB"),
        (&[&of(""), "--head-bytes=64KiB", "--inbox=32KiB"], "use --inbox 64KiB or more"),
        (&["echo@0", "--clean-urls"], "--clean-urls has no effect without http"),
        (&["echo@0", "--head-bytes=64KiB"], "--head-bytes has no effect without http"),
    ] {
        let said = complaint(args);
        assert!(said.contains(part), "{args:?}: {said}");
    }
}

#[test]
fn sites_of_one_path_on_any_free_port_have_a_port_each() {
    let sites = Sites::new(&["one", "two"]);
    let specs = [sites.spec("", "one", ""), sites.spec("", "two", ""), sites.spec("/docs:", "two", "")];
    let mut server = Server::serve(&specs.each_ref().map(String::as_str));
    let addresses = server.addresses("http", 2);
    let at = |nth: usize, target: &str| get(&mut Client::connect(&addresses[nth]), target, "").text();
    assert_eq!([at(0, "/name"), at(1, "/name"), at(0, "/docs/name")], ["one", "two", "two"]);
    assert_eq!(server.stdout().matches("listening on ").count(), 2);
}

#[test]
fn all_sites_together_keep_as_many_files_open_as_one() {
    let names: Vec<String> = (0..16).map(|nth| format!("site{nth}")).collect();
    let sites = Sites::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let big = "x".repeat(64 << 10);
    for name in &names {
        (0..20).for_each(|nth| sites.file(&format!("{name}/{nth}"), &big));
    }
    let specs: Vec<String> = names.iter().map(|name| sites.spec(&format!("/{name}:"), name, "")).collect();
    let args = ["serve"].into_iter().chain(specs.iter().map(String::as_str));
    let mut server = crate::common::server::Setup::oneloop(args).nofile(512).start().listening();
    let mut client = server.client("http");
    for target in names.iter().flat_map(|name| (0..20).map(move |nth| format!("/{name}/{nth}"))) {
        assert_eq!(get(&mut client, &target, "").body.len(), big.len(), "{target}");
    }
    if cfg!(target_os = "linux") {
        let inside = |fd: &u32| {
            let path = server.descriptor_leads_to(*fd);
            path.is_some_and(|path| path.starts_with(sites.folder.path()) && path.is_file())
        };
        let open = server.descriptors().iter().filter(|fd| inside(fd)).count();
        // As many as one site keeps: one in 16 of the descriptors.
        assert!((1..=512 / 16).contains(&open), "{open} files are open");
    }
}
