//! Subscriptions: a stream of events of one scope.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::BoxStream;

use crate::{Event, Result, Revision, Scope};

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscribeFrom {
    /// With a snapshot of the scope.
    #[default]
    Snapshot,
    /// With the first event after this revision. Where the history does not reach back so far, with a snapshot instead
    /// ([`SnapshotReason::Compacted`](crate::SnapshotReason::Compacted)).
    After(Revision),
}

/// The events of one scope: a [`Stream`] of `Result<Event>`.
///
/// Events come in the order of their revisions, none twice, none lost: after a gap comes a snapshot that says why. An
/// error is final: the stream ends with it. Dropping the subscription ends it on the server.
pub struct Subscription {
    scope: Scope,
    events: BoxStream<'static, Result<Event>>,
}

impl Subscription {
    /// Wraps the events that a backend delivers for `scope`.
    pub fn new(scope: Scope, events: impl Stream<Item = Result<Event>> + Send + 'static) -> Self {
        Self { scope, events: Box::pin(events) }
    }

    /// The scope that was subscribed to.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The next event; `None` after the final error, or after the registry was closed.
    ///
    /// # Cancellation
    ///
    /// Safe: no event is lost.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        futures::StreamExt::next(&mut self.events).await
    }
}

impl Stream for Subscription {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Subscription").field("scope", &self.scope).finish_non_exhaustive()
    }
}
