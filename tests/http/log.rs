//! The access log: lines that other programs read, with the bytes really sent.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::common::faulty::children;
use crate::common::http::{Site, get};
use crate::common::server::{IN_A_TERMINAL, Setup};
use crate::common::{Address, Client, KilledOnDrop, Server, eventually};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use oneloop::models::Model;

#[test]
fn answers_are_written_down_with_the_bytes_really_sent_and_the_file_is_reopened() {
    let site = Site::new();
    site.file("a", "content");
    site.file("big", vec![0; 50_000_000]);
    let (log, rotated) = (site.beside("log"), site.beside("log.1"));
    let path = log.to_str().unwrap();
    let mut server = site.serve(&["--access-log", path]);
    let mut client = server.client("http");
    get(&mut client, "/a?b", "Referer: from\r\nUser-Agent: \"quoted\"\r\n");
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    eventually("a line", || read(&log).ends_with('\n'));
    let line = read(&log);
    let (start, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(
        (start, rest),
        ("127.0.0.1 - -", "\"GET /a?b HTTP/1.1\" 200 7 \"from\" \"\\x22quoted\\x22\"\n")
    );
    assert!(time.len() == "10/Oct/2000:13:55:36 +0000".len() && time.ends_with(" +0000"), "{time}");
    std::fs::rename(&log, &rotated).unwrap();
    server.signal(Signal::SIGHUP);
    eventually("a new file", || log.exists());
    // A client that leaves in the midst of a download: what it got is counted, not what it asked for.
    let mut leaving = server.client("http");
    leaving.send(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut some = vec![0; 1_000_000];
    leaving.read_exact(&mut some);
    leaving.socket().shutdown(Shutdown::Both).unwrap();
    drop(leaving);
    eventually("the line of the cut download", || read(&log).contains("GET /big"));
    let line = read(&log);
    let sent: u64 = line.split("\" 200 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((900_000..50_000_000).contains(&sent), "{line}");
    assert_eq!(read(&rotated).lines().count(), 1);
}

/// A listing: the session still holds the rest of it, with the report, when the client leaves.
#[test]
fn an_answer_that_is_cut_while_it_is_made_has_its_line_with_the_bytes_really_sent() {
    let site = Site::new();
    // Rows of more than 2 KiB each: in all more than the sockets hold.
    for number in 0..5_000 {
        site.file(&format!("{}{number}", "&".repeat(245)), "");
    }
    for model in Model::ALL {
        let log = site.beside(model.name());
        let args = args(&site, model, log.to_str().unwrap());
        let mut server = Setup::oneloop(args).start().listening();
        let mut leaving = server.client("http");
        leaving.send(b"GET /?cut HTTP/1.1\r\nHost: h\r\n\r\n");
        leaving.read_exact(&mut [0; 10_000]);
        leaving.socket().shutdown(Shutdown::Both).unwrap();
        drop(leaving);
        server.expect_log(" ended: reset ", 1);
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        eventually("the line of the cut listing", || read().ends_with('\n'));
        let line = read();
        let sent = line.split_once("\"GET /?cut HTTP/1.1\" 200 ").and_then(|(_, rest)| rest.split_once(' '));
        let sent: usize = sent.unwrap_or_else(|| panic!("{line}")).0.parse().unwrap();
        assert!((9_000..10_000_000).contains(&sent), "{model}: {line}");
    }
}

#[test]
fn the_log_on_standard_output_is_in_the_common_format_if_asked() {
    let site = Site::new();
    site.file("a", "content");
    let spec = crate::common::http::spec(&site.root());
    let mut server = Server::serve(&[&spec, "--access-log", "-", "--access-format", "common"]);
    get(&mut server.client("http"), "/a", "");
    get(&mut server.client("http"), "/none", "");
    eventually("two lines", || server.stdout().matches(" HTTP/1.1\" ").count() == 2);
    assert!(server.stdout().contains("\"GET /a HTTP/1.1\" 200 7\n"), "{}", server.stdout());
    assert!(server.stdout().contains("\"GET /none HTTP/1.1\" 404 "), "{}", server.stdout());
}

/// The loop's clients share buffers, not counts.
#[test]
fn output_of_other_services_counts_in_no_log_line() {
    let site = Site::new();
    site.file("a", "content");
    let spec = crate::common::http::spec(&site.root());
    let mut server = Server::serve(&[&spec, "echo@127.0.0.1:0", "--access-log", "-"]);
    let mut echo = server.client("echo");
    echo.send(&[b'e'; 5000]);
    echo.read_exact(&mut [0; 5000]);
    get(&mut server.client("http"), "/a", "");
    eventually("a line", || server.stdout().contains(" HTTP/1.1\" "));
    assert!(server.stdout().contains("\"GET /a HTTP/1.1\" 200 7 "), "{}", server.stdout());
}

/// As on a full disk, and of a limit the system would also kill.
#[test]
fn a_log_file_at_its_size_limit_is_reported_and_ends_no_client() {
    let site = Site::new();
    site.file("a", "content");
    let log = site.beside("log");
    let shell = ["-c", "ulimit -f 64 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_oneloop")].map(str::to_owned);
    let serve = args(&site, Model::Reactor, log.to_str().unwrap());
    let mut server = Setup::program("sh", shell.into_iter().chain(serve)).start().listening();
    visit(&server.address("http"), 0..13); // more than the 32 KiB that it may have
    server.expect_log("access log: cannot write to", 1);
    visit(&server.address("http"), 13..14);
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    server.expect_log("access log: writing again; 0 lines were lost", 1);
    assert!(server.stop().success());
}

/// Twice this many requests have more log lines, of about 3 KiB each, than the pipe and the waiting bytes can
/// hold.
const CROWD: u32 = 600;

/// Asks for a file, once with each of these numbers, and has every answer.
fn ask(client: &mut Client, numbers: Range<u32>) {
    let long = format!("Referer: {}\r\nUser-Agent: {}\r\n", "r".repeat(1000), "u".repeat(1000));
    for number in numbers {
        assert_eq!(get(client, &format!("/a?{number:0>980}"), &long).status, 200, "request {number}");
    }
}

/// The same on a connection of its own.
fn visit(address: &Address, numbers: Range<u32>) {
    ask(&mut Client::connect(address), numbers);
}

/// Asserts that every answer has exactly one line, written or reported as lost, and that some were lost.
#[track_caller]
fn all_accounted_for(server: &Server, log: &str, answers: u32, model: Model) {
    let (came, lost) = (numbers(log), lost(server));
    let different: BTreeSet<u32> = came.iter().copied().collect();
    assert!(lost > 0 && !came.is_empty(), "{model}: {} came, {lost} were lost", came.len());
    assert_eq!((different.len(), came.len() + lost), (came.len(), answers as usize), "{model}");
}

/// The numbers of the requests whose lines are in this log, which has whole lines only.
fn numbers(log: &str) -> Vec<u32> {
    let behind = format!("\"{}\" \"{}\"", "r".repeat(1000), "u".repeat(1000));
    let number = |line: &str| {
        let rest = line.strip_prefix("127.0.0.1 - - [")?.split_once("] \"GET /a?")?.1;
        let (number, rest) = rest.split_once(" HTTP/1.1\" 200 7 ")?;
        (number.len() == 980 && rest == behind).then(|| number.parse().ok())?
    };
    assert!(log.is_empty() || log.ends_with('\n'), "the last line is whole");
    let announced = ["listening on ", "sharing ", "open http://"];
    let told = |line: &&str| !announced.iter().any(|start| line.starts_with(start));
    log.lines().filter(told).map(|line| number(line).unwrap_or_else(|| panic!("no line: {line}"))).collect()
}

/// The number of lines that the server reported as lost.
fn lost(server: &Server) -> usize {
    let stderr = server.stderr();
    let told = stderr.match_indices(" lines were lost");
    told.map(|(at, _)| stderr[..at].rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

fn args(site: &Site, model: Model, log: &str) -> Vec<String> {
    let spec = crate::common::http::spec(&site.root());
    let args = ["serve", &spec, "--model", model.name(), "--access-log", log].map(str::to_owned);
    let workers = model.starts_ahead().then(|| ["--workers", "2"].map(str::to_owned));
    args.into_iter().chain(workers.into_iter().flatten()).collect()
}

#[test]
fn an_unread_log_pipe_delays_no_client_and_lost_lines_are_reported() {
    let site = Site::new();
    site.file("a", "content");
    for model in Model::ALL {
        let mut server = Setup::oneloop(args(&site, model, "-")).start().listening();
        let (address, reader) = (server.address("http"), server.stdout_reader());
        let stalled = reader.lock().unwrap();
        visit(&address, 0..CROWD);
        visit(&address, CROWD..2 * CROWD);
        server.signal(Signal::SIGTERM);
        assert!(server.ended().success(), "{model}");
        drop(stalled);
        server.exit();
        all_accounted_for(&server, &server.stdout(), 2 * CROWD, model);
    }
}

#[test]
fn waiting_log_lines_are_complete_and_in_order_when_the_reader_continues() {
    let site = Site::new();
    site.file("a", "content");
    let mut server = Setup::oneloop(args(&site, Model::Reactor, "-")).start().listening();
    let (address, reader) = (server.address("http"), server.stdout_reader());
    let stalled = reader.lock().unwrap();
    let few = CROWD / 4; // more than the pipe holds, less than may wait
    visit(&address, 0..few);
    drop(stalled);
    eventually("all lines", || numbers(&server.stdout()).len() == few as usize);
    assert_eq!(lost(&server), 0);
    let stalled = reader.lock().unwrap();
    visit(&address, few..3 * CROWD);
    server.expect_log("access log: standard output has no reader", 1);
    drop(stalled);
    server.expect_log("access log: writing again", 1);
    visit(&address, 3 * CROWD..3 * CROWD + 1);
    eventually("the last line", || server.stdout().contains(&format!("0{} HTTP", 3 * CROWD)));
    let came = numbers(&server.stdout());
    assert!(came.is_sorted() && lost(&server) > 0);
    assert_eq!(came.len() + lost(&server), 3 * CROWD as usize + 1);
}

/// A reader that has the FIFO open, and reads only when it is asked to.
fn reader_of(fifo: &Path) -> File {
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(fifo).unwrap()
}

#[test]
fn a_fifo_needs_a_reader_at_the_start_and_later_waits_for_none() {
    let site = Site::new();
    site.file("a", "content");
    let fifo = site.beside("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for model in [Model::Reactor, Model::Prefork] {
        let args = args(&site, model, fifo.to_str().unwrap());
        let mut unread = Setup::oneloop(&args).start();
        assert_eq!(unread.exit().code(), Some(1));
        assert!(unread.stderr().contains("this FIFO has no reader"), "{}", unread.stderr());

        let mut reader = reader_of(&fifo);
        let mut server = Setup::oneloop(&args).start().listening();
        let address = server.address("http");
        visit(&address, 0..CROWD);
        visit(&address, CROWD..2 * CROWD);
        assert!(server.stop().success(), "{model}");
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        all_accounted_for(&server, &log, 2 * CROWD, model);
    }
}

#[test]
fn the_lines_for_a_reader_that_left_wait_for_the_next_one() {
    let site = Site::new();
    site.file("a", "content");
    let fifo = site.beside("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let leaving = reader_of(&fifo);
    let mut server = Setup::oneloop(args(&site, Model::Reactor, fifo.to_str().unwrap())).start().listening();
    drop(leaving);
    visit(&server.address("http"), 0..12); // enough to be written at once, and less than the FIFO holds
    server.expect_log("access log: cannot write to", 1);
    server.signal(Signal::SIGHUP);
    server.expect_log("access log: cannot reopen", 1);
    let mut next = reader_of(&fifo);
    server.expect_log("access log: writing again; 0 lines were lost", 1);
    let (mut log, mut piece) = (Vec::new(), [0; 1 << 14]);
    eventually("all lines", || {
        let len = next.read(&mut piece).unwrap_or(0);
        log.extend_from_slice(&piece[..len]);
        log.iter().filter(|&&byte| byte == b'\n').count() == 12
    });
    assert_eq!(numbers(&String::from_utf8(log).unwrap()), (0..12).collect::<Vec<_>>());
    assert!(server.stop().success());
}

/// Which is opened again by each process for itself, when its parent has passed the signal on.
#[test]
fn after_a_rotation_children_write_to_the_new_file_in_the_midst_of_a_conversation() {
    for (model, workers) in [(Model::Prefork, None), (Model::Fork, None), (Model::Reactor, Some("2"))] {
        let site = Site::new();
        site.file("a", "content");
        let (log, rotated) = (site.beside("log"), site.beside("log.1"));
        let read = |path| numbers(&std::fs::read_to_string(path).unwrap_or_default());
        let workers = workers.into_iter().flat_map(|count| ["--workers", count].map(str::to_owned));
        let args = args(&site, model, log.to_str().unwrap()).into_iter().chain(workers);
        let mut server = Setup::oneloop(args).start().listening();
        let mut client = server.client("http");
        ask(&mut client, 1..2);
        eventually("the first line", || read(&log) == [1]);
        std::fs::rename(&log, &rotated).unwrap();
        server.signal(Signal::SIGHUP);
        let mut number = 1;
        eventually("a line in the new file", || {
            number += 1;
            ask(&mut client, number..number + 1);
            !read(&log).is_empty()
        });
        drop(client);
        assert!(server.stop().success(), "{model}");
        assert_eq!([read(&rotated), read(&log)].concat(), (1..=number).collect::<Vec<_>>(), "{model}");
    }
}

/// Threads share one log: that of the thread that answers is opened again before it writes, not after.
#[test]
fn after_a_rotation_no_line_goes_to_the_old_file() {
    for model in Model::ALL {
        let site = Site::new();
        site.file("a", "content");
        let (log, rotated) = (site.beside("log"), site.beside("log.1"));
        let read = |path| numbers(&std::fs::read_to_string(path).unwrap_or_default());
        let mut server = Setup::oneloop(args(&site, model, log.to_str().unwrap())).start().listening();
        let mut client = server.client("http");
        ask(&mut client, 1..2);
        eventually("the line of a client that says no more", || read(&log) == [1]);
        if matches!(model, Model::Prefork | Model::Fork) {
            continue; // the parent opens the file before it passes the signal on: nothing shows when that has come
        }
        std::fs::rename(&log, &rotated).unwrap();
        server.signal(Signal::SIGHUP);
        eventually("a new file", || log.exists());
        ask(&mut client, 2..3);
        eventually("the line after it", || !read(&log).is_empty() || read(&rotated).len() > 1);
        assert_eq!((read(&log), read(&rotated)), (vec![2], vec![1]), "{model}");
    }
}

#[test]
fn a_server_with_a_log_file_outlives_its_terminal_and_reopens_the_log_even_under_nohup() {
    // Elsewhere there is no program to start the server with signals ignored, and no /proc that lists
    // children.
    if !cfg!(target_os = "linux") || !crate::common::has_program("python3") {
        return;
    }
    let site = Site::new();
    site.file("a", "content");
    for starter in [&["env"][..], &["env", "--ignore-signal=HUP"]] {
        let log = site.beside("log");
        let args = args(&site, Model::Reactor, log.to_str().unwrap());
        let words = ["-c", IN_A_TERMINAL, ""].iter().chain(starter).copied();
        let words = words.chain([env!("CARGO_BIN_EXE_oneloop")]).map(str::to_owned).chain(args);
        let mut server = Setup::program("python3", words).start().listening();
        let (pid, _) = children(server.pid())[0];
        let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
        server.signal(Signal::SIGUSR1);
        server.expect_log("SIGHUP: reopening the access log", 1);
        std::fs::remove_file(&log).unwrap();
        signal(Signal::SIGHUP);
        eventually("the log is opened again", || log.exists());
        server.expect_log("SIGHUP: reopening the access log", 2);
        assert_eq!(get(&mut server.client("http"), "/a", "").status, 200);
        signal(Signal::SIGTERM);
        assert_eq!(server.exit().code(), Some(0), "{starter:?}");
    }
}

/// As under systemd (sockets) and in containers (pipes).
#[test]
fn standard_output_and_error_may_be_sockets_and_pipes_and_those_of_another_user() {
    use std::process::{Command, Stdio};
    let site = Site::new();
    let link = site.beside("link");
    std::os::unix::fs::symlink("/dev/stdout", &link).unwrap();
    let path = site.beside("socket");
    let users: &[&[&str]] =
        if nix::unistd::Uid::effective().is_root() { &[&[], &["--user=nobody"]] } else { &[&[]] };
    for (log, fd) in [("/dev/stdout", 1), ("/dev/stderr", 2), ("/dev/fd/1", 1), (link.to_str().unwrap(), 1)] {
        for (user, is_socket) in users.iter().flat_map(|user| [(user, true), (user, false)]) {
            let (mut reader, writer): (Box<dyn Read + Send>, Stdio) = if is_socket {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
                ours.set_read_timeout(Some(crate::common::PATIENCE)).unwrap();
                (Box::new(ours), Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            } else {
                let (reader, writer) = std::io::pipe().unwrap();
                (Box::new(reader), Stdio::from(writer))
            };
            let spec = format!("http={}@unix:{}", site.root().display(), path.display());
            let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
            command.args(["serve", "-q", &spec, "--access-log", log]).args(*user).stdin(Stdio::null());
            match fd {
                1 => command.stdout(writer).stderr(Stdio::null()),
                _ => command.stderr(writer).stdout(Stdio::null()),
            };
            let mut server = KilledOnDrop::spawn(command);
            eventually("it listens, or has ended", || {
                let listens = std::os::unix::net::UnixStream::connect(&path).is_ok();
                listens || server.try_wait().unwrap().is_some()
            });
            get(&mut Client::connect(&Address::Unix(path.clone())), "/asked", "");
            let pid = nix::unistd::Pid::from_raw(server.id().cast_signed());
            nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
            let mut output = String::new();
            reader.read_to_string(&mut output).unwrap();
            assert!(
                output.contains("\"GET /asked HTTP/1.1\" "),
                "{log} {user:?} socket={is_socket}: {output}"
            );
            assert!(server.wait().unwrap().success(), "{log} {user:?} socket={is_socket}");
            let _ = std::fs::remove_file(&path); // in a folder that the user may not write
        }
    }
}
