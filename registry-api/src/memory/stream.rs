//! The stream of one subscription.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;

use super::feed::Next;
use super::link::{Link, Reachability};
use super::state::State;
use super::store::Shared;
use crate::{Event, ListOptions, Result, Revision, Scope, SnapshotReason, SubscribeFrom};

#[derive(Debug)]
pub(super) struct EventStream {
    shared: Arc<Shared>,
    link: Arc<Link>,
    id: u64,
}

impl EventStream {
    pub(super) fn new(shared: Arc<Shared>, link: Arc<Link>, id: u64) -> Self {
        Self { shared, link, id }
    }
}

impl State {
    /// Begins a subscription: with a snapshot, or with the history after a revision.
    pub(super) fn subscribe(&mut self, scope: &Scope, from: SubscribeFrom) -> u64 {
        let (after, first) = match from {
            SubscribeFrom::Snapshot => (self.revision(), vec![self.snapshot(scope, SnapshotReason::Initial)]),
            SubscribeFrom::After(after)
                if after.incarnation != self.revision().incarnation && after != Revision::ZERO =>
            {
                (self.revision(), vec![self.snapshot(scope, SnapshotReason::Restored)])
            }
            SubscribeFrom::After(after) => match self.feed.since(after, scope) {
                Some(events) => (after, events),
                None => (self.revision(), vec![self.snapshot(scope, SnapshotReason::Compacted)]),
            },
        };
        self.feed.subscribe(scope.clone(), after, first.into_iter())
    }

    fn snapshot(&self, scope: &Scope, reason: SnapshotReason) -> Event {
        let mut listing = self.list(scope, &ListOptions::default());
        // A child that is only a parent is no entry, and subscriptions are about entries.
        listing.children.retain(|child| child.entry.is_some());
        Event::Snapshot { listing, reason }
    }
}

impl Stream for EventStream {
    type Item = Result<Event>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.link.is_closed() {
            return Poll::Ready(None);
        }
        let mut state = self.shared.lock();
        // Looked at under the lock: a change of it wakes every subscription under the same lock afterwards.
        if self.link.reachability() != Reachability::Reachable {
            state.feed.park(self.id, context);
            return Poll::Pending;
        }
        match state.feed.next(self.id, context) {
            Next::Event(event) => Poll::Ready(Some(Ok(event))),
            Next::Snapshot(scope, reason) => Poll::Ready(Some(Ok(state.snapshot(&scope, reason)))),
            Next::Nothing if self.link.is_closed() => Poll::Ready(None),
            Next::Nothing => Poll::Pending,
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.shared.lock().feed.unsubscribe(self.id);
    }
}
