//! Compares the parser with a simple one, which splits lines and words by the grammar of RFC 9112, without
//! regard to speed.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::codec::request::{Method, RequestFraming, Scan, parsed};

/// What a request contains; bytes are characters here.
#[derive(Debug, PartialEq)]
struct RequestSummary {
    method: Method,
    target: String,
    framing: RequestFraming,
    persistent: bool,
    expects_continue: bool,
}

/// `None`: not a request, or one that is refused whatever its target.
fn oracle(text: &str) -> Option<RequestSummary> {
    let head = text.strip_prefix("\r\n").unwrap_or(text).strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let [method, target, version] = lines.next()?.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let digits = version.strip_prefix("HTTP/1.")?;
    let visible = |text: &str| text.chars().all(|char| char > ' ' && char != '\x7f') && !text.is_empty();
    if !is_token(method)
        || !visible(target)
        || digits.len() != 1
        || !digits.chars().all(|it| it.is_ascii_digit())
    {
        return None;
    }
    let fields = lines.map(field_of).collect::<Option<Vec<_>>>()?;
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(named, _)| named.eq_ignore_ascii_case(name)).map(|(_, value)| *value).collect()
    };
    let is_old = digits == "0";
    match all("host")[..] {
        [host] if is_host(host) => {}
        [] if is_old => {}
        _ => return None,
    }
    let framing = match (&all("transfer-encoding")[..], &all("content-length")[..]) {
        ([], []) => RequestFraming::Length(0),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") && !is_old => RequestFraming::Chunked,
        ([], [length]) if !length.is_empty() && length.chars().all(|it| it.is_ascii_digit()) => {
            RequestFraming::Length(length.parse().unwrap_or(u64::MAX))
        }
        _ => return None,
    };
    let connection = all("connection").join(",").to_ascii_lowercase();
    let lists = |option| connection.split(',').any(|listed| listed.trim_matches([' ', '\t']) == option);
    let expected = all("expect").join(",").to_ascii_lowercase();
    let mut expected = expected.split(',').map(|it| it.trim_matches([' ', '\t'])).filter(|it| !it.is_empty());
    let expects_continue = !is_old && expected.clone().next().is_some();
    if !is_old && expected.any(|it| it != "100-continue") {
        return None;
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        _ => Method::Other,
    };
    let persistent = !lists("close") && (!is_old || lists("keep-alive"));
    Some(RequestSummary { method, target: target.to_owned(), framing, persistent, expects_continue })
}

/// `field-name ":" OWS field-value OWS`
fn field_of(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    let fits = value.chars().all(|char| char == '\t' || char >= ' ' && char != '\x7f');
    (is_token(name) && fits).then_some((name, value))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char))
}

/// RFC 3986, section 3.2, without a user.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rfind(':').filter(|at| !text[*at..].contains(']')) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    let port_fits =
        port.is_empty() || port.chars().all(|it| it.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name_fits = match literal {
        Some(literal) if literal.starts_with(['v', 'V']) => {
            let unreserved = |it: char| it.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:".contains(it);
            literal[1..].split_once('.').is_some_and(|(version, rest)| {
                !version.is_empty()
                    && version.chars().all(|it| it.is_ascii_hexdigit())
                    && !rest.is_empty()
                    && rest.chars().all(unreserved)
            })
        }
        Some(literal) => {
            let (address, zone) = literal.split_once('%').unwrap_or((literal, "none"));
            let zone_fits =
                !zone.is_empty() && zone.chars().all(|it| it.is_ascii_alphanumeric() || "-._~%".contains(it));
            address.parse::<std::net::Ipv6Addr>().is_ok() && zone_fits
        }
        None => is_name(name),
    };
    port_fits && name_fits
}

/// An escaped letter is equal to the letter.
fn is_name(name: &str) -> bool {
    let is_hex = |part: &str| part.chars().take(2).filter(char::is_ascii_hexdigit).count() == 2;
    let letters = name.replace('%', "");
    name.split('%').skip(1).all(is_hex)
        && letters.chars().all(|it| it.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(it))
}

