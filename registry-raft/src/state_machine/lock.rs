//! The locks that are held, with their queues. A lock that nobody holds is not here: tokens are revisions, so nothing has
//! to be remembered of it for its tokens to grow.

use imbl::OrdMap;
use registry_api::{FencingToken, LockGrant, LockName, LockStatus, Revision, SessionId, Waiter};

/// A lock that is held.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    pub(super) holder: Holder,
    /// By the revision at which they were queued: first in, first out.
    pub(super) queue: OrdMap<Revision, Request>,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) request: Request,
    /// The fencing token: the revision of the grant.
    pub(super) token: Revision,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) session: SessionId,
    pub(super) ticket: u64,
}

impl Lock {
    pub(super) fn granted(request: Request, token: Revision) -> Self {
        Self { holder: Holder { request, token }, queue: OrdMap::new() }
    }

    pub(super) fn grant(&self, name: &LockName) -> LockGrant {
        let token = FencingToken::new(self.holder.token);
        LockGrant { name: name.clone(), session: self.holder.request.session, token }
    }

    /// How many are in front of this place in the queue, the holder included.
    pub(super) fn in_front_of(&self, place: Revision) -> u64 {
        1 + self.queue.range(..place).count() as u64
    }
}

/// Every lock that is held.
#[derive(Clone, Debug, Default)]
pub(super) struct Locks {
    locks: OrdMap<LockName, Lock>,
}

impl Locks {
    pub(super) fn get(&self, name: &LockName) -> Option<&Lock> {
        self.locks.get(name)
    }

    /// The last name in byte order.
    pub(super) fn last(&self) -> Option<&LockName> {
        self.locks.get_max().map(|(name, _)| name)
    }

    pub(super) fn get_mut(&mut self, name: &LockName) -> Option<&mut Lock> {
        self.locks.get_mut(name)
    }

    pub(super) fn insert(&mut self, name: LockName, lock: Lock) {
        self.locks.insert(name, lock);
    }

    pub(super) fn iter_after(&self, after: Option<&LockName>) -> impl Iterator<Item = (&LockName, &Lock)> {
        use std::ops::Bound;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.locks.range::<_, LockName>((start, Bound::Unbounded))
    }

    /// Whether the lock is held under exactly this grant.
    pub(super) fn is_held(&self, grant: &LockGrant) -> bool {
        self.get(&grant.name).is_some_and(|lock| {
            lock.holder.request.session == grant.session && lock.holder.token == grant.token.revision()
        })
    }

    /// Takes the lock from its holder and gives it to the first waiter, who is returned; without waiters it is free.
    pub(super) fn pass_on(&mut self, name: &LockName, token: Revision) -> Option<Request> {
        let lock = self.locks.get_mut(name)?;
        let Some((place, request)) = lock.queue.get_min().copied() else {
            self.locks.remove(name);
            return None;
        };
        lock.queue.remove(&place);
        lock.holder = Holder { request, token };
        Some(request)
    }

    pub(super) fn status(&self, name: &LockName, revision: Revision) -> LockStatus {
        let Some(lock) = self.get(name) else { return LockStatus { revision, ..LockStatus::default() } };
        let waiter = |request: &Request| Waiter { session: request.session, waiting_for: None };
        LockStatus {
            revision,
            holder: Some(lock.grant(name)),
            held_for: None,
            waiters: lock.queue.values().map(waiter).collect(),
        }
    }
}
