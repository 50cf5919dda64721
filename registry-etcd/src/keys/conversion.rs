//! etcd's words for what the contract speaks of.

use bytes::Bytes;
use etcd_client::KeyValue;
use registry_api::{Entry, Key, Revision, SessionId};

/// The store of an etcd cluster has one life that its clients can tell.
const INCARNATION: u64 = 0;

/// A revision of the store. etcd counts from 1 and never back.
pub(crate) fn revision(counter: i64) -> Revision {
    Revision::new(INCARNATION, u64::try_from(counter).unwrap_or_default())
}

/// The number of a revision; `None` for one that no change of this store ever has.
pub(crate) fn counter_of(revision: Revision) -> Option<i64> {
    let counter = i64::try_from(revision.counter).ok()?;
    (revision.incarnation == INCARNATION && counter > 0).then_some(counter)
}

/// The lease of a session; `None` for an id that no lease ever has.
pub(crate) fn lease_of(session: SessionId) -> Option<i64> {
    i64::try_from(session.get()).ok().filter(|lease| *lease > 0)
}

/// The session of a lease.
pub(crate) fn session_of(lease: i64) -> SessionId {
    SessionId::new(lease.cast_unsigned())
}

/// Whom a key belongs to.
pub(crate) fn owner_of(lease: i64) -> Option<SessionId> {
    (lease != 0).then(|| session_of(lease))
}

/// The entry of a key; `None` for one that another program wrote under a name that is no key of ours.
pub(crate) fn entry(found: &KeyValue) -> Option<Entry> {
    Some(Entry {
        key: key(found.key())?,
        value: Bytes::copy_from_slice(found.value()),
        created: revision(found.create_revision()),
        modified: revision(found.mod_revision()),
        owner: owner_of(found.lease()),
    })
}

/// The key of these bytes.
pub(crate) fn key(bytes: &[u8]) -> Option<Key> {
    std::str::from_utf8(bytes).ok().and_then(|text| Key::parse(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_lease_ever_has_is_no_session() {
        for number in [0, u64::MAX, u64::MAX - 1, 1 << 63] {
            assert_eq!(lease_of(SessionId::new(number)), None, "{number}");
        }
        assert_eq!(lease_of(session_of(7)), Some(7));
    }

    #[test]
    fn a_revision_of_another_store_is_none_of_ours() {
        assert_eq!(counter_of(Revision::new(0, 5)), Some(5));
        for strange in [Revision::ZERO, Revision::new(1, 5), Revision::new(0, u64::MAX), Revision::new(u64::MAX, 0)] {
            assert_eq!(counter_of(strange), None, "{strange}");
        }
    }
}
