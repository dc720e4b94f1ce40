//! One process, one thread, one loop, many clients.
//!
//! - A **service** is the work for a client: a state machine of bytes in, bytes out ([`session`]). It knows
//!   no socket, clock or thread. [`services`] has echo, files over HTTP and others.
//! - A **connection** is one client of a service: the only code that reads and writes a stream
//!   ([`connection`]).
//! - A **model** decides what runs the connections: the **reactor**, one thread with one `mio::Poll` and a
//!   slab of connections ([`reactor`]), or one of the classic models: iterative, prefork, fork, thread,
//!   prethread ([`models`]).
//!
//! Every service runs under every model with the same bytes on the wire.
//!
//! # A complete server
//!
//! ```
//! use oneloop::limits::Limits;
//! use oneloop::reactor::Reactor;
//! use oneloop::services::Echo;
//!
//! fn main() -> std::io::Result<()> {
//!     let mut reactor = Reactor::new(Limits::default())?;
//!     println!("listening on echo@{}", reactor.bind("127.0.0.1:0", Echo)?);
//! #   reactor.handle().drain();
//!     reactor.run()?;
//!     Ok(())
//! }
//! ```
//!
//! # A protocol of your own
//!
//! Implement [`session::Service`] and [`session::Session`]. A session is called with the bytes that have
//! arrived. It consumes a prefix of them, puts its answer into the outbox, and returns what it needs next.
//! This one answers each line with its length:
//!
//! ```
//! use oneloop::session::{ClientInfo, Input, Outbox, Progress, Service, Session, Wait, rehearsal};
//!
//! #[derive(Clone)]
//! struct Lengths;
//!
//! impl Service for Lengths {
//!     type Session = Lengths;
//!     fn open(&self, _client: &ClientInfo<'_>) -> Lengths {
//!         Lengths
//!     }
//! }
//!
//! impl Session for Lengths {
//!     fn advance(&mut self, input: Input<'_>, out: &mut Outbox) -> Progress {
//!         let mut consumed = 0;
//!         while let Some(len) = input.bytes[consumed..].iter().position(|&byte| byte == b'\n') {
//!             if out.put_fmt(format_args!("{len}\n")).is_err() {
//!                 return Progress::need_room(consumed); // called again with the rest when there is room
//!             }
//!             consumed += len + 1;
//!         }
//!         // Between lines the client is idle; within one, the rest must come in time.
//!         let wait = if consumed == input.bytes.len() { Wait::NextRequest } else { Wait::Rest };
//!         Progress::need_input(consumed, wait)
//!     }
//! }
//!
//! // It is tested without a socket, however its bytes are split:
//! assert_eq!(rehearsal::answer(&Lengths, &[b"one\nth", b"ree\n"], true, 4096), b"3\n5\n");
//! ```
//!
//! # What to expect
//!
//! - A client has [`limits`]: deadlines, bounds of memory, a share of each turn. All are on by default.
//! - Bytes that came before the end of input are answered, and the last answer is not lost to a reset.
//! - A client that does not read costs a bounded amount of memory; an idle client owns no buffer.
//! - An error of one client, or a panic of its session, ends that client only, with one
//!   [`telemetry::Reason`].
//!
//! `ARCHITECTURE.md` in the repository has the map of the code, all invariants, and the walk of one request.
//!
//! # Features
//!
//! By default this is the loop, the models and the small services, on `mio`, `slab`, `log`, `libc`, `nix` and
//! `socket2`: on Linux eleven crates are built besides this one. `daytime` and `http` add the services that
//! need more, and `load` adds the load generator (`oneloop::load`). The program `oneloop` is the package
//! `oneloop-cli`; the feature `cli` is for it alone.
#![deny(unsafe_code)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("oneloop packs a slot and its generation into one mio::Token and needs 64-bit pointers");

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

mod admission;
#[cfg(feature = "cli")]
mod cli;
pub mod connection;
#[cfg(feature = "load")]
// The command line and the lab use all of it; without the feature `cli` a part is unused.
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod judge;
#[cfg(feature = "cli")]
mod lab;
#[cfg(feature = "cli")]
mod lecture;
pub mod limits;
#[cfg(feature = "load")]
pub mod load;
pub mod models;
#[cfg(feature = "cli")]
mod plot;
pub mod reactor;
pub mod services;
pub mod session;
mod sys;
pub mod telemetry;
mod time;

pub use sys::{
    Address, AddressError, BindError, BindErrorKind, ListenOptions, Listener, Signals, Stream,
    raise_descriptors_max,
};

/// The program `oneloop`: what its `main` calls, and no part of the library.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::main as program;
