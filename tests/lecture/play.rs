//! `oneloop lecture`: what it prints was measured at real servers, and holds for each model.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::faulty::children;
use crate::common::server::{IN_A_TERMINAL, Setup};
use crate::common::{eventually, has_program};

fn lecture(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.arg("lecture").args(args).stdin(Stdio::null()).output().unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = lecture(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The line of a client.
fn line<'a>(text: &'a str, client: &str) -> &'a str {
    let begins = format!("  client {client}");
    text.lines().find(|line| line.starts_with(&begins)).unwrap_or_else(|| panic!("no {client}: {text}"))
}

/// When this happened to a client, in ms.
fn at_ms(line: &str, event: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("{event} at ")).unwrap_or_else(|| panic!("no {event}: {line}"));
    let mut words = rest.split([' ', ',']);
    let number: f64 = words.next().unwrap().parse().unwrap();
    if words.next().unwrap().starts_with("ms") { number } else { number * 1000.0 }
}

/// What served the clients.
fn served_by(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| line.starts_with("  client "));
    let by =
        lines.filter_map(|line| line.split_once("is served by ")?.1.split_once(" at ")).map(|(by, _)| by);
    by.map(str::to_owned).collect()
}

/// Five times as fast as for a class.
const FAST: &str = "--speed=5";

#[test]
fn at_the_iterative_server_all_clients_wait_for_a_stalled_one() {
    let text = printed(&["--model=iterative", FAST]);
    assert_eq!(served_by(&text).len(), 5, "{text}");
    assert_eq!(BTreeSet::from_iter(served_by(&text)).len(), 1, "{text}");
    let stalled_until = at_ms(line(&text, "1"), "leaves");
    assert!(stalled_until >= 300.0, "{text}");
    for client in ["2", "3", "5"] {
        assert!(at_ms(line(&text, client), "has its answer") >= stalled_until, "{text}");
    }
    assert!(at_ms(line(&text, "4"), "leaves") < at_ms(line(&text, "4"), "is ended by the server"), "{text}");
    assert!(
        text.contains("served 5 clients, one after the other; clients 2, 3, 4 and 5 waited in the backlog"),
        "{text}"
    );
    assert!(text.contains("behind client 1"), "{text}");
}

#[test]
fn fork_thread_and_reactor_let_no_client_wait() {
    for (model, kind, sentence) in [
        ("fork", "process ", "Each of 5 clients was served by a process of its own"),
        ("thread", "thread ", "Each of 5 clients was served by a thread of its own"),
        ("reactor", "slot ", "One process, "),
    ] {
        // Slower: on a busy machine the last client comes before the first has sent anything, too.
        let text = printed(&[&format!("--model={model}"), "--speed=3"]);
        let by = served_by(&text);
        assert!(by.len() == 5 && by.iter().all(|by| by.starts_with(kind)), "{model}: {text}");
        if model != "reactor" {
            assert_eq!(by.iter().collect::<BTreeSet<_>>().len(), 5, "{model}: {text}");
        }
        assert!(text.contains(sentence), "{model}: {text}");
        // The others are answered while the first is silent.
        for client in ["2", "4", "5"] {
            let answered = at_ms(line(&text, client), "has its answer");
            assert!(answered < at_ms(line(&text, "1"), "has its answer"), "{model}: {text}");
        }
    }
}

#[test]
fn two_copies_and_two_threads_started_in_advance_serve_two_clients_at_once() {
    for (model, kind) in [("prefork", "processes"), ("prethread", "threads")] {
        let text = printed(&[&format!("--model={model}"), FAST]);
        assert!(text.contains(&format!("2 {kind} served 5 clients, up to 2 at the same time")), "{text}");
        assert_eq!(BTreeSet::from_iter(served_by(&text)).len(), 2, "{text}");
    }
    let text = printed(&["--model=prefork", "--workers=5", FAST]);
    assert!(text.contains("no client waited for another") || text.contains("waited"), "{text}");
    assert!(served_by(&text).len() == 5 && !text.contains("up to 2 at"), "{text}");
}

