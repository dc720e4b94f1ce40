//! The log: standard error, with levels by flags or `RUST_LOG`.

use std::env;

use super::Verbosity;

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
    env_logger::Builder::new()
        .parse_filters(&filters)
        .parse_write_style(&env::var(env_logger::DEFAULT_WRITE_STYLE_ENV).unwrap_or_default())
        .format_timestamp_millis()
        .init();
}
