//! The contract on a ZooKeeper ensemble.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Effect, Error, ErrorKind, Heartbeat, Key,
    ListOptions, Listing, LockGrant, LockName, LockRequest, LockStatus, Lookup, Mutation, Operation, PutOptions,
    ReadLevel, Registry, Result, Revision, Scope, SessionGrant, SessionId, SessionOptions, SubscribeFrom, Subscription,
    Support, Transaction,
};
use tokio::time::Instant;

use crate::ZooKeeperSettings;
use crate::capability;
use crate::commit::as_check;
use crate::connect::Dialer;
use crate::error::{BACKEND, Failure, Request};
use crate::inner::Inner;
use crate::link::Link;
use crate::look::Look;
use crate::paths::Layout;

/// How long before the end of the time for connecting the way to the servers is looked at.
const LOOK_BEFORE: Duration = Duration::from_secs(1);
/// Between two dials of servers that could not be reached.
const REDIAL_PAUSE: Duration = Duration::from_millis(200);

/// A registry on a ZooKeeper ensemble. Dropping it is like [`close`](Registry::close).
#[derive(Debug)]
pub struct ZooKeeperRegistry {
    inner: Arc<Inner>,
}

impl ZooKeeperRegistry {
    /// Connects: dials the servers in turn until one answers.
    ///
    /// # Errors
    ///
    /// [`Configuration`](ErrorKind::Configuration): files that cannot be read.
    /// [`PermissionDenied`](ErrorKind::PermissionDenied): credentials that the servers refuse.
    /// [`Unavailable`](ErrorKind::Unavailable): no server answered within `connect_timeout`; the servers are named.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn connect(settings: ZooKeeperSettings) -> Result<Self> {
        let dialer = Arc::new(Dialer::new(&settings)?);
        let look = Look::new(settings.tls.as_ref())?;
        let deadline = Instant::now() + settings.connect_timeout;
        let link = tokio::select! {
            link = reach(&dialer, settings.request_timeout, deadline) => {
                link.map_err(|failure| failure.into_error(Operation::Connect))?
            }
            error = why_nobody(&look, &settings, deadline) => return Err(error),
        };
        let layout = Layout::new(settings.lock_root);
        let registry = Self { inner: Arc::new(Inner::new(dialer, layout, link, settings.request_timeout)) };
        if let Err(failure) = registry.inner.create_clock(deadline).await {
            // Whoever may only read has no need of it.
            tracing::debug!(?failure, "cannot create the clock yet");
        }
        Ok(registry)
    }

    async fn request<T>(
        &self,
        operation: Operation,
        request: Request,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T> {
        self.inner.while_open(request, work).await.map_err(|failure| failure.into_error(operation))
    }
}

/// Dials until a server opens a session, or refuses to. The client library gives up earlier than is asked for here.
async fn reach(dialer: &Arc<Dialer>, request_timeout: Duration, deadline: Instant) -> Result<Link, Failure> {
    loop {
        match Link::connect(Arc::clone(dialer), request_timeout, deadline).await {
            Err(failure) if *failure.kind() == ErrorKind::Unavailable => tokio::time::sleep(REDIAL_PAUSE).await,
            result => return result,
        }
    }
}

/// Looks what is wrong, once most of the time has passed, and tells at the deadline.
async fn why_nobody(look: &Look, settings: &ZooKeeperSettings, deadline: Instant) -> Error {
    tokio::time::sleep_until(deadline - LOOK_BEFORE.min(settings.connect_timeout / 4)).await;
    let looks = futures::future::join_all(settings.connect.iter().map(|server| look.at(server)));
    let seen = tokio::time::timeout_at(deadline, looks).await.unwrap_or_default();
    tokio::time::sleep_until(deadline).await;
    let (servers, within) = (settings.connect.join(","), humantime::format_duration(settings.connect_timeout));
    let why = seen.into_iter().flatten().next().map_or_else(String::new, |why| format!(": {why}"));
    let message = format!("none of the servers {servers} opened a session within {within}{why}");
    Error::new(ErrorKind::Unavailable, Effect::NotApplied, Operation::Connect, BACKEND, message)
}

impl Drop for ZooKeeperRegistry {
    fn drop(&mut self) {
        self.inner.shut();
    }
}

#[async_trait]
impl Registry for ZooKeeperRegistry {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn support(&self, capability: Capability) -> Support {
        capability::support(capability)
    }

    fn connection(&self) -> ConnectionWatch {
        self.inner.publisher.watch()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.request(Operation::OpenSession, Request::Changes, self.inner.open_session(&options)).await
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.request(Operation::Heartbeat, Request::Changes, self.inner.heartbeat(session)).await
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        self.request(Operation::CloseSession, Request::Changes, self.inner.close_session(session)).await
    }

    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        self.request(Operation::Get, Request::Reads, self.inner.get(key, read)).await
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        self.request(Operation::List, Request::Reads, self.inner.list(scope, &options)).await
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let PutOptions { lifetime, precondition, foreign_owner } = options;
        let check = as_check(key, &precondition);
        let put = [Mutation::Put { key: key.clone(), value, lifetime, foreign_owner }];
        let done = self.inner.transact(check.as_slice(), &put);
        Ok(self.request(Operation::Put, Request::Changes, done).await?.revision)
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        self.request(Operation::Delete, Request::Changes, self.inner.delete(target, &options)).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let done = self.inner.transact(transaction.checks(), transaction.mutations());
        Ok(Committed { revision: self.request(Operation::Commit, Request::Changes, done).await?.revision })
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        self.request(Operation::Subscribe, Request::Reads, self.inner.subscribe(scope, from)).await
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        self.request(Operation::Acquire, Request::Changes, self.inner.acquire(&request)).await
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        self.request(Operation::Release, Request::Changes, self.inner.release(grant)).await
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        self.request(Operation::InspectLock, Request::Reads, self.inner.inspect_lock(name)).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.shut();
        Ok(())
    }
}
