//! The page for people: rendered here, refreshed by the browser, without scripts.

mod parts;

use axum::extract::{Path, State};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::parts::{ago, state_tag};
use super::Shared;
use super::json::{instance_name, no_instance};
use super::refusal::Refusal;
use super::style::CSS;
use crate::clock::wall_ms;
use crate::overview::{AttemptView, InstanceView, Reader, Served, TaskView};

/// How often a browser asks again, in seconds.
const REFRESH_SECONDS: u32 = 2;
/// How many instances are listed, and of how many of them the tasks are shown.
const INSTANCES_SHOWN: usize = 25;
const INSTANCES_WITH_TASKS: usize = 3;
/// How many entries of the dead list and of the refused results are shown.
const DEAD_SHOWN: usize = 20;

pub(super) async fn index(State(shared): State<Shared>) -> Result<Markup, Refusal> {
    let reader = Reader::new(&shared);
    let overview = reader.overview().await?;
    let workflows = reader.workflows().await?;
    let refused = reader.refused().await?;
    let mut newest = Vec::new();
    for instance in overview.instances.iter().take(INSTANCES_WITH_TASKS) {
        newest.extend(reader.instance(&instance.id).await?);
    }
    let now = wall_ms();
    let body = html! {
        (parts::members(&overview, now))
        (parts::workers(&overview.workers, now))
        h2 { "Instances" }
        (instances(&overview.instances, &newest, now))
        h2 { "Workflows" }
        @if workflows.is_empty() { p.none { "None was submitted yet." } }
        ul { @for workflow in &workflows {
            li { (workflow.name) ", " (workflow.tasks) " tasks, submitted " (ago(now, workflow.submitted_at)) }
        } }
        (parts::dead(overview.dead.get(..DEAD_SHOWN).unwrap_or(&overview.dead), now))
        @if !refused.is_empty() {
            (parts::refused(refused.get(..DEAD_SHOWN).unwrap_or(&refused), now))
        }
    };
    Ok(frame("scheduler", shared.client.backend(), reader.served(), &body))
}

pub(super) async fn instance(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Markup, Refusal> {
    let reader = Reader::new(&shared);
    let Some(view) = reader.instance(&instance_name(&id)?).await? else { return Err(no_instance(&id)) };
    let now = wall_ms();
    let body = html! {
        p { a href="/" { "← everything" } }
        p {
            (state_tag(view.state)) " of workflow " (view.workflow) ", submitted " (ago(now, view.submitted_at))
            @if let Some(driver) = &view.driver { ", driven by " (driver) }
            @if view.takeovers > 0 { ", taken over " (view.takeovers) " times" }
        }
        div.scroll { table {
            tr { th { "task" } th { "state" } th { "after" } th { "group" } th { "attempts" } }
            @for task in view.tasks.iter().flatten() { (task_row(task, now)) }
        } }
    };
    Ok(frame(view.id.as_str(), shared.client.backend(), reader.served(), &body))
}

fn frame(title: &str, backend: &str, served: Served, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH_SECONDS);
                title { (title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                h1 { (title) }
                p.sub { "registry: " (backend) " · refreshed every " (REFRESH_SECONDS) " s" }
                @if served == Served::Stale {
                    div.banner { "No quorum can be reached: this is what one member knows, and it may be old." }
                }
                (body)
            }
        }
    }
}

fn instances(all: &[InstanceView], newest: &[InstanceView], now: u64) -> Markup {
    html! {
        @if all.is_empty() { p.none { "None was submitted yet." } } @else {
            div.scroll { table {
                tr { th { "instance" } th { "state" } th { "submitted" } th { "driven by" } th { "taken over" } }
                @for view in all.iter().take(INSTANCES_SHOWN) {
                    tr {
                        td { a href={ "/instances/" (view.id) } { (view.id) } }
                        td { (state_tag(view.state)) }
                        td.n { (ago(now, view.submitted_at)) }
                        td { @if let Some(driver) = &view.driver { (driver) } }
                        td { @if view.takeovers > 0 { (view.takeovers) " times" } }
                    }
                    @if let Some(tasks) = newest.iter().find(|newest| newest.id == view.id).and_then(|view| view.tasks.as_ref()) {
                        tr { td colspan="5" { div.tasks { @for task in tasks { (task_tag(task)) } } } }
                    }
                }
            } }
        }
    }
}

fn task_tag(task: &TaskView) -> Markup {
    let worker = task.attempts.last().map(|attempt| attempt.worker.as_str()).unwrap_or_default();
    let hint = format!("{}: {}, {} attempts {worker}", task.id, task.state, task.attempts.len());
    html! {
        span class={ "tag " (task.state) } title=(hint) {
            (task.id) @if task.attempts.len() > 1 { " ×" (task.attempts.len()) }
        }
    }
}

fn task_row(task: &TaskView, now: u64) -> Markup {
    html! {
        tr {
            td { (task.id) }
            td { (state_tag(task.state)) }
            td { @for (index, name) in task.depends_on.iter().enumerate() { @if index > 0 { ", " } (name) } }
            td { (task.group) }
            td { @for attempt in &task.attempts { (attempt_line(attempt, now)) } }
        }
    }
}

fn attempt_line(attempt: &AttemptView, now: u64) -> Markup {
    html! {
        div {
            (attempt.number) ". " (state_tag(attempt.state)) " on " (attempt.worker) ", " (ago(now, attempt.assigned_at))
            @if let Some(token) = &attempt.token { ", token " (token) }
            @if let Some(reason) = &attempt.reason { ": " (reason) }
            @if !attempt.output.is_empty() { pre { (attempt.output) } }
        }
    }
}
