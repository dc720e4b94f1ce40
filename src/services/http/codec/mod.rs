//! HTTP/1.1 on the wire (RFC 9112): how a request is parsed and framed, and how a response is framed and
//! sent.

pub(crate) mod body;
pub(crate) mod date;
pub(crate) mod head;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod status;
pub(crate) mod syntax;
pub(crate) mod target;
