//! The client handle: what applications call, with input checked once and every call measured.

mod measure;
#[cfg(test)]
mod tests;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::Instrument;

use crate::clock::{BootClock, Clock};
use crate::namespaced::Namespaced;
use crate::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Effect, Entry, Error, ErrorKind, Heartbeat, Key,
    ListOptions, Listing, LockGrant, LockName, LockRequest, LockStatus, Lookup, Mirror, Operation, Precondition,
    PutOptions, ReadLevel, Registry, Result, Revision, SESSION_TTL_DEFAULT, Scope, Session, SessionGrant, SessionId,
    SessionOptions, SubscribeFrom, Subscription, Support, Transaction,
};

/// What a client keeps to by itself, whatever the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// The time to live of sessions that do not ask for another; 10 s unless configured.
    pub session_ttl: Duration,
    /// How often a session is kept alive. `None`, and anything longer, means a third of the granted time to live.
    pub heartbeat_interval: Option<Duration>,
    /// How long background work (closing a session, giving a lock back) waits for one answer; 5 s unless configured.
    pub request_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { session_ttl: SESSION_TTL_DEFAULT, heartbeat_interval: None, request_timeout: Duration::from_secs(5) }
    }
}

/// A registry, as applications hold it. Cloning is cheap, and every clone is the same client.
///
/// Input is checked here once, for all backends: what a method refuses as
/// [`InvalidArgument`](ErrorKind::InvalidArgument) was never sent. Every call leaves a span `registry` (fields
/// `operation`, `backend`), the counter `registry_operations_total` (labels `operation`, `backend`, `outcome`: `ok`,
/// `cancelled` or the kind of the error) and the histogram `registry_operation_seconds` (labels `operation`, `backend`).
///
/// Deadlines, cancellation and errors are those of [`Registry`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use registry_api::{Key, RegistryClient, memory::MemoryStore};
///
/// let client = RegistryClient::new(MemoryStore::new().client());
/// let key: Key = "/jobs/1".parse()?;
/// client.create(&key, "waiting").await?;
/// assert_eq!(client.get(&key).await?.map(|entry| entry.value), Some("waiting".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RegistryClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Arc<dyn Registry>,
    options: ClientOptions,
    clock: Arc<dyn Clock>,
}

