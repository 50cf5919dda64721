//! The requests of one session for one lock, one after the other: a lease has one place in the queue of a lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_api::{ErrorKind, FencingToken};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::error::Failure;

/// How many requests of one session wait for one lock.
const WAITING_MAX: usize = 10_000;

/// The turns, served in the order in which they were asked for.
#[derive(Debug)]
pub(super) struct Turns {
    gate: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The grant that has the turn, with the turn.
    held: Mutex<Option<(FencingToken, OwnedSemaphorePermit)>>,
    /// The session has ended.
    ended: CancellationToken,
    /// One of those who wait looks whether the grant is still there.
    lookout: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            gate: Arc::new(Semaphore::new(1)),
            waiting: AtomicUsize::new(0),
            held: Mutex::default(),
            ended: CancellationToken::new(),
            lookout: Semaphore::new(1),
        }
    }
}

/// Counts one that waits.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    fn held(&self) -> MutexGuard<'_, Option<(FencingToken, OwnedSemaphorePermit)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn, where nobody has it.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.gate).try_acquire_owned().ok()
    }

    /// Waits for the turn, in order. Dropping the future leaves the queue.
    pub(super) async fn next(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.gate).acquire_owned().await.ok()
    }

    /// Counts the caller among those who wait.
    pub(super) fn enqueue(&self) -> Result<Waiting<'_>, Failure> {
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::SeqCst) >= WAITING_MAX {
            let message = format!("at most {WAITING_MAX} requests of one session wait for one lock");
            return Err(Failure::refused(ErrorKind::LimitExceeded, message));
        }
        Ok(waiting)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Keeps the turn for a grant until it is released.
    pub(super) fn hold(&self, token: FencingToken, turn: OwnedSemaphorePermit) {
        *self.held() = Some((token, turn));
    }

    /// The grant is gone: the next one has the turn.
    pub(super) fn released(&self, token: FencingToken) {
        let mut held = self.held();
        if held.as_ref().is_some_and(|(holder, _)| *holder == token) {
            *held = None;
        }
    }

    /// The grant that has the turn.
    pub(super) fn holder(&self) -> Option<FencingToken> {
        self.held().as_ref().map(|(token, _)| *token)
    }

    /// Ends all waiting.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(super) fn lookout(&self) -> &Semaphore {
        &self.lookout
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting() == 0 && self.gate.available_permits() == 1
    }
}

#[cfg(test)]
mod tests {
    use registry_api::Revision;

    use super::*;

    fn token(counter: u64) -> FencingToken {
        FencingToken::new(Revision::new(0, counter))
    }

    #[tokio::test]
    async fn turns_are_served_in_order_and_survive_those_who_leave() {
        let turns = Arc::new(Turns::default());
        turns.hold(token(1), turns.take().unwrap());
        let mut first = Box::pin(turns.next());
        let mut second = Box::pin(turns.next());
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        turns.released(token(1));
        assert!(futures::poll!(&mut second).is_ready());
    }

    #[test]
    fn an_old_grant_does_not_end_a_newer_turn() {
        let turns = Turns::default();
        turns.hold(token(2), turns.take().unwrap());
        turns.released(token(1));
        assert!(turns.take().is_none());
        assert_eq!(turns.holder(), Some(token(2)));
        turns.released(token(2));
        assert!(turns.take().is_some() && turns.holder().is_none());
    }

    #[test]
    fn those_who_wait_are_counted_and_bounded() {
        let turns = Turns::default();
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| turns.enqueue().unwrap()).collect();
        assert_eq!(turns.enqueue().err().map(|failure| failure.kind), Some(ErrorKind::LimitExceeded));
        assert_eq!(turns.waiting(), WAITING_MAX);
        drop(waiting);
        assert_eq!(turns.waiting(), 0);
    }
}
