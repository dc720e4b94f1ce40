//! What the operating system is asked for beyond std and mio. The only place with `unsafe`; it imports nothing else of
//! this crate.

pub mod address;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod alarm;
#[cfg(feature = "cli")]
pub mod atomic_file;
mod bind_error;
pub mod clock;
#[cfg(feature = "http")]
pub mod files;
pub mod listener;
pub mod privileges;
pub mod process;
#[cfg(feature = "http")]
mod root;
pub mod signals;
pub mod sink;
pub mod stream;
pub mod supervisor;
pub mod tally;
mod terminal;
mod unix_path;
pub mod wait;

pub use address::{Address, AddressError};
pub use bind_error::{BindError, BindErrorKind};
pub use listener::{AcceptError, ListenOptions, Listener};
pub use privileges::{Identity, IdentityError};
pub use signals::{Arrived, SignalCounts, Signals};
pub use stream::Stream;
pub use supervisor::{Notice, Supervisor, SupervisorError};
