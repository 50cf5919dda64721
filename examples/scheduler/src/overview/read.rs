//! Reads the views from the registry.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use registry_api::{
    ConnectionState, Entry, ErrorKind, Key, ListOptions, Listing, PresenceRecord, ReadLevel, Result, Scope,
};
use serde::de::DeserializeOwned;

use super::{
    AttemptView, DeathView, InstanceView, LeaderView, MemberView, Overview, RefusedView, TaskView, WorkerView,
    WorkflowView,
};
use crate::cluster::{Connected, Leading};
use crate::name::Name;
use crate::state::{
    Assignment, AssignmentState, Attempt, DeathRecord, InstanceRecord, MasterReport, RefusedRecord, TaskRecord,
    TaskState, WorkflowRecord, decode, keys,
};
use crate::workflow::{Task, Workflow};

/// How fresh what was read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Everything that was acknowledged before is seen.
    Fresh,
    /// No quorum can be reached: this is what one member knows, and it may be old.
    Stale,
}

/// Reads for one request. Where no quorum answers, it reads what one member knows, and says so.
#[derive(Debug)]
pub struct Reader<'a> {
    connected: &'a Connected,
    stale: AtomicBool,
}

/// The attempts that a worker has taken: instance, task, number.
type Taken = BTreeMap<(Name, Name), u32>;

impl<'a> Reader<'a> {
    /// A reader. Where the backend knows already that nobody can serve, it does not wait to find that out again.
    #[must_use]
    pub fn new(connected: &'a Connected) -> Self {
        let suspended = connected.client.connection().state() == ConnectionState::Suspended;
        Self { connected, stale: AtomicBool::new(suspended) }
    }

    /// How fresh everything was that this has read so far.
    #[must_use]
    pub fn served(&self) -> Served {
        if self.stale.load(Ordering::Relaxed) { Served::Stale } else { Served::Fresh }
    }

    /// Masters that are alive, by name.
    ///
    /// # Errors
    ///
    /// Those of the registry, here and below.
    pub async fn members(&self) -> Result<Vec<MemberView>> {
        let leader = self.connected.insight.leader().borrow().clone();
        let listing = self.list(Scope::Children(keys::masters())).await?;
        let view = |entry: &Entry| {
            let report: MasterReport = payload(entry)?;
            let name = name_of(entry)?;
            let leads = leader.as_ref().is_some_and(|leader| match &leader.who {
                Leading::Member { node, .. } => Some(*node) == report.node,
                Leading::Master(elected) => *elected == name,
            });
            Some(MemberView { name, session: session_of(entry)?, report, leader: leads })
        };
        Ok(listing.entries().filter_map(view).collect())
    }

