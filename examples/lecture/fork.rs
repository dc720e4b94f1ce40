//! A child per client. No client waits for another; each costs a process.
//!
//! ```c
//! S = socket(...); bind(S, ...); listen(S, ...);
//! while (1) {
//!     newS = accept(S, ...);
//!     if (fork() == 0) { close(S); do_stuff(newS); exit(0); }
//!     close(newS);
//! }
//! ```

mod shared;

use std::io;
use std::process::exit;

use nix::unistd::ForkResult;
use shared::{accept, do_stuff, fork, listen, reap_children};

fn main() -> io::Result<()> {
    reap_children()?;
    let s = listen()?;
    loop {
        let new_s = accept(&s);
        match fork() {
            Ok(ForkResult::Child) => {
                drop(s); // close(S)
                do_stuff(&new_s);
                exit(0);
            }
            Ok(ForkResult::Parent { .. }) => {}
            Err(error) => eprintln!("fork: {error}"), // this client is closed without an answer
        }
        drop(new_s); // close(newS)
    }
}
