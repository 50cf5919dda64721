//! The connection that everything but the work of sessions shares: kept up, and opened anew when its session expires.

use std::sync::Arc;
use std::time::Duration;

use registry_api::{ConnectionPublisher, ConnectionState};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use zookeeper_client as zk;

use crate::call::connected;
use crate::connect::{Dialer, Ending};
use crate::error::Failure;

/// The session of the shared connection, which owns nothing: long enough to keep its place over a short outage, short
/// enough to find a silent server in good time (the library gives up a connection after two fifths of it).
const TTL_MIN: Duration = Duration::from_secs(4);
const TTL_MAX: Duration = Duration::from_secs(30);
/// Between two dials of servers that cannot be reached.
const REDIAL_PAUSE: Duration = Duration::from_millis(200);

/// The shared connection. Dropping it ends its session and its task.
#[derive(Debug)]
pub(crate) struct Link {
    clients: watch::Receiver<zk::Client>,
    publisher: Arc<ConnectionPublisher>,
    _supervisor: AbortOnDropHandle<()>,
}

impl Link {
    pub(crate) async fn connect(
        dialer: Arc<Dialer>,
        request_timeout: Duration,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let ttl = request_timeout.clamp(TTL_MIN, TTL_MAX);
        let client = dialer.open(ttl, Ending::WithTheClient, deadline).await?;
        let publisher = Arc::new(ConnectionPublisher::new(ConnectionState::Connected));
        let (sender, clients) = watch::channel(client);
        let supervisor = tokio::spawn(supervise(dialer, ttl, sender, Arc::clone(&publisher)));
        Ok(Self { clients, publisher, _supervisor: AbortOnDropHandle::new(supervisor) })
    }

    /// The client as soon as it is connected.
    pub(crate) async fn client(&self, deadline: Instant) -> Result<zk::Client, Failure> {
        let mut clients = self.clients.clone();
        loop {
            let client = clients.borrow_and_update().clone();
            match connected(&client, deadline).await {
                Ok(()) => return Ok(client),
                Err(failure) if Instant::now() >= deadline => return Err(failure),
                // Its session is over: wait for the next one.
                Err(failure) => match tokio::time::timeout_at(deadline, clients.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Err(failure),
                },
            }
        }
    }

    pub(crate) fn publisher(&self) -> Arc<ConnectionPublisher> {
        Arc::clone(&self.publisher)
    }
}

/// Tells how the connection stands, and replaces a client whose session is over.
async fn supervise(
    dialer: Arc<Dialer>,
    ttl: Duration,
    clients: watch::Sender<zk::Client>,
    publisher: Arc<ConnectionPublisher>,
) {
    loop {
        let mut states = clients.borrow().state_watcher();
        let mut state = states.state();
        while !state.is_terminated() {
            publisher.publish(match state {
                zk::SessionState::Disconnected => ConnectionState::Suspended,
                _ => ConnectionState::Connected,
            });
            state = states.changed().await;
        }
        publisher.publish(ConnectionState::Suspended);
        tracing::info!(%state, "the shared session is over; opening another");
        let client = redial(&dialer, ttl).await;
        if clients.send(client).is_err() {
            return;
        }
    }
}

async fn redial(dialer: &Dialer, ttl: Duration) -> zk::Client {
    loop {
        match dialer.open(ttl, Ending::WithTheClient, Instant::now() + ttl).await {
            Ok(client) => return client,
            Err(failure) => {
                tracing::debug!(?failure, "cannot open a session");
                tokio::time::sleep(REDIAL_PAUSE).await;
            }
        }
    }
}
