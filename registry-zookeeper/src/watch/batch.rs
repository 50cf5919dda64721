//! Putting what was read back into the order of revisions.
//!
//! A read shows its nodes at one moment, and the watch has told of every change before that moment by the time the answer
//! is there. What it told of meanwhile is read next; those of it that are older than the newest of this batch belong
//! into this batch. So a batch is told one read later where changes follow each other closely, and at once where they do
//! not.

use std::collections::BTreeMap;

use registry_api::{Entry, Key, Revision};

/// A key as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: Key,
    /// `None` where it does not exist.
    pub(super) entry: Option<Entry>,
    pub(super) revision: Revision,
}

/// What was read and not told yet.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pending: BTreeMap<Key, Change>,
}

impl Batch {
    /// Takes in what was read after the pending changes, and gives what can be told now: the pending ones with those of
    /// the new ones that belong before or among them.
    pub(super) fn advance(&mut self, read: Vec<Change>) -> Vec<Change> {
        let newest = self.pending.values().map(|change| change.revision).max().unwrap_or_default();
        let mut told: Vec<_> = std::mem::take(&mut self.pending).into_values().collect();
        for change in read {
            if change.revision > newest {
                self.pending.insert(change.key.clone(), change);
            } else if !told.contains(&change) {
                told.push(change);
            }
        }
        in_order(told)
    }

    /// Gives everything: nothing changed since it was read.
    pub(super) fn finish(&mut self) -> Vec<Change> {
        in_order(std::mem::take(&mut self.pending).into_values().collect())
    }

    /// Whether something of this key is still to be told.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.pending.contains_key(key)
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }
}

fn in_order(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|one, other| one.revision.cmp(&other.revision).then_with(|| one.key.cmp(&other.key)));
    changes
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put(key: &str, at: u64) -> Change {
        let key: Key = key.parse().unwrap();
        let revision = Revision::new(0, at);
        let entry = Entry { key: key.clone(), value: Bytes::new(), created: revision, modified: revision, owner: None };
        Change { key, entry: Some(entry), revision }
    }

    fn revisions(changes: &[Change]) -> Vec<u64> {
        changes.iter().map(|change| change.revision.counter).collect()
    }

    #[test]
    fn what_is_older_than_the_newest_of_a_batch_is_told_with_it() {
        let mut batch = Batch::default();
        assert_eq!(batch.advance(vec![put("/a", 6), put("/c", 2)]), []);
        // While that was read, the watch told of these.
        let told = batch.advance(vec![put("/b", 5), put("/d", 9)]);
        assert_eq!(revisions(&told), [2, 5, 6]);
        assert_eq!(revisions(&batch.finish()), [9]);
        assert_eq!(batch.finish(), []);
    }

    #[test]
    fn a_change_that_was_read_twice_is_told_once() {
        let mut batch = Batch::default();
        batch.advance(vec![put("/a", 6)]);
        assert_eq!(revisions(&batch.advance(vec![put("/a", 6)])), [6]);
        assert_eq!(batch.finish(), []);
    }

    #[test]
    fn a_key_that_changes_all_the_time_is_told_all_the_time() {
        let mut batch = Batch::default();
        batch.advance(vec![put("/a", 1)]);
        for at in 2..50 {
            assert_eq!(revisions(&batch.advance(vec![put("/a", at)])), [at - 1]);
        }
    }
}
