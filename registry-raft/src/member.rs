//! A member: what runs inside a process that belongs to the group.

#![expect(dead_code, reason = "parts of the surface have no caller yet")]

mod applied;
mod clock;
mod deadlines;
mod grants;
mod limits;
mod listing;
mod metrics;
mod proposals;
mod quorum;
mod reads;
mod sessions;
mod watches;
