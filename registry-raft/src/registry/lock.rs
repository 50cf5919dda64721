//! Locks: a place in the queue by a proposal, the wait at any member, and nothing left behind.

use std::sync::Arc;
use std::time::Duration;

use registry_api::{
    Effect, Error, ErrorKind, LockGrant, LockName, LockRequest, LockStatus, LockWait, Operation, ReadLevel, Result,
    Revision,
};
use tokio::time::Instant;

use super::Inner;
use super::answer::{undecodable, unexpected};
use super::handover::{Kept, hand_over};
use crate::convert::{BACKEND, error_of};
use crate::proto;
use crate::proto::Failure;
use crate::proto::answer::Answer;
use crate::proto::command::Command;
use crate::proto::outcome::Outcome as Applied;
use crate::proto::request::Request;

const OPERATION: Operation = Operation::Acquire;
/// How long a member is asked to wait for a grant in one request; then it is asked again.
const ROUND: Duration = Duration::from_secs(20);
/// How long one attempt to give something back may take; then it is tried again.
const GIVE_UP_ROUND: Duration = Duration::from_secs(5);

/// One request for a lock: its place in the queue is named by session and ticket.
#[derive(Clone, Debug)]
struct Place {
    request: LockRequest,
    ticket: u64,
}

/// What proposing the request gave.
enum Taken {
    Granted(LockGrant),
    /// In the queue since this revision.
    Queued(Revision),
}

/// How waiting ended.
enum Waited {
    Granted(LockGrant),
    /// The caller waits no longer; the place is still there.
    OutOfTime,
    /// The caller is gone; the place is still there.
    Gone,
    Failed(Error),
}

impl Inner {
    /// Takes a lock. The work is done by a task that outlives the caller, so that its place never stays behind.
    pub(super) async fn acquire(self: &Arc<Self>, request: LockRequest) -> Result<LockGrant> {
        let place = Place { request, ticket: rand::random_range(1..=u64::MAX) };
        let inner = Arc::clone(self);
        let acquiring = hand_over(&self.tasks, move |kept| inner.acquire_for(place, kept));
        self.while_open(OPERATION, Effect::Unknown, async {
            acquiring.await.unwrap_or_else(|| Err(super::closed(OPERATION, Effect::Unknown)))
        })
        .await
    }

    async fn acquire_for(self: Arc<Self>, place: Place, kept: Kept<Result<LockGrant>>) {
        let until = match place.request.wait {
            LockWait::Try | LockWait::Forever => None,
            LockWait::AtMost(wait) => Instant::now().checked_add(wait),
        };
        let waited = match self.take_place(&place).await {
            Ok(Taken::Granted(grant)) => Waited::Granted(grant),
            Ok(Taken::Queued(since)) => self.wait_for_grant(&place, since, until, &kept).await,
            Err(error) => Waited::Failed(error),
        };
        match waited {
            Waited::Granted(grant) => {
                if !kept.deliver(Ok(grant)).await {
                    self.give_up(OPERATION, || abandon(&place)).await;
                }
            }
            Waited::Gone => self.give_up(OPERATION, || abandon(&place)).await,
            Waited::OutOfTime => self.time_out(&place, kept).await,
            Waited::Failed(error) => {
                let open = error.effect() == Effect::Unknown;
                kept.deliver(Err(error)).await;
                if open {
                    self.give_up(OPERATION, || abandon(&place)).await;
                }
            }
        }
    }

    /// Proposes the request: the lock, or a place in its queue. Repeating it is harmless, the ticket names the place.
    async fn take_place(&self, place: &Place) -> Result<Taken> {
        let LockRequest { name, session, wait } = &place.request;
        let command = Command::Acquire(proto::Acquire {
            name: name.as_str().to_owned(),
            session: session.get(),
            only_if_free: *wait == LockWait::Try,
            ticket: place.ticket,
        });
        let done = self.propose_until(OPERATION, command, self.deadline()).await?;
        match done.applied {
            Some(Applied::Granted(grant)) => Ok(Taken::Granted(grant_of(grant)?)),
            Some(Applied::Queued(_in_front)) => Ok(Taken::Queued(done.revision)),
            _ => Err(unexpected(OPERATION, Effect::Unknown)),
        }
    }

