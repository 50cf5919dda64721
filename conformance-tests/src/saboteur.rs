//! Saboteurs: decorators that each break one promise, to prove that the suite notices.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Heartbeat, Key, ListOptions, Listing, LockGrant,
    LockName, LockRequest, LockStatus, Lookup, PutOptions, ReadLevel, Registry, Result, Revision, Scope, SessionGrant,
    SessionId, SessionOptions, SubscribeFrom, Subscription, Support, Transaction,
};

/// A way to break one promise: overrides the operations it spoils, and passes the others on.
///
/// One saboteur stands between all clients and the backend, so that it can break promises between clients.
#[async_trait]
#[expect(missing_docs, reason = "each method stands in front of the method of `Registry` with its name")]
pub trait Saboteur: fmt::Debug + Send + Sync + 'static {
    async fn open_session(&self, inner: &Arc<dyn Registry>, options: SessionOptions) -> Result<SessionGrant> {
        inner.open_session(options).await
    }

    async fn heartbeat(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<Heartbeat> {
        inner.heartbeat(session).await
    }

    async fn close_session(&self, inner: &Arc<dyn Registry>, session: SessionId) -> Result<()> {
        inner.close_session(session).await
    }

    async fn get(&self, inner: &Arc<dyn Registry>, key: &Key, read: ReadLevel) -> Result<Lookup> {
        inner.get(key, read).await
    }

    async fn list(&self, inner: &Arc<dyn Registry>, scope: &Scope, options: ListOptions) -> Result<Listing> {
        inner.list(scope, options).await
    }

    async fn put(&self, inner: &Arc<dyn Registry>, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        inner.put(key, value, options).await
    }

    async fn delete(&self, inner: &Arc<dyn Registry>, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        inner.delete(target, options).await
    }

    async fn commit(&self, inner: &Arc<dyn Registry>, transaction: Transaction) -> Result<Committed> {
        inner.commit(transaction).await
    }

    async fn subscribe(&self, inner: &Arc<dyn Registry>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        inner.subscribe(scope, from).await
    }

    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        inner.acquire(request).await
    }

    async fn release(&self, inner: &Arc<dyn Registry>, grant: &LockGrant) -> Result<()> {
        inner.release(grant).await
    }

    async fn inspect_lock(&self, inner: &Arc<dyn Registry>, name: &LockName) -> Result<LockStatus> {
        inner.inspect_lock(name).await
    }

    async fn close(&self, inner: &Arc<dyn Registry>) -> Result<()> {
        inner.close().await
    }
}

/// A registry with a [`Saboteur`] in front of it.
#[derive(Debug)]
pub(crate) struct Sabotaged {
    inner: Arc<dyn Registry>,
    saboteur: Arc<dyn Saboteur>,
}

impl Sabotaged {
    pub(crate) fn new(inner: Arc<dyn Registry>, saboteur: Arc<dyn Saboteur>) -> Self {
        Self { inner, saboteur }
    }
}

#[async_trait]
impl Registry for Sabotaged {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn support(&self, capability: Capability) -> Support {
        self.inner.support(capability)
    }

    fn connection(&self) -> ConnectionWatch {
        self.inner.connection()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.saboteur.open_session(&self.inner, options).await
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.saboteur.heartbeat(&self.inner, session).await
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        self.saboteur.close_session(&self.inner, session).await
    }

    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        self.saboteur.get(&self.inner, key, read).await
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        self.saboteur.list(&self.inner, scope, options).await
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        self.saboteur.put(&self.inner, key, value, options).await
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        self.saboteur.delete(&self.inner, target, options).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.saboteur.commit(&self.inner, transaction).await
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        self.saboteur.subscribe(&self.inner, scope, from).await
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        self.saboteur.acquire(&self.inner, request).await
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        self.saboteur.release(&self.inner, grant).await
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        self.saboteur.inspect_lock(&self.inner, name).await
    }

    async fn close(&self) -> Result<()> {
        self.saboteur.close(&self.inner).await
    }
}
