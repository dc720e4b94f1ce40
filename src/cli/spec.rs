//! The arguments of `oneloop serve`: `DIR[@ADDR]` or `SERVICE[=ARG][@ADDR]`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;

use clap::Arg;

use super::Failure;
use super::typed_command::{TypedCommand, is_flag_of_serve};
use super::words::{closest, quoted};
use crate::services::http::{Mount, MountError};
use crate::services::{Argument, ServiceError, ServiceName};
use crate::sys::Address;

/// One service and where it listens.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) service: ServiceName,
    /// What follows the `=`, or the directory alone.
    pub(super) argument: Option<String>,
    /// The requests of a site.
    pub(super) mount: Mount,
    /// What a site has in place of the flags.
    pub(super) options: Vec<SiteOption>,
    /// `None`: a socket of the supervisor, or what `--address`, `--port` and `--lan` give.
    pub(super) address: Option<Address>,
    /// The argument as it was typed.
    pub(super) typed: String,
    /// The same without `@ADDR`.
    pub(super) place: String,
}

/// Why a word is not a DIR or SERVICE, and what to write in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpecError {
    what: String,
    correction: Option<Correction>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Correction {
    Word(String),
    /// This word, or the other one.
    EitherWord(String, String),
    /// Options for this address, and this word, if there is one.
    Address(Option<String>, String),
}

impl SpecError {
    fn new(what: String, word: impl Into<String>) -> SpecError {
        SpecError { what, correction: Some(Correction::Word(word.into())) }
    }

    /// The message, with the command `typed` where `word` is corrected.
    pub(super) fn message(&self, word: &str, typed: &TypedCommand) -> String {
        let corrected = match &self.correction {
            None => None,
            Some(Correction::Word(new) | Correction::EitherWord(new, _)) => Some(replaced(typed, word, new)),
            Some(Correction::Address(new, address)) => Some(at_address(typed, word, new.as_deref(), address)),
        };
        let corrected = corrected.map(|command| format!(": {command}")).unwrap_or_default();
        let other = match &self.correction {
            Some(Correction::EitherWord(_, other)) => Some(replaced(typed, word, other)),
            _ => None,
        };
        let other = other.filter(TypedCommand::is_valid).map(|command| format!(", or: {command}"));
        format!("{}{corrected}{}", self.what, other.unwrap_or_default())
    }
}

/// The command with `new` in place of the argument `word`.
pub(super) fn replaced(typed: &TypedCommand, word: &str, new: &str) -> TypedCommand {
    let mut changes = vec![typed.clone().with_argument(word, new)];
    let place = |word: &str| {
        let Spec { argument, mount, .. } = word.parse().ok()?;
        Some((Path::new(&argument?).canonicalize().ok()?, mount))
    };
    let found = place(new).filter(|_| !changes[0].is_valid());
    let others = || typed.arguments().into_iter().filter(|other| *other != word);
    if found.is_some() && others().any(|other| place(other) == found) {
        changes.push(typed.clone().without_argument(word));
    } else if found.is_some() && !new.contains('@') {
        // Another directory is on its port.
        changes.push(typed.clone().with_argument(word, &format!("{new}@8001")));
    }
    TypedCommand::first_valid(changes).unwrap_or_else(|| typed.clone())
}

/// The command with options for `address`, and with `new` in place of the argument `word`.
pub(super) fn at_address(typed: &TypedCommand, word: &str, new: Option<&str>, address: &str) -> TypedCommand {
    let left = match new {
        Some(new) => typed.clone().with_argument(word, new),
        None => typed.clone().without_argument(word),
    };
    let port = |port: &str| left.clone().with("port", port);
    let mut changes = Vec::new();
    match address.parse::<u16>() {
        Ok(_) => changes.extend((!left.has("port")).then(|| port(address))),
        Err(_) if left.has("lan") => {
            changes.extend(address.rsplit_once(':').map(|(_, number)| port(number)));
        }
        Err(_) => changes.push(left.clone().with("address", address)),
    }
    // Where other services have addresses of their own.
    changes.extend(new.map(|new| typed.clone().with_argument(word, &format!("{new}@{address}"))));
    changes.push(left);
    TypedCommand::first_valid(changes).unwrap_or_else(|| typed.clone())
}

