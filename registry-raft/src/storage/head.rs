//! What the log amounts to, without its records: vote, commit, and where it begins and ends.

use super::{LogState, Position, Vote, frame::Body};

/// The state that every frame changes and every segment header carries over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<Position>,
    pub(super) purged: Option<Position>,
    /// The last record, or the last purged one.
    pub(super) last: Option<Position>,
    /// Index of the first record of a log that never had one.
    pub(super) start: u64,
}

impl Head {
    /// Index of the first record that is not purged.
    pub(super) fn first(&self) -> u64 {
        self.purged.map_or(self.start, |purged| purged.index.saturating_add(1))
    }

    /// Index that continues the log.
    pub(super) fn next(&self) -> u64 {
        self.last.map_or(self.start, |last| last.index.saturating_add(1))
    }

    pub(super) fn state(&self) -> LogState {
        LogState { purged: self.purged, first: self.first(), last: self.last }
    }

    /// Takes in what a frame says; an error tells why it cannot follow.
    pub(super) fn apply(&mut self, body: &Body) -> Result<(), &'static str> {
        match body {
            Body::Record(record) => {
                if record.position.index != self.next() {
                    return Err("a record that does not continue the log");
                }
                self.last = Some(record.position);
            }
            Body::Vote(vote) => self.vote = Some(*vote),
            Body::Committed(position) => self.committed = Some(*position),
            Body::Truncate(last) => {
                let next = last.map_or(self.start, |last| last.index.saturating_add(1));
                if next < self.first() || next > self.next() {
                    return Err("a truncation outside of the log");
                }
                self.last = if next == self.first() { self.purged } else { *last };
            }
            Body::Purge(upto) => {
                if upto.index < self.first() && self.purged.is_some() {
                    return Err("a purge of what was purged before");
                }
                self.purged = Some(*upto);
                if self.next() <= upto.index.saturating_add(1) {
                    self.last = Some(*upto);
                }
            }
            Body::Start(index) => {
                if self.last.is_some() {
                    return Err("a start of a log that has records");
                }
                self.start = *index;
            }
            Body::Mark => {}
        }
        Ok(())
    }
}
