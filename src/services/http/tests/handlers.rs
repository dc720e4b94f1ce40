//! Handlers of a user: their requests, and their responses, right or wrong.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::session::Session;

/// Answers with the method, the path and the body that it was given.
fn repeat(request: &Request<'_>) -> Response {
    let path = String::from_utf8_lossy(request.path());
    let body = String::from_utf8_lossy(request.body());
    Response::text(Status::Ok, format!("{:?} {path} [{body}]", request.method()))
}

fn ask_of(handler: impl Handler, request: &str) -> String {
    let answer = rehearsal::answer(&Http::new(handler), &[request.as_bytes()], true, OUT);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A handler with a policy for bodies.
struct WithPolicy(fn() -> BodyPolicy);

impl Handler for WithPolicy {
    fn respond(&self, request: &Request<'_>) -> Response {
        repeat(request)
    }

    fn body_policy(&self, request: &Request<'_>) -> BodyPolicy {
        assert_eq!(request.body(), b"");
        self.0()
    }
}

const KEEP_4: WithPolicy = WithPolicy(|| BodyPolicy::Keep { bytes_max: 4 });
const LENGTH: &str = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: ";
const CHUNKED: &str = "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n";

#[test]
fn a_body_reaches_its_handler_without_framing_and_within_the_bound() {
    for (request, expected) in [
        (format!("{LENGTH}4\r\n\r\nabcd"), Ok("Post /a [abcd]")),
        (format!("{CHUNKED}\r\n1\r\na\r\n3;x\r\nbcd\r\n0\r\nT: u\r\n\r\n"), Ok("Post /b [abcd]")),
        (format!("{CHUNKED}\r\n0\r\n\r\n"), Ok("Post /b []")),
        (format!("{LENGTH}0\r\n\r\n"), Ok("Post /a []")),
        (format!("{LENGTH}5\r\n\r\nabcde"), Err(413)),
        (format!("{LENGTH}99999999999999999999\r\n\r\n"), Err(413)),
        (format!("{CHUNKED}\r\n5\r\nabcde\r\n0\r\n\r\n"), Err(413)),
        (format!("{CHUNKED}\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), Err(413)),
        (format!("{CHUNKED}\r\nffffffffffffff\r\n"), Err(413)),
        (format!("{CHUNKED}\r\nx\r\n"), Err(400)),
    ] {
        let answer = ask_of(KEEP_4, &request);
        match expected {
            Ok(text) => assert_eq!((statuses(&answer), body(&answer)), (vec![200], text), "{request:?}"),
            Err(status) => {
                assert_eq!(statuses(&answer), [status], "{request:?}");
                assert_eq!(field(&answer, "Connection"), Some("close"), "{request:?}");
            }
        }
    }
}

#[test]
fn a_client_that_waits_for_100_gets_it_or_the_refusal_and_sends_nothing_else() {
    let expects = |length| format!("{LENGTH}{length}\r\nExpect: 100-continue\r\n\r\n");
    let mut kept = Rehearsal::open(&Http::new(KEEP_4), OUT);
    kept.feed(expects(4).as_bytes());
    assert_eq!(kept.answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    kept.feed(b"abcd");
    assert!(kept.answer.ends_with(b"Post /a [abcd]"));
    let too_long = ask_of(KEEP_4, &expects(5));
    assert_eq!((statuses(&too_long), field(&too_long, "Connection")), (vec![413], Some("close")));
    let refuse = WithPolicy(|| BodyPolicy::Refuse(Response::error(Status::Unauthorized)));
    let mut refused = Rehearsal::open(&Http::new(refuse), OUT);
    refused.feed(expects(4).as_bytes());
    let answer = String::from_utf8(refused.answer.clone()).unwrap();
    assert_eq!((statuses(&answer), field(&answer, "Connection")), (vec![401], Some("close")));
    assert_eq!(refused.state(), State::Done(Next::Finish), "what is behind it may be a body or a request");
}

#[test]
fn bytes_after_a_body_are_the_next_request_whether_or_not_the_body_is_kept() {
    let get = "GET /c HTTP/1.1\r\nHost: h\r\n\r\n";
    let smuggled = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";
    let requests = format!(
        "{LENGTH}{}\r\n\r\n{smuggled}{CHUNKED}\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n{get}",
        smuggled.len(),
        smuggled.len()
    );
    for discard in [false, true] {
        let policy =
            WithPolicy(if discard { || BodyPolicy::Discard } else { || BodyPolicy::Keep { bytes_max: 100 } });
        let answers = ask_of(policy, &requests);
        assert_eq!(statuses(&answers.replace(smuggled, "")), [200, 200, 200], "{answers}");
        let kept = if discard { "" } else { smuggled };
        for answer in [format!("Post /a [{kept}]"), format!("Post /b [{kept}]"), "Get /c []".into()] {
            assert!(answers.contains(&answer), "{answer} in {answers}");
        }
    }
}

#[test]
fn a_slow_body_gets_408_and_its_memory_is_counted() {
    let mut client = Rehearsal::open(&Http::new(repeat), OUT);
    client.feed(format!("{LENGTH}100000\r\n\r\n").as_bytes());
    let before = client.session().held_bytes();
    assert!(before < 1000, "nothing is reserved for what was only announced: {before}");
    client.feed(&vec![b'a'; 50_000]);
    assert!(client.session().held_bytes() >= 50_000);
    assert_eq!(client.state(), State::Waits(Wait::Rest));
    client.call(Call::Expired(Wait::Rest));
    assert_eq!(statuses(&String::from_utf8_lossy(&client.answer)), [408]);
}

#[test]
fn a_handler_is_called_once_for_each_request_however_little_room_there_is() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = {
        let calls = Arc::clone(&calls);
        move |request: &Request<'_>| {
            calls.fetch_add(1, Ordering::Relaxed);
            repeat(request)
        }
    };
    let request = format!("{LENGTH}3\r\n\r\nabcGET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    let http = Http::new(counted);
    let whole = rehearsal::answer(&http, &[request.repeat(50).as_bytes()], true, OUT);
    assert_eq!(calls.swap(0, Ordering::Relaxed), 100);
    for room in [100, 150, 1000] {
        assert!(rehearsal::answer(&http, &[request.repeat(50).as_bytes()], true, room) == whole);
        assert_eq!(calls.swap(0, Ordering::Relaxed), 100, "room for {room} bytes");
    }
}

/// Produces these pieces, one per call, and announces this length.
#[derive(Clone, Debug)]
struct Pieces(Vec<&'static str>, Option<u64>);

impl Producer for Pieces {
    fn produce(&mut self, piece: &mut Vec<u8>) -> io::Result<Produced> {
        match self.0.remove(0) {
            "error" => return Err(io::ErrorKind::BrokenPipe.into()),
            text => piece.extend_from_slice(text.as_bytes()),
        }
        Ok(match self.0.first() {
            None => Produced::End,
            Some(&"") => Produced::Yield,
            Some(_) => Produced::More,
        })
    }

    fn len_bytes(&self) -> Option<u64> {
        self.1
    }
}

fn produced(pieces: &[&'static str], len: Option<u64>, requests: &str) -> (String, State) {
    let made = Pieces(pieces.to_vec(), len);
    let handler = move |_: &Request<'_>| Response::new(Status::Ok).with_body(Body::producer(made.clone()));
    let mut client = Rehearsal::open(&Http::new(handler), OUT);
    client.feed(requests.as_bytes());
    (String::from_utf8(client.answer.clone()).unwrap(), client.state())
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const OPEN: State = State::Waits(Wait::NextRequest);
const CUT: State = State::Done(Next::Abort(crate::session::Fault::Resource));

#[test]
fn a_body_that_is_produced_is_framed_by_its_version_and_by_what_is_known_of_its_length() {
    let pieces = ["ab", "", "cde", "f", "g"];
    let (answer, state) = produced(&pieces, None, GET);
    assert_eq!(
        (field(&answer, "Transfer-Encoding"), field(&answer, "Content-Length")),
        (Some("chunked"), None)
    );
    assert_eq!(body(&answer), "2\r\nab\r\n3\r\ncde\r\n1\r\nf\r\n1\r\ng\r\n0\r\n\r\n");
    assert_eq!(state, OPEN);
    let (answer, state) = produced(&pieces, Some(7), GET);
    assert_eq!((field(&answer, "Transfer-Encoding"), field(&answer, "Content-Length")), (None, Some("7")));
    assert_eq!((body(&answer), state), ("abcdefg", OPEN));
    let (answer, state) = produced(&pieces, None, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((field(&answer, "Transfer-Encoding"), field(&answer, "Connection")), (None, Some("close")));
    assert_eq!((body(&answer), state), ("abcdefg", State::Done(Next::Finish)));
    for len in [None, Some(7)] {
        let (answer, state) = produced(&pieces, len, &GET.replace("GET", "HEAD"));
        let (same, _) = produced(&pieces, len, GET);
        assert_eq!((body(&answer), state), ("", OPEN));
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().0, same.split_once("\r\n\r\n").unwrap().0);
    }
}

/// Otherwise the next response would be read as the rest of this one, or the rest as the next response.
#[test]
fn a_body_that_is_not_as_long_as_announced_never_moves_the_next_response() {
    for pieces in [&["abcd", "efgh"][..], &["ab", "cdefgh"], &["abcdef", "gh"]] {
        let (answers, state) = produced(pieces, Some(6), &GET.repeat(2));
        assert_eq!(answers.matches("\r\n\r\nabcdef").count(), 2, "{answers}");
        assert!(!answers.contains("gh") && state == OPEN, "{answers}");
    }
    for pieces in [&["abc"][..], &["abc", "error"], &["", "", "abc"]] {
        let (answers, state) = produced(pieces, Some(6), &GET.repeat(2));
        assert_eq!(state, CUT, "{answers}");
        assert!(answers.matches("HTTP/1.1 200 OK").count() <= 1, "{answers}");
    }
    let (answer, state) = produced(&["abc", "error"], None, &GET.repeat(2));
    assert!(state == CUT && !answer.contains("0\r\n\r\n"), "{answer}");
}

#[test]
fn fields_that_a_handler_must_not_send_never_reach_the_client() {
    let long = "x".repeat(100);
    for (name, value) in [
        ("X", "a\r\nSet-Cookie: b"),
        ("X", "a\nb"),
        ("X", "a\0"),
        ("X\r\nY", "a"),
        ("X Y", "a"),
        ("", "a"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("Date", &long),
        ("Upgrade", "websocket"),
    ] {
        let (name, value) = (name.to_owned(), value.to_owned());
        let answer = ask_of(
            move |_: &Request<'_>| Response::text(Status::Ok, "said").with_field(&name, &value),
            &GET.repeat(2),
        );
        assert_eq!(statuses(&answer), [500, 500], "{answer}");
        assert!(!answer.contains("said") && !answer.contains("Set-Cookie"), "{answer}");
    }
    for status in [Status::Continue, Status::SwitchingProtocols] {
        assert_eq!(statuses(&ask_of(move |_: &Request<'_>| Response::new(status), GET)), [500]);
    }
    for status in [Status::NoContent, Status::NotModified] {
        let answers = ask_of(move |_: &Request<'_>| Response::text(status, "body"), &GET.repeat(2));
        assert_eq!(statuses(&answers), [status.code(), status.code()]);
        assert!(!answers.contains("body") && !answers.contains("Content-Length"), "{answers}");
    }
    let twice = |_: &Request<'_>| Response::text(Status::Ok, "a,b").with_field("content-type", "text/csv");
    let answer = ask_of(twice, GET);
    assert!(answer.contains("content-type: text/csv\r\n") && !answer.contains("text/plain"), "{answer}");
}

#[test]
fn a_request_is_given_as_it_was_meant() {
    fn told(request: &Request<'_>) -> Response {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let x = request.field("X-a").map_or("-".into(), text);
        let all: Vec<_> = request.fields("x-A").map(text).collect();
        let (path, query, host) = (text(request.path()), text(request.query()), request.host());
        Response::text(Status::Ok, format!("{host} {path} {query} {x} {}", all.join("|")))
    }
    for (request, expected) in [
        ("GET /a//b/../%63?d=%65 HTTP/1.1\r\nHost: H:80\r\nX-A: 1\r\n\r\n", "H /a/c d=%65 1 1"),
        ("GET /a%2fb HTTP/1.1\r\nHost: [::1]:80\r\nX-A: 1\r\nx-a: 2\r\n\r\n", "[::1] /a%2Fb  - 1|2"),
        // RFC 9112, section 3.2.2: the host of the target, not that of the field.
        ("GET http://a.example:8/x HTTP/1.1\r\nHost: b.example\r\n\r\n", "a.example /x  - "),
        ("OPTIONS * HTTP/1.1\r\nHost: [::1]\r\n\r\n", "[::1] *  - "),
        ("GET / HTTP/1.0\r\n\r\n", " /  - "),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "a a:1  - "),
    ] {
        let answer = ask_of(told, request);
        assert_eq!(body(&answer), expected, "{request:?}");
        assert_eq!(
            field(&answer, "Connection"),
            (!request.contains("/1.1") || request.contains("CONNECT")).then_some("close")
        );
    }
    for refused in ["GET /.. HTTP/1.1", "POST /%zz HTTP/1.1", "GET * HTTP/1.1", "PUT /a%00 HTTP/1.1"] {
        assert_eq!(statuses(&ask_of(told, &format!("{refused}\r\nHost: h\r\n\r\n"))), [400], "{refused}");
    }
}

#[test]
fn a_router_takes_the_longest_path_of_the_host_that_is_asked_for_however_it_is_spelled() {
    let named = |name: &'static str| move |_: &Request<'_>| Response::text(Status::Ok, name);
    let router = || {
        Router::new()
            .route("/api/", named("api"))
            .route("/api/v2", named("v2"))
            .route("/", named("root"))
            .route_host("Admin.example", "/", named("admin"))
            .route_host("admin.example", "/api", named("admin-api"))
    };
    for (target, host, expected) in [
        ("/", "h", "root"),
        ("/apiary", "h", "root"),
        ("/api", "h", "api"),
        ("/api/", "h", "api"),
        ("/api?x", "h", "api"),
        ("/api/v1", "h", "api"),
        ("/api/v2/x", "h", "v2"),
        ("/api/v22", "h", "api"),
        ("//api/v2", "h", "v2"),
        ("/%61pi/x", "h", "api"),
        ("/x/../api/./y", "h", "api"),
        ("/api/../x", "h", "root"),
        ("/api%2fv2", "h", "root"),
        ("/api/v2/x", "admin.example:80", "admin-api"),
        ("/x", "ADMIN.EXAMPLE", "admin"),
        ("http://admin.example/x", "h", "admin"),
        ("http://h/api", "admin.example", "api"),
        ("/x", "notadmin.example", "root"),
    ] {
        let answer = ask_of(router(), &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(body(&answer), expected, "{target} of {host}");
    }
    assert_eq!(body(&ask_of(router(), "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")), "root");
    let narrow = || Router::new().route("/api", KEEP_4);
    assert_eq!(statuses(&ask_of(narrow(), GET)), [404]);
    assert_eq!(statuses(&ask_of(narrow(), &format!("{LENGTH}5\r\n\r\nabcde{GET}"))), [404, 404]);
    assert_eq!(statuses(&ask_of(narrow(), &format!("{LENGTH}5\r\n\r\n").replace("/a ", "/api "))), [413]);
}

#[test]
fn a_stopping_server_answers_a_request_with_a_body_as_the_last_one() {
    let mut client = Rehearsal::open(&Http::new(repeat), OUT);
    client.feed(format!("{LENGTH}3\r\n\r\na").as_bytes()).call(Call::Stopping);
    assert_eq!(client.state(), State::Waits(Wait::Rest));
    client.feed(b"bc").call(Call::Stopping);
    assert!(client.answer.ends_with(b"Post /a [abc]"));
    assert_eq!(client.state(), State::Done(Next::Finish));
}

fn posts() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        Just(format!("{LENGTH}3\r\n\r\nabc")),
        Just(format!("{LENGTH}3\r\nExpect: 100-continue\r\n\r\nabc")),
        Just(format!("{LENGTH}3\r\nConnection: close\r\n\r\nabc")),
        Just(format!("{LENGTH}9\r\n\r\n123456789")),
        Just(format!("{CHUNKED}\r\n2\r\nab\r\n1;x=\"y\"\r\nc\r\n0\r\nT: u\r\n\r\n")),
        Just(format!("{CHUNKED}\r\n2\r\nabc\r\n0\r\n\r\n")),
        Just(GET.to_owned()),
        Just(GET.replace("GET", "HEAD")),
        "[0-9a-f\r\n;]{0,12}",
    ];
    prop::collection::vec(one, 1..6).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_a_handler_answers_does_not_depend_on_how_bodies_arrive_or_on_room(
        requests in posts(),
        piece in 1usize..40,
        room in 60usize..400,
    ) {
        let http = Http::new(WithPolicy(|| BodyPolicy::Keep { bytes_max: 8 }));
        let whole = rehearsal::answer(&http, &[requests.as_bytes()], true, OUT);
        let pieces: Vec<&[u8]> = requests.as_bytes().chunks(piece).collect();
        prop_assert_eq!(&rehearsal::answer(&http, &pieces, true, OUT), &whole);
        prop_assert_eq!(&rehearsal::answer(&http, &[requests.as_bytes()], true, room), &whole);
    }
}