/// `DIR:PORT` or `DIR:ADDR`, as other programs write it; the example of a port for one that is none.
pub(super) fn directory_with_address(text: &str) -> Option<(&str, &str)> {
    let splits = text.match_indices(':').map(|(at, _)| (&text[..at], &text[at + 1..]));
    let mut directories = splits.filter(|(dir, _)| Path::new(dir).is_dir());
    directories.find_map(|(dir, address)| {
        let is_number = !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_digit());
        match address_of(address, ServiceName::Http.default_port()) {
            Ok(_) => Some((dir, address)),
            Err(_) if is_number => Some((dir, "8080")),
            Err(_) => None,
        }
    })
}

/// An address whose port is too large, with a port that is valid.
pub(super) fn with_valid_port(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let valid = if host.is_empty() { "8080".to_owned() } else { format!("{host}:8080") };
    (is_number && port.parse::<u16>().is_err() && address_of(&valid, 0).is_ok()).then_some(valid)
}

impl From<String> for SpecError {
    fn from(what: String) -> SpecError {
        SpecError { what, correction: None }
    }
}

impl std::error::Error for SpecError {}

/// As if nothing else had been typed.
impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message("", &TypedCommand::new(&["serve".to_owned()])))
    }
}

/// A setting of one site: `NAME` or `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SiteOption {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

impl SiteOption {
    /// The option with its comma, as it is typed.
    pub(super) fn as_typed(&self) -> String {
        let value =
            self.value.as_ref().map_or_else(String::new, |value| format!("={}", value.replace(',', ",,")));
        format!(",{}{value}", self.name)
    }

    /// Whether it stands for this flag: `links` for `no-links`, too.
    pub(super) fn is_for(&self, flag: &Arg) -> bool {
        let long = flag.get_long().unwrap_or_default();
        let aliases = flag.get_visible_aliases().unwrap_or_default();
        self.name == long || long.strip_prefix("no-") == Some(&self.name) || aliases.contains(&&*self.name)
    }

    /// Whether it turns this flag on.
    pub(super) fn switches(&self, flag: &str) -> Result<bool, Failure> {
        let is_on = match self.value.as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(value) => {
                let (name, value) = (&self.name, value.escape_debug());
                return Err(Failure::Usage(format!(
                    "the site option {name}={value}: write {name}=on or {name}=off"
                )));
            }
        };
        Ok(is_on == (self.name == flag))
    }

    pub(super) fn is_unknown<'a>(&self, flags: impl Iterator<Item = &'a str>) -> String {
        let names: Vec<&str> = flags.map(|flag| flag.strip_prefix("no-").unwrap_or(flag)).collect();
        let name = self.name.escape_debug();
        if is_flag_of_serve(&self.name) {
            let value = self.value.as_deref().map(|value| format!(" {}", quoted(value)));
            return format!(
                "\"{name}\" holds for all sites, not for one; write it as a flag: --{name}{}",
                value.unwrap_or_default()
            );
        }
        let meant = match closest(&self.name, names.iter().copied()) {
            Some(known) => format!("did you mean {known}?"),
            None => format!(
                "the options are {}; in a directory's name, write two commas for one",
                names.join(", ")
            ),
        };
        format!("unknown site option \"{name}\"; {meant}")
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let name = text.split(['=', '@']).next().unwrap_or_default().parse::<ServiceName>();
        let spec = match (name, text.split_once('=')) {
            (Ok(service), Some((_, rest))) if service.argument() == Argument::Directory => {
                DirectoryForm { prefix: &format!("{service}="), service }.parse(rest)
            }
            // A directory with the name of a service is written ./NAME.
            (Err(_), _) if begins_with_directory(text) => {
                DirectoryForm { prefix: "", service: ServiceName::Http }.parse(text)
            }
            _ => plain(text),
        }?;
        Ok(Spec { typed: text.to_owned(), ..spec })
    }
}

/// Whether the text, or a part of it before an `@` or a comma, is an existing directory.
fn begins_with_directory(text: &str) -> bool {
    let parts = text.match_indices(['@', ',']).map(|(at, _)| &text[..at]);
    parts.chain([text]).any(|part| Path::new(part).is_dir())
}

/// How a directory is written: after `http=`, or alone.
struct DirectoryForm<'a> {
    prefix: &'a str,
    service: ServiceName,
}

