//! How far this member has applied the log, to wait for, and the state that is at least as far.

use std::sync::Arc;

use registry_api::Revision;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::boundary::Failed;
use crate::member::quorum::Quorum;
use crate::proto;
use crate::state_machine::StateMachine;

/// The revision that was applied last.
#[derive(Debug)]
pub(crate) struct Applied {
    revision: watch::Sender<Revision>,
}

impl Applied {
    pub(crate) fn new(revision: Revision) -> Self {
        Self { revision: watch::Sender::new(revision) }
    }

    /// This revision was applied. Told before anything else is told of its changes: whoever has missed a change then
    /// finds a revision here that holds it.
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

    /// The applied state, at least as far as anything that was told before this call.
    pub(crate) async fn state(&self, quorum: &Arc<dyn Quorum>) -> Arc<StateMachine> {
        let revision = self.revision();
        for attempt in 0_u32.. {
            let state = quorum.state();
            if state.revision() >= revision {
                return state;
            }
            // Told, but not published yet: a matter of microseconds, or of the entries that are published together.
            if attempt < 16 {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        quorum.state()
    }
}
