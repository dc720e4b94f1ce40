//! Ready-made clients for the services of this crate.

mod chargen;
mod chunked;
mod discard;
mod echo;
mod http;
mod message;
mod pattern;
mod raw;
mod reply_end;
mod request;
mod template;

pub use chargen::ChargenLoad;
pub use discard::DiscardLoad;
pub use echo::EchoLoad;
pub use http::HttpLoad;
pub use message::MessageLoad;
pub use raw::{RawError, RawLoad, RawScript, RawStep};
pub use reply_end::{BytePattern, PatternError, ReplyEnd};
pub use request::{HttpRequest, RequestError};
pub use template::{RowError, Rows, Template, TemplateError};
