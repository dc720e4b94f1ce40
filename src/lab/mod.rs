//! `oneloop compare`: server models, and other servers, compared on the user's own machine.
//!
//! ```text
//! plan     which subjects, experiments and levels make cells; the seed decides their order, repeats are interleaved
//! run      each cell: server and generator started afresh; each run is appended to the raw data at once
//! again    runs that other processes disturbed are measured again, within a budget of time
//! sample   CPU time, memory and queues of the processes meanwhile
//! judge    the verdict on every cell with its reasons; rankings and crossovers of VALID cells alone
//! report   a table, one HTML file, JSON, CSV
//! ```
//!
//! Server and generator are processes of this program (`oneloop serve`, `oneloop load`); this process does
//! not fork itself. Everything after the runs is a function of the raw data, so a report can be made again
//! from that file.

pub(crate) mod again;
pub(crate) mod judge;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod sample;

#[cfg(test)]
pub(crate) mod mock;
#[cfg(test)]
mod tests;