    /// Waits at the home member until the place is granted. A member that is lost is replaced by another one: what the
    /// wait is for is in the state of all of them.
    async fn wait_for_grant(
        &self,
        place: &Place,
        since: Revision,
        until: Option<Instant>,
        kept: &Kept<Result<LockGrant>>,
    ) -> Waited {
        let LockRequest { name, session, .. } = &place.request;
        let request = Request::AwaitGrant(proto::AwaitGrant {
            name: name.as_str().to_owned(),
            session: session.get(),
            ticket: place.ticket,
            at_least: Some(since.into()),
        });
        loop {
            let round = Instant::now() + ROUND;
            let round = until.map_or(round, |until| until.min(round));
            let answered = tokio::select! {
                biased;
                answered = self.router.at_home(&request, round) => answered,
                () = kept.gone() => return Waited::Gone,
            };
            match answered {
                Ok(Answer::Granted(grant)) => {
                    return match grant_of(grant) {
                        Ok(grant) => {
                            self.saw(grant.token.revision());
                            Waited::Granted(grant)
                        }
                        Err(error) => Waited::Failed(error),
                    };
                }
                Ok(_other) => return Waited::Failed(unexpected(OPERATION, Effect::Unknown)),
                Err(refusal) if waits_on(&refusal) => {}
                Err(refusal) => return Waited::Failed(refused(refusal)),
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Waited::OutOfTime;
            }
        }
    }

    /// Gives the place up because the caller's time is over. When that is sure, so is the answer: had the lock been
    /// granted in this moment, it was given back with the place.
    async fn time_out(&self, place: &Place, kept: Kept<Result<LockGrant>>) {
        let name = &place.request.name;
        let error = |effect, message| Error::new(ErrorKind::LockTimeout, effect, OPERATION, BACKEND, message);
        match self.propose_until(OPERATION, abandon(place), self.deadline()).await {
            Err(failed) if is_open(&failed) => {
                let message =
                    format!("the lock {name} was not free in time; its place is still being given up: {failed}");
                kept.deliver(Err(error(Effect::Unknown, message))).await;
                self.give_up(OPERATION, || abandon(place)).await;
            }
            _ => {
                let message = format!("the lock {name} was not free in time");
                kept.deliver(Err(error(Effect::NotApplied, message))).await;
            }
        }
    }

    /// Gives something back that nobody wants any more, until that is sure or the registry closes.
    pub(super) async fn give_up(&self, operation: Operation, command: impl Fn() -> Command) {
        loop {
            match self.propose_until(operation, command(), Instant::now() + GIVE_UP_ROUND).await {
                Err(error) if is_open(&error) && !self.closing.is_cancelled() => {
                    tracing::debug!(%error, "not given back yet");
                }
                // Any other refusal says that there is nothing (any more) to give back.
                _ => return,
            }
        }
    }

    pub(super) async fn release(&self, grant: &LockGrant) -> Result<()> {
        let release = proto::Release { grant: Some(grant.into()) };
        self.propose(Operation::Release, Command::Release(release)).await?;
        Ok(())
    }

    pub(super) async fn inspect_lock(&self, name: &LockName) -> Result<LockStatus> {
        const OPERATION: Operation = Operation::InspectLock;
        let inspect =
            proto::InspectLock { name: name.as_str().to_owned(), freshness: self.freshness(ReadLevel::Linearizable) };
        let Answer::Lock(state) = self.read(OPERATION, Request::InspectLock(inspect)).await? else {
            return Err(unexpected(OPERATION, Effect::NotApplied));
        };
        let status = LockStatus::try_from(state).map_err(|error| undecodable(error, OPERATION, Effect::NotApplied))?;
        self.saw(status.revision);
        Ok(status)
    }
}

fn abandon(place: &Place) -> Command {
    let LockRequest { name, session, .. } = &place.request;
    Command::Abandon(proto::Abandon { name: name.as_str().to_owned(), session: session.get(), ticket: place.ticket })
}

fn grant_of(grant: proto::LockGrant) -> Result<LockGrant> {
    LockGrant::try_from(grant).map_err(|error| undecodable(error, OPERATION, Effect::Unknown))
}

/// Whether the member could only not answer now: the place is still there, and the wait goes on.
fn waits_on(refusal: &proto::Refusal) -> bool {
    matches!(refusal.failure(), Failure::Unavailable | Failure::DeadlineExceeded | Failure::NotLeader)
}

/// Why the wait is over. With the session the place is gone; after anything else it may still be there.
fn refused(mut refusal: proto::Refusal) -> Error {
    refusal.effect_unknown = refusal.failure() != Failure::SessionEnded;
    error_of(&refusal, OPERATION)
}

/// Whether it is open what became of a command, or it could not be brought to the leader.
fn is_open(error: &Error) -> bool {
    error.effect() == Effect::Unknown || matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded)
}
