//! Revisions: the order of changes.

use std::fmt;

/// A position in the order of all changes of a store.
///
/// Revisions compare incarnation first: a restore or a migration starts a new incarnation, so a revision of an older one
/// is always smaller. Within an incarnation the counter grows with every change; it need not be dense.
///
/// [`Revision::ZERO`] is before every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Revision {
    /// Which life of the store: grows by one with each restore.
    pub incarnation: u64,
    /// The number of the change within the incarnation.
    pub counter: u64,
}

impl Revision {
    /// Before every change.
    pub const ZERO: Self = Self { incarnation: 0, counter: 0 };

    /// The change `counter` of `incarnation`.
    #[must_use]
    pub const fn new(incarnation: u64, counter: u64) -> Self {
        Self { incarnation, counter }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.incarnation, self.counter)
    }
}
