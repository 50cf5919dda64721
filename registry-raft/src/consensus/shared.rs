//! What the parts of one member's consensus share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::Connector;
use super::identity::Identity;
use super::types::{Core, Raft};
use super::view::Published;
use crate::timing::Timing;

/// One member's consensus, as its parts see it.
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    /// The birth number of the data directory; 0: it has none.
    pub(crate) birth: u64,
    pub(crate) timing: Timing,
    pub(crate) core: Core,
    pub(crate) connector: Connector,
    pub(crate) published: Arc<Published>,
    /// Whether this member takes part: votes and takes entries.
    pub(crate) admitted: watch::Sender<bool>,
    /// The newest term in which this member asked another one to lead; 0: never. It may not rely on its lease from then
    /// on, because voters need not wait for the end of a lease that its holder gave up.
    pub(crate) handed_over: AtomicU64,
    /// Peers at whose address nobody listened when it was dialled last.
    pub(crate) gone: Mutex<BTreeSet<u64>>,
    /// Why this member must stop; the first reason stays.
    pub(crate) fatal: watch::Sender<Option<String>>,
    /// Cancelled when the member stops.
    pub(crate) stopping: CancellationToken,
    /// Every task of this member's consensus; waited for by `shutdown`.
    pub(crate) tasks: TaskTracker,
}

impl Shared {
    /// A copy, because a borrowed one would hold up the core.
    pub(crate) fn server_metrics(&self) -> RaftServerMetrics<Raft> {
        self.core.server_metrics().borrow_watched().clone()
    }

    /// A copy, because a borrowed one would hold up the core.
    pub(crate) fn metrics(&self) -> RaftMetrics<Raft> {
        self.core.metrics().borrow_watched().clone()
    }

    /// Where this member wants to be dialled.
    pub(crate) fn address(&self) -> String {
        self.address_of(self.identity.node)
    }

    /// Where a member is dialled; empty when unknown.
    pub(crate) fn address_of(&self, id: u64) -> String {
        self.connector.book().address(id).unwrap_or_default()
    }

    /// The birth number under which the group has recorded a member; 0: none.
    pub(crate) fn known_birth(&self, id: u64) -> u64 {
        self.server_metrics().membership_config.get_node(&id).map_or(0, |member| member.birth)
    }

    /// Stops taking part: this member can no longer keep its promises. The first reason is the one that is told.
    ///
    /// Nothing fails any more once the member stops in good order.
    pub(crate) fn fail(&self, reason: impl Into<String>) {
        if self.stopping.is_cancelled() {
            return;
        }
        let reason = reason.into();
        let first = self.fatal.send_if_modified(|fatal| {
            let first = fatal.is_none();
            if first {
                *fatal = Some(reason.clone());
            }
            first
        });
        if first {
            tracing::error!(member = self.identity.node, reason, "this member must stop");
            self.admitted.send_replace(false);
        }
    }

    /// Asks another member to lead instead of this one, which leads in `term`.
    ///
    /// # Errors
    ///
    /// The core has stopped.
    pub(crate) async fn hand_over(&self, term: u64, to: u64) -> Result<(), openraft::errors::Fatal<Raft>> {
        self.handed_over.fetch_max(term, Ordering::SeqCst);
        self.core.trigger().transfer_leader(to).await
    }

    /// The voter besides this member that has most of the log, as far as this member knows while it leads.
    pub(crate) fn successor(&self) -> Option<u64> {
        let metrics = self.metrics();
        let voters = metrics.membership_config.voter_ids().collect::<BTreeSet<_>>();
        let progress = metrics.replication?;
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = progress.into_iter().filter(|(id, _)| *id != self.identity.node && voters.contains(id));
        candidates.max_by_key(|(id, matched)| (!gone.contains(id), *matched)).map(|(id, _)| id)
    }

    /// Notes what the last dial found: whether somebody listens at the peer's address.
    pub(crate) fn note_gone(&self, id: u64, found: Listening) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Listening::Nobody => gone.insert(id),
            Listening::Somebody => gone.remove(&id),
        };
    }

    /// Whether nobody listened at the peer's address when it was dialled last.
    pub(crate) fn is_gone(&self, id: u64) -> bool {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// Runs a task until it ends or the member stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

/// What a dial found at a peer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listening {
    /// The connection was refused.
    Nobody,
    /// A connection came up.
    Somebody,
}
