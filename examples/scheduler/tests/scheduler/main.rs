//! The scheduler as a whole, in one process: masters and workers on one in-memory store, each through a client of its own.

mod bench;
mod failover;
mod lost;
mod run;
mod submitting;
