//! The scheduler as a whole, in one process: masters and workers on one in-memory store, each through a client of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the helpers of these tests fail by panicking, as tests do"
)]

mod bench;
mod embedded;
mod failover;
mod leading;
mod lost;
mod run;
mod serving;
mod submitting;
