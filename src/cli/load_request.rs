//! The options of `oneloop load` for requests of HTTP.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Failure;
use super::load_auth::LoadAuthArgs;
use super::load_form::{multipart, urlencoded};
use super::load_input::FileInput;
use super::load_replay::read_log;
use super::load_urls::read_urls;
use super::load_values::without_column;
use super::units::count;
use super::words::did_you_mean;
use crate::load::clients::{
    HttpLoad, HttpOptions, HttpRequest, HttpRequests, RequestOrder, Rows, Template, Verify,
};

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "HTTP request")]
pub(super) struct RequestArgs {
    /// Method of the request [default: GET; with a body POST]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// Header field; replaces one that is sent by default, and without a value removes it; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Body of the request; @FILE reads it from a file (@- from standard input); several are joined with &
    ///
    /// Without a header field Content-Type it is sent as application/x-www-form-urlencoded. In URL, header
    /// fields and body {counter}, {random} and {random:1-1000} are replaced by numbers that differ from
    /// request to request.
    #[arg(short, long, value_name = "DATA|@FILE")]
    data: Vec<String>,
    /// The same, with TEXT percent-encoded: NAME=TEXT, or NAME@FILE
    #[arg(long, value_name = "NAME=TEXT")]
    data_urlencode: Vec<String>,
    /// Part of a form with files (multipart/form-data), as curl -F; may be repeated
    ///
    /// NAME=TEXT, NAME=@FILE (an upload) or NAME=<FILE (its text). After FILE, ;type=TYPE and ;filename=NAME
    /// may follow. For a form without files use --data or --data-urlencode.
    #[arg(short = 'F', long, value_name = "NAME=TEXT|@FILE", conflicts_with_all = ["data", "data_urlencode"])]
    form: Vec<String>,
    /// Requests from a file, a line each: [WEIGHT] [METHOD] URL [@BODYFILE]
    ///
    /// Each is sent in random order, as often as its weight relative to the others [default: 1]. Body files
    /// are relative to the folder of FILE; # begins a comment. Header fields, passwords and variables apply
    /// to all requests.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "data", "data_urlencode", "form"])]
    urls: Option<PathBuf>,
    /// Send the requests of a log again, at their times: a HAR file, or an access log (Combined Log Format)
    ///
    /// Each is sent once, to the server of the URL. Access logs have whole seconds and no bodies: requests
    /// are spread over their second, and a POST is empty. A HAR file, as browsers save it, has requests to
    /// several servers: those to the server of the first request are sent, with fields and bodies. Entries
    /// that cannot be sent are counted.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "urls", "method", "data", "data_urlencode", "form", "rate", "arrivals", "values", "find",
    ])]
    replay_log: Option<String>,
    /// How many times as fast as the log [default: 1]
    #[arg(long, value_name = "X", value_parser = speed, requires = "replay_log")]
    replay_speed: Option<f64>,
    /// When the requests of the log fall due: it is read once.
    #[arg(skip)]
    replayed: OnceLock<ReplayTimes>,
    #[command(flatten)]
    auth: LoadAuthArgs,
    /// Ask for gzip; decode it, or only count it [default: decode]
    ///
    /// Bytes are counted as received, before decoding; with decode, the decoded bodies are checked.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "decode")]
    compressed: Option<Compressed>,
    /// Follow redirects, up to HOPS in a row [default: 10]
    ///
    /// A redirect counts as a reply, with its status and latency; the next request of that client goes to its
    /// target. Redirects to other servers are counted and not followed.
    #[arg(short = 'L', long, value_name = "HOPS", num_args = 0..=1, require_equals = true, default_missing_value = "10",
        value_parser = count::<0, { u32::MAX }>)]
    follow: Option<u32>,
    /// Keep the cookies of each client, across its connections, and send them back
    #[arg(long)]
    cookies: bool,
    /// The check of each reply [default: exact for a single GET, otherwise whole]
    ///
    /// whole: complete by its head, which is always checked. status: also a 2xx. length: also as long as the
    /// first reply. exact: also equal to the first reply, byte for byte; for a page that changes use another
    /// check. `json-pointer:/POINTER` or `json-pointer:/POINTER=VALUE`: JSON with a value, or with this
    /// value, at the pointer (RFC 6901). none: whole, with any status. length, exact and json-pointer check
    /// replies with a status of 2xx only; the others are counted by status, and --expect checks their share.
    #[arg(long, value_name = "HOW")]
    verify: Option<VerifyArg>,
}

