//! One request to the client library, which would wait for a connection as long as the session may live: with a deadline.

use std::future::Future;

use tokio::time::Instant;
use zookeeper_client as zk;

use crate::error::{Failure, Request};

/// The answer to a request that was handed to the client library, at the deadline at the latest.
///
/// # Cancellation
///
/// A dropped request may still be sent and applied.
pub(crate) async fn answer<T>(
    deadline: Instant,
    request: Request,
    call: impl Future<Output = Result<T, zk::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout_at(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::of(error, request)),
        Err(_elapsed) => Err(Failure::unanswered(request)),
    }
}

/// Waits until the client is connected. What is requested from it before that would be queued without bound.
pub(crate) async fn connected(client: &zk::Client, deadline: Instant) -> Result<(), Failure> {
    let mut states = client.state_watcher();
    let wait = async {
        let mut state = states.state();
        loop {
            match state {
                zk::SessionState::SyncConnected | zk::SessionState::ConnectedReadOnly => return Ok(()),
                zk::SessionState::Disconnected => state = states.changed().await,
                zk::SessionState::Expired | zk::SessionState::Closed | zk::SessionState::AuthFailed => {
                    return Err(Failure::unreachable());
                }
            }
        }
    };
    tokio::time::timeout_at(deadline, wait).await.unwrap_or_else(|_elapsed| Err(Failure::unreachable()))
}
