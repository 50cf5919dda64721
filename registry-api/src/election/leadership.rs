//! Leadership: what a campaign wins.

use crate::{FencingToken, LockGuard, Result};

/// Leadership that was won: a [`LockGuard`] with the record that names its holder.
///
/// Dropping it resigns in the background: the record is removed, then the lock is given to the next candidate.
#[derive(Debug)]
#[must_use = "leadership is resigned when this is dropped"]
pub struct Leadership {
    guard: LockGuard,
}

impl Leadership {
    pub(super) fn new(guard: LockGuard) -> Self {
        Self { guard }
    }

    /// The token, which is also the epoch: larger than that of every leader before.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.guard.token()
    }

    /// The guard of the lock, for guarded writes.
    pub fn guard(&self) -> &LockGuard {
        &self.guard
    }

    /// Whether leadership can be relied on at this moment; see [`LockGuard::check`].
    ///
    /// # Errors
    ///
    /// [`LockLost`](crate::ErrorKind::LockLost).
    pub fn check(&self) -> Result<()> {
        self.guard.check()
    }

    /// Waits until leadership is lost: no later than anybody else can lead.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn lost(&self) {
        self.guard.lost().await;
    }

    /// Gives leadership up: the record is gone and the next candidate leads.
    ///
    /// # Errors
    ///
    /// Those of [`LockGuard::release`].
    ///
    /// # Cancellation
    ///
    /// Resigning goes on in the background.
    pub async fn resign(self) -> Result<()> {
        self.guard.release().await
    }
}
