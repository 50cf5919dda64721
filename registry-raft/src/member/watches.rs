//! Subscriptions at this member: every event of a scope in order, from what this member has applied.
//!
//! ```text
//!   apply ── Watches ── Scopes (who wants this key?) ──┬── Watcher: bounded buffer ── Subscription ── consumer
//!                                                      └── Watcher: bounded buffer ── Subscription ── consumer
//! ```
//!
//! Applying never waits: a change goes into the buffers of the watchers that want it, and a buffer that is full is given
//! up. The subscription on the other side takes events out as its consumer gives credit, and when there was a gap begins
//! again: from the history where that reaches back, otherwise with a snapshot.

mod announcement;
mod scopes;
mod subscription;
#[cfg(test)]
mod tests;
mod watcher;

use std::sync::{Arc, Mutex, PoisonError};

use registry_api::{Revision, Scope};

pub(crate) use self::subscription::{CreditGiver, Subscription};

use self::announcement::Announcement;
use self::scopes::Scopes;
use self::watcher::{Mode, Pushed, Watcher};
use crate::boundary::Failed;
use crate::member::limits::SUBSCRIPTIONS_MAX;
use crate::member::metrics::Meters;
use crate::member::quorum::Quorum;
use crate::proto;
use crate::state_machine::Change;

/// All subscriptions of one member.
pub(crate) struct Watches {
    quorum: Arc<dyn Quorum>,
    meters: Arc<Meters>,
    hub: Mutex<Hub>,
}

#[derive(Debug, Default)]
struct Hub {
    scopes: Scopes,
    next_id: u64,
    /// Every change up to here was given to the watchers.
    revision: Revision,
}

impl Watches {
    pub(crate) fn new(quorum: Arc<dyn Quorum>, meters: Arc<Meters>) -> Self {
        let hub = Hub { revision: quorum.state().revision(), ..Hub::default() };
        Self { quorum, meters, hub: Mutex::new(hub) }
    }

    /// Subscribes to a scope: after a revision, which must have been applied here, or from a snapshot. Nothing comes
    /// before credit is given.
    ///
    /// # Errors
    ///
    /// `LIMIT_EXCEEDED`.
    pub(crate) fn subscribe(self: &Arc<Self>, scope: Scope, after: Option<Revision>) -> Result<Subscription, Failed> {
        let mode = match after {
            Some(revision) => Mode::Behind(revision),
            None => Mode::Gap(registry_api::SnapshotReason::Initial),
        };
        let mut hub = self.lock();
        if hub.scopes.len() >= SUBSCRIPTIONS_MAX {
            let message = format!("this member has {SUBSCRIPTIONS_MAX} subscriptions, which is the limit");
            return Err(Failed::refused(proto::Failure::LimitExceeded, message));
        }
        hub.next_id += 1;
        let watcher = Arc::new(Watcher::new(hub.next_id, scope, mode));
        hub.scopes.insert(Arc::clone(&watcher));
        self.meters.subscriptions.increment(1.0);
        drop(hub);
        Ok(Subscription::new(Arc::clone(self), watcher))
    }

    /// Changes were applied, up to this revision.
    pub(crate) fn applied(&self, changes: &[Change], revision: Revision) {
        let mut hub = self.lock();
        for change in changes {
            if let Some(entry) = change.entry() {
                let mut announced = None;
                hub.scopes.visit(entry.key.as_str(), |watcher| {
                    let announced = announced.get_or_insert_with(|| Arc::new(Announcement::from(change.clone())));
                    if watcher.push(announced) == Pushed::Overflowed {
                        self.meters.overflows.increment(1);
                    }
                });
            }
        }
        hub.revision = revision;
    }

    /// The state was replaced by a snapshot: what happened in between was not seen.
    pub(crate) fn replaced(&self, revision: Revision) {
        let mut hub = self.lock();
        let seen = hub.revision;
        hub.scopes.visit_all(|watcher| watcher.missed(seen));
        hub.revision = revision;
    }

    /// Every change up to here was given to the watchers.
    fn revision(&self) -> Revision {
        self.lock().revision
    }

    fn remove(&self, watcher: &Watcher) {
        if self.lock().scopes.remove(watcher) {
            self.meters.subscriptions.decrement(1.0);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watches").finish_non_exhaustive()
    }
}
