//! What one operation costs: relative to itself where there is less of everything, and in allocations.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "costs/allocations.rs"]
mod allocations;
#[path = "costs/growth.rs"]
mod growth;

use std::sync::LazyLock;

use registry_raft::micro::{Size, State};

/// Few keys and sessions.
static SMALL: LazyLock<State> = LazyLock::new(|| State::new(Size { keys: 1_000, sessions: 10 }).unwrap());
/// Many keys.
static LARGE: LazyLock<State> = LazyLock::new(|| State::new(Size { keys: 100_000, sessions: 10 }).unwrap());

/// Counts for each thread what it allocates.
#[global_allocator]
static ALLOCATOR: alloc_tracker::Allocator<std::alloc::System> = alloc_tracker::Allocator::system();
