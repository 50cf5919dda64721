//! What applying commands did, as the rest of the member is told of it.

use std::sync::Arc;
use std::time::Duration;

use registry_api::{Entry, LockGrant, LockName, Revision, SessionId};

use crate::proto;

/// What one batch of commands gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    /// One for each proposal, in their order.
    pub(crate) outcomes: Vec<proto::Outcome>,
    /// What changed, in order.
    pub(crate) changes: Vec<Change>,
}

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A key was put or taken over, at the revision `entry.modified`.
    Put { entry: Arc<Entry>, previous: Option<Arc<Entry>> },
    /// A key was deleted, or ended with its session.
    Delete { previous: Arc<Entry>, revision: Revision },
    /// A lock was granted to the place in its queue that this ticket of the session names.
    LockGranted { grant: LockGrant, ticket: u64 },
    /// This place in a queue, or the lock where it had been granted to it, was given up: released, abandoned, or ended
    /// with its session.
    LockGone { name: LockName, session: SessionId, ticket: u64 },
    /// A session was opened.
    SessionOpened { id: SessionId, ttl: Duration },
    /// A session ended; what it owned is gone with the changes before this one.
    SessionEnded { id: SessionId },
    /// A client identity was made.
    ClientRegistered { id: u64 },
    /// A client identity ended: by its owner, by silence, or to make room for another.
    ClientEnded { id: u64 },
}

impl Change {
    /// The entry that an event of a subscription is about: as it is now, or as it was last; `None` where no key changed.
    pub(crate) fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Put { entry, .. } => Some(entry),
            Self::Delete { previous, .. } => Some(previous),
            _ => None,
        }
    }

    /// The revision of a change of a key; `None` where no key changed.
    pub(crate) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Put { entry, .. } => Some(entry.modified),
            Self::Delete { revision, .. } => Some(*revision),
            _ => None,
        }
    }
}

/// A command, or a part of one, that this version does not know: it comes from a newer member. A member that skipped it
/// would hold another state than the others from then on, so this is fatal for the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log holds {what} that this version does not know; run the version that the other members run")]
pub(crate) struct UnknownCommand {
    /// What is not known.
    pub(crate) what: &'static str,
}

/// What became of a lock request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It holds the lock.
    Granted(LockGrant),
    /// It waits.
    Queued,
    /// It is not there: given up, or its session ended.
    Gone,
}
