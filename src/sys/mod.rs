//! Calls of the operating system beyond std and mio. The only place with `unsafe`; it imports nothing else of
//! this crate.

pub(crate) mod address;
#[cfg(all(feature = "load", any(target_os = "linux", target_os = "android")))]
pub(crate) mod alarm;
#[cfg(feature = "cli")]
pub(crate) mod atomic_file;
mod bind_error;
#[cfg(feature = "cli")]
pub(crate) mod child_output;
pub(crate) mod clock;
#[cfg(feature = "cli")]
pub(crate) mod control_group;
pub(crate) mod crew;
#[cfg(feature = "http")]
pub(crate) mod directory;
#[cfg(feature = "http")]
pub(crate) mod files;
#[cfg(feature = "cli")]
pub(crate) mod interfaces;
pub(crate) mod listener;
#[cfg(feature = "cli")]
pub(crate) mod privileges;
pub(crate) mod process;
#[cfg(feature = "http")]
pub(crate) mod root;
mod shared;
pub(crate) mod signals;
pub(crate) mod sink;
pub(crate) mod stream;
#[cfg(feature = "cli")]
pub(crate) mod supervisor;
#[cfg(feature = "cli")]
pub(crate) mod tcp_info;
pub(crate) mod terminal;
mod unix_path;
pub(crate) mod wait;

pub use address::{Address, AddressError};
pub use bind_error::{BindError, BindErrorKind};
pub(crate) use crew::{Crew, CrewMember};
pub(crate) use listener::AcceptError;
pub use listener::{ListenOptions, Listener};
#[cfg(feature = "cli")]
pub(crate) use privileges::Identity;
pub use process::raise_descriptors_max;
pub(crate) use shared::SharedCounters;
pub use signals::Signals;
pub(crate) use signals::{ChildEnds, HeldSignals, SignalCounts};
pub use stream::Stream;
#[cfg(feature = "cli")]
pub(crate) use supervisor::{Notice, Supervisor};
