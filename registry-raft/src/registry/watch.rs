//! Subscriptions: events with credit, attached again after a loss where they were, without gap or duplicate.

mod cursor;
mod snapshot;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use prost::Message;
use registry_api::{Effect, Error, Event, Operation, Result, Scope, SubscribeFrom, Subscription};
use tokio::time::Instant;

use self::cursor::Cursor;
use self::snapshot::Parts;
use super::Inner;
use super::answer::undecodable;
use crate::boundary::Failed;
use crate::client::{Attached, Attempts, SUBSCRIBE_ATTEMPT};
use crate::convert::{ConvertError, error_of};
use crate::proto;
use crate::proto::Failure;
use crate::proto::watch_event::Event as Wire;

const OPERATION: Operation = Operation::Subscribe;
/// How many events a member may send before the consumer takes one.
const CREDIT: u64 = 512;
/// Credit goes back when so many events were taken, not for each one.
const CREDIT_BACK: u64 = CREDIT / 4;

/// A subscription as its consumer drives it: nothing runs while nobody polls, so a slow consumer holds up only the
/// member's bounded buffer, which ends in a new snapshot.
struct Watch {
    inner: Arc<Inner>,
    scope: Scope,
    cursor: Cursor,
    attached: Option<Attached>,
    /// Encoded, as they came.
    arrived: VecDeque<Bytes>,
    parts: Option<Parts>,
    taken: u64,
    over: bool,
}

impl Inner {
    pub(super) async fn subscribe(self: &Arc<Self>, scope: &Scope, from: SubscribeFrom) -> Result<Subscription> {
        let mut watch = Watch {
            inner: Arc::clone(self),
            scope: scope.clone(),
            cursor: Cursor::new(match from {
                SubscribeFrom::Snapshot => None,
                SubscribeFrom::After(revision) => Some(revision),
            }),
            attached: None,
            arrived: VecDeque::new(),
            parts: None,
            taken: 0,
            over: false,
        };
        let deadline = self.deadline();
        self.while_open(OPERATION, Effect::NotApplied, watch.attach(Some(deadline))).await?;
        let events = stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await?;
            watch.over = event.is_err();
            Some((event, watch))
        });
        Ok(Subscription::new(scope.clone(), events))
    }
}

impl Watch {
    /// The next event; `None` after the final error, and when the registry is closed.
    async fn next(&mut self) -> Option<Result<Event>> {
        if self.over {
            return None;
        }
        let closing = self.inner.closing.clone();
        tokio::select! {
            biased;
            () = closing.cancelled() => None,
            event = self.event() => Some(event),
        }
    }

    /// The next event. Everything that was received is kept in `self`, so the future may be dropped at any time.
    async fn event(&mut self) -> Result<Event> {
        loop {
            while let Some(event) = self.arrived.pop_front() {
                self.give_credit();
                if let Some(event) = self.take(event)? {
                    self.inner.saw(event.revision());
                    return Ok(event);
                }
            }
            let Some(attached) = &mut self.attached else {
                self.attach(None).await?;
                continue;
            };
            match attached.next().await {
                Some(events) => self.receive(events)?,
                None => self.detach(),
            }
        }
    }

    fn receive(&mut self, events: proto::Events) -> Result<()> {
        self.arrived.extend(events.events);
        let Some(refusal) = events.ended else { return Ok(()) };
        self.attached = None;
        if goes_on_elsewhere(&refusal) { Ok(()) } else { Err(error_of(&refusal, OPERATION)) }
    }

    /// The connection is lost or another member is home: what arrived is still delivered, parts of a snapshot are not.
    fn detach(&mut self) {
        self.attached = None;
    }

    /// Takes one event of the wire; a whole event comes out of it unless it is a part, or was delivered before.
    fn take(&mut self, event: Bytes) -> Result<Option<Event>> {
        let event = proto::WatchEvent::decode(event).map_err(|_error| wrong(ConvertError::Unknown("an event")))?;
        if let Some(Wire::Snapshot(part)) = event.event {
            let mut parts = self.parts.take().unwrap_or_default();
            if !parts.add(part) {
                self.parts = Some(parts);
                return Ok(None);
            }
            let snapshot = parts.into_event().map_err(wrong)?;
            self.cursor.snapshot(snapshot.revision());
            return Ok(Some(snapshot));
        }
        let event = Event::try_from(event).map_err(wrong)?;
        Ok(self.cursor.admits(&event).then_some(event))
    }

    fn give_credit(&mut self) {
        self.taken += 1;
        if self.taken >= CREDIT_BACK
            && let Some(attached) = &self.attached
        {
            attached.credit(self.taken);
            self.taken = 0;
        }
    }

    /// Attaches at the home member, where the subscription was; again and again, until `deadline` if there is one.
    async fn attach(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.parts = None;
        self.taken = 0;
        let far = Instant::now() + Duration::from_secs(365 * 24 * 3600);
        let mut attempts = Attempts::new(self.inner.router.timing(), deadline.unwrap_or(far));
        loop {
            let subscribe = self.cursor.resume(&self.scope, self.inner.seen(), CREDIT);
            let attempt = Instant::now() + SUBSCRIBE_ATTEMPT;
            let attempt = deadline.map_or(attempt, |deadline| deadline.min(attempt));
            let failed = match self.inner.router.subscribe(subscribe, attempt).await {
                Ok(attached) => {
                    self.attached = Some(attached);
                    return Ok(());
                }
                Err(failed) => failed,
            };
            if let Failed::Refused(refusal) = &failed
                && !goes_on_elsewhere(refusal)
            {
                return Err(error_of(refusal, OPERATION));
            }
            tracing::debug!(scope = %self.scope, reason = %failed, "not subscribed yet");
            let error = |refusal| super::answer::read_error(refusal, OPERATION);
            attempts.judge(failed).map_err(error)?;
            attempts.check_deadline().map_err(error)?;
            tokio::time::sleep_until(attempts.next_round()).await;
        }
    }
}

/// Whether another member, or the same one later, can go on with the subscription.
fn goes_on_elsewhere(refusal: &proto::Refusal) -> bool {
    matches!(refusal.failure(), Failure::Unavailable | Failure::DeadlineExceeded | Failure::NotLeader | Failure::Closed)
}

fn wrong(error: crate::convert::ConvertError) -> Error {
    undecodable(error, OPERATION, Effect::NotApplied)
}
