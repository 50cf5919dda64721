//! One subscription as its consumer sees it: messages of events, in order, without gap and duplicate.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use registry_api::{Revision, SnapshotReason};
use tokio::time::timeout;

use super::Watches;
use super::announcement::Announcement;
use super::watcher::{Buffer, Mode, Watcher};
use crate::boundary::PART_LEN;
use crate::convert::cause_of;
use crate::member::limits::{CATCH_UP_LEN, EVENTS_PER_MESSAGE_MAX, PROGRESS_AFTER};
use crate::member::listing::ListWalk;
use crate::proto;
use crate::proto::watch_event::Event;
use crate::state_machine::StateMachine;

/// A subscription at this member. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Subscription {
    watches: Arc<Watches>,
    watcher: Arc<Watcher>,
    /// A snapshot that is being sent.
    snapshot: Option<(SnapshotReason, ListWalk)>,
    /// Events from the history; they come before those of the buffer.
    backlog: VecDeque<Arc<Announcement>>,
    /// Buffered events up to here were in the snapshot or in the backlog already.
    floor: Revision,
    /// The consumer knows that nothing is missing up to here.
    told: Revision,
}

/// Gives credit to a subscription.
#[derive(Clone, Debug)]
pub(crate) struct CreditGiver(Arc<Watcher>);

impl CreditGiver {
    /// The consumer has room for so many more events.
    pub(crate) fn add(&self, events: u64) {
        self.0.add_credit(events);
    }
}

/// What can be done now.
enum Step {
    Send(Vec<Bytes>),
    /// The buffer is not live: begin again.
    Restart(Mode),
    Wait,
}

impl Subscription {
    pub(super) fn new(watches: Arc<Watches>, watcher: Arc<Watcher>) -> Self {
        Self { watches, watcher, snapshot: None, backlog: VecDeque::new(), floor: Revision::ZERO, told: Revision::ZERO }
    }

    /// What gives credit to it.
    pub(crate) fn credit(&self) -> CreditGiver {
        CreditGiver(Arc::clone(&self.watcher))
    }

    /// The next events, encoded, as soon as there are some and the consumer has room for them; never none. Each uses one
    /// credit.
    ///
    /// # Cancellation
    ///
    /// Safe while it waits; what it returned was taken from the buffer.
    pub(crate) async fn next(&mut self) -> Vec<Bytes> {
        loop {
            match self.step() {
                Step::Send(events) => {
                    self.watches.meters.events.increment(events.len() as u64);
                    return events;
                }
                Step::Restart(mode) => {
                    self.restart(mode, self.watches.quorum.state());
                }
                Step::Wait => {
                    if timeout(PROGRESS_AFTER, self.watcher.woken()).await.is_err()
                        && let Some(progress) = self.progress()
                    {
                        return vec![progress];
                    }
                }
            }
        }
    }

    /// The buffer is locked only to take events out, never while they are encoded: applying waits for it.
    fn step(&mut self) -> Step {
        if self.snapshot.is_some() {
            if !self.watcher.lock().use_credit() {
                return Step::Wait;
            }
            if let Some(part) = self.snapshot_part() {
                return Step::Send(vec![part]);
            }
        }
        let watcher = Arc::clone(&self.watcher);
        let mut buffer = watcher.lock();
        if buffer.credit == 0 {
            return Step::Wait;
        }
        let changes = self.take(&mut buffer);
        if !changes.is_empty() {
            drop(buffer);
            let mut events = Vec::with_capacity(changes.len());
            events.extend(changes.iter().filter_map(|change| change.encoded()));
            return Step::Send(events);
        }
        match buffer.mode {
            Mode::Live => Step::Wait,
            mode @ (Mode::Behind(_) | Mode::Gap(_)) => {
                // From here on changes are buffered; the state that is looked at next is at least as far as any change
                // that was not.
                buffer.restart(Mode::Live);
                Step::Restart(mode)
            }
        }
    }

    fn snapshot_part(&mut self) -> Option<Bytes> {
        let (reason, walk) = self.snapshot.as_mut()?;
        let part = walk.next_part();
        let Some(part) = part else {
            self.snapshot = None;
            return None;
        };
        let cause = cause_of(*reason).into();
        if part.last {
            self.told = walk.revision();
            self.snapshot = None;
        }
        Some(encoded(Event::Snapshot(proto::SnapshotPart { cause, part: Some(part) })))
    }

    /// Changes of keys, of the backlog and then of the buffer: as many as credit and one message allow.
    fn take(&mut self, buffer: &mut Buffer) -> Vec<Arc<Announcement>> {
        let mut changes = Vec::new();
        let mut bytes = 0;
        while changes.len() < EVENTS_PER_MESSAGE_MAX && bytes < PART_LEN && buffer.credit > 0 {
            let Some(change) = self.backlog.pop_front().or_else(|| self.pop_new(buffer)) else { break };
            buffer.credit -= 1;
            bytes += change.weight();
            self.told = self.told.max(change.revision());
            changes.push(change);
        }
        changes
    }

    fn pop_new(&self, buffer: &mut Buffer) -> Option<Arc<Announcement>> {
        std::iter::from_fn(|| buffer.pop()).find(|change| change.revision() > self.floor)
    }

    /// Begins again from this state, which holds every change that was not buffered.
    fn restart(&mut self, mode: Mode, state: Arc<StateMachine>) {
        match mode {
            Mode::Live => {}
            Mode::Gap(reason) => self.begin_snapshot(reason, state),
            Mode::Behind(after) if after.incarnation != state.revision().incarnation => {
                self.begin_snapshot(SnapshotReason::Restored, state);
            }
            Mode::Behind(after) => self.catch_up(after, state),
        }
    }

    fn begin_snapshot(&mut self, reason: SnapshotReason, state: Arc<StateMachine>) {
        self.floor = state.revision();
        self.snapshot = Some((reason, ListWalk::new(state, self.watcher.scope.clone())));
    }

    /// Takes the next events of the history, whole revisions at a time.
    fn catch_up(&mut self, after: Revision, state: Arc<StateMachine>) {
        let reached = after <= state.revision();
        let Some(history) = reached.then(|| state.events_after(&self.watcher.scope, after)).flatten() else {
            return self.begin_snapshot(SnapshotReason::Compacted, Arc::clone(&state));
        };
        let mut last = after;
        for change in history {
            let revision = change.revision().unwrap_or(last);
            if self.backlog.len() >= CATCH_UP_LEN && revision != last {
                // More than is taken at a time: the rest later, from the history of then.
                self.watcher.lock().restart(Mode::Behind(last));
                return;
            }
            last = revision;
            self.backlog.push_back(Arc::new(change.into()));
        }
        self.floor = state.revision();
    }

    /// Tells how far a quiet subscription is, where the consumer does not know.
    fn progress(&mut self) -> Option<Bytes> {
        // In this order: an empty buffer means that every change up to the revision read before was delivered.
        let revision = self.watches.revision();
        let mut buffer = self.watcher.lock();
        let idle = buffer.mode == Mode::Live && buffer.is_empty() && self.backlog.is_empty() && self.snapshot.is_none();
        if !idle || revision <= self.told || !buffer.use_credit() {
            return None;
        }
        self.told = revision;
        Some(encoded(Event::Progress(revision.into())))
    }
}

fn encoded(event: Event) -> Bytes {
    proto::WatchEvent { event: Some(event) }.encode_to_vec().into()
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.watches.remove(&self.watcher);
    }
}
