//! `--open`: the browser of the desktop.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Programs that open a URL in the browser that the user has chosen; the first that exists is used.
const OPENERS: &[&str] =
    if cfg!(target_os = "macos") { &["open"] } else { &["xdg-open", "wslview", "sensible-browser"] };

/// Opens a URL without waiting for the browser, which may run as long as its window is open. A shell starts
/// it and ends, so that the browser is not a child of the server.
pub(super) fn open(url: &str) {
    let Some(opener) = OPENERS.iter().find(|name| is_in_path(name)) else {
        log::warn!(
            "--open: no program to open a browser was found ({}); open {url} yourself",
            OPENERS.join(", ")
        );
        return;
    };
    let started = Command::new("sh")
        .args(["-c", "\"$0\" \"$1\" </dev/null >/dev/null 2>&1 &", opener, url])
        // Ctrl-C in this terminal ends the server, not the browser.
        .process_group(0)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match started {
        Ok(status) if status.success() => {}
        Ok(status) => log::warn!("--open: cannot start {opener} ({status}); open {url} yourself"),
        Err(error) => log::warn!("--open: cannot start {opener}: {error}; open {url} yourself"),
    }
}

fn is_in_path(program: &str) -> bool {
    let is_executable = |path: &Path| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| is_executable(&directory.join(program)))
}
