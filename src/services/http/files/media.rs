//! Media types by file name, and by content where the name does not decide.

use std::cmp::Reverse;

use super::super::codec::syntax::is_token;

/// How many bytes are read of the beginning and of the end of a file whose name does not decide: installers
/// are scripts followed by an archive.
pub(crate) const SAMPLE_BYTES: u64 = 1 << 10;

/// Extensions of source text whose type in the table is one that browsers do not show: `.rs` is
/// `text/x-rust`, which Firefox downloads, `.mod` is a video, and `.ac` a certificate. A file with such an
/// extension has the type of the table only if its content is not text.
const SOURCES: [&str; 80] = [
    "ac",
    "asc",
    "bat",
    "coffee",
    "csh",
    "cu",
    "dart",
    "dlm",
    "dot",
    "dts",
    "f",
    "f77",
    "f90",
    "feature",
    "for",
    "fsx",
    "geo",
    "gv",
    "hbs",
    "hjson",
    "inf",
    "jade",
    "java",
    "json5",
    "latex",
    "less",
    "litcoffee",
    "lua",
    "man",
    "manifest",
    "me",
    "mmd",
    "mod",
    "ms",
    "mts",
    "n3",
    "nfo",
    "obj",
    "org",
    "p",
    "pas",
    "pde",
    "pem",
    "php",
    "pl",
    "pm",
    "pot",
    "prc",
    "pub",
    "roff",
    "rs",
    "sass",
    "sc",
    "scm",
    "scss",
    "sfv",
    "sh",
    "slim",
    "sql",
    "srt",
    "st",
    "styl",
    "t",
    "tcl",
    "tex",
    "texi",
    "texinfo",
    "tk",
    "toc",
    "toml",
    "tpl",
    "tr",
    "ts",
    "vbs",
    "vhd",
    "x",
    "xaml",
    "yaml",
    "yang",
    "yml",
];

const PLAIN: &str = "text/plain";

/// The types of a site: those that were configured by the end of a file's name, and the charset of text.
#[derive(Clone, Debug, Default)]
pub(crate) struct MediaTypes {
    /// Endings of names, in lower case and with their dot, and their types: the longest first; of equal ones
    /// the one configured later.
    by_suffix: Vec<(Vec<u8>, String)>,
    /// The charset; empty for none.
    charset: String,
}

impl MediaTypes {
    /// An error is the entry that has no valid suffix or type.
    pub(crate) fn new(types: &[(String, String)], charset: &str) -> Result<MediaTypes, String> {
        let mut by_suffix = Vec::new();
        for (suffix, media_type) in types.iter().rev() {
            if !is_suffix(suffix) || !is_media_type(media_type) {
                return Err(format!("{suffix}={media_type}"));
            }
            by_suffix.push((suffix.to_ascii_lowercase().into_bytes(), media_type.clone()));
        }
        by_suffix.sort_by_key(|(suffix, _)| Reverse(suffix.len()));
        Ok(MediaTypes { by_suffix, charset: charset.to_owned() })
    }

    /// The type of the file at `path`, with the charset if the type takes one. `sample` returns the beginning
    /// and the end of the content; it is called only if the name does not decide.
    pub(crate) fn type_of(&self, path: &[u8], sample: impl FnOnce() -> Vec<u8>) -> String {
        let name = name_of(path);
        let ends = |suffix: &[u8]| {
            name.len()
                .checked_sub(suffix.len())
                .is_some_and(|at| at > 0 && name[at..].eq_ignore_ascii_case(suffix))
        };
        match self.by_suffix.iter().find(|(suffix, _)| ends(suffix)) {
            Some((_, media_type)) => with_charset(media_type, &self.charset),
            None => known_type(path, &self.charset, sample),
        }
    }
}

/// Whether it is what the name of a file can end with, from a dot on.
fn is_suffix(suffix: &str) -> bool {
    suffix.strip_prefix('.').is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

/// `type "/" subtype`, perhaps with parameters (RFC 9110, section 8.3.1).
fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_token);
    essence.trim_end().split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && parameters.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn with_charset(media_type: &str, charset: &str) -> String {
    if media_type.starts_with("text/") && !media_type.contains(';') && !charset.is_empty() {
        format!("{media_type}; charset={charset}")
    } else {
        media_type.to_owned()
    }
}

fn known_type(path: &[u8], charset: &str, sample: impl FnOnce() -> Vec<u8>) -> String {
    let extension = extension(path);
    let guess = match extension.as_str() {
        // RFC 9239: the only type for scripts that is not obsolete.
        "mjs" => Some("text/javascript"),
        "zst" => Some("application/zstd"),
        "ts" | "mts" => Some("video/mp2t"),
        extension => mime_guess::from_ext(extension).first_raw(),
    };
    let media_type = match guess {
        Some(known) if !SOURCES.contains(&extension.as_str()) => known,
        _ if is_text(&sample()) => PLAIN,
        known => known.unwrap_or("application/octet-stream"),
    };
    with_charset(media_type, charset)
}

/// Whether the format of the file includes a compression that browsers expect as a content coding: SVG with
/// gzip (SVG 2, section "Compressed SVG").
pub(crate) fn is_svgz(path: &[u8]) -> bool {
    extension(path) == "svgz"
}