impl DirectoryForm<'_> {
    /// `[//HOST][/PATH:]DIR[,OPTION...][@ADDR]`. DIR may contain `@`: if what is before an `@`, or all of it,
    /// names an existing directory, that is DIR; otherwise DIR ends at the last `@` before a valid address.
    fn parse(&self, text: &str) -> Result<Spec, SpecError> {
        let port = self.service.default_port();
        if text.is_empty() || text.starts_with('@') && !Path::new(text).exists() {
            return Err(SpecError::new(
                format!("the directory is missing after {}; for example", self.prefix),
                format!("{}DIR", self.prefix),
            ));
        }
        let whole = self.without_address(text);
        let exists = |spec: &Spec| spec.argument.as_ref().is_some_and(|dir| Path::new(dir).is_dir());
        // An `@` after the directory is not part of its name.
        if let Ok(spec) = &whole
            && exists(spec)
            && (spec.options.is_empty() || !text.contains('@'))
        {
            return whole;
        }
        // The path of a Unix socket may contain `@`, too.
        let unix = text.rfind("@unix:");
        let splits = unix.into_iter().chain(text.rmatch_indices('@').map(|(at, _)| at));
        let splits: Vec<_> = splits.map(|at| (&text[..at], &text[at + 1..])).collect();
        let valid = splits.iter().filter_map(|(dir, address)| Some((*dir, address_of(address, port).ok()?)));
        let mut sites = valid.map(|(dir, address)| {
            self.without_address(dir).map(|spec| Spec { address: Some(address), ..spec })
        });
        let first = sites.next();
        let found = first.iter().cloned().chain(sites).find(|site| site.as_ref().is_ok_and(exists));
        if let Some(site) = found.or(first) {
            return site;
        }
        match splits.first() {
            // The `@` is part of a path.
            None => whole,
            Some((_, address)) if address.contains('/') && !address.starts_with("unix:") => whole,
            // As in node_modules/@scope: behind a slash, a name is more likely than an address.
            Some((parent, name)) if parent.ends_with('/') && is_name(name) => {
                Err(self.missing_below(parent, name))
            }
            Some((dir, address)) => {
                let error = address_of(address, port).err().unwrap_or_default();
                let example = format!("{}{dir}@127.0.0.1:{port}", self.prefix);
                Err(SpecError::new(format!("{error}; for example"), example))
            }
        }
    }

    /// The error for a directory that does not exist, whose name begins with an `@`. Where its parent exists,
    /// that may be meant, with an address.
    fn missing_below(&self, parent: &str, name: &str) -> SpecError {
        let (path, options) =
            name.split_once(',').map_or((name, ""), |(path, _)| (path, &name[path.len()..]));
        let shown = format!("{parent}@{path}");
        let what = format!("cannot serve {}: no such directory", shown.escape_debug());
        let at_parent = format!("{}{parent}@127.0.0.1:{}", self.prefix, self.service.default_port());
        let has_parent = self
            .without_address(parent)
            .is_ok_and(|spec| spec.argument.is_some_and(|directory| Path::new(&directory).is_dir()));
        match closest_directory(&shown) {
            Some(known) => {
                let what = format!("{what}; did you mean {}? Write", known.escape_debug());
                let word = format!("{}{known}{options}", self.prefix);
                if has_parent {
                    SpecError { what, correction: Some(Correction::EitherWord(word, at_parent)) }
                } else {
                    SpecError::new(what, word)
                }
            }
            None if has_parent => SpecError::new(
                format!("{what}; to serve {} at an address, write", parent.escape_debug()),
                at_parent,
            ),
            None => SpecError::new(
                format!("{what}; name one that exists"),
                format!("{}DIR{options}", self.prefix),
            ),
        }
    }

    /// `[//HOST][/PATH:]DIR[,OPTION...]`. What names an existing directory is DIR, whatever characters it
    /// has.
    fn without_address(&self, text: &str) -> Result<Spec, SpecError> {
        let service = self.service;
        let spec = |mount, dir: String, options| Spec {
            service,
            argument: Some(dir),
            mount,
            options,
            address: None,
            typed: String::new(),
            place: format!("{}{text}", self.prefix),
        };
        if Path::new(text).is_dir() {
            return Ok(spec(Mount::ROOT, text.to_owned(), Vec::new()));
        }
        let (mount, rest) = self.mounted(text)?;
        if Path::new(rest).is_dir() {
            return Ok(spec(mount, rest.to_owned(), Vec::new()));
        }
        let mut pieces = pieces(rest).into_iter();
        let dir = pieces.next().unwrap_or_default();
        if dir.is_empty() {
            let before = &text[..text.len() - rest.len()];
            return Err(SpecError::new(
                format!(
                    "the directory is missing after {}{}; for example",
                    self.prefix,
                    before.escape_debug()
                ),
                format!("{}{before}DIR", self.prefix),
            ));
        }
        let options = pieces.map(|piece| match piece.split_once('=') {
            Some((name, value)) => SiteOption { name: name.trim().to_owned(), value: Some(value.to_owned()) },
            None => SiteOption { name: piece.trim().to_owned(), value: None },
        });
        Ok(spec(mount, dir, options.collect()))
    }

    /// The requests that a site is for (`//HOST:`, `//HOST/PATH:` or `/PATH:`; without them all requests),
    /// and the rest of the text. An `@` in PATH must be escaped: otherwise it begins an address.
    fn mounted<'t>(&self, text: &'t str) -> Result<(Mount, &'t str), SpecError> {
        let service = self.service;
        // Alone, a directory is what it looks like.
        if self.prefix.is_empty() {
            return Ok((Mount::ROOT, text));
        }
        let (host, behind) = match text.strip_prefix("//") {
            Some(named) => {
                let literal = if named.starts_with('[') { named.find(']').unwrap_or(0) } else { 0 };
                let end = named[literal..].find(['/', ':']).map_or(named.len(), |at| literal + at);
                (Some(&named[..end]), &named[end..])
            }
            None => (None, text),
        };
        let Some((path, rest)) = behind
            .split_once(':')
            .filter(|(path, _)| path.is_empty() || path.starts_with('/') && !path.contains('@'))
        else {
            return match host {
                None => Ok((Mount::ROOT, text)),
                Some(_) => Err(SpecError::new(
                    format!("the directory is missing after {service}={}; for example", text.escape_debug()),
                    format!("{service}={}:DIR", text.trim_end_matches('/')),
                )),
            };
        };
        if host.is_none() && path.is_empty() {
            return Ok((Mount::ROOT, text));
        }
        let path = if path.is_empty() { "/" } else { path };
        let mount = Mount::new(host, path).map_err(|error| match error {
            MountError::Host => SpecError::new(
                format!(
                    "\"{}\" is not the name of a host; write a name or an address, without a port or pattern",
                    host.unwrap_or_default().escape_debug()
                ),
                format!("{service}=//example.org:{rest}"),
            ),
            MountError::Path => SpecError::new(
                format!("\"{}\" is not the path of a URL; for example", path.escape_debug()),
                format!("{service}=/docs:{rest}"),
            ),
        })?;
        Ok((mount, rest))
    }
}

