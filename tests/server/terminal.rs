//! `oneloop serve` on a terminal: a line per request, URLs for others with a QR code, and the browser.

use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::http::get;
use crate::common::server::{IN_A_TERMINAL, Setup};
use crate::common::{KilledOnDrop, Server, eventually, has_program};

/// Runs a program in a terminal of its own and shows what it prints there. SIGUSR1 stops the terminal as ^S
/// does, SIGUSR2 continues it.
const STOPPABLE: &str = r#"
import os, pty, select, signal, sys
kept = os.dup(2)
child, terminal = pty.fork()
if child == 0:
    os.dup2(kept, 2)
    os.execvp(sys.argv[1], sys.argv[1:])
signal.signal(signal.SIGUSR1, lambda *_: os.write(terminal, b"\x13"))
signal.signal(signal.SIGUSR2, lambda *_: os.write(terminal, b"\x11"))
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
while True:
    try:
        os.write(1, os.read(terminal, 4096).replace(b"\r", b""))
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello.txt"), "hello").unwrap();
    folder
}

/// `oneloop serve DIR ARGS` at a free port on a terminal of its own.
fn on_a_terminal(folder: &Path, args: &[&str]) -> Setup {
    let program = ["-c", STOPPABLE, env!("CARGO_BIN_EXE_oneloop"), "serve", "--port=0"];
    let words = program.iter().chain(args);
    // As people run it: the tests' own level logs each end of a client.
    Setup::program("python3", words).env("RUST_LOG", "info").env("TERM", "xterm").current_dir(folder)
}

fn lines(server: &Server) -> Vec<String> {
    server.stdout().lines().filter(|line| line.contains("  GET /")).map(str::to_owned).collect()
}

#[test]
fn a_terminal_shows_each_request_under_every_model() {
    if !has_program("python3") {
        return;
    }
    let folder = site();
    for model in oneloop::models::Model::ALL {
        let args = ["--model", model.name()];
        let mut server = on_a_terminal(folder.path(), &args).start().listening();
        let mut client = server.client("http");
        assert_eq!(get(&mut client, "/hello.txt", "").status, 200);
        assert_eq!(get(&mut client, "/none?\x1b[2J", "").status, 400);
        drop(client);
        eventually("two lines", || {
            server.stdout().lines().filter(|line| line.contains("  127.0.0.1  ")).count() == 2
        });
        let shown = lines(&server);
        assert!(shown[0].contains("  127.0.0.1        GET /hello.txt  200  5 B  "), "{model}: {shown:?}");
        assert!(!server.stdout().contains('\x1b'), "{model}: nothing that a terminal would obey");
        server.stop();
    }
}

#[test]
fn a_pipe_and_a_quiet_terminal_and_one_with_an_access_log_show_no_requests() {
    if !has_program("python3") {
        return;
    }
    let folder = site();
    let log = tempfile::NamedTempFile::new().unwrap();
    let access_log = format!("--access-log={}", log.path().display());
    let piped = Setup::oneloop(["serve", "--port=0"]).current_dir(folder.path());
    let quiet = on_a_terminal(folder.path(), &["-q"]);
    let logged = on_a_terminal(folder.path(), &[&access_log]);
    for setup in [piped, quiet, logged] {
        let mut server = setup.start().listening();
        let mut client = server.client("http");
        assert_eq!(get(&mut client, "/hello.txt", "").status, 200);
        drop(client);
        server.stop();
        assert!(!server.stdout().contains("hello.txt"), "{}", server.stdout());
    }
}

/// More than fit on a terminal that takes nothing.
const REQUESTS: usize = 2_000;

#[test]
fn a_stopped_terminal_delays_no_client_and_later_shows_what_it_missed() {
    if !has_program("python3") {
        return;
    }
    let folder = site();
    let mut server = on_a_terminal(folder.path(), &[]).start().listening();
    let mut client = server.client("http");
    assert_eq!(get(&mut client, "/hello.txt?before", "").status, 200);
    eventually("the first line", || lines(&server).len() == 1);
    server.signal(Signal::SIGUSR1);
    for _ in 0..REQUESTS {
        assert_eq!(get(&mut client, "/hello.txt?stopped", "").status, 200);
    }
    server.signal(Signal::SIGUSR2);
    let counted = |server: &Server| -> usize {
        let stdout = server.stdout();
        let more =
            stdout.lines().filter_map(|line| line.strip_prefix("... and ")?.strip_suffix(" more requests"));
        lines(server).len() - 1 + more.map(|number| number.parse::<usize>().unwrap()).sum::<usize>()
    };
    eventually("every request is shown or counted", || counted(&server) == REQUESTS);
    assert!(lines(&server).len() < REQUESTS, "a person could not read them");
}

