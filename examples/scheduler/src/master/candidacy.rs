//! Standing for election, for as long as a session lives.

use std::time::Duration;

use registry_api::{Election, Result, Session};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Connected;

/// Between two tries after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A candidate, or the leader. Dropping it gives both up in the background.
#[derive(Debug)]
pub(crate) struct Candidacy {
    stop: CancellationToken,
    task: Option<AbortOnDropHandle<()>>,
}

impl Candidacy {
    /// Stands in the election of the masters, where there is one.
    pub(crate) fn begin(connected: &Connected, session: &Session) -> Self {
        let stop = CancellationToken::new();
        let task = connected.insight.election().map(|election| {
            AbortOnDropHandle::new(tokio::spawn(stand(election.clone(), session.clone(), stop.clone())))
        });
        Self { stop, task }
    }

    /// Resigns, or leaves the queue. Dropping the future leaves that to the end of the session.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        if let Some(task) = self.task {
            // Whether it resigned in good order or with the end of its session: it does not lead any more.
            let _ended = task.await;
        }
    }
}

async fn stand(election: Election, session: Session, stop: CancellationToken) {
    while session.is_alive() && !stop.is_cancelled() {
        if let Err(error) = lead(&election, &session, &stop).await {
            tracing::debug!(%error, "the election went wrong, trying again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }
}

/// Waits to be elected, then leads until leadership is lost or `stop` is cancelled.
async fn lead(election: &Election, session: &Session, stop: &CancellationToken) -> Result<()> {
    let leadership = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        won = election.campaign(session) => won?,
    };
    tokio::select! {
        () = leadership.lost() => Ok(()),
        () = stop.cancelled() => leadership.resign().await,
    }
}