/// Whether the text behind an `@` is a name, and not an address with a mistake in it.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(':') && !text.bytes().all(|byte| b"0123456789.*[]".contains(&byte))
}

/// The pieces between commas; a doubled comma stands for a comma in the text.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match pieces.last_mut() {
            Some(piece) if char != ',' || chars.next_if_eq(&',').is_some() => piece.push(char),
            _ => pieces.push(String::new()),
        }
    }
    pieces
}

/// `SERVICE[=ARG][@ADDR]`, where the address begins at the first `@`.
fn plain(text: &str) -> Result<Spec, SpecError> {
    let (word, address) = match text.split_once('@') {
        Some((word, address)) => (word, Some(address)),
        None => (text, None),
    };
    let (name, argument) = match word.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (word, None),
    };
    let Ok(service) = name.parse::<ServiceName>() else { return Err(meant(text, word, address)) };
    if argument.is_some() && service.argument() == Argument::Nothing {
        return Err(SpecError::new(format!("{}; write", ServiceError::NoArgument(service)), name));
    }
    let port = service.default_port();
    let address = address.map(|text| address_of(text, port)).transpose().map_err(|error| {
        SpecError::new(format!("{error}; for example"), format!("{word}@127.0.0.1:{port}"))
    })?;
    Ok(Spec {
        service,
        argument: argument.map(str::to_owned),
        mount: Mount::ROOT,
        options: Vec::new(),
        address,
        typed: String::new(),
        place: word.to_owned(),
    })
}

