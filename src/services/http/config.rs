//! The configuration of an HTTP service apart from its handler, and the errors of configurations.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::codec::head::{is_sendable, push_line};
use super::codec::syntax::is_token;
use super::codec::target::{self, RequestTarget};
use crate::limits::Limits;

/// Settings that hold for all responses of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Header fields of every response.
    pub headers: Vec<(String, String)>,
    /// The longest head of a request, in bytes; by default that of [`Limits::default`]. The request line has
    /// at most 8 KiB of it; a single field may take all the rest. It should be at most
    /// [`Limits::inbox_bytes_max`]: otherwise a client with a longer head is disconnected without a response.
    pub head_bytes_max: u32,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig { headers: Vec::new(), head_bytes_max: Limits::default().head_bytes_max }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The directory cannot be opened.
    Root(PathBuf, io::Error),
    /// A directory that links may lead into cannot be opened.
    Follow(PathBuf, io::Error),
    /// A header field that cannot be sent, or that the server itself decides on.
    Header(String),
    /// A file that is not beneath the root.
    Path(String),
    /// The name of a charset that is not valid.
    Charset(String),
    /// The users and passwords of a site.
    Auth(String),
    /// An ending of file names and its media type, one of which is not valid.
    Type(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Root(root, error) => write!(f, "cannot serve {}: {error}", root.display()),
            ConfigError::Follow(path, error) => {
                write!(f, "cannot follow links into {}: {error}", path.display())
            }
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
            ConfigError::Auth(reason) => f.write_str(reason),
            ConfigError::Charset(charset) => write!(f, "{charset:?} is not the name of a charset"),
            ConfigError::Type(entry) => {
                write!(f, "{entry:?} is not an extension with a media type, such as .wasm=application/wasm")
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Root(_, error) | ConfigError::Follow(_, error) => Some(error),
            ConfigError::Header(_)
            | ConfigError::Path(_)
            | ConfigError::Charset(_)
            | ConfigError::Type(_)
            | ConfigError::Auth(_) => None,
        }
    }
}

/// Fields that handlers set: a second one from the configuration could contradict them.
const DECIDED_BY_HANDLERS: [&str; 9] = [
    "accept-ranges",
    "allow",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "location",
];

/// The fields of every response, as lines.
pub(crate) fn service_lines(fields: &[(String, String)]) -> Result<String, ConfigError> {
    let mut lines = String::new();
    for (name, value) in fields {
        if DECIDED_BY_HANDLERS.iter().any(|decided| decided.eq_ignore_ascii_case(name)) {
            return Err(ConfigError::Header(format!("{name}: {}", value.trim())));
        }
        push_checked(&mut lines, name, value)?;
    }
    Ok(lines)
}

/// Whether a service may send this field with every response.
#[cfg(feature = "cli")]
pub(crate) fn is_service_field(name: &str, value: &str) -> bool {
    service_lines(&[(name.to_owned(), value.to_owned())]).is_ok()
}

/// Whether it can be the value of a field.
#[cfg(feature = "cli")]
pub(crate) fn is_field_value(value: &str) -> bool {
    is_sendable("Cache-Control", value.trim())
}

/// Whether it can be the charset of text files; empty for none.
pub(crate) fn is_charset(name: &str) -> bool {
    name.bytes().all(is_token)
}

/// Whether it can be the name of a file beneath the directory of a site. It counts as it stands: a name with
/// a percent sign is that name.
pub(crate) fn is_file_name(name: &str) -> bool {
    match target::parse(format!("/{name}").as_bytes()) {
        Ok(RequestTarget::Path(path)) => {
            path.file() == name.as_bytes() && !path.is_directory() && !path.escaped_slash
        }
        _ => false,
    }
}

/// Adds a field as a line, if it can be sent.
pub(crate) fn push_checked(lines: &mut String, name: &str, value: &str) -> Result<(), ConfigError> {
    let value = value.trim();
    if !is_sendable(name, value) {
        return Err(ConfigError::Header(format!("{name}: {value}")));
    }
    push_line(lines, name, value);
    Ok(())
}
