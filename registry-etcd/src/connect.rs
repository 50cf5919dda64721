//! The way to the cluster: one member at a time, looked after, and another when it does not serve.

mod address;
mod call;
mod link;
mod look;
mod supervisor;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use registry_api::{ConnectionPublisher, ConnectionState, ConnectionWatch, Effect, Key, Operation};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use address::Address;
pub(crate) use call::Request;
pub(crate) use link::Link;

use self::link::Dialing;
use self::supervisor::Supervisor;
use crate::config::EtcdSettings;
use crate::error::Failure;

/// How long an attempt waits before another member is asked, as a part of the request timeout.
const ATTEMPTS_PER_REQUEST: u32 = 3;

/// How long before the end of the time for connecting the way to the members is looked at.
const LOOK_BEFORE: Duration = Duration::from_secs(1);

/// One client's connection. Every task that it starts ends when it is closed or abandoned.
#[derive(Debug)]
pub(crate) struct Connection {
    links: watch::Receiver<Option<Arc<Link>>>,
    publisher: Arc<ConnectionPublisher>,
    /// Nothing new is begun.
    closing: CancellationToken,
    /// Everything has ended.
    closed: CancellationToken,
    tasks: TaskTracker,
    request_timeout: Duration,
    /// The latest revision that this client has seen: what its stale reads have to show.
    seen: AtomicI64,
}

impl Connection {
    /// Connects; waits until a member serves.
    pub(crate) async fn open(settings: &EtcdSettings) -> registry_api::Result<Self> {
        let dialing = Arc::new(Dialing::new(settings)?);
        let publisher = Arc::new(ConnectionPublisher::new(ConnectionState::Connecting));
        let (sender, links) = watch::channel(None);
        let (closing, closed, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let supervisor = Supervisor::new(Arc::clone(&dialing), sender, Arc::clone(&publisher), closed.clone());
        let failed_dials = supervisor.failures();
        tasks.spawn(supervisor.run());
        let (request_timeout, seen) = (settings.request_timeout, AtomicI64::new(0));
        let connection = Self { links, publisher, closing, closed, tasks, request_timeout, seen };
        let deadline = Instant::now() + settings.connect_timeout;
        let found = tokio::select! {
            // Longer than the others, who know more at the deadline.
            found = connection.link(deadline + settings.connect_timeout) => found,
            refused = failed_dials.refused() => Err(refused),
            why = why_nobody(&dialing, settings.connect_timeout, deadline) => {
                let last = failed_dials.last().unwrap_or_else(Failure::no_member_serves);
                Err(why.map_or(last, |why| Failure::no_member_serves().because(why)))
            }
        };
        match found {
            Ok(_link) => Ok(connection),
            Err(failure) => {
                connection.abandon();
                Err(failure.with_effect(Effect::NotApplied).into_error(Operation::Connect))
            }
        }
    }

    pub(crate) fn watch(&self) -> ConnectionWatch {
        self.publisher.watch()
    }

    /// When a request that begins now has to be answered.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// A member that serves; waits for one until the deadline.
    pub(crate) async fn link(&self, deadline: Instant) -> Result<Arc<Link>, Failure> {
        let mut links = self.links.clone();
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Failure::closed()),
            found = tokio::time::timeout_at(deadline, links.wait_for(Option::is_some)) => match found {
                Ok(Ok(link)) => link.clone().ok_or_else(Failure::no_member_serves),
                Ok(Err(_gone)) => Err(Failure::closed()),
                Err(_late) => Err(Failure::no_member_serves()),
            },
        }
    }

    /// Runs a task that ends with the connection.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closed = self.closed.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Notes that this client knows of a revision.
    pub(crate) fn saw(&self, revision: i64) {
        self.seen.fetch_max(revision, Ordering::SeqCst);
    }

    pub(crate) fn seen(&self) -> i64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Resolves when the client is being closed: nothing new is begun, waits end.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Refuses where the client is being closed.
    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        if self.closing.is_cancelled() { Err(Failure::closed()) } else { Ok(()) }
    }

    /// Ends everything at once.
    pub(crate) fn abandon(&self) {
        self.closing.cancel();
        self.publisher.publish(ConnectionState::Closed);
        self.closed.cancel();
    }

    /// Closes: begins nothing new, gives what runs `grace` to put things in order, then ends it.
    pub(crate) async fn close(&self, grace: impl Future<Output = ()>) {
        self.closing.cancel();
        self.publisher.publish(ConnectionState::Closed);
        grace.await;
        self.closed.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Looks what is wrong, once most of the time has passed, and tells at the deadline.
async fn why_nobody(dialing: &Dialing, timeout: Duration, deadline: Instant) -> Option<String> {
    tokio::time::sleep_until(deadline - LOOK_BEFORE.min(timeout / 4)).await;
    let seen = tokio::time::timeout_at(deadline, dialing.look()).await.unwrap_or_default();
    tokio::time::sleep_until(deadline).await;
    seen
}

/// Where the probe of a member looks: anything below the lock root, as users who may lock may read there.
pub(crate) fn probe_key(lock_root: &Key) -> Vec<u8> {
    lock_root.as_str().as_bytes().to_vec()
}
