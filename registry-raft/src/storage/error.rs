//! Why the storage refused or failed, each in one line for people.

use std::{io, sync::Arc};

/// A failure of the storage. Cheap to clone: one failed write is reported to everybody who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StorageError {
    /// The data directory may not be used: foreign, newer, not private, or in use. Nothing was changed in it.
    #[error("{0}")]
    Refused(String),
    /// What is on disk is not what was written. The member must not vote or acknowledge with this log.
    #[error(
        "{file} is damaged at byte {offset}: {what}; this member cannot prove what it acknowledged: replace it by a new \
         member with a new id and an empty data directory"
    )]
    Damaged {
        /// Name of the file in the data directory.
        file: String,
        /// Offset of the first bad byte known.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The disk is full. What was not acknowledged may or may not be on disk.
    #[error("no space left on the disk of the data directory while {action} {file}")]
    OutOfSpace {
        /// What was being done.
        action: &'static str,
        /// Name of the file in the data directory.
        file: String,
    },
    /// An operation of the file system failed. It is never tried again: after a failed flush nobody knows what is on disk.
    #[error("{action} {file}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Name of the file in the data directory.
        file: String,
        /// The operating system's answer.
        source: Arc<io::Error>,
    },
    /// The disk did not finish the writes in time.
    #[error("the disk has not finished a write for {0:?}")]
    Stalled(std::time::Duration),
    /// An earlier operation failed and the storage takes nothing more until the process is restarted.
    #[error("the storage stopped after an earlier failure: {0}")]
    Stopped(Arc<StorageError>),
    /// The storage was closed.
    #[error("the storage is closed")]
    Closed,
    /// The records do not continue the log. Nothing was written.
    #[error("record {got} does not follow: the next index of the log is {expected}")]
    NotContiguous {
        /// The index that would continue the log.
        expected: u64,
        /// The index that was given.
        got: u64,
    },
    /// The range is not in the log: purged, truncated or not yet written.
    #[error("records {from}..{to} are not all in the log, which holds {first}..{next}")]
    Absent {
        /// First index asked for.
        from: u64,
        /// One past the last index asked for.
        to: u64,
        /// First index present.
        first: u64,
        /// One past the last index present.
        next: u64,
    },
    /// A record or a snapshot header exceeds what the format can hold. Nothing was written.
    #[error("{what} of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The greatest size.
        limit: usize,
    },
}

/// What operations of the storage return.
pub(crate) type Result<T> = std::result::Result<T, StorageError>;

impl StorageError {
    /// Wraps an error of the operating system, telling a full disk apart.
    pub(super) fn io(action: &'static str, file: &str, source: io::Error) -> Self {
        let file = file.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::OutOfSpace { action, file },
            _ => Self::Io { action, file, source: Arc::new(source) },
        }
    }

    pub(super) fn damaged(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what: what.into() }
    }

    /// What later calls get once this one happened.
    pub(super) fn stopped(&self) -> Self {
        match self {
            Self::Stopped(_) | Self::Closed => self.clone(),
            other => Self::Stopped(Arc::new(other.clone())),
        }
    }
}
