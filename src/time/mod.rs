//! The clock of a server, and a timer wheel for deadlines.

mod clock;
mod wheel;

pub(crate) use clock::ServerClock;
pub(crate) use wheel::{Deadlines, Link};
