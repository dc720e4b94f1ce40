//! Other people's HTTP clients understand our answers: curl, wget, Python's `http.client`, and h11 as a
//! strict parser.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::has_program;
use crate::common::http::Site;

/// Runs a program to its end, which it must reach by itself.
#[track_caller]
fn run(folder: &Path, program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).current_dir(folder).env("no_proxy", "*").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {}\n{out}\n{err}", output.status);
    output
}

fn bytes() -> Vec<u8> {
    (0..500_000u32).flat_map(u32::to_le_bytes).collect()
}

fn site() -> Site {
    let site = Site::new();
    site.file("big", bytes());
    site.file("page.html", "plain");
    // Not gzip data: its content shows whether curl decodes it.
    site.file("folder/a b", "with a space");
    site
}

#[test]
fn curl_continues_takes_ranges_and_decodes() {
    if !has_program("curl") || !has_program("gzip") {
        return;
    }
    let site = site();
    site.file("text.txt", "some text ".repeat(100));
    run(&site.root(), "gzip", &["-k", "text.txt"]);
    let mut server = site.serve(&[]);
    let base = format!("http://{}", server.address("http").tcp());
    let here = site.beside("");
    let curl = |args: &[&str]| run(&here, "curl", &[&["-sS", "-f"], args].concat()).stdout;
    std::fs::write(site.beside("part"), &bytes()[..777_777]).unwrap();
    curl(&["--continue-at", "-", "-o", "part", &format!("{base}/big")]);
    assert!(std::fs::read(site.beside("part")).unwrap() == bytes());
    assert!(curl(&["--range", "1000-1999", &format!("{base}/big")]) == bytes()[1000..2000]);
    let parts = curl(&["--range", "0-3,-4", "-i", &format!("{base}/big")]);
    assert!(String::from_utf8_lossy(&parts).contains("multipart/byteranges"));
    let head = curl(&["-I", "--compressed", &format!("{base}/text.txt")]);
    assert!(String::from_utf8_lossy(&head).contains("Content-Encoding: gzip"));
    assert_eq!(curl(&["--compressed", &format!("{base}/text.txt")]), "some text ".repeat(100).as_bytes());
    // curl decodes what the head declares as encoded; a multipart body of encoded parts cannot be decoded.
    let parts = curl(&["--compressed", "--range", "0-3,-4", &format!("{base}/text.txt")]);
    assert!(String::from_utf8_lossy(&parts).contains("Content-Encoding: gzip"));
    assert_eq!(curl(&[&format!("{base}/folder/a%20b")]), b"with a space");
    assert_eq!(curl(&["-L", "-o", "/dev/null", "-w", "%{http_code}", &format!("{base}/page.html")]), b"200");
    let etag = ["--etag-save", "etag", "--etag-compare", "etag", "-o", "kept", "-w", "%{http_code}"];
    assert_eq!(curl(&[&etag[..], &[&format!("{base}/page.html")]].concat()), b"200");
    assert_eq!(curl(&[&etag[..], &[&format!("{base}/page.html")]].concat()), b"304");
    // Many on one connection, and an upload that is refused without a hang.
    let range = format!("{base}/page.html?[1-50]");
    assert_eq!(curl(&["-w", "%{num_connects}", &range]).iter().filter(|byte| **byte == b'1').count(), 1);
    let refused = Command::new("curl")
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-T", "big", &format!("{base}/up")])
        .current_dir(site.root())
        .output()
        .unwrap();
    assert!(matches!(&refused.stdout[..3], b"405" | b"413"), "{refused:?}");
}

#[test]
fn wget_continues_mirrors_and_keeps_times() {
    if !has_program("wget") {
        return;
    }
    let site = site();
    let mut server = site.serve(&[]);
    let base = format!("http://{}", server.address("http").tcp());
    let here = site.beside("got");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(here.join("big"), &bytes()[..123_456]).unwrap();
    run(&here, "wget", &["-q", "--no-proxy", "--continue", &format!("{base}/big")]);
    assert!(std::fs::read(here.join("big")).unwrap() == bytes());
    // By the links of the listing, sorted ones left out.
    let mirror = ["-q", "--no-proxy", "-r", "-np", "-nH", "-l", "3", "--reject-regex", "sort="];
    run(&here, "wget", &[&mirror[..], &[&format!("{base}/")]].concat());
    assert_eq!(std::fs::read(here.join("folder/a b")).unwrap(), b"with a space");
    assert_eq!(std::fs::read(here.join("page.html")).unwrap(), b"plain");
}

const PYTHON: &str = r#"
import http.client, sys
host, port = sys.argv[1], int(sys.argv[2])
c = http.client.HTTPConnection(host, port, timeout=20)
for n in range(20):
    c.request("GET", "/page.html"); r = c.getresponse()
    assert (r.status, r.read(), r.version) == (200, b"plain", 11), r.status
