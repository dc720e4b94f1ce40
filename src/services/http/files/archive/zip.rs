//! Zip for streaming (PKWARE APPNOTE 6.3.10): content is stored uncompressed, and data that are not known
//! before the content follow it. The directory at the end repeats every name, so it grows with the number of
//! files: it is kept in few bytes per name, within a bound.
//!
//! Not done with a crate, because the existing ones accept only UTF-8 names, and keep hundreds of bytes for
//! each.

use std::io;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::super::super::bounds::ZIP_DIRECTORY_BYTES_MAX;

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
const END: u32 = 0x0605_4b50;

/// Flags (section 4.4.4): sizes and checksum follow the content; the name is UTF-8.
const HAS_DESCRIPTOR: u16 = 1 << 3;
const IS_UTF8: u16 = 1 << 11;
/// The version of the format that is needed (section 4.4.3): 2.0, and 4.5 for numbers of 64 bits.
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// Made by a Unix system: attributes hold a mode, and names are bytes.
const MADE_BY: u16 = 3 << 8 | VERSION_64;
/// In place of a number of 32 bits: it is in the extra field of 64 bits.
const IN_EXTRA: u32 = u32::MAX;
const EXTRA_64: u16 = 1;
/// The extra field of a time in seconds since 1970 ("UT"): unlike the time of the header, it needs no time
/// zone.
const EXTRA_TIME: u16 = 0x5455;
const EXTRA_TIME_BYTES: u64 = 9;
/// Sizes from here on have 64 bits.
const SIZE_64_MIN: u64 = u32::MAX as u64;

/// The entries written so far, for the directory at the end.
#[derive(Debug, Default)]
pub(super) struct Zip {
    /// The length of the archive so far.
    len: u64,
    /// The records of all entries. Each shares the beginning of its name with the record before.
    records: Vec<u8>,
    entries: u64,
    last_name: Vec<u8>,
}

/// An entry whose header was written.
#[derive(Debug)]
pub(super) struct ZipEntry {
    size_bytes: u64,
    modified_s: u32,
    has_descriptor: bool,
    is_folder: bool,
    name: Vec<u8>,
}

/// The directory, as it is written at the end.
#[derive(Debug)]
pub(super) struct CentralDirectory {
    records: Vec<u8>,
    at: usize,
    /// The name of the last record, and where the next entry begins.
    name: Vec<u8>,
    offset: u64,
    entries: u64,
    /// The offset of the directory, and its length so far.
    start: u64,
    len: u64,
}

impl Zip {
    /// Appends the header of an entry. A name that ends with a slash is a folder. If `crc` is `None`, the
    /// checksum follows the content.
    pub(super) fn begin(
        &mut self,
        out: &mut Vec<u8>,
        name: &[u8],
        size_bytes: u64,
        modified_s: i64,
        crc: Option<u32>,
    ) -> ZipEntry {
        let entry = ZipEntry {
            size_bytes,
            modified_s: u32::try_from(modified_s.max(0)).unwrap_or(u32::MAX),
            has_descriptor: crc.is_none(),
            is_folder: name.ends_with(b"/"),
            name: safe(name),
        };
        let start = out.len();
        put32(out, LOCAL_HEADER);
        put16(out, entry.version());
        entry.put_common(out, crc.unwrap_or(0), if entry.has_descriptor { 0 } else { size_bytes });
        put16(out, entry.local_extra_bytes() as u16);
        out.extend_from_slice(&entry.name);
        if entry.is_64() {
            put16(out, EXTRA_64);
            put16(out, 16);
            put64(out, if entry.has_descriptor { 0 } else { size_bytes });
            put64(out, if entry.has_descriptor { 0 } else { size_bytes });
        }
        put_time(out, entry.modified_s);
        self.len += (out.len() - start) as u64;
        entry
    }

