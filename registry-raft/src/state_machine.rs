//! The replicated state machine: pure.
//!
//! It is a function of the log: no clock, no randomness, no I/O, no iteration over an unordered map. Time enters only
//! inside a command. The same log gives the same state, and the same state gives the same bytes in the snapshot.
//!
//! All of the state is held in persistent maps: a clone is cheap, shares what did not change, and stays as it is while
//! the original goes on. Reads and snapshots are made from clones and never hold up the next command.

mod change;

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use registry_api::{Key, ListContents, Listing, LockName, LockStatus, Lookup, Revision, Scope, SessionId};

pub(crate) use self::change::{Applied, Change, Place, UnknownCommand};
use crate::proto;

/// The state that every member holds.
#[derive(Clone, Debug)]
pub(crate) struct StateMachine {
    revision: Revision,
}

/// A session, as the leader needs it to watch over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionInfo<'a> {
    pub(crate) id: SessionId,
    pub(crate) ttl: Duration,
    pub(crate) label: &'a str,
}

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// It was written in a newer format.
    #[error("the snapshot has format {found}; this version reads formats up to {known}")]
    Version { found: u32, known: u32 },
    /// It is damaged, or was made by something else.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
}

/// Produces a snapshot piece by piece; holds a clone of the state, so that it can be used on another thread while the
/// state goes on.
#[derive(Debug)]
pub(crate) struct SnapshotEncoder {
    state: StateMachine,
}

impl Iterator for SnapshotEncoder {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let _ = &self.state;
        None
    }
}

/// Reads a snapshot piece by piece; pieces may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct SnapshotDecoder {}

impl SnapshotDecoder {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, _piece: &[u8]) -> Result<(), SnapshotError> {
        Ok(())
    }

    /// The state, after the last piece.
    pub(crate) fn finish(self) -> Result<StateMachine, SnapshotError> {
        Ok(StateMachine::new())
    }
}

impl StateMachine {
    /// The state before the first command: incarnation 1, revision 1.0.
    pub(crate) fn new() -> Self {
        Self { revision: Revision::new(1, 0) }
    }

    /// Applies one log entry.
    ///
    /// # Errors
    ///
    /// [`UnknownCommand`] is fatal: the state is undefined afterwards, and the member must stop.
    pub(crate) fn apply(&mut self, _batch: &proto::Batch) -> Result<Applied, UnknownCommand> {
        Ok(Applied::default())
    }

    /// Starts a snapshot of the state as it is now: pieces of bounded size, in order. The same state always gives the
    /// same bytes. Integrity is the storage's business: there is no checksum inside.
    pub(crate) fn encode_snapshot(&self) -> SnapshotEncoder {
        SnapshotEncoder { state: self.clone() }
    }

    /// Reads a snapshot that is in memory as a whole; [`SnapshotDecoder`] takes it piece by piece.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; never panics, whatever the bytes are.
    pub(crate) fn decode_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut decoder = SnapshotDecoder::default();
        decoder.push(bytes)?;
        decoder.finish()
    }

    /// The revision of the last change.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// One key.
    pub(crate) fn get(&self, _key: &Key) -> Lookup {
        Lookup { entry: None, revision: self.revision }
    }

    /// What a scope holds: at most `limit` children, only those after `after` in byte order.
    pub(crate) fn list(
        &self,
        _scope: &Scope,
        _contents: ListContents,
        _limit: Option<NonZeroUsize>,
        _after: Option<&Key>,
    ) -> Listing {
        Listing { revision: self.revision, ..Listing::default() }
    }

    /// Who holds a lock and who waits for it.
    pub(crate) fn lock(&self, _name: &LockName) -> LockStatus {
        LockStatus { revision: self.revision, ..LockStatus::default() }
    }

    /// What became of the lock request that this ticket of the session names.
    pub(crate) fn grant_of(&self, _name: &LockName, _session: SessionId, _ticket: u64) -> Place {
        Place::Gone
    }

    /// Whether the session is open.
    pub(crate) fn has_session(&self, _id: SessionId) -> bool {
        false
    }

    /// Every open session, in the order of their ids.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionInfo<'_>> {
        std::iter::empty()
    }

    /// Every client identity, in the order of their ids.
    pub(crate) fn clients(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::empty()
    }

    /// The certificates of the last sessions that ended by silence, newest last.
    pub(crate) fn deaths(&self) -> impl Iterator<Item = &proto::DeathCertificate> {
        std::iter::empty()
    }

    /// The changes of the keys of a scope after a revision, oldest first; `None` where the history does not reach back
    /// so far, or the revision is of another incarnation. The revision must have been reached by this state: nothing
    /// can be said of what comes after one that is still to come.
    pub(crate) fn events_after(&self, _scope: &Scope, _after: Revision) -> Option<impl Iterator<Item = Change> + '_> {
        Some(std::iter::empty())
    }

    /// How many keys exist.
    pub(crate) fn key_count(&self) -> usize {
        0
    }

    /// How many sessions are open.
    pub(crate) fn session_count(&self) -> usize {
        0
    }
}
