//! Who leads, as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

use super::Leader;
use crate::follower::Follower;
use crate::{Event, Key, RegistryClient, Scope};

/// The leaders of an [`Election`](crate::Election), as a stream: the current one at first, then every change; `None`
/// between two leaders. Nothing is told twice in a row.
///
/// After an error of the subscription it subscribes again (after 50 ms at first, then with pauses up to 5 s) and tells
/// the leader of then. It ends when the registry is closed. It has no task of its own: it works while it is asked.
pub struct LeaderObserver(BoxStream<'static, Option<Leader>>);

struct State {
    follower: Follower,
    told: Option<Option<Leader>>,
}

impl LeaderObserver {
    pub(super) fn new(client: &RegistryClient, key: Key) -> Self {
        let state = State { follower: Follower::new(client, Scope::Key(key)), told: None };
        Self(futures::stream::unfold(state, State::advance).boxed())
    }

    /// The next change of leader; `None` when the registry was closed.
    ///
    /// # Cancellation
    ///
    /// Safe: no change is lost.
    pub async fn next(&mut self) -> Option<Option<Leader>> {
        self.0.next().await
    }
}

impl State {
    async fn advance(mut self) -> Option<(Option<Leader>, Self)> {
        loop {
            let leader = match self.follower.next().await? {
                Event::Snapshot { listing, .. } => {
                    listing.entries().next().and_then(|entry| Leader::decode(&entry.value))
                }
                Event::Put { entry, .. } => Leader::decode(&entry.value),
                Event::Delete { .. } => None,
                Event::Progress { .. } => continue,
            };
            if self.told.as_ref() != Some(&leader) {
                self.told = Some(leader.clone());
                return Some((leader, self));
            }
        }
    }
}

impl Stream for LeaderObserver {
    type Item = Option<Leader>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for LeaderObserver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LeaderObserver").finish_non_exhaustive()
    }
}
