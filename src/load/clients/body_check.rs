//! What is checked of the bodies of HTTP replies.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// What is checked of the body of each reply with a status of 2xx. The framing of every reply is checked
/// whatever this is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Verify {
    /// Nothing more.
    #[default]
    Framing,
    /// It has the length of the first reply.
    Length,
    /// It equals the first reply, byte for byte.
    Exact,
    /// It is JSON with a value at this pointer (RFC 6901); if a value is given, with that value.
    JsonPointer(String, Option<Value>),
}

/// As a report has it: without the value at a pointer, which may be a secret.
impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verify::Framing => f.write_str("whole"),
            Verify::Length => f.write_str("length"),
            Verify::Exact => f.write_str("exact"),
            Verify::JsonPointer(pointer, None) => write!(f, "json-pointer:{pointer}"),
            Verify::JsonPointer(pointer, Some(_)) => write!(f, "json-pointer:{pointer}=..."),
        }
    }
}

/// Bodies are compared byte for byte up to here, and by their length beyond it.
const BODY_KEPT_BYTES_MAX: u64 = 64 << 20;
/// The same for all requests of a load together.
const BODIES_KEPT_BYTES_MAX: u64 = 256 << 20;
/// The longest body that is parsed as JSON.
const JSON_BYTES_MAX: usize = 16 << 20;

/// The first reply of 2xx to a request, as far as it is known: the connection that reads a byte of the body
/// first determines what that byte must be.
#[derive(Debug)]
pub(super) struct FirstReply {
    seen: Mutex<First>,
}

#[derive(Debug)]
struct First {
    /// The status of the replies whose bodies are compared.
    status: Option<u16>,
    body: Vec<u8>,
    /// The length of the body, once a reply has ended.
    len: Option<u64>,
}

/// The check of a reply, and its progress.
#[derive(Debug, Default)]
pub(super) struct BodyCheck {
    kind: CheckKind,
    /// How much of the body came.
    received: u64,
}

#[derive(Debug, Default)]
enum CheckKind {
    #[default]
    Framing,
    Length,
    Exact,
    /// What came of the body.
    Json(Vec<u8>),
}

impl BodyCheck {
    /// The check of a reply with this status.
    pub(super) fn begin(verify: &Verify, first: Option<&FirstReply>, status: u16) -> BodyCheck {
        let is_compared = || status / 100 == 2 && first.is_some_and(|first| first.is_of(status));
        let kind = match verify {
            Verify::Exact if is_compared() => CheckKind::Exact,
            Verify::Length if is_compared() => CheckKind::Length,
            Verify::JsonPointer(..) if status / 100 == 2 && status != 204 => CheckKind::Json(Vec::new()),
            _ => CheckKind::Framing,
        };
        BodyCheck { kind, received: 0 }
    }

    /// Takes a piece of the body. `requests` is the number of different requests of the load.
    pub(super) fn take(
        &mut self,
        first: Option<&FirstReply>,
        requests: usize,
        piece: &[u8],
    ) -> Result<(), &'static str> {
        match (&mut self.kind, first) {
            (CheckKind::Exact, Some(first)) => {
                let share = BODIES_KEPT_BYTES_MAX / requests.max(1) as u64;
                first.seen().has(self.received, piece, share.min(BODY_KEPT_BYTES_MAX))?;
            }
            (CheckKind::Json(body), _) if body.len() + piece.len() > JSON_BYTES_MAX => {
                return Err("the body has more than 16 MiB, too much for a JSON pointer");
            }
            (CheckKind::Json(body), _) => body.extend_from_slice(piece),
            (CheckKind::Exact | CheckKind::Length | CheckKind::Framing, _) => {}
        }
        self.received += piece.len() as u64;
        Ok(())
    }

    /// The body is whole.
    pub(super) fn end(&mut self, verify: &Verify, first: Option<&FirstReply>) -> Result<(), &'static str> {
        match &self.kind {
            CheckKind::Exact | CheckKind::Length => {
                first.map_or(Ok(()), |first| first.seen().ends_at(self.received))
            }
            CheckKind::Json(body) => {
                let Verify::JsonPointer(pointer, expected) = verify else { return Ok(()) };
                let json: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
                match (json.pointer(pointer), expected) {
                    (None, _) => Err("the body has nothing at the JSON pointer"),
                    (Some(found), Some(expected)) if found != expected => {
                        Err("the value at the JSON pointer is another one")
                    }
                    (Some(_), _) => Ok(()),
                }
            }
            CheckKind::Framing => Ok(()),
        }
    }
}

impl FirstReply {
    pub(super) const fn new() -> Self {
        let first = First { status: None, body: Vec::new(), len: None };
        FirstReply { seen: Mutex::new(first) }
    }

    fn seen(&self) -> MutexGuard<'_, First> {
        // What it holds is whole after every step, so a panic elsewhere has not spoilt it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether bodies of replies with this status are compared: it must be the status of the first reply.
    fn is_of(&self, status: u16) -> bool {
        *self.seen().status.get_or_insert(status) == status
    }
}

impl First {
    fn has(&mut self, at: u64, bytes: &[u8], kept_max: u64) -> Result<(), &'static str> {
        let kept = self.body.len() as u64;
        // Bytes within the kept body are compared; bytes after it are new, unless the end of the body is
        // known.
        let compared = (kept.saturating_sub(at) as usize).min(bytes.len());
        let start = at.min(kept) as usize;
        if self.body[start..start + compared] != bytes[..compared] {
            return Err("the body is not that of the first reply; if the page changes, use --verify status");
        }
        // After the comparison, so that the result does not depend on how the body was split.
        if self.len.is_some_and(|len| at + bytes.len() as u64 > len) {
            return Err("the body is longer than the first one; if the page changes, use --verify status");
        }
        let room = kept_max.saturating_sub(kept) as usize;
        if at <= kept && compared < bytes.len() {
            let new = &bytes[compared..];
            self.body.extend_from_slice(&new[..new.len().min(room)]);
        }
        Ok(())
    }

    fn ends_at(&mut self, len: u64) -> Result<(), &'static str> {
        match self.len {
            Some(first) if first > len => {
                Err("the body is shorter than the first one; if the page changes, use --verify status")
            }
            Some(first) if first < len => {
                Err("the body is longer than the first one; if the page changes, use --verify status")
            }
            None if (self.body.len() as u64) > len => Err(
                "the body is shorter than that of another reply; if the page changes, use --verify status",
            ),
            _ => {
                self.len = Some(len);
                Ok(())
            }
        }
    }
}
