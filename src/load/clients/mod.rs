//! Ready-made clients for the services of this crate.

mod body_check;
mod chargen;
mod chooser;
mod chunked;
mod cookies;
mod discard;
mod echo;
mod filler;
mod gzip;
mod head;
mod http;
mod memory;
mod message;
mod raw;
mod redirect;
mod reply_end;
mod request;
mod request_digest;
mod requests;
mod template;

pub use body_check::Verify;
pub use chargen::ChargenLoad;
pub use discard::DiscardLoad;
pub use echo::EchoLoad;
pub use http::HttpLoad;
pub use message::MessageLoad;
pub use raw::{RawError, RawLoad, RawScript, RawStep};
pub use reply_end::{BytePattern, PatternError, ReplyEnd};
pub use request::{HttpRequest, RequestError};
pub use requests::{HttpOptions, HttpRequests, RequestOrder};
pub use template::{RowError, Rows, Template, TemplateError};
