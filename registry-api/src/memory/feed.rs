//! Events on their way: the history that subscriptions resume from, and a bounded buffer for each of them.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Waker};

use crate::{Event, Revision, Scope, SnapshotReason};

/// Buffered values weigh at most this many bytes for each subscription, and the history this many in all.
const BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Feed {
    history: Bounded,
    /// Events up to this revision have left the history.
    forgotten: Revision,
    subscribers: BTreeMap<u64, Subscriber>,
    subscribed: u64,
    subscription_len: usize,
}

#[derive(Debug)]
struct Subscriber {
    scope: Scope,
    /// Events up to here are not for this subscription.
    after: Revision,
    buffer: Bounded,
    gap: Option<SnapshotReason>,
    waker: Option<Waker>,
}

/// What a subscription gets next.
#[derive(Debug)]
pub(super) enum Next {
    Event(Event),
    /// The buffer was given up: a snapshot of this scope, now.
    Snapshot(Scope, SnapshotReason),
    Nothing,
}

impl Feed {
    pub(super) fn new(history_len: usize, subscription_len: usize) -> Self {
        Self {
            history: Bounded::new(history_len),
            forgotten: Revision::ZERO,
            subscribers: BTreeMap::new(),
            subscribed: 0,
            subscription_len,
        }
    }

    pub(super) fn publish(&mut self, event: Event) {
        for subscriber in self.subscribers.values_mut() {
            subscriber.take_in(&event);
        }
        self.history.push(event);
        while let Some(oldest) = self.history.pop_excess() {
            self.forgotten = oldest.revision();
        }
    }

    /// Begins a subscription with these events.
    pub(super) fn subscribe(&mut self, scope: Scope, after: Revision, first: impl Iterator<Item = Event>) -> u64 {
        let mut subscriber =
            Subscriber { scope, after, buffer: Bounded::new(self.subscription_len), gap: None, waker: None };
        for event in first {
            subscriber.push(event);
        }
        self.subscribed += 1;
        self.subscribers.insert(self.subscribed, subscriber);
        self.subscribed
    }

    pub(super) fn unsubscribe(&mut self, id: u64) {
        self.subscribers.remove(&id);
    }

    /// The events after a revision; `None` where the history does not reach back so far.
    pub(super) fn since(&self, after: Revision, scope: &Scope) -> Option<Vec<Event>> {
        if after < self.forgotten {
            return None;
        }
        let wanted = |event: &&Event| event.revision() > after && event.key().is_some_and(|key| scope.contains(key));
        Some(self.history.events.iter().filter(wanted).cloned().collect())
    }

    pub(super) fn next(&mut self, id: u64, context: &Context<'_>) -> Next {
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return Next::Nothing };
        if let Some(reason) = subscriber.gap.take() {
            return Next::Snapshot(subscriber.scope.clone(), reason);
        }
        match subscriber.buffer.pop() {
            Some(event) => Next::Event(event),
            None => {
                subscriber.waker = Some(context.waker().clone());
                Next::Nothing
            }
        }
    }

    /// Asks to be woken without taking an event.
    pub(super) fn park(&mut self, id: u64, context: &Context<'_>) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.waker = Some(context.waker().clone());
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.subscribers.values_mut().for_each(Subscriber::wake);
    }

    pub(super) fn subscriber_count(&self) -> usize {
        self.subscribers.len()
    }

    pub(super) fn history_len(&self) -> usize {
        self.history.events.len()
    }
}

impl Subscriber {
    fn take_in(&mut self, event: &Event) {
        let concerned = event.key().is_some_and(|key| self.scope.contains(key)) && event.revision() > self.after;
        // Behind a gap there is nothing to keep: the snapshot that fills it will show this too.
        if concerned && self.gap.is_none() {
            self.push(event.clone());
        }
    }

    fn push(&mut self, event: Event) {
        self.buffer.push(event);
        if self.buffer.is_over() {
            self.buffer.clear();
            self.gap = Some(SnapshotReason::Overflow);
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Events, bounded by their number and by the bytes of their values.
#[derive(Debug)]
struct Bounded {
    events: VecDeque<Event>,
    len_max: usize,
    bytes: usize,
}

impl Bounded {
    fn new(len_max: usize) -> Self {
        Self { events: VecDeque::new(), len_max, bytes: 0 }
    }

    fn push(&mut self, event: Event) {
        self.bytes += weight(&event);
        self.events.push_back(event);
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= weight(&event);
        Some(event)
    }

    fn pop_excess(&mut self) -> Option<Event> {
        if self.is_over() { self.pop() } else { None }
    }

    /// A single event is never too much, however heavy.
    fn is_over(&self) -> bool {
        self.events.len() > self.len_max.max(1) || (self.events.len() > 1 && self.bytes > BYTES_MAX)
    }

    fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}

/// A snapshot weighs nothing: the store holds its values anyway while they are current.
fn weight(event: &Event) -> usize {
    match event {
        Event::Put { entry, previous } => {
            entry.value.len() + previous.as_ref().map_or(0, |previous| previous.value.len())
        }
        Event::Delete { previous, .. } => previous.value.len(),
        Event::Snapshot { .. } | Event::Progress { .. } => 0,
    }
}