/// The text after the last dot of the name, in lower case; empty if the only dot is the first character.
fn extension(path: &[u8]) -> String {
    let name = name_of(path);
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 => std::str::from_utf8(&name[dot + 1..]).unwrap_or("").to_ascii_lowercase(),
        _ => String::new(),
    }
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Whether no byte is a binary data byte (WHATWG MIME Sniffing, section 3): a control, other than white space
/// and escape.
fn is_text(sample: &[u8]) -> bool {
    sample.iter().all(|byte| matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | 0x1b | b' '..))
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
            ("p.svgz", "image/svg+xml"),
            ("a.exe", "application/octet-stream"),
        ];
        for (path, expected) in table {
            let sampled = || panic!("{path}: the name decides");
            assert_eq!(known_type(path.as_bytes(), "utf-8", sampled), expected, "{path}");
        }
        assert_eq!(known_type(b"a.txt", "", Vec::new), "text/plain");
    }

    #[test]
    fn a_configured_type_wins_by_the_longest_end_of_the_name_and_text_has_the_charset() {
        let types = [
            (".wasm", "application/x-first"),
            (".Wasm", "application/wasm"),
            (".gz", "application/gzip"),
            (".tar.gz", "application/x-tar+gzip"),
            (".md", "text/plain"),
            (".csv", "text/csv; charset=latin1"),
            (".html", "application/xhtml+xml"),
        ];
        let types = types.map(|(suffix, media_type)| (suffix.to_owned(), media_type.to_owned()));
        let types = MediaTypes::new(&types, "utf-8").unwrap();
        for (path, expected) in [
            ("a.wasm", "application/wasm"),
            ("dir/A.WASM", "application/wasm"),
            ("a.tar.gz", "application/x-tar+gzip"),
            ("a.gz", "application/gzip"),
            ("README.md", "text/plain; charset=utf-8"),
            ("a.csv", "text/csv; charset=latin1"),
            ("index.html", "application/xhtml+xml"),
            ("dir.wasm/a.css", "text/css; charset=utf-8"),
            ("a.wasm.js", "text/javascript; charset=utf-8"),
            // A hidden file has a name and no extension.
            (".wasm", "text/plain; charset=utf-8"),
            ("awasm", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(types.type_of(path.as_bytes(), || b"text".to_vec()), expected, "{path}");
        }
        for (suffix, media_type) in [
            ("wasm", "application/wasm"),
            (".", "application/wasm"),
            (".a/b", "application/wasm"),
            (".wasm", ""),
            (".wasm", "wasm"),
            (".wasm", "application/"),
            (".wasm", "a b/c"),
            (".wasm", "text/html\r\nX: y"),
            (".wasm", "text/html; a=\r\nX: y"),
            (".wasm", "text/html; a=\u{e4}"),
        ] {
            let wrong = MediaTypes::new(&[(suffix.to_owned(), media_type.to_owned())], "").unwrap_err();
            assert_eq!(wrong, format!("{suffix}={media_type}"));
        }
    }

    #[test]
    fn what_is_text_opens_in_a_browser_whatever_it_is_called() {
        let as_text =
            |path: &str| known_type(path.as_bytes(), "utf-8", || b"Caf\xc3\xa9:\tx\r\n\x1b[1m".to_vec());
        for path in [
            "LICENSE",
            "LICENSE-MIT",
            "README",
            "Makefile",
            "Dockerfile",
            "Dockerfile.dev",
            "a/CHANGES",
            ".gitignore",
            ".html",
            "dir.html/file",
            "a.go",
            "A.JAVA",
            "a.rs",
            "Cargo.toml",
            "Cargo.lock",
            "go.mod",
            "a.diff",
            "a.patch",
            "a.log",
            "a.log.1",
            "a.kt",
            "a.swift",
            "a.ts",
            "a.tsx",
            "a.py",
            "a.c",
            "a.h",
            "a.sh",
            "a.yml",
            "a.yaml",
            "a.sql",
            "a.ini",
            "a.tex",
            "a.pl",
            "a.rb",
            "configure.ac",
            "board.dts",
            "page.tpl",
            "diagram.mmd",
            "setup.inf",
            "window.xaml",
            "id_ed25519.pub",
            "a.vbs",
            "link.x",
            "a.\u{fc}",
        ] {
            assert_eq!(as_text(path), "text/plain; charset=utf-8", "{path}");
        }
        let as_bytes = |path: &str| known_type(path.as_bytes(), "utf-8", || b"\x7fELF\0".to_vec());
        for (path, expected) in [
            ("oneloop", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
            ("segment.ts", "video/mp2t"),
            ("disk.vhd", "application/x-virtualbox-vhd"),
            ("installer.sh", "application/x-sh"),
            ("film.dts", "audio/vnd.dts"),
            ("main.obj", "application/x-tgif"),
        ] {
            assert_eq!(as_bytes(path), expected, "{path}");
        }
        assert_eq!(known_type(b"a.\xff", "utf-8", || vec![0]), "application/octet-stream");
    }
}