/// When the requests of a log fall due.
#[derive(Clone, Debug)]
pub(super) struct ReplayTimes {
    pub(super) due_ns: Arc<[u64]>,
    pub(super) span: Duration,
}

impl ReplayTimes {
    /// The mean of the whole log.
    pub(super) fn rate_per_second(&self) -> f64 {
        self.due_ns.len() as f64 / self.span.as_secs_f64()
    }
}

/// Within these bounds an hour of a log takes between four seconds and six weeks.
const SPEED_MIN: f64 = 0.001;
const SPEED_MAX: f64 = 1000.0;

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
    speed.filter(|speed| (SPEED_MIN..=SPEED_MAX).contains(speed)).ok_or_else(|| {
        format!("write how many times as fast, from {SPEED_MIN} to {SPEED_MAX}, such as 2 or 0.5")
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compressed {
    /// Ask for gzip and decode it
    Decode,
    /// Ask for gzip and do not decode it
    Count,
}

#[derive(Clone, Debug, PartialEq)]
enum VerifyArg {
    None,
    Whole,
    Status,
    Body(Verify),
}

const VERIFY_FORM: &str = "write exact, length, status, whole, none, or json-pointer:/status=ok";

impl FromStr for VerifyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "none" => VerifyArg::None,
            "whole" => VerifyArg::Whole,
            "status" => VerifyArg::Status,
            "length" => VerifyArg::Body(Verify::Length),
            "exact" => VerifyArg::Body(Verify::Exact),
            _ => {
                let names = ["exact", "length", "status", "whole", "none"];
                let form = || format!("{VERIFY_FORM}{}", did_you_mean(text, names));
                let rest = text.strip_prefix("json-pointer:").ok_or_else(form)?;
                let (pointer, value) = match rest.split_once('=') {
                    Some((pointer, value)) => (pointer, Some(value)),
                    None => (rest, None),
                };
                if !pointer.is_empty() && !pointer.starts_with('/') {
                    return Err(format!("a JSON pointer begins with a slash; {VERIFY_FORM}"));
                }
                // What is not JSON is a string: quotes are hard to type in a shell.
                let value = value.map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.into()));
                VerifyArg::Body(Verify::JsonPointer(pointer.to_owned(), value))
            }
        })
    }
}

