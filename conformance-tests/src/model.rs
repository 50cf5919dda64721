//! The reference model: what the contract says of keys and sessions, in the plainest words.

use std::collections::{BTreeMap, BTreeSet};

use registry_api::{ErrorKind, Key, SessionId};

/// A key as the model knows it; revisions are left to the backend, and counted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelEntry {
    pub(crate) value: String,
    pub(crate) owner: Option<SessionId>,
    /// The number of the change that created it, and of the last one.
    pub(crate) created: u64,
    pub(crate) modified: u64,
}

/// A change as a subscriber is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModelEvent {
    Put { key: Key, entry: ModelEntry, previous: Option<ModelEntry> },
    Delete { key: Key, previous: ModelEntry },
}

/// What a put requires of the key it puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelPrecondition {
    None,
    Absent,
    /// Last modified by this change.
    At(u64),
    OwnedBy(SessionId),
}

/// One sequential registry, without time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    entries: BTreeMap<Key, ModelEntry>,
    sessions: BTreeSet<SessionId>,
    changes: u64,
    events: Vec<ModelEvent>,
}

impl Model {
    pub(crate) fn entries(&self) -> &BTreeMap<Key, ModelEntry> {
        &self.entries
    }

    pub(crate) fn events(&self) -> &[ModelEvent] {
        &self.events
    }

    /// The number of the last change.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn open(&mut self, session: SessionId) {
        self.sessions.insert(session);
    }

    /// Ends a session: all of its keys at one change, and no change without keys.
    pub(crate) fn close(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        let owned = self.entries.iter().filter(|(_, entry)| entry.owner == Some(session));
        let keys: Vec<_> = owned.map(|(key, _)| key.clone()).collect();
        self.remove(keys);
    }

    /// Puts a key, or says why not. The first rule that is broken decides.
    pub(crate) fn put(
        &mut self,
        key: &Key,
        value: &str,
        owner: Option<SessionId>,
        precondition: ModelPrecondition,
        takes_over: TakesOver,
    ) -> Result<u64, ErrorKind> {
        let previous = self.entries.get(key).cloned();
        if owner.is_some_and(|owner| !self.sessions.contains(&owner)) {
            return Err(ErrorKind::SessionEnded);
        }
        if !holds(precondition, previous.as_ref()) {
            return Err(ErrorKind::PreconditionFailed);
        }
        self.check_owner(owner, previous.as_ref(), takes_over)?;
        self.check_place(key, owner)?;
        self.changes += 1;
        let created = previous.as_ref().map_or(self.changes, |previous| previous.created);
        let entry = ModelEntry { value: value.to_owned(), owner, created, modified: self.changes };
        self.entries.insert(key.clone(), entry.clone());
        self.events.push(ModelEvent::Put { key: key.clone(), entry, previous });
        Ok(self.changes)
    }

    fn check_owner(
        &self,
        owner: Option<SessionId>,
        previous: Option<&ModelEntry>,
        takes_over: TakesOver,
    ) -> Result<(), ErrorKind> {
        match (owner, previous.map(|previous| previous.owner)) {
            (_, None) => Ok(()),
            (None, Some(None)) => Ok(()),
            (Some(_), Some(None)) | (None, Some(Some(_))) => Err(ErrorKind::LifetimeMismatch),
            (Some(new), Some(Some(old))) if new == old || takes_over == TakesOver::Yes => Ok(()),
            (Some(_), Some(Some(old))) => Err(ErrorKind::OwnedByAnother { owner: old }),
        }
    }

    fn check_place(&self, key: &Key, owner: Option<SessionId>) -> Result<(), ErrorKind> {
        let below_ephemeral =
            key.ancestors().any(|above| self.entries.get(&above).is_some_and(|entry| entry.owner.is_some()));
        let above_others = owner.is_some() && self.entries.keys().any(|other| other.is_below(key));
        if below_ephemeral || above_others { Err(ErrorKind::EphemeralParent) } else { Ok(()) }
    }

    /// Deletes these keys at one change, and returns how many there were.
    pub(crate) fn remove(&mut self, keys: Vec<Key>) -> usize {
        let mut removed = 0;
        for key in keys {
            if let Some(previous) = self.entries.remove(&key) {
                self.events.push(ModelEvent::Delete { key, previous });
                removed += 1;
            }
        }
        self.changes += u64::from(removed > 0);
        removed
    }

    /// The keys of a tree.
    pub(crate) fn tree(&self, root: &Key) -> Vec<Key> {
        self.entries.keys().filter(|key| *key == root || key.is_below(root)).cloned().collect()
    }
}

/// Whether a put takes a key from its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakesOver {
    Yes,
    No,
}

fn holds(precondition: ModelPrecondition, entry: Option<&ModelEntry>) -> bool {
    match precondition {
        ModelPrecondition::None => true,
        ModelPrecondition::Absent => entry.is_none(),
        ModelPrecondition::At(change) => entry.is_some_and(|entry| entry.modified == change),
        ModelPrecondition::OwnedBy(session) => entry.is_some_and(|entry| entry.owner == Some(session)),
    }
}
