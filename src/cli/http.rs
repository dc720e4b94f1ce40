//! The flags of the HTTP service.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Args, Command, FromArgMatches, ValueEnum};

use super::auth::AuthArgs;
use super::spec::{self, SiteOption, Spec, closest_directory};
use super::words::closest;
use super::{Failure, GivenOptions};
use crate::limits::Limits;
use crate::services::ServiceName;
use crate::services::http::{
    ConfigError, Files, FilesConfig, Http, HttpConfig, MediaTypes, Router, is_charset, is_field_value,
    is_file_name, is_service_field,
};
use crate::sys::files::Links;
use crate::telemetry::AccessFormat;
use crate::time::ServerClock;

/// What holds for all sites of the server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(super) struct HttpArgs {
    #[command(flatten)]
    pub(super) site: SiteArgs,
    /// The format of the access log
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    access_format: AccessFormatArg,
}

/// The server that a service is a part of.
pub(super) struct ServerContext<'a> {
    pub(super) given: &'a GivenOptions,
    pub(super) limits: &'a Limits,
    /// How many directories it serves.
    pub(super) sites: usize,
}

/// Settings of a site: each flag is also an option of a single site.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
#[allow(clippy::struct_excessive_bools)] // each is a flag
pub(super) struct SiteArgs {
    /// Do not list directories without an index file; answer 403 Forbidden. With --fallback no directory is
    /// listed
    #[arg(long)]
    no_listing: bool,
    /// Offer directories as archives: ?archive=zip, ?archive=tar or ?archive=tar.zst after the path of a
    /// directory downloads it with everything below it
    #[arg(long)]
    archive: bool,
    /// Show the README.md or readme.txt of a directory below its listing. Markdown becomes HTML; HTML in it
    /// is shown as text
    #[arg(long)]
    readme: bool,
    /// The file to send for its directory; may be repeated, the first that exists is sent
    #[arg(long, value_name = "FILE", default_value = "index.html", value_parser = file_name)]
    index: Vec<String>,
    /// The file to send for paths that do not exist and directories without an index file, as single-page
    /// applications need it
    #[arg(long, visible_alias = "spa", value_name = "FILE", value_parser = file_name)]
    fallback: Option<String>,
    /// The page to send, with status 404, for paths that do not exist, if the directory has this file
    #[arg(long, value_name = "FILE", default_value = "404.html", value_parser = file_name)]
    not_found: String,
    /// Serve pages without their extension: /about answers with about.html, and /about.html redirects to
    /// /about
    #[arg(long)]
    clean_urls: bool,
    /// Also serve names that begin with a dot; without it, only .well-known/ at the top is served
    #[arg(long)]
    hidden: bool,
    /// Do not follow symbolic links; without it, links that stay inside the directory are followed
    #[arg(long)]
    no_links: bool,
    /// A directory outside the shared one that symbolic links may lead into; may be repeated
    #[arg(long, value_name = "DIR")]
    follow: Vec<PathBuf>,
    /// The charset of text files; empty for none
    #[arg(long, value_name = "NAME", default_value = "utf-8", value_parser = charset)]
    charset: String,
    /// The media type of files whose names end with EXT, such as ".wasm=application/wasm"; may be repeated
    #[arg(long = "type", value_name = "EXT=TYPE", value_parser = media_type)]
    types: Vec<(String, String)>,
    /// The value of Cache-Control for files, such as "max-age=3600"
    #[arg(long, value_name = "VALUE", value_parser = field_value)]
    cache_control: Option<String>,
    /// A header field for every response, as "Name: value"; may be repeated. Those of a site
    /// are sent in addition to those of all sites
    #[arg(long, value_name = "FIELD", value_parser = field)]
    header: Vec<(String, String)>,
    #[command(flatten)]
    auth: AuthArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AccessFormatArg {
    /// Client, time, request, status and bytes
    Common,
    /// The same, with referrer and user agent
    Combined,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as \"Name: value\"")?;
    let (name, value) = (name.trim(), value.trim());
    if !is_service_field(name, value) {
        return Err(
            "it is not valid, or the server decides on it (Cache-Control has a flag of its own)".into()
        );
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn field_value(text: &str) -> Result<String, String> {
    is_field_value(text).then(|| text.to_owned()).ok_or_else(|| "it has control characters".to_owned())
}

fn charset(text: &str) -> Result<String, String> {
    is_charset(text).then(|| text.to_owned()).ok_or_else(|| "it is not the name of a charset".to_owned())
}

fn file_name(text: &str) -> Result<String, String> {
    let wrong = || "it is not the name of a file in the served directory".to_owned();
    is_file_name(text).then(|| text.to_owned()).ok_or_else(wrong)
}

/// The dot may be left out.
fn media_type(text: &str) -> Result<(String, String), String> {
    let (suffix, media_type) = text.split_once('=').ok_or("write it as .wasm=application/wasm")?;
    let suffix = if suffix.starts_with('.') { suffix.to_owned() } else { format!(".{suffix}") };
    let entry = (suffix, media_type.trim().to_owned());
    match MediaTypes::new(std::slice::from_ref(&entry), "") {
        Ok(_) => Ok(entry),
        Err(_) => Err("not an extension with a media type".to_owned()),
    }
}

impl HttpArgs {
    /// How lines of the access log look.
    pub(super) fn access_format(&self) -> AccessFormat {
        match self.access_format {
            AccessFormatArg::Common => AccessFormat::Common,
            AccessFormatArg::Combined => AccessFormat::Combined,
        }
    }

    /// The service of a listener with these sites.
    pub(super) fn open(
        &self,
        sites: &[Spec],
        server: &ServerContext<'_>,
    ) -> Result<Http<Router<Files>>, Failure> {
        // For all sites, so that there is one prompt for the password.
        self.site.auth.config()?;
        let mut routes = Vec::new();
        for spec in sites {
            let root = Path::new(spec.argument.as_deref().unwrap_or("."));
            let site = self.site.with_options(&spec.options, server.given)?;
            if site.no_links && !site.follow.is_empty() {
                return Err(Failure::Usage(
                    "--follow has no effect with --no-links; leave out one of them".into(),
                ));
            }
            let headers = self.site.own_headers(&site, spec)?;
            let config = FilesConfig { shares: server.sites, headers, ..site.config(root)? };
            let files = Files::new(config).map_err(|error| not_served(error, spec, server.given))?;
            if files.lacks_fallback(ServerClock::start().now()) {
                let (fallback, root) = (site.fallback.as_deref().unwrap_or_default(), root.display());
                log::warn!(
                    "--fallback {fallback:?} is not a file that can be served in {root}; paths that do not exist get 404 until it is"
                );
            }
            routes.push((spec.mount.clone(), files));
        }
        let config =
            HttpConfig { headers: self.site.header.clone(), head_bytes_max: server.limits.head_bytes_max };
        Http::with_config(Router::of(routes), &config).map_err(Failure::usage)
    }
}

impl SiteArgs {
    /// Whether directories are listed. The page of a single-page application takes the place of listings.
    pub(super) fn lists(&self) -> bool {
        !self.no_listing && self.fallback.is_none()
    }

    /// An error if a password is on the command line, or if an option of a site is unknown or has a wrong
    /// value.
    pub(super) fn check(&self, specs: &[Spec], given: &GivenOptions) -> Result<(), Failure> {
        self.auth.check(&given.command)?;
        if given.has("auth-failures") && !self.auth.are_given() {
            return Err(Failure::Usage(format!(
                "--auth-failures has no effect without --auth or --auth-file; leave it out: {}",
                given.command.clone().without("auth-failures")
            )));
        }
        if let Some((directory, error)) = self.follow.iter().find_map(|path| Some((path, not_opened(path)?)))
        {
            let typed = directory.to_string_lossy();
            return Err(Failure::Usage(format!(
                "--follow {}: {error}; name a directory that exists: {}",
                directory.display(),
                given.command.clone().with_value("follow", &typed, "DIR")
            )));
        }
        if self.no_links && !self.follow.is_empty() {
            return Err(Failure::Usage(format!(
                "--follow has no effect with --no-links; leave it out: {}",
                given.command.clone().without("follow")
            )));
        }
        let options = specs.iter().flat_map(|spec| spec.options.iter().map(move |option| (spec, option)));
        for (spec, option) in options {
            let with = |option: Option<SiteOption>| self.with_options(option.as_slice(), given);
            let Err(failure) = with(Some(option.clone())) else { continue };
            let Failure::Usage(what) = failure else { return Err(failure) };
            let corrected =
                Self::corrections(option).into_iter().find(|option| with(Some(option.clone())).is_ok());
            let new = corrected.as_ref().map_or_else(String::new, SiteOption::as_typed);
            let typed = spec.typed.replacen(&option.as_typed(), &new, 1);
            let works = spec::replaced(&given.command, &spec.typed, &typed);
            return Err(Failure::Usage(format!("{what}; for example: {works}")));
        }
        Ok(())
    }

    /// What a wrong option of a site may stand for.
    fn corrections(option: &SiteOption) -> Vec<SiteOption> {
        let flags = SiteArgs::augment_args(Command::new("site"));
        let names = flags.get_arguments().filter_map(Arg::get_long);
        let names: Vec<&str> = names.map(|name| name.strip_prefix("no-").unwrap_or(name)).collect();
        let renamed = |name: &str| SiteOption { name: name.to_owned(), ..option.clone() };
        let flag = flags.get_arguments().find(|flag| option.is_for(flag));
        let value = match flag.filter(|flag| flag.get_action().takes_values()) {
            Some(flag) => flag.get_default_values().first().map(|value| value.to_string_lossy().into_owned()),
            None => Some("off".to_owned()),
        };
        let other = value.map(|value| SiteOption { value: Some(value), ..option.clone() });
        closest(&option.name, names).map(renamed).into_iter().chain(other).collect()
    }

    /// These flags, with the options of a site replacing flags of the same name.
    pub(super) fn with_options(
        &self,
        options: &[SiteOption],
        given: &GivenOptions,
    ) -> Result<SiteArgs, Failure> {
        if options.is_empty() {
            return Ok(self.clone());
        }
        // As if the site's options had been typed: flags and options have the same values and messages.
        let flags = SiteArgs::augment_args(Command::new("site").no_binary_name(true));
        let mut words: Vec<OsString> = Vec::new();
        let mut left: Vec<&SiteOption> = options.iter().collect();
        let has_own_users = options.iter().any(|option| option.name.starts_with("auth"));
        for flag in flags.get_arguments() {
            let Some(name) = flag.get_long() else { continue };
            let (own, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|option| option.is_for(flag));
            left = others;
            if !flag.get_action().takes_values() {
                let is_on = own.last().map(|option| option.switches(name)).transpose()?;
                words.extend(is_on.unwrap_or(given.has(name)).then(|| format!("--{name}").into()));
                continue;
            }
            if let Some(bare) = own.iter().find(|option| option.value.is_none()) {
                return Err(Failure::Usage(format!(
                    "the site option {0} needs a value: {0}=VALUE",
                    bare.name
                )));
            }
            let values: Vec<&OsStr> = match &own[..] {
                [] => given.values(name).iter().map(OsString::as_os_str).collect(),
                own => own.iter().filter_map(|option| option.value.as_deref().map(OsStr::new)).collect(),
            };
            let typed = |value: &&OsStr| [OsStr::new(&format!("--{name}=")), value].into_iter().collect();
            words.extend(values.iter().map(typed));
        }
        if let Some(unknown) = left.first() {
            return Err(Failure::Usage(unknown.is_unknown(flags.get_arguments().filter_map(Arg::get_long))));
        }
        let parsed =
            flags.try_get_matches_from(words).and_then(|matches| SiteArgs::from_arg_matches(&matches));
        let site = parsed.map_err(|error| {
            let context = |kind| match error.get(kind) {
                Some(ContextValue::String(text)) => text.as_str(),
                _ => "",
            };
            let flag = context(ContextKind::InvalidArg).split([' ', '=']).next().unwrap_or_default();
            let (name, value) = (flag.trim_start_matches('-'), context(ContextKind::InvalidValue));
            let reason = std::error::Error::source(&error)
                .map_or_else(|| error.kind().to_string(), ToString::to_string);
            Failure::Usage(format!("the site option {name}={}: {reason}", value.escape_debug()))
        })?;
        Ok(if has_own_users { site } else { SiteArgs { auth: self.auth.clone(), ..site } })
    }

    /// The fields that `site` has beside those of all sites, which the service sends.
    fn own_headers(&self, site: &SiteArgs, spec: &Spec) -> Result<Vec<(String, String)>, Failure> {
        if !spec.options.iter().any(|option| option.name == "header") {
            return Ok(Vec::new());
        }
        for (name, _) in &site.header {
            if self.header.iter().any(|(of_all, _)| of_all.eq_ignore_ascii_case(name)) {
                return Err(Failure::Usage(format!(
                    "{name} is sent twice: --header gives it to all sites, and header= to {}; give it to each site",
                    spec.place
                )));
            }
        }
        Ok(site.header.clone())
    }

    /// The configuration of the site in `root`.
    fn config(&self, root: &Path) -> Result<FilesConfig, Failure> {
        Ok(FilesConfig {
            index: self.index.clone(),
            listing: self.lists(),
            archive: self.archive,
            readme: self.readme,
            fallback: self.fallback.clone(),
            not_found: Some(self.not_found.clone()),
            clean_urls: self.clean_urls,
            hidden: self.hidden,
            links: if self.no_links { Links::Never } else { Links::Beneath },
            follow: self.follow.clone(),
            charset: self.charset.clone(),
            types: self.types.clone(),
            cache_control: self.cache_control.clone(),
            auth: self.auth.config()?,
            ..FilesConfig::new(root)
        })
    }
}

/// An error if a directory does not exist, with what to write instead.
pub(super) fn check_directories(specs: &[Spec], given: &GivenOptions) -> Result<(), Failure> {
    match specs.iter().find_map(|spec| Some((spec, missing(spec)?))) {
        Some((spec, (root, error))) => Err(not_served(ConfigError::Root(root, error), spec, given)),
        None => Ok(()),
    }
}

/// The directory of a site, and why it is none.
pub(super) fn missing(spec: &Spec) -> Option<(PathBuf, io::Error)> {
    let root = PathBuf::from(spec.argument.as_deref().filter(|_| spec.service == ServiceName::Http)?);
    not_opened(&root).map(|error| (root, error))
}

/// Why a path is no directory.
fn not_opened(path: &Path) -> Option<io::Error> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(ErrorKind::NotADirectory.into()),
        Err(error) => Some(error),
    }
}

