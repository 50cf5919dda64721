//! One subscription as applying sees it: a bounded buffer, and what to do when it cannot take a change.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_api::{Revision, Scope, SnapshotReason};
use tokio::sync::Notify;

use super::announcement::Announcement;
use crate::boundary::CREDIT_MAX;
use crate::member::limits::{WATCH_BYTES_MAX, WATCH_EVENTS_MAX};

/// The buffer of one subscription.
#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) id: u64,
    pub(super) scope: Scope,
    buffer: Mutex<Buffer>,
    /// There may be something to do: an event, credit, a gap.
    wake: Notify,
}

/// What waits for the consumer.
#[derive(Debug)]
pub(super) struct Buffer {
    events: VecDeque<Arc<Announcement>>,
    bytes: usize,
    pub(super) mode: Mode,
    /// How many events the consumer has room for.
    pub(super) credit: u64,
}

/// What comes after the events of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Changes as they are applied.
    Live,
    /// What the history holds after this revision. Changes are not buffered.
    Behind(Revision),
    /// There is a gap: a snapshot. Changes are not buffered.
    Gap(SnapshotReason),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Taken,
    /// The buffer was full, and is given up.
    Overflowed,
}

impl Watcher {
    pub(super) fn new(id: u64, scope: Scope, mode: Mode) -> Self {
        let buffer = Buffer { events: VecDeque::new(), bytes: 0, mode, credit: 0 };
        Self { id, scope, buffer: Mutex::new(buffer), wake: Notify::new() }
    }

    /// A change of the scope was applied. Never waits for the consumer.
    pub(super) fn push(&self, change: &Arc<Announcement>) -> Pushed {
        let mut buffer = self.lock();
        if buffer.mode != Mode::Live {
            return Pushed::Taken;
        }
        let bytes = change.weight();
        let full = buffer.events.len() >= WATCH_EVENTS_MAX || buffer.bytes + bytes > WATCH_BYTES_MAX;
        if full {
            buffer.restart(Mode::Gap(SnapshotReason::Overflow));
        } else {
            buffer.bytes += bytes;
            buffer.events.push_back(Arc::clone(change));
        }
        drop(buffer);
        self.wake.notify_one();
        if full { Pushed::Overflowed } else { Pushed::Taken }
    }

    /// Changes after `seen` were not given to this watcher.
    pub(super) fn missed(&self, seen: Revision) {
        let mut buffer = self.lock();
        if buffer.mode == Mode::Live {
            buffer.mode = Mode::Behind(seen);
        }
        drop(buffer);
        self.wake.notify_one();
    }

    /// The consumer has room for so many more.
    pub(super) fn add_credit(&self, events: u64) {
        let mut buffer = self.lock();
        buffer.credit = buffer.credit.saturating_add(events).min(CREDIT_MAX);
        drop(buffer);
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Drops what is buffered and goes on in this mode.
    pub(super) fn restart(&mut self, mode: Mode) {
        // A buffer that was full once need not stay large.
        self.events = VecDeque::new();
        self.bytes = 0;
        self.mode = mode;
    }

    /// Takes one event's worth of credit, if there is some.
    pub(super) fn use_credit(&mut self) -> bool {
        let has_some = self.credit > 0;
        self.credit -= u64::from(has_some);
        has_some
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Announcement>> {
        let change = self.events.pop_front()?;
        self.bytes = self.bytes.saturating_sub(change.weight());
        Some(change)
    }
}
