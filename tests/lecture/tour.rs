//! `docs/lecture.md` and `docs/lecture-exercises.md`: their commands work in bash and in zsh, and print what
//! is shown.
//!
//! Each is run as it stands there, but for what would make the test slow or collide with another: the port, a
//! pause, and the folder of the programs.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::common::{eventually, has_program};
use crate::servers;

const TOUR: &str = include_str!("../../docs/lecture.md");
const EXERCISES: &str = include_str!("../../docs/lecture-exercises.md");

/// A block of the tour.
#[derive(Debug, PartialEq)]
enum Block {
    /// Commands, typed in this terminal.
    Typed(Terminal, String),
    /// Lines that this terminal shows then, among others.
    Shown(Terminal, String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Terminal {
    /// A server runs here until the next one is started.
    Server,
    Clients,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut lines, mut terminal) = (Vec::new(), page.lines(), Terminal::Clients);
    while let Some(line) = lines.next() {
        let named = [("Terminal 1", Terminal::Server), ("Terminal 2", Terminal::Clients)];
        let last = named.into_iter().filter_map(|(name, terminal)| Some((line.rfind(name)?, terminal)));
        if let Some((_, named)) = last.max_by_key(|(at, _)| *at) {
            terminal = named;
        }
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = text.join("\n");
        match kind {
            "sh" => blocks.push(Block::Typed(terminal, text)),
            "text" => blocks.push(Block::Shown(terminal, text)),
            _ => {}
        }
    }
    blocks
}

/// A class that follows the tour in one shell.
struct Class {
    shell: &'static str,
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Child>,
    /// What was typed last at the clients' terminal.
    commands: String,
}

impl Class {
    fn of(shell: &'static str) -> Class {
        let folder = tempfile::tempdir().unwrap();
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
        std::os::unix::fs::symlink(examples, folder.path().join("examples")).unwrap();
        // It was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Class { shell, folder, port, server: None, commands: String::new() }
    }

    fn as_run_here(&self, commands: &str) -> String {
        let examples = format!("{}/", servers::folder().display());
        let mut text = commands
            .replace("target/debug/examples/", &examples)
            .replace("target/debug/oneloop", env!("CARGO_BIN_EXE_oneloop"))
            .replace(" serve echo", " serve echo@7007")
            .replace("lecture --model", "lecture --speed 5 --model")
            .replace("sleep ", "sleep 0.");
        // Other tests run the same programs, at other ports.
        for name in
            ["lecture-copies", "lecture-fork", "lecture-thread", "lecture-reactor", "leaks", "zombies"]
        {
            for pgrep in ["pgrep", "pgrep -c", "pgrep -o"] {
                text = text.replace(&format!("{pgrep} {name}"), &format!("{pgrep} -f '^[^ ]*{name} 7007'"));
            }
        }
        text.replace("7007", &self.port.to_string())
    }

