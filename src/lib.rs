//! One process, one loop, many clients.
//!
//! A lecture on sockets shows how one server handles many clients: one that makes everyone wait, copies of it started
//! ahead, a child forked per client, threads. Each keeps `dostuff(newS)`, the work for one client, and changes only who
//! runs it. oneloop makes that split exact:
//!
//! - a **service** is what is done for a client: a state machine of bytes in, bytes out ([`session`]). It knows no socket,
//!   no clock, no thread;
//! - a **connection** is one client of a service: the only code that reads and writes a stream ([`connection`]);
//! - a **model** is who runs the connections: iterative, prefork, fork, thread, prethread ([`models`]), or the
//!   **reactor**, the product's own way: one thread, one [`mio::Poll`], a slab of connections ([`reactor`]).
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
//! Implement [`session::Service`] and [`session::Session`]. A session is called with what arrived, takes a prefix of it, puts
//! its answer into the outbox, and says what it needs next. This one answers each line with its length:
//!
//! ```
//! use oneloop::session::{Client, Input, Outbox, Progress, Service, Session, Wait, rehearsal};
//!
//! #[derive(Clone)]
//! struct Lengths;
//!
//! impl Service for Lengths {
//!     type Session = Lengths;
//!     fn open(&self, _client: &Client<'_>) -> Lengths {
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
//! // It needs no socket to be tried, however its bytes are split:
//! assert_eq!(rehearsal::answer(&Lengths, &[b"one\nth", b"ree\n"], true, 4096), b"3\n5\n");
//! ```
//!
//! # One turn of the loop
//!
//! ```text
//!            +--------------------------------------------------------------------------------+
//!            v                                                                                |
//!   wait     poll until the nearest deadline; zero if work is left over; EINTR is no error    |
//!   latch    events only set `ready` bits and enqueue: no I/O, nothing is freed here          |
//!   signal   stop, drain, reopen                                                              |
//!   pump     each runnable connection within its budget; what is left goes to the back        |
//!   expire   deadlines, after I/O: bytes that came in time win                                |
//!   reap     deregister, drop, free slots                                                     |
//!   accept   last, in a batch: no event of this turn can meet a new client                    |
//!            |                                                                                |
//!            +--------------------------------------------------------------------------------+
//! ```
//!
//! # What always holds
//!
//! 1. A stream is registered once, for reading and writing, edge-triggered; readiness is latched, and forgotten when a call
//!    would block. A request of an open client costs one read, one write and a share of one wait, and no allocation.
//! 2. The end of input is data: only a read of 0 bytes or an error decides it. What came before it is answered before the
//!    close.
//! 3. Bytes are written at once; writability matters only with bytes left over, and then nothing more is read: a client
//!    that does not read costs a bounded amount of memory.
//! 4. A close is flush, `shutdown(WR)`, discard within bounds, close: the last reply is not lost to a reset.
//! 5. Every loop has a named bound in [`limits`], whose comment says who starves without it.
//! 6. Without descriptors accepting pauses, and resumes when a client ends or after a short time: no spin, no stall.
//! 7. A request's deadline is absolute from its first byte; an idle client's restarts with each request; a client that must
//!    read owes a minimum of bytes per window.
//! 8. Every ended or refused client has one [`telemetry::Reason`].
//! 9. An idle client owns no buffer.
//! 10. A client is named by slot and generation: no stale event, deadline or waker reaches a slot's next tenant.
//! 11. One client's error is that client's, a panic of its session included.
//!
//! # The house
//!
//! Imports point down only: `main → cli → lab → {load, models} → reactor → connection → telemetry → services → session →
//! limits`; `sys` is a leaf, and the only place with `unsafe`. `tests/tidy.rs` checks it.
//!
//! # Features
//!
//! By default this is the loop, the models and the small services, on `mio`, `slab`, `log` and the crates for the operating system: ten
//! crates in all. `daytime` and `http` add the services that need more, `load` the load generator. The program `oneloop` is a package of its
//! own, `oneloop-cli`; its command line is behind the feature `cli`.
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
mod judge;
#[cfg(feature = "cli")]
mod lab;
pub mod limits;
#[cfg(feature = "load")]
pub mod load;
pub mod models;
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
