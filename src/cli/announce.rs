//! What a server prints when it is ready, on standard output.

use std::io::Write;
use std::path::Path;

use super::http::SiteArgs;
use super::spec::Spec;
use crate::lab::report::in_one_line;
use crate::models::ListenerConfig;
use crate::services::{AnyService, ServiceName};

/// A directory that is shared, as it is announced.
pub(super) struct Share {
    root: String,
    lists: bool,
}

impl Share {
    /// `None` for a service that shares no directory.
    pub(super) fn of(spec: &Spec, site: &SiteArgs) -> Option<Share> {
        if spec.service != ServiceName::Http {
            return None;
        }
        let root = Path::new(spec.argument.as_deref().unwrap_or("."));
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Some(Share { root: root.display().to_string(), lists: site.lists() })
    }
}

/// Prints a line per listener, in a form that scripts can read, and what people want to know. A closed
/// standard output does not stop the server.
pub(super) fn announce(listeners: &[ListenerConfig<AnyService>], shares: &[Option<Share>]) {
    let mut text = String::new();
    for (listener, share) in listeners.iter().zip(shares) {
        let (name, first) = (listener.service.name(), &listener.sockets[0]);
        let mut line = |line: String| text.extend([&in_one_line(&line), "\n"]);
        line(format!("listening on {name}@{}", first.local_addr()));
        let Some(share) = share else { continue };
        let listed = if share.lists { "directories are listed" } else { "directories are not listed" };
        line(format!("sharing {} ({listed})", share.root));
        if let Some(addr) = first.local_reachable_addr() {
            line(format!("open http://{addr}/"));
        }
    }
    // In one write: a script that has read the first line can read the others without waiting.
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        log::warn!("cannot write to standard output: {error}");
    }
}
