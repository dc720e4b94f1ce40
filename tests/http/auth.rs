//! Users and passwords.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::common::faulty::models;
use crate::common::http::{Answer, Site, get, receive, spec};
use crate::common::server::Setup;
use crate::common::{Client, Server, eventually};

/// `htpasswd -nbB -C 4 alice secret`
const ALICE: &str = "alice:$2y$04$aSHzt8Qd6sAKZ/2bdt6VBerolh8kmK3CJ2GkM5itk8geXPAPwh3Wm\n";
/// The same at the cost 5.
const BOB: &str = "bob:$2y$05$YBFHxW5eHb4ntOCCj3oi/Oka1uPmGNZ29V9sMoPR86YTAbzCzThga\n";
/// At the cost 11: a tenth of a second each.
const SLOW: &str = "slow:$2y$11$WIcHf7lhl.eh.AOwWjv81OTh9pHPK.lfbJLBCPQdn6bH/7VAGdc9a\n";

const RIGHT: &str = "alice:secret";
const WRONG: &str = "alice:guess";

fn site(users: &str) -> (Site, PathBuf) {
    let site = Site::new();
    site.file("a", "content");
    let file = site.beside("users");
    write_users(&file, users);
    (site, file)
}

/// Writes the file as if that had been done a while ago.
fn write_users(file: &std::path::Path, users: &str) {
    std::fs::write(file, users).unwrap();
    let written = std::fs::File::options().write(true).open(file).unwrap();
    written.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

fn field(credentials: &str) -> String {
    let encoded = base64(credentials.as_bytes());
    format!("Authorization: Basic {encoded}\r\n")
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encoded = bytes.chunks(3).flat_map(|three| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*three.get(at).unwrap_or(&0)));
        (0..4).map(move |at| {
            if at > three.len() { '=' } else { char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]) }
        })
    });
    encoded.collect()
}

/// Asks on a connection of its own.
#[track_caller]
fn ask(server: &mut Server, credentials: &str) -> Answer {
    get(&mut server.client("http"), "/a", &field(credentials))
}

#[test]
fn every_model_admits_users_with_the_right_password_only() {
    let (site, users) = site(&[ALICE, BOB].concat());
    for model in models(2) {
        let log = site.beside("log");
        let mut args = vec!["--auth-file", users.to_str().unwrap(), "--access-log", log.to_str().unwrap()];
        args.extend(model.iter().map(String::as_str));
        let mut server = site.serve(&args);
        let none = get(&mut server.client("http"), "/a", "");
        assert_eq!(none.status, 401, "{model:?}");
        assert_eq!(none.field("www-authenticate"), Some("Basic realm=\"files\", charset=\"UTF-8\""));
        for wrong in
            [WRONG, "alice:", "alice:secret2", "Alice:secret", "nobody:secret", "bob:secret", ":", "alice"]
        {
            let answer = ask(&mut server, wrong);
            assert_eq!((answer.status, answer.field("www-authenticate").is_some()), (401, true), "{wrong}");
            assert_ne!(answer.text(), "content");
        }
        let twice = [field(RIGHT), field(RIGHT)].concat();
        assert_eq!(get(&mut server.client("http"), "/a", &twice).status, 400);
        assert_eq!(
            get(&mut server.client("http"), "/a", "Authorization: Bearer alice:secret\r\n").status,
            401
        );
        // At the same time: the second waits for the check of the first.
        let mut client = server.client("http");
        let request = |credentials| format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", field(credentials));
        client.send([request(RIGHT), request("bob:builder"), request(WRONG)].concat().as_bytes());
        let answers = [(); 3].map(|()| receive(&mut client, "GET"));
        assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 401], "{model:?}");
        assert_eq!(answers[0].text(), "content");
        drop(client);
        server.signal(Signal::SIGTERM);
        server.exit();
        let log = std::fs::read_to_string(log).unwrap();
        let names: Vec<&str> = log.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
        let count = |name| names.iter().filter(|found| **found == name).count();
        assert_eq!((count("alice"), count("bob"), count("-")), (1, 1, names.len() - 2), "{model:?}\n{log}");
        let diagnostics = server.stderr();
        assert!(diagnostics.contains("wrong password for user \"alice\""), "{model:?}\n{diagnostics}");
        assert!(!diagnostics.contains("guess") && !diagnostics.contains("YWxpY2U6"), "{diagnostics}");
        std::fs::remove_file(site.beside("log")).unwrap();
    }
}