    fn start(&self, terminal: Terminal, commands: &str) -> Child {
        let script = self.folder.path().join(format!("{terminal:?}.sh"));
        std::fs::write(&script, self.as_run_here(commands)).unwrap();
        let out = File::create(self.screen(terminal)).unwrap();
        Command::new(self.shell)
            .arg(script)
            .current_dir(self.folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap()
    }

    fn screen(&self, terminal: Terminal) -> PathBuf {
        self.folder.path().join(format!("{terminal:?}.out"))
    }

    fn printed(&self, terminal: Terminal) -> String {
        let bytes = std::fs::read(self.screen(terminal)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn type_in(&mut self, terminal: Terminal, commands: &str) {
        if terminal == Terminal::Server {
            self.interrupt();
            self.server = Some(self.start(terminal, commands));
            eventually(commands, || self.printed(terminal).contains("listening on "));
        } else {
            commands.clone_into(&mut self.commands);
            self.run_commands();
        }
    }

    /// Runs what was typed last at the clients' terminal, to its end.
    fn run_commands(&self) {
        let (mut child, mut status) = (self.start(Terminal::Clients, &self.commands), None);
        eventually(&self.commands, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        let succeeds = status.is_some_and(|status| status.success());
        assert!(succeeds, "{}: {}{}", self.shell, self.commands, self.printed(Terminal::Clients));
    }

    /// Ctrl-C in the terminal of the server.
    fn interrupt(&mut self) {
        if let Some(mut server) = self.server.take() {
            killpg(Pid::from_raw(server.id().cast_signed()), Signal::SIGINT).unwrap();
            server.wait().unwrap();
        }
    }

    /// The lines of `shown` are printed in this order. On a busy machine what was typed may have come before
    /// a server had done its part, so it is repeated.
    fn expect(&self, terminal: Terminal, shown: &str) {
        eventually(shown, || {
            let is_shown = shows(&self.printed(terminal), shown);
            if !is_shown && terminal == Terminal::Clients {
                self.run_commands();
            }
            is_shown
        });
    }
}

/// Whether the lines of `shown` are among those of `printed`, in this order. Their numbers may differ, `…` is
/// anything, and spaces are one.
fn shows(printed: &str, shown: &str) -> bool {
    let plain = |line: &str| {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut plain = line.replace(|c: char| c.is_ascii_digit(), "0");
        while plain.contains("00") {
            plain = plain.replace("00", "0");
        }
        plain
    };
    let mut lines = printed.lines().map(plain);
    shown.lines().map(plain).all(|shown| {
        lines.any(|printed| {
            let mut rest = printed.as_str();
            shown.split('…').all(|part| rest.split_once(part.trim()).map(|(_, after)| rest = after).is_some())
        })
    })
}

#[test]
fn lines_are_shown_in_their_order_with_other_numbers() {
    let printed = "== trace.12 ==\naccept4(3, {sa_family}, 16)   = 7\nclose(7)  = 0\n";
    assert!(shows(printed, "accept4(3, …) = 4\nclose(4) … = 0\n"));
    assert!(!shows(printed, "close(4) … = 0\naccept4(3, …) = 4\n"));
    assert!(!shows(printed, "close(4) … = -1\n"));
}

impl Drop for Class {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let [server, clients] = [Terminal::Server, Terminal::Clients].map(|which| self.printed(which));
            eprintln!("{}: {server}\n{clients}", self.shell);
        }
        if let Some(server) = &mut self.server {
            let _ = killpg(Pid::from_raw(server.id().cast_signed()), Signal::SIGKILL);
            let _ = server.wait();
        }
    }
}

/// They take minutes, or change this folder.
const NOT_RUN_HERE: [&str; 3] = ["cargo build", "cargo run --release", "oneloop compare"];

fn follow(page: &str, shell: &'static str) {
    if !["strace", "nc", "cc", "pgrep", shell].iter().all(|program| has_program(program)) {
        return;
    }
    let mut class = Class::of(shell);
    let is_run = |line: &&str| !NOT_RUN_HERE.iter().any(|slow| line.contains(slow));
    for block in blocks(page) {
        match block {
            Block::Typed(terminal, commands) => {
                let commands: Vec<&str> = commands.lines().filter(is_run).collect();
                if !commands.is_empty() {
                    class.type_in(terminal, &commands.join("\n"));
                }
            }
            Block::Shown(terminal, shown) => class.expect(terminal, &shown),
        }
    }
    class.interrupt();
    let left = std::fs::read_dir(class.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let is_ours =
        |name: &str| name == "examples" || name.starts_with("Server.") || name.starts_with("Clients.");
    let left: Vec<_> = left.filter(|name| !is_ours(&name.to_string_lossy())).collect();
    assert!(left.is_empty(), "the page does not clean up {left:?}");
}

#[test]
fn bash_runs_every_command_of_the_tour_and_prints_what_it_shows() {
    follow(TOUR, "bash");
}

#[test]
fn zsh_runs_every_command_of_the_tour_and_prints_what_it_shows() {
    follow(TOUR, "zsh");
}

#[test]
fn bash_runs_every_command_of_the_exercises_and_prints_what_they_show() {
    follow(EXERCISES, "bash");
}

#[test]
fn zsh_runs_every_command_of_the_exercises_and_prints_what_they_show() {
    follow(EXERCISES, "zsh");
}

#[test]
fn the_tour_can_be_typed_into_an_interactive_shell() {
    for block in blocks(TOUR).into_iter().chain(blocks(EXERCISES)) {
        let Block::Typed(_, commands) = block else { continue };
        // zsh reads no comments there, and bash replaces what follows an exclamation mark.
        assert!(!commands.contains(['#', '!']), "{commands}");
    }
}
