//! Reading a snapshot.

use bytes::{Bytes, BytesMut};

use super::{
    SnapshotMeta,
    file::{Envelope, read_envelope},
};
use crate::storage::{
    Result, StorageError,
    io::{LogIo, NamedFile},
};

/// Bytes read at once while a snapshot is verified.
const CHUNK: usize = 1 << 20;

/// A snapshot being read. Blocks on the disk. Stays readable when a newer snapshot takes its place.
#[derive(Debug)]
pub(crate) struct SnapshotReader {
    file: NamedFile,
    envelope: Envelope,
    position: u64,
    checksum: u32,
}

impl SnapshotReader {
    pub(super) fn open(io: &dyn LogIo, name: &str) -> Result<Self> {
        let file = NamedFile::open(io, name)?;
        let envelope = read_envelope(&file)?;
        Ok(Self { file, envelope, position: 0, checksum: 0 })
    }

    /// What it is of.
    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.envelope.meta
    }

    /// The next bytes, at most `max`; empty at the end. The end is reported only if the checksum of all data is right:
    /// nothing may be made of the data before that.
    ///
    /// **Errors**: the snapshot is damaged, or cannot be read.
    pub(crate) fn next_chunk(&mut self, max: usize) -> Result<Bytes> {
        let left = self.envelope.data_length.saturating_sub(self.position);
        let offset = self.envelope.data_offset.saturating_add(self.position);
        if left == 0 {
            return self.check_data().map(|()| Bytes::new());
        }
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(max.max(1));
        let chunk = self.file.read_up_to(offset, wanted)?;
        if chunk.is_empty() {
            return Err(StorageError::damaged(&self.file.name, offset, "the file ends before its data"));
        }
        self.checksum = crc32c::crc32c_append(self.checksum, &chunk);
        self.position = self.position.saturating_add(chunk.len() as u64);
        Ok(chunk.into())
    }

    /// All data at once, from where reading stands.
    pub(crate) fn read_all(&mut self) -> Result<Bytes> {
        let mut data = BytesMut::new();
        loop {
            let chunk = self.next_chunk(CHUNK)?;
            if chunk.is_empty() {
                return Ok(data.freeze());
            }
            data.extend_from_slice(&chunk);
        }
    }

    fn check_data(&self) -> Result<()> {
        if self.checksum == self.envelope.checksum {
            return Ok(());
        }
        Err(StorageError::damaged(&self.file.name, self.envelope.data_offset, "the checksum of the data is wrong"))
    }
}

/// Reads the whole snapshot and checks every part of it.
pub(super) fn verify(io: &dyn LogIo, name: &str) -> Result<SnapshotMeta> {
    let mut reader = SnapshotReader::open(io, name)?;
    while !reader.next_chunk(CHUNK)?.is_empty() {}
    Ok(reader.envelope.meta)
}
