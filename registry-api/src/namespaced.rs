//! A namespace: the part of a registry below one key, seen as a registry of its own.

mod mapping;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use self::mapping::Namespace;
use crate::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Heartbeat, Key, ListOptions, Listing, LockGrant,
    LockName, LockRequest, LockStatus, Lookup, Operation, PutOptions, ReadLevel, Registry, Result, Revision, Scope,
    SessionGrant, SessionId, SessionOptions, SubscribeFrom, Subscription, Support, Transaction,
};

/// The part of a registry below one key (a chroot), as a registry of its own: the key `/a` of the namespace `/scheduler`
/// is the key `/scheduler/a` below, and so are lock names. Answers, events and errors are told in the names of the
/// namespace. Sessions, the connection and revisions are those of the registry below.
///
/// The key that the namespace is named by cannot be named inside; deleting [`Scope::All`] inside deletes it too.
///
/// Names may be shorter inside: a key that is too long with the name of the namespace in front is refused as
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument).
#[derive(Debug)]
pub struct Namespaced {
    registry: Arc<dyn Registry>,
    namespace: Arc<Namespace>,
}

impl Namespaced {
    /// The part of `registry` below `root`.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>, root: Key) -> Self {
        let namespace = Arc::new(Namespace::new(root, registry.backend()));
        Self { registry, namespace }
    }
}

#[async_trait]
impl Registry for Namespaced {
    fn backend(&self) -> &'static str {
        self.registry.backend()
    }

    fn support(&self, capability: Capability) -> Support {
        self.registry.support(capability)
    }

    fn connection(&self) -> ConnectionWatch {
        self.registry.connection()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.registry.open_session(options).await
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.registry.heartbeat(session).await
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        self.registry.close_session(session).await
    }

    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        let key = self.namespace.key(key, Operation::Get)?;
        let Lookup { entry, revision } =
            self.registry.get(&key, read).await.map_err(|error| self.namespace.error_inside(error))?;
        Ok(Lookup { entry: entry.and_then(|entry| self.namespace.entry_inside(entry)), revision })
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        let (scope, options) = self.namespace.listing(scope, options)?;
        let listing = self.registry.list(&scope, options).await.map_err(|error| self.namespace.error_inside(error))?;
        Ok(self.namespace.listing_inside(listing))
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let key = self.namespace.key(key, Operation::Put)?;
        let precondition = self.namespace.precondition(options.precondition, Operation::Put)?;
        let options = PutOptions { precondition, ..options };
        self.registry.put(&key, value, options).await.map_err(|error| self.namespace.error_inside(error))
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        let target = self.namespace.scope(target, Operation::Delete)?;
        let precondition = self.namespace.precondition(options.precondition, Operation::Delete)?;
        let options = DeleteOptions { precondition };
        self.registry.delete(&target, options).await.map_err(|error| self.namespace.error_inside(error))
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let transaction = self.namespace.transaction(transaction)?;
        self.registry.commit(transaction).await.map_err(|error| self.namespace.error_inside(error))
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let below = self.namespace.scope(scope, Operation::Subscribe)?;
        let events = self.registry.subscribe(&below, from).await.map_err(|error| self.namespace.error_inside(error))?;
        let namespace = self.namespace.clone();
        let inside = events.filter_map(move |event| std::future::ready(namespace.event_inside(event)));
        Ok(Subscription::new(scope.clone(), inside))
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        let name = self.namespace.lock(&request.name, Operation::Acquire)?;
        let inside = request.name.clone();
        let grant = self.registry.acquire(LockRequest { name, ..request }).await;
        grant.map(|grant| LockGrant { name: inside, ..grant }).map_err(|error| self.namespace.error_inside(error))
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        let grant = self.namespace.grant(grant, Operation::Release)?;
        self.registry.release(&grant).await.map_err(|error| self.namespace.error_inside(error))
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        let below = self.namespace.lock(name, Operation::InspectLock)?;
        let status = self.registry.inspect_lock(&below).await.map_err(|error| self.namespace.error_inside(error))?;
        let holder = status.holder.map(|grant| LockGrant { name: name.clone(), ..grant });
        Ok(LockStatus { holder, ..status })
    }

    async fn close(&self) -> Result<()> {
        self.registry.close().await
    }
}
