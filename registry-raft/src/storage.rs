//! Durable storage: the segmented log, the vote, snapshots and the data directory.
//!
//! Knows nothing of consensus and of async: operations take a callback, and a thread of its own (or the caller) writes.

#![expect(dead_code, unused_imports, reason = "parts of the surface have no caller yet")]

mod error;
mod log;
mod options;
mod record;
mod snapshot;

use std::path::Path;

pub(crate) use self::{
    error::{Result, StorageError},
    log::{Done, Log},
    options::{FirstIndex, Identity, Opening, StorageOptions, Writer},
    record::{LogState, Position, Record, RecordKind, Vote},
    snapshot::{SnapshotMeta, SnapshotReader, SnapshotStore, SnapshotWriter},
};

/// Space on the disk of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes free for this process.
    pub(crate) free: u64,
    /// Bytes that should stay free.
    pub(crate) reserve: u64,
}

impl Space {
    /// Whether new data should be refused before the disk is full, so that what ends sessions and frees space still fits.
    pub(crate) fn is_low(&self) -> bool {
        self.free < self.reserve
    }
}

/// The storage of one member: its log and its snapshots in one private directory. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    log: Log,
    snapshots: SnapshotStore,
    incarnation: u64,
}

impl Storage {
    /// Opens or creates the data directory at `path` and recovers what it holds. Blocks on the disk.
    pub(crate) fn open(_path: &Path, _identity: Identity, _opening: Opening, _options: StorageOptions) -> Result<Self> {
        Err(StorageError::Closed)
    }

    /// A storage in memory with the same behaviour, for tests and throw-away runs; [`FirstIndex::Any`].
    pub(crate) fn memory() -> Self {
        Self { log: Log, snapshots: SnapshotStore, incarnation: 0 }
    }

    /// The log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The snapshots.
    pub(crate) fn snapshots(&self) -> &SnapshotStore {
        &self.snapshots
    }

    /// Drawn when the data directory was created: a member whose data was lost comes back with another one.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Free space; a full disk is better refused early than met.
    pub(crate) fn space(&self) -> Result<Space> {
        Err(StorageError::Closed)
    }

    /// Finishes what was accepted and stops the log in order. Blocks on the disk.
    pub(crate) fn close(&self) -> Result<()> {
        self.log.close()
    }
}
