//! Waiting for a lock: a place in the queue that is given up when the waiting ends otherwise.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::failure::Failure;
use super::link::Link;
use super::locks::Ticket;
use super::store::Shared;
use crate::{ErrorKind, LockGrant, LockRequest, LockWait};

/// A place in the queue. Dropping it leaves the queue, or gives the lock back that was granted meanwhile.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    request: LockRequest,
    ticket: Ticket,
    settled: bool,
}

impl Waiting {
    pub(super) fn new(shared: Arc<Shared>, request: LockRequest, ticket: Ticket) -> Self {
        Self { shared, request, ticket, settled: false }
    }

    pub(super) async fn wait(
        mut self,
        answer: oneshot::Receiver<Result<LockGrant, Failure>>,
        link: &Link,
        asked: Instant,
    ) -> Result<LockGrant, Failure> {
        let grant = tokio::select! {
            biased;
            answer = answer => answer.map_err(|_lost| Failure::session_ended(self.request.session))??,
            () = link.closed() => return Err(closed()),
            () = run_out(self.request.wait, asked) => return Err(Failure::lock_timeout()),
        };
        let answer_within = self.shared.lock().options.request_timeout;
        // A client that is cut off learns of its grant when it is back, if it still has it then.
        tokio::select! {
            biased;
            () = link.closed() => return Err(closed()),
            () = link.reachable() => {}
            () = tokio::time::sleep(answer_within) => return Err(unreachable_since_granted()),
        }
        let session = self.request.session;
        self.shared
            .apply(|state, _| if state.is_held(&grant) { Ok(()) } else { Err(Failure::session_ended(session)) })?;
        self.settled = true;
        Ok(grant)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.settled {
            let Self { request, ticket, .. } = self;
            self.shared.lock().leave_lock(&request.name, request.session, *ticket, Instant::now());
        }
    }
}

pub(super) fn closed() -> Failure {
    Failure::new(ErrorKind::Closed, "the registry was closed")
}

fn unreachable_since_granted() -> Failure {
    Failure::new(ErrorKind::Unavailable, "the store cannot be reached; the lock was given back")
}

async fn run_out(wait: LockWait, asked: Instant) {
    match wait {
        LockWait::AtMost(longest) => tokio::time::sleep(longest.saturating_sub(asked.elapsed())).await,
        LockWait::Forever => std::future::pending().await,
        // Refused before it came to waiting.
        LockWait::Try => {}
    }
}