    /// Appends the data descriptor that follows the content of an entry, and notes the entry for the
    /// directory.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, entry: &ZipEntry, crc: u32) -> io::Result<()> {
        let start = out.len();
        if entry.has_descriptor {
            put32(out, DESCRIPTOR);
            put32(out, crc);
            for _ in ["compressed", "plain"] {
                if entry.is_64() {
                    put64(out, entry.size_bytes);
                } else {
                    put32(out, entry.size_bytes as u32);
                }
            }
        }
        self.len += entry.size_bytes + (out.len() - start) as u64;
        let shared = self.last_name.iter().zip(&entry.name).take_while(|(a, b)| a == b).count();
        let flags = u8::from(entry.has_descriptor) | u8::from(entry.is_folder) << 1;
        self.records.push(flags);
        put_number(&mut self.records, shared as u64);
        put_number(&mut self.records, (entry.name.len() - shared) as u64);
        self.records.extend_from_slice(&entry.name[shared..]);
        put_number(&mut self.records, entry.size_bytes);
        put32(&mut self.records, crc);
        put32(&mut self.records, entry.modified_s);
        self.last_name.clone_from(&entry.name);
        self.entries += 1;
        if self.records.len() > ZIP_DIRECTORY_BYTES_MAX {
            return Err(io::Error::other("it has too many files for a zip archive; download it as tar"));
        }
        Ok(())
    }

    /// Begins the directory, after all entries were written.
    pub(super) fn into_directory(self) -> CentralDirectory {
        let Zip { len, records, entries, .. } = self;
        CentralDirectory { records, at: 0, name: Vec::new(), offset: 0, entries, start: len, len: 0 }
    }

    /// Memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.records.capacity() + self.last_name.capacity()
    }
}

impl ZipEntry {
    fn is_64(&self) -> bool {
        self.size_bytes >= SIZE_64_MIN
    }

    fn version(&self) -> u16 {
        if self.is_64() { VERSION_64 } else { VERSION }
    }

    fn local_extra_bytes(&self) -> u64 {
        EXTRA_TIME_BYTES + if self.is_64() { 20 } else { 0 }
    }

    /// How much of the archive it takes.
    fn len(&self) -> u64 {
        let descriptor_bytes = match (self.has_descriptor, self.is_64()) {
            (false, _) => 0,
            (true, false) => 16,
            (true, true) => 24,
        };
        30 + self.name.len() as u64 + self.local_extra_bytes() + self.size_bytes + descriptor_bytes
    }

    /// Appends what both headers have, from the flags to the length of the name.
    fn put_common(&self, out: &mut Vec<u8>, crc: u32, size_bytes: u64) {
        // Names that are not UTF-8 are the bytes of a Unix system.
        let utf8 = if std::str::from_utf8(&self.name).is_ok() { IS_UTF8 } else { 0 };
        put16(out, utf8 | if self.has_descriptor { HAS_DESCRIPTOR } else { 0 });
        put16(out, 0); // stored
        let (date, time) = dos_time(self.modified_s);
        put16(out, time);
        put16(out, date);
        put32(out, crc);
        let size = if self.is_64() { IN_EXTRA } else { size_bytes as u32 };
        put32(out, size);
        put32(out, size);
        put16(out, self.name.len() as u16);
    }
}

impl CentralDirectory {
    /// Appends the directory record of the next entry, or the end of the archive; returns whether there is
    /// more.
    pub(super) fn put_next(&mut self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let Some((entry, crc)) = self.next_entry() else {
            self.put_end(out);
            return false;
        };
        let offset_64 = self.offset >= SIZE_64_MIN;
        let extra_64_bytes = if entry.is_64() { 16 } else { 0 } + if offset_64 { 8 } else { 0 };
        put32(out, CENTRAL_HEADER);
        put16(out, MADE_BY);
        put16(out, if offset_64 { VERSION_64 } else { entry.version() });
        entry.put_common(out, crc, entry.size_bytes);
        let extra_bytes = EXTRA_TIME_BYTES as u16 + if extra_64_bytes > 0 { extra_64_bytes + 4 } else { 0 };
        put16(out, extra_bytes);
        put16(out, 0); // no comment
        put16(out, 0); // the first disk
        put16(out, 0); // internal attributes
        // A mode, and the attribute of a folder in DOS.
        put32(out, if entry.is_folder { 0o040_755 << 16 | 0x10 } else { 0o100_644 << 16 });
        put32(out, if offset_64 { IN_EXTRA } else { self.offset as u32 });
        out.extend_from_slice(&entry.name);
        if extra_64_bytes > 0 {
            put16(out, EXTRA_64);
            put16(out, extra_64_bytes);
            if entry.is_64() {
                put64(out, entry.size_bytes);
                put64(out, entry.size_bytes);
            }
            if offset_64 {
                put64(out, self.offset);
            }
        }
        put_time(out, entry.modified_s);
        self.offset += entry.len();
        self.name = entry.name;
        self.len += (out.len() - start) as u64;
        true
    }

