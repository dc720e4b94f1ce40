//! The lecture as a play: a few clients connect to a server, and a drawing shows what happens to each.
//!
//! Everything that is drawn was measured. Each client notes its calls; the process or thread that serves it
//! notes when it begins, reads, has answered and ends; and the kernel's tables are read periodically. All use
//! one clock (`CLOCK_MONOTONIC`). The client's port joins the observations of both sides.
//!
//! | file | what it holds |
//! |---|---|
//! | `scene` | what is played: clients with their plans, and servers |
//! | `script` | a scene as text |
//! | `sighting` | events of a scene, with their times |
//! | `client` | one client: a thread that follows its plan |
//! | `server` | a server, as it is started and listened to |
//! | `serve`, `report`, `faulty` | the same in its own process: its models, what it reports, servers with a mistake |
//! | `kernel` | a server in the tables of the kernel |
//! | `play` | a scene with one server, from the first client to the last |
//! | `timeline` | the sightings as rows of spans and marks; pure |
//! | `sentence` | the result in one sentence; pure |
//! | `screen`, `plain`, `svg`, `page` | the timeline for a terminal, a pipe, a slide, a browser; pure |

mod client;
mod faulty;
mod kernel;
pub(crate) mod page;
pub(crate) mod plain;
pub(crate) mod play;
mod report;
pub(crate) mod scene;
pub(crate) mod screen;
pub(crate) mod script;
mod sentence;
pub(crate) mod serve;
mod server;
mod sighting;
mod svg;
#[cfg(test)]
mod tests;
pub(crate) mod timeline;