/// The result of the parser; `None` if it refuses the request.
fn ours(bytes: &[u8]) -> Option<RequestSummary> {
    parsed(bytes, |request| {
        let request = request.ok()?;
        Some(RequestSummary {
            method: request.method,
            target: as_text(request.target),
            framing: request.framing,
            persistent: request.persistent,
            expects_continue: request.expects_continue,
        })
    })
}

fn as_text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

const LINES: [&str; 10] = [
    "GET / HTTP/1.1",
    "GET /a/b?c=d HTTP/1.1",
    "HEAD /%20 HTTP/1.0",
    "OPTIONS * HTTP/1.1",
    "POST / HTTP/1.1",
    "BREW /pot HTTP/1.3",
    "GET http://h:80/ HTTP/1.1",
    "\r\nGET / HTTP/1.1",
    "GET / HTTP/2.0",
    "GET  / HTTP/1.1",
];

const FIELDS: [&str; 29] = [
    "Host: h",
    "host:h:80",
    "HOST:\t[::1]:8080 ",
    "Host: [fe80::1%25eth0]:80",
    "Host: [v1.a:b]",
    "Host: a%41.example:",
    "Host:",
    "Host: h:65536",
    "Content-Length: 5",
    "content-length:0",
    "Content-Length: 99999999999999999999",
    "Content-Length: 1, 1",
    "Transfer-Encoding: chunked",
    "transfer-encoding:\tChunked ",
    "Transfer-Encoding: gzip, chunked",
    "Connection: close",
    "Connection: keep-alive, x",
    "connection:x ,\tClose",
    "Expect: 100-continue",
    "Expect: 100-Continue ",
    "Expect: , 100-continue,,",
    "Expect: 100-continue, tea",
    "Expect:",
    "Accept: */*",
    "X: a\u{80}b",
    "X-Empty:",
    "X : y",
    " folded",
    "Range: bytes=0-",
];

/// Bytes that are inserted into a valid head.
const SPOILS: [&str; 22] = [
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\n\n",
    " ",
    "\t",
    ":",
    "\0",
    "\x0b",
    "\x7f",
    "\u{ff}",
    ",",
    ";",
    "%",
    "[",
    "]",
    "0",
    "1",
    "a",
    "\r\n ",
    "\r\nHost: h",
];

fn heads() -> impl Strategy<Value = String> {
    // Most heads have the required Host.
    let host = prop_oneof![4 => Just(Some("Host: h")), 1 => Just(None)];
    let fields = prop::collection::vec(select(&FIELDS[..]), 0..4);
    (select(&LINES[..]), host, fields).prop_map(|(line, host, fields)| {
        let lines = [Some(line), host].into_iter().flatten().chain(fields);
        lines.chain(["", ""]).collect::<Vec<_>>().join("\r\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn heads_are_parsed_by_the_grammar_and_all_others_are_refused(
        head in heads(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), select(&SPOILS[..]), 0usize..3), 0..3),
    ) {
        let mut chars: Vec<char> = head.chars().collect();
        for (at, spoil, gone) in spoils {
            let at = at.index(chars.len());
            chars.splice(at..(at + gone).min(chars.len()), spoil.chars());
        }
        let bytes: Vec<u8> = chars.iter().map(|&char| char as u8).collect();
        match Scan::default().head_end(&bytes, 16 << 10) {
            Err(_) => {
                // The parser ends at the first invalid line: nothing that begins like this is a head.
                prop_assert_eq!(oracle(&as_text(&bytes)), None);
            }
            Ok(None) => prop_assert!(!as_text(&bytes).trim_start_matches("\r\n").contains("\r\n\r\n")),
            Ok(Some(len)) => prop_assert_eq!(ours(&bytes[..len]), oracle(&as_text(&bytes[..len]))),
        }
    }
}
