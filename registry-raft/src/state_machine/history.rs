//! The last changes of keys by revision: what subscriptions resume from.

use std::sync::Arc;

use imbl::OrdMap;
use registry_api::{Entry, Revision, Scope};

use super::Change;
use super::keyspace::entry_bytes;
use super::limits::{EVENT_OVERHEAD, Limits};

/// A bounded history: at most so many revisions and so many bytes, the newest ones.
#[derive(Clone, Debug)]
pub(super) struct History {
    revisions: OrdMap<Revision, Arc<[Change]>>,
    bytes: u64,
    /// Every change after this revision is here.
    after: Revision,
}

impl History {
    /// An empty history that begins after this revision.
    pub(super) fn starting_after(revision: Revision) -> Self {
        Self { revisions: OrdMap::new(), bytes: 0, after: revision }
    }

    /// The revision that the history begins after.
    pub(super) fn begins_after(&self) -> Revision {
        self.after
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.revisions.len()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the changes of keys of one revision, and forgets the oldest revisions beyond the limits. A revision that is
    /// larger than the limit by itself is not kept either.
    pub(super) fn record(&mut self, revision: Revision, changes: &[Change], limits: &Limits) {
        let changes: Arc<[Change]> = changes.iter().filter(|change| change.entry().is_some()).cloned().collect();
        if changes.is_empty() {
            return;
        }
        self.bytes += bytes_of(&changes);
        self.revisions.insert(revision, changes);
        while self.revisions.len() > limits.history_revisions || self.bytes > limits.history_bytes {
            let Some((oldest, changes)) = self.revisions.get_min().cloned() else { return };
            self.revisions.remove(&oldest);
            self.bytes -= bytes_of(&changes);
            self.after = oldest;
        }
    }

    /// The changes after a revision, oldest first; `None` where they are not all here any more.
    pub(super) fn after(&self, revision: Revision) -> Option<impl Iterator<Item = &Change>> {
        use std::ops::Bound;
        if revision < self.after || revision.incarnation != self.after.incarnation {
            return None;
        }
        let range = (Bound::Excluded(&revision), Bound::Unbounded);
        Some(self.revisions.range::<_, Revision>(range).flat_map(|(_, changes)| changes.iter()))
    }

    /// The changes of keys of a scope after a revision.
    pub(super) fn in_scope<'a>(
        &'a self,
        scope: &Scope,
        revision: Revision,
    ) -> Option<impl Iterator<Item = Change> + use<'a>> {
        let scope = scope.clone();
        let inside = move |change: &&Change| change.entry().is_some_and(|entry| scope.contains(&entry.key));
        Some(self.after(revision)?.filter(inside).cloned())
    }

    /// The changes of each revision from this one on.
    pub(super) fn from(&self, revision: Revision) -> impl Iterator<Item = (Revision, &[Change])> {
        self.revisions.range::<_, Revision>(revision..).map(|(revision, changes)| (*revision, &**changes))
    }
}

/// What changes count towards the limit. Previous entries are counted although they are usually shared with the change
/// before, because after a snapshot they are not.
fn bytes_of(changes: &[Change]) -> u64 {
    let entry = |entry: &Arc<Entry>| entry_bytes(entry);
    let change = |change: &Change| match change {
        Change::Put { entry: new, previous } => entry(new) + previous.as_ref().map_or(0, entry) + EVENT_OVERHEAD,
        Change::Delete { previous, .. } => entry(previous) + EVENT_OVERHEAD,
        _ => 0,
    };
    changes.iter().map(change).sum()
}
