//! Waiting for keys of the store to change, without asking again and again.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{EventType, WatchFilterType, WatchOptions, WatchStream};

use crate::connect::{Link, Request};
use crate::error::Failure;
use crate::registry::Core;

/// How long before a quiet watch is looked at again: a member that answers and tells nothing must not hold a waiter.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The pause where a watch broke, so that a member that refuses watches is not asked without end.
const PAUSE: Duration = Duration::from_millis(50);

/// Which changes end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Deleted,
    Changed,
}

impl Core {
    /// Waits until one of the keys has changed after a revision, or it has to be looked at again.
    pub(super) async fn wait_for(&self, keys: &[&[u8]], after: i64, until: Until) -> Result<(), Failure> {
        let options = || {
            let options = WatchOptions::new().with_start_revision(after + 1);
            match until {
                Until::Deleted => options.with_filters([WatchFilterType::NoPut]),
                Until::Changed => options,
            }
        };
        let Some((first, rest)) = keys.split_first() else { return Ok(()) };
        let send = |link: Arc<Link>| {
            let (first, rest, options) = (first.to_vec(), rest.to_vec(), options());
            async move {
                let mut stream = link.watch().watch(first, Some(options.clone())).await?;
                for key in rest {
                    stream.watch(key, Some(options.clone())).await?;
                }
                Ok((stream, link))
            }
        };
        let (stream, link) = self.connection.call(Request::Read, self.connection.deadline(), send).await?;
        let changed = tokio::select! {
            changed = changed(stream, until) => changed,
            () = link.ended() => false,
            () = tokio::time::sleep(LOOK_AGAIN) => true,
        };
        if !changed {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Whether a change was told, and not the end of the stream.
async fn changed(mut stream: WatchStream, until: Until) -> bool {
    while let Ok(Some(response)) = stream.message().await {
        if response.canceled() {
            return false;
        }
        let ends = |event: &etcd_client::Event| until == Until::Changed || event.event_type() == EventType::Delete;
        if response.events().iter().any(ends) {
            return true;
        }
    }
    false
}
