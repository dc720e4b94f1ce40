//! What a child writes to its error output.

use std::io::{self, Read};
use std::process::Child;
use std::sync::mpsc;
use std::thread;

/// How many bytes of the output are kept, so that endless output takes no more memory.
const BYTES_MAX: u64 = 4096;

/// Keeps the first part of the error output, and reads on, so that the child never blocks on it.
pub(crate) fn keep_error_output(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut output) = child.stderr.take() {
        thread::spawn(move || {
            let mut kept = Vec::new();
            let _ = output.by_ref().take(BYTES_MAX).read_to_end(&mut kept);
            let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
            let _ = io::copy(&mut output, &mut io::sink());
        });
    }
    receiver
}
