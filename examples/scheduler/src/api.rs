//! The API server: JSON for programs and one page for people, read from any member of the registry.

mod guard;
mod json;
mod page;
mod refusal;
mod style;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cluster::Connected;
use crate::exit::{Code, Failure};
use crate::workflow::WORKFLOW_LEN_MAX;

/// How long requests may go on when the server is stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What the handlers share.
type Shared = Arc<Connected>;

/// Serves until `stop` is cancelled.
///
/// # Errors
///
/// [`Code::Configuration`]: the address cannot be listened on.
pub async fn run(connected: &Connected, stop: &CancellationToken) -> Result<(), Failure> {
    let address = connected.settings.api.listen;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::configuration(format!("scheduler.api.listen: cannot listen on {address}: {error}"))
    })?;
    serve(connected, listener, stop).await
}

/// Serves on a listener that is there.
///
/// # Errors
///
/// [`Code::Io`]: the listener failed.
pub async fn serve(connected: &Connected, listener: TcpListener, stop: &CancellationToken) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::new(Code::Io, format!("the API server: {error}"));
    let address = listener.local_addr().map_err(io)?;
    tracing::info!(event = "listening", address = %address, "the page is at http://{address}/");
    let router = router(Arc::new(connected.clone()), address);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let stopped = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        served = serving.into_future() => served.map_err(io),
        () = stopped => Ok(()),
    }
}

fn router(shared: Shared, address: SocketAddr) -> Router {
    let router = Router::new()
        .route("/", get(page::index))
        .route("/instances/{id}", get(page::instance))
        .route("/health", get(json::health))
        .route("/api/members", get(json::members))
        .route("/api/leader", get(json::leader))
        .route("/api/workers", get(json::workers))
        .route("/api/workflows", get(json::workflows).post(json::submit))
        .route("/api/instances", get(json::instances))
        .route("/api/instances/{id}", get(json::instance))
        .route("/api/instances/{id}/cancel", post(json::cancel))
        .route("/api/dead", get(json::dead))
        .route("/api/refused", get(json::refused))
        .layer(DefaultBodyLimit::max(WORKFLOW_LEN_MAX + 1))
        .with_state(shared);
    guard::guarded(router, address)
}
