//! Locks: names, grants, fencing tokens, queues, and the guard that holds one.

mod guard;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub use guard::LockGuard;

use crate::{Key, KeyError, Revision, SessionId, key};

/// The name of a lock. It has the grammar of a [`Key`](crate::Key), in a name space of its own: the lock `/a` and the
/// key `/a` have nothing to do with each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName(Arc<str>);

impl LockName {
    /// Parses a lock name.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        key::check(text)?;
        Ok(Self(text.into()))
    }

    /// The name as text, beginning with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name below `root`.
    pub(crate) fn under(&self, root: &Key) -> Result<Self, KeyError> {
        Self::parse(&format!("{root}{}", self.0))
    }
}

/// A lock may be named by a key: the two name spaces have the same grammar.
impl From<&Key> for LockName {
    fn from(key: &Key) -> Self {
        Self(key.as_str().into())
    }
}

impl FromStr for LockName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for LockName {
    type Error = KeyError;

    fn try_from(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl Borrow<str> for LockName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LockName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for LockName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

/// Grows with every grant of a lock, for ever. A store that remembers the largest token it has seen, and refuses smaller
/// ones, is safe from former holders that do not know yet that they lost the lock (Kleppmann, "How to do distributed
/// locking", 2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct FencingToken(Revision);

impl FencingToken {
    /// The token of a grant made at this revision.
    #[must_use]
    pub const fn new(granted_at: Revision) -> Self {
        Self(granted_at)
    }

    /// The revision of the grant.
    #[must_use]
    pub const fn revision(self) -> Revision {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Proof that a session was given a lock, at one moment. Whether it still holds it is what
/// [`Precondition::LockHeld`](crate::Precondition::LockHeld) checks at the moment of a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockGrant {
    /// Which lock.
    pub name: LockName,
    /// Who holds it.
    pub session: SessionId,
    /// Under which token.
    pub token: FencingToken,
}

/// How long to wait for a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockWait {
    /// Not at all: a lock that is not free is refused at once.
    Try,
    /// At most this long, then refused; nothing stays behind in the queue.
    AtMost(Duration),
    /// As long as the session lives.
    #[default]
    Forever,
}

/// Asks for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRequest {
    /// Which lock.
    pub name: LockName,
    /// For which session.
    pub session: SessionId,
    /// How long to wait.
    pub wait: LockWait,
}

/// What a lock looks like at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockStatus {
    /// The revision that this shows.
    pub revision: Revision,
    /// Who holds it.
    pub holder: Option<LockGrant>,
    /// How long it has been held, where the backend can tell.
    pub held_for: Option<Duration>,
    /// Who waits, next holder first.
    pub waiters: Vec<Waiter>,
}

/// One place in the queue of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// For which session.
    pub session: SessionId,
    /// How long it has waited, where the backend can tell.
    pub waiting_for: Option<Duration>,
}
