//! Who leads, as a value that can be watched: for people and logs, nothing is decided by it.

use tokio::sync::watch;

use super::RaftRegistry;
use crate::client::Known;

/// A leader of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaderReport {
    /// Its member id.
    pub id: u64,
    /// Where it is dialled; empty when not known.
    pub address: String,
    /// The term that it leads.
    pub term: u64,
}

/// Tells who leads, as far as this member or client was told.
#[derive(Clone, Debug)]
pub struct LeaderWatch {
    known: watch::Receiver<Known>,
    told: Option<Option<LeaderReport>>,
}

impl RaftRegistry {
    /// Watches who leads; begins with who is known to.
    #[must_use]
    pub fn leaders(&self) -> LeaderWatch {
        LeaderWatch { known: self.inner.router.group(), told: None }
    }
}

impl LeaderWatch {
    /// Who leads now; `None` while nobody is known to.
    #[must_use]
    pub fn leader(&self) -> Option<LeaderReport> {
        let known = self.known.borrow();
        known.leader.as_ref().map(|leader| LeaderReport {
            id: leader.id,
            address: leader.address.clone(),
            term: leader.term,
        })
    }

    /// The leader, when it is another one than this has told before; the current one at first. Changes that follow each
    /// other quickly may be told as the last of them. `None` when the registry is gone.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn next(&mut self) -> Option<Option<LeaderReport>> {
        loop {
            self.known.mark_unchanged();
            let leader = self.leader();
            if self.told.as_ref() != Some(&leader) {
                self.told = Some(leader.clone());
                return Some(leader);
            }
            self.known.changed().await.ok()?;
        }
    }
}
