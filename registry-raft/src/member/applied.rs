//! How far this member has applied the log, to wait for.

use registry_api::Revision;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::boundary::Failed;
use crate::proto;

/// The revision that was applied last.
#[derive(Debug)]
pub(crate) struct Applied {
    revision: watch::Sender<Revision>,
}

impl Applied {
    pub(crate) fn new(revision: Revision) -> Self {
        Self { revision: watch::Sender::new(revision) }
    }

    /// This revision was applied, and readers find it. Told before anything else is told of its changes: whoever has
    /// missed a change then finds a revision here that holds it.
    pub(crate) fn tell(&self, revision: Revision) {
        self.revision.send_if_modified(|current| {
            let moved = *current != revision;
            *current = revision;
            moved
        });
    }

    /// The revision that was applied last.
    pub(crate) fn revision(&self) -> Revision {
        *self.revision.borrow()
    }

    /// Waits until this revision is applied.
    ///
    /// # Errors
    ///
    /// `DEADLINE_EXCEEDED`.
    pub(crate) async fn reached(&self, revision: Revision, deadline: Instant) -> Result<(), Failed> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut watch = self.revision.subscribe();
        match timeout_at(deadline, watch.wait_for(|applied| *applied >= revision)).await {
            Ok(_) => Ok(()),
            Err(_elapsed) => Err(Failed::refused(
                proto::Failure::DeadlineExceeded,
                format!("this member has applied revision {}, not yet {revision}", self.revision()),
            )),
        }
    }
}
