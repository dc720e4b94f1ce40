//! Completions in the shells themselves: what is typed before Tab, and what the program is then run with.

use std::path::Path;
use std::process::Command;

use crate::common::has_program;

/// Runs a shell in a terminal, types a line into it when it is ready, and shows what it prints. The shell is
/// ready when it has printed READY; the line ends it.
const TYPIST: &str = r#"
import os, pty, select, sys, time
line, shell = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(shell[0], shell)
seen, typed, end = b"", False, time.monotonic() + 20
while time.monotonic() < end:
    if terminal not in select.select([terminal], [], [], 1)[0]:
        continue
    try:
        seen += os.read(terminal, 4096)
    except OSError:
        break
    if not typed and b"READY" in seen:
        os.write(terminal, line.encode())
        typed = True
os.write(1, seen)
os.close(terminal)
os.kill(child, 9)
os.waitpid(child, 0)
"#;

/// A home with a program `oneloop` that completes as the real one does, and otherwise writes its arguments
/// down.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        let home = tempfile::tempdir().unwrap();
        let program = format!(
            "#!/bin/sh\nif [ \"$1\" = completions ]; then exec '{}' \"$@\"; fi\nprintf '%s\\n' \"$@\" >\"$HOME/args.new\"\nmv \"$HOME/args.new\" \"$HOME/args\"\n",
            env!("CARGO_BIN_EXE_oneloop")
        );
        let path = home.path().join("bin");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("oneloop"), program).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path.join("oneloop"), executable).unwrap();
        for directory in ["site/deep", "my music", "packages/@scope"] {
            std::fs::create_dir_all(home.path().join(directory)).unwrap();
        }
        std::fs::write(home.path().join("site.txt"), "").unwrap();
        std::fs::write(home.path().join("access.log"), "").unwrap();
        Home(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The arguments of the program after this was typed in the shell.
    fn run(&self, shell: &[&str], typed: &str) -> Vec<String> {
        let _ = std::fs::remove_file(self.path().join("args"));
        let path = format!("{}:{}", self.path().join("bin").display(), std::env::var("PATH").unwrap());
        let output = Command::new("timeout")
            .args(["30", "python3", "-c", TYPIST, &format!("{typed}\r exit\r")])
            .args(shell)
            .env("HOME", self.path())
            .env("PATH", path)
            .env("TERM", "xterm")
            .env_remove("XDG_CONFIG_HOME")
            .current_dir(self.path())
            .output()
            .unwrap();
        let screen = String::from_utf8_lossy(&output.stdout).into_owned();
        let args = std::fs::read_to_string(self.path().join("args"));
        let args = args.unwrap_or_else(|error| panic!("{shell:?} {typed:?}: {error}: {screen}"));
        args.lines().map(str::to_owned).collect()
    }
}

/// What is typed, and the arguments that come of it.
const LINES: &[(&str, &[&str])] = &[
    ("oneloop ser\t", &["serve"]),
    ("oneloop serve ech\t", &["serve", "echo"]),
    ("oneloop serve pack\t", &["serve", "packages/"]),
    ("oneloop serve my\t", &["serve", "my music/"]),
    ("oneloop serve site/d\t", &["serve", "site/deep/"]),
    ("oneloop serve http=pack\t", &["serve", "http=packages/"]),
    ("oneloop serve http=/docs:pack\t", &["serve", "http=/docs:packages/"]),
    ("oneloop serve http=//example.org:pack\t", &["serve", "http=//example.org:packages/"]),
    ("oneloop serve http=site,lis\t", &["serve", "http=site,listing=off"]),
    ("oneloop serve site,fol\tpack\t", &["serve", "site,follow=packages/"]),
    ("oneloop serve http=/docs:site,hid\t", &["serve", "http=/docs:site,hidden"]),
    ("oneloop serve echo day\t", &["serve", "echo", "daytime"]),
    ("oneloop serve --no-lis\t", &["serve", "--no-listing"]),
    ("oneloop serve --model rea\t", &["serve", "--model", "reactor"]),
    ("oneloop serve --model=rea\t", &["serve", "--model=reactor"]),
    ("oneloop serve --access-log acc\t", &["serve", "--access-log", "access.log"]),
    ("oneloop load disc\t", &["load", "discard"]),
    ("oneloop compare --experiments cro\t", &["compare", "--experiments", "crowd"]),
    ("oneloop compare --experiments crowd,id\t", &["compare", "--experiments", "crowd,idle"]),
    ("oneloop compare --models=prethr\t", &["compare", "--models=prethread"]),
    ("oneloop lecture --scene zo\t", &["lecture", "--scene", "zombies"]),
    ("oneloop lecture --model fork,rea\t", &["lecture", "--model", "fork,reactor"]),
    ("oneloop lecture --script acc\t", &["lecture", "--script", "access.log"]),
];

fn check(home: &Home, shell: &[&str]) {
    for (typed, args) in LINES {
        let found = home.run(shell, typed);
        // zsh takes the slash away again when the line is accepted.
        let found: Vec<&str> = found.iter().map(|word| word.trim_end_matches('/')).collect();
        let args: Vec<&str> = args.iter().map(|word| word.trim_end_matches('/')).collect();
        assert_eq!(found, args, "{shell:?} {typed:?}");
    }
}

/// Runs the commands that the help gives for this shell in the new home.
fn install(home: &Home, shell: &str) {
    let help = Command::new(env!("CARGO_BIN_EXE_oneloop")).args(["completions", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("\n\n").find(|block| block.contains(&format!("oneloop completions {shell} ")));
    let path = format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").unwrap());
    let done = Command::new("sh")
        .args(["-ec", commands.unwrap_or_else(|| panic!("nothing about {shell}: {help}"))])
        .env("HOME", home.path())
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{commands:?}: {done:?}");
}

/// Adds lines to a file of the home.
fn append(home: &Home, name: &str, lines: &str) {
    let path = home.path().join(name);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(path, before + lines).unwrap();
}

#[test]
fn bash_completes_services_directories_experiments_and_models() {
    if !has_program("bash") || !has_program("python3") {
        return;
    }
    let home = Home::new();
    install(&home, "bash");
    // As the package bash-completion does.
    let load = ". ~/.local/share/bash-completion/completions/oneloop\n";
    append(&home, "rc", &format!("bind 'set bell-style none'\n{load}PS1=READY\n"));
    check(&home, &["bash", "--noprofile", "--rcfile", "rc", "-i"]);
}

#[test]
fn zsh_completes_services_directories_experiments_and_models() {
    if !has_program("zsh") || !has_program("python3") {
        return;
    }
    let home = Home::new();
    install(&home, "zsh");
    append(&home, ".zshrc", "PS1=READY\n");
    check(&home, &["zsh", "-i"]);
}

#[test]
fn fish_completes_services_directories_experiments_and_models() {
    if !has_program("fish") || !has_program("python3") {
        return;
    }
    let home = Home::new();
    install(&home, "fish");
    append(&home, ".config/fish/config.fish", "function fish_prompt; echo READY; end\n");
    check(&home, &["fish", "-i"]);
}
