//! Conditional requests (RFC 9110, section 13).

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::codec::request::{Field, Method, RequestHead};
use super::etag::EntityTag;

/// The validators of a representation (RFC 9110, section 8.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    pub(crate) etag: EntityTag,
    /// When the file was modified, in seconds since 1970; `None` if that time is not usable as
    /// `Last-Modified`.
    pub(crate) modified_s: Option<u64>,
}

/// The result of the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// The preconditions in their order of precedence (RFC 9110, section 13.2.2).
pub(crate) fn precondition(request: &RequestHead<'_>, ours: &Validators) -> Precondition {
    if request.has(Field::IfMatch) {
        if !lists(request.values(Field::IfMatch), &ours.etag, TagComparison::Strong) {
            return Precondition::Failed;
        }
    } else if let (Some(unless_since), Some(modified)) =
        (date(request, Field::IfUnmodifiedSince), ours.modified_s)
        && modified > unless_since
    {
        return Precondition::Failed;
    }
    if request.has(Field::IfNoneMatch) {
        if lists(request.values(Field::IfNoneMatch), &ours.etag, TagComparison::Weak) {
            return Precondition::NotModified;
        }
    } else if matches!(request.method, Method::Get | Method::Head)
        && let (Some(since), Some(modified)) = (date(request, Field::IfModifiedSince), ours.modified_s)
        && modified <= since
    {
        return Precondition::NotModified;
    }
    Precondition::Proceed
}

/// Whether the Range of a request applies: its If-Range must name the current state (RFC 9110, section
/// 13.1.5). A date never does: it would have to be a strong validator, but a file can change twice within a
/// second (section 8.8.2.2), and its time can be set at will. Clients can use the entity tag.
pub(crate) fn range_counts(request: &RequestHead<'_>, ours: &Validators) -> bool {
    if !request.has(Field::IfRange) {
        return true;
    }
    let named = request.value(Field::IfRange).map(<[u8]>::trim_ascii);
    !ours.etag.is_weak && named == Some(ours.etag.opaque.as_bytes())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TagComparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags contains ours; `*` contains every tag.
fn lists<'a>(
    mut values: impl Iterator<Item = &'a [u8]>,
    ours: &EntityTag,
    comparison: TagComparison,
) -> bool {
    values.any(|value| {
        let mut rest = value.trim_ascii();
        if rest == b"*" {
            return true;
        }
        // Tags may contain commas, so the list is parsed tag by tag. Each round takes at least one byte.
        for _ in 0..value.len() {
            rest = rest.trim_ascii_start();
            if let Some(more) = rest.strip_prefix(b",") {
                rest = more;
                continue;
            }
            let (weak, tag) = match rest.strip_prefix(b"W/") {
                Some(tag) => (true, tag),
                None => (false, rest),
            };
            let end = tag.iter().skip(1).position(|&byte| byte == b'"');
            let (true, Some(end)) = (tag.starts_with(b"\""), end) else { return false };
            let (tag, more) = tag.split_at(end + 2);
            let matches_any_strength = comparison == TagComparison::Weak || !(weak || ours.is_weak);
            if tag == ours.opaque.as_bytes() && matches_any_strength {
                return true;
            }
            rest = more;
        }
        false
    })
}

/// A field with a date, in any of the three forms (RFC 9110, section 5.6.7); anything else is as if it were
/// absent.
fn date(request: &RequestHead<'_>, field: Field) -> Option<u64> {
    let text = std::str::from_utf8(request.value(field)?).ok()?;
    let time: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::super::codec::request::parsed;
    use super::*;

    /// A strong comparison never matches a weak tag (RFC 9110, section 8.8.3.2).
    #[test]
    fn a_weak_tag_saves_a_download_and_selects_no_part() {
        let etag = EntityTag { opaque: "\"x\"".into(), is_weak: true };
        let ours = Validators { etag, modified_s: None };
        for (field, expected) in [
            ("If-None-Match: W/\"x\"", (Precondition::NotModified, true)),
            ("If-None-Match: \"x\"", (Precondition::NotModified, true)),
            ("If-Match: W/\"x\"", (Precondition::Failed, true)),
            ("If-Match: \"x\"", (Precondition::Failed, true)),
            ("If-Match: *", (Precondition::Proceed, true)),
            ("If-Range: W/\"x\"", (Precondition::Proceed, false)),
            ("If-Range: \"x\"", (Precondition::Proceed, false)),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
            let came_to = parsed(head.as_bytes(), |request| {
                let request = request.unwrap();
                (precondition(request, &ours), range_counts(request, &ours))
            });
            assert_eq!(came_to, expected, "{field}");
        }
    }
}
