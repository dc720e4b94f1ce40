//! What a site is told by whoever runs it, and what is made of that before the first client comes.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::access::AccessFormat;
use super::super::codec::request::is_token;
use super::super::codec::target::{self, Target};
use super::etag::Hashes;
use super::open_files::{OpenFiles, open_files_max};
use crate::sys::files::{Links, Root};
use crate::sys::process::descriptors_max;

/// How a directory is served. [`Config::new`] has what is right for most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The directory. Nothing outside it is ever served.
    pub root: PathBuf,
    /// Files that stand for their directory, the first that exists.
    pub index: Vec<String>,
    /// Whether a directory without such a file is listed; else it is forbidden (403).
    pub listing: bool,
    /// The file for all paths that do not exist, with status 200: the page of a single-page application.
    pub fallback: Option<String>,
    /// The page for paths that do not exist, with status 404, if it exists.
    pub not_found: Option<String>,
    /// Whether names that begin with a dot are served; else they do not exist (404), but for `.well-known` at the top (RFC 8615).
    pub hidden: bool,
    /// What is done with symbolic links.
    pub links: Links,
    /// The charset of text files; empty for none.
    pub charset: String,
    /// The value of `Cache-Control` with files (RFC 9111, section 5.2).
    pub cache_control: Option<String>,
    /// Header fields of every answer.
    pub headers: Vec<(String, String)>,
    /// How answers are written down, if they are; telemetry decides where.
    pub access: Option<AccessFormat>,
}

impl Config {
    /// The files in `root`: `index.html` stands for its directory, `404.html` for what is missing; no listings, no
    /// names with a dot but `.well-known`, no log.
    pub fn new(root: impl Into<PathBuf>) -> Config {
        Config {
            root: root.into(),
            index: vec!["index.html".into()],
            listing: false,
            fallback: None,
            not_found: Some("404.html".into()),
            hidden: false,
            links: Links::default(),
            charset: "utf-8".into(),
            cache_control: None,
            headers: Vec::new(),
            access: None,
        }
    }
}

/// Why a directory cannot be served as asked.
#[derive(Debug)]
pub enum ConfigError {
    /// The directory cannot be opened.
    Root(PathBuf, io::Error),
    /// A header field that cannot be sent, or that the server itself decides on.
    Header(String),
    /// A file that is not beneath the root.
    Path(String),
    /// A charset that is none.
    Charset(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Root(root, error) => write!(f, "cannot serve {}: {error}", root.display()),
            ConfigError::Header(field) => {
                write!(
                    f,
                    "cannot send the header field {field:?}: it is not valid, or the server decides on it (Cache-Control has a \
                     flag of its own)"
                )
            }
            ConfigError::Path(path) => {
                write!(f, "{path:?} is not the name of a file in the served directory")
            }
            ConfigError::Charset(charset) => write!(f, "{charset:?} is not the name of a charset"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Root(_, error) => Some(error),
            ConfigError::Header(_) | ConfigError::Path(_) | ConfigError::Charset(_) => None,
        }
    }
}

/// A configuration, checked and put into the bytes that are sent.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) root: Root,
    /// What of it is open.
    pub(crate) open_files: Arc<OpenFiles>,
    pub(crate) index: Vec<Vec<u8>>,
    pub(crate) listing: bool,
    pub(crate) fallback: Option<Vec<u8>>,
    pub(crate) not_found: Option<Vec<u8>>,
    pub(crate) hidden: bool,
    pub(crate) charset: String,
    pub(crate) access: Option<AccessFormat>,
    /// The line `Cache-Control`, or nothing.
    pub(crate) cache_control: String,
    /// The lines of every answer.
    pub(crate) fields: String,
    /// Last words to a client that gets no session.
    pub(crate) refusal: Vec<u8>,
    /// What the contents of its files hash to.
    pub(crate) hashes: Hashes,
}

/// Fields that frame or describe each answer: a second one would contradict the first.
const DECIDED_HERE: [&str; 13] = [
    "accept-ranges",
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "transfer-encoding",
    "upgrade",
];

const CACHE_CONTROL: &str = "Cache-Control";

impl Site {
    pub(crate) fn new(config: Config) -> Result<Site, ConfigError> {
        let Config { root, index, listing, fallback, not_found, hidden, links, charset, .. } = config;
        let file = |name: String| match target::parse(format!("/{name}").as_bytes()) {
            // As it stands: a name with a percent sign is that name.
            Ok(Target::Path(path)) if path.file == name.as_bytes() && !path.is_directory() => {
                Ok(name.into_bytes())
            }
            _ => Err(ConfigError::Path(name)),
        };
        if !charset.bytes().all(is_token) {
            return Err(ConfigError::Charset(charset));
        }
        // The flag and the listings have it; a second one would contradict them.
        let doubled = config.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CACHE_CONTROL));
        if let Some((name, value)) = doubled {
            return Err(ConfigError::Header(format!("{name}: {value}")));
        }
        let cache_control = config.cache_control.map(|value| (CACHE_CONTROL.to_owned(), value));
        let fields = lines(&config.headers)?;
        let open_files = OpenFiles::new(descriptors_max().map_or(usize::MAX, open_files_max));
        Ok(Site {
            open_files,
            index: index.into_iter().map(file).collect::<Result<_, _>>()?,
            listing,
            fallback: fallback.map(file).transpose()?,
            not_found: not_found.map(file).transpose()?,
            hidden,
            charset,
            access: config.access,
            cache_control: lines(cache_control.as_slice())?,
            refusal: refusal(&fields),
            fields,
            hashes: Hashes::default(),
            root: Root::open(&root, links).map_err(|error| ConfigError::Root(root, error))?,
        })
    }
}

/// Last words to a client that gets no session: the same for each, so without a date, which a 5xx may lack (RFC 9110, section
/// 6.6.1).
fn refusal(fields: &str) -> Vec<u8> {
    const BODY: &str = "503 Service Unavailable\n";
    let len = BODY.len();
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len}\r\n{fields}\r\n{BODY}"
    );
    text.into_bytes()
}

/// The fields as lines, if they can be sent (RFC 9110, section 5).
fn lines(fields: &[(String, String)]) -> Result<String, ConfigError> {
    let mut lines = String::new();
    for (name, value) in fields {
        let value = value.trim();
        let valid =
            !name.is_empty() && name.bytes().all(is_token) && !value.contains(|c: char| c.is_ascii_control());
        if !valid || DECIDED_HERE.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(ConfigError::Header(format!("{name}: {value}")));
        }
        lines.extend([name, ": ", value, "\r\n"]);
    }
    Ok(lines)
}
