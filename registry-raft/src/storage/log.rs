//! The durable log of records and votes: what callers see of it.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use super::{
    FirstIndex, LogState, Position, Record, Result, StorageError, StorageOptions, Vote, Writer,
    frame::{self, At, Body},
    recover::Recovered,
    segment::SEGMENT_HEADER,
    view::Source,
    writer::{Shared, run},
};

/// Called exactly once when an operation is durable, or with the error that made the log stop. Called from the writer's
/// thread (or inside the call with [`Writer::Inline`]), in the order of the calls; it must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// The durable log. Cheap to clone; all clones are the same log. When the last one is dropped the log is closed.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    options: StorageOptions,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    pub(super) fn start(recovered: Recovered, options: StorageOptions) -> Result<Self> {
        let shared = Arc::new(Shared::new(recovered, &options));
        let thread = match options.writer {
            Writer::Inline => None,
            Writer::Thread => {
                let writer = Arc::clone(&shared);
                let builder = std::thread::Builder::new().name("registry-log".to_owned());
                let spawned = builder.spawn(move || run(&writer));
                Some(spawned.map_err(|error| StorageError::io("starting the writer of", "the log", error))?)
            }
        };
        Ok(Self { inner: Arc::new(Inner { shared, options, thread: Mutex::new(thread) }) })
    }

    /// Appends `records`, which must continue the log.
    ///
    /// They can be read when this returns, and are durable when `done` is called with `Ok`. Many calls may be in flight.
    /// Waits only while more than `pending_bytes` are not on disk yet.
    ///
    /// **Errors** (nothing was accepted, `done` is not called): the records do not follow, one is too large, or the log stopped.
    pub(crate) fn append(&self, records: Vec<Record>, done: Done) -> Result<()> {
        let bodies: Vec<Body> = records.into_iter().map(Body::Record).collect();
        let limit = self.inner.options.segment_bytes.saturating_sub(SEGMENT_HEADER) as usize;
        if let Some(bytes) = bodies.iter().map(frame::frame_length).find(|bytes| *bytes > limit) {
            return Err(StorageError::TooLarge { what: "a record", bytes, limit });
        }
        let first_index = self.inner.options.first_index;
        self.inner.shared.submit(done, move |head| {
            let Some(Body::Record(first)) = bodies.first() else { return Ok(bodies) };
            let got = first.position.index;
            let fresh = head.last.is_none() && first_index == FirstIndex::Any && got != head.next();
            let expected = if fresh { got } else { head.next() };
            let indexes = bodies.iter().filter_map(|body| match body {
                Body::Record(record) => Some(record.position.index),
                _ => None,
            });
            if let Some((expected, got)) = (expected..).zip(indexes).find(|(expected, got)| expected != got) {
                return Err(StorageError::NotContiguous { expected, got });
            }
            let start = fresh.then_some(Body::Start(got));
            Ok(start.into_iter().chain(bodies).collect())
        })
    }

    /// Removes every record after `last`, or all of them with `None`; effective for readers when this returns.
    pub(crate) fn truncate_after(&self, last: Option<Position>, done: Done) -> Result<()> {
        self.inner.shared.submit(done, move |head| {
            let next = last.map_or(0, |last| last.index.saturating_add(1));
            if next >= head.next() && last.is_some() {
                return Ok(Vec::new());
            }
            let last = if next <= head.first() { head.purged } else { last };
            if last.map(|last| last.index) == head.last.map(|last| last.index) {
                return Ok(Vec::new());
            }
            Ok(vec![Body::Truncate(last)])
        })
    }

    /// Removes the records up to and with `upto`, which may lie beyond the end of the log (a snapshot was installed).
    ///
    /// The caller makes sure that a durable snapshot contains them: without one the storage refuses to open again.
    pub(crate) fn purge_to(&self, upto: Position, done: Done) -> Result<()> {
        self.inner.shared.submit(done, move |head| {
            let purged_before = head.purged.is_some_and(|purged| purged.index >= upto.index);
            Ok(if purged_before { Vec::new() } else { vec![Body::Purge(upto)] })
        })
    }

    /// Saves the vote; durable when `done` is called with `Ok`, never reordered with appends.
    pub(crate) fn save_vote(&self, vote: Vote, done: Done) -> Result<()> {
        self.inner.shared.submit(done, move |_head| Ok(vec![Body::Vote(vote)]))
    }

    /// Remembers the last committed position; written along with the next operation that writes.
    pub(crate) fn save_committed(&self, committed: Option<Position>) -> Result<()> {
        self.inner.shared.remember_committed(committed)
    }

    /// The last vote given to [`Log::save_vote`], or found on disk.
    pub(crate) fn vote(&self) -> Option<Vote> {
        self.inner.shared.with_head(|head| head.vote)
    }

    /// The last position given to [`Log::save_committed`], or found on disk.
    pub(crate) fn committed(&self) -> Option<Position> {
        self.inner.shared.with_head(|head| head.committed)
    }

    /// First and last record, and what was purged.
    pub(crate) fn state(&self) -> LogState {
        self.inner.shared.with_head(|head| head.state())
    }

    /// Reads records `range` in order: all of them, or as many as fit `max_bytes` of payload (but at least one).
    ///
    /// Recent ones come from memory, older ones from disk, verified; then it blocks on the disk.
    ///
    /// **Errors**: a part of the range is not in the log; the log stopped; or what is on disk is damaged, which stops the log.
    pub(crate) fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Record>> {
        let sources = self.inner.shared.sources(range.clone(), max_bytes)?;
        let records: Result<Vec<Record>> = sources.into_iter().map(read_source).collect();
        records.map_err(|error| self.inner.shared.read_failed(&range, error))
    }

    /// How long the oldest operation in flight has been waiting for the disk; for a watchdog.
    pub(crate) fn oldest_unfinished(&self) -> Option<Duration> {
        self.inner.shared.oldest_unfinished()
    }

    /// Why the log stopped, if it did.
    #[cfg(test)]
    pub(crate) fn failure(&self) -> Option<StorageError> {
        self.inner.shared.failure()
    }

    /// Finishes what was accepted, marks the log as stopped in order and refuses everything from then on. Blocks on the disk.
    ///
    /// **Errors**: the log had stopped before, or the disk failed; what was acknowledged stays acknowledged.
    pub(crate) fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

impl Inner {
    fn close(&self) -> Result<()> {
        self.shared.begin_close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            // A callback on the writer's thread may drop the last handle: the writer ends by itself then.
            Some(thread) if thread.thread().id() == std::thread::current().id() => return Ok(()),
            Some(thread) => drop(thread.join()),
            None => {}
        }
        self.shared.finish_close()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody is left to tell: what was acknowledged is on disk whether or not the mark is.
        drop(self.close());
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("state", &self.shared.with_head(|head| head.state())).finish_non_exhaustive()
    }
}

fn read_source(source: Source) -> Result<Record> {
    let (index, place, file) = match source {
        Source::Memory(record) => return Ok(record),
        Source::Disk { index, place, file } => (index, place, file),
    };
    let bytes = file.read_up_to(place.offset.into(), place.length as usize)?;
    let found = frame::decode(&bytes, At { segment: place.segment, offset: place.offset }).map(|frame| frame.body);
    match found {
        Ok(Body::Record(record)) if record.position.index == index => Ok(record),
        _ => Err(StorageError::damaged(&file.name, place.offset.into(), format!("record {index} is unreadable"))),
    }
}
