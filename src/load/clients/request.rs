//! The request of the HTTP client: method, target, fields and body.

use std::fmt;

use super::request_digest::RequestDigest;
use super::template::{Draw, Encoding, Rows, Template, TemplateError};
use crate::load::report::RequestSettings;

/// One request, sent again and again.
///
/// Without a field of that name, `Host`, `User-Agent` and `Accept` are sent; with a body, `Content-Length`.
///
/// ```
/// use oneloop::load::clients::HttpRequest;
///
/// let request = HttpRequest::get("127.0.0.1:8000", "/api/")
///     .method("POST")?
///     .field("Content-Type", "application/json")?
///     .body(b"{}".to_vec());
/// let bytes = request.to_bytes();
/// assert!(bytes.starts_with(b"POST /api/ HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"));
/// assert!(bytes.ends_with(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"));
/// # Ok::<(), oneloop::load::clients::RequestError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpRequest {
    method: String,
    host: String,
    target: String,
    fields: Vec<(String, String)>,
    /// Fields that are sent by default, and not with this request.
    omitted: Vec<String>,
    body: Option<Vec<u8>>,
    closes: bool,
}

/// What cannot be part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The method is not a token (RFC 9110, section 9.1), or asks for something other than a reply: CONNECT.
    Method(String),
    /// The name of a field is not a token (RFC 9110, section 5.1).
    FieldName(String),
    /// The value of the field of this name has control characters (RFC 9110, section 5.5).
    FieldValue(String),
    /// The field is made from the request itself.
    OwnField(String),
    /// A variable cannot be used.
    Template(TemplateError),
    /// A value of the column of this name has control characters, and a field would have it.
    Column(String),
    /// There is no request with a weight above 0.
    None,
}

impl From<TemplateError> for RequestError {
    fn from(error: TemplateError) -> Self {
        RequestError::Template(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Method(method) => {
                write!(f, "\"{}\" is not a method that load can send", method.escape_debug())
            }
            RequestError::FieldName(name) => {
                write!(f, "\"{}\" is not a valid name of a header field", name.escape_debug())
            }
            RequestError::FieldValue(name) => write!(f, "the value of {name} has control characters"),
            RequestError::OwnField(name) => {
                write!(f, "{name} follows from the body and --churn, and cannot be set")
            }
            RequestError::Template(error) => error.fmt(f),
            RequestError::Column(name) => write!(
                f,
                "a value of the column {name} has control characters, and no header field can have them"
            ),
            RequestError::None => f.write_str("there is no request"),
        }
    }
}

impl std::error::Error for RequestError {}

/// Fields whose values are in the digest of a report. The values of other fields, such as Authorization,
/// Cookie and X-Api-Key, may be secrets, and a digest would confirm a guess.
const DIGESTED_FIELDS: [&str; 10] = [
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Cache-Control",
    "Content-Encoding",
    "Content-Type",
    "If-Modified-Since",
    "If-None-Match",
    "Range",
    "User-Agent",
];
/// Schemes of Authorization (RFC 9110, section 16.4.1). Any other first word may be a secret.
const SCHEMES: [&str; 3] = ["Basic", "Bearer", "Digest"];

/// Fields that frame the body or decide on the connection.
const OWN_FIELDS: [&str; 3] = ["Content-Length", "Transfer-Encoding", "Connection"];

impl HttpRequest {
    /// GET of `target`, such as `/file?x=1`, of this host, as it is written in the field Host.
    pub fn get(host: &str, target: &str) -> Self {
        HttpRequest {
            method: "GET".to_owned(),
            host: host.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            omitted: Vec::new(),
            body: None,
            closes: false,
        }
    }

