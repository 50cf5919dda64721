//! A naive model of the state machine: what it must do, said as plainly as possible and without regard to cost.

use std::collections::BTreeMap;

use registry_api::{Key, Scope};

use crate::proto::command::Command;
use crate::proto::precondition::Precondition;
use crate::proto::{self, Failure, outcome};
use crate::state_machine::limits::Limits;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModelEntry {
    pub(super) value: Vec<u8>,
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) owner: u64,
}

/// Key, as it was, as it is.
pub(super) type ModelEvent = (u64, String, Option<ModelEntry>, Option<ModelEntry>);

/// Session, ticket, and the token of the holder.
pub(super) type ModelPlace = (u64, u64, u64);

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) limits: &'static Limits,
    pub(super) revision: u64,
    pub(super) keys: BTreeMap<String, ModelEntry>,
    pub(super) sessions: BTreeMap<u64, String>,
    pub(super) last_session: u64,
    /// The holder first.
    pub(super) locks: BTreeMap<String, Vec<ModelPlace>>,
    pub(super) events: Vec<ModelEvent>,
    pub(super) grants: Vec<proto::LockGrant>,
    pub(super) deaths: Vec<u64>,
    /// Session, name, ticket; oldest first.
    pub(super) given_up: Vec<(u64, String, u64)>,
}

/// A refusal, without its words.
pub(super) type Refused = (Failure, String, u64);

fn no(failure: Failure) -> Refused {
    (failure, String::new(), 0)
}

fn no_key(failure: Failure, key: &str) -> Refused {
    (failure, key.to_owned(), 0)
}

fn inside(scope: &proto::Scope, key: &str) -> bool {
    let scope = Scope::try_from(scope.clone()).unwrap();
    scope.contains(&Key::parse(key).unwrap())
}

fn below(key: &str, parent: &str) -> bool {
    key.starts_with(&format!("{parent}/"))
}

impl Model {
    pub(super) fn new(limits: &'static Limits) -> Self {
        Self {
            limits,
            revision: 0,
            keys: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
            locks: BTreeMap::new(),
            events: Vec::new(),
            grants: Vec::new(),
            deaths: Vec::new(),
            given_up: Vec::new(),
        }
    }

    /// The outcome that the command must have.
    pub(super) fn run(&mut self, command: &Command) -> Result<outcome::Outcome, Refused> {
        let before = self.clone();
        self.revision += 1;
        let result = self.change(command);
        let changed = self.keys != before.keys
            || self.events != before.events
            || self.sessions != before.sessions
            || self.locks != before.locks
            || self.given_up != before.given_up;
        if result.is_err() || !changed {
            *self = before;
        }
        result
    }

    fn change(&mut self, command: &Command) -> Result<outcome::Outcome, Refused> {
        match command {
            Command::Put(put) => {
                self.open_session_of(put.session)?;
                self.check(&put.key, put.precondition.as_ref())?;
                self.put(put)?;
                Ok(outcome::Outcome::Done(true))
            }
            Command::Delete(delete) => self.delete(delete),
            Command::Commit(commit) => {
                for check in &commit.checks {
                    self.check(&check.key, check.precondition.as_ref())?;
                }
                for mutation in &commit.mutations {
                    match mutation.mutation.as_ref().unwrap() {
                        proto::mutation::Mutation::Put(put) => {
                            self.open_session_of(put.session)?;
                            self.put(put)?;
                        }
                        proto::mutation::Mutation::Delete(key) => drop(self.erase(key)),
                    }
                }
                Ok(outcome::Outcome::Done(true))
            }
            Command::OpenSession(open) => {
                if self.sessions.len() >= self.limits.sessions {
                    return Err(no(Failure::LimitExceeded));
                }
                self.last_session += 1;
                self.sessions.insert(self.last_session, open.label.clone());
                Ok(outcome::Outcome::SessionOpened(proto::SessionOpened {
                    session: self.last_session,
                    ttl_ms: open.ttl_ms,
                }))
            }
            Command::EndSession(end) => Ok(self.end(end)),
            Command::Acquire(acquire) => self.acquire(acquire),
            Command::Abandon(abandon) => {
                let given_up = (abandon.session, abandon.name.clone(), abandon.ticket);
                if !self.sessions.contains_key(&abandon.session) || self.given_up.contains(&given_up) {
                    return Ok(outcome::Outcome::Done(true));
                }
                self.given_up.push(given_up);
                if self.given_up.iter().filter(|(session, _, _)| *session == abandon.session).count() > 3 {
                    let oldest = self.given_up.iter().position(|(session, _, _)| *session == abandon.session);
                    self.given_up.remove(oldest.unwrap());
                }
                self.leave(&abandon.name, abandon.session, Some(abandon.ticket));
                Ok(outcome::Outcome::Done(true))
            }
            Command::Release(release) => self.release(release.grant.as_ref().unwrap()),
            _ => unreachable!("not in the model"),
        }
    }

