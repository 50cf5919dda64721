//! Keys of the store: reading, listing, and the rules of changes.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::failure::Failure;
use super::state::State;
use crate::{
    Check, Child, DeleteOptions, Deleted, Entry, ErrorKind, ForeignOwner, Key, Lifetime, ListContents, ListOptions,
    Listing, Mutation, Precondition, Revision, Scope, SessionId, limits,
};

impl State {
    pub(super) fn list(&self, scope: &Scope, options: &ListOptions) -> Listing {
        let found: BTreeMap<Key, Option<&Entry>> = match scope {
            Scope::Children(parent) => self.children(parent),
            Scope::Key(_) | Scope::Tree(_) | Scope::All => {
                self.entries_in(scope).map(|entry| (entry.key.clone(), Some(entry))).collect()
            }
        };
        let mut rest = found.into_iter().filter(|(key, _)| options.after.as_ref().is_none_or(|after| key > after));
        let limit = options.limit.map_or(usize::MAX, std::num::NonZeroUsize::get);
        let children: Vec<_> = rest
            .by_ref()
            .take(limit)
            .map(|(key, entry)| Child { key, entry: entry.map(|entry| contents(entry, options.contents)) })
            .collect();
        let next = rest.next().and_then(|_| children.last().map(|child| child.key.clone()));
        Listing { revision: self.revision(), children, next }
    }

    /// Every direct child, with its entry where it is a key and without one where it is only a parent.
    fn children(&self, parent: &Key) -> BTreeMap<Key, Option<&Entry>> {
        let mut children = BTreeMap::new();
        for entry in self.below(parent) {
            let name = entry.key.as_str().get(parent.as_str().len() + 1..).and_then(|rest| rest.split('/').next());
            let Some(child) = name.and_then(|name| parent.join(name).ok()) else { continue };
            let own = (entry.key == child).then_some(entry);
            let slot = children.entry(child).or_insert(None);
            *slot = slot.or(own);
        }
        children
    }

