//! `RaftRegistry`: the registry contract on top of the boundary, the same for a member and a remote client.

mod answer;
mod handover;
mod keys;
mod leader;
mod lock;
mod report;
mod session;
mod watch;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use registry_api::{
    Capability, Committed, ConnectionPublisher, ConnectionState, ConnectionWatch, DeleteOptions, Deleted, Effect,
    Error, ErrorKind, Heartbeat, Key, ListOptions, Listing, LockGrant, LockName, LockRequest, LockStatus, Lookup,
    Operation, PutOptions, ReadLevel, Registry, Result, Revision, Scope, SessionGrant, SessionId, SessionOptions,
    SubscribeFrom, Subscription, Support, Transaction,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::leader::{LeaderReport, LeaderWatch};
pub use self::report::{DeathCertificate, MemberReport, MemberState, RaftStatus};
use self::session::RoundTrips;
use crate::client::{Caller, ClientTiming, Group, Links, LocalMember, Proposer, Router};
use crate::convert::BACKEND;
use crate::member::Member;
use crate::proto;

/// How long [`RaftRegistry::close`] may take for telling the group that this client is gone.
const FAREWELL: Duration = Duration::from_millis(500);

/// A registry on an embedded Raft group: a member inside this process, or a client of members elsewhere.
///
/// Both are the same [`Registry`]; on top come reports that only this backend can give ([`RaftRegistry::status`],
/// [`RaftRegistry::deaths`]). Dropping it ends its tasks without a farewell; [`Registry::close`] is the orderly end.
pub struct RaftRegistry {
    inner: Arc<Inner>,
    member: Option<Member>,
}

/// What the tasks of a registry share.
pub(crate) struct Inner {
    router: Arc<Router>,
    proposer: Proposer,
    request_timeout: Duration,
    timing: ClientTiming,
    connection: Arc<ConnectionPublisher>,
    seen: Mutex<Revision>,
    round_trips: RoundTrips,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// What a registry is built on.
pub(crate) struct Foundation {
    pub(crate) group: Arc<Group>,
    pub(crate) links: Links,
    /// The member of this process, if there is one.
    pub(crate) local: Option<LocalMember>,
    pub(crate) timing: ClientTiming,
    pub(crate) label: String,
    pub(crate) request_timeout: Duration,
}

impl Foundation {
    /// The member of this process, and connections of one's own to the others: those of the member are of its runtime, which
    /// waits for no application.
    pub(crate) fn on(member: &Member, timing: ClientTiming, label: String, request_timeout: Duration) -> Self {
        let caller = Caller { label: label.clone(), member: member.node() };
        let group = member.group();
        let links = Links::new(Arc::clone(&group), caller, timing);
        Self { group, links, local: Some(member.local()), timing, label, request_timeout }
    }
}

impl RaftRegistry {
    /// A registry that begins to connect.
    pub(crate) fn start(foundation: Foundation) -> Self {
        let Foundation { group, links, local, timing, label, request_timeout } = foundation;
        let connection = Arc::new(ConnectionPublisher::new(ConnectionState::Connecting));
        let router = Arc::new(Router::start(group, links, local, timing, Arc::clone(&connection)));
        let inner = Arc::new(Inner {
            proposer: Proposer::new(Arc::clone(&router), label),
            router,
            request_timeout,
            timing,
            connection,
            seen: Mutex::new(Revision::ZERO),
            round_trips: RoundTrips::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        });
        let keeper = Arc::clone(&inner);
        let stop = inner.closing.clone();
        inner.tasks.spawn(async move {
            stop.run_until_cancelled(keeper.proposer.keep_alive(timing.keep_client_interval)).await;
        });
        Self { inner, member: None }
    }

    /// The registry owns this member, and stops it with itself.
    pub(crate) fn owning(mut self, member: Member) -> Self {
        self.member = Some(member);
        self
    }

    /// Another client of the member of this process, named `label` in logs: with an identity and connections of its own.
    /// Closing it leaves the member alone; the end of the member ends it. `None` for a client of members elsewhere, which
    /// connects again instead.
    #[must_use]
    pub fn another_client(&self, label: &str) -> Option<Self> {
        let member = self.member.as_ref()?;
        let Inner { timing, request_timeout, .. } = *self.inner;
        Some(Self::start(Foundation::on(member, timing, label.to_owned(), request_timeout)))
    }

    /// Where the member of this process listens; `None` for a client.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.member.as_ref().map(Member::address)
    }

