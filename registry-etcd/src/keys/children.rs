//! The direct children of a key, found among all keys below it in byte order.
//!
//! A child that is only a parent shows late: `/p/a` is known by `/p/a/x`, which comes after `/p/a-b`, as `-` is before
//! `/`. So a child is only settled when no later key can bring one that belongs before it.

use std::collections::BTreeMap;

use registry_api::{Child, Entry, Key};

use super::range::KeyRange;

pub(super) struct Children {
    /// `/p/`
    prefix: String,
    after: Option<Key>,
    limit: usize,
    found: BTreeMap<Key, Option<Entry>>,
    /// The last key that was looked at.
    position: Vec<u8>,
}

impl Children {
    pub(super) fn new(parent: &Key, after: Option<&Key>, limit: usize) -> Self {
        let (prefix, after) = (format!("{parent}/"), after.cloned());
        Self { prefix, after, limit, found: BTreeMap::new(), position: Vec::new() }
    }

    /// Takes note of a key below the parent. Where it lies deeper, returns everything below the child that it shows:
    /// there is nothing more to learn there.
    pub(super) fn add(&mut self, key: &[u8], entry: impl FnOnce() -> Option<Entry>) -> Option<KeyRange> {
        self.position = key.to_vec();
        let text = std::str::from_utf8(key).ok()?;
        let below = text.strip_prefix(self.prefix.as_str())?;
        match below.split_once('/') {
            None => {
                let entry = entry()?;
                if self.is_asked_for(&entry.key) {
                    self.found.insert(entry.key.clone(), Some(entry));
                }
                None
            }
            Some((name, _)) => {
                let child = format!("{}{name}", self.prefix);
                // What is below a name that is no key is no child, and neither is what another program named so.
                if Key::parse(text).is_ok()
                    && let Ok(key) = Key::parse(&child)
                    && self.is_asked_for(&key)
                {
                    self.found.entry(key).or_insert(None);
                }
                Key::parse(text).is_ok().then(|| KeyRange::below(child.as_bytes()))
            }
        }
    }

    fn is_asked_for(&self, child: &Key) -> bool {
        self.after.as_ref().is_none_or(|after| child > after)
    }

    /// Whether one more than the limit is found and settled.
    pub(super) fn are_enough(&self) -> bool {
        let Some(last) = self.found.keys().nth(self.limit) else { return false };
        self.position >= self.settled_at(last)
    }

    /// From which key on nothing can come before this child: a shorter name that it begins with, followed by a
    /// character before the slash, may still show as a parent until its children are behind.
    fn settled_at(&self, child: &Key) -> Vec<u8> {
        let text = child.as_str();
        let name = text.get(self.prefix.len()..).unwrap_or_default();
        match name.find(|character| character < '/') {
            Some(at) => {
                let shorter = text.get(..self.prefix.len() + at).unwrap_or(text);
                KeyRange::below(shorter.as_bytes()).end
            }
            None => text.as_bytes().to_vec(),
        }
    }

    /// In order; at most one more than the limit matters.
    pub(super) fn into_list(self) -> Vec<Child> {
        self.found.into_iter().map(|(key, entry)| Child { key, entry }).collect()
    }
}

#[cfg(test)]
mod tests {
    use registry_api::Revision;

    use super::*;

    fn walk(keys: &[&str], after: Option<&str>, limit: usize) -> Vec<(String, bool)> {
        let parent = Key::parse("/p").unwrap();
        let after = after.map(|text| Key::parse(text).unwrap());
        let mut children = Children::new(&parent, after.as_ref(), limit);
        let mut sorted: Vec<_> = keys.iter().map(|name| format!("/p/{name}")).collect();
        sorted.sort();
        for text in sorted {
            children.add(text.as_bytes(), || {
                let (key, at) = (Key::parse(&text).ok()?, Revision::ZERO);
                Some(Entry { key, value: bytes::Bytes::new(), created: at, modified: at, owner: None })
            });
            if children.are_enough() {
                break;
            }
        }
        let list = children.into_list().into_iter().take(limit);
        list.map(|child| (child.key.name().to_owned(), child.entry.is_some())).collect()
    }

    fn expected(list: &[(&str, bool)]) -> Vec<(String, bool)> {
        list.iter().map(|(name, is_key)| ((*name).to_owned(), *is_key)).collect()
    }

    #[test]
    fn parents_are_named_in_their_place() {
        let keys = ["a-b", "a/x", "a/y", "c", "c/x", "d"];
        let all = expected(&[("a", false), ("a-b", true), ("c", true), ("d", true)]);
        assert_eq!(walk(&keys, None, usize::MAX), all);
        for size in 1..5 {
            assert_eq!(walk(&keys, None, size), all[..size.min(4)], "a page of {size}");
        }
        assert_eq!(walk(&keys, Some("/p/a"), 1), all[1..2]);
        assert_eq!(walk(&keys, Some("/p/a-b"), 9), all[2..]);
    }

    #[test]
    fn names_that_are_no_keys_are_left_out() {
        assert_eq!(walk(&["a", "b//c", "c/"], None, 9), expected(&[("a", true)]));
    }
}
