//! Media types by file name.

/// The media type of a file with this name, with the charset where the type has one; bytes of an unknown kind if the
/// name says nothing.
pub(super) fn type_of(path: &[u8], charset: &str) -> String {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 => std::str::from_utf8(&name[dot + 1..]).unwrap_or(""),
        _ => "",
    };
    let media_type = match extension.to_ascii_lowercase().as_str() {
        // RFC 9239: the only type for scripts that is not obsolete.
        "mjs" => "text/javascript",
        "zst" => "application/zstd",
        _ => mime_guess::from_ext(extension).first_raw().unwrap_or("application/octet-stream"),
    };
    if media_type.starts_with("text/") && !charset.is_empty() {
        format!("{media_type}; charset={charset}")
    } else {
        media_type.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_extension_and_text_has_a_charset() {
        let table = [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b.JS", "text/javascript; charset=utf-8"),
            ("m.mjs", "text/javascript; charset=utf-8"),
            ("s.css", "text/css; charset=utf-8"),
            ("notes.md", "text/markdown; charset=utf-8"),
            ("x.json", "application/json"),
            ("p.svg", "image/svg+xml"),
            ("p.png", "image/png"),
            ("v.mp4", "video/mp4"),
            ("v.webm", "video/webm"),
            ("a.wasm", "application/wasm"),
            ("a.tar.gz", "application/gzip"),
            ("a.zst", "application/zstd"),
            ("README", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("dir.html/file", "application/octet-stream"),
        ];
        for (path, expected) in table {
            assert_eq!(type_of(path.as_bytes(), "utf-8"), expected, "{path}");
        }
        assert_eq!(type_of(b"a.txt", ""), "text/plain");
        assert_eq!(type_of(b"a.\xff", "utf-8"), "application/octet-stream");
    }
}
