//! `oneloop load` of a URL: the request that is sent, and what statuses decide.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use oneloop::load::Report;

use crate::common::Server;

/// A server that answers each request with `answer`, and its first requests as they came.
fn web(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (requests, seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, requests) = (stream.unwrap(), requests.clone());
            std::thread::spawn(move || {
                let mut buf = [0; 4096];
                // The requests of these tests come in one piece.
                while let Ok(len @ 1..) = stream.read(&mut buf) {
                    let _ = requests.send(String::from_utf8_lossy(&buf[..len]).into_owned());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, seen)
}

fn load(url: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    let clients = if args.iter().any(|arg| arg.starts_with("-c")) { None } else { Some("-c1") };
    command.args(["load", url, "--warmup=20ms", "--duration=100ms"]).args(args).env_remove("RUST_LOG");
    command.args(clients);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn the_request_is_sent_as_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, "{\"a\": 1}").unwrap();
    let from_file = format!("@{}", file.display());
    let (url, requests) = web(EMPTY);
    let host = url.strip_prefix("http://").unwrap();
    let agent = concat!("User-Agent: oneloop/", env!("CARGO_PKG_VERSION"), "\r\n");
    for (args, expected) in [
        (&[][..], format!("GET /x HTTP/1.1\r\nHost: {host}\r\n{agent}Accept: */*\r\n\r\n")),
        (
            &["-d", "a=1&b=2"],
            format!(
                "POST /x HTTP/1.1\r\nHost: {host}\r\n{agent}Accept: */*\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2"
            ),
        ),
        (
            &[
                "-XPUT",
                "--data",
                &from_file,
                "-H",
                "content-type: application/json",
                "-H",
                "Host: h",
                "-HAccept:",
                "-H",
                "user-agent:",
            ],
            "PUT /x HTTP/1.1\r\ncontent-type: application/json\r\nHost: h\r\nContent-Length: 8\r\n\r\n{\"a\": 1}"
                .to_owned(),
        ),
    ] {
        while requests.try_recv().is_ok() {}
        let done = load(&format!("{url}/x"), args);
        assert!(done.status.success(), "{args:?}: {done:?}");
        assert_eq!(requests.recv().unwrap(), expected, "{args:?}");
    }
}

#[test]
fn a_reply_to_head_has_no_body_whatever_its_head_declares() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), [b'x'; 1000]).unwrap();
    let mut server = Server::serve(&[&format!("http={}@127.0.0.1:0", folder.path().display())]);
    let url = format!("http://{}/file", server.address("http").tcp());
    let done = load(&url, &["--method", "HEAD"]);
    assert!(done.status.success(), "{done:?}");
    assert!(text(&done.stdout).contains("statuses     200: all"), "{}", text(&done.stdout));
}

#[test]
fn a_run_without_a_reply_of_2xx_fails_unless_a_check_allows_it() {
    let (url, _requests) = web("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
    let refused = load(&url, &[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(text(&refused.stderr).contains("2xx>0 does not hold: it was 0"), "{refused:?}");
    assert!(text(&refused.stdout).contains("statuses     503: all"), "{}", text(&refused.stdout));
    assert!(text(&refused.stdout).contains("errors       0\n"), "{}", text(&refused.stdout));
    for (check, code) in [("status=503", 0), ("5xx>99%", 0), ("503=0", 3), ("status=200", 3)] {
        let done = load(&url, &["--expect", check]);
        assert_eq!(done.status.code(), Some(code), "{check}: {done:?}");
    }
}

#[test]
fn an_invalid_request_is_reported_with_the_remedy() {
    let (url, _requests) = web(EMPTY);
    for (args, shown) in [
        (&["-X", "GE T"][..], "--method: \"GE T\" is not a method"),
        (&["-H", "Accept"], "a field is written as 'NAME: VALUE'"),
        (&["-H", "Content-Length: 3"], "Content-Length follows from the body"),
        (&["-d", "@/no/such/file"], "cannot read \"/no/such/file\""),
    ] {
        let done = load(&url, args);
        assert_eq!(done.status.code(), Some(2), "{done:?}");
        assert!(text(&done.stderr).contains(shown), "{shown} in {done:?}");
    }
    let echo = load("echo", &["-d", "x"]);
    assert!(text(&echo.stderr).contains("--data has no effect with echo"), "{echo:?}");
}

/// A request as it came.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server that answers each request as configured, however the request is split.
fn site(answer: impl Fn(&Request) -> Vec<u8> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || converse(stream, answer));
        }
    });
    url
}

