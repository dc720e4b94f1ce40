//! One client of a service: the only code that reads and writes a stream.
//!
//! A [`Connection`] is a state machine (`state.rs`) over the bytes of a stream (`io.rs`): a [`Transport`],
//! and the [`layers`] on it. [`Connection::pump`] moves it as far as bytes, room and budget allow;
//! [`Connection::expire`] acts on a deadline that has passed. A model calls them: the reactor with a
//! transport that never blocks, the other models with a transport that does. A connection reads no clock.
//!
//! A server that uses [`crate::models`] needs none of this but [`layers`] and [`ListenerLayers`]. The rest
//! is for those who write a model of their own, or drive connections over a transport that is no socket, as
//! the project's simulation and its fuzz targets do.

mod context;
mod inbox;
mod io;
pub mod layers;
mod rate;
mod state;
mod transport;

pub use crate::time::LiveTime;
pub use context::{Context, Mode, NEVER_MS, Scratch, TimeSource, TurnBudget, WaitTimeouts};
pub use layers::{Layer, Layers, ListenerLayers};
pub use state::{Connection, Pumped};
pub use transport::{Blocking, FlushOutcome, Patience, Polled, ReadOutcome, Transport, WriteOutcome};
