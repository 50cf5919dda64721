//! The worker: runs tasks. It is registered with what it can do, takes what it is assigned, and reports what came of it.

mod attempt;
mod command;
mod output;
mod report;
mod shift;

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::report::Courier;
use self::shift::{Shift, ShiftEnd, worker_report};
use crate::cluster::Connected;
use crate::enrol::{Enrolment, Standing, tell_loss};
use crate::exit::Failure;
use crate::state::{Role, Status, encode};
use crate::vitals::Gauge;

/// Runs a worker until `stop` is cancelled; then its tasks are stopped, their attempts given up, and its presence is
/// withdrawn.
///
/// # Errors
///
/// [`Failure`]: the registry cannot be reached at the start, or was lost with `on_registry_lost = "stop"`.
///
/// # Cancellation
///
/// Dropping it kills the process groups of its tasks; the presence ends in the background, or with the session.
pub async fn run(connected: &Connected, stop: &CancellationToken) -> Result<(), Failure> {
    let mut gauge = Gauge::start();
    let first = worker_report(connected, &mut gauge, Status::Running, 0);
    let enrolment = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        enrolment = Enrolment::begin(connected, Role::Worker, encode(&first)) => enrolment?,
    };
    let courier = Arc::new(Courier::new(connected));
    let mut deliveries = JoinSet::new();
    let mut standing = Standing::New;
    while let Some(session) = enrolment.session(stop, standing).await? {
        if standing == Standing::LostBefore {
            tracing::info!(event = "registry_back", name = %connected.name, session = %session.id(), "carrying on");
        }
        let shift = Shift::new(connected, &enrolment, &mut gauge, (courier.clone(), &mut deliveries), session);
        match shift.run(stop).await {
            ShiftEnd::Stopped => break,
            ShiftEnd::Lost => tell_loss(connected),
        }
        standing = Standing::LostBefore;
    }
    let last = worker_report(connected, &mut gauge, Status::Leaving, 0);
    enrolment.farewell(serde_json::to_value(&last).unwrap_or_default()).await;
    Ok(())
}