    /// Memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.records.capacity() + self.name.capacity()
    }

    /// Reads the next record.
    fn next_entry(&mut self) -> Option<(ZipEntry, u32)> {
        let mut rest = self.records.get(self.at..)?;
        let flags = take(&mut rest, 1)?[0];
        let shared = take_number(&mut rest)? as usize;
        let suffix_len = take_number(&mut rest)? as usize;
        let suffix = take(&mut rest, suffix_len)?;
        let size_bytes = take_number(&mut rest)?;
        let mut take32 = || Some(u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?));
        let (crc, modified_s) = (take32()?, take32()?);
        let name = [&self.name[..shared], suffix].concat();
        self.at = self.records.len() - rest.len();
        let (has_descriptor, is_folder) = (flags & 1 != 0, flags & 2 != 0);
        Some((ZipEntry { size_bytes, modified_s, has_descriptor, is_folder, name }, crc))
    }

    /// Appends the end of the archive, with 64-bit numbers if one does not fit 32 bits.
    fn put_end(&self, out: &mut Vec<u8>) {
        let CentralDirectory { entries, start, len, .. } = *self;
        let is_64 = entries >= u64::from(u16::MAX) || start >= SIZE_64_MIN || len >= SIZE_64_MIN;
        if is_64 {
            put32(out, END_64);
            put64(out, 44); // what follows in this record
            put16(out, MADE_BY);
            put16(out, VERSION_64);
            put32(out, 0); // this disk
            put32(out, 0); // that of the directory
            put64(out, entries);
            put64(out, entries);
            put64(out, len);
            put64(out, start);
            put32(out, END_64_LOCATOR);
            put32(out, 0); // the disk with that record
            put64(out, start + len);
            put32(out, 1); // disks
        }
        put32(out, END);
        put16(out, 0); // this disk
        put16(out, 0); // that of the directory
        for _ in ["on this disk", "in all"] {
            put16(out, u16::try_from(entries).unwrap_or(u16::MAX));
        }
        put32(out, u32::try_from(len).unwrap_or(IN_EXTRA));
        put32(out, u32::try_from(start).unwrap_or(IN_EXTRA));
        put16(out, 0); // no comment
    }
}

/// A name without backslashes: programs on Windows take them for slashes, and would leave the folder by them.
fn safe(name: &[u8]) -> Vec<u8> {
    name.split(|&byte| byte == b'\\').collect::<Vec<_>>().join(&b"%5C"[..])
}

/// Date and time as DOS has them (section 4.4.6), in UTC: from 1980 to 2107, in steps of two seconds.
fn dos_time(modified_s: u32) -> (u16, u16) {
    let time = Timestamp::from_second(modified_s.into()).unwrap_or_default();
    let time = Offset::UTC.to_datetime(time);
    let year = (time.year() - 1980).unsigned_abs();
    if time.year() < 1980 || year > 127 {
        return (1 << 5 | 1, 0);
    }
    let part = |part: i8| u16::from(part.unsigned_abs());
    let date = year << 9 | part(time.month()) << 5 | part(time.day());
    (date, part(time.hour()) << 11 | part(time.minute()) << 5 | (part(time.second()) / 2))
}

