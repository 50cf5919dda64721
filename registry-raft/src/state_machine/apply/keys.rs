//! Puts and deletes.

use std::sync::Arc;

use bytes::Bytes;
use registry_api::{Entry, ForeignOwner, Key, Lifetime, LockGrant, Precondition, Revision, SessionId};

use super::{Done, Step};
use crate::convert::{PutParts, delete_parts, put_parts};
use crate::proto::outcome::Outcome;
use crate::proto::{self, Failure, Refusal};
use crate::state_machine::refusal::{Stop, at, limit, owned_by_another, precondition_failed, refusal, session_ended};
use crate::state_machine::{Change, StateMachine};

/// A put whose conditions are checked.
#[derive(Debug)]
pub(super) struct Write<'a> {
    pub(super) key: &'a Key,
    pub(super) value: &'a Bytes,
    pub(super) lifetime: Lifetime,
    pub(super) foreign_owner: ForeignOwner,
}

impl Write<'_> {
    fn owner(&self) -> Option<SessionId> {
        match self.lifetime {
            Lifetime::Persistent => None,
            Lifetime::Ephemeral(session) => Some(session),
        }
    }
}

impl StateMachine {
    pub(super) fn put(&mut self, put: &proto::Put, step: &mut Step<'_>) -> Result<Done, Stop> {
        let PutParts { key, value, options } = put_parts(put)?;
        self.check_lifetime(options.lifetime)?;
        self.check(&key, &options.precondition)?;
        let (lifetime, foreign_owner) = (options.lifetime, options.foreign_owner);
        self.write(&Write { key: &key, value: &value, lifetime, foreign_owner }, step)?;
        Ok(Done::changed(Outcome::Done(true)))
    }

    pub(super) fn delete(&mut self, delete: &proto::Delete, step: &mut Step<'_>) -> Result<Done, Stop> {
        let (target, precondition) = delete_parts(delete)?;
        match (target.root(), &precondition) {
            (_, Precondition::LockHeld(grant)) => self.check_lock(grant)?,
            (Some(key), precondition) => self.check(key, precondition)?,
            (None, _) => {}
        }
        let keys: Vec<Key> = self.keys.in_scope(&target).map(|entry| entry.key.clone()).collect();
        for key in &keys {
            self.erase(key, step);
        }
        let outcome = Outcome::Deleted(keys.len() as u64);
        Ok(if keys.is_empty() { Done::unchanged(outcome) } else { Done::changed(outcome) })
    }

    /// The session that a key is to belong to must be open.
    pub(super) fn check_lifetime(&self, lifetime: Lifetime) -> Result<(), Refusal> {
        match lifetime {
            Lifetime::Ephemeral(session) if self.sessions.get(session).is_none() => Err(session_ended(session)),
            _ => Ok(()),
        }
    }

    pub(super) fn check(&self, key: &Key, precondition: &Precondition) -> Result<(), Refusal> {
        match precondition {
            Precondition::None => Ok(()),
            Precondition::Absent => self.check_absent(key),
            Precondition::At(revision) => self.check_at(key, *revision),
            Precondition::OwnedBy(session) => self.check_owned_by(key, *session),
            Precondition::LockHeld(grant) => self.check_lock(grant),
        }
    }

    pub(super) fn check_absent(&self, key: &Key) -> Result<(), Refusal> {
        match self.keys.get(key) {
            None => Ok(()),
            Some(entry) => Err(precondition_failed(key, format!("the key exists, modified at {}", entry.modified))),
        }
    }

    pub(super) fn check_present(&self, key: &Key) -> Result<&Entry, Refusal> {
        let entry = self.keys.get(key).map(|entry| &**entry);
        entry.ok_or_else(|| precondition_failed(key, "the key does not exist"))
    }

    pub(super) fn check_at(&self, key: &Key, revision: Revision) -> Result<(), Refusal> {
        let modified = self.check_present(key)?.modified;
        if modified != revision {
            let message = format!("the key was last modified at {modified}, not at {revision}");
            return Err(precondition_failed(key, message));
        }
        Ok(())
    }

    pub(super) fn check_owned_by(&self, key: &Key, session: SessionId) -> Result<(), Refusal> {
        if self.check_present(key)?.owner != Some(session) {
            return Err(precondition_failed(key, format!("the key does not belong to the session {session}")));
        }
        Ok(())
    }

