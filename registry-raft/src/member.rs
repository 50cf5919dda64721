//! A member: what runs inside a process that belongs to the group.
//!
//! ```text
//!   this process ── LocalBoundary ──┐
//!                                   ├── Service ──┬── proposals ──> consensus ──> apply ──> observer
//!   clients ── server ── streams ───┘             ├── reads ──────> read index, applied state  │
//!   peers ──── server ── consensus                ├── sessions <───────────────────────────────┤
//!   operators  server ── /metrics, /health        ├── watches  <───────────────────────────────┤
//!                                                 └── grants   <───────────────────────────────┘
//! ```

mod applied;
mod clock;
mod deadlines;
mod grants;
mod health;
mod limits;
mod listing;
mod metrics;
mod observer;
mod peers;
mod places;
mod proposals;
mod quorum;
#[cfg(test)]
mod quorum_fake;
mod reads;
mod runtime;
mod server;
mod service;
mod sessions;
mod settings;
mod start;
mod view;
mod watches;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::limits::STOP_STEP_MAX;
use self::runtime::OwnRuntime;
use self::service::{LocalBoundary, Service};
pub(crate) use self::settings::{DataPlace, Exposure, MemberSettings};
#[cfg(feature = "micro")]
pub(crate) use self::{
    metrics::Meters,
    quorum::LateQuorum,
    watches::{Subscription, Watches},
};
use crate::boundary::{Boundary, MemberView, Standing};
use crate::client::{Group, Links, LocalMember};
use crate::consensus::Consensus;

/// A running member. Dropping it stops its tasks at once; [`Member::shutdown`] does it in good order.
pub(crate) struct Member {
    node: u64,
    address: SocketAddr,
    consensus: Consensus,
    service: Arc<Service>,
    links: Links,
    view: watch::Sender<MemberView>,
    failure: watch::Receiver<Option<String>>,
    /// Tasks of the member itself; those of connections and subscriptions belong to the service.
    tasks: TaskTracker,
    server: Mutex<Option<AbortOnDropHandle<()>>>,
    /// Nothing is accepted any more.
    closing: CancellationToken,
    _stop_on_drop: DropGuard,
    /// What everything above runs on but what users of this process call.
    _runtime: OwnRuntime,
}

impl Member {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The way in for this process.
    pub(crate) fn boundary(&self) -> Arc<dyn Boundary> {
        Arc::new(LocalBoundary::new(&self.service))
    }

    /// The member, as the router of this process takes it.
    pub(crate) fn local(&self) -> LocalMember {
        LocalMember { id: self.node, boundary: self.boundary() }
    }

    /// Its id.
    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    /// What it knows of the group.
    pub(crate) fn group(&self) -> Arc<Group> {
        self.links.group()
    }

    /// Waits until the member has failed for good, and says why: then the process should end with an error. Never
    /// returns for one that was shut down.
    pub(crate) async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        let reason = failure.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Stops in good order, within a few seconds: accepts nothing more, hands leadership over, answers what is under
    /// way, says goodbye to clients, stops consensus and flushes the log. Safe to call more than once.
    pub(crate) async fn shutdown(&self) {
        self.closing.cancel();
        self.view.send_modify(|view| view.standing = Standing::Leaving);
        if self.service.quorum.leadership().borrow().leading {
            match timeout(STOP_STEP_MAX, self.consensus.transfer_leadership()).await {
                Ok(Ok(())) => tracing::info!(member = self.node, "leadership handed over"),
                Ok(Err(error)) => tracing::info!(member = self.node, %error, "leadership not handed over"),
                Err(_elapsed) => tracing::warn!(member = self.node, "leadership not handed over in time"),
            }
        }
        self.service.leaving.cancel();
        self.service.tasks.close();
        if timeout(STOP_STEP_MAX, self.service.tasks.wait()).await.is_err() {
            tracing::warn!(member = self.node, "some connections did not end in time");
        }
        self.service.stop.cancel();
        self.service.local_tasks.close();
        self.service.local_tasks.wait().await;
        self.links.close().await;
        self.consensus.shutdown().await;
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server
            && timeout(STOP_STEP_MAX, server).await.is_err()
        {
            tracing::warn!(member = self.node, "some connections did not close in time");
        }
        self.tasks.close();
        if timeout(STOP_STEP_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!(member = self.node, "some tasks did not end in time");
        }
        self.view.send_modify(|view| view.standing = Standing::Away);
        tracing::info!(member = self.node, "stopped");
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Member")
            .field("node", &self.node)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
