//! One client of the store: the contract, spelled out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::failure::Failure;
use super::keys::as_check;
use super::link::{Link, Reachability};
use super::locks::Queued;
use super::state::State;
use super::store::Shared;
use super::stream::EventStream;
use super::waiting::{Waiting, closed};
use crate::{
    Capability, Committed, ConnectionWatch, DeleteOptions, Deleted, Effect, Error, ErrorKind, Heartbeat, Key,
    ListOptions, Listing, LockGrant, LockName, LockRequest, LockStatus, LockWait, Lookup, Mutation, Operation,
    PutOptions, ReadLevel, Registry, Result, Revision, Scope, SessionGrant, SessionId, SessionOptions, SubscribeFrom,
    Subscription, Support, Transaction,
};

/// The name of this backend.
pub(super) const BACKEND: &str = "memory";

/// One client of a [`MemoryStore`](super::MemoryStore).
#[derive(Debug)]
pub struct MemoryRegistry {
    shared: Arc<Shared>,
    link: Arc<Link>,
    request_timeout: Duration,
}

impl MemoryRegistry {
    pub(super) fn new(shared: Arc<Shared>, link: Arc<Link>) -> Self {
        let request_timeout = shared.lock().options.request_timeout;
        Self { shared, link, request_timeout }
    }

    /// Cuts this client off from the store, or connects it again. Its subscriptions tell nothing while it is cut off;
    /// its sessions run towards their ends.
    pub fn set_reachable(&self, reachability: Reachability) {
        self.link.set_client(reachability);
        self.shared.lock().feed.wake_all();
    }

    /// Applies a request as far as this client reaches the store. Nothing is waited for after it was applied, so a
    /// dropped future has applied it or not, never half.
    async fn request<T>(
        &self,
        operation: Operation,
        request: impl FnOnce(&mut State, Instant) -> Result<T, Failure> + Send,
    ) -> Result<T> {
        self.reach(operation).await?;
        let lost = self.link.reachability() == Reachability::AnswersLost;
        let result = self.shared.apply(request).map_err(|failure| failure.into_error(operation));
        match result {
            Ok(_) if lost => Err(unanswered(operation)),
            result => result,
        }
    }

    /// Waits until a request would arrive.
    async fn reach(&self, operation: Operation) -> Result<()> {
        let refused = Failure::new(ErrorKind::Unavailable, "the store cannot be reached");
        if self.link.reachability() == Reachability::Silent {
            tokio::select! {
                biased;
                () = self.link.closed() => {}
                () = self.link.not_silent() => {}
                () = tokio::time::sleep(self.request_timeout) => return Err(unanswered(operation)),
            }
        }
        match self.link.reachability() {
            _ if self.link.is_closed() => Err(closed().into_error(operation)),
            Reachability::Refusing => Err(refused.into_error(operation)),
            Reachability::Reachable | Reachability::Silent | Reachability::AnswersLost => Ok(()),
        }
    }
}

impl MemoryRegistry {
    /// A request that waits for a lock waits no longer for the way to it.
    async fn reach_in_time(&self, wait: LockWait) -> Result<()> {
        let reach = self.reach(Operation::Acquire);
        match wait {
            LockWait::AtMost(longest) => tokio::time::timeout(longest, reach)
                .await
                .unwrap_or_else(|_elapsed| Err(Failure::lock_timeout().into_error(Operation::Acquire))),
            LockWait::Try | LockWait::Forever => reach.await,
        }
    }
}

/// The error of a request whose answer did not come: what only reads was surely not applied. A heartbeat that arrived did
/// prolong its session.
fn unanswered(operation: Operation) -> Error {
    let effect = match operation {
        Operation::Get | Operation::List | Operation::InspectLock | Operation::Subscribe => Effect::NotApplied,
        _ => Effect::Unknown,
    };
    Error::new(ErrorKind::DeadlineExceeded, effect, operation, BACKEND, "no answer within the request timeout")
}

#[async_trait]
impl Registry for MemoryRegistry {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn support(&self, capability: Capability) -> Support {
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
        }
    }

    fn connection(&self) -> ConnectionWatch {
        self.link.watch()
    }

    async fn open_session(&self, options: SessionOptions) -> Result<SessionGrant> {
        self.request(Operation::OpenSession, |state, now| state.open_session(&options, now)).await
    }

    async fn heartbeat(&self, session: SessionId) -> Result<Heartbeat> {
        self.request(Operation::Heartbeat, |state, now| state.heartbeat(session, now)).await
    }

    async fn close_session(&self, session: SessionId) -> Result<()> {
        self.request(Operation::CloseSession, |state, now| state.close_session(session, now)).await
    }

    async fn get(&self, key: &Key, _read: ReadLevel) -> Result<Lookup> {
        let lookup =
            |state: &mut State, _| Ok(Lookup { entry: state.entries.get(key).cloned(), revision: state.revision() });
        self.request(Operation::Get, lookup).await
    }

    async fn list(&self, scope: &Scope, options: ListOptions) -> Result<Listing> {
        self.request(Operation::List, |state, _| Ok(state.list(scope, &options))).await
    }

    async fn put(&self, key: &Key, value: Bytes, options: PutOptions) -> Result<Revision> {
        let PutOptions { lifetime, precondition, foreign_owner } = options;
        let check = as_check(key, &precondition);
        let put = Mutation::Put { key: key.clone(), value, lifetime, foreign_owner };
        self.request(Operation::Put, |state, _| state.transact(check.as_slice(), &[put])).await
    }

    async fn delete(&self, target: &Scope, options: DeleteOptions) -> Result<Deleted> {
        self.request(Operation::Delete, |state, _| state.delete(target, &options)).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let commit = |state: &mut State, _| state.transact(transaction.checks(), transaction.mutations());
        Ok(Committed { revision: self.request(Operation::Commit, commit).await? })
    }

    async fn subscribe(&self, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        self.reach(Operation::Subscribe).await?;
        let subscribe = |state: &mut State, _| Ok(state.subscribe(scope, from));
        let id = self.shared.apply(subscribe).map_err(|failure| failure.into_error(Operation::Subscribe))?;
        Ok(Subscription::new(scope.clone(), EventStream::new(self.shared.clone(), self.link.clone(), id)))
    }

    async fn acquire(&self, request: LockRequest) -> Result<LockGrant> {
        let asked = Instant::now();
        self.reach_in_time(request.wait).await?;
        if self.link.reachability() == Reachability::AnswersLost {
            // Nobody would know of the grant, so there is none.
            return Err(unanswered(Operation::Acquire));
        }
        let queue = |state: &mut State, now| state.queue_for_lock(&request, now);
        let queued = self.shared.apply(queue).map_err(|failure| failure.into_error(Operation::Acquire))?;
        match queued {
            Queued::Granted(grant) => Ok(grant),
            Queued::Waiting { ticket, answer } => {
                let waiting = Waiting::new(self.shared.clone(), request, ticket);
                let grant = waiting.wait(answer, &self.link, asked).await;
                grant.map_err(|failure| failure.into_error(Operation::Acquire))
            }
        }
    }

    async fn release(&self, grant: &LockGrant) -> Result<()> {
        self.request(Operation::Release, |state, now| state.release_lock(grant, now)).await
    }

    async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        self.request(Operation::InspectLock, |state, now| Ok(state.lock_status(name, now))).await
    }

    async fn close(&self) -> Result<()> {
        self.link.close();
        self.shared.lock().feed.wake_all();
        Ok(())
    }
}
