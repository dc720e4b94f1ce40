//! One client after the other. The second waits until the first has left.
//!
//! ```c
//! S = socket(...); bind(S, ...); listen(S, ...);
//! while (1) {
//!     newS = accept(S, ...);
//!     do_stuff(newS);
//!     close(newS);
//! }
//! ```

mod shared;

use std::io;

use shared::{accept, do_stuff, listen};

fn main() -> io::Result<()> {
    let s = listen()?;
    loop {
        let new_s = accept(&s);
        do_stuff(&new_s);
        drop(new_s); // close(newS)
    }
}
