//! The keyspace: entries in byte order of their keys, and which keys are parents.

mod scope;

pub(super) use self::scope::Listed;

use std::sync::Arc;

use imbl::OrdMap;
use registry_api::{Entry, Key};

/// Every entry.
///
/// Parents are implicit, so beside the entries a count is kept for each key that has children: of its direct children
/// that exist as entries or as parents. With it, "has children" and "is below an ephemeral key" are look-ups, and
/// children that are only parents are found without reading what is below them.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyspace {
    entries: OrdMap<Key, Arc<Entry>>,
    parents: OrdMap<Key, u64>,
    bytes: u64,
}

/// What an entry counts towards the limit of bytes.
pub(super) fn entry_bytes(entry: &Entry) -> u64 {
    (entry.key.as_str().len() + entry.value.len()) as u64
}

impl Keyspace {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of all keys and values.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    /// The entry with the last key in byte order.
    pub(super) fn last(&self) -> Option<&Arc<Entry>> {
        self.entries.get_max().map(|(_, entry)| entry)
    }

    /// Every entry after a key, in byte order.
    pub(super) fn entries_after<'a>(&'a self, after: Option<&Key>) -> impl Iterator<Item = &'a Arc<Entry>> + use<'a> {
        use std::ops::Bound;
        let start = after.map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_str()));
        self.entries.range::<_, str>((start, Bound::Unbounded)).map(|(_, entry)| entry)
    }

    /// Whether some key exists below this one.
    pub(super) fn has_children(&self, key: &Key) -> bool {
        self.parents.contains_key(key)
    }

    /// The ephemeral key that this one would be below.
    ///
    /// Ephemeral keys have no children, so the walk up ends at the first key that has some, or is an entry: usually the
    /// parent.
    pub(super) fn ephemeral_ancestor(&self, key: &Key) -> Option<&Arc<Entry>> {
        let mut child = key.as_str();
        while let Some(parent) = parent_text(child) {
            if self.parents.contains_key(parent) {
                return None;
            }
            if let Some(entry) = self.entries.get(parent) {
                return entry.owner.is_some().then_some(entry);
            }
            child = parent;
        }
        None
    }

    /// Puts an entry in the place of the one with its key, which is returned.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        self.bytes += entry_bytes(&entry);
        let key = entry.key.clone();
        let previous = self.entries.insert(key.clone(), entry);
        match &previous {
            Some(previous) => self.bytes -= entry_bytes(previous),
            None if !self.parents.contains_key(&key) => self.add_to_parents(key),
            None => {}
        }
        previous
    }

    /// Counts a key that did not exist, neither as entry nor as parent.
    fn add_to_parents(&mut self, mut child: Key) {
        while let Some(parent) = child.parent() {
            if let Some(children) = self.parents.get_mut(&parent) {
                *children += 1;
                return;
            }
            self.parents.insert(parent.clone(), 1);
            if self.entries.contains_key(&parent) {
                return;
            }
            child = parent;
        }
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Entry>> {
        let previous = self.entries.remove(key)?;
        self.bytes -= entry_bytes(&previous);
        if !self.parents.contains_key(key) {
            self.remove_from_parents(key.clone());
        }
        Some(previous)
    }

    /// No longer counts a key that exists neither as entry nor as parent any more.
    fn remove_from_parents(&mut self, mut child: Key) {
        while let Some(parent) = child.parent() {
            if let Some(children) = self.parents.get_mut(&parent)
                && *children > 1
            {
                *children -= 1;
                return;
            }
            self.parents.remove(&parent);
            if self.entries.contains_key(&parent) {
                return;
            }
            child = parent;
        }
    }
}

fn parent_text(key: &str) -> Option<&str> {
    key.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
}
