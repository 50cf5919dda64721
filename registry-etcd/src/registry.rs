//! One client of an etcd cluster: the contract, spelled out.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Heartbeat, Key, ListOptions, Listing, LockGrant,
    LockName, LockRequest, LockStatus, Lookup, Mutation, Operation, PutOptions, ReadLevel, Registry, Result, Revision,
    Scope, SessionGrant, SessionId, SessionOptions, SubscribeFrom, Subscription, Support, Transaction,
};

use crate::config::EtcdSettings;
use crate::connect::Connection;
use crate::error::{BACKEND, Failure};
use crate::keys::{LockRoot, as_check, revision};
use crate::lock::Locks;
use crate::session::GrantedTtls;
use crate::{capability, watch};

/// What one client and its tasks share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) connection: Connection,
    pub(crate) lock_root: LockRoot,
    pub(crate) ttls: GrantedTtls,
    pub(crate) locks: Locks,
}

/// Ends everything when the registry and the last of its subscriptions are gone.
pub(crate) struct Handle(pub(crate) Arc<Core>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.connection.abandon();
    }
}

/// A registry on an etcd cluster: one client, with a connection of its own.
///
/// Its tasks run on the runtime that it was connected on. They end when it is closed, or when it and its subscriptions
/// are dropped.
pub struct EtcdRegistry {
    handle: Arc<Handle>,
}

impl fmt::Debug for EtcdRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EtcdRegistry").field("connection", &self.core().connection).finish_non_exhaustive()
    }
}

impl EtcdRegistry {
    /// Connects, and waits until a member serves: reachable, with a quorum behind it.
    ///
    /// # Errors
    ///
    /// [`Configuration`](registry_api::ErrorKind::Configuration): settings that cannot be right, files that cannot be
    /// read. [`Unavailable`](registry_api::ErrorKind::Unavailable) and others, as the last dial failed: no member
    /// served within `connect_timeout`.
    ///
    /// # Cancellation
    ///
    /// Safe: nothing stays connected.
    pub async fn connect(settings: EtcdSettings) -> Result<Self> {
        let connection = Connection::open(&settings).await?;
        let core = Core {
            connection,
            lock_root: LockRoot::new(settings.lock_root),
            ttls: GrantedTtls::default(),
            locks: Locks::default(),
        };
        Ok(Self { handle: Arc::new(Handle(Arc::new(core))) })
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.0
    }

    /// The client, unless it is being closed.
    fn open(&self, operation: Operation) -> Result<&Arc<Core>> {
        let core = self.core();
        core.connection.check_open().map_err(told(operation))?;
        Ok(core)
    }
}

fn told(operation: Operation) -> impl FnOnce(Failure) -> registry_api::Error {
    move |failure| failure.into_error(operation)
}

#[async_trait]
impl Registry for EtcdRegistry {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn support(&self, capability: Capability) -> Support {
        capability::support(capability)
    }

    fn connection(&self) -> ConnectionWatch {
        self.core().connection.watch()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        let operation = Operation::OpenSession;
        self.open(operation)?.open_session(&options).await.map_err(told(operation))
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        let operation = Operation::Heartbeat;
        self.open(operation)?.heartbeat(session).await.map_err(told(operation))
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        let operation = Operation::CloseSession;
        self.open(operation)?.close_session(session).await.map_err(told(operation))
    }

    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        let operation = Operation::Get;
        self.open(operation)?.get(key, read).await.map_err(told(operation))
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        let operation = Operation::List;
        self.open(operation)?.list(scope, &options).await.map_err(told(operation))
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let operation = Operation::Put;
        let PutOptions { lifetime, precondition, foreign_owner } = options;
        let checks: Vec<_> = as_check(key, &precondition).into_iter().collect();
        let put = Mutation::Put { key: key.clone(), value, lifetime, foreign_owner };
        let done = self.open(operation)?.transact(&checks, &[put]).await.map_err(told(operation))?;
        Ok(revision(done.revision))
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        let operation = Operation::Delete;
        let done = self.open(operation)?.delete(target, &options).await.map_err(told(operation))?;
        Ok(Deleted { revision: revision(done.revision), count: done.deleted })
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let operation = Operation::Commit;
        let commit = self.open(operation)?.transact(transaction.checks(), transaction.mutations()).await;
        Ok(Committed { revision: revision(commit.map_err(told(operation))?.revision) })
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let operation = Operation::Subscribe;
        self.open(operation)?;
        watch::subscribe(&self.handle, scope, from).await.map_err(told(operation))
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        let operation = Operation::Acquire;
        self.open(operation)?.acquire(request).await.map_err(told(operation))
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        let operation = Operation::Release;
        self.open(operation)?.release(grant).await.map_err(told(operation))
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        let operation = Operation::InspectLock;
        self.open(operation)?.inspect_lock(name).await.map_err(told(operation))
    }

    async fn close(&self) -> Result<()> {
        let core = self.core();
        core.connection.close(core.settle_locks()).await;
        Ok(())
    }
}
