//! The clock of a server, and a timer wheel for deadlines.

mod clock;
mod wheel;

pub use clock::LiveTime;
pub(crate) use clock::{CallClock, ServerClock};
pub(crate) use wheel::{Deadlines, Link};
