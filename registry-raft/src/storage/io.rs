//! The few operations of a file system that the storage is made of, so that it also runs on memory and in simulation.

mod memory;
mod real;

use std::{fmt, io, sync::Arc};

use metrics::counter;

use super::{Result, StorageError};

pub(crate) use self::memory::MemoryDir;
pub(super) use self::real::{LOCK, RealDir};

/// One private, flat directory.
///
/// **To be correct**: what was written to a file is certain to survive a power loss only after [`LogFile::sync_data`], and
/// that a file has its name (or lost it) only after [`LogIo::sync_dir`]. A rename is atomic.
pub(crate) trait LogIo: fmt::Debug + Send + Sync {
    /// Creates a file that must not exist, for this user alone.
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Gives a file another name, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name; handles that are open stay usable.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// All names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Lets go of the directory, so that it can be opened again although this object still exists: whatever would change
    /// a name in it is refused from then on.
    fn release(&self);
}

/// An open file; reads and writes name their offset.
pub(crate) trait LogFile: fmt::Debug + Send + Sync {
    /// Writes a part of `bytes`, at least one byte unless it is empty, growing the file where needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Reads at most `buffer.len()` bytes; 0 only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Makes everything written so far durable, and the file's length with it.
    fn sync_data(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// A file with the name that errors mention.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    pub(super) name: Arc<str>,
    file: Arc<dyn LogFile>,
}

impl NamedFile {
    pub(super) fn create(io: &dyn LogIo, name: &str) -> Result<Self> {
        let file = io.create(name).map_err(|error| StorageError::io("creating", name, error))?;
        Ok(Self { name: name.into(), file })
    }

    pub(super) fn open(io: &dyn LogIo, name: &str) -> Result<Self> {
        let file = io.open(name).map_err(|error| StorageError::io("opening", name, error))?;
        Ok(Self { name: name.into(), file })
    }

    /// The same file after it was renamed.
    pub(super) fn renamed(self, name: &str) -> Self {
        Self { name: name.into(), file: self.file }
    }

    pub(super) fn write_all(&self, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let written = match self.file.write_at(offset, bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            }
            .map_err(|error| StorageError::io("writing", &self.name, error))?;
            offset = offset.saturating_add(written as u64);
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Fills `buffer` as far as the file goes; returns how far that was.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(offset.saturating_add(filled as u64), rest) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StorageError::io("reading", &self.name, error)),
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
            }
        }
        Ok(filled)
    }

    /// The bytes from `offset`, at most `limit` and at most what the file has: nothing is allocated for what is not there.
    pub(super) fn read_up_to(&self, offset: u64, limit: usize) -> Result<Vec<u8>> {
        let rest = usize::try_from(self.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; rest.min(limit)];
        let read = self.read(offset, &mut buffer)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    pub(super) fn sync(&self) -> Result<()> {
        counter!("registry_raft_fsyncs_total").increment(1);
        self.file.sync_data().map_err(|error| StorageError::io("flushing", &self.name, error))
    }

    pub(super) fn len(&self) -> Result<u64> {
        self.file.len().map_err(|error| StorageError::io("measuring", &self.name, error))
    }
}

/// The operations on names, with errors that name the file.
pub(super) fn rename(io: &dyn LogIo, from: &str, to: &str) -> Result<()> {
    io.rename(from, to).map_err(|error| StorageError::io("renaming", from, error))
}

pub(super) fn remove(io: &dyn LogIo, name: &str) -> Result<()> {
    io.remove(name).map_err(|error| StorageError::io("removing", name, error))
}

pub(super) fn list(io: &dyn LogIo) -> Result<Vec<String>> {
    let mut names = io.list().map_err(|error| StorageError::io("listing", "the data directory", error))?;
    names.sort_unstable();
    Ok(names)
}

pub(super) fn sync_dir(io: &dyn LogIo) -> Result<()> {
    counter!("registry_raft_fsyncs_total").increment(1);
    io.sync_dir().map_err(|error| StorageError::io("flushing", "the data directory", error))
}
