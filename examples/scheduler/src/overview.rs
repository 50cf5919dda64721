//! What people and programs are shown: read from the registry, in the shapes that the README documents.

mod read;

use serde::Serialize;

use crate::name::Name;
use crate::state::{Certificate, DeathReason, MasterReport, Role, WorkerReport};

pub use read::{Reader, Served};

/// A master that is alive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberView {
    /// Its name.
    pub name: Name,
    /// Its session.
    pub session: String,
    /// What it reports.
    pub report: MasterReport,
    /// Whether it leads.
    pub leader: bool,
}

/// Who leads: a member of the registry's own cluster, or a master that the masters elected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaderView {
    /// The member's id; `None` for an elected master.
    pub node: Option<u64>,
    /// The member's address; `None` for an elected master.
    pub address: Option<String>,
    /// Grows with every leader.
    pub term: u64,
    /// The leading master, where it is known: the one that embeds the member, or that was elected.
    pub master: Option<Name>,
    /// The process of that master, where it is registered.
    pub pid: Option<u32>,
}

/// A worker that is alive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerView {
    /// Its name.
    pub name: Name,
    /// Its session.
    pub session: String,
    /// What it reports.
    pub report: WorkerReport,
}

/// A workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkflowView {
    /// Its name.
    pub name: Name,
    /// How many tasks its newest definition has.
    pub tasks: usize,
    /// When it was submitted last.
    pub submitted_at: u64,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceView {
    /// Its name.
    pub id: Name,
    /// Of which workflow.
    pub workflow: Name,
    /// How far it is.
    pub state: &'static str,
    /// When it was submitted.
    pub submitted_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// Who drives it, or drove it last.
    pub driver: Option<Name>,
    /// Under which fencing token.
    pub token: Option<String>,
    /// How many times it was taken over.
    pub takeovers: u32,
    /// Its tasks, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<TaskView>>,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskView {
    /// Its name.
    pub id: Name,
    /// How far it is.
    pub state: &'static str,
    /// What it depends on.
    pub depends_on: Vec<Name>,
    /// Which workers may run it.
    pub group: Name,
    /// Failed attempts.
    pub failures: u32,
    /// Accepted results.
    pub accepted: u32,
    /// Its newest attempts, oldest first.
    pub attempts: Vec<AttemptView>,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// Its number.
    pub number: u32,
    /// By which worker.
    pub worker: Name,
    /// In which session of the worker.
    pub session: String,
    /// Its fencing token.
    pub token: Option<String>,
    /// What became of it.
    pub state: &'static str,
    /// When it was assigned.
    pub assigned_at: u64,
    /// When its end was recorded.
    pub ended_at: Option<u64>,
    /// The command's exit code.
    pub exit_code: Option<i32>,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// The end of the command's output.
    pub output: String,
}

/// An entry of the dead list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeathView {
    /// What it was.
    pub role: Role,
    /// Who it was.
    pub name: Name,
    /// The session that ended.
    pub session: String,
    /// When it was noticed.
    pub noticed_at: u64,
    /// Which master noticed.
    pub noticed_by: Name,
    /// How it went.
    pub reason: DeathReason,
    /// What the backend knows of it.
    pub certificate: Option<Certificate>,
    /// Its last report.
    pub last_report: serde_json::Value,
}

/// A result that came too late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedView {
    /// Of which instance.
    pub instance: Name,
    /// Of which task.
    pub task: Name,
    /// Of which attempt.
    pub attempt: u32,
    /// By which worker.
    pub worker: Name,
    /// What it would have been.
    pub outcome: String,
    /// When it was refused.
    pub at: u64,
}

/// Everything at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// The backend that serves.
    pub backend: &'static str,
    /// Masters.
    pub members: Vec<MemberView>,
    /// The leader.
    pub leader: Option<LeaderView>,
    /// Workers.
    pub workers: Vec<WorkerView>,
    /// Instances, newest first, without tasks.
    pub instances: Vec<InstanceView>,
    /// The dead list, newest first.
    pub dead: Vec<DeathView>,
    /// Whether no quorum could be reached, so that all of this may be old.
    pub stale: bool,
}
