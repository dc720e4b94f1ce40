//! The report of a session about an answer, for the observers of the server: a log, or counters.

use std::time::SystemTime;

/// How much detail of each answer the observers of a server need ([`Outbox::answer_detail`]). Each level
/// includes those before it.
///
/// [`Outbox::answer_detail`]: super::Outbox::answer_detail
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnswerDetail {
    /// The number of answers by class of status ([`Outbox::count_answer`](super::Outbox::count_answer)).
    #[default]
    Count,
    /// An [`AnswerInfo`] for each answer, without its request. Reporting it allocates nothing.
    Outcome,
    /// An [`AnswerInfo`] for each answer, with its request.
    Request,
}

/// The report of an answer. It is put into the outbox after the answer's bytes
/// ([`Outbox::answered`](super::Outbox::answered)), and passed to the observers when these bytes were written
/// to the socket or the client has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerInfo {
    /// The status, in HTTP or a protocol with the same numbers (100 to 599); `None` in others.
    pub status: Option<u16>,
    /// Bytes of the answer that come before its content, interim answers included.
    pub head_bytes: u32,
    /// When the first byte of the request was received ([`Input::arrived_ms`](super::Input::arrived_ms)).
    pub began_ms: u64,
    /// The request, if an observer needs it ([`AnswerDetail::Request`]).
    pub request: Option<Box<RequestInfo>>,
}

impl AnswerInfo {
    /// Memory that it keeps on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.request.as_ref().map_or(0, |request| size_of::<RequestInfo>() + request.text.len())
    }
}

/// A request: its named fields, as the client sent them. A service and its observers agree on the names;
/// those that the access log knows are constants here.
///
/// ```
/// use std::time::UNIX_EPOCH;
/// use oneloop::session::RequestInfo;
///
/// let fields = [(RequestInfo::METHOD, &b"GET"[..]), (RequestInfo::TARGET, b"/a")];
/// let request = RequestInfo::new(UNIX_EPOCH, fields);
/// assert_eq!(request.get("target"), Some(&b"/a"[..]));
/// assert_eq!(request.get("referer"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// The time of day when the answer began.
    pub answered_at: SystemTime,
    /// All values, concatenated.
    text: Box<[u8]>,
    /// The names, and where in `text` the value of each ends.
    fields: [(&'static str, u16); RequestInfo::FIELDS_MAX],
}

impl RequestInfo {
    /// The maximum number of fields.
    pub const FIELDS_MAX: usize = 6;
    /// A value is cut to this many bytes: a client must not decide how much memory its fields take.
    pub const VALUE_BYTES_MAX: usize = 2 << 10;

    /// The method, of a request that is understood.
    pub const METHOD: &'static str = "method";
    /// Its target.
    pub const TARGET: &'static str = "target";
    /// Its version of the protocol.
    pub const VERSION: &'static str = "version";
    /// The first line of a request that is not understood.
    pub const LINE: &'static str = "line";
    /// Where the client found the target (HTTP's `Referer`).
    pub const REFERER: &'static str = "referer";
    /// The name of the user, where the request had a right password.
    pub const USER: &'static str = "user";
    /// The client's program (HTTP's `User-Agent`).
    pub const USER_AGENT: &'static str = "user-agent";

    /// A request with these fields, in one allocation. Fields after the first [`RequestInfo::FIELDS_MAX`] are
    /// left out.
    pub fn new<'a>(
        answered_at: SystemTime,
        fields: impl IntoIterator<Item = (&'static str, &'a [u8]), IntoIter: Clone>,
    ) -> RequestInfo {
        let cut = fields.into_iter().take(Self::FIELDS_MAX).map(|(name, value)| {
            let len = value.len().min(Self::VALUE_BYTES_MAX);
            (name, &value[..len])
        });
        let mut text = Vec::with_capacity(cut.clone().map(|(_, value)| value.len()).sum());
        let mut fields = [("", 0); Self::FIELDS_MAX];
        for (field, (name, value)) in fields.iter_mut().zip(cut) {
            text.extend_from_slice(value);
            *field = (name, text.len() as u16);
        }
        RequestInfo { answered_at, text: text.into_boxed_slice(), fields }
    }

    /// The value of the first field with this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let mut start = 0;
        self.fields.iter().take_while(|(name, _)| !name.is_empty()).map(move |(name, end)| {
            let value = &self.text[start..usize::from(*end)];
            start = usize::from(*end);
            (*name, value)
        })
    }
}

const _: () = assert!(RequestInfo::FIELDS_MAX * RequestInfo::VALUE_BYTES_MAX <= u16::MAX as usize);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn fields_are_found_by_name_and_bounded_in_number_and_length() {
        let long = vec![b'x'; 100_000];
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let request =
            RequestInfo::new(UNIX_EPOCH, names.map(|name| (name, if name == "b" { &long[..] } else { b"" })));
        assert_eq!(request.get("a"), Some(&b""[..]));
        assert_eq!(request.get("b").map(<[u8]>::len), Some(RequestInfo::VALUE_BYTES_MAX));
        assert_eq!((request.get("f"), request.get("g")), (Some(&b""[..]), None));
        assert_eq!(request.fields().count(), RequestInfo::FIELDS_MAX);
        assert_eq!(RequestInfo::new(UNIX_EPOCH, []).fields().next(), None);
    }
}