impl RegistryClient {
    /// A client of this registry, with the default [`ClientOptions`].
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self::with_options(registry, ClientOptions::default())
    }

    /// A client of this registry.
    #[must_use]
    pub fn with_options(registry: Arc<dyn Registry>, options: ClientOptions) -> Self {
        Self::with_clock(registry, options, Arc::new(BootClock))
    }

    pub(crate) fn with_clock(registry: Arc<dyn Registry>, options: ClientOptions, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::new(Inner { registry, options, clock }) }
    }

    /// The registry below.
    #[must_use]
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.inner.registry
    }

    /// What this client keeps to.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The backend's name: `raft`, `zookeeper`, `etcd`.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.inner.registry.backend()
    }

    /// How far the backend gives a capability.
    #[must_use]
    pub fn support(&self, capability: Capability) -> Support {
        self.inner.registry.support(capability)
    }

    /// Whether the backend can be reached, to look at and to watch.
    #[must_use]
    pub fn connection(&self) -> ConnectionWatch {
        self.inner.registry.connection()
    }

    /// A client of the part of the registry below `root`: it sees and changes nothing else. See [`Namespaced`].
    #[must_use]
    pub fn namespaced(&self, root: &Key) -> Self {
        let registry = Arc::new(Namespaced::new(self.inner.registry.clone(), root.clone()));
        Self::with_clock(registry, self.inner.options.clone(), self.inner.clock.clone())
    }

    /// Reads a key: what was acknowledged before, anywhere, is seen. `None` where the key does not exist.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::get`].
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>> {
        Ok(self.lookup(key, ReadLevel::Linearizable).await?.entry)
    }

    /// Reads a key with the revision that the answer shows.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::get`].
    pub async fn lookup(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        self.measured(Operation::Get, self.registry().get(key, read)).await
    }

    /// Lists a scope with its values, as one snapshot.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::list`].
    pub async fn list(&self, scope: &Scope) -> Result<Listing> {
        self.list_with(scope, ListOptions::default()).await
    }

    /// Lists a scope: in pages, keys only, or less fresh.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::list`].
    pub async fn list_with(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        self.measured(Operation::List, self.registry().list(scope, options)).await
    }

    /// Puts a persistent key: creates it or replaces its value (at most 512 KiB).
    ///
    /// # Errors
    ///
    /// Those of [`Registry::put`].
    pub async fn put(&self, key: &Key, value: impl Into<Bytes>) -> Result<Revision> {
        self.put_with(key, value, PutOptions::default()).await
    }

    /// Puts a key: ephemeral, under a precondition, or taking it over.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::put`].
    pub async fn put_with(&self, key: &Key, value: impl Into<Bytes>, options: PutOptions) -> Result<Revision> {
        let value = value.into();
        self.check_put(key, &value)?;
        self.measured(Operation::Put, self.registry().put(key, value, options)).await
    }

    /// Creates a persistent key.
    ///
    /// # Errors
    ///
    /// [`PreconditionFailed`](ErrorKind::PreconditionFailed) where the key exists, and those of [`Registry::put`].
    pub async fn create(&self, key: &Key, value: impl Into<Bytes>) -> Result<Revision> {
        self.put_with(key, value, PutOptions::default().when(Precondition::Absent)).await
    }

    /// Deletes one key; what is below it stays.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::delete`]; a key that does not exist is none.
    pub async fn delete(&self, key: &Key) -> Result<Deleted> {
        self.delete_with(&Scope::Key(key.clone()), DeleteOptions::default()).await
    }

    /// Deletes a key and everything below it.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::delete`].
    pub async fn delete_tree(&self, key: &Key) -> Result<Deleted> {
        self.delete_with(&Scope::Tree(key.clone()), DeleteOptions::default()).await
    }

    /// Deletes every key of a scope, under a precondition. Only [`Precondition::LockHeld`] goes with a scope of many
    /// keys.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::delete`].
    pub async fn delete_with(&self, scope: &Scope, options: DeleteOptions) -> Result<Deleted> {
        self.check_delete(scope, &options)?;
        self.measured(Operation::Delete, self.registry().delete(scope, options)).await
    }

    /// Commits a transaction: all of it at one revision, or nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::commit`].
    pub async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.measured(Operation::Commit, self.registry().commit(transaction)).await
    }

    /// Subscribes to a scope, beginning with a snapshot of it.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::subscribe`].
    pub async fn subscribe(&self, scope: &Scope) -> Result<Subscription> {
        self.subscribe_from(scope, SubscribeFrom::Snapshot).await
    }

    /// Subscribes to a scope from a revision on.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::subscribe`].
    pub async fn subscribe_from(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        self.measured(Operation::Subscribe, self.registry().subscribe(scope, from)).await
    }

    /// Opens a session that keeps itself alive until it is closed or its last handle is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::open_session`].
    pub async fn open_session(&self, options: SessionOptions) -> Result<Session> {
        Session::open(self, options).await
    }

    /// The options of a session with the configured time to live.
    #[must_use]
    pub fn session_options(&self) -> SessionOptions {
        SessionOptions::with_ttl(self.inner.options.session_ttl)
    }

    /// Who holds a lock and who waits for it.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::inspect_lock`].
    pub async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        self.measured(Operation::InspectLock, self.registry().inspect_lock(name)).await
    }

    /// A live local copy of a scope.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::subscribe`].
    pub async fn mirror(&self, scope: Scope) -> Result<Mirror> {
        Mirror::open(self, scope).await
    }

    /// Closes the registry for every clone of this client. Sessions are not closed: close those first.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::close`].
    pub async fn close(&self) -> Result<()> {
        self.measured(Operation::Close, self.registry().close()).await
    }

    pub(crate) async fn grant_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.check_session(&options)?;
        self.measured(Operation::OpenSession, self.registry().open_session(options)).await
    }

    pub(crate) async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.measured(Operation::Heartbeat, self.registry().heartbeat(session)).await
    }

    /// Closes a session, waiting at most the request timeout.
    pub(crate) async fn close_session(&self, session: SessionId) -> Result<()> {
        self.bounded(Operation::CloseSession, self.registry().close_session(session)).await
    }

    pub(crate) async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        self.measured(Operation::Acquire, self.registry().acquire(request)).await
    }

    /// Releases a lock, waiting at most the request timeout.
    pub(crate) async fn release(&self, grant: &LockGrant) -> Result<()> {
        self.bounded(Operation::Release, self.registry().release(grant)).await
    }

    /// An error that this layer found before anything was sent.
    pub(crate) fn refusal(&self, kind: ErrorKind, operation: Operation, message: impl Into<String>) -> Error {
        Error::new(kind, Effect::NotApplied, operation, self.backend(), message)
    }

    async fn bounded<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.inner.options.request_timeout;
        match tokio::time::timeout(limit, self.measured(operation, call)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Error::new(
                ErrorKind::DeadlineExceeded,
                Effect::Unknown,
                operation,
                self.backend(),
                format!("no answer within {}", humantime::format_duration(limit)),
            )),
        }
    }

    async fn measured<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        let span = tracing::debug_span!("registry", operation = operation.as_str(), backend = self.backend());
        let measurement = measure::Measurement::begin(operation, self.backend());
        let result = call.instrument(span).await;
        measurement.end(&result);
        result
    }
}
