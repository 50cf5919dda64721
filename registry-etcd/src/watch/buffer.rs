//! What a subscription has not taken yet: bounded in events and in bytes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use registry_api::{Entry, Event, Result};
use tokio::sync::Notify;

/// How far a consumer may be behind before it gets a snapshot instead.
pub(super) const EVENTS_MAX: usize = 1024;
const BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Result<Event>>,
    bytes: usize,
    /// Nothing more comes.
    ended: bool,
    /// Nobody listens any more.
    dropped: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something was taken, or the consumer is gone.
    taken: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The feed's end.
#[derive(Debug)]
pub(super) struct Sender(Arc<Shared>);

/// The consumer's end.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Shared>);

/// Whether an event found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Found,
    /// The consumer is too slow; the event was not taken.
    None,
}

pub(super) fn channel() -> (Sender, Receiver) {
    let shared = Arc::new(Shared::default());
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl Sender {
    /// Adds an event where there is room. What is pushed into an empty buffer always finds room.
    pub(super) fn push(&self, event: Result<Event>) -> Room {
        let mut queue = self.0.lock();
        let len = len(&event);
        let full = queue.events.len() >= EVENTS_MAX || queue.bytes + len > BYTES_MAX;
        if full && !queue.events.is_empty() {
            return Room::None;
        }
        queue.bytes += len;
        queue.events.push_back(event);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        Room::Found
    }

    /// Waits until everything was taken, or nobody listens any more.
    pub(super) async fn drained(&self) {
        self.wait_until(|queue| queue.events.is_empty() || queue.dropped).await;
    }

    /// Waits until nobody listens any more.
    pub(super) async fn dropped(&self) {
        self.wait_until(|queue| queue.dropped).await;
    }

    async fn wait_until(&self, reached: impl Fn(&Queue) -> bool) {
        loop {
            let taken = self.0.taken.notified();
            tokio::pin!(taken);
            // Registered before the look, so that nothing that happens after it is missed.
            taken.as_mut().enable();
            if reached(&self.0.lock()) {
                return;
            }
            taken.await;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.ended = true;
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }
}

impl Stream for Receiver {
    type Item = Result<Event>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut queue = self.0.lock();
        if let Some(event) = queue.events.pop_front() {
            queue.bytes = queue.bytes.saturating_sub(len(&event));
            self.0.taken.notify_waiters();
            return Poll::Ready(Some(event));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.lock().dropped = true;
        self.0.taken.notify_waiters();
    }
}

fn len(event: &Result<Event>) -> usize {
    let of = |entry: &Entry| entry.key.as_str().len() + entry.value.len() + 64;
    match event {
        Ok(Event::Put { entry, previous }) => of(entry) + previous.as_ref().map_or(0, of),
        Ok(Event::Delete { previous, .. }) => of(previous),
        // A snapshot is as long as its scope: it goes into an empty buffer and is not counted.
        Ok(_) | Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use registry_api::Revision;

    use super::*;

    fn progress(counter: u64) -> Result<Event> {
        Ok(Event::Progress { revision: Revision::new(0, counter) })
    }

    #[tokio::test]
    async fn a_full_buffer_takes_nothing_until_it_was_drained() {
        let (sender, mut receiver) = channel();
        for number in 0..EVENTS_MAX as u64 {
            assert_eq!(sender.push(progress(number)), Room::Found);
        }
        assert_eq!(sender.push(progress(9999)), Room::None);
        for number in 0..EVENTS_MAX as u64 {
            assert_eq!(receiver.next().await.unwrap().unwrap().revision().counter, number);
        }
        sender.drained().await;
        assert_eq!(sender.push(progress(1)), Room::Found);
        drop(sender);
        assert!(receiver.next().await.is_some());
        assert!(receiver.next().await.is_none());
    }

    #[tokio::test]
    async fn the_end_of_the_consumer_is_seen() {
        let (sender, receiver) = channel();
        sender.push(progress(1));
        let seen = tokio::spawn(async move {
            sender.dropped().await;
            sender.drained().await;
        });
        drop(receiver);
        seen.await.unwrap();
    }
}
