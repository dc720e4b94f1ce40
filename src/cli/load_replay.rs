//! The log of `--replay-log`: the requests to another server, and their times.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::Deserialize;

use super::Failure;
use super::load_input::read_file;
use crate::load::clients::HttpRequest;

/// The requests of a log, in the order of their times.
#[derive(Clone, Debug)]
pub(super) struct ReplayLog {
    pub(super) requests: Vec<HttpRequest>,
    /// When each falls due after the first, in ns.
    pub(super) due_ns: Vec<u64>,
    /// The duration of the log, from the first request to the end of the last second or interval.
    pub(super) span: Duration,
    /// What is not sent, and why: for people.
    pub(super) skipped: Option<String>,
}

/// Requests are kept in memory.
const REQUESTS_MAX: usize = 200_000;
const FILE_BYTES_MAX: usize = 256 << 20;
/// The requests of a log with seconds are spread over each second.
const SECOND_NS: u64 = 1_000_000_000;
/// Added after the last request of a log with exact times.
const LAST_NS: u64 = 1_000_000;

/// A request of the log and its time.
struct LoggedRequest {
    at: Timestamp,
    request: HttpRequest,
}

/// What was read of a log.
#[derive(Default)]
struct LogEntries {
    logged: Vec<LoggedRequest>,
    skipped: u64,
    /// The place of the first skipped entry, and the reason.
    first_skipped: Option<String>,
}

impl LogEntries {
    fn skip(&mut self, place: impl Display, why: &str) {
        self.skipped += 1;
        self.first_skipped.get_or_insert_with(|| format!("{place}: {why}"));
    }
}

/// Reads a HAR file, or an access log in the Combined or Common Log Format. Each request is `base` with its
/// own method, target, fields and body; `speed` divides its time.
pub(super) fn read_log(file: &str, base: &HttpRequest, speed: f64) -> Result<ReplayLog, Failure> {
    let bytes = read_file("--replay-log", file)?;
    let wrong = |what: String| Failure::Usage(format!("--replay-log: {}: {what}", file.escape_debug()));
    if bytes.len() > FILE_BYTES_MAX {
        return Err(wrong("it has more than 256 MiB".to_owned()));
    }
    let is_har = bytes.trim_ascii_start().first() == Some(&b'{');
    let mut entries = if is_har { har(&bytes, base).map_err(wrong)? } else { combined(&bytes, base) };
    if entries.logged.len() > REQUESTS_MAX {
        return Err(wrong(format!("it has more than {REQUESTS_MAX} requests; use a part of it")));
    }
    // A server logs a request when it is answered: lines are not in the order of their times.
    entries.logged.sort_by_key(|logged| logged.at);
    let skipped = entries.first_skipped.map(|first| {
        let plural = if entries.skipped == 1 { "entry is" } else { "entries are" };
        format!("{} {plural} not sent; the first: {first}", entries.skipped)
    });
    let Some(first) = entries.logged.first().map(|logged| logged.at) else {
        return Err(wrong(match skipped {
            Some(skipped) => format!("it has no request that can be sent: {skipped}"),
            None => "it has no request".to_owned(),
        }));
    };
    let since = |at: Timestamp| u64::try_from(at.duration_since(first).as_nanos()).unwrap_or(0);
    let mut due_ns: Vec<u64> = entries.logged.iter().map(|logged| since(logged.at)).collect();
    let last_ns = due_ns.last().copied().unwrap_or(0);
    if !is_har {
        spread(&mut due_ns);
    }
    let span_ns = last_ns + if is_har { LAST_NS } else { SECOND_NS };
    let divided = |ns: u64| Duration::from_nanos(ns).div_f64(speed);
    Ok(ReplayLog {
        requests: entries.logged.into_iter().map(|logged| logged.request).collect(),
        due_ns: due_ns.into_iter().map(|ns| divided(ns).as_nanos() as u64).collect(),
        span: divided(span_ns).max(Duration::from_nanos(LAST_NS)),
        skipped,
    })
}

/// Times that are whole seconds: those of the same second are spread over it.
fn spread(due_ns: &mut [u64]) {
    for same in due_ns.chunk_by_mut(|a, b| a == b) {
        let count = same.len() as u64;
        for (at, ns) in same.iter_mut().enumerate() {
            *ns += SECOND_NS * at as u64 / count;
        }
    }
}

#[derive(Deserialize)]
struct Har {
    log: HarLog,
}

