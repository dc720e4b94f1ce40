//! The flags for users and passwords.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::Args;

use super::Failure;
use super::typed_command::TypedCommand;
use crate::services::http::AuthConfig;
use crate::sys::terminal;

/// The longest password that is read from a file, in bytes: longer than any that is typed.
pub(super) const PASSWORD_BYTES_MAX: usize = 512;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(super) struct AuthArgs {
    /// Admit only USER; prompts for the password on the terminal (HTTP Basic)
    ///
    /// Passwords and files cross the network unencrypted: use it in a network that you trust, or behind a
    /// proxy that speaks TLS. Browsers ask for name and password; curl takes them as -u USER.
    #[arg(long, value_name = "USER")]
    auth: Option<String>,
    /// Read the password of --auth from the first line of FILE; "-" is standard input, /dev/fd/3 a descriptor
    #[arg(long, value_name = "FILE")]
    auth_password: Option<PathBuf>,
    /// Admit only the users listed in FILE: a line NAME:HASH for each, as "htpasswd -B" writes it
    ///
    /// A change of the file takes effect within about two seconds. If it has an error, the previous users
    /// remain valid.
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    #[arg(long, value_name = "N", help = failures_help(), long_help = failures_long_help())]
    auth_failures: Option<u32>,
    /// The result of [`AuthArgs::config`], which prompts for the password once.
    #[arg(skip)]
    config: OnceLock<Option<AuthConfig>>,
}

fn failures_help() -> String {
    format!(
        "Wrong passwords per minute from one address (for IPv6: one /64); 0 means no limit [default: {}]",
        AuthConfig::FAILURES_PER_MINUTE
    )
}

fn failures_long_help() -> String {
    let reason = "Beyond it, further passwords from that address get 429, except passwords accepted from that \
                  address before. At three times the limit, all get 429. Behind a proxy all clients have one \
                  address: use 0, and limit them in the proxy.";
    format!("{}\n\n{reason}", failures_help())
}

impl AuthArgs {
    /// Whether clients need a password.
    pub(super) fn are_given(&self) -> bool {
        self.auth.is_some() || self.auth_file.is_some()
    }

    /// The users that may log in; `None` without a password. Prompts for the password the first time.
    pub(super) fn config(&self) -> Result<Option<AuthConfig>, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let config = self.make()?;
        Ok(self.config.get_or_init(|| config).clone())
    }

    /// An error if a password is on the command line, or belongs to no user.
    pub(super) fn check(&self, typed: &TypedCommand) -> Result<(), Failure> {
        if self.auth_password.is_some() && self.auth.is_none() {
            return Err(Failure::Usage(format!(
                "--auth-password has no effect without --auth USER; a site with its own user has both after its \
                 directory: http=DIR,auth=USER,auth-password=FILE; for example: {}",
                typed.clone().with("auth", "alice")
            )));
        }
        self.check_users()
    }

    fn check_users(&self) -> Result<(), Failure> {
        // Not a parser's error, which would show the password in a log, too.
        match self.auth.as_ref().and_then(|user| user.split_once(':')) {
            Some((name, _)) => Err(Failure::Usage(format!(
                "--auth {name}: other users of this machine can read a command line, so a password does not belong there; \
                 use --auth {name}, which asks for it, or --auth-password FILE"
            ))),
            None => Ok(()),
        }
    }

    fn make(&self) -> Result<Option<AuthConfig>, Failure> {
        if !self.are_given() {
            if self.auth_failures.is_some() {
                return Err(Failure::Usage(
                    "--auth-failures has no effect without --auth or --auth-file; leave it out".to_owned(),
                ));
            }
            return Ok(None);
        }
        let mut config = AuthConfig::new();
        self.check_users()?;
        if let Some(user) = &self.auth {
            let password = match &self.auth_password {
                Some(path) => secret_of("password", path, PASSWORD_BYTES_MAX)?,
                None => ask(user)?,
            };
            config = config.with_user(user, &password);
        }
        config.file.clone_from(&self.auth_file);
        if let Some(failures) = self.auth_failures {
            config.failures_per_minute_max = failures;
        }
        Ok(Some(config))
    }
}

/// The password or token in the first line of a file.
pub(super) fn secret_of(what: &str, path: &Path, bytes_max: usize) -> Result<String, Failure> {
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let cannot = |error: io::Error| Failure::System(format!("cannot read the {what} from {name}: {error}"));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let file = File::open(path).map_err(cannot)?;
        let found = file.metadata().map_err(cannot)?;
        if found.is_file() && found.mode() & 0o004 != 0 {
            log::warn!("every user of this machine can read the {what} in {name}; chmod 600 changes that");
        }
        Box::new(file)
    };
    let mut line = String::new();
    BufReader::new(source.take(bytes_max as u64 + 1)).read_line(&mut line).map_err(cannot)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.len() > bytes_max {
        return Err(Failure::Usage(format!("the {what} in {name} is longer than {bytes_max} bytes")));
    }
    if password.is_empty() {
        return Err(Failure::Usage(format!("the first line of {name} is empty; write the {what} there")));
    }
    Ok(password.to_owned())
}

/// Asks for a new password, twice: it is typed blind.
fn ask(user: &str) -> Result<String, Failure> {
    let ask = |prompt: String| {
        terminal::ask_blind(&prompt, PASSWORD_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Failure::System("stopped before a password was typed".to_owned()),
            _ => Failure::Usage(format!(
                "cannot ask for the password of --auth {user}: {error}; use --auth-password FILE, or \"-\" for standard input"
            )),
        })
    };
    let password = ask(format!("Password for {user}: "))?;
    if password.is_empty() {
        return Err(Failure::Usage("the password is empty; type one".to_owned()));
    }
    if ask("The same again: ".to_owned())? != password {
        return Err(Failure::Usage("the two passwords are not the same; start again".to_owned()));
    }
    Ok(password)
}
