//! One request for a lock: its turn, its place, its waiting, and leaving nothing behind.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use registry_api::{Effect, ErrorKind, FencingToken, LockGrant, LockRequest, LockWait};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::grant::Granted;
use super::place::{Outlook, Place, Taken};
use super::turns::Turns;
use super::wait::Until;
use crate::error::{Failure, Reason};
use crate::keys::revision;
use crate::registry::Core;

/// The pause before the servers are asked again that could not be asked.
const PAUSE: Duration = Duration::from_millis(100);
/// A place that was asked for and not answered may still be taken that much later: the server gives up by then.
const LATE: Duration = Duration::from_secs(10);

/// Whether there may be a place at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It was never asked for.
    Never,
    /// It was asked for; the answer is not there, or was lost.
    Unanswered,
    /// It is there, or was.
    Answered,
}

pub(super) struct Campaign {
    core: Arc<Core>,
    request: LockRequest,
    since: Instant,
    place: Place,
    turns: Arc<Turns>,
    turn: Option<OwnedSemaphorePermit>,
    asked: Asked,
}

type Answer = oneshot::Sender<Result<Granted, Failure>>;

impl Campaign {
    pub(super) fn new(core: Arc<Core>, request: LockRequest, since: Instant) -> Result<Self, Failure> {
        let place = Place::new(&core, &request.name, request.session);
        let turns = core.locks.turns(request.session, &request.name);
        Ok(Self { core, request, since, place, turns, turn: None, asked: Asked::Never })
    }

    pub(super) async fn run(mut self, mut answer: Answer) {
        let closing = self.core.connection.closing().clone();
        let (wait, since) = (self.request.wait, self.since);
        let result = {
            let stop = async {
                tokio::select! {
                    () = answer.closed() => Failure::closed(),
                    () = closing.cancelled() => Failure::closed(),
                    () = run_out(wait, since) => Failure::lock_timeout(),
                }
            };
            tokio::pin!(stop);
            self.compete(stop).await
        };
        match result {
            Ok(token) => self.hand_over(token, answer),
            Err(failure) => self.withdraw(failure, answer).await,
        }
    }

    fn hand_over(mut self, token: i64, answer: Answer) {
        let token = FencingToken::new(revision(token));
        if let Some(turn) = self.turn.take() {
            self.turns.hold(token, turn);
        }
        let grant = LockGrant { name: self.request.name.clone(), session: self.request.session, token };
        // Whoever does not wait any more gives it back by dropping it.
        let _unwanted = answer.send(Ok(Granted::new(Arc::clone(&self.core), grant)));
    }

    /// Gives up what may be at the server, then answers. What cannot be given up now is given up by a task.
    async fn withdraw(mut self, failure: Failure, answer: Answer) {
        if failure.kind == ErrorKind::SessionEnded {
            self.core.locks.end_session(self.request.session);
        }
        let in_order = match self.asked {
            // The places of a session end with it.
            _ if failure.kind == ErrorKind::SessionEnded => true,
            Asked::Never => true,
            Asked::Unanswered | Asked::Answered => self.core.give_up_place(&self.place).await.is_ok(),
        };
        let in_order = in_order && self.asked != Asked::Unanswered;
        let failure = match in_order {
            true => failure,
            false => failure.with_effect(Effect::Unknown),
        };
        self.turn = None;
        let (core, place) = (Arc::clone(&self.core), self.place.clone());
        drop(self.turns);
        core.locks.tidy(place.session, &place.name);
        let _gone = answer.send(Err(failure));
        if !in_order {
            clean_up(&core, &place).await;
        }
    }

    /// Waits in both queues; returns the token of the place that came first. Only waits are broken off by `stop`: what
    /// became of a request for a place is always waited for, so that no place is left behind unseen.
    async fn compete(&mut self, mut stop: Pin<&mut impl Future<Output = Failure>>) -> Result<i64, Failure> {
        let turn = tokio::select! {
            turn = self.wait_for_turn() => turn?,
            failure = &mut stop => return Err(failure),
        };
        self.turn = Some(turn);
        if self.request.wait == LockWait::Try && self.is_occupied().await? {
            return Err(self.not_free().await);
        }
        loop {
            let taken = self.take_place().await?;
            let first = tokio::select! {
                first = self.wait_for_first(taken) => first?,
                failure = &mut stop => return Err(failure),
            };
            match first {
                Some(token) => return Ok(token),
                // The place was another client's, or was taken away from a session that lives: once more, at the end.
                None => self.asked = Asked::Never,
            }
        }
    }

