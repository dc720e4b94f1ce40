//! What the operating system is asked for beyond std and mio. The only place with `unsafe`; it imports nothing else of
//! this crate.

pub mod address;
pub mod listener;
pub mod stream;
mod unix_path;

pub use address::{Address, AddressError};
pub use listener::{AcceptError, BindError, BindErrorKind, ListenOptions, Listener};
pub use stream::Stream;
