//! Durable storage: the segmented log, the vote, snapshots and the data directory.
//!
//! Knows nothing of consensus and of async: operations take a callback, and a thread of its own (or the caller) writes.
//! How it is stored and recovered, and which test shows what, is in `docs/storage.md`; the bytes are in
//! `docs/formats/disk.md`.

mod engine;
mod error;
mod frame;
mod head;
mod io;
mod log;
mod options;
mod places;
mod queue;
mod record;
mod recover;
mod segment;
#[cfg(test)]
pub(crate) mod sim;
mod snapshot;
mod stamp;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use std::{fmt, path::Path, sync::Arc};

#[cfg(test)]
pub(crate) use self::io::LogFile;
pub(crate) use self::{
    error::{Result, StorageError},
    io::{LogIo, MemoryDir},
    log::{Done, Log},
    options::{FirstIndex, Identity, Opening, StorageOptions, Writer},
    record::{LogState, Position, Record, RecordKind, Vote},
    snapshot::{SnapshotMeta, SnapshotStore, SnapshotWriter},
};
use self::{io::RealDir, stamp::Directory};

/// The storage of one member: its log and its snapshots in one private directory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Storage {
    io: Arc<dyn LogIo>,
    log: Log,
    snapshots: SnapshotStore,
    incarnation: u64,
}

impl Storage {
    /// Opens or creates the data directory at `path` and recovers what it holds. Blocks on the disk.
    ///
    /// **Errors**: the directory may not be used, its content is damaged, or the disk failed; each is one line for people,
    /// and nothing that was there is changed by a refusal.
    pub(crate) fn open(path: &Path, identity: Identity, opening: Opening, options: StorageOptions) -> Result<Self> {
        let directory = RealDir::open(path, opening)?;
        Self::open_on(Arc::new(directory), identity, opening, options)
    }

    /// The same on any implementation of the file operations.
    pub(crate) fn open_on(
        io: Arc<dyn LogIo>,
        identity: Identity,
        opening: Opening,
        options: StorageOptions,
    ) -> Result<Self> {
        let options = options.clamped();
        let directory = stamp::examine(&*io, identity, opening, &options)?;
        let snapshots = SnapshotStore::open(Arc::clone(&io))?;
        let recovered = recover::recover(Arc::clone(&io), identity, options.clone())?;
        let purged = recovered.engine.head.purged;
        let covered = snapshots.latest().map_or(0, |meta| meta.next());
        if let Some(purged) = purged.filter(|purged| purged.index >= covered) {
            return Err(StorageError::Refused(format!(
                "the log begins after record {purged}, but no snapshot contains that record: a snapshot was lost; replace \
                 this member by a new one with a new id and an empty data directory"
            )));
        }
        let stamp = match directory {
            Directory::Stamped(stamp) => stamp,
            Directory::Begun(stamp) => {
                stamp::finish(&*io)?;
                stamp
            }
        };
        let log = Log::start(recovered, options)?;
        Ok(Self { io, log, snapshots, incarnation: stamp.incarnation })
    }

    /// A storage in memory with the same behaviour, for tests and throw-away runs: [`Writer::Inline`], [`FirstIndex::Any`].
    pub(crate) fn memory() -> Result<Self> {
        let options = StorageOptions {
            segment_bytes: 8 << 20,
            allocation_bytes: 64 << 10,
            cache_bytes: 1 << 20,
            writer: Writer::Inline,
            first_index: FirstIndex::Any,
            ..StorageOptions::default()
        };
        let io = Arc::new(MemoryDir::default());
        Self::open_on(io, Identity { cluster: 0, node: 0 }, Opening::CreateOrOpen, options)
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

    /// Finishes what was accepted, stops the log in order and lets go of the data directory. Blocks on the disk.
    pub(crate) fn close(&self) -> Result<()> {
        let closed = self.log.close();
        self.io.release();
        closed
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("log", &self.log).field("snapshots", &self.snapshots).finish_non_exhaustive()
    }
}
