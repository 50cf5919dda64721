//! One suite that decides what the [`Registry`](registry_api::Registry) contract means, for every backend.
//!
//! A backend opts in with a [`Harness`]: how to start it, connect to it, and disturb it. [`run`] then shows every
//! requirement that the backend's capabilities claim, and says of every other one why it was not shown:
//!
//! ```
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! /// What `main` of the test target calls.
//! fn judge(my_harness: Arc<dyn conformance_tests::Harness>) -> ExitCode {
//!     conformance_tests::run(vec![my_harness])
//! }
//! ```
//!
//! with, in the manifest, `[[test]]`, `name = "conformance"`, `harness = false`.
//!
//! Each case names the guarantees that it shows, and a failure begins with the one that was broken: `broke G5: ...`.
//! Cases have keys and locks of their own and run at the same time; those that disturb servers run later, on clusters of
//! their own. Nothing sleeps: cases wait for events, a thing that must not happen is shown by a sentinel written after
//! it, and the passing of a time to live by a session that was seen to end.

mod broken;
mod cable;
mod case;
mod cases;
#[cfg(feature = "certificates")]
pub mod certificates;
mod committed;
mod context;
mod guarantee;
mod harness;
mod history;
mod model;
#[cfg(feature = "names")]
pub mod names;
mod plan;
mod ports;
mod process;
mod refusal;
mod report;
mod runner;
pub mod saboteur;
#[cfg(feature = "servers")]
pub mod servers;
mod stall;
mod timing;
mod tour;
mod wait;
mod watcher;

pub use broken::{Broken, Outcome};
pub use cable::Cable;
pub use case::{Body, Case};
pub use cases::all as all_cases;
pub use context::{Context, Terms};
pub use guarantee::Guarantee;
pub use harness::{Cluster, Fault, Harness, NOT_COMMITTED};
pub use ports::free_port;
pub use runner::{run, run_case};
pub use saboteur::Saboteur;
pub use timing::{LeaderChange, Timing};
pub use tour::tour;
pub use watcher::Watcher;
