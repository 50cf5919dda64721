//! Locks of the store: one holder, and a queue in order of arrival.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::Failure;
use super::state::State;
use crate::{FencingToken, LockGrant, LockName, LockRequest, LockStatus, LockWait, SessionId, Waiter};

/// Names one place in a queue, and afterwards the grant that came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug, Default)]
pub(super) struct LockState {
    holder: Option<Holder>,
    queue: VecDeque<Place>,
}

#[derive(Debug)]
struct Holder {
    grant: LockGrant,
    ticket: Ticket,
    since: Instant,
}

#[derive(Debug)]
struct Place {
    ticket: Ticket,
    session: SessionId,
    since: Instant,
    answer: oneshot::Sender<Result<LockGrant, Failure>>,
}

/// The answer to a request for a lock.
#[derive(Debug)]
pub(super) enum Queued {
    Granted(LockGrant),
    Waiting { ticket: Ticket, answer: oneshot::Receiver<Result<LockGrant, Failure>> },
}

impl LockState {
    pub(super) fn waiter_count(&self) -> usize {
        self.queue.len()
    }

    fn is_idle(&self) -> bool {
        self.holder.is_none() && self.queue.is_empty()
    }

    fn concerns(&self, session: SessionId) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.grant.session == session)
            || self.queue.iter().any(|place| place.session == session)
    }
}

impl State {
    pub(super) fn queue_for_lock(&mut self, request: &LockRequest, now: Instant) -> Result<Queued, Failure> {
        self.check_session(request.session)?;
        let waiters_max = self.options.waiters_max;
        let lock = self.locks.entry(request.name.clone()).or_default();
        let free = lock.is_idle();
        if !free && request.wait == LockWait::Try {
            return Err(Failure::lock_timeout());
        }
        if lock.queue.len() >= waiters_max {
            return Err(Failure::limit("waiters for one lock", waiters_max));
        }
        self.tickets_given += 1;
        let ticket = Ticket(self.tickets_given);
        let (tell, answer) = oneshot::channel();
        lock.queue.push_back(Place { ticket, session: request.session, since: now, answer: tell });
        if let Some(record) = self.sessions.get_mut(&request.session) {
            record.locks.insert(request.name.clone());
        }
        if !free {
            return Ok(Queued::Waiting { ticket, answer });
        }
        match self.serve_next(&request.name, now) {
            Some(grant) => Ok(Queued::Granted(grant)),
            None => Err(Failure::lock_timeout()),
        }
    }

    /// Gives a free lock to the first in its queue, or forgets it where nobody wants it.
    fn serve_next(&mut self, name: &LockName, now: Instant) -> Option<LockGrant> {
        let lock = self.locks.get_mut(name)?;
        if lock.holder.is_some() {
            return None;
        }
        let Some(place) = lock.queue.pop_front() else {
            self.locks.remove(name);
            return None;
        };
        let token = FencingToken::new(self.advance());
        let grant = LockGrant { name: name.clone(), session: place.session, token };
        if let Some(lock) = self.locks.get_mut(name) {
            lock.holder = Some(Holder { grant: grant.clone(), ticket: place.ticket, since: now });
        }
        // A waiter that is going away gives the lock back when its place is dropped.
        let _gone = place.answer.send(Ok(grant.clone()));
        Some(grant)
    }

    pub(super) fn is_held(&self, grant: &LockGrant) -> bool {
        self.holder_of(&grant.name).is_some_and(|holder| holder.grant == *grant)
    }

    pub(super) fn check_lock(&self, grant: &LockGrant) -> Result<(), Failure> {
        if self.is_held(grant) { Ok(()) } else { Err(Failure::lock_lost()) }
    }

    pub(super) fn release_lock(&mut self, grant: &LockGrant, now: Instant) -> Result<(), Failure> {
        if self.is_held(grant) {
            self.vacate(&grant.name, grant.session, now);
            return Ok(());
        }
        if self.sessions.contains_key(&grant.session) { Ok(()) } else { Err(Failure::lock_lost()) }
    }

    /// Gives up a place in the queue, or the lock where it was granted meanwhile.
    pub(super) fn leave_lock(&mut self, name: &LockName, session: SessionId, ticket: Ticket, now: Instant) {
        let Some(lock) = self.locks.get_mut(name) else { return };
        if lock.holder.as_ref().is_some_and(|holder| holder.ticket == ticket) {
            self.vacate(name, session, now);
            return;
        }
        lock.queue.retain(|place| place.ticket != ticket);
        self.forget_if_unconcerned(name, session);
    }

    /// The session has ended: all its places are gone, and the lock if it had it.
    pub(super) fn leave_lock_with_session(&mut self, name: &LockName, session: SessionId, now: Instant) {
        let Some(lock) = self.locks.get_mut(name) else { return };
        let (leaving, staying): (Vec<_>, Vec<_>) =
            std::mem::take(&mut lock.queue).into_iter().partition(|place| place.session == session);
        lock.queue = staying.into();
        for place in leaving {
            let _gone = place.answer.send(Err(Failure::session_ended(session)));
        }
        if lock.holder.as_ref().is_some_and(|holder| holder.grant.session == session) {
            lock.holder = None;
        }
        self.serve_next(name, now);
    }

    pub(super) fn lock_status(&self, name: &LockName, now: Instant) -> LockStatus {
        let lock = self.locks.get(name);
        let holder = lock.and_then(|lock| lock.holder.as_ref());
        let queue = lock.map(|lock| lock.queue.iter()).into_iter().flatten();
        LockStatus {
            revision: self.revision(),
            holder: holder.map(|holder| holder.grant.clone()),
            held_for: holder.map(|holder| now - holder.since),
            waiters: queue
                .map(|place| Waiter { session: place.session, waiting_for: Some(now - place.since) })
                .collect(),
        }
    }

    fn holder_of(&self, name: &LockName) -> Option<&Holder> {
        self.locks.get(name)?.holder.as_ref()
    }

    fn vacate(&mut self, name: &LockName, session: SessionId, now: Instant) {
        if let Some(lock) = self.locks.get_mut(name) {
            lock.holder = None;
        }
        self.serve_next(name, now);
        self.forget_if_unconcerned(name, session);
    }

    fn forget_if_unconcerned(&mut self, name: &LockName, session: SessionId) {
        let concerned = self.locks.get(name).is_some_and(|lock| lock.concerns(session));
        if let Some(record) = self.sessions.get_mut(&session).filter(|_| !concerned) {
            record.locks.remove(name);
        }
    }
}