#[test]
fn every_model_refuses_a_guessing_address_but_no_known_password_or_other_address() {
    let (site, users) = site(ALICE);
    for model in models(2) {
        let mut args = vec!["--auth-file", users.to_str().unwrap(), "--auth-failures", "5"];
        args.extend(model.iter().map(String::as_str));
        let mut server = site.serve(&args);
        let address = server.address("http");
        let from = |last: u8, credentials: &str| {
            let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
            get(&mut Client::connect_from(source, &address), "/a", &field(credentials))
        };
        assert_eq!(from(2, RIGHT).status, 200, "{model:?}");
        for _ in 0..5 {
            assert_eq!((from(2, WRONG).status, from(3, WRONG).status), (401, 401), "{model:?}");
        }
        let refused = from(2, WRONG);
        let retry_s: u64 = refused.field("retry-after").expect("when to try again").parse().unwrap();
        assert_eq!((refused.status, (1..=60).contains(&retry_s)), (429, true), "{model:?}: {retry_s}");
        assert_eq!(from(2, RIGHT).status, 200, "{model:?}: the password was right from there before");
        assert_eq!(from(3, RIGHT).status, 429, "{model:?}: it was not");
        for _ in 0..15 {
            assert_eq!(from(2, WRONG).status, 429, "{model:?}");
        }
        assert_eq!(from(2, RIGHT).status, 429, "{model:?}: else a guess that is right could be told");
        assert_eq!(from(4, RIGHT).status, 200, "{model:?}: another address");
        assert_eq!(get(&mut server.client("http"), "/a", "").status, 401, "{model:?}: not a guess");
    }
}

