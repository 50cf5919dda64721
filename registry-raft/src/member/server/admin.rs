//! Metrics, health, readiness and status over plain HTTP, on the port of the member.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::member::health::{Health, Verdict};
use crate::member::service::Service;

#[derive(Clone)]
struct Admin {
    service: Arc<Service>,
    health: Arc<Health>,
}

/// The pages of an operator.
pub(super) fn router(service: Arc<Service>, health: Arc<Health>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(healthy))
        .route("/ready", get(ready))
        .route("/status", get(status))
        .with_state(Admin { service, health })
}

async fn metrics() -> Response {
    match crate::member::metrics::install() {
        Some(handle) => {
            handle.run_upkeep();
            ([("content-type", "text/plain; version=0.0.4")], handle.render()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "the process has a metrics recorder of its own; look for the metrics there\n")
            .into_response(),
    }
}

async fn healthy(State(admin): State<Admin>) -> Response {
    answer(admin.health.healthy())
}

async fn ready(State(admin): State<Admin>) -> Response {
    answer(admin.health.ready())
}

fn answer(verdict: Verdict) -> Response {
    match verdict {
        Verdict::Good => (StatusCode::OK, "ok\n").into_response(),
        Verdict::Bad(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// How a member stands, for tools.
#[derive(Serialize)]
struct Status {
    cluster: String,
    member: u64,
    leader: Option<u64>,
    term: u64,
    last_log_index: u64,
    applied_index: u64,
    revision: String,
    members: std::collections::BTreeMap<u64, String>,
    sessions: u64,
    keys: u64,
    version: String,
    healthy: bool,
    ready: bool,
}

async fn status(State(admin): State<Admin>) -> Json<Status> {
    let status = admin.service.status();
    Json(Status {
        cluster: status.cluster,
        member: status.member,
        leader: status.leader.map(|leader| leader.id),
        term: status.term,
        last_log_index: status.last_log_index,
        applied_index: status.applied_index,
        revision: status
            .revision
            .map(|revision| registry_api::Revision::from(revision).to_string())
            .unwrap_or_default(),
        members: status.members.into_iter().map(|member| (member.id, member.address)).collect(),
        sessions: status.sessions,
        keys: status.keys,
        version: status.version,
        healthy: admin.health.healthy() == Verdict::Good,
        ready: admin.health.ready() == Verdict::Good,
    })
}
