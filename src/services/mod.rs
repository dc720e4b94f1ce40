//! The services that come with oneloop, each a state machine without sockets.

mod echo;

pub use echo::Echo;