    pub(super) fn check_lock(&self, grant: &LockGrant) -> Result<(), Refusal> {
        if self.locks.is_held(grant) {
            return Ok(());
        }
        let LockGrant { name, session, token } = grant;
        let message = format!("the session {session} does not hold the lock {name} under the token {token}");
        Err(refusal(Failure::LockLost, message))
    }

    /// Puts a key, or refuses and changes nothing. The session of the lifetime must have been checked.
    pub(super) fn write(&mut self, write: &Write<'_>, step: &mut Step<'_>) -> Result<(), Refusal> {
        let previous = self.keys.get(write.key).cloned();
        match &previous {
            Some(entry) => refuse_owner(entry, write)?,
            None => self.refuse_place(write)?,
        }
        self.refuse_size(write, previous.as_deref())?;
        let (from, to) = (previous.as_ref().and_then(|entry| entry.owner), write.owner());
        if let Some(session) = to.filter(|_| from != to) {
            self.refuse_another_key_of(session, write.key)?;
        }
        let entry = Arc::new(Entry {
            key: previous.as_ref().map_or_else(|| write.key.clone(), |entry| entry.key.clone()),
            // A copy of its own: the bytes that came in may be a piece of a whole batch, which would be kept with it.
            value: Bytes::copy_from_slice(write.value),
            created: previous.as_ref().map_or(step.revision, |entry| entry.created),
            modified: step.revision,
            owner: to,
        });
        self.sessions.move_key(&entry.key, from, to);
        self.keys.insert(entry.clone());
        step.push(Change::Put { entry, previous });
        Ok(())
    }

    /// Deletes a key if it exists; returns whether it did.
    pub(super) fn erase(&mut self, key: &Key, step: &mut Step<'_>) -> bool {
        let Some(previous) = self.keys.remove(key) else { return false };
        self.sessions.move_key(key, previous.owner, None);
        step.push(Change::Delete { previous, revision: step.revision });
        true
    }

    /// Refuses a new key where the parent rules have no place for it.
    fn refuse_place(&self, write: &Write<'_>) -> Result<(), Refusal> {
        if let Some(parent) = self.keys.ephemeral_ancestor(write.key) {
            let message = format!("{} is ephemeral, and an ephemeral key has no children", parent.key);
            return Err(at(write.key, Failure::EphemeralParent, message));
        }
        if write.owner().is_some() && self.keys.has_children(write.key) {
            let message = "the key has children, so it cannot be ephemeral";
            return Err(at(write.key, Failure::EphemeralParent, message));
        }
        Ok(())
    }

    fn refuse_size(&self, write: &Write<'_>, previous: Option<&Entry>) -> Result<(), Refusal> {
        if previous.is_none() && self.keys.len() >= self.limits.keys {
            return Err(Refusal { key: write.key.to_string(), ..limit("keys", self.limits.keys) });
        }
        let new = write.value.len() + if previous.is_none() { write.key.as_str().len() } else { 0 };
        let old = previous.map_or(0, |entry| entry.value.len());
        let grows = new.saturating_sub(old) as u64;
        if grows > 0 && self.keys.bytes().saturating_add(grows) > self.limits.bytes {
            return Err(Refusal { key: write.key.to_string(), ..limit("bytes of keys and values", self.limits.bytes) });
        }
        Ok(())
    }

    fn refuse_another_key_of(&self, session: SessionId, key: &Key) -> Result<(), Refusal> {
        let most = self.limits.keys_per_session;
        if self.sessions.get(session).is_some_and(|session| session.keys.len() >= most) {
            return Err(Refusal { key: key.to_string(), ..limit("ephemeral keys of one session", most) });
        }
        Ok(())
    }
}

/// Refuses to put a key that is there under another lifetime, or of another session.
fn refuse_owner(entry: &Entry, write: &Write<'_>) -> Result<(), Refusal> {
    match (entry.owner, write.owner()) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(at(write.key, Failure::LifetimeMismatch, "the key is persistent")),
        (Some(_), None) => Err(at(write.key, Failure::LifetimeMismatch, "the key is ephemeral")),
        (Some(owner), Some(session)) if owner == session => Ok(()),
        (Some(_), Some(_)) if write.foreign_owner == ForeignOwner::TakeOver => Ok(()),
        (Some(owner), Some(_)) => Err(owned_by_another(entry, owner)),
    }
}
