//! Where the records stand on disk.

use std::collections::VecDeque;

use super::{Position, frame::Body};

/// Where one record's frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Id of the segment.
    pub(super) segment: u64,
    /// Offset of the frame in it.
    pub(super) offset: u32,
    /// Length of the frame.
    pub(super) length: u32,
}

/// A frame that was written, as far as it matters for finding records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Placed {
    /// The record with this index is here.
    Record(u64, Place),
    /// Records from this index on are void.
    Cut(u64),
    /// Records up to this index are gone.
    Purged(u64),
    /// The empty log continues at this index.
    Start(u64),
}

impl Placed {
    /// What a frame that was written at `place` means.
    pub(super) fn of(body: &Body, place: Place) -> Option<Self> {
        match body {
            Body::Record(record) => Some(Self::Record(record.position.index, place)),
            Body::Truncate(last) => Some(Self::Cut(after(*last))),
            Body::Purge(upto) => Some(Self::Purged(upto.index)),
            Body::Start(index) => Some(Self::Start(*index)),
            Body::Vote(_) | Body::Committed(_) | Body::Mark => None,
        }
    }
}

fn after(last: Option<Position>) -> u64 {
    last.map_or(0, |last| last.index.saturating_add(1))
}

/// The places of consecutive records; 16 bytes each.
#[derive(Debug, Default)]
pub(super) struct Places {
    front: u64,
    places: VecDeque<Place>,
}

impl Places {
    /// No records; the first will have this index.
    pub(super) fn starting_at(front: u64) -> Self {
        Self { front, places: VecDeque::new() }
    }

    /// Index of the first record with a place.
    pub(super) fn front(&self) -> u64 {
        self.front
    }

    pub(super) fn get(&self, index: u64) -> Option<Place> {
        let at = usize::try_from(index.checked_sub(self.front)?).ok()?;
        self.places.get(at).copied()
    }

    /// Id of the oldest segment that holds a record.
    pub(super) fn oldest_segment(&self) -> Option<u64> {
        self.places.front().map(|place| place.segment)
    }

    pub(super) fn apply(&mut self, placed: Placed) {
        match placed {
            Placed::Record(index, place) => {
                if self.places.is_empty() {
                    self.front = index;
                }
                self.places.push_back(place);
            }
            Placed::Cut(next) => {
                let kept = usize::try_from(next.saturating_sub(self.front)).unwrap_or(usize::MAX);
                self.places.truncate(kept);
                self.front = self.front.min(next);
            }
            Placed::Purged(upto) => {
                while self.front <= upto && self.places.pop_front().is_some() {
                    self.front = self.front.saturating_add(1);
                }
                if self.places.is_empty() {
                    self.front = upto.saturating_add(1).max(self.front);
                }
            }
            Placed::Start(index) => self.front = index,
        }
    }
}