/// Why a directory cannot be served, and what to do.
fn not_served(error: ConfigError, spec: &Spec, given: &GivenOptions) -> Failure {
    let (path, error) = match error {
        ConfigError::Root(path, error) => (path, error),
        ConfigError::Follow(path, error) => {
            return Failure::Usage(format!(
                "--follow {}: {error}; name a directory that exists",
                path.display()
            ));
        }
        ConfigError::Auth(why) => return Failure::Usage(format!("--auth-file: {why}")),
        error => return Failure::usage(error),
    };
    let (root, typed) = (path.display(), path.to_string_lossy());
    let corrected = |directory: &str| {
        let place = spec.typed.replacen(&*typed, directory, 1);
        spec::replaced(&given.command, &spec.typed, &place)
    };
    let with_address = spec::directory_with_address(&typed).filter(|_| spec.address.is_none());
    match (error.kind(), with_address) {
        (ErrorKind::NotFound, Some((dir, address))) => {
            let place = spec.typed.replacen(&*typed, dir, 1);
            let works = spec::at_address(&given.command, &spec.typed, Some(&place), address);
            return Failure::Usage(format!(
                "cannot serve {root}: no such directory; to serve {dir} there, write: {works}"
            ));
        }
        (ErrorKind::NotFound, None) if typed.contains(':') && !typed.starts_with('/') => {
            let (path, dir) = typed.split_once(':').unwrap_or_default();
            let dir = if Path::new(dir).is_dir() { dir } else { "DIR" };
            return Failure::Usage(format!(
                "cannot serve {root}: no such directory; to serve a directory at a path, a path begins with a slash: {}",
                corrected(&format!("/{path}:{dir}"))
            ));
        }
        _ => {}
    }
    match error.kind() {
        ErrorKind::NotFound => match closest_directory(&typed) {
            Some(known) => Failure::Usage(format!(
                "cannot serve {root}: no such directory; did you mean {known}? Write: {}",
                corrected(&known)
            )),
            None => Failure::Usage(format!(
                "cannot serve {root}: no such directory; name one that exists: {}",
                corrected("DIR")
            )),
        },
        ErrorKind::NotADirectory => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            Failure::Usage(format!(
                "cannot serve {root}: not a directory; to share the directory that it is in: {}",
                corrected(&parent.unwrap_or(Path::new(".")).display().to_string())
            ))
        }
        ErrorKind::PermissionDenied => Failure::System(format!(
            "cannot serve {root}: permission denied; let this user read the directory, or use another"
        )),
        _ => Failure::System(format!("cannot serve {root}: {error}")),
    }
}