    /// For this target.
    #[must_use]
    pub fn for_target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Whether a field of this name was set.
    pub fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(set, _)| set.eq_ignore_ascii_case(name))
    }

    /// With this method, such as POST. Methods have case (RFC 9110, section 9.1).
    pub fn method(mut self, method: &str) -> Result<Self, RequestError> {
        if !is_token(method) || method == "CONNECT" {
            return Err(RequestError::Method(method.to_owned()));
        }
        method.clone_into(&mut self.method);
        Ok(self)
    }

    /// With this header field, in place of one that is sent by default.
    pub fn field(mut self, name: &str, value: &str) -> Result<Self, RequestError> {
        check_name(name)?;
        if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(RequestError::FieldValue(name.to_owned()));
        }
        self.fields.push((name.to_owned(), value.trim().to_owned()));
        Ok(self)
    }

    /// Without the field of this name that is sent by default.
    pub fn without_field(mut self, name: &str) -> Result<Self, RequestError> {
        check_name(name)?;
        self.omitted.push(name.to_owned());
        Ok(self)
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks the server to end the connection after the reply.
    #[must_use]
    pub fn closes(mut self) -> Self {
        self.closes = true;
        self
    }

    fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(super) fn is_get(&self) -> bool {
        self.method == "GET"
    }

    /// The target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The host, as in the URL.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What reports have of several requests with their weights.
    pub(super) fn settings<'a>(requests: impl Iterator<Item = (&'a HttpRequest, u32)>) -> RequestSettings {
        let (mut methods, mut fields, mut authorization): (Vec<&str>, Vec<&str>, _) =
            (Vec::new(), Vec::new(), "");
        let mut digest = RequestDigest::EMPTY;
        for (request, weight) in requests {
            if !methods.contains(&request.method.as_str()) {
                methods.push(&request.method);
            }
            for (name, value) in &request.fields {
                if !fields.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    fields.push(name);
                }
                if name.eq_ignore_ascii_case("Authorization") {
                    let scheme = value.split_once(' ').map_or("", |(scheme, _)| scheme);
                    let known = SCHEMES.iter().find(|known| known.eq_ignore_ascii_case(scheme));
                    authorization = known.copied().unwrap_or("other");
                }
            }
            request.digest(weight, &mut digest);
        }
        RequestSettings {
            method: methods.join(", "),
            fields: fields.into_iter().map(str::to_owned).collect(),
            authorization: authorization.to_owned(),
            digest: digest.shown(),
            ..RequestSettings::default()
        }
    }

    /// Adds what is sent of it. The host is not part of it: two versions of a server have different ones.
    fn digest(&self, weight: u32, digest: &mut RequestDigest) {
        digest.part(&weight.to_le_bytes());
        let media_type = self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("Content-Type"));
        let boundary = media_type.and_then(|(_, value)| value.split_once("boundary="));
        // It is random, and another one in each run.
        let boundary = boundary.map_or("", |(_, rest)| rest.split(';').next().unwrap_or(rest));
        let boundary = boundary.trim().trim_matches('"').as_bytes();
        digest.part(self.method.as_bytes());
        digest.part(self.target.as_bytes());
        for (name, value) in &self.fields {
            digest.part(name.to_ascii_lowercase().as_bytes());
            let is_digested = DIGESTED_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name));
            digest.part_without(if is_digested { value.as_bytes() } else { &[] }, boundary);
        }
        for name in &self.omitted {
            digest.part(name.to_ascii_lowercase().as_bytes());
        }
        if let Some(body) = &self.body {
            digest.part_without(body, boundary);
        }
    }

    /// The request as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        PreparedRequest::fixed(self).as_fixed().to_vec()
    }

    /// The rest of its first line, and its fields except Content-Length.
    fn behind_target(&self) -> String {
        let is_set = |name: &str| {
            let names = self.fields.iter().map(|(name, _)| name).chain(&self.omitted);
            names.into_iter().any(|set| set.eq_ignore_ascii_case(name))
        };
        let agent = concat!("oneloop/", env!("CARGO_PKG_VERSION"));
        let defaults = [("Host", self.host.as_str()), ("User-Agent", agent), ("Accept", "*/*")];
        let mut head = " HTTP/1.1\r\n".to_owned();
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in defaults.into_iter().filter(|(name, _)| !is_set(name)).chain(fields) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if self.closes {
            head.push_str("Connection: close\r\n");
        }
        head
    }
}

