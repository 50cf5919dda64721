//! What all operations of one registry share.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use registry_api::{ConnectionPublisher, ConnectionState, ReadLevel, Revision};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zookeeper_client as zk;

use crate::connect::Dialer;
use crate::error::{Failure, Request};
use crate::link::Link;
use crate::paths::Layout;
use crate::session::Sessions;

/// Between two attempts of a request that the loss of a connection interrupted.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// One registry: its connections, its sessions, and what it has seen.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) layout: Layout,
    pub(crate) sessions: Sessions,
    pub(crate) seen: Seen,
    /// Ends every task and every request of this registry.
    pub(crate) closing: CancellationToken,
    /// What goes on after its caller went away, until it is done or the registry is closed.
    pub(crate) background: TaskTracker,
    pub(crate) publisher: Arc<ConnectionPublisher>,
    link: Mutex<Option<Arc<Link>>>,
    request_timeout: Duration,
}

impl Inner {
    pub(crate) fn new(dialer: Arc<Dialer>, layout: Layout, link: Link, request_timeout: Duration) -> Self {
        Self {
            dialer,
            layout,
            sessions: Sessions::default(),
            seen: Seen::default(),
            closing: CancellationToken::new(),
            background: TaskTracker::new(),
            publisher: link.publisher(),
            link: Mutex::new(Some(Arc::new(link))),
            request_timeout,
        }
    }

    /// When a request that begins now has to be over.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }

    pub(crate) fn link(&self) -> Result<Arc<Link>, Failure> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.clone().ok_or_else(|| Failure::closed(Request::Reads))
    }

    /// The client of the shared connection, as soon as it is connected.
    pub(crate) async fn client(&self, deadline: Instant) -> Result<zk::Client, Failure> {
        self.link()?.client(deadline).await
    }

    /// The result of `work`, unless the registry is closed first.
    pub(crate) async fn while_open<T>(
        &self,
        request: Request,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if self.closing.is_cancelled() {
            return Err(Failure::closed(Request::Reads));
        }
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Failure::closed(request)),
            result = work => result,
        }
    }

    /// Reads over the shared connection, again where it broke meanwhile: what only reads may be repeated.
    pub(crate) async fn reading<T, F, R>(&self, deadline: Instant, read: F) -> Result<T, Failure>
    where
        F: Fn(zk::Client) -> R,
        R: Future<Output = Result<T, Failure>>,
    {
        loop {
            let client = self.client(deadline).await?;
            match read(client).await {
                Err(failure) if failure.is_interruption() && Instant::now() < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Ends everything that runs for this registry. Sessions are left to their ttl.
    pub(crate) fn shut(&self) {
        self.closing.cancel();
        self.publisher.publish(ConnectionState::Closed);
        self.background.close();
        self.sessions.forget_all();
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What this registry has seen: the latest revision, and whether the shared connection may be behind it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    latest: AtomicU64,
    /// How many writes were acknowledged to other connections than the shared one.
    elsewhere: AtomicU64,
    /// How many of them the shared connection is known to show.
    caught_up: AtomicU64,
}

impl Seen {
    /// The latest revision that this registry knows of: every later read shows at least this.
    pub(crate) fn revision(&self) -> Revision {
        Revision::new(0, self.latest.load(Ordering::SeqCst))
    }

    /// Notes a revision. What it was told with keeps its own: others may have seen a later one meanwhile.
    pub(crate) fn note(&self, revision: Revision) {
        self.latest.fetch_max(revision.counter, Ordering::SeqCst);
    }

    /// Something was acknowledged to the connection of a session.
    pub(crate) fn wrote_elsewhere(&self) {
        self.elsewhere.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether a read of this level has to catch up with the leader first; if so, the mark for [`Self::caught_up`].
    pub(crate) fn behind(&self, read: ReadLevel) -> Option<u64> {
        let elsewhere = self.elsewhere.load(Ordering::SeqCst);
        match read {
            ReadLevel::Linearizable => Some(elsewhere),
            ReadLevel::Stale => (self.caught_up.load(Ordering::SeqCst) < elsewhere).then_some(elsewhere),
        }
    }

    pub(crate) fn caught_up(&self, mark: u64) {
        self.caught_up.fetch_max(mark, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_revision_never_goes_back() {
        let seen = Seen::default();
        seen.note(Revision::new(0, 7));
        seen.note(Revision::new(0, 3));
        assert_eq!(seen.revision(), Revision::new(0, 7));
    }

    #[test]
    fn a_stale_read_catches_up_with_own_writes_on_other_connections_once() {
        let seen = Seen::default();
        assert_eq!(seen.behind(ReadLevel::Stale), None);
        seen.wrote_elsewhere();
        let mark = seen.behind(ReadLevel::Stale).unwrap();
        seen.wrote_elsewhere();
        seen.caught_up(mark);
        let mark = seen.behind(ReadLevel::Stale).expect("the write during the read is not shown");
        seen.caught_up(mark);
        assert_eq!(seen.behind(ReadLevel::Stale), None);
        assert!(seen.behind(ReadLevel::Linearizable).is_some());
    }
}
