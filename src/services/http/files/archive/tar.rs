//! Tar as defined by POSIX.1-2001 ("pax"): what does not fit into a ustar header is in records before it.

use tar_core::EntryType;
use tar_core::builder::{HeaderBuilder, PaxBuilder};

/// Headers and contents are multiples of this.
const BLOCK_BYTES: usize = 512;
/// What a number of 11 octal digits can be: a size, or a time in seconds.
const OCTAL_MAX: u64 = (1 << 33) - 1;
/// A longer name stands in a record.
const NAME_BYTES_MAX: usize = 100;
/// The name of the records themselves, which only a program that does not know them shows.
const RECORDS_NAME: &[u8] = b"PaxHeaders/name";

/// Appends the header of a file with this many bytes of content.
pub(super) fn file(out: &mut Vec<u8>, name: &[u8], size_bytes: u64, modified_s: i64) {
    entry(out, name, EntryType::Regular, size_bytes, modified_s);
}

/// Appends a folder, whose name ends with a slash.
pub(super) fn folder(out: &mut Vec<u8>, name: &[u8], modified_s: i64) {
    entry(out, name, EntryType::Directory, 0, modified_s);
}

/// Appends what fills the last block of a content.
pub(super) fn pad(out: &mut Vec<u8>, size_bytes: u64) {
    let over = (size_bytes % BLOCK_BYTES as u64) as usize;
    if over > 0 {
        out.resize(out.len() + BLOCK_BYTES - over, 0);
    }
}

/// Appends the end of an archive.
pub(super) fn end(out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * BLOCK_BYTES, 0);
}

fn entry(out: &mut Vec<u8>, name: &[u8], kind: EntryType, size_bytes: u64, modified_s: i64) {
    let mut records = PaxBuilder::new();
    // Without a record, the reader chooses the charset of a name that is not ASCII. Names in records are
    // UTF-8, unless a record declares them binary.
    if name.len() > NAME_BYTES_MAX || !name.is_ascii() {
        if std::str::from_utf8(name).is_err() {
            records.add("hdrcharset", "BINARY");
        }
        records.path(name);
    }
    if size_bytes > OCTAL_MAX {
        records.size(size_bytes);
    }
    let octal_s = u64::try_from(modified_s).ok().filter(|modified_s| *modified_s <= OCTAL_MAX);
    if octal_s.is_none() {
        records.add("mtime", modified_s.to_string());
    }
    let records = records.finish();
    if !records.is_empty() {
        header(out, RECORDS_NAME, EntryType::XHeader, records.len() as u64, 0);
        out.extend_from_slice(&records);
        pad(out, records.len() as u64);
    }
    let shown = &name[..name.len().min(NAME_BYTES_MAX)];
    let size_bytes = if size_bytes > OCTAL_MAX { 0 } else { size_bytes };
    header(out, shown, kind, size_bytes, octal_s.unwrap_or(0));
}

/// Appends a header without an owner: the site shows none.
fn header(out: &mut Vec<u8>, name: &[u8], kind: EntryType, size_bytes: u64, modified_s: u64) {
    let mode = if kind == EntryType::Directory { 0o755 } else { 0o644 };
    let mut header = HeaderBuilder::new_ustar();
    let filled = (|| {
        header.path(name)?.mode(mode)?.uid(0)?.gid(0)?.size(size_bytes)?.mtime(modified_s)?.entry_type(kind);
        Ok::<(), tar_core::HeaderError>(())
    })();
    filled.expect("all of it fits into a header");
    out.extend_from_slice(header.finish().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records before the header of an entry, and the header.
    fn parts(name: &[u8], size_bytes: u64, modified_s: i64) -> (String, Vec<u8>) {
        let mut out = Vec::new();
        file(&mut out, name, size_bytes, modified_s);
        assert_eq!(out.len() % BLOCK_BYTES, 0);
        let header = out.split_off(out.len() - BLOCK_BYTES);
        let records = out.get(BLOCK_BYTES..).unwrap_or_default();
        (String::from_utf8_lossy(records).trim_end_matches('\0').to_owned(), header)
    }

    #[test]
    fn values_that_do_not_fit_the_old_header_are_in_records() {
        assert_eq!(parts(b"a", OCTAL_MAX, 0).0, "");
        assert_eq!(parts(b"a", OCTAL_MAX + 1, 0).0, "19 size=8589934592\n");
        assert_eq!(parts(b"a", 0, -1).0, "12 mtime=-1\n");
        assert_eq!(parts(&[b'n'; 100], 0, 0).0, "");
        assert_eq!(parts(&[b'n'; 101], 0, 0).0, format!("111 path={}\n", "n".repeat(101)));
        assert_eq!(parts("\u{fc}".as_bytes(), 0, 0).0, "11 path=\u{fc}\n");
        assert_eq!(parts(b"\xff", 0, 0).0, "21 hdrcharset=BINARY\n9 path=\u{fffd}\n");
    }

    #[test]
    fn a_header_shows_no_owner() {
        let header = parts(b"a", 5, 7).1;
        assert_eq!(&header[..2], b"a\0");
        assert_eq!((&header[100..108], &header[108..116]), (&b"0000644\0"[..], &b"0000000\0"[..]));
        assert_eq!((&header[124..136], &header[136..148]), (&b"00000000005\0"[..], &b"00000000007\0"[..]));
        assert_eq!(&header[257..265], b"ustar\x0000");
        assert!(header[265..].iter().all(|&byte| byte == 0 || byte == b'0'), "neither user nor group");
    }
}
