//! The flags of the HTTP service.

use std::io::ErrorKind;
use std::path::Path;

use clap::{Args, ValueEnum};

use super::auth::AuthArgs;
use super::{Failure, words};
use crate::services::http::{ConfigError, Files, FilesConfig, Http, HttpConfig};
use crate::sys::files::Links;
use crate::telemetry::AccessFormat;
use crate::time::ServerClock;

/// What holds for all sites of the server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(super) struct HttpArgs {
    #[command(flatten)]
    pub(super) site: SiteArgs,
    /// A header field for every response, as "Name: value"; may be repeated
    #[arg(long, value_name = "FIELD", value_parser = field)]
    header: Vec<(String, String)>,
    /// The format of the access log
    #[arg(long, value_name = "FORMAT", default_value = "combined")]
    access_format: Format,
}

/// What may differ from one site to the next: each flag is also an option of a site.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
#[allow(clippy::struct_excessive_bools)] // each is a flag
pub(super) struct SiteArgs {
    /// Do not list directories that have no index file; answer 403 Forbidden. With --fallback none is listed
    #[arg(long)]
    no_listing: bool,
    /// Offer directories as archives: ?archive=zip, ?archive=tar or ?archive=tar.zst behind the path of a
    /// directory downloads it with all that is below it
    #[arg(long)]
    archive: bool,
    /// Show the README.md or readme.txt of a directory below its listing. Markdown becomes HTML; HTML in it
    /// is shown as text
    #[arg(long)]
    readme: bool,
    /// The file to send for its directory; may be repeated, the first that exists is sent
    #[arg(long, value_name = "FILE", default_value = "index.html")]
    index: Vec<String>,
    /// The file to send for paths that do not exist and directories without a page: that of a single-page
    /// application
    #[arg(long, visible_alias = "spa", value_name = "FILE")]
    fallback: Option<String>,
    /// The page to send for paths that do not exist, if the directory has it
    #[arg(long, value_name = "FILE", default_value = "404.html")]
    not_found: String,
    /// Also serve names that begin with a dot; without it, only .well-known/ at the top is served
    #[arg(long)]
    hidden: bool,
    /// Do not follow symbolic links; without it, links that stay inside the directory are followed
    #[arg(long)]
    no_links: bool,
    /// The charset of text files; empty for none
    #[arg(long, value_name = "NAME", default_value = "utf-8")]
    charset: String,
    /// The value of Cache-Control for files, such as "max-age=3600"
    #[arg(long, value_name = "VALUE")]
    cache_control: Option<String>,
    #[command(flatten)]
    auth: AuthArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Client, time, request, status and bytes
    Common,
    /// The same, with referrer and user agent
    Combined,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as \"Name: value\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl HttpArgs {
    /// Whether clients need a password.
    pub(super) fn asks_for_passwords(&self) -> bool {
        self.site.auth.are_given()
    }

    /// How lines of the access log look.
    pub(super) fn access_format(&self) -> AccessFormat {
        match self.access_format {
            Format::Common => AccessFormat::Common,
            Format::Combined => AccessFormat::Combined,
        }
    }

    /// The service for the files in `root`.
    pub(super) fn open(&self, root: Option<&str>) -> Result<Http, Failure> {
        let root = Path::new(root.unwrap_or("."));
        let files = Files::new(self.site.config(root)?).map_err(not_served)?;
        let config = HttpConfig { headers: self.header.clone() };
        let http = Http::with_config(files, &config).map_err(Failure::usage)?;
        if http.handler().lacks_fallback(ServerClock::start().now()) {
            let (fallback, root) = (self.site.fallback.as_deref().unwrap_or_default(), root.display());
            log::warn!(
                "--fallback {fallback:?} is not a file that can be served in {root}; paths that do not exist get 404 until it is"
            );
        }
        Ok(http)
    }
}

impl SiteArgs {
    /// Whether directories are listed. The page of a single-page application takes the place of listings.
    pub(super) fn lists(&self) -> bool {
        !self.no_listing && self.fallback.is_none()
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
            hidden: self.hidden,
            links: if self.no_links { Links::Never } else { Links::Beneath },
            charset: self.charset.clone(),
            cache_control: self.cache_control.clone(),
            auth: self.auth.config()?,
            ..FilesConfig::new(root)
        })
    }
}

/// Why a directory cannot be served, and what to do.
fn not_served(error: ConfigError) -> Failure {
    let ConfigError::Root(path, error) = error else { return Failure::usage(error) };
    let root = path.display();
    match error.kind() {
        ErrorKind::NotFound => Failure::Usage(format!(
            "cannot serve {root}: no such directory; name one that exists: oneloop serve DIR"
        )),
        ErrorKind::NotADirectory => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = words::quoted(&parent.unwrap_or(Path::new(".")).display().to_string());
            Failure::Usage(format!(
                "cannot serve {root}: not a directory; to share the directory that it is in: oneloop serve {directory}"
            ))
        }
        ErrorKind::PermissionDenied => Failure::System(format!(
            "cannot serve {root}: permission denied; let this user read the directory, or use another"
        )),
        _ => Failure::System(format!("cannot serve {root}: {error}")),
    }
}
