//! The configuration of a site, and its checked form, which is made before the first client connects.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::auth::{Auth, AuthConfig};
use super::super::config::{ConfigError, is_charset, is_file_name, push_checked, service_lines};
use super::etag::Hashes;
use super::media::MediaTypes;
use super::open_files::{OpenFiles, open_files_max};
use crate::sys::files::Links;
use crate::sys::process::descriptors_max;
use crate::sys::root::Root;

/// How a directory is served. [`FilesConfig::new`] has defaults for a usual site.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // they are independent of each other
pub struct FilesConfig {
    /// The directory. Nothing outside it is ever served.
    pub root: PathBuf,
    /// Files that stand for their directory, the first that exists.
    pub index: Vec<String>,
    /// Whether a directory without such a file is listed; else it is forbidden (403).
    pub listing: bool,
    /// Whether a directory can be downloaded as an archive, with all that is below it and would be listed:
    /// `?archive=zip`, `tar` or `tar.zst` after its path. The archive also contains the files of a directory
    /// whose index page hides its listing.
    pub archive: bool,
    /// Whether the `README.md` or `readme.txt` of a directory is shown below its listing.
    pub readme: bool,
    /// The file for all paths that do not exist, with status 200: the page of a single-page application.
    pub fallback: Option<String>,
    /// The page for paths that do not exist, with status 404, if it exists.
    pub not_found: Option<String>,
    /// Whether `/about` answers with `about.html`, and `/about.html` leads there.
    pub clean_urls: bool,
    /// Whether names that begin with a dot are served; else they do not exist (404), but for `.well-known` at
    /// the top (RFC 8615).
    pub hidden: bool,
    /// Whether symbolic links are followed.
    pub links: Links,
    /// Directories outside the root that links may lead into. They have no effect with `Links::Never`.
    pub follow: Vec<PathBuf>,
    /// The charset of text files; empty for none.
    pub charset: String,
    /// Media types by the end of a file's name, such as `(".wasm", "application/wasm")`: the longest end
    /// counts, in any case of its letters, and of two entries the later one.
    pub types: Vec<(String, String)>,
    /// The value of `Cache-Control` with files (RFC 9111, section 5.2).
    pub cache_control: Option<String>,
    /// Header fields of every response, beside those of the service (`HttpConfig::headers`).
    pub headers: Vec<(String, String)>,
    /// The users that may log in; `None` if no password is needed.
    pub auth: Option<AuthConfig>,
    /// How many directories of the process share the memory and descriptors for files, in equal parts. At
    /// least 1.
    pub shares: usize,
}

impl FilesConfig {
    /// The files in `root`: `index.html` stands for its directory, `404.html` for what is missing; no
    /// listings, no names with a dot but `.well-known`, no log.
    pub fn new(root: impl Into<PathBuf>) -> FilesConfig {
        FilesConfig {
            root: root.into(),
            index: vec!["index.html".into()],
            listing: false,
            archive: false,
            readme: false,
            fallback: None,
            not_found: Some("404.html".into()),
            clean_urls: false,
            hidden: false,
            links: Links::default(),
            follow: Vec::new(),
            charset: "utf-8".into(),
            types: Vec::new(),
            cache_control: None,
            headers: Vec::new(),
            auth: None,
            shares: 1,
        }
    }
}

/// A configuration, checked and put into the bytes that are sent.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // as in the configuration
pub(crate) struct Site {
    pub(crate) root: Root,
    /// The name of the root directory, as its listing shows it.
    pub(crate) name: Vec<u8>,
    /// Its open files and directories.
    pub(crate) open_files: Arc<OpenFiles>,
    pub(crate) index: Vec<Vec<u8>>,
    pub(crate) listing: bool,
    pub(crate) archive: bool,
    pub(crate) readme: bool,
    pub(crate) fallback: Option<Vec<u8>>,
    pub(crate) not_found: Option<Vec<u8>>,
    pub(crate) clean_urls: bool,
    pub(crate) hidden: bool,
    pub(crate) types: MediaTypes,
    /// The line `Cache-Control`, or nothing.
    pub(crate) cache_control: String,
    /// The lines of the fields of every response, or nothing.
    pub(crate) fields: String,
    pub(crate) auth: Option<Auth>,
    /// The hashes of its files.
    pub(crate) hashes: Hashes,
    /// The sites of the process share memory and descriptors in this many equal parts; this site has one
    /// part.
    pub(crate) shares: usize,
}

impl Site {
    pub(crate) fn new(config: FilesConfig) -> Result<Site, ConfigError> {
        let FilesConfig {
            root, index, listing, archive, fallback, not_found, hidden, links, charset, ..
        } = config;
        let file = |name: String| {
            if is_file_name(&name) { Ok(name.into_bytes()) } else { Err(ConfigError::Path(name)) }
        };
        if !is_charset(&charset) {
            return Err(ConfigError::Charset(charset));
        }
        let mut cache_control = String::new();
        if let Some(value) = config.cache_control {
            push_checked(&mut cache_control, "Cache-Control", &value)?;
        }
        if let Some(file) = config.auth.as_ref().and_then(|auth| auth.file.as_deref()) {
            for served in std::iter::once(&root).chain(&config.follow) {
                keep_private(file, served, hidden)?;
            }
        }
        let follow = config.follow.into_iter().filter(|_| links != Links::Never);
        let open = |path: PathBuf| Root::open(&path, links).map_err(|error| ConfigError::Follow(path, error));
        let followed = follow.map(open).collect::<Result<Vec<_>, _>>()?;
        let shares = config.shares.max(1);
        let open_files_max = descriptors_max().map_or(usize::MAX, open_files_max);
        let open_files = OpenFiles::new((open_files_max / shares).max(1));
        Ok(Site {
            name: name_of(&root),
            open_files,
            index: index.into_iter().map(file).collect::<Result<_, _>>()?,
            listing,
            archive,
            readme: config.readme,
            fallback: fallback.map(file).transpose()?,
            not_found: not_found.map(file).transpose()?,
            clean_urls: config.clean_urls,
            hidden,
            types: MediaTypes::new(&config.types, &charset).map_err(ConfigError::Type)?,
            cache_control,
            fields: service_lines(&config.headers)?,
            auth: config.auth.map(Auth::new).transpose()?,
            hashes: Hashes::new(shares),
            shares,
            root: Root::open(&root, links)
                .map_err(|error| ConfigError::Root(root, error))?
                .following(followed),
        })
    }
}

/// Refuses a file of users that clients could download.
fn keep_private(file: &Path, root: &Path, hidden: bool) -> Result<(), ConfigError> {
    let (Ok(found), Ok(root)) = (file.canonicalize(), root.canonicalize()) else { return Ok(()) };
    let Ok(below) = found.strip_prefix(&root) else { return Ok(()) };
    let is_hidden = below.iter().any(|name| name.as_bytes().starts_with(b".") && name != ".well-known");
    if is_hidden && !hidden {
        return Ok(());
    }
    let file = file.display();
    Err(ConfigError::Auth(format!(
        "{file} lies in the served directory, where clients could download it; move it elsewhere"
    )))
}

/// The last component of a path, if need be of where it leads.
fn name_of(root: &Path) -> Vec<u8> {
    let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let name = |path: &Path| path.file_name().map(|name| name.as_bytes().to_vec());
    // `..` has no name, and neither has `/`.
    let resolved = || name(&absolute.canonicalize().ok()?);
    name(&absolute).or_else(resolved).unwrap_or_else(|| b"/".to_vec())
}