    async fn wait_for_turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Some(turn) = self.turns.take() {
            return Ok(turn);
        }
        if self.request.wait == LockWait::Try {
            return Err(self.not_free().await);
        }
        let _waiting = self.turns.enqueue()?;
        tokio::select! {
            biased;
            () = self.turns.ended() => Err(self.session_ended()),
            turn = self.turns.next() => turn.ok_or_else(|| self.session_ended()),
            failure = self.look_out() => Err(failure),
        }
    }

    /// While this session's place is another request's: looks, for all who wait here, whether it is still there.
    async fn look_out(&self) -> Failure {
        let _lookout = self.turns.lookout().acquire().await;
        loop {
            let holder = self.turns.holder();
            let next = match self.core.place_now(&self.place.key).await {
                Ok((Some(_), at)) => self.core.wait_for(&[&self.place.key], at, Until::Deleted).await,
                Ok((None, at)) => match self.core.is_alive(self.request.session).await {
                    Ok(false) => {
                        self.core.locks.end_session(self.request.session);
                        return self.session_ended();
                    }
                    Ok(true) => {
                        // Released elsewhere, or taken away.
                        if let Some(gone) = holder {
                            self.turns.released(gone);
                        }
                        self.core.wait_for(&[&self.place.key], at, Until::Changed).await
                    }
                    Err(failure) => Err(failure),
                },
                Err(failure) => Err(failure),
            };
            if let Err(failure) = next {
                match is_passing(&failure) {
                    true => tokio::time::sleep(PAUSE).await,
                    false => return failure,
                }
            }
        }
    }

    async fn is_occupied(&self) -> Result<bool, Failure> {
        Ok(!self.core.places(&self.request.name).await?.0.is_empty())
    }

    /// Asks for the place of the session.
    async fn take_place(&mut self) -> Result<Taken, Failure> {
        self.asked = Asked::Unanswered;
        let taken = self.core.take_place(&self.place).await;
        self.asked = match &taken {
            Ok(Taken::Ours(_)) => Asked::Answered,
            Ok(Taken::Foreign(_)) => Asked::Never,
            Err(failure) if failure.effect == Effect::NotApplied => Asked::Never,
            Err(_) => Asked::Unanswered,
        };
        taken
    }

    /// Waits until the place is the first. `None` where it is not ours, or not any more, although the session lives.
    async fn wait_for_first(&self, taken: Taken) -> Result<Option<i64>, Failure> {
        match taken {
            Taken::Ours(token) => self.wait_for_own(token).await,
            Taken::Foreign(_) if self.request.wait == LockWait::Try => Err(self.not_free().await),
            Taken::Foreign(at) => {
                self.patiently(self.core.wait_for(&[&self.place.key], at, Until::Deleted).await).await?;
                Ok(None)
            }
        }
    }

    async fn wait_for_own(&self, token: i64) -> Result<Option<i64>, Failure> {
        loop {
            let outlook = match self.core.look(&self.place, token).await {
                Ok(outlook) => outlook,
                Err(failure) => {
                    self.patiently(Err(failure)).await?;
                    continue;
                }
            };
            match outlook {
                Outlook::First => return Ok(Some(token)),
                Outlook::Behind(..) if self.request.wait == LockWait::Try => return Err(Failure::lock_timeout()),
                Outlook::Behind(next, at) => {
                    let keys: [&[u8]; 2] = [&next, &self.place.key];
                    self.patiently(self.core.wait_for(&keys, at, Until::Deleted).await).await?;
                }
                Outlook::Gone => match self.core.is_alive(self.request.session).await {
                    Ok(true) => return Ok(None),
                    Ok(false) => return Err(self.session_ended()),
                    Err(failure) => self.patiently(Err(failure)).await?,
                },
            }
        }
    }

    /// A failure that passes is waited out, as long as the request waits.
    async fn patiently(&self, result: Result<(), Failure>) -> Result<(), Failure> {
        match result {
            Err(failure) if is_passing(&failure) && self.request.wait != LockWait::Try => {
                tokio::time::sleep(PAUSE).await;
                Ok(())
            }
            other => other,
        }
    }

    /// The refusal of a request that does not wait: for an ended session its end goes first.
    async fn not_free(&self) -> Failure {
        match self.core.is_alive(self.request.session).await {
            Ok(false) => self.session_ended(),
            Ok(true) | Err(_) => Failure::lock_timeout(),
        }
    }

    fn session_ended(&self) -> Failure {
        Failure::session_ended(self.request.session)
    }
}

/// Gives a place up until it is certain that it is, or the session has ended.
async fn clean_up(core: &Core, place: &Place) {
    for pause in [Duration::ZERO, LATE] {
        tokio::time::sleep(pause).await;
        while let Err(failure) = core.give_up_place(place).await {
            if !is_passing(&failure) {
                tracing::warn!(lock = %place.name, ?failure, "a place in the queue ends with its session only");
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn is_passing(failure: &Failure) -> bool {
    failure.reason == Reason::Elsewhere || matches!(failure.kind, ErrorKind::Unavailable | ErrorKind::DeadlineExceeded)
}

async fn run_out(wait: LockWait, since: Instant) {
    match wait {
        LockWait::AtMost(longest) => tokio::time::sleep(longest.saturating_sub(since.elapsed())).await,
        // Not waited for: the answers of the servers decide.
        LockWait::Try | LockWait::Forever => std::future::pending().await,
    }
}
