//! The task behind a subscription: snapshots, and following the changes between them.

use std::sync::Arc;
use std::time::Duration;

use registry_api::{Event, ListOptions, Operation, Revision, Scope, SnapshotReason};

use super::buffer::Sender;
use super::follow::End;
use crate::error::{Failure, Reason};
use crate::registry::Core;

/// The pauses between attempts that brought nothing.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a feed does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Lists the scope and tells it.
    Snapshot(SnapshotReason),
    /// Follows the changes after a revision.
    Follow {
        /// Everything up to here was told.
        after: u64,
    },
}

impl Step {
    pub(super) fn follow(after: Revision) -> Self {
        Self::Follow { after: after.counter }
    }
}

#[derive(Debug)]
pub(super) struct Feed {
    pub(super) core: Arc<Core>,
    pub(super) scope: Scope,
    pub(super) sender: Sender,
}

impl Feed {
    pub(super) fn new(core: Arc<Core>, scope: Scope, sender: Sender) -> Self {
        Self { core, scope, sender }
    }

    /// Runs until nobody listens any more, or the registry is closed, or nothing can be told any more.
    pub(super) async fn run(self, first: Step) {
        tokio::select! {
            () = self.sender.dropped() => {}
            () = self.core.connection.closing().cancelled() => {}
            failure = self.tell(first) => {
                self.sender.drained().await;
                self.sender.push(Err(failure.into_error(Operation::Subscribe)));
            }
        }
    }

    /// Tells what happens; returns why it cannot go on.
    async fn tell(&self, first: Step) -> Failure {
        let (mut step, mut pause) = (first, PAUSE_MIN);
        loop {
            let next = match step {
                Step::Snapshot(reason) => self.snapshot(reason).await,
                Step::Follow { after } => self.follow(after).await.map(|end| end.next_step()),
            };
            match next {
                Ok(next) if next != step => (step, pause) = (next, PAUSE_MIN),
                Ok(_same) => pause = self.rest(pause).await,
                Err(failure) if is_passing(&failure) => pause = self.rest(pause).await,
                Err(failure) => return failure,
            }
        }
    }

    async fn rest(&self, pause: Duration) -> Duration {
        tokio::time::sleep(pause).await;
        (pause * 2).min(PAUSE_MAX)
    }

    async fn snapshot(&self, reason: SnapshotReason) -> Result<Step, Failure> {
        // A consumer that was too slow first takes what it has not taken.
        self.sender.drained().await;
        let listing = self.core.list(&self.scope, &ListOptions::default()).await?;
        let next = Step::follow(listing.revision);
        self.sender.push(Ok(Event::Snapshot { listing, reason }));
        Ok(next)
    }
}

/// Whether the same may succeed later, perhaps on another member.
fn is_passing(failure: &Failure) -> bool {
    use registry_api::ErrorKind::{DeadlineExceeded, Unavailable};
    failure.reason == Reason::Elsewhere || matches!(failure.kind, DeadlineExceeded | Unavailable)
}

impl End {
    fn next_step(self) -> Step {
        match self {
            Self::Broken { after } => Step::Follow { after },
            Self::Gap(reason) => Step::Snapshot(reason),
        }
    }
}