    /// Waits until the member of this process has failed for good (its disk, or an entry of a newer version), and says
    /// why; the process should end then, and its member be repaired. Pending for ever for a client, and for a member
    /// that is stopped in good order.
    ///
    /// # Cancellation
    ///
    /// Safe.
    pub async fn failed(&self) -> String {
        match &self.member {
            Some(member) => member.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Closes the registry. A member is stopped in good order, within a few seconds: it hands leadership over, answers
    /// what is under way, says goodbye to its clients and flushes its log. Doing it twice is harmless.
    ///
    /// # Cancellation
    ///
    /// Goes on when it is called again; dropping the registry then ends what is left at once.
    pub async fn shutdown(&self) {
        self.inner.close().await;
        match &self.member {
            Some(member) => member.shutdown().await,
            None => self.inner.router.close().await,
        }
    }

    /// Waits until a member serves this registry; at the deadline, why none does.
    pub(crate) async fn reached(&self, deadline: Instant) -> Result<(), String> {
        self.inner.router.found_home(deadline).await
    }
}

impl Inner {
    /// When a request that begins now must be over.
    fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }

    /// Runs a request unless the registry is or gets closed; `begun` says what closing in the middle leaves open.
    async fn while_open<T>(
        &self,
        operation: Operation,
        begun: Effect,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if self.closing.is_cancelled() {
            return Err(closed(operation, Effect::NotApplied));
        }
        tokio::select! {
            biased;
            done = request => done,
            () = self.closing.cancelled() => Err(closed(operation, begun)),
        }
    }

    /// The latest revision that this client was shown.
    fn seen(&self) -> Revision {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a revision that this client was shown: no later answer may be older (guarantee G2).
    fn saw(&self, revision: Revision) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = (*seen).max(revision);
    }

    fn at_least(&self) -> Option<proto::Revision> {
        let seen = self.seen();
        (seen != Revision::ZERO).then(|| seen.into())
    }

    fn freshness(&self, read: ReadLevel) -> Option<proto::Freshness> {
        let linearizable = match read {
            ReadLevel::Linearizable => true,
            ReadLevel::Stale => false,
        };
        Some(proto::Freshness { linearizable, at_least: self.at_least() })
    }

    async fn close(&self) {
        if self.closing.is_cancelled() {
            return;
        }
        self.closing.cancel();
        self.connection.publish(ConnectionState::Closed);
        self.tasks.close();
        // Whoever still gives back a lock or a session gets a moment to do it.
        let _unfinished = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
        self.proposer.end(Instant::now() + FAREWELL).await;
    }
}

fn closed(operation: Operation, effect: Effect) -> Error {
    Error::new(ErrorKind::Closed, effect, operation, BACKEND, "the registry is closed")
}

#[async_trait]
impl Registry for RaftRegistry {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn support(&self, capability: Capability) -> Support {
        support(capability)
    }

    fn connection(&self) -> ConnectionWatch {
        self.inner.connection.watch()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.inner.open_session(options).await
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.inner.heartbeat(session).await
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        self.inner.close_session(session).await
    }

    async fn get(&self, key: &Key, read: ReadLevel) -> Result<Lookup> {
        self.inner.get(key, read).await
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        self.inner.list(scope, options).await
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        self.inner.put(key, value, options).await
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        self.inner.delete(target, options).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.inner.commit(transaction).await
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        Inner::subscribe(&self.inner, scope, from).await
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        self.inner.acquire(request).await
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        self.inner.release(grant).await
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        self.inner.inspect_lock(name).await
    }

    /// For a member, this also stops it: as [`RaftRegistry::shutdown`].
    async fn close(&self) -> Result<()> {
        self.shutdown().await;
        Ok(())
    }
}

/// Every capability in full: the backend was made for the contract.
fn support(capability: Capability) -> Support {
    match capability {
        Capability::EveryVersion
        | Capability::ResumeFromRevision
        | Capability::AtomicSubtreeDelete
        | Capability::LinearizableReads
        | Capability::AbaSafePreconditions
        | Capability::AtomicTransactions
        | Capability::AtomicListing
        | Capability::PreviousValue
        | Capability::SessionEndsAtOneRevision
        | Capability::SessionAdoption
        | Capability::SessionsOutliveStalledLeader => Support::Full,
        _ => Support::Unsupported("newer than this version of the backend"),
    }
}

impl Drop for RaftRegistry {
    fn drop(&mut self) {
        self.inner.closing.cancel();
        self.inner.connection.publish(ConnectionState::Closed);
    }
}

impl fmt::Debug for RaftRegistry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RaftRegistry")
            .field("state", &self.inner.connection.watch().state())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inner").finish_non_exhaustive()
    }
}
