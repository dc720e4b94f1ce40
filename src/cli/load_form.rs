//! Bodies of forms, as `oneloop load` makes them: `--form` and `--data-urlencode`, with curl's syntax.

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::Failure;
use super::load_input::{BODY_BYTES_MAX, FileInput};

/// All but the characters that stand for themselves in forms and URLs (RFC 3986, section 2.3).
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A pair of a form for the media type application/x-www-form-urlencoded: `NAME=TEXT`, `=TEXT`, `TEXT`,
/// `NAME@FILE` or `@FILE`. The text is encoded, the name is not.
pub(super) fn urlencoded(typed: &str, input: FileInput) -> Result<String, Failure> {
    let at = typed.find(['=', '@']);
    let (name, text) = match at {
        Some(at) if typed.as_bytes()[at] == b'=' => (&typed[..at], typed.as_bytes()[at + 1..].to_vec()),
        Some(at) => (&typed[..at], input.file("--data-urlencode", &typed[at + 1..])?),
        None => ("", typed.as_bytes().to_vec()),
    };
    let text = percent_encode(&text, ENCODED);
    Ok(if name.is_empty() { text.to_string() } else { format!("{name}={text}") })
}

/// The body of a form for the media type multipart/form-data (RFC 7578), and that type with its boundary.
/// Parts are `NAME=TEXT`, `NAME=@FILE` or `NAME=<FILE`; after a file `;type=TYPE` and `;filename=NAME`.
pub(super) fn multipart(parts: &[String], input: FileInput) -> Result<(Vec<u8>, String), Failure> {
    let parts: Vec<FormPart> =
        parts.iter().map(|typed| FormPart::read(typed, input)).collect::<Result<_, _>>()?;
    let boundary = boundary(&parts);
    let mut body = Vec::new();
    for part in &parts {
        let name = quoted(&part.name);
        let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"");
        if let Some(file) = &part.file_name {
            let _ = write!(head, "; filename=\"{}\"", quoted(file));
        }
        if let Some(media_type) = &part.media_type {
            let _ = write!(head, "\r\nContent-Type: {media_type}");
        }
        head.push_str("\r\n\r\n");
        for bytes in [head.as_bytes(), &part.content, b"\r\n"] {
            body.extend_from_slice(bytes);
        }
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    if body.len() as u64 > BODY_BYTES_MAX {
        return Err(Failure::Usage("--form: the parts have more than 1 GiB together".to_owned()));
    }
    Ok((body, format!("multipart/form-data; boundary={boundary}")))
}

struct FormPart {
    name: String,
    file_name: Option<String>,
    media_type: Option<String>,
    content: Vec<u8>,
}

impl FormPart {
    fn read(typed: &str, input: FileInput) -> Result<FormPart, Failure> {
        let wrong = |what: &str| {
            Failure::Usage(format!(
                "--form \"{}\": {what}; write NAME=TEXT, NAME=@FILE or NAME=@FILE;type=image/png",
                typed.escape_debug()
            ))
        };
        let (name, value) = typed.split_once('=').ok_or_else(|| wrong("= is missing"))?;
        if name.is_empty() {
            return Err(wrong("the name is missing"));
        }
        let is_upload = value.starts_with('@');
        let Some(file) = value.strip_prefix(['@', '<']) else {
            let (name, content) = (name.to_owned(), value.as_bytes().to_vec());
            return Ok(FormPart { name, file_name: None, media_type: None, content });
        };
        let mut settings = file.split(';');
        let path = settings.next().unwrap_or_default();
        let base = std::path::Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
        let guessed = || mime_guess::from_path(path).first_or_octet_stream().to_string();
        let mut part = FormPart {
            name: name.to_owned(),
            file_name: base.filter(|_| is_upload),
            media_type: is_upload.then(guessed),
            content: input.file("--form", path)?,
        };
        for setting in settings {
            match setting.trim().split_once('=') {
                Some(("type", media_type)) if media_type.bytes().all(|byte| (b' '..0x7f).contains(&byte)) => {
                    part.media_type = Some(media_type.to_owned());
                }
                Some(("filename", name)) => part.file_name = Some(name.trim_matches('"').to_owned()),
                _ => return Err(wrong("only ;type=TYPE and ;filename=NAME may follow a file")),
            }
        }
        Ok(part)
    }
}

/// A name between quotes, as browsers write it (WHATWG, multipart/form-data encoding algorithm).
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A line that is in no part.
fn boundary(parts: &[FormPart]) -> String {
    // Bounded: 64 random bits are in a part by accident once in the age of the universe.
    loop {
        let random = RandomState::new().build_hasher().finish();
        let boundary = format!("oneloop-{random:016x}");
        let is_in = |part: &FormPart| {
            part.content.windows(boundary.len()).any(|window| window == boundary.as_bytes())
        };
        if !parts.iter().any(is_in) {
            return boundary;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_encoded_as_curl_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, "x y\n").unwrap();
        let file = file.display();
        for (typed, expected) in [
            ("a=b c&d".to_owned(), "a=b%20c%26d"),
            ("=a=b".to_owned(), "a%3Db"),
            ("ü".to_owned(), "%C3%BC"),
            ("a=-._~".to_owned(), "a=-._~"),
            (format!("t@{file}"), "t=x%20y%0A"),
            (format!("@{file}"), "x%20y%0A"),
        ] {
            assert_eq!(urlencoded(&typed, FileInput::Read).unwrap(), expected, "{typed}");
        }
    }

    #[test]
    fn parts_have_a_name_a_type_and_a_file_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a \"b\".png");
        std::fs::write(&file, b"\x89PNG").unwrap();
        let file = file.display();
        let typed = [
            "user=ann".to_owned(),
            format!("picture=@{file}"),
            format!("text=<{file};type=text/plain"),
            format!("other=@{file};filename=x.bin;type=a/b"),
        ];
        let (body, media_type) = multipart(&typed, FileInput::Read).unwrap();
        let boundary = media_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let body = String::from_utf8_lossy(&body).replace('\u{fffd}', "?");
        let expected = [
            "Content-Disposition: form-data; name=\"user\"\r\n\r\nann",
            "Content-Disposition: form-data; name=\"picture\"; filename=\"a %22b%22.png\"\r\nContent-Type: image/png\r\n\r\n?PNG",
            "Content-Disposition: form-data; name=\"text\"\r\nContent-Type: text/plain\r\n\r\n?PNG",
            "Content-Disposition: form-data; name=\"other\"; filename=\"x.bin\"\r\nContent-Type: a/b\r\n\r\n?PNG",
        ];
        let expected = expected.join(&format!("\r\n--{boundary}\r\n"));
        assert_eq!(body, format!("--{boundary}\r\n{expected}\r\n--{boundary}--\r\n"));
    }

    #[test]
    fn an_invalid_form_part_is_reported() {
        for (typed, part) in [
            ("a", "= is missing"),
            ("=a", "the name is missing"),
            ("a=@/dev/null;size=5", "only ;type=TYPE"),
            ("a=@/no/such", "/no/such"),
        ] {
            let error = format!("{:?}", multipart(&[typed.to_owned()], FileInput::Read).unwrap_err());
            assert!(error.contains(part), "{typed}: {error}");
        }
    }
}
