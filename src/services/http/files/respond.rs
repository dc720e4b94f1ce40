//! The responses with files: whole, in ranges, or not modified.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use super::super::body::{Body, BodyPiece};
use super::super::codec::request::{Field, Method, RequestHead};
use super::super::codec::status::Status;
use super::super::codec::target::{encode_query, encode_segment};
use super::super::response::Response;
use super::clean::PageAddress;
use super::conditional::{Precondition, precondition, range_counts};
use super::config::Site;
use super::encoding;
use super::listing::{Listing, head_lines};
use super::range::{RangeSelection, wanted};
use super::resource::{Resource, Variant};

/// The methods that files allow.
const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\n";

/// The response to OPTIONS: what a server or a file can be asked for.
pub(crate) fn options() -> Response {
    Response::new(Status::NoContent).with_lines([ALLOW])
}

/// The response to a method that files do not have.
pub(crate) fn refused(method: Method) -> Response {
    match method {
        Method::Other => Response::error(Status::NotImplemented),
        _ => Response::error(Status::MethodNotAllowed).with_lines([ALLOW]),
    }
}

/// An error, with a link to the top of the site, from which `file` is relative. The link is relative, too: a
/// reverse proxy may have removed the front of the path that the client asked for.
pub(crate) fn error(status: Status, target: &[u8], file: &[u8]) -> Response {
    let levels = file.iter().filter(|byte| **byte == b'/').count();
    let is_top = file.is_empty();
    let home = (!is_top).then(|| top_from(target, levels));
    Response::error_page(status, home.as_deref())
}

/// The relative reference to the folder this many levels above `target`. A client counts each slash of a
/// sequence (`/a//b`) as a level (RFC 3986, section 5.2.4); here they count as one.
fn top_from(target: &[u8], levels: usize) -> String {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let segments = path.rsplit(|&byte| byte == b'/').skip(1); // without the last
    let (mut levels, mut ups) = (levels, 0);
    for segment in segments {
        if levels == 0 {
            break;
        }
        ups += 1;
        levels -= usize::from(!segment.is_empty());
    }
    if ups == 0 { "./".to_owned() } else { "../".repeat(ups) }
}

/// To the same directory with a slash, which is what links in its pages are relative to. The reference is
/// relative (RFC 9110, section 10.2.2): a reverse proxy may have removed the front of the path that the
/// client asked for.
pub(crate) fn slash(file: &[u8], query: &[u8]) -> Response {
    let mark = if query.is_empty() { "" } else { "?" };
    let name = file.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    // Colons are encoded, so that none ends a scheme (RFC 3986, section 4.2).
    let (name, query) = (encode_segment(name), encode_query(query));
    Response::new(Status::MovedPermanently).with_field("Location", format!("{name}/{mark}{query}"))
}

/// A redirect to the address of a page, with `no-cache`, because clients cache permanent redirects: later the
/// site may be served without clean URLs, or another site at the same port.
pub(crate) fn moved(target: &[u8], page: &PageAddress, query: &[u8]) -> Response {
    let PageAddress { levels_up, name } = page;
    let up = if *levels_up > 0 { top_from(target, *levels_up) } else { String::new() };
    let mark = if query.is_empty() { "" } else { "?" };
    Response::new(Status::MovedPermanently)
        .with_field("Location", format!("{up}{name}{mark}{}", encode_query(query)))
        .with_lines(["Cache-Control: no-cache\r\n"])
}

/// The listing of a directory, whose length is not known in advance. With `readme` it is made beside the
/// loop, so that Markdown that takes long to parse does not delay other clients.
pub(crate) fn listing(listing: Listing, readme: bool) -> Response {
    let body = if readme { Body::blocking(listing) } else { Body::producer(listing) };
    Response::new(Status::Ok)
        .with_field("Content-Type", "text/html; charset=utf-8")
        .with_lines([head_lines(readme).as_str()])
        .with_body(body)
}

/// The page of the site for what does not exist. It has no `Cache-Control`: the configured value is for files
/// that exist.
pub(crate) fn not_found(page: &Variant) -> Response {
    let body = Body::pieces([page.piece(&(0..page.len()))]);
    Response::new(Status::NotFound)
        .with_field("Content-Type", &page.media_type)
        .with_lines([page.described.as_str(), &page.encoding, &page.kept])
        .with_body(body)
}

