//! The load generator: clients as state machines in a loop of their own.

pub mod report;

pub use report::Report;
