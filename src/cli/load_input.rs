//! Files that `oneloop load` reads.

use std::io::Read;

use super::Failure;

/// The longest body that is read from a file: it is kept in memory once.
pub(super) const BODY_BYTES_MAX: u64 = 1 << 30;

/// Whether files are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FileInput {
    #[default]
    Read,
    /// To check a command that is not run: neither files nor the terminal are read.
    Assumed,
}

/// What stands for the content of a file that is not read.
pub(super) const ASSUMED: &str = "x";

impl FileInput {
    /// What requests send from a file.
    pub(super) fn file(self, option: &str, file: &str) -> Result<Vec<u8>, Failure> {
        match self {
            FileInput::Read => read_file(option, file),
            FileInput::Assumed => Ok(ASSUMED.into()),
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
