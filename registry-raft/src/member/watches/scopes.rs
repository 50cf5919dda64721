//! Who wants the changes of a key: an index by the root of each scope, so that a change costs its depth, not the number
//! of subscriptions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use registry_api::Scope;

use super::watcher::Watcher;

type Watchers = BTreeMap<u64, Arc<Watcher>>;

/// The watchers by what they watch.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    keys: HashMap<Box<str>, Watchers>,
    children: HashMap<Box<str>, Watchers>,
    trees: HashMap<Box<str>, Watchers>,
    all: Watchers,
    len: usize,
}

impl Scopes {
    pub(super) fn insert(&mut self, watcher: Arc<Watcher>) {
        let watchers = match &watcher.scope {
            Scope::Key(key) => self.keys.entry(key.as_str().into()).or_default(),
            Scope::Children(key) => self.children.entry(key.as_str().into()).or_default(),
            Scope::Tree(key) => self.trees.entry(key.as_str().into()).or_default(),
            Scope::All => &mut self.all,
        };
        watchers.insert(watcher.id, watcher);
        self.len += 1;
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, watcher: &Watcher) -> bool {
        let removed = match &watcher.scope {
            Scope::Key(key) => remove_from(&mut self.keys, key.as_str(), watcher.id),
            Scope::Children(key) => remove_from(&mut self.children, key.as_str(), watcher.id),
            Scope::Tree(key) => remove_from(&mut self.trees, key.as_str(), watcher.id),
            Scope::All => self.all.remove(&watcher.id).is_some(),
        };
        self.len -= usize::from(removed);
        removed
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Visits each watcher whose scope holds this key, once.
    pub(super) fn visit(&self, key: &str, mut visit: impl FnMut(&Watcher)) {
        let found = self.keys.get(key).into_iter();
        let parent = key.rsplit_once('/').map_or("", |(parent, _name)| parent);
        let found = found.chain(self.children.get(parent));
        let above = key.match_indices('/').filter_map(|(at, _slash)| key.get(..at)).chain([key]);
        let found = found.chain(above.filter_map(|root| self.trees.get(root)));
        for watchers in found.chain([&self.all]) {
            watchers.values().for_each(|watcher| visit(watcher));
        }
    }

    /// Visits every watcher.
    pub(super) fn visit_all(&self, mut visit: impl FnMut(&Watcher)) {
        let rooted = self.keys.values().chain(self.children.values()).chain(self.trees.values());
        for watchers in rooted.chain([&self.all]) {
            watchers.values().for_each(|watcher| visit(watcher));
        }
    }
}

fn remove_from(index: &mut HashMap<Box<str>, Watchers>, root: &str, id: u64) -> bool {
    let Some(watchers) = index.get_mut(root) else {
        return false;
    };
    let removed = watchers.remove(&id).is_some();
    if watchers.is_empty() {
        index.remove(root);
    }
    removed
}