/// The error for a word that does not name a service, with what the user probably meant.
fn meant(text: &str, service: &str, address: Option<&str>) -> SpecError {
    let name = service.split('=').next().unwrap_or(service);
    let word = text.escape_debug();
    let behind = address.map_or_else(String::new, |address| format!("@{address}"));
    let at = |what: String, dir: Option<&str>, address: &str| SpecError {
        what,
        correction: Some(Correction::Address(dir.map(str::to_owned), address.to_owned())),
    };
    if let Some((dir, address)) =
        directory_with_address(text).filter(|(dir, _)| dir.parse::<ServiceName>().is_err())
    {
        let what = if text.ends_with(address) {
            format!("\"{word}\" is not a directory; to serve {} there, write", dir.escape_debug())
        } else {
            format!("\"{word}\" is not a directory, and a port is a number from 0 to 65535; for example")
        };
        return at(what, Some(dir), address);
    }
    if text.starts_with('/')
        && text.contains(':')
        && let Ok(site) = (DirectoryForm { prefix: "http=", service: ServiceName::Http }).parse(text)
        && site.mount != Mount::ROOT
    {
        let what = format!("\"{word}\" is not a directory; to serve one at a path or for a host, write");
        return SpecError::new(what, format!("http={text}"));
    }
    if let Some((_, place)) = text.split_once("://") {
        let host = place.split('/').next().unwrap_or(place);
        let what = format!("\"{word}\" is a URL, not a directory or service; write");
        if let Some((dir, address)) = directory_with_address(host) {
            return at(what, Some(&directory_argument(dir)), address);
        }
        if address_of(host, ServiceName::Http.default_port()).is_ok() {
            return at(what, None, host);
        }
        // Not without a directory: that would share the current one.
        let whole = place.trim_end_matches('/');
        let dir = [whole, host].into_iter().find(|dir| Path::new(dir).is_dir());
        return SpecError::new(what, dir.map_or_else(|| "DIR".to_owned(), directory_argument));
    }
    if let Some((known, rest)) =
        service.split_once(':').filter(|(name, _)| name.parse::<ServiceName>().is_ok())
    {
        let rest = if address_of(rest, 0).is_ok() {
            format!("{known}@{rest}")
        } else {
            format!("{known}={rest}{behind}")
        };
        return SpecError::new(format!("\"{word}\" is not a service; write"), rest);
    }
    let bare = text.strip_prefix(':').unwrap_or(text);
    if address_of(bare, ServiceName::Http.default_port()).is_ok() {
        return at(format!("\"{word}\" is an address, not a directory or service; write"), None, bare);
    }
    if let Some(valid) = with_valid_port(text) {
        return at(format!("\"{word}\": a port is a number from 0 to 65535; for example"), None, &valid);
    }
    let path = Path::new(service);
    if path.is_file() {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return SpecError::new(
            format!("\"{word}\" is a file; to share the directory that it is in"),
            format!("{}{behind}", parent.display()),
        );
    }
    let names = ServiceName::ALL.iter().map(|known| known.as_str());
    if name.eq_ignore_ascii_case("https") {
        return SpecError::new(
            format!("unknown service \"{word}\": oneloop has no TLS; write"),
            format!("http{}", &text[name.len()..]),
        );
    }
    // A word with a slash is a path.
    if let Some(known) = closest(name, names.clone()).filter(|_| !name.contains('/')) {
        return SpecError::new(
            format!("unknown service \"{word}\"; did you mean {known}? Write"),
            format!("{known}{}", &text[name.len()..]),
        );
    }
    let (path, options) =
        service.split_once(',').map_or((service, ""), |(path, _)| (path, &service[path.len()..]));
    if let Some(known) = closest_directory(path) {
        return SpecError::new(
            format!("cannot serve {word}: no such directory; did you mean {}? Write", known.escape_debug()),
            format!("{known}{options}{behind}"),
        );
    }
    let dir = format!("DIR{behind}");
    if FOREIGN_COMMANDS.contains(&text) {
        let what = format!("\"{word}\" is not a directory here; serve shares files without it; write");
        return SpecError::new(what, ".");
    }
    if service.contains('/') {
        return SpecError::new(format!("cannot serve {word}: no such directory; name one that exists"), dir);
    }
    let names = names.collect::<Vec<_>>().join(", ");
    SpecError::new(
        format!(
            "\"{word}\" is not a directory here, and no service has that name; the services are {names}; to share a directory"
        ),
        dir,
    )
}

