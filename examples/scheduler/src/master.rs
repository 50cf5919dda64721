//! The master: plans. It is registered, drives the instances of its slot, and notices who dies.

mod candidacy;
mod dead;
mod driver;
mod placement;
mod retention;
mod slots;
mod tenure;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::tenure::{Tenure, TenureEnd, master_report};
use self::view::View;
use crate::cluster::{Connected, Leader, Leading};
use crate::enrol::{Enrolment, Standing, tell_loss};
use crate::exit::{Code, Failure};
use crate::state::{Role, Status, encode};
use crate::vitals::Gauge;

/// Runs a master until `stop` is cancelled; then its locks are released and its presence is withdrawn.
///
/// # Errors
///
/// [`Failure`]: the registry cannot be reached at the start, or was lost with `on_registry_lost = "stop"`.
///
/// # Cancellation
///
/// Dropping it stops all work; the presence and the locks end in the background, or with the session.
pub async fn run(connected: &Connected, stop: &CancellationToken) -> Result<(), Failure> {
    let mut gauge = Gauge::start();
    let _leader = AbortOnDropHandle::new(tokio::spawn(tell_leaders(connected.clone())));
    // The view comes first: from its registration on, a master watches its session.
    let view = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        view = open_view(connected) => Arc::new(view?),
    };
    let first = master_report(connected, &mut gauge, Status::Running, None, &BTreeMap::new());
    let enrolment = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        enrolment = Enrolment::begin(connected, Role::Master, encode(&first)) => enrolment?,
    };
    let _dead = [(Role::Master, &view.masters), (Role::Worker, &view.workers)].map(|(role, mirror)| {
        AbortOnDropHandle::new(tokio::spawn(dead::watch(connected.clone(), role, mirror.clone())))
    });
    let mut standing = Standing::New;
    while let Some(session) = enrolment.session(stop, standing).await? {
        if standing == Standing::LostBefore {
            tracing::info!(event = "registry_back", name = %connected.name, session = %session.id(), "carrying on");
        }
        let tenure = Tenure::new(connected, &enrolment, &mut gauge, view.clone(), session);
        match tenure.run(stop).await {
            TenureEnd::Stopped => break,
            TenureEnd::Lost => tell_loss(connected),
        }
        standing = Standing::LostBefore;
    }
    let last = master_report(connected, &mut gauge, Status::Leaving, None, &BTreeMap::new());
    enrolment.farewell(serde_json::to_value(&last).unwrap_or_default()).await;
    Ok(())
}

/// Opening may meet a registry that has just lost its leader; it is tried as long as the start may take.
async fn open_view(connected: &Connected) -> Result<View, Failure> {
    const RETRY_PAUSE: Duration = Duration::from_millis(200);
    let limit = connected.settings.start_timeout.0;
    let opening = async {
        loop {
            match View::open(&connected.client).await {
                Ok(view) => return view,
                Err(error) => tracing::debug!(%error, "the mirrors cannot be opened, trying again"),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    };
    tokio::time::timeout(limit, opening).await.map_err(|_elapsed| {
        let limit = humantime::format_duration(limit);
        Failure::new(Code::Unreachable, format!("the registry showed nothing within {limit}"))
    })
}

/// Tells every leader that this master sees, each once.
async fn tell_leaders(connected: Connected) {
    let mut leader = connected.insight.leader();
    let mut told = None;
    while let Ok(seen) = leader.wait_for(|seen| seen.is_some() && *seen != told).await.map(|seen| seen.clone()) {
        match &seen {
            Some(Leader { term, who: Leading::Member { node, address } }) => {
                tracing::info!(event = "leader", node, term, address, "the registry's cluster has a leader");
            }
            Some(Leader { term, who: Leading::Master(master) }) => {
                tracing::info!(event = "leader", %master, term, "the masters have a leader");
            }
            None => {}
        }
        told = seen;
    }
}