impl RequestArgs {
    /// The first of these options that was given.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        [
            (self.method.is_some(), "--method"),
            (!self.header.is_empty(), "--header"),
            (!self.data.is_empty(), "--data"),
            (!self.data_urlencode.is_empty(), "--data-urlencode"),
            (!self.form.is_empty(), "--form"),
            (self.urls.is_some(), "--urls"),
            (self.replay_log.is_some(), "--replay-log"),
            (self.compressed.is_some(), "--compressed"),
            (self.follow.is_some(), "--follow"),
            (self.cookies, "--cookies"),
            (self.verify.is_some(), "--verify"),
        ]
        .into_iter()
        .find_map(|(is_given, option)| is_given.then_some(option))
        .or_else(|| self.auth.first_given())
    }

    /// The implied checks of statuses: a server that answers each request with an error would look fast.
    pub(super) fn status_checks(&self) -> &'static [&'static str] {
        match self.verify {
            Some(VerifyArg::None) => &[],
            Some(VerifyArg::Status) if self.follow.is_some() => &["4xx=0", "5xx=0", "2xx>0"],
            Some(VerifyArg::Status) => &["2xx=100%"],
            _ => &["2xx>0"],
        }
    }

    /// The load of a URL with what these options add to it.
    pub(super) fn load(
        &self,
        get: HttpRequest,
        rows: Rows,
        seed: u64,
        input: FileInput,
    ) -> Result<HttpLoad, Failure> {
        let request = self.complete(get, input)?;
        if let Some(file) = self.replay_log.as_ref().filter(|_| input == FileInput::Read) {
            return self.replay(file, &request);
        }
        let (list, shown) = match &self.urls {
            Some(_) if request.target() != "/" => {
                return Err(Failure::Usage(format!(
                    "--urls has the targets, and the URL has \"{}\", too; write http://{}/",
                    request.target().escape_debug(),
                    request.host()
                )));
            }
            Some(_) if input == FileInput::Assumed => (vec![(request, 1)], None),
            Some(path) => {
                let list = read_urls(path, &request)?;
                let count = list.len();
                let plural = if count == 1 { "request" } else { "requests" };
                (list, Some(format!("/ ({count} {plural} of {})", path.display())))
            }
            None => (vec![(request, 1)], None),
        };
        for (request, _) in &list {
            if let Some(name) = unknown_variable(request.target(), rows.columns()) {
                let columns = rows.columns().iter().map(|column| format!("{{{column}}}"));
                let known: Vec<String> = ["{counter}", "{random}", "{random:1-1000}"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain(columns)
                    .collect();
                return Err(Failure::Usage(format!(
                    "\"{}\": unknown variable {{{name}}}; there are {}; to send the braces, write %7B{name}%7D",
                    request.target().escape_debug(),
                    known.join(", ")
                )));
            }
        }
        let has_column = |(request, _): &(HttpRequest, u32)| {
            // A mistake in a variable is reported later.
            Template::parse(&request.to_bytes(), &rows).map_or(true, |template| template.has_column())
        };
        if !rows.columns().is_empty() && !list.iter().any(has_column) {
            return Err(without_column(&rows, "the URL, a header field or the body"));
        }
        let order = RequestOrder::Random;
        let requests = HttpRequests { requests: list, order, variables: Some(rows), seed, shown };
        HttpLoad::with(requests, self.options()).map_err(Failure::usage)
    }

    /// When the requests of a log fall due, once [`RequestArgs::load`] has read it.
    pub(super) fn replayed(&self) -> Option<&ReplayTimes> {
        self.replayed.get()
    }

    fn replay(&self, file: &str, base: &HttpRequest) -> Result<HttpLoad, Failure> {
        let log = read_log(file, base, self.replay_speed.unwrap_or(1.0))?;
        if let Some(skipped) = &log.skipped {
            log::warn!("{file}: {skipped}");
        }
        let count = log.requests.len();
        let plural = if count == 1 { "request" } else { "requests" };
        self.replayed.get_or_init(|| ReplayTimes { due_ns: log.due_ns.into(), span: log.span });
        let requests = HttpRequests {
            requests: log.requests.into_iter().map(|request| (request, 1)).collect(),
            order: RequestOrder::InTurn,
            shown: Some(format!("/ ({count} {plural} of {file})")),
            ..HttpRequests::default()
        };
        HttpLoad::with(requests, self.options()).map_err(Failure::usage)
    }

    fn options(&self) -> HttpOptions {
        HttpOptions {
            verify: match &self.verify {
                None => None,
                Some(VerifyArg::None | VerifyArg::Whole | VerifyArg::Status) => Some(Verify::Framing),
                Some(VerifyArg::Body(verify)) => Some(verify.clone()),
            },
            decodes: self.compressed == Some(Compressed::Decode),
            redirects_max: self.follow.unwrap_or(0),
            keeps_cookies: self.cookies,
        }
    }

    /// The request with what these options add to it.
    fn complete(&self, mut request: HttpRequest, input: FileInput) -> Result<HttpRequest, Failure> {
        for header in &self.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Failure::Usage(format!(
                    "--header \"{}\": a field is written as 'NAME: VALUE'",
                    header.escape_debug()
                ))
            })?;
            let clash = [
                ("Authorization", self.auth.first_given()),
                ("Cookie", self.cookies.then_some("--cookies")),
                ("Accept-Encoding", self.compressed.map(|_| "--compressed")),
            ];
            let clash = clash.iter().find(|(field, _)| name.eq_ignore_ascii_case(field));
            if let Some((field, Some(option))) = clash {
                return Err(Failure::Usage(format!("{option} sets {field}; leave out one of the two")));
            }
            request = match value.trim() {
                "" => request.without_field(name),
                value => request.field(name, value),
            }
            .map_err(|error| Failure::Usage(format!("--header \"{}\": {error}", header.escape_debug())))?;
        }
        request = self.auth.complete(request, input)?;
        if self.compressed.is_some() {
            request = request.field("Accept-Encoding", "gzip").map_err(Failure::usage)?;
        }
        if let Some((body, media_type)) = self.body(input)? {
            request = request.method("POST").map_err(Failure::usage)?.body(body);
            let has_type = self.header.iter().any(|header| {
                let name = header.split(':').next().unwrap_or_default();
                name.eq_ignore_ascii_case("content-type")
            });
            if !has_type {
                request = request.field("Content-Type", &media_type).map_err(Failure::usage)?;
            }
        }
        match &self.method {
            Some(method) => {
                request.method(method).map_err(|error| Failure::Usage(format!("--method: {error}")))
            }
            None => Ok(request),
        }
    }

    /// The body and its media type.
    fn body(&self, input: FileInput) -> Result<Option<(Vec<u8>, String)>, Failure> {
        if !self.form.is_empty() {
            return multipart(&self.form, input).map(Some);
        }
        if self.data.is_empty() && self.data_urlencode.is_empty() {
            return Ok(None);
        }
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for data in &self.data {
            pieces.push(match data.strip_prefix('@') {
                Some(file) => input.file("--data", file)?,
                None => data.clone().into_bytes(),
            });
        }
        for data in &self.data_urlencode {
            pieces.push(urlencoded(data, input)?.into_bytes());
        }
        let body = if pieces.len() == 1 { pieces.swap_remove(0) } else { pieces.join(&b'&') };
        Ok(Some((body, "application/x-www-form-urlencoded".to_owned())))
    }
}

