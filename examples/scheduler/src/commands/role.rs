//! The roles: connect, run until told to stop, leave in good order.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::default_filter;
use crate::cli::Connect;
use crate::cluster::Connected;
use crate::config::{Config, Process};
use crate::exit::{Code, Failure};
use crate::{api, backends, logging, master, worker};

/// Between two tries to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long closing the registry may take: a member hands its leadership over.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn run(process: Process, connect: Connect) -> Result<(), Failure> {
    let _log = logging::start(&connect.log, default_filter(process))?;
    let config = Config::load(process, &connect)?;
    let stop = CancellationToken::new();
    let _signals = AbortOnDropHandle::new(tokio::spawn(listen(stop.clone())?));
    let role = process.as_str();
    tracing::info!(event = "started", role, name = %config.name, pid = std::process::id(), "started");
    let connected = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        connected = connect_in_time(&config) => connected?,
    };
    let result = match process {
        Process::Master => master::run(&connected, &stop).await,
        Process::Worker => worker::run(&connected, &stop).await,
        Process::Api | Process::Command => api::run(&connected, &stop).await,
    };
    tracing::info!(event = "stopping", name = %config.name, "stopping");
    close(&connected).await;
    tracing::info!(event = "stopped", name = %config.name, "stopped");
    result
}

/// Connects, again and again while no member answers: the processes of a cluster may be started in any order.
async fn connect_in_time(config: &Config) -> Result<Connected, Failure> {
    let deadline = Instant::now() + config.scheduler.start_timeout.0;
    loop {
        match backends::connect(config).await {
            Err(failure) if failure.code() == Code::Unreachable && Instant::now() + RETRY_PAUSE < deadline => {
                tracing::info!(name = %config.name, "waiting for the registry: {failure}");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// Closes the connection, or stops the member.
pub(super) async fn close(connected: &Connected) {
    match tokio::time::timeout(CLOSE_TIMEOUT, connected.client.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the registry was not closed in good order"),
        Err(_elapsed) => tracing::debug!("the registry was not closed in time"),
    }
}

/// Waits for SIGTERM or SIGINT, and cancels.
fn listen(stop: CancellationToken) -> Result<impl Future<Output = ()>, Failure> {
    let failed = |error: std::io::Error| Failure::new(Code::Io, format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    })
}
