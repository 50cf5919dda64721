//! The open sessions and what each owns.

use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, OrdSet};
use registry_api::{Key, LockName, Revision, SessionId};

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) ttl: Duration,
    pub(super) label: Arc<str>,
    /// Its ephemeral keys.
    pub(super) keys: OrdSet<Key>,
    /// The locks that it holds or waits for, by name and ticket.
    pub(super) places: OrdMap<(LockName, u64), Standing>,
    /// The last lock requests that it gave up, by revision.
    pub(super) given_up: OrdMap<Revision, (LockName, u64)>,
}

impl Session {
    pub(super) fn gave_up(&self, name: &LockName, ticket: u64) -> bool {
        self.given_up.values().any(|(given_up, number)| *number == ticket && given_up == name)
    }

    /// Remembers a request that was given up, and forgets the oldest beyond `most`.
    pub(super) fn give_up(&mut self, revision: Revision, name: LockName, ticket: u64, most: usize) {
        self.given_up.insert(revision, (name, ticket));
        while self.given_up.len() > most
            && let Some((oldest, _)) = self.given_up.get_min().cloned()
        {
            self.given_up.remove(&oldest);
        }
    }
}

/// How a lock request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Holding,
    /// Since this revision, which is its place in the queue.
    Waiting(Revision),
}

/// Every open session. An id is given once.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    sessions: OrdMap<SessionId, Session>,
    last: u64,
}

impl Sessions {
    /// Without sessions, with the id given last.
    pub(super) fn starting_after(last: u64) -> Self {
        Self { sessions: OrdMap::new(), last }
    }

    /// The id given last; 0: none yet.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    pub(super) fn iter_after(&self, after: SessionId) -> impl Iterator<Item = (SessionId, &Session)> {
        use std::ops::Bound;
        let range = (Bound::Excluded(&after), Bound::Unbounded);
        self.sessions.range::<_, SessionId>(range).map(|(id, session)| (*id, session))
    }

    /// The open session with the largest id.
    pub(super) fn last_open(&self) -> Option<SessionId> {
        self.sessions.get_max().map(|(id, _)| *id)
    }

    pub(super) fn open(&mut self, ttl: Duration, label: &str) -> SessionId {
        self.last += 1;
        let id = SessionId::new(self.last);
        self.restore(id, ttl, label);
        id
    }

    pub(super) fn restore(&mut self, id: SessionId, ttl: Duration, label: &str) {
        let session =
            Session { ttl, label: label.into(), keys: OrdSet::new(), places: OrdMap::new(), given_up: OrdMap::new() };
        self.sessions.insert(id, session);
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.sessions.remove(&id)
    }

    /// Notes that an entry moved between owners.
    pub(super) fn move_key(&mut self, key: &Key, from: Option<SessionId>, to: Option<SessionId>) {
        if from == to {
            return;
        }
        if let Some(session) = from.and_then(|id| self.get_mut(id)) {
            session.keys.remove(key);
        }
        if let Some(session) = to.and_then(|id| self.get_mut(id)) {
            session.keys.insert(key.clone());
        }
    }
}
