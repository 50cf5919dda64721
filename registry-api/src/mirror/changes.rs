//! What a mirror tells of its changes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use crate::Entry;

/// One change of a [`Mirror`](crate::Mirror). The mirror shows it already when it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorChange {
    /// A key appeared.
    Added(Entry),
    /// A key has a new value or owner.
    Updated {
        /// As it is now.
        entry: Entry,
        /// As the mirror showed it before.
        previous: Entry,
    },
    /// A key vanished; this is how the mirror showed it last.
    Removed(Entry),
    /// Everything has to be looked at again: at the beginning, after a gap in the subscription (its net differences are
    /// told just before), and where this reader was too slow.
    Resynced,
}

/// The changes of a [`Mirror`](crate::Mirror), as a stream.
pub struct MirrorChanges(BoxStream<'static, MirrorChange>);

impl MirrorChanges {
    pub(super) fn new(receiver: broadcast::Receiver<MirrorChange>) -> Self {
        let live = BroadcastStream::new(receiver).map(|change| change.unwrap_or(MirrorChange::Resynced));
        Self(futures::stream::once(async { MirrorChange::Resynced }).chain(live).boxed())
    }

    /// The next change; `None` when the registry was closed.
    ///
    /// # Cancellation
    ///
    /// Safe: no change is lost.
    pub async fn next(&mut self) -> Option<MirrorChange> {
        self.0.next().await
    }
}

impl Stream for MirrorChanges {
    type Item = MirrorChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<MirrorChange>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for MirrorChanges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MirrorChanges").finish_non_exhaustive()
    }
}
