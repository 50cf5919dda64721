//! What the store holds, and the one way in which it changes.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::feed::Feed;
use super::locks::LockState;
use super::sessions::SessionRecord;
use super::store::{MemoryOptions, MemoryUsage};
use crate::{Entry, Event, Key, LockName, Revision, SessionId};

/// The only life of a store that is never restored.
const INCARNATION: u64 = 1;

#[derive(Debug)]
pub(super) struct State {
    pub(super) options: MemoryOptions,
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) sessions: BTreeMap<SessionId, SessionRecord>,
    /// No session is due before this moment; `None` where none lives.
    pub(super) first_due: Option<Instant>,
    /// How many sessions were ever opened: the number of the last one.
    pub(super) sessions_opened: u64,
    pub(super) locks: BTreeMap<LockName, LockState>,
    /// How many places in queues were ever given: the number of the last one.
    pub(super) tickets_given: u64,
    pub(super) feed: Feed,
    counter: u64,
}

impl State {
    pub(super) fn new(options: MemoryOptions) -> Self {
        let feed = Feed::new(options.history_len, options.subscription_len);
        Self {
            options,
            entries: BTreeMap::new(),
            sessions: BTreeMap::new(),
            first_due: None,
            sessions_opened: 0,
            locks: BTreeMap::new(),
            tickets_given: 0,
            feed,
            counter: 0,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        Revision::new(INCARNATION, self.counter)
    }

    /// The revision of the next change.
    pub(super) fn advance(&mut self) -> Revision {
        self.counter += 1;
        self.revision()
    }

    /// Puts an entry that obeys the rules and tells subscribers.
    pub(super) fn insert(&mut self, entry: Entry) {
        let previous = self.entries.insert(entry.key.clone(), entry.clone());
        if let Some(owner) = previous.as_ref().and_then(|previous| previous.owner) {
            self.disown(owner, &entry.key);
        }
        if let Some(record) = entry.owner.and_then(|owner| self.sessions.get_mut(&owner)) {
            record.keys.insert(entry.key.clone());
        }
        self.feed.publish(Event::Put { entry, previous });
    }

    /// Removes an entry and tells subscribers; says whether there was one.
    pub(super) fn remove(&mut self, key: &Key, revision: Revision) -> bool {
        let Some(previous) = self.entries.remove(key) else { return false };
        if let Some(owner) = previous.owner {
            self.disown(owner, key);
        }
        self.feed.publish(Event::Delete { previous, revision });
        true
    }

    fn disown(&mut self, owner: SessionId, key: &Key) {
        if let Some(record) = self.sessions.get_mut(&owner) {
            record.keys.remove(key);
        }
    }

    pub(super) fn usage(&self) -> MemoryUsage {
        MemoryUsage {
            keys: self.entries.len(),
            sessions: self.sessions.len(),
            locks: self.locks.len(),
            waiters: self.locks.values().map(LockState::waiter_count).sum(),
            subscriptions: self.feed.subscriber_count(),
            history: self.feed.history_len(),
        }
    }
}
