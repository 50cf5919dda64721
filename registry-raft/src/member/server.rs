//! The one port of a member: peers, clients, metrics and health.

mod admin;
mod listener;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

pub(crate) use self::listener::bind;
use self::listener::incoming;
use crate::boundary::MESSAGE_LEN_MAX;
use crate::member::health::Health;
use crate::member::service::{Sent, Service};
use crate::proto;
use crate::proto::registry_server::{Registry, RegistryServer};

/// HTTP/2 streams of one connection: a client needs one, a peer a handful.
const STREAMS_MAX: u32 = 64;
/// An idle connection is asked for a sign of life this often ..
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// .. and ended when none comes within this.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What one stream, and all streams of a connection, may have under way towards this member: many small requests.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Serves on `listener` until `stop`; then lets connections end by themselves.
pub(crate) fn serve(
    listener: tokio::net::TcpListener,
    service: Arc<Service>,
    peers: Routes,
    health: Arc<Health>,
    stop: CancellationToken,
) -> AbortOnDropHandle<()> {
    let (meters, places) = (Arc::clone(&service.meters), service.places.clone());
    let clients = RegistryServer::new(Clients { service: Arc::clone(&service) })
        .max_decoding_message_size(MESSAGE_LEN_MAX)
        .max_encoding_message_size(MESSAGE_LEN_MAX);
    let mut routes = peers.add_service(clients);
    let router = std::mem::take(routes.axum_router_mut());
    let routes = Routes::from(router.merge(admin::router(service, health)));
    let server = tonic::transport::Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_pending_accept_reset_streams(Some(32))
        .add_routes(routes);
    AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) =
            server.serve_with_incoming_shutdown(incoming(listener, places, meters), stop.cancelled_owned()).await
        {
            tracing::error!(%error, "the server ended");
        }
    }))
}

/// Clients over streams.
struct Clients {
    service: Arc<Service>,
}

#[tonic::async_trait]
impl Registry for Clients {
    type AttachStream = Pin<Box<dyn Stream<Item = Sent> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<proto::ClientMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if self.service.leaving.is_cancelled() {
            return Err(Status::unavailable("this member is stopping"));
        }
        let outbox = self.service.attach(request.into_inner());
        Ok(Response::new(ReceiverStream::new(outbox).map(|sent| *sent).boxed()))
    }
}
