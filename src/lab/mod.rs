//! The laboratory: server models and other servers compared on the asker's own machine, with numbers that doubt
//! themselves.
//!
//! ```text
//! plan       experiments and subjects become cells; the seed decides their order, repeats are interleaved
//! run        each cell on an executor, each run appended to the raw data at once
//! judge      every cell is VALID, NOISY, GENERATOR-BOUND, PORT-STARVED, UNSUPPORTED or FAILED, with evidence
//! decision   orders and crossovers, from VALID cells alone; no winner
//! export     a table, a report in one HTML file, JSON, CSV
//! ```
//!
//! Servers and load are this same program, started anew (`oneloop serve`, `oneloop load`); the lab never forks itself.
//! Everything after the runs is a function of the raw data, so that a report can be made again from the file.

pub mod cell;
pub mod decision;
pub mod executor;
pub mod experiments;
pub mod export;
pub mod generator;
pub mod judge;
pub mod machine;
pub mod metric;
pub mod mock;
pub mod orphans;
pub mod place;
pub mod plan;
pub mod proc;
pub mod raw;
pub mod real;
pub mod results;
pub mod run;
pub mod sample;
pub mod server;
pub mod stats;
