//! What one subscription knows and has still to tell: a copy of its scope, and a bounded queue of events. A queue that
//! runs over is given up for a snapshot of the copy.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use registry_api::{Child, Entry, Event, Key, Listing, Revision, Scope, SnapshotReason};

use super::batch::Change;
use crate::error::Failure;
use crate::list::Tree;

/// How many events wait for a slow consumer.
const LEN_MAX: usize = 4096;
/// How many bytes their values have together.
const BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Feed {
    scope: Scope,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    /// What `entries` shows.
    revision: Revision,
    queue: VecDeque<Event>,
    bytes: usize,
    /// A snapshot is due, and takes the place of the queue.
    gap: Option<SnapshotReason>,
    end: Option<End>,
    waker: Option<Waker>,
}

/// How a subscription ends.
#[derive(Debug)]
enum End {
    /// With this error.
    Failed(Failure),
    /// Quietly.
    Over,
}

impl Feed {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scope was read anew: a snapshot of it is due.
    pub(super) fn replace(&self, tree: Tree, reason: SnapshotReason) {
        let entries = self.entries(&tree);
        let mut state = self.lock();
        state.revision = tree.revision.max(state.revision);
        state.entries = entries;
        state.open_gap(reason);
    }

    /// The scope was read anew after an interruption: a snapshot is due if anything was missed.
    pub(super) fn compare(&self, tree: Tree) {
        let entries = self.entries(&tree);
        let mut state = self.lock();
        if state.entries == entries {
            return;
        }
        state.revision = tree.revision.max(state.revision);
        state.entries = entries;
        state.open_gap(SnapshotReason::Reconnected);
    }

    fn entries(&self, tree: &Tree) -> BTreeMap<Key, Entry> {
        let entries = tree.entries().filter(|entry| self.scope.contains(&entry.key));
        entries.map(|entry| (entry.key.clone(), entry)).collect()
    }

    /// Whether a key is among those told.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.lock().entries.contains_key(key)
    }

    /// Tells changes, in the order of their revisions. What is known already is left out.
    pub(super) fn tell(&self, changes: Vec<Change>) {
        let mut state = self.lock();
        for change in changes {
            state.apply(change);
        }
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.lock().end(End::Failed(failure));
    }

    pub(super) fn close(&self) {
        self.lock().end(End::Over);
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Failure>>> {
        let mut state = self.lock();
        if let Some(reason) = state.gap.take() {
            return Poll::Ready(Some(Ok(state.snapshot(reason))));
        }
        if let Some(event) = state.queue.pop_front() {
            state.bytes = state.bytes.saturating_sub(weight(&event));
            return Poll::Ready(Some(Ok(event)));
        }
        match state.end.take() {
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Some(end) => {
                state.end = Some(End::Over);
                Poll::Ready(match end {
                    End::Failed(failure) => Some(Err(failure)),
                    End::Over => None,
                })
            }
        }
    }
}

impl State {
    fn apply(&mut self, change: Change) {
        let event = match change.entry {
            Some(entry) => {
                let previous = self.entries.insert(entry.key.clone(), entry.clone());
                if previous.as_ref().is_some_and(|previous| previous.modified == entry.modified) {
                    return;
                }
                Event::Put { entry, previous }
            }
            None => match self.entries.remove(&change.key) {
                Some(previous) => Event::Delete { previous, revision: change.revision.max(self.revision) },
                None => return,
            },
        };
        self.revision = self.revision.max(event.revision());
        if self.gap.is_some() {
            // The snapshot that is due shows this, too.
            return;
        }
        self.bytes += weight(&event);
        self.queue.push_back(event);
        if self.queue.len() > LEN_MAX || (self.queue.len() > 1 && self.bytes > BYTES_MAX) {
            self.open_gap(SnapshotReason::Overflow);
        }
        self.wake();
    }

    fn open_gap(&mut self, reason: SnapshotReason) {
        self.queue.clear();
        self.bytes = 0;
        // The consumer has not seen the first one yet: this one takes its place.
        self.gap = self.gap.take().or(Some(reason));
        self.wake();
    }

    fn snapshot(&self, reason: SnapshotReason) -> Event {
        let children =
            self.entries.values().map(|entry| Child { key: entry.key.clone(), entry: Some(entry.clone()) }).collect();
        Event::Snapshot { listing: Listing { revision: self.revision, children, next: None }, reason }
    }

    fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Put { entry, previous } => {
            entry.value.len() + previous.as_ref().map_or(0, |previous| previous.value.len())
        }
        Event::Delete { previous, .. } => previous.value.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put(key: &str, at: u64, value: &str) -> Change {
        let key: Key = key.parse().unwrap();
        let revision = Revision::new(0, at);
        let value = Bytes::copy_from_slice(value.as_bytes());
        let entry = Entry { key: key.clone(), value, created: revision, modified: revision, owner: None };
        Change { key, entry: Some(entry), revision }
    }

    fn gone(key: &str, at: u64) -> Change {
        Change { key: key.parse().unwrap(), entry: None, revision: Revision::new(0, at) }
    }

    fn next(feed: &Feed) -> Option<Event> {
        match feed.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Some(event)) => Some(event.unwrap()),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    #[test]
    fn changes_carry_what_was_told_before() {
        let feed = Feed::new(Scope::All);
        feed.tell(vec![put("/a", 1, "one"), put("/a", 2, "two"), gone("/a", 3), gone("/a", 4), put("/a", 2, "two")]);
        assert!(matches!(next(&feed), Some(Event::Put { previous: None, .. })));
        assert!(matches!(next(&feed), Some(Event::Put { previous: Some(previous), .. }) if &*previous.value == b"one"));
        let deleted =
            Some(Event::Delete { previous: put("/a", 2, "two").entry.unwrap(), revision: Revision::new(0, 3) });
        assert_eq!(next(&feed), deleted);
    }

    #[test]
    fn a_change_that_is_known_is_not_told_again() {
        let feed = Feed::new(Scope::All);
        feed.tell(vec![put("/a", 1, "one"), put("/a", 1, "one"), gone("/b", 2)]);
        assert!(next(&feed).is_some());
        assert_eq!(next(&feed), None);
    }

    #[test]
    fn a_consumer_that_falls_behind_gets_a_snapshot_and_then_what_follows() {
        let feed = Feed::new(Scope::All);
        let last = u64::try_from(LEN_MAX).unwrap() + 1;
        for at in 1..=last {
            feed.tell(vec![put("/a", at, "")]);
        }
        let Some(Event::Snapshot { listing, reason: SnapshotReason::Overflow }) = next(&feed) else { panic!("no gap") };
        assert_eq!((listing.revision, listing.children.len()), (Revision::new(0, last), 1));
        feed.tell(vec![gone("/a", last + 1)]);
        assert!(matches!(next(&feed), Some(Event::Delete { .. })));
        assert_eq!(next(&feed), None);
    }

    #[test]
    fn an_end_is_told_once_after_everything_else() {
        let feed = Feed::new(Scope::All);
        feed.tell(vec![put("/a", 1, "")]);
        feed.fail(Failure::invalid("cannot be helped"));
        feed.close();
        assert!(next(&feed).is_some());
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(feed.poll(&mut context), Poll::Ready(Some(Err(_)))));
        assert!(matches!(feed.poll(&mut context), Poll::Ready(None)));
    }
}