#[test]
fn the_browser_is_opened_and_is_not_a_child_of_the_server() {
    let folder = site();
    let bin = tempfile::tempdir().unwrap();
    let opened = bin.path().join("opened");
    // Its own children have an exit status, as those of a desktop's script need.
    let script =
        format!("#!/bin/sh\nsh -c 'exit 7'\necho \"$1 $? $PPID\" >>'{}'\nexec sleep 60\n", opened.display());
    for name in ["xdg-open", "open"] {
        let path = bin.path().join(name);
        std::fs::write(&path, &script).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let setup = Setup::oneloop(["serve", "--port=0", "--open"]).current_dir(folder.path());
    let mut server = setup.env("PATH", &path).start().listening();
    let addr = server.address("http").tcp();
    let mut line = String::new();
    eventually("the browser", || {
        line = std::fs::read_to_string(&opened).unwrap_or_default();
        line.ends_with('\n')
    });
    let parent = line.strip_prefix(&format!("http://{addr}/ 7 ")).expect(&line).trim_end();
    assert_ne!(parent, server.pid().to_string());
    assert_eq!(get(&mut server.client("http"), "/hello.txt", "").status, 200);
    assert_eq!(server.stop().code(), Some(0), "it does not wait for the browser");
    assert!(!server.stderr().contains("--open"), "it was opened: {}", server.stderr());
}

#[test]
fn a_log_on_a_device_does_not_keep_a_server_whose_terminal_closes() {
    if !has_program("python3") {
        return;
    }
    let folder = site();
    for device in ["/dev/tty", "/dev/null"] {
        let access_log = format!("--access-log={device}");
        let program = env!("CARGO_BIN_EXE_oneloop");
        let words = ["-c", IN_A_TERMINAL, "", program, "serve", "--port=0", &access_log];
        let mut server = Setup::program("python3", words).current_dir(folder.path()).start().listening();
        server.signal(Signal::SIGUSR1);
        assert_eq!(server.exit().code(), Some(0), "{device}");
        server.expect_log("SIGHUP: the terminal has closed", 1);
    }
}

/// As with `oneloop serve 2>&1 | less`, which reads a page and waits.
#[test]
fn a_server_whose_log_nobody_reads_goes_on_and_tells_later_how_much_was_lost() {
    for model in oneloop::models::Model::ALL {
        lines_that_nobody_reads(model);
    }
}

fn lines_that_nobody_reads(model: oneloop::models::Model) {
    use std::io::{BufRead, BufReader, Read};
    const CLIENTS: usize = 1_000;
    const PIPE_BYTES: usize = 56 << 10;
    let (mut reader, stderr) = std::io::pipe().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(["serve", "echo@127.0.0.1:0", "--model", model.name()]).env("RUST_LOG", "debug");
    command.stdout(std::process::Stdio::piped()).stderr(stderr);
    let mut server = KilledOnDrop::spawn(command);
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().rsplit('@').next().unwrap().to_owned();
    for _ in 0..CLIENTS {
        let mut client = std::net::TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
        std::io::Write::write_all(&mut client, b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    // Nearly what the pipe holds: what is written next has room.
    let mut log = vec![0; PIPE_BYTES];
    reader.read_exact(&mut log).unwrap();
    let rest = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let pid = nix::unistd::Pid::from_raw(server.id().cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0), "{model}");
    log.extend(rest.join().unwrap());
    let log = String::from_utf8_lossy(&log);
    // Each line that is lost is told once, whichever process it was that had no room.
    let lost = log.split("standard error had no room: ").skip(1);
    let lost: usize = lost.map(|rest| rest.lines().next().unwrap().parse::<usize>().unwrap()).sum();
    let told = log.matches(" accepted: ").count();
    assert!(told < CLIENTS && told + lost >= CLIENTS, "{model}: {told} and {lost}");
    assert!(told + lost <= LINES_PER_CLIENT_MAX * CLIENTS, "{model}: {told} and {lost}");
}

/// Of a client that comes and goes, in the log of a server; a child of its own has some, too.
const LINES_PER_CLIENT_MAX: usize = 4;
