//! The durable log of records and votes: what callers see of it.

use std::{ops::Range, time::Duration};

use super::{LogState, Position, Record, Result, StorageError, Vote};

/// Called exactly once when an operation is durable, or with the error that made the log stop. Called from the writer's
/// thread (or inside the call with [`Writer::Inline`](super::Writer::Inline)), in the order of the calls; it must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// The durable log. Cheap to clone; all clones are the same log.
#[derive(Clone, Debug)]
pub(crate) struct Log;

impl Log {
    /// Appends `records`, which must continue the log.
    ///
    /// They can be read when this returns, and are durable when `done` is called with `Ok`. Many calls may be in flight.
    ///
    /// **Errors** (nothing was accepted, `done` is not called): the records do not follow, one is too large, or the log stopped.
    pub(crate) fn append(&self, _records: Vec<Record>, _done: Done) -> Result<()> {
        Err(StorageError::Closed)
    }

    /// Removes every record after index `last`, or all of them with `None`; effective for readers when this returns.
    pub(crate) fn truncate_after(&self, _last: Option<u64>, _done: Done) -> Result<()> {
        Err(StorageError::Closed)
    }

    /// Removes the records up to and with `upto`, which may lie beyond the end of the log (a snapshot was installed).
    pub(crate) fn purge_to(&self, _upto: Position, _done: Done) -> Result<()> {
        Err(StorageError::Closed)
    }

    /// Saves the vote; durable when `done` is called with `Ok`, never reordered with appends.
    pub(crate) fn save_vote(&self, _vote: Vote, _done: Done) -> Result<()> {
        Err(StorageError::Closed)
    }

    /// Remembers the last committed position; written along with the next operation that writes.
    pub(crate) fn save_committed(&self, _committed: Option<Position>) -> Result<()> {
        Err(StorageError::Closed)
    }

    /// The last vote given to [`Log::save_vote`], or found on disk.
    pub(crate) fn vote(&self) -> Option<Vote> {
        None
    }

    /// The last position given to [`Log::save_committed`], or found on disk.
    pub(crate) fn committed(&self) -> Option<Position> {
        None
    }

    /// First and last record, and what was purged.
    pub(crate) fn state(&self) -> LogState {
        LogState::default()
    }

    /// Reads records `range` in order: all of them, or as many as fit `max_bytes` of payload (but at least one).
    ///
    /// Recent ones come from memory, older ones from disk, verified.
    pub(crate) fn read(&self, _range: Range<u64>, _max_bytes: usize) -> Result<Vec<Record>> {
        Err(StorageError::Closed)
    }

    /// How long the oldest operation in flight has been waiting for the disk; for a watchdog.
    pub(crate) fn oldest_unfinished(&self) -> Option<Duration> {
        None
    }

    /// Why the log stopped, if it did.
    pub(crate) fn failure(&self) -> Option<StorageError> {
        None
    }

    /// Finishes what was accepted, marks the log as stopped in order and refuses everything from then on.
    pub(crate) fn close(&self) -> Result<()> {
        Err(StorageError::Closed)
    }
}