/// Each check takes a tenth of a second or more; in the loop they would make the other client wait.
#[test]
fn passwords_are_checked_beside_the_loop_and_the_queue_is_bounded() {
    const GUESSES: usize = 80;
    let (site, users) = site(&[ALICE, SLOW].concat());
    let password = site.beside("password");
    std::fs::write(&password, "quick").unwrap();
    let args = ["--auth-file", users.to_str().unwrap(), "--auth-failures", "0", "--auth", "carol"];
    let mut server = site.serve(&[&args[..], &["--auth-password", password.to_str().unwrap()]].concat());
    let mut guesses: Vec<Client> = (0..GUESSES).map(|_| server.client("http")).collect();
    for client in &mut guesses {
        client.send(format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", field(WRONG)).as_bytes());
    }
    let busy = receive(&mut guesses[GUESSES - 1], "GET");
    assert_eq!((busy.status, busy.field("retry-after")), (503, Some("1")));
    assert_eq!(ask(&mut server, "carol:quick").status, 200);
    guesses[GUESSES / 2].expect_nothing_yet();
    // Passwords of clients that have left are not checked: otherwise the next client would wait for all of
    // them.
    guesses.drain(1..).for_each(Client::reset);
    assert_eq!(receive(&mut guesses[0], "GET").status, 401);
    let mut last = None;
    eventually("room in the queue", || {
        last = Some(ask(&mut server, "slow:secret").status);
        last != Some(503)
    });
    assert_eq!(last, Some(200));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn a_change_of_the_file_holds_soon_and_a_broken_one_changes_nothing() {
    let (site, users) = site(ALICE);
    let mut server = site.serve(&["--auth-file", users.to_str().unwrap(), "--auth-failures", "0"]);
    assert_eq!(ask(&mut server, RIGHT).status, 200);
    write_users(&users, &[ALICE, BOB].concat());
    eventually("a new user", || ask(&mut server, "bob:builder").status == 200);
    write_users(&users, "alice:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n");
    eventually("a look at it", || {
        ask(&mut server, WRONG);
        server
            .stderr()
            .contains("users: line 1: the password of \"alice\" is hashed with MD5, and only bcrypt is")
    });
    assert_eq!((ask(&mut server, RIGHT).status, ask(&mut server, "bob:builder").status), (200, 200));
    write_users(&users, BOB);
    eventually("a user who was removed", || ask(&mut server, RIGHT).status == 401);
    assert_eq!(ask(&mut server, "bob:builder").status, 200);
}

/// What `oneloop serve` prints on standard error before it ends with this code.
fn complaint(args: &[&str], code: i32) -> String {
    let mut server = Setup::oneloop(["serve", "-q"].iter().chain(args)).start();
    assert_eq!(server.exit().code(), Some(code), "{args:?}\n{}", server.stderr());
    server.stderr()
}

#[test]
fn a_password_on_the_command_line_and_files_that_cannot_be_right_are_mistakes() {
    let (site, users) = site(ALICE);
    let at = spec(&site.root());
    let of = |text: &str| {
        write_users(&users, text);
        complaint(&[&at, "--auth-file", users.to_str().unwrap()], 2)
    };
    let typed = complaint(&[&at, "--auth", "alice:secret"], 2);
    assert!(typed.contains("use --auth alice, which asks for it, or --auth-password FILE"), "{typed}");
    assert!(!typed.contains(":secret"), "{typed}");
    let alone = complaint(&[&at, "--auth", "alice", "--auth-password", "/dev/null"], 2);
    assert!(alone.contains("the first line of /dev/null is empty"), "{alone}");
    for (text, part) in [
        ("", "users: it has no users, so no client could log in"),
        ("alice", "users: line 1: write each user as NAME:HASH"),
        (
            "\n# ok\nalice:{SHA}x",
            "users: line 3: the password of \"alice\" is hashed with SHA-1, and only bcrypt",
        ),
        (&[ALICE, ALICE].concat(), "users: line 2: the user \"alice\" is there twice"),
        (&ALICE.replace("$04$", "$31$"), "has the bcrypt cost 31; use one from 4 to 17"),
    ] {
        let said = of(text);
        assert!(said.contains(part), "{text:?}: {said}");
    }
    let missing = complaint(&[&at, "--auth-file", "/nowhere"], 2);
    assert!(missing.contains("cannot read /nowhere"), "{missing}");
    // Where clients could download it.
    let inside = site.file("users.htpasswd", ALICE);
    let said = complaint(&[&at, "--auth-file", inside.to_str().unwrap()], 2);
    assert!(said.contains("lies in the served directory"), "{said}");
    let hidden = site.file(".htpasswd", ALICE);
    let mut server = site.serve(&["--auth-file", hidden.to_str().unwrap()]);
    assert_eq!(get(&mut server.client("http"), "/.htpasswd", &field(RIGHT)).status, 404);
    let said = complaint(&[&at, "--hidden", "--auth-file", hidden.to_str().unwrap()], 2);
    assert!(said.contains("lies in the served directory"), "{said}");
    let echo = complaint(&["echo@127.0.0.1:0", "--auth-file", users.to_str().unwrap()], 2);
    assert!(echo.contains("--auth-file has no effect"), "{echo}");
}

/// Types at a prompt what its arguments are before the word `--`, each when a line asks for it.
const TYPIST: &str = r#"
import os, pty, sys
end = sys.argv.index("--")
typed, command = sys.argv[1:end], sys.argv[end + 1:]
kept = [os.dup(1), os.dup(2)]
child, terminal = pty.fork()
if child == 0:
    os.dup2(kept[0], 1)
    os.dup2(kept[1], 2)
    os.execvp(command[0], command)
shown = b""
try:
    while True:
        read = os.read(terminal, 1024)
        shown += read
        if read.endswith(b": ") and typed:
            os.write(terminal, typed.pop(0).encode() + b"\n")
        if not typed:
            os.write(2, b"[shown] " + shown.replace(b"\r\n", b" ") + b"\n")
            shown = b""
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn a_password_is_typed_blind_twice_or_read_from_a_file_or_descriptor() {
    let (site, _) = site("");
    let (at, program) = (spec(&site.root()), env!("CARGO_BIN_EXE_oneloop"));
    let typing = |first: &str, second: &str| {
        let words = ["-c", TYPIST, first, second, "--", program, "serve", &at, "--auth", "alice"];
        Setup::program("python3", words).start()
    };
    let mut server = typing("se cret", "se cret").listening();
    assert_eq!(ask(&mut server, "alice:se cret").status, 200);
    assert_eq!((ask(&mut server, WRONG).status, ask(&mut server, "bob:se cret").status), (401, 401));
    server.expect_log("The same again:", 1);
    let shown = server.stderr();
    assert!(shown.contains("[shown] Password for alice:") && shown.contains("The same again:"), "{shown}");
    assert!(!shown.contains("cret"), "{shown}");
    server.signal(Signal::SIGTERM);
    let mut unequal = typing("one", "other");
    assert_eq!(unequal.exit().code(), Some(2));
    assert!(unequal.stderr().contains("the two passwords are not the same"), "{}", unequal.stderr());

    let file = site.beside("password");
    std::fs::write(&file, "of a file\r\nand more").unwrap();
    for redirect in ["exec \"$@\" <\"$0\"", "exec \"$@\" 3<\"$0\""] {
        let source = if redirect.contains('3') { "/dev/fd/3" } else { "-" };
        let words = ["-c", redirect, file.to_str().unwrap(), program, "serve", &at, "--auth", "alice"];
        let mut server =
            Setup::program("sh", words.iter().chain(&["--auth-password", source])).start().listening();
        assert_eq!(ask(&mut server, "alice:of a file").status, 200, "{source}");
        if source != "-" {
            server.expect_log("every user of this machine can read the password", 1);
        }
    }
}

#[test]
fn passwords_beyond_loopback_are_warned_of_once() {
    let (site, users) = site(ALICE);
    let (at, users) = (site.root().display().to_string(), users.display().to_string());
    for (spec, warnings) in [(format!("http={at}@127.0.0.1:0"), 0), (format!("http={at}@*:0"), 1)] {
        let mut server = Server::serve(&[&spec, "--auth-file", &users]);
        let _ = server.address("http");
        let warning = "passwords cross the network in clear";
        server.expect_log(warning, warnings);
        assert_eq!(server.stderr().matches(warning).count(), warnings);
    }
}
