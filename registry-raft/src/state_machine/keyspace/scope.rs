//! What a scope holds: ranges of the keyspace.
//!
//! Byte order is not tree order: `/a-b` sorts between `/a` and `/a/b`. So a tree is its root and a range of its own, and
//! the children of a key are not contiguous: what lies below a child is skipped by seeking behind it.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;
use registry_api::{Entry, Key, Scope};

use super::Keyspace;

/// A child of a listing: its entry is absent where it is only a parent.
pub(crate) type Listed<'a> = (&'a Key, Option<&'a Arc<Entry>>);

impl Keyspace {
    /// What a listing of the scope shows, only after `after`, in byte order.
    pub(crate) fn listed<'a>(
        &'a self,
        scope: &Scope,
        after: Option<&Key>,
    ) -> Box<dyn Iterator<Item = Listed<'a>> + 'a> {
        match scope {
            Scope::Key(key) => Box::new(self.root(key, after)),
            Scope::Tree(key) => Box::new(self.root(key, after).chain(self.below(key, after))),
            Scope::All => Box::new(self.entries_after(after).map(|entry| (&entry.key, Some(entry)))),
            Scope::Children(key) => Box::new(self.children(key, after)),
        }
    }

    /// The entries of the scope, in byte order: what a delete of it deletes.
    pub(crate) fn in_scope<'a>(&'a self, scope: &Scope) -> impl Iterator<Item = &'a Arc<Entry>> + 'a {
        self.listed(scope, None).filter_map(|(_, entry)| entry)
    }

    fn root<'a>(&'a self, key: &Key, after: Option<&Key>) -> impl Iterator<Item = Listed<'a>> + use<'a> {
        let entry = self.get(key).filter(|entry| after.is_none_or(|after| *after < entry.key));
        entry.into_iter().map(|entry| (&entry.key, Some(entry)))
    }

    fn below<'a>(&'a self, key: &Key, after: Option<&Key>) -> impl Iterator<Item = Listed<'a>> + use<'a> {
        let span = Span::below(key);
        span.range(&self.entries, after).into_iter().flatten().map(|(key, entry)| (key, Some(entry)))
    }

    fn children<'a>(&'a self, key: &Key, after: Option<&Key>) -> impl Iterator<Item = Listed<'a>> + use<'a> {
        let mut entries = Children::new(&self.entries, key, after).peekable();
        let mut parents = Children::new(&self.parents, key, after).peekable();
        std::iter::from_fn(move || {
            let entry_is_next = match (entries.peek(), parents.peek()) {
                (Some((entry, _)), Some((parent, _))) => entry <= parent,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if !entry_is_next {
                return parents.next().map(|(key, _)| (key, None));
            }
            let (key, entry) = entries.next()?;
            parents.next_if(|(parent, _)| *parent == key);
            Some((key, Some(entry)))
        })
    }
}

/// The range of all keys strictly below a key: those that begin with it and a slash.
struct Span {
    start: String,
    /// The first text after all of them: `0` is the character after `/`.
    end: String,
}

impl Span {
    fn below(key: &Key) -> Self {
        Self { start: format!("{key}/"), end: format!("{key}0") }
    }

    fn range<'a, V: Clone>(
        &self,
        map: &'a OrdMap<Key, V>,
        after: Option<&Key>,
    ) -> Option<RangedIter<'a, Key, V, DefaultSharedPtr>> {
        let start = match after {
            Some(after) if after.as_str() >= self.end.as_str() => return None,
            Some(after) if after.as_str() >= self.start.as_str() => Bound::Excluded(after.as_str()),
            _ => Bound::Included(self.start.as_str()),
        };
        Some(map.range::<_, str>((start, Bound::Excluded(self.end.as_str()))))
    }
}

/// The direct children of a key in one map. A key further down makes it seek behind the child that it is below.
struct Children<'a, V: Clone> {
    map: &'a OrdMap<Key, V>,
    span: Span,
    range: Option<RangedIter<'a, Key, V, DefaultSharedPtr>>,
}

impl<'a, V: Clone> Children<'a, V> {
    fn new(map: &'a OrdMap<Key, V>, key: &Key, after: Option<&Key>) -> Self {
        let span = Span::below(key);
        let range = span.range(map, after);
        Self { map, span, range }
    }
}

impl<'a, V: Clone> Iterator for Children<'a, V> {
    type Item = (&'a Key, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, value) = self.range.as_mut()?.next()?;
            let name = key.as_str().get(self.span.start.len()..)?;
            let Some((child, _)) = name.split_once('/') else { return Some((key, value)) };
            let behind = format!("{}{child}0", self.span.start);
            let rest = (Bound::Included(behind.as_str()), Bound::Excluded(self.span.end.as_str()));
            self.range = Some(self.map.range::<_, str>(rest));
        }
    }
}
