//! Whole groups of members on real sockets, used through the registry contract.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "group/cluster.rs"]
mod cluster;
#[path = "group/embedded.rs"]
mod embedded;
#[path = "group/failover.rs"]
mod failover;
