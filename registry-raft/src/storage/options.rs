//! Sizes and limits of the storage, and how it is opened.

use std::time::Duration;

/// Whose data a directory holds. Both are stamped into it when it is created and compared at every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster: drawn at random when it is founded.
    pub(crate) cluster: u128,
    /// The member: never used again in the same cluster once it was removed or its data was lost.
    pub(crate) node: u64,
}

/// What to do about a data directory that is missing or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Open it if it holds data of this member, create it otherwise.
    CreateOrOpen,
    /// Refuse to start without existing data: for a member that is known to have acknowledged something.
    OpenExisting,
    /// Refuse existing data: for a member that must start empty.
    CreateNew,
}

/// Where the first record of an empty log may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstIndex {
    /// At index 0: the log of a real member.
    Zero,
    /// Anywhere: for tests that start in the middle.
    Any,
}

/// Who does the writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A thread of its own: callers never wait for the disk, and what arrives meanwhile shares one flush.
    Thread,
    /// The caller, before the call returns: for simulation and for memory, where nothing may depend on scheduling.
    Inline,
}

/// Sizes and limits of the storage.
#[derive(Clone, Debug)]
pub(crate) struct StorageOptions {
    /// Size of one segment file of the log, in bytes; also bounds one record. At least 8 KiB, at most 1 GiB. Default 64 MiB.
    pub(crate) segment_bytes: u32,
    /// A growing segment is filled with zeros ahead of the writes in steps of this many bytes. Default 1 MiB.
    pub(crate) allocation_bytes: u32,
    /// Purged segments that are kept to be written again. Default 2.
    pub(crate) spare_segments: usize,
    /// Recent records kept in memory, in bytes; records not yet written come on top. Default 8 MiB.
    pub(crate) cache_bytes: usize,
    /// Records accepted and not yet on disk, in bytes, before `append` makes its caller wait. Default 64 MiB.
    pub(crate) pending_bytes: usize,
    /// How long `append` waits for room before the log is given up as stalled. Default 30 s.
    pub(crate) stall_limit: Duration,
    /// Who does the writing. Default [`Writer::Thread`].
    pub(crate) writer: Writer,
    /// Where the first record may stand. Default [`FirstIndex::Zero`].
    pub(crate) first_index: FirstIndex,
    /// Stamped into a directory when it is created, to tell a member's data from a later copy of the same id: drawn at
    /// random by the caller. Default 0.
    pub(crate) incarnation: u64,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            allocation_bytes: 1 << 20,
            spare_segments: 2,
            cache_bytes: 8 << 20,
            pending_bytes: 64 << 20,
            stall_limit: Duration::from_secs(30),
            writer: Writer::Thread,
            first_index: FirstIndex::Zero,
            incarnation: 0,
        }
    }
}

impl StorageOptions {
    /// Sizes brought into their limits, so that nothing further in has to doubt them.
    pub(super) fn clamped(self) -> Self {
        let segment_bytes = self.segment_bytes.clamp(8 << 10, 1 << 30);
        Self { segment_bytes, allocation_bytes: self.allocation_bytes.clamp(4 << 10, segment_bytes), ..self }
    }
}
