//! Each server serves clients as its model can, and survives the cases that a slide leaves out.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::common::fault::Fault;
use crate::common::faulty::children;
use crate::common::server::Setup;
use crate::common::{Client, Server, eventually, eventually_some, examples};

/// How long a client that must wait is observed without an answer.
const SILENCE: Duration = Duration::from_millis(150);
/// Clients of a server at which no client waits.
const MANY: usize = 40;

/// A server of the lecture.
#[derive(Debug)]
pub(crate) struct Lecture {
    name: &'static str,
    program: PathBuf,
    args: &'static [&'static str],
    /// How many clients it serves at once, if that is few.
    holds: Option<usize>,
}

impl Lecture {
    pub(crate) fn rust(name: &'static str, holds: Option<usize>) -> Lecture {
        Lecture { name, program: folder().join(name), args: &["0"], holds }
    }

    /// The C program, if there is a compiler.
    pub(crate) fn c(args: &'static [&'static str], holds: Option<usize>) -> Option<Lecture> {
        static BUILT: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
        let built = BUILT.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let server = examples::compile_lecture(folder.path())?;
            Some((folder, server))
        });
        let (_, program) = built.as_ref()?;
        Some(Lecture { name: "lecture.c", program: program.clone(), args, holds })
    }

    /// All of them.
    fn all() -> Vec<Lecture> {
        let rust = [
            Lecture::rust("lecture-iterative", Some(1)),
            Lecture::rust("lecture-copies", Some(3)),
            Lecture::rust("lecture-fork", None),
            Lecture::rust("lecture-thread", None),
            Lecture::rust("lecture-reactor", None),
        ];
        rust.into_iter().chain(Lecture::forms_in_c()).collect()
    }

    fn forms_in_c() -> impl Iterator<Item = Lecture> {
        let forms = [Lecture::c(&["0", "iterative"], Some(1)), Lecture::c(&["0"], None)];
        forms.into_iter().flatten()
    }

    /// Those with a child per client.
    pub(crate) fn forking() -> Vec<Lecture> {
        [Some(Lecture::rust("lecture-fork", None)), Lecture::c(&["0"], None)].into_iter().flatten().collect()
    }

    pub(crate) fn command(&self) -> impl Iterator<Item = &str> {
        [self.program.to_str().unwrap()].into_iter().chain(self.args.iter().copied())
    }

    fn start(&self) -> Server {
        Setup::program(self.program.clone(), self.args).start().listening()
    }
}

/// Where those in Rust are.
pub(crate) fn folder() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    const NAMES: [&str; 5] =
        ["lecture-iterative", "lecture-copies", "lecture-fork", "lecture-thread", "lecture-reactor"];
    BUILT.get_or_init(|| examples::build(&NAMES))
}

#[test]
fn clients_that_stall_make_the_next_wait_only_where_their_number_is_bounded() {
    for lecture in Lecture::all() {
        let mut server = lecture.start();
        let mut stalled: Vec<Client> =
            (0..lecture.holds.unwrap_or(MANY)).map(|_| server.client("echo")).collect();
        for client in &mut stalled {
            client.expect_echo(b"and then nothing\n");
        }
        let mut next = server.client("echo");
        next.send(b"and me?\n");
        if lecture.holds.is_some() {
            next.expect_silence(SILENCE);
            drop(stalled.pop());
        }
        next.expect_exact(b"and me?\n");
        println!("{}", lecture.name);
    }
}

