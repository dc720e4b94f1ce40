//! The services that come with oneloop, each a state machine without sockets, and the closed enum of all of
//! them.

mod any;
mod chargen;
#[cfg(feature = "daytime")]
mod daytime;
mod discard;
mod echo;
#[cfg(feature = "http")]
pub mod http;
mod message;
mod time;

pub use any::{AnyService, AnySession, ServiceError, ServiceName};
#[cfg(feature = "cli")]
pub(crate) use any::{Argument, for_each_service};
pub use chargen::Chargen;
#[cfg(feature = "daytime")]
pub use daytime::Daytime;
pub use discard::Discard;
pub use echo::Echo;
#[cfg(feature = "http")]
pub use http::Http;
pub use message::Message;
pub use time::Time;

use crate::session::{Outbox, Progress};

/// Puts `text` from `sent` on, as far as there is room, and finishes with its last byte. Input of the client
/// is not read: lingering discards it.
fn put_rest(text: &[u8], sent: &mut u8, consumed: usize, out: &mut Outbox) -> Progress {
    let put = out.put_some(&text[usize::from(*sent)..]);
    *sent += put as u8;
    if usize::from(*sent) == text.len() { Progress::finish(consumed) } else { Progress::need_room(consumed) }
}

#[cfg(test)]
mod tests;
