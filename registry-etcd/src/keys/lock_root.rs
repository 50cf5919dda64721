//! The part of the store that belongs to locks: no key of ours is there.

use registry_api::{Key, LockGrant, LockName, Scope, SessionId};

use super::range::{KeyRange, bytes};
use crate::error::Failure;

/// The key below which locks are kept.
#[derive(Clone, Debug)]
pub(crate) struct LockRoot(Key);

impl LockRoot {
    pub(crate) fn new(key: Key) -> Self {
        Self(key)
    }

    /// What is hidden: the root and everything below. Between the two lie keys such as `/locks-2`, which are not.
    pub(crate) fn hidden(&self) -> [KeyRange; 2] {
        [KeyRange::one(bytes(&self.0)), KeyRange::below(bytes(&self.0))]
    }

    /// Whether a key of the store belongs to locks.
    pub(crate) fn hides(&self, key: &[u8]) -> bool {
        self.hidden().iter().any(|range| range.contains(key))
    }

    /// The ranges of a scope without what is hidden.
    pub(crate) fn visible(&self, scope: &Scope) -> Vec<KeyRange> {
        KeyRange::all_without(KeyRange::of(scope), &self.hidden())
    }

    /// Refuses a key of locks.
    pub(crate) fn check(&self, key: &Key) -> Result<(), Failure> {
        if *key != self.0 && !key.is_below(&self.0) {
            return Ok(());
        }
        let message = format!("{} and everything below belong to locks (lock_root); use another key", self.0);
        Err(Failure::invalid(message).at(key))
    }

    /// Refuses a scope of locks.
    pub(crate) fn check_scope(&self, scope: &Scope) -> Result<(), Failure> {
        scope.root().map_or(Ok(()), |root| self.check(root))
    }

    /// Below which the places in the queue of a lock are: `/locks/NAME/`.
    pub(crate) fn places(&self, name: &LockName) -> String {
        format!("{}{name}/", self.0)
    }

    /// The place of a session in the queue of a lock, as etcd's own lock recipe names it.
    pub(crate) fn place(&self, name: &LockName, session: SessionId) -> Vec<u8> {
        format!("{}{:x}", self.places(name), session.get()).into_bytes()
    }

    /// The place that a grant was given for.
    pub(crate) fn place_of(&self, grant: &LockGrant) -> Vec<u8> {
        self.place(&grant.name, grant.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_the_lock_root_stay_visible() {
        let root = LockRoot::new("/locks".parse().unwrap());
        assert!(root.hides(b"/locks") && root.hides(b"/locks/a/b"));
        for neighbour in ["/locks-2", "/locks.x/y", "/locks0", "/lock", "/a/locks"] {
            assert!(!root.hides(neighbour.as_bytes()), "{neighbour}");
            assert!(root.check(&neighbour.parse().unwrap()).is_ok(), "{neighbour}");
        }
        assert!(root.check(&"/locks/a".parse().unwrap()).is_err());
        let visible = root.visible(&Scope::All);
        for (key, inside) in [("/locks", false), ("/locks/a", false), ("/locks-2", true), ("/a", true), ("/z", true)] {
            assert_eq!(visible.iter().any(|range| range.contains(key.as_bytes())), inside, "{key}");
        }
    }

    #[test]
    fn places_are_named_like_etcd_names_them() {
        let root = LockRoot::new("/locks".parse().unwrap());
        let place = root.place(&"/x/y".parse().unwrap(), SessionId::new(0x694d_71dd_acfd_a227));
        assert_eq!(String::from_utf8(place).unwrap(), "/locks/x/y/694d71ddacfda227");
    }
}
