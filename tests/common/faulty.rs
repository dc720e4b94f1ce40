//! The program of `examples/faulty.rs`, and what tests of models look at from outside.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::server::{Server, Setup};

/// The six models, those with a number of workers with this one, and the loop in several processes.
pub fn models(workers: usize) -> Vec<Vec<String>> {
    let with = |model: &str| vec![format!("--model={model}"), format!("--workers={workers}")];
    let alone = |model: &str| vec![format!("--model={model}")];
    vec![
        alone("reactor"),
        with("reactor"),
        alone("fork"),
        alone("thread"),
        with("prefork"),
        with("prethread"),
        alone("iterative"),
    ]
}

/// The example as a program.
pub fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| super::examples::build(&["faulty"]).join("faulty")).clone()
}

/// `faulty ARGS…`, listening.
pub fn start(args: &[&str]) -> Server {
    setup(args).start().listening()
}

pub fn setup(args: &[&str]) -> Setup {
    Setup::program(program(), args.iter().flat_map(|arg| arg.split('=')))
}

/// Ids and states (`R`, `S`, `Z`, …) of the processes whose parent is `parent`: Linux only.
pub fn children(parent: nix::unistd::Pid) -> Vec<(i32, char)> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // It may end meanwhile. Behind the last bracket: state, parent.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let mut words = rest.split_whitespace();
        let state = words.next().and_then(|word| word.chars().next()).unwrap_or('?');
        if words.next().and_then(|word| word.parse().ok()) == Some(parent.as_raw()) {
            children.push((pid, state));
        }
    }
    children
}