/// A request as the load sends it.
#[derive(Debug)]
pub(super) struct PreparedRequest {
    is_head: bool,
    form: RequestForm,
}

#[derive(Debug)]
enum RequestForm {
    /// The same bytes each time, and where the fields end.
    Fixed { bytes: Box<[u8]>, fields_end: usize },
    /// It has variables.
    Varies(Box<RequestTemplate>),
}

#[derive(Debug)]
struct RequestTemplate {
    method: String,
    target: Template,
    behind_target: Template,
    body: Option<Template>,
}

impl PreparedRequest {
    /// The request without variables.
    pub(super) fn fixed(request: &HttpRequest) -> Self {
        let mut bytes =
            format!("{} {}{}", request.method, request.target, request.behind_target()).into_bytes();
        let fields_end = append_body(&mut bytes, request.body.as_deref());
        PreparedRequest {
            is_head: request.is_head(),
            form: RequestForm::Fixed { bytes: bytes.into_boxed_slice(), fields_end },
        }
    }

    /// The request; with `rows` variables are replaced.
    pub(super) fn new(request: &HttpRequest, rows: Option<&Rows>) -> Result<Self, RequestError> {
        let Some(rows) = rows else { return Ok(PreparedRequest::fixed(request)) };
        let target = Template::parse(request.target.as_bytes(), rows)?;
        let behind_target = Template::parse(request.behind_target().as_bytes(), rows)?;
        let body = request.body.as_deref().map(|body| Template::parse(body, rows)).transpose()?;
        if target.is_fixed() && behind_target.is_fixed() && body.as_ref().is_none_or(Template::is_fixed) {
            return Ok(PreparedRequest::fixed(request));
        }
        if let Some(column) = behind_target.columns().find(|&column| rows.has_controls(column)) {
            return Err(RequestError::Column(rows.columns()[column].clone()));
        }
        let template = RequestTemplate { method: request.method.clone(), target, behind_target, body };
        Ok(PreparedRequest { is_head: request.is_head(), form: RequestForm::Varies(Box::new(template)) })
    }

    /// Whether the reply has no body, whatever its head declares (RFC 9110, section 9.3.2).
    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.form, RequestForm::Fixed { .. })
    }

    /// Its bytes; empty if they vary.
    pub(super) fn as_fixed(&self) -> &[u8] {
        match &self.form {
            RequestForm::Fixed { bytes, .. } => bytes,
            RequestForm::Varies(_) => &[],
        }
    }

    /// Appends its bytes if they vary. Returns where its fields end, in front of the empty line.
    pub(super) fn render(&self, draw: &mut Draw<'_>, out: &mut Vec<u8>) -> usize {
        match &self.form {
            RequestForm::Fixed { fields_end, .. } => *fields_end,
            RequestForm::Varies(template) => {
                let RequestTemplate { method, target, behind_target, body } = &**template;
                out.extend_from_slice(method.as_bytes());
                out.push(b' ');
                target.render(draw, Encoding::Url, out);
                behind_target.render(draw, Encoding::Raw, out);
                match body {
                    Some(body) => {
                        let mut bytes = Vec::new();
                        body.render(draw, Encoding::Raw, &mut bytes);
                        append_body(out, Some(&bytes))
                    }
                    None => append_body(out, None),
                }
            }
        }
    }
}

/// Appends Content-Length, the empty line and the body. Returns where the fields end.
fn append_body(bytes: &mut Vec<u8>, body: Option<&[u8]>) -> usize {
    if let Some(body) = body {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    let fields_end = bytes.len();
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.unwrap_or_default());
    fields_end
}

