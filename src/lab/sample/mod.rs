//! What processes use while a cell is measured: CPU time over a span, memory, listen queues.

pub(crate) mod cpu;
pub(crate) mod proc;
pub(crate) mod server;
