//! Ready-made clients for the services of this crate.

mod chargen;
mod chunked;
mod discard;
mod echo;
mod http;
mod message;
mod pattern;
mod request;

pub use chargen::ChargenLoad;
pub use discard::DiscardLoad;
pub use echo::EchoLoad;
pub use http::HttpLoad;
pub use message::MessageLoad;
pub use request::{HttpRequest, RequestError};