fn converse(mut stream: impl Read + Write, answer: impl Fn(&Request) -> Vec<u8>) {
    let (mut seen, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        let end = seen.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&seen[..end + 2]).into_owned();
            let mut request = Request { head, body: Vec::new() };
            let len = request.field("content-length").map_or(0, |len| len.parse().unwrap());
            if seen.len() >= end + 4 + len {
                request.body = seen[end + 4..end + 4 + len].to_vec();
                seen.drain(..end + 4 + len);
                if stream.write_all(&answer(&request)).is_err() {
                    return;
                }
                continue;
            }
        }
        match stream.read(&mut buf) {
            Ok(len @ 1..) => seen.extend_from_slice(&buf[..len]),
            _ => return,
        }
    }
}

fn ok(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[track_caller]
fn report(url: &str, args: &[&str]) -> Report {
    let done = load(url, &[args, &["--json=-"]].concat());
    assert!(done.status.success(), "{args:?}: {done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn what_each_reply_must_be_is_chosen() {
    let number = Arc::new(AtomicU64::new(0));
    let url = site(move |request| {
        let number = number.fetch_add(1, SeqCst);
        match request.target() {
            "/changes" => ok("", format!("{{\"status\": \"ok\", \"number\": \"{number:06}\"}}").as_bytes()),
            "/json" => ok(
                "",
                format!("{{\"status\": \"ok\", \"numbers\": [7, {}]}}", "1".repeat(number as usize % 9 + 1))
                    .as_bytes(),
            ),
            "/mixed" if number.is_multiple_of(2) => ok("", b"{\"status\": \"ok\"}"),
            "/mixed" => b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy".to_vec(),
            _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    });
    let changes = load(&format!("{url}/changes"), &[]);
    assert_eq!(changes.status.code(), Some(3), "{changes:?}");
    let hint = "the body is not that of the first reply; if the page changes, use --verify status";
    assert!(text(&changes.stdout).contains(hint), "{}", text(&changes.stdout));
    for (target, verify, code) in [
        ("/changes", "length", 0),
        ("/changes", "status", 0),
        ("/changes", "whole", 0),
        ("/changes", "json-pointer:/status=ok", 0),
        ("/json", "length", 3),
        ("/json", "json-pointer:/status=ok", 0),
        ("/json", "json-pointer:/numbers/0=7", 0),
        ("/json", "json-pointer:/numbers/1", 0),
        ("/json", "json-pointer:/numbers/2", 3),
        ("/json", "json-pointer:/status=wrong", 3),
        ("/mixed", "json-pointer:/status=ok", 0),
        ("/mixed", "exact", 0),
        ("/mixed", "length", 0),
        ("/mixed", "status", 3),
        ("/none", "whole", 3),
        ("/none", "status", 3),
        ("/none", "none", 0),
    ] {
        let done = load(&format!("{url}{target}"), &["--verify", verify]);
        assert_eq!(done.status.code(), Some(code), "{target} {verify}: {done:?}");
    }
    let wrong = load(&url, &["--verify", "json-pointer:status"]);
    assert!(text(&wrong.stderr).contains("a JSON pointer begins with a slash"), "{wrong:?}");
}

/// The check that fails, the hint and the line below the verdict: one name for one check.
#[test]
fn a_refused_form_fails_a_check_with_one_name() {
    let url = site(|_| b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n".to_vec());
    let done = load(&url, &["-F", "a=1", "--verify=status"]);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    assert_eq!(text(&done.stderr).trim(), "oneloop: 2xx=100% does not hold: it was 0.000 %");
    let table = text(&done.stdout);
    // The verdict depends on the machine.
    let explains = table.contains("the check 2xx=100% does not hold");
    assert_eq!(explains, table.contains("verdict: VALID"), "{table}");
    assert!(table.contains("100.0 % of the replies are not 2xx"), "{table}");
    assert!(!table.contains("2xx>") && !table.contains("status=2xx"), "{table}");
}

#[test]
fn a_password_or_token_is_sent_from_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "open sesame\nmore\n").unwrap();
    let file = file.display().to_string();
    let wrong = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&wrong);
    let url = site(move |request| {
        let sent = request.field("authorization");
        if matches!(sent, Some("Basic YWxpOm9wZW4gc2VzYW1l" | "Bearer open sesame")) {
            return ok("", b"in");
        }
        seen.fetch_add(1, SeqCst);
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let all = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
        command.args(["load", &url, "--warmup=0", "--duration=50ms", "-c1", "--verify=none"]).args(args);
        command.env("SECRET", "open sesame").output().unwrap()
    };
    let token = format!("@{file}");
    for args in [
        &["-u", "ali:open sesame"][..],
        &["--user=ali", "--user-password", &file],
        &["--user=ali", "--user-password=env:SECRET"],
        &["--bearer=open sesame"],
        &["--bearer", &token],
        &["--bearer=env:SECRET"],
    ] {
        let done = all(args);
        assert!(done.status.success(), "{args:?}: {done:?}");
        assert_eq!(wrong.load(SeqCst), 0, "{args:?}");
    }
    for (args, shown) in [
        (&["-u", "ali:x", "--user-password=env:SECRET"][..], "use --user ali"),
        (&["--bearer=env:NOT_THERE"], "the variable NOT_THERE is not set"),
        (&["-u", "a:b", "-H", "Authorization: x"], "--user sets Authorization"),
        (&["-u", "a"], "--user-password FILE"),
    ] {
        let done = all(args);
        assert!(done.status.code() == Some(2) && text(&done.stderr).contains(shown), "{args:?}: {done:?}");
    }
}

#[test]
fn forms_are_sent_as_curl_sends_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.txt");
    std::fs::write(&file, "file").unwrap();
    let upload = format!("up=@{}", file.display());
    let url = site(|request| {
        let body = String::from_utf8_lossy(&request.body);
        let media_type = request.field("content-type").unwrap_or_default();
        let is_right = if request.target() == "/pairs" {
            media_type == "application/x-www-form-urlencoded" && body == "a=1&b=2&c=x%20y%26"
        } else {
            let boundary = media_type.strip_prefix("multipart/form-data; boundary=").unwrap_or_default();
            let part = "Content-Disposition: form-data; name=";
            body == format!(
                "--{boundary}\r\n{part}\"a\"\r\n\r\n1\r\n--{boundary}\r\n{part}\"up\"; filename=\"a.txt\"\r\n\
                     Content-Type: text/plain\r\n\r\nfile\r\n--{boundary}--\r\n"
            )
        };
        if is_right { ok("", b"") } else { b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n".to_vec() }
    });
    let strict = ["--verify=status"];
    let pairs = ["-d", "a=1", "-d", "b=2", "--data-urlencode", "c=x y&"];
    assert!(report(&format!("{url}/pairs"), &[&pairs[..], &strict].concat()).requests > 0);
    assert!(report(&format!("{url}/form"), &["-F", "a=1", "-F", &upload, strict[0]]).requests > 0);
}

/// `{"status": "ok", "items": [1, 2]}`.
const ZIPPED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x2a\x2e\x49\x2c\x29\x2d\x56\xb2\x52\x50\xca\xcf\x56\xd2\x51\x50\xca\x2c\x49\xcd\x05\x71\xa3\x0d\x75\x14\x8c\x62\x6b\x01\x65\xa8\x4e\xaa\x21\x00\x00\x00";
const UNZIPPED_BYTES: u64 = 33;

#[test]
fn gzip_is_asked_for_and_decoded_or_only_counted() {
    let url = site(|request| match (request.field("accept-encoding"), request.target()) {
        (Some("gzip"), "/short") => ok("Content-Encoding: gzip\r\n", &ZIPPED[..ZIPPED.len() - 3]),
        (Some("gzip"), _) => ok("Content-Encoding: gzip\r\n", ZIPPED),
        _ => ok("", b"not asked for"),
    });
    let decoded = report(&url, &["--compressed", "--verify=json-pointer:/items/1=2"]);
    // The last replies are of requests that were sent before the end of the measured span.
    let whole: u64 = decoded.series.iter().map(|interval| interval.requests).sum();
    assert_eq!(decoded.counts["bytes_decoded"], whole * UNZIPPED_BYTES, "{decoded:?}");
    assert!(report(&url, &["--compressed"]).requests > 0, "exact");
    assert!(report(&url, &["--compressed=count"]).counts.is_empty());
    assert_eq!(load(&url, &["--compressed=count", "--verify=json-pointer:/items"]).status.code(), Some(3));
    let short = load(&format!("{url}/short"), &["--compressed"]);
    assert!(text(&short.stdout).contains("the gzip body is cut short or malformed"), "{short:?}");
    assert_eq!(load(&format!("{url}/short"), &["--compressed=count"]).status.code(), Some(0));
}

fn redirect(status: u16, location: &str, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} There\r\nLocation: {location}\r\n{more}Content-Length: 0\r\n\r\n").into_bytes()
}

#[test]
fn redirects_are_followed_within_a_bound_and_counted() {
    let url = site(|request| match request.target() {
        "/a" if request.head.starts_with("POST") && request.body == b"x=1" => redirect(303, "b/../c?d", ""),
        "/c?d" if request.head.starts_with("GET") => redirect(307, "/closing", ""),
        "/closing" => redirect(302, "/end", "Connection: close\r\n"),
        "/end" => ok("", b"end"),
        "/loop" => redirect(301, "/loop", ""),
        "/away" => redirect(301, "http://example.org/", ""),
        target => panic!("{target}: {}", request.head),
    });
    for args in [&["-c2"][..], &["-c3", "--rate=400"], &["-c2", "--churn"]] {
        let all = report(&format!("{url}/a"), &[&["-L", "-d", "x=1", "--verify=status"], args].concat());
        let seen: Vec<u16> = all.statuses.iter().map(|count| count.status).collect();
        assert_eq!(seen, [200, 302, 303, 307], "{args:?}: {all:?}");
        let replies: Vec<u64> = all.statuses.iter().map(|count| count.replies).collect();
        let (least, most) = (replies.iter().min().unwrap(), replies.iter().max().unwrap());
        assert!(most - least <= 4, "each chain has one of each: {replies:?}");
    }
    let bounded = report(&format!("{url}/loop"), &["--follow=3", "--verify=none"]);
    let [followed, given_up] = ["redirects_followed", "redirects_too_many"].map(|name| bounded.counts[name]);
    assert!(given_up > 0 && followed.abs_diff(given_up * 3) <= 3, "{followed} and {given_up}");
    let away = report(&format!("{url}/away"), &["--follow", "--verify=none"]);
    assert!(away.counts["redirects_to_other_servers"] > 0 && away.counts["redirects_followed"] == 0);
    assert_eq!(report(&format!("{url}/away"), &["--verify=none"]).statuses.len(), 1);
}

#[test]
fn each_client_keeps_its_cookies_beyond_its_connections() {
    let sessions = Arc::new(AtomicU64::new(0));
    let made = Arc::clone(&sessions);
    let url = site(move |request| match request.field("cookie") {
        Some(cookie) if cookie.starts_with("id=") => ok("", b"known"),
        _ => ok(&format!("Set-Cookie: id={}; Path=/\r\n", made.fetch_add(1, SeqCst)), b"known"),
    });
    for (args, most) in [(&["-c3", "--cookies", "--churn"][..], 3), (&["-c3", "--cookies", "--rate=200"], 3)]
    {
        sessions.store(0, SeqCst);
        let seen = report(&url, args);
        let (made, set) = (sessions.load(SeqCst), seen.counts["cookies_set"]);
        assert!((1..=most).contains(&made) && made == set && seen.requests > made, "{made} {set} {seen:?}");
    }
    sessions.store(0, SeqCst);
    let without = report(&url, &["-c3"]);
    assert!(sessions.load(SeqCst) >= without.requests, "none is kept");
    let clash = load(&url, &["--cookies", "-H", "Cookie: a=b"]);
    assert!(text(&clash.stderr).contains("--cookies sets Cookie"), "{clash:?}");
}

#[test]
fn variables_make_each_request_another() {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let all = Arc::clone(&seen);
    let url = site(move |request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let key = request.field("x-number").unwrap().to_owned();
        assert_eq!((request.target(), &body), (&*format!("/item/{key}"), &format!("{{\"id\": {key}}}")));
        all.lock().unwrap().insert(key);
        ok("", body.as_bytes())
    });
    let url = format!("{url}/item/{{counter}}");
    let args = ["-d", "{\"id\": {counter}}", "-H", "X-Number: {counter}", "--depth=4"];
    let report = report(&url, &args);
    let count = seen.lock().unwrap().len() as u64;
    assert!(count >= report.requests && report.requests > 0, "{count} of {report:?}");
}

