//! Events of etcd in the words of the contract.

use etcd_client::EventType;
use registry_api::{Event, Scope};

use crate::keys::{LockRoot, entry, revision};

/// What an event of the watched range means for the scope.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Something of the scope.
    Event(Event),
    /// Of another scope, of locks, or of a name that is no key.
    Nothing,
    /// The server does not know any more what the key was before.
    PreviousLost,
}

/// Translates one event.
pub(super) fn told(event: &etcd_client::Event, scope: &Scope, lock_root: &LockRoot) -> Told {
    let Some(now) = event.kv() else { return Told::Nothing };
    if lock_root.hides(now.key()) {
        return Told::Nothing;
    }
    let previous = event.prev_kv().and_then(entry);
    match event.event_type() {
        EventType::Put => {
            let Some(entry) = entry(now).filter(|entry| scope.contains(&entry.key)) else { return Told::Nothing };
            if previous.is_none() && now.version() > 1 {
                return Told::PreviousLost;
            }
            // What a life before this one was is not the previous entry: the delete between the two told it.
            let previous = previous.filter(|_| now.version() > 1);
            Told::Event(Event::Put { entry, previous })
        }
        EventType::Delete => {
            let Some(key) = crate::keys::key(now.key()).filter(|key| scope.contains(key)) else {
                return Told::Nothing;
            };
            match previous.filter(|previous| previous.key == key) {
                Some(previous) => Told::Event(Event::Delete { previous, revision: revision(now.mod_revision()) }),
                None => Told::PreviousLost,
            }
        }
    }
}
