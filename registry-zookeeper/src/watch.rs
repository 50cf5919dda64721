//! Subscriptions: a recursive watch tells which nodes changed, they are read back, and what differs from the copy kept
//! here is told.
//!
//! ```text
//!  watch ---> which paths ---> read back at one moment ---> batch ---> feed (copy + bounded queue) ---> consumer
//! ```

mod batch;
mod feed;
mod follow;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use registry_api::{Error, Event, Operation, ReadLevel, Result, Scope, SnapshotReason, SubscribeFrom, Subscription};
use tokio_util::task::AbortOnDropHandle;

use self::feed::Feed;
use self::follow::Follower;
use crate::error::Failure;
use crate::inner::Inner;

impl Inner {
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        scope: &Scope,
        from: SubscribeFrom,
    ) -> std::result::Result<Subscription, Failure> {
        self.check_scope(scope)?;
        let reason = match from {
            SubscribeFrom::Snapshot => SnapshotReason::Initial,
            // There is no history to resume from.
            SubscribeFrom::After(_) => SnapshotReason::Compacted,
        };
        let deadline = self.deadline();
        let feed = Arc::new(Feed::new(scope.clone()));
        let armed = self
            .reading(deadline, |client| {
                let feed = &feed;
                async move {
                    let watch = follow::arm(&client, scope, deadline).await?;
                    let tree = self.tree(&client, scope, ReadLevel::Linearizable, deadline).await?;
                    feed.replace(tree, reason);
                    Ok((client, watch))
                }
            })
            .await?;
        let follower = Follower::new(Arc::clone(self), scope.clone(), Arc::clone(&feed));
        let task = tokio::spawn(follower.run(armed));
        let events = Events { feed, _task: AbortOnDropHandle::new(task) };
        Ok(Subscription::new(scope.clone(), events))
    }
}

/// The consumer's end. Dropping it ends the task that follows, and so the watch.
struct Events {
    feed: Arc<Feed>,
    _task: AbortOnDropHandle<()>,
}

impl Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.feed.poll(context).map(|next| next.map(|event| event.map_err(|end| end.into_error(Operation::Subscribe))))
    }
}