#[test]
fn requests_come_from_a_file_with_weights_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("urls", "# what people do\n8 /page?of={user}\n\n2 POST /order @order.json\n");
    write("order.json", "{\"by\": \"{user}\", \"to\": \"{city}\"}");
    write("people.csv", "user,city\nann,\"Bern, CH\"\nbob b,Oslo\n");
    let counts = Arc::new(Mutex::new([0_u32; 2]));
    let seen = Arc::clone(&counts);
    let url = site(move |request| {
        let is_order = request.target() == "/order";
        let is_right = if is_order {
            let body = String::from_utf8_lossy(&request.body);
            request.head.starts_with("POST")
                && request.field("content-type") == Some("application/json")
                && ["{\"by\": \"ann\", \"to\": \"Bern, CH\"}", "{\"by\": \"bob b\", \"to\": \"Oslo\"}"]
                    .contains(&&*body)
        } else {
            ["/page?of=ann", "/page?of=bob%20b"].contains(&request.target())
        };
        seen.lock().unwrap()[usize::from(is_order)] += 1;
        if is_right && request.field("x") == Some("1") { ok("", b"") } else { redirect(400, "", "") }
    });
    let path = |name: &str| folder.path().join(name).display().to_string();
    let args = ["--urls", &path("urls"), "--values", &path("people.csv"), "-H", "X: 1", "--verify=status"];
    let report = report(&url, &[&args[..], &["--depth=2"]].concat());
    assert!(report.configuration.resource.starts_with("/ (2 requests of "), "{report:?}");
    let [pages, orders] = *counts.lock().unwrap();
    let share = f64::from(orders) / f64::from(orders + pages);
    // With n requests the standard deviation is 0.4/√n.
    assert!((share - 0.2).abs() < 2.4 / f64::from(orders + pages).sqrt(), "{orders} orders, {pages} pages");
    write("wrong", "/a\n/b /c\n");
    write("unknown", "/a?{usr}\n");
    write("short.csv", "a,b\n1,2\n3\n");
    for (args, shown) in [
        (["--urls", &path("wrong")], "wrong:2: \"/c\" follows the URL"),
        (["--urls", &path("unknown")], "unknown variable {usr}"),
        (["--values", &path("short.csv")], "short.csv:3: the row has 1 values, and there are 2 columns"),
        (["--urls", "/no/such"], "/no/such"),
    ] {
        let done = load(&url, &args);
        assert!(done.status.code() == Some(2) && text(&done.stderr).contains(shown), "{args:?}: {done:?}");
    }
}

