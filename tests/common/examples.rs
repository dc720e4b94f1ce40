//! The programs of `examples/`. `cargo test --test NAME` builds none of them and would test old ones: they
//! are built here.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds these examples, and returns the folder that they are in. To be called once for each.
pub fn build(names: &[&str]) -> PathBuf {
    let profile_dir = super::profile_folder();
    let profile = profile_dir.file_name().unwrap().to_str().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--offline"]).args(names.iter().flat_map(|name| ["--example", name]));
    cargo.args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    cargo.arg("--target-dir").arg(profile_dir.parent().unwrap());
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    assert!(cargo.status().unwrap().success(), "{cargo:?}");
    let folder = profile_dir.join("examples");
    for name in names {
        assert!(folder.join(name).is_file(), "{name} in {}", folder.display());
    }
    folder
}

/// Compiles the lecture's C program into this folder as `server`; a warning is an error. `None` without a C
/// compiler.
pub fn compile_lecture(folder: &Path) -> Option<PathBuf> {
    if !super::has_program("cc") {
        return None;
    }
    let server = folder.join("server");
    let mut cc = Command::new("cc");
    cc.args("-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O2 -o".split(' '));
    cc.arg(&server).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/lecture/lecture.c"));
    assert!(cc.status().unwrap().success(), "{cc:?}");
    Some(server)
}
