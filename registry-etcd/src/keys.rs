//! Keys: reads, listings, and changes, each by one transaction of the server.

mod children;
mod conversion;
mod delete;
mod judge;
mod list;
mod lock_root;
mod plan;
mod range;
mod read;
mod scan;
mod transact;

pub(crate) use conversion::{counter_of, entry, key, lease_of, owner_of, revision, session_of};
pub(crate) use lock_root::LockRoot;
pub(crate) use range::KeyRange;
pub(crate) use transact::as_check;
