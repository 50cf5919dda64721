//! Snapshot files: written aside, read back, then put in place of the previous one.

mod file;
mod read;
mod write;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

pub(crate) use self::{read::SnapshotReader, write::SnapshotWriter};
use super::{
    Position, Result, StorageError,
    io::{self, LogIo},
};

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotMeta {
    /// The last record it contains; `None` for a snapshot of the empty state.
    pub(crate) last: Option<Position>,
    /// The group's members as of it, opaque to the storage; below 1 MiB.
    pub(crate) membership: Bytes,
    /// Name of the snapshot, at most 255 bytes.
    pub(crate) id: String,
}

impl SnapshotMeta {
    /// Index after the last record it contains: snapshots are compared by it.
    pub(super) fn next(&self) -> u64 {
        self.last.map_or(0, |last| last.index.saturating_add(1))
    }
}

/// The snapshots of a member. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SnapshotStore {
    shared: Arc<Shared>,
}

struct Shared {
    io: Arc<dyn LogIo>,
    state: Mutex<State>,
    begun: AtomicU64,
}

#[derive(Default)]
struct State {
    /// File name and description of the newest complete snapshot.
    newest: Option<(String, SnapshotMeta)>,
    /// Why no snapshot is finished any more.
    failure: Option<StorageError>,
}

impl SnapshotStore {
    /// Finds the newest snapshot, reads it through, and removes what a crash left of others.
    pub(super) fn open(io: Arc<dyn LogIo>) -> Result<Self> {
        // A new name that a crashed predecessor did not make durable is relied upon before an older snapshot is removed.
        io::sync_dir(&*io)?;
        let mut complete: Vec<String> = Vec::new();
        let mut leftover: Vec<String> = Vec::new();
        for name in io::list(&*io)? {
            if snapshot_next(&name).is_some() {
                complete.push(name);
            } else if is_temporary(&name) {
                leftover.push(name);
            }
        }
        complete.sort_unstable_by_key(|name| snapshot_next(name));
        let newest = match complete.pop() {
            None => None,
            Some(name) => {
                let meta = read::verify(&*io, &name)?;
                if snapshot_next(&name) != Some(meta.next()) {
                    return Err(StorageError::damaged(&name, 0, "the name is not that of the snapshot inside"));
                }
                Some((name, meta))
            }
        };
        leftover.append(&mut complete);
        for name in &leftover {
            io::remove(&*io, name)?;
        }
        let state = Mutex::new(State { newest, failure: None });
        Ok(Self { shared: Arc::new(Shared { io, state, begun: AtomicU64::new(0) }) })
    }

    /// The newest complete snapshot.
    pub(crate) fn latest(&self) -> Option<SnapshotMeta> {
        self.state().newest.as_ref().map(|(_, meta)| meta.clone())
    }

    /// Opens the newest complete snapshot for reading.
    ///
    /// **Errors**: it is damaged, or cannot be read; it is never treated as absent then.
    pub(crate) fn read_latest(&self) -> Result<Option<SnapshotReader>> {
        // The lock keeps the file from being replaced between finding and opening it.
        let state = self.state();
        state.newest.as_ref().map(|(name, _)| SnapshotReader::open(&*self.shared.io, name)).transpose()
    }

    /// Begins a new snapshot in a temporary file; dropped without `finish` it leaves nothing.
    ///
    /// **Errors**: the description is too large, or the disk failed; the previous snapshot is not affected.
    pub(crate) fn begin(&self, meta: SnapshotMeta) -> Result<SnapshotWriter> {
        if let Some(failure) = &self.state().failure {
            return Err(failure.stopped());
        }
        let number = self.shared.begun.fetch_add(1, Ordering::Relaxed);
        SnapshotWriter::create(self.clone(), format!("snapshot-{number}.tmp"), meta)
    }

    /// Gives a complete, durable file its name and removes the one before; returns the newest snapshot.
    fn install(&self, temporary: &str, meta: SnapshotMeta) -> Result<SnapshotMeta> {
        let mut state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.stopped());
        }
        if let Some((_, newest)) = state.newest.as_ref().filter(|(_, newest)| newest.next() > meta.next()) {
            let newest = newest.clone();
            io::remove(&*self.shared.io, temporary)?;
            return Ok(newest);
        }
        let name = snapshot_name(&meta);
        let named = io::rename(&*self.shared.io, temporary, &name).and_then(|()| io::sync_dir(&*self.shared.io));
        if let Err(error) = named {
            // Nobody knows now under which name the file will be after a power loss: nothing is built on it.
            state.failure = Some(error.clone());
            return Err(error);
        }
        let previous = state.newest.replace((name.clone(), meta.clone()));
        if let Some((previous, _)) = previous.filter(|(previous, _)| *previous != name) {
            io::remove(&*self.shared.io, &previous)?;
        }
        Ok(meta)
    }

    fn io(&self) -> &dyn LogIo {
        &*self.shared.io
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotStore").field("latest", &self.latest()).finish()
    }
}

/// Whether a file of this name belongs to the snapshots.
pub(super) fn is_snapshot(name: &str) -> bool {
    snapshot_next(name).is_some() || is_temporary(name)
}

fn snapshot_name(meta: &SnapshotMeta) -> String {
    format!("snapshot-{:016x}.snap", meta.next())
}

fn snapshot_next(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("snapshot-")?.strip_suffix(".snap").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

fn is_temporary(name: &str) -> bool {
    name.starts_with("snapshot-") && name.ends_with(".tmp")
}
