//! What the log stores: records with their place in the log, votes and positions, in terms of this crate alone.

use std::fmt;

use bytes::Bytes;

/// The place of a record: its index, the term it was written in and the member that led that term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    /// Index in the log; the first record of a cluster has index 0.
    pub(crate) index: u64,
    /// Term of the leader that proposed the record.
    pub(crate) term: u64,
    /// Node id of that leader; 0 where the caller does not know it.
    pub(crate) leader: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (term {})", self.index, self.term)
    }
}

/// What a record's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// Nothing: what a new leader writes to learn what is committed.
    Blank,
    /// A batch of commands for the state machine.
    Normal,
    /// A change of the group's members.
    Membership,
}

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where it stands.
    pub(crate) position: Position,
    /// What the payload is.
    pub(crate) kind: RecordKind,
    /// Opaque to the storage; cheap to clone.
    pub(crate) payload: Bytes,
}

impl Record {
    /// Memory that a cached record is counted with, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.payload.len().saturating_add(64)
    }
}

/// The vote of this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    /// The term voted in.
    pub(crate) term: u64,
    /// The member voted for.
    pub(crate) node: u64,
    /// Whether that member is known to have won.
    pub(crate) committed: bool,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    /// The last record that was purged, if any was.
    pub(crate) purged: Option<Position>,
    /// Index of the first record that can be read; equal to the next index while the log is empty.
    pub(crate) first: u64,
    /// The last record, or the last purged one while the log is empty.
    pub(crate) last: Option<Position>,
}
