//! HTTP/1.1 (RFC 9110, RFC 9112): a service whose [`Handler`] answers requests. [`Files`] serves a directory,
//! a [`Router`] chooses between handlers, and a handler of your own is a type or a function.
//!
//! ```text
//! bytes ─ codec/request (head, framing) ─ codec/target (path) ─┐
//!              └ codec/body (within a bound)                   ├─ Request ─ Handler ─ Response ─ codec/head, codec/send ─ outbox
//!                                                              │              ├ Router
//!                                                session ──────┘              └ Files
//! ```
//!
//! A handler gets a parsed request and returns a structured response. The codec alone writes heads, frames
//! bodies and decides when a connection stays open. A request for a small file that was seen within the last
//! half second costs no system call, no allocation and no formatting: the lines of its head and its content
//! are kept, and the date is formatted once a second.

mod auth;
mod body;
mod bounds;
mod codec;
mod config;
mod deferred;
mod files;
mod handler;
mod html;
mod report;
mod response;
mod router;
mod service;
mod session;
#[cfg(test)]
mod tests;

pub use crate::sys::files::Links;
pub use auth::AuthConfig;
pub use body::{Body, Produced, Producer};
pub use codec::request::Method;
pub use codec::status::Status;
pub use config::{ConfigError, HttpConfig};
#[cfg(feature = "cli")]
pub(crate) use config::{is_charset, is_field_value, is_file_name, is_service_field};
#[cfg(feature = "cli")]
pub(crate) use files::MediaTypes;
pub use files::{Files, FilesConfig};
pub use handler::{BodyPolicy, Handler, Request};
pub use response::Response;
pub use router::Router;
#[cfg(feature = "cli")]
pub(crate) use router::{Mount, MountError};
pub use service::Http;
pub use session::HttpSession;
