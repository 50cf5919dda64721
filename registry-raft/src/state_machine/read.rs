//! Reading the state.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use registry_api::{
    Child, Entry, Key, ListContents, Listing, LockName, LockStatus, Lookup, Revision, Scope, SessionId,
};

use super::keyspace::Listed;
use super::session::Standing;
use super::{Change, Place, StateMachine};
use crate::proto;

/// A session, as the leader needs it to watch over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionInfo<'a> {
    pub(crate) id: SessionId,
    pub(crate) ttl: Duration,
    pub(crate) label: &'a str,
}

impl StateMachine {
    /// The revision of the last change.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// One key.
    pub(crate) fn get(&self, key: &Key) -> Lookup {
        Lookup { entry: self.keys.get(key).map(|entry| Entry::clone(entry)), revision: self.revision }
    }

    /// What a scope holds: at most `limit` children, only those after `after` in byte order.
    ///
    /// The time grows with what is returned, not with what is below it. A clone of the state gives pages of one revision.
    pub(crate) fn list(
        &self,
        scope: &Scope,
        contents: ListContents,
        limit: Option<NonZeroUsize>,
        after: Option<&Key>,
    ) -> Listing {
        let mut listed = self.keys.listed(scope, after);
        let most = limit.map_or(usize::MAX, NonZeroUsize::get);
        let children: Vec<Child> = listed.by_ref().take(most).map(|listed| child(listed, contents)).collect();
        let more = listed.next().is_some();
        let next = children.last().filter(|_| more).map(|child| child.key.clone());
        Listing { revision: self.revision, children, next }
    }

    /// Who holds a lock and who waits for it.
    pub(crate) fn lock(&self, name: &LockName) -> LockStatus {
        self.locks.status(name, self.revision)
    }

    /// What became of the lock request that this ticket of the session names.
    pub(crate) fn grant_of(&self, name: &LockName, session: SessionId, ticket: u64) -> Place {
        let places = self.sessions.get(session).map(|session| &session.places);
        match (places.and_then(|places| places.get(&(name.clone(), ticket))), self.locks.get(name)) {
            (Some(Standing::Holding), Some(lock)) => Place::Granted(lock.grant(name)),
            (Some(Standing::Waiting(_)), Some(_)) => Place::Queued,
            _ => Place::Gone,
        }
    }

    /// Whether the session is open.
    pub(crate) fn has_session(&self, id: SessionId) -> bool {
        self.sessions.get(id).is_some()
    }

    /// Every open session, in the order of their ids.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionInfo<'_>> {
        self.sessions.iter().map(|(id, session)| SessionInfo { id, ttl: session.ttl, label: &session.label })
    }

    /// Every client identity, in the order of their ids.
    pub(crate) fn clients(&self) -> impl Iterator<Item = u64> + '_ {
        self.clients.iter_after(0).map(|(id, _)| id)
    }

    /// The certificates of the last sessions that ended by silence, newest last.
    pub(crate) fn deaths(&self) -> impl Iterator<Item = &proto::DeathCertificate> {
        self.deaths.values().map(|certificate| &**certificate)
    }

    /// The changes of the keys of a scope after a revision, oldest first; `None` where the history does not reach back
    /// so far, or the revision is of another incarnation. The revision must have been reached by this state: nothing
    /// can be said of what comes after one that is still to come.
    pub(crate) fn events_after<'a>(
        &'a self,
        scope: &Scope,
        after: Revision,
    ) -> Option<impl Iterator<Item = Change> + use<'a>> {
        self.history.in_scope(scope, after)
    }

    /// How many keys exist.
    pub(crate) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// How many sessions are open.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.len()
    }
}

fn child((key, entry): Listed<'_>, contents: ListContents) -> Child {
    let entry = entry.map(|entry| match contents {
        ListContents::Entries => Entry::clone(entry),
        ListContents::KeysOnly => Entry { value: Bytes::new(), key: entry.key.clone(), ..**entry },
    });
    Child { key: key.clone(), entry }
}
