//! Conditional requests (RFC 9110, section 13).

use std::time::{SystemTime, UNIX_EPOCH};

use super::request::{Field, Method, Request};

/// What tells a client's copy from ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// The strong entity tag, with its quotes.
    pub(super) etag: String,
    /// When the file was modified, in seconds since 1970; `None` where that is no date to tell.
    pub(super) modified_s: Option<u64>,
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// The preconditions in their order of precedence (RFC 9110, section 13.2.2).
pub(super) fn verdict(request: &Request<'_, '_>, ours: &Validators) -> Verdict {
    if request.has(Field::IfMatch) {
        if !lists(request.values(Field::IfMatch), &ours.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let (Some(unless_since), Some(modified)) =
        (date(request, Field::IfUnmodifiedSince), ours.modified_s)
        && modified > unless_since
    {
        return Verdict::Failed;
    }
    if request.has(Field::IfNoneMatch) {
        if lists(request.values(Field::IfNoneMatch), &ours.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if matches!(request.method, Method::Get | Method::Head)
        && let (Some(since), Some(modified)) = (date(request, Field::IfModifiedSince), ours.modified_s)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether the Range of a request counts: its If-Range names exactly our state (RFC 9110, section 13.1.5).
pub(super) fn range_counts(request: &Request<'_, '_>, ours: &Validators) -> bool {
    if !request.has(Field::IfRange) {
        return true;
    }
    match request.value(Field::IfRange).map(<[u8]>::trim_ascii) {
        Some(tag) if tag.starts_with(b"\"") => tag == ours.etag.as_bytes(),
        Some(_) => ours.modified_s.is_some() && date(request, Field::IfRange) == ours.modified_s,
        None => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags has ours; `*` has any.
fn lists<'a>(mut values: impl Iterator<Item = &'a [u8]>, ours: &str, comparison: Comparison) -> bool {
    values.any(|value| {
        let mut rest = value.trim_ascii();
        if rest == b"*" {
            return true;
        }
        // Tags may contain commas, so they are taken one by one. Each round takes at least one byte.
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
            if tag == ours.as_bytes() && (!weak || comparison == Comparison::Weak) {
                return true;
            }
            rest = more;
        }
        false
    })
}

/// A field with a date, in any of the three forms (RFC 9110, section 5.6.7); anything else is as if it were absent.
fn date(request: &Request<'_, '_>, field: Field) -> Option<u64> {
    let text = std::str::from_utf8(request.value(field)?).ok()?;
    let time: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
