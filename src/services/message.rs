//! Message: the work for one client of the classic socket tutorial, its `dostuff`.

use std::fmt;
use std::time::Duration;

use super::put_rest;
use crate::session::{Call, ClientInfo, Input, Outbox, Peer, Progress, Service, Session, Wait};

/// Reads one message, logs it, answers [`Message::ANSWER`] and closes.
///
/// A message ends at a newline, at [`Message::BYTES_MAX`] bytes, at the end of input, or
/// [`Message::REQUEST_TIMEOUT`] after its first byte. A client that ends its side without a byte has sent no
/// message and gets no answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message;

impl Message {
    /// The longest message, in bytes: the tutorial's buffer of 256 less its NUL.
    pub const BYTES_MAX: usize = 255;
    /// How long after its first byte a message ends by itself. The server of the tutorial calls read once and
    /// takes what has arrived; its clients send no newline and wait for the answer.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(200);
    /// The answer, as in the tutorial without a newline.
    pub const ANSWER: &[u8] = b"I got your message";
}

/// A client of [`Message`].
#[derive(Clone, Copy, Debug)]
pub enum MessageSession {
    /// The message has not ended yet.
    Reading(Peer),
    /// The answer, and how many of its bytes were sent.
    Answering(u8),
}

impl Service for Message {
    type Session = MessageSession;

    fn open(&self, client: &ClientInfo<'_>) -> MessageSession {
        MessageSession::Reading(client.peer)
    }

    fn request_timeout(&self) -> Option<Duration> {
        Some(Message::REQUEST_TIMEOUT)
    }
}

impl Session for MessageSession {
    fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
        match self {
            MessageSession::Answering(sent) => put_rest(Message::ANSWER, sent, 0, out),
            MessageSession::Reading(_) if input.bytes.is_empty() => match input.call {
                Call::Stopping => Progress::finish(0),
                _ => Progress::need_input(0, Wait::NextRequest),
            },
            MessageSession::Reading(peer) => {
                let Some(len) = message_len(&input) else {
                    return Progress::need_input(0, Wait::Rest);
                };
                log::info!("message of {peer}: \"{}\"", Escaped(&input.bytes[..len]));
                out.count_answer(None);
                *self = MessageSession::Answering(0);
                let mut sent = 0;
                let progress = put_rest(Message::ANSWER, &mut sent, len, out);
                *self = MessageSession::Answering(sent);
                progress
            }
        }
    }
}

/// The length of the message with its newline; `None` if it is incomplete.
fn message_len(input: &Input<'_>) -> Option<usize> {
    let most = input.bytes.len().min(Message::BYTES_MAX);
    match input.bytes[..most].iter().position(|&byte| byte == b'\n') {
        Some(newline) => Some(newline + 1),
        None if most == Message::BYTES_MAX || input.ended => Some(most),
        None if matches!(input.call, Call::Expired(_)) => Some(most),
        None => None,
    }
}

/// Untrusted bytes on one line of the log: text stays readable, the line end is left out, and control
/// characters are escaped, so that nothing can forge a line or command the terminal.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.strip_suffix(b"\n").unwrap_or(self.0);
        for chunk in line.strip_suffix(b"\r").unwrap_or(line).utf8_chunks() {
            write!(f, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_message_is_one_readable_line() {
        assert_eq!(Escaped("grüß dich\r\n".as_bytes()).to_string(), "grüß dich");
        assert_eq!(Escaped(b"a\x1b[2J\"\0\r\nb\xff\n").to_string(), "a\\u{1b}[2J\\\"\\0\\r\\nb\\xff");
    }
}
