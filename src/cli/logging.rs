//! The log: standard error, with levels by flags or `RUST_LOG`.

use std::env;
use std::io::{self, IsTerminal};

use env_logger::{Target, WriteStyle};

use super::Verbosity;
use super::stderr::{self, LogWriter};

/// Starts the log. A flag takes precedence over `RUST_LOG`, which takes precedence over the default, `info`.
pub(super) fn start(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity { quiet: 1, .. } => Some("warn"),
        Verbosity { quiet: 2.., .. } => Some("error"),
        Verbosity { verbose: 1, .. } => Some("debug"),
        Verbosity { verbose: 2.., .. } => Some("trace"),
        Verbosity { verbose: 0, quiet: 0 } => None,
    };
    let filters = match level {
        Some(level) => level.to_owned(),
        None => env::var(env_logger::DEFAULT_FILTER_ENV).unwrap_or_else(|_| "info".to_owned()),
    };
    stderr::open();
    env_logger::Builder::new()
        .parse_filters(&filters)
        .target(Target::Pipe(Box::new(LogWriter)))
        .write_style(style())
        .format_timestamp_millis()
        .init();
}

/// Colors for a terminal that has them, unless `RUST_LOG_STYLE` or `NO_COLOR` decides.
fn style() -> WriteStyle {
    match env::var(env_logger::DEFAULT_WRITE_STYLE_ENV).as_deref() {
        Ok("always") => WriteStyle::Always,
        Ok("never") => WriteStyle::Never,
        _ => {
            let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
            let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
            let has_colors = io::stderr().is_terminal() && !is_dumb && !is_set("NO_COLOR");
            if has_colors || is_set("CLICOLOR_FORCE") { WriteStyle::Always } else { WriteStyle::Never }
        }
    }
}
