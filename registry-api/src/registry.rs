//! The contract that every backend implements.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Heartbeat, Key, ListOptions, Listing, LockGrant,
    LockName, LockRequest, LockStatus, Lookup, PutOptions, ReadLevel, Result, Revision, Scope, SessionGrant, SessionId,
    SessionOptions, SubscribeFrom, Subscription, Support, Transaction,
};

/// A store of keys with sessions, locks and subscriptions, shared by every process that connects to it.
///
/// This is what a backend implements: flat, without default bodies. Applications hold the handles built on it, which do
/// the background work (heartbeats, deadlines, registration again after a loss) once for all backends.
///
/// Every method has a deadline of its own (the request timeout of the configuration, except the time that a lock request
/// is ready to wait), after which it fails with [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded). Every method
/// may fail with [`Unavailable`](crate::ErrorKind::Unavailable), [`Closed`](crate::ErrorKind::Closed) and
/// [`Internal`](crate::ErrorKind::Internal); the errors named at a method come on top.
///
/// # Cancellation
///
/// Dropping the future of a method is safe at any time. A change that was on its way may still be applied, as after an
/// error with [`Effect::Unknown`](crate::Effect::Unknown); what was acquired or opened by a dropped future is given
/// back.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// The backend's name, as in the configuration: `raft`, `zookeeper`, `etcd`.
    fn backend(&self) -> &'static str;

    /// How far the backend gives a capability.
    fn support(&self, capability: Capability) -> Support;

    /// Whether the backend can be reached, to look at and to watch.
    fn connection(&self) -> ConnectionWatch;

    /// Opens a session: what ephemeral keys and locks belong to.
    ///
    /// **To be correct**: the id was never given before; the granted ttl runs from the moment the server opened it.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument): a ttl out of range, a label too long.
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded): too many sessions.
    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant>;

    /// Keeps a session alive.
    ///
    /// **To be correct**: success means that the session lives for at least the returned ttl from the moment this was
    /// called; it is a round trip to a server that can tell. It writes nothing.
    ///
    /// # Errors
    ///
    /// [`SessionEnded`](crate::ErrorKind::SessionEnded): it ended, or never was; final.
    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat>;

    /// Ends a session: its ephemeral keys are deleted, its locks released, its places in queues given up, before this
    /// returns. Ending a session that has ended succeeds.
    async fn close_session(&self, session: SessionId) -> Result<()>;

    /// Reads one key.
    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup>;

    /// Lists a scope. A scope that holds nothing gives an empty listing, whether its root exists or not.
    ///
    /// **To be correct**: children are unique and in byte order, on segment boundaries, at one revision
    /// ([`Capability::AtomicListing`]).
    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing>;

    /// Creates a key or replaces its value; returns the revision of the change.
    ///
    /// Putting an ephemeral key creates it or updates the session's own; the key of another live session is refused
    /// unless taking over is asked for. A put is a put for subscribers, never a delete and a put.
    ///
    /// # Errors
    ///
    /// [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed), [`LockLost`](crate::ErrorKind::LockLost) (of
    /// [`Precondition::LockHeld`](crate::Precondition::LockHeld)), [`OwnedByAnother`](crate::ErrorKind::OwnedByAnother),
    /// [`LifetimeMismatch`](crate::ErrorKind::LifetimeMismatch),
    /// [`EphemeralParent`](crate::ErrorKind::EphemeralParent), [`SessionEnded`](crate::ErrorKind::SessionEnded),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (a value longer than
    /// [`VALUE_LEN_MAX`](crate::VALUE_LEN_MAX)), [`LimitExceeded`](crate::ErrorKind::LimitExceeded).
    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision>;

    /// Deletes every key of a scope. What does not exist is not an error: the count says what was deleted.
    /// A precondition that fails is an error, also for a key that does not exist.
    ///
    /// **To be correct**: a tree is deleted at one revision ([`Capability::AtomicSubtreeDelete`]).
    ///
    /// # Errors
    ///
    /// [`PreconditionFailed`](crate::ErrorKind::PreconditionFailed), [`LockLost`](crate::ErrorKind::LockLost),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument): a precondition of one key with a scope of many.
    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted>;

    /// Commits a transaction: all of it at one revision, or nothing. A transaction of checks only changes nothing and
    /// returns the revision at which they held.
    ///
    /// # Errors
    ///
    /// As for [`put`](Registry::put); the key at fault is named.
    async fn commit(&self, transaction: Transaction) -> Result<Committed>;

    /// Subscribes to a scope. See [`Subscription`] for what is promised.
    ///
    /// **To be correct**: a snapshot at the beginning shows every write that was acknowledged, anywhere, before this was
    /// called ([`Capability::LinearizableReads`]).
    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription>;

    /// Takes a lock, waiting in order of arrival. Locks are not re-entrant: a second request of the session that holds
    /// the lock waits like any other.
    ///
    /// # Errors
    ///
    /// [`LockTimeout`](crate::ErrorKind::LockTimeout): not free in time; nothing stays in the queue.
    /// [`SessionEnded`](crate::ErrorKind::SessionEnded): also when the session ends while it waits.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves the queue, or releases the lock if it had just been granted.
    async fn acquire(&self, request: LockRequest) -> Result<LockGrant>;

    /// Gives a lock back; the first waiter gets it. Releasing a grant twice succeeds.
    ///
    /// # Errors
    ///
    /// [`LockLost`](crate::ErrorKind::LockLost): the session of the grant ended, so the lock was lost before.
    async fn release(&self, grant: &LockGrant) -> Result<()>;

    /// Who holds a lock and who waits. A lock that nobody asked for is simply free.
    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus>;

    /// Closes the registry: later operations fail with [`Closed`](crate::ErrorKind::Closed), subscriptions end.
    /// Sessions opened through it are not closed; they end with their ttl unless kept alive elsewhere. Closing twice
    /// succeeds.
    async fn close(&self) -> Result<()>;
}
