//! What `--user` gives up, and the owner of Unix sockets with it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::complaint;
use crate::common::{Server, has_program, server::Setup};

#[test]
fn privileges_are_given_up_for_good_after_listening() {
    if !nix::unistd::Uid::effective().is_root() {
        crate::common::skipped("not root, so there is nothing to give up");
        let said = complaint(&["serve", "--user=nobody", "echo@0"], 2);
        assert!(said.contains("only root can change user"), "{said}");
        return;
    }
    let serve = [env!("CARGO_BIN_EXE_oneloop"), "serve", "echo@0", "--user=nobody"];
    let mut server = if has_program("setpriv") {
        // With groups to lose.
        Setup::program("setpriv", ["--groups=4,5"].iter().chain(&serve)).start().listening()
    } else {
        Server::serve(&serve[2..])
    };
    server.client("echo").expect_echo(b"served by nobody");
    let given_up = GivenUp::of(server.pid());
    given_up.expect_user_nobody();
    assert_eq!(given_up.line("CapBnd:"), NO_CAPABILITY);
}

const NO_CAPABILITY: &str = "0000000000000000";

/// The kernel's status of a process that has given up its privileges.
struct GivenUp(String);

impl GivenUp {
    fn of(pid: nix::unistd::Pid) -> GivenUp {
        GivenUp(std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap())
    }

    fn line(&self, name: &str) -> String {
        self.0.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    }

    /// It runs as the user `nobody` in all its user ids, is in no other group, and has no capability.
    #[track_caller]
    fn expect_user_nobody(&self) {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        // The real, effective, saved and file system's id.
        for (name, id) in [("Uid:", nobody.uid.as_raw()), ("Gid:", nobody.gid.as_raw())] {
            assert!(self.line(name).split_whitespace().all(|one| one == id.to_string()), "{}", self.0);
        }
        let groups = self.line("Groups:");
        assert!(groups.split_whitespace().all(|one| one == nobody.gid.to_string()), "{groups}");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(self.line(set), NO_CAPABILITY, "{set}");
        }
        assert_eq!(self.line("NoNewPrivs:"), "1");
    }
}

/// The program as `setpriv ARGS…` starts it, and the folder of a copy that any user may execute; `None` if it
/// cannot.
fn set_privileges(args: &[&str], serve: &[&str]) -> Option<(Setup, tempfile::TempDir)> {
    if !nix::unistd::Uid::effective().is_root() || !has_program("setpriv") {
        crate::common::skipped("it takes root and setpriv to start a server as another user");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("oneloop");
    std::fs::copy(env!("CARGO_BIN_EXE_oneloop"), &copy).unwrap();
    for path in [folder.path(), &copy] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let words =
        args.iter().chain(&[copy.to_str().unwrap(), "serve"]).chain(serve).copied().collect::<Vec<_>>();
    Some((Setup::program("setpriv", words), folder))
}

#[test]
fn a_server_that_is_its_user_already_gives_up_groups_and_capabilities_too() {
    let nobody = ["--reuid=nobody", "--regid=nogroup"];
    let serve = ["echo@0", "--user=nobody"];
    let caps = "+setgid,+setpcap,+net_bind_service";
    let (inheritable, ambient) = (format!("--inh-caps={caps}"), format!("--ambient-caps={caps}"));
    let privileged = [&nobody[..], &["--groups=4,5", &inheritable, &ambient]].concat();
    let Some((setup, _folder)) = set_privileges(&privileged, &serve) else { return };
    let mut server = setup.start().listening();
    server.client("echo").expect_echo(b"served by nobody");
    let given_up = GivenUp::of(server.pid());
    given_up.expect_user_nobody();
    assert_eq!(given_up.line("CapBnd:"), NO_CAPABILITY);

    let plain = [&nobody[..], &["--clear-groups"]].concat();
    let (setup, _folder) = set_privileges(&plain, &serve).unwrap();
    let mut server = setup.start().listening();
    server.client("echo").expect_echo(b"nothing to give up");
    GivenUp::of(server.pid()).expect_user_nobody();

    let strange = [&nobody[..], &["--groups=4,5"]].concat();
    let (setup, _folder) = set_privileges(&strange, &serve).unwrap();
    let mut server = setup.start();
    assert_eq!(server.exit().code(), Some(1));
    assert!(server.stderr().contains("groups that the user does not have"), "{}", server.stderr());
}

#[test]
fn a_unix_socket_belongs_to_the_user_that_the_server_becomes() {
    if !nix::unistd::Uid::effective().is_root() {
        crate::common::skipped("not root, so the server cannot become another user");
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).unwrap(); // as that of /tmp
    let path = folder.path().join("s");
    for model in ["reactor", "prefork"] {
        let spec = format!("echo@unix:{}", path.display());
        let mut server = Server::serve(&[&spec, "--user=nobody", "--unix-mode=600", "--model", model]);
        let found = path.metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (nobody.uid.as_raw(), nobody.gid.as_raw()), "{model}");
        assert_eq!(found.mode() & 0o777, 0o600, "{model}");
        server.client("echo").expect_echo(b"served");
        assert_eq!(server.stop().code(), Some(0), "{model}");
        assert!(!path.exists(), "{model}: its owner removes it");
    }
}
