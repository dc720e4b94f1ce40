//! The report of a response, for the observers of a server.

use std::time::SystemTime;

use super::codec::request::{Field, RequestHead};
use super::codec::status::Status;
use crate::session::{AnswerDetail, AnswerInfo, RequestInfo};

/// What a response answers.
#[derive(Clone, Copy)]
pub(super) enum ReportSubject<'a> {
    Request(&'a RequestHead<'a>),
    /// The same, for a user whose password was right.
    RequestOf(&'a RequestHead<'a>, &'a str),
    /// What could not be parsed: its first line.
    Line(&'a [u8]),
}

/// How a request began.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestStart {
    /// When its first byte arrived.
    pub(super) arrived_ms: u64,
    /// Bytes of `100 Continue` that went before the response.
    pub(super) interim_bytes: usize,
}

/// The report of a response with this status, whose head has `head_bytes` bytes; `None` if no observer needs
/// one.
pub(super) fn answer_info(
    detail: AnswerDetail,
    subject: ReportSubject<'_>,
    start: RequestStart,
    status: Status,
    head_bytes: usize,
    now: SystemTime,
) -> Option<AnswerInfo> {
    let request = match detail {
        AnswerDetail::Count => return None,
        AnswerDetail::Outcome => None,
        AnswerDetail::Request => Some(Box::new(request_info(subject, now))),
    };
    let head_bytes = (start.interim_bytes + head_bytes) as u32;
    Some(AnswerInfo { status: Some(status.code()), head_bytes, began_ms: start.arrived_ms, request })
}

fn request_info(subject: ReportSubject<'_>, now: SystemTime) -> RequestInfo {
    let (request, user) = match subject {
        ReportSubject::Request(request) => (request, None),
        ReportSubject::RequestOf(request, user) => (request, Some(user.as_bytes())),
        ReportSubject::Line(line) => return RequestInfo::new(now, [(RequestInfo::LINE, line)]),
    };
    let mut words = request.line.splitn(3, |&byte| byte == b' ');
    let mut word = || words.next();
    let fields = [
        (RequestInfo::METHOD, word()),
        (RequestInfo::TARGET, word()),
        (RequestInfo::VERSION, word()),
        (RequestInfo::REFERER, request.value(Field::Referer)),
        (RequestInfo::USER_AGENT, request.value(Field::UserAgent)),
        (RequestInfo::USER, user),
    ];
    RequestInfo::new(now, fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
}
