//! The writer's side of the log: takes what was accepted in groups, makes each group durable with one flush, then calls back.

use std::{
    ops::Range,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Done, Position, Result, StorageError, StorageOptions, Writer,
    engine::Engine,
    frame::Body,
    head::Head,
    queue::{Call, Queue},
    recover::Recovered,
    view::{Source, View},
};

/// What the log's handles and its writer share. Lock order: `engine` before `state`; neither is held during a callback.
pub(super) struct Shared {
    state: Mutex<State>,
    engine: Mutex<Engine>,
    /// There is something to write, or the log closes.
    work: Condvar,
    /// There is room in the queue again, or the log stopped.
    room: Condvar,
    writer: Writer,
    pending_limit: usize,
    stall_limit: Duration,
}

struct State {
    view: View,
    queue: Queue,
    /// A committed position that no frame has said yet.
    committed: Option<Position>,
    /// Why the log takes nothing more.
    failure: Option<StorageError>,
}

impl Shared {
    pub(super) fn new(recovered: Recovered, options: &StorageOptions) -> Self {
        let Recovered { engine, places } = recovered;
        let view = View::new(engine.head, places, engine.segments.clone(), options.cache_bytes);
        Self {
            state: Mutex::new(State { view, queue: Queue::default(), committed: None, failure: None }),
            engine: Mutex::new(engine),
            work: Condvar::new(),
            room: Condvar::new(),
            writer: options.writer,
            pending_limit: options.pending_bytes,
            stall_limit: options.stall_limit,
        }
    }

    /// Accepts what `plan` makes of the current state, or nothing.
    pub(super) fn submit(&self, done: Done, plan: impl FnOnce(&Head) -> Result<Vec<Body>>) -> Result<()> {
        let mut state = self.wait_for_room()?;
        let bodies = plan(&state.view.head)?;
        let number = state.queue.next_number();
        for body in &bodies {
            let accepted = state.view.accept(number, body);
            // Plans are checked against the same state before anything of them is accepted.
            accepted.map_err(|what| StorageError::damaged("the log", 0, what))?;
        }
        state.queue.push(bodies, done);
        drop(state);
        match self.writer {
            Writer::Thread => self.work.notify_one(),
            Writer::Inline => while self.write_group() {},
        }
        Ok(())
    }

    pub(super) fn remember_committed(&self, committed: Option<Position>) -> Result<()> {
        let mut state = self.running()?;
        if let Some(committed) = committed {
            state.view.head.committed = Some(committed);
            state.committed = Some(committed);
        }
        Ok(())
    }

    pub(super) fn with_head<T>(&self, read: impl FnOnce(&Head) -> T) -> T {
        read(&self.state().view.head)
    }

    pub(super) fn sources(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Source>> {
        self.running()?.view.sources(range, max_bytes)
    }

    /// Tells a range that was purged while it was read from damage, which stops the log.
    pub(super) fn read_failed(&self, range: &Range<u64>, error: StorageError) -> StorageError {
        if let Err(absent) = self.state().view.check_range(range) {
            return absent;
        }
        self.stop(&error);
        error
    }

    pub(super) fn oldest_unfinished(&self) -> Option<Duration> {
        self.state().queue.oldest()
    }

    #[cfg(test)]
    pub(super) fn failure(&self) -> Option<StorageError> {
        self.state().failure.clone()
    }

    /// Refuses new calls; those accepted are still written.
    pub(super) fn begin_close(&self) {
        self.state().failure.get_or_insert(StorageError::Closed);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Writes the mark, after the writer has ended.
    pub(super) fn finish_close(&self) -> Result<()> {
        while self.write_group() {}
        let mut engine = self.engine();
        let committed = {
            let mut state = self.state();
            match &state.failure {
                Some(StorageError::Closed) | None => {}
                Some(failure) => return Err(failure.clone()),
            }
            state.committed.take()
        };
        let written = engine.commit(std::iter::empty(), committed).and_then(|_written| engine.mark());
        drop(engine);
        written.inspect_err(|error| self.stop(error))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state();
        match &state.failure {
            Some(failure) => Err(failure.stopped()),
            None => Ok(state),
        }
    }

    fn wait_for_room(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.running()?;
        let began = Instant::now();
        while state.queue.pending_bytes() > self.pending_limit {
            let left = self.stall_limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                let stalled = StorageError::Stalled(self.stall_limit);
                drop(state);
                self.stop(&stalled);
                return Err(stalled);
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            if let Some(failure) = &state.failure {
                return Err(failure.stopped());
            }
        }
        Ok(state)
    }

    /// Writes one group, if anything waits; says whether something did.
    fn write_group(&self) -> bool {
        let mut engine = self.engine();
        let (group, committed) = {
            let mut state = self.state();
            (state.queue.take_group(), state.committed)
        };
        let Some(last) = group.last().map(|call| call.number) else { return false };
        let written = self.make_durable(&mut engine, &group, last, committed);
        drop(engine);
        self.room.notify_all();
        if let Err(error) = &written {
            self.stop(error);
        }
        self.state().queue.finished(&group);
        for call in group {
            (call.done)(written.clone());
        }
        true
    }

    fn make_durable(&self, engine: &mut Engine, group: &[Call], last: u64, committed: Option<Position>) -> Result<()> {
        // After a failure nothing is written any more, not even what was accepted before it.
        match &self.state().failure {
            None | Some(StorageError::Closed) => {}
            Some(failure) => return Err(failure.stopped()),
        }
        let bodies = group.iter().flat_map(|call| &call.bodies);
        let (placed, said) = engine.commit(bodies, committed)?;
        let oldest = {
            let mut state = self.state();
            state.view.written(last, placed, &engine.segments);
            if state.committed == said {
                state.committed = None;
            }
            state.view.oldest_segment()
        };
        engine.retire(oldest)?;
        self.state().view.retired(&engine.segments);
        Ok(())
    }

    /// Takes nothing more from now on, and tells everybody who waits.
    fn stop(&self, error: &StorageError) {
        let abandoned = {
            let mut state = self.state();
            if matches!(state.failure, None | Some(StorageError::Closed)) {
                state.failure = Some(error.stopped());
            }
            state.queue.abandon()
        };
        self.work.notify_all();
        self.room.notify_all();
        for call in abandoned {
            (call.done)(Err(error.stopped()));
        }
    }
}

/// The writer's thread: ends when the log is closed or stopped, and everything accepted was handled.
pub(super) fn run(shared: &Shared) {
    loop {
        {
            let mut state = shared.state();
            while state.queue.is_empty() {
                if state.failure.is_some() {
                    return;
                }
                state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        shared.write_group();
    }
}