fn put_time(out: &mut Vec<u8>, modified_s: u32) {
    put16(out, EXTRA_TIME);
    put16(out, 5);
    out.push(1); // the time of modification alone
    put32(out, modified_s);
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a number in as few bytes as possible: seven bits each, and the eighth set in all but the last.
fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses the end of an archive written without contents: the parts of the end, and the offset of each
    /// entry.
    fn written(entries: &[(&[u8], u64)]) -> (Zip, Vec<(usize, u64)>) {
        let (mut zip, mut out, mut content_bytes) = (Zip::default(), Vec::new(), 0);
        let mut starts = Vec::new();
        for (name, size_bytes) in entries {
            starts.push((out.len(), out.len() as u64 + content_bytes));
            let entry = zip.begin(&mut out, name, *size_bytes, 1_700_000_001, None);
            content_bytes += size_bytes;
            zip.end(&mut out, &entry, 7).unwrap();
        }
        (zip, starts)
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn sizes_and_offsets_beyond_32_bits_are_in_the_extra_field() {
        let entries: [(&[u8], u64); 4] =
            [(b"a/small", 5), (b"a/large", 5 << 30), (b"a/largest", u64::from(u32::MAX)), (b"b", 1)];
        let (zip, starts) = written(&entries);
        let mut directory = zip.into_directory();
        for ((name, size_bytes), (_, offset)) in entries.iter().zip(starts) {
            let mut record = Vec::new();
            assert!(directory.put_next(&mut record));
            let extra = &record[46 + name.len()..];
            assert_eq!(&record[46..46 + name.len()], *name);
            let size_64 = *size_bytes >= SIZE_64_MIN;
            let mut at = 4;
            if size_64 {
                assert_eq!(&record[20..28], [0xff; 8]);
                assert_eq!((u64_at(extra, 4), u64_at(extra, 12)), (*size_bytes, *size_bytes));
                at = 20;
            } else {
                assert_eq!(&record[20..24], (*size_bytes as u32).to_le_bytes());
            }
            if offset >= SIZE_64_MIN {
                assert_eq!((&record[42..46], u64_at(extra, at)), (&[0xff; 4][..], offset));
            } else {
                assert_eq!(&record[42..46], (offset as u32).to_le_bytes());
            }
        }
        let mut end = Vec::new();
        assert!(!directory.put_next(&mut end));
        assert_eq!(end[..4], END_64.to_le_bytes());
        assert_eq!((u64_at(&end, 24), u64_at(&end, 48)), (4, directory.start));
        assert_eq!(u64_at(&end, 64), directory.start + directory.len, "where that record is");
    }

    #[test]
    fn an_archive_within_32_bits_ends_in_the_old_form() {
        let (zip, _) = written(&[(b"a", 1), (b"a/b", 2)]);
        let mut directory = zip.into_directory();
        let mut out = Vec::new();
        while directory.put_next(&mut out) {}
        assert_eq!(out[out.len() - 22..][..4], END.to_le_bytes());
        assert!(!out.windows(4).any(|window| window == END_64.to_le_bytes()));
    }

    #[test]
    fn names_take_little_memory_and_too_many_of_them_are_an_error() {
        const ENTRIES: usize = 10_000;
        let (mut zip, mut out) = (Zip::default(), Vec::new());
        let mut add = |zip: &mut Zip, number: usize| {
            let name = format!("archive/a/long/way/down/to/the/file/number/{number}");
            let entry = zip.begin(&mut out, name.as_bytes(), 1_000, 0, Some(1));
            zip.end(&mut out, &entry, 1)
        };
        (0..ENTRIES).for_each(|number| add(&mut zip, number).unwrap());
        assert!(zip.records.len() < 30 * ENTRIES, "{}", zip.records.len());
        zip.records.resize(ZIP_DIRECTORY_BYTES_MAX, 0);
        let error = add(&mut zip, ENTRIES).unwrap_err();
        assert!(error.to_string().contains("download it as tar"), "{error}");
    }

    #[test]
    fn no_name_has_a_backslash() {
        assert_eq!(safe(b"a/..\\..\\b"), b"a/..%5C..%5Cb");
    }

    #[test]
    fn times_of_dos_are_even_seconds_since_1980() {
        // 2023-11-14 22:13:21 UTC
        let (date, time) = dos_time(1_700_000_001);
        let parts = (date >> 9, date >> 5 & 0xf, date & 0x1f, time >> 11, time >> 5 & 0x3f, time & 0x1f);
        assert_eq!(parts, (2023 - 1980, 11, 14, 22, 13, 21 / 2));
        assert_eq!(dos_time(0), (1 << 5 | 1, 0));
        assert_eq!(dos_time(u32::MAX).0 >> 9, 2106 - 1980);
    }
}