    fn open_session_of(&self, session: u64) -> Result<(), Refused> {
        if session == 0 || self.sessions.contains_key(&session) { Ok(()) } else { Err(no(Failure::SessionEnded)) }
    }

    pub(super) fn holds(&self, grant: &proto::LockGrant) -> bool {
        let holder = self.locks.get(&grant.name).and_then(|places| places.first());
        holder.is_some_and(|(session, _, token)| {
            *session == grant.session && grant.token == Some(proto::Revision { incarnation: 1, counter: *token })
        })
    }

    fn check(&self, key: &str, precondition: Option<&proto::Precondition>) -> Result<(), Refused> {
        let Some(precondition) = precondition else { return Ok(()) };
        let entry = self.keys.get(key);
        let holds = match precondition.precondition.as_ref().unwrap() {
            Precondition::LockHeld(grant) if self.holds(grant) => true,
            Precondition::LockHeld(_) => return Err(no(Failure::LockLost)),
            Precondition::Absent(_) => entry.is_none(),
            Precondition::Present(_) => entry.is_some(),
            Precondition::At(at) => entry.is_some_and(|entry| entry.modified == at.counter),
            Precondition::OwnedBy(session) => entry.is_some_and(|entry| entry.owner == *session),
        };
        if holds { Ok(()) } else { Err(no_key(Failure::PreconditionFailed, key)) }
    }

    fn put(&mut self, put: &proto::Put) -> Result<(), Refused> {
        let previous = self.keys.get(&put.key).cloned();
        match &previous {
            Some(entry) if (entry.owner == 0) != (put.session == 0) => {
                return Err(no_key(Failure::LifetimeMismatch, &put.key));
            }
            Some(entry) if entry.owner != put.session && !put.take_over => {
                return Err((Failure::OwnedByAnother, put.key.clone(), entry.owner));
            }
            Some(_) => {}
            None => {
                let under_ephemeral = self.keys.iter().any(|(key, entry)| entry.owner != 0 && below(&put.key, key));
                let has_children = self.keys.keys().any(|key| below(key, &put.key));
                if under_ephemeral || (put.session != 0 && has_children) {
                    return Err(no_key(Failure::EphemeralParent, &put.key));
                }
            }
        }
        let entry = ModelEntry {
            value: put.value.to_vec(),
            created: previous.as_ref().map_or(self.revision, |entry| entry.created),
            modified: self.revision,
            owner: put.session,
        };
        let size = |keys: &BTreeMap<String, ModelEntry>| {
            keys.iter().map(|(key, entry)| (key.len() + entry.value.len()) as u64).sum::<u64>()
        };
        let before = size(&self.keys);
        self.keys.insert(put.key.clone(), entry.clone());
        let after = size(&self.keys);
        let own = self.keys.values().filter(|entry| entry.owner == put.session).count();
        let new_owner = put.session != 0 && previous.as_ref().is_none_or(|entry| entry.owner != put.session);
        if self.keys.len() > self.limits.keys
            || (after > before && after > self.limits.bytes)
            || (new_owner && own > self.limits.keys_per_session)
        {
            // Whoever called takes the whole state back.
            return Err(no_key(Failure::LimitExceeded, &put.key));
        }
        self.events.push((self.revision, put.key.clone(), previous, Some(entry)));
        Ok(())
    }

    fn erase(&mut self, key: &str) -> bool {
        let Some(previous) = self.keys.remove(key) else { return false };
        self.events.push((self.revision, key.to_owned(), Some(previous), None));
        true
    }

