//! What was accepted and is not yet on disk: the bounded queue between the log's callers and its writer.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Done, frame::Body};

/// A group is closed when it reaches this many bytes.
const GROUP_BYTES: usize = 8 << 20;

/// One accepted call.
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) bodies: Vec<Body>,
    pub(super) done: Done,
    bytes: usize,
    since: Instant,
}

/// The accepted calls in order.
#[derive(Default)]
pub(super) struct Queue {
    calls: VecDeque<Call>,
    last_number: u64,
    /// Bytes of the calls that are waiting or being written.
    pending_bytes: usize,
    /// When the oldest call of the group being written was accepted.
    writing_since: Option<Instant>,
}

impl Queue {
    /// The number that the next call will have.
    pub(super) fn next_number(&self) -> u64 {
        self.last_number.saturating_add(1)
    }

    pub(super) fn push(&mut self, bodies: Vec<Body>, done: Done) {
        let bytes = bodies.iter().map(weight).sum();
        self.last_number = self.next_number();
        self.pending_bytes = self.pending_bytes.saturating_add(bytes);
        self.calls.push_back(Call { number: self.last_number, bodies, done, bytes, since: Instant::now() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Takes the calls that will share the next flush; empty if there are none.
    pub(super) fn take_group(&mut self) -> Vec<Call> {
        let mut group = Vec::new();
        let mut bytes = 0usize;
        while bytes < GROUP_BYTES {
            let Some(call) = self.calls.pop_front() else { break };
            bytes = bytes.saturating_add(call.bytes);
            group.push(call);
        }
        self.writing_since = group.first().map(|call| call.since);
        group
    }

    /// The group was written.
    pub(super) fn finished(&mut self, group: &[Call]) {
        let bytes = group.iter().map(|call| call.bytes).sum();
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
        self.writing_since = None;
    }

    /// How long the oldest unfinished call has been waiting.
    pub(super) fn oldest(&self) -> Option<Duration> {
        let oldest = self.writing_since.or_else(|| self.calls.front().map(|call| call.since));
        oldest.map(|since| since.elapsed())
    }

    /// Takes everything that waits, because the log stopped.
    pub(super) fn abandon(&mut self) -> Vec<Call> {
        self.pending_bytes = 0;
        self.calls.drain(..).collect()
    }
}

fn weight(body: &Body) -> usize {
    match body {
        Body::Record(record) => record.weight(),
        _ => 64,
    }
}