/// Commands of other servers that share a directory.
const FOREIGN_COMMANDS: &[&str] = &["file-server", "file_server", "http-server", "http.server", "static"];

/// Entries of a directory that are compared with a misspelt name at most.
const COMPARED_ENTRIES_MAX: usize = 10_000;

/// The existing directory that `path` probably means.
pub(super) fn closest_directory(path: &str) -> Option<String> {
    let (parent, name) = match path.trim_end_matches('/').rsplit_once('/') {
        Some((parent, name)) => (format!("{parent}/"), name),
        None => (String::new(), path),
    };
    let entries = std::fs::read_dir(if parent.is_empty() { "." } else { &parent }).ok()?;
    let directories = entries.take(COMPARED_ENTRIES_MAX).flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        directories.filter_map(|directory| directory.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let found = closest(name, names.iter().map(String::as_str))?;
    Some(if parent.is_empty() { directory_argument(found) } else { format!("{parent}{found}") })
}

/// A directory as an argument: with `./`, if a service has its name.
pub(super) fn directory_argument(dir: &str) -> String {
    if dir.parse::<ServiceName>().is_ok() { format!("./{dir}") } else { dir.to_owned() }
}

impl Spec {
    /// The service without its address, as an argument.
    pub(super) fn name(&self) -> String {
        match &self.argument {
            Some(directory) if self.mount != Mount::ROOT => {
                format!("{}={}:{directory}", self.service, self.mount)
            }
            Some(directory) if Path::new(directory).is_dir() => directory.clone(),
            Some(argument) => format!("{}={argument}", self.service),
            None => self.service.to_string(),
        }
    }
}

/// An address; a port without an IP address is on loopback, and an IP address without a port has the
/// service's own. A name of a host is not resolved.
pub(super) fn address_of(text: &str, default_port: u16) -> Result<Address, String> {
    parsed_address(text, default_port).map_err(|error| match host_name(text) {
        Some(name) => format!(
            "\"{}\" is the name of a host, which is not resolved here; write an IP address of this machine",
            name.escape_debug()
        ),
        None => error,
    })
}

/// The name of a host in `HOST` or `HOST:PORT`.
fn host_name(text: &str) -> Option<&str> {
    let name = match text.rsplit_once(':') {
        Some((name, port)) => port.parse::<u16>().ok().map(|_| name)?,
        None => text,
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    (is_name
        && name.contains('.')
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !name.starts_with('.'))
    .then_some(name)
}

fn parsed_address(text: &str, default_port: u16) -> Result<Address, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(Address::Tcp((Ipv4Addr::LOCALHOST, port).into()));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(Address::Tcp((ip, default_port).into()));
    }
    // With an interface: fe80::1%eth0.
    if bare.split_once('%').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok()) {
        return format!("[{bare}]:{default_port}")
            .parse()
            .map_err(|error: crate::sys::AddressError| error.to_string());
    }
    if text == "*" || text == "localhost" {
        return format!("{text}:{default_port}")
            .parse()
            .map_err(|error: crate::sys::AddressError| error.to_string());
    }
    text.parse().map_err(|error: crate::sys::AddressError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, SpecError> {
        let spec: Spec = text.parse()?;
        let address = spec.address.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        Ok(format!("{} {address}", spec.service))
    }

    #[test]
    fn a_service_has_the_address_that_was_typed_and_its_own_port_without_one() {
        for (text, expected) in [
            ("echo", "echo -"),
            ("echo@8", "echo 127.0.0.1:8"),
            ("echo@0.0.0.0", "echo 0.0.0.0:7007"),
            ("echo@::1", "echo [::1]:7007"),
            ("echo@[::1]", "echo [::1]:7007"),
            ("echo@*", "echo [::]:7007"),
            ("time@[::1]:7013", "time [::1]:7013"),
            ("http", "http -"),
            ("http=/srv/@me@[::1]:80", "http [::1]:80"),
            ("echo@unix:./a.sock", "echo unix:./a.sock"),
            ("echo@unix:/run/a@b.sock", "echo unix:/run/a@b.sock"),
            ("http=/srv/@me@unix:x@8", "http unix:x@8"),
        ] {
            assert_eq!(shown(text), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn a_missing_directory_whose_name_begins_with_an_at_sign_is_no_wrong_address() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("node_modules");
        std::fs::create_dir_all(parent.join("@scope")).unwrap();
        let parent = parent.display();
        for (text, correction) in [
            (
                format!("http={parent}/@scop"),
                format!(
                    "did you mean {parent}/@scope? Write: oneloop serve http={parent}/@scope, or: oneloop serve http={parent}/@127.0.0.1:8000"
                ),
            ),
            (
                format!("{parent}/@scop,listing=off"),
                format!(
                    "did you mean {parent}/@scope? Write: oneloop serve {parent}/@scope,listing=off, or: oneloop serve {parent}/@127.0.0.1:8000"
                ),
            ),
            (
                format!("http={parent}/@unlike"),
                format!(
                    "to serve {parent}/ at an address, write: oneloop serve http={parent}/@127.0.0.1:8000"
                ),
            ),
            ("http=nowhere/@scop".to_owned(), "name one that exists: oneloop serve http=DIR".to_owned()),
        ] {
            let error = text.parse::<Spec>().unwrap_err();
            let typed = TypedCommand::new(&["serve".to_owned(), text.clone()]);
            let message = error.message(&text, &typed);
            let path = text.trim_start_matches("http=").split(',').next().unwrap_or_default();
            assert_eq!(message, format!("cannot serve {path}: no such directory; {correction}"), "{text}");
        }
        let error = format!("http={parent}/@99999").parse::<Spec>().unwrap_err();
        assert!(error.to_string().contains("\"99999\" is not a valid address"), "{error}");
    }

    /// As it is with `node_modules/@scope/pkg`.
    #[test]
    fn a_directory_may_have_an_at_sign_in_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        for name in ["@scope/pkg", "site@8080", "me@home"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for (text, dir, address) in [
            ("@scope/pkg", "@scope/pkg", None),
            ("@scope/pkg@8080", "@scope/pkg", Some("127.0.0.1:8080")),
            ("@scope/none", "@scope/none", None),
            ("@scope/none@*:80", "@scope/none", Some("[::]:80")),
            ("site@8080", "site@8080", None),
            ("site@8080@81", "site@8080", Some("127.0.0.1:81")),
            ("me@home", "me@home", None),
            ("me@home@[::1]", "me@home", Some("[::1]:8000")),
            ("me@home@unix:./a@b", "me@home", Some("unix:./a@b")),
            ("other@8080", "other", Some("127.0.0.1:8080")),
        ] {
            for prefix in ["http=", ""] {
                if prefix.is_empty() && !folder.path().join(dir).is_dir() {
                    continue;
                }
                let spec: Spec = format!("{prefix}{root}/{text}").parse().unwrap();
                let found = spec.argument.as_deref().map(Path::new);
                assert_eq!(found, Some(folder.path().join(dir).as_path()), "{prefix}{text}");
                assert_eq!(spec.service, ServiceName::Http);
                assert_eq!(
                    spec.address.map(|address| address.to_string()).as_deref(),
                    address,
                    "{prefix}{text}"
                );
            }
        }
    }

    #[test]
    fn a_name_of_a_service_is_that_service_and_a_path_is_a_directory() {
        for text in [".", "./", "..", "/", ".@8080", "/@[::1]:80"] {
            let spec: Spec = text.parse().unwrap();
            assert_eq!(spec.service, ServiceName::Http, "{text}");
            assert_eq!(spec.argument.as_deref(), text.split('@').next(), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("echo")).unwrap();
        let spec: Spec = format!("{}/echo", folder.path().display()).parse().unwrap();
        assert_eq!(spec.service, ServiceName::Http);
        assert_eq!("echo".parse::<Spec>().unwrap().service, ServiceName::Echo);
        assert_eq!("echo@8".parse::<Spec>().unwrap().service, ServiceName::Echo);
    }

    #[test]
    fn an_error_quotes_the_wrong_part_and_shows_what_works() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().display().to_string();
        std::fs::write(folder.path().join("page"), "").unwrap();
        for (text, part, works) in [
            (
                "",
                "\"\" is not a directory here, and no service has that name; the services are message, echo",
                "serve DIR",
            ),
            ("ecko", "unknown service \"ecko\"; did you mean echo?", "serve echo"),
            ("ecko@*:7", "unknown service \"ecko@*:7\"; did you mean echo?", "serve 'echo@*:7'"),
            ("htpp=a@8080", "did you mean http?", "serve http=a@8080"),
            ("HTTP", "did you mean http?", "serve http"),
            ("https@443", "oneloop has no TLS", "serve http@443"),
            ("nginx", "the services are", "serve DIR"),
            ("nginx@*:8080", "the services are", "serve 'DIR@*:8080'"),
            ("sxc", "no such directory; did you mean src? Write", "serve src"),
            ("sorc,listing=off@81", "did you mean src? Write", "serve src,listing=off@81"),
            ("./sorc", "did you mean ./src? Write", "serve ./src"),
            ("/docs:src@81", "to serve one at a path or for a host, write", "serve http=/docs:src@81"),
            ("//example.org:src", "is not a directory", "serve http=//example.org:src"),
            (&format!("{dir}@99999"), "a port is a number", &format!("serve {dir}@127.0.0.1:8000")),
            (&format!("{dir}/page"), "is a file; to share the directory", &format!("serve {dir}")),
            (
                &format!("{dir}/page@*:80"),
                "is a file; to share the directory",
                &format!("serve '{dir}@*:80'"),
            ),
            ("Cargo.toml", "is a file; to share the directory that it is in", "serve ."),
            ("no/such", "cannot serve no/such: no such directory", "serve DIR"),
            ("8080", "\"8080\" is an address", "serve --port 8080"),
            (":8080", "is an address", "serve --port 8080"),
            ("*:80", "is an address", "serve --address '*:80'"),
            ("http://127.0.0.1:81/x", "is a URL", "serve --address 127.0.0.1:81"),
            ("http://example.org", "is a URL", "serve DIR"),
            ("http://src", "is a URL", "serve src"),
            ("http://src/", "is a URL", "serve src"),
            ("http://src/index.html", "is a URL", "serve src"),
            ("http://src/cli", "is a URL", "serve src/cli"),
            ("http://src:8080/x", "is a URL", "serve src --port 8080"),
            ("file:///etc", "is a URL", "serve /etc"),
            ("src:8080", "is not a directory; to serve src there, write", "serve src --port 8080"),
            (
                "src:99999",
                "is not a directory, and a port is a number from 0 to 65535",
                "serve src --port 8080",
            ),
            ("99999", "a port is a number from 0 to 65535", "serve --port 8080"),
            ("*:99999", "a port is a number from 0 to 65535", "serve --address '*:8080'"),
            ("./echo", "no such directory", "serve DIR"),
            ("src:*:80", "is not a directory; to serve src there, write", "serve src --address '*:80'"),
            ("src/cli:unix:./s", "to serve src/cli there, write", "serve src/cli --address unix:./s"),
            ("/etc:8080", "is not a directory; to serve /etc there, write", "serve /etc --port 8080"),
            ("echo:7", "\"echo:7\" is not a service", "serve echo@7"),
            ("http:site", "\"http:site\" is not a service", "serve http=site"),
            ("http=", "the directory is missing", "serve http=DIR"),
            ("http=@8080", "the directory is missing", "serve http=DIR"),
            (
                "http=site@127.0.0.1:99999",
                "a port is a number from 0 to 65535",
                "serve http=site@127.0.0.1:8000",
            ),
            ("http=site@", "\"\" is not a valid address", "serve http=site@127.0.0.1:8000"),
            (
                "echo@example.org",
                "\"example.org\" is the name of a host, which is not resolved",
                "serve echo@127.0.0.1:7007",
            ),
            ("echo@99999", "\"99999\" is not a valid address: a port is", "serve echo@127.0.0.1:7007"),
            ("echo@127.0.0.1:x", "a port is a number", "serve echo@127.0.0.1:7007"),
            ("echo@", "is not a valid address", "serve echo@127.0.0.1:7007"),
            ("echo@unix:@x", "\"unix:@x\" is not a valid address: ", "serve echo@127.0.0.1:7007"),
        ] {
            let error = shown(text).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.ends_with(&format!(": oneloop {works}")),
                "{text}: {error}"
            );
        }
        let error = shown("echo=x").unwrap_err().to_string();
        assert!(error.ends_with("what follows it; write: oneloop serve echo"), "{error}");
    }
}