/// A name in braces that looks like a variable but is unknown: in a URL it is a mistake.
fn unknown_variable<'a>(target: &'a str, columns: &[String]) -> Option<&'a str> {
    target.split('{').skip(1).find_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let is_known = ["counter", "random"].contains(&name) || columns.iter().any(|column| column == name);
        (is_name(name) && !is_known).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_for_variables_of_a_request() {
        let rows = || {
            let mut rows = Rows::new(vec!["user".to_owned()]);
            rows.push([&b"ann"[..]].into_iter()).unwrap();
            rows
        };
        let load = |target: &str, data: &str| {
            let args = RequestArgs { data: vec![data.to_owned()], ..RequestArgs::default() };
            let load = args.load(HttpRequest::get("h", target), rows(), 1, FileInput::Read);
            load.map(drop).map_err(|failure| format!("{failure:?}"))
        };
        assert_eq!(load("/{user}", "a"), Ok(()));
        assert_eq!(load("/", "{user} {other}"), Ok(()));
        let error = load("/{counter}", "{other}").unwrap_err();
        assert!(error.contains("--values has no effect, because no request has {user} in it"), "{error}");
        let error = load("/{other}", "{user}").unwrap_err();
        assert!(error.contains("{random:1-1000}, {user}; to send the braces, write %7Bother%7D"), "{error}");
    }
}
