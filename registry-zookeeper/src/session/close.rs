//! Ending sessions: our own over a connection that takes them up, those of other clients by asking their owner.

use std::sync::Arc;
use std::time::Duration;

use registry_api::SessionId;
use tokio::time::Instant;
use zookeeper_client as zk;

use super::Session;
use crate::call::answer;
use crate::connect::Dialer;
use crate::error::{Failure, Request};
use crate::inner::Inner;

/// The data of a session's sign of life by which another client asks for its end.
const END: &[u8] = b"\0registry: end this session\xff";
/// Between two attempts to tell the servers of an end.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long the connection of a session has to end after its last handle was dropped. It ends at once, except while it
/// tries to reach the servers.
const LETTING_GO: Duration = Duration::from_millis(500);

impl Inner {
    pub(crate) async fn close_session(self: &Arc<Self>, id: SessionId) -> Result<(), Failure> {
        let deadline = self.deadline();
        let Some(open) = self.sessions.end(id) else { return self.ask_for_end(id, deadline).await };
        // In a task of its own: it goes on when the caller gives up.
        let end = self.background.spawn(tell(Arc::clone(self), open.session));
        match tokio::time::timeout_at(deadline, end).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Failure::unanswered(Request::Changes)),
        }
    }

    /// Asks the owner of a session for its end, and waits until the session is gone. One without a sign of life has
    /// ended, or is none of ours.
    async fn ask_for_end(&self, id: SessionId, deadline: Instant) -> Result<(), Failure> {
        let path = &self.layout.session(id);
        let asked = self
            .reading(deadline, |client| async move {
                match answer(deadline, Request::Changes, client.set_data(path, END, None)).await {
                    Ok(_stat) => Ok(true),
                    Err(failure) if failure.is(&zk::Error::NoNode) => Ok(false),
                    Err(failure) => Err(failure),
                }
            })
            .await?;
        if asked {
            self.reading(deadline, |client| async move { until_gone(&client, path, deadline).await }).await?;
        }
        Ok(())
    }
}

/// Whether another client asks for the end of the session that this sign belongs to.
pub(super) fn is_end(data: &[u8]) -> bool {
    data == END
}

async fn until_gone(client: &zk::Client, path: &str, deadline: Instant) -> Result<(), Failure> {
    loop {
        let (stat, changed) = answer(deadline, Request::Changes, client.check_and_watch_stat(path)).await?;
        if stat.is_none() {
            return Ok(());
        }
        let changed = tokio::time::timeout_at(deadline, changed.changed()).await;
        if changed.map_err(|_elapsed| Failure::unanswered(Request::Changes))?.session_state.is_terminated() {
            return Err(Failure::of(zk::Error::ConnectionLoss, Request::Changes));
        }
    }
}

/// Tells the servers of the end of a session of ours; whether they know of it. Tries for as long as it could live
/// otherwise.
pub(super) async fn tell(inner: Arc<Inner>, session: Arc<Session>) -> bool {
    let Some(client) = session.take_client() else { return true };
    let mut states = client.state_watcher();
    let info = client.session().clone();
    drop(client);
    // Its connection lets go of the session first: otherwise both would take it from each other.
    let _late = tokio::time::timeout(LETTING_GO, terminated(&mut states)).await;
    if states.state() == zk::SessionState::Expired {
        return true;
    }
    let give_up = Instant::now() + session.ttl.saturating_mul(2);
    tokio::select! {
        biased;
        () = inner.closing.cancelled() => false,
        told = end(&inner.dialer, info, session.ttl, give_up) => {
            inner.seen.wrote_elsewhere();
            told
        }
    }
}

/// The connection of a session is detached, so that losing it ends nothing; so the session is taken up by another that
/// is not, and that one is dropped: the library says farewell then.
async fn end(dialer: &Dialer, info: zk::SessionInfo, ttl: Duration, give_up: Instant) -> bool {
    while Instant::now() < give_up {
        let mut states = match dialer.resume(info.clone(), ttl, give_up).await {
            Ok(client) => client.state_watcher(),
            Err(failure) if failure.is(&zk::Error::SessionExpired) => return true,
            Err(failure) => {
                tracing::debug!(?failure, session = %info.id(), "cannot take up a session to end it");
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
        };
        let farewell = tokio::time::timeout_at(give_up, terminated(&mut states)).await;
        if matches!(farewell, Ok(zk::SessionState::Closed | zk::SessionState::Expired)) {
            return true;
        }
    }
    false
}

pub(super) async fn terminated(states: &mut zk::StateWatcher) -> zk::SessionState {
    let mut state = states.state();
    while !state.is_terminated() {
        state = states.changed().await;
    }
    state
}

/// A session whose opening was given up half-way: it is ended in the background.
pub(super) struct Abandoned<'a> {
    inner: &'a Arc<Inner>,
    session: Option<Arc<Session>>,
}

impl<'a> Abandoned<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, session: &Arc<Session>) -> Self {
        Self { inner, session: Some(Arc::clone(session)) }
    }

    /// It was opened whole.
    pub(super) fn keep(&mut self) {
        self.session = None;
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.inner.background.spawn(tell(Arc::clone(self.inner), session));
        }
    }
}
