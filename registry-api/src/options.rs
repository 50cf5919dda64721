//! How single keys are read, put and deleted.

use crate::{Entry, LockGrant, Revision, SessionId};

/// The longest value, in bytes.
pub const VALUE_LEN_MAX: usize = 512 * 1024;

/// How fresh a read must be. Every level shows this client's own acknowledged writes (guarantee G2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadLevel {
    /// Every write that was acknowledged before the read began, anywhere, is seen.
    #[default]
    Linearizable,
    /// What the answering server has applied: it may be behind the others, and a server that is cut off still answers.
    Stale,
}

/// What a key was at a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// The entry, or `None` where the key does not exist.
    pub entry: Option<Entry>,
    /// The revision that the answer shows.
    pub revision: Revision,
}

/// How long a key lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Until it is deleted.
    #[default]
    Persistent,
    /// Until it is deleted or this session ends. An ephemeral key has no children, and a key with children cannot
    /// become ephemeral.
    Ephemeral(SessionId),
}

/// What must hold for a change to be made, at the revision of the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// The key does not exist.
    Absent,
    /// The key exists and was last modified at this revision.
    At(Revision),
    /// The key exists and belongs to this session.
    OwnedBy(SessionId),
    /// This lock is held under this grant: how writes are fenced.
    LockHeld(LockGrant),
}

/// What to do with an ephemeral key of another live session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ForeignOwner {
    /// Refuse with [`ErrorKind::OwnedByAnother`](crate::ErrorKind::OwnedByAnother), which names the owner.
    #[default]
    Refuse,
    /// Move the key to the putting session atomically: subscribers see one put and no delete, and the end of the old
    /// session no longer touches the key.
    TakeOver,
}

/// How to put a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// How long the key lives. A key never changes silently between persistent and ephemeral.
    pub lifetime: Lifetime,
    /// What must hold.
    pub precondition: Precondition,
    /// What to do when another live session owns the key.
    pub foreign_owner: ForeignOwner,
}

impl PutOptions {
    /// A key that ends with this session.
    #[must_use]
    pub fn ephemeral(session: SessionId) -> Self {
        Self { lifetime: Lifetime::Ephemeral(session), ..Self::default() }
    }

    /// Under this precondition.
    #[must_use]
    pub fn when(mut self, precondition: Precondition) -> Self {
        self.precondition = precondition;
        self
    }

    /// Taking the key over from whatever live session owns it.
    #[must_use]
    pub fn taking_over(mut self) -> Self {
        self.foreign_owner = ForeignOwner::TakeOver;
        self
    }
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// What must hold. Only [`Precondition::None`] and [`Precondition::LockHeld`] may go with a scope of many keys.
    pub precondition: Precondition,
}

impl DeleteOptions {
    /// Under this precondition.
    #[must_use]
    pub fn when(precondition: Precondition) -> Self {
        Self { precondition }
    }
}

/// What a delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The revision of the change; where nothing was deleted, the revision at which that was seen.
    pub revision: Revision,
    /// How many keys were deleted. Deleting what does not exist is not an error.
    pub count: usize,
}
