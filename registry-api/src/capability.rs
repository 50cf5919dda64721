//! Capabilities: what a backend declares, and the conformance suite proves.

use std::fmt;

/// A promise that not every backend can give in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Subscriptions deliver every version of a key; without it, quick successive changes may be told as one.
    EveryVersion,
    /// A subscription can begin after a given revision, as far as the history reaches.
    ResumeFromRevision,
    /// The delete of a tree is one change at one revision.
    AtomicSubtreeDelete,
    /// A linearizable read sees every write that was acknowledged before it began.
    LinearizableReads,
    /// `Precondition::At` is not satisfied by a key that was deleted and created again.
    AbaSafePreconditions,
    /// A transaction is applied as a whole, at one revision.
    AtomicTransactions,
    /// A listing shows its whole scope at one revision.
    AtomicListing,
    /// Events carry the previous entry.
    PreviousValue,
    /// All keys of a session end at one revision.
    SessionEndsAtOneRevision,
    /// A session can be kept alive through another client than the one that opened it.
    SessionAdoption,
    /// A leader that stood still for a ttl, and goes on, ends no session that its successor has kept alive.
    SessionsOutliveStalledLeader,
}

impl Capability {
    /// Every capability, in the order of the tables.
    pub const ALL: [Self; 11] = [
        Self::EveryVersion,
        Self::ResumeFromRevision,
        Self::AtomicSubtreeDelete,
        Self::LinearizableReads,
        Self::AbaSafePreconditions,
        Self::AtomicTransactions,
        Self::AtomicListing,
        Self::PreviousValue,
        Self::SessionEndsAtOneRevision,
        Self::SessionAdoption,
        Self::SessionsOutliveStalledLeader,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EveryVersion => "every version",
            Self::ResumeFromRevision => "resume from revision",
            Self::AtomicSubtreeDelete => "atomic subtree delete",
            Self::LinearizableReads => "linearizable reads",
            Self::AbaSafePreconditions => "ABA-safe preconditions",
            Self::AtomicTransactions => "atomic transactions",
            Self::AtomicListing => "atomic listing",
            Self::PreviousValue => "previous value",
            Self::SessionEndsAtOneRevision => "session ends at one revision",
            Self::SessionAdoption => "session adoption",
            Self::SessionsOutliveStalledLeader => "sessions outlive a stalled leader",
        })
    }
}

/// How far a backend gives a [`Capability`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Support {
    /// As described.
    Full,
    /// With this limit.
    Limited(&'static str),
    /// Not at all, for this reason.
    Unsupported(&'static str),
}
