//! A test in a network namespace of its own.

use std::process::Command;

use super::skipped;

/// Set in the test that was started again.
const INSIDE: &str = "ONELOOP_TEST_IN_NAMESPACE";

/// Runs `inside` in a network namespace whose loopback is up and in which the shell has run `network`: the
/// very test that calls this is started again there, by `unshare(1)`. Skips it where that cannot be done.
pub fn in_a_network(network: &str, inside: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let namespace = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "--uts", "sh", "-c"]);
        unshare.arg(format!("ip link set lo up && {network} && {command}"));
        unshare
    };
    if !namespace("true").output().is_ok_and(|output| output.status.success()) {
        skipped("this network namespace cannot be made here (unshare(1), ip(8))");
        return;
    }
    // libtest names the thread after the test, with its module.
    let thread = std::thread::current();
    let output = namespace("exec \"$TEST\" --exact \"$NAME\" --nocapture")
        .env("TEST", std::env::current_exe().unwrap())
        .env("NAME", thread.name().expect("the thread of a test has its name"))
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}{output:?}");
}