/// A file: its conditions, its coding, its ranges.
pub(crate) fn file(site: &Site, request: &RequestHead<'_>, resource: &Resource) -> Response {
    let variant = choose(request, resource);
    match precondition(request, &variant.validators) {
        Precondition::NotModified => {
            return Response::new(Status::NotModified)
                .with_lines([variant.kept.as_str(), &site.cache_control]);
        }
        Precondition::Failed => return Response::error(Status::PreconditionFailed),
        Precondition::Proceed => {}
    }
    let wanted = match request.value(Field::Range) {
        Some(range) if request.method == Method::Get && range_counts(request, &variant.validators) => {
            wanted(range, variant.len())
        }
        _ => RangeSelection::Whole,
    };
    match wanted {
        RangeSelection::Whole => Response::prepared(Arc::clone(&variant.whole)),
        RangeSelection::Nothing => Response::new(Status::RangeNotSatisfiable)
            .with_field("Content-Range", format!("bytes */{}", variant.len()))
            .with_lines([variant.kept.as_str()]),
        RangeSelection::Parts(ranges) => match &ranges[..] {
            [range] => one_range(site, variant, range),
            ranges => several_ranges(site, variant, ranges),
        },
    }
}

fn one_range(site: &Site, variant: &Variant, range: &Range<u64>) -> Response {
    let Variant { media_type, described, encoding, kept, .. } = variant;
    let range_line = content_range(range, variant.len());
    Response::new(Status::PartialContent)
        .with_field("Content-Type", media_type)
        .with_lines([&range_line, described.as_str(), encoding, kept, &site.cache_control])
        .with_body(Body::pieces([variant.piece(range)]))
}

/// Several ranges in one response (RFC 9110, section 14.6). Each part has its own `Content-Encoding`: with a
/// field in the head of the response, a client would decode the lines between the parts, too.
fn several_ranges(site: &Site, variant: &Variant, ranges: &[Range<u64>]) -> Response {
    let Variant { media_type, described, encoding, kept, validators, .. } = variant;
    let mut hasher = DefaultHasher::new();
    (&validators.etag.opaque, ranges).hash(&mut hasher);
    let boundary = format!("oneloop-{:016x}", hasher.finish());
    let mut pieces = Vec::with_capacity(2 * ranges.len() + 1);
    for range in ranges {
        let range_line = content_range(range, variant.len());
        let head = format!("\r\n--{boundary}\r\nContent-Type: {media_type}\r\n{encoding}{range_line}\r\n");
        pieces.extend([BodyPiece::bytes(head), variant.piece(range)]);
    }
    pieces.push(BodyPiece::bytes(format!("\r\n--{boundary}--\r\n")));
    Response::new(Status::PartialContent)
        .with_field("Content-Type", format!("multipart/byteranges; boundary={boundary}"))
        .with_lines([described.as_str(), kept, &site.cache_control])
        .with_body(Body::pieces(pieces))
}

/// The variant that this client would rather have.
pub(crate) fn choose<'r>(request: &RequestHead<'_>, resource: &'r Resource) -> &'r Variant {
    let coding = if resource.is_encoded() && request.has(Field::AcceptEncoding) {
        encoding::choose(request.values(Field::AcceptEncoding), resource.codings())
    } else {
        None
    };
    resource.variant(coding)
}

fn content_range(range: &Range<u64>, len: u64) -> String {
    let mut line = String::with_capacity(64);
    write!(line, "Content-Range: bytes {}-{}/{len}\r\n", range.start, range.end - 1)
        .expect("memory takes all");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_the_top_of_the_site_for_a_client_that_counts_every_slash() {
        for (target, levels, home) in [
            ("/missing", 0, "./"),
            ("/a/b/missing?/x/", 2, "../../"),
            ("/a//b/missing", 2, "../../../"),
            ("/a/b//", 2, "../../../"),
            ("/docs//missing", 0, "./"),
            ("http://h//a/missing", 1, "../"),
        ] {
            assert_eq!(top_from(target.as_bytes(), levels), home, "{target}");
        }
    }
}
