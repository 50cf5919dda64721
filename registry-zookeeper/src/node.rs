//! What a node means: a key with its entry, or only the parent of others.

use bytes::Bytes;
use registry_api::{Entry, Key, Revision, SessionId};
use zookeeper_client as zk;

/// The data of a container that is made for the sake of what is below it: the servers remove it.
pub(crate) const ABSENT: &[u8; MARK_LEN] = b"\0registry: no key here\xff\x01";
/// The data of a node that was a key, and that only its children keep: who deletes the last of them removes it.
pub(crate) const GONE: &[u8; GONE_LEN] = b"\0registry: a key was here\xff\x01";
/// The data of a container that is a key with an empty value: an empty container is a parent of other programs.
pub(crate) const EMPTY: &[u8; MARK_LEN] = b"\0registry: empty value\xff\x01";
/// The length of the first and the last of these marks. Data of another length than theirs is never one of them.
const MARK_LEN: usize = 24;
/// Another length, so that the stat alone tells what may have to be removed.
const GONE_LEN: usize = 27;

/// Whose a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Persistent,
    /// Removed by the servers after its last child. Servers of 3.9 show containers as persistent: what is not created
    /// here as something else may be one.
    Container,
    Ephemeral(SessionId),
}

/// What kind of node a stat tells of.
pub(crate) fn kind(stat: &zk::Stat) -> Kind {
    match stat.ephemeral_owner {
        0 => Kind::Persistent,
        // What ZooKeeper's EphemeralType says of containers, and, in the highest byte, of nodes with a time to live.
        i64::MIN => Kind::Container,
        owner if owner.to_be_bytes().starts_with(&[0xff]) => Kind::Persistent,
        owner => Kind::Ephemeral(session_id(owner)),
    }
}

/// ZooKeeper's session ids are signed; ours show the same bits.
pub(crate) fn session_id(number: i64) -> SessionId {
    SessionId::new(u64::from_be_bytes(number.to_be_bytes()))
}

/// The revision of a transaction id.
pub(crate) fn revision(zxid: i64) -> Revision {
    Revision::new(0, u64::try_from(zxid).unwrap_or(0))
}

/// Whether the data of a node has to be read to know whether it is a key.
pub(crate) fn is_in_doubt(stat: &zk::Stat) -> bool {
    usize::try_from(stat.data_length) == Ok(MARK_LEN) || may_be_gone(stat)
}

/// Whether a node may be one that was a key and that only its children keep.
pub(crate) fn may_be_gone(stat: &zk::Stat) -> bool {
    usize::try_from(stat.data_length) == Ok(GONE_LEN) && matches!(kind(stat), Kind::Persistent | Kind::Container)
}

/// Whether the servers may remove a node after its last child that was a key before it was put now: an empty container
/// of another program, as far as a stat tells.
pub(crate) fn may_be_container(stat: &zk::Stat) -> bool {
    match kind(stat) {
        Kind::Container => true,
        Kind::Persistent => stat.data_length == 0 && stat.cversion > 0,
        Kind::Ephemeral(_) => false,
    }
}

/// The value of a node that is a key; `None` for one that is only a parent.
pub(crate) fn value(data: Bytes, stat: &zk::Stat) -> Option<Bytes> {
    match (kind(stat), &*data) {
        (_, data) if data == ABSENT || data == GONE => None,
        (Kind::Container, []) => None,
        (_, data) if data == EMPTY => Some(Bytes::new()),
        _ => Some(data),
    }
}

/// The data that stands for a value on a node of this kind.
pub(crate) fn data(value: &Bytes, kind: Kind) -> &[u8] {
    if kind == Kind::Container && value.is_empty() { EMPTY } else { value }
}

/// Whether a value cannot be told from a mark.
pub(crate) fn is_mark(value: &[u8]) -> bool {
    value == ABSENT || value == GONE || value == EMPTY
}

