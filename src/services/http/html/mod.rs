//! What all pages of the server share: their style, and how text becomes HTML.

use std::fmt::Write as _;

use super::codec::status::Status;

/// The style of every page.
pub(crate) const STYLE: &str = include_str!("base.css");
/// [`STYLE`] as a source of a `Content-Security-Policy`: nothing but this style is applied, whatever finds
/// its way into a page.
pub(crate) const STYLE_SOURCE: &str = "'sha256-4yvqclwBtOPzM5zWLE3Mtni2edhpp6+jViQ9c/qrKRs='";
/// The lines of the head of an error page.
pub(crate) const ERROR_LINES: &str = "X-Content-Type-Options: nosniff\r\n\
    Content-Security-Policy: default-src 'none'; style-src 'sha256-4yvqclwBtOPzM5zWLE3Mtni2edhpp6+jViQ9c/qrKRs='; \
    base-uri 'none'; form-action 'none'\r\n";

/// The beginning of a page, with its body's first tag. `title` is HTML.
pub(crate) fn page_top(title: &str, more_styles: &[&str]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width,initial-scale=1\"><title>{title}</title>"
    );
    for style in [STYLE].iter().chain(more_styles) {
        page.extend(["<style>", style, "</style>"]);
    }
    page.push_str("</head><body>");
    page
}

/// The page for an error, with a link to `home`.
pub(crate) fn error_page(status: Status, home: Option<&str>) -> String {
    let title = format!("{} {}", status.code(), status.reason());
    let mut page = page_top(&title, &[]);
    write!(page, "<main><h1>{title}</h1><p>{}</p>", explanation(status)).expect("memory takes all");
    if let Some(home) = home {
        write!(page, "<p><a href=\"{home}\">Home</a></p>").expect("memory takes all");
    }
    page.push_str("</main></body></html>\n");
    page
}

/// What the status means to a person, and what to do.
fn explanation(status: Status) -> &'static str {
    match status {
        Status::BadRequest => "The server does not understand this request.",
        Status::Unauthorized => "A user name and a password are required.",
        Status::Forbidden => "This address may not be read.",
        Status::NotFound => "There is nothing at this address.",
        Status::MethodNotAllowed | Status::NotImplemented => {
            "Nothing can be sent to this address or changed there in this way."
        }
        Status::MisdirectedRequest => "There is no site with this host name here.",
        Status::RequestTimeout => "The request took too long to arrive.",
        Status::UriTooLong | Status::HeaderFieldsTooLarge | Status::ContentTooLarge => {
            "The request is too long."
        }
        Status::TooManyRequests => "There were too many requests. Try again later.",
        Status::InternalError => "Something went wrong on the server.",
        Status::Unavailable => "The server is busy. Try again in a moment.",
        _ => "This request cannot be answered.",
    }
}

/// Adds a name. Invalid UTF-8, control characters, and characters that change the direction of text, with
/// which one name could look like another, become the replacement character.
pub(crate) fn escape(name: &[u8], to: &mut String) {
    for chunk in name.utf8_chunks() {
        push_escaped(chunk.valid(), "", to);
        if !chunk.invalid().is_empty() {
            to.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Adds text of several lines.
pub(crate) fn escape_text(text: &str, to: &mut String) {
    push_escaped(text, "\n\r\t", to);
}

/// `kept`: control characters that stay.
fn push_escaped(text: &str, kept: &str, to: &mut String) {
    let is_plain = |char: char| is_text(char) || kept.contains(char);
    let mut rest = text;
    // Runs without escapes are copied at once.
    while let Some((at, char)) = rest.char_indices().find(|(_, char)| !is_plain(*char)) {
        to.push_str(&rest[..at]);
        match char {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            _ => to.push(char::REPLACEMENT_CHARACTER),
        }
        rest = &rest[at + char.len_utf8()..];
    }
    to.push_str(rest);
}

/// Whether a character is shown as it is.
fn is_text(char: char) -> bool {
    !matches!(char, '&' | '<' | '>' | '"' | '\'' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        && !char.is_control()
}

/// What a `Content-Security-Policy` calls a style or a script that is in the page.
#[cfg(test)]
pub(crate) fn source_of(text: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(text);
    format!("'sha256-{}'", base64::engine::general_purpose::STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_an_error_page_names_its_style() {
        assert_eq!(STYLE_SOURCE, source_of(STYLE));
        assert!(ERROR_LINES.contains(STYLE_SOURCE));
    }
}
