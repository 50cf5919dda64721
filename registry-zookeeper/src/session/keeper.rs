//! The task beside each session that ends it: when it was silent for its ttl, when its connection says that it is over,
//! or when another client asks for its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zookeeper_client as zk;

use super::{Session, close};
use crate::call::{answer, connected};
use crate::error::Request;
use crate::inner::Inner;

/// Between two attempts to look at the sign of life after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn keep(inner: Arc<Inner>, session: Arc<Session>) {
    let reason = tokio::select! {
        biased;
        () = inner.closing.cancelled() => return,
        () = session.ended.cancelled() => return,
        () = over(&session) => "its connection says so",
        () = silent(&session) => "no heartbeat came for its ttl",
        () = asked(&inner, &session) => "another client asked for it",
    };
    tracing::debug!(session = %session.id, reason, "a session ends");
    inner.background.spawn(close::tell(Arc::clone(&inner), Arc::clone(&session)));
    // Last: it aborts this task.
    drop(inner.sessions.end(session.id));
}

/// Until the client library knows that the session is over.
async fn over(session: &Session) {
    if let Some(mut states) = session.client_handle().map(|client| client.state_watcher()) {
        close::terminated(&mut states).await;
    }
}

/// Until no heartbeat was answered for the ttl.
async fn silent(session: &Session) {
    loop {
        let due = session.due();
        if due <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(due).await;
    }
}

/// Until another client asks for the end of the session, or its sign of life is gone.
async fn asked(inner: &Inner, session: &Session) {
    let path = inner.layout.session(session.id);
    loop {
        let Some(client) = session.client_handle() else { return };
        let deadline = session.due();
        if connected(&client, deadline).await.is_err() {
            // The end of the session is told by the others.
            return std::future::pending().await;
        }
        match answer(deadline, Request::Reads, client.get_and_watch_data(&path)).await {
            Ok((data, _, _)) if close::is_end(&data) => return,
            Ok((_, _, changed)) => drop(changed.changed().await),
            Err(failure) if failure.is(&zk::Error::NoNode) => return,
            Err(_interrupted) => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
}
