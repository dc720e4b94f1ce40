//! The options of `oneloop load` for users, passwords and tokens.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::Failure;
use super::auth::{PASSWORD_BYTES_MAX, secret_of};
use super::load_input::{ASSUMED, FileInput};
use crate::load::clients::HttpRequest;
use crate::sys::terminal;

/// Tokens are longer than passwords: those of some services have several KiB.
const TOKEN_BYTES_MAX: usize = 32 << 10;
/// What stands before the name of a variable of the environment.
const ENVIRONMENT: &str = "env:";

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "HTTP request")]
pub(super) struct LoadAuthArgs {
    /// Send a name and a password (HTTP Basic), as curl -u
    ///
    /// Without PASSWORD, it is read from --user-password or from a prompt on the terminal: other users of
    /// this machine can read a command line.
    #[arg(short, long, value_name = "USER[:PASSWORD]")]
    user: Option<String>,
    /// The password of --user: in the first line of FILE ("-" is standard input), or in the variable NAME
    #[arg(long, value_name = "FILE|env:NAME", requires = "user")]
    user_password: Option<String>,
    /// Send a bearer token: the first line of FILE, or the variable NAME
    #[arg(long, value_name = "TOKEN|@FILE|env:NAME", conflicts_with = "user")]
    bearer: Option<String>,
}

impl LoadAuthArgs {
    /// The first of these options that was given.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        [(self.user.is_some(), "--user"), (self.bearer.is_some(), "--bearer")]
            .into_iter()
            .find_map(|(is_given, option)| is_given.then_some(option))
    }

    /// The request with the field that these options add to it.
    pub(super) fn complete(&self, request: HttpRequest, input: FileInput) -> Result<HttpRequest, Failure> {
        let value = match (&self.user, &self.bearer) {
            (Some(user), _) => format!("Basic {}", STANDARD.encode(self.user_and_password(user, input)?)),
            (None, Some(bearer)) => format!("Bearer {}", token(bearer, input)?),
            (None, None) => return Ok(request),
        };
        request
            .field("Authorization", &value)
            .map_err(|_| Failure::Usage("--bearer: the token has control characters".to_owned()))
    }

    fn user_and_password(&self, user: &str, input: FileInput) -> Result<String, Failure> {
        let password = match (user.split_once(':'), &self.user_password) {
            (Some(_), None) => return Ok(user.to_owned()),
            (Some((name, _)), Some(_)) => {
                return Err(Failure::Usage(format!(
                    "--user and --user-password both give a password; use --user {name}"
                )));
            }
            (None, _) if input == FileInput::Assumed => ASSUMED.to_owned(),
            (None, Some(source)) => match source.strip_prefix(ENVIRONMENT) {
                Some(name) => variable("--user-password", name)?,
                None => secret_of("password", Path::new(source), PASSWORD_BYTES_MAX)?,
            },
            (None, None) => terminal::ask_blind(&format!("Password for {user}: "), PASSWORD_BYTES_MAX)
                .map_err(|error| {
                    Failure::Usage(format!(
                        "cannot ask for the password of --user {user}: {error}; use --user-password FILE, or \"-\" for \
                         standard input"
                    ))
                })?,
        };
        Ok(format!("{user}:{password}"))
    }
}

fn token(typed: &str, input: FileInput) -> Result<String, Failure> {
    if input == FileInput::Assumed && (typed.starts_with(ENVIRONMENT) || typed.starts_with('@')) {
        return Ok(ASSUMED.to_owned());
    }
    if let Some(name) = typed.strip_prefix(ENVIRONMENT) {
        return variable("--bearer", name);
    }
    match typed.strip_prefix('@') {
        Some(file) => secret_of("token", Path::new(file), TOKEN_BYTES_MAX),
        None => Ok(typed.to_owned()),
    }
}

fn variable(option: &str, name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|_| {
        Failure::Usage(format!(
            "{option}: the variable {} is not set or not valid UTF-8",
            name.escape_debug()
        ))
    })
}