/// The entry of a key.
pub(crate) fn entry(key: Key, value: Bytes, stat: &zk::Stat) -> Entry {
    let owner = match kind(stat) {
        Kind::Ephemeral(owner) => Some(owner),
        Kind::Persistent | Kind::Container => None,
    };
    Entry { key, value, created: revision(stat.czxid), modified: revision(stat.mzxid), owner }
}

/// The latest change that a node tells of: of itself or of its children.
pub(crate) fn latest(stat: &zk::Stat) -> Revision {
    revision(stat.mzxid.max(stat.pzxid).max(stat.czxid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(ephemeral_owner: i64) -> zk::Stat {
        zk::Stat {
            czxid: 5,
            mzxid: 7,
            pzxid: 9,
            ctime: 0,
            mtime: 0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner,
            data_length: 0,
            num_children: 0,
        }
    }

    #[test]
    fn owners_tell_kinds() {
        assert_eq!(kind(&stat(0)), Kind::Persistent);
        assert_eq!(kind(&stat(i64::MIN)), Kind::Container);
        assert_eq!(kind(&stat(0x0100_0000_0000_0007)), Kind::Ephemeral(SessionId::new(0x0100_0000_0000_0007)));
        let with_ttl = i64::from_be_bytes([0xff, 0, 0, 0, 0, 0, 0x10, 0]);
        assert_eq!(kind(&stat(with_ttl)), Kind::Persistent);
    }

    #[test]
    fn every_value_comes_back_from_every_kind_of_node() {
        for owner in [0, i64::MIN, 7] {
            for text in ["", "value", "\0"] {
                let value_put = Bytes::from(text);
                let stored = Bytes::copy_from_slice(data(&value_put, kind(&stat(owner))));
                assert_eq!(value(stored, &stat(owner)), Some(value_put), "{owner:x} {text:?}");
            }
        }
    }

    #[test]
    fn marks_and_empty_containers_are_only_parents() {
        assert_eq!(value(Bytes::from_static(ABSENT), &stat(0)), None);
        assert_eq!(value(Bytes::from_static(ABSENT), &stat(i64::MIN)), None);
        assert_eq!(value(Bytes::from_static(GONE), &stat(0)), None);
        assert_eq!(value(Bytes::new(), &stat(i64::MIN)), None);
        assert!(is_mark(ABSENT) && is_mark(GONE) && is_mark(EMPTY) && !is_mark(b""));
    }

    #[test]
    fn a_stat_tells_what_has_to_be_looked_at() {
        let of_len = |data: &[u8]| zk::Stat { data_length: i32::try_from(data.len()).unwrap(), ..stat(0) };
        assert!(is_in_doubt(&of_len(ABSENT)) && is_in_doubt(&of_len(GONE)) && is_in_doubt(&of_len(EMPTY)));
        assert!(may_be_gone(&of_len(GONE)) && !may_be_gone(&of_len(ABSENT)) && !may_be_gone(&of_len(EMPTY)));
        assert!(!is_in_doubt(&of_len(b"value")));
        let parent = |ephemeral_owner| zk::Stat { cversion: 1, ..stat(ephemeral_owner) };
        assert!(may_be_container(&parent(0)) && may_be_container(&stat(i64::MIN)));
        assert!(!may_be_container(&stat(0)) && !may_be_container(&parent(7)), "it has no children, or is ephemeral");
        assert!(!may_be_container(&zk::Stat { cversion: 1, ..of_len(b"value") }), "a key with a value");
    }

    #[test]
    fn an_entry_tells_the_transactions_that_made_it() {
        let entry = entry("/a".parse().unwrap(), Bytes::new(), &stat(3));
        assert_eq!((entry.created, entry.modified), (Revision::new(0, 5), Revision::new(0, 7)));
        assert_eq!(entry.owner, Some(SessionId::new(3)));
        assert_eq!(latest(&stat(0)), Revision::new(0, 9));
    }
}
