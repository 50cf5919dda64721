//! Locks, laid out like those of etcd's own recipe, with a queue of our own in front.
//!
//! A place in the queue of the lock `/x` is the key `/locks/x/LEASE`, bound to that lease; the places are served in the
//! order of their creation, and the revision of the creation is the fencing token. As a lease has one place, requests
//! of one session for one lock queue up here first ([`turns`]), and each takes a new place when its turn comes.

mod campaign;
mod grant;
mod inspect;
mod place;
mod turns;
mod wait;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_api::{Effect, LockGrant, LockName, LockRequest, SessionId};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::campaign::Campaign;
use self::turns::Turns;
use crate::error::Failure;
use crate::keys::lease_of;
use crate::registry::Core;

/// How long the end of waits may take when the registry is closed.
const CLOSING: Duration = Duration::from_secs(2);

/// What this client knows of its own requests.
#[derive(Debug)]
pub(crate) struct Locks {
    turns: Mutex<BTreeMap<(SessionId, LockName), Arc<Turns>>>,
    /// Tells the places of this client from all others.
    client: u64,
    requests: AtomicU64,
    running: TaskTracker,
}

impl Default for Locks {
    fn default() -> Self {
        let client = RandomState::new().hash_one(std::process::id());
        Self { turns: Mutex::default(), client, requests: AtomicU64::new(0), running: TaskTracker::new() }
    }
}

impl Locks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(SessionId, LockName), Arc<Turns>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self, session: SessionId, name: &LockName) -> Arc<Turns> {
        Arc::clone(self.lock().entry((session, name.clone())).or_default())
    }

    fn known_turns(&self, session: SessionId, name: &LockName) -> Option<Arc<Turns>> {
        self.lock().get(&(session, name.clone())).cloned()
    }

    /// Forgets the turns that nobody uses.
    fn tidy(&self, session: SessionId, name: &LockName) {
        let mut turns = self.lock();
        let key = (session, name.clone());
        if turns.get(&key).is_some_and(|turns| Arc::strong_count(turns) == 1 && turns.is_idle()) {
            turns.remove(&key);
        }
    }

    /// The session has ended: nobody waits for it any more.
    pub(crate) fn end_session(&self, session: SessionId) {
        let mut turns = self.lock();
        let of_session = turns.iter().filter(|((owner, _), _)| *owner == session).map(|(key, _)| key.clone());
        for key in of_session.collect::<Vec<_>>() {
            if let Some(turns) = turns.remove(&key) {
                turns.end();
            }
        }
    }

    /// Who waits here for a turn, by session.
    fn waiting_for(&self, name: &LockName) -> Vec<(SessionId, usize)> {
        let turns = self.lock();
        let all = turns.range((Bound::<(SessionId, LockName)>::Unbounded, Bound::Unbounded));
        all.filter(|((_, lock), _)| lock == name).map(|((session, _), turns)| (*session, turns.waiting())).collect()
    }

    /// The value of a place that no other request ever writes.
    fn mark(&self) -> String {
        format!("registry {:016x} {}", self.client, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}

impl Core {
    /// Takes a lock. The waiting is done by a task: it puts things in order where this future is dropped.
    pub(crate) async fn acquire(self: &Arc<Self>, request: LockRequest) -> Result<LockGrant, Failure> {
        let asked = Instant::now();
        if lease_of(request.session).is_none() {
            return Err(Failure::session_ended(request.session));
        }
        let (tell, told) = oneshot::channel();
        let campaign = Campaign::new(Arc::clone(self), request, asked)?;
        self.spawn_for_locks(campaign.run(tell));
        match told.await {
            Ok(granted) => granted.map(grant::Granted::accept),
            Err(_ended) => Err(Failure::closed().with_effect(Effect::Unknown)),
        }
    }

    /// Gives a lock back. What the release does not find was released before, unless the session has ended.
    pub(crate) async fn release(&self, grant: &LockGrant) -> Result<(), Failure> {
        let released = self.give_up_grant(grant).await?;
        self.locks_released(grant);
        if released || self.is_alive(grant.session).await? { Ok(()) } else { Err(Failure::lock_lost()) }
    }

    fn locks_released(&self, grant: &LockGrant) {
        if let Some(turns) = self.locks.known_turns(grant.session, &grant.name) {
            turns.released(grant.token);
        }
        self.locks.tidy(grant.session, &grant.name);
    }

    /// Lets requests that wait give their places up, for a bounded time.
    pub(crate) async fn settle_locks(&self) {
        self.locks.running.close();
        if tokio::time::timeout(CLOSING, self.locks.running.wait()).await.is_err() {
            tracing::info!("places in queues of locks were left behind; they end with their sessions");
        }
    }

    fn spawn_for_locks(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.connection.spawn(self.locks.running.track_future(task));
    }
}