#[test]
fn children_without_a_parent_that_waits_are_zombies_and_others_are_not() {
    let text = printed(&["--scene=zombies", "--speed=3"]);
    let (faulty, right) = text.split_once("\nfork: ").unwrap();
    assert!(faulty.contains("After 5 clients had left, 5 children were zombies (state Z)"), "{text}");
    assert_eq!(faulty.matches("has left a zombie at").count(), 5, "{text}");
    assert!(right.contains("no zombie was left") && !right.contains("has left a zombie"), "{text}");
}

#[test]
fn a_forgotten_close_keeps_the_end_from_clients_and_descriptors_in_the_parent() {
    let text = printed(&["--scene=leak", "--speed=3"]);
    let (faulty, right) = text.split_once("\nfork: ").unwrap();
    assert!(faulty.contains("None of 5 clients saw the end of the connection"), "{text}");
    assert_eq!(faulty.matches("gives up waiting for the end").count(), 5, "{text}");
    let numbers_of = |text: &str| {
        let files = text.lines().find(|line| line.contains("open files: ")).unwrap().to_owned();
        let words = files.split(|c: char| !c.is_ascii_digit()).map(str::to_owned).collect::<Vec<_>>();
        words.iter().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()
    };
    let numbers = numbers_of(faulty);
    // On a busy machine the first look may come after the first client.
    assert!((4..=5).contains(&(numbers[2] - numbers[0])), "{text}");
    assert!(right.contains("All of 5 clients saw the end"), "{text}");
    let numbers = numbers_of(right);
    assert!(numbers[2] <= numbers[0], "{text}");
}

#[test]
fn a_queue_for_one_drops_attempts_that_come_again_after_a_second() {
    let text = printed(&["--scene=backlog", "--speed=2"]);
    let (short, long) = text.split_once("\niterative, listen(S, 128)").unwrap();
    assert!(short.contains("The queue of listen(S, 1) held up to 2 clients"), "{text}");
    for client in ["4", "5"] {
        let connected = at_ms(line(short, client), "is connected (SYN sent again)");
        let connected = connected - at_ms(line(short, client), "comes");
        assert!(connected >= 900.0, "{text}");
    }
    assert!(short.contains("clients 4 and 5 found it full"), "{text}");
    assert!(long.contains("no SYN was dropped"), "{text}");
}

#[test]
fn a_class_plays_its_own_scene_and_keeps_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(
        file("class.txt"),
        "title Who waits?\nmodels reactor, iterative\nanna at 0ms: pause 100ms, send hello, answer\nben at 20ms: send hi, answer, end\n",
    )
    .unwrap();
    let path = |name: &str| file(name).to_str().unwrap().to_owned();
    let text = printed(&["--script", &path("class.txt"), "--svg", &path("a.svg"), "--html", &path("a.html")]);
    assert!(text.starts_with("Who waits?\n\nreactor: "), "{text}");
    assert!(text.contains("\niterative: ") && text.contains("client ben: comes at "), "{text}");
    assert!(text.contains("client ben waited "), "{text}");
    for name in ["a.svg", "a.html"] {
        let picture = std::fs::read_to_string(file(name)).unwrap();
        assert!(picture.contains(">anna<") && picture.contains("Who waits?"), "{name}");
    }
    std::fs::write(file("class.txt"), "anna at 0ms: answer\nben come 1s: answer\n").unwrap();
    let output = lecture(&["--script", &path("class.txt")]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("line 2: ") && error.contains("write a client as: NAME at TIME"), "{error}");
}

/// `oneloop lecture ARGS` on a terminal of this size.
fn on_a_terminal(columns: u32, rows: u32, args: &[&str]) -> Setup {
    let size = format!("stty cols {columns} rows {rows} && exec \"$@\"");
    let words =
        ["-c", IN_A_TERMINAL, "\n", "sh", "-c", &size, "sh", env!("CARGO_BIN_EXE_oneloop"), "lecture"];
    Setup::program("python3", words.iter().chain(args)).env("TERM", "xterm").env("LC_ALL", "C")
}