    fn delete(&mut self, delete: &proto::Delete) -> Result<outcome::Outcome, Refused> {
        let scope = delete.target.as_ref().unwrap();
        let key = match scope.scope.as_ref().unwrap() {
            proto::scope::Scope::Key(key) => key.as_str(),
            _ => "",
        };
        self.check(key, delete.precondition.as_ref())?;
        let keys: Vec<String> = self.keys.keys().filter(|key| inside(scope, key)).cloned().collect();
        Ok(outcome::Outcome::Deleted(keys.iter().filter(|key| self.erase(key)).count() as u64))
    }

    fn end(&mut self, end: &proto::EndSession) -> outcome::Outcome {
        if self.sessions.remove(&end.session).is_some() {
            self.given_up.retain(|(session, _, _)| *session != end.session);
            let own: Vec<_> = self.keys.iter().filter(|(_, entry)| entry.owner == end.session).collect();
            let own: Vec<String> = own.into_iter().map(|(key, _)| key.clone()).collect();
            for key in &own {
                self.erase(key);
            }
            for name in self.locks.keys().cloned().collect::<Vec<_>>() {
                self.leave(&name, end.session, None);
            }
            if end.certificate.is_some() {
                self.deaths.push(end.session);
            }
        }
        outcome::Outcome::Done(true)
    }

    /// Takes places of a session out of a queue and grants the lock to whoever is first then.
    fn leave(&mut self, name: &str, session: u64, ticket: Option<u64>) {
        let Some(places) = self.locks.get_mut(name) else { return };
        let holder = places.first().copied();
        places.retain(|(who, number, _)| *who != session || ticket.is_some_and(|ticket| ticket != *number));
        match places.first_mut() {
            None => drop(self.locks.remove(name)),
            Some(first) if Some(*first) != holder => {
                first.2 = self.revision;
                let (session, token) = (first.0, self.revision);
                self.note_grant(name, session, token);
            }
            Some(_) => {}
        }
    }

    fn note_grant(&mut self, name: &str, session: u64, token: u64) -> proto::LockGrant {
        let token = Some(proto::Revision { incarnation: 1, counter: token });
        let grant = proto::LockGrant { name: name.to_owned(), session, token };
        self.grants.push(grant.clone());
        grant
    }

    fn acquire(&mut self, acquire: &proto::Acquire) -> Result<outcome::Outcome, Refused> {
        if !self.sessions.contains_key(&acquire.session) {
            return Err(no(Failure::SessionEnded));
        }
        let own = self.locks.values().flatten().filter(|(session, _, _)| *session == acquire.session).count();
        let places = self.locks.entry(acquire.name.clone()).or_default();
        let place = places.iter().position(|place| (place.0, place.1) == (acquire.session, acquire.ticket));
        match place {
            Some(0) => {
                let token = Some(proto::Revision { incarnation: 1, counter: places[0].2 });
                let grant = proto::LockGrant { name: acquire.name.clone(), session: acquire.session, token };
                return Ok(outcome::Outcome::Granted(grant));
            }
            Some(place) => return Ok(outcome::Outcome::Queued(place as u64)),
            None => {}
        }
        let given_up = (acquire.session, acquire.name.clone(), acquire.ticket);
        if self.given_up.contains(&given_up) {
            return Err(no(Failure::LockTimeout));
        }
        let in_front = places.len();
        if acquire.only_if_free && in_front > 0 {
            return Err(no(Failure::LockTimeout));
        }
        if own >= self.limits.places_per_session || in_front > self.limits.waiters {
            return Err(no(Failure::LimitExceeded));
        }
        places.push((acquire.session, acquire.ticket, self.revision));
        if in_front > 0 {
            return Ok(outcome::Outcome::Queued(in_front as u64));
        }
        Ok(outcome::Outcome::Granted(self.note_grant(&acquire.name, acquire.session, self.revision)))
    }

    fn release(&mut self, grant: &proto::LockGrant) -> Result<outcome::Outcome, Refused> {
        if self.holds(grant) {
            let ticket = self.locks[&grant.name][0].1;
            self.leave(&grant.name, grant.session, Some(ticket));
        } else if !self.sessions.contains_key(&grant.session) {
            return Err(no(Failure::LockLost));
        }
        Ok(outcome::Outcome::Done(true))
    }
}
