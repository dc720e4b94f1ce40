//! A thread per client. No client waits for another; all share one process, and its limit of descriptors.
//!
//! ```c
//! S = socket(...); bind(S, ...); listen(S, ...);
//! while (1) {
//!     newS = accept(S, ...);
//!     pthread_create(..., do_stuff, newS); /* which ends with close(newS) */
//! }
//! ```

mod shared;

use std::io;
use std::thread;

use shared::{accept, do_stuff, listen};

fn main() -> io::Result<()> {
    let s = listen()?;
    loop {
        let new_s = accept(&s);
        let started = thread::Builder::new().spawn(move || {
            do_stuff(&new_s);
            drop(new_s); // close(newS)
        });
        if let Err(error) = started {
            eprintln!("pthread_create: {error}"); // this client is closed without an answer
        }
    }
}
