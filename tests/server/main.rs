//! The program and the loop as their clients and operators see them: `oneloop serve`, deadlines, limits,
//! signals, drains.
//!
//! Where a new test goes: here if it holds for any service under the reactor; `http` if it is about HTTP or
//! files, `models` if it holds for every model. One file per promise or subject; what several files need
//! stands in `common`.

use oneloop_tests as common;

mod classic;
mod completions;
mod contract;
mod deadlines;
mod descriptors;
mod drain;
mod echo;
mod example_chat;
mod example_lines;
mod fairness;
mod half_close;
mod lag;
mod lan;
mod layers;
mod limits;
mod lingering;
mod misuse;
mod panics;
mod resets;
mod serve_cli;
mod syscalls;
mod terminal;
mod turns;
mod urgent;
mod wakers;
