//! The file of `--urls`: a request in each line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Failure;
use super::load_input::{BODY_BYTES_MAX, read_file};
use crate::load::clients::HttpRequest;

/// The longest file: its requests are kept in memory.
const FILE_BYTES_MAX: usize = 64 << 20;
const REQUESTS_MAX: usize = 100_000;
const WEIGHT_MAX: u32 = 1_000_000;

/// What a line is.
const FORM: &str = "a line is [WEIGHT] [METHOD] URL [@BODYFILE], such as: 3 POST /orders @order.json";

/// The requests of a file with their weights. Each is `base` with its own method, target and body.
pub(super) fn read_urls(path: &Path, base: &HttpRequest) -> Result<Vec<(HttpRequest, u32)>, Failure> {
    let bytes = read_file("--urls", &path.display().to_string())?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Failure::Usage(format!("--urls: {} has more than 64 MiB", path.display())));
    }
    let text = String::from_utf8_lossy(&bytes);
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut requests, mut bodies, mut bodies_bytes) = (Vec::new(), HashMap::new(), 0);
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: String| Failure::Usage(format!("--urls: {}:{}: {what}", path.display(), at + 1));
        let (request, weight) = read_line(line, base, |file| {
            let path: PathBuf = folder.join(file);
            let body: &Vec<u8> = match bodies.entry(path.clone()) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    let body = std::fs::read(&path)
                        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                    entry.insert(body)
                }
            };
            bodies_bytes += body.len() as u64;
            if bodies_bytes > BODY_BYTES_MAX {
                return Err("the bodies have more than 1 GiB together".to_owned());
            }
            Ok(body.clone())
        })
        .map_err(wrong)?;
        if requests.len() == REQUESTS_MAX {
            return Err(wrong(format!("the file has more than {REQUESTS_MAX} requests")));
        }
        requests.push((request, weight));
    }
    if requests.is_empty() {
        return Err(Failure::Usage(format!("--urls: {} has no request; {FORM}", path.display())));
    }
    Ok(requests)
}

fn read_line(
    line: &str,
    base: &HttpRequest,
    read: impl FnOnce(&str) -> Result<Vec<u8>, String>,
) -> Result<(HttpRequest, u32), String> {
    let mut words = line.split_whitespace().peekable();
    let is_weight = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    let weight = match words.next_if(is_weight) {
        Some(word) => word
            .parse::<u32>()
            .ok()
            .filter(|weight| (1..=WEIGHT_MAX).contains(weight))
            .ok_or_else(|| format!("the weight {word} is not from 1 to {WEIGHT_MAX}"))?,
        None => 1,
    };
    let method = words.next_if(|word| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'));
    let url = words.next().ok_or_else(|| format!("the URL is missing; {FORM}"))?;
    let mut request = base.clone().for_target(target_of(url, base)?);
    match (words.next(), words.next()) {
        (None, _) => {}
        (Some(body), None) if body.starts_with('@') && body.len() > 1 => {
            let file = &body[1..];
            request = request.method("POST").map_err(|error| error.to_string())?.body(read(file)?);
            if !request.has_field("Content-Type") {
                let media_type =
                    mime_guess::from_path(file).first_raw().unwrap_or("application/octet-stream");
                request = request.field("Content-Type", media_type).map_err(|error| error.to_string())?;
            }
        }
        (Some(word), _) => {
            return Err(format!("\"{}\" follows the URL; {FORM}", word.escape_debug()));
        }
    }
    if let Some(method) = method {
        request = request.method(method).map_err(|error| error.to_string())?;
    }
    Ok((request, weight))
}

/// The target of a URL of the server that is loaded.
fn target_of<'a>(url: &'a str, base: &HttpRequest) -> Result<&'a str, String> {
    if url.starts_with('/') {
        return Ok(url.split('#').next().unwrap_or(url));
    }
    let shown = url.escape_debug();
    let is_http = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if !is_http {
        return Err(format!("\"{shown}\" is not a URL; {FORM}"));
    }
    let rest = &url[7..];
    let (host, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !host.eq_ignore_ascii_case(base.host()) {
        return Err(format!(
            "\"{shown}\" is of another server than {}; leave the host out, or load each server by itself",
            base.host()
        ));
    }
    let target = target.split('#').next().unwrap_or(target);
    match target {
        "" => Ok("/"),
        target if target.starts_with('/') => Ok(target),
        _ => Err(format!("\"{shown}\" has no path in front of its query; write /?...")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<String, String> {
        let base =
            HttpRequest::get("h:81", "/").field("X", "1").unwrap().without_field("User-Agent").unwrap();
        let base = base.without_field("Accept").unwrap();
        let (request, weight) = read_line(line, &base, |file| Ok(format!("body of {file}").into_bytes()))?;
        Ok(format!("{weight} {}", String::from_utf8(request.to_bytes()).unwrap().replace("\r\n", "|")))
    }

    #[test]
    fn a_line_is_a_weight_a_method_a_url_and_a_body() {
        for (line, expected) in [
            ("/a?b#c", "1 GET /a?b HTTP/1.1|Host: h:81|X: 1||"),
            ("9 /a", "9 GET /a HTTP/1.1|Host: h:81|X: 1||"),
            ("DELETE http://H:81/a", "1 DELETE /a HTTP/1.1|Host: h:81|X: 1||"),
            ("http://h:81", "1 GET / HTTP/1.1|Host: h:81|X: 1||"),
            (
                "2 PUT /a @x.json",
                "2 PUT /a HTTP/1.1|Host: h:81|X: 1|Content-Type: application/json|Content-Length: 14||body of x.json",
            ),
            (
                "/a @x",
                "1 POST /a HTTP/1.1|Host: h:81|X: 1|Content-Type: application/octet-stream|Content-Length: 9||body of x",
            ),
        ] {
            assert_eq!(read(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn an_invalid_line_is_reported() {
        for (line, part) in [
            ("GET", "the URL is missing"),
            ("0 /a", "the weight 0 is not from 1"),
            ("99999999999 /a", "is not from 1"),
            ("a.html", "is not a URL"),
            ("https://h:81/a", "is not a URL"),
            ("http://other/a", "is of another server than h:81"),
            ("http://h:81?a", "no path in front of its query"),
            ("/a body", "\"body\" follows the URL"),
            ("/a @x y", "\"@x\" follows the URL"),
            ("CONNECT /a", "is not a method"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