#[test]
fn a_terminal_shows_the_drawing_grow_and_every_line_fits() {
    if !has_program("python3") {
        return;
    }
    for (columns, colours) in [(80, false), (40, true)] {
        let mut setup = on_a_terminal(columns, 24, &["--model=iterative", "--speed=6"]);
        if !colours {
            setup = setup.env("NO_COLOR", "1");
        }
        let mut terminal = setup.start();
        assert_eq!(terminal.exit().code(), Some(0));
        let shown = terminal.stdout();
        assert!(shown.matches("client   |0").count() > 5, "it is repainted: {shown:?}");
        assert!(shown.contains("backlog: 2 3"), "who waits: {shown:?}");
        assert_eq!(shown.contains("\x1b[34m"), colours, "{shown:?}");
        let plain = shown.replace("\x1b[K", "").replace("\x1b[J", "");
        let is_cursor =
            |part: &str| part.split_once('A').is_some_and(|(up, _)| up.chars().all(|c| c.is_ascii_digit()));
        for line in plain.lines() {
            let text: String = line
                .split("\x1b[")
                .enumerate()
                .map(|(at, part)| match at {
                    0 => part,
                    _ if is_cursor(part) => part.split_once('A').unwrap().1.trim_start_matches('\r'),
                    _ => part.split_once('m').map_or("", |(_, rest)| rest),
                })
                .collect();
            assert!(text.chars().count() < columns as usize, "{columns}: {text:?}");
        }
    }
}

#[test]
fn an_interruption_ends_the_servers_too() {
    let child = Command::new(env!("CARGO_BIN_EXE_oneloop"))
        .args(["lecture", "--model=prefork", "--speed=0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let own = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let of =
        |parent: Pid| children(parent).into_iter().map(|(pid, _)| Pid::from_raw(pid)).collect::<Vec<_>>();
    let mut processes = Vec::new();
    eventually("its server has two copies", || {
        processes = of(own);
        processes =
            processes.iter().copied().chain(processes.iter().flat_map(|server| of(*server))).collect();
        processes.len() == 3
    });
    kill(own, Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    eventually("no process is left", || processes.iter().all(|pid| kill(*pid, None).is_err()));
}

#[test]
fn a_picture_on_standard_output_is_all_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for (option, begin, end) in [("--svg", "<svg ", "</svg>\n"), ("--html", "<!doctype html>", "</html>\n")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
        command.args(["lecture", "--model=reactor", FAST, option, "-"]).current_dir(folder.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{option}: {:?}", output.stderr);
        assert!(text.starts_with(begin) && text.ends_with(end), "{option}: {text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{option}: a file was written");
    }
}

#[test]
fn an_option_without_effect_is_a_mistake() {
    for (args, part) in [
        (
            &["--pause"][..],
            "when standard input is not a terminal: Enter is pressed there; leave it out: oneloop lecture",
        ),
        (
            &["--model=fork", "--pause"],
            "with one model: there is no further one to wait for; leave it out: oneloop lecture --model=fork",
        ),
        (&["--svg=-", "--plain"], "--plain has no effect with --svg -"),
        (&["--svg=-", "--html=-"], "--svg and --html have the same path; give each its own"),
        (
            &["--workers=3", "--model=fork"],
            "or use it like this: oneloop lecture --workers=3 --model prefork",
        ),
    ] {
        let output = lecture(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(2), &b""[..]),
            "{args:?}: {error}"
        );
        assert!(error.contains(part), "{args:?}: {error}");
    }
    if has_program("python3") {
        let args = ["--model=iterative,reactor", "--scene=clients", "--speed=8", "--plain", "--pause"];
        let mut terminal = on_a_terminal(80, 24, &args).start();
        assert_eq!(terminal.exit().code(), Some(0), "{}", terminal.stderr());
        let shown = terminal.stdout();
        assert!(shown.contains("Enter plays reactor: "), "{shown}");
    }
}

#[test]
fn a_forgotten_comma_in_a_script_is_named_and_the_scene_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("class.txt");
    std::fs::write(&file, "model fork\nanna at 0ms: send x answer\n").unwrap();
    let output = lecture(&["--script", file.to_str().unwrap()]);
    let (text, hint) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let part = "class.txt: line 2: \"send x answer\" is sent with these words; for two steps, write send x, answer\n";
    assert!(hint.starts_with("hint: --script ") && hint.ends_with(part), "{hint}");
    assert!(output.status.success() && text.contains("\nClient anna was served by process "), "{text}");
}
