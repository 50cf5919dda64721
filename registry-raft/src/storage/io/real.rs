//! The data directory of a real file system: private to its user and to one process at a time.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{FlockOperation, OFlags};

use super::{LogFile, LogIo};
use crate::storage::{Opening, Result, StorageError};

/// Name of the file that is locked while a process uses the directory.
pub(in crate::storage) const LOCK: &str = "lock";

/// A data directory that is locked by this process until it is dropped or released.
#[derive(Debug)]
pub(in crate::storage) struct RealDir {
    path: PathBuf,
    handle: File,
    lock: File,
    released: AtomicBool,
}

impl RealDir {
    /// Opens the directory, creates it (mode 0700) if that is asked for, and locks it.
    ///
    /// **Errors**: `Refused` with a line that names the directory and what to do.
    pub(in crate::storage) fn open(path: &Path, opening: Opening) -> Result<Self> {
        let refused = |why: String| StorageError::Refused(format!("data directory {}: {why}", path.display()));
        if !path.exists() {
            if opening == Opening::OpenExisting {
                return Err(refused("does not exist, but this member has data; is the right disk mounted?".to_owned()));
            }
            create_dir(path).map_err(|error| refused(format!("cannot be created: {error}")))?;
        }
        let handle = File::open(path).map_err(|error| refused(format!("cannot be opened: {error}")))?;
        let metadata = handle.metadata().map_err(|error| refused(format!("cannot be examined: {error}")))?;
        if !metadata.is_dir() {
            return Err(refused("is not a directory".to_owned()));
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o022 != 0 {
            return Err(refused(format!(
                "its mode {mode:03o} lets other users write to it; run: chmod 700 {}",
                path.display()
            )));
        }
        let lock = open_options()
            .create(true)
            .open(path.join(LOCK))
            .map_err(|error| refused(format!("is not writable: {error}")))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => refused("is in use by another process".to_owned()),
            error => refused(format!("cannot be locked: {error}")),
        })?;
        Ok(Self { path: path.to_owned(), handle, lock, released: AtomicBool::new(false) })
    }

    fn check_held(&self) -> io::Result<()> {
        if self.released.load(Ordering::Acquire) {
            return Err(io::Error::other("the data directory was released"));
        }
        Ok(())
    }
}

/// Creates the directory and its missing parents, and makes the new names durable.
fn create_dir(path: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> =
        path.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    while let Some(created) = missing.pop() {
        match created.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all()?,
            _ => File::open(".")?.sync_all()?,
        }
    }
    Ok(())
}

/// Never follows a link that somebody placed under the name.
fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.read(true).write(true).mode(0o600).custom_flags(no_follow);
    options
}

impl LogIo for RealDir {
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.check_held()?;
        Ok(Arc::new(RealFile(open_options().create_new(true).open(self.path.join(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(RealFile(open_options().open(self.path.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_held()?;
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_held()?;
        std::fs::remove_file(self.path.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn release(&self) {
        if !self.released.swap(true, Ordering::AcqRel)
            && let Err(error) = rustix::fs::flock(&self.lock, FlockOperation::Unlock)
        {
            tracing::warn!(%error, path = %self.path.display(), "the data directory stays locked until the process ends");
        }
    }
}

#[derive(Debug)]
struct RealFile(File);

impl LogFile for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
