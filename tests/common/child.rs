//! A program that does not outlive its test.

use std::io::Read as _;
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Output};

/// A child process that is killed and waited for when it is dropped: a failed test leaves nothing running.
pub struct KilledOnDrop(Child);

impl KilledOnDrop {
    /// Panics when the program cannot be started. Closes the descriptors that were given to `command`.
    pub fn spawn(mut command: Command) -> KilledOnDrop {
        KilledOnDrop(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// What it prints until it ends, as [`Child::wait_with_output`].
    pub fn output(mut self) -> Output {
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let reader = stderr.map(|mut from| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                from.read_to_end(&mut bytes).unwrap();
                bytes
            })
        });
        let mut printed = Vec::new();
        if let Some(mut from) = stdout {
            from.read_to_end(&mut printed).unwrap();
        }
        let stderr = reader.map_or_else(Vec::new, |reader| reader.join().unwrap());
        Output { status: self.wait().unwrap(), stdout: printed, stderr }
    }
}

impl Deref for KilledOnDrop {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for KilledOnDrop {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill(); // by its id; an error means that it has ended
        let _ = self.0.wait();
    }
}
