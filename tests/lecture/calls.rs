//! The system calls of a server with a child per client, as `strace` shows them: those of the slide, in its
//! order.

use std::collections::BTreeMap;

use crate::common::server::Setup;
use crate::common::{Client, eventually, has_program};
use crate::servers::Lecture;

/// The calls of the slide.
const TRACED: &str = "trace=accept,accept4,clone,close,recvfrom,sendto,exit_group";

/// One system call: its name, its arguments and its result, as `strace` writes them.
#[derive(Debug, PartialEq)]
struct Call {
    name: String,
    args: String,
    result: String,
}

impl Call {
    fn fd(&self) -> &str {
        // A call that was interrupted in the log has a blank behind its last argument.
        self.args.split([',', ')']).next().unwrap().trim_end()
    }
}

/// The calls of each process, in their order, from what `strace -f -o` writes.
fn calls_by_process(log: &str) -> BTreeMap<i32, Vec<Call>> {
    let (mut found, mut unfinished) = (BTreeMap::<i32, Vec<Call>>::new(), BTreeMap::<i32, String>::new());
    for line in log.lines() {
        let (pid, rest) = line.split_once(' ').unwrap();
        let (pid, rest) = (pid.parse().unwrap(), rest.trim_start());
        let rest = match (rest.strip_suffix("<unfinished ...>"), rest.split_once(" resumed>")) {
            (Some(begin), _) => {
                unfinished.insert(pid, begin.to_owned());
                continue;
            }
            (None, Some((_, end))) => unfinished.remove(&pid).unwrap() + end,
            (None, None) => rest.to_owned(),
        };
        // Signals and exits begin with --- and +++.
        if let Some((name, rest)) = rest.split_once('(')
            && let Some((args, result)) = rest.rsplit_once(" = ")
        {
            let [name, args, result] = [name, args, result].map(|text| text.trim().to_owned());
            found.entry(pid).or_default().push(Call { name, args, result });
        }
    }
    found
}

#[test]
fn a_child_per_client_is_accept_fork_close_close_recv_send_exit() {
    if !has_program("strace") {
        return;
    }
    for lecture in Lecture::forking() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let strace = ["-D", "-f", "-o", log.path().to_str().unwrap(), "-e", TRACED];
        let mut server =
            Setup::program("strace", strace.into_iter().chain(lecture.command())).start().listening();
        let mut client: Client = server.client("echo");
        client.expect_echo(b"hello\n");
        client.half_close();
        client.expect_end();
        let read = || std::fs::read_to_string(log.path()).unwrap();
        eventually("the child's exit", || read().contains("+++ exited with 0 +++"));
        let mut calls = calls_by_process(&read());
        let parent = calls.remove(&server.pid().as_raw()).unwrap();
        let child = calls.into_values().next().unwrap();

        let accepts = parent.iter().position(|call| call.name.starts_with("accept")).unwrap();
        let [accept, fork, close, ..] = &parent[accepts..] else { panic!("{parent:?}") };
        let (s, new_s) = (accept.fd(), accept.result.as_str());
        assert_eq!((fork.name.as_str(), close.name.as_str(), close.fd()), ("clone", "close", new_s));
        assert!(fork.args.contains("SIGCHLD"), "{fork:?}");

        let shown: Vec<_> = child.iter().map(|call| (call.name.as_str(), call.fd(), &*call.result)).collect();
        let as_the_slide = [
            ("close", s, "0"),
            ("recvfrom", new_s, "6"),
            ("sendto", new_s, "6"),
            ("recvfrom", new_s, "0"),
            ("exit_group", "0", "?"),
        ];
        assert_eq!(shown, as_the_slide, "{lecture:?}");
    }
}