fn check_name(name: &str) -> Result<(), RequestError> {
    if !is_token(name) {
        return Err(RequestError::FieldName(name.to_owned()));
    }
    match OWN_FIELDS.iter().find(|own| own.eq_ignore_ascii_case(name)) {
        Some(own) => Err(RequestError::OwnField((*own).to_owned())),
        None => Ok(()),
    }
}

/// Whether `text` is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &HttpRequest) -> String {
        String::from_utf8(request.to_bytes()).unwrap()
    }

    #[test]
    fn fields_replace_those_that_are_sent_by_default() {
        let request = HttpRequest::get("h:1", "/x").closes();
        let request = request.field("host", "example.org").unwrap().field("A", "b, c").unwrap();
        let request = request.without_field("Accept").unwrap().without_field("user-agent").unwrap();
        assert_eq!(
            text(&request),
            "GET /x HTTP/1.1\r\nhost: example.org\r\nA: b, c\r\nConnection: close\r\n\r\n"
        );
        let empty = HttpRequest::get("h", "/").method("POST").unwrap().body(Vec::new());
        assert!(text(&empty).ends_with("Accept: */*\r\nContent-Length: 0\r\n\r\n"), "{}", text(&empty));
    }

    #[test]
    fn reports_have_the_method_and_a_digest_and_no_secret() {
        let get = || HttpRequest::get("h", "/");
        let of = |request: &HttpRequest| HttpRequest::settings([(request, 1)].into_iter());
        let field = |name: &str, value: &str| of(&get().field(name, value).unwrap());
        let put = of(&get().method("PUT").unwrap());
        assert_eq!((of(&get()).method.as_str(), put.method.as_str()), ("GET", "PUT"));
        let other = [
            of(&get()),
            put,
            of(&get().for_target("/x")),
            of(&get().body(b"a".to_vec())),
            of(&get().body(b"b".to_vec())),
            field("Range", "bytes=0-1"),
            field("Range", "bytes=0-2"),
            of(&get().without_field("Accept").unwrap()),
            HttpRequest::settings([(&get(), 2)].into_iter()),
            HttpRequest::settings([(&get(), 1), (&get(), 1)].into_iter()),
        ];
        for (at, one) in other.iter().enumerate() {
            assert!(!other[..at].iter().any(|before| before.digest == one.digest), "{at}: {other:?}");
        }
        assert_eq!(of(&get()), of(&HttpRequest::get("other:1", "/")), "the host is the server's");
        // The same but for what must not be found out.
        for name in ["Authorization", "authorization", "Cookie", "Proxy-Authorization", "X-Api-Key"] {
            assert_eq!(field(name, "Basic YTpi").digest, field(name, "Basic secret").digest, "{name}");
        }
        let shown = format!("{:?}", field("authorization", "bearer s3cret"));
        assert!(shown.contains("\"Bearer\"") && !shown.contains("s3cret"), "{shown}");
        assert_eq!(field("Authorization", "s3cret key").authorization, "other");
        let form = |boundary: &str| {
            let media_type = format!("multipart/form-data; boundary={boundary}");
            let body = format!("--{boundary}\r\n\r\na\r\n--{boundary}--\r\n");
            of(&get().field("Content-Type", &media_type).unwrap().body(body.into_bytes()))
        };
        assert_eq!(form("x1"), form("another"), "the boundary is random");
    }

    #[test]
    fn fields_that_would_forge_another_request_are_an_error() {
        let get = || HttpRequest::get("h", "/");
        for (error, shown) in [
            (get().method("GE T").unwrap_err(), "\"GE T\" is not a method"),
            (get().method("CONNECT").unwrap_err(), "\"CONNECT\" is not a method"),
            (get().field("A:", "b").unwrap_err(), "\"A:\" is not a valid name"),
            (get().field("A", "b\r\nC: d").unwrap_err(), "the value of A has control characters"),
            (get().field("content-length", "5").unwrap_err(), "Content-Length follows from the body"),
            (get().without_field("connection").unwrap_err(), "Connection follows from the body"),
        ] {
            assert!(error.to_string().starts_with(shown), "{error}");
        }
    }
}
