//! The options of `oneloop load` for the request of HTTP.

use std::io::Read;

use clap::Args;

use super::Failure;
use crate::load::clients::HttpRequest;

/// The longest body that is read from a file: it is kept in memory once.
const BODY_BYTES_MAX: u64 = 1 << 30;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "HTTP request")]
pub(super) struct RequestArgs {
    /// Method of the request [default: GET; with --data POST]
    #[arg(short = 'X', long, value_name = "METHOD")]
    method: Option<String>,
    /// Header field; replaces one that is sent by default, and without a value removes it; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Body of the request; @FILE reads it from a file (@- from standard input)
    ///
    /// Without a header field Content-Type it is sent as application/x-www-form-urlencoded.
    #[arg(short, long, value_name = "DATA|@FILE")]
    data: Option<String>,
}

impl RequestArgs {
    /// The first of these options that was given.
    pub(super) fn first_given(&self) -> Option<&'static str> {
        [
            (self.method.is_some(), "--method"),
            (!self.header.is_empty(), "--header"),
            (self.data.is_some(), "--data"),
        ]
        .into_iter()
        .find_map(|(is_given, option)| is_given.then_some(option))
    }

    /// The request with what these options add to it.
    pub(super) fn complete(&self, mut request: HttpRequest) -> Result<HttpRequest, Failure> {
        let mut has_type = false;
        for header in &self.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Failure::Usage(format!(
                    "--header \"{}\": a field is written as 'NAME: VALUE'",
                    header.escape_debug()
                ))
            })?;
            has_type |= name.eq_ignore_ascii_case("content-type");
            request = match value.trim() {
                "" => request.without_field(name),
                value => request.field(name, value),
            }
            .map_err(|error| Failure::Usage(format!("--header: {error}")))?;
        }
        if let Some(data) = &self.data {
            let body = match data.strip_prefix('@') {
                Some(file) => read_file("--data", file)?,
                None => data.clone().into_bytes(),
            };
            request = request.method("POST").map_err(Failure::usage)?.body(body);
            if !has_type {
                let form = "application/x-www-form-urlencoded";
                request = request.field("Content-Type", form).map_err(Failure::usage)?;
            }
        }
        match &self.method {
            Some(method) => {
                request.method(method).map_err(|error| Failure::Usage(format!("--method: {error}")))
            }
            None => Ok(request),
        }
    }
}

/// Reads what requests send from a file.
pub(super) fn read_file(option: &str, file: &str) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let source: std::io::Result<Box<dyn Read>> = match file {
        "-" => Ok(Box::new(std::io::stdin())),
        path => std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn Read>),
    };
    let read = source.and_then(|source| source.take(BODY_BYTES_MAX + 1).read_to_end(&mut body));
    match read {
        Err(error) => {
            Err(Failure::Usage(format!("{option}: cannot read \"{}\": {error}", file.escape_debug())))
        }
        Ok(len) if len as u64 > BODY_BYTES_MAX => {
            Err(Failure::Usage(format!("{option}: \"{}\" has more than 1 GiB", file.escape_debug())))
        }
        Ok(_) => Ok(body),
    }
}
