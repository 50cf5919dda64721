//! Events: what a subscription tells.

use std::fmt;

use crate::{Entry, Key, Listing, Revision};

/// One message of a [`Subscription`](crate::Subscription).
///
/// A consumer that replaces its map at [`Event::Snapshot`], inserts at [`Event::Put`] and removes at [`Event::Delete`]
/// always holds what the scope held at the revision of the last event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The whole scope at one revision: the first event of every subscription that does not resume, and the event after
    /// every gap.
    Snapshot {
        /// What the scope holds.
        listing: Listing,
        /// Why it is sent.
        reason: SnapshotReason,
    },
    /// A key was put, or taken over by another session.
    Put {
        /// The key as it is now; its `modified` is the revision of the event.
        entry: Entry,
        /// The key as it was; `None` when it did not exist.
        previous: Option<Entry>,
    },
    /// A key was deleted, or ended with its session.
    Delete {
        /// The key as it was last.
        previous: Entry,
        /// The revision of the event.
        revision: Revision,
    },
    /// Nothing of the scope changed up to this revision: where to resume after a quiet time.
    Progress {
        /// Every event up to here was sent.
        revision: Revision,
    },
}

impl Event {
    /// The revision that the scope has reached with this event.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Snapshot { listing, .. } => listing.revision,
            Self::Put { entry, .. } => entry.modified,
            Self::Delete { revision, .. } | Self::Progress { revision } => *revision,
        }
    }

    /// The key that changed; `None` for a snapshot and for progress.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Put { entry, .. } => Some(&entry.key),
            Self::Delete { previous, .. } => Some(&previous.key),
            Self::Snapshot { .. } | Self::Progress { .. } => None,
        }
    }
}

/// Why a snapshot was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotReason {
    /// The subscription begins.
    Initial,
    /// The revision to resume from is older than the history that is kept.
    Compacted,
    /// The consumer was too slow, and its buffer was given up.
    Overflow,
    /// The store was restored: a new incarnation.
    Restored,
    /// The connection was interrupted, and the backend keeps no history to resume from.
    Reconnected,
}

impl fmt::Display for SnapshotReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Initial => "the subscription begins",
            Self::Compacted => "the history no longer reaches back to the revision asked for",
            Self::Overflow => "the consumer was too slow",
            Self::Restored => "the store was restored",
            Self::Reconnected => "the connection was interrupted",
        })
    }
}
