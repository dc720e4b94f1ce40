//! Several copies of the iterative server, started in advance: as many clients at once as there are copies.
//!
//! ```c
//! S = socket(...); bind(S, ...); listen(S, ...);
//! for (i = 0; i < COPIES; i++)
//!     if (fork() == 0)
//!         while (1) { newS = accept(S, ...); do_stuff(newS); close(newS); }
//! ```

mod shared;

use std::io;
use std::net::TcpListener;
use std::thread::sleep;

use nix::errno::Errno;
use nix::sys::wait::wait;
use nix::unistd::{ForkResult, Pid};
use shared::{PAUSE, accept, do_stuff, end_with_parent, fork, listen};

const COPIES: u32 = 3;

fn main() -> io::Result<()> {
    let (s, parent, mut running) = (listen()?, Pid::this(), 0);
    loop {
        while running < COPIES {
            match fork() {
                Ok(ForkResult::Child) => return copy(&s, parent),
                Ok(ForkResult::Parent { .. }) => running += 1,
                Err(error) => {
                    eprintln!("fork: {error}");
                    sleep(PAUSE);
                }
            }
        }
        // Copies never end by themselves: one was killed, and another takes its place.
        running -= u32::from(wait() != Err(Errno::EINTR));
        sleep(PAUSE);
    }
}

fn copy(s: &TcpListener, parent: Pid) -> io::Result<()> {
    end_with_parent(parent)?;
    loop {
        let new_s = accept(s);
        do_stuff(&new_s);
        drop(new_s); // close(newS)
    }
}
