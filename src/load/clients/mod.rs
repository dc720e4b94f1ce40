//! The clients that come with oneloop, one for each service that a load makes sense for.

mod chargen;
mod chunked;
mod discard;
mod echo;
mod http;
mod message;
mod pattern;

pub use chargen::ChargenLoad;
pub use discard::DiscardLoad;
pub use echo::EchoLoad;
pub use http::HttpLoad;
pub use message::MessageLoad;