#[derive(Deserialize)]
struct HarLog {
    entries: Vec<HarEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarEntry {
    started_date_time: String,
    request: HarRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<HarField>,
    post_data: Option<HarBody>,
}

#[derive(Deserialize)]
struct HarField {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct HarBody {
    #[serde(default)]
    text: String,
}

/// Fields of the connection that was recorded, or that follow from the request.
const OWN_FIELDS: [&str; 9] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "content-length",
    "upgrade",
    "te",
    "http2-settings",
];

/// A HAR file, as browsers save it. A page has parts from many servers: only requests to the server of the
/// first request are taken.
fn har(bytes: &[u8], base: &HttpRequest) -> Result<LogEntries, String> {
    let har: Har = serde_json::from_slice(bytes).map_err(|error| format!("it is not a HAR file: {error}"))?;
    let (mut entries, mut server) = (LogEntries::default(), None);
    for (at, entry) in har.log.entries.into_iter().enumerate() {
        let place = format!("entry {}", at + 1);
        let HarRequest { method, url, headers, post_data } = entry.request;
        let Some((host, target)) = split_url(&url) else {
            entries.skip(place, "its URL is not one of HTTP");
            continue;
        };
        if *server.get_or_insert_with(|| host.clone()) != host {
            entries.skip(place, "it is for another server than the first one");
            continue;
        }
        let Ok(at) = entry.started_date_time.parse::<Timestamp>() else {
            entries.skip(place, "its time is malformed");
            continue;
        };
        let Ok(mut request) = base.clone().for_target(&target).method(&method) else {
            entries.skip(place, "its method cannot be sent");
            continue;
        };
        for HarField { name, value } in headers {
            let is_own =
                name.starts_with(':') || OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(&name));
            if !is_own && !base.has_field(&name) {
                // What cannot be sent again is left out.
                request = request.clone().field(&name, &value).unwrap_or(request);
            }
        }
        if let Some(body) = post_data {
            request = request.body(body.text.into_bytes());
        }
        entries.logged.push(LoggedRequest { at, request });
    }
    Ok(entries)
}

/// Host and target of a URL; `None` if it is not an HTTP URL, or cannot be sent.
fn split_url(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    if !["http", "https"].contains(&&*scheme.to_ascii_lowercase()) {
        return None;
    }
    let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let target = target.split('#').next().unwrap_or_default();
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    is_sendable(&target).then(|| (host.to_ascii_lowercase(), target))
}

fn is_sendable(target: &str) -> bool {
    target.starts_with('/') && target.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

/// An access log: `ADDRESS - USER [TIME] "METHOD TARGET HTTP/1.1" STATUS BYTES "REFERER" "AGENT"`.
fn combined(bytes: &[u8], base: &HttpRequest) -> LogEntries {
    let mut entries = LogEntries::default();
    for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        if line.trim().is_empty() {
            continue;
        }
        match logged(&line, base) {
            Ok(logged) => entries.logged.push(logged),
            Err(why) => entries.skip(format!("line {}", at + 1), why),
        }
    }
    entries
}

fn logged(line: &str, base: &HttpRequest) -> Result<LoggedRequest, &'static str> {
    let (_, rest) = line.split_once('[').ok_or("[TIME] is missing")?;
    let (time, rest) = rest.split_once(']').ok_or("[TIME] is missing")?;
    let at = strtime::parse("%d/%b/%Y:%H:%M:%S %z", time)
        .and_then(|time| time.to_timestamp())
        .map_err(|_| "its time is malformed")?;
    let (asked, rest) = quoted(rest).ok_or("\"METHOD TARGET VERSION\" is missing")?;
    let mut words = asked.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("it is not a request of HTTP");
    };
    if !version.starts_with("HTTP/") || !is_sendable(target) {
        return Err("it is not a request of HTTP with a path");
    }
    let request = base.clone().for_target(target).method(method).map_err(|_| "its method cannot be sent")?;
    let mut request =
        if ["POST", "PUT", "PATCH"].contains(&method) { request.body(Vec::new()) } else { request };
    // Of the Combined Log Format.
    let referer = quoted(rest);
    let agent = referer.as_ref().and_then(|(_, rest)| quoted(rest));
    for (name, value) in [("Referer", &referer), ("User-Agent", &agent)] {
        if let Some((value, _)) = value
            && !["", "-"].contains(&value.as_str())
            && !base.has_field(name)
        {
            request = request.field(name, value).map_err(|_| "a field has control characters")?;
        }
    }
    Ok(LoggedRequest { at, request })
}

