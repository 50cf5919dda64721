//! Saboteurs of locks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use registry_api::{
    ErrorKind, FencingToken, LockGrant, LockName, LockRequest, LockStatus, LockWait, Registry, Result, Revision,
    SessionId, SessionOptions, Waiter,
};

use super::Saboteur;

/// Gives every grant of a lock the token of the first.
#[derive(Debug, Default)]
pub(super) struct ReusesTokens(Mutex<BTreeMap<LockName, FencingToken>>);

#[async_trait]
impl Saboteur for ReusesTokens {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        let grant = inner.acquire(request).await?;
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = *first.entry(grant.name.clone()).or_insert(grant.token);
        Ok(LockGrant { token, ..grant })
    }
}

fn forged(request: LockRequest) -> LockGrant {
    LockGrant { name: request.name, session: request.session, token: FencingToken::new(Revision::new(1, u64::MAX)) }
}

/// Gives out a lock a second time rather than refuse it.
#[derive(Debug)]
pub(super) struct GrantsTwice;

#[async_trait]
impl Saboteur for GrantsTwice {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        match inner.acquire(request.clone()).await {
            Err(error) if *error.kind() == ErrorKind::LockTimeout => Ok(forged(request)),
            result => result,
        }
    }
}

/// Gives a lock to sessions that have ended.
#[derive(Debug)]
pub(super) struct GrantsToTheDead;

#[async_trait]
impl Saboteur for GrantsToTheDead {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        match inner.acquire(request.clone()).await {
            Err(error) if *error.kind() == ErrorKind::SessionEnded => Ok(forged(request)),
            result => result,
        }
    }
}

/// Lets the holder in again.
#[derive(Debug)]
pub(super) struct LetsTheHolderInAgain;

#[async_trait]
impl Saboteur for LetsTheHolderInAgain {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        match inner.inspect_lock(&request.name).await?.holder {
            Some(grant) if grant.session == request.session => Ok(grant),
            _ => inner.acquire(request).await,
        }
    }
}

/// Holds every lock in a session of its own, which never ends.
#[derive(Debug, Default)]
pub(super) struct KeepsLocks(tokio::sync::OnceCell<SessionId>);

#[async_trait]
impl Saboteur for KeepsLocks {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        let open = async { Ok(inner.open_session(SessionOptions::default()).await?.id) };
        let landlord: SessionId = *self.0.get_or_try_init(|| open).await?;
        let tenant = request.session;
        let grant = inner.acquire(LockRequest { session: landlord, ..request }).await?;
        Ok(LockGrant { session: tenant, ..grant })
    }
}

/// Leaves a request that timed out in the queue.
#[derive(Debug)]
pub(super) struct LeavesTimedOutRequests;

#[async_trait]
impl Saboteur for LeavesTimedOutRequests {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        if let LockWait::AtMost(_) = request.wait {
            let (inner, ghost) = (Arc::clone(inner), LockRequest { wait: LockWait::Forever, ..request.clone() });
            tokio::spawn(async move { inner.acquire(ghost).await });
        }
        inner.acquire(request).await
    }
}

/// Leaves a request that was dropped in the queue.
#[derive(Debug)]
pub(super) struct LeavesDroppedRequests;

#[async_trait]
impl Saboteur for LeavesDroppedRequests {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        let (ghost, asked) = (Arc::clone(inner), request.clone());
        match tokio::spawn(async move { ghost.acquire(asked).await }).await {
            Ok(result) => result,
            Err(_panic) => inner.acquire(request).await,
        }
    }
}

/// Releases whoever holds the lock.
#[derive(Debug)]
pub(super) struct ReleasesByName;

#[async_trait]
impl Saboteur for ReleasesByName {
    async fn release(&self, inner: &Arc<dyn Registry>, grant: &LockGrant) -> Result<()> {
        match inner.inspect_lock(&grant.name).await?.holder {
            Some(holder) => inner.release(&holder).await,
            None => inner.release(grant).await,
        }
    }
}

/// Does not say that a released lock was lost before.
#[derive(Debug)]
pub(super) struct ConcealsLosses;

#[async_trait]
impl Saboteur for ConcealsLosses {
    async fn release(&self, inner: &Arc<dyn Registry>, grant: &LockGrant) -> Result<()> {
        match inner.release(grant).await {
            Err(error) if *error.kind() == ErrorKind::LockLost => Ok(()),
            result => result,
        }
    }
}

type Arrivals = Arc<Mutex<Vec<(u64, LockName, SessionId)>>>;

/// Serves the last in the queue first.
#[derive(Debug, Default)]
pub(super) struct ServesTheLastFirst {
    arrivals: Arrivals,
}

/// One place in the queue; given up when dropped.
struct Place(Arrivals, u64);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(ticket, ..)| *ticket != self.1);
    }
}

impl ServesTheLastFirst {
    fn arrive(&self, request: &LockRequest) -> Place {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = arrivals.iter().map(|(ticket, ..)| ticket + 1).max().unwrap_or_default();
        arrivals.push((ticket, request.name.clone(), request.session));
        Place(Arc::clone(&self.arrivals), ticket)
    }

    fn is_last(&self, name: &LockName, place: &Place) -> bool {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.iter().rfind(|(_, other, _)| other == name).is_some_and(|(last, ..)| *last == place.1)
    }
}

#[async_trait]
impl Saboteur for ServesTheLastFirst {
    async fn acquire(&self, inner: &Arc<dyn Registry>, request: LockRequest) -> Result<LockGrant> {
        if request.wait != LockWait::Forever {
            return inner.acquire(request).await;
        }
        let place = self.arrive(&request);
        let attempt = LockRequest { wait: LockWait::Try, ..request.clone() };
        let mut turns = tokio::time::interval(Duration::from_millis(2));
        loop {
            turns.tick().await;
            if !self.is_last(&request.name, &place) {
                continue;
            }
            match inner.acquire(attempt.clone()).await {
                Err(error) if *error.kind() == ErrorKind::LockTimeout => {}
                result => return result,
            }
        }
    }

    async fn inspect_lock(&self, inner: &Arc<dyn Registry>, name: &LockName) -> Result<LockStatus> {
        let status = inner.inspect_lock(name).await?;
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = arrivals.iter().filter(|(_, other, _)| other == name);
        let waiters = queue.map(|(.., session)| Waiter { session: *session, waiting_for: None }).collect();
        Ok(LockStatus { waiters, ..status })
    }
}
