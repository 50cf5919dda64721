//! Commands that do one thing and end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use registry_api::Scope;
use tokio::time::Instant;

use super::role::close;
use super::{default_filter, say};
use crate::cli::{Cancel, Check, Connect, Status, Submit};
use crate::cluster::Connected;
use crate::config::{Config, Process};
use crate::exit::{Code, Failure};
use crate::name::Name;
use crate::overview::{LeaderView, Overview, Reader};
use crate::state::{InstanceRecord, InstanceState, decode, keys};
use crate::submit::{self, Cancelling};
use crate::workflow::Workflow;
use crate::{backends, logging};

pub(super) async fn submit(command: Submit) -> Result<(), Failure> {
    let workflow = read_workflow(&command.workflow)?;
    connected(&command.connect, async |connected| {
        let instance = submit::submit(&connected.client, &workflow).await?;
        say(instance.as_str())?;
        if command.wait { wait(connected, &instance, command.timeout).await } else { Ok(()) }
    })
    .await
}

pub(super) async fn status(command: Status) -> Result<(), Failure> {
    connected(&command.connect, async |connected| {
        wait_for_leader(connected).await;
        let overview = Reader::new(connected).overview().await?;
        if command.json {
            return say(&serde_json::to_string(&overview).unwrap_or_default());
        }
        say(&summary(&overview))
    })
    .await
}

pub(super) async fn cancel(command: Cancel) -> Result<(), Failure> {
    let instance = command.instance;
    connected(&command.connect, async |connected| match submit::cancel(&connected.client, &instance).await? {
        Cancelling::Asked => say(&format!("{instance} will be cancelled")),
        Cancelling::Ended(state) => Err(Failure::new(Code::Failed, format!("{instance} has {state} already"))),
        Cancelling::Unknown => Err(Failure::new(Code::Failed, format!("there is no instance {instance}"))),
    })
    .await
}

pub(super) fn check(command: &Check) -> Result<(), Failure> {
    let workflow = read_workflow(&command.workflow)?;
    say(&format!("ok: {}, {} tasks", workflow.name, workflow.tasks.len()))
}

fn read_workflow(path: &Path) -> Result<Workflow, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::new(Code::Failed, format!("{}: {error}", path.display())))?;
    Workflow::parse(&text).map_err(|mistakes| {
        let lines: Vec<_> = mistakes.lines().iter().map(|line| format!("{}: {line}", path.display())).collect();
        Failure::new(Code::Failed, lines.join("\n"))
    })
}

/// Connects, does the work, and closes.
async fn connected(
    connect: &Connect,
    work: impl AsyncFnOnce(&Connected) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let _log = logging::start(&connect.log, default_filter(Process::Command))?;
    let config = Config::load(Process::Command, connect)?;
    let connected = backends::connect(&config).await?;
    let result = work(&connected).await;
    close(&connected).await;
    result
}

/// Waits for the end of an instance by watching it.
async fn wait(connected: &Connected, instance: &Name, timeout: Duration) -> Result<(), Failure> {
    let mirror = connected.client.mirror(Scope::Key(keys::instance(instance))).await?;
    let mut changes = mirror.changes();
    let deadline = Instant::now() + timeout;
    loop {
        let record: Option<InstanceRecord> =
            mirror.get(&keys::instance(instance)).and_then(|entry| decode(&entry).ok());
        match record.map(|record| record.state) {
            Some(InstanceState::Succeeded) => return Ok(()),
            Some(state) if state.is_final() => {
                return Err(Failure::new(Code::Failed, format!("{instance} has {state}")));
            }
            _ => {}
        }
        match tokio::time::timeout_at(deadline, changes.next()).await {
            Ok(Some(_change)) => {}
            Ok(None) => return Err(Failure::new(Code::Unreachable, "the registry was closed")),
            Err(_elapsed) => {
                let timeout = humantime::format_duration(timeout);
                return Err(Failure::new(Code::Failed, format!("{instance} has not ended within {timeout}")));
            }
        }
    }
}

/// A client learns who leads a moment after it is connected.
async fn wait_for_leader(connected: &Connected) {
    const PATIENCE: Duration = Duration::from_millis(500);
    let mut leader = connected.insight.leader();
    let _unknown = tokio::time::timeout(PATIENCE, leader.wait_for(Option::is_some)).await;
}

fn leader_line(leader: &LeaderView) -> String {
    let master = leader.master.as_ref().map(Name::as_str).unwrap_or("not registered");
    match (leader.node, &leader.address) {
        (Some(node), Some(address)) => {
            format!("leader: member {node} at {address} since term {} ({master})", leader.term)
        }
        _ => format!("leader: {master}, elected under token {}", leader.term),
    }
}

fn summary(overview: &Overview) -> String {
    let mut lines = Vec::new();
    if overview.stale {
        lines.push("no quorum can be reached: this is what one member knows, and it may be old".to_owned());
    }
    lines.push(format!("registry: {}", overview.backend));
    lines.push(overview.leader.as_ref().map_or_else(|| "leader: none known".to_owned(), leader_line));
    for member in &overview.members {
        let vitals = &member.report.vitals;
        let drives = member.report.instances.len();
        lines.push(format!("master {}: {} {}, drives {drives}", member.name, vitals.host, vitals.pid));
    }
    for worker in &overview.workers {
        let report = &worker.report;
        let (status, running, capacity) = (report.vitals.status.as_str(), report.running, report.capacity);
        lines.push(format!("worker {}: {status}, group {}, {running} of {capacity} tasks", worker.name, report.group));
    }
    for instance in &overview.instances {
        let driver = instance.driver.as_ref().map(Name::as_str).unwrap_or("nobody yet");
        lines.push(format!("instance {}: {}, driven by {driver}", instance.id, instance.state));
    }
    for death in &overview.dead {
        lines.push(format!("dead {} {}: {}, noticed by {}", death.role, death.name, death.reason, death.noticed_by));
    }
    lines.join("\n")
}
