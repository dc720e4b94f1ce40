//! Reads the content of a file in a single state, and decides when a later change must be visible in its
//! times.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::bounds::{READ_TRIES_MAX, SETTLED_MS, SETTLED_SECONDS_MS};
use crate::sys::files::{Stat, stat_of};

/// Reads a file of up to `bytes_max` bytes in a single state: the same before and after the read. `None` if
/// it is longer, or changes during every attempt; `stat` is the last state. `read` is called with one byte
/// more than the size, and returns how many bytes there were.
pub(crate) fn in_one_state<T>(
    file: &File,
    stat: &mut Stat,
    bytes_max: u64,
    mut read: impl FnMut(&File, u64) -> io::Result<(T, u64)>,
) -> io::Result<Option<T>> {
    for _ in 0..READ_TRIES_MAX {
        let size_bytes = stat.identity.size_bytes;
        if size_bytes > bytes_max {
            break;
        }
        let (read, len) = read(file, size_bytes + 1)?;
        let after = stat_of(file)?;
        if after == *stat && len == size_bytes {
            return Ok(Some(read));
        }
        *stat = after;
    }
    Ok(None)
}

/// A reader for [`in_one_state`]: the first `bytes_max` bytes.
pub(crate) fn read_some(file: &File, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut bytes = vec![0; bytes_max as usize];
    let len = read_at(file, &mut bytes, 0)?;
    bytes.truncate(len);
    Ok((bytes, len as u64))
}

/// Fills `bytes` from `offset` of the file on, up to its end; returns how many bytes were read.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], offset + len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Whether a change after now gives the file another time: times of files advance in ticks, on some file
/// systems in seconds.
pub(crate) fn is_settled(stat: &Stat, wall: SystemTime) -> bool {
    let settled_ms = if is_in_seconds(stat) { SETTLED_SECONDS_MS } else { SETTLED_MS };
    let Ok(changed_s) = u64::try_from(stat.changed_s) else { return true };
    let changed = UNIX_EPOCH + Duration::new(changed_s, stat.changed_ns);
    wall.duration_since(changed).is_ok_and(|age| age.as_millis() >= u128::from(settled_ms))
}

/// Whether the file system may keep times in whole seconds only.
pub(crate) fn is_in_seconds(stat: &Stat) -> bool {
    stat.changed_ns == 0 && stat.identity.modified_ns == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file of three bytes while `meddle` does something to it after each read.
    fn read_while(mut meddle: impl FnMut(&mut Vec<u8>, &File, u64)) -> Option<Vec<u8>> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"old", 0).unwrap();
        let mut stat = stat_of(&file).unwrap();
        let mut reads = 0;
        let found = in_one_state(&file, &mut stat, 100, |file, bytes_max| {
            let (mut bytes, _) = read_some(file, bytes_max)?;
            reads += 1;
            meddle(&mut bytes, file, reads);
            let len = bytes.len() as u64;
            Ok((bytes, len))
        });
        assert_eq!(stat, stat_of(&file).unwrap(), "the state that was seen last");
        found.unwrap()
    }

    fn set_modified(file: &File, second: u64) {
        file.set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_read_again() {
        // In place, with the same size: only the time shows it, here by a nanosecond.
        let rewritten = read_while(|_, file, reads| {
            if reads == 1 {
                let before = file.metadata().unwrap().modified().unwrap();
                file.write_all_at(b"new", 0).unwrap();
                file.set_modified(before + Duration::from_nanos(1)).unwrap();
            }
        });
        assert_eq!(rewritten.unwrap(), b"new");
        let grown = read_while(|_, file, reads| {
            if reads == 1 {
                file.write_all_at(b"newer", 0).unwrap();
            }
        });
        assert_eq!(grown.unwrap(), b"newer");
        // The file was shorter for a moment, within one tick of its clock.
        let cut = read_while(|bytes, _, reads| bytes.truncate(if reads == 1 { 1 } else { 3 }));
        assert_eq!(cut.unwrap(), b"old");
    }

    #[test]
    fn a_file_has_settled_when_the_next_change_must_show_in_its_times() {
        let age_ms = |age_ms, changed_ns| {
            let file = tempfile::tempfile().unwrap();
            set_modified(&file, 1_600_000_000);
            let stat = Stat { changed_s: 2_000_000_000, changed_ns, ..stat_of(&file).unwrap() };
            is_settled(
                &stat,
                UNIX_EPOCH + Duration::new(2_000_000_000, changed_ns) + Duration::from_millis(age_ms),
            )
        };
        assert!(!age_ms(50, 1) && age_ms(150, 1));
        // FAT times have a resolution of two seconds.
        assert!(!age_ms(150, 0) && !age_ms(2_000, 0) && age_ms(2_200, 0));
    }

    #[test]
    fn a_file_that_changes_each_time_it_is_read_is_not_kept() {
        assert_eq!(read_while(|_, file, reads| set_modified(file, reads)), None);
    }
}
