//! Subscriptions: a snapshot, then the watch of a member, resumed on another one where it breaks.

mod buffer;
mod event;
mod feed;
mod follow;

use std::sync::Arc;

use futures::StreamExt;
use registry_api::{Event, ListOptions, Scope, SnapshotReason, SubscribeFrom, Subscription};

use self::feed::{Feed, Step};
use crate::error::Failure;
use crate::registry::Handle;

/// Subscribes to a scope. The first snapshot is read before this returns.
pub(crate) async fn subscribe(
    handle: &Arc<Handle>,
    scope: &Scope,
    from: SubscribeFrom,
) -> Result<Subscription, Failure> {
    let core = &handle.0;
    core.lock_root.check_scope(scope)?;
    let (sender, receiver) = buffer::channel();
    let first = match from {
        SubscribeFrom::After(after) if after.incarnation == 0 => Step::follow(after),
        SubscribeFrom::After(_) => Step::Snapshot(SnapshotReason::Restored),
        SubscribeFrom::Snapshot => {
            let listing = core.list(scope, &ListOptions::default()).await?;
            let next = Step::follow(listing.revision);
            sender.push(Ok(Event::Snapshot { listing, reason: SnapshotReason::Initial }));
            next
        }
    };
    let feed = Feed::new(Arc::clone(core), scope.clone(), sender);
    core.connection.spawn(feed.run(first));
    // The subscription keeps the connection, also where the registry itself is dropped.
    let keep = Arc::clone(handle);
    let events = receiver.map(move |event| {
        let _kept = &keep;
        event
    });
    Ok(Subscription::new(scope.clone(), events))
}
