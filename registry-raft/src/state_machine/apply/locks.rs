//! Locks: granted in the order of the log, passed on by whatever frees them.

use registry_api::{LockGrant, LockName, Revision, SessionId};

use super::{Done, Step};
use crate::convert::ConvertError;
use crate::proto::outcome::Outcome;
use crate::proto::{self, Failure};
use crate::state_machine::lock::{Lock, Request};
use crate::state_machine::refusal::{Stop, limit, refusal, session_ended};
use crate::state_machine::session::Standing;
use crate::state_machine::{Change, StateMachine};

impl StateMachine {
    /// Takes the lock, or a place in its queue. The same ticket of a session is one request, however often it is sent.
    pub(super) fn acquire(&mut self, acquire: &proto::Acquire, step: &mut Step<'_>) -> Result<Done, Stop> {
        let name = LockName::parse(&acquire.name).map_err(ConvertError::from)?;
        let request = Request { session: SessionId::new(acquire.session), ticket: acquire.ticket };
        let session = self.sessions.get(request.session).ok_or_else(|| session_ended(request.session))?;
        let lock = self.locks.get(&name);
        match (lock, session.places.get(&(name.clone(), request.ticket))) {
            (Some(lock), Some(Standing::Holding)) => {
                return Ok(Done::unchanged(Outcome::Granted((&lock.grant(&name)).into())));
            }
            (Some(lock), Some(Standing::Waiting(since))) => {
                return Ok(Done::unchanged(Outcome::Queued(lock.in_front_of(*since))));
            }
            _ => {}
        }
        if session.gave_up(&name, request.ticket) {
            return Err(refusal(Failure::LockTimeout, format!("this request for the lock {name} was given up")).into());
        }
        if acquire.only_if_free
            && let Some(lock) = lock
        {
            let holder = lock.holder.request.session;
            return Err(refusal(Failure::LockTimeout, format!("the session {holder} holds the lock {name}")).into());
        }
        if session.places.len() >= self.limits.places_per_session {
            return Err(limit("locks held or waited for by one session", self.limits.places_per_session).into());
        }
        if lock.is_some_and(|lock| lock.queue.len() >= self.limits.waiters) {
            return Err(limit("waiters of one lock", self.limits.waiters).into());
        }
        Ok(Done::changed(self.enqueue(name, request, step)))
    }

    /// Grants the lock if it is free, and queues the request otherwise.
    fn enqueue(&mut self, name: LockName, request: Request, step: &mut Step<'_>) -> Outcome {
        if let Some(lock) = self.locks.get_mut(&name) {
            let in_front = 1 + lock.queue.len() as u64;
            lock.queue.insert(step.revision, request);
            self.stand(&name, request, Some(Standing::Waiting(step.revision)));
            return Outcome::Queued(in_front);
        }
        let lock = Lock::granted(request, step.revision);
        let grant = lock.grant(&name);
        self.locks.insert(name.clone(), lock);
        self.stand(&name, request, Some(Standing::Holding));
        step.push(Change::LockGranted { grant: grant.clone(), ticket: request.ticket });
        Outcome::Granted((&grant).into())
    }

    /// Gives up a place, or the lock if it was granted to that place. A place that is not there is no error: its request
    /// may still be on its way, and is refused when it comes. Tickets are chosen anew for each request.
    pub(super) fn abandon(&mut self, abandon: &proto::Abandon, step: &mut Step<'_>) -> Result<Done, Stop> {
        let name = LockName::parse(&abandon.name).map_err(ConvertError::from)?;
        let request = Request { session: SessionId::new(abandon.session), ticket: abandon.ticket };
        let most = self.limits.given_up_per_session;
        let Some(session) = self.sessions.get_mut(request.session) else {
            return Ok(Done::unchanged(Outcome::Done(true)));
        };
        if session.gave_up(&name, request.ticket) {
            return Ok(Done::unchanged(Outcome::Done(true)));
        }
        session.give_up(step.revision, name.clone(), request.ticket, most);
        match session.places.get(&(name.clone(), request.ticket)).copied() {
            None => {}
            Some(Standing::Holding) => self.give_back(&name, request, step),
            Some(Standing::Waiting(since)) => {
                self.leave_queue(&name, since);
                self.stand(&name, request, None);
                step.push(Change::LockGone { name, session: request.session, ticket: request.ticket });
            }
        }
        Ok(Done::changed(Outcome::Done(true)))
    }

    /// Gives back a lock. Once it was given back, doing so again succeeds; but a lock that was lost with its session is
    /// not reported as given back.
    pub(super) fn release(&mut self, release: &proto::Release, step: &mut Step<'_>) -> Result<Done, Stop> {
        let grant = crate::convert::required(release.grant.clone(), "grant")?;
        let grant = LockGrant::try_from(grant)?;
        let LockGrant { name, session, token } = &grant;
        if self.locks.is_held(&grant)
            && let Some(lock) = self.locks.get(name)
        {
            let request = lock.holder.request;
            self.give_back(name, request, step);
            return Ok(Done::changed(Outcome::Done(true)));
        }
        if self.sessions.get(*session).is_none() {
            let message = format!("the lock {name} under the token {token} was lost when the session {session} ended");
            return Err(refusal(Failure::LockLost, message).into());
        }
        Ok(Done::unchanged(Outcome::Done(true)))
    }

    fn give_back(&mut self, name: &LockName, holder: Request, step: &mut Step<'_>) {
        self.stand(name, holder, None);
        step.push(Change::LockGone { name: name.clone(), session: holder.session, ticket: holder.ticket });
        self.pass_on(name, step);
    }

    /// Gives the lock to its first waiter. What its holder stood for must have been cleared.
    pub(super) fn pass_on(&mut self, name: &LockName, step: &mut Step<'_>) {
        let Some(next) = self.locks.pass_on(name, step.revision) else { return };
        self.stand(name, next, Some(Standing::Holding));
        if let Some(lock) = self.locks.get(name) {
            step.push(Change::LockGranted { grant: lock.grant(name), ticket: next.ticket });
        }
    }

    pub(super) fn leave_queue(&mut self, name: &LockName, since: Revision) {
        if let Some(lock) = self.locks.get_mut(name) {
            lock.queue.remove(&since);
        }
    }

    /// Notes with the session how its request stands.
    fn stand(&mut self, name: &LockName, request: Request, standing: Option<Standing>) {
        let Some(session) = self.sessions.get_mut(request.session) else { return };
        let place = (name.clone(), request.ticket);
        match standing {
            Some(standing) => drop(session.places.insert(place, standing)),
            None => drop(session.places.remove(&place)),
        }
    }
}
