//! What the parts of one member's consensus share.

use std::sync::Arc;

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
    pub(crate) fn fail(&self, reason: impl Into<String>) {
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