#[test]
fn http_over_a_unix_socket_has_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                converse(stream.unwrap(), |request| {
                    assert_eq!((request.target(), request.field("host")), ("/a/b?c", Some("localhost")));
                    ok("", b"hello")
                });
            });
        }
    });
    assert!(report(&format!("http://unix:{}:/a/b?c", socket.display()), &[]).requests > 0);
}

#[test]
fn a_log_is_sent_again_at_its_times_or_faster() {
    let folder = tempfile::tempdir().unwrap();
    let line =
        |second: u32, what: &str| format!("::1 - - [10/Oct/2000:13:55:{second:02} +0000] \"{what}\" 200 5\n");
    let log: String = (0..40_u32)
        .map(|number| line(number / 10, &format!("GET /{number} HTTP/1.1")))
        .chain([line(5, "nonsense")])
        .collect();
    std::fs::write(folder.path().join("access.log"), log).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    let url = site(move |request| {
        all.lock().unwrap().push((std::time::Instant::now(), request.target().to_owned()));
        ok("", request.target().as_bytes())
    });
    let file = folder.path().join("access.log").display().to_string();
    let done = Command::new(env!("CARGO_BIN_EXE_oneloop"))
        .args(["load", &url, "--replay-log", &file, "--replay-speed=10", "-c1", "--json=-"])
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(text(&done.stderr).contains("1 entry is not sent; the first: line 41:"), "{done:?}");
    let report: Report = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((report.requests_due, report.latency.count, report.missed_sends), (40, 40, 0), "{report:?}");
    let seen = seen.lock().unwrap();
    let targets: Vec<&str> = seen.iter().map(|(_, target)| target.as_str()).collect();
    let expected: Vec<String> = (0..40).map(|number| format!("/{number}")).collect();
    assert_eq!(targets, expected);
    // 39 tenths of a second, ten times as fast; less by as much as the first one was late.
    let took = seen[39].0 - seen[0].0;
    assert!(took >= std::time::Duration::from_millis(200), "{took:?}");
    for (args, shown) in [
        (["--replay-log", &file, "--rate", "5"], "so --rate has no effect; leave it out"),
        (["--replay-log", &file, "--replay-speed", "0"], "how many times as fast"),
    ] {
        let done = load(&url, &args);
        assert!(done.status.code() == Some(2) && text(&done.stderr).contains(shown), "{args:?}: {done:?}");
    }
}
