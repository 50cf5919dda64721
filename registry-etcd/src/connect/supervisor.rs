//! The task that finds a member that serves, looks after it, and moves on when it does not serve any more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use registry_api::{ConnectionPublisher, ConnectionState};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Link;
use super::link::Dialing;
use crate::error::{Failure, Reason};

/// How often a member is asked whether it still serves.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long a dial has for itself before the next member is dialled too.
const HEAD_START: Duration = Duration::from_millis(250);
/// The pauses between rounds in which no member served.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The last failure of a dial: what is told where connecting fails.
#[derive(Clone, Debug, Default)]
pub(super) struct DialFailures(Arc<Noted>);

#[derive(Debug, Default)]
struct Noted {
    last: Mutex<Option<Failure>>,
    refused: Notify,
}

impl DialFailures {
    pub(super) fn last(&self) -> Option<Failure> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Resolves when every member refused, and another attempt would change nothing.
    pub(super) async fn refused(&self) -> Failure {
        loop {
            self.0.refused.notified().await;
            if let Some(failure) = self.last() {
                return failure;
            }
        }
    }

    fn note(&self, failure: Failure) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

#[derive(Debug)]
pub(super) struct Supervisor {
    dialing: Arc<Dialing>,
    links: watch::Sender<Option<Arc<Link>>>,
    publisher: Arc<ConnectionPublisher>,
    closed: CancellationToken,
    failures: DialFailures,
}

impl Supervisor {
    pub(super) fn new(
        dialing: Arc<Dialing>,
        links: watch::Sender<Option<Arc<Link>>>,
        publisher: Arc<ConnectionPublisher>,
        closed: CancellationToken,
    ) -> Self {
        Self { dialing, links, publisher, closed, failures: DialFailures::default() }
    }

    pub(super) fn failures(&self) -> DialFailures {
        self.failures.clone()
    }

    pub(super) async fn run(self) {
        let closed = self.closed.clone();
        tokio::select! {
            () = closed.cancelled() => {}
            () = self.serve() => {}
        }
        if let Some(link) = self.links.send_replace(None) {
            link.end();
        }
        self.publisher.publish(ConnectionState::Closed);
    }

    async fn serve(&self) {
        let mut first = 0;
        loop {
            let link = self.find(first).await;
            tracing::debug!(member = link.address(), "connected");
            self.links.send_replace(Some(Arc::clone(&link)));
            self.publisher.publish(ConnectionState::Connected);
            let failure = self.look_after(&link).await;
            tracing::info!(member = link.address(), reason = ?failure, "the member does not serve any more");
            self.links.send_replace(None);
            self.publisher.publish(ConnectionState::Suspended);
            link.end();
            first = link.at() + 1;
        }
    }

    /// Dials until a member serves: round by round, each member a little after the one before it.
    async fn find(&self, first: usize) -> Arc<Link> {
        let mut pause = PAUSE_MIN;
        loop {
            if let Some(link) = self.one_round(first).await {
                return link;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn one_round(&self, first: usize) -> Option<Arc<Link>> {
        let count = self.dialing.count();
        let dials = (0..count).map(|step| async move {
            tokio::time::sleep(HEAD_START * u32::try_from(step).unwrap_or(u32::MAX)).await;
            self.dialing.dial((first + step) % count).await
        });
        let mut dials: FuturesUnordered<_> = dials.collect();
        let mut refused = 0;
        while let Some(dialled) = dials.next().await {
            match dialled {
                Ok(link) => return Some(link),
                Err(failure) => {
                    tracing::debug!(?failure, "a dial failed");
                    refused += usize::from(failure.reason != Reason::Elsewhere);
                    self.failures.note(failure);
                }
            }
        }
        if refused == count {
            self.failures.0.refused.notify_one();
        }
        None
    }

    /// Returns when the member does not serve any more, with the reason.
    async fn look_after(&self, link: &Link) -> Failure {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PROBE_EVERY) => {}
                () = link.doubted() => {}
            }
            if let Err(failure) = link.probe(self.dialing.patience).await {
                return failure;
            }
        }
    }
}