    /// Who leads, as far as is known.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn leader(&self) -> Result<Option<LeaderView>> {
        let Some(leader) = self.connected.insight.leader().borrow().clone() else { return Ok(None) };
        let members = self.members().await?;
        let registered = members.into_iter().find(|member| member.leader);
        let pid = registered.as_ref().map(|master| master.report.vitals.pid);
        let (node, address, master) = match leader.who {
            Leading::Member { node, address } => (Some(node), Some(address), registered.map(|master| master.name)),
            Leading::Master(elected) => (None, None, Some(elected)),
        };
        Ok(Some(LeaderView { node, address, term: leader.term, master, pid }))
    }

    /// Workers that are alive, by name.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn workers(&self) -> Result<Vec<WorkerView>> {
        let listing = self.list(Scope::Children(keys::workers())).await?;
        let view = |entry: &Entry| {
            Some(WorkerView { name: name_of(entry)?, session: session_of(entry)?, report: payload(entry)? })
        };
        Ok(listing.entries().filter_map(view).collect())
    }

    /// Workflows, by name.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn workflows(&self) -> Result<Vec<WorkflowView>> {
        let listing = self.list(Scope::Children(keys::workflows())).await?;
        let view = |entry: &Entry| {
            let record: WorkflowRecord = decode(entry).ok()?;
            let tasks = record.workflow.tasks.len();
            Some(WorkflowView { name: record.workflow.name, tasks, submitted_at: record.submitted_at })
        };
        Ok(listing.entries().filter_map(view).collect())
    }

    /// Instances, newest first, without their tasks.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn instances(&self) -> Result<Vec<InstanceView>> {
        let listing = self.list(Scope::Children(keys::instances())).await?;
        let mut views: Vec<_> = listing.entries().filter_map(instance_view).collect();
        views.sort_by(|a, b| (b.submitted_at, &b.id).cmp(&(a.submitted_at, &a.id)));
        Ok(views)
    }

    /// One instance with its tasks, in the order of its file; `None` where there is none.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn instance(&self, instance: &Name) -> Result<Option<InstanceView>> {
        let listing = self.list(Scope::Key(keys::instance(instance))).await?;
        let Some(view) = listing.entries().find_map(instance_view) else { return Ok(None) };
        let plan = self.list(Scope::Key(keys::plan(instance))).await?;
        let workflow: Option<Workflow> = plan.entries().find_map(|entry| decode(entry).ok());
        let records = self.list(Scope::Children(keys::tasks(instance))).await?;
        let mut records: BTreeMap<Name, TaskRecord> =
            records.entries().filter_map(|entry| Some((name_of(entry)?, decode(entry).ok()?))).collect();
        let taken = self.taken().await?;
        let tasks = workflow.map(|workflow| workflow.tasks).unwrap_or_default();
        let tasks = tasks.into_iter().map(|task| {
            let record = records.remove(&task.id).unwrap_or_default();
            let running = taken.get(&(instance.clone(), task.id.clone())).copied();
            task_view(task, record, running)
        });
        Ok(Some(InstanceView { tasks: Some(tasks.collect()), ..view }))
    }

    /// The dead list, newest first.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn dead(&self) -> Result<Vec<DeathView>> {
        let listing = self.list(Scope::Tree(keys::dead())).await?;
        let mut deaths: Vec<_> =
            listing.entries().filter_map(|entry| Some((entry.created, decode::<DeathRecord>(entry).ok()?))).collect();
        deaths.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        Ok(deaths.into_iter().map(|(_, record)| death_view(record)).collect())
    }

    /// Results that came too late, newest first.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn refused(&self) -> Result<Vec<RefusedView>> {
        let listing = self.list(Scope::Tree(keys::refused())).await?;
        let mut results: Vec<_> =
            listing.entries().filter_map(|entry| Some((entry.created, decode::<RefusedRecord>(entry).ok()?))).collect();
        results.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        Ok(results.into_iter().map(|(_, record)| refused_view(record)).collect())
    }

    /// Everything at a glance.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn overview(&self) -> Result<Overview> {
        let mut overview = Overview {
            backend: self.connected.client.backend(),
            members: self.members().await?,
            leader: self.leader().await?,
            workers: self.workers().await?,
            instances: self.instances().await?,
            dead: self.dead().await?,
            stale: false,
        };
        overview.stale = self.served() == Served::Stale;
        Ok(overview)
    }

    async fn taken(&self) -> Result<Taken> {
        let listing = self.list(Scope::Tree(keys::assignments())).await?;
        let assignments = listing.entries().filter_map(|entry| decode::<Assignment>(entry).ok());
        let taken = assignments.filter(|assignment| assignment.state == AssignmentState::Running);
        Ok(taken.map(|taken| ((taken.instance, taken.task.id), taken.attempt)).collect())
    }

    async fn list(&self, scope: Scope) -> Result<Listing> {
        if !self.stale.load(Ordering::Relaxed) {
            match self.connected.client.list(&scope).await {
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded) => {
                    self.stale.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let options = ListOptions { read: ReadLevel::Stale, ..ListOptions::default() };
        self.connected.client.list_with(&scope, options).await
    }
}

fn payload<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    serde_json::from_slice(&PresenceRecord::decode(&entry.value)?.payload).ok()
}

fn name_of(entry: &Entry) -> Option<Name> {
    Key::name(&entry.key).parse().ok()
}

fn session_of(entry: &Entry) -> Option<String> {
    entry.owner.map(|session| session.to_string())
}

fn instance_view(entry: &Entry) -> Option<InstanceView> {
    let record: InstanceRecord = decode(entry).ok()?;
    Some(InstanceView {
        id: name_of(entry)?,
        workflow: record.workflow,
        state: record.state.as_str(),
        submitted_at: record.submitted_at,
        ended_at: record.ended_at,
        driver: record.driver,
        token: record.token,
        takeovers: record.takeovers,
        tasks: None,
    })
}

/// `running` is the number of the attempt that a worker has taken.
fn task_view(task: Task, record: TaskRecord, running: Option<u32>) -> TaskView {
    let running = running.filter(|_| record.state == TaskState::Assigned);
    let shown = |number: u32, otherwise| if running == Some(number) { "running" } else { otherwise };
    let attempt = |attempt: &Attempt| attempt_view(attempt, shown(attempt.number, attempt.state.as_str()));
    TaskView {
        state: shown(record.last_attempt, record.state.as_str()),
        attempts: record.attempts.iter().map(attempt).collect(),
        id: task.id,
        depends_on: task.depends_on,
        group: task.group,
        failures: record.failures,
        accepted: record.accepted,
    }
}

fn attempt_view(attempt: &Attempt, state: &'static str) -> AttemptView {
    AttemptView {
        number: attempt.number,
        worker: attempt.worker.clone(),
        session: attempt.session.to_string(),
        token: attempt.token.clone(),
        state,
        assigned_at: attempt.assigned_at,
        ended_at: attempt.ended_at,
        exit_code: attempt.exit_code,
        reason: attempt.reason.clone(),
        output: attempt.output.clone(),
    }
}

fn death_view(record: DeathRecord) -> DeathView {
    DeathView {
        role: record.role,
        name: record.name,
        session: record.session.to_string(),
        noticed_at: record.noticed_at,
        noticed_by: record.noticed_by,
        reason: record.reason,
        certificate: record.certificate,
        last_report: record.last_report,
    }
}

fn refused_view(record: RefusedRecord) -> RefusedView {
    let RefusedRecord { instance, task, attempt, worker, outcome, at } = record;
    RefusedView { instance, task, attempt, worker, outcome, at }
}