#[test]
fn a_slow_reader_gets_everything_back() {
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    for lecture in Lecture::all() {
        let mut server = lecture.start();
        let mut client = Client::connect_narrow(&server.address("echo"));
        let mut sender = client.another_handle();
        let sending = sent.clone();
        let sending = std::thread::spawn(move || {
            sender.send(&sending);
            sender.half_close();
        });
        let (received, _) = client.rest();
        assert!(received == sent, "{}: {} of {} bytes", lecture.name, received.len(), sent.len());
        sending.join().unwrap();
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_answer_ends_alone() {
    for lecture in Lecture::all() {
        let mut server = lecture.start();
        for _ in 0..5 {
            let mut leaves = Client::connect_narrow(&server.address("echo"));
            leaves.socket().set_nonblocking(true).unwrap();
            // Until both directions are full: the server is in the middle of a send.
            while leaves.try_send(&[b'x'; 8 << 10]).is_ok() {}
            leaves.reset();
        }
        server.client("echo").expect_echo(b"the next\n");
    }
}

#[test]
fn children_are_reaped_and_neither_side_keeps_the_others_socket() {
    for lecture in Lecture::forking() {
        let mut server = lecture.start();
        let before = server.descriptors().len();
        let mut clients: Vec<Client> = (0..MANY).map(|_| server.client("echo")).collect();
        for client in &mut clients {
            client.expect_echo(b"served\n");
        }
        let parent = server.pid();
        assert_eq!(children(parent).len(), MANY, "{lecture:?}");
        eventually("the parent has closed newS", || server.descriptors().len() == before);
        for (child, _) in children(parent) {
            let sockets = || {
                let links = std::fs::read_dir(format!("/proc/{child}/fd")).unwrap().flatten();
                let links = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
                links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
            };
            eventually("the child has closed S", || sockets() == 1);
        }
        drop(clients);
        eventually("no child is left, not even a zombie", || children(parent).is_empty());
        server.client("echo").expect_echo(b"it goes on\n");
    }
}

#[test]
fn a_copy_that_dies_is_replaced_and_none_outlives_its_parent() {
    let lecture = Lecture::rust("lecture-copies", Some(3));
    let mut server = lecture.start();
    let copies = |count: usize| {
        eventually_some("the copies", || {
            let copies: Vec<i32> = children(server.pid()).into_iter().map(|(pid, _)| pid).collect();
            (copies.len() == count).then_some(copies)
        })
    };
    let first = copies(3);
    kill(Pid::from_raw(first[0]), Signal::SIGKILL).unwrap();
    eventually("another takes its place", || !copies(3).contains(&first[0]));
    let last = copies(3);
    // All three serve.
    let mut clients: Vec<Client> = (0..3).map(|_| server.client("echo")).collect();
    for client in &mut clients {
        client.expect_echo(b"served\n");
    }
    server.signal(Signal::SIGKILL);
    server.ended();
    for mut client in clients {
        client.rest(); // its copy is gone
    }
    let is_gone = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    eventually("the copies are gone", || last.iter().all(is_gone));
}

/// Errors that accept(2) may return at any time, each for the first call of a process.
const LOST: [Fault; 3] = [
    Fault { call: "accept,accept4", effect: "error=ECONNABORTED:when=1" },
    Fault { call: "accept,accept4", effect: "error=EINTR:when=1" },
    Fault { call: "accept,accept4", effect: "error=EMFILE:when=1" },
];

#[test]
fn an_accept_that_fails_is_called_again() {
    if !LOST[0].can_be_injected() {
        return;
    }
    for fault in &LOST {
        for lecture in Lecture::all() {
            let mut server = fault.injected_into(lecture.command()).start().listening();
            for _ in 0..2 {
                server.client("echo").expect_echo(b"served\n");
            }
            println!("{} {}", lecture.name, fault.effect);
        }
    }
}

#[test]
fn a_child_or_thread_that_cannot_be_made_loses_its_client_alone() {
    let no_process = Fault { call: "clone,clone3", effect: "error=EAGAIN:when=1" };
    if !no_process.can_be_injected() {
        return;
    }
    let thread = Lecture::rust("lecture-thread", None);
    for lecture in Lecture::forking().iter().chain([&thread]) {
        let mut server = no_process.injected_into(lecture.command()).start().listening();
        server.client("echo").expect_end();
        server.client("echo").expect_echo(b"the next\n");
        server.expect_log("Resource temporarily unavailable", 1);
    }
}

/// A receive timeout that has passed, as the system reports it, of the first call of each process.
const SILENT: Fault = Fault { call: "recvfrom", effect: "error=EAGAIN:when=1" };

#[test]
fn a_client_that_is_silent_for_too_long_makes_way_for_the_next() {
    if !SILENT.can_be_injected() {
        return;
    }
    let iterative = Lecture::rust("lecture-iterative", Some(1));
    for lecture in Lecture::forms_in_c().take(1).chain([iterative]) {
        let calls = tempfile::NamedTempFile::new().unwrap();
        let mut server = SILENT.recorded_into(calls.path(), lecture.command()).start().listening();
        let mut silent = server.client("echo");
        let mut next = server.client("echo");
        next.expect_echo(b"the next\n");
        silent.expect_end();
    }
}

#[test]
fn without_descriptors_it_waits_and_serves_the_others_when_one_is_free() {
    for name in ["lecture-thread", "lecture-reactor"] {
        let lecture = Lecture::rust(name, None);
        let setup = Setup::program(lecture.program.clone(), lecture.args).nofile(16);
        let mut server = setup.start().listening();
        let mut clients: Vec<Client> = (0..20).map(|_| server.client("echo")).collect();
        for client in &mut clients {
            client.send(b"served\n");
        }
        server.expect_log("open files", 1);
        // Those that are served leave; the others follow.
        for mut client in clients {
            client.expect_exact(b"served\n");
        }
    }
}

#[test]
fn the_port_of_a_mistake_is_an_error_that_names_it() {
    for lecture in Lecture::all() {
        let done = std::process::Command::new(&lecture.program).arg("70o7").output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && said.contains("PORT"), "{}: {said}", lecture.name);
    }
}

/// Lines of code on a slide that can still be read from the last row.
const SLIDE_LINES_MAX: usize = 45;

#[test]
fn each_fits_on_a_slide() {
    for name in ["iterative", "copies", "fork", "thread", "reactor"] {
        let path = format!("{}/../examples/lecture/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let is_code = |line: &&str| {
            let line = line.trim_start();
            !line.is_empty() && !["//", "use ", "mod "].iter().any(|begin| line.starts_with(begin))
        };
        let lines = text.lines().filter(is_code).count();
        assert!(lines <= SLIDE_LINES_MAX, "{name}: {lines} lines of code");
    }
}
