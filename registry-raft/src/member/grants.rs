//! Waiting for a lock: resolves when the place in the queue is granted, or gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use registry_api::{LockName, SessionId};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::boundary::Failed;
use crate::convert::ConvertError;
use crate::member::applied::Applied;
use crate::member::limits::GRANT_WAITS_MAX;
use crate::member::metrics::Meters;
use crate::member::quorum::Quorum;
use crate::proto;
use crate::state_machine::{Change, Place};

/// Those who wait for locks at this member. Each is woken by changes of its own place only.
pub(crate) struct Grants {
    quorum: Arc<dyn Quorum>,
    applied: Arc<Applied>,
    meters: Arc<Meters>,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    /// By session, ticket and a number of our own: one place may be waited for by a request and by its retry.
    wakes: BTreeMap<(u64, u64, u64), Arc<Notify>>,
    next: u64,
}

/// Forgets a wait when it is over, however it ends.
struct Wait<'a> {
    grants: &'a Grants,
    key: (u64, u64, u64),
    wake: Arc<Notify>,
}

impl Grants {
    pub(crate) fn new(quorum: Arc<dyn Quorum>, applied: Arc<Applied>, meters: Arc<Meters>) -> Self {
        Self { quorum, applied, meters, waits: Mutex::default() }
    }

    /// Waits until the place is granted.
    ///
    /// # Errors
    ///
    /// `SESSION_ENDED`; `LOCK_LOST`: the place was given up, or the lock released again; `DEADLINE_EXCEEDED`: still
    /// queued; `LIMIT_EXCEEDED`. Nothing is changed by waiting.
    ///
    /// # Cancellation
    ///
    /// Safe; the place in the queue stays.
    pub(crate) async fn wait(
        &self,
        request: &proto::AwaitGrant,
        deadline: Instant,
    ) -> Result<proto::LockGrant, Failed> {
        let name = LockName::parse(&request.name).map_err(ConvertError::from).map_err(invalid)?;
        let session = SessionId::new(request.session);
        if let Some(at_least) = request.at_least {
            self.applied.reached(at_least.into(), deadline).await?;
        }
        // Registered first: a change that the state looked at below does not show yet wakes this wait.
        let wait = self.register(request)?;
        loop {
            let state = self.quorum.state();
            match state.grant_of(&name, session, request.ticket) {
                Place::Granted(grant) => return Ok((&grant).into()),
                Place::Gone if !state.has_session(session) => {
                    return Err(Failed::refused(proto::Failure::SessionEnded, "the session has ended"));
                }
                Place::Gone => {
                    return Err(Failed::refused(proto::Failure::LockLost, "the place in the queue was given up"));
                }
                Place::Queued => {}
            }
            if timeout_at(deadline, wait.wake.notified()).await.is_err() {
                return Err(Failed::refused(proto::Failure::DeadlineExceeded, "the lock was not granted in time"));
            }
        }
    }

    /// Changes were applied.
    pub(crate) fn applied(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::LockGranted { grant, ticket } => self.wake(grant.session, *ticket, *ticket),
                Change::LockGone { session, ticket, .. } => self.wake(*session, *ticket, *ticket),
                Change::SessionEnded { id } => self.wake(*id, 0, u64::MAX),
                Change::Put { .. }
                | Change::Delete { .. }
                | Change::SessionOpened { .. }
                | Change::ClientRegistered { .. }
                | Change::ClientEnded { .. } => {}
            }
        }
    }

    /// The state was replaced by a snapshot: everybody looks again.
    pub(crate) fn replaced(&self) {
        self.lock().wakes.values().for_each(|wake| wake.notify_one());
    }

    fn wake(&self, session: SessionId, first: u64, last: u64) {
        let session = session.get();
        let waits = self.lock();
        waits.wakes.range((session, first, 0)..=(session, last, u64::MAX)).for_each(|(_, wake)| wake.notify_one());
    }

    fn register(&self, request: &proto::AwaitGrant) -> Result<Wait<'_>, Failed> {
        let mut waits = self.lock();
        if waits.wakes.len() >= GRANT_WAITS_MAX {
            let message = format!("{GRANT_WAITS_MAX} requests wait for locks at this member, which is the limit");
            return Err(Failed::refused(proto::Failure::LimitExceeded, message));
        }
        waits.next += 1;
        let key = (request.session, request.ticket, waits.next);
        let wake = Arc::new(Notify::new());
        waits.wakes.insert(key, Arc::clone(&wake));
        self.meters.grant_waits.increment(1.0);
        Ok(Wait { grants: self, key, wake })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.grants.lock().wakes.remove(&self.key);
        self.grants.meters.grant_waits.decrement(1.0);
    }
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Grants").finish_non_exhaustive()
    }
}

fn invalid(error: ConvertError) -> Failed {
    Failed::Refused(error.into_refusal())
}

#[cfg(test)]
mod tests;