    fn entries_in<'a>(&'a self, scope: &'a Scope) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        match scope {
            Scope::Key(key) => Box::new(self.entries.get(key).into_iter()),
            Scope::Children(parent) => Box::new(self.below(parent).filter(|entry| scope.contains(&entry.key))),
            Scope::Tree(root) => Box::new(self.entries.get(root).into_iter().chain(self.below(root))),
            Scope::All => Box::new(self.entries.values()),
        }
    }

    /// Everything strictly below a key: a range, because the keys order by their bytes.
    fn below(&self, parent: &Key) -> impl Iterator<Item = &Entry> {
        let start = format!("{parent}/");
        self.entries
            .range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(move |entry| entry.key.as_str().starts_with(&start))
            .collect::<Vec<_>>()
            .into_iter()
    }

    pub(super) fn delete(&mut self, scope: &Scope, options: &DeleteOptions) -> Result<Deleted, Failure> {
        limits::check_delete(scope, &options.precondition).map_err(Failure::invalid)?;
        match (scope, &options.precondition) {
            (Scope::Key(key), precondition) => {
                if let Some(check) = as_check(key, precondition) {
                    self.check(&check)?;
                }
            }
            (_, Precondition::LockHeld(grant)) => self.check_lock(grant)?,
            _ => {}
        }
        let doomed: Vec<_> = self.entries_in(scope).map(|entry| entry.key.clone()).collect();
        if doomed.is_empty() {
            return Ok(Deleted { revision: self.revision(), count: 0 });
        }
        let revision = self.advance();
        let count = doomed.iter().filter(|key| self.remove(key, revision)).count();
        Ok(Deleted { revision, count })
    }

    /// Makes every change at one revision, or none. Sessions are checked first, then the checks in their order, then the
    /// rules of each change.
    pub(super) fn transact(&mut self, checks: &[Check], mutations: &[Mutation]) -> Result<Revision, Failure> {
        for session in mutations.iter().filter_map(owner) {
            self.check_session(session)?;
        }
        for check in checks {
            self.check(check)?;
        }
        for mutation in mutations {
            self.check_mutation(mutation)?;
        }
        self.check_parents(mutations)?;
        self.check_key_limit(mutations)?;
        let changes = |mutation: &Mutation| match mutation {
            Mutation::Put { .. } => true,
            Mutation::Delete { key } => self.entries.contains_key(key),
        };
        if !mutations.iter().any(changes) {
            return Ok(self.revision());
        }
        let revision = self.advance();
        for mutation in mutations {
            self.mutate(mutation, revision);
        }
        Ok(revision)
    }

    fn mutate(&mut self, mutation: &Mutation, revision: Revision) {
        match mutation {
            Mutation::Put { key, value, .. } => {
                let created = self.entries.get(key).map_or(revision, |entry| entry.created);
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    created,
                    modified: revision,
                    owner: owner(mutation),
                };
                self.insert(entry);
            }
            Mutation::Delete { key } => {
                self.remove(key, revision);
            }
        }
    }

    fn check(&self, check: &Check) -> Result<(), Failure> {
        let entry = |key: &Key| self.entries.get(key);
        let (key, holds, wanted) = match check {
            Check::LockHeld(grant) => return self.check_lock(grant),
            Check::Absent(key) => (key, entry(key).is_none(), "the key exists; it was to be absent".to_owned()),
            Check::Present(key) => (key, entry(key).is_some(), "the key does not exist".to_owned()),
            Check::At(key, revision) => {
                let holds = entry(key).is_some_and(|entry| entry.modified == *revision);
                (key, holds, format!("the key was not last modified at {revision}"))
            }
            Check::OwnedBy(key, session) => {
                let holds = entry(key).is_some_and(|entry| entry.owner == Some(*session));
                (key, holds, format!("the key does not belong to the session {session}"))
            }
        };
        if holds { Ok(()) } else { Err(Failure::new(ErrorKind::PreconditionFailed, wanted).at(key)) }
    }

    fn check_mutation(&self, mutation: &Mutation) -> Result<(), Failure> {
        let Mutation::Put { key, value, lifetime, foreign_owner } = mutation else { return Ok(()) };
        limits::check_value(value).map_err(|message| Failure::invalid(message).at(key))?;
        let Some(before) = self.entries.get(key) else { return Ok(()) };
        let mismatch = |message| Err(Failure::new(ErrorKind::LifetimeMismatch, message).at(key));
        match (before.owner, lifetime) {
            (None, Lifetime::Persistent) => Ok(()),
            (None, Lifetime::Ephemeral(_)) => mismatch("the key is persistent; a put cannot make it ephemeral"),
            (Some(_), Lifetime::Persistent) => mismatch("the key is ephemeral; a put cannot make it persistent"),
            (Some(owner), Lifetime::Ephemeral(session)) => {
                if owner == *session || *foreign_owner == ForeignOwner::TakeOver {
                    return Ok(());
                }
                let message = format!("the key belongs to the live session {owner}");
                Err(Failure::new(ErrorKind::OwnedByAnother { owner }, message).at(key))
            }
        }
    }

    /// Ephemeral keys have no children, in the state that the mutations lead to.
    fn check_parents(&self, mutations: &[Mutation]) -> Result<(), Failure> {
        let after: BTreeMap<&Key, Option<bool>> =
            mutations.iter().map(|change| (change.key(), ephemeral(change))).collect();
        let is_ephemeral = |key: &Key| match after.get(key) {
            Some(changed) => *changed,
            None => self.entries.get(key).map(|entry| entry.owner.is_some()),
        };
        for (key, put) in &after {
            let Some(is_leaf) = *put else { continue };
            let refused = |message| Err(Failure::new(ErrorKind::EphemeralParent, message).at(key));
            if key.ancestors().any(|ancestor| is_ephemeral(&ancestor) == Some(true)) {
                return refused("a key above it is ephemeral; ephemeral keys have no children");
            }
            let stays = |entry: &Entry| is_ephemeral(&entry.key).is_some();
            if is_leaf && self.below(key).any(stays) {
                return refused("it has children; a key with children cannot become ephemeral");
            }
        }
        Ok(())
    }

    fn check_key_limit(&self, mutations: &[Mutation]) -> Result<(), Failure> {
        let is_new = |change: &&Mutation| ephemeral(change).is_some() && !self.entries.contains_key(change.key());
        let added = mutations.iter().filter(is_new).count();
        if added > 0 && self.entries.len() + added > self.options.keys_max {
            return Err(Failure::limit("keys", self.options.keys_max));
        }
        Ok(())
    }
}

/// A precondition on a key as a check; `None` for none.
pub(super) fn as_check(key: &Key, precondition: &Precondition) -> Option<Check> {
    Some(match precondition {
        Precondition::None => return None,
        Precondition::Absent => Check::Absent(key.clone()),
        Precondition::At(revision) => Check::At(key.clone(), *revision),
        Precondition::OwnedBy(session) => Check::OwnedBy(key.clone(), *session),
        Precondition::LockHeld(grant) => Check::LockHeld(grant.clone()),
    })
}

fn owner(mutation: &Mutation) -> Option<SessionId> {
    match mutation {
        Mutation::Put { lifetime: Lifetime::Ephemeral(session), .. } => Some(*session),
        Mutation::Put { lifetime: Lifetime::Persistent, .. } | Mutation::Delete { .. } => None,
    }
}

/// Whether the key is ephemeral after the change; `None` where it does not exist then.
fn ephemeral(mutation: &Mutation) -> Option<bool> {
    match mutation {
        Mutation::Put { .. } => Some(owner(mutation).is_some()),
        Mutation::Delete { .. } => None,
    }
}

fn contents(entry: &Entry, contents: ListContents) -> Entry {
    match contents {
        ListContents::Entries => entry.clone(),
        ListContents::KeysOnly => Entry { value: bytes::Bytes::new(), ..entry.clone() },
    }
}
