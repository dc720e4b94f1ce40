//! Measuring: every cell of a plan, each with a server started afresh.
//!
//! - [`steps`]: the comparison, step by step;
//! - [`executor`]: the interface of whatever measures a cell; [`real`] measures real servers;
//! - [`server`], [`generator`], [`orphans`], [`placement`]: processes and their cores;
//! - [`examine`]: what another server does with clients, before it is measured;
//! - [`stalls`] (`wait`, `few`) and [`standing`] (`many`, `idle`): experiments that need more than the load
//!   generator;
//! - [`outcome`], [`raw`]: what a run gave, and the file that keeps it;
//! - [`machine`]: what everything ran on.

mod examine;
pub(crate) mod executor;
mod generator;
pub(crate) mod machine;
mod orphans;
pub(crate) mod outcome;
pub(crate) mod placement;
pub(crate) mod raw;
pub(crate) mod real;
mod server;
mod stalls;
mod standing;
pub(crate) mod steps;
