//! Writing a snapshot.

use super::{SnapshotMeta, SnapshotStore, file, read};
use crate::storage::{
    Result,
    io::{self, NamedFile},
};

/// A snapshot being written. Blocks on the disk.
///
/// After an error it can only be dropped. Dropping it removes the temporary file; the previous snapshot is not affected.
#[derive(Debug)]
pub(crate) struct SnapshotWriter {
    store: SnapshotStore,
    meta: SnapshotMeta,
    file: NamedFile,
    end: u64,
    data_length: u64,
    checksum: u32,
    /// Whether the temporary file is still there under its name.
    pending: bool,
}

impl SnapshotWriter {
    pub(super) fn create(store: SnapshotStore, temporary: String, meta: SnapshotMeta) -> Result<Self> {
        let header = file::encode_header(&meta)?;
        let file = NamedFile::create(store.io(), &temporary)?;
        let mut writer = Self { store, meta, file, end: 0, data_length: 0, checksum: 0, pending: true };
        writer.put(&header)?;
        Ok(writer)
    }

    /// Adds bytes of the snapshot.
    pub(crate) fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.put(chunk)?;
        self.checksum = crc32c::crc32c_append(self.checksum, chunk);
        self.data_length = self.data_length.saturating_add(chunk.len() as u64);
        Ok(())
    }

    /// Makes durable what was added. Done piece by piece, it never has the log wait behind the whole of a large snapshot.
    pub(crate) fn flush(&self) -> Result<()> {
        self.file.sync()
    }

    /// Makes it durable, reads it back, and makes it the newest. Returns the newest snapshot, which is another one if
    /// a later snapshot was finished meanwhile.
    ///
    /// **Errors**: the disk failed or gave back something else than was written. If a change of names failed, no snapshot
    /// can be finished until the process is restarted; otherwise the previous snapshot stays the newest.
    pub(crate) fn finish(mut self) -> Result<SnapshotMeta> {
        self.put(&file::encode_trailer(self.data_length, self.checksum))?;
        self.file.sync()?;
        read::verify(self.store.io(), &self.file.name)?;
        let installed = self.store.install(&self.file.name, self.meta.clone());
        self.pending = false;
        installed
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(self.end, bytes)?;
        self.end = self.end.saturating_add(bytes.len() as u64);
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if self.pending {
            // Best effort: what stays is removed at the next start.
            drop(io::remove(self.store.io(), &self.file.name));
        }
    }
}
