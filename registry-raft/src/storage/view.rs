//! What the log shows to its readers: the state as of the last accepted call, the records in memory, and where the rest
//! stands on disk.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use super::{
    Record, Result, StorageError,
    frame::Body,
    head::Head,
    io::NamedFile,
    places::{Place, Placed, Places},
};

/// A record to be read: from memory, or from a place on disk.
#[derive(Debug)]
pub(super) enum Source {
    Memory(Record),
    Disk { index: u64, place: Place, file: NamedFile },
}

/// The readers' state. Records are in memory from some index on, everything before it is on disk.
#[derive(Debug)]
pub(super) struct View {
    /// As of the last accepted call, which may not be on disk yet.
    pub(super) head: Head,
    /// As of the last group that was written.
    places: Places,
    /// The newest records, each with the number of the call that appended it.
    cache: VecDeque<(u64, Record)>,
    cache_bytes: usize,
    cache_limit: usize,
    files: BTreeMap<u64, NamedFile>,
}

impl View {
    pub(super) fn new(head: Head, places: Places, files: BTreeMap<u64, NamedFile>, cache_limit: usize) -> Self {
        Self { head, places, cache: VecDeque::new(), cache_bytes: 0, cache_limit, files }
    }

    /// Shows what call number `call` asks for, before it is written.
    pub(super) fn accept(&mut self, call: u64, body: &Body) -> std::result::Result<(), &'static str> {
        self.head.apply(body)?;
        match body {
            Body::Record(record) => {
                self.cache_bytes = self.cache_bytes.saturating_add(record.weight());
                self.cache.push_back((call, record.clone()));
            }
            Body::Truncate(_) => {
                let next = self.head.next();
                while self.cache.back().is_some_and(|(_, record)| record.position.index >= next) {
                    let dropped = self.cache.pop_back();
                    self.forget(dropped);
                }
            }
            Body::Purge(_) => {
                let first = self.head.first();
                while self.cache.front().is_some_and(|(_, record)| record.position.index < first) {
                    let dropped = self.cache.pop_front();
                    self.forget(dropped);
                }
            }
            Body::Vote(_) | Body::Committed(_) | Body::Start(_) | Body::Mark => {}
        }
        Ok(())
    }

    /// Takes in what was written by the calls up to number `call`, and lets go of cached records beyond the limit.
    pub(super) fn written(&mut self, call: u64, placed: Vec<Placed>, segments: &BTreeMap<u64, NamedFile>) {
        for placed in placed {
            self.places.apply(placed);
        }
        self.files.clone_from(segments);
        while self.cache_bytes > self.cache_limit && self.cache.front().is_some_and(|(by, _)| *by <= call) {
            let dropped = self.cache.pop_front();
            self.forget(dropped);
        }
    }

    /// Id of the oldest segment that holds a record, as of what was written.
    pub(super) fn oldest_segment(&self) -> u64 {
        self.places.oldest_segment().unwrap_or(u64::MAX)
    }

    pub(super) fn retired(&mut self, segments: &BTreeMap<u64, NamedFile>) {
        self.files.clone_from(segments);
    }

    /// Where to read the records, up to `max_bytes`, but at least one.
    pub(super) fn sources(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Source>> {
        self.check_range(&range)?;
        let mut sources = Vec::new();
        let mut bytes = 0usize;
        for index in range.clone() {
            let (source, size) = self.source(index).ok_or_else(|| self.absent(&range))?;
            bytes = bytes.saturating_add(size);
            if bytes > max_bytes && !sources.is_empty() {
                break;
            }
            sources.push(source);
        }
        Ok(sources)
    }

    /// Errors unless the whole range is in the log.
    pub(super) fn check_range(&self, range: &Range<u64>) -> Result<()> {
        let inside = range.start >= self.head.first() && range.end <= self.head.next();
        if range.is_empty() || inside { Ok(()) } else { Err(self.absent(range)) }
    }

    fn source(&self, index: u64) -> Option<(Source, usize)> {
        let cached_from = self.cache.front().map_or(u64::MAX, |(_, record)| record.position.index);
        if let Some(at) = index.checked_sub(cached_from) {
            let (_, record) = self.cache.get(usize::try_from(at).ok()?)?;
            return Some((Source::Memory(record.clone()), record.payload.len()));
        }
        let place = self.places.get(index)?;
        let file = self.files.get(&place.segment)?.clone();
        Some((Source::Disk { index, place, file }, place.length as usize))
    }

    fn absent(&self, range: &Range<u64>) -> StorageError {
        StorageError::Absent { from: range.start, to: range.end, first: self.head.first(), next: self.head.next() }
    }

    fn forget(&mut self, dropped: Option<(u64, Record)>) {
        if let Some((_, record)) = dropped {
            self.cache_bytes = self.cache_bytes.saturating_sub(record.weight());
        }
    }
}
