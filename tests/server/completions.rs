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
    ("oneloop serve echo day\t", &["serve", "echo", "daytime"]),
    ("oneloop serve --no-lis\t", &["serve", "--no-listing"]),
    ("oneloop serve --model rea\t", &["serve", "--model", "reactor"]),
    ("oneloop serve --model=rea\t", &["serve", "--model=reactor"]),
    ("oneloop serve --access-log acc\t", &["serve", "--access-log", "access.log"]),
    ("oneloop load disc\t", &["load", "discard"]),
    ("oneloop compare --experiments cro\t", &["compare", "--experiments", "crowd"]),
    ("oneloop compare --experiments crowd,id\t", &["compare", "--experiments", "crowd,idle"]),
    ("oneloop compare --models=prethr\t", &["compare", "--models=prethread"]),
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

/// The script, as it is printed for this shell.
fn script(home: &Home, shell: &str, name: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_oneloop")).args(["completions", shell]).output().unwrap();
    let path = home.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, output.stdout).unwrap();
}

#[test]
fn bash_completes_services_directories_experiments_and_models() {
    if !has_program("bash") || !has_program("python3") {
        return;
    }
    let home = Home::new();
    script(&home, "bash", "completions");
    std::fs::write(home.path().join("rc"), "bind 'set bell-style none'\n. ~/completions\nPS1=READY\n")
        .unwrap();
    check(&home, &["bash", "--noprofile", "--rcfile", "rc", "-i"]);
}

#[test]
fn zsh_completes_services_directories_experiments_and_models() {
    if !has_program("zsh") || !has_program("python3") {
        return;
    }
    let home = Home::new();
    script(&home, "zsh", "functions/_oneloop");
    let rc = "fpath=(~/functions $fpath)\nautoload -U compinit\ncompinit -u -D\nPS1=READY\n";
    std::fs::write(home.path().join(".zshrc"), rc).unwrap();
    check(&home, &["zsh", "-i"]);
}

#[test]
fn fish_completes_services_directories_experiments_and_models() {
    if !has_program("fish") || !has_program("python3") {
        return;
    }
    let home = Home::new();
    script(&home, "fish", ".config/fish/completions/oneloop.fish");
    std::fs::write(home.path().join(".config/fish/config.fish"), "function fish_prompt; echo READY; end\n")
        .unwrap();
    check(&home, &["fish", "-i"]);
}
