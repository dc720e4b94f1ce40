//! The name of an archive, and of the folder in it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::super::codec::target::encode_segment;

/// Name of the archive if the root directory has no name, as `/` has none.
const ROOT_NAME: &[u8] = b"archive";

/// The name of a folder, which is relative to the root of a site.
pub(super) fn of_folder(folder: &[u8], root: &Path) -> Vec<u8> {
    match folder.rsplit(|&byte| byte == b'/').next() {
        Some(name) if !name.is_empty() => name.to_vec(),
        _ => root.file_name().map_or(ROOT_NAME, OsStrExt::as_bytes).to_vec(),
    }
}

/// The value of `Content-Disposition` for an archive of this name (RFC 6266): in ASCII, and if that is not
/// the whole name, in the form of RFC 8187 as well, which browsers prefer.
pub(super) fn disposition(top: &[u8], extension: &str) -> String {
    let name = String::from_utf8_lossy(top).replace(char::REPLACEMENT_CHARACTER, "_");
    // A percent sign is decoded by some browsers.
    let is_plain =
        |char: char| char.is_ascii_graphic() && !matches!(char, '"' | '\\' | '%' | '/') || char == ' ';
    let plain = name.replace(|char| !is_plain(char), "_");
    let value = format!("attachment; filename=\"{plain}.{extension}\"");
    if plain == name {
        return value;
    }
    format!("{value}; filename*=UTF-8''{}.{extension}", encode_segment(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_saves_the_archive_under_the_name_of_the_folder() {
        for (name, expected) in [
            (&b"photos"[..], "attachment; filename=\"photos.zip\""),
            (b"my photos", "attachment; filename=\"my photos.zip\""),
            ("Bücher".as_bytes(), "attachment; filename=\"B_cher.zip\"; filename*=UTF-8''B%C3%BCcher.zip"),
            (b"a\"b\r\n\\", "attachment; filename=\"a_b___.zip\"; filename*=UTF-8''a%22b%0D%0A%5C.zip"),
            (b"100%", "attachment; filename=\"100_.zip\"; filename*=UTF-8''100%25.zip"),
            (b"\xff", "attachment; filename=\"_.zip\""),
        ] {
            assert_eq!(disposition(name, "zip"), expected);
        }
    }

    #[test]
    fn the_folder_in_an_archive_has_the_last_name_of_its_path() {
        let root = Path::new("/srv/site");
        assert_eq!(of_folder(b"a/b", root), b"b");
        assert_eq!(of_folder(b"", root), b"site");
        assert_eq!(of_folder(b"", Path::new("/")), ROOT_NAME);
    }
}
