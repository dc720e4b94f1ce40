//! `cargo bench --bench models`: a short run of the lab, as released: every model with a client per
//! connection and at one rate for all. The whole comparison is `oneloop compare`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Where the raw data stays: beside other things that are built.
    let began = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let output = concat!(env!("CARGO_TARGET_TMPDIR"), "/models");
    let compared = Command::new(env!("CARGO_BIN_EXE_oneloop"))
        .args(["compare", "--quick", "--experiments", "churn,steady"])
        .arg("--output")
        .arg(format!("{output}-{began}"))
        .env_remove("RUST_LOG")
        .status();
    match compared {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("oneloop compare: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("oneloop compare was not started: {error}");
            ExitCode::FAILURE
        }
    }
}