c.request("HEAD", "/big"); r = c.getresponse()
assert (r.getheader("Content-Length"), r.read()) == ("2000000", b"")
c.request("GET", "/big", headers={"Range": "bytes=5-9"}); r = c.getresponse()
assert (r.status, r.getheader("Content-Range"), len(r.read())) == (206, "bytes 5-9/2000000", 5)
c.request("GET", "/page.html", headers={"If-None-Match": "*"}); r = c.getresponse()
assert (r.status, r.read()) == (304, b"")
c.request("POST", "/page.html", body=b"x" * 1000); r = c.getresponse()
assert r.status == 405 and r.read()
c.request("POST", "/page.html", body=iter([b"a", b"b" * 300]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
r = c.getresponse(); assert r.status == 405 and r.read()
c.request("GET", "/folder/"); r = c.getresponse()
page = r.read(); assert r.getheader("Transfer-Encoding") == "chunked" and b">a b</a>" in page, page
c.request("GET", "/big"); r = c.getresponse()
assert len(r.read()) == 2000000
print("ok")
"#;

const H11: &str = r#"
import socket, sys, h11
def talk(raw, methods):
    """Sends raw bytes; every answer must be one that h11 accepts, in order."""
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
    s.sendall(raw); s.shutdown(socket.SHUT_WR)
    data = b""
    while True:
        piece = s.recv(65536)
        if not piece: break
        data += piece
    statuses = []
    for method in methods:
        c = h11.Connection(h11.CLIENT)
        c.send(h11.Request(method=method, target="/", headers=[("Host", "h")])); c.send(h11.EndOfMessage())
        c.receive_data(data); ended = False
        while True:
            event = c.next_event()
            if event is h11.NEED_DATA:
                assert not ended; ended = True
                c.receive_data(b""); continue
            if isinstance(event, (h11.Response,)): statuses.append(event.status_code)
            if isinstance(event, h11.InformationalResponse): statuses.append(event.status_code)
            if isinstance(event, h11.EndOfMessage): break
            assert not isinstance(event, h11.ConnectionClosed), statuses
        data = c.trailing_data[0]
    assert data == b"", data
    return statuses
def get(target, extra="", method="GET", version="1.1"):
    return f"{method} {target} HTTP/{version}\r\nHost: h\r\n{extra}\r\n".encode()
n = 0
def expect(raw, methods, statuses):
    global n; n += 1
    got = talk(raw, methods); assert got == statuses, (raw, got)
expect(get("/page.html") * 3, ["GET"] * 3, [200] * 3)
expect(get("/page.html", method="HEAD") + get("/big"), ["HEAD", "GET"], [200, 200])
expect(get("/folder/") + get("/none") + get("/folder"), ["GET"] * 3, [200, 404, 301])
expect(get("/folder/", method="HEAD") + get("/page.html"), ["HEAD", "GET"], [200, 200])
expect(get("/folder/", version="1.0"), ["GET"], [200])
expect(get("/page.html", "If-None-Match: *\r\n") + get("/page.html"), ["GET"] * 2, [304, 200])
expect(get("/big", "Range: bytes=0-1,5-6,-1\r\n") + get("/page.html"), ["GET"] * 2, [206, 200])
expect(get("/big", "Range: bytes=9999999-\r\n") + get("/page.html"), ["GET"] * 2, [416, 200])
expect(get("/page.html", method="OPTIONS") + get("/page.html"), ["OPTIONS", "GET"], [204, 200])
expect(get("/page.html", method="BREW") + get("/page.html", method="PUT"), ["BREW", "PUT"], [501, 405])
expect(get("/page.html", "Expect: 100-continue\r\nContent-Length: 2\r\n") + b"ab" + get("/page.html"), ["GET"] * 2, [100, 200, 200])
expect(get("/page.html", "If-Match: \"x\"\r\n"), ["GET"], [412])
expect(b"nonsense\r\n\r\n", ["GET"], [400])
expect(get("/" + "a" * 9000), ["GET"], [414])
expect(get("/", "A: " + "a" * 17000 + "\r\n"), ["GET"], [431])
expect(get("/", version="2.0"), ["GET"], [505])
expect(get("/page.html", "Connection: close\r\n") + get("/page.html"), ["GET"], [200])
print("ok", n)
"#;

#[track_caller]
fn python(script: &str) {
    let site = site();
    let mut server = site.serve(&[]);
    let addr = server.address("http").tcp();
    let args = ["-c", script, &addr.ip().to_string(), &addr.port().to_string()];
    let output = run(&site.root(), "python3", &args);
    assert!(output.stdout.starts_with(b"ok"));
}

#[test]
fn pythons_own_client_gets_what_it_asks_for() {
    if has_program("python3") {
        python(PYTHON);
    }
}

#[test]
fn h11_accepts_every_kind_of_answer_and_finds_the_next_where_it_begins() {
    let there =
        || Command::new("python3").args(["-c", "import h11"]).status().is_ok_and(|status| status.success());
    if has_program("python3") && there() {
        python(H11);
    } else {
        crate::common::skipped("no h11 for python3; .ci/run installs it");
    }
}
