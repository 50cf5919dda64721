//! Snapshot files: written aside, verified, then put in place of the previous one.

use bytes::Bytes;

use super::{Position, Result, StorageError};

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotMeta {
    /// The last record it contains; `None` for a snapshot of the empty state.
    pub(crate) last: Option<Position>,
    /// The group's members as of it, opaque to the storage.
    pub(crate) membership: Bytes,
    /// Name of the snapshot, at most 255 bytes.
    pub(crate) id: String,
}

/// The snapshots of a member. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotStore;

impl SnapshotStore {
    /// The newest complete snapshot.
    pub(crate) fn latest(&self) -> Option<SnapshotMeta> {
        None
    }

    /// Opens the newest complete snapshot for reading.
    pub(crate) fn read_latest(&self) -> Result<Option<SnapshotReader>> {
        Err(StorageError::Closed)
    }

    /// Begins a new snapshot in a temporary file; dropped without `finish` it leaves nothing.
    pub(crate) fn begin(&self, _meta: SnapshotMeta) -> Result<SnapshotWriter> {
        Err(StorageError::Closed)
    }
}

/// A snapshot being written. Blocks on the disk.
#[derive(Debug)]
pub(crate) struct SnapshotWriter;

impl SnapshotWriter {
    /// Adds bytes of the snapshot.
    pub(crate) fn write(&mut self, _chunk: &[u8]) -> Result<()> {
        Err(StorageError::Closed)
    }

    /// Makes it durable, reads it back, and makes it the newest. Returns the newest snapshot, which is another one if
    /// a later snapshot was finished meanwhile.
    pub(crate) fn finish(self) -> Result<SnapshotMeta> {
        Err(StorageError::Closed)
    }
}

/// A snapshot being read. Blocks on the disk. Stays readable when a newer snapshot takes its place.
#[derive(Debug)]
pub(crate) struct SnapshotReader;

impl SnapshotReader {
    /// What it is of.
    pub(crate) fn meta(&self) -> &SnapshotMeta {
        static EMPTY: SnapshotMeta = SnapshotMeta { last: None, membership: Bytes::new(), id: String::new() };
        &EMPTY
    }

    /// Size of its data in bytes.
    pub(crate) fn len(&self) -> u64 {
        0
    }

    /// The next bytes, at most `max`; empty at the end. The end is reported only if the checksum of all data is right.
    pub(crate) fn next_chunk(&mut self, _max: usize) -> Result<Bytes> {
        Err(StorageError::Closed)
    }

    /// All data at once.
    pub(crate) fn read_all(&mut self) -> Result<Bytes> {
        Err(StorageError::Closed)
    }
}
