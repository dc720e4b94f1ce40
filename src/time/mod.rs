//! The clock of a server, and the timer wheel that files deadlines.

mod clock;
mod wheel;

pub(crate) use clock::ServerClock;
pub(crate) use wheel::{Deadlines, Link};
