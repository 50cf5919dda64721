//! JSON for programs, as the README documents it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use registry_api::{ReadLevel, Result};
use serde::Serialize;
use serde_json::json;

use super::Shared;
use super::guard::is_meant;
use super::refusal::Refusal;
use crate::name::Name;
use crate::overview::{Reader, Served};
use crate::submit::{self, Cancelling};
use crate::workflow::Workflow;

/// Tells that an answer may be old.
const STALE: HeaderName = HeaderName::from_static("x-registry-stale");

pub(super) async fn members(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let views = reader.members().await?;
    Ok(answer(&reader, views))
}

pub(super) async fn leader(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let view = reader.leader().await?;
    match view {
        Some(view) => Ok(answer(&reader, view)),
        None => Err(Refusal::not_found("nobody is known to lead")),
    }
}

pub(super) async fn workers(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let views = reader.workers().await?;
    Ok(answer(&reader, views))
}

pub(super) async fn workflows(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let views = reader.workflows().await?;
    Ok(answer(&reader, views))
}

pub(super) async fn instances(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let views = reader.instances().await?;
    Ok(answer(&reader, views))
}

pub(super) async fn instance(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let view = reader.instance(&instance_name(&id)?).await?;
    match view {
        Some(view) => Ok(answer(&reader, view)),
        None => Err(no_instance(&id)),
    }
}

pub(super) async fn dead(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let views = reader.dead().await?;
    Ok(answer(&reader, views))
}

pub(super) async fn refused(State(shared): State<Shared>) -> Result<Response, Refusal> {
    let reader = Reader::new(&shared);
    let views = reader.refused().await?;
    Ok(answer(&reader, views))
}

pub(super) async fn submit(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Refusal> {
    refuse_unmeant(&headers)?;
    let workflow = Workflow::parse(&body).map_err(|mistakes| {
        Refusal::new(StatusCode::BAD_REQUEST, "the workflow is not valid").with_mistakes(mistakes.lines())
    })?;
    let instance = submit::submit(&shared.client, &workflow).await?;
    Ok((StatusCode::CREATED, Json(json!({ "instance": instance }))).into_response())
}

pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    refuse_unmeant(&headers)?;
    match submit::cancel(&shared.client, &instance_name(&id)?).await? {
        Cancelling::Asked => Ok((StatusCode::ACCEPTED, Json(json!({ "instance": id }))).into_response()),
        Cancelling::Ended(state) => Err(Refusal::new(StatusCode::CONFLICT, format!("{id} has {state} already"))),
        Cancelling::Unknown => Err(no_instance(&id)),
    }
}

/// 200 while the registry answers.
pub(super) async fn health(State(shared): State<Shared>) -> Result<Response, Refusal> {
    shared.client.lookup(&crate::state::keys::masters(), ReadLevel::Linearizable).await?;
    Ok(Json(json!({ "status": "ok" })).into_response())
}

fn answer(reader: &Reader<'_>, value: impl Serialize) -> Response {
    let body = Json(value);
    match reader.served() {
        Served::Fresh => body.into_response(),
        Served::Stale => ([(STALE, "true")], body).into_response(),
    }
}

pub(super) fn instance_name(id: &str) -> Result<Name, Refusal> {
    id.parse().map_err(|_not_a_name| no_instance(id))
}

pub(super) fn no_instance(id: &str) -> Refusal {
    Refusal::not_found(format!("there is no instance {id:?}"))
}

fn refuse_unmeant(headers: &HeaderMap) -> Result<(), Refusal> {
    if is_meant(headers) {
        return Ok(());
    }
    let message = "a request that changes something has the header Content-Type: application/toml";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}
