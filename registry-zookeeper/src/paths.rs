//! Keys and locks as paths: which nodes are keys, which are reserved, and names that no key can have.

mod names;

use std::borrow::Cow;

use registry_api::{Key, LockName, SEGMENT_LEN_MAX, Scope, SessionId};

/// Names longer than any segment of a key: valid for ZooKeeper, and never a key.
const HIDDEN_LEN: usize = SEGMENT_LEN_MAX + 1;

/// The node below a container that keeps it from being removed while it is a key.
pub(crate) fn keep(path: &str) -> String {
    child(path, &format!("{:-<HIDDEN_LEN$}", "registry-keep"))
}

/// The path of the node that a key is.
pub(crate) fn of(key: &Key) -> Cow<'_, str> {
    names::encode(key.as_str())
}

/// The path of the node at the root of a scope.
pub(crate) fn root(scope: &Scope) -> Cow<'_, str> {
    scope.root().map_or(Cow::Borrowed("/"), of)
}

/// The path of a child; the root's children have no double slash.
pub(crate) fn child(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// The path above; the root is above itself.
pub(crate) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((parent, _)) if !parent.is_empty() => parent,
        _ => "/",
    }
}

/// The paths above, nearest first, without the root.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let above = |path: &str| -> bool { path != "/" };
    std::iter::successors(Some(parent(path)).filter(|path| above(path)), move |path| {
        Some(parent(path)).filter(|path| above(path))
    })
}

/// Where on the servers everything is.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    lock_root: Key,
}

impl Layout {
    pub(crate) fn new(lock_root: Key) -> Self {
        Self { lock_root }
    }

    /// The key of a path; `None` for paths that are no keys: ZooKeeper's own, those of locks, hidden ones, and names of
    /// other programs that no key can have.
    pub(crate) fn key(&self, path: &str) -> Option<Key> {
        let text = names::decode(path)?;
        Key::parse(&text).ok().filter(|key| !self.is_reserved(key))
    }

    /// Whether the key lies where the locks are.
    pub(crate) fn is_reserved(&self, key: &Key) -> bool {
        *key == self.lock_root || key.is_below(&self.lock_root)
    }

    pub(crate) fn lock_root(&self) -> &Key {
        &self.lock_root
    }

    /// The base path of a lock, as Curator calls it: the parent of its queue.
    pub(crate) fn lock(&self, name: &LockName) -> String {
        names::encode(&format!("{}{name}", self.lock_root)).into_owned()
    }

    /// The ephemeral node that says that a session lives.
    pub(crate) fn session(&self, session: SessionId) -> String {
        format!("{}/sessions/{:016x}", self.own(), session.get())
    }

    /// The node that every change of this backend writes, so that its last transaction is known.
    pub(crate) fn clock(&self) -> String {
        format!("{}/clock", self.own())
    }

    /// What this backend keeps for itself: no lock has a name that begins like this.
    fn own(&self) -> String {
        child(&of(&self.lock_root), "zookeeper")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new("/locks".parse().unwrap())
    }

    #[test]
    fn hidden_nodes_and_locks_are_no_keys() {
        let layout = layout();
        assert_eq!(layout.key("/a/b"), Some("/a/b".parse().unwrap()));
        for path in [keep("/a"), keep("/"), layout.clock(), layout.session(SessionId::new(7)), "/locks".into()] {
            assert_eq!(layout.key(&path), None, "{path}");
        }
        assert_eq!(layout.key("/locks/a"), None);
        assert_eq!(layout.key("/zookeeper/quota"), None);
        assert!(layout.key("/locks-of-others").is_some());
    }

    #[test]
    fn a_lock_lies_below_the_root_of_locks_under_its_own_name() {
        assert_eq!(layout().lock(&"/a/b".parse().unwrap()), "/locks/a/b");
        assert_eq!(layout().clock(), "/locks/zookeeper/clock");
        assert!(LockName::parse("/zookeeper/clock").is_err(), "a lock lies where this backend keeps its own");
    }

    #[test]
    fn parents_end_at_the_root() {
        assert_eq!(parent("/a/b"), "/a");
        assert_eq!(parent("/a"), "/");
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(ancestors("/a").count(), 0);
        assert_eq!(child("/", "a"), "/a");
    }
}
