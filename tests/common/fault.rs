//! What the system hardly ever does, injected by `strace`.

use std::path::Path;
use std::process::Command;

use super::server::Setup;
use super::{has_program, skipped};

/// A system call that fails, or takes long.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub call: &'static str,
    /// The error or the delay, and on which occasions, as `strace -e inject` takes it.
    pub effect: &'static str,
}

impl Fault {
    fn args(&self, calls: &Path) -> [String; 6] {
        let Fault { call, effect } = self;
        let inject = format!("inject={call}:{effect}");
        ["-o", calls.to_str().unwrap(), "-e", &format!("trace={call}"), "-e", &inject].map(str::to_owned)
    }

    /// Whether `strace` is installed, may trace, and can inject; if not, prints that its test is skipped.
    pub fn can_be_injected(&self) -> bool {
        if !has_program("strace") {
            return false;
        }
        let can = Command::new("strace")
            .args(self.args(Path::new("/dev/null")))
            .arg("true")
            .output()
            .unwrap()
            .status
            .success();
        if !can {
            skipped("tracing a process is not allowed here, or this strace injects nothing");
        }
        can
    }

    /// A command whose calls are like that, in all its threads and children. It is our child, and not that of
    /// `strace`.
    pub fn injected_into<A: AsRef<str>>(&self, command: impl IntoIterator<Item = A>) -> Setup {
        self.recorded_into(Path::new("/dev/null"), command)
    }

    /// The same, with a line in the file `calls` for each of those calls.
    pub fn recorded_into<A: AsRef<str>>(&self, calls: &Path, command: impl IntoIterator<Item = A>) -> Setup {
        let command = command.into_iter().map(|word| word.as_ref().to_owned());
        let args = ["-D", "-f"].map(str::to_owned).into_iter().chain(self.args(calls)).chain(command);
        Setup::program("strace", args)
    }
}