/// What is between the next two quotes, and what follows them. Servers write quotes and bytes in it as `\"`,
/// `\\` and `\xHH`.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = &text[text.find('"')? + 1..];
    let mut bytes = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((String::from_utf8_lossy(&bytes).into_owned(), &text[at + 1..])),
            '\\' => match chars.next()? {
                (at, 'x') => {
                    let digits = text.get(at + 1..at + 3)?;
                    bytes.push(u8::from_str_radix(digits, 16).ok()?);
                    chars.nth(1)?;
                }
                (_, char) => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            },
            char => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, speed: f64) -> Result<ReplayLog, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        std::fs::write(&file, text).unwrap();
        let base = HttpRequest::get("h", "/").without_field("Accept").unwrap();
        read_log(file.to_str().unwrap(), &base, speed).map_err(|failure| format!("{failure:?}"))
    }

    fn sent(log: &ReplayLog) -> Vec<String> {
        let text =
            |request: &HttpRequest| String::from_utf8(request.to_bytes()).unwrap().replace("\r\n", "|");
        log.requests.iter().map(text).collect()
    }

    const COMBINED: &str = r#"::1 - - [10/Oct/2000:13:55:37 -0700] "GET /c HTTP/1.1" 200 5 "-" "-"
1.2.3.4 - ann [10/Oct/2000:20:55:36 +0000] "GET /a?\x22b HTTP/1.1" 200 - "http://x/\"y" "curl/8"
1.2.3.4 - - [10/Oct/2000:13:55:37 -0700] "POST /d HTTP/1.0" 201 7
1.2.3.4 - - [10/Oct/2000:13:55:38 -0700] "\x16\x03\x01" 400 0
nonsense
"#;

    #[test]
    fn an_access_log_is_sent_in_the_order_of_its_times() {
        let log = read(COMBINED, 2.0).unwrap();
        let agent = concat!("User-Agent: oneloop/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            sent(&log),
            [
                "GET /a?\"b HTTP/1.1|Host: h|Referer: http://x/\"y|User-Agent: curl/8||".to_owned(),
                format!("GET /c HTTP/1.1|Host: h|{agent}||"),
                format!("POST /d HTTP/1.1|Host: h|{agent}|Content-Length: 0||"),
            ]
        );
        assert_eq!(log.due_ns, [0, 500_000_000, 750_000_000], "spread over the second, twice as fast");
        assert_eq!(log.span, Duration::from_secs(1));
        let skipped = log.skipped.unwrap();
        assert_eq!(skipped, "2 entries are not sent; the first: line 4: it is not a request of HTTP");
    }

    #[test]
    fn a_har_file_is_sent_with_its_fields_and_bodies() {
        let entry = |ms: u32, method: &str, url: &str, more: &str| {
            format!(
                "{{\"startedDateTime\": \"2024-05-01T10:00:00.{ms:03}+02:00\", \"request\": {{\"method\": \"{method}\", \
                 \"url\": \"{url}\"{more}}}}}"
            )
        };
        let fields = ", \"headers\": [{\"name\": \":path\", \"value\": \"/\"}, {\"name\": \"Host\", \"value\": \"x\"}, \
                      {\"name\": \"User-Agent\", \"value\": \"Fox\"}]";
        let entries = [
            entry(
                250,
                "POST",
                "https://Example.org/b",
                &format!("{fields}, \"postData\": {{\"mimeType\": \"a/b\", \"text\": \"hi\"}}"),
            ),
            entry(0, "GET", "https://example.org", ""),
            entry(1, "GET", "https://cdn.example.org/x", ""),
            entry(2, "GET", "wss://example.org/x", ""),
        ];
        let log = read(&format!("{{\"log\": {{\"entries\": [{}]}}}}", entries.join(",")), 1.0).unwrap();
        let agent = concat!("User-Agent: oneloop/", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            sent(&log),
            [
                format!("GET / HTTP/1.1|Host: h|{agent}||"),
                "POST /b HTTP/1.1|Host: h|User-Agent: Fox|Content-Length: 2||hi".to_owned(),
            ]
        );
        assert_eq!(log.due_ns, [0, 250_000_000]);
        assert_eq!(
            log.skipped.unwrap(),
            "2 entries are not sent; the first: entry 3: it is for another server than the first one"
        );
    }

    #[test]
    fn an_invalid_log_is_reported() {
        for (text, part) in [
            ("", "it has no request"),
            (
                "hello\n",
                "no request that can be sent: 1 entry is not sent; the first: line 1: [TIME] is missing",
            ),
            ("{\"log\": 5}", "it is not a HAR file"),
            ("[10/Foo/2000:13:55:37 -0700] \"GET / HTTP/1.1\"", "its time is malformed"),
            ("[10/Oct/2000:13:55:37 -0700] \"GET /", "METHOD TARGET VERSION\\\" is missing"),
        ] {
            let error = read(text, 1.0).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
