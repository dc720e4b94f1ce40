//! The files that an archive lacks because they could not be read: a list at its end, for the person who
//! unpacks it.

use std::fmt::{self, Write as _};
use std::io;

use super::super::super::bounds::{ARCHIVE_DEPTH_MAX, OMISSIONS_BYTES_MAX};
use super::walk::Omission;

/// The name of the list in the folder: the first that is free.
pub(super) const NAMES: [&str; 4] =
    ["NOT-INCLUDED.txt", "NOT-INCLUDED-2.txt", "NOT-INCLUDED-3.txt", "NOT-INCLUDED-4.txt"];

/// The files left out so far.
#[derive(Debug, Default)]
pub(super) struct Omissions {
    /// A line for each of the first files.
    lines: String,
    listed: usize,
    count: usize,
}

impl Omissions {
    /// Adds what has this name in the archive.
    pub(super) fn add(&mut self, name: &[u8], why: &Omission) {
        self.count += 1;
        if self.lines.len() >= OMISSIONS_BYTES_MAX {
            return;
        }
        self.listed += 1;
        let name = String::from_utf8_lossy(name);
        // Escaped, so that each name has one line.
        let name = name.escape_debug();
        let _ = match why {
            Omission::Failed(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                writeln!(self.lines, "{name}: permission denied")
            }
            Omission::Failed(error) => writeln!(self.lines, "{name}: {error}"),
            Omission::Loop => writeln!(self.lines, "{name}: a link to a folder that it is in"),
            Omission::TooDeep => {
                writeln!(
                    self.lines,
                    "{name}: more than {ARCHIVE_DEPTH_MAX} folders deep, or its path is too long"
                )
            }
            Omission::TooManyFolders => writeln!(self.lines, "{name}: among too many folders"),
        };
    }

    /// The list, if it is not empty.
    pub(super) fn list(&self) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let more = match self.count - self.listed {
            0 => String::new(),
            more => format!("and {more} more\n"),
        };
        Some(format!(
            "The server could not include these files and folders in the archive:\n\n{}{more}",
            self.lines
        ))
    }

    /// Memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.lines.capacity()
    }
}

/// The first file and the number of files, on one line.
impl fmt::Display for Omissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lines.lines().next().unwrap_or_default())?;
        match self.count.saturating_sub(1) {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}
